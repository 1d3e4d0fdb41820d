"""Metric lines of the processor's log, added up as CloudWatch adds up the values of their metrics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec

from bedrock_quota.analysis.usage import THROTTLED
from bedrock_quota.pools import EndpointType, QuotaPool
from quota_monitor.doctor.first_day.evidence import MetricLines, MetricValues, Total

SETTLED = timedelta(minutes=15)
"""Age of a line whose metrics must be there. CloudWatch documents no time, and its graphs are minutes behind."""

_BEGINNING = '{"_aws":'
_ANYWHERE = '"_aws":{"Timestamp":'
"""A metric line has its directive first or, with many values, after its properties."""

_TOLERANCE = 1e-6
"""Relative difference of two sums that is rounding."""

Values = float | list[float | None] | None


class LogEvent(msgspec.Struct, frozen=True):
    """A log event and the time when it was written."""

    at: datetime
    message: str


class Difference(msgspec.Struct, frozen=True):
    """Minutes in which metric lines and metrics are equal, and in which the metrics have less or more."""

    equal: int = 0
    less: int = 0
    more: int = 0


class _Directive(msgspec.Struct, frozen=True):
    timestamp: int = msgspec.field(name="Timestamp")


class _Line(msgspec.Struct, frozen=True):
    directive: _Directive = msgspec.field(name="_aws")
    processed: Values = msgspec.field(name="RecordsProcessed", default=None)
    lag: Values = msgspec.field(name="RecordLagSeconds", default=None)
    received: int = 0
    set_aside: int = 0
    error_codes: dict[str, int] = {}
    model_id: str = msgspec.field(name="ModelId", default="")
    endpoint_type: str = msgspec.field(name="EndpointType", default="")
    consumed: Values = msgspec.field(name="ConsumedTokens", default=None)
    operation: str = ""
    service_tier: str = ""
    project_identifier: str = ""


_decode = msgspec.json.Decoder(_Line).decode


def add_up(events: Iterable[LogEvent], since: datetime, until: datetime, *, whole: bool = True) -> MetricLines:
    """Add up metric lines per minute.

    Minutes before `since` are left out, because earlier lines may have added to them. So are minutes to which a line
    after `until` adds, because its metrics may not be there yet.
    """
    lines, broken = _read(events)
    open_minutes = {(_pool(line), _minute(line)) for at, line in lines if at > until}
    totals: dict[QuotaPool | None, dict[datetime, Total]] = defaultdict(dict)
    for at, line in lines:
        values = _as_list(line.consumed if _pool(line) else line.processed)
        key, minute = _pool(line), _minute(line)
        if values and at <= until and minute >= since and (key, minute) not in open_minutes:
            before = totals[key].get(minute, Total())
            totals[key][minute] = Total(before.total + sum(values), before.count + len(values))
    every = [line for _, line in lines]
    return MetricLines(
        processed=totals.pop(None, {}),
        consumed={pool: minutes for pool, minutes in totals.items() if pool is not None},
        whole=whole,
        since=since,
        broken=broken,
        lags=tuple(lag for line in every for lag in _as_list(line.lag)),
        throttled=sum(line.error_codes.get(THROTTLED, 0) for line in every),
        received=sum(line.received for line in every),
        set_aside=sum(line.set_aside for line in every),
        operations=frozenset(line.operation for line in every if line.operation),
        fields=frozenset(
            name for line in every for name in ("service_tier", "project_identifier") if getattr(line, name)
        ),
    )


def _read(events: Iterable[LogEvent]) -> tuple[list[tuple[datetime, _Line]], int]:
    lines, broken = [], 0
    for event in events:
        if not (event.message.startswith(_BEGINNING) or _ANYWHERE in event.message):
            continue
        try:
            line = _decode(event.message)
            _pool(line)
            _minute(line)
        except (msgspec.DecodeError, ValueError, OverflowError, OSError, RecursionError):
            broken += 1
            continue
        lines.append((event.at, line))
    return lines, broken


def _pool(line: _Line) -> QuotaPool | None:
    return QuotaPool(line.model_id, EndpointType(line.endpoint_type)) if line.model_id else None


def _minute(line: _Line) -> datetime:
    return datetime.fromtimestamp(line.directive.timestamp // 60_000 * 60, UTC)


def _as_list(values: Values) -> list[float]:
    return [each for each in (values if isinstance(values, list) else [values]) if each is not None]


def compare(lines: MetricLines, values: MetricValues) -> Difference:
    """Compare lines with metrics, minute by minute. Minutes that only the metrics have are left out."""
    pairs = [(lines.processed, values.processed)]
    pairs += [(minutes, values.consumed.get(pool, {})) for pool, minutes in lines.consumed.items()]
    found = [
        _compare(total, of_metric.get(minute, Total()))
        for of_lines, of_metric in pairs
        for minute, total in of_lines.items()
    ]
    return Difference(found.count(0), found.count(-1), found.count(1))


def _compare(line: Total, metric: Total) -> int:
    """Return -1 if the metric has less than the line, 1 if it has more, and 0 if both are equal."""
    difference = metric.total - line.total
    if abs(difference) <= _TOLERANCE * max(1.0, abs(line.total)):
        difference = 0.0
    apart = metric.count - line.count or difference
    return (apart > 0) - (apart < 0)
