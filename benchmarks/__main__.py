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

from bedrock_quota.processor import large_bodies
from bedrock_quota.registry.models import load_registry
from bedrock_quota.registry.sources import read_sources
from benchmarks import client_side, cold_start, growth, handler, memory, mixes, price, timing
from benchmarks.client_side import ClientSide
from benchmarks.contenders import FLOOR, GROUPED, OURS, USUAL, contenders
from benchmarks.handler import Cost
from benchmarks.processor import Processor
from benchmarks.timing import Taken, interleaved
from quota_monitor import cost

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
README = ROOT / "README.md"
GROWTH = ROOT / "docs" / "images" / "growth.svg"

AGENT = "100 agent turns of 60-100 KB"
CHAT = "1,000 chat records of 1.9 KB"
ONE = "1 chat record"

PACKAGES = ("msgspec", "isal", "pybase64", "aws-lambda-powertools", "pydantic", "boto3")

Hot = Mapping[str, tuple[int, Mapping[str, Taken]]]
"""By mix: how many records a timing covered, and the seconds of each contender."""


def main() -> None:
    """Measure, and write the figures into the page and the README, each table between its marks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("--seconds", type=float, default=200, help="for all timed runs together, about (200)")
    seconds = parser.parse_args().seconds
    print(f"on Python {platform.python_version()}", flush=True)
    started = time.monotonic()
    hot, side = _measure_mixes(seconds * 0.5), client_side.measure()
    costs = handler.measure(seconds * 0.15)
    tables = {
        "hot path": "\n".join([*hot_path(hot), "", beside(hot, side, costs)]),
        "handler": "\n".join(of_handler(costs)),
        "cold start": "\n".join(_cold_start(max(3, round(seconds / 20)))),
        "price": "\n".join([*of_price(costs), "", agents(hot), "", client(side)]),
        "memory sizes": "\n".join(memory_sizes(costs[10].on.median, _worst_peak())),
        "growth": "\n".join(_growth(seconds * 0.15)),
    }
    tables["machine"] = _machine(time.monotonic() - started)
    for table in tables.values():
        print(f"\n{table}")
    _put(PAGE, tables)
    _put(README, {"speed": "\n".join(speed(hot))})


def _put(page: Path, tables: Mapping[str, str]) -> None:
    text = page.read_text(encoding="utf-8")
    for name, table in tables.items():
        text, found = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)",
            lambda marks, table=table: f"{marks[1]}{table}\n{marks[2]}",  # type: ignore[misc]
            text,
            flags=re.DOTALL,
        )
        if found != 1:
            raise LookupError(f"{page} has no place for {name}, or several")
    page.write_text(text, encoding="utf-8")


def _measure_mixes(seconds: float) -> Hot:
    found = {}
    all_mixes, ours = mixes.all_mixes(), Processor()
    for name, mix in all_mixes.items():
        runs = {
            of: lambda run=run, mix=mix: [run(event) for event in mix.events]  # type: ignore[misc]
            for of, run in contenders(ours).items()
        }
        # What is timed finds none of its records in the container's memory, which is full.
        taken = interleaved(runs, seconds=seconds / len(all_mixes), before=ours.remember_others)
        found[name] = mix.count * len(mix.events), taken
    return found


def hot_path(hot: Hot) -> Iterator[str]:
    """Yield the table of all contenders: ratios to the floor, each of the same round."""
    names = [name for name in next(iter(hot.values()))[1] if name != FLOOR]
    yield "| delivery | floor, µs a record | " + " | ".join(names) + " | usual Powertools, to this project |"
    yield "|---" * (len(names) + 3) + "|"
    for mix, (records, taken) in hot.items():
        floor = timing.summary([each / records * 1e6 for each in taken[FLOOR]])
        ratios = [str(timing.ratio(taken[name], taken[FLOOR])) for name in names]
        gain = timing.ratio(taken[USUAL], taken[OURS])
        yield f"| {mix} | {floor.median:.1f} ±{floor.spread:.0%} | " + " | ".join(ratios) + f" | {gain.median:.1f} |"


def speed(hot: Hot) -> Iterator[str]:
    """Yield the README's table: the same ratios, of fewer contenders and without their spread."""
    names = (OURS, "standard library", GROUPED, USUAL)
    yield "| delivery | " + " | ".join(names) + " |"
    yield "|---" * (len(names) + 1) + "|"
    for mix, (_, taken) in hot.items():
        ratios = [f"{timing.ratio(taken[name], taken[FLOOR]).median:.2f}" for name in names]
        yield f"| {mix} | " + " | ".join(ratios) + " |"


def seconds_a_record(hot: Hot, mix: str, of: str = OURS) -> float:
    """Return the median CPU seconds of a record."""
    records, taken = hot[mix]
    return statistics.median(taken[of]) / records


def beside(hot: Hot, side: ClientSide, costs: Mapping[int, Cost]) -> str:
    """Say what is above the floor, and what a client's own call takes."""
    above = [
        (seconds_a_record(hot, mix) - seconds_a_record(hot, mix, FLOOR)) * 1e6 for mix in (CHAT, "10 chat records", ONE)
    ]
    return (
        f"Above the floor, a record: {above[0]:.1f} µs in deliveries of 1,000, {above[1]:.1f} µs of 10, "
        f"{above[2]:.0f} µs of 1. A client's own put_metric_data takes {side.cpu * 1e6:,.0f} µs of CPU a call: "
        f"{side.cpu / seconds_a_record(hot, ONE):.0f} times what a delivery of 1 record takes here, "
        f"{side.cpu / (costs[1].on.median):.1f} times with duplicate detection."
    )


