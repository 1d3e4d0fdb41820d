"""The query that fetches the fields of records from a log group, and reading its rows as records.

Prompts and answers stay in the account: only the fields that decide about quotas are returned. The query parses each
message with `jsonParse`, because CloudWatch discovers at most 200 fields of an event. A long conversation fills them.
Nothing is searched in text. So text that a prompt quotes, or the input of a tool, is never taken for a field.

Functions: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-operations-functions.html (read
2026-11-28). No index of lists is documented for certain, so nothing in a list is read. Of a streamed answer of
InvokeModel that is everything: if it was cut, its tier and its latency.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec
from msgspec.inspect import (
    DictType,
    Field,
    FloatType,
    IntType,
    ListType,
    NoneType,
    StructType,
    Type,
    UnionType,
    type_info,
)

from bedrock_quota.processor.max_tokens import DECLARED_LIMIT_KEY
from bedrock_quota.processor.reading import PERMISSIONS_LINE
from bedrock_quota.processor.records import Record

Path = tuple[str, ...]

MAX_ROWS = 100_000
"""Most rows of a query (API reference of StartQuery, read 2026-11-28)."""

MAX_PAGE_ROWS = 10_000
"""Most rows of a page of GetQueryResults. An SDK that does not know pages gets one."""

MAX_WHOLE = 2**53
"""Larger whole numbers are not exact in a result that was a fraction."""

_RECORD = "r"

_PARSED, _PERMISSIONS = "parsed", "permissions"
"""Columns: the length of the event as an object of JSON, and 1 for Bedrock's first event in a new log group."""

_BODY_LENGTH, _CHUNKS, _ANSWER_LENGTH, _RESULTS = "body_length", "chunks", "answer_length", "results"
"""Columns: the length of the request's body as text, the number of chunks of a streamed answer, the length of any
answer, and the number of texts in one of Titan."""

_OUTPUT = ("output", "outputTokenCount")

_REQUEST, _ANSWER = ("input", "inputBodyJson"), ("output", "outputBodyJson")

_METADATA = "requestMetadata"

_REASONS = frozenset({"stopReason", "stop_reason", "finish_reason", "finishReason", "reason"})
"""Names of the reason why an answer ended."""


class Kind(StrEnum):
    """The type of a field. Results of a query have only texts, so it decides how a text is read."""

    TEXT = "text"
    NUMBER = "number"
    OBJECT = "object"


class Column(msgspec.Struct, frozen=True):
    """A field of a record that the query returns. Of an object, it returns the JSON."""

    path: Path
    kind: Kind = Kind.TEXT


