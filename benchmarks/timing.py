"""Paired timing: all contenders in turn, round after round, so that what else the machine does meets all alike."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

Taken = Sequence[float]
"""CPU seconds of one thing, in each of the rounds."""

LEAST_ROUNDS = 5


class Measured(msgspec.Struct, frozen=True):
    """The median of all rounds, and half the distance between the quartiles, relative to it."""

    median: float
    spread: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ±{self.spread:.0%}"


def interleaved(
    runs: Mapping[str, Callable[[], object]],
    *,
    seconds: float,
    before: Callable[[], object] = lambda: None,
    cpu: Callable[[], float] = time.process_time,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Taken]:
    """Run each in turn until `seconds` are over, at least five rounds. `before` each run is not timed."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        before()
        run()
    end = clock() + seconds
    while len(next(iter(taken.values()))) < LEAST_ROUNDS or clock() < end:
        for name, run in runs.items():
            before()
            start = cpu()
            run()
            taken[name].append(cpu() - start)
    return dict(taken)


def summary(values: Sequence[float]) -> Measured:
    """Return the median of measured values and their spread."""
    low, middle, high = statistics.quantiles(values, n=4)
    return Measured(middle, (high - low) / 2 / middle)


def ratio(taken: Taken, to: Taken) -> Measured:
    """Return how many times as long one took as another in the same round: what slows a round down slows both."""
    return summary([one / other for one, other in zip(taken, to, strict=True)])
