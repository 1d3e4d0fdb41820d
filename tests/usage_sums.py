"""Sums per quota pool, minute and caller: of usage that the product measured, and of the oracle."""

from collections.abc import Iterable, Mapping

from oracle import Totals

from bedrock_quota.analysis.usage import PoolUsage

Sums = Mapping[tuple[str, ...], tuple[float, ...]]
"""Reserved, consumed, requests and unknown requests by model, endpoint type and second of a minute. With a caller at
the end of the key, only its reserved tokens."""


def sums_of(usages: Iterable[PoolUsage]) -> Sums:
    found: dict[tuple[str, ...], tuple[float, ...]] = {}
    for usage in usages:
        pool = (usage.pool.model_id, str(usage.pool.endpoint_type))
        for minute in usage.minutes:
            if minute.requests:
                unknown = minute.requests - minute.known_requests
                sums = (round(minute.reserved_tokens, 3), round(minute.consumed_tokens, 3), minute.requests, unknown)
                found[*pool, f"{minute.minute:.0f}"] = sums
        for caller in usage.callers:
            for each in caller.minutes:
                if each.known_requests:
                    found[*pool, f"{each.minute:.0f}", caller.caller] = (each.reserved_tokens,)
    return found


def sums_of_oracle(totals: Totals) -> Sums:
    found: dict[tuple[str, ...], tuple[float, ...]] = {}
    for pool, minutes in totals.pools.items():
        for minute, sums in minutes.items():
            second = f"{minute.timestamp():.0f}"
            found[*pool, second] = (round(sums.reserved, 3), round(sums.consumed, 3), sums.requests, sums.unknown)
            found |= {(*pool, second, caller): (reserved,) for caller, reserved in sums.callers.items()}
    return found
