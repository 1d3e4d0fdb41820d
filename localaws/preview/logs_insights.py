"""Logs Insights queries, as far as dashboards here use them: text → query, and its rows over log events.

Read: AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html and its pages on commands and functions (2026-11-23). Commands:
SOURCE, fields, display, filter, stats, sort, limit; anything else is refused by name.
"""

import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from localaws.preview.cursor import END, Cursor, unquoted
from localaws.preview.errors import NotSupportedError, PreviewError

Row = Mapping[str, Any]


class Literal(msgspec.Struct, frozen=True):
    """A number or a text."""

    value: float | str


class Field(msgspec.Struct, frozen=True):
    """A field of an event, nested ones with dots."""

    name: str


class Call(msgspec.Struct, frozen=True):
    """A function and its arguments."""

    function: str
    arguments: tuple["Expression", ...]


class Operation(msgspec.Struct, frozen=True):
    """Two operands, or one for `not`; words in lower case."""

    operator: str
    operands: tuple["Expression", ...]


Expression = Literal | Field | Call | Operation


class Named(msgspec.Struct, frozen=True):
    """An expression and the name of its column."""

    expression: Expression
    name: str


class Query(msgspec.Struct, frozen=True):
    """A query: the log groups it names, and its commands in order."""

    groups: tuple[str, ...]
    commands: tuple["Command", ...]


class Filter(msgspec.Struct, frozen=True):
    """Keeps the rows for which the condition holds."""

    condition: Expression


class Fields(msgspec.Struct, frozen=True):
    """Adds columns; `alone` (display) drops all others."""

    columns: tuple[Named, ...]
    alone: bool


class Stats(msgspec.Struct, frozen=True):
    """One row a group."""

    columns: tuple[Named, ...]
    by: tuple[Named, ...]


class Sort(msgspec.Struct, frozen=True):
    """Keys in order, each with whether it descends."""

    keys: tuple[tuple[str, bool], ...]


class Limit(msgspec.Struct, frozen=True):
    """So many rows at most."""

    rows: int


Command = Filter | Fields | Stats | Sort | Limit

MAX_ROWS = 10_000
"""Of any query."""

MAX_FIELDS = 200
"""Of an event's JSON (the page on `parse`, read 2026-11-24): taken to be its first; others cannot be asked for."""

_TOKENS = re.compile(
    r"""(?P<space>(?:\s|\#[^\n]*)+)
    |(?P<number>\d+(?:\.\d+)?)
    |(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<quoted>`[^`]+`)
    |(?P<word>[@A-Za-z_][\w.@]*)
    |(?P<pattern>(?<=like\s)/(?:[^/\\\n]|\\.)+/i?)
    |(?P<symbol><=|>=|!=|[|,()=<>+\-*/\[\]])""",
    re.VERBOSE,
)
_AGGREGATES = frozenset(
    {"sum", "avg", "min", "max", "count", "count_distinct", "pct", "latest", "earliest", "sortsfirst", "sortslast"}
)
_FUNCTIONS = frozenset({"ispresent", "coalesce", "abs", "floor", "ceil", "bin", "frommillis"})


def parse(text: str) -> Query:
    """Return a query; raises `PreviewError`, naming the place."""
    cursor = Cursor(text, _TOKENS)
    groups: list[str] = []
    commands: list[Command] = []
    while cursor.token.kind != END:
        if cursor.accept("|"):
            continue
        word = cursor.expect_kind("word").text.lower()
        if word == "source":
            groups.append(unquoted(cursor.expect_kind("text")))
            continue
        if word not in _COMMANDS:
            raise NotSupportedError(f"the command {word} of Logs Insights")
        commands.append(_COMMANDS[word](cursor))
        if cursor.token.kind != END and not cursor.sees("|", "source"):
            cursor.fail("expected |")
    return Query(tuple(groups), tuple(commands))


def _fields(cursor: Cursor) -> Fields:
    return Fields(_columns(cursor), alone=False)


def _display(cursor: Cursor) -> Fields:
    return Fields(_columns(cursor), alone=True)


def _filter(cursor: Cursor) -> Filter:
    return Filter(_either(cursor))


def _stats(cursor: Cursor) -> Stats:
    columns = _columns(cursor)
    return Stats(columns, _columns(cursor) if cursor.accept("by") else ())


def _sort(cursor: Cursor) -> Sort:
    keys = []
    while True:
        name = _field(cursor).name
        order = cursor.accept("desc", "asc")
        keys.append((name, order is not None and order.text.lower() == "desc"))
        if not cursor.accept(","):
            return Sort(tuple(keys))


def _limit(cursor: Cursor) -> Limit:
    return Limit(int(cursor.expect_kind("number").text))


_COMMANDS: dict[str, Callable[[Cursor], Command]] = {
    "fields": _fields,
    "display": _display,
    "filter": _filter,
    "stats": _stats,
    "sort": _sort,
    "limit": _limit,
}


def _columns(cursor: Cursor) -> tuple[Named, ...]:
    found = []
    while True:
        at = cursor.token.at
        expression = _either(cursor)
        text = cursor.text_from(at).strip("`")
        name = _field(cursor).name if cursor.accept("as") else text
        found.append(Named(expression, name))
        if not cursor.accept(","):
            return tuple(found)


def _field(cursor: Cursor) -> Field:
    token = cursor.expect_kind("word", "quoted")
    return Field(token.text.strip("`"))


def _either(cursor: Cursor) -> Expression:
    left = _both(cursor)
    while cursor.accept("or"):
        left = Operation("or", (left, _both(cursor)))
    return left


