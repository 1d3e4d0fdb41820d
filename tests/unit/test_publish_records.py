"""Publishing older records: the boundary, the hours, the deliveries, and a run that fails."""

import base64
import gzip
import io
import json
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import processed
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from click.testing import CliRunner
from records import NOW, converse, message

from bedrock_quota.errors import LogSourceError
from bedrock_quota.log_sources.s3 import LogFolder
from bedrock_quota.processor.delivery import MAX_INFLATED_BYTES, Delivery, LogEvent, decode_delivery
from bedrock_quota.processor.delivery_digest import digest_delivery
from bedrock_quota.processor.event import split_event
from bedrock_quota.processor.pipeline import price_delivery
from bedrock_quota.processor.usage import OLDEST_SECONDS, UsageCalculator
from quota_monitor.analyze.command import analyze
from quota_monitor.analyze.publish import boundary, command, progress, sending
from quota_monitor.analyze.publish.deliveries import (
    MAX_DELIVERY_BYTES,
    MAX_DELIVERY_EVENTS,
    MAX_LARGE_BODIES,
    encode_delivery,
    pack_events,
)
from quota_monitor.analyze.publish.errors import PublishError
from quota_monitor.analyze.publish.policy import list_statements
from quota_monitor.analyze.publish.progress import PublishProgress
from quota_monitor.analyze.publish.records import (
    HOUR,
    Amount,
    Records,
    list_delivered,
    list_hours,
    make_event,
    measure_log_group,
    open_folder,
    read_log_group,
)
from quota_monitor.analyze.publish.sending import Sent, make_invoke, send_hours
from quota_monitor.aws_session import Stack

ROOT = Path(__file__).parents[2]
MAX_PAYLOAD_BYTES = 6 * 1024 * 1024
NOW_SECONDS = int(NOW.timestamp())  # 12:00:30
GROUP = "/aws/bedrock/modelinvocations"
STACK = Stack(
    "monitor",
    "arn:aws:cloudformation:us-east-1:111122223333:stack/monitor/1",
    "CREATE_COMPLETE",
    {"MetricsNamespace": "Bedrock/Quotas", "DuplicateDetection": "on"},
    {"InvocationLogGroupName": GROUP},
    {"StateTable": "state", "MetricProcessorFunction": "processor"},
)


class ConditionError(ClientError):
    def __init__(self) -> None:
        super().__init__({"Error": {"Code": "ConditionalCheckFailedException"}}, "PutItem")


class MadeAws:
    """CloudWatch Logs, CloudWatch, DynamoDB and Lambda in one, with made-up contents."""

    exceptions = SimpleNamespace(ConditionalCheckFailedException=ConditionError, ResourceNotFoundException=KeyError)

    def __init__(self) -> None:
        self.created: int | None = NOW_SECONDS * 1000
        self.deliveries: dict[int, float] = {}
        self.lags: dict[int, float] = {}
        self.sums: dict[str, list[float]] = {}
        self.events: list[dict[str, Any]] = []
        self.item: dict[str, Any] | None = None
        self.answers: list[bytes | Exception] = []
        self.sent: list[dict[str, Any]] = []

    def client(self, _name: str, **_config: Any) -> "MadeAws":
        return self

    def describe_subscription_filters(self, **given: str) -> dict[str, Any]:
        assert given == {"logGroupName": GROUP, "filterNamePrefix": "monitor-metric-processor"}
        other = {"filterName": "monitor-metric-processor-2", "creationTime": 1}
        own = [{"filterName": "monitor-metric-processor", "creationTime": self.created}] if self.created else []
        return {"subscriptionFilters": [other, *own]}

    def get_paginator(self, name: str) -> Any:
        return SimpleNamespace(paginate=getattr(self, f"pages_of_{name}"))

    def pages_of_get_metric_data(self, **given: Any) -> Iterator[dict[str, Any]]:
        if given["MetricDataQueries"][0]["MetricStat"]["Metric"]["Namespace"] == "AWS/Logs":
            yield {"MetricDataResults": [{"Id": name, "Values": values} for name, values in self.sums.items()]}
            return
        assert [each["MetricStat"]["Stat"] for each in given["MetricDataQueries"]] == ["SampleCount", "Maximum"]
        for name, values in (("deliveries", self.deliveries), ("lag", self.lags)):  # each on a page of its own
            times = [datetime.fromtimestamp(each, UTC) for each in values]
            yield {"MetricDataResults": [{"Id": name, "Timestamps": times, "Values": list(values.values())}]}

    def pages_of_filter_log_events(self, **given: Any) -> Iterator[dict[str, Any]]:
        wanted = [each for each in self.events if given["startTime"] <= each["timestamp"] <= given["endTime"]]
        yield {"events": []}
        for each in wanted:
            yield {"events": [each]}

    def get_item(self, **_given: Any) -> dict[str, Any]:
        return {} if self.item is None else {"Item": self.item}

    def put_item(self, *, Item: dict[str, Any], **_given: Any) -> None:  # noqa: N803 - DynamoDB's own name
        if self.item is not None:
            raise ConditionError
        self.item = Item

    def update_item(self, *, ExpressionAttributeValues: dict[str, Any], **_given: Any) -> None:  # noqa: N803
        assert self.item is not None
        self.item.setdefault("hours", {"NS": []})["NS"] += ExpressionAttributeValues[":hour"]["NS"]

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        assert FunctionName == "processor"
        self.sent.append(msgspec.json.decode(Payload))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        failed = {"FunctionError": "Unhandled"} if b"errorType" in answer else {}
        return {**failed, "Payload": io.BytesIO(answer)}


