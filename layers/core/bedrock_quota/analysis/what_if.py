"""Project the usage of a window to other limits, other quotas or more traffic."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from bedrock_quota.analysis.usage import ENOUGH_COVERAGE, CallerMinute, CallerUsage, PoolMinute, PoolUsage
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
    """The outcome of a projection for a pool, the worst first."""

    REACHES = "reaches its quota"
    MAY_REACH = "may reach its quota"
    """The known use of served calls stays below it. With throttled calls or unknown limits it may be reached."""
    UNKNOWN_LIMITS = "cannot be predicted: max_tokens of its calls is unknown"
    """All known use stays below the quota, but the reservations of most calls are unknown."""
    NO_TOKEN_QUOTA = "no token quota"  # noqa: S105 - not a password
    """No token quota is known, and the requests stay below their quota."""
    NO_QUOTA = "no quota"
    """No quota is known."""
    BELOW = "stays below its quota"


class Projection(msgspec.Struct, frozen=True):
    """The projected usage of a pool, and how sure it is.

    `usage` has the served calls, and is exact for them. Its minutes have no throttled calls, because nobody knows which
    calls would still be throttled. `peak_with_throttled` is the highest use of a minute if all its throttled calls had
    been served too, each as large as the largest of its caller, or of the pool if the caller has no served calls. The
    log has no tokens of throttled calls, and it counts each retry of a call. So the real peak is between
    `usage.peak_used` and this. It is None if the limits of throttled callers are unknown. `requests_with_throttled` are
    the most requests of a minute, counted in the same way. `growth_to_quota` is the factor of the window's traffic at
    which the pool reaches a quota, its throttled calls included. It is None without a quota, with a quota of 0, or if
    the max_tokens of calls is unknown. `cut_callers` have answers in the window that would not fit into their new
    limit. `is_changed` is true if the scenario changes anything about the pool.
    """

    usage: PoolUsage
    outcome: Outcome
    peak_with_throttled: float | None
    requests_with_throttled: float
    growth_to_quota: float | None = None
    cut_callers: tuple[str, ...] = ()
    is_changed: bool = True


def project(usage: PoolUsage, scenario: Scenario) -> Projection:
    """Apply a scenario to the usage of a pool.

    Consumption stays as it was, because no limit lowers it unless it cuts answers. `in_use` is left out if limits
    change, because only the sums per minute are known of each limit.
    """
    limits = scenario.max_tokens
    growth, has_other_limits = scenario.growth, any(caller.caller in limits for caller in usage.callers)
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
            in_use=None if has_other_limits or minute.in_use is None else minute.in_use * growth,
            requests_in_60_seconds=_scale(minute.requests_in_60_seconds, growth),
        )
        for minute in usage.minutes
    )
    quota = scenario.token_quotas.get(usage.pool, usage.token_quota)
    projected = msgspec.structs.replace(usage, minutes=minutes, token_quota=quota)
    wanted = find_wanted_tokens(usage, limits)
    peak = None
    if wanted is not None:
        peak = max((minute.used_tokens + growth * wanted.get(minute.minute, 0) for minute in minutes), default=0.0)
    requests = growth * max((minute.requests + minute.throttled for minute in usage.minutes), default=0)
    return Projection(
        usage=projected,
        outcome=_judge(
            projected, _add_unknown(usage, limits, wanted, minutes, growth), requests, coverage=usage.coverage
        ),
        peak_with_throttled=peak,
        requests_with_throttled=requests,
        growth_to_quota=_find_growth(projected, growth, peak, requests) if usage.coverage == 1 else None,
        cut_callers=tuple(
            caller.caller
            for caller in usage.callers
            if caller.caller in limits and caller.sizes.largest > limits[caller.caller]
        ),
        is_changed=growth != 1 or has_other_limits or quota != usage.token_quota,
    )


def _add_unknown(
    usage: PoolUsage,
    limits: Mapping[str, int],
    wanted: Mapping[int, float] | None,
    minutes: Iterable[PoolMinute],
    growth: float,
) -> float | None:
    """Return the highest use of a minute with its throttled calls and with those whose max_tokens is unknown.

    Each of the latter counts like the largest known call of the pool. None: nothing is known to compare with.
    """
    if wanted is None:
        return None
    largest = max((_largest_known(caller, limits) for caller in usage.callers), default=0.0)
    unknown = {minute.minute: minute.requests - minute.known_requests for minute in usage.minutes}
    return max(
        (
            max(
                minute.used_tokens + growth * wanted.get(minute.minute, 0),
                minute.reserved_tokens + growth * (wanted.get(minute.minute, 0) + unknown[minute.minute] * largest),
            )
            for minute in minutes
        ),
        default=0.0,
    )


def _find_growth(projected: PoolUsage, growth: float, peak: float | None, requests: float) -> float | None:
    """Return the factor of the window's traffic at which a quota is reached. None: it cannot be known."""
    if peak is None or not projected.token_quota:
        return None
    pairs = ((projected.token_quota, peak), (projected.request_quota, requests))
    return min((growth * quota / use for quota, use in pairs if quota is not None and use), default=None) or None


def find_wanted_tokens(usage: PoolUsage, limits: Mapping[str, int]) -> dict[int, float] | None:
    """Return the most tokens that throttled calls may have wanted, by minute. None: limits that matter are unknown."""
    sizes = {caller.caller: find_largest_call(caller, limits) for caller in usage.callers if caller.requests}
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


def find_largest_call(caller: CallerUsage, limits: Mapping[str, int]) -> float | None:
    """Return the most tokens that one call of a caller uses, None if a limit is unknown."""
    return _largest_known(caller, limits) if caller.caller in limits or caller.knows_all_limits else None


def _largest_known(caller: CallerUsage, limits: Mapping[str, int]) -> float:
    """Return the most tokens that one call of a caller uses, as far as is known."""
    limit = limits.get(caller.caller)
    reserved = caller.largest_reservation if limit is None else caller.largest_base + limit
    return max(reserved, caller.largest_consumption)


def _judge(projected: PoolUsage, peak: float | None, requests: float, *, coverage: float) -> Outcome:
    pairs = (
        (projected.token_quota, projected.peak_used, peak),
        (projected.request_quota, projected.peak_requests, requests),
    )
    known = [(quota, low, high) for quota, low, high in pairs if quota is not None]
    if not known:
        return Outcome.NO_QUOTA
    if any(low >= quota for quota, low, _ in known):
        return Outcome.REACHES
    if projected.token_quota is not None and coverage < ENOUGH_COVERAGE:
        return Outcome.UNKNOWN_LIMITS
    if any(high is None or high >= quota for quota, _, high in known):
        return Outcome.MAY_REACH
    return Outcome.BELOW if projected.token_quota is not None else Outcome.NO_TOKEN_QUOTA


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
