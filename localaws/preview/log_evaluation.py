"""Evaluate a parsed Logs Insights query over log events. The functions here are pure."""

import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from localaws.preview.errors import PreviewError
from localaws.preview.logs_insights import (
    AGGREGATES,
    Call,
    Expression,
    Field,
    Fields,
    Filter,
    Limit,
    Literal,
    Named,
    Operation,
    Query,
    Sort,
    Stats,
)

Row = Mapping[str, Any]

MAX_ROWS = 10_000
"""The rows of a query that sets no limit."""

MAX_FIELDS = 200
"""The most fields of an event's JSON (page on `parse`, read 2026-11-24). We assume that they are the first."""


def parse_event(event: Mapping[str, Any], *, discover: bool = True) -> dict[str, Any]:
    """Return the fields of a log event: `@timestamp`, `@message` and those of its JSON, with dots in nested names.

    Without `discover`, the fields of its JSON are left out.
    """
    row: dict[str, Any] = {"@timestamp": event["timestamp"], "@message": event["message"]}
    if discover and event["message"].startswith("{"):
        try:
            found = json.loads(event["message"])
        except ValueError:
            return row
        row.update(itertools.islice(_flat("", found), MAX_FIELDS))
    return row


def _flat(prefix: str, value: object) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _flat(f"{prefix}.{index}", inner)
    elif value is not None:
        yield prefix, value


def run(query: Query, rows: Iterable[Row], most_rows: int = MAX_ROWS) -> tuple[list[str], list[list[Any]]]:
    """Return the columns and at most `most_rows` rows of a query over the fields of events. Raises `PreviewError`."""
    found: list[Row] = list(rows)
    columns: list[str] = ["@timestamp", "@message"]
    for command in query.commands:
        match command:
            case Filter(condition):
                found = [row for row in found if _truth(_value(condition, row))]
            case Fields(named, _):
                found = [{**row, **_named(named, row)} for row in found]
                columns = [each.name for each in named]
            case Stats(named, by):
                found = _grouped(found, named, by)
                columns = [each.name for each in (*by, *named)]
            case Sort(keys):
                for key, descends in reversed(keys):
                    found = sorted(found, key=lambda row, key=key: _order(row.get(key)), reverse=descends)  # type: ignore[misc]
            case Limit(most):
                found = found[:most]
    return columns, [[row.get(column) for column in columns] for row in found[:most_rows]]


def _named(columns: Iterable[Named], row: Row) -> dict[str, Any]:
    values = {each.name: _value(each.expression, row) for each in columns}
    return {name: value for name, value in values.items() if value is not None}


def _order(value: object) -> tuple[int, float, str]:
    if value is None:
        return 0, 0.0, ""
    return (1, float(value), "") if isinstance(value, int | float) else (2, 0.0, str(value))


def _grouped(rows: Sequence[Row], columns: Iterable[Named], by: Iterable[Named]) -> list[Row]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    keys = list(by)
    for row in rows:
        groups.setdefault(tuple(_value(each.expression, row) for each in keys), []).append(row)
    return [
        {
            **{each.name: value for each, value in zip(keys, group, strict=True) if value is not None},
            **{each.name: found for each in columns if (found := _aggregate(each.expression, members)) is not None},
        }
        for group, members in groups.items()
    ]


def _aggregate(expression: Expression, rows: Sequence[Row]) -> Any:
    match expression:
        case Call(function, _) if function in AGGREGATES:
            return _aggregated(expression, rows)
        case Call(function, arguments) if function in _OF_NUMBERS or function in _OF_ONE_VALUE:
            return _call(function, [_aggregate(each, rows) for each in arguments])
        case Operation(operator, operands):
            return _operate(operator, [_aggregate(each, rows) for each in operands])
    return _value(expression, rows[-1])


def _call(function: str, values: Sequence[Any]) -> Any:
    if function in _OF_NUMBERS:
        return _OF_NUMBERS[function](values) if all(isinstance(each, int | float) for each in values) else None
    return _OF_ONE_VALUE[function](values[0])


def _aggregated(call: Call, rows: Sequence[Row]) -> Any:
    if call.function == "count" and not call.arguments:
        return len(rows)
    values = [value for row in rows if (value := _value(call.arguments[0], row)) is not None]
    if call.function in {"count", "count_distinct"}:
        return len(values) if call.function == "count" else len(set(values))
    if not values:
        return None
    if call.function in {"latest", "earliest"}:  # the value in that event, which may lack the field
        pick = max if call.function == "latest" else min
        return _value(call.arguments[0], pick(rows, key=lambda row: row.get("@timestamp", 0)))
    if call.function in {"sortsfirst", "sortslast"}:
        return sorted(values, key=_order)[-1 if call.function == "sortslast" else 0]
    numbers = sorted(float(value) for value in values if isinstance(value, int | float))
    if not numbers:
        return None
    match call.function:
        case "sum":
            return math.fsum(numbers)
        case "avg":
            return math.fsum(numbers) / len(numbers)
        case "pct":
            share = _value(call.arguments[1], {})
            return numbers[max(0, math.ceil(len(numbers) * float(share) / 100) - 1)]
        case "min":
            return numbers[0]
    return numbers[-1]


