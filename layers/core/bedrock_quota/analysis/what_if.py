"""Project the usage of a window to other limits, other quotas or more traffic."""

from collections.abc import Mapping

import msgspec

from bedrock_quota.analysis.usage import CallerMinute, PoolMinute, PoolUsage
from bedrock_quota.pools import QuotaPool


class Scenario(msgspec.Struct, frozen=True):
    """Changes to try, in any combination.

    `growth` multiplies the number of calls. `max_tokens` are limits by caller. A limit applies to each call whose
    max_tokens is known and that has output. `token_quotas` replace the quotas per minute by pool.
    """

    growth: float = 1.0
    max_tokens: Mapping[str, int] = {}
    token_quotas: Mapping[QuotaPool, float] = {}


class Projection(msgspec.Struct, frozen=True):
    """The projected usage of a pool, and how sure it is.

    `usage` has the served calls, and is exact for them. Its minutes have no throttled calls, because nobody knows which
    calls would still be throttled. `peak_with_throttled` is the highest use of a minute if all its throttled calls had
    been served too, each as large as the largest of its caller. The log has no tokens of throttled calls, and it
    counts each retry of a call. So the real peak is between `usage.peak_used` and this. `cut_callers` have
    answers in the window that would not fit into their new limit.
    """

    usage: PoolUsage
    peak_with_throttled: float
    cut_callers: tuple[str, ...] = ()


def project(usage: PoolUsage, scenario: Scenario) -> Projection:
    """Apply a scenario to the usage of a pool.

    Consumption stays as it was, because no limit lowers it unless it cuts answers. `in_use` is left out if limits
    change, because only the sums per minute are known of each limit.
    """
    limits = {caller.caller: scenario.max_tokens.get(caller.caller) for caller in usage.callers}
    saved: dict[int, float] = {}
    wanted: dict[int, float] = {}
    for caller in usage.callers:
        limit = limits[caller.caller]
        reservation = caller.largest_reservation if limit is None else caller.largest_base + limit
        for minute in caller.minutes:
            if limit is not None:
                saved[minute.minute] = saved.get(minute.minute, 0) + count_saved_tokens(minute, limit)
            if minute.throttled:
                most = max(reservation, caller.largest_consumption)
                wanted[minute.minute] = wanted.get(minute.minute, 0) + minute.throttled * most
    growth, is_changed = scenario.growth, any(limit is not None for limit in limits.values())
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
    return Projection(
        msgspec.structs.replace(
            usage, minutes=minutes, token_quota=scenario.token_quotas.get(usage.pool, usage.token_quota)
        ),
        max((minute.used_tokens + growth * wanted.get(minute.minute, 0) for minute in minutes), default=0.0),
        tuple(
            caller.caller
            for caller in usage.callers
            if caller.sizes.largest > (limits[caller.caller] or caller.sizes.largest)
        ),
    )


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
