"""The AWS calls of a fetch: quotas, pools in use, application profiles and the registry's overrides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from bedrock_quota import model_ids
from bedrock_quota.errors import QuotaFetchError
from bedrock_quota.fetcher import burndown_drift
from bedrock_quota.fetcher.metric_data import MAX_QUERIES, make_metric_query
from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import EndpointType, QuotaPool
from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.quota_names import SERVICE_CODE, ListedQuota

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_service_quotas import ServiceQuotasClient
    from mypy_boto3_ssm import SSMClient

_ENDPOINT_TYPES = frozenset(EndpointType)

NO_OVERRIDES = "{}"

THROTTLED_CALLS = "InvocationThrottles"
REFUSED_CALLS = (THROTTLED_CALLS, "InvocationClientErrors")
"""Metrics of `AWS/Bedrock` on calls that Bedrock refused. With a quota of 0 there are no others."""

THROTTLES_LOOK_BACK = timedelta(hours=3)
"""Time range of the throttles that are read: a little more than the time between two fetches."""


def list_quotas(client: ServiceQuotasClient) -> list[ListedQuota]:
    """List Bedrock's quotas in this Region: AWS's defaults, overlaid with the values applied to this account.

    ListServiceQuotas "doesn't return quotas that have no applied value" for an account, so both calls are needed. A
    quota that is listed with an `ErrorReason` instead of its applied value has the value None, not its default. Raises
    `QuotaFetchError` if either call fails or finds nothing, because an incomplete list must not look complete.
    """
    found: dict[str, ListedQuota] = {}
    try:
        for operation in ("list_aws_default_service_quotas", "list_service_quotas"):
            for page in client.get_paginator(operation).paginate(
                ServiceCode=SERVICE_CODE, PaginationConfig={"PageSize": 100}
            ):
                for quota in page["Quotas"]:
                    code = quota["QuotaCode"]
                    found[code] = ListedQuota(code, quota["QuotaName"], quota.get("Value"))
    except Exception as error:
        raise QuotaFetchError(f"Service Quotas could not be listed: {error}") from error
    if not found:
        raise QuotaFetchError("Service Quotas lists no quotas for Bedrock in this Region")
    return list(found.values())


def list_pools_called(client: CloudWatchClient, namespace: str) -> set[QuotaPool]:
    """Return the pools that had an answered call in the last two weeks.

    ListMetrics returns only the metrics that "have had data points reported in the past two weeks" (API reference,
    read 2026-11-23). Propagates botocore errors.
    """
    found: set[QuotaPool] = set()
    for dimensions in _list_dimensions(client, namespace, "ConsumedTokens"):
        if dimensions.keys() == {"ModelId", "EndpointType"} and dimensions["EndpointType"] in _ENDPOINT_TYPES:
            found.add(QuotaPool(dimensions["ModelId"], EndpointType(dimensions["EndpointType"])))
    return found


def list_pools_refused(client: CloudWatchClient, known: Registry) -> set[QuotaPool]:
    """Return the pools with a call in the last two weeks that Bedrock refused. Propagates botocore errors."""
    found: set[QuotaPool] = set()
    for name in REFUSED_CALLS:
        for dimensions in _list_dimensions(client, burndown_drift.NAMESPACE, name):
            pool = find_pool(dimensions, known)
            if pool is not None:
                found.add(pool)
    return found


def list_pools_throttled(
    client: CloudWatchClient, known: Registry, pools: Set[QuotaPool], now: datetime
) -> set[QuotaPool]:
    """Return those of `pools` in which Bedrock throttled a call in the last hours. Propagates botocore errors.

    The pools of a `:1m` quota are never found, because the metric's dimension is the id that callers passed.
    """
    pool_of: dict[str, QuotaPool] = {}
    for dimensions in _list_dimensions(client, burndown_drift.NAMESPACE, THROTTLED_CALLS, RecentlyActive="PT3H"):
        pool = find_pool(dimensions, known)
        if pool is not None and pool in pools:
            pool_of[dimensions["ModelId"]] = pool
    names = sorted(pool_of)
    found: set[QuotaPool] = set()
    for start in range(0, len(names), MAX_QUERIES):
        queries = {f"m{number}": name for number, name in enumerate(names[start : start + MAX_QUERIES])}
        pages = client.get_paginator("get_metric_data").paginate(
            MetricDataQueries=[
                make_metric_query(each, burndown_drift.NAMESPACE, THROTTLED_CALLS, {"ModelId": name}, period=300)
                for each, name in queries.items()
            ],
            StartTime=now - THROTTLES_LOOK_BACK,
            EndTime=now,
        )
        for page in pages:
            found |= {pool_of[queries[each["Id"]]] for each in page["MetricDataResults"] if sum(each["Values"]) > 0}
    return found


def find_pool(dimensions: Mapping[str, str], known: Registry) -> QuotaPool | None:
    """Return the pool of a metric of AWS whose only dimension is the id that callers passed, or None."""
    if dimensions.keys() != {"ModelId"}:
        return None
    called = model_ids.parse_model_id(dimensions["ModelId"], known.id_prefixes)
    if not isinstance(called, Reference):
        return None
    model = known.find(called.model_id)
    return QuotaPool(model.quota_model_id if model else called.model_id, called.endpoint_type)


def _list_dimensions(
    client: CloudWatchClient, namespace: str, metric_name: str, **only: Any
) -> Iterator[dict[str, str]]:
    for page in client.get_paginator("list_metrics").paginate(Namespace=namespace, MetricName=metric_name, **only):
        for metric in page["Metrics"]:
            yield {dimension["Name"]: dimension["Value"] for dimension in metric["Dimensions"]}


def list_application_profiles(client: BedrockClient) -> dict[str, Reference]:
    """Return the model behind each application inference profile of this Region, by its ARN.

    Profiles without a single model are left out: their calls are out of scope. Propagates botocore errors.
    """
    pages = client.get_paginator("list_inference_profiles").paginate(typeEquals="APPLICATION")
    found = {}
    for page in pages:
        for profile in page["inferenceProfileSummaries"]:
            reference = model_ids.resolve_profile_models(
                tuple(model.get("modelArn", "") for model in profile["models"])
            )
            if isinstance(reference, Reference):
                found[profile["inferenceProfileArn"]] = reference
    return found


def read_overrides_parameter(parameter: str | None, client: SSMClient) -> str:
    """Return the text of the registry's overrides. Without overrides the parameter may not exist.

    Propagates botocore errors.
    """
    if parameter is None:
        return NO_OVERRIDES
    try:
        return client.get_parameter(Name=parameter)["Parameter"]["Value"]
    except client.exceptions.ParameterNotFound:
        return NO_OVERRIDES
