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

COMPLETED_CALLS = "InvocationLatency"
"""Has a sample per completed call, as in `NoRecordsAlarm`. AWS's pages differ on failed calls in `Invocations`."""

_MAX_LISTED = 5_000
"""Most metrics of Bedrock that are listed: ten calls of ListMetrics."""

_MAX_MODELS = 400
"""Most ids of models whose calls are read, so that all queries are in one call of GetMetricData."""


def collect_traffic(client: CloudWatchClient, stack: Stack, now: datetime) -> observed.Traffic:
    """Return the calls, records and failed fetches of the last `HOURS`. Propagates botocore errors."""
    ours = stack.parameters.get("MetricsNamespace", "")
    called = {f"calls{number}": model_id for number, model_id in enumerate(_list_called_models(client))}
    fetcher = {"FunctionName": stack.resources.get("QuotaFetcherFunction", "")}
    seconds = int(observed.PERIOD.total_seconds())
    queries = {
        **{
            name: make_metric_query(name.lower(), ours, name, period=seconds)
            for name in (*OUTCOMES, "MaxTokensUnknown")
        },
        "Errors": make_metric_query("errors", "AWS/Lambda", "Errors", fetcher, period=seconds),
        **{
            query_id: make_metric_query(
                query_id,
                burndown_drift.NAMESPACE,
                COMPLETED_CALLS,
                {"ModelId": model_id},
                period=seconds,
                statistic="SampleCount",
            )
            for query_id, model_id in called.items()
        },
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
        calls=tuple(sorted({at for query_id in called for at in read[query_id]})),
        records=tuple({at for name in OUTCOMES for at in read[name]}),
        processed=sum(read["RecordsProcessed"].values()),
        rejected=sum(read["RecordsRejected"].values()),
        unknown=sum(read["MaxTokensUnknown"].values()),
        last_failed_fetch=max(read["Errors"], default=None),
    )


def _list_called_models(client: CloudWatchClient) -> list[str]:
    """Return the ids that callers passed in the last two weeks, at most `_MAX_MODELS`.

    `ModelId` is a dimension of all metrics (Bedrock User Guide, Monitor bedrock-runtime inference using CloudWatch
    metrics, read 2026-11-28). The page names no series of all models.
    """
    pages = client.get_paginator("list_metrics").paginate(
        Namespace=burndown_drift.NAMESPACE,
        MetricName=COMPLETED_CALLS,
        Dimensions=[{"Name": "ModelId"}],
        PaginationConfig={"MaxItems": _MAX_LISTED},
    )
    found = {
        metric["Dimensions"][0]["Value"]
        for page in pages
        for metric in page["Metrics"]
        if len(metric["Dimensions"]) == 1
    }
    return sorted(found)[:_MAX_MODELS]


def collect_reserved_models(client: CloudWatchClient) -> tuple[str, ...]:
    """Return the models with a metric of the tier `reserved`. ListMetrics has the metrics of the last two weeks.

    Bedrock's metrics have the dimension `ResolvedServiceTier` (Bedrock User Guide, Monitoring the bedrock-runtime
    endpoint, read 2026-11-28). The case of its values has not been seen.
    """
    pages = client.get_paginator("list_metrics").paginate(
        Namespace=burndown_drift.NAMESPACE,
        Dimensions=[{"Name": "ResolvedServiceTier"}],
        PaginationConfig={"MaxItems": _MAX_LISTED},
    )
    found = set()
    for page in pages:
        for metric in page["Metrics"]:
            dimensions = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
            if dimensions.get("ResolvedServiceTier", "").casefold() == "reserved" and "ModelId" in dimensions:
                found.add(dimensions["ModelId"])
    return tuple(sorted(found))
