"""Pools, calls and deliveries of an account in one Region, as CloudWatch and a deployed stack have them. Reads only.

Metrics of Bedrock and their dimension: Bedrock User Guide, "Monitor bedrock-runtime inference using CloudWatch metrics"
(read 2026-11-28). `IncomingBytes` of a log group: "the volume of log events in uncompressed bytes uploaded" (CloudWatch
Logs User Guide, "Monitoring with CloudWatch metrics", read 2026-11-28).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from botocore.exceptions import ClientError

from bedrock_quota.access_denied import is_denied
from bedrock_quota.errors import LogSourceError
from bedrock_quota.fetcher.aws_sources import find_pool, list_application_profiles, list_pools_called
from bedrock_quota.fetcher.metric_data import MAX_QUERIES, make_metric_query
from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import QuotaPool
from bedrock_quota.registry.models import Registry
from quota_monitor.analyze.account import PROFILE_ACTIONS
from quota_monitor.analyze.log_group import LOGGING_ACTION, run_query
from quota_monitor.answers.numbers import count
from quota_monitor.aws_session import Stack, read_stack_if_any
from quota_monitor.cost.bill import GIGABYTE
from quota_monitor.deployed.metrics import OUTCOMES
from quota_monitor.window import Window

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef

DAYS = 30
"""Days that are read, and the length of a month."""

DELIVERY_DAYS = 7
"""Days of the processor's log whose deliveries are counted. The query scans all metric lines of that time."""

YOUNGEST_HOURS = 24
"""Hours that a stack must have run for its own metrics to be used."""

HOUR = 3_600

DELIVERIES = (
    'filter event = "delivery" | fields coalesce(deliveries, 1) as together '
    "| stats sum(received) as received, sum(together) as deliveries"
)
"""One line can be about several deliveries of a stream. It then has their number."""

BEDROCK, CALLS = "AWS/Bedrock", "Invocations"

TOKENS = ("InputTokenCount", "OutputTokenCount", "CacheReadInputTokenCount", "CacheWriteInputTokenCount")

_MOST_NAMED = 3

METRICS_RIGHT = "cloudwatch:ListMetrics and cloudwatch:GetMetricData"
STACK_RIGHT = "cloudformation:DescribeStacks and cloudformation:ListStackResources"
QUERY_RIGHT = "logs:StartQuery and logs:GetQueryResults"

NOT_COUNTED = "So the number of quota pools and calls, and the size of the invocation log, are not measured."

Value = TypeVar("Value")


class AccountUse(msgspec.Struct, frozen=True):
    """The use of one account in one Region. None stands for a number that could not be read."""

    account: str
    region: str
    window: Window
    parameters: Mapping[str, str]
    """Parameters of the deployed stack, or none."""
    pools: int | None
    calls: int | None
    """Calls per month."""
    calls_per_delivery: float | None
    log_group: str | None
    """The log group that Bedrock logs to, or None if there is none yet."""
    log_gigabytes: float | None
    """GB that the log group gets per month."""
    tokens: float | None
    """Tokens of all calls per month. They are read if the log group says nothing of its size."""
    measured: tuple[str, ...]
    assumed: tuple[str, ...]


class _Notes:
    """Collects sentences on what was measured, and on what could not be read."""

    def __init__(self) -> None:
        self.measured: list[str] = []
        self.assumed: list[str] = []

    def attempt(self, read: Callable[[], Value], right: str, loss: str) -> Value | None:
        """Return what a call reads. If a right is missing, note that and return None. Propagates other errors."""
        try:
            return read()
        except ClientError as error:
            if not is_denied(error):
                raise
            self.assumed.append(f"These credentials may not call {right}. {loss}")
        except LogSourceError as error:
            self.assumed.append(f"{error} {loss}")
        return None


def measure_account(session: boto3.Session, stack_name: str, registry: Registry, now: datetime) -> AccountUse:
    """Return the use of an account in the session's Region. Propagates botocore errors, but for missing rights."""
    end = int(now.timestamp()) // HOUR * HOUR
    window = Window(end - DAYS * 24 * HOUR, end)
    notes = _Notes()
    cloudwatch = session.client("cloudwatch")  # first, because STS needs no Region
    identity = session.client("sts").get_caller_identity()["Account"]
    stack = notes.attempt(
        lambda: _find_stack(session, stack_name), STACK_RIGHT, "So only Bedrock's own metrics are used."
    )
    since = Window(_begin_of_stack(stack, window), end)
    is_young = stack is not None and since.end - since.start < YOUNGEST_HOURS * HOUR
    if stack is None or is_young:
        if stack is not None:
            notes.measured.append(
                f"The stack {stack.name} is younger than {YOUNGEST_HOURS} hours. Its metrics are not used."
            )
        found = notes.attempt(
            lambda: _read_bedrock(session, cloudwatch, registry, window, notes), METRICS_RIGHT, NOT_COUNTED
        )
        per_delivery = None
    else:
        found = notes.attempt(lambda: _read_stack_metrics(cloudwatch, stack, since, notes), METRICS_RIGHT, NOT_COUNTED)
        per_delivery = _read_deliveries(session, stack, since, notes)
    log_group = _find_log_group(session, stack, notes)
    gigabytes = tokens = None
    if found is not None and log_group is not None and not is_young:
        gigabytes = _read_log_size(cloudwatch, log_group, since, is_new=stack is None, notes=notes)
    if found is not None and gigabytes is None:  # not logged yet, or only lately
        tokens = _sum_tokens(cloudwatch, window)
        notes.measured.append(f"{tokens:,.0f} tokens in the last {DAYS} days, from Bedrock's metrics, cached ones too.")
    return AccountUse(
        account=identity,
        region=session.region_name or "",
        window=window,
        parameters=stack.parameters if stack is not None else {},
        pools=None if found is None else found[0],
        calls=None if found is None else found[1],
        calls_per_delivery=per_delivery,
        log_group=log_group,
        log_gigabytes=gigabytes,
        tokens=tokens,
        measured=tuple(notes.measured),
        assumed=tuple(notes.assumed),
    )


