"""A record: one entry of Bedrock's model-invocation log.

Shape: https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html (read 2026-11-23) and
records seen in public repositories. Any key can be missing. Bodies are skipped but for the fields that limit the
output; no text of theirs is ever built.
"""

import functools
import json
import re
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from bedrock_quota.processor.delivery import MAX_MESSAGE_BYTES
from bedrock_quota.errors import RecordError

MAX_COUNT = 100_000_000
"""More tokens than this in one call are absurd: ten times the largest context window there is."""

Tokens = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_MomentText = Annotated[str, msgspec.Meta(max_length=32)]

PERMISSIONS_LINE = "Permissions are correctly set for Amazon Bedrock logs"
"""Begins the plain-text event that Bedrock writes first into a fresh log group."""

SCHEMA_TYPE: Literal["ModelInvocationLog"] = "ModelInvocationLog"


class InferenceConfig(msgspec.Struct, frozen=True, gc=False):
    """The `inferenceConfig` of Converse and of Amazon Nova's own request."""

    max_tokens: Tokens | None = msgspec.field(default=None, name="maxTokens")
    max_new_tokens: Tokens | None = None


class TextGenerationConfig(msgspec.Struct, frozen=True, gc=False):
    """The `textGenerationConfig` of Amazon Titan Text."""

    max_token_count: Tokens | None = msgspec.field(default=None, name="maxTokenCount")


class RequestBody(msgspec.Struct, frozen=True, gc=False):
    """Of a request body, the fields that limit its output; everything else is skipped unread."""

    inference_config: InferenceConfig | None = msgspec.field(default=None, name="inferenceConfig")
    text_generation_config: TextGenerationConfig | None = msgspec.field(default=None, name="textGenerationConfig")
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    max_output_tokens: Tokens | None = None
    max_tokens_to_sample: Tokens | None = None
    max_gen_len: Tokens | None = None
    max_new_tokens: Tokens | None = None
    max_tokens_camel: Tokens | None = msgspec.field(default=None, name="maxTokens")
    max_output_tokens_camel: Tokens | None = msgspec.field(default=None, name="maxOutputTokens")
    choices: Tokens | None = msgspec.field(default=None, name="n")


class RecordInput(msgspec.Struct, frozen=True, gc=False):
    """The `input` of a record. `input_tokens` excludes cached ones."""

    input_tokens: Tokens | None = msgspec.field(default=None, name="inputTokenCount")
    cache_read_tokens: Tokens | None = msgspec.field(default=None, name="cacheReadInputTokenCount")
    cache_write_tokens: Tokens | None = msgspec.field(default=None, name="cacheWriteInputTokenCount")
    body: RequestBody | None = msgspec.field(default=None, name="inputBodyJson")
    body_s3_path: str | None = msgspec.field(default=None, name="inputBodyS3Path")


class RecordOutput(msgspec.Struct, frozen=True, gc=False):
    """The `output` of a record."""

    output_tokens: Tokens | None = msgspec.field(default=None, name="outputTokenCount")


class Identity(msgspec.Struct, frozen=True, gc=False):
    """Who called."""

    arn: str | None = None


class PerformanceConfig(msgspec.Struct, frozen=True, gc=False):
    """The latency mode asked for."""

    latency: str | None = None


