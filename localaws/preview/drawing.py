"""A drawing: what a widget shows, worked out over the metrics, logs and alarms of one account, as plain JSON.

What a widget asks that cannot be drawn is named in the drawing's `problems`; it is never left out without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from localaws.preview import logs_insights, math_evaluation, metric_math, metric_search
from localaws.preview.errors import NotSupportedError, PreviewError
from localaws.preview.math_evaluation import Inputs, SearchCall, Value
from localaws.preview.series import Metric, MetricStat, Series, TimeRange

if TYPE_CHECKING:
    import boto3

Drawing = dict[str, Any]

MAX_QUERIES = 500
"""Of one GetMetricData call (API reference, read 2026-11-23)."""

CHARTS = frozenset({"timeSeries", "bar", "gauge", "singleValue", "table", "pie"})
_LABEL = re.compile(r"\$\{([^}]+)\}")


class Reader:
    """Reads the metrics, logs and alarms of one account."""

    def __init__(self, session: boto3.Session) -> None:
        self._cloudwatch = session.client("cloudwatch")
        self._logs = session.client("logs")

    def find(self, search: metric_search.Search) -> tuple[Metric, ...]:
        """Return the metrics that a search finds."""
        return metric_search.find(search, self.metrics(search.schema.namespace if search.schema else None))

    def metrics(self, namespace: str | None) -> list[Metric]:
        """Return all metrics of a namespace, or of all."""
        given: Any = {"Namespace": namespace} if namespace else {}
        return [
            Metric(
                metric["Namespace"],
                metric["MetricName"],
                tuple(sorted((each["Name"], each["Value"]) for each in metric["Dimensions"])),
            )
            for page in self._cloudwatch.get_paginator("list_metrics").paginate(**given)
            for metric in page["Metrics"]
        ]

    def series(self, wanted: Iterable[MetricStat], time_range: TimeRange) -> dict[MetricStat, Series]:
        """Return the series of these statistics."""
        stats = list(dict.fromkeys(wanted))
        found: dict[MetricStat, dict[int, float]] = {stat: {} for stat in stats}
        for start in range(0, len(stats), MAX_QUERIES):
            part = {f"q{number}": stat for number, stat in enumerate(stats[start : start + MAX_QUERIES])}
            queries: Any = [{"Id": query_id, "MetricStat": _asked(stat)} for query_id, stat in part.items()]
            pages = self._cloudwatch.get_paginator("get_metric_data").paginate(
                MetricDataQueries=queries,
                StartTime=datetime.fromtimestamp(time_range.start, UTC),
                EndTime=datetime.fromtimestamp(time_range.end, UTC),
            )
            for page in pages:
                for result in page["MetricDataResults"]:
                    points = zip(result["Timestamps"], result["Values"], strict=True)
                    found[part[result["Id"]]].update((int(at.timestamp()), value) for at, value in points)
        return {stat: Series(stat.period, dict(sorted(values.items())), stat) for stat, values in found.items()}

    def events(self, groups: Iterable[str], time_range: TimeRange) -> Iterator[dict[str, Any]]:
        """Yield the fields of every log event of these groups."""
        for group in groups:
            pages = self._logs.get_paginator("filter_log_events").paginate(
                logGroupName=group, startTime=time_range.start * 1000, endTime=time_range.end * 1000
            )
            for page in pages:
                for event in page["events"]:
                    yield logs_insights.row_of(event)

    def alarms(self, arns: Iterable[str]) -> list[dict[str, str]]:
        """Return name, state and reason of these alarms."""
        names = [arn.rpartition(":alarm:")[2] for arn in arns]
        found = {
            alarm["AlarmName"]: alarm
            for page in self._cloudwatch.get_paginator("describe_alarms").paginate(AlarmNames=names)
            for alarm in page["MetricAlarms"]
        }
        return [
            {
                "name": name,
                "state": found[name]["StateValue"] if name in found else "NOT FOUND",
                "reason": found[name].get("StateReason", "") if name in found else "",
            }
            for name in names
        ]


def _asked(stat: MetricStat) -> dict[str, Any]:
    dimensions = [{"Name": name, "Value": value} for name, value in stat.metric.dimensions]
    metric = {"Namespace": stat.metric.namespace, "MetricName": stat.metric.name, "Dimensions": dimensions}
    return {"Metric": metric, "Period": stat.period, "Stat": stat.stat}


def draw(widget: Mapping[str, Any], time_range: TimeRange, reader: Reader) -> Drawing:
    """Return what a widget shows in a time range."""
    kind, properties = widget.get("type"), widget.get("properties", {})
    title = str(properties.get("title", ""))
    try:
        if kind == "text":
            return {"kind": "text", "markdown": properties["markdown"]}
        if kind == "metric":
            return _chart(properties, title, time_range, reader)
        if kind == "log":
            return _rows(properties, title, time_range, reader)
        if kind == "alarm":
            return {"kind": "alarms", "title": title, "alarms": reader.alarms(properties["alarms"]), "problems": []}
        raise NotSupportedError(f"widgets of the type {kind!r}")
    except PreviewError as error:
        return {"kind": "unsupported", "title": title, "reason": str(error)}


def _rows(properties: Mapping[str, Any], title: str, time_range: TimeRange, reader: Reader) -> Drawing:
    query = logs_insights.parse(properties["query"])
    # Metric lines are written after the minute they are about: what is asked for is when they were written.
    columns, rows = logs_insights.run(query, reader.events(query.groups, time_range))
    view = properties.get("view", "table")
    return {"kind": "rows", "view": view, "title": title, "columns": columns, "rows": rows, "problems": []}


class _Line(msgspec.Struct, frozen=True):
    """One row of a metric widget: `metric` or `expression`, and its options."""

    id: str
    metric: Metric | None
    expression: str | None
    options: Mapping[str, Any]
    stat: str
    period: int


def _chart(properties: Mapping[str, Any], title: str, time_range: TimeRange, reader: Reader) -> Drawing:
    view = properties.get("view", "timeSeries")
    if view not in CHARTS:
        raise NotSupportedError(f"the view {view!r}")
    problems: list[str] = []
    lines = list(_lines(properties))
    values = _values(lines, time_range, reader, problems, properties.get("period", 300))
    axes = properties.get("yAxis", {})
    annotations = properties.get("annotations", {}).get("horizontal", [])
    return {
        "kind": "chart",
        "view": view,
        "title": title,
        "stacked": bool(properties.get("stacked", False)),
        "series": [drawn for line in lines for drawn in _drawn(line, values.get(line.id))],
        "left": axes.get("left", {}),
        "right": axes.get("right", {}),
        "annotations": [each for each in annotations if each.get("visible", True)],
        "summary": properties.get("table", {}).get("summaryColumns", ["MAX", "AVG"]),
        "problems": problems,
    }


def _lines(properties: Mapping[str, Any]) -> Iterator[_Line]:
    before: list[str] = []
    for number, row in enumerate(properties["metrics"]):
        options = row[-1] if isinstance(row[-1], dict) else {}
        names = [each for each in row if isinstance(each, str)]
        # A point in a row stands for what is at its place in the row before, `...` for all that is not given.
        if names[:1] == ["..."]:
            names = [*before[: len(before) - len(names) + 1], *names[1:]]
        names = [before[at] if name == "." and at < len(before) else name for at, name in enumerate(names)]
        before = names or before
        metric = None
        if names:
            metric = Metric(names[0], names[1], tuple(sorted(zip(names[2::2], names[3::2], strict=True))))
        yield _Line(
            id=options.get("id", f"_row{number}"),
            metric=metric,
            expression=options.get("expression"),
            options=options,
            stat=options.get("stat", properties.get("stat", "Average")),
            period=options.get("period", properties.get("period", 300)),
        )


def _values(
    lines: list[_Line], time_range: TimeRange, reader: Reader, problems: list[str], period: int
) -> dict[str, Value]:
    """Return what each row comes to, by its id; what cannot be worked out is a problem."""
    stats = {line.id: MetricStat(line.metric, line.stat, line.period) for line in lines if line.metric is not None}
    read = reader.series(stats.values(), time_range)
    found: dict[str, Value] = {line_id: read[stat] for line_id, stat in stats.items()}
    waiting = [line for line in lines if line.expression is not None]
    while waiting:
        ready = [line for line in waiting if not _waits(line, waiting)]
        if not ready:
            problems.append(f"rows that wait for each other: {', '.join(line.id for line in waiting)}")
            break
        for line in ready:
            waiting.remove(line)
            try:
                found[line.id] = _evaluated(line, found, list(stats), time_range, reader=reader, period=period)
            except PreviewError as error:
                problems.append(f"{line.expression}: {error}")
    return found


def _waits(line: _Line, waiting: list[_Line]) -> bool:
    try:
        named = set(math_evaluation.names(metric_math.parse(line.expression or "")))
    except PreviewError:
        return False
    return any(other.id in named for other in waiting if other is not line)


def _evaluated(
    line: _Line,
    rows: Mapping[str, Value],
    metrics: list[str],
    time_range: TimeRange,
    *,
    reader: Reader,
    period: int,
) -> Value:
    tree = metric_math.parse(line.expression or "")
    searched: dict[SearchCall, tuple[Series, ...]] = {}
    for call in math_evaluation.searches(tree):
        metrics_found = reader.find(metric_search.parse(call.expression))
        wanted = [MetricStat(metric, call.stat, call.period or period) for metric in metrics_found]
        read = reader.series(wanted, time_range)
        searched[call] = tuple(series for stat in wanted if (series := read[stat]).values)
    inputs = Inputs(time_range, line.options.get("period", period), rows, tuple(metrics), searched)
    return math_evaluation.evaluate(tree, inputs)


def _drawn(line: _Line, value: Value | None) -> Iterator[dict[str, Any]]:
    if value is None or not line.options.get("visible", True) or isinstance(value, float):
        return
    several = value if isinstance(value, tuple) else (value,)
    for series in several:
        yield {
            "label": _label(line, series),
            "color": line.options.get("color") if len(several) == 1 else None,
            "axis": line.options.get("yAxis", "left"),
            "times": [moment * 1000 for moment in series.values],
            "values": list(series.values.values()),
        }


def _label(line: _Line, series: Series) -> str:
    metric = series.source.metric if series.source else line.metric
    plain = metric.name if metric else line.id
    if line.expression is not None and "SEARCH" not in line.expression:
        plain = line.id
    elif metric is not None and line.metric is None:
        plain = " ".join(value for _, value in metric.dimensions) or metric.name
    given = line.options.get("label") or plain
    numbers = list(series.values.values())

    def replaced(found: re.Match[str]) -> str:
        name = found[1]
        if name == "LABEL":
            return plain
        asked = re.fullmatch(r"PROP\('(?:Dim\.(?P<dimension>[^']+)|(?P<property>\w+))'\)", name)
        if asked and metric is not None:
            if asked["dimension"]:
                return dict(metric.dimensions).get(asked["dimension"], "")
            known = {"MetricName": metric.name, "Namespace": metric.namespace, "Stat": line.stat}
            return known.get(asked["property"], "")
        if name in {"MAX", "MIN", "SUM", "AVG", "LAST", "FIRST"} and numbers:
            return f"{_summaries(numbers)[name]:,.4g}"
        return ""

    return _LABEL.sub(replaced, given)


def _summaries(numbers: list[float]) -> dict[str, float]:
    return {
        "MAX": max(numbers),
        "MIN": min(numbers),
        "SUM": sum(numbers),
        "AVG": sum(numbers) / len(numbers),
        "LAST": numbers[-1],
        "FIRST": numbers[0],
    }