def of_handler(costs: Mapping[int, Cost]) -> Iterator[str]:
    """Yield the table of whole deliveries; the durations of `prices.toml` follow from it."""
    yield "| records a delivery | detection off, ms | detection on, ms |"
    yield "|---|---|---|"
    for records, each in costs.items():
        off, on = (f"{way.median * 1e3:.3f} ±{way.spread:.0%}" for way in (each.off, each.on))
        yield f"| {records:,} | {off} | {on} |"


def _cold_start(rounds: int) -> Iterator[str]:
    yield "| a process that does | CPU, ms | above an empty handler, ms | to `import boto3` | modules | at 256 MB, s |"
    yield "|---|---|---|---|---|---|"
    for name, start in cold_start.measure(rounds).items():
        took = start.seconds
        yield (
            f"| {name} | {took.median * 1e3:.0f} ±{took.spread:.0%} | {start.above * 1e3:.0f} | {start.to_boto3:.2f} "
            f"| {start.modules} "
            f"| {price.billed_seconds(took.median, cost.memory_gigabytes() * 1024):.1f} |"
        )
    yield ""
    yield f"Of it, loading the compiled registry: {_registry_milliseconds(rounds):.2f} ms."


def _registry_milliseconds(rounds: int) -> float:
    """Time what the registry adds to a cold start: decoding it and its first look-ups."""
    compiled = msgspec.json.encode(read_sources(ROOT / "registry" / "models"))
    times = []
    for _ in range(rounds):
        start = time.process_time()
        loaded = load_registry(compiled)
        loaded.find(loaded.models[0].id)
        loaded.find_provider(loaded.models[0].id)
        times.append(time.process_time() - start)
    return statistics.median(times) * 1000


def of_price(costs: Mapping[int, Cost]) -> Iterator[str]:
    """Yield the table of a million calls, with the CPU that was measured."""
    yield (
        "| calls a delivery | CPU, ms per 1,000 calls | … without detection | metric lines, bytes a call "
        "| $ a million calls | … without detection | made up of |"
    )
    yield "|---|---|---|---|---|---|---|"
    for row in price.rows():
        # CPU was measured on calls of all kinds
        each = costs[row.calls] if row.deliveries != price.ONE_KIND else None
        cpu = [f"{way.median / row.calls * 1e6:,.0f}" for way in (each.on, each.off)] if each else ["", ""]
        yield (
            f"| {row.deliveries} | {cpu[0]} | {cpu[1]} | {row.line_bytes:,.0f} | {row.with_detection:.2f} "
            f"| {row.without_detection:.2f} | {row.parts} |"
        )


def agents(hot: Hot) -> str:
    """Say what larger calls cost more."""
    chat, agent = seconds_a_record(hot, CHAT), seconds_a_record(hot, AGENT)
    memory_megabytes = cost.memory_gigabytes() * 1024
    more = price.billed_seconds(agent - chat, memory_megabytes)
    dollars = price.lambda_dollars(more, memory_megabytes, price.CALLS)
    return (
        f"These are calls of 1.9 KB. An agent turn of 60-100 KB takes {agent * 1e6:.0f} µs of CPU instead of "
        f"{chat * 1e6:.0f}, which adds ${dollars:.2f} a million calls."
    )


def client(side: ClientSide) -> str:
    """Say what a client's own call takes and costs."""
    return (
        "A client that calls put_metric_data after each call, to an endpoint on this machine that answers at once: "
        f"{side.wall * 1e3:.2f} ms that the application waits, {side.cpu * 1e3:.2f} ms of its CPU, "
        "and $10.00 a million calls."
    )


def _worst_peak() -> int:
    """Return the most memory that was found, in bytes: bodies in S3, in a container that remembers hostile names."""
    worst = memory.filled(memory.MESSAGES["small records whose body is in S3"])
    with memory.bodies_in_s3(large_bodies.MAX_BODY_BYTES) as environment:
        runs = memory.run([*memory.hostile_names(), worst], memory.ENVIRONMENT | environment, memory.UNLIMITED)
    return runs[-1].resident


def memory_sizes(cpu: float, worst_peak: int) -> Iterator[str]:
    """Yield the table of memory sizes: what a million calls cost, and whether the worst delivery fits."""
    yield "| memory, MB | a delivery of ten, ms | Lambda, $ a million calls | all, $ | left by the worst delivery |"
    yield "|---|---|---|---|---|"
    for size in price.sizes(cpu):
        left = size.megabytes - worst_peak / 2**20
        yield (
            f"| {size.megabytes:,} | {size.milliseconds:.0f} | {size.of_lambda:.3f} | {size.dollars:.3f} "
            f"| {f'{left:,.0f} MB' if left > 0 else 'does not fit'} |"
        )


def _growth(seconds: float) -> Iterator[str]:
    measured = {}
    yield "| what grows | from, to | besides | steepest: CPU | memory | lines | at the end | the first of a container |"
    yield "|---|---|---|---|---|---|---|---|"
    for axis in growth.AXES:
        points = growth.measure(axis, seconds / len(growth.AXES))
        measured[f"{axis.what} a delivery" if axis.what != "bytes of a body" else axis.what] = points
        cpu, *others = (growth.told(growth.steepest(points, of)) for _, of in growth.QUANTITIES.values())
        end = points[-1]
        yield (
            f"| {axis.what} | {axis.xs[0]:,}, {axis.xs[-1]:,} | {axis.fixed} "
            f"| {cpu} ±{growth.noise(points):.2f} | {' | '.join(others)} "
            f"| {end.seconds * 1e3:.1f} ms, {end.memory / 1e6:.1f} MB, {end.lines:,} lines "
            f"| {growth.first(axis).median * 1e3:.1f} ms |"
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