@pytest.fixture
def made() -> MadeAws:
    return MadeAws()


@pytest.fixture
def aws(made: MadeAws) -> Any:
    return made


def event(seconds: int, text: str = "{}", event_id: str = "1", ingested: int | None = None) -> dict[str, Any]:
    milliseconds = seconds * 1000 if ingested is None else ingested
    return {"timestamp": seconds * 1000, "ingestionTime": milliseconds, "message": text, "eventId": event_id}


# ---------------------------------------------------------------- the boundary


@pytest.mark.parametrize(
    ("deliveries", "lags", "expected"),
    [
        pytest.param({}, {}, NOW_SECONDS * 1000, id="nothing processed yet"),
        pytest.param({NOW_SECONDS + 30: 1}, {}, NOW_SECONDS * 1000, id="first delivery after the subscription"),
        pytest.param({NOW_SECONDS - 30: 1}, {NOW_SECONDS - 30: 900}, NOW_SECONDS * 1000, id="in the same minute"),
        pytest.param({NOW_SECONDS - 7230: 1}, {}, (NOW_SECONDS - 7230) * 1000, id="an earlier stack without calls"),
        pytest.param(
            {NOW_SECONDS - 7230: 1, NOW_SECONDS: 5},
            {NOW_SECONDS - 7230: 40.5, NOW_SECONDS - 7170: 200, NOW_SECONDS - 6000: 9_000},
            (NOW_SECONDS - 7370) * 1000,  # 7,170 + 200. The last lag is more than 10 minutes after the first delivery
            id="an earlier stack with its lag",
        ),
    ],
)
def test_boundary(aws: Any, made: MadeAws, deliveries: dict[int, float], lags: dict[int, float], expected: int) -> None:
    made.deliveries, made.lags = deliveries, lags
    assert boundary.find_boundary(aws, STACK, NOW) == expected


def test_a_stack_without_subscription_has_no_boundary(aws: Any, made: MadeAws) -> None:
    made.created = None
    with pytest.raises(PublishError, match="has no subscription filter monitor-metric-processor"):
        boundary.find_boundary(aws, STACK, NOW)


def test_hours_are_those_that_cloudwatch_accepts_up_to_the_boundary() -> None:
    # 14 days before 2026-11-23 12:00:30, without 5 minutes, are 11-09 12:05:30; with an hour to spare, 14:00 is next
    hours = list_hours(NOW_SECONDS * 1000, NOW)
    assert datetime.fromtimestamp(hours[0], UTC) == datetime(2026, 11, 9, 14, tzinfo=UTC)
    assert datetime.fromtimestamp(hours[-1], UTC) == datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert len(hours) == 14 * 24 - 2 + 1
    assert NOW_SECONDS - hours[0] <= OLDEST_SECONDS - HOUR
    # a boundary in the last millisecond of an hour does not include the next one
    assert list_hours(hours[-1] * 1000 - 1, NOW)[-1] == hours[-2]


