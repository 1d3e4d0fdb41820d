"""The spelling of a model in a quota's name: free text, compared with the name that ListFoundationModels gives it."""

import re
from collections.abc import Iterable

from bedrock_quota.registry.quota_names import match_quota_name, parse_quota_name
from bedrock_quota.pools import EndpointType
from bedrock_quota.pools import QuotaKey, Unit
from bedrock_quota.registry.quota_names import QuotaName
from bedrock_quota.registry.models import Model, ModelKind

_VERSION_1 = re.compile(r"-v1(?::\d+)?")
_PROBE = Model(
    id="probe.probe", name="probe", kind=ModelKind.TEXT, source="probe", latency_optimized=True, long_context_above=0
)

MAX_SIMILAR = 5


def of(name: str) -> str | None:
    """Return how the name of a bucket's quota spells its model; None where the name has no place for one."""
    said = parse_quota_name(name)
    return said.spelling if isinstance(said, QuotaName) else None


def place(name: str, spelling: str) -> tuple[EndpointType, Unit] | None:
    """Return which quota of a model so spelled a name is; None for its 1M-context quotas and for other models'."""
    found = match_quota_name(name, {spelling.casefold(): _PROBE})
    if isinstance(found, QuotaKey) and found.bucket.model_id == _PROBE.id:
        return found.bucket.endpoint_type, found.unit
    return None


def is_long_context(name: str, spelling: str) -> bool:
    """Whether a name is that of a 1M-context quota of a model so spelled."""
    found = match_quota_name(name, {spelling.casefold(): _PROBE})
    return isinstance(found, QuotaKey) and found.bucket.model_id != _PROBE.id


def is_exact(spelling: str, *, model_id: str, name: str, provider: str) -> bool:
    """Whether a quota's spelling says exactly a model's name, but for case, blanks, its provider and a first `V1`."""
    prefixes = {_normal(provider), model_id.partition(".")[0]} - {""}
    versioned = _VERSION_1.search(model_id) is not None
    return not _forms(spelling, prefixes, versioned).isdisjoint(_forms(name, prefixes, versioned))


def similar(name: str, provider: str, spellings: Iterable[str]) -> list[str]:
    """Return the spellings that share most words with a model's name, most alike first; for a person to choose."""
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
    """Fold case and drop blanks and punctuation, but for points in numbers; `4 5` is neither `45` nor `4.5`."""
    apart = re.sub(r"(?<=\d)[^\w.]+(?=\d)", "_", text.casefold())
    return re.sub(r"[^\w.]+|\.(?!\d)|(?<!\d)\.", "", apart)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+|\d+(?:\.\d+)*", text.casefold()))
