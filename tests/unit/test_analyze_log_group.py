"""Reading a log group: the query, its windows, and what goes wrong on the way."""

import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from fake_aws import ACCOUNT, EXPIRED, Answer, AwsError, FakeAws, denied
from records import MINUTE, NOVA, SONNET, converse, failed, invoke, metadata_only, with_id

from bedrock_quota.errors import LogSourceError
from bedrock_quota.registry.models import Registry
from localaws import log_queries
from quota_monitor.analyze import estimate, log_group
from quota_monitor.analyze.estimate import estimate_scan
from quota_monitor.analyze.insights import list_columns, read_row, write_query
from quota_monitor.analyze.reader import RecordReader
from quota_monitor.analyze.scope import Scope
from quota_monitor.window import Window

pytestmark = pytest.mark.usefixtures("no_aws")

GROUP = "/aws/bedrock/modelinvocations"
HOUR = Window(MINUTE, MINUTE + 3_600)

COLUMNS = list_columns()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_group, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(log_group, "TRY_AGAIN_SECONDS", 0.0)


class Insights:
    """Logs Insights over events: pairs of a second and a message. Both ends of a query count, as AWS documents it."""

    def __init__(self, events: Sequence[tuple[float, str]]) -> None:
        self.events = events
        self.queries: dict[str, Mapping[str, Any]] = {}
        self.windows: list[tuple[int, int]] = []
        self.stopped: list[str] = []
        self._lock = threading.Lock()

    def start(self, given: Mapping[str, Any]) -> Answer:
        with self._lock:
            name = f"q{len(self.queries)}"
            self.queries[name] = given
            self.windows.append((given["startTime"], given["endTime"]))
        return {"queryId": name}

    def results(self, given: Mapping[str, Any]) -> Answer:
        query = self.queries[given["queryId"]]
        events = [
            {"timestamp": round(second * 1000), "message": text}
            for second, text in self.events
            if query["startTime"] <= second <= query["endTime"]
        ]
        answer = log_queries.run_query(events, query["queryString"], query["limit"])
        first, size = int(given.get("nextToken", 0)), given["maxItems"]
        page: dict[str, Any] = {
            "status": "Complete",
            "results": answer.results[first : first + size],
            "statistics": answer.statistics,
        }
        return page | ({"nextToken": str(first + size)} if first + size < len(answer.results) else {})

    def stop(self, given: Mapping[str, Any]) -> Answer:
        self.stopped.append(given["queryId"])
        return {"success": True}

    def aws(self, **answers: Answer | Callable[..., Answer]) -> FakeAws:
        own = {"StartQuery": self.start, "GetQueryResults": self.results, "StopQuery": self.stop}
        return FakeAws(own | answers)


def read(registry: Registry, aws: FakeAws, window: Window = HOUR) -> tuple[RecordReader, list[str]]:
    reader = RecordReader(registry, Scope(window))
    notes = log_group.read_fields(aws.session.client("logs"), GROUP, Scope(window), reader, lambda _share: None)
    return reader, notes


def uncounted(model_id: str, body: object, answer: object) -> dict[str, Any]:
    """Return a record of InvokeModel without counts of its own."""
    return invoke(model_id, body, answer=answer, input_tokens=None, output_tokens=None)


NUMBERS = itertools.count()


def at(second: float, entry: Mapping[str, Any] | str) -> tuple[float, str]:
    """Return an event at a second of the hour. Its record began then."""
    if isinstance(entry, str):
        return MINUTE + second, entry
    started = datetime.fromtimestamp(MINUTE + int(second), UTC)
    return MINUTE + second, json.dumps({**with_id(entry, next(NUMBERS)), "timestamp": f"{started:%Y-%m-%dT%H:%M:%SZ}"})


# ---------------------------------------------------------------- the query


def through_insights(entry: object) -> Any:
    """Return the record that comes out of the query, and whether its end is unknown."""
    text = entry if isinstance(entry, str) else json.dumps(entry)
    (row,) = log_queries.run_query([{"timestamp": 0, "message": text}], write_query(COLUMNS)).results
    return read_row(COLUMNS, row)


