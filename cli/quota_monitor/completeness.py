"""The completeness of the registry: what its reader cannot check, since it takes the rules for quota names."""

from collections.abc import Iterator, Mapping

import msgspec

from bedrock_quota import quotas
from bedrock_quota.accounts import LONG_CONTEXT_SUFFIX
from bedrock_quota.buckets import Bucket, EndpointType
from bedrock_quota.quotas import Matched, Unit
from bedrock_quota.registry import Model, QuotaCodes, Registry

_SCOPES = {
    EndpointType.REGIONAL: "On-demand",
    EndpointType.CROSS_REGION: "Cross-region",
    EndpointType.GLOBAL_CROSS_REGION: "Global cross-region",
    EndpointType.LATENCY_OPTIMIZED: "On-demand, latency-optimized",
}


def quota_name(spelling: str, endpoint_type: EndpointType, unit: Unit) -> str:
    """Return the name that Service Quotas would give a bucket's quota."""
    if (endpoint_type, unit) == (EndpointType.REGIONAL, Unit.TOKENS_PER_DAY):
        return f"Model invocation max tokens per day for {spelling} (doubled for cross-region calls)"
    return f"{_SCOPES[endpoint_type]} model inference {unit.replace('_', ' ')} for {spelling}"


def gaps(known: Registry) -> list[str]:
    """Return what is missing or unreachable, each as a sentence naming the model; empty if all is complete."""
    models = quotas.models_by_quota_name(known)
    return [f"{model.id}: {gap}" for model in known.models for gap in _gaps_of(model, models)]


def _gaps_of(model: Model, models: Mapping[str, Model]) -> Iterator[str]:
    if model.quota_codes and not model.quota_names:
        yield "has quota_codes, but no quota_names by which to find its quotas"
    for endpoint_type, codes in model.quota_codes.items():
        if codes == QuotaCodes():
            yield f"quota_codes.{endpoint_type} is empty"
    units = {
        endpoint_type: [Unit(unit) for unit, code in msgspec.structs.asdict(codes).items() if code is not None]
        for endpoint_type, codes in model.quota_codes.items()
    } or {endpoint_type: list(Unit) for endpoint_type in EndpointType}
    suffixes = {"": ""} | ({" 1M Context Length": LONG_CONTEXT_SUFFIX} if model.long_context_above is not None else {})
    for spelling in model.quota_names:
        for endpoint_type, of_type in units.items():
            for unit in of_type:
                for ending, suffix in suffixes.items():
                    name = quota_name(spelling + ending, endpoint_type, unit)
                    found = quotas.match(name, models)
                    if found != Matched(Bucket(model.id + suffix, endpoint_type), unit):
                        instead = found.bucket if isinstance(found, Matched) else f"refused as {found.reason}"
                        yield f"the quota {name!r} does not lead to it ({instead})"
