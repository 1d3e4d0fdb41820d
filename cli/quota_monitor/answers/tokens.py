"""The table of all tokens by caller and pool, with prices if they are known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from bedrock_quota.analysis.usage import CallerUsage
from bedrock_quota.pools import QuotaPool
from quota_monitor.answers.document import Document

NOT_BILLED = (
    "Quotas count reserved and consumed tokens. They are not billed tokens, because output counts by its burndown rate."
)

HEADS = ("Requests (throttled)", "Input", "Output", "Cache read", "Cache write", "Reserved", "Consumed")


TOTAL_HEADS = HEADS[:5]
"""Heads of the totals. Reserved and consumed tokens of different pools do not add up, because each has its quota."""


class GroupTotal(msgspec.Struct, frozen=True):
    """The tokens of a caller, or of what else is listed, over all pools.

    `price` is the sum of the known prices in US dollars, None if none is known or nobody asked for them.
    `has_unknown_prices` is true if a pool has no price.
    """

    name: str
    requests: int
    throttled: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    price: float | None
    has_unknown_prices: bool


def total_groups(document: Document) -> list[GroupTotal]:
    """Return the total of each caller, or of what else is listed, over all pools. The most expensive comes first."""
    groups: dict[str, list[tuple[QuotaPool, CallerUsage]]] = {}
    for pool, caller in list_callers(document):
        groups.setdefault(caller.caller, []).append((pool, caller))
    totals = [_add(document, name, found) for name, found in groups.items()]
    return sorted(totals, key=lambda each: (-(each.price or 0), -each.input_tokens - each.output_tokens, each.name))


def list_totals(document: Document) -> list[GroupTotal]:
    """Return the rows of the table of totals: the groups, and the sum of all. There are none for a single pool."""
    if len(document.listed) < 2:
        return []
    return [*total_groups(document), _add(document, "Total", list_callers(document))]


def write_total_cells(total: GroupTotal) -> tuple[str, ...]:
    """Return the numbers of a total, in the order of `TOTAL_HEADS`."""
    tokens = (total.input_tokens, total.output_tokens, total.cache_read_tokens, total.cache_write_tokens)
    return (write_requests(total.requests, total.throttled), *(f"{number:,}" for number in tokens))


def write_total_price(total: GroupTotal) -> str:
    """Return the price of a group, with `+ unknown` if a price is missing in it."""
    known = _write_dollars(total.price)
    return f"{known} + unknown" if total.has_unknown_prices and total.price is not None else known


def _add(document: Document, name: str, callers: Iterable[tuple[QuotaPool, CallerUsage]]) -> GroupTotal:
    found = list(callers)
    prices = [(document.prices or {}).get((pool, caller.caller)) for pool, caller in found]
    known = [price for price in prices if price is not None]
    return GroupTotal(
        name=name,
        requests=sum(caller.requests for _, caller in found),
        throttled=sum(caller.throttled for _, caller in found),
        input_tokens=sum(caller.input_tokens for _, caller in found),
        output_tokens=sum(caller.output_tokens for _, caller in found),
        cache_read_tokens=sum(caller.cache_read_tokens for _, caller in found),
        cache_write_tokens=sum(caller.cache_write_tokens for _, caller in found),
        price=sum(known) if known else None,
        has_unknown_prices=document.prices is not None and len(known) < len(prices),
    )


def list_callers(document: Document) -> Iterator[tuple[QuotaPool, CallerUsage]]:
    """Yield all callers, or what else is listed, with answered or throttled calls, by pool."""
    for usage in document.listed:
        for caller in usage.callers:
            if caller.requests or caller.throttled:
                yield usage.pool, caller


def write_cells(caller: CallerUsage) -> tuple[str, ...]:
    """Return the numbers of a caller, in the order of `HEADS`."""
    numbers = (
        caller.input_tokens,
        caller.output_tokens,
        caller.cache_read_tokens,
        caller.cache_write_tokens,
        caller.reserved_tokens,
        caller.consumed_tokens,
    )
    return (write_requests(caller.requests, caller.throttled), *(f"{number:,.0f}" for number in numbers))


def write_requests(requests: int, throttled: int) -> str:
    """Return answered requests, with the throttled ones in parentheses if there are any."""
    return f"{requests:,} ({throttled:,})" if throttled else f"{requests:,}"


def write_price(document: Document, pool: QuotaPool, caller: CallerUsage) -> str:
    """Return the price of a caller's calls in a pool, or `unknown`. It is never 0 only because it is unknown."""
    return _write_dollars((document.prices or {}).get((pool, caller.caller)))


def _write_dollars(price: float | None) -> str:
    if price is None:
        return "unknown"
    return f"{price:,.2f}" if price >= 0.01 or not price else "<0.01"
