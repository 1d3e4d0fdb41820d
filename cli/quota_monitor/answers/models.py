"""Facts about a pool's model from the registry of this version."""

from __future__ import annotations

import functools
from datetime import date

from bedrock_quota.pools import LONG_CONTEXT_SUFFIX, QuotaPool
from bedrock_quota.registry.models import Model, Registry
from bedrock_quota.registry.sources import read_sources
from quota_monitor.data_files import MODELS


@functools.cache
def _read_registry() -> Registry:
    return read_sources(MODELS)


def find_model_maximum(pool: QuotaPool) -> int | None:
    """Return the most output tokens that the model takes, None if no source says so."""
    model = _find_model(pool)
    return None if model is None else model.max_output_tokens


def find_end_of_life(pool: QuotaPool) -> date | None:
    """Return the day on which the model ends, None until AWS announces it. AWS calls such a model legacy."""
    model = _find_model(pool)
    return None if model is None or model.end_of_life is None else model.end_of_life.day


def advise_for_legacy(pool: QuotaPool) -> str:
    """Return what to do instead of a request for a larger quota if the model has an end of life, "" otherwise."""
    day = find_end_of_life(pool)
    if day is None:
        return ""
    return f"The model ends on {day}, and AWS grants no increase for legacy models. Move its callers to another model."


def _find_model(pool: QuotaPool) -> Model | None:
    return _read_registry().find(pool.model_id.removesuffix(LONG_CONTEXT_SUFFIX))
