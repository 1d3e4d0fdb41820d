"""The quota snapshot as one container sees it: read again every few minutes, kept when reading fails."""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime

from bedrock_quota.buckets import Bucket
from bedrock_quota.quotas import BucketQuota, Snapshot

_logger = logging.getLogger(__name__)

REFRESH_SECONDS = 180
"""How long a container goes on with the snapshot it has."""


class Snapshots:
    """The latest snapshot that could be read. A failed read is logged and tried again after the same time."""

    def __init__(self, read: Callable[[], Snapshot | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._read, self._clock = read, clock
        self._next_read = float("-inf")
        self._fetched_at: datetime | None = None
        self._quotas: Mapping[Bucket, BucketQuota] | None = None

    def quotas(self) -> Mapping[Bucket, BucketQuota] | None:
        """Return quotas by bucket, or None if no snapshot could be read so far. Never raises: metrics go on."""
        now = self._clock()
        if now >= self._next_read:
            self._next_read = now + REFRESH_SECONDS
            try:
                snapshot = self._read()
            except Exception as error:  # noqa: BLE001 - whatever it is, metrics must flow; logged, and shown by the age
                _logger.warning(
                    "the quota snapshot could not be read; going on with the last one, if any",
                    extra={"error": f"{type(error).__name__}: {error}"},
                )
            else:
                if snapshot is not None:
                    self._fetched_at, self._quotas = snapshot.fetched_at, snapshot.by_bucket()
        return self._quotas

    def age_seconds(self, now: datetime) -> float | None:
        """Return how old the quotas are, or None where there are none."""
        return None if self._fetched_at is None else (now - self._fetched_at).total_seconds()
