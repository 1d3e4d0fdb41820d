"""Draft TOML tables for new models, to be reviewed and pasted into `registry/models`."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from bedrock_quota.pools import EndpointType, Unit
from bedrock_quota.registry.models import ANY_PROVIDER, Burndown, ModelKind, Provider, RateStatus, Registry
from quota_monitor.registry import model_name_match
from quota_monitor.registry.aws_listing import Listing
from quota_monitor.registry.diff import NewModel

_KEY_WIDTH = 18
_CODE = re.compile(r"L-[0-9A-F]{8}")


class Draft(msgspec.Struct, frozen=True):
    """Change to one file of `registry/models`: append `text`, or create the file with it."""

    file_name: str
    is_new_file: bool
    text: str


def draft_models(new: Iterable[NewModel], known: Registry, listing: Listing) -> list[Draft]:
    """Return a draft for every provider with new models."""
    by_provider: defaultdict[str, list[NewModel]] = defaultdict(list)
    for each in new:
        by_provider[each.listed.id.partition(".")[0]].append(each)
    return [_draft(provider_id, models, known, listing) for provider_id, models in sorted(by_provider.items())]


def render(drafts: Iterable[Draft]) -> str:
    """Return all drafts as one text, each below the name of its file."""
    return "\n".join(
        f"# {'-' * 20} {'new file' if each.is_new_file else 'append to'} registry/models/{each.file_name}\n{each.text}"
        for each in drafts
    )


def _draft(provider_id: str, models: list[NewModel], known: Registry, listing: Listing) -> Draft:
    provider = known.provider_by_id.get(provider_id)
    parts = []
    if provider is None:
        provider = _new_provider(provider_id, models[0], known, listing)
        parts.append("\n".join(_provider_lines(provider)))
    parts += ["\n".join(_model_lines(each, provider, known, listing)) for each in models]
    text = "\n\n".join(parts) + "\n"
    is_new_file = provider_id not in known.provider_by_id
    return Draft(f"{provider_id}.toml", is_new_file, text if is_new_file else f"\n{text}")


def _new_provider(provider_id: str, model: NewModel, known: Registry, listing: Listing) -> Provider:
    """Return a provider without a file, with the assumptions of the registry for unknown providers."""
    other = known.provider_by_id[ANY_PROVIDER]
    return Provider(
        id=provider_id,
        name=_clean(model.listed.provider) or provider_id,
        burndown=(_assumed(other.burndown, "assumed as for any other provider", listing),),
        max_output_tokens=other.max_output_tokens,
    )


def _assumed(history: tuple[Burndown, ...], source: str, listing: Listing) -> Burndown:
    return Burndown(history[-1].rate, listing.day, RateStatus.UNLISTED, f"{source}, {listing.day}")


def _provider_lines(provider: Provider) -> Iterator[str]:
    yield "#:schema ../schema.json"
    yield f"# {_clean(provider.name)} on Amazon Bedrock."
    yield ""
    yield "[provider]"
    yield _line("id", _text(provider.id))
    yield _line("name", _text(provider.name))
    yield _line("max_output_tokens", f"{provider.max_output_tokens:_}")
    yield _line("burndown", _burndown(provider.burndown[0]))


def _model_lines(new: NewModel, provider: Provider, known: Registry, listing: Listing) -> Iterator[str]:
    listed = new.listed
    where = f"ListFoundationModels in {listing.region}, {listing.day}"
    largest = max(provider.max_output_tokens, known.provider_by_id[ANY_PROVIDER].max_output_tokens)
    limit = largest if new.kind is ModelKind.TEXT else None  # rather too high: reservations are never hidden
    source = where if limit is None else f"{where}. Output limit assumed: the largest of the provider or any other"
    burndown = _assumed(provider.burndown, f"assumed, {provider.name}'s rate for a model that is not listed", listing)
    reached = _clean(", ".join(new.reached)) or "unknown"
    yield f"# Reached: {reached}. To review: kind, output limit, burndown, quota names."
    if new.similar:
        yield "# These quota names may also belong to this model. Decide:"
        yield from (f"#   {_clean(each)}" for each in new.similar)
    if any(model_name_match.is_long_context(quota.name, each) for quota in listing.quotas for each in new.spellings):
        yield "# It also has 1M-context quotas. Set long_context_above: calls with more input use them."
    yield "[[models]]"
    yield _line("id", _text(listed.id))
    yield _line("name", _text(_clean(listed.name) or listed.id))
    yield _line("kind", _text(new.kind))
    if limit is not None:
        yield _line("max_output_tokens", f"{limit:_}")
    yield _line("burndown", _burndown(burndown))
    if new.spellings:
        yield _line("quota_names", f"[{', '.join(map(_text, new.spellings))}]")
    codes_of = _codes(new, known, listing)
    if EndpointType.LATENCY_OPTIMIZED in codes_of:
        yield _line("latency_optimized", "true")
    for endpoint_type, codes in codes_of.items():
        pairs = ", ".join(f"{unit} = {_text(code)}" for unit, code in codes.items())
        yield f"quota_codes.{endpoint_type} = {{ {pairs} }}"
    yield _line("source", _text(source))


def _codes(new: NewModel, known: Registry, listing: Listing) -> Mapping[EndpointType, Mapping[Unit, str]]:
    """Return the codes of the quotas with exactly this model's name, except codes of other models."""
    taken = {
        code
        for model in known.models
        for codes in model.quota_codes.values()
        for code in msgspec.structs.astuple(codes)
    }
    found: defaultdict[EndpointType, dict[Unit, str]] = defaultdict(dict)
    for quota in listing.quotas:
        for spelled in new.spellings:
            place = model_name_match.find_pool(quota.name, spelled)
            if place is not None and quota.code not in taken and _CODE.fullmatch(quota.code):
                endpoint_type, unit = place
                found[endpoint_type].setdefault(unit, quota.code)
                taken.add(quota.code)
    return dict(sorted(found.items(), key=lambda each: list(EndpointType).index(each[0])))


def _burndown(rate: Burndown) -> str:
    pairs = f'rate = {rate.rate}, since = {rate.since}, status = "{rate.status}", source = {_text(rate.source)}'
    return f"[\n  {{ {pairs} }},\n]"


def _line(key: str, value: str) -> str:
    return f"{key:<{_KEY_WIDTH}} = {value}"


def _text(text: str) -> str:
    """Quote a text for TOML, which quotes as JSON does."""
    return json.dumps(_clean(text), ensure_ascii=False)


def _clean(text: str) -> str:
    """Return the printable characters on one line, cut to the length limit of registry texts."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:512]
