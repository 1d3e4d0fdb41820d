"""The registry: the facts about each model. Its sources are `registry/models/*.toml`. Functions read it compiled.

`python -m bedrock_quota.registry SOURCE_DIR OUTPUT` validates and compiles it. `sam build` runs that command.
"""

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated

import msgspec

from bedrock_quota.errors import RegistryError
from bedrock_quota.pools import EndpointType

COMPILED_REGISTRY = Path(__file__).with_name("registry.json")
"""The compiled registry. The layer's build writes it."""

ANY_PROVIDER = "*"
"""The `[provider]` id of the file for all providers without a file of their own."""

Tokens = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]
QuotaCode = Annotated[str, msgspec.Meta(pattern=r"^L-[0-9A-F]{8}$")]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class ModelKind(StrEnum):
    """The kind of output of a model. Only `text` has output tokens that a quota counts."""

    TEXT = "text"
    EMBEDDING = "embedding"
    RERANK = "rerank"
    IMAGE = "image"
    VIDEO = "video"
    SPEECH = "speech"


class RateStatus(StrEnum):
    """The evidence for a burndown rate: AWS lists it, two AWS pages disagree, or no known page lists the model."""

    LISTED = "listed"
    AMBIGUOUS = "ambiguous"
    UNLISTED = "unlisted"


class Burndown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tokens of quota that one output token costs since a day (UTC)."""

    rate: Annotated[float, msgspec.Meta(ge=1, le=100)]
    since: date
    status: RateStatus
    source: Text


class EndOfLife(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The day (UTC) from which Bedrock refuses calls of a model, and the page and date from which it was read."""

    day: date
    """The earliest, if AWS gives different days for different Regions."""
    source: Text


class QuotaCodes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Service Quotas codes of one pool. They only check the names. No quota is found by its code."""

    tokens_per_minute: QuotaCode | None = None
    requests_per_minute: QuotaCode | None = None
    tokens_per_day: QuotaCode | None = None


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The defaults for a provider's models. A model's own table overrides them."""

    id: Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9][a-z0-9-]*|\*)$")]
    name: Text
    burndown: tuple[Burndown, ...]
    max_output_tokens: Tokens
    """Output limit for models of the provider that are not in the registry. If one of its listed models has a higher
    limit, that one is used, so that no reservation is too low."""
    mantle_only: tuple[Text, ...] = ()
    """Ids of models that only the endpoint `bedrock-mantle` serves. Their calls are never in the invocation logs."""


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One foundation model. `id` is Bedrock's id without a geo prefix."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]*\.[a-z0-9.:-]+$", max_length=128)]
    name: Text
    kind: ModelKind
    source: Text
    """The page and date from which the model's limits were read."""
    max_output_tokens: Tokens | None = None
    """The model's own limit on `max_tokens`. Absent if no source gives one or the model has no text output."""
    default_max_tokens: Tokens | None = None
    """Assumed limit of an InvokeModel request without one. If absent: `max_output_tokens`."""
    burndown: tuple[Burndown, ...] = ()
    """Oldest first. If absent: the provider's."""
    quota_names: tuple[Text, ...] = ()
    """Spellings of this model in Service Quotas, after `… for `."""
    shares_quotas_with: Text | None = None
    """The id of the model whose quotas this one uses, if Service Quotas has one quota for both."""
    quota_codes: Mapping[EndpointType, QuotaCodes] = {}
    latency_optimized: bool = False
    """True if the model has latency-optimized inference, which has its own quotas."""
    long_context_above: Tokens | None = None
    """Input tokens (cached ones included) above which a call uses the model's 1M-context quota."""
    end_of_life: EndOfLife | None = None
    """Absent until AWS announces the day."""

    @property
    def quota_model_id(self) -> str:
        """The id of the model whose quotas a call uses: this model, or the model that it shares quotas with."""
        return self.shares_quotas_with or self.id


class RegistryFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of `registry/models/`."""

    provider: Provider
    models: tuple[Model, ...] = ()


class Registry(msgspec.Struct, frozen=True, dict=True):
    """All providers and models, with look-ups."""

    providers: tuple[Provider, ...]
    models: tuple[Model, ...]

    @cached_property
    def by_id(self) -> Mapping[str, Model]:
        """Models by their id."""
        return {model.id: model for model in self.models}

    @cached_property
    def provider_by_id(self) -> Mapping[str, Provider]:
        """Providers by the part of a model id before its first dot. `*` is for all others.

        Each has the largest output limit of its models.
        """
        most = {provider.id: provider.max_output_tokens for provider in self.providers}
        for model in self.models:
            prefix = model.id.partition(".")[0]
            if prefix in most:
                most[prefix] = max(most[prefix], model.max_output_tokens or 0)
        return {
            provider.id: msgspec.structs.replace(provider, max_output_tokens=most[provider.id])
            for provider in self.providers
        }

    @cached_property
    def id_prefixes(self) -> frozenset[str]:
        """The parts of foundation model ids before the first dot."""
        return frozenset(self.provider_by_id) | {model.id.partition(".")[0] for model in self.models}

    def find_provider(self, model_id: str) -> Provider:
        """Return the provider of a model id, or the one for all unnamed providers."""
        known = self.provider_by_id
        return known.get(model_id.partition(".")[0]) or known[ANY_PROVIDER]

    def find(self, model_id: str) -> Model | None:
        """Return the model with this id, or None. An id with a throughput suffix (`…:0:200k`) is the same model."""
        found = self.by_id.get(model_id)
        if found is None and ":" in model_id:
            parts = model_id.split(":", self._most_colons + 1)
            for count in range(min(len(parts) - 1, self._most_colons + 1), 0, -1):
                found = self.by_id.get(":".join(parts[:count]))
                if found is not None:
                    break
        return found

    @cached_property
    def _most_colons(self) -> int:
        """The most colons in an id: no longer part of an id needs to be tried."""
        return max((model.id.count(":") for model in self.models), default=0)

    def find_burndown(self, model_id: str, day: date) -> Burndown:
        """Return the rate in force for a model on a UTC day.

        Days before the first known rate get the first. A model that is not in the registry gets the highest of its
        provider's rates, marked `unlisted`.
        """
        model = self.find(model_id)
        provider = self.find_provider(model_id)
        if model is not None:
            return _select_burndown(model.burndown or provider.burndown, day)
        in_force = [_select_burndown(history, day) for history in self._histories_by_provider[provider.id]]
        highest = max(in_force, key=lambda burndown: burndown.rate)
        return msgspec.structs.replace(highest, status=RateStatus.UNLISTED)

    @cached_property
    def _histories_by_provider(self) -> Mapping[str, tuple[tuple[Burndown, ...], ...]]:
        """The different histories of each provider's rates: its own first, then those of its models."""
        return {
            provider.id: tuple(
                dict.fromkeys(
                    [provider.burndown]
                    + [each.burndown for each in self.models if each.burndown and each.id.startswith(f"{provider.id}.")]
                )
            )
            for provider in self.providers
        }


def _select_burndown(history: tuple[Burndown, ...], day: date) -> Burndown:
    """Return the rate of a day. Days before the first known one get the first."""
    started = [burndown for burndown in history if burndown.since <= day]
    return started[-1] if started else history[0]


def load_registry(compiled: bytes) -> Registry:
    """Decode a compiled registry. Raises `RegistryError` if it is damaged."""
    try:
        return msgspec.json.decode(compiled, type=Registry)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RegistryError(f"compiled registry: {error}") from error
