"""A model id: the `modelId` that a caller passed, and its pool or the reason why it has none.

Forms: https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html and
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonbedrock.html (read 2026-11-23).
"""

import re
from collections.abc import Container

import msgspec

from bedrock_quota.pools import EndpointType

GEO_PREFIXES = frozenset({"us", "eu", "apac", "jp", "au", "ca", "in", "us-gov"})
"""Geographies seen so far. A new one is recognized if a known provider follows it."""

GLOBAL_PREFIX = "global"

LATENCY_OPTIMIZED_SUFFIX = "+latency-optimized"
"""Ends the id of a model that is reached latency-optimized. AWS's metrics have such ids (Bedrock User Guide, "Optimize
model inference for latency", read 2026-11-28)."""

ALARM_TEST = "bedrock-quota-monitor.alarm-test-v1:0"
"""Model id of records that test the alarms. No provider's id has a hyphen, so Bedrock cannot have this model."""

ALARM_TEST_REASON = "alarm_test"
"""Reason why such a record is out of scope. It is not a call, so it has no pool, graph or quota."""

_ARN = re.compile(
    r"arn:aws[a-z-]*:(?P<service>[a-z-]+):(?P<region>[a-z0-9-]*):\d*:(?P<type>[a-z-]+)/(?P<id>[\w.:/-]+)",
    re.ASCII,
)
_ID = re.compile(r"(?=.{3,256}\Z)[a-zA-Z0-9][\w-]*\.[a-zA-Z0-9][\w.:-]*", re.ASCII)
"""A provider, a dot, a name."""

_MAX_LENGTH = 2048
"""Longest `modelId` (API reference of Converse, read 2026-11-23). Longer ones are out of scope, to limit memory."""

_OUT_OF_SCOPE = {
    "provisioned-model": "provisioned_model",
    "custom-model": "custom_model",
    "custom-model-deployment": "custom_model",
    "imported-model": "imported_model",
    "prompt": "prompt",
    "prompt-router": "prompt_router",
    "default-prompt-router": "prompt_router",
}
_PROMPT_ROUTERS = tuple(f":{kind}/" for kind, reason in _OUT_OF_SCOPE.items() if reason == "prompt_router")


class Reference(msgspec.Struct, frozen=True):
    """A foundation model and the endpoint type that reached it."""

    model_id: str
    endpoint_type: EndpointType


class ApplicationProfile(msgspec.Struct, frozen=True):
    """An application inference profile. Only Bedrock knows its model. `profile_id` is the last part of the ARN."""

    arn: str
    profile_id: str


class OutOfScope(msgspec.Struct, frozen=True):
    """A call that belongs to no pool. `reason` is a fixed word that is counted."""

    reason: str


UNREADABLE = OutOfScope("unreadable_model_id")
"""A call of an id that is not of a known form."""

UNRESOLVED = OutOfScope("unresolved_profile")
"""A call of an application profile whose model nobody could find out."""

ModelId = Reference | ApplicationProfile | OutOfScope


def parse_model_id(model_id: str, providers: Container[str]) -> ModelId:
    """Return the model, profile or reason for a caller's `modelId`.

    `providers` are the known first parts of foundation model ids. They distinguish a new geo prefix of AWS from a
    provider. An id that ends with `LATENCY_OPTIMIZED_SUFFIX` is latency-optimized, whatever prefix it has.

    Never raises: an id that cannot be read is out of scope as `unreadable_model_id`.
    """
    bare = model_id.removesuffix(LATENCY_OPTIMIZED_SUFFIX)
    if bare is not model_id and len(model_id) <= _MAX_LENGTH:
        found = parse_model_id(bare, providers) if not bare.endswith(LATENCY_OPTIMIZED_SUFFIX) else UNREADABLE
        return Reference(found.model_id, EndpointType.LATENCY_OPTIMIZED) if isinstance(found, Reference) else found
    if model_id == ALARM_TEST:
        return OutOfScope(ALARM_TEST_REASON)
    if len(model_id) > _MAX_LENGTH:
        return UNREADABLE
    if model_id.startswith("arn:"):
        return _parse_arn(model_id, providers)
    return _parse_id(model_id, providers)


def is_prompt_router(model_id: str) -> bool:
    """Return True if the id is a prompt router's ARN, of a length that is read.

    The answer names the model that the router chose.
    """
    return (
        len(model_id) <= _MAX_LENGTH
        and model_id.startswith("arn:")
        and any(kind in model_id for kind in _PROMPT_ROUTERS)
    )


def _parse_id(model_id: str, providers: Container[str] | None) -> ModelId:
    """Read an id. Without `providers` it has no prefix, because it comes from a foundation model's ARN."""
    if not _ID.fullmatch(model_id):
        return UNREADABLE
    if providers is None:
        return Reference(model_id, EndpointType.REGIONAL)
    prefix, _, rest = model_id.partition(".")
    if prefix == GLOBAL_PREFIX:
        found = _parse_id(rest, None)  # "global." alone is not a model
        return Reference(rest, EndpointType.GLOBAL_CROSS_REGION) if isinstance(found, Reference) else found
    if prefix not in providers and "." in rest and (prefix in GEO_PREFIXES or rest.partition(".")[0] in providers):
        return Reference(rest, EndpointType.CROSS_REGION)
    return Reference(model_id, EndpointType.REGIONAL)


def _parse_arn(arn: str, providers: Container[str]) -> ModelId:
    matched = _ARN.fullmatch(arn)
    if matched is None:
        return UNREADABLE
    resource_type, resource_id = matched["type"], matched["id"]
    if matched["service"] != "bedrock":
        return OutOfScope("marketplace_endpoint") if matched["service"] == "sagemaker" else UNREADABLE
    if resource_type in {"foundation-model", "inference-profile"}:
        return _parse_id(resource_id, providers if resource_type == "inference-profile" else None)
    if resource_type == "application-inference-profile":
        return ApplicationProfile(arn, resource_id)
    reason = _OUT_OF_SCOPE.get(resource_type)
    return OutOfScope(reason) if reason else UNREADABLE


def resolve_profile_models(model_arns: tuple[str, ...]) -> Reference | OutOfScope:
    """Return the pool of an application profile from the ARNs of the models behind it.

    One ARN means in-Region, and several mean cross-Region. If one of them has no Region, the profile is global
    (GetInferenceProfile, `models[].modelArn`, read 2026-11-23).
    """
    regions: set[str] = set()
    model_ids: set[str] = set()
    for arn in model_arns:
        matched = _ARN.fullmatch(arn)
        if matched is None or matched["type"] != "foundation-model":
            return UNRESOLVED
        regions.add(matched["region"])
        model_ids.add(matched["id"])
    if len(model_ids) != 1 or not _ID.fullmatch(next(iter(model_ids))):
        return UNRESOLVED
    if "" in regions:
        endpoint_type = EndpointType.GLOBAL_CROSS_REGION
    else:
        endpoint_type = EndpointType.CROSS_REGION if len(regions) > 1 else EndpointType.REGIONAL
    return Reference(model_ids.pop(), endpoint_type)
