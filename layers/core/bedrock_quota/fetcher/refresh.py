"""The refresh of the snapshot: fetch, store, and send notices, even if two refreshes overlap.

A scheduled fetch and one for changed overrides may overlap. The snapshot's version shows that, and the second one
fetches again. Notices are stored before they are sent and removed afterwards, so each is sent at least once.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

import msgspec

from bedrock_quota.errors import OutdatedError
from bedrock_quota.fetcher.fetch import Fetch, Sources, fetch_all
from bedrock_quota.pools import QuotaPool
from bedrock_quota.registry.models import Registry
from bedrock_quota.state.snapshot import Snapshot, StoredSnapshot

ATTEMPTS = 3
"""Fetches before this refresh gives up and leaves the snapshot to the other one."""

MAX_UNSENT_NOTICES = 500
"""Most notices kept to be sent later: the snapshot must fit into one item."""


class SnapshotStore(msgspec.Struct, frozen=True):
    """The calls that read and write the snapshot. Both raise if they fail. `write` takes the version that it replaces.

    `write` raises `OutdatedError` if another version is stored.
    """

    read: Callable[[], StoredSnapshot]
    write: Callable[[Snapshot, int], None]


Notify = Callable[[tuple[str, ...]], None]
"""Function that sends notices to subscribers. Raises if it cannot."""


def refresh_snapshot(
    sources: Sources,
    registry: Registry,
    always_published: Iterable[QuotaPool],
    now: datetime,
    *,
    store: SnapshotStore,
    notify: Notify,
) -> Fetch:
    """Fetch once, store the snapshot and send the new notices.

    In the returned fetch, `notices` are those that were sent, and `problems` has everything that failed. A notice that
    is not stored is not sent, because the next fetch would send it again. Never raises if a service fails.
    """
    for _ in range(ATTEMPTS):
        try:
            stored = store.read()
        except Exception as error:  # noqa: BLE001 - the metrics of this fetch are still good
            fetched = fetch_all(sources, registry, None, always_published, now)
            return _without_notices(
                fetched, f"the stored snapshot could not be read, so none is written: {_describe(error)}"
            )
        fetched = fetch_all(sources, registry, stored.snapshot, always_published, now)
        if stored.unreadable is not None:
            fetched = _with_problem(
                fetched, f"the stored snapshot could not be decoded, so it is replaced: {stored.unreadable}"
            )
        unsent = (*(stored.snapshot.unsent_notices if stored.snapshot else ()), *fetched.notices)[:MAX_UNSENT_NOTICES]
        try:
            store.write(msgspec.structs.replace(fetched.snapshot, unsent_notices=unsent), stored.version)
        except OutdatedError:
            continue
        except Exception as error:  # noqa: BLE001 - see above
            return _without_notices(fetched, f"the snapshot could not be stored: {_describe(error)}")
        fetched = msgspec.structs.replace(fetched, notices=unsent)
        return _send_notices(fetched, stored.version + 1, store, notify) if unsent else fetched
    return _without_notices(fetched, f"the snapshot could not be stored: {ATTEMPTS} times another fetch was faster")


def _send_notices(fetched: Fetch, version: int, store: SnapshotStore, notify: Notify) -> Fetch:
    try:
        notify(fetched.notices)
    except Exception as error:  # noqa: BLE001 - they stay unsent in the snapshot
        problem = f"notices could not be sent ({len(fetched.notices)}), the next fetch sends them: {_describe(error)}"
        return _with_problem(msgspec.structs.replace(fetched, notices=()), problem)
    try:
        store.write(fetched.snapshot, version)
    except Exception as error:  # noqa: BLE001 - sent twice is better than never
        return _with_problem(fetched, f"notices were sent, and the next fetch sends them again: {_describe(error)}")
    return fetched


def _without_notices(fetched: Fetch, problem: str) -> Fetch:
    return _with_problem(msgspec.structs.replace(fetched, changes=(), notices=(), remarks=()), problem)


def _with_problem(fetched: Fetch, problem: str) -> Fetch:
    return msgspec.structs.replace(fetched, problems=(*fetched.problems, problem))


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
