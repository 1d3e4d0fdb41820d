import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from bedrock_quota.pools import EndpointType, QuotaPool
from bedrock_quota.settings import DEFAULT_NAMESPACE
from localaws.account import Account
from localaws.errors import LocalAwsError
from localaws.instance import Instance
from quota_monitor import demo, local, usage
from quota_monitor.usage import Window

END = datetime.now(UTC).replace(second=0, microsecond=0)
START = END - timedelta(hours=1)
WINDOW = Window(START, END)
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
) -> dict:
    """A metric line of calls with 10 tokens of input each; no max_tokens: they are unknown."""
    said = {
        "_aws": {"Timestamp": int(minute.timestamp() * 1000), "CloudWatchMetrics": []},
        "ModelId": pool.model_id,
        "EndpointType": pool.endpoint_type,
        "caller": caller,
        "max_tokens_source": source if max_tokens else "unknown",
        "requests": len(outputs),
        "OutputTokens": outputs,
        "output_tokens": sum(outputs),
        "consumed_tokens": sum(outputs) + 10 * len(outputs),
    }
    if max_tokens:
        said |= {"MaxTokens": max_tokens, "reserved_tokens": sum(max_tokens) + 10 * len(max_tokens)}
    return said | ({"truncated": truncated} if truncated else {})


def collect(session: boto3.Session) -> dict[QuotaPool, usage.PoolUse]:
    found = usage.collect(
        session,
        namespace=DEFAULT_NAMESPACE,
        log_group=LOG_GROUP,
        window=WINDOW,
        since=datetime.now(UTC) - timedelta(minutes=5),
    )
    return {use.pool: use for use in found}


# ---------------------------------------------------------------- numbers read back


def test_collects_sums_quotas_and_coverage_by_pool(session):
    publish(session, BUSY, START, ReservedTokens=[100, 200], ConsumedTokens=[10, 20, 5])
    publish(session, BUSY, START + timedelta(minutes=7), ReservedTokens=[1_000], ConsumedTokens=[1])
    publish(session, BLIND, START, ConsumedTokens=[7])
    publish(session, BUSY, END - timedelta(minutes=80), TokenQuota=[1])
    publish(session, BUSY, END, TokenQuota=[5_000], RequestQuota=[0])
    log(session, "START RequestId: 1")
    found = collect(session)
    busy, blind = found[BUSY], found[BLIND]
    assert [
        (each.reserved_tokens, each.consumed_tokens, each.requests, each.known_requests) for each in busy.minutes
    ] == [
        (300, 35, 3, 2),
        (1_000, 1, 1, 1),
    ]
    assert (busy.peak_reserved, busy.peak_consumed, busy.requests, busy.peak_requests) == (1_000, 35, 4, 3)
    assert (busy.token_quota, busy.request_quota, busy.coverage) == (5_000, 0, 0.75)
    assert (blind.peak_reserved, blind.coverage, blind.token_quota) == (None, 0, None)


def test_leaves_out_pools_without_a_call_in_the_window(session):
    publish(session, BUSY, START - timedelta(minutes=1), ConsumedTokens=[10])
    publish(session, BUSY, END, ConsumedTokens=[10])
    log(session, "START RequestId: 1")
    assert collect(session) == {}


def test_shows_a_pool_where_every_call_was_throttled(session):
    publish(session, BLIND, START, TokenQuota=[0], RequestQuota=[0])
    failed = {
        "event": "failed_calls",
        "ModelId": BLIND.model_id,
        "EndpointType": BLIND.endpoint_type,
        "caller": "Small",
        "error_code": "ThrottlingException",
        "requests_failed": 4,
    }
    other = failed | {"ModelId": BUSY.model_id, "error_code": "ValidationException"}
    minute = int(START.timestamp() * 1000)
    log(
        session,
        failed | {"minute": minute, "_aws": {"Timestamp": minute, "CloudWatchMetrics": []}, "TokenQuota": 0},
        failed | {"minute": int(END.timestamp() * 1000)},  # after the window
        other | {"minute": minute},  # not for want of a quota
    )
    found = collect(session)
    assert found.keys() == {BLIND}
    use = found[BLIND]
    assert (use.requests, use.throttled_requests, use.minutes, use.callers) == (0, 4, (), ())
    assert (use.token_quota, use.request_quota, use.coverage) == (0, 0, 1)


