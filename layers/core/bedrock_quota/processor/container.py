"""The container of the processor: the values made at a cold start, and the context of the latest snapshot."""

import functools
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from bedrock_quota import clients
from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import PoolQuota, QuotaPool
from bedrock_quota.processor import large_bodies
from bedrock_quota.processor.application_profiles import ProfileResolver
from bedrock_quota.processor.look_up import FetchedBodies, LookUp
from bedrock_quota.processor.records import Record
from bedrock_quota.processor.seen_events import SeenEvents
from bedrock_quota.processor.unlisted_pools import UnlistedPools
from bedrock_quota.processor.usage import UsageCalculator
from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.overrides import apply_overrides
from bedrock_quota.settings import Settings
from bedrock_quota.state.snapshot import Snapshot, SnapshotCache

if TYPE_CHECKING:
    from bedrock_quota.processor.duplicates import IdempotencyStore
    from bedrock_quota.processor.late_bodies import Queue


MAX_NAMED_MODELS = 1_000
"""Model ids, and service tiers, that one container remembers having named before it starts again."""


class Context(msgspec.Struct, frozen=True):
    """The usage calculator and quotas for one delivery. `quotas` and `fetched_at` are None before the first fetch."""

    calculator: UsageCalculator
    quotas: Mapping[QuotaPool, PoolQuota] | None = None
    fetched_at: datetime | None = None

    def age_seconds(self, now: datetime) -> float | None:
        """Return the age of the quotas in seconds, or None if there are none."""
        return None if self.fetched_at is None else (now - self.fetched_at).total_seconds()


def _make_store(settings: Settings) -> "IdempotencyStore | None":
    """Return the store of processed deliveries, or None if duplicates are not detected."""
    if not settings.detect_duplicates or settings.state_table is None:
        return None
    from bedrock_quota.processor.duplicates import IdempotencyStore  # noqa: PLC0415 - see that module's docstring

    return IdempotencyStore(settings.state_table, clients.state, clients.quick_state)


def _select_new(names: Collection[str], named: set[str]) -> list[str]:
    """Return the names that are not in `named`, and add them to it."""
    new = sorted(set(names) - named)
    if len(named) + len(new) > MAX_NAMED_MODELS:
        named.clear()
    named.update(new)
    return new


class Container:
    """The values that one container makes at its cold start and keeps."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        read_snapshot: Callable[[], Snapshot | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._registry = registry
        self._profiles = ProfileResolver(settings.state_table, clock)
        self.look_up = LookUp(self._profiles.look_up, self._fetch_bodies)
        self._unlisted_pools = UnlistedPools(settings.state_table, clock)
        self._snapshots = SnapshotCache(read_snapshot, clock)
        self._snapshot: Snapshot | None = None
        self._context = Context(self._make_calculator(registry))
        self._named_models: set[str] = set()
        self._named_tiers: set[str] = set()
        self.seen = SeenEvents()
        self.deliveries = _make_store(settings)

    def current(self) -> Context:
        """Return the context for one delivery. It is made again only after a new snapshot."""
        latest = self._snapshots.latest()
        if latest is not None and latest is not self._snapshot:
            self._snapshot = latest
            self._profiles.learn(dict(latest.profiles))
            calculator = self._make_calculator(apply_overrides(self._registry, latest.models))
            quotas = latest.quotas_by_pool()
            self._context = Context(calculator, quotas or None, latest.fetched_at if quotas else None)
        return self._context

    def _fetch_bodies(self, paths: Collection[str]) -> FetchedBodies:
        """Return the request bodies at these paths that the stack may read. Never raises."""
        bucket = self.settings.large_bodies_bucket
        return large_bodies.fetch_bodies(paths, bucket) if bucket else FetchedBodies()

    @functools.cached_property
    def queue(self) -> "Queue":
        """The queue of late calls. Made when a call is late."""
        from bedrock_quota.processor.late_bodies import Queue  # noqa: PLC0415 - see that module's docstring

        settings = self.settings
        return Queue(
            settings.late_bodies_queue or "",
            settings.late_bodies_delay,
            settings.late_bodies_seconds,
            clients.late_bodies,
        )

    @property
    def has_queue(self) -> bool:
        """True if calls can wait for their body."""
        settings = self.settings
        return bool(settings.late_bodies_queue and settings.large_bodies_bucket and settings.late_bodies_seconds)

    def encode_late_call(self, record: Record) -> bytes | None:
        """Return a trimmed record as it waits in the queue, or None if it is too large.

        Its declared limit is left out, because `max_tokens` is still unknown with it.
        """
        from bedrock_quota.processor.late_bodies import encode_call  # noqa: PLC0415 - see that module's docstring

        tags = {key: tag for key, tag in (record.request_metadata or {}).items() if key in self.settings.metadata_keys}
        resolved = self._context.calculator.find_resolved_profile(record)
        return encode_call(msgspec.structs.replace(record, request_metadata=tags), resolved)

    def restore_profiles(self, resolved: Mapping[str, Reference]) -> None:
        """Remember the application profiles of calls that come back from the queue, as they were resolved before."""
        self._profiles.restore(resolved)

    def select_unnamed(self, model_ids: Collection[str]) -> list[str]:
        """Return the model ids that this container has not named yet, and remember them: each is named once."""
        return _select_new(model_ids, self._named_models)

    def select_unnamed_tiers(self, tiers: Collection[str]) -> list[str]:
        """Return the service tiers that this container has not named yet, and remember them: each is named once."""
        return _select_new(tiers, self._named_tiers)

    def _make_calculator(self, registry: Registry) -> UsageCalculator:
        return UsageCalculator(
            registry,
            self._profiles.find,
            self.settings.metadata_keys,
            self._unlisted_pools.admit,
            with_sessions=self.settings.with_sessions,
        )
