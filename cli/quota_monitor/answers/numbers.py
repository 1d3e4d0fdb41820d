"""Numbers as every output writes them."""

from __future__ import annotations

from datetime import UTC, datetime

from quota_monitor.window import LAST_SECOND


def percent(part: float, whole: float) -> str:
    """Return a percentage: whole from 1% on, one decimal below, and `<0.1%` for the least."""
    value = 100 * part / whole
    if value >= 1 or value == 0:
        return f"{value:,.0f}%"
    return f"{value:.1f}%" if value >= 0.1 else "<0.1%"


def count(number: float, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 call`, `2,000 calls`."""
    return f"{number:,.0f} {noun if number == 1 else plural or noun + 's'}"


def timestamp(second: int) -> str:
    """Return a moment in ISO 8601."""
    return f"{datetime.fromtimestamp(min(second, LAST_SECOND), UTC):%Y-%m-%dT%H:%M:%SZ}"


def real(value: float | None) -> float | None:
    """Return a number that JSON shows with a decimal point, so that a member always has the same type."""
    return None if value is None else float(value)
