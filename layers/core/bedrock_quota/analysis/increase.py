"""The evidence for a larger quota: steady and peak use of a pool, and the value to ask for."""

import math
from collections.abc import Sequence

import msgspec

from bedrock_quota.analysis.levers import QUOTA_HEADROOM, round_up_quota
from bedrock_quota.analysis.usage import PoolMinute, PoolUsage
from bedrock_quota.pools import Unit


class Load(msgspec.Struct, frozen=True):
    """Tokens and requests per minute, taken from the same minutes."""

    tokens: float
    requests: float


class Evidence(msgspec.Struct, frozen=True):
    """The load of a pool in its busy minutes, those with a call.

    `steady` is the median of each, `high` the 90th percentile, and `peak` the largest. Tokens are the larger of
    reserved and consumed. `throttled_minutes` are minutes with throttled calls.
    """

    busy_minutes: int
    steady: Load
    high: Load
    peak: Load
    mean_input: float
    mean_output: float
    throttled: int
    throttled_minutes: int


class Proposal(msgspec.Struct, frozen=True):
    """The value to ask for: `base` × `growth` × `headroom`, rounded up to two significant digits.

    `base` is the highest use per minute, after smaller limits if `is_after_changes`. `value` is None if the window
    shows no use to derive it from, because no call was answered or none used tokens.
    """

    unit: Unit
    base: float
    growth: float
    headroom: float
    value: int | None
    is_after_changes: bool = False


def gather_evidence(usage: PoolUsage) -> Evidence:
    """Return the evidence about a pool."""
    busy = [minute for minute in usage.minutes if minute.requests]
    requests = usage.requests or 1
    return Evidence(
        busy_minutes=len(busy),
        steady=_load(busy, 50),
        high=_load(busy, 90),
        peak=Load(usage.peak_used, usage.peak_requests),
        mean_input=sum(each.input_tokens + each.cache_write_tokens for each in usage.callers) / requests,
        mean_output=sum(each.output_tokens for each in usage.callers) / requests,
        throttled=usage.throttled,
        throttled_minutes=sum(minute.throttled > 0 for minute in usage.minutes),
    )


def propose_quota(
    usage: PoolUsage, unit: Unit, *, changed_peak: float | None, growth: float = 1.0, headroom: float = QUOTA_HEADROOM
) -> Proposal:
    """Return the value to ask for. `changed_peak` is the highest use of tokens after smaller limits, None without any.

    Throttled requests count as wanted. Nobody knows their tokens, so the headroom must cover them.
    """
    if not usage.requests:
        return Proposal(unit, 0.0, growth, headroom, None)
    if unit is Unit.REQUESTS_PER_MINUTE:
        base = float(max((minute.requests + minute.throttled for minute in usage.minutes), default=0))
        return Proposal(unit, base, growth, headroom, round_up_quota(base * growth * headroom))
    base = usage.peak_used if changed_peak is None else changed_peak
    return Proposal(
        unit,
        base,
        growth,
        headroom,
        round_up_quota(base * growth * headroom) or None,
        is_after_changes=changed_peak is not None,
    )


def _load(busy: Sequence[PoolMinute], percent: int) -> Load:
    return Load(
        _quantile([minute.used_tokens for minute in busy], percent),
        _quantile([minute.requests for minute in busy], percent),
    )


def _quantile(values: Sequence[float], percent: int) -> float:
    """Return a quantile by the nearest rank, 0 without values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else 0.0
