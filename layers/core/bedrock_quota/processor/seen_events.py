"""Seen events: log events that come again in another delivery are known again within one container."""

from collections.abc import Iterable, Set
from itertools import islice

REMEMBERED_EVENTS = 20_000
"""Log events one container remembers at least: some 4 MB."""


class SeenEvents:
    """The ids of the log events that this container has processed last."""

    def __init__(self, most: int = REMEMBERED_EVENTS) -> None:
        self._seen: dict[str, None] = {}
        self._most = most

    @property
    def ids(self) -> Set[str]:
        """The ids themselves."""
        return self._seen.keys()

    def remember(self, event_ids: Iterable[str]) -> None:
        """Remember log events, now that they are processed; the oldest are forgotten."""
        self._seen |= dict.fromkeys(event_ids)
        self._seen.pop("", None)  # one without an id is always new
        if len(self._seen) > self._most + self._most // 8:  # many at a time: a dict is slow to find its first
            for oldest in list(islice(self._seen, len(self._seen) - self._most)):
                del self._seen[oldest]

    def forget(self, event_ids: Iterable[str]) -> None:
        """Forget log events that are to be processed again."""
        for event_id in event_ids:
            self._seen.pop(event_id, None)
