"""A metric line: one line of JSON in CloudWatch's embedded metric format (EMF).

Rules: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
(read 2026-11-23): at most 100 values a metric, dimension targets at the root, `Timestamp` in milliseconds.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

import msgspec

from bedrock_quota.accounts import Account, FailedCall
from bedrock_quota.buckets import Bucket
from bedrock_quota.changes import Change
from bedrock_quota.minutes import Minute
from bedrock_quota.quotas import BucketQuota

MAX_VALUES = 100
"""Values one metric may hold on one line."""

BUCKET_DIMENSIONS = ("ModelId", "EndpointType")

_encode = msgspec.json.encode


def _directive(
    namespace: str, seconds: float, dimensions: tuple[str, ...], metrics: Iterable[tuple[str, str]]
) -> dict[str, Any]:
    return {
        "Timestamp": int(seconds * 1000),
        "CloudWatchMetrics": [
            {
                "Namespace": namespace,
                "Dimensions": [dimensions],
                "Metrics": [{"Name": name, "Unit": unit} for name, unit in metrics],
            }
        ],
    }


def of_minutes(minutes: Iterable[Minute], namespace: str, quotas: Mapping[Bucket, BucketQuota]) -> Iterator[bytes]:
    """Yield the metric lines of all minutes: one a minute and kind of caller, more where it has over 100 calls."""
    for minute in minutes:
        for start in range(0, len(minute.accounts), MAX_VALUES):
            accounts = minute.accounts[start : start + MAX_VALUES]
            yield _of_calls(minute, accounts, namespace, quotas.get(minute.key.bucket, BucketQuota()))


def _of_calls(minute: Minute, accounts: tuple[Account, ...], namespace: str, quota: BucketQuota) -> bytes:
    key, first = minute.key, accounts[0]
    consumed = [account.consumed_tokens for account in accounts]
    reserved = [tokens for account in accounts if (tokens := account.reserved_tokens) is not None]
    metrics: dict[str, tuple[str, Any]] = {"ConsumedTokens": ("Count", consumed)}
    if reserved:
        metrics["ReservedTokens"] = ("Count", reserved)
    if not key.blocked:
        metrics["OutputTokens"] = ("Count", [account.output_tokens for account in accounts])
        if reserved:
            metrics["MaxTokens"] = ("Count", [account.max_tokens for account in accounts])
    # Each call adds its share, so the sum over a minute is the percentage: one value says it for all of them.
    if quota.tokens_per_minute:
        metrics["ConsumedQuotaPercent"] = ("Percent", 100 * sum(consumed) / quota.tokens_per_minute)
        if reserved:
            metrics["ReservedQuotaPercent"] = ("Percent", 100 * sum(reserved) / quota.tokens_per_minute)
    if quota.requests_per_minute:
        metrics["RequestQuotaPercent"] = ("Percent", 100 * len(accounts) / quota.requests_per_minute)
    # The quota stands at every minute with a call, not just where the fetcher ran: a graph needs no gap filled.
    metrics |= {name: ("Count", value) for name, value in _quota_metrics(quota).items()}
    line: dict[str, Any] = {
        "_aws": _directive(
            namespace, key.minute, BUCKET_DIMENSIONS, [(name, unit) for name, (unit, _) in metrics.items()]
        ),
        "ModelId": key.bucket.model_id,
        "EndpointType": key.bucket.endpoint_type,
        **{name: value for name, (_, value) in metrics.items()},
        "caller": key.caller,
        "operation": key.operation,
        "max_tokens_source": key.source,
        "burndown_rate": first.burndown.rate,
        "burndown_status": first.burndown.status,
        "requests": len(accounts),
        "input_tokens": sum(account.input_tokens for account in accounts),
        "cache_read_tokens": sum(account.cache_read_tokens for account in accounts),
        "cache_write_tokens": sum(account.cache_write_tokens for account in accounts),
        "output_tokens": sum(account.output_tokens for account in accounts),
        "consumed_tokens": sum(consumed),
    }
    if reserved:
        line["reserved_tokens"] = sum(reserved)
    if key.application_profile:
        line["application_profile"] = key.application_profile
    if key.request_metadata:
        line["request_metadata"] = dict(key.request_metadata)
    if key.blocked:
        line["blocked"] = True
    return _encode(line)


def _quota_metrics(quota: BucketQuota) -> dict[str, float]:
    """Return the quota metrics of a bucket: none where there is no such quota, 0 where it is 0."""
    values = {"TokenQuota": quota.tokens_per_minute, "RequestQuota": quota.requests_per_minute}
    return {name: value for name, value in values.items() if value is not None}


def of_failed_calls(
    failed: Iterable[FailedCall], namespace: str, quotas: Mapping[Bucket, BucketQuota]
) -> Iterator[bytes]:
    """Yield one line for each kind of failed call, for queries in Logs Insights.

    It is a metric line only for the quota of the bucket: a quota of 0, where every call fails, shows nowhere else.
    """
    for call, count in Counter(failed).items():
        line: dict[str, Any] = {"event": "failed_calls", "minute": call.minute * 1000}
        if call.bucket is not None:
            line |= {"ModelId": call.bucket.model_id, "EndpointType": call.bucket.endpoint_type}
            metrics = _quota_metrics(quotas.get(call.bucket, BucketQuota()))
            if metrics:
                named = [(name, "Count") for name in metrics]
                line |= {"_aws": _directive(namespace, call.minute, BUCKET_DIMENSIONS, named), **metrics}
        yield _encode(
            {
                **line,
                "caller": call.caller,
                "operation": call.operation,
                "error_code": call.error_code,
                "requests_failed": count,
            }
        )


def of_health(
    namespace: str,
    seconds: float,
    metrics: Mapping[str, float],
    units: Mapping[str, str],
    properties: Mapping[str, Any],
) -> bytes:
    """Return the line of health metrics: no dimensions, and what else is worth knowing as properties."""
    directive = _directive(namespace, seconds, (), [(name, units.get(name, "Count")) for name in metrics])
    return _encode({"_aws": directive, **metrics, **properties})


def of_quotas(
    namespace: str, seconds: float, quotas: Mapping[Bucket, BucketQuota], changes: Iterable[Change] = ()
) -> Iterator[bytes]:
    """Yield a line a bucket with its quotas; a quota of 0 is published as 0.

    As properties: the daily quota, for a quota that changed what it was before, and `quota_note`, which says in words
    what no line on a graph can. A bucket without a quota is such a note alone, and no metric.
    """
    before: dict[Bucket, dict[str, float | None]] = {}
    for change in changes:
        before.setdefault(change.bucket, {})[f"previous_{change.unit}"] = change.before
    for bucket, quota in quotas.items():
        metrics = _quota_metrics(quota)
        line: dict[str, Any] = {"ModelId": bucket.model_id, "EndpointType": bucket.endpoint_type, **metrics}
        if metrics:
            named = [(name, "Count") for name in metrics]
            line = {"_aws": _directive(namespace, seconds, BUCKET_DIMENSIONS, named), **line}
        if quota.tokens_per_day is not None:
            line["tokens_per_day"] = quota.tokens_per_day
        note = _note(quota)
        if note is not None:
            line["quota_note"] = note
        yield _encode(line | before.get(bucket, {}))


def _note(quota: BucketQuota) -> str | None:
    """Say what a graph cannot show: a limit of 0, and that there is none."""
    tokens, requests = quota.tokens_per_minute, quota.requests_per_minute
    if 0 in (tokens, requests, quota.tokens_per_day):
        return "a quota of 0: this account may not call it in this Region; ask for more in Service Quotas"
    if tokens is None and requests is None:
        return "no quota by the minute is known for it, so no percentages are shown"
    if requests is None:
        return "no quota on requests: AWS limits its tokens alone"
    if tokens is None:
        return "no quota on tokens: AWS limits its requests alone"
    return None


LINES_AT_A_TIME = 256
"""Written in one piece: few system calls, and no second copy of all the lines of a large delivery."""


def write(written: Sequence[bytes], to: TextIO) -> None:
    """Write lines where Lambda reads them: to standard output."""
    for start in range(0, len(written), LINES_AT_A_TIME):
        to.write(b"".join(line + b"\n" for line in written[start : start + LINES_AT_A_TIME]).decode())
    to.flush()
