"""Test of the failure destination: one event that the processor cannot read, until Lambda has kept it.

The event is no delivery, so the processor raises an error for it and counts nothing. Lambda tries twice more, after one
minute and after two more (Lambda Developer Guide, How Lambda handles errors and retries with asynchronous invocation,
read 2026-11-28). Then it writes the event to the failed-deliveries bucket, from which this test deletes it. The test
sets off the alarms on failed runs and on exhausted retries, as every failed delivery does.
"""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from quota_monitor.aws_session import Stack

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_s3 import S3Client

ALARMS = ("MetricProcessorErrorsAlarm", "RetriesExhaustedAlarm")
"""Logical ids of the alarms that notify the topic during this test."""

PREFIX = "aws/lambda/async/"
"""Prefix of the keys of failed asynchronous invocations (Lambda Developer Guide, Capturing records of Lambda
asynchronous invocations, read 2026-11-24)."""

SECONDS = 600.0
"""Time limit for the object: three attempts, the waits between them, and some minutes."""

MAX_BYTES = 16 * 1024
"""Largest object that is read. The record of this event has about one KB, and other objects hold prompts."""

MARK = "quota-monitor first-day check"

_POLL_SECONDS = 10.0
_CLOCK_SKEW = timedelta(minutes=2)


class _Payload(msgspec.Struct, frozen=True):
    test: str = ""
    id: str = ""


class _Kept(msgspec.Struct, frozen=True):
    """Record of a failed invocation. Nothing else of it is read."""

    payload: _Payload = msgspec.field(name="requestPayload", default_factory=_Payload)


def run_failure_test(session: boto3.Session, stack: Stack) -> bool:
    """Send the event, wait for its object, and delete that. Return True if it was kept in time.

    Propagates botocore errors, and `KeyError` if the stack has no processor or bucket.
    """
    bucket, function = stack.resources["FailedDeliveriesBucket"], stack.resources["MetricProcessorFunction"]
    s3, began, event_id = session.client("s3"), datetime.now(UTC), str(uuid.uuid4())
    session.client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=make_event(event_id))
    deadline = time.monotonic() + SECONDS
    while True:
        key = _find(s3, bucket, event_id, began - _CLOCK_SKEW)
        if key is not None:
            s3.delete_object(Bucket=bucket, Key=key)
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)


def make_event(event_id: str) -> bytes:
    """Return the event: JSON that is no delivery."""
    return msgspec.json.encode(_Payload(MARK, event_id))


def _find(s3: S3Client, bucket: str, event_id: str, since: datetime) -> str | None:
    """Return the key of the event's object, or None. Other objects are read only if they are new and small."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=PREFIX):
        for each in page.get("Contents", []):
            if each["LastModified"] < since or each["Size"] > MAX_BYTES:
                continue
            body = s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()
            try:
                kept = msgspec.json.decode(body, type=_Kept)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            if kept.payload.id == event_id:
                return each["Key"]
    return None
