"""A metric line: one line in the embedded metric format for calls that share pool, caller and minute, or for health."""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from bedrock_quota import emf
from bedrock_quota.pools import NO_QUOTA, EndpointType, PoolQuota, QuotaPool
from bedrock_quota.processor.grouping import GroupedCalls, count_failed_calls
from bedrock_quota.processor.max_tokens import Source
from bedrock_quota.processor.usage import CallGroup, CallUsage, FailedCall
from bedrock_quota.registry.models import RateStatus

MAX_VALUES_PER_LINE = 32
"""Values of one metric on a line. The format allows 100, but each is a field in Logs Insights, which finds at most 200
fields of a line (CloudWatch Logs User Guide, "Supported logs and discovered fields", read 2026-11-24)."""


def lines_for_groups(
    groups: Iterable[GroupedCalls], namespace: str, quotas: Mapping[QuotaPool, PoolQuota]
) -> Iterator[bytes]:
    """Yield the metric lines of all groups: one per group, and one more per `MAX_VALUES_PER_LINE` calls."""
    for grouped in groups:
        quota = quotas.get(grouped.group.pool, NO_QUOTA)
        for start in range(0, len(grouped.calls), MAX_VALUES_PER_LINE):
            calls = grouped.calls[start : start + MAX_VALUES_PER_LINE]
            yield _line_for_calls(grouped.group, calls, namespace, quota)


