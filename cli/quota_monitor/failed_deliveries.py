"""A failed delivery: what Lambda kept in the stack's bucket after the processor failed at it three times.

Each object is the record of an asynchronous invocation, with the event in `requestPayload`
(https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html, read 2026-11-23). Keys begin with
the function's name and the time, so that their order is that of the failures.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from botocore.config import Config

if TYPE_CHECKING:
    import boto3


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
    """What became of one delivery: `problem` is None where all of it was processed, and its object deleted."""

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
        key=lambda each: each.key,
    )


def replay(
    session: boto3.Session, where: Place, deliveries: list[FailedDelivery], *, discard: bool = False
) -> Iterator[Replayed]:
    """Have the processor process these deliveries, one after the other; delete each object when all of it is done.

    What fails again stays, and so does a delivery of which records were refused, say for their age, unless they are to
    be discarded. It can be interrupted and run again: a delivery that was processed but not deleted is known as a
    duplicate for as long as the bucket keeps it, where duplicates are detected. Raises what botocore raises.
    """
    s3 = session.client("s3")
    # As patient as the function may take, and never twice: the second would be a duplicate.
    functions = session.client("lambda", config=Config(read_timeout=90, retries={"total_max_attempts": 1}))
    for each in deliveries:
        body = s3.get_object(Bucket=where.bucket, Key=each.key)["Body"].read()
        try:
            event = msgspec.json.decode(body, type=_Invocation).request_payload
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            yield Replayed(each.key, "is not the record of an invocation")
            continue
        answer = functions.invoke(FunctionName=where.function, Payload=bytes(event))
        if answer.get("FunctionError"):
            yield Replayed(each.key, _reason(answer["Payload"].read()))
            continue
        refused = _refused(answer["Payload"].read())
        if refused is None or (refused and not discard):
            said = "nothing that can be read" if refused is None else f"that {refused} of its records were refused"
            yield Replayed(each.key, f"was processed, and the processor answered {said}; it stays")
            continue
        s3.delete_object(Bucket=where.bucket, Key=each.key)
        yield Replayed(each.key)


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
