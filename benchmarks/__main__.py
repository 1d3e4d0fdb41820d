"""Prints a table: CPU per record of each contender on each mix, and its ratio to the floor of the same run."""

import argparse
import platform
import statistics
import time
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bedrock_quota import registry
from benchmarks.contenders import CONTENDERS, Event
from benchmarks.mixes import all_mixes

RECORDS_A_TIMING = 300
"""Small deliveries are run so often that one timing covers about so many records."""


def measure(event: Event, count: int, rounds: int) -> dict[str, list[float]]:
    """Time every contender on one event of `count` records, interleaved; return CPU seconds a record for each round."""
    runs = max(1, RECORDS_A_TIMING // count)
    times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for run in CONTENDERS.values():
        run(event)
    for _ in range(rounds):
        for name, run in CONTENDERS.items():
            start = time.process_time()
            for _ in range(runs):
                run(event)
            times[name].append((time.process_time() - start) / runs / count)
    return times


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="measured rounds of each contender (30)")
    rounds = parser.parse_args().rounds
    console = Console()
    table = Table(title=f"CPU per record, median of {rounds} interleaved rounds, Python {platform.python_version()}")
    for heading in ("mix", "contender", "µs a record", "spread", "to the floor"):
        table.add_column(heading, justify="left" if heading in {"mix", "contender"} else "right")
    for mix, (count, event) in all_mixes().items():
        floor = 0.0
        for name, seconds in measure(event, count, rounds).items():
            low, middle, high = statistics.quantiles(seconds, n=4)
            floor = floor or middle
            table.add_row(
                mix,
                name,
                f"{middle * 1e6:.1f}",
                f"±{(high - low) / 2 / middle:.0%}",
                f"{middle / floor:.2f}",
            )
        table.add_section()
    console.print(table)
    console.print(f"loading the compiled registry: {load_milliseconds(rounds):.2f} ms (median)")


def load_milliseconds(rounds: int) -> float:
    """Time what the registry adds to a cold start: decoding it and its first look-ups."""
    compiled = msgspec.json.encode(registry.read_sources(Path(__file__).parents[1] / "registry" / "models"))
    times = []
    for _ in range(rounds):
        start = time.process_time()
        loaded = registry.load(compiled)
        loaded.find(loaded.models[0].id)
        loaded.provider_of(loaded.models[0].id)
        times.append(time.process_time() - start)
    return statistics.median(times) * 1000


if __name__ == "__main__":
    main()
