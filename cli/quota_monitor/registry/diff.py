"""Compare the registry with a listing: new, missing and different models, as values."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

import msgspec

from bedrock_quota import model_ids
from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import EndpointType, QuotaKey
from bedrock_quota.registry.models import Model, ModelKind, Registry
from bedrock_quota.registry.quota_codes import find_code_mismatches
from bedrock_quota.registry.quota_names import ListedQuota, UnmatchedQuota, match_quota, models_by_quota_name
from quota_monitor.registry import model_name_match
from quota_monitor.registry.aws_listing import ACTIVE, ListedModel, Listing

PROVISIONED = "PROVISIONED"


class NewModel(msgspec.Struct, frozen=True):
    """A model that AWS lists and the registry does not have.

    `reached` has the ways to call it: `on-demand`, or the prefixes of profiles. `spellings` are spellings in quota
    names that equal its name. `similar` ones are for a person to choose from.
    """

    listed: ListedModel
    kind: ModelKind
    reached: tuple[str, ...]
    spellings: tuple[str, ...]
    similar: tuple[str, ...]


class Absence(StrEnum):
    """Reason for which a model of the registry is reported as gone."""

    LEGACY = "legacy"
    ABSENT = "absent"


class Gone(msgspec.Struct, frozen=True):
    """A model of the registry that AWS marks LEGACY, or does not list in this Region."""

    model: Model
    absence: Absence


class UnknownSpelling(msgspec.Struct, frozen=True):
    """A spelling in quota names that the registry does not know, and the models it may belong to."""

    spelling: str
    names: tuple[str, ...]
    exactly: tuple[str, ...]
    """Ids of models, known or new, with exactly this name."""


class Comparison(msgspec.Struct, frozen=True):
    """Differences for a person to review. `different` has sentences, `unread` has names, `refused` counts by reason."""

    new: tuple[NewModel, ...]
    provisioned_only: tuple[str, ...]
    gone: tuple[Gone, ...]
    different: tuple[str, ...]
    unknown_spellings: tuple[UnknownSpelling, ...]
    unread: tuple[str, ...]
    matched: int
    refused: Mapping[str, int]


def compare(known: Registry, listing: Listing) -> Comparison:
    """Compare the registry with a listing."""
    by_name = models_by_quota_name(known)
    read = [(quota, match_quota(quota, by_name)) for quota in listing.quotas]
    reached = _reached(known, listing)
    unlisted = [each for each in _without_variants(listing.models) if known.find(each.id) is None]
    candidates = [each for each in unlisted if _fits(each.id)]
    names_of_unknown = _names_by_unknown_spelling(read)
    exactly = {
        spelled: [each.id for each in candidates if _is_exact(spelled, each)]
        + [model.id for model in known.models if _is_exact(spelled, _as_listed(model, known))]
        for spelled in names_of_unknown
    }
    new = tuple(
        _new_model(each, reached[each.id], exactly)
        for each in candidates
        if reached[each.id] or set(each.inference_types) != {PROVISIONED}
    )
    return Comparison(
        new=new,
        provisioned_only=tuple(each.id for each in candidates if each.id not in {model.listed.id for model in new}),
        gone=tuple(_gone(known, listing)),
        different=(
            *(f"the registry does not accept the id {each.id!r}" for each in unlisted if not _fits(each.id)),
            *find_code_mismatches(known, read),
            *_differences_of_profiles(known, listing),
            *_differences_of_ends(known, listing),
        ),
        unknown_spellings=tuple(
            UnknownSpelling(spelled, tuple(sorted(names)), tuple(exactly[spelled]))
            for spelled, names in sorted(names_of_unknown.items())
        ),
        unread=tuple(sorted(quota.name for quota, found in read if found == UnmatchedQuota("unread_name"))),
        matched=sum(isinstance(found, QuotaKey) for _, found in read),
        refused=Counter(found.reason for _, found in read if isinstance(found, UnmatchedQuota)),
    )


def _without_variants(models: Iterable[ListedModel]) -> list[ListedModel]:
    """Return one entry per model. `…-v1:0:28k` is `…-v1:0` with another provisioned throughput."""
    found: dict[str, ListedModel] = {}
    for each in sorted(models, key=lambda model: model.id):
        base = ":".join(each.id.split(":")[:2])
        kept = found.setdefault(base, msgspec.structs.replace(each, id=base))
        together = tuple(dict.fromkeys(kept.inference_types + each.inference_types))
        found[base] = msgspec.structs.replace(kept, inference_types=together)
    return list(found.values())


def _providers(known: Registry, listing: Listing) -> set[str]:
    return set(known.provider_by_id) | {each.id.partition(".")[0] for each in listing.models}


def _reached(known: Registry, listing: Listing) -> defaultdict[str, tuple[str, ...]]:
    """Return the ways to call each listed model, by its id."""
    providers = _providers(known, listing)
    found: defaultdict[str, list[str]] = defaultdict(list)
    for each in listing.models:
        if "ON_DEMAND" in each.inference_types:
            found[":".join(each.id.split(":")[:2])].append("on-demand")
    for profile in listing.profiles:
        parsed = model_ids.parse_model_id(profile.id, providers)
        if isinstance(parsed, Reference) and parsed.endpoint_type is not EndpointType.REGIONAL:
            found[parsed.model_id].append(profile.id.partition(".")[0])
    return defaultdict(tuple, {model_id: tuple(dict.fromkeys(ways)) for model_id, ways in found.items()})


def _fits(model_id: str) -> bool:
    try:
        msgspec.convert({"id": model_id, "name": "any", "kind": "text", "source": "any"}, Model)
    except msgspec.ValidationError:
        return False
    return True


def _names_by_unknown_spelling(read: Iterable[tuple[ListedQuota, QuotaKey | UnmatchedQuota]]) -> dict[str, list[str]]:
    """Return quota names by unknown spelling. Spellings that differ only in case are the same."""
    first: dict[str, str] = {}
    names: defaultdict[str, list[str]] = defaultdict(list)
    for quota, found in read:
        spelled = model_name_match.read_spelling(quota.name) if found == UnmatchedQuota("unlisted_model") else None
        if spelled is not None:
            names[first.setdefault(spelled.casefold(), spelled)].append(quota.name)
    return names


def _as_listed(model: Model, known: Registry) -> ListedModel:
    return ListedModel(model.id, model.name, known.find_provider(model.id).name)


def _is_exact(spelled: str, listed: ListedModel) -> bool:
    return model_name_match.is_exact(spelled, model_id=listed.id, name=listed.name, provider=listed.provider)


def _new_model(listed: ListedModel, reached: tuple[str, ...], exactly: Mapping[str, list[str]]) -> NewModel:
    """Return a new model. It gets only spellings that belong to no other model."""
    spellings = tuple(spelled for spelled, ids in sorted(exactly.items()) if ids == [listed.id])
    others = [spelled for spelled, ids in sorted(exactly.items()) if len(ids) != 1]
    return NewModel(
        listed=listed,
        kind=_kind(listed),
        reached=reached,
        spellings=spellings,
        similar=tuple(model_name_match.find_similar(listed.name, listed.provider, others)),
    )


def _kind(listed: ListedModel) -> ModelKind:
    answers = {each.upper() for each in listed.output_modalities}
    for modality, kind in (
        ("SPEECH", ModelKind.SPEECH),
        ("EMBEDDING", ModelKind.EMBEDDING),
        ("VIDEO", ModelKind.VIDEO),
        ("IMAGE", ModelKind.IMAGE),
    ):
        if modality in answers and (modality == "SPEECH" or "TEXT" not in answers):
            return kind
    return ModelKind.RERANK if "rerank" in f"{listed.id} {listed.name}".casefold() else ModelKind.TEXT


def _gone(known: Registry, listing: Listing) -> Iterator[Gone]:
    statuses: defaultdict[str, set[str]] = defaultdict(set)
    for each in listing.models:
        model = known.find(each.id)
        if model is not None:
            statuses[model.id].add(each.status)
    providers = _providers(known, listing)
    for profile in listing.profiles:
        parsed = model_ids.parse_model_id(profile.id, providers)
        model = known.find(parsed.model_id) if isinstance(parsed, Reference) else None
        if model is not None and model.id not in statuses:
            statuses[model.id].add(ACTIVE)
    for model in known.models:
        if model.id not in statuses:
            yield Gone(model, Absence.ABSENT)
        elif ACTIVE not in statuses[model.id]:
            yield Gone(model, Absence.LEGACY)


def _differences_of_ends(known: Registry, listing: Listing) -> Iterator[str]:
    """Yield the models whose end of life AWS lists for this Region and the registry lacks, or has later."""
    for each in listing.models:
        model = known.by_id.get(each.id)
        if model is None or each.end_of_life is None:
            continue
        if model.end_of_life is None or model.end_of_life.day > each.end_of_life:
            day = model.end_of_life.day if model.end_of_life else "no day"
            yield f"{model.id} ends on {each.end_of_life} in {listing.region}, and the registry has {day}"


def _differences_of_profiles(known: Registry, listing: Listing) -> Iterator[str]:
    providers = _providers(known, listing)
    for profile in listing.profiles:
        parsed = model_ids.parse_model_id(profile.id, providers)
        if not isinstance(parsed, Reference) or parsed.endpoint_type is EndpointType.REGIONAL:
            yield f"the profile {profile.id!r} cannot be parsed: calls to it would get no quota pool, or a wrong one"
        elif profile.model_ids and parsed.model_id not in profile.model_ids:
            yield f"the profile {profile.id!r} leads to {', '.join(profile.model_ids)}, not to {parsed.model_id}"
