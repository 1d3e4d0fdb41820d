"""Parse search expressions, and find the metrics that match.

Source: AmazonCloudWatch/latest/monitoring/search-expression-syntax.html, as stored on 2026-11-24. In a monitoring
account, a search finds the metrics of all linked accounts, unless a term limits `:aws.AccountId` (the same page, read
2026-11-28).
"""

import re
from collections.abc import Iterable

import msgspec

from localaws.preview.cursor import END, Cursor, unquoted
from localaws.preview.errors import NotSupportedError, SyntaxProblem
from localaws.preview.series import Metric

MAX_CHARACTERS = 1024
MAX_SERIES = 500
ACCOUNT = ":aws.AccountId"
"""The designator for the account of a metric."""

LOCAL = "LOCAL"
"""The account itself, as a value of `ACCOUNT`."""


class Schema(msgspec.Struct, frozen=True):
    """The part in braces: metrics of this namespace with exactly these dimensions.

    Without dimensions, it matches metrics with any dimensions.
    """

    namespace: str
    dimensions: tuple[str, ...] = ()


class Term(msgspec.Struct, frozen=True):
    """A word to find, exactly or by its tokens, in the property `designator` or anywhere."""

    text: str
    exact: bool = False
    designator: str = ""


class Not(msgspec.Struct, frozen=True):
    """A condition that must not match."""

    operand: "Condition"


class All(msgspec.Struct, frozen=True):
    """All of these conditions. Without operands, it matches everything."""

    operands: tuple["Condition", ...]


class Any(msgspec.Struct, frozen=True):
    """At least one of these conditions."""

    operands: tuple["Condition", ...]


Condition = Term | Not | All | Any


class Search(msgspec.Struct, frozen=True):
    """A whole search."""

    schema: Schema | None
    condition: Condition


_TOKENS = re.compile(
    r"""(?P<space>\s+)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<symbol>[{}(),=])
    |(?P<word>[^\s"'{}(),=]+)""",
    re.VERBOSE,
)
_PIECES = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z]*|[a-z]+|\d+")


def parse(expression: str) -> Search:
    """Parse the first argument of SEARCH. Raises `SyntaxProblem` if it is not a search expression."""
    if len(expression) > MAX_CHARACTERS:
        raise SyntaxProblem(f"a search has at most {MAX_CHARACTERS:,} characters, not {len(expression):,}")
    cursor = Cursor(expression, _TOKENS)
    schema = _schema(cursor) if cursor.accept("{") else None
    cursor.accept(",")
    condition = _any(cursor)
    cursor.expect_end()
    if schema is None and condition == All(()):
        cursor.fail("expected a schema in braces or something to search for")
    return Search(schema, condition)


def find(search: Search, metrics: Iterable[Metric]) -> tuple[Metric, ...]:
    """Return the metrics that match, at most 500, in alphabetical order."""
    return tuple(sorted(metric for metric in metrics if _fits(search, metric)))[:MAX_SERIES]


def tokens(name: str) -> tuple[str, ...]:
    """Return the tokens of a name as CloudWatch splits it, in their original case."""
    return tuple(_PIECES.findall(name))


def _schema(cursor: Cursor) -> Schema:
    names = [_name(cursor)]
    while cursor.expect(",", "}").text == ",":
        names.append(_name(cursor))
    return Schema(names[0], tuple(names[1:]))


def _name(cursor: Cursor) -> str:
    token = cursor.expect_kind("word", "text")
    return unquoted(token) if token.kind == "text" else token.text


def _any(cursor: Cursor) -> Condition:
    operands = [_all(cursor)]
    while _accept_operator(cursor, "OR"):
        operands.append(_all(cursor))
    if len(operands) > 1 and All(()) in operands:
        cursor.fail("expected something on both sides of OR")
    return operands[0] if len(operands) == 1 else Any(tuple(operands))


def _all(cursor: Cursor) -> Condition:
    operands: list[Condition] = []
    while cursor.token.kind != END and not cursor.sees(")") and cursor.token.text != "OR":
        if _accept_operator(cursor, "AND") and not operands:
            cursor.fail("expected something before AND")
        operands.append(_one(cursor))
    return operands[0] if len(operands) == 1 else All(tuple(operands))


def _one(cursor: Cursor) -> Condition:
    if _accept_operator(cursor, "NOT"):
        return Not(_one(cursor))
    if cursor.accept("("):
        inside = _any(cursor)
        cursor.expect(")")
        return inside
    first = cursor.expect_kind("word", "text")
    if first.text.startswith(":aws.") and first.text != ACCOUNT:
        raise NotSupportedError(first.text)
    if not cursor.accept("="):
        return Term(unquoted(first) if first.kind == "text" else first.text, exact=first.kind == "text")
    designator = unquoted(first) if first.kind == "text" else first.text
    if cursor.accept("("):
        inside = _designated(_any(cursor), designator)
        cursor.expect(")")
        return inside
    wanted = cursor.expect_kind("word", "text")
    exact = wanted.kind == "text"
    return Term(unquoted(wanted) if exact else wanted.text, exact, designator)


def _designated(condition: Condition, designator: str) -> Condition:
    """Apply a designator to every term: `Name=(A OR B)` becomes `Name=A OR Name=B`."""
    match condition:
        case Term():
            return msgspec.structs.replace(condition, designator=condition.designator or designator)
        case Not(operand):
            return Not(_designated(operand, designator))
        case All(operands):
            return All(tuple(_designated(operand, designator) for operand in operands))
        case Any(operands):
            return Any(tuple(_designated(operand, designator) for operand in operands))


def _accept_operator(cursor: Cursor, operator: str) -> bool:
    """Go past the operator if it is next. Operators are in capitals: `and` is a word to search for."""
    if cursor.token.kind == "word" and cursor.token.text == operator:
        cursor.take()
        return True
    return False


def _fits(search: Search, metric: Metric) -> bool:
    if search.schema is not None:
        if metric.namespace != search.schema.namespace:
            return False
        wanted = search.schema.dimensions
        if wanted and sorted(wanted) != sorted(name for name, _ in metric.dimensions):
            return False
    return _holds(search.condition, metric)


def _holds(condition: Condition, metric: Metric) -> bool:
    match condition:
        case Not(operand):
            return not _holds(operand, metric)
        case All(operands):
            return all(_holds(operand, metric) for operand in operands)
        case Any(operands):
            return any(_holds(operand, metric) for operand in operands)
        case Term(text, exact, designator):
            return any(_same(text, name, exact=exact) for name in _searched(metric, designator))


def _searched(metric: Metric, designator: str) -> list[str]:
    if designator == "MetricName":
        return [metric.name]
    if designator == "Namespace":
        return [metric.namespace]
    if designator == ACCOUNT:
        return [metric.account or LOCAL]
    if designator:
        return [value for name, value in metric.dimensions if name == designator]
    return [metric.namespace, metric.name, *(part for pair in metric.dimensions for part in pair)]


def _same(wanted: str, name: str, *, exact: bool) -> bool:
    if exact:
        return wanted == name
    sought, found = tokens(wanted), tokens(name)
    if len(sought) == 1:
        return sought[0].lower() in {piece.lower() for piece in (*found, "".join(found))}
    # Several tokens must follow each other in the name. The page's examples compare them as written (`count1` does not
    # find CustomCount1) unless something stands between them (`network/errors` finds Network-Errors-2).
    if not wanted.isalnum():
        sought, found = tuple(map(str.lower, sought)), tuple(map(str.lower, found))
    return bool(sought) and any(found[at : at + len(sought)] == sought for at in range(len(found)))
