"""Seen events: log events that come again in another delivery are known again within one container."""

from collections import OrderedDict
from collections.abc import Iterable, Set

REMEMBERED_EVENTS = 20_000
"""Log events one container remembers: some 4 MB."""


class SeenEvents:
    """The ids of the log events that this container has processed last."""

    def __init__(self, most: int = REMEMBERED_EVENTS) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._most = most

    @property
    def ids(self) -> Set[str]:
        """The ids themselves."""
        return self._seen.keys()

    def remember(self, event_ids: Iterable[str]) -> None:
        """Remember log events, now that they are processed; the oldest are forgotten."""
        self._seen.update((event_id, None) for event_id in event_ids if event_id)
        while len(self._seen) > self._most:
            self._seen.popitem(last=False)

    def forget(self, event_ids: Iterable[str]) -> None:
        """Forget log events that are to be processed again."""
        for event_id in event_ids:
            self._seen.pop(event_id, None)