def test_an_hour_has_its_own_events_that_were_ingested_before_the_boundary(aws: Any, made: MadeAws) -> None:
    hour = NOW_SECONDS // HOUR * HOUR
    made.events = [
        event(hour - 1, event_id="before"),
        event(hour, event_id="first"),
        event(hour + 5, event_id="long call", ingested=(hour + 60) * 1000),
        event(hour + 6, event_id="just before", ingested=(hour + 60) * 1000 - 1),
        event(hour + HOUR, event_id="after"),
    ]
    read = list(read_log_group(aws, GROUP, hour, boundary=(hour + 60) * 1000))
    assert read == [LogEvent("{}", "first", hour * 1000), LogEvent("{}", "just before", (hour + 6) * 1000)]


# ---------------------------------------------------------------- deliveries


def log_events(*texts: str) -> list[LogEvent]:
    return [LogEvent(text, f"{number:056d}", NOW_SECONDS * 1000) for number, text in enumerate(texts)]


def unpack(payload: bytes) -> Any:
    return decode_delivery(msgspec.json.decode(payload))


def test_a_delivery_is_one_of_cloudwatch_logs_with_a_mark() -> None:
    events = log_events('{"text": "naïve 😀 \\" \\u0000"}', "no JSON")
    (packed,) = pack_events(events)
    payload = encode_delivery(packed, "111122223333", GROUP)
    found = unpack(payload)
    assert (found.message_type, found.owner, found.log_group) == ("DATA_MESSAGE", "111122223333", GROUP)
    assert list(found.log_events) == events
    (raw,) = split_event(msgspec.json.decode(payload))
    assert raw.is_published


@pytest.mark.parametrize("mark", [None, False, 1, "true", [], {}], ids=repr)
def test_only_true_marks_a_delivery(mark: object) -> None:
    (raw,) = split_event({"awslogs": {"data": ""}, "published": mark})
    assert not raw.is_published


def test_the_same_events_make_the_same_deliveries() -> None:
    events = log_events(*("x" * 700_000 for _ in range(20)))
    runs = [[encode_delivery(packed, "1", "g") for packed in pack_events(iter(events))] for _ in range(2)]
    assert runs[0] == runs[1]
    digests = [digest_delivery(unpack(payload)) for payload in runs[0]]
    # 4,194,304 bytes take five events of 700,000 and some: 20 events make 4 deliveries
    assert len(set(digests)) == len(digests) == 4


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(["x" * MAX_DELIVERY_BYTES, "y"], [1, 1], id="one event above the size goes alone"),
        pytest.param(["{}"] * (MAX_DELIVERY_EVENTS + 1), [MAX_DELIVERY_EVENTS, 1], id="many small events"),
        pytest.param(
            ['{"input": {"inputBodyS3Path": "s3://b/k"}}'] * (2 * MAX_LARGE_BODIES + 3),
            [MAX_LARGE_BODIES, MAX_LARGE_BODIES, 3],
            id="requests in S3",
        ),
        pytest.param(
            [json.dumps({"text": json.dumps({"inputBodyS3Path": "s3://b/k"})})] * 30, [30], id="a prompt that names it"
        ),
    ],
)
def test_deliveries_are_bounded(texts: Sequence[str], expected: Sequence[int]) -> None:
    assert [len(packed) for packed in pack_events(log_events(*texts))] == expected


def test_a_delivery_that_cannot_be_compressed_fits_into_an_invocation() -> None:
    source = random.Random(1)
    texts = [base64.b64encode(source.randbytes(190_000)).decode() for _ in range(40)]
    for packed in pack_events(log_events(*texts)):
        payload = encode_delivery(packed, "111122223333", GROUP)
        assert len(payload) < MAX_PAYLOAD_BYTES
        inflated = gzip.decompress(base64.b64decode(msgspec.json.decode(payload)["awslogs"]["data"]))
        assert len(inflated) < MAX_INFLATED_BYTES


