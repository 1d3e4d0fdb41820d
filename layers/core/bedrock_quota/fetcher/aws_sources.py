"""The AWS calls of a fetch: quotas, pools in use, application profiles and the registry's overrides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bedrock_quota import model_ids
from bedrock_quota.errors import QuotaFetchError
from bedrock_quota.fetcher import burndown_drift
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

REFUSED_CALLS = ("InvocationThrottles", "InvocationClientErrors")
"""Metrics of `AWS/Bedrock` on calls that Bedrock refused. With a quota of 0 there are no others."""


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
            called = model_ids.parse_model_id(dimensions.get("ModelId", ""), known.id_prefixes)
            if dimensions.keys() == {"ModelId"} and isinstance(called, Reference):
                model = known.find(called.model_id)
                found.add(QuotaPool(model.quota_model_id if model else called.model_id, called.endpoint_type))
    return found


def _list_dimensions(client: CloudWatchClient, namespace: str, metric_name: str) -> Iterator[dict[str, str]]:
    for page in client.get_paginator("list_metrics").paginate(Namespace=namespace, MetricName=metric_name):
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
