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
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from bedrock_quota.model_ids import Reference
from bedrock_quota.processor.application_profiles import MAX_PROFILE_ARN
from bedrock_quota.processor.calls import QUEUE_FAILED, QUEUE_SLOW, LateCall
from bedrock_quota.processor.delivery import Delivery, LogEvent
from bedrock_quota.processor.delivery_digest import digest_delivery

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

    from bedrock_quota.processor.records import Record

_logger = logging.getLogger(__name__)

MAX_CALL_BYTES = 15 * 1024
"""Largest call that waits. An ordinary one has 500 bytes, and one with 16 tags of the greatest length 9 KB."""

MAX_CALLS_PER_PART = 16
"""Most calls of a delivery that wait together in a message. Their bodies can be read in the time of one delivery."""

MAX_REQUEST_BYTES = 256 * 1024
"""Most bytes of the messages of a request: more than `MAX_CALLS_PER_PART` calls of `MAX_CALL_BYTES`. This was the limit
of SQS. It is 1 MiB now (SendMessageBatch, API reference, read 2026-11-28)."""

MESSAGES_PER_REQUEST = 10
"""Most messages of a SendMessageBatch request (Amazon SQS message quotas, read 2026-11-28)."""

SECONDS_TO_SEND = 2.0
"""Time after which no further request to the queue begins. One that has begun takes up to 2 s. `MAX_SET_ASIDE_BYTES`
and `batch.MAX_LATE_BYTES_PER_GROUP` come to at most 40 requests."""

MAX_READS = 20
"""Times that a call is received from the queue before it no longer waits, whatever its message says. By the stack's
settings 5 are enough, and 20 are for a delay of 15 s.

This bound and `since` end every loop, so the template has `RecursiveLoop: Allow`. Otherwise Lambda stops a chain of
about 16 invocations through a queue (https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html, read
2026-11-28).
"""


class Waiting(msgspec.Struct, frozen=True, rename="camel"):
    """The time since when the calls of a message wait, and their source.

    `since` is in seconds since the epoch. `source` stands for the delivery that they came with, and `part` says which
    of its calls they are: those whose place begins with these bits. With `reads` both identify a message.
    """

    since: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    source: Annotated[str, msgspec.Meta(max_length=256)] = ""
    reads: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    """Times that the calls were received from the queue."""
    part: Annotated[str, msgspec.Meta(max_length=512)] = ""

    def seconds_left(self, now: float, seconds: int) -> float:
        """Return for how much longer the calls wait if they wait `seconds` in total. It is never more than that."""
        return min(max(self.since + seconds - now, 0.0), float(seconds))


class _Message(Waiting, frozen=True, rename="camel"):
    calls: tuple[msgspec.Raw, ...] = ()


class LateDelivery(msgspec.Struct, frozen=True):
    """The calls of a message as a delivery of records. `waiting` is None if the message cannot be read.

    `key` stands for the message in the state table. `profiles` are the application profiles of its calls, by ARN. The
    message `is_repeated` if SQS has delivered it before.
    """

    delivery: Delivery
    key: str
    waiting: Waiting | None
    is_repeated: bool = False
    profiles: Mapping[str, Reference] = {}

    def can_wait(self, now: float, seconds: int) -> bool:
        """Return True if calls without a body wait on, if they wait `seconds` in total.

        Calls of a repeated message do so although their time is over. A killed run may have sent them on, and a second
        message of the same part and number of reads counts once.
        """
        waiting = self.waiting
        if waiting is None or waiting.reads >= MAX_READS:
            return False
        return self.is_repeated or waiting.seconds_left(now, seconds) > 0


class _ResolvedProfile(msgspec.Struct, frozen=True, rename="camel"):
    """The application profile of a call, and the model behind it, which the next container may not find out."""

    arn: Annotated[str, msgspec.Meta(max_length=MAX_PROFILE_ARN)]
    model: Reference


class _Call(msgspec.Struct, frozen=True, rename="camel"):
    """The member that a call in a message has beside those of its record."""

    resolved_profile: _ResolvedProfile | None = None


_decode_message = msgspec.json.Decoder(_Message).decode
_decode_call = msgspec.json.Decoder(_Call).decode


