"""A quota pool: everything that shares one quota, with the quota's units and values."""

from enum import StrEnum

import msgspec

LONG_CONTEXT_SUFFIX = ":1m"
"""Ends the `ModelId` of a model's 1M-context quota."""

UNLISTED = "unlisted"
"""The `ModelId` that models share of which there are too many outside the registry."""


class EndpointType(StrEnum):
    """The way a pool's model was reached: on-demand, cross-Region, global cross-Region or latency-optimized."""

    REGIONAL = "regional"
    CROSS_REGION = "cross-region"
    GLOBAL_CROSS_REGION = "global-cross-region"
    LATENCY_OPTIMIZED = "latency-optimized"


class QuotaPool(msgspec.Struct, frozen=True, gc=False, order=True):
    """A model by one endpoint type, in one account and Region: the metric dimensions `ModelId` and `EndpointType`."""

    model_id: str
    endpoint_type: EndpointType

    def __str__(self) -> str:
        """Return the pool as the dashboards name it: `amazon.nova-pro-v1:0 (cross-region)`."""
        return f"{self.model_id} ({self.endpoint_type})"


class Unit(StrEnum):
    """The unit that a quota counts."""

    TOKENS_PER_MINUTE = "tokens_per_minute"
    REQUESTS_PER_MINUTE = "requests_per_minute"
    TOKENS_PER_DAY = "tokens_per_day"


class QuotaKey(msgspec.Struct, frozen=True, order=True):
    """The pool and the unit of one quota."""

    pool: QuotaPool
    unit: Unit

    def __str__(self) -> str:
        """Return the key in words: `tokens per minute of amazon.nova-pro-v1:0 (cross-region)`."""
        return f"{self.unit.replace('_', ' ')} of {self.pool}"


class PoolQuota(msgspec.Struct, frozen=True, omit_defaults=True):
    """The quotas of one pool. None: no such quota."""

    tokens_per_minute: float | None = None
    requests_per_minute: float | None = None
    """0 for one of these two: the account may not call the model."""
    tokens_per_day: float | None = None
    """As Service Quotas lists it for the model. A 0 beside a quota per minute proves nothing: new accounts list 0, and
    their calls succeed. AWS enforces one quota per day for all models instead (Bedrock User Guide, Quotas for the
    bedrock-runtime endpoint, read 2026-11-28)."""

    @property
    def is_zero_per_minute(self) -> bool:
        """True if a quota per minute is 0, so that Bedrock throttles every call."""
        return 0 in (self.tokens_per_minute, self.requests_per_minute)

    def metrics(self) -> dict[str, float]:
        """Return the quota metrics to publish: none if there is no such quota, 0 if the quota is 0."""
        values = {"TokenQuota": self.tokens_per_minute, "RequestQuota": self.requests_per_minute}
        return {name: value for name, value in values.items() if value is not None}


NO_QUOTA = PoolQuota()
