"""Read a log event's message as a record, the fast way. `tolerant_reading` reads anything unusual.

Bodies are skipped except for a few numbers and words, so no text of a prompt is ever decoded. Of a streamed answer, a
list of chunks, only the last ones are read. If a word of a body has a wrong type, the record is read again without the
words, and each word by itself.
"""

import msgspec

from bedrock_quota.errors import RecordError
from bedrock_quota.processor import tolerant_reading
from bedrock_quota.processor.answers import OUTPUT_PLACES
from bedrock_quota.processor.delivery import MAX_MESSAGE_BYTES
from bedrock_quota.processor.partial_reading import decode_partly
from bedrock_quota.processor.records import (
    Answer,
    Chunk,
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

PERMISSIONS_LINE = "Permissions are correctly set for Amazon Bedrock logs"
"""Beginning of the plain-text event that Bedrock writes first into a new log group."""

_SURELY_SMALL = MAX_MESSAGE_BYTES // 4
"""Most characters of a message that is certainly not too large, because a character is up to 4 bytes. It is also the
largest streamed answer that is read, because a list of chunks takes 28 times its size at worst. Bedrock logs 100 KB."""

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


class _UnreadRecord(RecordHead, frozen=True, gc=False, rename="camel", kw_only=True):
    input: _UnreadInput = _UnreadInput()
    output: _UnreadOutput = _UnreadOutput()


_OutputPlaces = msgspec.defstruct(
    "_OutputPlaces",
    [(f"place_{n}", msgspec.Raw, msgspec.field(default=_NOTHING, name=key)) for n, key in enumerate(OUTPUT_PLACES)],
    frozen=True,
    gc=False,
)
_NO_OUTPUT_PLACES = _OutputPlaces()

_decode_record = msgspec.json.Decoder(Record).decode
_decode_body = msgspec.json.Decoder(RequestBody).decode
_decode_unread_record = msgspec.json.Decoder(_UnreadRecord).decode
_decode_unread_body = msgspec.json.Decoder(_UnreadBody).decode
_decode_output_places = msgspec.json.Decoder(_OutputPlaces).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode

_NAMES = {
    shape: tuple(field.name for field in msgspec.structs.fields(shape))
    for shape in (RecordHead, InputCounts, OutputLimits)
}
_WORDS = tuple(field for field in msgspec.structs.fields(RequestBody) if field.name not in _NAMES[OutputLimits])


def read_usual_record(message: bytes | str) -> Record | None:
    """Read one log event's message, or return None if only `tolerant_reading` can. Bytes are UTF-8.

    `parse_timestamp` checks `started_at` later. Raises `RecordError` with the reason `too_large`.
    """
    if len(message) > _SURELY_SMALL:
        if _measure_size(message) > MAX_MESSAGE_BYTES:
            raise RecordError("too_large")
        record = _decode_without_words(message)
    else:
        try:
            record = _decode_record(message)
        except msgspec.ValidationError:
            record = _decode_without_words(message)
        except _UNREADABLE:
            return None
    if record is None:
        return None
    output = record.output
    if record.error_code is None:
        if record.input.input_tokens is None or (output.output_tokens is None and not _is_without_output(message)):
            return None
    elif not record.error_code:
        return None
    if type(output.answer) is list:
        answer = _read_last_chunks(output.answer)
        return msgspec.structs.replace(record, output=RecordOutput(output.output_tokens, answer))
    return record


def _is_without_output(message: bytes | str) -> bool:
    """Return True if nothing in a record can count its output, as in one of an embedding.

    Only the tolerant reader looks for counts in a streamed answer.
    """
    try:
        answer = _decode_unread_record(message).output.answer
        return answer is _NOTHING or _decode_output_places(answer) == _NO_OUTPUT_PLACES
    except _UNREADABLE:
        return False


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
        output=RecordOutput(unread.output.output_tokens, _read_answer(unread.output.answer)),
    )


def _read_answer(answer: msgspec.Raw) -> Answer | None:
    """Return the words of an answer, streamed or not, that have the right type."""
    text = memoryview(answer)
    if text[:1].tobytes() == b"[":
        return _read_last_chunks(_decode_list(answer)) if len(text) <= _SURELY_SMALL else None
    return decode_partly(answer, Answer)


def _read_last_chunks(chunks: list[msgspec.Raw]) -> Answer | None:
    """Return what the last chunks of a streamed answer tell."""
    read = (decode_partly(chunk, Chunk) for chunk in chunks[: -MAX_CHUNKS - 1 : -1])
    return merge_chunks(chunk for chunk in read if chunk is not None)


def _complete_body(unread: _UnreadBody) -> RequestBody:
    words = {word.encode_name: raw for word in _WORDS if (raw := getattr(unread, word.name)) is not _NOTHING}
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
