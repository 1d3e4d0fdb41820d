"""Paired timing: all contenders in turn, round after round, so that what else the machine does meets all alike."""

import statistics
import time
from collections.abc import Callable, Mapping

import msgspec


class Measured(msgspec.Struct, frozen=True):
    """CPU seconds of one thing: the median of all rounds, and half the distance between the quartiles, relative."""

    median: float
    spread: float


def interleaved(runs: Mapping[str, Callable[[], object]], *, times: int, seconds: float) -> dict[str, Measured]:
    """Run each `times` in a row, in turn, until `seconds` are over; at least five rounds. CPU seconds of one run."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    end = time.monotonic() + seconds
    while len(next(iter(taken.values()))) < 5 or time.monotonic() < end:
        for name, run in runs.items():
            start = time.process_time()
            for _ in range(times):
                run()
            taken[name].append((time.process_time() - start) / times)
    return {name: summary(each) for name, each in taken.items()}


def summary(values: list[float]) -> Measured:
    """Return the median of measured values and their spread."""
    low, middle, high = statistics.quantiles(values, n=4)
    return Measured(middle, (high - low) / 2 / middle)