_COUNTS = (
    *(
        Column((*_ANSWER, *path), Kind.OBJECT)
        for path in (
            ("usage",),
            ("amazon-bedrock-invocationMetrics",),
            ("meta", "tokens"),
            ("meta", "billed_units"),
            ("message", "usage"),
            ("response", "usage"),
            ("metadata", "usage"),
        )
    ),
    *(
        Column((*_ANSWER, *path), Kind.NUMBER)
        for path in (
            ("inputTextTokenCount",),
            ("prompt_token_count",),
            ("totalOutputTextTokenCount",),
            ("generation_token_count",),
            ("metrics", "latencyMs"),
        )
    ),
    Column((*_ANSWER, "amazon-bedrock-guardrailAction")),
    Column(("output", "outputBodyS3Path")),
)
"""Fields that the fast reader does not need: counts if the record has none, latency, and blocked calls. The objects
have only counts."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,30})(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,3})?")


def list_columns(metadata_keys: Iterable[str] = ()) -> tuple[Column, ...]:
    """Return each field of a record that the processor reads, outside of lists."""
    found = [column for column in _walk(type_info(Record), ()) if column.path[:1] != (_METADATA,)]
    found += _COUNTS
    found += [Column((_METADATA, key)) for key in dict.fromkeys((DECLARED_LIMIT_KEY, *metadata_keys))]
    return tuple(dict.fromkeys(found))


def write_query(columns: Sequence[Column]) -> str:
    """Return the query for these columns. Their names are `f0`, `f1` and so on.

    It has no filter, so that every event is counted. A query has at most 10,000 characters (API reference of
    StartQuery, read 2026-11-28).
    """
    request, answer = _reference(_REQUEST), _reference(_ANSWER)
    named = {f"f{number}": _select(column) for number, column in enumerate(columns)} | {
        _PARSED: f"strlen(jsonStringify({_RECORD}))",
        _PERMISSIONS: f'strcontains(@message, "{PERMISSIONS_LINE}")',
        _BODY_LENGTH: f"strlen(jsonStringify({request}))",
        _ANSWER_LENGTH: f"strlen(jsonStringify({answer}))",
        _CHUNKS: f"jsonArraySize(jsonStringify({answer}))",
        _RESULTS: f"jsonArraySize(jsonStringify({answer}.results))",
    }
    return "\n| ".join(
        (
            f"fields jsonParse(@message) as {_RECORD}",
            "fields " + ", ".join(f"{expression} as {name}" for name, expression in named.items()),
            "display " + ", ".join(named),
        )
    )


class Row(msgspec.Struct, frozen=True):
    """A row as a record in JSON. `is_end_unknown` is true for an answer whose reason to end is in a list, or absent."""

    message: bytes
    is_end_unknown: bool = False


def read_row(columns: Sequence[Column], row: Iterable[Mapping[str, str]]) -> Row:
    """Return a row of results as the record that it came from, with the fields that were fetched.

    An answer of which only lists may have the counts gets empty lists. So the counts of such a record are missing, and
    nothing is guessed. An event that is no JSON has an empty message.
    """
    values = {each["field"]: _clean(each.get("value", "")) for each in row}
    if not values.get(_PARSED):
        is_permissions_line = values.get(_PERMISSIONS, "0") not in {"", "0", "false"}
        return Row(PERMISSIONS_LINE.encode() if is_permissions_line else b"")
    record: dict[str, Any] = {}
    if values.get(_BODY_LENGTH):
        _set(record, _REQUEST, {})
    if values.get(_ANSWER_LENGTH):
        _set(record, _ANSWER, {})
    has_reason = False
    for number, column in enumerate(columns):
        value = values.get(f"f{number}")
        if value:
            _set(record, column.path, _parse(value, column.kind))
            has_reason = has_reason or column.path[-1] in _REASONS
    if values.get(_RESULTS):
        _set(record, (*_ANSWER, "results"), [])
    if values.get(_CHUNKS):
        record.setdefault("output", {})[_ANSWER[-1]] = []
    output = values.get(f"f{_find(columns, _OUTPUT)}", "0")
    has_output = output != "0" or bool(values.get(_CHUNKS))
    return Row(msgspec.json.encode(record), has_output and bool(values.get(_BODY_LENGTH)) and not has_reason)


def _clean(text: str) -> str:
    """Return a text that can be written as UTF-8. Others have lone surrogates."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def _find(columns: Sequence[Column], path: Path) -> int:
    return next(number for number, column in enumerate(columns) if column.path == path)


def _walk(found: Type, path: Path) -> Iterator[Column]:
    """Yield all values at or below a type. Values in lists are left out."""
    if isinstance(found, UnionType):
        for each in found.types:
            yield from _walk(each, path)
    elif isinstance(found, StructType):
        if not found.array_like:
            for field in found.fields:
                yield from _walk(field.type, (*path, _name(field)))
    elif isinstance(found, IntType | FloatType):
        yield Column(path, Kind.NUMBER)
    elif not isinstance(found, ListType | DictType | NoneType):
        yield Column(path)


def _name(field: Field) -> str:
    return field.encode_name


def _reference(path: Path) -> str:
    return ".".join((_RECORD, *(name if _PLAIN.fullmatch(name) else f"`{name}`" for name in path)))


def _select(column: Column) -> str:
    reference = _reference(column.path)
    return f"jsonStringify({reference})" if column.kind is Kind.OBJECT else reference


def _set(record: dict[str, Any], path: Path, value: object) -> None:
    """Put a value into nested objects. An object wins over a plain value at the same place."""
    place = record
    for name in path[:-1]:
        inside = place.get(name)
        if not isinstance(inside, dict):
            inside = place[name] = {}
        place = inside
    if not isinstance(place.get(path[-1]), dict):
        place[path[-1]] = value


def _parse(value: str, kind: Kind) -> object:
    """Return the value that a text stands for. Whole numbers are whole, however the text writes them."""
    if kind is Kind.NUMBER and _NUMBER.fullmatch(value):
        number = float(value)
        return int(number) if number.is_integer() and abs(number) < MAX_WHOLE else msgspec.Raw(value.encode())
    if kind is Kind.OBJECT:
        try:
            return msgspec.json.decode(value, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeError):
            return {}
    return value
