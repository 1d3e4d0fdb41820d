"""The fetching of quotas: list what is live, resolve names to buckets, and see which buckets are in use."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from bedrock_quota import quotas
from bedrock_quota.buckets import Bucket, EndpointType
from bedrock_quota.errors import QuotaFetchError
from bedrock_quota.quotas import ListedQuota, Snapshot
from bedrock_quota.registry import Registry

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_service_quotas import ServiceQuotasClient


_ENDPOINT_TYPES = frozenset(EndpointType)


def list_quotas(client: ServiceQuotasClient) -> list[ListedQuota]:
    """List Bedrock's quotas in this Region: AWS's defaults, overlaid with the values applied to this account.

    ListServiceQuotas "doesn't return quotas that have no applied value" for an account, hence both calls. Raises
    `QuotaFetchError` if either fails or finds nothing: a part is never passed off as the whole.
    """
    found: dict[str, ListedQuota] = {}
    try:
        for operation in ("list_aws_default_service_quotas", "list_service_quotas"):
            for page in client.get_paginator(operation).paginate(
                ServiceCode=quotas.SERVICE_CODE, PaginationConfig={"PageSize": 100}
            ):
                for quota in page["Quotas"]:
                    if "Value" not in quota:  # listed with an ErrorReason instead: its default, if any, stands
                        continue
                    found[quota["QuotaCode"]] = ListedQuota(quota["QuotaCode"], quota["QuotaName"], quota["Value"])
    except Exception as error:
        raise QuotaFetchError(f"Service Quotas could not be listed: {error}") from error
    if not found:
        raise QuotaFetchError("Service Quotas lists no quota for Bedrock in this Region")
    return list(found.values())


def snapshot(listed: Iterable[ListedQuota], registry: Registry, now: datetime) -> Snapshot:
    """Return all buckets' quotas from a listing; raises `QuotaFetchError` if no name matched any bucket."""
    by_bucket = quotas.by_bucket(listed, registry)
    if not by_bucket:
        raise QuotaFetchError("none of the listed quotas' names is known; has Service Quotas renamed them?")
    return Snapshot(now, tuple(by_bucket.items()))


def buckets_in_use(client: CloudWatchClient, namespace: str) -> set[Bucket]:
    """Return the buckets that had a call in the last two weeks.

    ListMetrics returns just the metrics that "have had data points reported in the past two weeks" (API reference,
    read 2026-11-23), so CloudWatch keeps this list for us. Raises what botocore raises.
    """
    found: set[Bucket] = set()
    pages = client.get_paginator("list_metrics").paginate(Namespace=namespace, MetricName="ConsumedTokens")
    for page in pages:
        for metric in page["Metrics"]:
            dimensions = {dimension["Name"]: dimension["Value"] for dimension in metric["Dimensions"]}
            if dimensions.keys() == {"ModelId", "EndpointType"} and dimensions["EndpointType"] in _ENDPOINT_TYPES:
                found.add(Bucket(dimensions["ModelId"], EndpointType(dimensions["EndpointType"])))
    return found
