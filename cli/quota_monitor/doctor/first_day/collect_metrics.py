"""Evidence of metrics: values of our own, dimensions and counts of AWS's. This only reads from AWS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from bedrock_quota.fetcher.metric_data import make_metric_query
from quota_monitor.aws_session import Stack
from quota_monitor.deployed.metrics import Series, read
from quota_monitor.doctor.first_day.evidence import Counts, Dimensions, FailurePath, MetricLines, MetricValues, Total
from quota_monitor.doctor.first_day.failure_test import PREFIX
from quota_monitor.doctor.first_day.questions.metrics import VENDED_METRICS
from quota_monitor.window import make_window

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef

MAX_METRICS = 5_000
"""Most metrics that are listed per name: ten calls of ListMetrics."""

COUNT_HOURS = 24
SET_UP = timedelta(minutes=30)
"""Time from the beginning of a stack's creation, after which every call is logged. The set-up may take 26 minutes."""

RECORDS_ARRIVE = timedelta(minutes=30)
"""Age of a call whose record must be there."""

_PERIOD = 300
"""Seconds of a period of the counts."""

TWO_WEEKS = timedelta(days=14)
"""ListMetrics has the metrics of two weeks, and failed deliveries are kept for as long."""


def read_values(client: CloudWatchClient, namespace: str, lines: MetricLines) -> MetricValues:
    """Read the metrics of the minutes that the lines have."""
    minutes = sorted({*lines.processed, *(minute for each in lines.consumed.values() for minute in each)})
    if not minutes:
        return MetricValues()
    window = make_window(minutes[0], minutes[-1] + timedelta(minutes=1))
    pools = (None, *lines.consumed)
    wanted = {
        pool: tuple(
            Series("RecordsProcessed" if pool is None else "ConsumedTokens", statistic, pool)
            for statistic in ("Sum", "SampleCount")
        )
        for pool in pools
    }
    found = read(client, namespace, [series for both in wanted.values() for series in both], window)
    totals = {
        pool: {minute: Total(total, round(found[counts].get(minute, 0))) for minute, total in found[sums].items()}
        for pool, (sums, counts) in wanted.items()
    }
    processed = totals.pop(None)
    return MetricValues(processed, {pool: each for pool, each in totals.items() if pool is not None})


def _sum(
    client: CloudWatchClient, queries: Iterable[Mapping[str, Any]], start: datetime, end: datetime
) -> dict[str, float]:
    """Return the sum of each query over a time range, 0 without values."""
    given: Any = list(queries)
    sums = {query["Id"]: 0.0 for query in given}
    pages = client.get_paginator("get_metric_data").paginate(MetricDataQueries=given, StartTime=start, EndTime=end)
    for page in pages:
        for result in page["MetricDataResults"]:
            sums[result["Id"]] = sums.get(result["Id"], 0.0) + sum(result["Values"])
    return sums


def read_refused(client: CloudWatchClient, stack: Stack, now: datetime) -> float:
    """Return how many metric lines CloudWatch has refused in two weeks. Propagates botocore errors."""
    groups = [stack.resources[name] for name in ("MetricProcessorLogGroup", "QuotaFetcherLogGroup")]
    names = ("EMFParsingErrors", "EMFValidationErrors")
    queries = [
        make_metric_query(f"q{number}{name.lower()}", "AWS/Logs", name, {"LogGroupName": group}, period=3600)
        for number, group in enumerate(groups)
        for name in names
    ]
    return sum(_sum(client, queries, now - TWO_WEEKS, now).values())


def read_failure_path(session: boto3.Session, stack: Stack, now: datetime) -> FailurePath:
    """Read where failed deliveries go, and what became of those of two weeks. Propagates botocore errors."""
    function, bucket = stack.resources["MetricProcessorFunction"], stack.resources["FailedDeliveriesBucket"]
    config: Any = session.client("lambda").get_function_event_invoke_config(FunctionName=function, Qualifier="$LATEST")
    destination = config.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination", "")
    kept = session.client("s3").list_objects_v2(Bucket=bucket, Prefix=PREFIX, MaxKeys=1)
    names = {"dropped": "AsyncEventsDropped", "failures": "DestinationDeliveryFailures"}
    queries = [
        make_metric_query(query_id, "AWS/Lambda", name, {"FunctionName": function}, period=3600)
        for query_id, name in names.items()
    ]
    sums = _sum(session.client("cloudwatch"), queries, now - TWO_WEEKS, now)
    return FailurePath(is_bucket=destination == stack.bucket_arn(bucket), kept=bool(kept.get("Contents")), **sums)


