"""Work out what a widget shows, as plain JSON, from the metrics, logs and alarms of one account.

The drawing's `problems` name everything in the widget that cannot be drawn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from localaws.preview import (
    log_evaluation,
    logs_insights,
    math_evaluation,
    metric_math,
    metric_search,
    metrics_insights,
    properties,
)
from localaws.preview.errors import NotSupportedError, PreviewError
from localaws.preview.math_evaluation import Inputs, SearchCall, Value
from localaws.preview.series import Metric, MetricStat, Series, TimeRange

if TYPE_CHECKING:
    import boto3

Drawing = dict[str, Any]

MAX_QUERIES = 500
"""The most queries of one GetMetricData call (API reference, read 2026-11-23)."""

MAX_EVENTS = 100_000
"""The most log events of one query. Reading more would take too long."""

PAGE = 10_000
"""The most events of one answer to FilterLogEvents (API reference, read 2026-11-23)."""

CHARTS = frozenset({"timeSeries", "bar", "gauge", "singleValue", "table", "pie"})
_LABEL = re.compile(r"\$\{([^}]+)\}")


class Reader:
    """Reads the metrics, logs and alarms of one account in one Region."""

    def __init__(self, session: boto3.Session, region: str) -> None:
        self._cloudwatch = session.client("cloudwatch", region_name=region)
        self._logs = session.client("logs", region_name=region)

    def find(self, search: metric_search.Search) -> tuple[Metric, ...]:
        """Return the metrics that a search finds, with dimensions in the order of its schema."""
        found = metric_search.find(search, self.metrics(search.schema.namespace if search.schema else None))
        if search.schema is None or not search.schema.dimensions:
            return found
        order = search.schema.dimensions
        return tuple(
            msgspec.structs.replace(
                each, dimensions=tuple(sorted(each.dimensions, key=lambda pair: order.index(pair[0])))
            )
            for each in found
        )

    def metrics(self, namespace: str | None) -> list[Metric]:
        """Return all metrics of one namespace, or of all namespaces."""
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
        """Return the series of these statistics. A period as long as the time range gives one value."""
        stats = list(dict.fromkeys(wanted))
        found: dict[MetricStat, dict[int, float]] = {stat: {} for stat in stats}
        for start in range(0, len(stats), MAX_QUERIES):
            part = {f"q{number}": stat for number, stat in enumerate(stats[start : start + MAX_QUERIES])}
            queries: Any = [{"Id": query_id, "MetricStat": _asked(stat, time_range)} for query_id, stat in part.items()]
            pages = self._cloudwatch.get_paginator("get_metric_data").paginate(
                MetricDataQueries=queries,
                StartTime=datetime.fromtimestamp(time_range.start, UTC),
                EndTime=datetime.fromtimestamp(time_range.end, UTC),
            )
            for page in pages:
                for result in page["MetricDataResults"]:
                    stat = part[result["Id"]]
                    first = time_range.start if stat.period == time_range.seconds else 0
                    points = zip(result["Timestamps"], result["Values"], strict=True)
                    found[stat].update((max(first, int(at.timestamp())), value) for at, value in points)
        return {stat: Series(stat.period, dict(sorted(values.items())), stat) for stat, values in found.items()}

    def events(self, groups: Iterable[str], time_range: TimeRange) -> Iterator[dict[str, Any]]:
        """Yield the fields of every log event of these groups. Raises `PreviewError` if there are too many."""
        read = 0
        for group in groups:
            for event in self._events(group, time_range):
                read += 1
                if read > MAX_EVENTS:
                    raise PreviewError(f"over {MAX_EVENTS:,} log events in this time range: choose a shorter one")
                yield log_evaluation.parse_event(event)

    def _events(self, group: str, time_range: TimeRange) -> Iterator[Any]:
        """Yield a group's events. The emulator returns only one page, so the next request starts where it ended."""
        start, known = time_range.start * 1000, 0
        while True:
            pages = self._logs.get_paginator("filter_log_events").paginate(
                logGroupName=group, startTime=start, endTime=time_range.end * 1000
            )
            events = [event for page in pages for event in page["events"]]
            yield from events[known:]  # skip the events of this millisecond that came with the page before
            if len(events) < PAGE:
                return
            if events[-1]["timestamp"] == start:
                raise PreviewError(f"over {PAGE:,} log events of one millisecond, more than the emulator can return")
            start = events[-1]["timestamp"]
            known = sum(event["timestamp"] == start for event in events)

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


