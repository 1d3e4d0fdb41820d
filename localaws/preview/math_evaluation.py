"""Evaluate metric math over series. The functions here are pure: the caller passes the results of SEARCH.

Source: AmazonCloudWatch/latest/monitoring/using-metric-math.html, as stored on 2026-11-24. The page leaves some things
open, which we decided. STDDEV is that of the whole population. Two series of different periods give one of the longer
period. AVG, MIN and MAX of no values are no number, and a series of such results has no values. FILL gives values to a
series that has none, but `Inputs.fills_empty` can change that.
"""

import itertools
import math
import operator
import statistics
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

import msgspec

from localaws.preview import metric_math
from localaws.preview.errors import NotSupportedError, PreviewError
from localaws.preview.metric_math import Array, Call, Name, Negative, Number, Operation, Text, Tree
from localaws.preview.series import Series, TimeRange

Many = tuple[Series, ...]
Value = float | Series | Many

NOT_SUPPORTED = {
    "ANOMALY_DETECTION_BAND": "no model of what is normal is trained here",
    "INSIGHT_RULE_METRIC": "there are no Contributor Insights rules",
    "SERVICE_QUOTA": "there are no usage metrics of AWS services",
}


class SearchCall(msgspec.Struct, frozen=True):
    """A SEARCH in an expression. `period` is None if the call has none."""

    expression: str
    stat: str
    period: int | None = None


class Inputs(msgspec.Struct, frozen=True):
    """The data for the evaluation of an expression.

    `rows` has a value per id. `metrics` has the ids of the rows that are metrics, in order. `period` is the period in
    seconds of series that are made from numbers. `fills_empty` is False for the other reading of the page: FILL leaves
    a series empty that has no values at all.
    """

    time_range: TimeRange
    period: int
    rows: Mapping[str, Value]
    metrics: tuple[str, ...] = ()
    searches: Mapping[SearchCall, Many] = {}
    fills_empty: bool = True


def searches(tree: Tree) -> list[SearchCall]:
    """Return every SEARCH of an expression. Raises `PreviewError` for invalid arguments."""
    return [
        _search_call(node) for node in metric_math.walk(tree) if isinstance(node, Call) and node.function == "SEARCH"
    ]


def names(tree: Tree) -> list[str]:
    """Return the ids of the rows that an expression names."""
    return [node.name for node in metric_math.walk(tree) if isinstance(node, Name) and node.name[0].islower()]


def evaluate(tree: Tree, inputs: Inputs) -> Series | Many:
    """Return the expression's series. Raises `PreviewError` for what CloudWatch refuses, or what is not supported."""
    result = _value(tree, inputs)
    if isinstance(result, float):
        raise PreviewError("the result is a number, but CloudWatch needs one or several time series")
    return result


def _value(tree: Tree, inputs: Inputs) -> Value:
    match tree:
        case Number(number):
            return number
        case Name(name):
            if name not in inputs.rows:
                raise PreviewError(f"no row has the id {name}")
            return inputs.rows[name]
        case Negative(operand):
            return _each(_value(operand, inputs), lambda number: -number)
        case Operation(symbol, left, right):
            return _operate(symbol, _value(left, inputs), _value(right, inputs))
        case Array(items):
            return _many([_value(item, inputs) for item in items])
        case Call(function, arguments):
            if function in NOT_SUPPORTED:
                raise NotSupportedError(f"{function} ({NOT_SUPPORTED[function]})")
            return _call(function, arguments, inputs)
        case Text(text):
            raise PreviewError(f"{text!r} is a string, which only SEARCH and METRICS take")


def _call(function: str, arguments: tuple[Tree, ...], inputs: Inputs) -> Value:
    match function:
        case "SEARCH":
            return inputs.searches[_search_call(Call(function, arguments))]
        case "METRICS":
            return _metrics(arguments, inputs)
        case "SORT":
            return _sort(_several(_value(arguments[0], inputs), function), arguments[1:], inputs)
        case "FILL":
            return _fill(_value(arguments[0], inputs), arguments[1], inputs)
    values = [_value(argument, inputs) for argument in arguments]
    if function in _POINTWISE:
        return _each(values[0], _POINTWISE[function])
    if function in _SUMMARIES:
        return _summarize(values[0], _SUMMARIES[function])
    if function in _ALONG:
        return _map(values[0], _ALONG[function])
    if function in _CLOCK:
        return _clock(_one(values[0], function), _CLOCK[function], inputs.time_range)
    return _OTHERS[function](values, inputs)


