"""What a million calls cost on top of what stands still, by the same bill as `quota-monitor cost`."""

from collections.abc import Iterator

import msgspec

from quota_monitor import cost
from quota_monitor.cost import Alarms, Use

CALLS = 1_000_000
CALLS_A_DELIVERY = (1, 10, 100, 1_000)
STANDING = frozenset({"metrics", "alarms", "dashboard"})


class Row(msgspec.Struct, frozen=True):
    """Deliveries of one size: bytes of metric lines a call, and dollars a million calls."""

    calls_a_delivery: int
    line_bytes: float
    with_detection: float
    without_detection: float
    parts: str


def rows() -> Iterator[Row]:
    """Work the price out for each size of deliveries."""
    price = cost.prices()
    for calls in CALLS_A_DELIVERY:
        written = cost.line_bytes(calls)
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
        yield Row(calls, of_lines, *sums, parts)
