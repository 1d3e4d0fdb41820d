"""A metric line: one line of JSON in CloudWatch's embedded metric format (EMF).

Rules: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
(read 2026-11-23): dimension targets at the root, `Timestamp` in milliseconds.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

import msgspec

from bedrock_quota.processor.usage import CallUsage, FailedCall
from bedrock_quota.pools import EndpointType, QuotaPool
from bedrock_quota.fetcher.changes import Change
from bedrock_quota.processor.max_tokens import Source
from bedrock_quota.processor.grouping import GroupedCalls, MAX_GROUPS, MAX_OTHER_GROUPS, OTHER
from bedrock_quota.pools import PoolQuota
from bedrock_quota.registry.models import RateStatus

MAX_VALUES_PER_LINE = 32
"""Values of one metric on a line. The format takes 100, but each is a field of its own to Logs Insights, which finds no
more than 200 of a line (CloudWatch Logs User Guide, "Supported logs and discovered fields", read 2026-11-24)."""

NO_QUOTA = PoolQuota()

POOL_DIMENSIONS = ("ModelId", "EndpointType")

UNITS = {
    "ConsumedQuotaPercent": "Percent",
    "ReservedQuotaPercent": "Percent",
    "RequestQuotaPercent": "Percent",
    "RecordLagSeconds": "Seconds",
}
"""Of the metrics that are no `Count`."""

_encode = msgspec.json.Encoder().encode


class _Directive(msgspec.Struct, frozen=True, gc=False, rename="pascal"):
    """What makes metrics of a line's members: their time, in milliseconds, and all the rest, encoded."""

    timestamp: int
    cloud_watch_metrics: msgspec.Raw


def _directive(namespace: str, seconds: float, dimensions: tuple[str, ...], metrics: Iterable[str]) -> _Directive:
    """Return what makes metrics of a line's members with these names."""
    return _Directive(int(seconds * 1000), _definitions(namespace, dimensions, tuple(metrics)))


@functools.lru_cache(maxsize=256)
def _definitions(namespace: str, dimensions: tuple[str, ...], metrics: tuple[str, ...]) -> msgspec.Raw:
    """Return all of a directive but its time, encoded: few differ, and to encode it is half of a line's work."""
    named = [{"Name": name, "Unit": UNITS.get(name, "Count")} for name in metrics]
    return msgspec.Raw(_encode([{"Namespace": namespace, "Dimensions": [dimensions], "Metrics": named}]))


def lines_for_groups(minutes: Iterable[GroupedCalls], namespace: str, quotas: Mapping[QuotaPool, PoolQuota]) -> Iterator[bytes]:
    """Yield the metric lines of all minutes: one a minute and kind of caller, more where it has over `MAX_VALUES`."""
    for minute in minutes:
        for start in range(0, len(minute.accounts), MAX_VALUES_PER_LINE):
            accounts = minute.accounts[start : start + MAX_VALUES_PER_LINE]
            yield _of_calls(minute, accounts, namespace, quotas.get(minute.group.pool, NO_QUOTA))


