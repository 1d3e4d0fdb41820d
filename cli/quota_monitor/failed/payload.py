"""Content of a failed delivery's object, as Lambda wrote it: deliveries, and the parts that the processor gets.

An object is the record of an asynchronous invocation, with the event in `requestPayload`
(https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html, read 2026-11-23). With a stream, it
is the record of a batch, mostly of one delivery, with the event as text in `payload`
(https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html, read 2026-11-24).
"""

from __future__ import annotations

import base64
import functools
import gzip
import zlib
from typing import Any

import msgspec

from bedrock_quota.errors import DeliveryError
from bedrock_quota.processor.delivery import MAX_INFLATED_BYTES, MAX_LOG_EVENTS
from bedrock_quota.processor.event import split_event
from quota_monitor.failed.progress import Part

MAX_SPLIT_BYTES = 512 * 1024 * 1024
"""Inflated size up to which a delivery that is too large for the processor is split here."""


_STOPPED_TYPES = frozenset({"Sandbox.Timedout", "Runtime.OutOfMemory", "Runtime.ExitError"})
_STOPPED_MESSAGES = ("Task timed out after", "Runtime exited", "signal: killed")


class Failure(msgspec.Struct, frozen=True, rename="camel"):
    """The error that a function answered."""

    error_type: str = "failed"
    error_message: str = ""

    @property
    def is_stopped(self) -> bool:
        """True if the function was stopped: at its timeout, or because it took too much memory or crashed.

        A timeout has its type, or a message that begins with the time and the request id
        (https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html, read 2026-11-28). A killed or
        crashed runtime has `Runtime.ExitError` with `Error: Runtime exited with error: signal: killed` or `exit status
        137`, or `Runtime.OutOfMemory` (https://repost.aws/knowledge-center/lambda-runtime-error and
        https://github.com/aws/aws-lambda-dotnet/issues/480, read 2026-11-28).
        """
        return self.error_type in _STOPPED_TYPES or any(text in self.error_message for text in _STOPPED_MESSAGES)

    def __str__(self) -> str:
        return f"{self.error_type}: {self.error_message}"


class _Delivery(msgspec.Struct, frozen=True, rename="camel"):
    """A delivery whose log events stay encoded."""

    message_type: str
    log_events: list[msgspec.Raw] = []
    log_group: str = ""
    log_stream: str = ""
    owner: str = ""


class _Whole(msgspec.Struct, frozen=True):
    """A delivery with its inflated size as it was received."""

    delivery: _Delivery
    size: int


class Payload(msgspec.Struct, frozen=True):
    """Deliveries as events of CloudWatch Logs. `was_stopped` is True if Lambda says that the function was."""

    events: list[bytes]
    was_stopped: bool = False

    def has_part(self, part: Part) -> bool:
        """Return True if there are such log events."""
        if not 0 <= part.delivery < len(self.events):
            return False
        if part.events is None:
            return True
        found = _decode_whole(self.events[part.delivery])
        first, end = part.events
        return found is not None and 0 <= first < end <= len(found.delivery.log_events)

    def read_part(self, part: Part) -> bytes:
        """Return the event for the function: the delivery as it was received, or one with these log events alone."""
        found = _decode_whole(self.events[part.delivery])
        if part.events is None or found is None:
            return self.events[part.delivery]
        data = base64.b64encode(gzip.compress(_encode(found, part.events), mtime=0)).decode()
        return msgspec.json.encode({"awslogs": {"data": data}})

    def is_too_large(self, part: Part) -> bool:
        """Return True if the processor would refuse this part because of its size."""
        found = _decode_whole(self.events[part.delivery])
        if found is None:
            return False
        first, end = part.events or (0, len(found.delivery.log_events))
        size = found.size if part.events is None else len(_encode(found, part.events))
        return size > MAX_INFLATED_BYTES or end - first > MAX_LOG_EVENTS

    def split(self, part: Part) -> tuple[Part, ...]:
        """Return both halves of a part, or nothing if it is one log event or cannot be split."""
        found = _decode_whole(self.events[part.delivery])
        first, end = part.events or (0, len(found.delivery.log_events) if found else 0)
        middle = (first + end) // 2
        if end - first < 2:
            return ()
        return Part(part.delivery, (first, middle)), Part(part.delivery, (middle, end))


@functools.lru_cache(maxsize=1)
def _decode_whole(event: bytes) -> _Whole | None:
    try:
        inflated = _inflate(event)
        return _Whole(msgspec.json.decode(inflated, type=_Delivery), len(inflated))
    except (ValueError, zlib.error, msgspec.DecodeError, RecursionError, DeliveryError):
        return None


def _encode(whole: _Whole, events: tuple[int, int]) -> bytes:
    delivery = whole.delivery
    return msgspec.json.encode(msgspec.structs.replace(delivery, log_events=delivery.log_events[slice(*events)]))


class _Sent(msgspec.Struct, frozen=True):
    awslogs: dict[str, str]


def _inflate(event: bytes) -> bytes:
    """Inflate a delivery. Raises `DeliveryError` if it inflates to too much. Propagates decoding errors."""
    inflater = zlib.decompressobj(wbits=31)
    data = base64.b64decode(msgspec.json.decode(event, type=_Sent).awslogs.get("data", ""))
    inflated = inflater.decompress(data, MAX_SPLIT_BYTES)
    if not inflater.eof:
        raise DeliveryError("is cut short, or a bomb")
    return inflated


class _Invocation(msgspec.Struct, frozen=True, rename="camel"):
    request_payload: msgspec.Raw
    response_payload: msgspec.Raw = msgspec.Raw(b"null")


class _Batch(msgspec.Struct, frozen=True):
    payload: str | dict[str, Any]


def decode_payload(body: bytes) -> Payload:
    """Decode an object. Raises `DeliveryError` or propagates msgspec errors if it has neither form."""
    try:
        found = msgspec.json.decode(body, type=_Invocation)
        return Payload([bytes(found.request_payload)], decode_failure(bytes(found.response_payload)).is_stopped)
    except msgspec.ValidationError:
        payload = msgspec.json.decode(body, type=_Batch).payload
    batch = msgspec.json.decode(payload, type=dict[str, Any]) if isinstance(payload, str) else payload
    if not batch.get("Records"):
        raise DeliveryError("the payload is not a batch, or an empty one")
    return Payload([msgspec.json.encode(each.event) for each in split_event(batch)])


def decode_failure(answer: bytes) -> Failure:
    """Return the error that a function answered, or an unnamed one."""
    try:
        return msgspec.json.decode(answer, type=Failure)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Failure()


class _Numbers(msgspec.Struct, frozen=True, rename="camel"):
    shard_id: str
    start_sequence_number: str
    end_sequence_number: str
    stream_arn: str


class _BatchInfo(msgspec.Struct, frozen=True):
    numbers: _Numbers = msgspec.field(name="KinesisBatchInfo")


def locate_records(body: bytes) -> str | None:
    """Return where the records of a batch are that Lambda wrote without them, as it does for other destinations."""
    try:
        found = msgspec.json.decode(body, type=_BatchInfo).numbers
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return (
        f"has no records, which stay in {found.stream_arn} for a day: {found.shard_id}, "
        f"{found.start_sequence_number} to {found.end_sequence_number}"
    )
