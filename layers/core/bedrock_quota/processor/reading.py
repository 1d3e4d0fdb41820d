"""Read a log event's message as a record, the fast way. Anything unusual goes to `tolerant_reading`.

Bodies are skipped except for a few numbers and words, so no text of a prompt is ever decoded. Of a streamed answer, a list
of chunks, only the end is read. If a word of a body has a wrong type, the record is read again without the words, and
each word by itself.
"""

import msgspec

from bedrock_quota.errors import RecordError
from bedrock_quota.processor import tolerant_reading
from bedrock_quota.processor.delivery import MAX_MESSAGE_BYTES
from bedrock_quota.processor.partial_reading import decode_partly
from bedrock_quota.processor.records import (
    Answer,
    InputCounts,
    OutputLimits,
    Record,
    RecordHead,
    RecordInput,
    RecordOutput,
    RequestBody,
    Tokens,
)
from bedrock_quota.processor.serving import MAX_CHUNKS, merge_chunks
from bedrock_quota.processor.step_budget import StepBudget

PERMISSIONS_LINE = "Permissions are correctly set for Amazon Bedrock logs"
"""Beginning of the plain-text event that Bedrock writes first into a new log group."""

_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)

_NOTHING = msgspec.Raw()


class _UnreadBody(OutputLimits, frozen=True, gc=False):
    """A request body. Its output limits are read, its words are not."""

    service_tier: msgspec.Raw = msgspec.field(default=_NOTHING, name="serviceTier")
    service_tier_word: msgspec.Raw = msgspec.field(default=_NOTHING, name="service_tier")
    performance_config: msgspec.Raw = msgspec.field(default=_NOTHING, name="performanceConfig")
    additional_fields: msgspec.Raw = msgspec.field(default=_NOTHING, name="additionalModelRequestFields")
    project_identifier: msgspec.Raw = msgspec.field(default=_NOTHING, name="projectIdentifier")


class _UnreadInput(InputCounts, frozen=True, gc=False):
    body: _UnreadBody | None = msgspec.field(default=None, name="inputBodyJson")


class _UnreadOutput(msgspec.Struct, frozen=True, gc=False):
    output_tokens: Tokens | None = msgspec.field(default=None, name="outputTokenCount")
    answer: msgspec.Raw = msgspec.field(default=_NOTHING, name="outputBodyJson")


class _UnreadRecord(RecordHead, frozen=True, gc=False, rename="camel"):
    input: _UnreadInput = _UnreadInput()
    output: _UnreadOutput = _UnreadOutput()


_decode_record = msgspec.json.Decoder(Record).decode
_decode_body = msgspec.json.Decoder(RequestBody).decode
_decode_unread_record = msgspec.json.Decoder(_UnreadRecord).decode
_decode_unread_body = msgspec.json.Decoder(_UnreadBody).decode

_NAMES = {
    shape: tuple(field.name for field in msgspec.structs.fields(shape))
    for shape in (RecordHead, InputCounts, OutputLimits)
}
_WORDS = tuple(field for field in msgspec.structs.fields(RequestBody) if field.name not in _NAMES[OutputLimits])


def read_record(message: bytes | str, budget: StepBudget) -> Record:
    """Read one log event's message. Bytes are UTF-8. `parse_timestamp` checks `started_at` later.

    Raises `RecordError` with one of these reasons: `too_large`, `too_costly`, `too_deep`, `not_json`, `not_an_object`,
    `wrong_schema`, `missing_timestamp`, `missing_model_id`, `wrong_type`, `bad_timestamp`, `negative_count`,
    `absurd_count`.
    """
    if (
        len(message) > MAX_MESSAGE_BYTES // 4 and _measure_size(message) > MAX_MESSAGE_BYTES
    ):  # a character is up to 4 bytes
        raise RecordError("too_large")
    try:
        record = _decode_record(message)
        if type(record.output.answer) is list:
            record = msgspec.structs.replace(record, output=_complete_output(record.output, record.output.answer))
    except msgspec.ValidationError:
        unread = _decode_without_words(message)
        if unread is None:
            return tolerant_reading.read_record(message, budget)
        record = unread
    except _UNREADABLE:
        return tolerant_reading.read_record(message, budget)
    if record.error_code is None:
        if record.input.input_tokens is not None and record.output.output_tokens is not None:
            return record
    elif record.error_code:
        return record
    return tolerant_reading.read_record(message, budget)


def _decode_without_words(message: bytes | str) -> Record | None:
    """Return a record, and each word of its bodies that has the right type. None: the tolerant reader must read it."""
    try:
        unread = _decode_unread_record(message)
    except _UNREADABLE:
        return None
    given, body = unread.input, unread.input.body
    return Record(
        **{name: getattr(unread, name) for name in _NAMES[RecordHead]},
        input=RecordInput(
            **{name: getattr(given, name) for name in _NAMES[InputCounts]},
            body=None if body is None else _complete_body(body),
        ),
        output=RecordOutput(unread.output.output_tokens, decode_partly(unread.output.answer, Answer)),
    )


def _complete_output(output: RecordOutput, chunks: list[msgspec.Raw]) -> RecordOutput:
    """Return the output with what the last chunks of a streamed answer tell."""
    read = (decode_partly(chunk, Answer) for chunk in chunks[: -MAX_CHUNKS - 1 : -1])
    return RecordOutput(output.output_tokens, merge_chunks(chunk for chunk in read if chunk is not None))


def _complete_body(unread: _UnreadBody) -> RequestBody:
    words = {word.encode_name: raw for word in _WORDS if len(memoryview(raw := getattr(unread, word.name)))}
    limits = {name: getattr(unread, name) for name in _NAMES[OutputLimits]}
    if not words:
        return RequestBody(**limits)
    found = decode_partly(msgspec.json.encode(words), RequestBody) or RequestBody()
    return RequestBody(**limits, **{word.name: getattr(found, word.name) for word in _WORDS})


def _measure_size(message: bytes | str) -> int:
    """Return the size of a message in bytes of UTF-8."""
    if isinstance(message, bytes) or message.isascii():
        return len(message)
    return len(message.encode(errors="surrogatepass"))


def read_request_body(text: bytes | bytearray) -> RequestBody:
    """Read a request body as it is stored in S3.

    Raises `RecordError` with the reason `not_json`, `not_an_object`, `too_deep` or, for an unusual one, `too_large`.
    """
    try:
        return _decode_body(text)
    except msgspec.ValidationError:
        pass
    except _UNREADABLE:
        return tolerant_reading.read_request_body(text)
    try:
        return _complete_body(_decode_unread_body(text))
    except _UNREADABLE:
        pass
    return tolerant_reading.read_request_body(text)


def is_permissions_line(message: bytes | str) -> bool:
    """Return True if the message is Bedrock's first event in a new log group, not a record. Bytes are UTF-8."""
    if isinstance(message, str):
        return message.startswith(PERMISSIONS_LINE)
    return message.startswith(PERMISSIONS_LINE.encode())