def _both(cursor: Cursor) -> Expression:
    left = _not(cursor)
    while cursor.accept("and"):
        left = Operation("and", (left, _not(cursor)))
    return left


def _not(cursor: Cursor) -> Expression:
    if cursor.accept("not"):
        return Operation("not", (_not(cursor),))
    return _compared(cursor)


def _compared(cursor: Cursor) -> Expression:
    left = _added(cursor)
    found = cursor.accept("=", "!=", "<", "<=", ">", ">=")
    if found:
        return Operation(found.text, (left, _added(cursor)))
    if cursor.accept("like"):
        if cursor.token.kind == "pattern":
            return Operation("matches", (left, Literal(cursor.take().text)))
        return Operation("like", (left, _added(cursor)))
    if cursor.accept("in"):
        cursor.expect("[")
        items = [_added(cursor)]
        while cursor.expect(",", "]").text == ",":
            items.append(_added(cursor))
        return Operation("in", (left, *items))
    return left


def _added(cursor: Cursor) -> Expression:
    left = _multiplied(cursor)
    while found := cursor.accept("+", "-"):
        left = Operation(found.text, (left, _multiplied(cursor)))
    return left


def _multiplied(cursor: Cursor) -> Expression:
    left = _atom(cursor)
    while found := cursor.accept("*", "/"):
        left = Operation(found.text, (left, _atom(cursor)))
    return left


def _atom(cursor: Cursor) -> Expression:
    if cursor.accept("("):
        inside = _either(cursor)
        cursor.expect(")")
        return inside
    if number := cursor.accept_kind("number"):
        return Literal(float(number.text))
    if text := cursor.accept_kind("text"):
        return Literal(unquoted(text))
    field = _field(cursor)
    if not cursor.accept("("):
        return field
    function = field.name.lower()
    if function not in _AGGREGATES | _FUNCTIONS:
        raise NotSupportedError(f"the function {field.name} of Logs Insights")
    arguments: list[Expression] = []
    if cursor.accept("*"):
        cursor.expect(")")
        return Call(function, ())
    while not cursor.accept(")"):
        arguments.append(_either(cursor))
        if not cursor.sees(")"):
            cursor.expect(",")
    return Call(function, tuple(arguments))


def fields(query: Query) -> set[str]:
    """Return the fields that a query reads of events: those that it does not make itself."""
    read: set[str] = set()
    made: set[str] = set()
    for command in query.commands:
        match command:
            case Filter(condition):
                read |= _read(condition) - made
            case Fields(columns, _):
                read |= {name for each in columns for name in _read(each.expression)} - made
                made |= {each.name for each in columns}
            case Stats(columns, by):
                read |= {name for each in (*columns, *by) for name in _read(each.expression)} - made
                made |= {each.name for each in (*columns, *by)}
            case Sort(keys):
                read |= {key for key, _ in keys} - made
    return read


def _read(expression: Expression) -> set[str]:
    match expression:
        case Field(name):
            return {name}
        case Call(_, parts) | Operation(_, parts):
            return {name for part in parts for name in _read(part)}
    return set()


# ---------------------------------------------------------------- events to rows


def parse_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a log event: those of its JSON, nested ones with dots, and `@timestamp`, `@message`."""
    row: dict[str, Any] = {"@timestamp": event["timestamp"], "@message": event["message"]}
    if event["message"].startswith("{"):
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


def run(query: Query, rows: Iterable[Row]) -> tuple[list[str], list[list[Any]]]:
    """Return the columns and rows that a query makes of the fields of events. Raises `PreviewError`."""
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
    return columns, [[row.get(column) for column in columns] for row in found[:MAX_ROWS]]


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
    if isinstance(expression, Call) and expression.function in _AGGREGATES:
        return _aggregated(expression, rows)
    if isinstance(expression, Operation):
        return _operate(expression.operator, [_aggregate(each, rows) for each in expression.operands])
    return _value(expression, rows[-1])


def _aggregated(call: Call, rows: Sequence[Row]) -> Any:
    if call.function == "count" and not call.arguments:
        return len(rows)
    values = [value for row in rows if (value := _value(call.arguments[0], row)) is not None]
    if call.function in {"count", "count_distinct"}:
        return len(values) if call.function == "count" else len(set(values))
    if not values:
        return None
    if call.function in {"latest", "earliest"}:  # of that event, which may not have the field
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
            return row.get(name)
        case Operation(operator, operands):
            return _operate(operator, [_value(each, row) for each in operands])
        case Call("ispresent", arguments):
            return _value(arguments[0], row) is not None
        case Call("coalesce", arguments):
            return next((value for each in arguments if (value := _value(each, row)) is not None), None)
        case Call("abs", arguments):
            return _number(math.fabs, _value(arguments[0], row))
        case Call("floor", arguments):
            return _number(math.floor, _value(arguments[0], row))
        case Call("ceil", arguments):
            return _number(math.ceil, _value(arguments[0], row))
        case Call("frommillis", arguments):
            return _timestamp(_value(arguments[0], row))
        case Call(function, _):
            raise PreviewError(f"{function} does not stand here")


def _number(function: Callable[[float], float], value: object) -> float | None:
    return function(value) if isinstance(value, int | float) else None


def _timestamp(milliseconds: object) -> str | None:
    """Return a moment as the console shows it."""
    if not isinstance(milliseconds, int | float):
        return None
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}"


_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda left, right: bool(left < right),
    "<=": lambda left, right: bool(left <= right),
    ">": lambda left, right: bool(left > right),
    ">=": lambda left, right: bool(left >= right),
}
_ARITHMETIC: dict[str, Callable[[float, float], float | None]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right if right else None,
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
