"""Read a log event's message as a record, the fast way. `tolerant_reading` reads anything unusual.

Bodies are skipped except for the fields that limit the output, so no text of a prompt or answer is ever decoded.
"""

import msgspec

from bedrock_quota.errors import RecordError
from bedrock_quota.processor import tolerant_reading
from bedrock_quota.processor.delivery import MAX_MESSAGE_BYTES
from bedrock_quota.processor.records import Record, RequestBody

PERMISSIONS_LINE = "Permissions are correctly set for Amazon Bedrock logs"
"""Beginning of the plain-text event that Bedrock writes first into a new log group."""

_decode_record = msgspec.json.Decoder(Record).decode
_decode_body = msgspec.json.Decoder(RequestBody).decode


def read_usual_record(message: bytes | str) -> Record | None:
    """Read one log event's message, or return None if only `tolerant_reading` can. Bytes are UTF-8.

    `parse_timestamp` checks `started_at` later. Raises `RecordError` with the reason `too_large`.
    """
    if (
        len(message) > MAX_MESSAGE_BYTES // 4 and _measure_size(message) > MAX_MESSAGE_BYTES
    ):  # a character is up to 4 bytes
        raise RecordError("too_large")
    try:
        record = _decode_record(message)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    if record.error_code is None:
        if record.input.input_tokens is not None and record.output.output_tokens is not None:
            return record
    elif record.error_code:
        return record
    return None


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
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    return tolerant_reading.read_request_body(text)


def is_permissions_line(message: bytes | str) -> bool:
    """Return True if the message is Bedrock's first event in a new log group, not a record. Bytes are UTF-8."""
    if isinstance(message, str):
        return message.startswith(PERMISSIONS_LINE)
    return message.startswith(PERMISSIONS_LINE.encode())
