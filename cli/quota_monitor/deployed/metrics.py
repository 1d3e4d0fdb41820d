"""Metrics of a deployed stack, read from CloudWatch."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from bedrock_quota.analysis.usage import PoolMinute
from bedrock_quota.fetcher.aws_sources import list_pools_called
from bedrock_quota.fetcher.metric_data import MAX_QUERIES, make_metric_query
from bedrock_quota.pools import PoolQuota, QuotaPool
from quota_monitor.window import Window, make_window

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef

QUOTA_PUBLISHED_WITHIN = timedelta(hours=3)
"""The fetcher runs every 174 minutes, so each quota has a value within three hours."""

OUTCOMES = ("RecordsProcessed", "RecordsRejected", "RecordsOutOfScope", "RequestsFailed")
"""Each record counts in exactly one of these metrics, unless it is ignored or waits for its body."""


def sums(cloudwatch: CloudWatchClient, namespace: str, names: Iterable[str], window: Window) -> dict[str, float]:
    """Return the sum of each metric over the window. These metrics have no dimensions."""
    series = {Series(name, "Sum"): name for name in names}
    found = read(cloudwatch, namespace, series, window)
    return {name: sum(found[each].values()) for each, name in series.items()}


def has_calls(cloudwatch: CloudWatchClient, namespace: str, window: Window) -> bool:
    """Return True if any quota pool had a call in the window."""
    series = [Series("ConsumedTokens", "SampleCount", each) for each in list_pools_called(cloudwatch, namespace)]
    return any(read(cloudwatch, namespace, series, window).values())


class Series(msgspec.Struct, frozen=True):
    """A metric and its statistic per minute. `pool` is None for a metric without dimensions."""

    metric: str
    statistic: str
    pool: QuotaPool | None = None


def read(
    cloudwatch: CloudWatchClient, namespace: str, series: Iterable[Series], window: Window
) -> dict[Series, dict[datetime, float]]:
    """Return the values of each series by minute. A series without values is empty."""
    wanted = list(series)
    found: dict[Series, dict[datetime, float]] = {each: {} for each in wanted}
    for first in range(0, len(wanted), MAX_QUERIES):
        part = wanted[first : first + MAX_QUERIES]
        pages = cloudwatch.get_paginator("get_metric_data").paginate(
            MetricDataQueries=[_query(f"q{index}", namespace, each) for index, each in enumerate(part)],
            StartTime=window.starts_at,
            EndTime=window.ends_at,
        )
        for page in pages:
            for result in page["MetricDataResults"]:
                values = found[part[int(result["Id"][1:])]]
                for moment, value in zip(result["Timestamps"], result["Values"], strict=True):
                    values[moment.astimezone(UTC)] = value
    return found


def _query(query_id: str, namespace: str, series: Series) -> MetricDataQueryTypeDef:
    pool = series.pool
    dimensions = {"ModelId": pool.model_id, "EndpointType": str(pool.endpoint_type)} if pool else {}
    return make_metric_query(query_id, namespace, series.metric, dimensions, statistic=series.statistic)


def read_minutes(
    cloudwatch: CloudWatchClient, namespace: str, pools: Iterable[QuotaPool], window: Window
) -> dict[QuotaPool, tuple[PoolMinute, ...]]:
    """Return the minutes with calls of each pool. Propagates botocore errors."""
    series_of = {
        pool: tuple(
            Series(metric, statistic, pool)
            for metric, statistic in (
                ("ReservedTokens", "Sum"),
                ("ConsumedTokens", "Sum"),
                ("ConsumedTokens", "SampleCount"),
                ("ReservedTokens", "SampleCount"),
            )
        )
        for pool in pools
    }
    values = read(cloudwatch, namespace, [each for series in series_of.values() for each in series], window)
    minutes = {}
    for pool, (reserved, consumed, requests, known) in series_of.items():
        minutes[pool] = tuple(
            PoolMinute(
                minute=int(minute.timestamp()),
                reserved_tokens=values[reserved].get(minute, 0.0),
                consumed_tokens=values[consumed].get(minute, 0.0),
                requests=round(count),
                known_requests=round(values[known].get(minute, 0.0)),
            )
            for minute, count in sorted(values[requests].items())
        )
    return minutes


def read_quotas(
    cloudwatch: CloudWatchClient, namespace: str, pools: Iterable[QuotaPool], now: datetime
) -> dict[QuotaPool, PoolQuota]:
    """Return the newest published quotas of each pool. Propagates botocore errors."""
    minute = now.replace(second=0, microsecond=0)
    series = {Series(name, "Maximum", pool): (pool, name) for pool in pools for name in ("TokenQuota", "RequestQuota")}
    window = make_window(minute - QUOTA_PUBLISHED_WITHIN, minute + timedelta(minutes=1))
    values = read(cloudwatch, namespace, series, window)
    newest = {key: values[each][max(values[each])] for each, key in series.items() if values[each]}
    return {
        pool: PoolQuota(newest.get((pool, "TokenQuota")), newest.get((pool, "RequestQuota")))
        for pool in {pool for pool, _ in newest}
    }