class Record(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One call of a model, as Bedrock logged it. `started_at` is the request's start as written, cut to the second."""

    started_at: _MomentText = msgspec.field(name="timestamp")
    model_id: str
    operation: str = ""
    request_id: str = ""
    schema_type: Literal["ModelInvocationLog"] = SCHEMA_TYPE
    error_code: str | None = None
    identity: Identity | None = None
    request_metadata: dict[str, str] | None = None
    performance_config: PerformanceConfig | None = None
    input: RecordInput = RecordInput()
    output: RecordOutput = RecordOutput()


SECONDS_PER_DAY = 24 * 3600


@functools.lru_cache(maxsize=4096)
def parse_timestamp(text: str) -> tuple[int, int, int]:
    """Return a moment's second and the start of its minute, in seconds since the epoch, and the days since then.

    Many calls begin in one second, and parsing takes its time. Raises `RecordError` with the reason `bad_timestamp` for
    what is no moment, or has no zone.
    """
    seconds = int(_moment(text).timestamp())
    return seconds, seconds - seconds % 60, seconds // SECONDS_PER_DAY


_decode = msgspec.json.Decoder(Record).decode
_body_decoder = msgspec.json.Decoder(RequestBody)


def with_request_body(record: Record, body: RequestBody) -> Record:
    """Return the record with the request body that its log entry leaves out."""
    return msgspec.structs.replace(record, input=msgspec.structs.replace(record.input, body=body))


def is_permissions_line(message: bytes | str) -> bool:
    """Whether this log event is Bedrock's note to a fresh log group and not a record; bytes are UTF-8."""
    if isinstance(message, str):
        return message.startswith(PERMISSIONS_LINE)
    return message.startswith(PERMISSIONS_LINE.encode())


def read_record(message: bytes | str) -> Record:
    """Read one log event's message; bytes are UTF-8. Whether `started_at` is a moment, `moment_of` says.

    Raises `RecordError` with one of these reasons: `too_large`, `not_json`, `not_an_object`, `too_deep`,
    `wrong_schema`, `missing_timestamp`, `missing_model_id`, `wrong_type`, `bad_timestamp`, `negative_count`,
    `absurd_count`.
    """
    if len(message) > MAX_MESSAGE_BYTES // 4 and _size(message) > MAX_MESSAGE_BYTES:  # a character is up to 4 bytes
        raise RecordError("too_large")
    try:
        record = _decode(message)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _read_tolerantly(message)
    if record.error_code is None:
        if record.input.input_tokens is not None and record.output.output_tokens is not None:
            return record
    elif record.error_code:
        return record
    return _read_tolerantly(message)


def _size(message: bytes | str) -> int:
    """Return the bytes that a message takes in UTF-8."""
    if isinstance(message, bytes) or message.isascii():
        return len(message)
    return len(message.encode(errors="surrogatepass"))


_WRITTEN_COUNT = re.compile(r"-?[0-9]{1,31}")
_REQUEST_ID = re.compile(r"[0-9a-z]{8}(-[0-9a-z]{4}){3}-[0-9a-z]{12}")
_WORD = re.compile(r"[A-Za-z]{1,64}")


def safe_word(value: str | None) -> str:
    """Return an operation or an error code, or `other`: what is logged must not be a way out for a prompt."""
    return value if value is not None and _WORD.fullmatch(value) else "other"


def safe_request_id(value: object) -> str | None:
    """Return a request id if it looks like one: what is logged must not be a way out for a prompt."""
    return value if isinstance(value, str) and _REQUEST_ID.fullmatch(value) else None


def _read_tolerantly(message: bytes | str) -> Record:
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
        started_at=_moment_text(record.get("timestamp")),
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


def _moment_text(value: object) -> str:
    """Return a moment as text that `Record` takes: as it was written, if that will do."""
    moment = _moment(value)
    try:
        return msgspec.convert(value, _MomentText)
    except (msgspec.ValidationError, UnicodeError):
        return moment.isoformat()


def _moment(value: object) -> datetime:
    if value is None:
        raise RecordError("missing_timestamp")
    if not isinstance(value, str) or "\0" in value:  # fromisoformat reads no further than that
        raise RecordError("bad_timestamp")
    try:
        return msgspec.convert(value, _Moment)
    except (msgspec.ValidationError, UnicodeError):  # "20261123T120005Z", say, is a moment too
        pass
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise RecordError("bad_timestamp") from error
    if moment.tzinfo is None:
        raise RecordError("bad_timestamp")
    return moment


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
    """Read a request body by itself, as it lies in S3.

    Raises `RecordError` with the reason `not_json`, `not_an_object`, `too_deep` or, for an odd one, `too_large`.
    """
    try:
        return _body_decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
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
