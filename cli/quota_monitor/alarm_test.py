"""The test of the alarms: one synthetic record sent the way of every record, until its alarm has been published.

The record is of a model id that Bedrock cannot have (`model_ids.ALARM_TEST`). The processor counts it in `AlarmTests`,
which one alarm of the stack watches: so record, subscription, function, metric line, metric, alarm and topic are those
that every other alarm depends on, and no alarm that means something is made to lie.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from bedrock_quota import model_ids
from bedrock_quota.errors import QuotaMonitorError
from quota_monitor import examination, stacks

if TYPE_CHECKING:
    import boto3

LOG_STREAM = "quota-monitor/alarm-test"
"""A stream of its own: nobody takes the record for one that Bedrock wrote."""

STEP_SECONDS = 600.0
"""How long a step may take: records come within a quarter of an hour at worst, metrics and alarms within minutes."""

PUBLISHED_SECONDS = 60.0
"""How long CloudWatch may take to say what became of the alarm's action."""

_POLL_SECONDS = 5.0


class AlarmTestError(QuotaMonitorError):
    """The alarms cannot be tested now; the message says why."""


class Target(msgspec.Struct, frozen=True):
    """What a test runs through."""

    log_group: str
    namespace: str
    alarm: str
    topic: str
    subscribers: int


class Step(msgspec.Struct, frozen=True):
    """One part of the way, and whether the record got there."""

    what: str
    reached: bool = True


def target(session: boto3.Session, stack_name: str) -> Target:
    """Find what a test of this stack runs through.

    Raises `AlarmTestError` if the stack has no test alarm that could begin to ring, and what botocore raises.
    """
    stack = stacks.read(session, stack_name)
    alarm = stack.resources.get("TestAlarm")
    if alarm is None:
        raise AlarmTestError(f"{stack_name} has no TestAlarm: it was deployed from another version; deploy it again")
    found = session.client("cloudwatch").describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
    if not found:
        raise AlarmTestError(f"the alarm {alarm} is gone; quota-monitor doctor says what to do")
    if not found[0]["ActionsEnabled"]:
        raise AlarmTestError(f"the actions of {alarm} are switched off; quota-monitor doctor says what to do")
    if found[0]["StateValue"] == "ALARM":
        raise AlarmTestError(f"the alarm {alarm} still rings from the last test; it ends within some minutes")
    topic = stack.resources["AlarmTopic"]
    return Target(
        log_group=stack.outputs["InvocationLogGroupName"],
        namespace=stack.parameters["MetricsNamespace"],
        alarm=alarm,
        topic=topic,
        subscribers=examination.subscribers(session.client("sns"), topic)["confirmed"],
    )


def run(session: boto3.Session, given: Target, progress: Callable[[str], None]) -> Iterator[Step]:
    """Send the record and follow it; yield each step when it is reached, and stop at the first that is not.

    `progress` is told what is being waited for. Raises what botocore raises.
    """
    cloudwatch = session.client("cloudwatch")
    began = datetime.now(UTC).replace(microsecond=0)
    _write(session, given.log_group, began)
    yield Step(f"record: written to {given.log_group}")

    def measured() -> bool:
        answer = cloudwatch.get_metric_statistics(
            Namespace=given.namespace,
            MetricName="AlarmTests",
            StartTime=began.replace(second=0),
            EndTime=datetime.now(UTC) + timedelta(minutes=1),
            Period=60,
            Statistics=["Sum"],
        )
        return any(point["Sum"] > 0 for point in answer["Datapoints"])

    progress("Waiting for its metric, which takes some minutes")
    if not _wait(measured, STEP_SECONDS):
        yield Step(
            f"metric: AlarmTests in {given.namespace} is not there after {STEP_SECONDS / 60:.0f} minutes; "
            "quota-monitor doctor says where a record gets lost",
            reached=False,
        )
        return
    yield Step(f"metric: AlarmTests is in {given.namespace}")

    def rang() -> bool:
        found = cloudwatch.describe_alarms(AlarmNames=[given.alarm])["MetricAlarms"]
        return any(each["StateValue"] == "ALARM" for each in found)

    progress("Waiting for the alarm")
    if not _wait(rang, STEP_SECONDS):
        yield Step(f"alarm: {given.alarm} does not ring, though its metric is there", reached=False)
        return
    yield Step(f"alarm: {given.alarm} rings")
    progress("Waiting for CloudWatch to say that it told the topic")
    yield _published(session, given, began)


def _write(session: boto3.Session, log_group: str, now: datetime) -> None:
    logs = session.client("logs")
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):  # from the last test
        logs.create_log_stream(logGroupName=log_group, logStreamName=LOG_STREAM)
    logs.put_log_events(
        logGroupName=log_group,
        logStreamName=LOG_STREAM,
        logEvents=[{"timestamp": int(now.timestamp() * 1000), "message": record(now)}],
    )


def record(now: datetime) -> str:
    """Return the synthetic record: what Bedrock logs of a call, with the reserved model id and no content."""
    return msgspec.json.encode(
        {
            "schemaType": "ModelInvocationLog",
            "schemaVersion": "1.0",
            "timestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "requestId": str(uuid.uuid4()),
            "operation": "Converse",
            "modelId": model_ids.ALARM_TEST,
            "input": {"inputContentType": "application/json", "inputTokenCount": 0},
            "output": {"outputContentType": "application/json", "outputTokenCount": 0},
        }
    ).decode()


def _published(session: boto3.Session, given: Target, began: datetime) -> Step:
    cloudwatch = session.client("cloudwatch")
    told: list[str] = []

    def tells() -> bool:
        history = cloudwatch.describe_alarm_history(
            AlarmName=given.alarm, HistoryItemType="Action", StartDate=began, EndDate=datetime.now(UTC)
        )
        told[:] = [each["HistorySummary"] for each in history["AlarmHistoryItems"]]
        return bool(told)

    if not _wait(tells, PUBLISHED_SECONDS):
        return Step(f"topic: CloudWatch does not say whether it told {given.topic}; see whether the message arrived")
    if not any(each.startswith("Successfully") for each in told):
        return Step(f"topic: {told[0]}", reached=False)
    heard = (
        f"{given.subscribers} subscribers should have the message now" if given.subscribers else "nobody is subscribed"
    )
    return Step(f"topic: {given.topic} was told; {heard}", reached=given.subscribers > 0)


def _wait(reached: Callable[[], bool], seconds: float) -> bool:
    """Ask until the answer is yes, for so long; return whether it was."""
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
