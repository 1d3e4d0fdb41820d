"""A failed delivery: what Lambda kept in the stack's bucket after the processor failed at it again and again.

An object is the record of an asynchronous invocation, with the event in `requestPayload`
(https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html, read 2026-11-23), or that of a batch
of a stream, mostly of one delivery, with the event as a text in `payload`
(https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html, read 2026-11-24).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.config import Config

from bedrock_quota import envelope
from bedrock_quota.errors import DeliveryError

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_lambda import LambdaClient


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
    """What became of one object: `problem` is None where all of it was processed, and the object deleted."""

    key: str
    problem: str | None = None


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

    Of a batch, only what is not done stays. What fails again stays, and so does a delivery of which records were
    refused, say for their age, unless they are to be discarded. It can be interrupted and run again: a delivery that
    was processed but not deleted is known as a duplicate for as long as the bucket keeps it, where duplicates are
    detected. Raises what botocore raises.
    """
    s3 = session.client("s3")
    # As patient as the function may take, and never twice: the second would be a duplicate.
    functions = session.client("lambda", config=Config(read_timeout=90, retries={"total_max_attempts": 1}))
    for each in deliveries:
        body = s3.get_object(Bucket=where.bucket, Key=each.key)["Body"].read()
        try:
            held = _held(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, DeliveryError):
            yield Replayed(each.key, "is not the record of an invocation")
            continue
        problems = [_problem(functions, where.function, event, discard=discard) for event in held.events]
        left = [number for number, problem in enumerate(problems) if problem is not None]
        if not left:
            s3.delete_object(Bucket=where.bucket, Key=each.key)
            yield Replayed(each.key)
            continue
        if len(left) < len(problems):  # what was processed must not be, again
            s3.put_object(Bucket=where.bucket, Key=each.key, Body=held.without_all_but(left))
        which = f"{len(left)} of its {len(problems)} deliveries stay, the first: " if len(problems) > 1 else ""
        yield Replayed(each.key, f"{which}{problems[left[0]]}")


def _problem(client: LambdaClient, function: str, event: bytes, *, discard: bool) -> str | None:
    """Have one delivery processed; return why it was not, or not all of it."""
    answer = client.invoke(FunctionName=function, Payload=event)
    if answer.get("FunctionError"):
        return _reason(answer["Payload"].read())
    refused = _refused(answer["Payload"].read())
    if refused is None:
        return "was processed, and the processor answered nothing that can be read; it stays"
    if refused and not discard:
        return f"was processed, and the processor answered that {refused} of its records were refused; it stays"
    return None


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
    events = [msgspec.json.encode(each.event) for each in envelope.parcels(batch)]
    return _Held(events, msgspec.json.decode(body), batch)


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
