"""Reports whose lines were written late, or whose window is long: what Logs Insights adds up, and what is read."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from fake_aws import Answer, FakeAws

from bedrock_quota.analysis.answers import NOTHING_CHANGED, PoolAnswer
from bedrock_quota.errors import LogSourceError
from bedrock_quota.pools import EndpointType, QuotaPool
from localaws import log_queries
from quota_monitor.analyze import log_group
from quota_monitor.analyze.scope import NO_LABEL, Dimension, Scope
from quota_monitor.answers.document import Document
from quota_monitor.aws_session import Stack
from quota_monitor.deployed.measure import describe_hours
from quota_monitor.deployed.report import make_report
from quota_monitor.window import Window

pytestmark = pytest.mark.usefixtures("no_aws")

LOG_GROUP = "/aws/lambda/processor"
STACK = Stack(
    "monitor",
    "arn:aws:cloudformation:us-east-1:123456789012:stack/monitor/1",
    "CREATE_COMPLETE",
    {"MetricsNamespace": "Bedrock/Quotas"},
    {},
    {"MetricProcessorLogGroup": LOG_GROUP},
)
END = int(datetime(2026, 11, 20, 20, 21, tzinfo=UTC).timestamp())
DAY = Window(END - 24 * 3_600, END)
NOW = datetime(2026, 11, 20, 23, 24, tzinfo=UTC)
POOL = QuotaPool("vendor.model", EndpointType.CROSS_REGION)

Event = tuple[int, dict[str, Any]]
"""The second in which a line was written, and the line."""


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_group, "POLL_SECONDS", 0.0)


def failed(second: int, *, written: int, calls: int, code: str = "ThrottlingException", caller: str = "One") -> Event:
    line = {"event": "failed_calls", "minute": second // 60 * 60_000, "error_code": code, "requests_failed": calls}
    return written, {**line, "ModelId": POOL.model_id, "EndpointType": POOL.endpoint_type, "caller": caller}


def served(second: int, *, written: int, output: int, caller: str = "One") -> Event:
    """The line of one call with 10 input tokens, max_tokens 1,000 and a burndown rate of 1."""
    return written, {
        "_aws": {"Timestamp": second // 60 * 60_000},
        "ModelId": POOL.model_id,
        "EndpointType": POOL.endpoint_type,
        "caller": caller,
        "max_tokens_source": "explicit",
        "requests": 1,
        "input_tokens": 10,
        "output_tokens": output,
        "reserved_tokens": 1_010,
        "consumed_tokens": 10 + output,
        "output_tokens_most": output,
        "max_tokens_most": 1_000,
        "ConsumedTokens": [10 + output],
        "OutputTokens": [output],
        "MaxTokens": [1_000],
        "ReservedTokens": [1_010],
    }


def processor(*events: Event) -> FakeAws:
    """Return the AWS of a stack whose processor wrote these lines. CloudWatch has no metrics of them."""
    texts = [(second, json.dumps(line)) for second, line in events]
    queries: list[Mapping[str, Any]] = []

    def start(given: Mapping[str, Any]) -> Answer:
        queries.append(given)
        return {"queryId": str(len(queries) - 1)}

    def results(given: Mapping[str, Any]) -> Answer:
        query = queries[int(given["queryId"])]
        found = [
            {"timestamp": second * 1000, "message": text}
            for second, text in texts
            if query["startTime"] <= second <= query["endTime"]
        ]
        answer = log_queries.run_query(found, query["queryString"], query["limit"])
        return {"status": "Complete", "results": answer.results, "statistics": answer.statistics}

    def filter_events(given: Mapping[str, Any]) -> Answer:
        first, last = given["startTime"], given["endTime"]
        found = [{"timestamp": second * 1000, "message": text} for second, text in texts]
        return {"events": [each for each in found if first <= each["timestamp"] <= last]}

    return FakeAws(
        {
            "ListMetrics": {"Metrics": []},
            "GetMetricData": {"MetricDataResults": []},
            "GetMetricStatistics": {"Datapoints": []},
            "StartQuery": start,
            "GetQueryResults": results,
            "FilterLogEvents": filter_events,
        }
    )


def report(aws: FakeAws, window: Window = DAY, caller: str = "") -> Document:
    return make_report(aws.session, STACK, Scope(window, caller=caller), NOTHING_CHANGED, now=NOW)


def only(document: Document) -> PoolAnswer:
    (answer,) = document.pools
    assert answer.usage.pool == POOL
    return answer


def test_a_pool_that_refuses_every_call_is_reported_though_its_lines_were_written_hours_later() -> None:
    written = int(NOW.timestamp()) - 60

    found = only(
        report(processor(*(failed(END - 600 + 60 * each, written=written, calls=4 + each) for each in range(3))))
    )

    assert found.usage.throttled == 4 + 5 + 6
    (caller,) = found.usage.callers
    assert (caller.caller, caller.requests, caller.throttled) == ("One", 0, 15)
    assert [minute.throttled for minute in caller.minutes] == [4, 5, 6]


def test_quantiles_come_from_calls_that_were_written_hours_later() -> None:
    began, written = END - 5 * 3_600, int(NOW.timestamp()) - 60
    throttled = failed(began, written=written, calls=1)  # no metrics, so this makes the hour a busy one

    answers = [served(began, written=written, output=each) for each in (100, 200, 300, 400)]

    found = only(report(processor(throttled, *answers)))

    (caller,) = found.usage.callers
    assert (caller.sizes.p50, caller.sizes.largest, caller.requests, caller.throttled) == (200, 400, 4, 1)


def test_throttles_and_errors_are_those_of_all_hours_not_only_of_the_busy_ones() -> None:
    hours = [END - 3_600 * each for each in range(1, 21)]
    lines = [failed(hour, written=hour + 30, calls=2) for hour in hours]
    lines += [failed(hour, written=hour + 30, calls=1, code="ModelErrorException", caller="Two") for hour in hours]

    found = only(report(processor(*lines)))

    assert found.usage.throttled == 40
    assert [(each.caller, each.throttled) for each in found.usage.callers] == [("One", 40)]
    assert found.usage.errors == (("ModelErrorException", 20),)


def test_a_pool_with_other_errors_only_is_reported() -> None:
    found = only(report(processor(failed(END - 60, written=END, calls=7, code="AccessDeniedException"))))

    assert (found.usage.errors, found.usage.callers) == ((("AccessDeniedException", 7),), ())


def test_a_caller_that_is_asked_for_leaves_out_pools_without_it() -> None:
    lines = [failed(END - 60, written=END, calls=7, caller="One")]

    assert report(processor(*lines), caller="Two").pools == ()
    assert len(report(processor(*lines), caller="One").pools) == 1


def test_calls_from_before_the_window_do_not_count_though_their_hour_is_read() -> None:
    first = DAY.start  # 20:21: its hour began at 20:00
    lines = [
        failed(first + 60, written=first + 90, calls=3),
        failed(first - 60, written=first + 90, calls=50),
        served(first - 60, written=first + 90, output=900),
        served(first + 60, written=first + 90, output=100),
    ]

    found = only(report(processor(*lines)))

    (caller,) = found.usage.callers
    assert (found.usage.throttled, caller.throttled, caller.sizes.largest, caller.sizes.p99) == (3, 3, 100, 100)
    assert [minute.minute for minute in caller.minutes] == [first + 60]


@pytest.mark.parametrize("days", [5, 13])
def test_an_hour_of_days_ago_has_what_was_published_today(days: int) -> None:
    hour = Window(END - days * 86_400 - 3_600, END - days * 86_400)
    written = int(NOW.timestamp()) - 60
    lines = [served(hour.start, written=written, output=100), failed(hour.start, written=written, calls=2)]

    found = only(report(processor(*lines), hour))

    assert (found.usage.requests, found.usage.throttled) == (1, 2)


@pytest.mark.parametrize("hours", [1, 24])
def test_only_the_hours_in_which_lines_of_days_ago_were_written_are_read(hours: int) -> None:
    window = Window(END - 5 * 86_400 - hours * 3_600, END - 5 * 86_400)
    began, today = window.end - 600, int(NOW.timestamp()) - 60
    lines = [
        failed(began, written=began + 90, calls=2),
        served(began, written=began + 90, output=100),
        served(began, written=today, output=100),
        *(served(day, written=day + 9, output=100) for day in range(window.end + 86_400, END, 3_600)),
    ]

    aws = processor(*lines)

    found = only(report(aws, window))

    (caller,) = found.usage.callers
    assert (caller.requests, caller.throttled, caller.sizes.p99) == (2, 2, 100)
    read = [(each["endTime"] - each["startTime"]) // 1_000 for each in aws.parameters("logs:FilterLogEvents")]
    assert read == [3_599, 24 * 60]  # from 20:00, and from 23:00 to NOW


def test_only_one_query_searches_for_lines_that_were_written_days_later() -> None:
    day = Window(END - 6 * 86_400, END - 5 * 86_400)
    aws = processor(served(day.start, written=day.start + 90, output=100))

    report(aws, day)

    searched = [(each["startTime"], each["endTime"]) for each in aws.parameters("logs:StartQuery")]
    first_hour_written = day.start // 3_600 * 3_600
    assert searched[0] == (day.start, int(NOW.timestamp()) + 1)
    assert searched[1:] == [(day.start, first_hour_written + 3_600)] * 3


def test_sums_that_are_not_all_returned_are_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_group, "_has_pages", lambda _client: False)
    monkeypatch.setattr(log_group, "MAX_PAGE_ROWS", 2)
    lines = [served(END - 600, written=END - 500, output=9, caller=f"Caller{number}") for number in range(3)]

    with pytest.raises(LogSourceError, match=r"^Logs Insights returns 2 rows of .* Use a shorter window, or --by"):
        report(processor(*lines))


HOURS_5 = Window(END - 5 * 3_600, END)


@pytest.mark.parametrize("window", [DAY, HOURS_5], ids=["summed up", "exact"])
def test_a_tag_that_no_call_has_is_noted_with_the_parameter(window: Window) -> None:
    aws = processor(served(END - 600, written=int(NOW.timestamp()) - 60, output=9))

    found = make_report(
        aws.session, STACK, Scope(window, dimension=Dimension.TAG, tag="tema"), NOTHING_CHANGED, now=NOW
    )

    assert found.notes[-1] == (
        "No call in this window has the tag tema. The stack keeps only the tags in its parameter RequestMetadataKeys, "
        "which is empty."
    )


@pytest.mark.parametrize("window", [DAY, HOURS_5], ids=["summed up", "exact"])
@pytest.mark.parametrize(
    ("caller", "listed"),
    [
        pytest.param("", {"Converse": 3, "InvokeModel": 1}, id="all"),
        pytest.param("Two", {"Converse": 2}, id="one of two"),
    ],
)
def test_another_property_is_listed_for_the_calls_of_selected_callers_only(
    window: Window, caller: str, listed: dict[str, int]
) -> None:
    calls = [("One", "Converse"), ("One", "InvokeModel"), ("Two", "Converse"), ("Two", "Converse")]
    lines = [served(END - 600, written=END - 500, output=9, caller=each) for each, _ in calls]
    events = [(at, {**line, "operation": operation}) for (at, line), (_, operation) in zip(lines, calls, strict=True)]
    scope = Scope(window, caller=caller, dimension=Dimension.OPERATION)

    found = make_report(processor(*events).session, STACK, scope, NOTHING_CHANGED, now=NOW)

    assert found.only_callers == caller
    assert {each.caller: each.requests for usage in found.listing for each in usage.callers} == listed


def tagged(event: Event, team: str) -> Event:
    second, line = event
    return second, line | {"request_metadata": {"team": team}}


@pytest.mark.parametrize("window", [DAY, HOURS_5], ids=["summed up", "exact"])
@pytest.mark.parametrize(
    ("teams", "unlabelled", "expected"),
    [
        pytest.param(
            {}, 0, {"shop": (1, 3), "mobile": (1, 0), NO_LABEL: (1, 5)}, id="lines of throttled calls have the tag"
        ),
        pytest.param(
            {"Two": "search"}, 0, {"shop": (1, 3), "mobile": (1, 0), "search": (1, 5)}, id="a tag of the caller"
        ),
    ],
)
def test_throttled_calls_are_listed_by_their_tag(
    window: Window, teams: dict[str, str], unlabelled: int, expected: dict[str, tuple[int, int]]
) -> None:
    second, written = END - 3_600, END
    aws = processor(
        tagged(served(second, written=written, output=100), "shop"),
        tagged(served(second, written=written, output=100), "mobile"),
        tagged(failed(second, written=written, calls=3), "shop"),
        served(second, written=written, output=100, caller="Two"),
        failed(second, written=written, calls=5, caller="Two"),
        failed(second, written=written, calls=50, caller="One", code="ModelErrorException"),
    )
    scope = Scope(window, dimension=Dimension.TAG, tag="team", tags_of_callers=teams)

    document = make_report(aws.session, STACK, scope, NOTHING_CHANGED, now=NOW)

    (usage,) = document.listing
    assert {each.caller: (each.requests, each.throttled) for each in usage.callers} == expected
    assert document.unlabelled_throttled == unlabelled


@pytest.mark.parametrize("window", [DAY, HOURS_5], ids=["summed up", "exact"])
def test_lines_of_throttled_calls_without_a_tag_may_be_of_any_team(window: Window) -> None:
    second, written = END - 3_600, END
    aws = processor(
        tagged(served(second, written=written, output=100), "shop"),
        failed(second, written=written, calls=5),
        failed(second, written=written, calls=7, caller="Two"),  # none of whose calls has a team
    )
    scope = Scope(window, dimension=Dimension.TAG, tag="team")

    document = make_report(aws.session, STACK, scope, NOTHING_CHANGED, now=NOW)

    (usage,) = document.listing
    assert {each.caller: document.count_throttled(each) for each in usage.callers} == {"shop": None, NO_LABEL: 12}
    assert document.unlabelled_throttled == 5


@pytest.mark.parametrize("window", [DAY, HOURS_5], ids=["summed up", "exact"])
def test_a_pool_with_throttled_calls_alone_is_listed_by_tag(window: Window) -> None:
    aws = processor(tagged(failed(END - 3_600, written=END, calls=3), "shop"))
    scope = Scope(window, dimension=Dimension.TAG, tag="team")

    document = make_report(aws.session, STACK, scope, NOTHING_CHANGED, now=NOW)

    (usage,) = document.listing
    assert [(each.caller, each.requests, each.throttled) for each in usage.callers] == [("shop", 0, 3)]


def test_callers_that_share_a_tag_are_added_up() -> None:
    second, written = END - 3_600, END
    aws = processor(
        *(tagged(served(second, written=written, output=each, caller=f"C{each}"), "shop") for each in (100, 300, 200))
    )

    document = make_report(
        aws.session, STACK, Scope(DAY, dimension=Dimension.TAG, tag="team"), NOTHING_CHANGED, now=NOW
    )

    ((caller,),) = (usage.callers for usage in document.listing)
    assert (caller.caller, caller.requests, caller.input_tokens, caller.output_tokens) == ("shop", 3, 30, 600)
    assert (caller.reserved_tokens, caller.consumed_tokens, caller.sizes.largest) == (3_030, 630, 300)
    assert [(each.max_tokens, each.calls) for each in caller.limits] == [(1_000, 3)]


@pytest.mark.parametrize(
    ("dimension", "labels"),
    [
        pytest.param(Dimension.SESSION, {"One jane": (1, 2), "Two": (1, 0)}, id="session"),
        pytest.param(Dimension.PROFILE, {"p1": (1, 2), NO_LABEL: (1, 0)}, id="profile"),
        pytest.param(Dimension.OPERATION, {"Converse": (1, 2), NO_LABEL: (1, 0)}, id="operation"),
        pytest.param(Dimension.PROJECT, {"proj": (1, 2), NO_LABEL: (1, 0)}, id="project"),
    ],
)
@pytest.mark.parametrize("window", [DAY, HOURS_5], ids=["summed up", "exact"])
def test_every_property_has_its_throttled_calls(
    window: Window, dimension: Dimension, labels: dict[str, tuple[int, int]]
) -> None:
    second, written = END - 3_600, END
    named = {"session": "jane", "application_profile": "p1", "operation": "Converse", "project_identifier": "proj"}
    events = [served(second, written=written, output=100), failed(second, written=written, calls=2)]
    aws = processor(
        *((at, line | named) for at, line in events), served(second, written=written, output=100, caller="Two")
    )

    document = make_report(aws.session, STACK, Scope(window, dimension=dimension), NOTHING_CHANGED, now=NOW)

    (usage,) = document.listing
    assert {each.caller: (each.requests, each.throttled) for each in usage.callers} == labels


@pytest.mark.parametrize(
    ("days", "notes"),
    [
        pytest.param(1, [], id="a day"),
        pytest.param(10, ["Calls are on 1 of 11 days"], id="ten days"),
        pytest.param(20, ["CloudWatch keeps", "Calls are on 1 of 21 days"], id="longer than values per minute"),
    ],
)
def test_a_window_that_is_longer_than_what_is_known_says_so(days: int, notes: list[str]) -> None:
    aws = processor(failed(END - 3_600, written=END, calls=3), failed(END - 1_800, written=END, calls=1))

    document = report(aws, Window(END - days * 86_400, END))

    assert [note[: len(said)] for note, said in zip(document.notes[1:], notes, strict=True)] == notes
    if days == 20:
        assert document.notes[1].endswith("So requests and peaks of pools from before 2026-11-05 are missing.")
        assert document.notes[2] == (
            "Calls are on 1 of 21 days: the first in the minute from 2026-11-20 19:21, the last in that from "
            "2026-11-20 19:51 UTC. The other days have none, or nothing is known of them."
        )


def test_models_with_calls_are_named_if_the_one_asked_for_has_none() -> None:
    aws = processor(served(END - 600, written=int(NOW.timestamp()) - 60, output=9))

    found = make_report(aws.session, STACK, Scope(HOURS_5, model="sonet"), NOTHING_CHANGED, now=NOW)

    assert (found.pools, found.other_models) == ((), (POOL.model_id,))


@pytest.mark.parametrize(
    ("busy", "said"),
    [
        pytest.param(0, "cover the whole window.", id="no hour"),
        pytest.param(1, "come from the hour with the busiest minutes.", id="one hour"),
        pytest.param(2, "come from the 2 hours with the busiest minutes.", id="two hours"),
    ],
)
def test_a_long_window_says_which_hours_were_read(busy: int, said: str) -> None:
    assert describe_hours(busy).endswith(said)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        pytest.param([1_000], "All numbers are exact.", id="known"),
        pytest.param([], "Numbers are exact where they are not unknown.", id="unknown"),
    ],
)
def test_numbers_are_exact_unless_something_is_unknown(limits: list[int], said: str) -> None:
    second, line = served(END - 600, written=int(NOW.timestamp()) - 60, output=9)
    aws = processor((second, line | {"MaxTokens": limits, "ReservedTokens": [1_010] if limits else []}))

    found = make_report(aws.session, STACK, Scope(HOURS_5), NOTHING_CHANGED, now=NOW)

    assert found.notes == (f"{said} They come from the processor's metric lines.",)


@pytest.mark.parametrize("tag", ["team", "cost center"])
def test_a_long_window_is_listed_by_a_tag_whatever_its_name(tag: str) -> None:
    written, line = served(END - 3_600, written=END, output=100)
    aws = processor((written, line | {"request_metadata": {tag: "shop"}}), (written, line))
    scope = Scope(DAY, dimension=Dimension.TAG, tag=tag)

    document = make_report(aws.session, STACK, scope, NOTHING_CHANGED, now=NOW)

    (usage,) = document.listing
    assert {each.caller: each.requests for each in usage.callers} == {"shop": 1, NO_LABEL: 1}
