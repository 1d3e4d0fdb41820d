"""Measure how CPU, memory and lines grow with records per delivery, quota pools, callers and the size of bodies."""

import itertools
import json
import math
import statistics
import sys
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from bedrock_quota.model_ids import UNRESOLVED
from bedrock_quota.processor.delivery import decode_delivery
from bedrock_quota.processor.pipeline import Outcome, make_lines, price_delivery
from bedrock_quota.processor.usage import UsageCalculator
from benchmarks.mixes import Event, make_delivery
from benchmarks.processor import known
from benchmarks.timing import Measured, interleaved, summary
from localaws.traffic import LogEvent

STARTED = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)


LINEAR = 1.2
"""A slope above this is reported as more than linear."""


class Point(msgspec.Struct, frozen=True):
    """The cost of one delivery of size `x`: CPU seconds by round, peak bytes of memory, metric lines."""

    x: int
    rounds: tuple[float, ...]
    memory: int
    lines: int

    @property
    def seconds(self) -> float:
        """Return the median of the CPU seconds."""
        return statistics.median(self.rounds)


class Axis(msgspec.Struct, frozen=True):
    """A quantity that grows. `events` makes a delivery of a size, and `fixed` describes what stays the same."""

    what: str
    fixed: str
    xs: tuple[int, ...]
    events: Callable[[int], list[LogEvent]]


