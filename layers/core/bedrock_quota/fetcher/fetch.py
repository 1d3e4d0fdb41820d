"""The fetch: list the quotas, match each to its pool, and find the pools in use and the changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TypeVar

import msgspec

from bedrock_quota.fetcher import burndown_drift
from bedrock_quota.fetcher.changes import Change, find_changes
from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import PoolQuota, QuotaKey, QuotaPool
from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.overrides import apply_overrides, read_overrides
from bedrock_quota.registry.quota_codes import find_code_mismatches
from bedrock_quota.registry.quota_names import (
    UNREAD_REASONS,
    ListedQuota,
    UnmatchedQuota,
    match_quota_name,
    models_by_quota_name,
    quotas_by_pool,
    quotas_without_value,
)
from bedrock_quota.state.snapshot import Snapshot

Value = TypeVar("Value")


class Sources(msgspec.Struct, frozen=True):
    """The sources of a fetch. Each is a call that raises if it cannot answer."""

    overrides: Callable[[], str]
    quotas: Callable[[], list[ListedQuota]]
    in_use: Callable[[], set[QuotaPool]]
    profiles: Callable[[], dict[str, Reference]]
    applied: Callable[[], dict[str, dict[str, float]]]
    """Sums of AWS's own token metrics, as `burndown_drift.read_token_sums` returns them."""


class Fetch(msgspec.Struct, frozen=True):
    """The results of one fetch.

    `quotas` are the quotas to publish for all pools in use, even for a pool that has none. They are empty if they could
    not be listed, because old values must not look like new ones. `notices` are new sentences that somebody may have to
    act on. `remarks` are new sentences for the owner of the registry. `problems` are the parts of the fetch that
    failed.
    """

    snapshot: Snapshot
    listed: int
    quotas: Mapping[QuotaPool, PoolQuota]
    changes: tuple[Change, ...]
    notices: tuple[str, ...]
    remarks: tuple[str, ...]
    problems: tuple[str, ...]


ZERO, DRIFT, UNREAD, MISMATCH = "zero", "drift", "unread", "misfit"
"""Topics of notices and remarks. The snapshot stores them under these values."""


def fetch_all(
    sources: Sources, registry: Registry, before: Snapshot | None, always_published: Iterable[QuotaPool], now: datetime
) -> Fetch:
    """Fetch everything once. A failed call is named in `problems` and affects only the results that depend on it.

    `before` is the last snapshot. Values that could not be read stay as they were there. `always_published` are pools
    to publish even if nobody uses them.
    """
    before = before or Snapshot(now)
    problems: list[str] = []

    def attempt(problem: str, read: Callable[[], Value], otherwise: Value) -> Value:
        try:
            return read()
        except Exception as error:  # noqa: BLE001 - the other calls still run; the fetch fails at the end
            problems.append(f"{problem}: {type(error).__name__}: {error}")
            return otherwise

    models = attempt(
        "the registry's overrides are rejected, the last valid ones stay in use",
        lambda: read_overrides(sources.overrides(), registry),
        before.models,
    )
    known = apply_overrides(registry, models)
    no_quotas: list[ListedQuota] = []
    listed = attempt("quotas could not be fetched", sources.quotas, no_quotas)
    by_pool = _keep_values_not_returned(
        quotas_by_pool(listed, known), quotas_without_value(listed, known), before, problems
    )
    if listed and not by_pool:
        problems.append("no rule matches any of the listed quotas' names: Service Quotas may have renamed them")
    # If the pools in use are unknown, every change is reported, and only the pools of the parameter are published.
    seen = attempt("pools in use could not be listed", lambda: frozenset(sources.in_use()), None)
    in_use = frozenset(always_published) | (seen or frozenset())
    profiles = attempt("application profiles could not be listed", sources.profiles, dict(before.profiles))
    applied = attempt("applied burndown rates could not be read", sources.applied, None)
    active = dict(before.active_notices)
    if by_pool:
        active |= _list_registry_remarks(listed, known)
        active[ZERO] = _list_zero_quotas({pool: by_pool[pool] for pool in in_use & by_pool.keys()})
    if seen is None:
        active[ZERO] = before.active_notices.get(ZERO, ())
    if applied is not None:
        active[DRIFT] = _update_drift_notices(before.active_notices.get(DRIFT, ()), applied, known, now)
    changed = find_changes(before.quotas_by_pool(), by_pool) if by_pool else []
    return Fetch(
        snapshot=Snapshot(
            fetched_at=now if by_pool else before.fetched_at,
            quotas=tuple(by_pool.items()) or before.quotas,
            models=models,
            profiles=tuple(profiles.items()),
            active_notices=active,
        ),
        listed=len(listed),
        quotas={pool: by_pool.get(pool, PoolQuota()) for pool in sorted(in_use)} if by_pool else {},
        changes=(relevant := tuple(change for change in changed if seen is None or change.pool in in_use)),
        notices=(
            *(str(change) for change in relevant),
            *_select_new(before, active, ZERO),
            *_select_new(before, active, DRIFT),
        ),
        remarks=(*_select_new(before, active, UNREAD), *_select_new(before, active, MISMATCH)),
        problems=tuple(problems),
    )


