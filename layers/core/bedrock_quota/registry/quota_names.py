"""A quota: what Service Quotas allows a pool, found by the quota's name.

Names: https://docs.aws.amazon.com/general/latest/gr/bedrock.html (read 2026-11-23). A name says unit, endpoint type
and, in free text, the model; the registry knows the spellings. Codes are only a check: AWS promises none of them.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from bedrock_quota.pools import LONG_CONTEXT_SUFFIX
from bedrock_quota.pools import EndpointType, QuotaPool
from bedrock_quota.registry.models import Model, Registry

SERVICE_CODE = "bedrock"


class Unit(StrEnum):
    """What a quota counts."""

    TOKENS_PER_MINUTE = "tokens_per_minute"
    REQUESTS_PER_MINUTE = "requests_per_minute"
    TOKENS_PER_DAY = "tokens_per_day"


class ListedQuota(msgspec.Struct, frozen=True):
    """One quota as Service Quotas lists it; `value` may be 0, and is None where AWS could not say it."""

    code: str
    name: str
    value: float | None


class PoolQuota(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one pool may use; None where it has no such quota, 0 where the account may use nothing."""

    tokens_per_minute: float | None = None
    requests_per_minute: float | None = None
    tokens_per_day: float | None = None


class UnmatchedQuota(msgspec.Struct, frozen=True):
    """A quota that is none of a pool's, and why: a fixed word."""

    reason: str


class QuotaName(msgspec.Struct, frozen=True):
    """What a quota's name says: `spelling` is the model in free text."""

    endpoint_type: EndpointType
    unit: Unit
    spelling: str
    long_context: bool


class QuotaKey(msgspec.Struct, frozen=True, order=True):
    """A quota's pool and unit."""

    pool: QuotaPool
    unit: Unit

    def __str__(self) -> str:
        """Say it as a person would: `tokens per minute of amazon.nova-pro-v1:0 (cross-region)`."""
        return f"{self.unit.replace('_', ' ')} of {self.pool}"


_ENDPOINT_TYPES = {
    "on-demand": EndpointType.REGIONAL,
    "cross-region": EndpointType.CROSS_REGION,
    "global cross-region": EndpointType.GLOBAL_CROSS_REGION,
    "on-demand latency-optimized": EndpointType.LATENCY_OPTIMIZED,
}
DOUBLED = "(doubled for cross-region calls)"
"""Ends the name of a daily quota that also says what the cross-Region pool may use a day."""

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
"""A name on tokens or requests that is not marked as another feature's."""

UNREAD_REASONS = frozenset({"unread_name", "unlisted_model", "unreached_variant"})
"""Reasons of refusal that somebody should look at: the quota may well be of a pool."""

_VETOES = (
    ("account-level", "account_wide"),
    ("[bedrock-mantle endpoint]", "mantle_endpoint"),
    ("custom model", "custom_model"),
    ("concurrent requests", "concurrency"),
    ("batch inference", "batch"),
)


def models_by_quota_name(registry: Registry) -> dict[str, Model]:
    """Return models by each spelling of theirs in quota names, case folded."""
    return {name.casefold(): model for model in registry.models for name in model.quota_names}


def is_long_context(spelling: str) -> bool:
    """Whether a model's spelling in a quota's name ends as that of its 1M-context variant."""
    return _LONG_CONTEXT.fullmatch(spelling) is not None


def parse_quota_name(name: str) -> QuotaName | UnmatchedQuota:
    """Say what a quota's name says, without knowing any model, or why it is no pool's."""
    name = " ".join(name.split())
    folded = name.casefold()
    for words, reason in _VETOES:
        if words in folded:
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
    """Find the pool and unit of a quota from its name, or refuse it with a reason.

    `models` is what `models_by_quota_name` returns. A name is never matched in part: "Nova 2 Lite" is not
    "Nova Lite", "Claude 3.5 Sonnet V2" is not "Claude 3.5 Sonnet".
    """
    said = parse_quota_name(name)
    if isinstance(said, UnmatchedQuota):
        return said
    model = models.get(said.spelling.casefold())
    if model is None:
        return UnmatchedQuota("unlisted_model")
    if said.long_context and model.long_context_above is None:
        return UnmatchedQuota("unreached_variant")  # the registry does not say which calls use it: none would
    if said.endpoint_type is EndpointType.LATENCY_OPTIMIZED and not model.latency_optimized:
        return UnmatchedQuota("unreached_variant")
    suffix = LONG_CONTEXT_SUFFIX if said.long_context else ""
    return QuotaKey(QuotaPool(model.id + suffix, said.endpoint_type), said.unit)


def quotas_by_pool(listed: Iterable[ListedQuota], registry: Registry) -> dict[QuotaPool, PoolQuota]:
    """Return every pool's quotas from a listing. What no rule knows is left out; `match` says why.

    So are those without a value: `unsaid` names them.
    """
    models = models_by_quota_name(registry)
    values: dict[QuotaPool, dict[str, float]] = {}
    doubled: dict[QuotaPool, float] = {}
    for quota in listed:
        matched = match_quota_name(quota.name, models)
        if isinstance(matched, QuotaKey) and quota.value is not None:
            found = values.setdefault(matched.pool, {})
            # Two spellings of one quota: the smaller never shows room that is not there.
            found[matched.unit] = min(quota.value, found.get(matched.unit, quota.value))
            if DOUBLED in quota.name.casefold():
                cross_region = QuotaPool(matched.pool.model_id, EndpointType.CROSS_REGION)
                doubled[cross_region] = 2 * found[matched.unit]
    for pool, value in doubled.items():
        if pool in values:
            values[pool].setdefault(Unit.TOKENS_PER_DAY, value)
    return {pool: PoolQuota(**found) for pool, found in sorted(values.items())}


def quotas_without_value(listed: Iterable[ListedQuota], registry: Registry) -> list[QuotaKey]:
    """Return the places of quotas whose value AWS could not say."""
    models = models_by_quota_name(registry)
    found = (match_quota_name(quota.name, models) for quota in listed if quota.value is None)
    return sorted({each for each in found if isinstance(each, QuotaKey)})