class _CallsLine(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The line of one group's calls. Members that are None, 0 or the usual value are left out, because bytes cost.

    `output_tokens_most` and `max_tokens_most` are those of single calls. A mean would hide the call that needs most.
    """

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
    output_tokens_most: int = 0
    max_tokens_most: int = 0
    truncated: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    burndown_status: RateStatus | None = None
    session: str = ""
    application_profile: str = ""
    project_identifier: str = ""
    request_metadata: dict[str, str] | None = None
    blocked: bool = False
    service_tier: str = ""
    # Members with many values come last, so that Logs Insights discovers all the others.
    directive: emf.Directive | None = msgspec.field(name="_aws", default=None)
    consumed: list[float] | None = msgspec.field(name="ConsumedTokens", default=None)
    reserved: list[int | None] | None = msgspec.field(name="ReservedTokens", default=None)
    output: list[int] | None = msgspec.field(name="OutputTokens", default=None)
    limits: list[int | None] | None = msgspec.field(name="MaxTokens", default=None)
    consumed_percent: float | None = msgspec.field(name="ConsumedQuotaPercent", default=None)
    reserved_percent: float | None = msgspec.field(name="ReservedQuotaPercent", default=None)
    requests_percent: float | None = msgspec.field(name="RequestQuotaPercent", default=None)
    token_quota: float | None = msgspec.field(name="TokenQuota", default=None)
    request_quota: float | None = msgspec.field(name="RequestQuota", default=None)


@functools.lru_cache(maxsize=1024)
def _encode_call_definitions(namespace: str, known: bool, blocked: bool, quota: PoolQuota) -> msgspec.Raw:
    """Return the definitions of the metrics that calls have: by whether max_tokens is `known`, and by the quota."""
    tokens, requests = quota.tokens_per_minute, quota.requests_per_minute
    metrics = {
        "ConsumedTokens": True,
        "ReservedTokens": known,
        "OutputTokens": not blocked,
        "MaxTokens": known and not blocked,
        "ConsumedQuotaPercent": tokens,
        "ReservedQuotaPercent": known and tokens,
        "RequestQuotaPercent": requests,
        **dict.fromkeys(quota.metrics(), True),
    }
    return emf.encode_definitions(
        namespace, emf.POOL_DIMENSIONS, tuple(name for name, there in metrics.items() if there)
    )


def _line_for_calls(group: CallGroup, calls: tuple[CallUsage, ...], namespace: str, quota: PoolQuota) -> bytes:
    known, blocked = group.source is not Source.UNKNOWN, group.blocked
    tokens, requests = quota.tokens_per_minute, quota.requests_per_minute
    consumed = [call.consumed_tokens for call in calls]
    output = [call.output_tokens for call in calls]
    reserved = [call.reserved_tokens for call in calls] if known else None
    limits = [call.max_tokens for call in calls] if known and not blocked else None
    (
        input_tokens,
        output_tokens,
        all_consumed,
        all_reserved,
        output_most,
        max_tokens_most,
        truncated,
        cache_read,
        cache_write,
    ) = _sum_up(calls)
    line = _CallsLine(  # positional, because keywords take three times as long; a test checks each member of a line
        group.pool.model_id,
        group.pool.endpoint_type,
        group.caller,
        group.operation,
        group.source,
        len(calls),
        input_tokens,
        output_tokens,
        all_consumed,
        all_reserved if known else None,
        output_most,
        max_tokens_most,
        truncated,
        cache_read,
        cache_write,
        None if group.burndown_status is RateStatus.LISTED else group.burndown_status,
        group.session,
        group.application_profile,
        group.project,
        dict(group.request_metadata) if group.request_metadata else None,
        blocked,
        group.service_tier,
        emf.Directive(group.minute * 1000, _encode_call_definitions(namespace, known, blocked, quota)),
        consumed,
        reserved,
        None if blocked else output,
        limits,
        # Each call adds its share, so the sum over a minute is the percentage. One value has the share of all calls.
        _compute_percent(all_consumed, tokens) if tokens else None,
        _compute_percent(all_reserved, tokens) if tokens and known else None,
        _compute_percent(len(calls), requests) if requests else None,
        # Each minute with a call has the quota, not only the minutes in which the fetcher ran: graphs have no gaps.
        tokens,
        requests,
    )
    return emf.encode(line)


def _sum_up(calls: tuple[CallUsage, ...]) -> tuple[int, int, float, int, int, int, int, int, int]:
    """Return the numbers of all calls on a line, in the order of its members from `input_tokens` on."""
    if len(calls) == 1:  # every second line of ordinary traffic; sums of one call take as long as encoding its line
        call = calls[0]
        return (
            call.input_tokens,
            call.output_tokens,
            call.consumed_tokens,
            call.reserved_tokens or 0,
            call.output_tokens,
            call.max_tokens or 0,
            int(call.truncated),
            call.cache_read_tokens,
            call.cache_write_tokens,
        )
    output = [call.output_tokens for call in calls]
    return (
        sum([call.input_tokens for call in calls]),
        sum(output),
        sum([call.consumed_tokens for call in calls]),
        sum([call.reserved_tokens or 0 for call in calls]),
        max(output),
        max([call.max_tokens or 0 for call in calls]),
        sum([call.truncated for call in calls]),
        sum([call.cache_read_tokens for call in calls]),
        sum([call.cache_write_tokens for call in calls]),
    )


def _compute_percent(part: float, whole: float) -> float:
    """Return a percentage to six decimals: the sum of a thousand of them is still exact to the third."""
    return int(100_000_000 * part / whole + 0.5) / 1_000_000  # round() of a float takes as long as encoding a line


def lines_for_reserved_tier(groups: Iterable[GroupedCalls]) -> Iterator[bytes]:
    """Yield one line for each group of calls that the reserved tier served, for queries in Logs Insights.

    It has no metrics, and no property that the queries on calls of a pool add up.
    """
    for grouped in groups:
        group, calls = grouped.group, grouped.calls
        line: dict[str, Any] = {
            "event": "reserved_tier_calls",
            "minute": group.minute * 1000,
            "ModelId": group.pool.model_id,
            "EndpointType": group.pool.endpoint_type,
            "caller": group.caller,
            "operation": group.operation,
            "reserved_tier_calls": len(calls),
            "reserved_tier_input_tokens": sum([call.input_tokens for call in calls]),
            "reserved_tier_cache_read_tokens": sum([call.cache_read_tokens for call in calls]),
            "reserved_tier_cache_write_tokens": sum([call.cache_write_tokens for call in calls]),
            "reserved_tier_output_tokens": sum([call.output_tokens for call in calls]),
        }
        if group.session:
            line["session"] = group.session
        if group.application_profile:
            line["application_profile"] = group.application_profile
        if group.project:
            line["project_identifier"] = group.project
        if group.request_metadata:
            line["request_metadata"] = dict(group.request_metadata)
        yield emf.encode(line)


def lines_for_failed_calls(
    failed: Sequence[FailedCall], namespace: str, quotas: Mapping[QuotaPool, PoolQuota]
) -> Iterator[bytes]:
    """Yield one line for each group of failed calls, for queries in Logs Insights.

    Its only metrics are the pool's quotas. With a quota of 0 every call fails, so no other line would show it.
    """
    for call, count in count_failed_calls(failed):
        line: dict[str, Any] = {"event": "failed_calls", "minute": call.minute * 1000}
        if call.pool is not None:
            line |= {"ModelId": call.pool.model_id, "EndpointType": call.pool.endpoint_type}
            metrics = quotas.get(call.pool, NO_QUOTA).metrics()
            if metrics:
                line |= {"_aws": emf.make_directive(namespace, call.minute, emf.POOL_DIMENSIONS, metrics), **metrics}
        if call.session:
            line["session"] = call.session
        if call.application_profile:
            line["application_profile"] = call.application_profile
        if call.project:
            line["project_identifier"] = call.project
        if call.request_metadata:
            line["request_metadata"] = dict(call.request_metadata)
        yield emf.encode(
            {
                **line,
                "caller": call.caller,
                "operation": call.operation,
                "error_code": call.error_code,
                "requests_failed": count,
            }
        )