def _search_call(call: Call) -> SearchCall:
    match call.arguments:
        case (Text(expression), Text(stat)):
            return SearchCall(expression, stat)
        case (Text(expression), Text(stat), Number(period)) if period.is_integer() and period > 0:
            return SearchCall(expression, stat, int(period))
    raise PreviewError("SEARCH takes a search, a statistic and a period: SEARCH('{Namespace,Dimension} …', 'Sum', 60)")


def _metrics(arguments: tuple[Tree, ...], inputs: Inputs) -> Many:
    match arguments:
        case ():
            part = ""
        case (Text(part),):
            pass
        case _:
            raise PreviewError("METRICS takes no argument, or a part of an id in quotes")
    return _many(inputs.rows[row] for row in inputs.metrics if part in row)


# -- shapes ------------------------------------------------------------------------------------------------------------


def _many(values: Iterable[Value]) -> Many:
    found: list[Series] = []
    for value in values:
        if isinstance(value, float):
            raise PreviewError("an array has time series only, not numbers")
        found.extend([value] if isinstance(value, Series) else value)
    return tuple(found)


def _several(value: Value, function: str) -> Many:
    if isinstance(value, tuple):
        return value
    raise PreviewError(f"{function} takes several time series, such as METRICS() or [m1, m2]")


def _one(value: Value, function: str) -> Series:
    if isinstance(value, Series):
        return value
    raise PreviewError(f"{function} takes one time series")


def _scalar(value: Value, function: str) -> float:
    if isinstance(value, float):
        return value
    raise PreviewError(f"{function} takes a number here")


def _map(value: Value, change: Callable[[Series], Series]) -> Series | Many:
    if isinstance(value, float):
        raise PreviewError("this function takes time series, not a number")
    return change(value) if isinstance(value, Series) else tuple(change(series) for series in value)


def _with(series: Series, values: Mapping[int, float | None]) -> Series:
    """Return the series with other values, without those that are None, infinite or not a number."""
    kept = {moment: value for moment, value in values.items() if value is not None and math.isfinite(value)}
    return msgspec.structs.replace(series, values=kept)


def _each(value: Value, function: Callable[[float], float | None]) -> Value:
    if isinstance(value, float):
        result = function(value)
        if result is None:
            raise PreviewError("the number has no such value")
        return result
    return _map(
        value, lambda series: _with(series, {moment: function(number) for moment, number in series.values.items()})
    )


# -- operators ---------------------------------------------------------------------------------------------------------


def _divide(left: float, right: float) -> float | None:
    return left / right if right else None


def _power(left: float, right: float) -> float | None:
    try:
        result = left**right
    except (OverflowError, ZeroDivisionError):
        return None
    return result if isinstance(result, float) else None  # a root of a negative number is complex


_OPERATORS: dict[str, Callable[[float, float], float | None]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "^": _power,
    "==": lambda left, right: float(left == right),
    "!=": lambda left, right: float(left != right),
    "<": lambda left, right: float(left < right),
    "<=": lambda left, right: float(left <= right),
    ">": lambda left, right: float(left > right),
    ">=": lambda left, right: float(left >= right),
    "AND": lambda left, right: float(bool(left and right)),
    "OR": lambda left, right: float(bool(left or right)),
}


def _operate(symbol: str, left: Value, right: Value) -> Value:
    function = _OPERATORS[symbol]
    if isinstance(right, float):
        return _each(left, lambda number: function(number, right))
    if isinstance(left, float):
        return _each(right, lambda number: function(left, number))
    if isinstance(left, Series) and isinstance(right, Series):
        return _pair(function, left, right, left)
    if isinstance(left, tuple) and isinstance(right, Series):
        return tuple(_pair(function, series, right, series) for series in left)
    if isinstance(left, Series) and isinstance(right, tuple):
        return tuple(_pair(function, left, series, series) for series in right)
    raise PreviewError(f"{symbol} between two arrays of time series")


