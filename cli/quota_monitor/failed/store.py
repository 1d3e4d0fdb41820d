"""Failed deliveries: objects that Lambda wrote to the stack's bucket after all retries failed.

An object is the record of an asynchronous invocation, with the event in `requestPayload`
(https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html, read 2026-11-23). With a stream, it
is the record of a batch, mostly of one delivery, with the event as text in `payload`
(https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html, read 2026-11-24).
"""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from bedrock_quota.errors import DeliveryError
from bedrock_quota.processor import delivery
from bedrock_quota.processor.delivery import MAX_LOG_EVENTS
from bedrock_quota.processor.event import split_event
from quota_monitor.aws_session import physical_id

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client


class FailedDelivery(msgspec.Struct, frozen=True):
    """One object of the bucket."""

    key: str
    size: int
    kept_at: datetime


class Store(msgspec.Struct, frozen=True):
    """Bucket in which a stack keeps failed deliveries, and the function that processes them."""

    bucket: str
    function: str


class Replayed(msgspec.Struct, frozen=True):
    """Result for one object. `problem` is None if all of it was processed and the object was deleted.

    `failed` is True if something of it can be replayed again.
    """

    key: str
    problem: str | None = None
    failed: bool = False


REJECTED_PREFIX = "refused/"
"""Prefix of the keys of replayed deliveries with rejected records. They are not replayed again."""

MAX_INFLATED_BYTES = 512 * 1024 * 1024
"""Inflated size up to which a delivery that is too large for the processor is split here."""


class _Invocation(msgspec.Struct, frozen=True, rename="camel"):
    request_payload: msgspec.Raw


def find_store(session: boto3.Session, stack_name: str) -> Store:
    """Return where a deployed stack keeps failed deliveries. Propagates botocore errors."""
    return Store(
        physical_id(session, stack_name, "FailedDeliveriesBucket"),
        physical_id(session, stack_name, "MetricProcessorFunction"),
    )


def list_failed(session: boto3.Session, bucket: str) -> list[FailedDelivery]:
    """Return the failed deliveries, the oldest first. Propagates botocore errors."""
    return [each for each in _objects(session, bucket) if not each.key.startswith(REJECTED_PREFIX)]


def list_rejected(session: boto3.Session, bucket: str) -> list[FailedDelivery]:
    """Return the replayed deliveries with rejected records. Propagates botocore errors."""
    return [each for each in _objects(session, bucket) if each.key.startswith(REJECTED_PREFIX)]


def _objects(session: boto3.Session, bucket: str) -> list[FailedDelivery]:
    pages = session.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return sorted(
        (
            FailedDelivery(each["Key"], each["Size"], each["LastModified"])
            for page in pages
            for each in page.get("Contents", [])
        ),
        key=lambda each: (each.kept_at, each.key),
    )


def replay(
    session: boto3.Session, where: Store, deliveries: list[FailedDelivery], *, discard: bool = False
) -> Iterator[Replayed]:
    """Invoke the processor with these deliveries, one after the other. Delete each object when all of it is processed.

    A delivery that fails again stays. Of a batch, only its failed deliveries stay. A processed delivery with rejected
    records, for example too old ones, moves to `REJECTED_PREFIX`, or is deleted with `discard`. A delivery that is too
    large for the processor is processed in parts, which are always the same. A replay can be interrupted and started
    again: with duplicate detection, a delivery that was processed but not deleted counts as a duplicate.
    """
    from botocore.config import Config  # noqa: PLC0415 - see `aws_session.open_session`

    s3 = session.client("s3")
    # The timeout covers the function's own. There is no retry, because the second call would be a duplicate.
    functions = session.client("lambda", config=Config(read_timeout=90, retries={"total_max_attempts": 1}))
    for each in deliveries:
        try:
            yield _replay(s3, functions, where, each.key, discard=discard)
        except (BotoCoreError, ClientError) as error:
            yield Replayed(each.key, f"could not be replayed: {error}", failed=True)


def _replay(s3: S3Client, functions: LambdaClient, where: Store, key: str, *, discard: bool) -> Replayed:
    body = s3.get_object(Bucket=where.bucket, Key=key)["Body"].read()
    try:
        held = _held(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, DeliveryError):
        return Replayed(key, _without_records(body) or "is not the record of an invocation", failed=True)
    outcomes = [_process(functions, where.function, event) for event in held.events]
    refusals = sum(outcome for outcome in outcomes if isinstance(outcome, int))
    if refusals and not discard:
        s3.put_object(Bucket=where.bucket, Key=f"{REJECTED_PREFIX}{key}", Body=body)
    left = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, str)]
    if not left:
        s3.delete_object(Bucket=where.bucket, Key=key)
        kept_as = "discarded" if discard else f"kept as {REJECTED_PREFIX}{key}"
        rejected = f"was processed, but {refusals} of its records were rejected, {kept_as}"
        return Replayed(key, rejected if refusals else None)
    if len(left) < len(outcomes):  # the others must not be processed again
        s3.put_object(Bucket=where.bucket, Key=key, Body=held.with_only(left))
    which = f"{len(left)} of its {len(outcomes)} deliveries failed again, the first: " if len(outcomes) > 1 else ""
    return Replayed(key, f"{which}{outcomes[left[0]]}", failed=True)