def _update_drift_notices(
    before: tuple[str, ...], applied: Mapping[str, Mapping[str, float]], known: Registry, now: datetime
) -> tuple[str, ...]:
    """Return the notices on drift. A model that was not used enough to measure keeps its last notice."""
    prefixes = tuple(burndown_drift.make_notice_prefix(model_id) for model_id in burndown_drift.measure_rates(applied))
    kept = [sentence for sentence in before if not sentence.startswith(prefixes)]
    return tuple(sorted((*kept, *(str(each) for each in burndown_drift.detect_drift(applied, known, now)))))


def _keep_values_not_returned(
    by_pool: dict[QuotaPool, PoolQuota], without_value: Iterable[QuotaKey], before: Snapshot, problems: list[str]
) -> dict[QuotaPool, PoolQuota]:
    """Return the quotas. Those that AWS returned without a value keep their last value, and each is a problem."""
    known, merged = before.quotas_by_pool(), dict(by_pool)
    for key in without_value:
        problems.append(f"Service Quotas returned no value for {key}, so the last known value stays")
        last = getattr(known.get(key.pool, PoolQuota()), key.unit)
        if last is not None:
            quota = merged.get(key.pool, PoolQuota())
            merged[key.pool] = msgspec.structs.replace(quota, **{key.unit: last})
    return merged


def _select_new(before: Snapshot, active: Mapping[str, tuple[str, ...]], topic: str) -> list[str]:
    sent = before.active_notices.get(topic, ())
    return [sentence for sentence in active.get(topic, ()) if sentence not in sent]


def _list_registry_remarks(listed: Iterable[ListedQuota], known: Registry) -> dict[str, tuple[str, ...]]:
    """Return the remarks on a listing for the owner of the registry, by topic."""
    models = models_by_quota_name(known)
    matched = [(quota, match_quota_name(quota.name, models)) for quota in listed]
    unread = [
        f"quota name is not known, so its quota is not shown: {quota.name!r}"
        for quota, found in matched
        if isinstance(found, UnmatchedQuota) and found.reason in UNREAD_REASONS
    ]
    return {UNREAD: tuple(sorted(unread)), MISMATCH: tuple(sorted(find_code_mismatches(known, matched)))}


def _list_zero_quotas(in_use: Mapping[QuotaPool, PoolQuota]) -> tuple[str, ...]:
    zero = [
        f"quota is 0: {pool} may not be called by this account in this Region"
        for pool, quota in in_use.items()
        if 0 in (quota.tokens_per_minute, quota.requests_per_minute, quota.tokens_per_day)
    ]
    return tuple(sorted(zero))
