"""Parse and run Metrics Insights queries. The functions here are pure: the caller passes metrics and statistics.

Source: AmazonCloudWatch/latest/monitoring/cloudwatch-metrics-insights-querylanguage.html, read 2026-11-24. In a
monitoring account, a query takes the metrics of all linked accounts, unless WHERE limits `AWS.AccountId` (same page,
read 2026-11-28).
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import msgspec

from localaws.preview.cursor import Cursor, unquoted
from localaws.preview.errors import SyntaxProblem
from localaws.preview.series import Metric, MetricStat, Series

MAX_SERIES = 500
OTHER = "Other"
"""The group of metrics that lack a dimension of GROUP BY."""

ACCOUNT = "AWS.AccountId"
"""Stands for the account of a metric in WHERE. An empty value is the account itself, as in `Metric.account`."""

FUNCTIONS: dict[str, tuple[tuple[str, ...], Callable[[list[float]], float]]] = {
    # the statistics that it needs of each metric, and the number by which it sorts a series
    "SUM": (("Sum",), math.fsum),
    "MAX": (("Maximum",), max),
    "MIN": (("Minimum",), min),
    "COUNT": (("SampleCount",), math.fsum),
    "AVG": (("Sum", "SampleCount"), lambda values: math.fsum(values) / len(values)),
}

_Item = TypeVar("_Item")


class Condition(msgspec.Struct, frozen=True):
    """A dimension that has this value, or any other value if `equal` is False."""

    dimension: str
    value: str
    equal: bool


class Query(msgspec.Struct, frozen=True):
    """A whole query. `dimensions` are those of SCHEMA, or None if the query names only a namespace."""

    function: str
    metric: str
    namespace: str
    dimensions: tuple[str, ...] | None
    conditions: tuple[Condition, ...]
    groups: tuple[str, ...]
    order: str | None
    descending: bool
    limit: int


_TOKENS = re.compile(
    r"""(?P<space>\s+)
    |(?P<text>"(?:[^"\\]|\\.)*")
    |(?P<value>'(?:[^'\\]|\\.)*')
    |(?P<number>\d+\b)
    |(?P<word>\w+)
    |(?P<symbol>!=|[=(),.])""",
    re.VERBOSE,
)


def is_query(expression: str) -> bool:
    """Return True if an expression is a Metrics Insights query and not metric math."""
    return re.match(r"\s*SELECT\b", expression, re.IGNORECASE) is not None


def parse(text: str) -> Query:
    """Parse a query. Raises `SyntaxProblem` with the position."""
    cursor = Cursor(text, _TOKENS)
    cursor.expect("SELECT")
    function = cursor.expect(*FUNCTIONS).text.upper()
    cursor.expect("(")
    metric = _name(cursor)
    cursor.expect(")")
    cursor.expect("FROM")
    namespace, dimensions = _source(cursor)
    conditions = _listed(cursor, _condition, "AND") if cursor.accept("WHERE") else ()
    groups: tuple[str, ...] = ()
    if cursor.accept("GROUP"):
        cursor.expect("BY")
        groups = _listed(cursor, _name, ",")
    order, descending = None, False
    if cursor.accept("ORDER"):
        cursor.expect("BY")
        order = cursor.expect(*FUNCTIONS).text.upper()
        cursor.expect("(")
        cursor.expect(")")
        direction = cursor.accept("ASC", "DESC")
        descending = direction is not None and direction.text.upper() == "DESC"
    limit = int(cursor.expect_kind("number").text) if cursor.accept("LIMIT") else MAX_SERIES
    cursor.expect_end()
    if not 1 <= limit <= MAX_SERIES:
        raise SyntaxProblem(f"LIMIT is 1 to {MAX_SERIES}, not {limit}")
    return Query(function, metric, namespace, dimensions, conditions, groups, order, descending, limit)


def _source(cursor: Cursor) -> tuple[str, tuple[str, ...] | None]:
    if not cursor.accept("SCHEMA"):
        return _name(cursor), None
    cursor.expect("(")
    namespace, *dimensions = _listed(cursor, _name, ",")
    cursor.expect(")")
    return namespace, tuple(dimensions)


def _name(cursor: Cursor) -> str:
    token = cursor.expect_kind("word", "text")
    return unquoted(token) if token.kind == "text" else token.text


def _condition(cursor: Cursor) -> Condition:
    dimension = _name(cursor)
    if dimension == "AWS" and cursor.accept("."):
        cursor.expect("AccountId")
        dimension = ACCOUNT
    equal = cursor.expect("=", "!=").text == "="
    if dimension == ACCOUNT and cursor.accept("CURRENT_ACCOUNT_ID"):
        cursor.expect("(")
        cursor.expect(")")
        return Condition(ACCOUNT, "", equal)
    return Condition(dimension, unquoted(cursor.expect_kind("value")), equal)


def _listed(cursor: Cursor, item: Callable[[Cursor], _Item], between: str) -> tuple[_Item, ...]:
    items = [item(cursor)]
    while cursor.accept(between):
        items.append(item(cursor))
    return tuple(items)


Read = Callable[[Iterable[MetricStat]], Mapping[MetricStat, Series]]
"""Returns the series of statistics."""


def run(query: Query, metrics: Iterable[Metric], read: Read, period: int) -> tuple[Series, ...]:
    """Return the series of a query over these metrics, in the query's order. Each is named by its group's values."""
    groups: dict[tuple[str, ...], list[Metric]] = {}
    for metric in metrics:
        if _fits(query, metric):
            named = dict(metric.dimensions)
            groups.setdefault(tuple(named.get(name, OTHER) for name in query.groups), []).append(metric)
    statistics, _ = FUNCTIONS[query.function]
    members = [metric for group in groups.values() for metric in group]
    found = read(MetricStat(metric, stat, period) for metric in members for stat in statistics)
    made = []
    for group, members in sorted(groups.items()):
        source = Metric(query.namespace, query.metric, tuple(zip(query.groups, group, strict=True)))
        parts = [[found[MetricStat(metric, stat, period)] for metric in members] for stat in statistics]
        values = _aggregated(query.function, parts)
        if values:
            made.append(Series(period, values, MetricStat(source, query.function, period)))
    if query.order is not None:
        _, scalar = FUNCTIONS[query.order]
        made.sort(key=lambda series: scalar(list(series.values.values())), reverse=query.descending)
    return tuple(made[: query.limit])


def _fits(query: Query, metric: Metric) -> bool:
    if (metric.namespace, metric.name) != (query.namespace, query.metric):
        return False
    values = dict(metric.dimensions)
    if query.dimensions is not None and values.keys() != set(query.dimensions):
        return False
    values[ACCOUNT] = metric.account
    return all((values.get(each.dimension) == each.value) is each.equal for each in query.conditions)


def _aggregated(function: str, parts: list[list[Series]]) -> dict[int, float]:
    """Return one value per time from all series of a group. `parts` has the series by statistic."""
    totals = []
    for several in parts:
        by_moment: dict[int, list[float]] = {}
        for series in several:
            for moment, value in series.values.items():
                by_moment.setdefault(moment, []).append(value)
        gather = {"MAX": max, "MIN": min}.get(function, math.fsum)
        totals.append({moment: gather(by_moment[moment]) for moment in sorted(by_moment)})
    if function == "AVG":
        sums, counts = totals
        return {moment: sums[moment] / counts[moment] for moment in sums if counts.get(moment)}
    return totals[0]