def _find_stack(session: boto3.Session, name: str) -> Stack | None:
    """Return the stack, or None if there is none. Raises `LogSourceError` for a stack of another kind."""
    stack = read_stack_if_any(session, name)
    if stack is not None and "MetricsNamespace" not in stack.parameters:
        raise LogSourceError(f"The stack {name} is not a stack of this monitor. --stack-name sets another name.")
    return stack


def _begin_of_stack(stack: Stack | None, window: Window) -> int:
    """Return the first whole hour of a stack, but none before the window."""
    if stack is None or stack.created is None:
        return window.start
    return max(window.start, -(-int(stack.created.timestamp()) // HOUR) * HOUR)


# ---------------------------------------------------------------- calls and pools


def _read_bedrock(
    session: boto3.Session, cloudwatch: CloudWatchClient, registry: Registry, window: Window, notes: _Notes
) -> tuple[int, int]:
    """Return pools and calls as Bedrock's own metrics have them."""
    ids = _list_model_ids(cloudwatch)
    queries = {name: make_metric_query("q", BEDROCK, CALLS, {"ModelId": name}, period=HOUR) for name in ids}
    calls = {name: number for name, number in _sum_series(cloudwatch, queries, window).items() if number}
    pools: set[QuotaPool] = set()
    unknown = []
    for name in calls:
        pool = find_pool({"ModelId": name}, registry)
        if pool is None:
            unknown.append(name)
        else:
            pools.add(pool)
    if unknown:
        profiles = notes.attempt(
            lambda: list_application_profiles(session.client("bedrock")),
            PROFILE_ACTIONS[0],
            "So the quota pools behind application inference profiles are not counted.",
        )
        resolved = {arn.rpartition("/")[2]: reference for arn, reference in (profiles or {}).items()}
        keys = {each: each.rpartition("/")[2] for each in unknown}
        pools |= {_pool_of(resolved[key], registry) for key in keys.values() if key in resolved}
        lost = [each for each, key in keys.items() if key not in resolved]
        if lost:
            notes.assumed.append(
                f"{count(sum(calls[each] for each in lost), 'call')} went to ids of no known quota pool: "
                f"{', '.join(sorted(lost)[:_MOST_NAMED])}. They are counted as calls only."
            )
    total = round(sum(calls.values()))
    notes.measured.append(
        f"{count(total, 'call')} in {count(len(pools), 'quota pool')} in the last {DAYS} days, from Bedrock's metric "
        f"{CALLS}. Models without a call in the last two weeks are left out."
    )
    return len(pools), total


def _pool_of(reference: Reference, registry: Registry) -> QuotaPool:
    model = registry.find(reference.model_id)
    return QuotaPool(model.quota_model_id if model else reference.model_id, reference.endpoint_type)


def _list_model_ids(cloudwatch: CloudWatchClient) -> list[str]:
    pages = cloudwatch.get_paginator("list_metrics").paginate(Namespace=BEDROCK, MetricName=CALLS)
    found = {
        metric["Dimensions"][0]["Value"]
        for page in pages
        for metric in page["Metrics"]
        if [each["Name"] for each in metric["Dimensions"]] == ["ModelId"]
    }
    return sorted(found)


def _read_stack_metrics(cloudwatch: CloudWatchClient, stack: Stack, since: Window, notes: _Notes) -> tuple[int, int]:
    """Return pools and records as the stack's own metrics have them. The records of a part of a month are scaled."""
    namespace = stack.parameters["MetricsNamespace"]
    queries = {name: make_metric_query("q", namespace, name, period=HOUR) for name in OUTCOMES}
    records = sum(_sum_series(cloudwatch, queries, since).values())
    pools = len(list_pools_called(cloudwatch, namespace))
    hours = (since.end - since.start) // HOUR
    scaled = "" if hours >= DAYS * 24 else f", since the stack {stack.name} was created, scaled to {DAYS} days"
    notes.measured.append(
        f"{count(records, 'record')} in the last {hours:,} hours, from the stack's own metrics{scaled}. "
        f"{count(pools, 'quota pool')} in the last two weeks."
    )
    return pools, round(records * DAYS * 24 / hours)


def _read_deliveries(session: boto3.Session, stack: Stack, since: Window, notes: _Notes) -> float | None:
    """Return the mean number of calls per delivery, from the processor's log."""
    log_group = stack.resources.get("MetricProcessorLogGroup")
    part = Window(max(since.start, since.end - DELIVERY_DAYS * 24 * HOUR), since.end)
    if log_group is None:
        return None
    result = notes.attempt(
        lambda: run_query(session.client("logs"), log_group, DELIVERIES, part),
        QUERY_RIGHT,
        "So the number of calls per delivery is assumed.",
    )
    cells = {cell["field"]: float(cell["value"]) for row in (result.rows if result else []) for cell in row}
    if not cells.get("deliveries"):
        return None
    found = round(cells.get("received", 0.0) / cells["deliveries"], 1)
    notes.measured.append(
        f"{found:g} calls per delivery, from {count(cells['deliveries'], 'delivery', 'deliveries')} in the processor's "
        f"log of the last {DELIVERY_DAYS} days."
    )
    return max(1.0, found)


# ---------------------------------------------------------------- the invocation log


def _find_log_group(session: boto3.Session, stack: Stack | None, notes: _Notes) -> str | None:
    """Return the log group that Bedrock logs to, or None."""
    if stack is not None and "InvocationLogGroupName" in stack.outputs:
        return stack.outputs["InvocationLogGroupName"]
    configuration = notes.attempt(
        lambda: _read_configuration(session), LOGGING_ACTION, "So the estimate assumes that Bedrock logs nothing yet."
    )
    group: str | None = ((configuration or {}).get("cloudWatchConfig") or {}).get("logGroupName")
    if configuration is not None and group is None:
        notes.measured.append("Bedrock logs to no log group yet.")
    return group


def _read_log_size(
    cloudwatch: CloudWatchClient, group: str, part: Window, *, is_new: bool, notes: _Notes
) -> float | None:
    """Return the GB that a log group gets per month, or None if it got none yet, or too little to scale.

    `is_new` says that the logging may have begun within the window, which then counts from the first hour with data.
    """
    query = make_metric_query("q", "AWS/Logs", "IncomingBytes", {"LogGroupName": group}, period=HOUR)
    values = {at: number for at, number in _read_series(cloudwatch, {group: query}, part)[group] if number}
    gigabytes = sum(values.values()) / GIGABYTE
    begin = min(values, default=part.start) if is_new else part.start
    hours = (part.end - begin) // HOUR
    if values and hours < YOUNGEST_HOURS:
        notes.measured.append(
            f"The log group {group} has data since {count(hours, 'hour')} only. Its size is not used."
        )
        return None
    scaled = f", since its first data, scaled to {DAYS} days" if begin > part.start else ""
    notes.measured.append(
        f"{gigabytes:,.1f} GB in {hours:,} hours in the log group {group}, from IncomingBytes{scaled}."
    )
    return gigabytes * DAYS * 24 / hours if values else None


def _read_configuration(session: boto3.Session) -> Mapping[str, Any]:
    answer: Mapping[str, Any] = session.client("bedrock").get_model_invocation_logging_configuration()
    return answer.get("loggingConfig") or {}


def _sum_tokens(cloudwatch: CloudWatchClient, window: Window) -> float:
    queries = {
        f"{metric} {name}": make_metric_query("q", BEDROCK, metric, {"ModelId": name}, period=HOUR)
        for name in _list_model_ids(cloudwatch)
        for metric in TOKENS
    }
    return sum(_sum_series(cloudwatch, queries, window).values())


def _sum_series(
    cloudwatch: CloudWatchClient, queries: Mapping[str, MetricDataQueryTypeDef], window: Window
) -> dict[str, float]:
    """Return the sum of each metric over the window, by the name of its query."""
    series = _read_series(cloudwatch, queries, window)
    return {name: sum(number for _, number in values) for name, values in series.items()}


def _read_series(
    cloudwatch: CloudWatchClient, queries: Mapping[str, MetricDataQueryTypeDef], window: Window
) -> dict[str, list[tuple[int, float]]]:
    """Return the time and the value of each hour of each metric, by the name of its query."""
    names = list(queries)
    series: dict[str, list[tuple[int, float]]] = {name: [] for name in names}
    for first in range(0, len(names), MAX_QUERIES):
        part = names[first : first + MAX_QUERIES]
        numbered: list[MetricDataQueryTypeDef] = [
            {**queries[name], "Id": f"q{number}"} for number, name in enumerate(part)
        ]
        pages = cloudwatch.get_paginator("get_metric_data").paginate(
            MetricDataQueries=numbered,
            StartTime=datetime.fromtimestamp(window.start, UTC),
            EndTime=datetime.fromtimestamp(window.end, UTC),
        )
        for page in pages:
            for result in page["MetricDataResults"]:
                times = (int(at.timestamp()) for at in result["Timestamps"])
                series[part[int(result["Id"][1:])]] += zip(times, result["Values"], strict=True)
    return series
