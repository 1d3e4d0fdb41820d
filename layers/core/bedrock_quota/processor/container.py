"""The knowledge of one container: registry, overrides, profiles and quotas, as of the latest snapshot."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from bedrock_quota import clients
from bedrock_quota.processor import large_bodies
from bedrock_quota.registry.overrides import apply_overrides
from bedrock_quota.processor.usage import UsageCalculator
from bedrock_quota.pools import QuotaPool
from bedrock_quota.processor.application_profiles import ProfileResolver
from bedrock_quota.pools import PoolQuota
from bedrock_quota.processor.records import RequestBody
from bedrock_quota.registry.models import Registry
from bedrock_quota.processor.seen_events import SeenEvents
from bedrock_quota.settings import Settings
from bedrock_quota.state.snapshot import Snapshot, SnapshotCache

if TYPE_CHECKING:
    from bedrock_quota.processor.duplicates import IdempotencyStore


MAX_NAMED_MODELS = 1_000
"""Model ids that one container remembers to have named, before it starts anew."""


class Context(msgspec.Struct, frozen=True):
    """What a delivery is processed with. `quotas` and `fetched_at` are None before the first fetch."""

    accounts: UsageCalculator
    quotas: Mapping[QuotaPool, PoolQuota] | None = None
    fetched_at: datetime | None = None

    def age_seconds(self, now: datetime) -> float | None:
        """Return how old the quotas are, or None where there are none."""
        return None if self.fetched_at is None else (now - self.fetched_at).total_seconds()


def _processed_deliveries(settings: Settings) -> "ProcessedDeliveries | None":
    """Return the memory of processed deliveries, if there is to be one."""
    if not settings.detect_duplicates or settings.state_table is None:
        return None
    from bedrock_quota.processor.duplicates import IdempotencyStore  # noqa: PLC0415 - see that module's docstring

    return IdempotencyStore(settings.state_table, clients.state)


class Container:
    """What one container of the processor makes at its cold start and keeps."""

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
        self._snapshots = SnapshotCache(read_snapshot, clock)
        self._snapshot: Snapshot | None = None
        self._knowledge = Context(self._accounts(registry))
        self._warned_of: set[str] = set()
        self.seen = SeenEvents()
        self.deliveries = _processed_deliveries(settings)

    def knowledge(self) -> Context:
        """Return what is known now, for one delivery; made anew only when there is a new snapshot."""
        self._profiles.begin()
        latest = self._snapshots.latest()
        if latest is not None and latest is not self._snapshot:
            self._snapshot = latest
            self._profiles.learn(dict(latest.profiles))
            accounts = self._accounts(apply_overrides(self._registry, latest.models))
            quotas = latest.quotas_by_pool()
            self._knowledge = Context(accounts, quotas or None, latest.fetched_at if quotas else None)
        return self._knowledge

    def fetch_bodies(self, paths: Collection[str]) -> Mapping[str, RequestBody]:
        """Return the request bodies at these paths, where the stack may read them; never raises."""
        bucket = self.settings.large_bodies_bucket
        return large_bodies.fetch_bodies(paths, bucket) if bucket else {}

    def first_seen(self, model_ids: Iterable[str]) -> list[str]:
        """Return those model ids that this container has not been asked about before: each is named once."""
        new = sorted(set(model_ids) - self._warned_of)
        if len(self._warned_of) + len(new) > MAX_NAMED_MODELS:
            self._warned_of.clear()
        self._warned_of.update(new)
        return new

    def _accounts(self, registry: Registry) -> UsageCalculator:
        return UsageCalculator(registry, self._profiles.resolve, self.settings.metadata_keys)