def test_the_query_parses_the_message_and_searches_no_text() -> None:
    query = write_query(list_columns(("team", "cost center")))

    assert query.startswith("fields jsonParse(@message) as r\n| fields r.")
    assert "r.timestamp as f" in query
    assert "r.input.inputBodyJson.inferenceConfig.maxTokens as " in query
    assert "r.requestMetadata.max_tokens as " in query
    assert "r.requestMetadata.`cost center` as " in query
    assert "jsonStringify(r.output.outputBodyJson.`amazon-bedrock-invocationMetrics`) as " in query
    assert re.search(r"\b(parse|filter|like)\b", query) is None
    assert "messages" not in query
    assert len(query) < 6_000


def test_the_longest_key_of_metadata_fits_into_a_query() -> None:
    assert len(write_query(list_columns(("x" * 256,)))) < 10_000


def test_a_prompt_and_an_answer_do_not_come_back() -> None:
    call = converse(text="SECRET" * 50)
    call["output"]["outputBodyJson"]["output"]["message"]["content"][0]["text"] = "SECRET"
    call["input"]["inputBodyJson"]["system"] = [{"text": "SECRET"}]

    assert b"SECRET" not in through_insights(call).message


QUOTED = '"max_tokens": 7, "inferenceConfig": {"maxTokens": 7}, "outputTokenCount": 7, "stopReason": "max_tokens"'


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(converse(text=QUOTED), id="text that a prompt quotes"),
        pytest.param(converse(text=json.dumps(converse(max_tokens=7))), id="a record that a prompt quotes"),
        pytest.param(
            invoke(
                SONNET,
                {
                    "max_tokens": 500,
                    "messages": [{"content": [{"type": "tool_use", "input": {"max_tokens": 7}}]}],
                    "tools": [{"input_schema": {"properties": {"max_tokens": 7}}}],
                    "metadata": {"max_tokens": 7},
                },
                answer={"content": [{"input": {"max_tokens": 7, "stop_reason": "x"}}], "stop_reason": "end_turn"},
            ),
            id="input of a tool",
        ),
        pytest.param(converse(requestMetadata={"max_tokens": "500"}), id="declared limit"),
        pytest.param(metadata_only(requestMetadata={"max_tokens": "500"}), id="declared limit without a body"),
        pytest.param(converse(cache_read=7, cache_write=9), id="cached tokens"),
        pytest.param(converse(max_tokens=None), id="no limit"),
        pytest.param(failed(), id="throttled call"),
        pytest.param(converse(input_tokens=None, output_tokens=None), id="counts only in nothing"),
        pytest.param(
            uncounted(SONNET, {"max_tokens": 9}, {"usage": {"input_tokens": 3, "output_tokens": 4}}),
            id="counts in the usage",
        ),
        pytest.param(
            uncounted(NOVA, {"max_gen_len": 9}, {"prompt_token_count": 3, "generation_token_count": 4}),
            id="counts of Llama",
        ),
        pytest.param(
            uncounted(SONNET, {"max_tokens": 9}, {"amazon-bedrock-guardrailAction": "INTERVENED"}),
            id="call that a guardrail blocked",
        ),
        pytest.param(converse(requestMetadata={"team": "42"}), id="tag that looks like a number"),
        pytest.param(converse(errorCode=None, requestId="1"), id="number as a text"),
    ],
)
def test_the_query_comes_to_the_same_numbers_as_the_whole_record(registry: Registry, entry: dict[str, Any]) -> None:
    scope = Scope(tag="team")
    whole, fields = RecordReader(registry, scope), RecordReader(registry, scope)

    whole.add(json.dumps(entry))
    fields.add(through_insights(entry).message)

    assert fields.tally.measure({}) == whole.tally.measure({})
    assert (fields.counts.rejected, fields.counts.answered) == (whole.counts.rejected, whole.counts.answered)


@pytest.mark.parametrize(
    ("answer", "given", "reason"),
    [
        pytest.param(
            [{"amazon-bedrock-invocationMetrics": {"inputTokenCount": 3}}], None, "missing_input_count", id="chunks"
        ),
        pytest.param([{"usage": {"output_tokens": 3}}], 5, "missing_output_count", id="chunks that have the output"),
        pytest.param(
            {"inputTextTokenCount": 3, "results": [{"tokenCount": 4}]}, None, "missing_output_count", id="Titan"
        ),
        pytest.param({"results": [{"tokenCount": 4}]}, 5, "missing_output_count", id="output of Titan"),
    ],
)
def test_counts_that_only_a_list_has_are_missing_and_not_guessed(
    registry: Registry, answer: object, given: int | None, reason: str
) -> None:
    reader = RecordReader(registry, Scope())
    call = invoke(NOVA, {}, answer=answer, input_tokens=given, output_tokens=None)

    reader.add(through_insights(call).message)

    assert reader.counts.rejected == {reason: 1}


