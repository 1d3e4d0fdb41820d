"""A failed delivery: what Lambda kept in the stack's bucket after the processor failed at it again and again.

An object is the record of an asynchronous invocation, with the event in `requestPayload`
(https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html, read 2026-11-23), or that of a batch
of a stream, mostly of one delivery, with the event as a text in `payload`
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
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from bedrock_quota.processor import delivery
from bedrock_quota.processor.delivery import MAX_LOG_EVENTS
from bedrock_quota.processor.event import split_event
from bedrock_quota.errors import DeliveryError

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client


class FailedDelivery(msgspec.Struct, frozen=True):
    """One object of the bucket."""

    key: str
    size: int
    kept_at: datetime


class Place(msgspec.Struct, frozen=True):
    """Where a stack keeps failed deliveries, and the function that can process them after all."""

    bucket: str
    function: str


class Replayed(msgspec.Struct, frozen=True):
    """What became of one object: `problem` is None where all of it was processed, and the object deleted.

    `failed` is whether anything is left to be replayed.
    """

    key: str
    problem: str | None = None
    failed: bool = False


REFUSED = "refused/"
"""Begins the key of what was replayed, and of which records were refused: it is done, and not replayed again."""

MAX_INFLATED_BYTES = 512 * 1024 * 1024
"""Inflated size up to which a delivery that is too large for the processor is taken apart here."""


class _Invocation(msgspec.Struct, frozen=True, rename="camel"):
    request_payload: msgspec.Raw


def place(session: boto3.Session, stack_name: str) -> Place:
    """Return where a deployed stack keeps failed deliveries. Raises what botocore raises."""
    stacks = session.client("cloudformation")

    def physical_id(logical_id: str) -> str:
        found = stacks.describe_stack_resource(StackName=stack_name, LogicalResourceId=logical_id)
        return found["StackResourceDetail"]["PhysicalResourceId"]

    return Place(physical_id("FailedDeliveriesBucket"), physical_id("MetricProcessorFunction"))


def kept(session: boto3.Session, bucket: str) -> list[FailedDelivery]:
    """Return the failed deliveries, the oldest first. Raises what botocore raises."""
    return [each for each in _objects(session, bucket) if not each.key.startswith(REFUSED)]


def refused(session: boto3.Session, bucket: str) -> list[FailedDelivery]:
    """Return what was replayed, and of which records were refused. Raises what botocore raises."""
    return [each for each in _objects(session, bucket) if each.key.startswith(REFUSED)]


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
    session: boto3.Session, where: Place, deliveries: list[FailedDelivery], *, discard: bool = False
) -> Iterator[Replayed]:
    """Have the processor process these deliveries, one after the other; delete each object when all of it is done.

    What fails again stays; of a batch, that alone. What is processed, and of which records were refused, say for their
    age, is kept below `REFUSED`, where no replay comes by, or discarded. A delivery that is too large for the processor
    is processed in parts, always the same. It can be interrupted and run again: a delivery that was processed but not
    deleted is known as a duplicate for as long as the bucket keeps it, where duplicates are detected.
    """
    s3 = session.client("s3")
    # As patient as the function may take, and never twice: the second would be a duplicate.
    functions = session.client("lambda", config=Config(read_timeout=90, retries={"total_max_attempts": 1}))
    for each in deliveries:
        try:
            yield _replay(s3, functions, where, each.key, discard=discard)
        except (BotoCoreError, ClientError) as error:
            yield Replayed(each.key, f"could not be replayed: {error}", failed=True)


def _replay(s3: S3Client, functions: LambdaClient, where: Place, key: str, *, discard: bool) -> Replayed:
    body = s3.get_object(Bucket=where.bucket, Key=key)["Body"].read()
    try:
        held = _held(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, DeliveryError):
        return Replayed(key, _without_records(body) or "is not the record of an invocation", failed=True)
    outcomes = [_process(functions, where.function, event) for event in held.events]
    refusals = sum(outcome for outcome in outcomes if isinstance(outcome, int))
    if refusals and not discard:
        s3.put_object(Bucket=where.bucket, Key=f"{REFUSED}{key}", Body=body)
    left = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, str)]
    if not left:
        s3.delete_object(Bucket=where.bucket, Key=key)
        kept_as = "discarded" if discard else f"kept as {REFUSED}{key}"
        refused = f"was processed, but for {refusals} of its records, which were refused; {kept_as}"
        return Replayed(key, refused if refusals else None)
    if len(left) < len(outcomes):  # what was processed must not be, again
        s3.put_object(Bucket=where.bucket, Key=key, Body=held.without_all_but(left))
    which = f"{len(left)} of its {len(outcomes)} deliveries stay, the first: " if len(outcomes) > 1 else ""
    return Replayed(key, f"{which}{outcomes[left[0]]}", failed=True)


def _process(client: LambdaClient, function: str, event: bytes) -> int | str:
    """Have one delivery processed; return how many of its records were refused, or why it failed."""
    refusals = 0
    for part in _parts(event):
        answer = client.invoke(FunctionName=function, Payload=part)
        said = answer["Payload"].read()
        if answer.get("FunctionError"):
            return _reason(said)
        found = _refused(said)
        if found is None:
            return "was processed, and the processor answered nothing that can be read"
        refusals += found
    return refusals


def _parts(event: bytes) -> Iterator[bytes]:
    """Return a delivery as it is or, if it is larger than the processor takes, in parts that are not.

    What cannot be taken apart is returned as it is, for the processor to say what is wrong with it.
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
    """A delivery of which the log events are not looked into."""

    message_type: str
    log_events: list[msgspec.Raw] = []
    log_group: str = ""
    log_stream: str = ""
    owner: str = ""


