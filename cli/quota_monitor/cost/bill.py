"""The items of a month's bill, from the prices and from the metric lines that the processor really writes.

Both ways of ingestion can be compared: one invocation per delivery, or many deliveries per invocation with a stream.
"""

from __future__ import annotations

import base64
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from bedrock_quota.model_ids import OutOfScope
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool
from bedrock_quota.processor.delivery import Delivery, LogEvent
from bedrock_quota.processor.health import HEALTH_METRICS
from bedrock_quota.processor.pipeline import make_lines, price_delivery
from bedrock_quota.processor.usage import UsageCalculator
from bedrock_quota.registry.sources import read_sources
from localaws import traffic
from quota_monitor import sample_events
from quota_monitor.cost.prices import Prices
from quota_monitor.data_files import MODELS, TEMPLATE
from quota_monitor.template import read_template

METRICS_PER_POOL = 9
"""Four of tokens, three of percent, two of quotas."""

WRITES_PER_DELIVERY = 2
"""Writes of duplicate detection: one when a delivery begins, one when it is done."""

METRICS_OF_READER = 6
"""Metrics of an event source mapping, group EventCount (Lambda, "Event source mapping metrics", 2026-11-24)."""

POLLERS = 5
"""Requests that wait for messages at the same time, whether there are any or not (Lambda, "Configuring scaling behavior
for SQS event source mappings", read 2026-11-28)."""

POLL_SECONDS = 20
"""Longest wait of a request for messages (Amazon SQS, "Setting-up long polling", read 2026-11-28). AWS does not say if
Lambda waits so long."""

REQUESTS_PER_MESSAGE = 2
"""Requests that send and delete a message. Polling receives it."""

FIXED_ITEMS = frozenset({"metrics", "alarms", "dashboard", "queue of late calls"})
"""Items that cost as much without calls."""

GIGABYTE = 1e9
HOURS_PER_MONTH = 730
HOURS_SHOWN = 3
"""Default time range of the dashboard."""
SECONDS_PER_MONTH = HOURS_PER_MONTH * 3600

SHARDS = 4
"""Shards of a new on-demand stream. Each is read separately (Kinesis, "Choose the right mode", read 2026-11-24)."""

MAX_EVENT_BYTES = 6 * 1024 * 1024
"""Limit of an invocation's event, in which records are base64."""

MAX_MEASURED = 500
"""Calls per invocation above which the line bytes per call hardly change."""

MAX_PER_SECOND = 10_000
"""Deliveries per second up to which the break-even is searched."""


class Alarms(msgspec.Struct, frozen=True):
    """Metrics that the alarms of the template watch: those that exist once, and those that exist per quota pool."""

    fixed: int
    per_pool: int


class Item(msgspec.Struct, frozen=True):
    """One item of the bill, in dollars per month."""

    what: str
    basis: str
    dollars: float


class Use(msgspec.Struct, frozen=True):
    """Usage to estimate for: quota pools in use, calls per month, and calls per delivery.

    `late_calls` is how many of the calls per month wait for their body. Each has a message of its own, and comes back
    once and alone.
    """

    pools: int
    calls: int
    calls_per_delivery: float
    duplicate_detection: bool = True
    through_stream: bool = False
    with_sessions: bool = False
    """True if each session of a role has its own metric lines."""
    late_calls: int = 0

    @property
    def deliveries(self) -> float:
        """Return the deliveries per month."""
        return self.calls / self.calls_per_delivery

    def metric_bytes(self, each: float, late: float) -> float:
        """Return the bytes of metric lines per month, from those of a call and those of a late call."""
        return (self.calls - self.late_calls) * each + self.late_calls * late


def count_alarm_metrics(*, through_stream: bool = False) -> Alarms:
    """Count the metrics that alarms watch. A query on `ModelId` analyzes about one per pool, any other query one."""
    fixed = per_pool = 0
    for resource in _resources().values():
        if resource["Type"] != "AWS::CloudWatch::Alarm":
            continue
        if resource.get("Condition") == "ThroughStream" and not through_stream:
            continue
        for query in resource["Properties"].get("Metrics", [{"MetricStat": {}}]):
            expression = str(query.get("Expression"))
            if "SELECT" in expression and "ModelId" in expression:
                per_pool += 1
            elif "SELECT" in expression or "MetricStat" in query:
                fixed += 1
    return Alarms(fixed, per_pool)


