"""A quota: what Service Quotas allows a bucket, found by the quota's name.

Names: https://docs.aws.amazon.com/general/latest/gr/bedrock.html (read 2026-11-23). A name says unit, endpoint type
and, in free text, the model; the registry knows the spellings. Codes are only a check: AWS promises none of them.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from bedrock_quota.accounts import LONG_CONTEXT_SUFFIX
from bedrock_quota.buckets import Bucket, EndpointType
from bedrock_quota.registry import Model, Registry

SERVICE_CODE = "bedrock"


class Unit(StrEnum):
    """What a quota counts."""

    TOKENS_PER_MINUTE = "tokens_per_minute"
    REQUESTS_PER_MINUTE = "requests_per_minute"
    TOKENS_PER_DAY = "tokens_per_day"


class ListedQuota(msgspec.Struct, frozen=True):
    """One quota as Service Quotas lists it; `value` may be 0."""

    code: str
    name: str
    value: float


class BucketQuota(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one bucket may use; None where it has no such quota, 0 where the account may use nothing."""

    tokens_per_minute: float | None = None
    requests_per_minute: float | None = None
    tokens_per_day: float | None = None


class Refused(msgspec.Struct, frozen=True):
    """A quota that is none of a bucket's, and why: a fixed word."""

    reason: str


class Matched(msgspec.Struct, frozen=True):
    """A quota's bucket and unit."""

    bucket: Bucket
    unit: Unit


class Snapshot(msgspec.Struct, frozen=True):
    """All buckets' quotas at one moment, as the fetcher stores and the processor reads them."""

    fetched_at: datetime
    quotas: tuple[tuple[Bucket, BucketQuota], ...]

    def by_bucket(self) -> dict[Bucket, BucketQuota]:
        """Quotas by bucket."""
        return dict(self.quotas)


_ENDPOINT_TYPES = {
    "on-demand": EndpointType.REGIONAL,
    "cross-region": EndpointType.CROSS_REGION,
    "global cross-region": EndpointType.GLOBAL_CROSS_REGION,
    "on-demand latency-optimized": EndpointType.LATENCY_OPTIMIZED,
}
_UNITS = {
    "tokens per minute": Unit.TOKENS_PER_MINUTE,
    "requests per minute": Unit.REQUESTS_PER_MINUTE,
    "tokens per day": Unit.TOKENS_PER_DAY,
}
_INFERENCE = re.compile(
    r"(?P<scope>on-demand,? latency-optimized|on-demand|global cross-region|cross-region) model inference "
    r"(?P<unit>tokens per minute|requests per minute|tokens per day) for (?P<model>.+)",
    re.IGNORECASE,
)
_DAILY = re.compile(
    r"model invocation max tokens per day for (?P<model>.+?)( \(doubled for cross-region calls\))?",
    re.IGNORECASE,
)
_LONG_CONTEXT = re.compile(r"(?P<model>.+?)[ ,]+1M context( length)?", re.IGNORECASE)

_VETOES = (
    ("[bedrock-mantle endpoint]", "mantle_endpoint"),
    ("custom model", "custom_model"),
    ("concurrent requests", "concurrency"),
    ("batch inference", "batch"),
)


def models_by_quota_name(registry: Registry) -> dict[str, Model]:
    """Return models by each spelling of theirs in quota names, case folded."""
    return {name.casefold(): model for model in registry.models for name in model.quota_names}


def match(name: str, models: Mapping[str, Model]) -> Matched | Refused:
    """Find the bucket and unit of a quota from its name, or refuse it with a reason.

    `models` is what `models_by_quota_name` returns. A name is never matched in part: "Nova 2 Lite" is not
    "Nova Lite", "Claude 3.5 Sonnet V2" is not "Claude 3.5 Sonnet".
    """
    folded = name.casefold()
    for words, reason in _VETOES:
        if words in folded:
            return Refused(reason)
    inference = _INFERENCE.fullmatch(name)
    daily = None if inference else _DAILY.fullmatch(name)
    found = inference or daily
    if found is None:
        return Refused("other_quota")
    spelling = found["model"]
    long_context = _LONG_CONTEXT.fullmatch(spelling)
    model = models.get((long_context["model"] if long_context else spelling).strip().casefold())
    if model is None:
        return Refused("unlisted_model")
    scope = inference["scope"].casefold().replace(",", "") if inference else "on-demand"
    unit = _UNITS[inference["unit"].casefold()] if inference else Unit.TOKENS_PER_DAY
    suffix = LONG_CONTEXT_SUFFIX if long_context else ""
    return Matched(Bucket(model.id + suffix, _ENDPOINT_TYPES[scope]), unit)


def by_bucket(listed: Iterable[ListedQuota], registry: Registry) -> dict[Bucket, BucketQuota]:
    """Return every bucket's quotas from a listing. What no rule knows is left out; `match` says why."""
    models = models_by_quota_name(registry)
    values: dict[Bucket, dict[str, float]] = {}
    for quota in listed:
        matched = match(quota.name, models)
        if isinstance(matched, Matched):
            values.setdefault(matched.bucket, {})[matched.unit] = quota.value
    return {bucket: BucketQuota(**found) for bucket, found in sorted(values.items())}
