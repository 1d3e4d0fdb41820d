"""The registry: what is known of each model. Sources are `registry/models/*.toml`; functions read it compiled.

`python -m bedrock_quota.registry SOURCE_DIR OUTPUT` validates and compiles; `sam build` runs it.
"""

import sys
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated

import msgspec

from bedrock_quota.pools import EndpointType
from bedrock_quota.errors import RegistryError

ANY_PROVIDER = "*"
"""The `[provider]` id of the file that speaks for providers no other file names."""

Tokens = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]
QuotaCode = Annotated[str, msgspec.Meta(pattern=r"^L-[0-9A-F]{8}$")]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class ModelKind(StrEnum):
    """What a model answers with. Only `text` has output tokens that a quota counts."""

    TEXT = "text"
    EMBEDDING = "embedding"
    RERANK = "rerank"
    IMAGE = "image"
    VIDEO = "video"
    SPEECH = "speech"


class RateStatus(StrEnum):
    """How sure a burndown rate is: named by AWS, two AWS pages disagree, or no page read names the model."""

    LISTED = "listed"
    AMBIGUOUS = "ambiguous"
    UNLISTED = "unlisted"


class Burndown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tokens of quota one output token costs, from a day (UTC) on."""

    rate: Annotated[float, msgspec.Meta(ge=1, le=100)]
    since: date
    status: RateStatus
    source: Text


class QuotaCodes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Service Quotas codes of one pool: a check on the names, never the way to find a quota."""

    tokens_per_minute: QuotaCode | None = None
    requests_per_minute: QuotaCode | None = None
    tokens_per_day: QuotaCode | None = None


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for a provider's models unless their own table says otherwise."""

    id: Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9][a-z0-9-]*|\*)$")]
    name: Text
    burndown: tuple[Burndown, ...]
    max_output_tokens: Tokens
    """Assumed for a model that is not in the registry, if none of the provider's models has more: the reservation must
    not be understated."""


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One foundation model, by the id Bedrock gives it, without a geo prefix."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]*\.[a-z0-9.:-]+$", max_length=128)]
    name: Text
    kind: ModelKind
    source: Text
    """Where the model's limits were read, and when."""
    max_output_tokens: Tokens | None = None
    """The model's own limit on `max_tokens`; absent where no source gives one or there is no text output."""
    default_max_tokens: Tokens | None = None
    """What an InvokeModel request without a limit counts as; absent: `max_output_tokens`."""
    burndown: tuple[Burndown, ...] = ()
    """Oldest first; absent: the provider's."""
    quota_names: tuple[Text, ...] = ()
    """How Service Quotas spells this model after `… for `."""
    shares_quotas_with: Text | None = None
    """The id of the model whose quotas this one uses up, where Service Quotas has one for both."""
    quota_codes: Mapping[EndpointType, QuotaCodes] = {}
    latency_optimized: bool = False
    """Whether the model has latency-optimized inference, which has quotas of its own."""
    long_context_above: Tokens | None = None
    """Input tokens (cached ones included) above which a call uses the model's 1M-context quota."""

    @property
    def quota_model_id(self) -> str:
        """The id of the model whose quotas a call of this one uses up: its own, or that of the one it shares with."""
        return self.shares_quotas_with or self.id


class RegistryFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of `registry/models/`."""

    provider: Provider
    models: tuple[Model, ...] = ()


class Registry(msgspec.Struct, frozen=True, dict=True):
    """All that is known, with look-ups."""

    providers: tuple[Provider, ...]
    models: tuple[Model, ...]

    @cached_property
    def by_id(self) -> Mapping[str, Model]:
        """Models by their id."""
        return {model.id: model for model in self.models}

    @cached_property
    def provider_by_id(self) -> Mapping[str, Provider]:
        """Providers by the part of a model id before its first dot; `*` stands for all others.

        With the largest output limit that one of their models has.
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
        """What ids of foundation models begin with, up to their first dot."""
        return frozenset(self.provider_by_id) | {model.id.partition(".")[0] for model in self.models}

    def find_provider(self, model_id: str) -> Provider:
        """Return the provider of a model id, or the one that stands for all unnamed providers."""
        known = self.provider_by_id
        return known.get(model_id.partition(".")[0]) or known[ANY_PROVIDER]

    def find(self, model_id: str) -> Model | None:
        """Return the model with this id; a throughput suffix (`…:0:200k`) is the same model; None if unlisted."""
        found = self.by_id.get(model_id)
        while found is None and ":" in model_id:
            model_id = model_id.rpartition(":")[0]
            found = self.by_id.get(model_id)
        return found

    def find_burndown(self, model_id: str, day: date) -> Burndown:
        """Return the rate in force for a model on a UTC day.

        Days before the first known rate get the first. A model that is not in the registry gets the highest of its
        provider's rates, marked `unlisted`.
        """
        model = self.find(model_id)
        provider = self.find_provider(model_id)
        if model is not None:
            return _in_force(model.burndown or provider.burndown, day)
        prefix = f"{provider.id}."
        rates = [_in_force(provider.burndown, day)]
        rates += [_in_force(each.burndown, day) for each in self.models if each.burndown and each.id.startswith(prefix)]
        highest = max(rates, key=lambda burndown: burndown.rate)
        return msgspec.structs.replace(highest, status=RateStatus.UNLISTED)