class _CallsLine(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The line of calls of one kind in one minute. What is none, 0 or as ever is left out: bytes cost."""

    model_id: str = msgspec.field(name="ModelId")
    endpoint_type: EndpointType = msgspec.field(name="EndpointType")
    caller: str
    operation: str
    max_tokens_source: Source
    requests: int
    input_tokens: int
    output_tokens: int
    consumed_tokens: float
    reserved_tokens: int | None = None
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    burndown_status: RateStatus | None = None
    application_profile: str = ""
    request_metadata: dict[str, str] | None = None
    blocked: bool = False
    # Last what has many fields: a query must find all the others.
    directive: _Directive | None = msgspec.field(name="_aws", default=None)
    consumed: list[float] | None = msgspec.field(name="ConsumedTokens", default=None)
    reserved: list[int] | None = msgspec.field(name="ReservedTokens", default=None)
    output: list[int] | None = msgspec.field(name="OutputTokens", default=None)
    limits: list[int | None] | None = msgspec.field(name="MaxTokens", default=None)
    consumed_percent: float | None = msgspec.field(name="ConsumedQuotaPercent", default=None)
    reserved_percent: float | None = msgspec.field(name="ReservedQuotaPercent", default=None)
    requests_percent: float | None = msgspec.field(name="RequestQuotaPercent", default=None)
    token_quota: float | None = msgspec.field(name="TokenQuota", default=None)
    request_quota: float | None = msgspec.field(name="RequestQuota", default=None)


@functools.lru_cache(maxsize=1024)
def _definitions_of_calls(namespace: str, known: bool, blocked: bool, quota: PoolQuota) -> msgspec.Raw:
    """Return which metrics calls have: whether their max_tokens is `known`, and what of their pool's quota."""
    tokens, requests = quota.tokens_per_minute, quota.requests_per_minute
    metrics = {
        "ConsumedTokens": True,
        "ReservedTokens": known,
        "OutputTokens": not blocked,
        "MaxTokens": known and not blocked,
        "ConsumedQuotaPercent": tokens,
        "ReservedQuotaPercent": known and tokens,
        "RequestQuotaPercent": requests,
        **dict.fromkeys(_quota_metrics(quota), True),
    }
    return _definitions(namespace, POOL_DIMENSIONS, tuple(name for name, there in metrics.items() if there))


def _of_calls(minute: GroupedCalls, accounts: tuple[CallUsage, ...], namespace: str, quota: PoolQuota) -> bytes:
    kind = minute.group
    known, blocked = kind.source is not Source.UNKNOWN, kind.blocked
    tokens, requests = quota.tokens_per_minute, quota.requests_per_minute
    consumed = [account.consumed_tokens for account in accounts]
    reserved = [account.reserved_tokens for account in accounts if account.reserved_tokens is not None]
    output = [account.output_tokens for account in accounts]
    all_consumed, all_reserved = sum(consumed), sum(reserved)
    line = _CallsLine(  # in their order, for names take three times as long
        kind.pool.model_id,
        kind.pool.endpoint_type,
        kind.caller,
        kind.operation,
        kind.source,
        len(accounts),
        sum([account.input_tokens for account in accounts]),
        sum(output),
        all_consumed,
        all_reserved if known else None,
        sum([account.cache_read_tokens for account in accounts]),
        sum([account.cache_write_tokens for account in accounts]),
        None if kind.burndown_status is RateStatus.LISTED else kind.burndown_status,
        kind.application_profile,
        dict(kind.request_metadata) if kind.request_metadata else None,
        blocked,
        _Directive(kind.minute * 1000, _definitions_of_calls(namespace, known, blocked, quota)),
        consumed,
        reserved if known else None,
        None if blocked else output,
        [account.max_tokens for account in accounts] if known and not blocked else None,
        # Each call adds its share, so the sum over a minute is the percentage: one value says it for all of them.
        _percent(all_consumed, tokens) if tokens else None,
        _percent(all_reserved, tokens) if tokens and known else None,
        _percent(len(accounts), requests) if requests else None,
        # The quota stands at every minute with a call, not just where the fetcher ran: a graph needs no gap filled.
        tokens,
        requests,
    )
    return _encode(line)


def _percent(part: float, whole: float) -> float:
    """Return a percentage to six decimals: a minute's sum of a thousand such is still right to the third."""
    return int(100_000_000 * part / whole + 0.5) / 1_000_000  # round() of a float takes as long as encoding a line


def _quota_metrics(quota: PoolQuota) -> dict[str, float]:
    """Return the quota metrics of a pool: none where there is no such quota, 0 where it is 0."""
    values = {"TokenQuota": quota.tokens_per_minute, "RequestQuota": quota.requests_per_minute}
    return {name: value for name, value in values.items() if value is not None}


def lines_for_failed_calls(
    failed: Sequence[FailedCall], namespace: str, quotas: Mapping[QuotaPool, PoolQuota]
) -> Iterator[bytes]:
    """Yield one line for each kind of failed call, for queries in Logs Insights.

    It is a metric line only for the quota of the pool: a quota of 0, where every call fails, shows nowhere else.
    """
    for call, count in _counted(failed):
        line: dict[str, Any] = {"event": "failed_calls", "minute": call.minute * 1000}
        if call.pool is not None:
            line |= {"ModelId": call.pool.model_id, "EndpointType": call.pool.endpoint_type}
            metrics = _quota_metrics(quotas.get(call.pool, NO_QUOTA))
            if metrics:
                line |= {"_aws": _directive(namespace, call.minute, POOL_DIMENSIONS, metrics), **metrics}
        yield _encode(
            {
                **line,
                "caller": call.caller,
                "operation": call.operation,
                "error_code": call.error_code,
                "requests_failed": count,
            }
        )


def _counted(failed: Sequence[FailedCall]) -> Iterable[tuple[FailedCall, int]]:
    """Count calls by kind; of more than `MAX_KINDS` kinds, all but the most frequent as the caller `other`.

    There are at most `MAX_OTHERS` of these, too; all calls beyond that are counted together, in the minute of one.
    """
    if not failed:
        return ()
    kinds = Counter(failed)
    if len(kinds) <= MAX_GROUPS:
        return kinds.items()
    counted = kinds.most_common()
    others: Counter[FailedCall] = Counter()
    for call, count in counted[MAX_GROUPS:]:
        others[msgspec.structs.replace(call, caller=OTHER, operation=OTHER, error_code=OTHER)] += count
    named = others.most_common(MAX_OTHER_GROUPS)
    rest = others.total() - sum(count for _, count in named)
    if rest:
        named.append((FailedCall(None, named[-1][0].minute, OTHER, OTHER, OTHER), rest))
    return [*counted[:MAX_GROUPS], *named]


def lines_for_overflow(accounts: Sequence[CallUsage]) -> Iterator[bytes]:
    """Yield one line for all calls beyond the bound on lines, if there are any: their sums, and no metric."""
    if accounts:
        minutes = [account.group.minute for account in accounts]
        line = {
            "event": "other_calls",
            "caller": OTHER,
            "operation": OTHER,
            "first_minute": min(minutes) * 1000,
            "last_minute": max(minutes) * 1000,
            "requests": len(accounts),
            "input_tokens": sum([account.input_tokens for account in accounts]),
            "output_tokens": sum([account.output_tokens for account in accounts]),
            "consumed_tokens": sum([account.consumed_tokens for account in accounts]),
            "reserved_tokens": sum([account.reserved_tokens or 0 for account in accounts]),
        }
        yield _encode(line)


class Health(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What the line of one or more deliveries says of their health: metrics, then properties.

    `RecordLagSeconds` is the age of a delivery's oldest call; of several deliveries there are the least and the most.
    What has a default is left out where it has nothing to say.
    """

    processed: int = msgspec.field(name="RecordsProcessed")
    rejected: int = msgspec.field(name="RecordsRejected")
    out_of_scope: int = msgspec.field(name="RecordsOutOfScope")
    failed: int = msgspec.field(name="RequestsFailed")
    max_tokens_unknown: int = msgspec.field(name="MaxTokensUnknown")
    unlisted_models: int = msgspec.field(name="UnlistedModels")
    event: str
    received: int
    ignored: int
    control: bool
    max_tokens_explicit: int
    max_tokens_default: int
    max_tokens_none: int
    lag_seconds: float | tuple[float, float] | None = msgspec.field(name="RecordLagSeconds", default=None)
    quotas_unknown: int = msgspec.field(name="QuotasUnknown", default=0)
    alarm_tests: int = msgspec.field(name="AlarmTests", default=0)
    deliveries: int = 1
    quota_age_seconds: int | None = None
    duplicate_records: int = 0
    duplicates_unchecked: int = 0
    other_calls: int = 0
    rejected_reasons: dict[str, int] = {}
    out_of_scope_reasons: dict[str, int] = {}
    error_codes: dict[str, int] = {}


_ALWAYS = (
    "RecordsProcessed",
    "RecordsRejected",
    "RecordsOutOfScope",
    "RequestsFailed",
    "MaxTokensUnknown",
    "UnlistedModels",
)

HEALTH_METRICS = frozenset({*_ALWAYS, "RecordLagSeconds", "QuotasUnknown", "AlarmTests", "DuplicateDeliveries"})
"""Metrics of the monitor's own: those of `Health`, and `DuplicateDeliveries` on a line of its own."""


@functools.lru_cache(maxsize=16)
def _health_metrics(lag: bool, unknown: bool, tests: bool) -> tuple[str, ...]:
    """Return which metrics health has: those that are always there and those that there is something to say of."""
    others = {"RecordLagSeconds": lag, "QuotasUnknown": unknown, "AlarmTests": tests}
    return (*_ALWAYS, *(name for name, there in others.items() if there))


def line_for_health(namespace: str, seconds: float, health: Health) -> bytes:
    """Return the line of health metrics: no dimensions, and what else is worth knowing as properties."""
    metrics = _health_metrics(health.lag_seconds is not None, health.quotas_unknown > 0, health.alarm_tests > 0)
    return _with_directive(_directive(namespace, seconds, (), metrics), health)


class _Duplicate(msgspec.Struct, frozen=True, gc=False):
    event: str
    received: int
    deliveries: int = msgspec.field(name="DuplicateDeliveries", default=1)


def line_for_duplicate(namespace: str, seconds: float, received: int) -> bytes:
    """Return the health line of a delivery that was processed before."""
    return _with_directive(
        _directive(namespace, seconds, (), ("DuplicateDeliveries",)), _Duplicate("duplicate_delivery", received)
    )


def _with_directive(directive: _Directive, members: msgspec.Struct) -> bytes:
    return b'{"_aws":' + _encode(directive) + b"," + _encode(members)[1:]


def lines_for_quotas(
    namespace: str, seconds: float, quotas: Mapping[QuotaPool, PoolQuota], changes: Iterable[Change] = ()
) -> Iterator[bytes]:
    """Yield a line a pool with its quotas; a quota of 0 is published as 0.

    As properties: the daily quota, for a quota that changed what it was before, and `quota_note`, which says in words
    what no line on a graph can. A pool without a quota is such a note alone, and no metric.
    """
    before: dict[QuotaPool, dict[str, float | None]] = {}
    for change in changes:
        before.setdefault(change.pool, {})[f"previous_{change.unit}"] = change.before
    for pool, quota in quotas.items():
        metrics = _quota_metrics(quota)
        line: dict[str, Any] = {"ModelId": pool.model_id, "EndpointType": pool.endpoint_type, **metrics}
        if metrics:
            line = {"_aws": _directive(namespace, seconds, POOL_DIMENSIONS, metrics), **line}
        if quota.tokens_per_day is not None:
            line["tokens_per_day"] = quota.tokens_per_day
        note = _note(quota)
        if note is not None:
            line["quota_note"] = note
        yield _encode(line | before.get(pool, {}))


def _note(quota: PoolQuota) -> str | None:
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


LINES_PER_WRITE = 256
"""Written in one piece: few system calls, and no second copy of all the lines of a large delivery."""


def write_lines(written: Sequence[bytes], to: TextIO) -> None:
    """Write lines where Lambda reads them: to standard output."""
    for start in range(0, len(written), LINES_PER_WRITE):
        to.write((b"\n".join(written[start : start + LINES_PER_WRITE]) + b"\n").decode())
    to.flush()
