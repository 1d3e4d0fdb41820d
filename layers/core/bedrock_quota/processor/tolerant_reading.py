"""Read a record slowly: counts written as `5.0` or `"5"`, unusual bodies, NaN, lone surrogates, counts in the answer.

The fast reader hands over each message that it cannot read, or that has no counts.
"""

import itertools
import json
import re
from typing import Any

import msgspec

from bedrock_quota.errors import RecordError
from bedrock_quota.processor.answers import AnswerCounts, read_answer, split_input
from bedrock_quota.processor.counts import read_count
from bedrock_quota.processor.delivery import MAX_MESSAGE_BYTES
from bedrock_quota.processor.partial_reading import convert_partly
from bedrock_quota.processor.records import (
    SCHEMA_TYPE,
    Answer,
    Chunk,
    Identity,
    PerformanceConfig,
    Record,
    RecordInput,
    RecordOutput,
    RequestBody,
    TimestampText,
    read_timestamp,
    safe_request_id,
)
from bedrock_quota.processor.serving import MAX_CHUNKS, merge_chunks
from bedrock_quota.processor.step_budget import StepBudget

MAX_DEPTH = 100
"""Deepest nesting of an unusual record."""

STEPS_PER_BRACKET = 2
"""Steps for an object or a list, which costs more than a number or a text."""

