"""The table of all tokens by caller and pool, with prices if they are known."""

from __future__ import annotations

from collections.abc import Iterator

from bedrock_quota.analysis.usage import CallerUsage
from bedrock_quota.pools import QuotaPool
from quota_monitor.answers.document import Document

NOT_BILLED = (
    "Quotas count reserved and consumed tokens. They are not billed tokens, because output counts by its burndown rate."
)

HEADS = ("Requests (throttled)", "Input", "Output", "Cache read", "Cache write", "Reserved", "Consumed")


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
    price = (document.prices or {}).get((pool, caller.caller))
    if price is None:
        return "unknown"
    return f"{price:,.2f}" if price >= 0.01 or not price else "<0.01"
