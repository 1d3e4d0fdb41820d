"""Calculate the price of a million calls without fixed costs, from the bill of `quota-monitor cost`."""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from localaws import traffic
from localaws.traffic import LogEvent
from quota_monitor.cost import bill
from quota_monitor.cost.bill import FIXED_ITEMS, Alarms, Use
from quota_monitor.cost.prices import read_prices

CALLS = 1_000_000
CALLS_PER_DELIVERY = (1, 10, 100, 1_000)
ONE_KIND = "10, all of one kind"

PROCESSOR_MEGABYTES = 1_769
"""Memory of a function with one whole processor. Less memory gives that part of it (Lambda, "Configure Lambda function
memory", read 2026-11-24)."""

WAITING_SECONDS = 0.010
"""Time that a delivery waits for the state table. We assume two round trips of 5 ms within a Region."""

MEMORY_SIZES = (128, 192, 256, 512, 1_769)


class Row(msgspec.Struct, frozen=True):
    """Deliveries of one size: bytes of metric lines per call, and dollars per million calls."""

    deliveries: str
    calls: int
    line_bytes: float
    with_detection: float
    without_detection: float
    parts: str


class Size(msgspec.Struct, frozen=True):
    """A memory size in MB: billed milliseconds per delivery, and dollars per million calls, for Lambda and in total."""

    megabytes: int
    milliseconds: float
    lambda_dollars: float
    dollars: float


def make_records_of_one_kind(count: int, end: datetime, seed: int) -> list[LogEvent]:
    """Return records of one application."""
    return [event for event in traffic.chat(20 * count, end, seed) if "role/SupportChat/" in event.message][:count]


def rows() -> Iterator[Row]:
    """Yield the price for each size of deliveries."""
    price = read_prices()
    sizes = [(f"{calls:,}", calls, traffic.chat) for calls in CALLS_PER_DELIVERY]
    for deliveries, calls, records in (*sizes, (ONE_KIND, 10, make_records_of_one_kind)):
        written = bill.line_bytes(calls, records)
        bills = [
            [
                item
                for item in bill.itemize(Use(5, CALLS, calls, detection), price, Alarms(0, 0), written)
                if item.what not in FIXED_ITEMS
            ]
            for detection in (True, False)
        ]
        with_detection, without_detection = (sum(item.dollars for item in items) for items in bills)
        parts = ", ".join(f"{item.what} {item.dollars:.3f}" for item in bills[0])
        of_lines = (written.written + written.lines * price.event_overhead_bytes) / calls
        yield Row(deliveries, calls, of_lines, with_detection, without_detection, parts)


def billed_seconds(cpu: float, megabytes: float, waiting: float = 0) -> float:
    """Return the duration of an invocation: its CPU time on its part of a processor, and its waiting time."""
    return cpu * max(1, PROCESSOR_MEGABYTES / megabytes) + waiting


def lambda_dollars(seconds: float, megabytes: float, times: float) -> float:
    """Return the price of invocations of this duration, without their requests."""
    return seconds * megabytes / 1024 * read_prices().lambda_gigabyte_second * times


def sizes(cpu: float, calls: int = 10) -> Iterator[Size]:
    """Yield the price of a million calls at each memory size. `cpu` is in seconds, with duplicate detection."""
    deliveries = CALLS / calls
    requests = deliveries / 1e6 * read_prices().lambda_million_requests
    items = list(bill.itemize(Use(5, CALLS, calls), read_prices(), Alarms(0, 0), bill.line_bytes(calls)))
    beside = sum(item.dollars for item in items if item.what not in FIXED_ITEMS | {"Lambda"})
    for megabytes in MEMORY_SIZES:
        seconds = billed_seconds(cpu, megabytes, WAITING_SECONDS)
        of_functions = requests + lambda_dollars(seconds, megabytes, deliveries)
        yield Size(megabytes, seconds * 1e3, of_functions, beside + of_functions)
