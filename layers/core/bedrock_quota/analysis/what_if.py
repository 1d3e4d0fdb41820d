"""Project the usage of a window to other limits, other quotas or more traffic."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from bedrock_quota.analysis.usage import CallerMinute, CallerUsage, PoolMinute, PoolUsage
from bedrock_quota.pools import QuotaPool


class Scenario(msgspec.Struct, frozen=True):
    """Changes to try, in any combination.

    `growth` multiplies the number of calls. `max_tokens` are limits by caller. A limit applies to each call whose
    max_tokens is known and that has output. `token_quotas` replace the quotas per minute by pool.
    """

    growth: float = 1.0
    max_tokens: Mapping[str, int] = {}
    token_quotas: Mapping[QuotaPool, float] = {}


def keep_pools_with_calls(scenario: Scenario, usages: Iterable[PoolUsage]) -> Scenario:
    """Return a scenario with only the quotas of pools that have calls."""
    called = {usage.pool for usage in usages}
    quotas = {pool: quota for pool, quota in scenario.token_quotas.items() if pool in called}
    return Scenario(scenario.growth, scenario.max_tokens, quotas)


class Outcome(StrEnum):
    """The outcome of a projection for a pool."""

    REACHES = "reaches its quota"
    MAY_REACH = "may reach its quota"
    """The served calls stay below it. With those that were throttled it may be reached."""
    BELOW = "stays below its quota"
    UNKNOWN = "quota unknown"


class Projection(msgspec.Struct, frozen=True):
    """The projected usage of a pool, and how sure it is.

    `usage` has the served calls, and is exact for them. Its minutes have no throttled calls, because nobody knows which
    calls would still be throttled. `peak_with_throttled` is the highest use of a minute if all its throttled calls had
    been served too, each as large as the largest of its caller, or of the pool if the caller has no served calls. The
    log has no tokens of throttled calls, and it counts each retry of a call. So the real peak is between
    `usage.peak_used` and this. It is None if the limits of throttled callers are unknown. `requests_with_throttled` are
    the most requests of a minute, counted in the same way. `cut_callers` have answers in the window that would not fit
    into their new limit.
    """

    usage: PoolUsage
    outcome: Outcome
    peak_with_throttled: float | None
    requests_with_throttled: float
    cut_callers: tuple[str, ...] = ()


def project(usage: PoolUsage, scenario: Scenario) -> Projection:
    """Apply a scenario to the usage of a pool.

    Consumption stays as it was, because no limit lowers it unless it cuts answers. `in_use` is left out if limits
    change, because only the sums per minute are known of each limit.
    """
    limits = scenario.max_tokens
    growth, is_changed = scenario.growth, any(caller.caller in limits for caller in usage.callers)
    saved: dict[int, float] = {}
    for caller in usage.callers:
        limit = limits.get(caller.caller)
        for minute in caller.minutes if limit is not None else ():
            saved[minute.minute] = saved.get(minute.minute, 0) + count_saved_tokens(minute, limit or 0)
    minutes = tuple(
        PoolMinute(
            minute=minute.minute,
            reserved_tokens=(minute.reserved_tokens - saved.get(minute.minute, 0)) * growth,
            consumed_tokens=minute.consumed_tokens * growth,
            requests=round(minute.requests * growth),
            known_requests=round(minute.known_requests * growth),
            in_use=None if is_changed or minute.in_use is None else minute.in_use * growth,
            requests_in_60_seconds=_scale(minute.requests_in_60_seconds, growth),
        )
        for minute in usage.minutes
    )
    projected = msgspec.structs.replace(
        usage, minutes=minutes, token_quota=scenario.token_quotas.get(usage.pool, usage.token_quota)
    )
    wanted = _find_wanted(usage, limits)
    peak = None
    if wanted is not None:
        peak = max((minute.used_tokens + growth * wanted.get(minute.minute, 0) for minute in minutes), default=0.0)
    requests = growth * max((minute.requests + minute.throttled for minute in usage.minutes), default=0)
    return Projection(
        usage=projected,
        outcome=_judge(projected, peak, requests),
        peak_with_throttled=peak,
        requests_with_throttled=requests,
        cut_callers=tuple(
            caller.caller
            for caller in usage.callers
            if caller.caller in limits and caller.sizes.largest > limits[caller.caller]
        ),
    )


def _find_wanted(usage: PoolUsage, limits: Mapping[str, int]) -> dict[int, float] | None:
    """Return the most tokens that throttled calls may have wanted, by minute. None: limits that matter are unknown."""
    sizes = {caller.caller: _largest_call(caller, limits) for caller in usage.callers if caller.requests}
    wanted: dict[int, float] = {}
    for caller in usage.callers:
        for minute in caller.minutes:
            if minute.throttled:
                known = [sizes[caller.caller]] if caller.caller in sizes else list(sizes.values())
                if not known or None in known:
                    return None
                most = max(size for size in known if size is not None)
                wanted[minute.minute] = wanted.get(minute.minute, 0) + minute.throttled * most
    return wanted


def _largest_call(caller: CallerUsage, limits: Mapping[str, int]) -> float | None:
    """Return the most tokens that one call of a caller uses, None if a limit is unknown."""
    limit = limits.get(caller.caller)
    if limit is not None:
        return max(caller.largest_base + limit, caller.largest_consumption)
    return max(caller.largest_reservation, caller.largest_consumption) if caller.knows_all_limits else None


def _judge(projected: PoolUsage, peak: float | None, requests: float) -> Outcome:
    pairs = (
        (projected.token_quota, projected.peak_used, peak),
        (projected.request_quota, projected.peak_requests, requests),
    )
    known = [(quota, low, high) for quota, low, high in pairs if quota is not None]
    if not known:
        return Outcome.UNKNOWN
    if any(low >= quota for quota, low, _ in known):
        return Outcome.REACHES
    may_reach = any(high is None or high >= quota for quota, _, high in known)
    return Outcome.MAY_REACH if may_reach else Outcome.BELOW


def _scale(number: int | None, growth: float) -> int | None:
    return None if number is None else round(number * growth)


def count_saved_tokens(minute: CallerMinute, max_tokens: int, *, only_larger: bool = False) -> int:
    """Return the tokens that a caller reserves less in a minute if its calls set this max_tokens.

    It is negative if they reserve more. Calls without output, whose limit is 0, stay as they are. With `only_larger`,
    calls that set less stay as they are, too.
    """
    return sum(
        (limit - max_tokens) * calls
        for limit, calls in minute.limits
        if limit > max_tokens or (limit and not only_larger)
    )
