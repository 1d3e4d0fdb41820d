"""The snapshot: what the fetcher found out, and how one container of the processor keeps it at hand."""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import msgspec

from bedrock_quota.pools import QuotaPool
from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import PoolQuota
from bedrock_quota.registry.models import Model

_logger = logging.getLogger(__name__)

OLDEST_QUOTAS = timedelta(hours=6)
"""Two of the fetcher's rounds: older quotas are no passing fault."""

REFRESH_SECONDS = 180
"""How long a container goes on with the snapshot it has."""

RETRY_SECONDS = 20
"""How long it goes on after one could not be read."""


class Snapshot(msgspec.Struct, frozen=True):
    """What was known at one fetch. `fetched_at` is when the quotas were last listed whole.

    `models` are the registry's overrides, `profiles` say what application profiles stand for by their ARN, and
    `standing` are sentences that hold, by topic: each is told to people when it is new, and not again. `untold` are
    those that could not be sent yet.
    """

    fetched_at: datetime
    quotas: tuple[tuple[QuotaPool, PoolQuota], ...] = ()
    models: tuple[Model, ...] = ()
    profiles: tuple[tuple[str, Reference], ...] = ()
    standing: Mapping[str, tuple[str, ...]] = {}
    untold: tuple[str, ...] = ()

    def quotas_by_pool(self) -> dict[QuotaPool, PoolQuota]:
        """Quotas by pool."""
        return dict(self.quotas)


class StoredSnapshot(msgspec.Struct, frozen=True):
    """The snapshot that was stored last, and its version: 0 before the first. `unreadable` says why there is none."""

    snapshot: Snapshot | None = None
    version: int = 0
    unreadable: str | None = None


class SnapshotCache:
    """The latest snapshot that could be read. A failed read is logged and tried again a little later."""

    def __init__(self, read: Callable[[], Snapshot | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._read, self._clock = read, clock
        self._next_read = float("-inf")
        self._latest: Snapshot | None = None

    def latest(self) -> Snapshot | None:
        """Return the snapshot, or None if none could be read so far. Never raises: metrics go on."""
        now = self._clock()
        if now >= self._next_read:
            self._next_read = now + REFRESH_SECONDS
            try:
                self._latest = self._read() or self._latest
            except Exception as error:  # noqa: BLE001 - whatever it is, metrics must flow; logged, and shown by the age
                self._next_read = self._clock() + RETRY_SECONDS
                _logger.warning(
                    "the quota snapshot could not be read; going on with the last one, if any",
                    extra={"error": f"{type(error).__name__}: {error}"},
                )
        return self._latest
