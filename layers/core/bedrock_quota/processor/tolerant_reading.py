"""Read a record slowly: counts written as `5.0` or `"5"`, unusual bodies, NaN, lone surrogates, counts in the answer.

The fast reader hands over each message that it cannot read, or that has no counts.
"""

import json
import re
from typing import Any

import msgspec

from bedrock_quota.errors import RecordError
from bedrock_quota.processor.delivery import MAX_MESSAGE_BYTES
from bedrock_quota.processor.records import (
    MAX_COUNT,
    SCHEMA_TYPE,
    Identity,
    InferenceConfig,
    PerformanceConfig,
    Record,
    RecordInput,
    RecordOutput,
    RequestBody,
    TextGenerationConfig,
    TimestampText,
    read_timestamp,
    safe_request_id,
)

_WRITTEN_COUNT = re.compile(r"-?[0-9]{1,31}")

_OUTPUT_LIMITS = {field.encode_name: field.name for field in msgspec.structs.fields(RequestBody)[2:]}

# Places of the counts in an answer: records of some calls have none (seen with streams of Titan).
_INPUT_COUNTS = (
    ("amazon-bedrock-invocationMetrics", "inputTokenCount"),
    ("usage", "inputTokens"),
    ("usage", "input_tokens"),
    ("message", "usage", "input_tokens"),  # Anthropic's message_start
)
_CACHE_READ_COUNTS = (
    ("amazon-bedrock-invocationMetrics", "cacheReadInputTokenCount"),
    ("usage", "cacheReadInputTokens"),
    ("usage", "cache_read_input_tokens"),
    ("message", "usage", "cache_read_input_tokens"),
)
_CACHE_WRITE_COUNTS = (
    ("amazon-bedrock-invocationMetrics", "cacheWriteInputTokenCount"),
    ("usage", "cacheWriteInputTokens"),
    ("usage", "cache_creation_input_tokens"),
    ("message", "usage", "cache_creation_input_tokens"),
)
_OPENAI_INPUT_COUNTS = (("usage", "prompt_tokens"),)
"""OpenAI's count includes tokens from the cache, and all others exclude them (API reference, read 2026-11-23)."""
_OPENAI_CACHE_READ_COUNTS = (("usage", "prompt_tokens_details", "cached_tokens"),)
_OUTPUT_COUNTS = (
    ("amazon-bedrock-invocationMetrics", "outputTokenCount"),
    ("usage", "outputTokens"),
    ("usage", "output_tokens"),
    ("usage", "completion_tokens"),
    ("totalOutputTextTokenCount",),
)


def read_record(message: bytes | str) -> Record:
    """Read one record slowly, after the fast reader could not. Raises `RecordError` with the same reasons."""
    record = _parse(message)
    if not isinstance(record, dict):
        raise RecordError("not_an_object")
    request_id = safe_request_id(record.get("requestId"))
    try:
        return _build_record(record)
    except RecordError as error:
        raise RecordError(error.reason, request_id) from None


def _parse(text: bytes | bytearray | str) -> Any:
    """Parse any JSON. It can take thirty times the memory of the text, so the size is at most that of a log event."""
    if len(text) > MAX_MESSAGE_BYTES:
        raise RecordError("too_large")
    try:
        # decoded here, because json treats bytes that contain zeros as UTF-16
        return json.loads(text if isinstance(text, str) else text.decode(errors="surrogatepass"))
    except RecursionError as error:
        raise RecordError("too_deep") from error
    except ValueError as error:
        raise RecordError("not_json") from error


def _build_record(record: dict[str, Any]) -> Record:
    if record.get("schemaType", SCHEMA_TYPE) != SCHEMA_TYPE:
        raise RecordError("wrong_schema")
    model_id = record.get("modelId")
    if model_id is None:
        raise RecordError("missing_model_id")
    entry_input, entry_output = _read_mapping(record, "input"), _read_mapping(record, "output")
    error_code = _read_text(record.get("errorCode")) or None
    answer = entry_output.get("outputBodyJson") if error_code is None else None
    given = _read_given_counts(entry_input, answer)
    output_tokens = _read_count(entry_output.get("outputTokenCount"))
    if output_tokens is None:
        output_tokens = _find_count(answer, _OUTPUT_COUNTS)
    nothing_counted = given.input_tokens is None and output_tokens is None and not given.cached
    if nothing_counted and "outputBodyS3Path" not in entry_output and _is_blocked(answer):
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
        performance_config=PerformanceConfig(_read_text(_read_mapping(record, "performanceConfig").get("latency"))),
        input=RecordInput(
            input_tokens=given.input_tokens,
            cache_read_tokens=given.cache_read_tokens,
            cache_write_tokens=given.cache_write_tokens,
            body=_read_body(entry_input.get("inputBodyJson")),
            body_s3_path=_read_text(entry_input.get("inputBodyS3Path")),
        ),
        output=RecordOutput(output_tokens),
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


