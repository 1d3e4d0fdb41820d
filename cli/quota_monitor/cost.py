"""`quota-monitor cost`: what the monitor costs a month, from `prices.toml` and the lines it really writes.

Both ways of ingestion can be compared: a delivery an invocation, or many of them through a stream.
"""

from __future__ import annotations

import base64
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table
from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]

from bedrock_quota.processor.pipeline import process_delivery
from bedrock_quota.processor.usage import UsageCalculator
from bedrock_quota.pools import EndpointType, QuotaPool
from bedrock_quota.processor.delivery import Delivery, LogEvent
from bedrock_quota.processor.metric_lines import HEALTH_METRICS
from bedrock_quota.model_ids import OutOfScope
from bedrock_quota.pools import PoolQuota
from bedrock_quota.registry.sources import read_sources
from localaws import traffic
from quota_monitor import events
from quota_monitor.checkout import ROOT

PRICES = ROOT / "cli" / "quota_monitor" / "prices.toml"
TEMPLATE = ROOT / "template.yaml"

METRICS_A_BUCKET = 9
"""Four of tokens, three of percent, two of quotas."""

WRITES_A_DELIVERY = 2
"""Of duplicate detection: one when a delivery begins, one when it is done."""

METRICS_OF_READER = 6
"""Of an event source mapping's group EventCount, for a stream (Lambda, "Event source mapping metrics", 2026-11-24)."""

GIGABYTE = 1e9
HOURS_A_MONTH = 730
HOURS_SHOWN = 3
"""Of the dashboard, where nobody chooses another time range."""
SECONDS_A_MONTH = HOURS_A_MONTH * 3600

SHARDS = 4
"""That a stream on demand begins with: each is read by itself (Kinesis, "Choose the right mode", read 2026-11-24)."""

MOST_EVENT_BYTES = 6 * 1024 * 1024
"""Of an invocation's event; records are in base64 there."""

MOST_MEASURED = 500
"""Calls at a time beyond which the bytes of a call's lines hardly change."""

MOST_A_SECOND = 10_000
"""Deliveries a second up to which a break-even is looked for."""


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """List prices in US dollars, and what an invocation takes; see `prices.toml`."""

    metric_month: float
    alarm_metric_month: float
    dashboard_month: float
    log_gigabyte: float
    log_gigabyte_month: float
    log_scanned_gigabyte: float
    lambda_million_requests: float
    lambda_gigabyte_second: float
    table_million_writes: float
    stream_hour: float
    stream_gigabyte_in: float
    stream_gigabyte_out: float
    event_overhead_bytes: float
    platform_log_bytes: float
    delivery_seconds: float
    duplicate_detection_seconds: float
    call_seconds: float


class Alarms(msgspec.Struct, frozen=True):
    """The metrics that the template's alarms watch: once each, and once a bucket."""

    fixed: int
    a_bucket: int


class Item(msgspec.Struct, frozen=True):
    """One line of the bill: what, how it comes about, dollars a month."""

    what: str
    how: str
    dollars: float


class Use(msgspec.Struct, frozen=True):
    """What is watched: buckets in use, calls a month, and how many calls come in one delivery."""

    buckets: int
    calls: int
    calls_a_delivery: int
    duplicate_detection: bool = True
    through_stream: bool = False

    @property
    def deliveries(self) -> float:
        """Deliveries a month."""
        return self.calls / self.calls_a_delivery


@click.command()
@click.option("--buckets", default=5, show_default=True, type=click.IntRange(1), help="Buckets in use.")
@click.option("--calls", default=1_000_000, show_default=True, type=click.IntRange(0), help="Calls a month.")
@click.option(
    "--calls-a-delivery",
    default=10,
    show_default=True,
    type=click.IntRange(1, 1_000),
    help="Calls that reach the processor together; the busier the account, the more.",
)
@click.option("--duplicate-detection/--no-duplicate-detection", default=True, show_default=True)
@click.option("--ingestion", default="direct", show_default=True, type=click.Choice(["direct", "kinesis"]))
def cost(buckets: int, calls: int, calls_a_delivery: int, duplicate_detection: bool, ingestion: str) -> None:
    """Say what the monitor costs a month.

    Prices are us-east-1 list prices; the lines are those that the processor writes for invented calls.
    """
    use = Use(buckets, calls, calls_a_delivery, duplicate_detection, ingestion == "kinesis")
    price = prices()
    written, batch = measured(use)
    items = list(bill(use, price, alarms(through_stream=use.through_stream), written, batch))
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("a month")
    table.add_column("how it comes about", overflow="fold")
    table.add_column("US$", justify="right")
    for item in items:
        table.add_row(item.what, item.how, f"{item.dollars:,.2f}")
    table.add_row("[bold]all together[/]", "", f"[bold]{sum(item.dollars for item in items):,.2f}[/]")
    Console(highlight=False).print(table)
    click.echo(
        f"A thousand looks at the dashboard, {queries()} queries over {HOURS_SHOWN} hours of metric lines each: "
        f"${1_000 * look(use, price, written, queries()):,.2f}."
    )
    click.echo(
        "Not counted: Bedrock's own invocation log, if it is switched on for this: "
        f"${price.log_gigabyte:.2f} a GB of prompts and answers; and keeping logs, "
        f"${price.log_gigabyte_month:.2f} a GB and month, compressed."
    )
    even = break_even(use, price)
    click.echo(
        f"With {calls_a_delivery} calls a delivery and duplicate detection {'on' if duplicate_detection else 'off'}, "
        + (
            f"a stream (Ingestion=kinesis) is cheaper from {even:,.0f} deliveries a second on."
            if even is not None
            else f"a stream (Ingestion=kinesis) is not cheaper, up to {MOST_A_SECOND:,} deliveries a second."
        )
    )


