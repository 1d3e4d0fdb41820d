"""The table of all tokens by caller and pool, with prices if they are known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from bedrock_quota.analysis.usage import CallerUsage
from bedrock_quota.pools import QuotaPool
from quota_monitor.answers.document import Document

NOT_BILLED = (
    "Quotas count reserved and consumed tokens. They are not billed tokens, because output counts by its burndown rate."
)

HEADS = ("Requests (throttled)", "Input", "Output", "Cache read", "Cache write", "Reserved", "Consumed")


TOTAL = "Total"
"""Name of the sum of all groups."""

TOTAL_HEADS = HEADS[:5]
"""Heads of the totals. Reserved and consumed tokens of different pools do not add up, because each has its quota."""


class GroupTotal(msgspec.Struct, frozen=True):
    """The tokens of a caller, or of what else is listed, over all pools.

    `throttled` is None if the log names no throttled call of it, and may leave some out.
    `price` is the sum of the known prices in US dollars, None if none is known or nobody asked for them.
    `has_unknown_prices` is true if a pool has no price.
    """

    name: str
    requests: int
    throttled: int | None
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
    return _sort(totals)


def _sort(totals: Iterable[GroupTotal]) -> list[GroupTotal]:
    return sorted(totals, key=lambda each: (-(each.price or 0), -each.input_tokens - each.output_tokens, each.name))


def list_totals(document: Document) -> list[GroupTotal]:
    """Return the rows of the table of totals: the groups, and the sum of all.

    There are none for the callers of a single pool, because the table of tokens has the same.
    """
    if not document.listing and len(document.listed) < 2:
        return []
    return [*total_groups(document), _total(document)]


def _total(document: Document) -> GroupTotal:
    callers = list(list_callers(document))
    total = _add(document, TOTAL, callers)
    return msgspec.structs.replace(total, throttled=sum(caller.throttled for _, caller in callers))


def total_all_groups(documents: Sequence[Document]) -> list[GroupTotal]:
    """Return the total of each group over all accounts and Regions. Tokens and dollars add up. Quotas do not."""
    groups: dict[str, list[GroupTotal]] = {}
    for document in documents:
        for total in total_groups(document):
            groups.setdefault(total.name, []).append(total)
    return _sort(_join(name, totals) for name, totals in groups.items())


def list_all_totals(documents: Sequence[Document]) -> list[GroupTotal]:
    """Return the rows of the table of totals over all accounts and Regions. There are none for a single one."""
    if len(documents) < 2 or not any(document.shows_usage for document in documents):
        return []
    groups = total_all_groups(documents)
    return [*groups, _join(TOTAL, [_total(document) for document in documents])] if groups else []


def _join(name: str, totals: Sequence[GroupTotal]) -> GroupTotal:
    known = [total.price for total in totals if total.price is not None]
    throttled = [total.throttled for total in totals]
    is_unknown = None in throttled and not any(throttled)
    return GroupTotal(
        name=name,
        requests=sum(total.requests for total in totals),
        throttled=None if is_unknown else sum(each or 0 for each in throttled),
        input_tokens=sum(total.input_tokens for total in totals),
        output_tokens=sum(total.output_tokens for total in totals),
        cache_read_tokens=sum(total.cache_read_tokens for total in totals),
        cache_write_tokens=sum(total.cache_write_tokens for total in totals),
        price=sum(known) if known else None,
        has_unknown_prices=any(total.has_unknown_prices for total in totals),
    )


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
    throttled = [document.count_throttled(caller) for _, caller in found]
    return GroupTotal(
        name=name,
        requests=sum(caller.requests for _, caller in found),
        throttled=None if None in throttled and not any(throttled) else sum(each or 0 for each in throttled),
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


def write_cells(document: Document, caller: CallerUsage) -> tuple[str, ...]:
    """Return the numbers of a caller, in the order of `HEADS`."""
    numbers = (
        caller.input_tokens,
        caller.output_tokens,
        caller.cache_read_tokens,
        caller.cache_write_tokens,
        caller.reserved_tokens,
        caller.consumed_tokens,
    )
    return (
        write_requests(caller.requests, document.count_throttled(caller)),
        *(f"{number:,.0f}" for number in numbers),
    )


def write_requests(requests: int, throttled: int | None) -> str:
    """Return answered requests, with the throttled ones in parentheses if there are any, or if they are unknown."""
    if throttled is None:
        return f"{requests:,} (unknown)"
    return f"{requests:,} ({throttled:,})" if throttled else f"{requests:,}"


def write_price(document: Document, pool: QuotaPool, caller: CallerUsage) -> str:
    """Return the price of a caller's calls in a pool, or `unknown`. It is never 0 only because it is unknown."""
    return _write_dollars((document.prices or {}).get((pool, caller.caller)))


def _write_dollars(price: float | None) -> str:
    if price is None:
        return "unknown"
    return f"{price:,.2f}" if price >= 0.01 or not price else "<0.01"
