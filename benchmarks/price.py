"""What a million calls cost on top of what stands still, by the same bill as `quota-monitor cost`."""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from localaws import traffic
from localaws.traffic import LogEvent
from quota_monitor import cost
from quota_monitor.cost import Alarms, Use

CALLS = 1_000_000
CALLS_PER_DELIVERY = (1, 10, 100, 1_000)
ONE_KIND = "10, all of one kind"
STANDING = frozenset({"metrics", "alarms", "dashboard"})

PROCESSOR_MEGABYTES = 1_769
"""Memory with which a function has one whole processor, and with less that part of it (Lambda, "Configure Lambda
function memory", read 2026-11-24)."""

WAITING_SECONDS = 0.010
"""For the state table, a delivery: two round trips of 5 ms within a Region, assumed."""

MEMORY_SIZES = (128, 192, 256, 512, 1_769)


class Row(msgspec.Struct, frozen=True):
    """Deliveries of one size: bytes of metric lines a call, and dollars a million calls."""

    deliveries: str
    calls: int
    line_bytes: float
    with_detection: float
    without_detection: float
    parts: str


class Size(msgspec.Struct, frozen=True):
    """A memory size in MB: milliseconds billed a delivery, and dollars a million calls, of Lambda and of all."""

    megabytes: int
    milliseconds: float
    of_lambda: float
    dollars: float


def of_one_kind(count: int, end: datetime, seed: int) -> list[LogEvent]:
    """Return records of one application."""
    return [event for event in traffic.chat(20 * count, end, seed) if "role/SupportChat/" in event.message][:count]


def rows() -> Iterator[Row]:
    """Work the price out for each size of deliveries."""
    price = cost.read_prices()
    sizes = [(f"{calls:,}", calls, traffic.chat) for calls in CALLS_PER_DELIVERY]
    for deliveries, calls, records in (*sizes, (ONE_KIND, 10, of_one_kind)):
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
        yield Row(deliveries, calls, of_lines, *sums, parts)


def billed_seconds(cpu: float, megabytes: float, waiting: float = 0) -> float:
    """Return how long an invocation takes: its CPU on the part of a processor that it has, and what it waits."""
    return cpu * max(1, PROCESSOR_MEGABYTES / megabytes) + waiting


def lambda_dollars(seconds: float, megabytes: float, times: float) -> float:
    """Return what so many invocations of this length cost, without the requests."""
    return seconds * megabytes / 1024 * cost.read_prices().lambda_gigabyte_second * times


def sizes(cpu: float, calls: int = 10) -> Iterator[Size]:
    """Work out a million calls, so many a delivery of `cpu` seconds with duplicate detection, at each memory size."""
    deliveries = CALLS / calls
    requests = deliveries / 1e6 * cost.read_prices().lambda_million_requests
    bill = list(cost.bill(Use(5, CALLS, calls), cost.read_prices(), Alarms(0, 0), cost.line_bytes(calls)))
    beside = sum(item.dollars for item in bill if item.what not in STANDING | {"Lambda"})
    for megabytes in MEMORY_SIZES:
        seconds = billed_seconds(cpu, megabytes, WAITING_SECONDS)
        of_lambda = requests + lambda_dollars(seconds, megabytes, deliveries)
        yield Size(megabytes, seconds * 1e3, of_lambda, beside + of_lambda)
