"""Test the alarms with one synthetic record, and follow it until its alarm has notified the topic.

The record has a model id that Bedrock cannot have (`model_ids.ALARM_TEST`). The processor counts it in `AlarmTests`,
which one alarm of the stack watches. Log group, subscription, function, metric and topic are the same as for every
other alarm. The other alarms stay as they are.
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
from quota_monitor.aws_session import read_stack
from quota_monitor.doctor.collect import count_subscribers
from quota_monitor.program import own_command

if TYPE_CHECKING:
    import boto3

LOG_STREAM = "quota-monitor/alarm-test"
"""A separate stream, so that nobody mistakes the record for one of Bedrock's."""

STEP_SECONDS = 600.0
"""Time limit of a step. Records take at most 15 minutes, metrics and alarms a few."""

PUBLISHED_SECONDS = 60.0
"""Time limit for CloudWatch to report the alarm's action."""

_POLL_SECONDS = 5.0


class AlarmTestError(QuotaMonitorError):
    """The alarms cannot be tested now. The message says why."""


class Target(msgspec.Struct, frozen=True):
    """Resources that a test uses."""

    log_group: str
    namespace: str
    alarm: str
    topic: str
    subscribers: int


class Step(msgspec.Struct, frozen=True):
    """One step of the test. `reached` is True if the record got there."""

    what: str
    reached: bool = True


def find_target(session: boto3.Session, stack_name: str) -> Target:
    """Return the resources for a test of this stack.

    Raises `AlarmTestError` if the test alarm cannot go into ALARM. Propagates botocore errors.
    """
    stack = read_stack(session, stack_name)
    alarm = stack.resources.get("TestAlarm")
    if alarm is None:
        raise AlarmTestError(
            f"{stack_name} has no TestAlarm, because it was deployed from another version. Deploy it again."
        )
    found = session.client("cloudwatch").describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
    if not found:
        raise AlarmTestError(f"The alarm {alarm} does not exist. Run `{own_command('doctor')}` to see what to do.")
    if not found[0]["ActionsEnabled"]:
        raise AlarmTestError(f"The actions of {alarm} are disabled. Run `{own_command('doctor')}` to see what to do.")
    if found[0]["StateValue"] == "ALARM":
        raise AlarmTestError(f"{alarm} is still in ALARM from the last test. Try again in some minutes.")
    topic = stack.resources["AlarmTopic"]
    return Target(
        log_group=stack.outputs["InvocationLogGroupName"],
        namespace=stack.parameters["MetricsNamespace"],
        alarm=alarm,
        topic=topic,
        subscribers=count_subscribers(session.client("sns"), topic)["confirmed"],
    )


def run_test(session: boto3.Session, given: Target, progress: Callable[[str], None]) -> Iterator[Step]:
    """Send the record and follow it. Yield each step when it is reached, and stop at the first that is not.

    `progress` gets a text before each wait. Propagates botocore errors.
    """
    cloudwatch = session.client("cloudwatch")
    began = datetime.now(UTC).replace(microsecond=0)
    _write(session, given.log_group, began)
    yield Step(f"record: written to {given.log_group}")

    def has_metric() -> bool:
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
    if not _wait(has_metric, STEP_SECONDS):
        yield Step(
            f"metric: AlarmTests did not arrive in {given.namespace} after {STEP_SECONDS / 60:.0f} minutes. "
            f"Run `{own_command('doctor')}` to see where records get lost.",
            reached=False,
        )
        return
    yield Step(f"metric: AlarmTests arrived in {given.namespace}")

    def is_in_alarm() -> bool:
        found = cloudwatch.describe_alarms(AlarmNames=[given.alarm])["MetricAlarms"]
        return any(each["StateValue"] == "ALARM" for each in found)

    progress("Waiting for the alarm")
    if not _wait(is_in_alarm, STEP_SECONDS):
        yield Step(f"alarm: {given.alarm} did not go into ALARM, although its metric arrived", reached=False)
        return
    yield Step(f"alarm: {given.alarm} is in ALARM")
    progress("Waiting for CloudWatch to report that it notified the topic")
    yield _published(session, given, began)


def _write(session: boto3.Session, log_group: str, now: datetime) -> None:
    logs = session.client("logs")
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):  # from the last test
        logs.create_log_stream(logGroupName=log_group, logStreamName=LOG_STREAM)
    logs.put_log_events(
        logGroupName=log_group,
        logStreamName=LOG_STREAM,
        logEvents=[{"timestamp": int(now.timestamp() * 1000), "message": make_record(now)}],
    )


def make_record(now: datetime) -> str:
    """Return the synthetic record: one call as Bedrock logs it, with the reserved model id and no content."""
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
    actions: list[str] = []

    def has_action() -> bool:
        history = cloudwatch.describe_alarm_history(
            AlarmName=given.alarm, HistoryItemType="Action", StartDate=began, EndDate=datetime.now(UTC)
        )
        actions[:] = [each["HistorySummary"] for each in history["AlarmHistoryItems"]]
        return bool(actions)

    if not _wait(has_action, PUBLISHED_SECONDS):
        return Step(f"topic: CloudWatch does not report if it notified {given.topic}. Check if the message arrived.")
    if not any(each.startswith("Successfully") for each in actions):
        return Step(f"topic: {actions[0]}", reached=False)
    return Step(
        f"topic: {given.topic} was notified. Confirmed subscribers: {given.subscribers}.", reached=given.subscribers > 0
    )


def _wait(reached: Callable[[], bool], seconds: float) -> bool:
    """Poll until `reached` returns True, at most for so many seconds. Return its last answer."""
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