def _asked(stat: MetricStat, time_range: TimeRange) -> dict[str, Any]:
    dimensions = [{"Name": name, "Value": value} for name, value in stat.metric.dimensions]
    metric = {"Namespace": stat.metric.namespace, "MetricName": stat.metric.name, "Dimensions": dimensions}
    # Periods begin in 1970. One period from then until the end contains the whole range, and StartTime cuts it.
    period = time_range.end if stat.period == time_range.seconds else stat.period
    return {"Metric": metric, "Period": period, "Stat": stat.stat}


def draw(widget: Mapping[str, Any], time_range: TimeRange, reader: Reader) -> Drawing:
    """Return what a widget shows in a time range."""
    kind, given = widget.get("type"), widget.get("properties", {})
    title = str(given.get("title", ""))
    try:
        if kind == "text":
            drawing = {"kind": "text", "markdown": given["markdown"], "problems": []}
        elif kind == "metric":
            drawing = _chart(given, title, time_range, reader)
        elif kind == "log":
            drawing = _rows(given, title, time_range, reader)
        elif kind == "alarm":
            drawing = {"kind": "alarms", "title": title, "alarms": reader.alarms(given["alarms"]), "problems": []}
        else:
            raise NotSupportedError(f"widgets of the type {kind!r}")
    except PreviewError as error:
        return {"kind": "unsupported", "title": title, "reason": str(error)}
    left_out = properties.not_drawn(kind, given)
    if left_out:
        drawing["problems"] = [*drawing["problems"], f"not drawn by this preview: {', '.join(left_out)}"]
    return drawing


def _rows(given: Mapping[str, Any], title: str, time_range: TimeRange, reader: Reader) -> Drawing:
    view = given.get("view", "table")
    if view not in {"table", "pie", "bar"}:
        raise NotSupportedError(f"the view {view!r} of a query")
    query = logs_insights.parse(given["query"])
    # The range is about the time of writing, which is after the minute of a metric line.
    columns, rows = log_evaluation.run(query, reader.events(query.groups, time_range))
    return {"kind": "rows", "view": view, "title": title, "columns": columns, "rows": rows, "problems": []}


class _Line(msgspec.Struct, frozen=True):
    """One row of a metric widget: `metric` or `expression`, and its options."""

    id: str
    metric: Metric | None
    expression: str | None
    options: Mapping[str, Any]
    stat: str
    period: int


def _chart(given: Mapping[str, Any], title: str, time_range: TimeRange, reader: Reader) -> Drawing:
    view = given.get("view", "timeSeries")
    if view not in CHARTS:
        raise NotSupportedError(f"the view {view!r}")
    problems: list[str] = []
    whole = bool(given.get("setPeriodToTimeRange")) and view != "timeSeries"
    period = time_range.seconds if whole else given.get("period", 300)
    lines = [msgspec.structs.replace(line, period=period) if whole else line for line in _lines(given)]
    values = _values(lines, time_range, reader, problems, period)
    axes = given.get("yAxis", {})
    marks = given.get("annotations", {})
    return {
        "kind": "chart",
        "view": view,
        "title": title,
        "stacked": bool(given.get("stacked", False)),
        "series": [drawn for line in lines for drawn in _drawn(line, values.get(line.id))],
        "left": axes.get("left", {}),
        "right": axes.get("right", {}),
        "annotations": _visible(marks.get("horizontal", [])),
        "moments": _visible(marks.get("vertical", [])),
        "legend": given.get("legend", {}).get("position", "bottom"),
        "summary": given.get("table", {}).get("summaryColumns", ["MAX", "AVG"]),
        "problems": problems,
    }


