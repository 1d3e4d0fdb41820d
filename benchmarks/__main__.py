"""Measure every figure in docs/performance.md and write it there: `python -m benchmarks`."""

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
from benchmarks import analyze, client_side, cold_start, growth, handler, memory, mixes, price, timing
from benchmarks.client_side import ClientSide
from benchmarks.contenders import FLOOR, GROUPED, OURS, USUAL, contenders
from benchmarks.handler import Cost
from benchmarks.processor import Processor
from benchmarks.timing import Taken, interleaved
from quota_monitor.cost import bill

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
GROWTH = ROOT / "docs" / "images" / "growth.svg"

AGENT = "100 agent turns of 60-100 KB"
CHAT = "1,000 chat records of 1.9 KB"
ONE = "1 chat record"

PACKAGES = ("msgspec", "isal", "pybase64", "aws-lambda-powertools", "pydantic", "boto3")

Hot = Mapping[str, tuple[int, Mapping[str, Taken]]]
"""By mix: the number of records per timing, and the seconds of each contender."""


def main() -> None:
    """Measure, and write each table between its marks in the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("--seconds", type=float, default=200, help="approximate time for all timed runs together (200)")
    seconds = parser.parse_args().seconds
    print(f"on Python {platform.python_version()}", flush=True)
    started = time.monotonic()
    hot, side = _measure_mixes(seconds * 0.4), client_side.measure()
    costs = handler.measure(seconds * 0.15)
    tables = {
        "speed": "\n".join(speed(hot)),
        "hot path": "\n".join([*hot_path(hot), "", beside(hot, side, costs)]),
        "handler": "\n".join(render_handler_table(costs)),
        "cold start": "\n".join(_cold_start(max(3, round(seconds / 20)))),
        "price": "\n".join([*render_price_table(costs), "", agents(hot), "", client(side)]),
        "memory sizes": "\n".join(memory_sizes(costs[10].on.median, _worst_peak())),
        "growth": "\n".join(_growth(seconds * 0.15)),
        "analyze": "\n".join(analyze.rows(seconds * 0.1)),
    }
    tables["machine"] = _machine(time.monotonic() - started)
    for table in tables.values():
        print(f"\n{table}")
    _put(PAGE, tables)


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
            raise LookupError(f"{page} must have exactly one place for {name}")
    page.write_text(text, encoding="utf-8")


def _measure_mixes(seconds: float) -> Hot:
    found = {}
    all_mixes, ours = mixes.all_mixes(), Processor()
    for name, mix in all_mixes.items():
        runs = {
            contender: lambda run=run, mix=mix: [run(event) for event in mix.events]
            for contender, run in contenders(ours).items()
        }
        # The container's memory is full of other events, so no timed record is a duplicate.
        taken = interleaved(runs, seconds=seconds / len(all_mixes), before=ours.remember_others)
        found[name] = mix.count * len(mix.events), taken
    return found


def hot_path(hot: Hot) -> Iterator[str]:
    """Yield the table of all contenders, as ratios to the floor of the same round."""
    names = [name for name in next(iter(hot.values()))[1] if name != FLOOR]
    yield "| delivery | floor, µs per record | " + " | ".join(names) + " | usual Powertools / this project |"
    yield "|---" * (len(names) + 3) + "|"
    for mix, (records, taken) in hot.items():
        floor = timing.summary([each / records * 1e6 for each in taken[FLOOR]])
        ratios = [str(timing.ratio(taken[name], taken[FLOOR])) for name in names]
        gain = timing.ratio(taken[USUAL], taken[OURS])
        yield f"| {mix} | {floor.median:.1f} ±{floor.spread:.0%} | " + " | ".join(ratios) + f" | {gain.median:.1f} |"


def speed(hot: Hot) -> Iterator[str]:
    """Yield the short table: the same ratios for fewer contenders, without their spread."""
    names = (OURS, "standard library", GROUPED, USUAL)
    yield "| delivery | " + " | ".join(names) + " |"
    yield "|---" * (len(names) + 1) + "|"
    for mix, (_, taken) in hot.items():
        ratios = [f"{timing.ratio(taken[name], taken[FLOOR]).median:.2f}" for name in names]
        yield f"| {mix} | " + " | ".join(ratios) + " |"


def seconds_per_record(hot: Hot, mix: str, contender: str = OURS) -> float:
    """Return the median CPU seconds per record."""
    records, taken = hot[mix]
    return statistics.median(taken[contender]) / records


def beside(hot: Hot, side: ClientSide, costs: Mapping[int, Cost]) -> str:
    """Describe the time above the floor, and the time of a client's own call."""
    above = [
        (seconds_per_record(hot, mix) - seconds_per_record(hot, mix, FLOOR)) * 1e6
        for mix in (CHAT, "10 chat records", ONE)
    ]
    return (
        f"Above the floor, a record takes {above[0]:.1f} µs in deliveries of 1,000 records, {above[1]:.1f} µs in "
        f"deliveries of 10, and {above[2]:.0f} µs in deliveries of 1. A client's own put_metric_data call takes "
        f"{side.cpu * 1e6:,.0f} µs of CPU. This is {side.cpu / seconds_per_record(hot, ONE):.0f} times the CPU of a "
        f"delivery of 1 record, or {side.cpu / (costs[1].on.median):.1f} times with duplicate detection."
    )


