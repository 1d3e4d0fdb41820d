"""Match model names in quota names, which are free text, with the names that ListFoundationModels returns."""

import re
from collections.abc import Iterable

from bedrock_quota.pools import EndpointType, QuotaKey, Unit
from bedrock_quota.registry.models import Model, ModelKind
from bedrock_quota.registry.quota_names import QuotaName, match_quota_name, parse_quota_name

_VERSION_1 = re.compile(r"-v1(?::\d+)?")
_PROBE = Model(
    id="probe.probe", name="probe", kind=ModelKind.TEXT, source="probe", latency_optimized=True, long_context_above=0
)

MAX_SIMILAR = 5


def read_spelling(name: str) -> str | None:
    """Return the spelling of the model in a quota name, or None if the name has no model."""
    said = parse_quota_name(name)
    return said.spelling if isinstance(said, QuotaName) else None


def find_pool(name: str, spelling: str) -> tuple[EndpointType, Unit] | None:
    """Return endpoint type and unit if a quota name belongs to this spelling. 1M-context quotas give None."""
    found = match_quota_name(name, {spelling.casefold(): _PROBE})
    if isinstance(found, QuotaKey) and found.pool.model_id == _PROBE.id:
        return found.pool.endpoint_type, found.unit
    return None


def is_long_context(name: str, spelling: str) -> bool:
    """Return True if a quota name is that of a 1M-context quota with this spelling."""
    found = match_quota_name(name, {spelling.casefold(): _PROBE})
    return isinstance(found, QuotaKey) and found.pool.model_id != _PROBE.id


def is_exact(spelling: str, *, model_id: str, name: str, provider: str) -> bool:
    """Return True if a spelling equals a model's name, except for case, blanks, the provider and a first `V1`."""
    prefixes = {_normal(provider), model_id.partition(".")[0]} - {""}
    versioned = _VERSION_1.search(model_id) is not None
    return not _forms(spelling, prefixes, versioned).isdisjoint(_forms(name, prefixes, versioned))


def find_similar(name: str, provider: str, spellings: Iterable[str]) -> list[str]:
    """Return the spellings that share most words with a model's name, most similar first, for a person to choose."""
    wanted = _words(name) - _words(provider)
    scores = {}
    for each in spellings:
        words = _words(each) - _words(provider)
        common = wanted & words
        if 2 * len(common) >= len(wanted) and any(word.isalpha() and len(word) > 2 for word in common):
            scores[each] = len(common) / len(wanted | words)
    return sorted(scores, key=lambda each: (-scores[each], each))[:MAX_SIMILAR]


def _forms(text: str, prefixes: set[str], versioned: bool) -> set[str]:
    whole = _normal(text)
    forms = {whole} | {whole.removeprefix(prefix).strip("_") for prefix in prefixes}
    if versioned:
        forms |= {form.removesuffix("v1") for form in forms}
    return forms - {""}


def _normal(text: str) -> str:
    """Fold case, and remove blanks and punctuation except points in numbers. `4 5` is neither `45` nor `4.5`."""
    apart = re.sub(r"(?<=\d)[^\w.]+(?=\d)", "_", text.casefold())
    return re.sub(r"[^\w.]+|\.(?!\d)|(?<!\d)\.", "", apart)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+|\d+(?:\.\d+)*", text.casefold()))