def _record(caller: int = 0, model: int = 0, body: int = 1_500) -> LogEvent:
    entry: dict[str, Any] = {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "timestamp": f"{STARTED:%Y-%m-%dT%H:%M:%SZ}",
        "accountId": "111122223333",
        "identity": {"arn": f"arn:aws:sts::111122223333:assumed-role/Role{caller}/session"},
        "region": "us-east-1",
        "requestId": "0f0e0d0c-0b0a-4908-8706-050403020100",
        "operation": "Converse",
        "modelId": f"anthropic.claude-invented-{model}-v1:0",
        "input": {
            "inputTokenCount": 1_000,
            "inputBodyJson": {"inferenceConfig": {"maxTokens": 1_000}, "messages": ["word " * (body // 5)]},
        },
        "output": {"outputTokenCount": 100, "outputBodyJson": {"stopReason": "end_turn"}},
    }
    return LogEvent(round(STARTED.timestamp() * 1000), json.dumps(entry))


def _times(count: int, **changes: int) -> list[LogEvent]:
    return [_record(**changes)] * count


AXES = (
    Axis("records", "one pool, one caller", (10, 30, 100, 300, 1_000, 3_000), _times),
    Axis(
        "pools",
        "10,000 records",
        (10, 100, 1_000, 3_000, 10_000),
        lambda x: [_record(model=number % x, body=500) for number in range(10_000)],
    ),
    Axis(
        "callers",
        "3,000 records of one pool",
        (10, 30, 100, 300, 1_000, 3_000),
        lambda x: [_record(caller=number % x) for number in range(3_000)],
    ),
    Axis(
        "bytes of a body",
        "30 records",
        (1_000, 3_000, 10_000, 30_000, 100_000),
        lambda x: _times(30, body=x),
    ),
)


def accounts() -> UsageCalculator:
    """Return the accounts of a new container."""
    return UsageCalculator(known(), find_profile=lambda _profile: UNRESOLVED)


def run(event: Event, by: UsageCalculator) -> Outcome:
    """Process a delivery's content, without the handler, whose cost does not depend on the delivery."""
    now = STARTED + timedelta(seconds=10)
    calls = price_delivery(decode_delivery(event), by, now)
    return make_lines([calls], quotas=None, namespace="Bedrock/Quotas", now=now)


def measure(axis: Axis, seconds: float) -> list[Point]:
    """Measure all deliveries of an axis in turn for `seconds`. Memory and lines are measured in a separate run."""
    events, warm = {x: make_delivery(axis.events(x)) for x in axis.xs}, accounts()
    taken = interleaved({str(x): lambda x=x: run(events[x], warm) for x in axis.xs}, seconds=seconds)  # type: ignore[misc]
    points = []
    for x in axis.xs:
        written, memory = peak(lambda x=x: len(list(run(events[x], warm).lines)))  # type: ignore[misc]
        points.append(Point(x, tuple(taken[str(x)]), memory, written))
    return points


def peak(done: Callable[[], int]) -> tuple[int, int]:
    """Return the result of `done`, and the peak of allocated bytes meanwhile."""
    tracemalloc.start()
    try:
        return done(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def first(axis: Axis) -> Measured:
    """Measure the largest delivery of an axis as the first of a new container."""
    event = make_delivery(axis.events(axis.xs[-1]))
    new = accounts()

    def cold() -> None:
        nonlocal new
        forget()
        new = accounts()

    return summary(interleaved({"first": lambda: run(event, new)}, seconds=0, before=cold)["first"])


def forget() -> None:
    """Clear the caches of the product's modules."""
    for name, module in list(sys.modules.items()):
        if name.startswith("bedrock_quota."):
            for value in vars(module).values():
                if callable(getattr(value, "cache_clear", None)):
                    value.cache_clear()


def steepest(points: Sequence[Point], quantity: Callable[[Point], float]) -> float:
    """Return the steepest slope between neighbours on two logarithmic axes: 1 is linear, 2 quadratic."""
    return max(_slope(left, right, quantity(right) / quantity(left)) for left, right in itertools.pairwise(points))


def noise(points: Sequence[Point]) -> float:
    """Return half the interquartile range of the steepest CPU slope of single rounds."""
    slopes = [
        max(
            _slope(left, right, right.rounds[number] / left.rounds[number])
            for left, right in itertools.pairwise(points)
        )
        for number in range(len(points[0].rounds))
    ]
    low, _, high = statistics.quantiles(slopes, n=4)
    return (high - low) / 2


def format_slope(slope: float) -> str:
    """Return a slope as text, with a mark if it is more than linear."""
    return f"{slope:.2f}" if slope <= LINEAR else f"**{slope:.2f}, more than linear**"


def _slope(left: Point, right: Point, times: float) -> float:
    return math.log(times) / math.log(right.x / left.x)


QUANTITIES: Mapping[str, tuple[str, Callable[[Point], float]]] = {
    "CPU, ms": ("#0072b2", lambda point: point.seconds * 1_000),
    "memory, MB": ("#d55e00", lambda point: point.memory / 1e6),
    "metric lines": ("#009e73", lambda point: point.lines),
}
"""The curves of a graph, in colours of Okabe and Ito."""

WIDTH, HEIGHT, LEFT, TOP, ROOM = 330, 250, 60, 40, 100


def draw(measured: Mapping[str, Sequence[Point]], to: Path) -> None:
    """Draw an SVG with one graph per axis. Both scales are logarithmic, and a thin line shows linear growth."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{len(measured) * (WIDTH + ROOM) // 2}" '
        f'height="{2 * (HEIGHT + ROOM)}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for number, (what, points) in enumerate(measured.items()):
        parts += _graph(what, points, LEFT + number % 2 * (WIDTH + ROOM), TOP + number // 2 * (HEIGHT + ROOM))
    to.write_text("\n".join([*parts, "</svg>", ""]))


def _graph(what: str, points: Sequence[Point], left: int, top: int) -> list[str]:
    low_x, high_x = math.log10(points[0].x), math.log10(points[-1].x)
    low_y, high_y = -2.0, 4.2

    def place(x: float, y: float) -> str:
        return (
            f"{left + WIDTH * (math.log10(x) - low_x) / (high_x - low_x):.1f},"
            f"{top + HEIGHT * (1 - (math.log10(y) - low_y) / (high_y - low_y)):.1f}"
        )

    parts = [
        f'<rect x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>',
        f'<text x="{left}" y="{top - 12}" font-weight="bold">{what}</text>',
        f'<polyline points="{place(points[0].x, 0.02)} {place(points[-1].x, 0.02 * points[-1].x / points[0].x)}" '
        'fill="none" stroke="#bbb" stroke-dasharray="4"/>',
    ]
    for power in range(-2, 5):
        _, y = place(points[0].x, 10**power).split(",")
        parts.append(f'<text x="{left - 8}" y="{float(y) + 4:.0f}" text-anchor="end">{10.0**power:,g}</text>')
    for point in points:
        x, _ = place(point.x, 1).split(",")
        parts.append(f'<text x="{x}" y="{top + HEIGHT + 16}" text-anchor="middle">{point.x:,}</text>')
    for row, (name, (colour, quantity)) in enumerate(QUANTITIES.items()):
        line = " ".join(place(point.x, quantity(point)) for point in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{left + 8}" y="{top + 18 + 15 * row}" fill="{colour}">{name}</text>')
    return parts
