"""Traffic that the doctor reads from CloudWatch: Bedrock's calls, what became of their records, reserved capacity."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from bedrock_quota.fetcher import burndown_drift
from bedrock_quota.fetcher.metric_data import make_metric_query
from quota_monitor.aws_session import Stack
from quota_monitor.deployed.metrics import OUTCOMES
from quota_monitor.doctor import observed

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

_MAX_TIER_METRICS = 5_000
"""Most metrics that are searched for reserved capacity: ten calls of ListMetrics."""


def collect_traffic(client: CloudWatchClient, stack: Stack, now: datetime) -> observed.Traffic:
    """Return the calls, records and failed fetches of the last `HOURS`. Propagates botocore errors."""
    ours = stack.parameters.get("MetricsNamespace", "")
    fetcher = {"FunctionName": stack.resources.get("QuotaFetcherFunction", "")}
    seconds = int(observed.PERIOD.total_seconds())
    queries = {
        **{
            name: make_metric_query(name.lower(), ours, name, period=seconds)
            for name in (*OUTCOMES, "MaxTokensUnknown")
        },
        "Invocations": make_metric_query("calls", "AWS/Bedrock", "Invocations", period=seconds),
        "Errors": make_metric_query("errors", "AWS/Lambda", "Errors", fetcher, period=seconds),
    }
    series: dict[str, dict[datetime, float]] = {query["Id"]: {} for query in queries.values()}
    pages = client.get_paginator("get_metric_data").paginate(
        StartTime=now - timedelta(hours=observed.HOURS), EndTime=now, MetricDataQueries=list(queries.values())
    )
    for page in pages:
        for found in page["MetricDataResults"]:
            values = zip(found["Timestamps"], found["Values"], strict=True)
            series[found["Id"]] |= {at: value for at, value in values if value > 0}
    read = {name: series[query["Id"]] for name, query in queries.items()}
    return observed.Traffic(
        calls=tuple(read["Invocations"]),
        records=tuple({at for name in OUTCOMES for at in read[name]}),
        processed=sum(read["RecordsProcessed"].values()),
        rejected=sum(read["RecordsRejected"].values()),
        unknown=sum(read["MaxTokensUnknown"].values()),
        last_failed_fetch=max(read["Errors"], default=None),
    )


def collect_reserved_models(client: CloudWatchClient) -> tuple[str, ...]:
    """Return the models with a metric of the tier `reserved`. ListMetrics has the metrics of the last two weeks.

    Bedrock's metrics have the dimension `ResolvedServiceTier` (Bedrock User Guide, Monitoring the bedrock-runtime
    endpoint, read 2026-11-28). The case of its values has not been seen.
    """
    pages = client.get_paginator("list_metrics").paginate(
        Namespace=burndown_drift.NAMESPACE,
        Dimensions=[{"Name": "ResolvedServiceTier"}],
        PaginationConfig={"MaxItems": _MAX_TIER_METRICS},
    )
    found = set()
    for page in pages:
        for metric in page["Metrics"]:
            dimensions = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
            if dimensions.get("ResolvedServiceTier", "").casefold() == "reserved" and "ModelId" in dimensions:
                found.add(dimensions["ModelId"])
    return tuple(sorted(found))
