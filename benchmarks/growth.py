"""How CPU, memory and lines grow with records a delivery, buckets, callers and the size of bodies, two decades each."""

import itertools
import json
import math
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from bedrock_quota import delivery, processing
from benchmarks import contenders
from benchmarks.mixes import delivery_of
from benchmarks.timing import interleaved
from localaws.traffic import LogEvent

STARTED = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)


class Point(msgspec.Struct, frozen=True):
    """What one delivery of so many (`x`) took: CPU seconds, most bytes of memory at a time, metric lines."""

    x: int
    seconds: float
    memory: int
    lines: int


class Axis(msgspec.Struct, frozen=True):
    """One thing that grows, and a delivery with so much of it. `fixed` is what all its deliveries have besides."""

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


def _times(count: int, **of: int) -> list[LogEvent]:
    return [_record(**of)] * count


AXES = (
    Axis("records", "one bucket, one caller", (10, 30, 100, 300, 1_000, 3_000), _times),
    Axis(
        "buckets",
        "1,000 records",
        (10, 30, 100, 300, 1_000),
        lambda x: [_record(model=number % x) for number in range(1_000)],
    ),
    Axis(
        "callers",
        "3,000 records of one bucket",
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


def measure(axis: Axis, seconds: float) -> list[Point]:
    """Measure all deliveries of an axis, in turn, for so many seconds; memory and lines once more by themselves."""
    events = {x: delivery_of(axis.events(x)) for x in axis.xs}
    now = STARTED + timedelta(seconds=10)

    def run(x: int) -> processing.Outcome:
        received = delivery.decode(events[x])
        return processing.process(received, contenders.ACCOUNTS, quotas=None, namespace="Bedrock/Quotas", now=now)

    taken = interleaved({str(x): lambda x=x: run(x) for x in axis.xs}, times=1, seconds=seconds)  # type: ignore[misc]
    points = []
    for x in axis.xs:
        tracemalloc.start()
        written = len(run(x).lines)
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        points.append(Point(x, taken[str(x)].median, memory, written))
    return points


def steepest(points: Sequence[Point], of: Callable[[Point], float]) -> float:
    """Return the steepest slope between neighbours on two logarithmic axes: 1 is linear, 2 quadratic."""
    pairs = itertools.pairwise(points)
    return max(math.log(of(right) / of(left)) / math.log(right.x / left.x) for left, right in pairs)


QUANTITIES: Mapping[str, tuple[str, Callable[[Point], float]]] = {
    "CPU, ms": ("#0072b2", lambda point: point.seconds * 1_000),
    "memory, MB": ("#d55e00", lambda point: point.memory / 1e6),
    "metric lines": ("#009e73", lambda point: point.lines),
}
"""What is drawn, in colours of Okabe and Ito."""

WIDTH, HEIGHT, LEFT, TOP, ROOM = 330, 250, 60, 40, 100


def draw(measured: Mapping[str, Sequence[Point]], to: Path) -> None:
    """Draw an SVG: a graph an axis, both axes logarithmic, and a thin line that shows what linear is."""
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
    low_y, high_y = -2.0, 3.6

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
    for power in range(-2, 4):
        _, y = place(points[0].x, 10**power).split(",")
        parts.append(f'<text x="{left - 8}" y="{float(y) + 4:.0f}" text-anchor="end">{10.0**power:,g}</text>')
    for point in points:
        x, _ = place(point.x, 1).split(",")
        parts.append(f'<text x="{x}" y="{top + HEIGHT + 16}" text-anchor="middle">{point.x:,}</text>')
    for row, (name, (colour, of)) in enumerate(QUANTITIES.items()):
        line = " ".join(place(point.x, of(point)) for point in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{left + 8}" y="{top + 18 + 15 * row}" fill="{colour}">{name}</text>')
    return parts
