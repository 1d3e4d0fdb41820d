"""Parse metric math into a tree.

Source: AmazonCloudWatch/latest/monitoring/using-metric-math.html, "Metric math syntax and functions", as stored on
2026-11-24.
"""

import re
from collections.abc import Iterator

import msgspec

from localaws.preview.cursor import Cursor, unquoted
from localaws.preview.errors import SyntaxProblem


class Number(msgspec.Struct, frozen=True):
    """A scalar."""

    value: float


class Text(msgspec.Struct, frozen=True):
    """A string, an argument of SEARCH or METRICS."""

    value: str


class Name(msgspec.Struct, frozen=True):
    """The id of a row, or a word such as REPEAT or DESC."""

    name: str


class Array(msgspec.Struct, frozen=True):
    """Several values in brackets."""

    items: tuple["Tree", ...]


class Call(msgspec.Struct, frozen=True):
    """A function and its arguments."""

    function: str
    arguments: tuple["Tree", ...]


class Negative(msgspec.Struct, frozen=True):
    """Unary minus."""

    operand: "Tree"


class Operation(msgspec.Struct, frozen=True):
    """Two operands. `operator` is one of + - * / ^ == != < <= > >= AND OR."""

    operator: str
    left: "Tree"
    right: "Tree"


Tree = Number | Text | Name | Array | Call | Negative | Operation

FUNCTIONS = {
    **dict.fromkeys(("ABS", "AVG", "CEIL", "DATAPOINT_COUNT", "DIFF", "DIFF_TIME", "FIRST", "FLOOR", "LAST"), (1, 1)),
    **dict.fromkeys(("LOG", "LOG10", "MAX", "METRIC_COUNT", "MIN", "PERIOD", "RATE", "REMOVE_EMPTY"), (1, 1)),
    **dict.fromkeys(("RUNNING_SUM", "SERVICE_QUOTA", "STDDEV", "SUM", "TIME_SERIES"), (1, 1)),
    **dict.fromkeys(("MINUTE", "HOUR", "DAY", "DATE", "MONTH", "YEAR", "EPOCH"), (1, 1)),
    "ANOMALY_DETECTION_BAND": (1, 2),
    "FILL": (2, 2),
    "IF": (2, 3),
    "INSIGHT_RULE_METRIC": (2, 2),
    "METRICS": (0, 1),
    "SEARCH": (2, 3),
    "SLICE": (2, 3),
    "SORT": (3, 4),
}
"""Every documented function, with its minimum and maximum number of arguments."""

_TOKENS = re.compile(
    r"""(?P<space>\s+)
    |(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)
    |(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|“[^”]*”)
    |(?P<word>[A-Za-z_]\w*)
    |(?P<symbol>==|!=|<=|>=|&&|\|\||[-+*/^<>()\[\],])""",
    re.VERBOSE,
)

_LEVELS = (("OR", "||"), ("AND", "&&"), ("==", "!=", "<=", ">=", "<", ">"), ("+", "-"), ("*", "/"))
_SPELLED = {"||": "OR", "&&": "AND"}


def parse(expression: str) -> Tree:
    """Return the expression's tree. Raises `SyntaxProblem` if it does not follow the grammar."""
    cursor = Cursor(expression, _TOKENS)
    tree = _level(cursor, 0)
    cursor.expect_end()
    return tree


def walk(tree: Tree) -> Iterator[Tree]:
    """Yield every node of the tree, the root first."""
    yield tree
    match tree:
        case Array(items):
            children = items
        case Call(_, arguments):
            children = arguments
        case Negative(operand):
            children = (operand,)
        case Operation(_, left, right):
            children = (left, right)
        case _:
            children = ()
    for child in children:
        yield from walk(child)


def _level(cursor: Cursor, level: int) -> Tree:
    if level == len(_LEVELS):
        return _unary(cursor)
    left = _level(cursor, level + 1)
    while found := cursor.accept(*_LEVELS[level]):
        left = Operation(_SPELLED.get(found.text, found.text), left, _level(cursor, level + 1))
    return left


def _unary(cursor: Cursor) -> Tree:
    if cursor.accept("-"):
        return Negative(_unary(cursor))
    base = _atom(cursor)
    return Operation("^", base, _unary(cursor)) if cursor.accept("^") else base


def _atom(cursor: Cursor) -> Tree:
    if cursor.accept("("):
        inside = _level(cursor, 0)
        cursor.expect(")")
        return inside
    if cursor.accept("["):
        return Array(_list(cursor, "]"))
    if number := cursor.accept_kind("number"):
        return Number(float(number.text))
    if text := cursor.accept_kind("text"):
        # A search expression has its own escapes.
        return Text(text.text[1:-1] if text.text[0] == "'" else unquoted(text))
    word = cursor.expect_kind("word")
    if not cursor.accept("("):
        return Name(word.text)
    return _call(word.text, _list(cursor, ")"))


def _call(function: str, arguments: tuple[Tree, ...]) -> Call:
    if function not in FUNCTIONS:
        hint = ". Functions are written in capitals" if function.upper() in FUNCTIONS else ""
        raise SyntaxProblem(f"{function} is not a function of metric math{hint}")
    fewest, most = FUNCTIONS[function]
    if not fewest <= len(arguments) <= most:
        wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
        raise SyntaxProblem(f"{function} takes {wanted} arguments, not {len(arguments)}")
    return Call(function, arguments)


def _list(cursor: Cursor, closing: str) -> tuple[Tree, ...]:
    items: list[Tree] = []
    if cursor.accept(closing):
        return ()
    while True:
        items.append(_level(cursor, 0))
        if cursor.expect(",", closing).text == closing:
            return tuple(items)
