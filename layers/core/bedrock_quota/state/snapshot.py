"""The snapshot: the results of the fetcher, and the cache of it in one container of the processor."""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import msgspec

from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import PoolQuota, QuotaPool
from bedrock_quota.registry.models import Model

_logger = logging.getLogger(__name__)

OLDEST_QUOTAS = timedelta(hours=6)
"""Calls count in `QuotasUnknown` if their quotas are older. The fetcher runs twice in this time, so one failed fetch is
not enough."""

REFRESH_SECONDS = 180
"""Time for which a container uses a snapshot before it reads again."""

RETRY_SECONDS = 20
"""Time until the next attempt after a failed read."""


class Snapshot(msgspec.Struct, frozen=True):
    """The results of one fetch. `fetched_at` is the time when all quotas were last listed.

    `models` are the registry's overrides. `profiles` map the ARNs of application profiles to models. `active_notices`
    are the notices that apply now, by topic. Each is sent once, when it is new. `unsent_notices` could not be sent yet.
    `account_tokens_per_day` is the quota that all models share. None means that AWS lists no such quota.

    In the table the two fields of notices have the names that version 0.1.0 gave them, so an upgrade sends no notice
    twice.
    """

    fetched_at: datetime
    quotas: tuple[tuple[QuotaPool, PoolQuota], ...] = ()
    models: tuple[Model, ...] = ()
    profiles: tuple[tuple[str, Reference], ...] = ()
    active_notices: Mapping[str, tuple[str, ...]] = msgspec.field(name="standing", default_factory=dict)
    unsent_notices: tuple[str, ...] = msgspec.field(name="untold", default=())
    account_tokens_per_day: float | None = None

    def quotas_by_pool(self) -> dict[QuotaPool, PoolQuota]:
        """Return the quotas by pool."""
        return dict(self.quotas)


class StoredSnapshot(msgspec.Struct, frozen=True):
    """The stored snapshot and its version. The version is 0 if none was stored.

    `unreadable` says why the stored one could not be decoded. `snapshot` is then None.
    """

    snapshot: Snapshot | None = None
    version: int = 0
    unreadable: str | None = None


class SnapshotCache:
    """The latest snapshot that could be read. A failed read is logged and retried after `RETRY_SECONDS`."""

    def __init__(self, read: Callable[[], Snapshot | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._read, self._clock = read, clock
        self._next_read = float("-inf")
        self._latest: Snapshot | None = None

    def latest(self) -> Snapshot | None:
        """Return the snapshot, or None if none could be read so far. Never raises, because metrics must flow."""
        now = self._clock()
        if now >= self._next_read:
            self._next_read = now + REFRESH_SECONDS
            try:
                self._latest = self._read() or self._latest
            except Exception as error:  # noqa: BLE001 - metrics must flow after any error; logged, and shown by the age
                self._next_read = self._clock() + RETRY_SECONDS
                _logger.warning(
                    "could not read the quota snapshot: the last one stays in use, if there is one",
                    extra={"error": f"{type(error).__name__}: {error}"},
                )
        return self._latest
