"""Measure `quota-monitor analyze` on local files: CPU per record, the ratio to the floor, and peak memory.

The floor opens the file, splits it into lines, and makes one typed pass of msgspec over each. It shares no code with
the product. `python -m benchmarks.analyze --records 1000000` reads so many chat records once.
"""

import argparse
import itertools
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bedrock_quota.registry.sources import read_sources
from benchmarks import timing
from benchmarks.limited_run import peak
from benchmarks.timing import Measured, Taken
from localaws import traffic
from localaws.traffic import LogEvent
from quota_monitor.analyze.files import read_file
from quota_monitor.analyze.reader import RecordReader
from quota_monitor.analyze.scope import Scope
from quota_monitor.data_files import MODELS

Make = Callable[[int, datetime], list[LogEvent]]

MIXES: dict[str, tuple[Make, int]] = {
    "chat records of 1.9 KB": (traffic.chat, 10_000),
    "agent turns of 60-100 KB": (traffic.agent, 200),
}
"""The records of each mix, and how many different ones a file has."""

MEGABYTE = 2**20

_REQUEST_ID = re.compile(r'"requestId": ?"[^"]*"')

_FLOOR, _OURS = "floor", "analyze"


class _Counts(msgspec.Struct):
    input_tokens: int = msgspec.field(default=0, name="inputTokenCount")
    output_tokens: int = msgspec.field(default=0, name="outputTokenCount")


class _FloorRecord(msgspec.Struct):
    timestamp: str
    model_id: str = msgspec.field(name="modelId")
    input: _Counts
    output: _Counts


_decode = msgspec.json.Decoder(_FloorRecord).decode


class Result(msgspec.Struct, frozen=True):
    """The CPU of a record in microseconds, of the floor and as a ratio to it."""

    records: int
    floor: Measured
    ratio: Measured


class Run(msgspec.Struct, frozen=True):
    """One run in a process of its own: its records, its time in seconds, and its peak memory in bytes."""

    records: int
    wall: float
    cpu: float
    peak: int


def write_records(path: Path, make: Make, different: int, count: int) -> None:
    """Write so many records to a file, one per line. They repeat after `different` ones, but for the request id."""
    lines = [event.message for event in make(different, datetime.now(UTC).replace(second=45))]
    parts = [_REQUEST_ID.split(line, maxsplit=1) for line in lines]
    with path.open("w", encoding="utf-8") as file:
        for number, (before, after) in zip(range(count), itertools.cycle(parts), strict=False):
            file.write(f'{before}"requestId":"{number:08x}-0000-4000-8000-000000000000"{after}\n')


def read_floor(path: Path) -> int:
    """Read a file in the least time."""
    tokens = 0
    with path.open("rb") as file:
        for line in file:
            record = _decode(line)
            tokens += record.input.input_tokens + record.output.output_tokens
    return tokens


def read_records(path: Path) -> int:
    """Read a file as `analyze` does. Return the number of records."""
    reader = RecordReader(read_sources(MODELS), Scope(), may_repeat=True)
    reader.add_all(read_file(str(path)))
    reader.finish()
    reader.tally.measure({})
    return reader.counts.received


def measure(seconds: float) -> dict[str, Result]:
    """Measure each mix, in pairs with the floor."""
    found = {}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "records.json"
        for name, (make, count) in MIXES.items():
            write_records(path, make, count, count)
            taken: dict[str, Taken] = timing.interleaved(
                {_FLOOR: lambda: read_floor(path), _OURS: lambda: read_records(path)}, seconds=seconds / len(MIXES)
            )
            floor = timing.summary([each / count * 1e6 for each in taken[_FLOOR]])
            found[name] = Result(count, floor, timing.ratio(taken[_OURS], taken[_FLOOR]))
    return found


def run_apart(make: Make, different: int, count: int) -> Run:
    """Read so many records in a process of its own."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "records.json"
        write_records(path, make, different, count)
        ran = subprocess.run(
            [sys.executable, "-m", "benchmarks.analyze", "--read", str(path)], capture_output=True, check=True
        )
    return msgspec.json.decode(ran.stdout, type=Run)


def _read_here(path: Path) -> Run:
    began = time.monotonic()
    records = read_records(path)
    return Run(records, time.monotonic() - began, time.process_time(), peak("VmHWM"))


def rows(seconds: float) -> Iterator[str]:
    """Yield the table: CPU per record, and the memory of files of which one is ten times as long."""
    yield "| records | floor, µs per record | `analyze` / floor | peak memory, MB | … of ten times as many, MB |"
    yield "|---|---|---|---|---|"
    for name, found in measure(seconds).items():
        make, count = MIXES[name]
        few, many = (run_apart(make, count, times * count) for times in (1, 10))
        yield (
            f"| {name} | {found.floor.median:.1f} ±{found.floor.spread:.0%} | {found.ratio} "
            f"| {few.peak / MEGABYTE:.0f} | {many.peak / MEGABYTE:.0f} |"
        )


def main() -> None:
    """Read so many records of each mix once, or print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.analyze", description=main.__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="approximate time for all timed runs together (20)")
    parser.add_argument("--records", type=int, help="read so many chat records, and a tenth of agent turns")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read is not None:
        sys.stdout.write(msgspec.json.encode(_read_here(given.read)).decode())
        return
    if given.records is None:
        print("\n".join(rows(given.seconds)))
        return
    for (name, (make, count)), records in zip(MIXES.items(), (given.records, given.records // 10), strict=True):
        ran = run_apart(make, count, records)
        print(
            f"{ran.records:,} {name}: {ran.wall:.1f} s, {ran.cpu:.1f} s of CPU, {ran.peak / MEGABYTE:.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
