"""The renewal of the snapshot: what is stored and told when things fail, and when two fetches overlap."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from records import NOVA

from bedrock_quota.errors import OutdatedError
from bedrock_quota.fetcher.fetch import Fetch, Sources
from bedrock_quota.fetcher.refresh import MAX_UNSENT_NOTICES, SnapshotStore, refresh_snapshot
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool
from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.quota_names import ListedQuota
from bedrock_quota.state.snapshot import Snapshot, StoredSnapshot

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NOVA_LITE = QuotaPool(NOVA, EndpointType.REGIONAL)
ZERO = f"quota is 0: {NOVA_LITE} may not be called by this account in this Region"


class Stack:
    """One quota of 0 in use, a shelf that checks versions, and people who listen; `failing` says what does not work."""

    def __init__(self) -> None:
        self.value = 0.0
        self.stored = StoredSnapshot()
        self.told: list[tuple[str, ...]] = []
        self.failing: set[str] = set()
        self.meanwhile: Callable[[], None] = lambda: None

    def sources(self) -> Sources:
        def quotas() -> list[ListedQuota]:
            listed = [
                ListedQuota("L-1", "On-demand model inference tokens per minute for Amazon Nova Lite", self.value)
            ]
            self.meanwhile()
            return listed

        return Sources(
            overrides=lambda: "{}",
            quotas=quotas,
            in_use=lambda: {NOVA_LITE},
            profiles=dict,
            applied=dict,
            throttled=lambda _pools: frozenset(),
        )

    def read(self) -> StoredSnapshot:
        self.work("read")
        return self.stored

    def write(self, snapshot: Snapshot, version: int) -> None:
        self.work("write")
        if version != self.stored.version:
            raise OutdatedError("changed")
        self.stored = StoredSnapshot(snapshot, version + 1)

    def tell(self, sentences: tuple[str, ...]) -> None:
        self.work("tell")
        self.told.append(sentences)

    def work(self, what: str) -> None:
        if what in self.failing:
            raise RuntimeError("not today")


@pytest.fixture
def stack() -> Stack:
    return Stack()


@pytest.fixture
def renew(stack: Stack, registry: Registry) -> Callable[[], Fetch]:
    def run() -> Fetch:
        shelf = SnapshotStore(stack.read, stack.write)
        return refresh_snapshot(stack.sources(), registry, (), NOON, store=shelf, notify=stack.tell)

    return run


def untold(stack: Stack) -> Any:
    assert stack.stored.snapshot is not None
    return stack.stored.snapshot.unsent_notices


Renew = Callable[[], Fetch]


def test_what_is_new_is_stored_and_told_once(stack: Stack, renew: Renew) -> None:
    first, second = renew(), renew()

    assert (first.notices, first.problems) == ((ZERO,), ())
    assert (second.notices, second.problems) == ((), ())
    assert stack.told == [(ZERO,)]
    assert stack.stored.snapshot == second.snapshot
    assert second.quotas == {NOVA_LITE: PoolQuota(tokens_per_minute=0)}


def test_what_could_not_be_sent_is_sent_with_the_next_fetch(stack: Stack, renew: Renew) -> None:
    stack.failing = {"tell"}
    first = renew()
    assert (first.notices, stack.told, untold(stack)) == ((), [], (ZERO,))
    assert first.problems == ("notices could not be sent (1), the next fetch sends them: RuntimeError: not today",)
    stack.failing = set()
    stack.value = 5

    second = renew()

    change = f"quota changed from 0 to 5: tokens per minute of {NOVA_LITE}"
    assert (second.notices, second.problems, untold(stack)) == ((ZERO, change), (), ())
    assert stack.told == [(ZERO, change)]


def test_no_more_sentences_are_kept_than_fit_the_snapshot(stack: Stack, renew: Renew) -> None:
    # given as many sentences as are kept, and nobody who takes them
    sentences = tuple(f"sentence {number}" for number in range(MAX_UNSENT_NOTICES))
    stack.stored, stack.failing = StoredSnapshot(Snapshot(NOON, unsent_notices=sentences), 1), {"tell"}

    found = renew()

    # then the one more is not kept, and the problem says how many wait
    assert untold(stack) == sentences
    (problem,) = found.problems
    assert problem.startswith("notices could not be sent (500)")


@pytest.mark.parametrize("failing", ["read", "write"])
def test_without_the_shelf_quotas_are_published_and_nothing_is_told_that_would_be_told_again(
    stack: Stack, renew: Renew, failing: str
) -> None:
    renew()
    kept, stack.value, stack.failing = stack.stored, 5, {failing}

    found = renew()

    assert found.quotas == {NOVA_LITE: PoolQuota(tokens_per_minute=5)}
    assert (found.notices, found.changes, stack.told, stack.stored) == ((), (), [(ZERO,)], kept)
    (problem,) = found.problems
    assert problem.endswith(": RuntimeError: not today")
    # and once it is back, the change is told
    stack.failing = set()
    assert renew().notices == (f"quota changed from 0 to 5: tokens per minute of {NOVA_LITE}",)


def test_snapshot_that_is_no_use_is_replaced_and_said_so(stack: Stack, renew: Renew) -> None:
    stack.stored = StoredSnapshot(None, 7, "ValidationError: of a newer version")

    found = renew()

    assert found.problems == (
        "the stored snapshot could not be decoded, so it is replaced: ValidationError: of a newer version",
    )
    assert found.notices == (ZERO,)
    assert stack.stored == StoredSnapshot(found.snapshot, 9)  # 8 with the notice, 9 when it was sent
    assert renew().problems == ()


def test_of_two_fetches_at_a_time_the_second_to_store_fetches_again(stack: Stack, renew: Renew) -> None:
    # given a fetch that is overtaken by another one, which sees and tells a new value
    def overtake() -> None:
        stack.meanwhile = lambda: None
        stack.value = 5
        assert renew().problems == ()

    stack.meanwhile = overtake

    found = renew()

    # then it sees that value, too, and nothing is told twice
    assert (found.quotas, found.problems) == ({NOVA_LITE: PoolQuota(tokens_per_minute=5)}, ())
    assert stack.told == []
    assert stack.stored.snapshot is not None
    assert stack.stored.snapshot.quotas_by_pool() == {NOVA_LITE: PoolQuota(tokens_per_minute=5)}


def test_fetch_that_is_always_overtaken_gives_up_loudly(stack: Stack, renew: Renew) -> None:
    def overtake() -> None:
        stack.stored = msgspec.structs.replace(stack.stored, version=stack.stored.version + 1)

    stack.meanwhile = overtake

    found = renew()

    assert found.problems == ("the snapshot could not be stored: 3 times another fetch was faster",)
    assert (stack.stored.version, stack.told) == (3, [])
    assert found.quotas == {NOVA_LITE: PoolQuota(tokens_per_minute=0)}
