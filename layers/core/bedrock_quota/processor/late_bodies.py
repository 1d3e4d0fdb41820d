"""Late bodies: a call whose body is not in S3 yet waits in the stack's queue, and its body is read again later.

A public module that reads these bodies sees them 30 to 60 s after the record (read 2026-11-28). AWS documents no time.
A message holds what the reader keeps of a record: ids, words and counts. It never holds a body.

Import this module only when a call is late, because cold starts are slow enough.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from bedrock_quota.processor.delivery import Delivery, LogEvent

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

    from bedrock_quota.processor.calls import LateCall
    from bedrock_quota.processor.records import Record

_logger = logging.getLogger(__name__)

MAX_CALL_BYTES = 16 * 1024
"""Largest call that waits. An ordinary one has 600 bytes, and one with 16 tags of the greatest length 9 KB."""

MAX_MESSAGE_BYTES = 24 * 1024
"""Largest message: about 40 calls, whose bodies can be read in the time of one delivery. Ten of them stay below
256 KiB, the former limit of a request. It is 1 MiB now (SendMessageBatch, API reference, read 2026-11-28)."""

MESSAGES_PER_REQUEST = 10
"""Most messages of a SendMessageBatch request (Amazon SQS message quotas, read 2026-11-28)."""

SECONDS_TO_SEND = 2.0
"""Time after which no further request to the queue begins. One that has begun takes up to 2 s."""

MAX_READS = 20
"""Times that a call is received from the queue before it no longer waits, whatever its message says. By the stack's
settings 5 are enough, and 20 are for a delay of 15 s.

This bound and `since` end every loop, so the template has `RecursiveLoop: Allow`. Otherwise Lambda stops a chain of about
16 invocations through a queue (https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html, read 2026-11-28).
"""

MAX_CALLS_PER_MESSAGE = 1_000
"""Most calls of a message that is read. `MAX_MESSAGE_BYTES` leaves room for far fewer."""


class Waiting(msgspec.Struct, frozen=True, rename="camel"):
    """The time since when the calls of a message wait, and their source.

    `since` is in seconds since the epoch. `source` stands for the delivery that they came with. With `reads` it tells
    apart messages with equal calls, so that each counts once.
    """

    since: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    source: Annotated[str, msgspec.Meta(max_length=256)] = ""
    reads: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    """Times that the calls were received from the queue."""

    def seconds_left(self, now: float, seconds: int) -> float:
        """Return for how much longer the calls wait if they wait `seconds` in total. It is never more than that."""
        if self.reads >= MAX_READS:
            return 0.0
        return min(max(self.since + seconds - now, 0.0), float(seconds))


class _Message(Waiting, frozen=True, rename="camel"):
    calls: tuple[msgspec.Raw, ...] = ()


class LateDelivery(msgspec.Struct, frozen=True):
    """The calls of a message as a delivery of records. `waiting` is None if the message cannot be read."""

    delivery: Delivery
    waiting: Waiting | None


_decode_message = msgspec.json.Decoder(_Message).decode


def encode_call(record: Record) -> bytes | None:
    """Return a trimmed record as it waits in the queue, or None if it is too large."""
    # escaped to ASCII, because SQS refuses some characters
    encoded = json.dumps(_clean(msgspec.to_builtins(record)), separators=(",", ":")).encode()
    return encoded if len(encoded) <= MAX_CALL_BYTES else None


def _clean(value: Any) -> Any:
    """Return JSON without lone surrogates, and without members that are null or empty, which a record need not have."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if not isinstance(value, dict):
        return value
    return {key: kept for key, each in value.items() if (kept := _clean(each)) not in (None, {}, "")}


def begin_waiting(received: Delivery, now: float) -> Waiting:
    """Return the state of calls that begin to wait. `now` is in seconds since the epoch."""
    first = received.log_events[0].id if received.log_events else ""
    source = f"{received.owner}\n{received.log_group}\n{first}".encode(errors="replace")
    return Waiting(since=int(now), source=hashlib.sha256(source).hexdigest())


