"""Checks of the whole registry: each model must be found by its id and by its quota names.

`sources` checks each file by itself. These checks need all models, and the rules for ids and names.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from bedrock_quota import model_ids
from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import LONG_CONTEXT_SUFFIX, EndpointType, QuotaKey, QuotaPool, Unit
from bedrock_quota.registry.models import Model, QuotaCodes, Registry
from bedrock_quota.registry.quota_names import (
    QuotaName,
    is_long_context,
    match_quota_name,
    models_by_quota_name,
    parse_quota_name,
)

_SCOPES = {
    EndpointType.REGIONAL: "On-demand",
    EndpointType.CROSS_REGION: "Cross-region",
    EndpointType.GLOBAL_CROSS_REGION: "Global cross-region",
    EndpointType.LATENCY_OPTIMIZED: "On-demand, latency-optimized",
}


def expected_quota_name(spelling: str, endpoint_type: EndpointType, unit: Unit) -> str:
    """Return the name that Service Quotas would give a pool's quota."""
    if (endpoint_type, unit) == (EndpointType.REGIONAL, Unit.TOKENS_PER_DAY):
        return f"Model invocation max tokens per day for {spelling} (doubled for cross-region calls)"
    return f"{_SCOPES[endpoint_type]} model inference {unit.replace('_', ' ')} for {spelling}"


def find_problems(known: Registry, models: Iterable[Model] | None = None) -> list[str]:
    """Return one sentence per problem, with the model's id. The list is empty if there is none.

    Checks all models, or only `models` if they are given.
    """
    by_name = models_by_quota_name(known)
    return [
        f"{model.id}: {problem}"
        for model in (known.models if models is None else models)
        for problem in (*_check_id(model, known), *_check_names(model, by_name))
    ]


def _check_id(model: Model, known: Registry) -> Iterator[str]:
    if model_ids.parse_model_id(model.id, known.provider_by_id) != Reference(model.id, EndpointType.REGIONAL):
        yield "is the id of a profile, not of a foundation model: remove the part before the first dot"
    if model.id.endswith(LONG_CONTEXT_SUFFIX):
        yield f"ends with {LONG_CONTEXT_SUFFIX}, like a 1M-context quota: set long_context_above instead"


def _check_names(model: Model, models: Mapping[str, Model]) -> Iterator[str]:
    for spelling in model.quota_names:
        if isinstance(parse_quota_name(spelling), QuotaName):
            yield f"the quota name {spelling!r} is a complete name: give only the part after ` for `"
        if is_long_context(spelling):
            yield f"the quota name {spelling!r} is that of a 1M-context quota: remove it, set long_context_above"
    if model.quota_codes and not model.quota_names:
        yield "has quota_codes, but no quota_names to find its quotas by"
    for endpoint_type, codes in model.quota_codes.items():
        if codes == QuotaCodes():
            yield f"quota_codes.{endpoint_type} is empty"
    units = {
        endpoint_type: [Unit(unit) for unit, code in msgspec.structs.asdict(codes).items() if code is not None]
        for endpoint_type, codes in model.quota_codes.items()
    } or {endpoint_type: list(Unit) for endpoint_type in EndpointType if _is_reached(model, endpoint_type)}
    suffixes = {"": ""} | ({" 1M Context Length": LONG_CONTEXT_SUFFIX} if model.long_context_above is not None else {})
    for spelling in model.quota_names:
        for endpoint_type, of_type in units.items():
            for unit in of_type:
                for ending, suffix in suffixes.items():
                    name = expected_quota_name(spelling + ending, endpoint_type, unit)
                    found = match_quota_name(name, models)
                    if found != QuotaKey(QuotaPool(model.id + suffix, endpoint_type), unit):
                        instead = found.pool if isinstance(found, QuotaKey) else f"refused as {found.reason}"
                        yield f"the quota {name!r} does not match it ({instead})"


def _is_reached(model: Model, endpoint_type: EndpointType) -> bool:
    return model.latency_optimized or endpoint_type is not EndpointType.LATENCY_OPTIMIZED
