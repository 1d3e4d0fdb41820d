"""The sources of the registry, `registry/models/*.toml`: read and checked as a whole."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from bedrock_quota.errors import RegistryError
from bedrock_quota.registry.models import ANY_PROVIDER, Burndown, ModelKind, Provider, Registry, RegistryFile


def read_sources(directory: Path) -> Registry:
    """Read and check every `*.toml` in a directory.

    Raises `RegistryError` with file, table and reason for the first error.
    """
    paths = sorted(directory.glob("*.toml"))
    if not paths:
        raise RegistryError(f"{directory}: contains no *.toml file")
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
    """Check the rules that types cannot express: order, uniqueness and completeness across files.

    `files` maps file names to their contents. Raises `RegistryError` with file, table and reason for the first error.
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
        _check_mantle_only(provider, where)
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
        raise RegistryError(f"no file has [provider] id = {ANY_PROVIDER!r}, the file for all unnamed providers")


def _check_mantle_only(provider: Provider, where: str) -> None:
    for model_id in provider.mantle_only:
        if model_id.partition(".")[0] != provider.id:
            raise RegistryError(f"{where}: mantle_only has {model_id!r}, which does not begin with {provider.id!r}")


def _check_sharing(files: Mapping[str, RegistryFile], places: Mapping[str, str]) -> None:
    models = {model.id: model for file in files.values() for model in file.models}
    for model in models.values():
        if model.shares_quotas_with is None:
            continue
        where, owner = places[model.id], models.get(model.shares_quotas_with)
        if owner is None or owner.shares_quotas_with is not None:
            raise RegistryError(
                f"{where}: shares_quotas_with must name a model with quotas: {model.shares_quotas_with!r}"
            )
        if model.quota_names or model.quota_codes:
            raise RegistryError(f"{where}: has its own quotas and also shares_quotas_with")


def _check_burndown(history: tuple[Burndown, ...], where: str) -> None:
    if not history:
        raise RegistryError(f"{where}: needs at least one burndown rate")
    days = [rate.since for rate in history]
    if days != sorted(set(days)):
        raise RegistryError(f"{where}: burndown must be oldest first, one rate per day")
