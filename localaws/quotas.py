"""The quota pools of the simulated account: which one a call draws on, and what it needs of it.

The quotas are those that Service Quotas lists here. Limits and burndown rates are AWS's, from the registry.
"""

from __future__ import annotations

import functools
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from bedrock_quota import model_ids
from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import NO_QUOTA, PoolQuota, QuotaPool
from bedrock_quota.registry.models import ModelKind, Registry
from bedrock_quota.registry.quota_names import ListedQuota, quotas_by_pool
from bedrock_quota.registry.sources import read_sources
from localaws import service_quotas
from localaws.applications import Application, Profile
from localaws.bedrock_calls import Call
from localaws.limiter import Attempt, Limiter, Minutes

_ROOT = Path(__file__).parents[1]
_FOLDERS = (_ROOT / "registry" / "models", _ROOT / "quota_monitor" / "data" / "registry" / "models")
"""The registry in a checkout, and in an installed package."""


class Need(msgspec.Struct, frozen=True):
    """The pool of calls, the output limit of those that set none, and the burndown rate of their output."""

    pool: QuotaPool
    default_max_tokens: int
    burndown_rate: float


class Limiters:
    """The limiters of all pools, each made when it is first needed."""

    def __init__(self, minutes: Minutes) -> None:
        self._minutes = minutes
        self._limiters: dict[QuotaPool, Limiter] = {}

    def admit(self, application: Application, call: Call, started: datetime) -> bool:
        """Return True if a call is served. One that draws on no pool always is."""
        need = find_need(application.model, application.operation, started.astimezone(UTC).date())
        if need is None:
            return True
        limiter = self._limiters.get(need.pool)
        if limiter is None:
            quota = list_quotas().get(need.pool, NO_QUOTA)
            limiter = Limiter(quota.tokens_per_minute, quota.requests_per_minute, self._minutes)
            self._limiters[need.pool] = limiter
        return limiter.admit(make_attempt(call, need, started.timestamp()))


def make_attempt(call: Call, need: Need, started: float) -> Attempt:
    """Return what a call needs at its start, and what it has used at its end. One that is blocked needs nothing."""
    if call.blocked:
        return Attempt(started, call.latency_ms / 1000, 0, 0)
    base = call.input_tokens + call.cache_write_tokens
    limit = max(need.default_max_tokens, call.output_tokens) if call.max_tokens is None else call.max_tokens
    return Attempt(started, call.latency_ms / 1000, base + limit, base + call.output_tokens * need.burndown_rate)


@functools.lru_cache(maxsize=256)
def find_need(model: str | Profile, operation: str, day: date) -> Need | None:
    """Return what decides about calls of a model on a day (UTC), or None if they draw on no pool."""
    registry = _read_registry()
    found: object
    if isinstance(model, Profile):
        found = model_ids.resolve_profile_models((model.copy_from,))
    else:
        found = model_ids.parse_model_id(model, registry.id_prefixes)
    if not isinstance(found, Reference):
        return None
    listed = registry.find(found.model_id)
    limit = registry.find_provider(found.model_id).max_output_tokens
    if listed is not None:
        limit = listed.max_output_tokens or limit
        if listed.default_max_tokens is not None and not operation.startswith("Converse"):
            limit = listed.default_max_tokens
        if listed.kind is not ModelKind.TEXT:
            limit = 0
    pool = QuotaPool(listed.quota_model_id if listed else found.model_id, found.endpoint_type)
    return Need(pool, limit, registry.find_burndown(found.model_id, day).rate)


@functools.cache
def list_quotas() -> dict[QuotaPool, PoolQuota]:
    """Return the account's quotas by pool."""
    listed = (
        ListedQuota(quota.code, quota.name, quota.default if quota.applied is None else quota.applied)
        for quota in service_quotas.load()
    )
    return quotas_by_pool(listed, _read_registry())


@functools.cache
def _read_registry() -> Registry:
    return read_sources(next(folder for folder in _FOLDERS if folder.is_dir()))