@pytest.mark.parametrize(
    ("entry", "is_unknown"),
    [
        pytest.param(converse(), False, id="Converse says why it ended"),
        pytest.param(invoke(SONNET, {"max_tokens": 5}, answer={"stop_reason": "max_tokens"}), False, id="stop reason"),
        pytest.param(invoke(SONNET, {"max_tokens": 5}, answer=[{"type": "message_stop"}]), True, id="streamed answer"),
        pytest.param(invoke(SONNET, {"max_tokens": 5}, answer={}), True, id="answer without a reason"),
        pytest.param(metadata_only(), False, id="no texts are delivered, which has a note of its own"),
        pytest.param(failed(), False, id="failed call"),
    ],
)
def test_an_answer_whose_end_is_not_seen_is_counted(entry: Any, is_unknown: bool) -> None:
    assert through_insights(entry).is_end_unknown is is_unknown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "Permissions are correctly set for Amazon Bedrock logs.", b"Permissions are correctly", id="first event"
        ),
        pytest.param("no JSON", b"", id="text"),
        pytest.param('"a text"', b"", id="JSON text"),
        pytest.param('{"cut": ', b"", id="cut"),
    ],
)
def test_an_event_that_is_no_record_is_counted_all_the_same(text: str, message: bytes) -> None:
    found = through_insights(text).message

    assert found.startswith(message)
    assert bool(found) == bool(message)


@pytest.mark.parametrize(
    ("printed", "limit"),
    [
        pytest.param("500", 500, id="whole"),
        pytest.param("500.0", 500, id="with a fraction of 0"),
        pytest.param("5.0E2", 500, id="with an exponent"),
        pytest.param("1" + "0" * 400, None, id="absurd"),
        pytest.param("NaN", None, id="no number"),
    ],
)
def test_a_number_counts_however_a_result_writes_it(registry: Registry, printed: str, limit: int | None) -> None:
    (row,) = log_queries.run_query([{"timestamp": 0, "message": json.dumps(converse())}], write_query(COLUMNS)).results
    place = next(
        number for number, column in enumerate(COLUMNS) if column.path[-2:] == ("inferenceConfig", "maxTokens")
    )
    changed = [{**cell, "value": printed} if cell["field"] == f"f{place}" else cell for cell in row]
    reader = RecordReader(registry, Scope())

    reader.add(read_row(COLUMNS, changed).message)

    (usage,) = reader.tally.measure({})
    assert [each.max_tokens for each in usage.callers[0].limits] == [limit or usage.callers[0].limits[0].max_tokens]


# ---------------------------------------------------------------- windows