# ---------------------------------------------------------------- the processor


def test_published_records_count_in_pools_and_not_in_health(accounts: UsageCalculator) -> None:
    old = (NOW - timedelta(days=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
    events = tuple(log_events(message(converse(timestamp=old)), message(converse()), "no JSON"))
    calls = price_delivery(Delivery("DATA_MESSAGE", events), accounts, NOW, published=True)
    given = processed.written([calls], quotas=None, namespace="Mine", now=NOW)
    lines = [json.loads(line) for line in given.lines]
    minutes = [line["_aws"]["Timestamp"] // 1000 for line in lines if "ReservedTokens" in line]
    assert minutes == [NOW_SECONDS // 60 * 60 - 10 * 86_400, NOW_SECONDS // 60 * 60]
    (health,) = [line for line in lines if line.get("event") == "delivery"]
    assert (health["received"], health["published"]) == (3, 3)
    assert (health["RecordsProcessed"], health["RecordsRejected"]) == (2, 1)
    assert "_aws" not in health
    assert "RecordLagSeconds" not in health


# ---------------------------------------------------------------- sending


DONE = b'{"received": 2, "processed": 1, "rejected": 1, "published": 2}'


def records_of(hours: Mapping[int, Sequence[LogEvent]]) -> Records:
    return Records(sorted(hours), lambda hour: hours[hour], lambda _hour: Amount(0, 0))


def send(aws: Any, hours: Mapping[int, Sequence[LogEvent]], marked: list[int]) -> Sent:
    invoke = make_invoke(aws, STACK, GROUP)
    return send_hours(records_of(hours), sorted(hours), invoke, marked.append, lambda _share: None)


def test_hours_are_sent_in_order_and_marked(aws: Any, made: MadeAws) -> None:
    made.answers = [DONE, DONE]
    marked: list[int] = []
    sent = send(aws, {HOUR: log_events("a", "b"), 2 * HOUR: [], 3 * HOUR: log_events("c", "d")}, marked)
    assert (sent.received, sent.processed, sent.rejected) == (4, 2, 2)
    assert marked == [HOUR, 2 * HOUR, 3 * HOUR]
    assert [[each.message for each in decode_delivery(payload).log_events] for payload in made.sent] == [
        ["a", "b"],
        ["c", "d"],
    ]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(b'{"errorType": "DeliveryError", "errorMessage": "bad"}', "DeliveryError: bad", id="failure"),
        pytest.param(b"[]", "The answer of the processor cannot be read", id="another answer"),
        pytest.param(b'{"received": 1, "processed": 1}', "version that cannot publish", id="earlier version"),
        pytest.param(
            ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "Invoke"), "Invoke", id="denied"
        ),
        pytest.param(EndpointConnectionError(endpoint_url="https://x"), "Could not connect", id="no connection"),
    ],
)
def test_a_failure_ends_the_run_with_the_hour_to_go_on(
    aws: Any, made: MadeAws, answer: bytes | Exception, said: str
) -> None:
    made.answers = [DONE, answer]
    marked: list[int] = []
    with pytest.raises(PublishError, match=said) as raised:
        send(aws, {HOUR: log_events("a"), 2 * HOUR: log_events("b"), 3 * HOUR: log_events("c")}, marked)
    assert raised.value.exit_code == 3
    assert raised.value.message.endswith(
        "Sent so far: 2 records, the whole hours before 1970-01-01 02:00 UTC. Run the command again to go on there."
    )
    assert marked == [HOUR]
    assert len(made.sent) == 2


def test_records_that_cannot_be_read_end_the_run(aws: Any) -> None:
    def read(_hour: int) -> Iterable[LogEvent]:
        raise LogSourceError("s3://b/k is damaged")

    with pytest.raises(PublishError, match="s3://b/k is damaged"):
        send_hours(Records([0], read, lambda _hour: Amount(0, 0)), [0], make_invoke(aws, STACK, GROUP), print, print)


def test_few_invocations_run_at_a_time() -> None:
    running: list[int] = []
    most = 0

    def invoke(_events: Sequence[msgspec.Raw]) -> Sent:
        nonlocal most
        running.append(1)
        most = max(most, len(running))
        time.sleep(0.01)
        running.pop()
        return Sent(1, 1, 0)

    big = log_events(*("x" * MAX_DELIVERY_BYTES for _ in range(12)))
    total = send_hours(records_of({0: big}), [0], invoke, lambda _hour: None, lambda _share: None)
    assert total.processed == 12
    assert 1 < most <= sending.PARALLEL_INVOCATIONS


# ---------------------------------------------------------------- progress


def test_progress_is_stored_once_and_grows_by_hours(aws: Any, made: MadeAws) -> None:
    assert progress.read_progress(aws, "state") is None
    first = PublishProgress(1_700_000_000_123, GROUP)
    assert progress.start_progress(aws, "state", first) == first
    assert progress.start_progress(aws, "state", PublishProgress(5, "/other")) == first
    progress.mark_hour(aws, "state", 3600)
    progress.mark_hour(aws, "state", 7200)
    assert progress.read_progress(aws, "state") == PublishProgress(1_700_000_000_123, GROUP, frozenset({3600, 7200}))
    assert made.item is not None
    assert "expiration" not in made.item


# ---------------------------------------------------------------- rights


def test_the_policy_on_the_page_is_that_of_the_code() -> None:
    page = (ROOT / "docs" / "analyze.md").read_text(encoding="utf-8")
    section = page.partition("## Load the last 14 days")[2].partition("\n## ")[0]
    shown = json.loads(section.partition("```json\n")[2].partition("```")[0])
    assert shown["Statement"] == list_statements("bedrock-quota-monitor", GROUP)


# ---------------------------------------------------------------- S3


FOLDER = LogFolder("111122223333", "us-east-1", "logs", "AWSLogs/111122223333/BedrockModelInvocationLogs/us-east-1/")


class MadeBucket:
    """A bucket with the objects of two hours."""

    def __init__(self, objects: Mapping[str, bytes]) -> None:
        self.objects = objects

    def get_paginator(self, _name: str) -> Any:
        return self

    def paginate(self, *, Bucket: str, Prefix: str, Delimiter: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        assert (Bucket, Delimiter) == ("logs", "/")
        found = [each for each in sorted(self.objects) if each.startswith(Prefix)]
        yield {"Contents": [{"Key": each, "Size": len(self.objects[each])} for each in found]}

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        assert Bucket == "logs"
        content = io.BytesIO(self.objects[Key])
        return {"Body": SimpleNamespace(iter_chunks=lambda size: iter(lambda: content.read(size), b""), close=print)}


def line(started: str, request_id: str) -> bytes:
    return json.dumps(converse(timestamp=started, requestId=request_id)).encode()


def test_s3_has_the_records_of_the_hour_in_which_they_were_written() -> None:
    texts = [line("2026-11-23T09:59:58Z", "a"), line("2026-11-23T10:00:01Z", "b"), b"no JSON"]
    later = [line("2026-11-23T10:59:59Z", "delivered"), line("2026-11-23T11:00:00Z", "newer"), b"no JSON"]
    bucket: Any = MadeBucket(
        {
            f"{FOLDER.prefix}2026/11/23/10/20261123T100030000Z_0.json.gz": gzip.compress(b"\n".join(texts)),
            f"{FOLDER.prefix}2026/11/23/11/20261123T110001000Z_0.json.gz": gzip.compress(b"\n".join(later)),
        }
    )
    ten = int(datetime(2026, 11, 23, 10, tzinfo=UTC).timestamp())
    until = ten + HOUR
    records = open_folder(bucket, FOLDER, range(ten, until + 1, HOUR), until, {"delivered"})
    # then the boundary at 11:00 leaves out what the subscription delivered, and what cannot be read after it
    assert list(records.hours) == [ten, ten + HOUR, ten + 2 * HOUR]
    assert [each.message.encode() for each in records.read(ten) if isinstance(each.message, str)] == texts
    assert list(records.read(ten + HOUR)) == []
    assert list(records.read(ten + 2 * HOUR)) == []
    assert records.measure(ten) == Amount(None, sum(map(len, bucket.objects.values())))
    # and the same line has the same id each time
    assert [each.id for each in records.read(ten)] == [each.id for each in records.read(ten)]
    assert len({each.id for each in records.read(ten)}) == 3


def test_an_event_of_s3_has_the_time_of_its_record() -> None:
    made = make_event(line("2026-11-23T12:00:05Z", "a"), hour=0, until=NOW_SECONDS, delivered=())
    assert made is not None
    assert made.timestamp == (NOW_SECONDS - 25) * 1000


def test_a_line_above_the_largest_log_event_is_sent_and_rejected(accounts: UsageCalculator) -> None:
    long = line("2026-11-23T12:00:05Z", "a")[:-1] + b', "more": "' + b"x" * 8_000_000 + b'"}'
    made = make_event(long, hour=0, until=NOW_SECONDS, delivered=())
    assert made is not None
    (packed,) = pack_events([made])
    payload = encode_delivery(packed, "111122223333", GROUP)
    assert len(payload) < MAX_PAYLOAD_BYTES
    calls = price_delivery(unpack(payload), accounts, NOW, published=True)
    assert (len(calls.rejected), calls.usages) == (1, [])


def test_calls_that_the_subscription_has_delivered_are_found(aws: Any, made: MadeAws) -> None:
    limit = NOW_SECONDS * 1000
    made.events = [
        event(NOW_SECONDS - 60, line("", "older").decode(), ingested=limit - 1),
        event(NOW_SECONDS - 60, line("", "in flight").decode(), ingested=limit),
        event(NOW_SECONDS - 60, "no JSON", ingested=limit),
        event(NOW_SECONDS + 60, line("", "newer").decode()),
    ]
    assert list_delivered(aws, GROUP, limit) == {"in flight"}


def test_cloudwatch_counts_the_records_of_a_log_group(aws: Any, made: MadeAws) -> None:
    made.sums = {"records": [3.0, 4.0], "size": [1_000.0, 2_500.0]}
    assert measure_log_group(aws, GROUP, 0, NOW_SECONDS) == Amount(7, 3_500)
    made.sums = {"records": [], "size": []}
    assert measure_log_group(aws, GROUP, 0, NOW_SECONDS) == Amount(None, 0)


# ---------------------------------------------------------------- the command


@contextmanager
def no_progress() -> Iterator[Any]:
    yield lambda _share: None


@pytest.fixture
def run(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command against a made-up account, half an hour after the subscription began."""
    monkeypatch.setattr(command, "open_session", lambda _profile, _region: aws)
    monkeypatch.setattr(command, "read_stack", lambda _session, _name: STACK)
    monkeypatch.setattr(command, "datetime", SimpleNamespace(now=lambda _zone: NOW + timedelta(minutes=30)))
    monkeypatch.setattr("quota_monitor.analyze.publish.records.measure_log_group", lambda *_given: Amount(2, 4_000_000))

    def invoke(*options: str, answer: str = "") -> Any:
        return CliRunner().invoke(analyze, ["--publish", "monitor", *options], input=answer)

    return invoke


def test_it_asks_says_what_it_costs_and_does_nothing_without_a_yes(run: Any, made: MadeAws) -> None:
    result = run(answer="n\n")
    assert result.exit_code == 1
    assert (
        "About 2 records (4.0 MB) from /aws/bedrock/modelinvocations go through the processor of monitor."
        in result.output
    )
    assert "monitor itself has the records since 2026-11-23 12:00 UTC." in result.output
    assert "This costs about $0.01 for metric lines" in result.output
    assert "$0.004 for the metrics of each quota pool" in result.output  # 9 x $0.30 / 730
    assert "Percentages are of today's quotas" in result.output
    assert (made.sent, made.item) == ([], None)


def test_two_runs_send_once(run: Any, made: MadeAws) -> None:
    made.events = [event(NOW_SECONDS - 7200, "a"), event(NOW_SECONDS - 3600, "b")]
    made.answers = [b'{"received": 1, "processed": 1, "published": 1}'] * 2
    first = run("--yes")
    assert first.exit_code == 0, first.output
    assert "Published 2 records from 2026-11-09 14:00 UTC on: 2 calls processed." in first.output
    second = run("--yes")
    assert (second.exit_code, len(made.sent)) == (0, 2)
    assert "There is nothing left to publish: monitor itself has the records since 2026-11-23 12:00" in second.output


def test_the_boundary_of_the_first_run_stays(run: Any, made: MadeAws) -> None:
    made.item = {"id": {"S": "published"}, "boundary": {"N": str((NOW_SECONDS - 9000) * 1000)}, "source": {"S": GROUP}}
    made.events = [event(NOW_SECONDS - 9001, "a"), event(NOW_SECONDS - 8999, "b")]
    made.answers = [b'{"received": 1, "processed": 1, "published": 1}']
    assert run("--yes").exit_code == 0
    assert len(made.sent) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(["--files", "."], "it does not take --files", id="files"),
        pytest.param(["--days", "3"], "it does not take --days", id="window"),
        pytest.param(["--growth", "2"], "it does not take --growth", id="what-if"),
        pytest.param(["--json"], "it does not take --json", id="form"),
        pytest.param(["--regions", "eu-west-1,us-east-1"], "one profile and one Region", id="several Regions"),
        pytest.param(["--log-group", "/a", "--s3", "s3://b"], "one of --log-group and --s3", id="two sources"),
        pytest.param(["--s3", "bucket"], "--s3 takes s3://BUCKET", id="no place in S3"),
        pytest.param(["--estimate"], "it does not take --estimate", id="estimate"),
    ],
)
def test_options_without_meaning_are_refused(run: Any, options: Sequence[str], said: str) -> None:
    result = run(*options)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("options", "more"),
    [
        pytest.param(["--log-group", GROUP], set(), id="log group"),
        pytest.param(["--log-group", GROUP, "--regions", "eu-west-1"], set(), id="Region"),
        pytest.param(["--s3", "s3://logs/a"], {"s3:ListBucket", "s3:GetObject"}, id="S3"),
    ],
)
def test_the_rights_are_printed(run: Any, made: MadeAws, options: Sequence[str], more: set[str]) -> None:
    result = run("--policy", *options)
    assert result.exit_code == 0
    printed = {action for each in json.loads(result.output)["Statement"] for action in each["Action"]}
    assert printed == {action for each in list_statements("monitor", GROUP) for action in each["Action"]} | more
    assert made.sent == []


def test_another_source_is_refused(run: Any, made: MadeAws) -> None:
    made.item = {"id": {"S": "published"}, "boundary": {"N": "1"}, "source": {"S": "/first"}}
    result = run("--yes")
    assert result.exit_code == 3
    assert "Continue with --log-group /first." in result.output


def test_a_stack_that_does_not_detect_duplicates_is_refused(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    off = msgspec.structs.replace(STACK, parameters={**STACK.parameters, "DuplicateDetection": "off"})
    monkeypatch.setattr(command, "read_stack", lambda _session, _name: off)
    result = run("--yes")
    assert result.exit_code == 3
    assert "DuplicateDetection is off in the stack monitor" in result.output


def test_another_stack_is_refused(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "read_stack", lambda _session, _name: msgspec.structs.replace(STACK, outputs={}))
    result = run("--yes")
    assert result.exit_code == 3
    assert "does not have the resources of this monitor" in result.output


def test_the_newest_of_the_older_records_must_be_readable(run: Any, made: MadeAws) -> None:
    made.created = (NOW_SECONDS + 30 * 60 - 119) * 1000
    result = run("--yes")
    assert result.exit_code == 3
    assert "Run the command again after 2026-11-23 12:31 UTC." in result.output


def test_an_error_of_aws_ends_with_3(run: Any, made: MadeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(**_given: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetItem")

    monkeypatch.setattr(made, "get_item", deny)
    result = run("--yes")
    assert result.exit_code == 3
    assert "With --policy, the same command prints all rights that it needs." in result.output
