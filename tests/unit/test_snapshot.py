"""The quota snapshot of one container: how often it is read, and what is left when it cannot be."""

import logging
from datetime import UTC, datetime

import pytest

from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool
from bedrock_quota.state.snapshot import REFRESH_SECONDS, RETRY_SECONDS, Snapshot, SnapshotCache

POOL = QuotaPool("a.model", EndpointType.REGIONAL)
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class Source:
    """A state table and a clock that a test sets."""

    def __init__(self) -> None:
        self.answer: Snapshot | Exception | None = None
        self.reads, self.seconds = 0, 1_000.0

    def read(self) -> Snapshot | None:
        self.reads += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def clock(self) -> float:
        return self.seconds


def snapshot(tokens: float) -> Snapshot:
    return Snapshot(NOON, ((POOL, PoolQuota(tokens_per_minute=tokens)),))


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def snapshots(source: Source) -> SnapshotCache:
    return SnapshotCache(source.read, source.clock)


def test_snapshot_is_read_once_and_again_when_it_is_time(source: Source, snapshots: SnapshotCache) -> None:
    source.answer = snapshot(1)
    assert snapshots.latest() == snapshot(1)
    source.answer = snapshot(2)
    source.seconds += REFRESH_SECONDS - 1
    assert snapshots.latest() == snapshot(1)
    assert source.reads == 1

    source.seconds += 1

    assert snapshots.latest() == snapshot(2)
    assert source.reads == 2


def test_container_keeps_a_snapshot_for_minutes_at_most() -> None:
    assert REFRESH_SECONDS <= 300


def test_failed_read_is_logged_and_the_last_snapshot_stays(
    source: Source, snapshots: SnapshotCache, caplog: pytest.LogCaptureFixture
) -> None:
    source.answer = snapshot(1)
    snapshots.latest()
    source.answer, source.seconds = RuntimeError("no table"), source.seconds + REFRESH_SECONDS

    with caplog.at_level(logging.WARNING):
        found = snapshots.latest()

    assert found == snapshot(1)
    assert [record.message for record in caplog.records] == [
        "could not read the quota snapshot: the last one stays in use, if there is one"
    ]


def test_failed_read_is_not_tried_again_with_every_delivery(source: Source, snapshots: SnapshotCache) -> None:
    source.answer = RuntimeError("no table")
    assert [snapshots.latest() for _ in range(5)] == [None] * 5
    assert source.reads == 1

    source.answer, source.seconds = snapshot(1), source.seconds + RETRY_SECONDS - 1
    assert snapshots.latest() is None
    source.seconds += 1

    assert snapshots.latest() == snapshot(1)


def test_before_the_first_fetch_there_is_none(source: Source, snapshots: SnapshotCache) -> None:
    assert snapshots.latest() is None
    assert source.reads == 1


def test_snapshot_that_goes_missing_leaves_the_last_one(source: Source, snapshots: SnapshotCache) -> None:
    source.answer = snapshot(1)
    snapshots.latest()
    source.answer, source.seconds = None, source.seconds + REFRESH_SECONDS

    assert snapshots.latest() == snapshot(1)


def test_same_snapshot_is_handed_out_between_two_reads(source: Source, snapshots: SnapshotCache) -> None:
    source.answer = snapshot(1)

    assert snapshots.latest() is snapshots.latest()


def test_quotas_by_pool() -> None:
    other = QuotaPool("a.model", EndpointType.CROSS_REGION)
    quotas = ((POOL, PoolQuota(tokens_per_minute=0)), (other, PoolQuota(requests_per_minute=5)))

    assert Snapshot(NOON, quotas).quotas_by_pool() == dict(quotas)
    assert Snapshot(NOON).quotas_by_pool() == {}