def _pair(function: Callable[[float, float], float | None], left: Series, right: Series, named: Series) -> Series:
    """Combine two series point by point. A missing point counts as 0."""
    moments = sorted(left.values.keys() | right.values.keys())
    values = {moment: function(left.values.get(moment, 0.0), right.values.get(moment, 0.0)) for moment in moments}
    return _with(msgspec.structs.replace(named, period=max(left.period, right.period)), values)


# -- functions ---------------------------------------------------------------------------------------------------------

_POINTWISE: dict[str, Callable[[float], float | None]] = {
    "ABS": abs,
    "CEIL": lambda number: float(math.ceil(number)),
    "FLOOR": lambda number: float(math.floor(number)),
    "LOG": lambda number: math.log(number) if number > 0 else None,
    "LOG10": lambda number: math.log10(number) if number > 0 else None,
}

_Summary = Callable[[list[float], int], float]

_SUMMARIES: dict[str, _Summary] = {
    "AVG": lambda present, count: math.fsum(present) / count if count else math.nan,  # missing values count as 0
    "DATAPOINT_COUNT": lambda present, _: float(len(present)),
    "MAX": lambda present, _: max(present, default=math.nan),
    "MIN": lambda present, _: min(present, default=math.nan),
    "STDDEV": lambda present, _: statistics.pstdev(present) if present else math.nan,
    "SUM": lambda present, _: math.fsum(present),
}


def _summarize(value: Value, summary: _Summary) -> Value:
    """Summarize one series as a number, or several series as one series, point by point."""
    if isinstance(value, float):
        raise PreviewError("this function takes time series, not a number")
    if isinstance(value, Series):
        numbers = list(value.values.values())
        return summary(numbers, len(numbers))
    moments = sorted({moment for series in value for moment in series.values})
    values = {
        moment: summary([series.values[moment] for series in value if moment in series.values], len(value))
        for moment in moments
    }
    return Series(max((series.period for series in value), default=60), values)


def _differences(series: Series, function: Callable[[float, int], float]) -> Series:
    points = list(series.values.items())
    pairs = itertools.pairwise(points)
    return _with(series, {later: function(new - old, later - earlier) for (earlier, old), (later, new) in pairs})


def _running_sum(series: Series) -> Series:
    total, values = 0.0, dict[int, float | None]()
    for moment, number in series.values.items():
        total += number
        values[moment] = total
    return _with(series, values)


_ALONG: dict[str, Callable[[Series], Series]] = {
    "DIFF": lambda series: _differences(series, lambda change, _: change),
    "DIFF_TIME": lambda series: _differences(series, lambda _, seconds: float(seconds)),
    "RATE": lambda series: _differences(series, lambda change, seconds: change / seconds),
    "RUNNING_SUM": _running_sum,
}

_CLOCK: dict[str, Callable[[datetime], float]] = {
    "MINUTE": lambda moment: moment.minute,
    "HOUR": lambda moment: moment.hour,
    "DAY": lambda moment: moment.isoweekday(),
    "DATE": lambda moment: moment.day,
    "MONTH": lambda moment: moment.month,
    "YEAR": lambda moment: moment.year,
    "EPOCH": lambda moment: moment.timestamp(),
}


def _clock(series: Series, part: Callable[[datetime], float], time_range: TimeRange) -> Series:
    moments = time_range.moments(series.period)
    return _with(series, {moment: float(part(datetime.fromtimestamp(moment, UTC))) for moment in moments})


def _fill(value: Value, filler: Tree, inputs: Inputs) -> Series | Many:
    if filler == Name("REPEAT"):
        return _map(value, lambda series: _repeated(series, inputs.time_range))
    if filler == Name("LINEAR"):
        return _map(value, lambda series: _interpolated(series, inputs.time_range))
    number = _value(filler, inputs)
    if isinstance(number, tuple):
        raise PreviewError("the second argument of FILL is a number, one time series, REPEAT or LINEAR")

    def fill(series: Series) -> Series:
        if not (series.values or inputs.fills_empty):
            return series
        moments = inputs.time_range.moments(series.period)
        fillers = dict.fromkeys(moments, number) if isinstance(number, float) else number.values
        return _with(series, {moment: series.values.get(moment, fillers.get(moment)) for moment in moments})

    return _map(value, fill)


