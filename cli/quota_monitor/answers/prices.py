"""List prices of calls, from a price list that others keep: `genai-prices`, the optional extra `prices`.

Quotas count other tokens than the bill. A call consumes output × burndown rate of a quota, but output is billed once.
So prices come from the tokens themselves, never from reserved or consumed ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import metadata, util

from bedrock_quota.analysis.usage import CallerUsage, PoolUsage
from bedrock_quota.pools import LONG_CONTEXT_SUFFIX, EndpointType, QuotaPool
from quota_monitor.deployment.checkout import NotHereError

PACKAGE = "genai-prices"

Prices = Mapping[tuple[QuotaPool, str], float | None]
"""US dollars by pool and caller. None: the list has no price for the model."""


def require_prices() -> None:
    """Raise `NotHereError` if the extra is not installed."""
    if util.find_spec("genai_prices") is None:
        raise NotHereError(
            f"Prices need the package {PACKAGE}, which is not installed beside quota-monitor. Install it there, with "
            f"`pip install {PACKAGE}` or `uv pip install {PACKAGE}`, or give uvx the option `--with {PACKAGE}`."
        )


def price_callers(usages: Iterable[PoolUsage]) -> Prices:
    """Return the list price of all calls of each pool and caller."""
    return {
        (usage.pool, caller.caller): _price(usage.pool, caller) if caller.requests else 0.0
        for usage in usages
        for caller in usage.callers
    }


def describe_prices() -> str:
    """Return a sentence about the price list and its assumptions."""
    return (
        f"Prices are on-demand list prices in US dollars from {PACKAGE} {metadata.version(PACKAGE)}. They assume the "
        "default tier, and that all cache writes live for 5 minutes. Discounts are not in them."
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
