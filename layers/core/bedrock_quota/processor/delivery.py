"""A delivery: one event from CloudWatch Logs with many log events.

Shape: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html (read 2026-11-23):
`{"awslogs": {"data": base64(gzip(json))}}`.
"""

import binascii
import codecs
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from bedrock_quota.errors import DeliveryError

try:  # they save a sixth and a third of the total work: docs/performance.md
    from isal import isal_zlib as zlib
    from pybase64 import b64decode
except ImportError:  # a platform without a wheel: same result, slower
    import zlib  # type: ignore[no-redef]
    from base64 import b64decode  # type: ignore[assignment]

MAX_INFLATED_BYTES = 16 * 1024 * 1024
"""CloudWatch Logs sends at most 1 MB compressed. Prose of that size inflates to about 10 MB. More repetitive data can
be larger, and is rejected, because memory is limited. `quota-monitor failed replay` reads it in parts."""

MAX_TEXT_BYTES = 10 * 1024 * 1024
"""Up to this inflated size, all messages are decoded to text at once, which is fast. A larger delivery compresses
better than prose. It is decoded one message at a time, because its text could exceed the function's memory."""

MAX_LOG_EVENTS = 30_000
"""Most log events of a delivery. More records do not fit into `MAX_INFLATED_BYTES`, even those of failed calls, the
smallest."""

MAX_MESSAGE_BYTES = 1024 * 1024
"""Largest log event that CloudWatch Logs accepts (PutLogEvents, read 2026-11-23)."""

MAX_LOG_GROUP = 512
"""Longest name of a log group (API reference of CreateLogGroup, read 2026-11-28)."""

MAX_OWNER = 12
"""Digits of an account's id, the `owner` of a delivery with records."""

_MAX_ESCAPED_BYTES = 4 * MAX_MESSAGE_BYTES
"""Largest log event as it is written in a delivery: escapes at most triple its size."""

_PIECE_BYTES = 1024 * 1024

_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)

_GZIP_OR_ZLIB = 47
"""zlib's `wbits` for a 32 KiB window with automatic detection of the header."""


if TYPE_CHECKING:
    Message = str | bytes
else:
    Message = str
"""The text of a log event. In a large delivery it is bytes of UTF-8, because one emoji makes text four times as large.
The type for msgspec is only `str`, because it would decode bytes as base64."""


class LogEvent(msgspec.Struct, frozen=True, gc=False):
    """One log event of a delivery: `id` is unique, `timestamp` is milliseconds since the epoch."""

    message: Message
    id: str = ""
    timestamp: int = 0


class Delivery(msgspec.Struct, frozen=True, rename="camel"):
    """One decoded event from CloudWatch Logs. Control messages only check that the destination is reachable."""

    message_type: str
    log_events: tuple[LogEvent, ...] = ()
    log_group: str = ""
    owner: str = ""

    @property
    def is_control(self) -> bool:
        """True if this delivery is only a reachability check without records."""
        return self.message_type == "CONTROL_MESSAGE"


_decoder = msgspec.json.Decoder(Delivery)


def decode_delivery(event: Mapping[str, Any], max_inflated_bytes: int = MAX_INFLATED_BYTES) -> Delivery:
    """Decode an event of a CloudWatch Logs subscription.

    Raises `DeliveryError` if the event is not one, is damaged, inflates to more than `max_inflated_bytes`, has more
    than `MAX_LOG_EVENTS`, or names a source that AWS cannot have. The invocation then fails and the payload is kept,
    because nothing in it was counted.
    """
    try:
        compressed = b64decode(event["awslogs"]["data"], validate=True)
    except (KeyError, TypeError) as error:
        raise DeliveryError("the event is not a CloudWatch Logs delivery: no awslogs.data") from error
    except (binascii.Error, ValueError) as error:
        raise DeliveryError("awslogs.data is not base64") from error
    found = _decode(_inflate(compressed, max_inflated_bytes))
    if len(found.log_events) > MAX_LOG_EVENTS:
        raise DeliveryError(f"the delivery has more than {MAX_LOG_EVENTS} log events")
    if (len(found.log_group) > MAX_LOG_GROUP or len(found.owner) > MAX_OWNER) and not found.is_control:
        raise DeliveryError("the delivery's owner or log group is longer than AWS allows")
    return found


def _decode(inflated: bytes) -> Delivery:
    decode = _decoder.decode if len(inflated) <= MAX_TEXT_BYTES else _decode_piecewise
    try:
        return decode(inflated)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return decode(_replace_invalid_unicode(inflated))
    except (msgspec.DecodeError, RecursionError) as error:
        raise DeliveryError("the inflated data is not a delivery in JSON") from error


class _UnreadLogEvent(msgspec.Struct, frozen=True, gc=False):
    message: msgspec.Raw
    id: str = ""
    timestamp: int = 0


class _UnreadDelivery(msgspec.Struct, frozen=True, rename="camel"):
    message_type: str
    log_events: tuple[_UnreadLogEvent, ...] = ()
    log_group: str = ""
    owner: str = ""


_unread_decoder = msgspec.json.Decoder(_UnreadDelivery)
_text_decoder = msgspec.json.Decoder(str)


def _decode_piecewise(inflated: bytes | bytearray) -> Delivery:
    """Decode slowly, one message at a time. Keep only the beginning of a message that is too large."""

    def read_message(raw: msgspec.Raw) -> bytes:
        text = memoryview(raw)
        too_large = len(text) > _MAX_ESCAPED_BYTES
        return bytes(text[: MAX_MESSAGE_BYTES + 1]) if too_large else _text_decoder.decode(text).encode()

    unread = _unread_decoder.decode(inflated)
    events = tuple(LogEvent(read_message(each.message), each.id, each.timestamp) for each in unread.log_events)
    return Delivery(unread.message_type, events, unread.log_group, unread.owner)


def _inflate(compressed: bytes, bound: int) -> bytes:
    try:
        inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
        inflated: bytes = inflater.decompress(compressed, bound)
    except zlib.error as error:  # type: ignore[misc]  # isal types its error as an instance
        raise DeliveryError("awslogs.data is not gzip") from error
    if inflater.unused_data:
        raise DeliveryError("awslogs.data has data after the end of the gzip")
    if not inflater.eof:
        too_long = len(inflated) >= bound
        raise DeliveryError(
            f"awslogs.data inflates to more than {bound} bytes" if too_long else "awslogs.data is truncated"
        )
    return inflated


def _replace_invalid_unicode(inflated: bytes) -> bytearray:
    """Replace invalid Unicode, so that one bad message does not affect the others.

    A surrogate pair in JSON inside a message is treated as two halves. Only one character of a text is lost.
    """
    repaired = bytearray()
    pieces = (inflated[start : start + _PIECE_BYTES] for start in range(0, len(inflated), _PIECE_BYTES))
    for piece in codecs.iterdecode(pieces, "utf-8", "replace"):  # as text, a whole delivery can be four times its size
        repaired += piece.encode()
    for lone in _LONE_SURROGATE.finditer(repaired):
        repaired[lone.start() : lone.end()] = b"\\ufffd"
    return repaired
