"""Queries of GetMetricData of CloudWatch. The fetcher and the command line make them here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef


MAX_QUERIES = 500
"""Most queries per GetMetricData call (API reference, read 2026-11-23)."""


def make_metric_query(
    query_id: str,
    namespace: str,
    metric: str,
    dimensions: Mapping[str, str] | None = None,
    *,
    period: int = 60,
    statistic: str = "Sum",
) -> MetricDataQueryTypeDef:
    """Return a query of GetMetricData for one metric."""
    return {
        "Id": query_id,
        "MetricStat": {
            "Metric": {
                "Namespace": namespace,
                "MetricName": metric,
                "Dimensions": [{"Name": name, "Value": value} for name, value in (dimensions or {}).items()],
            },
            "Period": period,
            "Stat": statistic,
        },
    }
