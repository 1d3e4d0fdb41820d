"""A delivery: one event from CloudWatch Logs, holding many log events.

Shape: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html (read 2026-11-23):
`{"awslogs": {"data": base64(gzip(json))}}`.
"""

import binascii
import json
from collections.abc import Mapping
from typing import Any

import msgspec

from bedrock_quota.errors import DeliveryError

try:
    from isal import isal_zlib as zlib
except ImportError:  # a platform without a wheel: the same answer, slower
    import zlib  # type: ignore[no-redef]

MAX_INFLATED_BYTES = 16 * 1024 * 1024
"""CloudWatch Logs sends at most 1 MB compressed; honest JSON of that size inflates to some 10 MB. More is a bomb."""

_GZIP_OR_ZLIB = 47
"""zlib's `wbits` for a 32 KiB window with the header found out by itself."""


class LogEvent(msgspec.Struct, frozen=True):
    """One log event of a delivery: `id` is unique, `timestamp` is milliseconds since the epoch."""

    message: str
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


def decode(event: Mapping[str, Any], max_inflated_bytes: int = MAX_INFLATED_BYTES) -> Delivery:
    """Decode an event of a CloudWatch Logs subscription.

    Raises `DeliveryError` if the event is not one, is damaged, or inflates to more than `max_inflated_bytes`:
    the invocation then fails and the payload is kept, for nothing in it could be counted.
    """
    try:
        data = event["awslogs"]["data"]
        compressed = binascii.a2b_base64(data)
    except (KeyError, TypeError) as error:
        raise DeliveryError("the event is not a CloudWatch Logs delivery: no awslogs.data") from error
    except (binascii.Error, ValueError) as error:
        raise DeliveryError("awslogs.data is not base64") from error
    inflated = _inflate(compressed, max_inflated_bytes)
    try:
        return _decoder.decode(inflated)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_tolerantly(inflated)


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


def _decode_tolerantly(inflated: bytes) -> Delivery:
    """Read what the strict decoder refuses, such as a lone surrogate, with the standard library's parser."""
    try:
        return msgspec.convert(json.loads(inflated), Delivery)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise DeliveryError("the inflated data is not a delivery in JSON") from error