def test_an_event_on_a_shared_boundary_counts_once(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    # both queries return the event at 12:30:00.000, because both ends of a query count
    monkeypatch.setattr(log_group, "FIRST_SECONDS", 1_800)
    insights = Insights([at(1_800, converse()), at(1_799, converse()), at(1_799.5, converse())])

    reader, _ = read(registry, insights.aws())

    assert reader.counts.received == 3
    assert (MINUTE, MINUTE + 1_800) in insights.windows


def test_records_that_arrive_after_the_window_are_read(registry: Registry) -> None:
    began = at(3_599, converse())[1]
    insights = Insights([(MINUTE + 3_600 + 119, began), at(3_600, converse())])

    reader, _ = read(registry, insights.aws())

    assert (reader.counts.answered, reader.counts.not_asked_for) == (1, 1)


def test_a_window_with_more_rows_than_a_query_returns_is_divided(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_group, "READ_ROWS", 15)
    monkeypatch.setattr(log_group, "PAGE_ROWS", 4)
    insights = Insights([at(second, converse()) for second in range(0, 3_600, 12)])

    reader, notes = read(registry, insights.aws())

    assert (reader.counts.received, notes) == (300, [])
    # 20 times too many rows, so 34 parts of 105 s at once, not halves of halves
    assert (MINUTE, MINUTE + 105) in insights.windows
    assert len(insights.windows) < 40


def test_more_events_in_a_second_than_a_query_returns_are_said(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_group, "READ_ROWS", 10)
    insights = Insights([at(7, converse()) for _ in range(25)])

    reader, notes = read(registry, insights.aws())

    assert reader.counts.received == 10
    assert notes == ["15 records could not be fetched: too many began in one second. Use --whole-records."]


def test_quiet_days_take_few_queries(registry: Registry) -> None:
    insights = Insights([at(30, converse())])

    reader, _ = read(registry, insights.aws(), Window(MINUTE - 30 * 86_400, MINUTE + 60))

    assert reader.counts.answered == 1
    assert len(insights.windows) < 60


def test_windows_follow_each_other_without_gap_or_overlap(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_group, "READ_ROWS", 20)
    insights = Insights([at(second, converse()) for second in range(0, 3_600, 30)])

    reader, _ = read(registry, insights.aws(), Window(MINUTE - 86_400, MINUTE + 2 * 86_400))

    assert reader.counts.received == reader.counts.answered == 120


# ---------------------------------------------------------------- what goes wrong


def test_a_query_waits_while_too_many_run(registry: Registry) -> None:
    insights, refused = Insights([at(1, converse())]), []

    def start(given: Mapping[str, Any]) -> Answer:
        if len(refused) < 3:
            refused.append(given)
            return AwsError("LimitExceededException")
        return insights.start(given)

    reader, _ = read(registry, insights.aws(StartQuery=start))

    assert (reader.counts.answered, len(refused)) == (1, 3)


def test_too_many_queries_for_minutes_are_an_error(registry: Registry) -> None:
    with pytest.raises(LogSourceError, match="Too many queries of Logs Insights run in this account"):
        read(registry, Insights([]).aws(StartQuery=AwsError("LimitExceededException")))


@pytest.mark.parametrize("status", ["Failed", "Timeout", "Cancelled"])
def test_a_query_that_fails_is_an_error_with_the_next_step(registry: Registry, status: str) -> None:
    results: Answer = {"status": status, "results": []}

    with pytest.raises(LogSourceError, match=f"ended as {status}. Run it again, or use a shorter window"):
        read(registry, Insights([]).aws(GetQueryResults=results))


def test_a_log_group_that_does_not_exist_is_named(registry: Registry) -> None:
    with pytest.raises(LogSourceError, match=f"There is no log group {GROUP} in this Region"):
        read(registry, Insights([]).aws(StartQuery=AwsError("ResourceNotFoundException")))


def test_time_before_the_log_group_existed_has_no_records(registry: Registry) -> None:
    insights = Insights([at(1, converse())])

    def start(given: Mapping[str, Any]) -> Answer:
        if given["endTime"] < MINUTE:
            return AwsError(
                "MalformedQueryException",
                "Query's end date and time is either before the log groups creation time or exceeds the log groups log "
                "retention settings",
            )
        return insights.start(given)

    reader, _ = read(registry, insights.aws(StartQuery=start), Window(MINUTE - 86_400, MINUTE + 60))

    assert reader.counts.answered == 1


def test_another_malformed_query_is_an_error(registry: Registry) -> None:
    with pytest.raises(ClientError, match="unexpected symbol"):
        read(registry, Insights([]).aws(StartQuery=AwsError("MalformedQueryException", "unexpected symbol")))


def test_ctrl_c_stops_all_queries(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    insights = Insights([])
    aws = insights.aws(GetQueryResults={"status": "Running", "results": []})

    def interrupt(*_given: object, **_options: object) -> None:
        while len(insights.queries) < 2:
            pass
        raise KeyboardInterrupt

    monkeypatch.setattr(log_group, "wait", interrupt)

    with pytest.raises(KeyboardInterrupt):
        read(registry, aws, Window(MINUTE, MINUTE + 7_200))

    assert sorted(insights.stopped) == sorted(insights.queries)


def test_credentials_that_expire_half_way_are_one_error(registry: Registry) -> None:
    insights = Insights([at(1, converse())])
    answers: Iterator[Answer] = iter([{"status": "Running", "results": []}])
    aws = insights.aws(GetQueryResults=lambda _given: next(answers, EXPIRED), StopQuery=EXPIRED)

    with pytest.raises(ClientError, match="ExpiredTokenException"):
        read(registry, aws, Window(MINUTE, MINUTE + 6 * 3_600))


def test_a_query_in_a_thread_that_is_left_behind_is_stopped_when_the_program_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_exit: list[Callable[[], None]] = []
    stopped_by_exit: list[list[str]] = []
    exit_hooks = SimpleNamespace(register=at_exit.append, unregister=at_exit.remove)
    monkeypatch.setattr(log_group, "atexit", exit_hooks)
    aws = FakeAws({"StartQuery": {"queryId": "1"}, "StopQuery": {"success": True}})

    def end_program(_given: Mapping[str, Any]) -> Answer:
        for each in at_exit:
            each()
        stopped_by_exit.append(aws.operations()[-1:])
        return {"status": "Complete", "results": []}

    aws.answers["GetQueryResults"] = end_program

    log_group.run_query(aws.session.client("logs"), GROUP, "fields 1", HOUR)

    assert stopped_by_exit == [["logs:StopQuery"]]
    assert aws.parameters("logs:StopQuery") == [{"queryId": "1"}]
    assert at_exit == []  # it has ended


# ---------------------------------------------------------------- whole records


def test_whole_records_are_read_page_by_page(registry: Registry) -> None:
    pages = {
        None: {"events": [{"timestamp": MINUTE * 1000, "message": json.dumps(converse())}], "nextToken": "a"},
        "a": {"events": [], "nextToken": "b"},
        "b": {"events": [{"timestamp": MINUTE * 1000, "message": json.dumps(with_id(failed(), 1))}]},
    }
    aws, shares = FakeAws({"FilterLogEvents": lambda given: pages[given.get("nextToken")]}), []
    reader = RecordReader(registry, Scope(HOUR))

    log_group.read_whole_records(aws.session.client("logs"), GROUP, HOUR, reader, shares.append)

    assert (reader.counts.answered, reader.counts.failed, max(shares)) == (1, 1, 0)
    first = aws.parameters("logs:FilterLogEvents")[0]
    assert (first["startTime"], first["endTime"]) == (HOUR.start * 1000, (HOUR.end + 120) * 1000)


# ---------------------------------------------------------------- the log group of the account


def configured(**configuration: object) -> Answer:
    return {"loggingConfig": configuration}


CLOUDWATCH = {"logGroupName": GROUP, "roleArn": "arn:aws:iam::111122223333:role/r"}


def open_group(registry: Registry, answer: Answer, name: str | None = None, **more: Answer) -> tuple[FakeAws, Any]:
    aws = FakeAws({**ACCOUNT, "GetModelInvocationLoggingConfiguration": answer, **more})
    return aws, log_group.open_log_group(aws.session, name, registry, whole_records=False)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param({}, "Bedrock writes no invocation logs in us-east-1.*Switch them on", id="no logging"),
        pytest.param(configured(textDataDeliveryEnabled=True), "Bedrock writes no invocation logs", id="no target"),
        pytest.param(
            configured(s3Config={"bucketName": "b", "keyPrefix": "p"}),
            r"only to S3\. Read them with `quota-monitor analyze --s3 s3://b/p`",
            id="only S3",
        ),
        pytest.param(
            denied("bedrock:GetModelInvocationLoggingConfiguration"),
            r"may not ask where Bedrock writes its logs \(bedrock:GetModelInvocationLoggingConfiguration\)\. Name the",
            id="denied",
        ),
    ],
)
def test_an_account_without_a_log_group_is_explained(registry: Registry, answer: Answer, message: str) -> None:
    with pytest.raises(LogSourceError, match=message):
        open_group(registry, answer)