def _process(client: LambdaClient, function: str, event: bytes) -> int | str:
    """Process one delivery. Return the number of rejected records, or why it failed."""
    refusals = 0
    for part in _parts(event):
        answer = client.invoke(FunctionName=function, Payload=part)
        said = answer["Payload"].read()
        if answer.get("FunctionError"):
            return _reason(said)
        found = _refused(said)
        if found is None:
            return "was processed, but the answer of the processor could not be read"
        refusals += found
    return refusals


def _parts(event: bytes) -> Iterator[bytes]:
    """Yield a delivery unchanged, or in parts if it is too large for the processor.

    A delivery that cannot be split is yielded unchanged, so that the processor reports its error.
    """
    try:
        inflated = _inflated(event)
        if len(inflated) <= delivery.MAX_INFLATED_BYTES:
            yield event
            return
        whole = msgspec.json.decode(inflated, type=_Whole)
    except (ValueError, zlib.error, msgspec.DecodeError, RecursionError, DeliveryError):
        yield event
        return
    yield from _halves(whole)


def _halves(whole: _Whole) -> Iterator[bytes]:
    inflated = msgspec.json.encode(whole)
    events = whole.log_events
    if len(events) > 1 and (len(inflated) > delivery.MAX_INFLATED_BYTES or len(events) > MAX_LOG_EVENTS):
        middle = len(events) // 2
        for half in (events[:middle], events[middle:]):
            yield from _halves(msgspec.structs.replace(whole, log_events=half))
    else:
        data = base64.b64encode(gzip.compress(inflated, mtime=0)).decode()
        yield msgspec.json.encode({"awslogs": {"data": data}})


class _Whole(msgspec.Struct, frozen=True, rename="camel"):
    """A delivery whose log events stay encoded."""

    message_type: str
    log_events: list[msgspec.Raw] = []
    log_group: str = ""
    log_stream: str = ""
    owner: str = ""


class _Sent(msgspec.Struct, frozen=True):
    awslogs: dict[str, str]


def _inflated(event: bytes) -> bytes:
    """Inflate a delivery. Raises `DeliveryError` if it inflates to too much. Propagates decoding errors."""
    inflater = zlib.decompressobj(wbits=31)
    data = base64.b64decode(msgspec.json.decode(event, type=_Sent).awslogs.get("data", ""))
    inflated = inflater.decompress(data, MAX_INFLATED_BYTES)
    if not inflater.eof:
        raise DeliveryError("is cut short, or a bomb")
    return inflated


class _Held(msgspec.Struct, frozen=True):
    """Content of an object: deliveries as events of CloudWatch Logs, and their batch, if there is one."""

    events: list[bytes]
    record: dict[str, Any] = {}
    batch: dict[str, Any] = {}

    def with_only(self, left: list[int]) -> bytes:
        """Return the object with only these deliveries of its batch."""
        batch = {**self.batch, "Records": [self.batch["Records"][number] for number in left]}
        return msgspec.json.encode({**self.record, "payload": msgspec.json.encode(batch).decode()})


class _Batch(msgspec.Struct, frozen=True):
    payload: str | dict[str, Any]


def _held(body: bytes) -> _Held:
    """Decode an object. Raises `DeliveryError` or propagates msgspec errors if it has neither form."""
    try:
        return _Held([bytes(msgspec.json.decode(body, type=_Invocation).request_payload)])
    except msgspec.ValidationError:
        payload = msgspec.json.decode(body, type=_Batch).payload
    batch = msgspec.json.decode(payload, type=dict[str, Any]) if isinstance(payload, str) else payload
    if not batch.get("Records"):
        raise DeliveryError("the payload is not a batch, or an empty one")
    events = [msgspec.json.encode(each.event) for each in split_event(batch)]
    return _Held(events, msgspec.json.decode(body), batch)


class _Numbers(msgspec.Struct, frozen=True, rename="camel"):
    shard_id: str
    start_sequence_number: str
    end_sequence_number: str
    stream_arn: str


class _BatchInfo(msgspec.Struct, frozen=True):
    numbers: _Numbers = msgspec.field(name="KinesisBatchInfo")


def _without_records(body: bytes) -> str | None:
    """Return where the records of a batch are that Lambda wrote without them, as it does for other destinations."""
    try:
        found = msgspec.json.decode(body, type=_BatchInfo).numbers
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return (
        f"has no records, which stay in {found.stream_arn} for a day: {found.shard_id}, "
        f"{found.start_sequence_number} to {found.end_sequence_number}"
    )


class _Result(msgspec.Struct, frozen=True):
    received: int
    rejected: int = 0


def _refused(payload: bytes) -> int | None:
    """Return how many records the processor rejected, or None for an answer that is not its own."""
    try:
        return msgspec.json.decode(payload, type=_Result).rejected
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class _Failure(msgspec.Struct, frozen=True, rename="camel"):
    error_type: str = "failed"
    error_message: str = ""


def _reason(payload: bytes) -> str:
    """Return the error that a function answered."""
    try:
        failure = msgspec.json.decode(payload, type=_Failure)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        failure = _Failure()
    return f"{failure.error_type}: {failure.error_message}"