def prices() -> Prices:
    """Return the prices of `prices.toml`."""
    return msgspec.toml.decode(PRICES.read_bytes(), type=Prices)


def alarms(*, through_stream: bool = False) -> Alarms:
    """Count the metrics that the template's alarms watch; a query without GROUP BY is taken to find one."""
    fixed = a_bucket = 0
    for resource in _resources().values():
        if resource["Type"] != "AWS::CloudWatch::Alarm":
            continue
        if resource.get("Condition") == "ThroughStream" and not through_stream:
            continue
        queries = resource["Properties"].get("Metrics", [])
        if not queries:
            fixed += 1
        elif any("GROUP BY" in str(query.get("Expression")) for query in queries):
            a_bucket += 1
        else:
            fixed += sum("MetricStat" in query or "SELECT" in str(query.get("Expression")) for query in queries)
    return Alarms(fixed, a_bucket)


def queries() -> int:
    """Count the queries of Logs Insights on the template's dashboard."""
    body = _resources()["QuotaDashboard"]["Properties"]["DashboardBody"]["Fn::ToJsonString"]
    return sum(widget["type"] == "log" for widget in body["widgets"])


def memory_gigabytes() -> float:
    """Return the processor's memory in the template, in GB."""
    return float(_resources()["MetricProcessorFunction"]["Properties"]["MemorySize"]) / 1024


@functools.cache
def _resources() -> Mapping[str, Any]:
    """Return the template's resources; to read it takes a good part of a second."""
    found: Mapping[str, Any] = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))["Resources"]
    return found


def bill_of(use: Use, price: Prices) -> list[Item]:
    """Work out a month's bill, from what is measured for such use."""
    written, batch = measured(use)
    return list(bill(use, price, alarms(through_stream=use.through_stream), written, batch))


def measured(use: Use) -> tuple[LineBytes, Batch]:
    """Measure what is written and sent for such use."""
    batch = batch_of(use, delivery_bytes(use.calls_a_delivery)) if use.through_stream else Batch()
    return line_bytes(min(round(use.calls_a_delivery * batch.deliveries), MOST_MEASURED)), batch


def break_even(use: Use, price: Prices) -> float | None:
    """Return the deliveries a second from which on a stream is cheaper for such use, or None if there are no such."""

    def saved(a_second: float) -> float:
        calls = round(a_second * SECONDS_A_MONTH * use.calls_a_delivery)
        direct, through = (
            bill_of(msgspec.structs.replace(use, calls=calls, through_stream=way), price) for way in (False, True)
        )
        return sum(item.dollars for item in direct) - sum(item.dollars for item in through)

    low, high = 0.0, float(MOST_A_SECOND)
    if saved(high) <= 0:
        return None
    while high - low > 0.05 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if saved(middle) > 0 else (middle, high)
    return high


