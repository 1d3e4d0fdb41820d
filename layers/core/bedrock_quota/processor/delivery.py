"""A delivery: one event from CloudWatch Logs, holding many log events.

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

try:  # a sixth and a third of the whole work are saved: docs/performance.md
    from isal import isal_zlib as zlib
    from pybase64 import b64decode
except ImportError:  # a platform without a wheel: the same answer, slower
    import zlib  # type: ignore[no-redef]
    from base64 import b64decode  # type: ignore[assignment]

MAX_INFLATED_BYTES = 16 * 1024 * 1024
"""CloudWatch Logs sends at most 1 MB compressed; prose of that size inflates to some 10 MB. What repeats itself more
can be larger, and is refused as a bomb would be: memory is bounded. `quota-monitor failed replay` takes it in parts."""

MAX_TEXT_BYTES = 10 * 1024 * 1024
"""Inflated size up to which messages are decoded to text all at once, the fast way. Only a delivery that compresses
better than prose does is larger, and as text it could need more memory than there is."""

MAX_LOG_EVENTS = 30_000
"""Of the smallest records that Bedrock writes, those of failed calls, no more fit into `MAX_INFLATED_BYTES`."""

MAX_MESSAGE_BYTES = 1024 * 1024
"""CloudWatch Logs takes no larger log event (PutLogEvents, read 2026-11-23)."""

_MAX_ESCAPED_BYTES = 4 * MAX_MESSAGE_BYTES
"""Such a log event as it stands in a delivery: escapes at the most treble it."""

_GZIP_OR_ZLIB = 47
"""zlib's `wbits` for a 32 KiB window with the header found out by itself."""


if TYPE_CHECKING:
    Message = str | bytes
else:
    Message = str
"""The text of a log event; that of a large delivery is bytes of UTF-8, for text takes four times that as soon as one
emoji is in it. msgspec is told of the text alone: it would take bytes for base64."""


class LogEvent(msgspec.Struct, frozen=True, gc=False):
    """One log event of a delivery: `id` is unique, `timestamp` is milliseconds since the epoch."""

    message: Message
    id: str = ""
    timestamp: int = 0


class Delivery(msgspec.Struct, frozen=True, rename="camel"):
    """One decoded event from CloudWatch Logs. Control messages only check that we can be reached."""

    message_type: str
    log_events: tuple[LogEvent, ...] = ()
    log_group: str = ""
    owner: str = ""

    @property
    def is_control(self) -> bool:
        """Whether this delivery carries no records, only a reachability check."""
        return self.message_type == "CONTROL_MESSAGE"


_decoder = msgspec.json.Decoder(Delivery)


def decode_delivery(event: Mapping[str, Any], max_inflated_bytes: int = MAX_INFLATED_BYTES) -> Delivery:
    """Decode an event of a CloudWatch Logs subscription.

    Raises `DeliveryError` if the event is not one, is damaged, inflates to more than `max_inflated_bytes` or holds more
    than `MAX_LOG_EVENTS`: the invocation then fails and the payload is kept, for nothing in it could be counted.
    """
    try:
        compressed = b64decode(event["awslogs"]["data"], validate=True)
    except (KeyError, TypeError) as error:
        raise DeliveryError("the event is not a CloudWatch Logs delivery: no awslogs.data") from error
    except (binascii.Error, ValueError) as error:
        raise DeliveryError("awslogs.data is not base64") from error
    found = _decode(_inflate(compressed, max_inflated_bytes))
    if len(found.log_events) > MAX_LOG_EVENTS:
        raise DeliveryError(f"holds more than {MAX_LOG_EVENTS} log events")
    return found


def _decode(inflated: bytes) -> Delivery:
    decode_delivery = _decoder.decode if len(inflated) <= MAX_TEXT_BYTES else _decode_apart
    try:
        return decode_delivery(inflated)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return decode_delivery(_mended(inflated))
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


def _decode_apart(inflated: bytes | bytearray) -> Delivery:
    """Decode slowly, one message after the other; of one that is too large leave as much as shows that it is."""

    def message_of(raw: msgspec.Raw) -> bytes:
        text = memoryview(raw)
        too_large = len(text) > _MAX_ESCAPED_BYTES
        return bytes(text[: MAX_MESSAGE_BYTES + 1]) if too_large else _text_decoder.decode(text).encode()

    unread = _unread_decoder.decode(inflated)
    events = tuple(LogEvent(message_of(each.message), each.id, each.timestamp) for each in unread.log_events)
    return Delivery(unread.message_type, events, unread.log_group, unread.owner)


def _inflate(compressed: bytes, bound: int) -> bytes:
    try:
        inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
        inflated: bytes = inflater.decompress(compressed, bound)
    except zlib.error as error:  # type: ignore[misc]  # isal types its error as an instance
        raise DeliveryError("awslogs.data is not gzip") from error
    if inflater.unused_data:
        raise DeliveryError("awslogs.data goes on after its end")
    if not inflater.eof:
        too_long = len(inflated) >= bound
        raise DeliveryError(f"inflates to more than {bound} bytes" if too_long else "awslogs.data is cut short")
    return inflated


_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)


def _mended(inflated: bytes) -> bytearray:
    """Put a replacement character where the text is no Unicode: one bad message must not cost the others.

    A pair in the JSON within a message is taken for two halves: what is lost with it is a character of a text.
    """
    mended = bytearray()
    pieces = (inflated[start : start + _PIECE_BYTES] for start in range(0, len(inflated), _PIECE_BYTES))
    for piece in codecs.iterdecode(pieces, "utf-8", "replace"):  # a whole delivery as text can be four times its size
        mended += piece.encode()
    for lone in _LONE_SURROGATE.finditer(mended):
        mended[lone.start() : lone.end()] = b"\\ufffd"
    return mended


_PIECE_BYTES = 1024 * 1024
