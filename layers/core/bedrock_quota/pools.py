"""A quota pool: what shares one quota."""

from enum import StrEnum

import msgspec


class EndpointType(StrEnum):
    """The half of a pool that says how a model was reached; AWS: on-demand, cross-Region, global cross-Region."""

    REGIONAL = "regional"
    CROSS_REGION = "cross-region"
    GLOBAL_CROSS_REGION = "global-cross-region"
    LATENCY_OPTIMIZED = "latency-optimized"


class QuotaPool(msgspec.Struct, frozen=True, gc=False, order=True):
    """What shares one quota in an account and Region: the metric dimensions `ModelId` and `EndpointType`."""

    model_id: str
    endpoint_type: EndpointType

    def __str__(self) -> str:
        """Say it as the dashboards do: `amazon.nova-pro-v1:0 (cross-region)`."""
        return f"{self.model_id} ({self.endpoint_type})"