def test_adds_up_callers_and_throttled_requests_of_the_window(session):
    publish(session, BUSY, START, ReservedTokens=[100], ConsumedTokens=[10])
    failed = {
        "event": "failed_calls",
        "minute": int(START.timestamp() * 1000),
        "ModelId": BUSY.model_id,
        "EndpointType": BUSY.endpoint_type,
        "caller": "Small",
    }
    log(
        session,
        "START RequestId: 1",
        line(BUSY, START, "Small", [50], [30]),
        line(BUSY, START, "Large", [4_000, 64_000], [300, 400]),
        line(BUSY, START + timedelta(minutes=1), "Large", [64_000], [100]),
        line(BUSY, START, "Small", [], [90]),
        line(BUSY, START - timedelta(minutes=1), "Large", [64_000], [999]),
        failed | {"error_code": "ThrottlingException", "requests_failed": 3},
        failed | {"error_code": "ValidationException", "requests_failed": 5},
        failed | {"error_code": "ThrottlingException", "requests_failed": 7, "EndpointType": ""},
        {"event": "delivery", "received": 9},
    )
    use = collect(session)[BUSY]
    assert use.throttled_requests == 3
    large, small = use.callers
    assert (large.caller, large.requests, large.reserved_tokens) == ("Large", 3, 132_030)
    assert (large.mean_output, large.largest_output, large.largest_max_tokens) == (800 / 3, 400, 64_000)
    assert [each.max_tokens for each in large.minutes] == [(4_000, 64_000), (64_000,)]
    assert (small.requests, small.reserved_tokens, small.largest_output) == (2, 60, 90)


@pytest.mark.parametrize(
    ("lines", "cut", "largest_cut"),
    [
        pytest.param([([500, 900], [499, 3], 0)], 0, 0, id="none"),
        pytest.param([([500, 64_000], [500, 600], 1)], 1, 500, id="the one at its limit, not the longest"),
        pytest.param([([500, 900, 700], [498, 3, 700], 2)], 2, 700, id="the two closest to their limits"),
        pytest.param([([500], [500], 1), ([800], [800], 1)], 2, 800, id="of two lines"),
        pytest.param([([], [4_096, 7], 1)], 1, 4_096, id="of unknown limits at its output"),
        pytest.param([([0, 10], [0, 10], 1)], 1, 10, id="beside a limit of 0"),
    ],
)
def test_cut_answers_are_those_closest_to_their_limit(session, lines, cut, largest_cut):
    publish(session, BUSY, START, ConsumedTokens=[10])
    log(session, *(line(BUSY, START, "One", limits, output, truncated=number) for limits, output, number in lines))
    (caller,) = collect(session)[BUSY].callers

    assert (caller.cut_answers, caller.largest_cut) == (cut, largest_cut)


@pytest.mark.parametrize(
    ("lines", "is_default"),
    [
        pytest.param([("default", 64_000), ("explicit", 500)], True, id="default is the largest"),
        pytest.param([("default", 64_000), ("explicit", 64_000)], False, id="set to the default"),
        pytest.param([("default", 4_096), ("explicit", 64_000)], False, id="set above the default"),
        pytest.param([("declared", 64_000)], False, id="declared"),
    ],
)
def test_a_caller_sets_its_largest_max_tokens_or_leaves_it_to_the_model(session, lines, is_default):
    publish(session, BUSY, START, ConsumedTokens=[10])
    log(session, *(line(BUSY, START, "One", [limit], [5], source=source) for source, limit in lines))
    (caller,) = collect(session)[BUSY].callers

    assert caller.largest_is_default is is_default


def test_reads_any_number_of_series(session):
    series = [usage.Series(f"Metric{index}", "Sum") for index in range(usage.MAX_QUERIES + 3)]
    publish(session, None, START, Metric0=[1], Metric502=[2])
    found = usage.read(session.client("cloudwatch"), DEFAULT_NAMESPACE, series, WINDOW)
    assert {each.metric: values for each, values in found.items() if values} == {
        "Metric0": {START: 1},
        "Metric502": {START: 2},
    }


# ---------------------------------------------------------------- the demo's own steps


def test_takes_the_last_hour_that_no_earlier_demo_has_touched(session):
    now = END + timedelta(seconds=30)
    assert demo._untouched_hour(session, now) == WINDOW
    publish(session, BUSY, END - timedelta(minutes=1), ConsumedTokens=[1])
    assert demo._untouched_hour(session, now) == Window(START - timedelta(hours=1), START)


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
        Window(END, END + timedelta(hours=1)),
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


def test_what_is_left_out_is_one_sentence_and_each_with_its_reason_if_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    account = Account("http://127.0.0.1:1", "http://127.0.0.1:3", "us-east-1")
    running = Instance(Path(), account, "stack", {}, preview_url="", left_out={"Query": "because", "Alarm": "so"})

    local.show_instance(running)
    local.show_instance(running, list_left_out=True)

    once, each = capsys.readouterr().out.split("Use it with the AWS CLI")[:2]
    assert (
        "Resources of the template that are left out on this machine: 2. `quota-monitor local status` lists them."
        in once
    )
    assert "because" not in once
    assert "Left out on this machine: Query (because)\nLeft out on this machine: Alarm (so)\n" in each
