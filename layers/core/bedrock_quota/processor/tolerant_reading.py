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


def read_record(message: bytes | str) -> Record:
    """Read one record again, slowly: counts written `5.0` or `"5"`, odd bodies, NaN, lone surrogates."""
    record = _parse(message)
    if not isinstance(record, dict):
        raise RecordError("not_an_object")
    request_id = safe_request_id(record.get("requestId"))
    try:
        return _record_of(record)
    except RecordError as error:
        raise RecordError(error.reason, request_id) from None


def _parse(text: bytes | bytearray | str) -> Any:
    """Parse any JSON whole, which can take thirty times the memory of the text: no more than a log event has."""
    if len(text) > MAX_MESSAGE_BYTES:
        raise RecordError("too_large")
    try:
        # decoded here: json would take bytes with zeros among them for UTF-16
        return json.loads(text if isinstance(text, str) else text.decode(errors="surrogatepass"))
    except RecursionError as error:
        raise RecordError("too_deep") from error
    except ValueError as error:
        raise RecordError("not_json") from error


def _record_of(record: dict[str, Any]) -> Record:
    if record.get("schemaType", SCHEMA_TYPE) != SCHEMA_TYPE:
        raise RecordError("wrong_schema")
    model_id = record.get("modelId")
    if model_id is None:
        raise RecordError("missing_model_id")
    entry_input, entry_output = _mapping(record, "input"), _mapping(record, "output")
    error_code = _text(record.get("errorCode")) or None
    answer = entry_output.get("outputBodyJson") if error_code is None else None
    given = _given_counts(entry_input, answer)
    output_tokens = _count(entry_output.get("outputTokenCount"))
    if output_tokens is None:
        output_tokens = _count_in(answer, _OUTPUT_COUNTS)
    nothing_counted = given.input_tokens is None and output_tokens is None and not given.cached
    if nothing_counted and "outputBodyS3Path" not in entry_output and _is_blocked(answer):
        given, output_tokens = _Given(0, given.cache_read_tokens, given.cache_write_tokens), 0
    metadata = _mapping(record, "requestMetadata")
    return Record(
        started_at=_timestamp_text(record.get("timestamp")),
        model_id=_text(model_id) or "",
        operation=_text(record.get("operation")) or "",
        request_id=safe_request_id(record.get("requestId")) or "",
        error_code=error_code,
        identity=Identity(_text(_mapping(record, "identity").get("arn"))),
        request_metadata={key: value for key, value in metadata.items() if isinstance(value, str)},
        performance_config=PerformanceConfig(_text(_mapping(record, "performanceConfig").get("latency"))),
        input=RecordInput(
            input_tokens=given.input_tokens,
            cache_read_tokens=given.cache_read_tokens,
            cache_write_tokens=given.cache_write_tokens,
            body=_body(entry_input.get("inputBodyJson")),
            body_s3_path=_text(entry_input.get("inputBodyS3Path")),
        ),
        output=RecordOutput(output_tokens),
    )


def _mapping(record: dict[str, Any], key: str) -> dict[str, Any]:
    value = record.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RecordError("wrong_type")
    return value


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise RecordError("wrong_type")


def _timestamp_text(value: object) -> str:
    """Return a moment as text that `Record` takes: as it was written, if that will do."""
    moment = read_timestamp(value)
    try:
        return msgspec.convert(value, TimestampText)
    except (msgspec.ValidationError, UnicodeError):
        return moment.isoformat()


def _count(value: object) -> int | None:
    """Return a count of tokens; `5.0` and `"5"` are 5."""
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
    """Read a request body by itself. Raises `RecordError`: `not_json`, `not_an_object`, `too_deep` or `too_large`."""
    body = _body(_parse(text))
    if body is None:
        raise RecordError("not_an_object")
    return body


_OUTPUT_LIMITS = {field.encode_name: field.name for field in msgspec.structs.fields(RequestBody)[2:]}


def _body(value: object) -> RequestBody | None:
    """Return the output limits of an odd body; a limit that is no count counts as not given."""
    if not isinstance(value, dict):
        return None

    def limit(of: object, key: str) -> int | None:
        try:
            return _count(of.get(key)) if isinstance(of, dict) else None
        except RecordError:
            return None

    inference, titan = value.get("inferenceConfig"), value.get("textGenerationConfig")
    return RequestBody(
        inference_config=InferenceConfig(limit(inference, "maxTokens"), limit(inference, "max_new_tokens")),
        text_generation_config=TextGenerationConfig(limit(titan, "maxTokenCount")),
        **{name: limit(value, key) for key, name in _OUTPUT_LIMITS.items()},
    )


class _Given(msgspec.Struct, frozen=True):
    """What a call was given. `input_tokens` excludes cached ones."""

    input_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None

    @property
    def cached(self) -> int:
        return (self.cache_read_tokens or 0) + (self.cache_write_tokens or 0)


def _given_counts(entry_input: dict[str, Any], answer: object) -> _Given:
    """Return the counts of the record or, where it has no input count, all of them from the answer."""
    given = _Given(
        _count(entry_input.get("inputTokenCount")),
        _count(entry_input.get("cacheReadInputTokenCount")),
        _count(entry_input.get("cacheWriteInputTokenCount")),
    )
    if given.input_tokens is not None:
        return given
    found = _count_in(answer, _INPUT_COUNTS)
    read_record, written = given.cache_read_tokens, given.cache_write_tokens
    if found is None:
        found = _count_in(answer, _OPENAI_INPUT_COUNTS)
        included = _count_in(answer, _OPENAI_CACHE_READ_COUNTS)
        if found is not None and included is not None:
            found, read_record = _count(found - included), included if read_record is None else read_record
    return _Given(
        found,
        _count_in(answer, _CACHE_READ_COUNTS) if read_record is None else read_record,
        _count_in(answer, _CACHE_WRITE_COUNTS) if written is None else written,
    )


def _count_in(answer: object, paths: tuple[tuple[str, ...], ...]) -> int | None:
    """Return the first count that there is at one of these paths, in the last chunk that has one."""
    for chunk in _chunks(answer):
        for path in paths:
            found: Any = chunk
            for key in path:
                found = found.get(key) if isinstance(found, dict) else None
            if found is not None:
                return _count(found)
    return None


# Where an answer says what its record may not (seen with streams of Titan)
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
"""OpenAI's count includes what was read from the cache, all others exclude it (API reference, read 2026-11-23)."""
_OPENAI_CACHE_READ_COUNTS = (("usage", "prompt_tokens_details", "cached_tokens"),)
_OUTPUT_COUNTS = (
    ("amazon-bedrock-invocationMetrics", "outputTokenCount"),
    ("usage", "outputTokens"),
    ("usage", "output_tokens"),
    ("usage", "completion_tokens"),
    ("totalOutputTextTokenCount",),
)


def _chunks(answer: object) -> list[dict[str, Any]]:
    """Return an answer's chunks, the last first; an answer that is no stream is one chunk."""
    chunks = answer if isinstance(answer, list) else [answer]
    return [chunk for chunk in reversed(chunks) if isinstance(chunk, dict)]


def _is_blocked(answer: object) -> bool:
    """Whether a guardrail blocked the call: the answer says so, or there is none to say otherwise.

    "The record of a blocked InvokeModel has no token counts"; `amazon-bedrock-guardrailAction` and `stopReason` are
    documented in https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-use.html (read 2026-11-23).
    """
    return answer is None or any(
        chunk.get("amazon-bedrock-guardrailAction") == "INTERVENED" or chunk.get("stopReason") == "guardrail_intervened"
        for chunk in _chunks(answer)
    )
