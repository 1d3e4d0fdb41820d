"""The boundary between older records and those that the stack's subscription delivers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from quota_monitor.analyze.publish.errors import PublishError
from quota_monitor.aws_session import Stack
from quota_monitor.program import own_command

if TYPE_CHECKING:
    import boto3

METRIC_DAYS = 15
"""Days for which CloudWatch keeps data points of one minute (API reference of GetMetricData, read 2026-11-28)."""

FIRST_LAG_SECONDS = 600
"""Time after the first delivery in which its lag is looked for."""

_HOUR = 3_600


def find_boundary(session: boto3.Session, stack: Stack, now: datetime) -> int:
    """Return the time before which an event must have been ingested to be older than the stack, in ms since the epoch.

    The subscription delivers events that are ingested after its creation. If the metrics show that a delivery was
    processed before, as by an earlier stack with this namespace, the start of its oldest call is the boundary.

    Raises `PublishError` if there is no subscription. Propagates botocore errors.
    """
    group = stack.outputs["InvocationLogGroupName"]
    name = f"{stack.name}-metric-processor"
    filters = session.client("logs").describe_subscription_filters(logGroupName=group, filterNamePrefix=name)
    created = [each["creationTime"] for each in filters["subscriptionFilters"] if each["filterName"] == name]
    if not created:
        raise PublishError(
            f"The log group {group} has no subscription filter {name}, so its records do not reach the stack. "
            f"Run `{own_command('doctor', '--region', stack.region, '--stack-name', stack.name)}`."
        )
    first = find_first_processed(session, stack.parameters["MetricsNamespace"], now)
    if first is None or (first.minute + 60) * 1000 > created[0]:
        return created[0]
    return min(created[0], first.oldest * 1000)


class FirstProcessed(msgspec.Struct, frozen=True):
    """The minute in which the first delivery was processed, and the start of its oldest call, in seconds."""

    minute: int
    oldest: int


def find_first_processed(session: boto3.Session, namespace: str, now: datetime) -> FirstProcessed | None:
    """Return the first delivery that the health metrics of a namespace show. Published ones are not in these metrics.

    Propagates botocore errors.
    """
    end = int(now.timestamp())
    pages = (
        session.client("cloudwatch")
        .get_paginator("get_metric_data")
        .paginate(
            StartTime=datetime.fromtimestamp((end - METRIC_DAYS * 24 * _HOUR) // _HOUR * _HOUR + _HOUR, UTC),
            EndTime=now,
            ScanBy="TimestampAscending",
            MetricDataQueries=[
                _query("deliveries", namespace, "RecordsProcessed", "SampleCount"),
                _query("lag", namespace, "RecordLagSeconds", "Maximum"),
            ],
        )
    )
    values: dict[str, dict[int, float]] = {"deliveries": {}, "lag": {}}
    for page in pages:
        for found in page["MetricDataResults"]:
            minutes = (int(each.timestamp()) for each in found["Timestamps"])
            values[found["Id"]].update(zip(minutes, found["Values"], strict=True))
    if not values["deliveries"]:
        return None
    first = min(values["deliveries"])
    starts = [minute - lag for minute, lag in values["lag"].items() if minute <= first + FIRST_LAG_SECONDS]
    return FirstProcessed(first, int(min([first, *starts])))


def _query(name: str, namespace: str, metric: str, statistic: str) -> Any:
    metric_stat = {"Metric": {"Namespace": namespace, "MetricName": metric}, "Period": 60, "Stat": statistic}
    return {"Id": name, "MetricStat": metric_stat}