def _value(expression: Expression, row: Row) -> Any:
    match expression:
        case Literal(value):
            return value
        case Field(name):
            return row[name] if name in row else _find_inside(name, row)
        case Operation(operator, operands):
            return _operate(operator, [_value(each, row) for each in operands])
        case Call("ispresent", arguments):
            return _value(arguments[0], row) is not None
        case Call("coalesce", arguments):
            return next((value for each in arguments if (value := _value(each, row)) is not None), None)
        case Call("strcontains", (text, part)):
            return int(str(_value(part, row)) in str(_value(text, row) or ""))
        case Call(function, arguments) if function in _OF_NUMBERS or function in _OF_ONE_VALUE:
            return _call(function, [_value(each, row) for each in arguments])
        case Call(function, _):
            raise PreviewError(f"{function} is not allowed here")


def _find_inside(name: str, row: Row) -> Any:
    """Return a member of a map that `jsonParse` has made: `r.input.inputTokenCount`. Nothing in a list has a name."""
    first, _, rest = name.partition(".")
    found = row.get(first)
    while rest and isinstance(found, Mapping):
        member = next((key for key in found if rest == key or rest.startswith(f"{key}.")), None)
        if member is None:
            return None
        found, rest = found[member], rest[len(member) + 1 :]
    return None if rest else found


def _parse_json(text: object) -> Any:
    """Return a map or a list, or nothing for any other text (page on functions, read 2026-11-28)."""
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if isinstance(found, dict | list) else None


def _to_json(value: object) -> str | None:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else None


def _number(function: Callable[[float], float], value: object) -> float | None:
    return function(value) if isinstance(value, int | float) else None


def _timestamp(milliseconds: object) -> str | None:
    """Return a time in the format of the console."""
    if not isinstance(milliseconds, int | float):
        return None
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}"


_OF_NUMBERS: dict[str, Callable[[Sequence[float]], float]] = {"greatest": max, "least": min}
"""Functions of several numbers. The page does not say what a missing one gives, and here it gives nothing."""

_OF_ONE_VALUE: dict[str, Callable[[Any], Any]] = {
    "abs": lambda value: _number(math.fabs, value),
    "log": lambda value: _number(math.log, value) if isinstance(value, int | float) and value > 0 else None,
    "floor": lambda value: _number(math.floor, value),
    "ceil": lambda value: _number(math.ceil, value),
    "frommillis": _timestamp,
    "tomillis": lambda value: value,  # a timestamp is a number here
    "jsonparse": _parse_json,
    "jsonstringify": _to_json,
    "jsonarraysize": lambda value: len(parsed) if isinstance(parsed := _parse_json(value), list) else None,
    "strlen": lambda value: len(value) if isinstance(value, str) else None,
}
_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda left, right: bool(left < right),
    "<=": lambda left, right: bool(left <= right),
    ">": lambda left, right: bool(left > right),
    ">=": lambda left, right: bool(left >= right),
}


def _power(left: float, right: float) -> float | None:
    """Return a power, or None for one that is no real number or too large: the page does not say what it gives."""
    try:
        return math.pow(left, right)
    except (OverflowError, ValueError):
        return None


_ARITHMETIC: dict[str, Callable[[float, float], float | None]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right if right else None,
    "^": _power,
}


def _operate(operator: str, values: list[Any]) -> Any:
    left, *others = values
    if operator == "not":
        return not _truth(left)
    right = others[0]
    if operator in {"and", "or"}:
        return _truth(left) and _truth(right) if operator == "and" else _truth(left) or _truth(right)
    if operator in {"=", "!="}:
        return (left == right) is (operator == "=")
    if operator == "in":
        return left in others
    if operator == "like":
        return isinstance(left, str) and str(right) in left
    if operator == "matches":
        body, _, flags = str(right)[1:].rpartition("/")
        return isinstance(left, str) and re.search(body, left, re.IGNORECASE if flags else 0) is not None
    if not isinstance(left, int | float) or not isinstance(right, int | float):
        return False if operator in _ORDERED else None
    return _ORDERED[operator](left, right) if operator in _ORDERED else _ARITHMETIC[operator](left, right)


def _truth(value: object) -> bool:
    return bool(value)
