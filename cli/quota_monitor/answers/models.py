"""What the registry of this version knows of a pool's model."""

from __future__ import annotations

import functools

from bedrock_quota.pools import LONG_CONTEXT_SUFFIX, QuotaPool
from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.sources import read_sources
from quota_monitor.data_files import MODELS


@functools.cache
def _read_registry() -> Registry:
    return read_sources(MODELS)


def find_model_maximum(pool: QuotaPool) -> int | None:
    """Return the most output tokens that the model takes, None if no source says so."""
    model = _read_registry().find(pool.model_id.removesuffix(LONG_CONTEXT_SUFFIX))
    return None if model is None else model.max_output_tokens