def test_a_log_group_without_texts_is_explained(registry: Registry) -> None:
    insights = Insights([])
    answer = configured(cloudWatchConfig=CLOUDWATCH, textDataDeliveryEnabled=False)
    _, source = open_group(registry, answer, StartQuery=insights.start, GetQueryResults=insights.results)  # type: ignore[arg-type]

    notes = source.read(RecordReader(registry, Scope(HOUR)), Scope(HOUR), lambda _share: None)

    assert (source.name, notes) == (f"log group {GROUP}", [log_group.NO_TEXT])


def test_a_log_group_that_is_named_is_not_looked_up(registry: Registry) -> None:
    aws, source = open_group(registry, AssertionError("asked"), "/mine")

    assert (source.name, "bedrock:GetModelInvocationLoggingConfiguration" in aws.operations()) == (
        "log group /mine",
        False,
    )


# ---------------------------------------------------------------- what a scan costs


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(
            AwsError("ResourceNotFoundException"),
            "There is no log group /nope in this Region. --regions names another, --log-group too.",
            id="no such log group",
        ),
        pytest.param({"logStreams": []}, "", id="one without records"),
        pytest.param(denied("logs:DescribeLogStreams"), "", id="denied, so the reading finds out"),
    ],
)
def test_a_log_group_that_does_not_exist_is_named_before_its_price(answer: Answer | AwsError, said: str) -> None:
    client = FakeAws({"DescribeLogStreams": answer}).session.client("logs")
    if not said:
        log_group.check_log_group(client, "/nope")
        return
    with pytest.raises(LogSourceError) as error:
        log_group.check_log_group(client, "/nope")
    assert str(error.value) == said