def _repeated(series: Series, time_range: TimeRange) -> Series:
    last, values = None, dict[int, float | None]()
    for moment in time_range.moments(series.period):
        last = series.values.get(moment, last)
        values[moment] = last
    return _with(series, values)


def _interpolated(series: Series, time_range: TimeRange) -> Series:
    """Fill gaps with straight lines between neighbours. Nothing is added before the first or after the last value."""
    points = list(series.values.items())
    values: dict[int, float | None] = dict(series.values)
    for (earlier, old), (later, new) in itertools.pairwise(points):
        for moment in time_range.moments(series.period):
            if earlier < moment < later:
                values[moment] = old + (new - old) * (moment - earlier) / (later - earlier)
    return _with(series, dict(sorted(values.items())))


def _sort(value: Many, arguments: tuple[Tree, ...], inputs: Inputs) -> Many:
    by, order = arguments[0], arguments[1]
    if not isinstance(by, Name) or by.name not in {"AVG", "MIN", "MAX", "SUM"}:
        raise PreviewError("SORT sorts by AVG, MIN, MAX or SUM")
    if not isinstance(order, Name) or order.name not in {"ASC", "DESC"}:
        raise PreviewError("SORT takes ASC or DESC")
    summary = _SUMMARIES[by.name]
    filled = [series for series in value if series.values]
    empty = [series for series in value if not series.values]
    numbers = {id(series): summary(list(series.values.values()), len(series.values)) for series in filled}
    ordered = sorted(filled, key=lambda series: numbers[id(series)], reverse=order.name == "DESC") + empty
    limit = int(_scalar(_value(arguments[2], inputs), "SORT")) if len(arguments) > 2 else None
    return tuple(ordered[:limit])


def _if(values: list[Value], _inputs: Inputs) -> Value:
    condition, when_true, when_false = (*values, None)[:3]
    if isinstance(condition, tuple) or isinstance(when_true, tuple) or isinstance(when_false, tuple):
        raise PreviewError("IF takes numbers and single time series, not arrays")
    if isinstance(condition, float):
        chosen = when_true if condition else when_false
        empty = Series(next((v.period for v in (when_true, when_false) if isinstance(v, Series)), 60), {})
        return empty if chosen is None else chosen
    values_by_moment = {
        moment: _at(when_true, moment, 0.0) if truth else _at(when_false, moment, None)
        for moment, truth in (condition or Series(60, {})).values.items()
    }
    named = next((value for value in (when_true, when_false) if isinstance(value, Series)), condition)
    return _with(named or Series(60, {}), values_by_moment)


def _at(value: float | Series | None, moment: int, missing: float | None) -> float | None:
    return value.values.get(moment, missing) if isinstance(value, Series) else value


def _period(values: list[Value], _inputs: Inputs) -> Value:
    return float(_one(values[0], "PERIOD").period)


def _slice(values: list[Value], _inputs: Inputs) -> Value:
    bounds = [int(_scalar(value, "SLICE")) for value in values[1:]]
    return _several(values[0], "SLICE")[bounds[0] : bounds[1] if len(bounds) > 1 else None]


def _end_value(values: list[Value], at: int, function: str) -> Value:
    several = _several(values[0], function)
    return several[at] if several else Series(60, {})


def _time_series(values: list[Value], inputs: Inputs) -> Value:
    number = _scalar(values[0], "TIME_SERIES")
    return _with(Series(inputs.period, {}), dict.fromkeys(inputs.time_range.moments(inputs.period), number))


_OTHERS: dict[str, Callable[[list[Value], Inputs], Value]] = {
    "FIRST": lambda values, _: _end_value(values, 0, "FIRST"),
    "IF": _if,
    "LAST": lambda values, _: _end_value(values, -1, "LAST"),
    "METRIC_COUNT": lambda values, _: float(len(_several(values[0], "METRIC_COUNT"))),
    "PERIOD": _period,
    "REMOVE_EMPTY": lambda values, _: tuple(series for series in _several(values[0], "REMOVE_EMPTY") if series.values),
    "SLICE": _slice,
    "TIME_SERIES": _time_series,
}
