"""The days of a window that have calls. A window can be longer than what is known of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from bedrock_quota.analysis.usage import PoolMinute, PoolUsage
from quota_monitor.answers.numbers import count, timestamp
from quota_monitor.window import Window

DAY = 86_400

ONE_DAY = DAY + 60
"""Longest window that needs no note: a day, and the minute that has begun."""


class Day(msgspec.Struct, frozen=True):
    """A day with calls, in UTC: answered and throttled ones, and the most tokens of a minute."""

    date: str
    requests: int
    throttled: int
    peak_tokens: float
    peak_minute: int


def list_days(minutes: Iterable[PoolMinute]) -> list[Day]:
    """Return the days with answered or throttled calls, in order of time."""
    days: dict[int, list[PoolMinute]] = {}
    for minute in minutes:
        if minute.requests or minute.throttled:
            days.setdefault(minute.minute // DAY, []).append(minute)
    return [_sum_up(days[day]) for day in sorted(days)]


def _sum_up(minutes: Sequence[PoolMinute]) -> Day:
    peak = max(minutes, key=lambda minute: minute.used_tokens)
    return Day(
        date=f"{datetime.fromtimestamp(peak.minute, UTC):%Y-%m-%d}",
        requests=sum(minute.requests for minute in minutes),
        throttled=sum(minute.throttled for minute in minutes),
        peak_tokens=peak.used_tokens,
        peak_minute=peak.minute,
    )


def count_days(window: Window) -> int:
    """Return the number of days that a window touches, in UTC."""
    return (window.end - 1) // DAY - window.start // DAY + 1 if window.end > window.start else 0


def find_ends(minutes: Iterable[PoolMinute]) -> tuple[int, int] | None:
    """Return the first and the last minute with a call. None without calls."""
    found = [minute.minute for minute in minutes if minute.requests or minute.throttled]
    return (min(found), max(found)) if found else None


def write_minute(second: int) -> str:
    """Return a minute in words."""
    return timestamp(second)[:16].replace("T", " ")


def describe_days(minutes: Sequence[PoolMinute], window: Window) -> str:
    """Return a sentence on the days with calls, and on the first and the last call. "" without calls."""
    ends = find_ends(minutes)
    if ends is None:
        return ""
    total = count_days(window)
    first, last = map(write_minute, ends)
    return (
        f"Calls are on {len(list_days(minutes)):,} of {count(total, 'day')}: the first in the minute from {first}, the "
        f"last in that from {last} UTC."
    )


def note_missing_days(usages: Iterable[PoolUsage], window: Window) -> tuple[str, ...]:
    """Return a note on a window of more than a day that has days without calls."""
    minutes = [minute for usage in usages for minute in usage.minutes]
    is_whole = len(list_days(minutes)) >= count_days(window)
    if window.end - window.start <= ONE_DAY or is_whole or not minutes:
        return ()
    found = describe_days(minutes, window)
    return (f"{found} The other days have none, or nothing is known of them.",) if found else ()
