"""Measures everything that docs/performance.md says in figures and writes it there: `python -m benchmarks`."""

import argparse
import os
import platform
import re
import statistics
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

import msgspec

from bedrock_quota import registry
from benchmarks import client_side, cold_start, growth, price
from benchmarks.contenders import CONTENDERS
from benchmarks.mixes import all_mixes
from benchmarks.timing import Measured, interleaved

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
GROWTH = ROOT / "docs" / "images" / "growth.svg"

RECORDS_A_TIMING = 300
"""Small deliveries are run so often that one timing covers about so many records."""

PACKAGES = ("msgspec", "isal", "pybase64", "aws-lambda-powertools", "pydantic", "boto3")


def main() -> None:
    """Measure, and write the figures into the page, each table between its marks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("--seconds", type=float, default=200, help="for all timed runs together, about (200)")
    seconds = parser.parse_args().seconds
    started = time.monotonic()
    tables = {
        "hot path": "\n".join(_hot_path(seconds * 0.6)),
        "cold start": "\n".join(_cold_start(max(3, round(seconds / 12)))),
        "price": "\n".join(_price()),
        "growth": "\n".join(_growth(seconds * 0.15)),
    }
    tables["machine"] = _machine(time.monotonic() - started)
    page = PAGE.read_text(encoding="utf-8")
    for name, table in tables.items():
        page, found = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)",
            lambda marks, table=table: f"{marks[1]}{table}\n{marks[2]}",  # type: ignore[misc]
            page,
            flags=re.DOTALL,
        )
        if found != 1:
            raise LookupError(f"{PAGE} has no place for {name}, or several")
        print(f"\n{table}")
    PAGE.write_text(page, encoding="utf-8")


def _hot_path(seconds: float) -> Iterator[str]:
    names = [name for name in CONTENDERS if name != "floor"]
    yield "| delivery | floor, µs a record | " + " | ".join(names) + " | Powertools, to this project |"
    yield "|---" * (len(names) + 3) + "|"
    mixes = all_mixes()
    for mix, (count, event) in mixes.items():
        runs = {name: lambda run=run, event=event: run(event) for name, run in CONTENDERS.items()}
        taken = interleaved(runs, times=max(1, RECORDS_A_TIMING // count), seconds=seconds / len(mixes))
        floor = taken["floor"].median
        ratios = [f"{taken[name].median / floor:.2f} ±{taken[name].spread:.0%}" for name in names]
        yield f"| {mix} | {_microseconds(taken['floor'], count)} | " + " | ".join(ratios) + f" | {_gain(taken)} |"


def _microseconds(taken: Measured, count: int) -> str:
    return f"{taken.median / count * 1e6:.1f} ±{taken.spread:.0%}"


def _gain(taken: Mapping[str, Measured]) -> str:
    return f"{taken['Powertools data classes + metrics'].median / taken['this project'].median:.1f}"


def _cold_start(rounds: int) -> Iterator[str]:
    starts = cold_start.measure(rounds)
    boto3 = starts["import boto3"].seconds.median
    yield "| a process that does | CPU, ms | to `import boto3` | modules imported |"
    yield "|---|---|---|---|"
    for name, start in starts.items():
        took = start.seconds.median
        yield f"| {name} | {took * 1e3:.0f} ±{start.seconds.spread:.0%} | {took / boto3:.2f} | {start.modules} |"
    yield ""
    yield f"Of it, loading the compiled registry: {_registry_milliseconds(rounds):.2f} ms."


def _registry_milliseconds(rounds: int) -> float:
    """Time what the registry adds to a cold start: decoding it and its first look-ups."""
    compiled = msgspec.json.encode(registry.read_sources(ROOT / "registry" / "models"))
    times = []
    for _ in range(rounds):
        start = time.process_time()
        loaded = registry.load(compiled)
        loaded.find(loaded.models[0].id)
        loaded.provider_of(loaded.models[0].id)
        times.append(time.process_time() - start)
    return statistics.median(times) * 1000


def _price() -> Iterator[str]:
    yield "| calls a delivery | metric lines, bytes a call | $ a million calls | … without detection | made up of |"
    yield "|---|---|---|---|---|"
    for row in price.rows():
        yield (
            f"| {row.deliveries} | {row.line_bytes:,.0f} | {row.with_detection:.2f} "
            f"| {row.without_detection:.2f} | {row.parts} |"
        )
    side = client_side.measure()
    yield ""
    yield (
        "A client that calls put_metric_data after each call, to an endpoint on this machine that answers at once: "
        f"{side.wall * 1e3:.2f} ms that the application waits, {side.cpu * 1e3:.2f} ms of its CPU, "
        "and $10.00 a million calls."
    )


def _growth(seconds: float) -> Iterator[str]:
    measured = {}
    yield "| what grows | from, to | besides | steepest: CPU | memory | lines | at the end |"
    yield "|---|---|---|---|---|---|---|"
    for axis in growth.AXES:
        points = growth.measure(axis, seconds / len(growth.AXES))
        measured[f"{axis.what} a delivery" if axis.what != "bytes of a body" else axis.what] = points
        slopes = " | ".join(f"{growth.steepest(points, of):.2f}" for _, of in growth.QUANTITIES.values())
        end = points[-1]
        yield (
            f"| {axis.what} | {axis.xs[0]:,}, {axis.xs[-1]:,} | {axis.fixed} | {slopes} "
            f"| {end.seconds * 1e3:.1f} ms, {end.memory / 1e6:.1f} MB, {end.lines:,} lines |"
        )
    growth.draw(measured, GROWTH)


def _machine(seconds: float) -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    load = os.getloadavg()[1]
    return (
        f"{platform.python_implementation()} {platform.python_version()} on {platform.machine()}, "
        f"{os.cpu_count()} processors, load {load:.1f} in the end; {packages}. Taken in {seconds:.0f} s."
    )


if __name__ == "__main__":
    main()
