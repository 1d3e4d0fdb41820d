"""Metrics, and the numbers of one over time."""

from collections.abc import Mapping

import msgspec


class Metric(msgspec.Struct, frozen=True, order=True):
    """A metric of CloudWatch; dimensions are pairs of name and value, in the order of their names."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...] = ()


class MetricStat(msgspec.Struct, frozen=True, order=True):
    """One statistic of a metric; `period` in seconds."""

    metric: Metric
    stat: str
    period: int


class TimeRange(msgspec.Struct, frozen=True):
    """From `start` to just before `end`, in seconds since 1970."""

    start: int
    end: int

    @property
    def seconds(self) -> int:
        """How long it is."""
        return self.end - self.start

    def moments(self, period: int) -> range:
        """Where the periods of this range begin."""
        return range(self.start - self.start % period, self.end, period)


class Series(msgspec.Struct, frozen=True):
    """Values by the second in which their period begins, the earliest first; `source` is the metric they come from."""

    period: int
    values: Mapping[int, float]
    source: MetricStat | None = None