def read_dimensions(client: CloudWatchClient) -> Dimensions:
    """Read the names of the dimensions of each vended metric. Propagates botocore errors."""
    of_metrics, tiers = {}, set()
    for metric in VENDED_METRICS:
        namespace, _, name = metric.partition(" ")
        pages = client.get_paginator("list_metrics").paginate(
            Namespace=namespace, MetricName=name, PaginationConfig={"MaxItems": MAX_METRICS}
        )
        found = [
            {each["Name"]: each["Value"] for each in one["Dimensions"]} for page in pages for one in page["Metrics"]
        ]
        of_metrics[metric] = tuple(sorted({tuple(sorted(each)) for each in found}))
        tiers |= {each["ResolvedServiceTier"] for each in found if "ResolvedServiceTier" in each}
    return Dimensions(of_metrics, frozenset(tiers))


def read_counts(client: CloudWatchClient, stack: Stack, now: datetime) -> Counts:
    """Read Bedrock's counts of all models, and ours, of the last day. Propagates botocore errors.

    Both begin when the stack logs every call, and end before the calls whose records may still come.
    """
    start, end = _counted(stack, now - timedelta(hours=COUNT_HOURS), now)
    if start >= end:
        return Counts(whole=False)
    namespace = stack.parameters.get("MetricsNamespace", "")
    theirs = {
        "invocations": "Invocations",
        "client_errors": "InvocationClientErrors",
        "server_errors": "InvocationServerErrors",
    }
    ours = {"processed": "RecordsProcessed", "out_of_scope": "RecordsOutOfScope", "tests": "AlarmTests"}
    queries = [_search_all_models(query_id, name, stack) for query_id, name in theirs.items()]
    queries += [make_metric_query(query_id, namespace, name, period=_PERIOD) for query_id, name in ours.items()]
    found = _sum(client, queries, start, end)
    return Counts(
        invocations=found["invocations"],
        errors=found["client_errors"] + found["server_errors"],
        answered=found["processed"] + found["out_of_scope"] - found["tests"],
    )


def read_throttles(client: CloudWatchClient, stack: Stack, lines: MetricLines, now: datetime) -> float:
    """Return how many calls Bedrock throttled while the lines were written. Propagates botocore errors.

    Calls whose records may still come are left out, as in `read_counts`.
    """
    start, end = _counted(stack, lines.since or now, now)
    if start >= end:
        return 0
    return _sum(client, [_search_all_models("throttles", "InvocationThrottles", stack)], start, end)["throttles"]


def _counted(stack: Stack, start: datetime, now: datetime) -> tuple[datetime, datetime]:
    """Return the whole periods from `start` on of which all records have come. There are none if the end is first."""
    since = start if stack.created is None else max(start, stack.created + SET_UP)
    return _cut(since + timedelta(seconds=_PERIOD - 1)), _cut(now - RECORDS_ARRIVE)


def _cut(moment: datetime) -> datetime:
    return datetime.fromtimestamp(moment.timestamp() // _PERIOD * _PERIOD, UTC)


def _search_all_models(query_id: str, metric: str, stack: Stack) -> MetricDataQueryTypeDef:
    """Return the query of Bedrock's metric, added up over all models of this account.

    A search in a CloudWatch monitoring account finds the metrics of linked accounts, too, unless it names `LOCAL`
    (CloudWatch User Guide, CloudWatch search expression syntax, read 2026-11-28).
    """
    own = ' :aws.AccountId="LOCAL"' if stack.parameters.get("MonitoringAccount") == "yes" else ""
    search = f"SEARCH('{{AWS/Bedrock,ModelId}} MetricName=\"{metric}\"{own}', 'Sum', {_PERIOD})"
    return {"Id": query_id, "Expression": f"SUM({search})"}


def read_overrides(client: CloudWatchClient, stack: Stack, now: datetime) -> float:
    """Return how often the rule of the overrides started the fetcher in two weeks. Propagates botocore errors."""
    rule = {"RuleName": stack.resources["QuotaFetcherFunctionOverridesChanged"]}
    query = make_metric_query("started", "AWS/Events", "Invocations", rule, period=3600)
    return _sum(client, [query], now - TWO_WEEKS, now)["started"]
