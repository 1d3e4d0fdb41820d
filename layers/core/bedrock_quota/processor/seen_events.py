"""Seen events: one container recognizes log events that arrive again in another delivery."""

import hashlib
from collections.abc import Collection, Iterable, Set
from itertools import islice

import msgspec

REMEMBERED_EVENTS = 20_000
"""Log events that one container remembers at least, about 4 MB."""

MAX_EVENT_ID = 128
"""Longest id that is remembered, with its prefix. CloudWatch Logs writes 56 digits (seen 2026-11-23)."""

_PREFIX_BYTES = 8


class SeenInSource(msgspec.Struct, frozen=True):
    """Ids of seen events, and the prefix of those that come from one account's log group."""

    ids: Set[str] = frozenset()
    prefix: str = ""


class SeenEvents:
    """The ids of the log events that this container has processed most recently."""

    def __init__(self, most: int = REMEMBERED_EVENTS) -> None:
        self._seen: dict[str, None] = {}
        self._most = most
        self._first_source: tuple[str, str] | None = None
        self._seen_in_first = SeenInSource(self.ids)  # a view, which shows what is remembered later, too

    def select_source(self, owner: str, log_group: str) -> SeenInSource:
        """Return the seen events of one account's log group. Ids of the first source met have no prefix."""
        if self._first_source is None:
            self._first_source = (owner, log_group)
        if self._first_source == (owner, log_group):
            return self._seen_in_first
        digest = hashlib.blake2b(f"{owner}\n{log_group}".encode(), digest_size=_PREFIX_BYTES)
        return SeenInSource(self.ids, f"{digest.hexdigest()}:")  # short, because it is copied in front of each id

    @property
    def ids(self) -> Set[str]:
        """The remembered ids."""
        return self._seen.keys()

    def remember(self, event_ids: Collection[str]) -> None:
        """Remember log events that are processed, and forget the oldest. An id that is too long is not remembered."""
        if max(map(len, event_ids), default=0) > MAX_EVENT_ID:
            event_ids = [event_id for event_id in event_ids if len(event_id) <= MAX_EVENT_ID]
        self._seen |= dict.fromkeys(event_ids)
        if len(self._seen) > self._most + self._most // 8:  # many at a time, because a dict finds its first key slowly
            for oldest in list(islice(self._seen, len(self._seen) - self._most)):
                del self._seen[oldest]

    def forget(self, event_ids: Iterable[str]) -> None:
        """Forget log events that will be processed again."""
        for event_id in event_ids:
            self._seen.pop(event_id, None)