def _in_force(history: tuple[Burndown, ...], day: date) -> Burndown:
    """Return the rate of a day; days before the first known one get the first."""
    begun = [burndown for burndown in history if burndown.since <= day]
    return begun[-1] if begun else history[0]


def read_sources(directory: Path) -> Registry:
    """Read and check every `*.toml` in a directory.

    Raises `RegistryError` naming file, table and reason for the first thing that is wrong.
    """
    paths = sorted(directory.glob("*.toml"))
    if not paths:
        raise RegistryError(f"{directory}: no *.toml in it")
    files: dict[str, RegistryFile] = {}
    for path in paths:
        try:
            files[path.name] = msgspec.toml.decode(path.read_bytes(), type=RegistryFile)
        except msgspec.ValidationError as error:
            raise RegistryError(f"{path.name}: {_name_table(path, str(error))}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RegistryError(f"{path.name}: not TOML: {error}") from error
    check_files(files)
    return Registry(
        providers=tuple(file.provider for file in files.values()),
        models=tuple(model for file in files.values() for model in file.models),
    )


def _name_table(path: Path, message: str) -> str:
    """Turn `$.models[3]` of a validation message into the id of that model."""
    tables = msgspec.toml.decode(path.read_bytes()).get("models", [])
    for index, table in enumerate(tables if isinstance(tables, list) else []):
        marker = f"$.models[{index}]"
        if marker in message and isinstance(table, dict):
            return message.replace(marker, f"models[{table.get('id', index)}]")
    return message


def check_files(files: Mapping[str, RegistryFile]) -> None:
    """Check what types cannot: order, uniqueness and completeness across files, by their names.

    Raises `RegistryError` naming file, table and reason for the first thing that is wrong.
    """
    seen_providers: dict[str, str] = {}
    seen_models: dict[str, str] = {}
    seen_names: dict[str, str] = {}
    seen_codes: dict[str, str] = {}

    def claim(seen: dict[str, str], key: str, where: str, what: str) -> None:
        if key in seen:
            raise RegistryError(f"{where}: {what} {key!r} is already taken by {seen[key]}")
        seen[key] = where

    for file_name, file in files.items():
        provider = file.provider
        where = f"{file_name}: [provider]"
        claim(seen_providers, provider.id, where, "provider")
        _check_burndown(provider.burndown, where)
        for model in file.models:
            where = f"{file_name}: models[{model.id}]"
            claim(seen_models, model.id, where, "model id")
            if provider.id not in {model.id.partition(".")[0], ANY_PROVIDER}:
                raise RegistryError(f"{where}: id does not begin with the provider {provider.id!r}")
            if model.burndown:
                _check_burndown(model.burndown, where)
            if model.kind is ModelKind.TEXT and model.max_output_tokens is None:
                raise RegistryError(f"{where}: a text model needs max_output_tokens")
            if (model.default_max_tokens or 0) > (model.max_output_tokens or 0):
                raise RegistryError(f"{where}: default_max_tokens is above max_output_tokens")
            for name in model.quota_names:
                claim(seen_names, name.casefold(), where, "quota name")
            for codes in model.quota_codes.values():
                for code in msgspec.structs.astuple(codes):
                    if code is not None:
                        claim(seen_codes, code, where, "quota code")
    _check_sharing(files, seen_models)
    if ANY_PROVIDER not in seen_providers:
        raise RegistryError(f"no file has [provider] id = {ANY_PROVIDER!r}, which speaks for unnamed providers")


def _check_sharing(files: Mapping[str, RegistryFile], places: Mapping[str, str]) -> None:
    models = {model.id: model for file in files.values() for model in file.models}
    for model in models.values():
        if model.shares_quotas_with is None:
            continue
        where, owner = places[model.id], models.get(model.shares_quotas_with)
        if owner is None or owner.shares_quotas_with is not None:
            raise RegistryError(f"{where}: shares_quotas_with is no model with quotas: {model.shares_quotas_with!r}")
        if model.quota_names or model.quota_codes:
            raise RegistryError(f"{where}: has quotas of its own and shares_quotas_with another model")


def _check_burndown(history: tuple[Burndown, ...], where: str) -> None:
    if not history:
        raise RegistryError(f"{where}: needs at least one burndown rate")
    days = [rate.since for rate in history]
    if days != sorted(set(days)):
        raise RegistryError(f"{where}: burndown must be oldest first, one rate a day")


def load_registry(compiled: bytes) -> Registry:
    """Decode a compiled registry; raises `RegistryError` if it is damaged."""
    try:
        return msgspec.json.decode(compiled, type=Registry)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RegistryError(f"compiled registry: {error}") from error


COMPILED_REGISTRY = Path(__file__).with_name("registry.json")
"""Where the layer's build puts the compiled registry."""


def main(arguments: list[str]) -> int:
    """Compile: `SOURCE_DIR OUTPUT`. Prints what is wrong and returns 1 if the sources are."""
    source, output = (Path(argument) for argument in arguments)
    try:
        registry = read_sources(source)
    except RegistryError as error:
        sys.stderr.write(f"registry: {error}\n")
        return 1
    output.write_bytes(msgspec.json.encode(registry))
    sys.stderr.write(f"registry: {len(registry.models)} models of {len(registry.providers)} providers\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
