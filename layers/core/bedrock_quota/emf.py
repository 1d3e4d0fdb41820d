"""The embedded metric format (EMF): lines of JSON in a log that CloudWatch turns into metrics.

Rules: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
(read 2026-11-23): dimension targets are at the root, `Timestamp` is in milliseconds.
"""

import functools
from collections.abc import Iterable
from itertools import islice
from typing import TextIO

import msgspec

POOL_DIMENSIONS = ("ModelId", "EndpointType")

UNITS = {
    "ConsumedQuotaPercent": "Percent",
    "ReservedQuotaPercent": "Percent",
    "RequestQuotaPercent": "Percent",
    "RecordLagSeconds": "Seconds",
}
"""Units of the metrics that are not a `Count`."""

LINES_PER_WRITE = 256
"""Lines written at once: few system calls, and no second copy of all the lines of a large result."""

encode = msgspec.json.Encoder().encode
"""Return a value as JSON in bytes."""


class Directive(msgspec.Struct, frozen=True, gc=False, rename="pascal"):
    """The `_aws` member of a line: the metrics' time in milliseconds and their definitions, already encoded."""

    timestamp: int
    cloud_watch_metrics: msgspec.Raw


def make_directive(namespace: str, seconds: float, dimensions: tuple[str, ...], metrics: Iterable[str]) -> Directive:
    """Return the directive that makes metrics of a line's members with these names, at `seconds` since the epoch."""
    return Directive(int(seconds * 1000), encode_definitions(namespace, dimensions, tuple(metrics)))


@functools.lru_cache(maxsize=256)
def encode_definitions(namespace: str, dimensions: tuple[str, ...], metrics: tuple[str, ...]) -> msgspec.Raw:
    """Return a directive's definitions, encoded. Few differ, and encoding them is half of a line's work."""
    named = [{"Name": name, "Unit": UNITS.get(name, "Count")} for name in metrics]
    return msgspec.Raw(encode([{"Namespace": namespace, "Dimensions": [dimensions], "Metrics": named}]))


def encode_with_directive(directive: Directive, members: msgspec.Struct) -> bytes:
    """Return a line that begins with its directive. `members` has at least one member."""
    return b'{"_aws":' + encode(directive) + b"," + encode(members)[1:]


def write_lines(lines: Iterable[bytes], to: TextIO) -> None:
    """Write lines to standard output, where Lambda reads them, `LINES_PER_WRITE` at a time."""
    remaining = iter(lines)
    while piece := list(islice(remaining, LINES_PER_WRITE)):
        to.write((b"\n".join(piece) + b"\n").decode())
    to.flush()
