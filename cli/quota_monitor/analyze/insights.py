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
from typing import Any

import msgspec
from msgspec.inspect import DictType, Field, ListType, StructType, Type, UnionType, type_info

from bedrock_quota.processor.max_tokens import DECLARED_LIMIT_KEY
from bedrock_quota.processor.records import Record

MAX_ROWS = 100_000
"""Most rows of a query (API reference of StartQuery, read 2026-11-28)."""

PAGE_ROWS = 10_000
"""Most rows of a page of GetQueryResults."""

_RECORD = "r"

_BODY_LENGTH, _CHUNKS = "body_length", "chunks"
"""Columns: the length of the request's body as text, and the number of chunks of a streamed answer."""

_OUTPUT = ("output", "outputTokenCount")

_REQUEST, _ANSWER = ("input", "inputBodyJson"), ("output", "outputBodyJson")

_METADATA = "requestMetadata"

_REASONS = frozenset({"stopReason", "stop_reason", "finish_reason", "finishReason", "reason"})
"""Names of the reason why an answer ended."""

_USAGES = (
    ("usage", "inputTokens"),
    ("usage", "outputTokens"),
    ("usage", "input_tokens"),
    ("usage", "output_tokens"),
    ("usage", "prompt_tokens"),
    ("usage", "completion_tokens"),
    ("usage", "cacheReadInputTokens"),
    ("usage", "cacheWriteInputTokens"),
    ("usage", "cache_read_input_tokens"),
    ("usage", "cache_creation_input_tokens"),
    ("usage", "input_tokens_details", "cached_tokens"),
    ("usage", "prompt_tokens_details", "cached_tokens"),
    ("metrics", "latencyMs"),
    ("amazon-bedrock-invocationMetrics", "invocationLatency"),
    ("amazon-bedrock-guardrailAction",),
)
"""Places in an answer that the fast reader does not need: counts if the record has none, latency, blocked calls."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")

Path = tuple[str, ...]


def list_paths(metadata_keys: Iterable[str] = ()) -> tuple[Path, ...]:
    """Return the path of each field of a record that the processor reads, outside of lists."""
    paths = [path for path in _walk(type_info(Record), ()) if path[:1] != (_METADATA,)]
    paths += [(*_ANSWER, *path) for path in _USAGES]
    paths += [(_METADATA, key) for key in dict.fromkeys((DECLARED_LIMIT_KEY, *metadata_keys))]
    return tuple(dict.fromkeys(paths))


def write_query(paths: Sequence[Path]) -> str:
    """Return the query for these paths. Their columns are `f0`, `f1` and so on.

    It has no filter for a model, because calls through application profiles do not name theirs. A query has at most
    10,000 characters (API reference of StartQuery, read 2026-11-28).
    """
    columns = [f"{_reference(path)} as f{number}" for number, path in enumerate(paths)]
    columns += [
        f"strlen(jsonStringify({_reference(_REQUEST)})) as {_BODY_LENGTH}",
        f"jsonArraySize(jsonStringify({_reference(_ANSWER)})) as {_CHUNKS}",
    ]
    names = [f"f{number}" for number in range(len(paths))] + [_BODY_LENGTH, _CHUNKS]
    return "\n| ".join(
        (
            f"fields jsonParse(@message) as {_RECORD}",
            f"filter ispresent({_RECORD}.modelId)",
            "fields " + ", ".join(columns),
            "display " + ", ".join(names),
        )
    )


class Row(msgspec.Struct, frozen=True):
    """A row as a record in JSON. `is_end_unknown` is true for an answer whose reason to end is in a list, or absent."""

    message: bytes
    is_end_unknown: bool


def read_row(paths: Sequence[Path], row: Iterable[Mapping[str, str]]) -> Row:
    """Return a row of results as the record that it came from, with the fields that were fetched."""
    values = {each["field"]: each.get("value", "") for each in row}
    record: dict[str, Any] = {}
    if values.get(_BODY_LENGTH):
        _set(record, _REQUEST, {})
    has_reason = False
    for number, path in enumerate(paths):
        value = values.get(f"f{number}")
        if value:
            _set(record, path, _parse(value))
            has_reason = has_reason or path[-1] in _REASONS
    has_output = values.get(f"f{paths.index(_OUTPUT)}", "0") != "0" or bool(values.get(_CHUNKS))
    return Row(msgspec.json.encode(record), has_output and bool(values.get(_BODY_LENGTH)) and not has_reason)


def _walk(found: Type, path: Path) -> Iterator[Path]:
    """Yield the paths of all values at or below a type. Values in lists are left out."""
    if isinstance(found, UnionType):
        for each in found.types:
            yield from _walk(each, path)
    elif isinstance(found, StructType):
        if not found.array_like:
            for field in found.fields:
                yield from _walk(field.type, (*path, _name(field)))
    elif not isinstance(found, ListType | DictType | msgspec.inspect.NoneType):
        yield path


def _name(field: Field) -> str:
    return field.encode_name


def _reference(path: Path) -> str:
    return ".".join((_RECORD, *(name if _PLAIN.fullmatch(name) else f"`{name}`" for name in path)))


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


def _parse(value: str) -> object:
    """Return a number if the text is one as JSON writes it. Results have only texts."""
    return msgspec.Raw(value.encode()) if _NUMBER.fullmatch(value) else value