_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""A string of JSON, also one without an end. It never backtracks, because `re` would keep 120 bytes per escape."""

_NO_BRACKETS = re.compile(r"[^\[\]{}]+")


def count_steps(message: bytes | bytearray | str) -> int:
    """Return the steps that parsing a message takes. Raises `RecordError`: `too_large`, or `not_json` for odd bytes."""
    structure = _STRING.sub("", _decode_text(message))
    opened = structure.count("{") + structure.count("[")
    return STEPS_PER_BRACKET * opened + structure.count(",") + structure.count(":")


def read_record(message: bytes | str, budget: StepBudget, steps: int) -> Record:
    """Read one record slowly, after the fast reader could not. `steps` are those that parsing it takes.

    Raises `RecordError` with one of these reasons: `too_costly`, `too_deep`, `not_json`, `not_an_object`,
    `wrong_schema`, `missing_timestamp`, `missing_model_id`, `wrong_type`, `bad_timestamp`, `negative_count`,
    `absurd_count`.
    """
    budget.begin_record()
    budget.spend(steps)
    record = _parse(message)
    if not isinstance(record, dict):
        raise RecordError("not_an_object")
    request_id = safe_request_id(record.get("requestId"))
    try:
        return _build_record(record, budget)
    except RecordError as error:
        raise RecordError(error.reason, request_id) from None


def _decode_text(message: bytes | bytearray | str) -> str:
    """Return a message as text, because json treats bytes that contain zeros as UTF-16."""
    if len(message) > MAX_MESSAGE_BYTES:
        raise RecordError("too_large")
    try:
        return message if isinstance(message, str) else message.decode(errors="surrogatepass")
    except UnicodeDecodeError as error:
        raise RecordError("not_json") from error


def _parse(message: bytes | bytearray | str) -> Any:
    """Parse any JSON. It can take thirty times the memory of the text, so the size is at most that of a log event.

    Depth is checked first: no version of Python then reads what another refuses.
    """
    text = _decode_text(message)
    if text.count("{") + text.count("[") > MAX_DEPTH and _measure_depth(_STRING.sub("", text)) > MAX_DEPTH:
        raise RecordError("too_deep")
    try:
        return json.loads(text)
    except ValueError as error:
        raise RecordError("not_json") from error


def _measure_depth(structure: str) -> int:
    """Return the deepest nesting of brackets in a text without strings."""
    brackets = _NO_BRACKETS.sub("", structure)
    return max(itertools.accumulate([1 if bracket in "[{" else -1 for bracket in brackets]), default=0)


def _build_record(record: dict[str, Any], budget: StepBudget) -> Record:
    if record.get("schemaType", SCHEMA_TYPE) != SCHEMA_TYPE:
        raise RecordError("wrong_schema")
    model_id = record.get("modelId")
    if model_id is None:
        raise RecordError("missing_model_id")
    entry_input, entry_output = _read_mapping(record, "input"), _read_mapping(record, "output")
    error_code = _read_text(record.get("errorCode")) or None
    answer = entry_output.get("outputBodyJson") if error_code is None else None
    found = read_answer(answer, budget)
    given = _read_given_counts(entry_input, found)
    output_tokens = read_count(entry_output.get("outputTokenCount"))
    if output_tokens is None:
        output_tokens = read_count(found.output)
    nothing_counted = given.input_tokens is None and output_tokens is None and not given.cached
    if nothing_counted and "outputBodyS3Path" not in entry_output and (answer is None or found.is_blocked):
        given, output_tokens = _GivenCounts(0, given.cache_read_tokens, given.cache_write_tokens), 0
    metadata = _read_mapping(record, "requestMetadata")
    return Record(
        started_at=_read_timestamp_text(record.get("timestamp")),
        model_id=_read_text(model_id) or "",
        operation=_read_text(record.get("operation")) or "",
        request_id=safe_request_id(record.get("requestId")) or "",
        error_code=error_code,
        identity=Identity(_read_text(_read_mapping(record, "identity").get("arn"))),
        request_metadata={key: value for key, value in metadata.items() if isinstance(value, str)},
        performance_config=convert_partly(record.get("performanceConfig"), PerformanceConfig),
        input=RecordInput(
            input_tokens=given.input_tokens,
            cache_read_tokens=given.cache_read_tokens,
            cache_write_tokens=given.cache_write_tokens,
            body=_read_body(entry_input.get("inputBodyJson")),
            body_s3_path=_read_text(entry_input.get("inputBodyS3Path")),
        ),
        output=RecordOutput(output_tokens, _read_words(answer)),
    )


def _read_mapping(record: dict[str, Any], key: str) -> dict[str, Any]:
    value = record.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RecordError("wrong_type")
    return value


def _read_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise RecordError("wrong_type")


def _read_timestamp_text(value: object) -> str:
    """Return a timestamp as text that `Record` accepts, unchanged if possible."""
    timestamp = read_timestamp(value)
    try:
        return msgspec.convert(value, TimestampText)
    except (msgspec.ValidationError, UnicodeError):
        return timestamp.isoformat()


def read_request_body(text: bytes | bytearray) -> RequestBody:
    """Read a request body alone. Raises `RecordError`: `not_json`, `not_an_object`, `too_deep` or `too_large`."""
    budget = StepBudget()
    budget.spend(count_steps(text))
    body = _read_body(_parse(text))
    if body is None:
        raise RecordError("not_an_object")
    return body


def _read_body(value: object) -> RequestBody | None:
    """Return the limits and words of an unusual body. A limit that is not a count is ignored."""
    return convert_partly(value, RequestBody)


def _read_words(answer: object) -> Answer | None:
    """Return what an answer, or the end of a streamed one, tells of how the call was served. It takes no steps."""
    if not isinstance(answer, list):
        return convert_partly(answer, Answer)
    chunks = (convert_partly(chunk, Chunk) for chunk in reversed(answer[-MAX_CHUNKS:]))
    return merge_chunks(chunk for chunk in chunks if chunk is not None)


class _GivenCounts(msgspec.Struct, frozen=True):
    """The input counts of a call. `input_tokens` excludes cached tokens."""

    input_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None

    @property
    def cached(self) -> int:
        return (self.cache_read_tokens or 0) + (self.cache_write_tokens or 0)


def _read_given_counts(entry_input: dict[str, Any], answer: AnswerCounts) -> _GivenCounts:
    """Return the counts of the record, or all of them from the answer if the record has no input count."""
    given = _GivenCounts(
        read_count(entry_input.get("inputTokenCount")),
        read_count(entry_input.get("cacheReadInputTokenCount")),
        read_count(entry_input.get("cacheWriteInputTokenCount")),
    )
    if given.input_tokens is not None:
        return given
    found, cache_read, cache_write = split_input(answer)
    return _GivenCounts(
        found,
        cache_read if given.cache_read_tokens is None else given.cache_read_tokens,
        cache_write if given.cache_write_tokens is None else given.cache_write_tokens,
    )
