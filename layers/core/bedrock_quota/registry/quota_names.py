"""From a quota's name in Service Quotas to its pool and unit.

Names: https://docs.aws.amazon.com/general/latest/gr/bedrock.html (read 2026-11-23). A name contains the unit, the
endpoint type and, in free text, the model. The registry has the spellings. Codes are only a check, because AWS does not
guarantee them.
"""

import re
from collections.abc import Iterable, Mapping

import msgspec

from bedrock_quota.pools import LONG_CONTEXT_SUFFIX, EndpointType, PoolQuota, QuotaKey, QuotaPool, Unit
from bedrock_quota.registry.models import Model, Registry

SERVICE_CODE = "bedrock"


class ListedQuota(msgspec.Struct, frozen=True):
    """One quota as Service Quotas lists it. `value` may be 0. It is None if AWS returned no value."""

    code: str
    name: str
    value: float | None


class UnmatchedQuota(msgspec.Struct, frozen=True):
    """A quota that belongs to no pool. `reason` is a fixed word."""

    reason: str


class QuotaName(msgspec.Struct, frozen=True):
    """A quota's name in parts. `spelling` is the model in free text."""

    endpoint_type: EndpointType
    unit: Unit
    spelling: str
    long_context: bool


_ENDPOINT_TYPES = {
    "on-demand": EndpointType.REGIONAL,
    "cross-region": EndpointType.CROSS_REGION,
    "global cross-region": EndpointType.GLOBAL_CROSS_REGION,
    "on-demand latency-optimized": EndpointType.LATENCY_OPTIMIZED,
}
DOUBLED = "(doubled for cross-region calls)"
"""Ends the name of a daily quota that also defines the quota of the cross-Region pool per day."""

_UNITS = {
    "tokens per minute": Unit.TOKENS_PER_MINUTE,
    "requests per minute": Unit.REQUESTS_PER_MINUTE,
    "tokens per day": Unit.TOKENS_PER_DAY,
}
_INFERENCE = re.compile(
    r"(?P<scope>on-demand,? latency-optimized|on-demand|global cross-region|cross-region) "
    r"(model inference|invokemodel) (?P<unit>tokens per minute|requests per minute|tokens per day) for (?P<model>.+)",
    re.IGNORECASE,
)
_DAILY = re.compile(
    r"model invocation max tokens per day for (?P<model>.+?)( \(doubled for cross-region calls\))?",
    re.IGNORECASE,
)
_LONG_CONTEXT = re.compile(r"(?P<model>.+?)[ ,]+1M context( length)?", re.IGNORECASE)

_OTHER_WORK = re.compile(r"(?![(\[]).*(tokens|requests) per (minute|day).*", re.IGNORECASE)
"""Matches a name about tokens or requests that is not marked as belonging to another feature."""

UNREAD_REASONS = frozenset({"unread_name", "unlisted_model", "unreached_variant"})
"""Reasons that somebody should look at, because the quota may belong to a pool."""

ACCOUNT_WIDE = "account_wide"
"""Reason of a quota that all models share."""

_VETOES = (
    (re.compile(r"mantle", re.IGNORECASE), "mantle_endpoint"),
    (re.compile(r"\bcross[\W_]*models?\b|\baccount[\W_]*(level|wide)\b", re.IGNORECASE), ACCOUNT_WIDE),
    (re.compile(r"custom model", re.IGNORECASE), "custom_model"),
    (re.compile(r"concurrent requests", re.IGNORECASE), "concurrency"),
    (re.compile(r"batch inference", re.IGNORECASE), "batch"),
)

ACCOUNT_TOKENS_PER_DAY_CODE = "L-E3F10727"
"""Code of the quota on tokens per day that all models of an account share in a Region.

AWS has two names for it: "Cross-Model Max Tokens Per Day" (Bedrock User Guide, Quotas for the bedrock-runtime endpoint)
and "Cross-Model Account-Level Tokens Per Day" (AWS General Reference). Both were read 2026-11-28.
"""

_OF_MANTLE = UnmatchedQuota("mantle_endpoint")

_TOKENS_PER_DAY = re.compile(r"\btokens?[\W_]*per[\W_]*day\b", re.IGNORECASE)


def models_by_quota_name(registry: Registry) -> dict[str, Model]:
    """Return models by each of their spellings in quota names, case folded."""
    return {name.casefold(): model for model in registry.models for name in model.quota_names}


def is_long_context(spelling: str) -> bool:
    """Return True if a model's spelling in a quota's name ends like its 1M-context variant."""
    return _LONG_CONTEXT.fullmatch(spelling) is not None