class _Sent(msgspec.Struct, frozen=True):
    awslogs: dict[str, str]


def _inflated(event: bytes) -> bytes:
    """Return what a delivery holds. Raises what its libraries raise, or `DeliveryError` for a bomb."""
    inflater = zlib.decompressobj(wbits=31)
    data = base64.b64decode(msgspec.json.decode(event, type=_Sent).awslogs.get("data", ""))
    inflated = inflater.decompress(data, MAX_INFLATED_BYTES)
    if not inflater.eof:
        raise DeliveryError("is cut short, or a bomb")
    return inflated


class _Held(msgspec.Struct, frozen=True):
    """What an object holds: deliveries, as events of CloudWatch Logs, and the batch they came in, if they did."""

    events: list[bytes]
    record: dict[str, Any] = {}
    batch: dict[str, Any] = {}

    def without_all_but(self, left: list[int]) -> bytes:
        """Return the object with these deliveries of its batch alone."""
        batch = {**self.batch, "Records": [self.batch["Records"][number] for number in left]}
        return msgspec.json.encode({**self.record, "payload": msgspec.json.encode(batch).decode()})


class _Batch(msgspec.Struct, frozen=True):
    payload: str | dict[str, Any]


def _held(body: bytes) -> _Held:
    """Take an object apart. Raises what msgspec raises, or `DeliveryError`, if it is none of the two."""
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
    """Return where the records of a batch are that Lambda kept without them, as it does at other destinations."""
    try:
        found = msgspec.json.decode(body, type=_BatchInfo).numbers
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return (
        f"holds none of the records, which are in {found.stream_arn} for a day: {found.shard_id}, "
        f"{found.start_sequence_number} to {found.end_sequence_number}"
    )


class _Result(msgspec.Struct, frozen=True):
    received: int
    rejected: int = 0


def _refused(payload: bytes) -> int | None:
    """Return how many records the processor refused, or None for an answer that is not its own."""
    try:
        return msgspec.json.decode(payload, type=_Result).rejected
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class _Failure(msgspec.Struct, frozen=True, rename="camel"):
    error_type: str = "failed"
    error_message: str = ""


def _reason(payload: bytes) -> str:
    """Return what a function answered in place of a result."""
    try:
        failure = msgspec.json.decode(payload, type=_Failure)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        failure = _Failure()
    return f"{failure.error_type}: {failure.error_message}"