def render_handler_table(costs: Mapping[int, Cost]) -> Iterator[str]:
    """Yield the table of whole deliveries. The durations in `prices.toml` come from it."""
    yield "| records per delivery | detection off, ms | detection on, ms |"
    yield "|---|---|---|"
    for records, each in costs.items():
        off, on = (f"{way.median * 1e3:.3f} ±{way.spread:.0%}" for way in (each.off, each.on))
        yield f"| {records:,} | {off} | {on} |"


def _cold_start(rounds: int) -> Iterator[str]:
    yield "| process | CPU, ms | above an empty handler, ms | ratio to `import boto3` | modules | at 256 MB, s |"
    yield "|---|---|---|---|---|---|"
    for name, start in cold_start.measure(rounds).items():
        took = start.seconds
        yield (
            f"| {name} | {took.median * 1e3:.0f} ±{took.spread:.0%} | {start.above * 1e3:.0f} | {start.to_boto3:.2f} "
            f"| {start.modules} "
            f"| {price.billed_seconds(took.median, bill.memory_gigabytes() * 1024):.1f} |"
        )
    yield ""
    yield f"Loading the compiled registry takes {_registry_milliseconds(rounds):.2f} ms of it."


def _registry_milliseconds(rounds: int) -> float:
    """Measure the registry's part of a cold start: decoding, and the first look-ups."""
    compiled = msgspec.json.encode(read_sources(ROOT / "registry" / "models"))
    times = []
    for _ in range(rounds):
        start = time.process_time()
        loaded = load_registry(compiled)
        loaded.find(loaded.models[0].id)
        loaded.find_provider(loaded.models[0].id)
        times.append(time.process_time() - start)
    return statistics.median(times) * 1000


def render_price_table(costs: Mapping[int, Cost]) -> Iterator[str]:
    """Yield the price of a million calls, with the measured CPU."""
    yield (
        "| calls per delivery | CPU, ms per 1,000 calls | … without detection | metric lines, bytes per call "
        "| $ per million calls | … without detection | breakdown |"
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
    """Describe the additional price of larger calls."""
    chat, agent = seconds_per_record(hot, CHAT), seconds_per_record(hot, AGENT)
    memory_megabytes = bill.memory_gigabytes() * 1024
    more = price.billed_seconds(agent - chat, memory_megabytes)
    dollars = price.lambda_dollars(more, memory_megabytes, price.CALLS)
    return (
        f"These are calls of 1.9 KB. An agent turn of 60-100 KB takes {agent * 1e6:.0f} µs of CPU instead of "
        f"{chat * 1e6:.0f}, which adds ${dollars:.2f} per million calls."
    )


def client(side: ClientSide) -> str:
    """Describe the time and the price of a client's own call."""
    return (
        "A client can call put_metric_data after each Bedrock call instead. With an endpoint on this machine that "
        f"answers at once, its application waits {side.wall * 1e3:.2f} ms and uses {side.cpu * 1e3:.2f} ms of CPU. "
        "The price is $10.00 per million calls."
    )


def _worst_peak() -> int:
    """Return the highest memory peak in bytes: bodies in S3, and a container that remembers hostile names."""
    worst = memory.filled(memory.MESSAGES["small records whose body is in S3"])
    with memory.bodies_in_s3(large_bodies.MAX_BODY_BYTES) as environment:
        runs = memory.run([*memory.hostile_names(), worst], memory.ENVIRONMENT | environment, memory.UNLIMITED)
    return runs[-1].resident


def memory_sizes(cpu: float, worst_peak: int) -> Iterator[str]:
    """Yield the table of memory sizes: the price of a million calls, and the memory that the worst delivery leaves."""
    yield "| memory, MB | delivery of ten, ms | Lambda, $ per million calls | total, $ | left by the worst delivery |"
    yield "|---|---|---|---|---|"
    for size in price.sizes(cpu):
        left = size.megabytes - worst_peak / 2**20
        yield (
            f"| {size.megabytes:,} | {size.milliseconds:.0f} | {size.lambda_dollars:.3f} | {size.dollars:.3f} "
            f"| {f'{left:,.0f} MB' if left > 0 else 'does not fit'} |"
        )


def _growth(seconds: float) -> Iterator[str]:
    measured = {}
    yield "| what grows | from, to | fixed | steepest: CPU | memory | lines | largest delivery | first of a container |"
    yield "|---|---|---|---|---|---|---|---|"
    for axis in growth.AXES:
        points = growth.measure(axis, seconds / len(growth.AXES))
        measured[f"{axis.what} per delivery" if axis.what != "bytes of a body" else axis.what] = points
        cpu, *others = (
            growth.format_slope(growth.steepest(points, quantity)) for _, quantity in growth.QUANTITIES.values()
        )
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
        f"{os.cpu_count()} processors, load {load:.1f} at the end, {packages}. Measured in {seconds:.0f} s."
    )


if __name__ == "__main__":
    main()
