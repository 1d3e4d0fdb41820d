"""Packing log events into deliveries, as CloudWatch Logs sends them to the processor."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from bedrock_quota.processor.delivery import LogEvent
from bedrock_quota.processor.event import PUBLISHED

MAX_DELIVERY_BYTES = 4 * 1024 * 1024
"""Largest inflated size of a delivery with more than one event. If nothing of it can be compressed, it takes 5.6 MB in
base64. Lambda takes 6 MB (Lambda quotas, "Invocation payload", read 2026-11-28), and the processor inflates 16 MB."""

MAX_DELIVERY_EVENTS = 10_000
"""Most events of a delivery. The processor takes 30,000, and writes its lines after 10,000."""

MAX_LARGE_BODIES = 10
"""Most events of a delivery whose request is in S3: the processor reads so many of the largest ones in its 5 s."""

_BODY_PATH = b'\\"inputBodyS3Path\\"'
"""The key of a record inside of an encoded event. In the text of a prompt, more backslashes precede its last quote."""

_COMPRESSION = 6


class _Delivery(msgspec.Struct, frozen=True, rename="camel"):
    message_type: str
    owner: str
    log_group: str
    log_events: Sequence[msgspec.Raw]


def pack_events(events: Iterable[LogEvent]) -> Iterator[list[msgspec.Raw]]:
    """Yield the encoded events of each delivery. The same events in the same order make the same deliveries."""
    packed: list[msgspec.Raw] = []
    size = bodies = 0
    for event in events:
        encoded = msgspec.json.encode(event)
        is_large = _BODY_PATH in encoded
        if packed and (
            size + len(encoded) > MAX_DELIVERY_BYTES
            or len(packed) == MAX_DELIVERY_EVENTS
            or bodies + is_large > MAX_LARGE_BODIES
        ):
            yield packed
            packed, size, bodies = [], 0, 0
        packed.append(msgspec.Raw(encoded))
        size += len(encoded)
        bodies += is_large
    if packed:
        yield packed


def encode_delivery(events: Sequence[msgspec.Raw], owner: str, log_group: str) -> bytes:
    """Return the event for the processor: a delivery that is marked as published."""
    delivery = msgspec.json.encode(_Delivery("DATA_MESSAGE", owner, log_group, events))
    data = base64.b64encode(gzip.compress(delivery, _COMPRESSION, mtime=0)).decode()
    return msgspec.json.encode({"awslogs": {"data": data}, PUBLISHED: True})
