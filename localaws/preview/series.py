"""Metrics, and their values over time."""

from collections.abc import Mapping

import msgspec


class Metric(msgspec.Struct, frozen=True, order=True):
    """A CloudWatch metric. Dimensions are pairs of name and value, sorted by name.

    `account` is the id of the linked account that owns it, and empty for a metric of the account itself.
    """

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...] = ()
    account: str = ""


class MetricStat(msgspec.Struct, frozen=True, order=True):
    """One statistic of a metric. `period` is in seconds."""

    metric: Metric
    stat: str
    period: int


class TimeRange(msgspec.Struct, frozen=True):
    """A time range from `start` to just before `end`, in seconds since 1970."""

    start: int
    end: int

    @property
    def seconds(self) -> int:
        """Return the length."""
        return self.end - self.start

    def moments(self, period: int) -> range:
        """Return the times at which the periods of this range begin."""
        return range(self.start - self.start % period, self.end, period)


class Series(msgspec.Struct, frozen=True):
    """Values by the start of their period in seconds, the earliest first. `source` is their metric."""

    period: int
    values: Mapping[int, float]
    source: MetricStat | None = None
