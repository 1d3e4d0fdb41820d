"""A window of time."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

LAST_SECOND = 253_402_300_799
"""The last second of the year 9999, after which `datetime` has no time."""


class Window(msgspec.Struct, frozen=True):
    """From `start` to just before `end`, in seconds since the epoch. Both are whole minutes."""

    start: int
    end: int

    @property
    def starts_at(self) -> datetime:
        """Return the start as a time in UTC."""
        return datetime.fromtimestamp(self.start, UTC)

    @property
    def ends_at(self) -> datetime:
        """Return the end as a time in UTC."""
        return datetime.fromtimestamp(min(self.end, LAST_SECOND), UTC)

    def __str__(self) -> str:
        day = "%Y-%m-%d "
        is_one_day = self.starts_at.date() == self.ends_at.date()
        return f"{self.starts_at:{day}%H:%M} to {self.ends_at:{'' if is_one_day else day}%H:%M} UTC"


def make_window(start: datetime, end: datetime) -> Window:
    """Return the window between two times, widened to whole minutes."""
    return Window(int(start.timestamp()) // 60 * 60, -(-int(end.timestamp()) // 60) * 60)
