"""Time contenders in pairs: all in turn, round after round, so that other load on the machine affects all equally."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

Taken = Sequence[float]
"""CPU seconds of one contender in each round."""

LEAST_ROUNDS = 5


class Measured(msgspec.Struct, frozen=True):
    """The median of all rounds, and half the interquartile range relative to it."""

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
    """Run each in turn for `seconds` and at least five rounds. `before` runs before each and is not timed."""
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
    """Return the median of values and their spread."""
    low, middle, high = statistics.quantiles(values, n=4)
    return Measured(middle, (high - low) / 2 / middle)


def ratio(taken: Taken, to: Taken) -> Measured:
    """Return the ratio of two contenders in the same round, in which other load affects both."""
    return summary([one / other for one, other in zip(taken, to, strict=True)])
