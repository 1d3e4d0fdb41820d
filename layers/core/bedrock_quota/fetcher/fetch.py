"""The fetch: list the quotas, match each to its pool, and find the pools in use and the changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from datetime import date, datetime, timedelta
from typing import TypeVar

import msgspec

from bedrock_quota.fetcher import burndown_drift
from bedrock_quota.fetcher.changes import Change, find_changes
from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import LONG_CONTEXT_SUFFIX, PoolQuota, QuotaKey, QuotaPool
from bedrock_quota.registry.models import Model, Registry
from bedrock_quota.registry.overrides import apply_overrides, read_overrides
from bedrock_quota.registry.quota_codes import find_code_mismatches
from bedrock_quota.registry.quota_names import (
    UNREAD_REASONS,
    ListedQuota,
    UnmatchedQuota,
    list_account_tokens_per_day,
    match_quota,
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
    throttled: Callable[[Set[QuotaPool]], Set[QuotaPool]]
    """Those of the given pools in which Bedrock throttled a call lately. Called only if a pool in use needs it."""


class Fetch(msgspec.Struct, frozen=True):
    """The results of one fetch.

    `quotas` are the quotas to publish for all pools in use, even for a pool that has none. They are empty if they could
    not be listed, because old values must not look like new ones. `notices` are new sentences that somebody may have to
    act on. `remarks` are new sentences for the owner of the registry. `problems` are the parts of the fetch that
    failed. `account_tokens_per_day` is the quota to publish that all models share, or None.
    """

    snapshot: Snapshot
    listed: int
    quotas: Mapping[QuotaPool, PoolQuota]
    account_tokens_per_day: float | None
    throttled_by_day: frozenset[QuotaPool]
    """Pools with a daily quota of 0 in which Bedrock has throttled calls."""
    ends_of_life: Mapping[QuotaPool, date]
    """The day on which the model of a pool in use ends or has ended, if the registry knows one."""
    changes: tuple[Change, ...]
    notices: tuple[str, ...]
    remarks: tuple[str, ...]
    problems: tuple[str, ...]


ZERO, DAILY_ZERO, END_OF_LIFE, DRIFT = "zero", "daily-zero", "end-of-life", "drift"
UNREAD, MISMATCH = "unread", "misfit"
"""Topics of notices and remarks. The snapshot stores them under these values."""

NOTICES = (ZERO, DAILY_ZERO, END_OF_LIFE, DRIFT)
"""Topics that somebody may have to act on."""

END_OF_LIFE_NOTICE = timedelta(days=90)
"""Time before a model's end of life from which the fetcher reports it."""


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
        used = {pool: by_pool[pool] for pool in in_use & by_pool.keys()}
        active[ZERO] = _list_zero_quotas(used)
        daily = _list_zero_daily_quotas(used)
        no_pools: Set[QuotaPool] = frozenset()
        throttled = (
            attempt("throttled calls could not be read", lambda: sources.throttled(frozenset(daily)), no_pools)
            if daily
            else no_pools
        )
        active[DAILY_ZERO] = _update_daily_notices(before.active_notices.get(DAILY_ZERO, ()), daily, throttled)
    if seen is None:
        for topic in (ZERO, DAILY_ZERO):
            active[topic] = before.active_notices.get(topic, ())
    else:
        active[END_OF_LIFE] = _list_ending_models(seen, known, now.date())
    if applied is not None:
        active[DRIFT] = _update_drift_notices(before.active_notices.get(DRIFT, ()), applied, known, now)
    changed = find_changes(before.quotas_by_pool(), by_pool) if by_pool else []
    account_quota = _read_account_quota(listed, known, before, problems) if by_pool else None
    return Fetch(
        snapshot=Snapshot(
            fetched_at=now if by_pool else before.fetched_at,
            quotas=tuple(by_pool.items()) or before.quotas,
            models=models,
            profiles=tuple(profiles.items()),
            active_notices=active,
            account_tokens_per_day=account_quota if by_pool else before.account_tokens_per_day,
        ),
        listed=len(listed),
        quotas={pool: by_pool.get(pool, PoolQuota()) for pool in sorted(in_use)} if by_pool else {},
        account_tokens_per_day=account_quota,
        throttled_by_day=frozenset(pool for pool in in_use if _describe_daily_zero(pool) in active.get(DAILY_ZERO, ())),
        ends_of_life={
            pool: model.end_of_life.day
            for pool in in_use
            if (model := _find_model(pool, known)) is not None and model.end_of_life is not None
        },
        changes=(relevant := tuple(change for change in changed if seen is None or change.pool in in_use)),
        notices=(
            *(str(change) for change in relevant),
            *(sentence for topic in NOTICES for sentence in _select_new(before, active, topic)),
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
    matched = [(quota, match_quota(quota, models)) for quota in listed]
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
        if quota.is_zero_per_minute
    ]
    return tuple(sorted(zero))


def _list_zero_daily_quotas(in_use: Mapping[QuotaPool, PoolQuota]) -> dict[QuotaPool, str]:
    """Return the notice of each pool whose only quota of 0 is that on tokens per day.

    New accounts list 0 and call successfully (public listings of September 2026). So the notice needs throttled calls.
    They do not prove the cause, because a quota per minute throttles, too.
    """
    return {
        pool: _describe_daily_zero(pool)
        for pool, quota in in_use.items()
        if quota.tokens_per_day == 0 and not quota.is_zero_per_minute
    }


def _describe_daily_zero(pool: QuotaPool) -> str:
    return (
        f"daily quota is 0: Bedrock throttled calls of {pool}. Its quota on tokens per day of 0 may be why. If the "
        "calls did not reach a quota per minute, ask AWS Support to raise the daily quota"
    )


def _update_daily_notices(
    before: Iterable[str], daily: Mapping[QuotaPool, str], throttled: Set[QuotaPool]
) -> tuple[str, ...]:
    """Return the notices on daily quotas of 0. One that was sent stays as long as that quota is 0."""
    sent = frozenset(before)
    return tuple(sorted(notice for pool, notice in daily.items() if pool in throttled or notice in sent))


def _find_model(pool: QuotaPool, known: Registry) -> Model | None:
    return known.find(pool.model_id.removesuffix(LONG_CONTEXT_SUFFIX))


def _list_ending_models(in_use: Iterable[QuotaPool], known: Registry, today: date) -> tuple[str, ...]:
    """Return one notice per model in use that ends soon or has ended.

    Its text is the same before and after, and true if calls succeed after that day: in some Regions the day is another.
    """
    ending = {
        f"end of life of {model.id} is {model.end_of_life.day} (another day in some Regions). Move its callers to "
        "another model"
        for pool in in_use
        if (model := _find_model(pool, known)) is not None
        and model.end_of_life is not None
        and model.end_of_life.day - today <= END_OF_LIFE_NOTICE
    }
    return tuple(sorted(ending))


def _read_account_quota(
    listed: Iterable[ListedQuota], known: Registry, before: Snapshot, problems: list[str]
) -> float | None:
    """Return the quota on tokens per day that all models share. Of two values, the smaller one never overstates it."""
    found = list_account_tokens_per_day(listed, known)
    values = [quota.value for quota in found if quota.value is not None]
    if found and not values:
        problems.append(
            "Service Quotas returned no value for tokens per day of all models, so the last known value stays"
        )
        return before.account_tokens_per_day
    return min(values, default=None)