def test_an_expired_session_is_no_missing_log_group() -> None:
    with pytest.raises(ClientError):
        log_group.check_log_group(FakeAws({"DescribeLogStreams": EXPIRED}).session.client("logs"), "/nope")


def cost(sums: Sequence[float] | AwsError, window: Window = HOUR, *, whole_records: bool = False) -> Any:
    found = sums if isinstance(sums, AwsError) else {"Datapoints": [{"Sum": each, "Unit": "Bytes"} for each in sums]}
    aws = FakeAws({"GetMetricStatistics": found})
    client = aws.session.client("cloudwatch")
    return estimate_scan(client, GROUP, [window], whole_records=whole_records), aws.calls[0][1]


@pytest.mark.parametrize(
    ("sums", "said", "dollars"),
    [
        pytest.param([12e9, 0.3e9], "about 12.3 GB, $0.06.", 0.0615, id="12.3 GB at half a cent"),
        pytest.param([1e12], "about 1,000.0 GB, $5.00.", 5.0, id="a terabyte"),
        pytest.param([99e6], "less than 0.1 GB, less than $0.01.", 0.000495, id="little"),
        pytest.param([], "less than 0.1 GB, less than $0.01.", 0.0, id="nothing"),
    ],
)
def test_a_scan_is_priced_before_it_starts(sums: list[float], said: str, dollars: float) -> None:
    found, asked = cost(sums)

    assert found.sentence == f"Scanning log group {GROUP}: {said}"
    assert found.dollars == pytest.approx(dollars)
    assert (asked["Namespace"], asked["MetricName"], asked["Statistics"]) == ("AWS/Logs", "IncomingBytes", ["Sum"])
    assert asked["Dimensions"] == [{"Name": "LogGroupName", "Value": GROUP}]


def test_whole_records_are_estimated_in_time() -> None:
    found, _ = cost([9e9], whole_records=True)

    # 9 GB at 5 MB per second are 1,800 s
    assert found.sentence == f"Reading about 9.0 GB of log group {GROUP}, which takes up to 0:30:00."
    assert found.dollars == 0


def test_without_the_right_the_price_per_gigabyte_is_said() -> None:
    found, _ = cost(denied(estimate.ACTION))

    assert found.dollars is None
    assert found.sentence == (
        f"The size of log group {GROUP} is not known, because these credentials may not call "
        "cloudwatch:GetMetricStatistics. Logs Insights costs $0.005 per GB."
    )


@pytest.mark.parametrize(
    ("hours", "period"),
    [
        pytest.param(1, 300, id="an hour"),
        pytest.param(24 * 5 - 1, 300, id="almost 5 days"),
        pytest.param(24 * 7, 3_600, id="a week"),
        pytest.param(24 * 90, 86_400, id="90 days"),
    ],
)
def test_an_estimate_asks_for_no_more_values_than_cloudwatch_gives(hours: int, period: int) -> None:
    end = int(datetime.now(UTC).timestamp())

    _, asked = cost([], Window(end - hours * 3_600, end))

    assert asked["Period"] == period
    assert (asked["EndTime"] - asked["StartTime"]).total_seconds() / period <= 1_440