def _visible(marks: list[Any]) -> list[list[dict[str, Any]]]:
    """Return the visible annotations. Each has one mark, or two for a band."""
    several = [each if isinstance(each, list) else [each] for each in marks]
    return [each for each in several if each[0].get("visible", True)]


def _lines(given: Mapping[str, Any]) -> Iterator[_Line]:
    before: list[str] = []
    for number, row in enumerate(given.get("metrics", [])):
        options = row[-1] if isinstance(row[-1], dict) else {}
        names = [each for each in row if isinstance(each, str)]
        # "." repeats the value at the same position of the row before, and "..." repeats all values that are not given.
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
            stat=options.get("stat", given.get("stat", "Average")),
            period=options.get("period", given.get("period", 300)),
        )


def _values(
    lines: list[_Line], time_range: TimeRange, reader: Reader, problems: list[str], period: int
) -> dict[str, Value]:
    """Return the value of each row by its id. An expression that cannot be evaluated is added to `problems`."""
    stats = {line.id: MetricStat(line.metric, line.stat, line.period) for line in lines if line.metric is not None}
    read = reader.series(stats.values(), time_range)
    found: dict[str, Value] = {line_id: read[stat] for line_id, stat in stats.items()}
    waiting = [line for line in lines if line.expression is not None]
    while waiting:
        ready = [line for line in waiting if not _waits(line, waiting)]
        if not ready:
            problems.append(f"rows that refer to each other: {', '.join(line.id for line in waiting)}")
            break
        for line in ready:
            waiting.remove(line)
            try:
                found[line.id] = _evaluated(line, found, list(stats), time_range, reader=reader, period=period)
            except PreviewError as error:
                problems.append(f"{line.expression}: {error}")
    return found


def _waits(line: _Line, waiting: list[_Line]) -> bool:
    if metrics_insights.is_query(line.expression or ""):
        return False
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
    expression = line.expression or ""
    whole = period == time_range.seconds
    own_period = line.period if whole else line.options.get("period", period)
    if metrics_insights.is_query(expression):
        query = metrics_insights.parse(expression)
        found = reader.metrics(query.namespace)
        return metrics_insights.run(query, found, lambda wanted: reader.series(wanted, time_range), own_period)
    tree = metric_math.parse(expression)
    searched: dict[SearchCall, tuple[Series, ...]] = {}
    for call in math_evaluation.searches(tree):
        metrics_found = reader.find(metric_search.parse(call.expression))
        wanted = [MetricStat(metric, call.stat, period if whole else call.period or period) for metric in metrics_found]
        read = reader.series(wanted, time_range)
        searched[call] = tuple(series for stat in wanted if (series := read[stat]).values)
    inputs = Inputs(time_range, own_period, rows, tuple(metrics), searched)
    return math_evaluation.evaluate(tree, inputs)


def _drawn(line: _Line, value: Value | None) -> Iterator[dict[str, Any]]:
    if value is None or not line.options.get("visible", True) or isinstance(value, float):
        return
    found = value if isinstance(value, tuple) else (value,)
    for series in found:
        yield {
            "label": _label(line, series, several=isinstance(value, tuple)),
            "color": line.options.get("color") if len(found) == 1 else None,
            "axis": line.options.get("yAxis", "left"),
            "period": series.period,
            "times": [moment * 1000 for moment in series.values],
            "values": list(series.values.values()),
        }


def _label(line: _Line, series: Series, *, several: bool) -> str:
    """Return the text in the legend: the row's label, followed by the metric's if the row has several series."""
    metric = series.source.metric if series.source and (several or line.metric) else line.metric
    plain = line.id
    if metric is not None:
        values = " ".join(value for _, value in metric.dimensions)
        plain = metric.name if line.metric is not None or not values else values
    given = line.options.get("label") or ("" if several else plain)
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

    text = _LABEL.sub(replaced, given)
    return f"{text} {plain}".strip() if several and "${" not in given else text


def _summaries(numbers: list[float]) -> dict[str, float]:
    return {
        "MAX": max(numbers),
        "MIN": min(numbers),
        "SUM": sum(numbers),
        "AVG": sum(numbers) / len(numbers),
        "LAST": numbers[-1],
        "FIRST": numbers[0],
    }
