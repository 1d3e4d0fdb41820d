"""Overrides: models that a user adds or corrects without a deployment, as JSON in one SSM parameter.

The format is that of `registry/models/*.toml`: `{"models": [{"id": …, …}]}`. A table for a model that is in the
registry may have only the fields that differ. A table for a new model must be complete.
"""

from collections import Counter
from typing import Any

import msgspec

from bedrock_quota.errors import RegistryError
from bedrock_quota.registry.models import Model, Registry, RegistryFile
from bedrock_quota.registry.sources import check_files
from bedrock_quota.registry.validation import find_problems


class _Overrides(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    models: tuple[dict[str, Any], ...] = ()


def read_overrides(text: str, known: Registry) -> tuple[Model, ...]:
    """Return the complete models that an override describes.

    Raises `RegistryError` with table and reason if it is not JSON of this format. It also raises if the registry would
    be wrong, for example because two models have the same quota name. An override without effect is also an error, for
    example if its id is the id of a profile.
    """
    try:
        given = msgspec.json.decode(text, type=_Overrides)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RegistryError(f"override: {error}") from error
    models = tuple(_merge_model(table, known) for table in given.models)
    for model_id, count in Counter(model.id for model in models).items():
        if count > 1:
            raise RegistryError(f"override: models[{model_id}]: appears {count} times")
    merged = apply_overrides(known, models)
    check_files(group_by_file(merged))
    wrong = find_problems(merged, models)
    if wrong:
        raise RegistryError(f"override: {'; '.join(wrong)}")
    return models


def _merge_model(table: dict[str, Any], known: Registry) -> Model:
    model_id = table.get("id")
    corrected = known.by_id.get(model_id) if isinstance(model_id, str) else None
    fields = (msgspec.to_builtins(corrected) if corrected else {}) | table
    try:
        return msgspec.convert(fields, Model)
    except msgspec.ValidationError as error:
        raise RegistryError(f"override: models[{model_id}]: {error}") from error


def apply_overrides(known: Registry, models: tuple[Model, ...]) -> Registry:
    """Return the registry with these models added. They replace models of the same id."""
    if not models:
        return known
    merged = {**known.by_id, **{model.id: model for model in models}}
    return Registry(known.providers, tuple(merged.values()))


def group_by_file(known: Registry) -> dict[str, RegistryFile]:
    """Return a registry as the files it could have been read from, one per provider."""
    return {
        provider.id: RegistryFile(
            provider, tuple(model for model in known.models if known.find_provider(model.id).id == provider.id)
        )
        for provider in known.providers
    }