def bill(use: Use, price: Prices, watched: Alarms, written: LineBytes, batch: Batch | None = None) -> Iterator[Item]:
    """Yield what a month costs: first what stands still, then what grows with the calls."""
    batch = batch or Batch()
    of_reader = METRICS_OF_READER if use.through_stream else 0
    own = len(HEALTH_METRICS) + of_reader  # the rare ones are paid in months that have such an event
    metrics = use.buckets * METRICS_A_BUCKET + own
    yield Item(
        "metrics",
        f"{METRICS_A_BUCKET} of each bucket, {own} of the monitor, ${price.metric_month:.2f} each",
        metrics * price.metric_month,
    )
    watching = use.buckets * watched.a_bucket + watched.fixed
    yield Item(
        "alarms",
        f"{watched.a_bucket} on each bucket, {watched.fixed} on the monitor, ${price.alarm_metric_month:.2f} each",
        watching * price.alarm_metric_month,
    )
    yield Item("dashboard", "nothing, if it is among an account's first three", price.dashboard_month)
    deliveries = use.deliveries
    invocations = deliveries / batch.deliveries
    of_lines = written.written + written.lines * price.event_overhead_bytes
    yield Item(
        "metric lines",
        f"{of_lines / written.calls:,.0f} bytes a call, ${price.log_gigabyte:.2f} a GB",
        use.calls / written.calls * of_lines / GIGABYTE * price.log_gigabyte,
    )
    yield Item(
        "Lambda's own lines",
        f"{invocations:,.0f} invocations of {price.platform_log_bytes:.0f} bytes",
        invocations * price.platform_log_bytes / GIGABYTE * price.log_gigabyte,
    )
    of_duplicates = deliveries * price.duplicate_detection_seconds * use.duplicate_detection
    seconds = invocations * price.delivery_seconds + of_duplicates + use.calls * price.call_seconds
    memory = memory_gigabytes()
    yield Item(
        "Lambda",
        f"{invocations:,.0f} invocations, {seconds:,.0f} s of {memory:g} GB",
        invocations / 1e6 * price.lambda_million_requests + seconds * memory * price.lambda_gigabyte_second,
    )
    if use.through_stream:
        into, out = (deliveries * size / GIGABYTE for size in (batch.billed_bytes, batch.delivery_bytes))
        yield Item(
            "stream",
            f"{HOURS_A_MONTH} hours, {into:,.1f} GB in, {out:,.1f} GB out, {batch.deliveries:,.1f} deliveries a batch",
            HOURS_A_MONTH * price.stream_hour + into * price.stream_gigabyte_in + out * price.stream_gigabyte_out,
        )
    if use.duplicate_detection:
        yield Item(
            "state table",
            f"{WRITES_A_DELIVERY} writes a delivery",
            deliveries * WRITES_A_DELIVERY / 1e6 * price.table_million_writes,
        )


def look(use: Use, price: Prices, written: LineBytes, asked: int) -> float:
    """Return what it costs to open the dashboard once, in dollars: each of its `asked` queries reads all lines."""
    month = use.calls / written.calls * written.written
    return asked * month * HOURS_SHOWN / HOURS_A_MONTH / GIGABYTE * price.log_scanned_gigabyte


class LineBytes(msgspec.Struct, frozen=True):
    """What the processor writes for so many calls at a time: bytes and lines."""

    written: float
    lines: float
    calls: int


class Batch(msgspec.Struct, frozen=True):
    """How deliveries come to the processor: how many in one invocation, and their size as they are sent and billed."""

    deliveries: float = 1
    delivery_bytes: int = 0

    @property
    def billed_bytes(self) -> int:
        """What the stream takes for a delivery: whole KB."""
        return math.ceil(self.delivery_bytes / 1024) * 1024


def batch_of(use: Use, size: int) -> Batch:
    """Return how deliveries of this many bytes are read from the stream: by the template's window, size and shards."""
    mapping = _resources()["InvocationLogStreamMapping"]["Properties"]
    waiting = use.deliveries / SECONDS_A_MONTH * mapping["MaximumBatchingWindowInSeconds"] / SHARDS
    most = min(mapping["BatchSize"], MOST_EVENT_BYTES * 3 / 4 / size)
    return Batch(max(1.0, min(waiting, most)), size)


@functools.cache
def delivery_bytes(calls: int) -> int:
    """Return the size of a delivery of so many invented calls of 1.9 KB, gzipped as CloudWatch Logs does."""
    event = events.delivery([each.message for each in traffic.chat(calls, datetime.now(UTC))])
    return len(base64.b64decode(event["awslogs"]["data"]))


Records = Callable[[int, datetime, int], list[traffic.LogEvent]]
"""Returns the records of so many calls that end at a time, others for another seed."""

QUARTERS = (7, 22, 37, 52)
"""Seconds of a minute at which deliveries end."""


@functools.cache
def line_bytes(calls: int, records: Records = traffic.chat) -> LineBytes:
    """Run the processor on deliveries of so many invented calls, all buckets having quotas; return the mean.

    There is one in each quarter of a minute, for a delivery that reaches into the next one takes more lines.
    """
    known = read_sources(ROOT / "registry" / "models")
    accounts = UsageCalculator(known, lambda _profile: OutOfScope("unresolved_profile"))
    quotas = {
        QuotaPool(model.id, endpoint_type): PoolQuota(400_000, 400)
        for model in known.models
        for endpoint_type in EndpointType
    }
    written: list[bytes] = []
    for seed, second in enumerate(QUARTERS):
        now = datetime(2026, 11, 23, 12, 0, second, tzinfo=UTC)
        log_events = tuple(LogEvent(event.message) for event in records(calls, now, seed))
        written += process_delivery(
            Delivery("DATA_MESSAGE", log_events),
            accounts,
            quotas=quotas,
            namespace="Bedrock/Quotas",
            now=now,
            quota_age_seconds=60,
        ).lines
    return LineBytes(sum(len(line) for line in written) / len(QUARTERS), len(written) / len(QUARTERS), calls)
