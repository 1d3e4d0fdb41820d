"""Parse Logs Insights queries, as far as our dashboards and `quota-monitor analyze` use the language.

Source: AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html and its pages on commands and functions, read 2026-11-23.
The commands are SOURCE, fields, display, filter, stats, sort and limit. A query with any other command is refused, and
the message names the command. Two stats commands are allowed, and sort and limit only after the last of them (page on
stats, read 2026-11-29).
"""

import re
from collections.abc import Callable, Sequence

import msgspec

from localaws.preview.cursor import END, Cursor, unquoted
from localaws.preview.errors import NotSupportedError, PreviewError

MAX_STATS = 2
"""The most stats commands of a query."""


class Literal(msgspec.Struct, frozen=True):
    """A number or a text."""

    value: float | str


class Field(msgspec.Struct, frozen=True):
    """A field of an event. A nested field has dots in its name."""

    name: str


class Call(msgspec.Struct, frozen=True):
    """A function and its arguments."""

    function: str
    arguments: tuple["Expression", ...]


class Operation(msgspec.Struct, frozen=True):
    """An operator in lower case with two operands, or one for `not`."""

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
    """Keep the rows that meet the condition."""

    condition: Expression


class Fields(msgspec.Struct, frozen=True):
    """Add columns. If `alone` (display), drop all others."""

    columns: tuple[Named, ...]
    alone: bool


class Stats(msgspec.Struct, frozen=True):
    """Make one row per group."""

    columns: tuple[Named, ...]
    by: tuple[Named, ...]


class Sort(msgspec.Struct, frozen=True):
    """Sort by keys in order. The flag of a key says if it is descending."""

    keys: tuple[tuple[str, bool], ...]


class Limit(msgspec.Struct, frozen=True):
    """Keep at most this many rows."""

    rows: int


Command = Filter | Fields | Stats | Sort | Limit

_TOKENS = re.compile(
    r"""(?P<space>(?:\s|\#[^\n]*)+)
    |(?P<number>\d+(?:\.\d+)?)
    |(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<quoted>`[^`]+`)
    |(?P<word>[@A-Za-z_][\w@]*(?:\.(?:\w+|`[^`]+`))*)
    |(?P<pattern>(?<=like\s)/(?:[^/\\\n]|\\.)+/i?)
    |(?P<symbol><=|>=|!=|[|,()=<>+\-*/^\[\]])""",
    re.VERBOSE,
)
AGGREGATES = frozenset(
    {"sum", "avg", "min", "max", "count", "count_distinct", "pct", "latest", "earliest", "sortsfirst", "sortslast"}
)
_FUNCTIONS = frozenset(
    {
        "ispresent",
        "coalesce",
        "abs",
        "floor",
        "ceil",
        "greatest",
        "least",
        "log",
        "bin",
        "frommillis",
        "tomillis",
        "jsonparse",
        "jsonstringify",
        "jsonarraysize",
        "strcontains",
        "strlen",
    }
)


def parse(text: str) -> Query:
    """Parse a query. Raises `PreviewError` with the position."""
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
    _check_order(commands)
    return Query(tuple(groups), tuple(commands))


def _check_order(commands: Sequence["Command"]) -> None:
    """Refuse commands in an order that Logs Insights refuses."""
    stats = [at for at, command in enumerate(commands) if isinstance(command, Stats)]
    if len(stats) > MAX_STATS:
        raise PreviewError(f"a query has at most {MAX_STATS} stats commands, not {len(stats)}")
    if stats and any(isinstance(command, Sort | Limit) for command in commands[: stats[-1]]):
        raise PreviewError("sort and limit come after the last stats command")


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
    return Field(token.text.replace("`", ""))


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
    left = _power(cursor)
    while found := cursor.accept("*", "/"):
        left = Operation(found.text, (left, _power(cursor)))
    return left


def _power(cursor: Cursor) -> Expression:
    base = _atom(cursor)
    return Operation("^", (base, _power(cursor))) if cursor.accept("^") else base


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
    if function not in AGGREGATES | _FUNCTIONS:
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


def read_fields(query: Query) -> set[str]:
    """Return the fields that a query reads from events, without those that it makes itself."""
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
