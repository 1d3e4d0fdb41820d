"""Prices of calls, from a price list that others keep: `genai-prices`, the optional extra `prices`.

A file of `--chargeback` adds prices, or replaces them.

Quotas count other tokens than the bill. A call consumes output × burndown rate of a quota, but output is billed once.
So prices come from the tokens themselves, never from reserved or consumed ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import metadata, util

from bedrock_quota.analysis.usage import CallerUsage, PoolUsage
from bedrock_quota.pools import LONG_CONTEXT_SUFFIX, EndpointType, QuotaPool
from quota_monitor.answers.chargeback import NO_CHARGEBACK, Chargeback, compute_price
from quota_monitor.answers.names import list_names
from quota_monitor.deployment.checkout import NotHereError

PACKAGE = "genai-prices"

Prices = Mapping[tuple[QuotaPool, str], float | None]
"""US dollars by pool and caller. None: the list has no price for the model."""


def require_prices() -> None:
    """Raise `NotHereError` if the extra is not installed."""
    if not _has_list():
        raise NotHereError(
            f"Prices need the package {PACKAGE}, which is not installed beside quota-monitor. Install it there, with "
            f"`pip install {PACKAGE}` or `uv pip install {PACKAGE}`, or give uvx the option `--with {PACKAGE}`."
        )


def _has_list() -> bool:
    return util.find_spec("genai_prices") is not None


def price_callers(usages: Iterable[PoolUsage], own: Chargeback = NO_CHARGEBACK) -> Prices:
    """Return the price of all calls of each pool and caller: the user's own, or else that of the list."""
    return {
        (usage.pool, caller.caller): _choose_price(usage.pool, caller, own) if caller.requests else 0.0
        for usage in usages
        for caller in usage.callers
    }


def _choose_price(pool: QuotaPool, caller: CallerUsage, own: Chargeback) -> float | None:
    price = own.find_price(pool)
    if price is not None:
        return compute_price(price, caller)
    return _price(pool, caller) if _has_list() else None


def describe_prices(own: Chargeback = NO_CHARGEBACK) -> str:
    """Return sentences about the price list and its assumptions, and about the user's own prices."""
    if not own.prices:
        return _describe_list("Prices")
    models = ", ".join(sorted(own.prices))
    others = _describe_list("All others") if _has_list() else f"Others are unknown, because {PACKAGE} is not installed."
    return f"Prices of {models} are those of {own.source}. {others}"


def describe_unknown_prices(prices: Prices) -> tuple[str, ...]:
    """Return a sentence that names the quota pools with calls that have no price, if there are any."""
    unknown = sorted({str(pool) for (pool, _), price in prices.items() if price is None})
    if not unknown:
        return ()
    return (f"No price is known for {list_names(unknown)}. Prices and totals leave out these calls.",)


def _describe_list(subject: str) -> str:
    return (
        f"{subject} are on-demand list prices in US dollars from {PACKAGE} {metadata.version(PACKAGE)}. They assume "
        "the default tier, and that all cache writes live for 5 minutes. Discounts are not in them."
    )


def _price(pool: QuotaPool, caller: CallerUsage) -> float | None:
    if pool.model_id.endswith(LONG_CONTEXT_SUFFIX) or pool.endpoint_type is EndpointType.LATENCY_OPTIMIZED:
        return None  # they cost more, and the list does not say how much
    from genai_prices import Usage, calc_price  # noqa: PLC0415 - an optional extra

    is_global = pool.endpoint_type is EndpointType.GLOBAL_CROSS_REGION
    usage = Usage(
        input_tokens=caller.input_tokens + caller.cache_read_tokens + caller.cache_write_tokens,
        cache_read_tokens=caller.cache_read_tokens,
        cache_write_tokens=caller.cache_write_tokens,
        output_tokens=caller.output_tokens,
    )
    try:
        found = calc_price(usage, f"global.{pool.model_id}" if is_global else pool.model_id, provider_id="aws")
    except LookupError:
        return None
    if pool.model_id not in found.model.id:
        return None  # a similar model, not this one
    return float(found.total_price)