def _read_count(value: object) -> int | None:
    """Return a count of tokens. `5.0` and `"5"` are 5."""
    if value is None:
        return None
    if isinstance(value, str) and _WRITTEN_COUNT.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise RecordError("wrong_type")
    if value < 0:
        raise RecordError("negative_count")
    if value > MAX_COUNT:
        raise RecordError("absurd_count")
    return value


def read_request_body(text: bytes | bytearray) -> RequestBody:
    """Read a request body alone. Raises `RecordError`: `not_json`, `not_an_object`, `too_deep` or `too_large`."""
    body = _read_body(_parse(text))
    if body is None:
        raise RecordError("not_an_object")
    return body


def _read_body(value: object) -> RequestBody | None:
    """Return the output limits of an unusual body. A limit that is not a count is ignored."""
    if not isinstance(value, dict):
        return None

    def read_limit(source: object, key: str) -> int | None:
        try:
            return _read_count(source.get(key)) if isinstance(source, dict) else None
        except RecordError:
            return None

    inference, titan = value.get("inferenceConfig"), value.get("textGenerationConfig")
    return RequestBody(
        inference_config=InferenceConfig(read_limit(inference, "maxTokens"), read_limit(inference, "max_new_tokens")),
        text_generation_config=TextGenerationConfig(read_limit(titan, "maxTokenCount")),
        **{name: read_limit(value, key) for key, name in _OUTPUT_LIMITS.items()},
    )


class _GivenCounts(msgspec.Struct, frozen=True):
    """The input counts of a call. `input_tokens` excludes cached tokens."""

    input_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None

    @property
    def cached(self) -> int:
        return (self.cache_read_tokens or 0) + (self.cache_write_tokens or 0)


def _read_given_counts(entry_input: dict[str, Any], answer: object) -> _GivenCounts:
    """Return the counts of the record, or all of them from the answer if the record has no input count."""
    given = _GivenCounts(
        _read_count(entry_input.get("inputTokenCount")),
        _read_count(entry_input.get("cacheReadInputTokenCount")),
        _read_count(entry_input.get("cacheWriteInputTokenCount")),
    )
    if given.input_tokens is not None:
        return given
    found = _find_count(answer, _INPUT_COUNTS)
    cache_read, cache_write = given.cache_read_tokens, given.cache_write_tokens
    if found is None:
        found = _find_count(answer, _OPENAI_INPUT_COUNTS)
        included = _find_count(answer, _OPENAI_CACHE_READ_COUNTS)
        if found is not None and included is not None:
            found, cache_read = _read_count(found - included), included if cache_read is None else cache_read
    return _GivenCounts(
        found,
        _find_count(answer, _CACHE_READ_COUNTS) if cache_read is None else cache_read,
        _find_count(answer, _CACHE_WRITE_COUNTS) if cache_write is None else cache_write,
    )


def _find_count(answer: object, paths: tuple[tuple[str, ...], ...]) -> int | None:
    """Return the first count at one of these paths, from the last chunk that has one."""
    for chunk in _list_chunks(answer):
        for path in paths:
            found: Any = chunk
            for key in path:
                found = found.get(key) if isinstance(found, dict) else None
            if found is not None:
                return _read_count(found)
    return None


def _list_chunks(answer: object) -> list[dict[str, Any]]:
    """Return an answer's chunks, the last first. An answer that is not a stream is one chunk."""
    chunks = answer if isinstance(answer, list) else [answer]
    return [chunk for chunk in reversed(chunks) if isinstance(chunk, dict)]


def _is_blocked(answer: object) -> bool:
    """Return True if a guardrail blocked the call: the answer says so, or there is no answer.

    "The record of a blocked InvokeModel has no token counts". `amazon-bedrock-guardrailAction` and `stopReason` are
    documented in https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-use.html (read 2026-11-23).
    """
    return answer is None or any(
        chunk.get("amazon-bedrock-guardrailAction") == "INTERVENED" or chunk.get("stopReason") == "guardrail_intervened"
        for chunk in _list_chunks(answer)
    )