def count_log_queries() -> int:
    """Count the Logs Insights queries on the dashboard of the template."""
    text, _ = _resources()["QuotaDashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    body = msgspec.json.decode(text)  # JSON also before anything is substituted
    return sum(widget["type"] == "log" for widget in body["widgets"])


def memory_gigabytes() -> float:
    """Return the memory of the processor in the template, in GB."""
    return float(_resources()["MetricProcessorFunction"]["Properties"]["MemorySize"]) / 1024


@functools.cache
def _resources() -> Mapping[str, Any]:
    """Return the resources of the template. Reading it takes a good part of a second."""
    found: Mapping[str, Any] = read_template(TEMPLATE)["Resources"]
    return found


def estimate(use: Use, price: Prices) -> list[Item]:
    """Return the bill of a month for such usage, from measured metric lines and deliveries."""
    written, batch = measure(use)
    return list(itemize(use, price, count_alarm_metrics(through_stream=use.through_stream), written, batch))


def measure(use: Use) -> tuple[LineBytes, Batch]:
    """Measure the metric lines and the batches for such usage."""
    size = measure_delivery_bytes(max(1, round(use.calls_per_delivery))) if use.through_stream else 0
    batch = estimate_batch(use, size) if use.through_stream else Batch()
    calls = max(1, min(round(use.calls_per_delivery * batch.deliveries), MAX_MEASURED))
    return line_bytes(calls, with_sessions=use.with_sessions), batch


def measure_late_call(use: Use) -> LineBytes:
    """Measure the metric lines of a late call, which comes back nearly alone."""
    return line_bytes(1, with_sessions=use.with_sessions)


def break_even(use: Use, price: Prices) -> float | None:
    """Return the deliveries per second from which a stream is cheaper for such usage, or None if it never is."""

    late_share = use.late_calls / use.calls if use.calls else 0

    def saved(per_second: float) -> float:
        calls = round(per_second * SECONDS_PER_MONTH * use.calls_per_delivery)
        busier = msgspec.structs.replace(use, calls=calls, late_calls=round(calls * late_share))
        direct, through = (
            estimate(msgspec.structs.replace(busier, through_stream=way), price) for way in (False, True)
        )
        return sum(item.dollars for item in direct) - sum(item.dollars for item in through)

    low, high = 0.0, float(MAX_PER_SECOND)
    if saved(high) <= 0:
        return None
    while high - low > 0.05 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if saved(middle) > 0 else (middle, high)
    return high


def itemize(use: Use, price: Prices, watched: Alarms, written: LineBytes, batch: Batch | None = None) -> Iterator[Item]:
    """Yield the items of a month: first the fixed ones, then those that grow with the calls."""
    batch = batch or Batch()
    reader = METRICS_OF_READER if use.through_stream else 0
    own = len(HEALTH_METRICS) + reader  # rare ones cost only in months with such an event
    metrics = use.pools * METRICS_PER_POOL + own
    yield Item(
        "metrics",
        f"{METRICS_PER_POOL} per quota pool, {own} of the monitor, ${price.metric_month:.2f} each",
        metrics * price.metric_month,
    )
    watching = use.pools * watched.per_pool + watched.fixed
    yield Item(
        "alarms",
        f"{watched.per_pool} per quota pool, {watched.fixed} for the monitor, ${price.alarm_metric_month:.2f} each",
        watching * price.alarm_metric_month,
    )
    yield Item("dashboard", "free if it is one of an account's first three", price.dashboard_month)
    deliveries = use.deliveries
    invocations = deliveries / batch.deliveries + use.late_calls
    each, late = (size.per_call(price.event_overhead_bytes) for size in (written, measure_late_call(use)))
    also = f", {late:,.0f} per late call" if use.late_calls else ""
    yield Item(
        "metric lines",
        f"{each:,.0f} bytes per call{also}, ${price.log_gigabyte:.2f} per GB",
        use.metric_bytes(each, late) / GIGABYTE * price.log_gigabyte,
    )
    yield Item(
        "Lambda's own log lines",
        f"{invocations:,.0f} invocations, {price.platform_log_bytes:.0f} bytes each",
        invocations * price.platform_log_bytes / GIGABYTE * price.log_gigabyte,
    )
    detection = (deliveries + use.late_calls) * price.duplicate_detection_seconds * use.duplicate_detection
    seconds = invocations * price.delivery_seconds + detection + use.calls * price.call_seconds
    memory = memory_gigabytes()
    yield Item(
        "Lambda",
        f"{invocations:,.0f} invocations, {seconds:,.0f} s with {memory:g} GB",
        invocations / 1e6 * price.lambda_million_requests + seconds * memory * price.lambda_gigabyte_second,
    )
    if use.through_stream:
        into, out = (deliveries * size / GIGABYTE for size in (batch.billed_bytes, batch.delivery_bytes))
        yield Item(
            "stream",
            f"{HOURS_PER_MONTH} hours, {into:,.1f} GB in, {out:,.1f} GB out, "
            f"{batch.deliveries:,.1f} deliveries per batch",
            HOURS_PER_MONTH * price.stream_hour + into * price.stream_gigabyte_in + out * price.stream_gigabyte_out,
        )
    polls = POLLERS * SECONDS_PER_MONTH / POLL_SECONDS
    yield Item(
        "queue of late calls",
        f"{polls:,.0f} polls per month, {REQUESTS_PER_MESSAGE} requests per late call",
        (polls + use.late_calls * REQUESTS_PER_MESSAGE) / 1e6 * price.queue_million_requests,
    )
    if use.duplicate_detection:
        yield Item(
            "state table",
            f"{WRITES_PER_DELIVERY} writes per delivery",
            (deliveries + use.late_calls) * WRITES_PER_DELIVERY / 1e6 * price.table_million_writes,
        )


def dashboard_view(use: Use, price: Prices, written: LineBytes, asked: int) -> float:
    """Return the dollars for opening the dashboard once. Each of its `asked` queries reads all lines of its hours."""
    month = use.metric_bytes(written.per_call(), measure_late_call(use).per_call())
    return asked * month * HOURS_SHOWN / HOURS_PER_MONTH / GIGABYTE * price.log_scanned_gigabyte


class LineBytes(msgspec.Struct, frozen=True):
    """Bytes and lines that the processor writes for a number of calls."""

    written: float
    lines: float
    calls: int

    def per_call(self, line_overhead: float = 0) -> float:
        """Return the bytes per call, with so many more bytes per line."""
        return (self.written + self.lines * line_overhead) / self.calls


class Batch(msgspec.Struct, frozen=True):
    """Deliveries per invocation, and their size as sent and as billed."""

    deliveries: float = 1
    delivery_bytes: int = 0

    @property
    def billed_bytes(self) -> int:
        """Return the bytes that the stream bills per delivery: whole KB."""
        return math.ceil(self.delivery_bytes / 1024) * 1024


def estimate_batch(use: Use, size: int) -> Batch:
    """Return the batches of deliveries of this size, from the template's window and batch size, and the shards."""
    mapping = _resources()["InvocationLogStreamMapping"]["Properties"]
    waiting = use.deliveries / SECONDS_PER_MONTH * mapping["MaximumBatchingWindowInSeconds"] / SHARDS
    most = min(mapping["BatchSize"], MAX_EVENT_BYTES * 3 / 4 / size)
    return Batch(max(1.0, min(waiting, most)), size)


@functools.cache
def measure_delivery_bytes(calls: int) -> int:
    """Return the size of a delivery of so many invented calls of 1.9 KB, gzipped as CloudWatch Logs does."""
    event = sample_events.delivery([each.message for each in traffic.chat(calls, datetime.now(UTC))])
    return len(base64.b64decode(event["awslogs"]["data"]))


Records = Callable[[int, datetime, int], list[traffic.LogEvent]]
"""Returns the records of so many calls that end at a time. Another seed gives other calls."""

QUARTERS = (7, 22, 37, 52)
"""Seconds of the minute at which deliveries end."""


@functools.cache
def line_bytes(calls: int, records: Records = traffic.chat, *, with_sessions: bool = False) -> LineBytes:
    """Return the mean bytes and lines that the processor writes for a delivery of so many invented calls.

    Every quota pool has quotas. The mean is of four deliveries, one for each quarter of a minute in which they can end,
    because a delivery that spans two minutes needs more lines.
    """
    known = read_sources(MODELS)
    accounts = UsageCalculator(known, lambda _profile: OutOfScope("unresolved_profile"), with_sessions=with_sessions)
    quotas = {
        QuotaPool(model.id, endpoint_type): PoolQuota(400_000, 400)
        for model in known.models
        for endpoint_type in EndpointType
    }
    written: list[bytes] = []
    for seed, second in enumerate(QUARTERS):
        now = datetime(2026, 11, 23, 12, 0, second, tzinfo=UTC)
        log_events = tuple(LogEvent(event.message) for event in records(calls, now, seed))
        priced = price_delivery(Delivery("DATA_MESSAGE", log_events), accounts, now)
        written += make_lines([priced], quotas=quotas, namespace="Bedrock/Quotas", now=now, quota_age_seconds=60).lines
    return LineBytes(sum(len(line) for line in written) / len(QUARTERS), len(written) / len(QUARTERS), calls)


def monitor_dollars(price: Prices) -> float:
    """Return what the monitor costs per month without a quota pool and without calls."""
    items = itemize(Use(0, 0, 1), price, count_alarm_metrics(), LineBytes(0, 0, 1))
    return sum(item.dollars for item in items if item.what in FIXED_ITEMS)


def pool_dollars(price: Prices) -> float:
    """Return what each quota pool in use adds per month, without its calls."""
    return METRICS_PER_POOL * price.metric_month + count_alarm_metrics().per_pool * price.alarm_metric_month
