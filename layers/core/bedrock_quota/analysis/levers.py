"""Levers other than max_tokens that the numbers of a pool support."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec

from bedrock_quota.analysis.usage import SECONDS_PER_MINUTE, PoolUsage
from bedrock_quota.analysis.what_if import find_wanted_tokens
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool, Unit

SPREAD_MINUTES = 5
"""Minutes over which calls could be spread."""

CACHE_SHARE = 0.5
"""Share of new input tokens in the tokens used from which caching is worth a look."""

QUOTA_HEADROOM = 1.2
"""Factor between the highest use and the quota to ask for."""

_OTHER_ENDPOINTS = frozenset(EndpointType) - {EndpointType.LATENCY_OPTIMIZED}


class Lever(StrEnum):
    """The kind of change."""

    ENDPOINT = "use another endpoint type"
    SPREAD = "spread the calls over several minutes"
    CACHE = "cache the prompts"
    QUOTA = "request a larger quota"


class OtherLever(msgspec.Struct, frozen=True):
    """A change that would help, and its amount in the pool's unit.

    `amount` is free in the other `pool` at its own peak (`endpoint`), the use per minute of the busiest
    `SPREAD_MINUTES` (`spread`), the new input tokens of the `caller` in the window (`cache`), or the quota to ask for
    (`quota`). `most` is the quota to ask for if all throttled calls had been served, None if nothing was throttled or
    their tokens are unknown.
    """

    lever: Lever
    unit: Unit
    amount: float
    pool: QuotaPool | None = None
    caller: str = ""
    most: float | None = None


def find_other_levers(
    usage: PoolUsage,
    others: Sequence[PoolUsage],
    quotas: Iterable[tuple[QuotaPool, PoolQuota]],
    peak: float,
    most: float | None = None,
) -> tuple[OtherLever, ...]:
    """Return the levers for a pool that needs more than its quota of tokens, of requests, or of both.

    `peak` is its highest use of tokens per minute after changes of max_tokens, and `most` the same if all throttled
    calls had been served. If only `most` reaches the quota, the levers are about `most`. `others` is the usage of all
    pools, and `quotas` are those of the account. Requests that were throttled count as wanted.
    """
    known = [(pool, quota) for pool, quota in quotas if _is_alternative(pool, quota, usage.pool)]
    found: list[OtherLever] = []
    if usage.token_quota is not None and peak < usage.token_quota <= (most or 0):
        peak, most = most or 0.0, None
    if usage.token_quota is not None and peak >= usage.token_quota:
        used = {other.pool: other.peak_used for other in others}
        throttled = find_wanted_tokens(usage, {}) or {}
        by_minute = {minute.minute: minute.used_tokens + throttled.get(minute.minute, 0) for minute in usage.minutes}
        room = {pool: quota.tokens_per_minute - used.get(pool, 0) for pool, quota in known if quota.tokens_per_minute}
        found += _find(Unit.TOKENS_PER_MINUTE, usage.token_quota, peak, by_minute, room, most=most)
        if usage.token_quota and any(caller.answers for caller in usage.callers):
            found += _find_cache(usage)
    wanted = {minute.minute: float(minute.requests + minute.throttled) for minute in usage.minutes}
    most = max(wanted.values(), default=0.0)
    if usage.request_quota is not None and usage.peak_requests >= usage.request_quota and most:
        begun = {other.pool: other.peak_requests for other in others}
        room = {
            pool: quota.requests_per_minute - begun.get(pool, 0) for pool, quota in known if quota.requests_per_minute
        }
        found += _find(Unit.REQUESTS_PER_MINUTE, usage.request_quota, most, wanted, room)
    return tuple(found)


def round_up_quota(amount: float) -> int:
    """Return a number of at most two significant digits that is not smaller."""
    if amount <= 0:
        return 0
    step = int(10 ** max(0, math.floor(math.log10(amount)) - 1))
    return math.ceil(amount / step) * step


def _is_alternative(pool: QuotaPool, quota: PoolQuota, than: QuotaPool) -> bool:
    """Return True for a pool of the same model that takes calls. Latency-optimized ones cost more."""
    same_model = pool.model_id == than.model_id and pool != than
    return same_model and pool.endpoint_type in _OTHER_ENDPOINTS and not quota.is_zero_per_minute


def _find(
    unit: Unit,
    quota: float,
    peak: float,
    by_minute: Mapping[int, float],
    room: Mapping[QuotaPool, float],
    *,
    most: float | None = None,
) -> list[OtherLever]:
    """Return other pools with room for what is above the quota, then spreading, then a larger quota."""
    found = [OtherLever(Lever.ENDPOINT, unit, free, pool) for pool, free in room.items() if free > peak - quota]
    found.sort(key=lambda lever: -lever.amount)
    busiest = _find_busiest_minutes(by_minute)
    if 0 < busiest < quota:
        found.append(OtherLever(Lever.SPREAD, unit, busiest))
    above = round_up_quota(most * QUOTA_HEADROOM) if most is not None and most > peak else None
    found.append(OtherLever(Lever.QUOTA, unit, round_up_quota(peak * QUOTA_HEADROOM), most=above))
    return found


def _find_busiest_minutes(by_minute: Mapping[int, float]) -> float:
    """Return the use per minute, on average, of the busiest `SPREAD_MINUTES` in a row."""
    minutes = range(0, SPREAD_MINUTES * SECONDS_PER_MINUTE, SECONDS_PER_MINUTE)
    return max((statistics.fmean(by_minute.get(last - ago, 0.0) for ago in minutes) for last in by_minute), default=0.0)


def _find_cache(usage: PoolUsage) -> list[OtherLever]:
    """Return the cache lever for the caller with most new input, if new input is most of what the pool uses."""
    total = max(
        sum(caller.reserved_tokens for caller in usage.callers), sum(caller.consumed_tokens for caller in usage.callers)
    )
    caller = max(usage.callers, key=lambda caller: caller.input_tokens, default=None)
    if caller is None or caller.input_tokens < CACHE_SHARE * total or caller.cache_read_tokens > caller.input_tokens:
        return []
    return [OtherLever(Lever.CACHE, Unit.TOKENS_PER_MINUTE, caller.input_tokens, caller=caller.caller)]