def read_message(body: str) -> LateDelivery:
    """Read a message of the queue. Never raises, because SQS would send an unreadable message again and again.

    The ids of its log events are empty: the texts themselves, with the source and the number of reads, say if the
    message was processed before.
    """
    try:
        message = _decode_message(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        message = None
    if message is None or len(message.calls) > MAX_CALLS_PER_MESSAGE:
        return LateDelivery(Delivery("DATA_MESSAGE", (LogEvent(body.encode(errors="replace")),), "unreadable"), None)
    waiting = Waiting(message.since, message.source, message.reads + 1)
    events = tuple(LogEvent(bytes(call).decode()) for call in message.calls)
    return LateDelivery(Delivery("DATA_MESSAGE", events, f"{waiting.source}/{waiting.reads}"), waiting)


class Queue(msgspec.Struct, frozen=True):
    """The queue of late calls, and how long they wait: `delay` seconds until each read, `seconds` in total."""

    url: str
    delay: int
    seconds: int
    connect: Callable[[], SQSClient]

    def send(
        self,
        several: Iterable[tuple[Waiting, Sequence[LateCall]]],
        now: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> list[LateCall]:
        """Send the late calls of several deliveries, and return those that could not be sent. Never raises.

        After a failed request no other begins, because it would fail too and take its time.
        """
        messages = [
            (text, math.ceil(min(waiting.seconds_left(now, self.seconds), self.delay)), calls)
            for waiting, late in several
            for text, calls in _make_messages(waiting, late)
        ]
        unsent: list[LateCall] = []
        deadline, failed = clock() + SECONDS_TO_SEND, False
        for batch in _split(messages, MESSAGES_PER_REQUEST):
            refused: Mapping[int, str] | None = None
            if not failed and clock() < deadline:
                refused = self._send_batch([(text, delay) for text, delay, _ in batch])
            failed = failed or refused is None
            for number, (_, _, calls) in enumerate(batch):
                if refused is None or number in refused:
                    unsent += calls
        return unsent

    def _send_batch(self, batch: Sequence[tuple[str, int]]) -> Mapping[int, str] | None:
        """Send up to ten messages. Return the code of each that SQS refused, or None if the request failed."""
        entries: list[SendMessageBatchRequestEntryTypeDef] = [
            {"Id": str(number), "MessageBody": text, "DelaySeconds": delay}
            for number, (text, delay) in enumerate(batch)
        ]
        try:
            answer = self.connect().send_message_batch(QueueUrl=self.url, Entries=entries)
            sent = {int(each["Id"]) for each in answer.get("Successful", ())}
            codes = {int(each["Id"]): str(each["Code"]) for each in answer.get("Failed", ())}
        except Exception as error:  # noqa: BLE001 - metrics must flow after any error; the calls count as unknown
            _logger.warning("could not send late calls to the queue", extra={"error": type(error).__name__})
            return None
        refused = {number: codes.get(number, "no_answer") for number in range(len(batch)) if number not in sent}
        if refused:
            _logger.warning("the queue refused late calls", extra={"codes": sorted(set(refused.values()))})
        return refused


def _make_messages(waiting: Waiting, late: Sequence[LateCall]) -> Iterator[tuple[str, Sequence[LateCall]]]:
    """Yield messages with the calls in each, in order and as few as possible."""
    head = msgspec.json.encode(waiting)[:-1] + b',"calls":['
    part: list[LateCall] = []
    size = len(head) + len(b"]}")
    for call in late:
        if part and size + len(call.encoded) + 1 > MAX_MESSAGE_BYTES:
            yield _join(head, part), part
            part, size = [], len(head) + len(b"]}")
        part.append(call)
        size += len(call.encoded) + 1
    if part:
        yield _join(head, part), part


def _join(head: bytes, calls: Sequence[LateCall]) -> str:
    return (head + b",".join(call.encoded for call in calls) + b"]}").decode()


def _split(
    messages: Iterable[tuple[str, int, Sequence[LateCall]]], size: int
) -> Iterator[list[tuple[str, int, Sequence[LateCall]]]]:
    remaining = iter(messages)
    while batch := list(islice(remaining, size)):
        yield batch
