"""The states that CloudWatch gives an alarm of the template, from an account's metrics, by either reading of FILL."""

import math
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from localaws.preview import math_evaluation, metric_math, metrics_insights
from localaws.preview.math_evaluation import Inputs, Value
from localaws.preview.series import Metric, MetricStat, Series, TimeRange

Tree = dict[str, Any]
Held = Mapping[Metric, Mapping[int, Sequence[float]]]
"""The values of each metric by the second of their minute."""

FILLS_EMPTY = (True, False)
"""Readings of FILL for a metric that has no values at all: the page names none (using-metric-math.html, 2026-11-28)."""

FARTHER = range(4)
"""Periods that CloudWatch looks back beyond `EvaluationPeriods`: "a higher number", of which it says no more."""

_COMPARISONS = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
}
_STATISTICS = {"Sum": math.fsum, "SampleCount": len, "Minimum": min, "Maximum": max}


def state(alarm: Tree, points: Sequence[float | None]) -> str:
    """The state that points of the evaluation range, the newest last and None where there is none, give an alarm.

    "Configuring how CloudWatch alarms treat missing data" (CloudWatch User Guide, read 2026-11-24): where there are as
    many points as evaluation periods, the newest of them count, however old, and how to treat missing ones is ignored;
    else all there are count, and missing ones for the rest.
    """
    compare = _COMPARISONS[alarm["ComparisonOperator"]]
    n, treat = alarm["EvaluationPeriods"], alarm["TreatMissingData"]
    over = [compare(point, float(alarm["Threshold"])) for point in points if point is not None][-n:]
    if not over and treat == "missing":
        return "INSUFFICIENT_DATA"
    assert treat in {"breaching", "notBreaching"} or not any(over), "not needed here"
    breaching = sum(over) + (n - len(over) if treat == "breaching" else 0)
    return "ALARM" if breaching >= alarm.get("DatapointsToAlarm", n) else "OK"


def states(alarm: Tree, points: Sequence[float | None]) -> list[str]:
    """The states an alarm takes one period after the other, with nothing before the first."""
    n, found = alarm["EvaluationPeriods"], []
    for farther in FARTHER:
        padded = [None] * (n + farther) + list(points)
        found.append([state(alarm, padded[end - n - farther : end]) for end in range(n + farther + 1, len(padded) + 1)])
    assert all(each == found[0] for each in found), "depends on how far CloudWatch looks back"
    return found[0]


def contributors(
    alarm: Tree, held: Held, end: int, *, farther: int = 0, fills_empty: bool = True
) -> dict[tuple[str, ...], str]:
    """The state of each series of an alarm at the end of a minute, by the values of its groups.

    An alarm on one series has one, without values. The alarm's parameters are resolved.
    """
    period = _period(alarm)
    # An alarm's periods end with the minute of its evaluation. Those of metric math end with multiples of the period.
    shift = end % period
    moved = {metric: {at - shift: several for at, several in values.items()} for metric, values in held.items()}
    time_range = TimeRange(end - shift - period * (alarm["EvaluationPeriods"] + farther), end - shift)
    moments = time_range.moments(period)
    found = {}
    for series in _series(alarm, moved, time_range, fills_empty=fills_empty):
        key = tuple(value for _, value in series.source.metric.dimensions) if series.source else ()
        found[key] = state(alarm, [series.values.get(moment) for moment in moments])
    return found or {(): state(alarm, [None])}


def history(alarm: Tree, held: Held, minutes: Iterable[int], *, fills_empty: bool) -> list[str]:
    """The states of an alarm on one series at the end of these minutes, however far CloudWatch looks back."""
    found = [
        [contributors(alarm, held, end, farther=farther, fills_empty=fills_empty)[()] for end in minutes]
        for farther in FARTHER
    ]
    assert all(each == found[0] for each in found), "depends on how far CloudWatch looks back"
    return found[0]


def _period(alarm: Tree) -> int:
    queries = alarm.get("Metrics", [alarm])
    (period,) = {
        query.get("MetricStat", query)["Period"] for query in queries if "Period" in query.get("MetricStat", query)
    }
    return int(period)


def _series(alarm: Tree, held: Held, time_range: TimeRange, *, fills_empty: bool) -> tuple[Series, ...]:
    """The series that an alarm watches in a range."""
    period = _period(alarm)

    def read(wanted: Iterable[MetricStat]) -> dict[MetricStat, Series]:
        return {
            stat: Series(period, dict(_points(held.get(stat.metric, {}), stat, time_range)), stat) for stat in wanted
        }

    queries = alarm.get("Metrics") or [{"Id": "m", "MetricStat": {"Metric": alarm, "Stat": alarm["Statistic"]}}]
    rows: dict[str, Value] = {}
    metrics = []
    for query in queries:
        if "MetricStat" in query:
            stat = MetricStat(_metric(query["MetricStat"]["Metric"]), query["MetricStat"]["Stat"], period)
            rows[query["Id"]] = read([stat])[stat]
            metrics.append(query["Id"])
        elif metrics_insights.is_query(query["Expression"]):
            parsed = metrics_insights.parse(query["Expression"])
            several = metrics_insights.run(parsed, held, read, period)
            empty = Series(period, {})
            rows[query["Id"]] = several if parsed.groups else (several[0] if several else empty)
    for query in queries:
        if query["Id"] not in rows:
            inputs = Inputs(time_range, period, rows, tuple(metrics), fills_empty=fills_empty)
            rows[query["Id"]] = math_evaluation.evaluate(metric_math.parse(query["Expression"]), inputs)
    (watched,) = [rows[query["Id"]] for query in queries if query.get("ReturnData", True)]
    assert not isinstance(watched, float)
    return watched if isinstance(watched, tuple) else (Series(period, watched.values),)


def _metric(given: Tree) -> Metric:
    dimensions = sorted((each["Name"], each["Value"]) for each in given.get("Dimensions", []))
    return Metric(given["Namespace"], given["MetricName"], tuple(dimensions))


def _points(
    values: Mapping[int, Sequence[float]], stat: MetricStat, time_range: TimeRange
) -> Iterator[tuple[int, float]]:
    for moment in time_range.moments(stat.period):
        inside = [value for at, several in values.items() if moment <= at < moment + stat.period for value in several]
        if inside:
            yield moment, float(_STATISTICS[stat.stat](inside))
