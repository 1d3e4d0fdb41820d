"""What a million calls cost on top of what stands still, by the same bill as `quota-monitor cost`."""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from localaws import traffic
from localaws.traffic import LogEvent
from quota_monitor import cost
from quota_monitor.cost import Alarms, Use

CALLS = 1_000_000
CALLS_A_DELIVERY = (1, 10, 100, 1_000)
STANDING = frozenset({"metrics", "alarms", "dashboard"})


class Row(msgspec.Struct, frozen=True):
    """Deliveries of one size: bytes of metric lines a call, and dollars a million calls."""

    deliveries: str
    line_bytes: float
    with_detection: float
    without_detection: float
    parts: str


def of_one_kind(count: int, end: datetime, seed: int) -> list[LogEvent]:
    """Return records of one application."""
    return [event for event in traffic.chat(20 * count, end, seed) if "role/SupportChat/" in event.message][:count]


def rows() -> Iterator[Row]:
    """Work the price out for each size of deliveries."""
    price = cost.prices()
    sizes = [(f"{calls:,}", calls, traffic.chat) for calls in CALLS_A_DELIVERY]
    for deliveries, calls, records in (*sizes, ("10, all of one kind", 10, of_one_kind)):
        written = cost.line_bytes(calls, records)
        bills = [
            [
                item
                for item in cost.bill(Use(5, CALLS, calls, detection), price, Alarms(0, 0), written)
                if item.what not in STANDING
            ]
            for detection in (True, False)
        ]
        sums = [sum(item.dollars for item in bill) for bill in bills]
        parts = ", ".join(f"{item.what} {item.dollars:.3f}" for item in bills[0])
        of_lines = (written.written + written.lines * price.event_overhead_bytes) / calls
        yield Row(deliveries, of_lines, *sums, parts)