def encode_call(record: Record, resolved: tuple[str, Reference] | None = None) -> bytes | None:
    """Return a trimmed record as it waits in the queue, or None if it is too large.

    `resolved` is the ARN of its application profile, and the model behind it.
    """
    call = msgspec.to_builtins(record)
    if resolved is not None:
        call |= msgspec.to_builtins(_Call(_ResolvedProfile(*resolved)))
    # escaped to ASCII, because SQS refuses some characters
    encoded = json.dumps(_clean(call), separators=(",", ":")).encode()
    return encoded if len(encoded) <= MAX_CALL_BYTES else None


def _clean(value: Any) -> Any:
    """Return JSON without lone surrogates, and without members that are null or `{}`, which a record need not have."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if not isinstance(value, dict):
        return value
    return {key: kept for key, each in value.items() if (kept := _clean(each)) not in (None, {})}


def _list_profiles(calls: Iterable[msgspec.Raw]) -> dict[str, Reference]:
    """Return the models behind the application profiles of calls, by ARN. Anything unreadable is left out."""
    found: dict[str, Reference] = {}
    for call in calls:
        try:
            resolved = _decode_call(call).resolved_profile
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            continue
        if resolved is not None:
            found[resolved.arn] = resolved.model
    return found


def begin_waiting(received: Delivery, now: float) -> Waiting:
    """Return the state of calls that begin to wait. `now` is in seconds since the epoch."""
    return Waiting(since=int(now), source=digest_delivery(received))


def find_places(paths: Sequence[str]) -> list[tuple[bytes, int]]:
    """Return the place of each call whose body was asked for, by the paths of the bodies.

    A place is a digest, and the number of its first bits that few enough calls share to wait together. It does not
    change if other bodies come or a call is missing. So if a run is killed and repeated, equal parts of both have the
    same calls, except those whose body has come in between. Calls of one path differ by their order.
    """
    met: Counter[str] = Counter()
    digests: list[bytes] = []
    for path in paths:
        digests.append(hashlib.sha256(f"{path}\n{met[path]}".encode(errors="surrogatepass")).digest())
        met[path] += 1
    found = [(digest, 0) for digest in digests]
    parts = [(0, list(range(len(digests))))]
    while parts:
        depth, part = parts.pop()
        if len(part) > MAX_CALLS_PER_PART:
            halves: tuple[list[int], list[int]] = ([], [])
            for each in part:
                halves[digests[each][depth // 8] >> (7 - depth % 8) & 1].append(each)
            parts += [(depth + 1, half) for half in halves]
        else:
            for each in part:
                found[each] = digests[each], depth
    return found


def _name_part(place: bytes, depth: int) -> str:
    return "".join(f"{byte:08b}" for byte in place[: -(-depth // 8)])[:depth]


def name_message(waiting: Waiting) -> str:
    """Return the key that stands for a message in the state table. Its calls do not matter, only their part."""
    return f"{waiting.source} part {waiting.part} reads {waiting.reads}"


def read_message(body: str, *, is_repeated: bool = False) -> LateDelivery:
    """Read a message of the queue. Never raises, because SQS would send an unreadable message again and again.

    The digest of its text stands for a message without a source. The ids of the log events are empty.
    """
    digest = hashlib.sha256(body.encode(errors="surrogatepass")).hexdigest()
    try:
        message = _decode_message(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        message = None
    if message is None or len(message.calls) > MAX_CALLS_PER_PART:
        return LateDelivery(Delivery("DATA_MESSAGE", (LogEvent(""),)), digest, None)
    waiting = Waiting(message.since, message.source or digest, message.reads + 1, message.part)
    delivery = Delivery("DATA_MESSAGE", tuple(LogEvent(bytes(call).decode()) for call in message.calls))
    key = name_message(message) if message.source else digest
    return LateDelivery(delivery, key, waiting, is_repeated, _list_profiles(message.calls))


class Message(msgspec.Struct, frozen=True):
    """Late calls of one part, as they are sent."""

    waiting: Waiting
    calls: Sequence[LateCall]

    @property
    def key(self) -> str:
        """The key that stands for the message in the state table when it is received."""
        return name_message(self.waiting)

    def encode(self) -> str:
        """Return the text of the message."""
        head = msgspec.json.encode(self.waiting)[:-1] + b',"calls":['
        return (head + b",".join(call.encoded for call in self.calls) + b"]}").decode()


class Unsent(msgspec.Struct, frozen=True):
    """The calls that are not in the queue, with the reason, and messages of which SQS has not said if it took them."""

    calls: dict[LateCall, str] = {}
    uncertain: list[Message] = []

    def add(self, messages: Iterable[Message], reason: str) -> None:
        """Add the calls of messages that are not in the queue."""
        self.calls.update((call, reason) for message in messages for call in message.calls)


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
    ) -> Unsent:
        """Send the late calls of several deliveries, and return those that could not be sent. Never raises.

        After a failed request no other begins, because it would fail too and take its time.
        """
        unsent, deadline, failed = Unsent(), clock() + SECONDS_TO_SEND, False
        for batch in _split(message for waiting, late in several for message in _make_messages(waiting, late)):
            messages = [message for message, _ in batch]
            if failed:
                unsent.add(messages, QUEUE_FAILED)
            elif clock() >= deadline:
                unsent.add(messages, QUEUE_SLOW)
            else:
                failed = not self._send_batch(messages, [text for _, text in batch], now, unsent)
        return unsent

    def _send_batch(self, batch: Sequence[Message], texts: Sequence[str], now: float, unsent: Unsent) -> bool:
        """Send up to ten messages, and add those that could not be sent to `unsent`. Return False if SQS fails."""
        entries: list[SendMessageBatchRequestEntryTypeDef] = [
            {
                "Id": str(number),
                "MessageBody": text,
                "DelaySeconds": math.ceil(min(message.waiting.seconds_left(now, self.seconds), self.delay)),
            }
            for number, (message, text) in enumerate(zip(batch, texts, strict=True))
        ]
        try:
            answer = self.connect().send_message_batch(QueueUrl=self.url, Entries=entries)
            sent = {int(each["Id"]) for each in answer.get("Successful", ())}
            codes = {int(each["Id"]): str(each["Code"]) for each in answer.get("Failed", ())}
            faults = {int(each["Id"]) for each in answer.get("Failed", ()) if each.get("SenderFault") is True}
        except Exception as error:  # noqa: BLE001 - metrics must flow after any error; the calls count as unknown
            _logger.warning("could not send late calls to the queue", extra={"error": type(error).__name__})
            if _is_refusal(error):
                unsent.add(batch, QUEUE_FAILED)
            else:
                unsent.uncertain.extend(batch)
            return False
        refused = {number: codes.get(number, "no_answer") for number in range(len(batch)) if number not in sent}
        if refused:
            _logger.warning("the queue refused late calls", extra={"codes": sorted(set(refused.values()))})
        for number in refused:
            if number in faults:
                unsent.add((batch[number],), QUEUE_FAILED)
            else:
                unsent.uncertain.append(batch[number])
        return True


def _is_refusal(error: Exception) -> bool:
    """Return True if SQS has certainly not taken the messages of a failed request.

    Only an error of the sender at the first attempt says so. Before a second one, SQS may have taken the messages and
    its answer was lost (`ResponseMetadata` of botocore 1.43, tried 2026-11-28).
    """
    answer = getattr(error, "response", None)
    metadata = answer.get("ResponseMetadata", {}) if isinstance(answer, dict) else {}
    return 400 <= metadata.get("HTTPStatusCode", 0) < 500 and metadata.get("RetryAttempts") == 0


def _make_messages(waiting: Waiting, late: Iterable[LateCall]) -> Iterator[Message]:
    """Yield a message for each part."""
    parts: dict[str, list[LateCall]] = {}
    for call in late:
        parts.setdefault(waiting.part + _name_part(call.place, call.depth), []).append(call)
    for part, calls in parts.items():
        yield Message(msgspec.structs.replace(waiting, part=part), calls)


def _split(messages: Iterable[Message]) -> Iterator[list[tuple[Message, str]]]:
    """Yield messages with their texts, as many together as fit into a request."""
    batch: list[tuple[Message, str]] = []
    size = 0
    for message in messages:
        text = message.encode()
        if batch and (len(batch) == MESSAGES_PER_REQUEST or size + len(text) > MAX_REQUEST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((message, text))
        size += len(text)
    if batch:
        yield batch
