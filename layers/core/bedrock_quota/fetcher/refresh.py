"""The renewal of the snapshot: one fetch, stored, and what is new in it told, though two may run at a time.

A fetch on schedule and one for changed overrides may overlap. The snapshot's version tells: who comes second fetches
again. What people should hear is stored before it is sent and struck out after, so that it is heard at least once.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

import msgspec

from bedrock_quota.fetcher.fetch import fetch_all
from bedrock_quota.pools import QuotaPool
from bedrock_quota.errors import OutdatedError
from bedrock_quota.fetcher.fetch import Fetch, Sources
from bedrock_quota.registry.models import Registry
from bedrock_quota.state.snapshot import Snapshot, StoredSnapshot

ATTEMPTS = 3
"""Fetches before another one is let win for good."""

MAX_UNSENT_NOTICES = 500
"""Sentences kept for people who could not be told: the snapshot must fit one item."""


class SnapshotStore(msgspec.Struct, frozen=True):
    """Where the snapshot is kept. Both raise if they cannot be done; `write` takes the version it comes after.

    `write` raises `OutdatedError` if that is not the stored one any more.
    """

    read: Callable[[], StoredSnapshot]
    write: Callable[[Snapshot, int], None]


Notify = Callable[[tuple[str, ...]], None]
"""Sends sentences to people; raises if it cannot."""


def refresh_snapshot(
    sources: Sources, registry: Registry, always: Iterable[QuotaPool], now: datetime, *, shelf: SnapshotStore, tell: Notify
) -> Fetch:
    """Fetch once, store the snapshot and tell what is new.

    Returns the fetch with its `notices` being those that were told, and all that could not be done in `problems`.
    Nothing is told that is not stored: the next fetch would tell it again. Never raises for a failing service.
    """
    for _ in range(ATTEMPTS):
        try:
            stored = shelf.read()
        except Exception as error:  # noqa: BLE001 - the metrics of this fetch are good all the same
            fetched = fetch_all(sources, registry, None, always, now)
            return _untold(fetched, f"the last snapshot could not be read, so none is stored: {_said(error)}")
        fetched = fetch_all(sources, registry, stored.snapshot, always, now)
        if stored.unreadable is not None:
            fetched = _with_problem(fetched, f"the last snapshot was no use and is replaced: {stored.unreadable}")
        untold = (*(stored.snapshot.unsent_notices if stored.snapshot else ()), *fetched.notices)[:MAX_UNSENT_NOTICES]
        try:
            shelf.write(msgspec.structs.replace(fetched.snapshot, unsent_notices=untold), stored.version)
        except OutdatedError:
            continue
        except Exception as error:  # noqa: BLE001 - see above
            return _untold(fetched, f"the snapshot could not be stored: {_said(error)}")
        fetched = msgspec.structs.replace(fetched, notices=untold)
        return _told(fetched, stored.version + 1, shelf, tell) if untold else fetched
    return _untold(fetched, f"the snapshot could not be stored: another fetch was faster, {ATTEMPTS} times")


def _told(fetched: Fetch, version: int, shelf: SnapshotStore, tell: Notify) -> Fetch:
    try:
        tell(fetched.notices)
    except Exception as error:  # noqa: BLE001 - they stay untold in the snapshot
        problem = f"{len(fetched.notices)} notices could not be sent, and will be with the next fetch: {_said(error)}"
        return _with_problem(msgspec.structs.replace(fetched, notices=()), problem)
    try:
        shelf.write(fetched.snapshot, version)
    except Exception as error:  # noqa: BLE001 - told twice is better than not at all
        return _with_problem(fetched, f"notices were sent, and will be again with the next fetch: {_said(error)}")
    return fetched


def _untold(fetched: Fetch, problem: str) -> Fetch:
    return _with_problem(msgspec.structs.replace(fetched, changes=(), notices=(), remarks=()), problem)


def _with_problem(fetched: Fetch, problem: str) -> Fetch:
    return msgspec.structs.replace(fetched, problems=(*fetched.problems, problem))


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