def parse_quota_name(name: str) -> QuotaName | UnmatchedQuota:
    """Return the parts of a quota's name, without knowing any model, or the reason why it belongs to no pool."""
    name = " ".join(name.split())
    for words, reason in _VETOES:
        if words.search(name):
            return UnmatchedQuota(reason)
    inference = _INFERENCE.fullmatch(name)
    found = inference or _DAILY.fullmatch(name)
    if found is None:
        return UnmatchedQuota("unread_name" if _OTHER_WORK.fullmatch(name) else "other_quota")
    long_context = _LONG_CONTEXT.fullmatch(found["model"])
    scope = inference["scope"].casefold().replace(",", "") if inference else "on-demand"
    return QuotaName(
        endpoint_type=_ENDPOINT_TYPES[scope],
        unit=_UNITS[inference["unit"].casefold()] if inference else Unit.TOKENS_PER_DAY,
        spelling=(long_context["model"] if long_context else found["model"]).strip(),
        long_context=long_context is not None,
    )


def match_quota_name(name: str, models: Mapping[str, Model]) -> QuotaKey | UnmatchedQuota:
    """Return the pool and unit of a quota from its name, or the reason why it has none.

    `models` is the result of `models_by_quota_name`. A name must match as a whole. "Nova 2 Lite" is not "Nova Lite",
    and "Claude 3.5 Sonnet V2" is not "Claude 3.5 Sonnet".
    """
    parsed = parse_quota_name(name)
    if isinstance(parsed, UnmatchedQuota):
        return parsed
    model = models.get(parsed.spelling.casefold())
    if model is None:
        return UnmatchedQuota("unlisted_model")
    if parsed.long_context and model.long_context_above is None:
        return UnmatchedQuota("unreached_variant")  # the registry does not say which calls use it
    if parsed.endpoint_type is EndpointType.LATENCY_OPTIMIZED and not model.latency_optimized:
        return UnmatchedQuota("unreached_variant")
    suffix = LONG_CONTEXT_SUFFIX if parsed.long_context else ""
    return QuotaKey(QuotaPool(model.id + suffix, parsed.endpoint_type), parsed.unit)


def match_quota(quota: ListedQuota, models: Mapping[str, Model]) -> QuotaKey | UnmatchedQuota:
    """Return the pool and unit of a listed quota, or the reason why it has none.

    The name decides. Only the account-wide quota on tokens per day is also recognized by its code, because AWS has
    renamed it. `models` is the result of `models_by_quota_name`.
    """
    found = match_quota_name(quota.name, models)
    if quota.code == ACCOUNT_TOKENS_PER_DAY_CODE and isinstance(found, UnmatchedQuota) and found != _OF_MANTLE:
        return UnmatchedQuota(ACCOUNT_WIDE)
    return found


def list_account_tokens_per_day(listed: Iterable[ListedQuota], registry: Registry) -> list[ListedQuota]:
    """Return the quotas on tokens per day that all models share. AWS lists one, if any.

    If one has the known code, a similar name of another one does not count. AWS estimates its use from on-demand
    prices. So a sum of tokens is not comparable with it one to one.
    """
    models = models_by_quota_name(registry)
    found = [quota for quota in listed if match_quota(quota, models) == UnmatchedQuota(ACCOUNT_WIDE)]
    coded = [quota for quota in found if quota.code == ACCOUNT_TOKENS_PER_DAY_CODE]
    return coded or [quota for quota in found if _TOKENS_PER_DAY.search(quota.name)]


def quotas_by_pool(listed: Iterable[ListedQuota], registry: Registry) -> dict[QuotaPool, PoolQuota]:
    """Return every pool's quotas from a listing.

    Quotas that match no rule are left out (`match_quota_name` gives the reason), and so are quotas without a value
    (`quotas_without_value` lists them).
    """
    models = models_by_quota_name(registry)
    values: dict[QuotaPool, dict[str, float]] = {}
    doubled: dict[QuotaPool, float] = {}
    for quota in listed:
        matched = match_quota(quota, models)
        if isinstance(matched, QuotaKey) and quota.value is not None:
            found = values.setdefault(matched.pool, {})
            # Two spellings of one quota: the smaller value never overstates the quota.
            found[matched.unit] = min(quota.value, found.get(matched.unit, quota.value))
            if DOUBLED in quota.name.casefold():
                cross_region = QuotaPool(matched.pool.model_id, EndpointType.CROSS_REGION)
                doubled[cross_region] = 2 * found[matched.unit]
    for pool, value in doubled.items():
        if pool in values:
            values[pool].setdefault(Unit.TOKENS_PER_DAY, value)
    return {pool: PoolQuota(**found) for pool, found in sorted(values.items())}


def quotas_without_value(listed: Iterable[ListedQuota], registry: Registry) -> list[QuotaKey]:
    """Return the pool and unit of each quota that AWS listed without a value."""
    models = models_by_quota_name(registry)
    found = (match_quota(quota, models) for quota in listed if quota.value is None)
    return sorted({each for each in found if isinstance(each, QuotaKey)})
