import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from demo_output import demo_document
from moto import mock_aws

from bedrock_quota.analysis.usage import Limit, PoolMinute, PoolUsage
from bedrock_quota.pools import EndpointType, QuotaPool
from bedrock_quota.settings import DEFAULT_NAMESPACE
from localaws.account import Account
from localaws.errors import LocalAwsError
from localaws.instance import Instance
from localaws.template import LEFT_OUT
from quota_monitor import demo, local
from quota_monitor.analyze.scope import Scope
from quota_monitor.aws_session import Stack
from quota_monitor.deployed import metrics
from quota_monitor.deployed.measure import measure_stack
from quota_monitor.deployed.metrics import Series
from quota_monitor.window import make_window

END = datetime.now(UTC).replace(second=0, microsecond=0)
START = END - timedelta(hours=1)
WINDOW = make_window(START, END)
LOG_GROUP = "/aws/lambda/processor"
BUSY = QuotaPool("vendor.busy", EndpointType.CROSS_REGION)
BLIND = QuotaPool("vendor.blind", EndpointType.REGIONAL)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    for name, value in {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        yield boto3.Session(region_name="us-east-1")


def publish(session: boto3.Session, pool: QuotaPool | None, minute: datetime, **metrics: list[float]) -> None:
    dimensions = (
        [{"Name": "ModelId", "Value": pool.model_id}, {"Name": "EndpointType", "Value": str(pool.endpoint_type)}]
        if pool
        else []
    )
    for name, values in metrics.items():
        for value in values:
            session.client("cloudwatch").put_metric_data(
                Namespace=DEFAULT_NAMESPACE,
                MetricData=[{"MetricName": name, "Dimensions": dimensions, "Timestamp": minute, "Value": value}],
            )


def log(session: boto3.Session, *messages: object) -> None:
    logs = session.client("logs")
    logs.create_log_group(logGroupName=LOG_GROUP)
    logs.create_log_stream(logGroupName=LOG_GROUP, logStreamName="one")
    now = int(datetime.now(UTC).timestamp() * 1000)
    logs.put_log_events(
        logGroupName=LOG_GROUP,
        logStreamName="one",
        logEvents=[
            {"timestamp": now, "message": each if isinstance(each, str) else json.dumps(each)} for each in messages
        ],
    )


def line(
    pool: QuotaPool,
    minute: datetime,
    caller: str,
    max_tokens: list[int],
    outputs: list[int],
    *,
    source: str = "explicit",
    truncated: int = 0,
) -> dict[str, object]:
    """A metric line of calls with 10 tokens of input each; no max_tokens: they are unknown."""
    said: dict[str, object] = {
        "_aws": {"Timestamp": int(minute.timestamp() * 1000), "CloudWatchMetrics": []},
        "ModelId": pool.model_id,
        "EndpointType": pool.endpoint_type,
        "caller": caller,
        "max_tokens_source": source if max_tokens else "unknown",
        "requests": len(outputs),
        "OutputTokens": outputs,
        "ConsumedTokens": [output + 10 for output in outputs],
        "input_tokens": 10 * len(outputs),
        "truncated": truncated,
    }
    return said | (
        {"MaxTokens": max_tokens, "ReservedTokens": [limit + 10 for limit in max_tokens]} if max_tokens else {}
    )


def throttled(pool: QuotaPool, minute: datetime, calls: int, **changes: object) -> dict[str, object]:
    """The line of failed calls."""
    return {
        "event": "failed_calls",
        "minute": int(minute.timestamp() * 1000),
        "ModelId": pool.model_id,
        "EndpointType": pool.endpoint_type,
        "caller": "Small",
        "error_code": "ThrottlingException",
        "requests_failed": calls,
    } | changes


STACK = Stack(
    "monitor",
    "arn:aws:cloudformation:us-east-1:123456789012:stack/monitor/1",
    "CREATE_COMPLETE",
    {"MetricsNamespace": DEFAULT_NAMESPACE},
    {},
    {"MetricProcessorLogGroup": LOG_GROUP},
)


def measure(session: boto3.Session) -> dict[QuotaPool, PoolUsage]:
    measured = measure_stack(session, STACK, Scope(WINDOW), datetime.now(UTC), lambda _share: None)
    return {usage.pool: usage for usage in measured.usages}


# ---------------------------------------------------------------- numbers read back


def test_sums_come_from_the_lines_and_quotas_from_the_metrics(session: boto3.Session) -> None:
    publish(session, BUSY, END - timedelta(minutes=80), TokenQuota=[1])
    publish(session, BUSY, END - timedelta(minutes=1), TokenQuota=[5_000], RequestQuota=[0])
    log(
        session,
        "START RequestId: 1",
        line(BUSY, START, "One", [90, 190], [5, 15]),
        line(BUSY, START, "Two", [], [7]),
        line(BUSY, START + timedelta(minutes=7), "One", [990], [1]),
        line(BLIND, START, "Two", [], [3]),
    )
    found = measure(session)
    busy, blind = found[BUSY], found[BLIND]
    # reserved 100 + 200, consumed 15 + 25 + 17
    assert [
        (each.reserved_tokens, each.consumed_tokens, each.requests, each.known_requests) for each in busy.minutes
    ] == [(300, 57, 3, 2), (1_000, 11, 1, 1)]
    assert (busy.peak_reserved, busy.peak_consumed, busy.requests, busy.peak_requests) == (1_000, 57, 4, 3)
    assert (busy.token_quota, busy.request_quota, busy.coverage) == (5_000, 0, 0.75)
    assert (blind.peak_reserved, blind.coverage, blind.token_quota) == (None, 0, None)


def test_pools_without_a_call_in_the_window_are_left_out(session: boto3.Session) -> None:
    log(
        session,
        line(BUSY, START - timedelta(minutes=1), "One", [90], [5]),
        line(BUSY, END, "One", [90], [5]),
        throttled(BUSY, END, 3),
    )
    assert measure(session) == {}


def test_a_pool_where_every_call_was_throttled_is_shown(session: boto3.Session) -> None:
    publish(session, BLIND, END - timedelta(minutes=1), TokenQuota=[0], RequestQuota=[0])
    log(session, throttled(BLIND, START, 4), throttled(BLIND, END, 9))
    use = measure(session)[BLIND]
    assert (use.requests, use.throttled, [each.throttled for each in use.minutes]) == (0, 4, [4])
    assert (use.token_quota, use.request_quota) == (0, 0)


def test_callers_and_throttled_requests_of_the_window(session: boto3.Session) -> None:
    log(
        session,
        "START RequestId: 1",
        line(BUSY, START, "Small", [50], [30]),
        line(BUSY, START, "Large", [4_000, 64_000], [300, 400]),
        line(BUSY, START + timedelta(minutes=1), "Large", [64_000], [100]),
        line(BUSY, START, "Small", [], [90]),
        throttled(BUSY, START, 3),
        throttled(BUSY, START, 5, error_code="ValidationException"),
        {"event": "delivery", "received": 9},
    )
    use = measure(session)[BUSY]
    assert (use.throttled, use.errors) == (3, (("ValidationException", 5),))
    large, small = use.callers
    assert (large.caller, large.requests, large.reserved_tokens) == ("Large", 3, 132_030)
    assert (large.sizes.largest, large.largest_limit) == (400, Limit(64_000, "explicit", 2))
    assert [each.limits for each in large.minutes] == [((4_000, 1), (64_000, 1)), ((64_000, 1),)]
    assert (small.requests, small.reserved_tokens, small.sizes.largest, small.throttled) == (2, 60, 90, 3)


@pytest.mark.parametrize(
    ("lines", "cut", "largest_cut"),
    [
        pytest.param([([500, 900], [499, 3], 0)], 0, 0, id="none"),
        pytest.param([([500, 64_000], [500, 600], 1)], 1, 500, id="the one at its limit, not the longest"),
        pytest.param([([500, 900, 700], [498, 3, 700], 2)], 2, 700, id="the two closest to their limits"),
        pytest.param([([500], [500], 1), ([800], [800], 1)], 2, 800, id="of two lines"),
        pytest.param([([], [4_096, 7], 1)], 1, 4_096, id="of unknown limits at its output"),
    ],
)
def test_cut_answers_are_those_closest_to_their_limit(
    session: boto3.Session, lines: list[tuple[list[int], list[int], int]], cut: int, largest_cut: int
) -> None:
    log(session, *(line(BUSY, START, "One", limits, output, truncated=number) for limits, output, number in lines))
    (caller,) = measure(session)[BUSY].callers

    assert (caller.cut_answers, caller.largest_cut) == (cut, largest_cut)


def test_any_number_of_series_is_read(session: boto3.Session) -> None:
    series = [Series(f"Metric{index}", "Sum") for index in range(metrics.MAX_QUERIES + 3)]
    publish(session, None, START, Metric0=[1], Metric502=[2])
    found = metrics.read(session.client("cloudwatch"), DEFAULT_NAMESPACE, series, WINDOW)
    assert {each.metric: values for each, values in found.items() if values} == {
        "Metric0": {START: 1},
        "Metric502": {START: 2},
    }


def test_minutes_of_pools_are_read_from_metrics(session: boto3.Session) -> None:
    publish(session, BUSY, START, ReservedTokens=[100, 200], ConsumedTokens=[10, 20, 5])
    publish(session, BUSY, START - timedelta(minutes=1), ConsumedTokens=[10])
    found = metrics.read_minutes(session.client("cloudwatch"), DEFAULT_NAMESPACE, [BUSY, BLIND], WINDOW)
    assert found == {BUSY: (PoolMinute(WINDOW.start, 300, 35, 3, 2),), BLIND: ()}


# ---------------------------------------------------------------- the demo's own steps


def test_takes_the_last_hour_that_no_earlier_demo_has_touched(session):
    now = END + timedelta(seconds=30)
    assert demo._untouched_hour(session, now) == WINDOW
    publish(session, BUSY, END - timedelta(minutes=1), ConsumedTokens=[1])
    assert demo._untouched_hour(session, now) == make_window(START - timedelta(hours=1), START)


def test_says_what_is_missing():
    counts = {"RecordsProcessed": 4_000, "RecordsRejected": 1, "RecordsOutOfScope": 0, "RequestsFailed": 2}
    assert demo._describe_difference(4_010, counts).startswith(
        "4,010 records were sent and 4,003 counted, 7 are missing: RecordsProcessed 4,000, RecordsRejected 1"
    )
    assert "3 are too many" in demo._describe_difference(4_000, counts)


class _Running:
    """Stands in for an `Instance`: each drain lets some more records be counted."""

    def __init__(self, session: boto3.Session, arriving: list[int]) -> None:
        self._session, self._arriving = session, arriving

    def session(self) -> boto3.Session:
        return self._session

    def drain(self) -> None:
        if self._arriving:
            publish(self._session, None, END, RecordsProcessed=[self._arriving.pop(0)])


def wait(session: boto3.Session, arriving: list[int], sent: int) -> list[tuple[int, int]]:
    steps: list[tuple[int, int]] = []
    before = dict.fromkeys(demo.OUTCOMES, 0.0) | {"RecordsProcessed": 100.0}
    publish(session, None, END, RecordsProcessed=[100])  # an earlier demo's
    demo._wait_until_accounted(
        _Running(session, arriving),  # type: ignore[arg-type]
        before,
        make_window(END, END + timedelta(hours=1)),
        sent,
        lambda _stage, done, total: steps.append((done, total)),
    )
    return steps


def test_waits_until_every_record_is_accounted_for(session):
    assert wait(session, [3, 4], 7) == [(0, 7), (3, 7), (7, 7)]


def test_gives_up_when_no_more_arrive(session, monkeypatch):
    monkeypatch.setattr(demo, "STALLED_SECONDS", 0.5)
    with pytest.raises(LocalAwsError, match="7 records were sent and 3 counted, 4 are missing"):
        wait(session, [3], 7)


def test_more_than_were_sent_is_a_failure_too(session):
    with pytest.raises(LocalAwsError, match="2 are too many"):
        wait(session, [9], 7)


def test_the_dashboard_opens_at_a_pool(capsys: pytest.CaptureFixture[str]) -> None:
    account = Account("http://127.0.0.1:1", "http://127.0.0.1:3", "us-east-1")
    running = Instance(Path(), account, "stack", {"DashboardName": "d"}, preview_url="http://127.0.0.1:2")

    local.show_dashboard(running, {"model": "a.b-v1:0", "endpoint": "regional"})

    assert "  http://127.0.0.1:2/dashboards/d?model=a.b-v1:0&endpoint=regional\n" in capsys.readouterr().out


def test_what_is_left_out_is_counted_and_the_dashboard_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    account = Account("http://127.0.0.1:1", "http://127.0.0.1:3", "us-east-1")
    queries, alarms = (omission.reason for omission in LEFT_OUT)
    left_out = {"A": alarms, "Query": queries, "B": alarms}
    running = Instance(Path("state"), account, "stack", {}, preview_url="", left_out=left_out)

    local.show_instance(running)

    shown = capsys.readouterr().out
    assert (
        "The emulator leaves out 1 saved query and 2 alarms. On the dashboard, the tables of callers and failed calls "
        "show what the saved queries ask for, and the gray line is the threshold of the quota alarms. For the reasons, "
        "run `quota-monitor local status --json`."
    ) in " ".join(shown.split())
    assert "MiniStack" not in shown
    assert f"  export AWS_CONFIG_FILE={Path('state').resolve()}/aws-config AWS_PROFILE=local\n" in shown


def test_own_commands_on_the_local_stack_are_shown_and_no_address_of_the_console(
    capsys: pytest.CaptureFixture[str],
) -> None:
    account = Account("http://127.0.0.1:1", "http://127.0.0.1:3", "us-east-1")
    outputs = {"DashboardURL": "https://us-east-1.console.aws.amazon.com/x", "AlarmTopicArn": "arn"}
    running = Instance(Path("state"), account, "bedrock-quota-monitor", outputs, preview_url="")

    # sonnet's minute with most throttled calls, 18 of 211
    local.show_instance(running, demo._list_commands(demo_document()))

    shown = capsys.readouterr().out
    assert "console.aws.amazon.com" not in shown
    commands = shown.partition("AWS_PROFILE=local\n")[2].splitlines()
    assert commands[:4] == [
        "  quota-monitor doctor",
        "  quota-monitor report",
        "  quota-monitor explain --at 2026-11-28T13:10 --model anthropic.claude-sonnet-4-6",
        "  quota-monitor increase --pool anthropic.claude-sonnet-4-6",
    ]


def test_the_commands_name_another_stack(capsys: pytest.CaptureFixture[str]) -> None:
    account = Account("http://127.0.0.1:1", "http://127.0.0.1:3", "us-east-1")

    local.show_instance(Instance(Path("state"), account, "mine", {}, preview_url=""))

    assert "  quota-monitor report --stack-name mine\n" in capsys.readouterr().out


def test_the_link_shows_the_hour_of_an_older_demo_too() -> None:
    now = datetime(2026, 11, 28, 15, 30, tzinfo=UTC)
    hours = [
        demo._hours_since(make_window(now - timedelta(hours=n), now - timedelta(hours=n - 1)), now) for n in (1, 5)
    ]

    assert hours == [3, 5]
