"""Alarms that the doctor reads from CloudWatch, and the sinks that make an account a monitoring account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from quota_monitor.aws_session import Stack
from quota_monitor.doctor.observed import Alarm, Unread

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import MetricAlarmTypeDef

_MAX_CONTRIBUTORS = 100


def collect_alarms(client: CloudWatchClient, stack: Stack) -> tuple[Alarm, ...]:
    """Return the alarms of a stack that exist. Propagates botocore errors, except those of contributors."""
    names = [stack.resources[logical_id] for logical_id in stack.logical_ids("AWS::CloudWatch::Alarm")]
    found = client.describe_alarms(AlarmNames=names, MaxRecords=100)["MetricAlarms"] if names else []
    return tuple(
        Alarm(
            name=each["AlarmName"],
            state=each["StateValue"],
            armed=each["ActionsEnabled"],
            actions=tuple(each.get("AlarmActions", [])),
            description=each.get("AlarmDescription", ""),
            contributors=_collect_contributors(client, each),
        )
        for each in found
    )


def _collect_contributors(
    client: CloudWatchClient, alarm: MetricAlarmTypeDef
) -> tuple[Mapping[str, str], ...] | Unread:
    """Return the contributors of an alarm in ALARM that evaluates each pool separately. No other alarm has any."""
    evaluates_pools = any("GROUP BY" in query.get("Expression", "") for query in alarm.get("Metrics", []))
    if alarm["StateValue"] != "ALARM" or not evaluates_pools:
        return ()
    try:
        return list_contributors(client, alarm["AlarmName"])
    except (BotoCoreError, ClientError) as error:
        return Unread(f"{type(error).__name__}: {error}")


def list_contributors(client: CloudWatchClient, alarm: str) -> tuple[Mapping[str, str], ...]:
    """Return the dimensions of the series of an alarm that are in ALARM. Propagates botocore errors.

    There are at most 100 (CloudWatch User Guide, Limits of alarms, read 2026-11-28). An older SDK lacks the operation,
    and the result is empty.
    """
    if not hasattr(client, "describe_alarm_contributors"):
        return ()
    found: list[Mapping[str, str]] = []
    more: Any = {}
    while len(found) < _MAX_CONTRIBUTORS:
        page = client.describe_alarm_contributors(AlarmName=alarm, **more)
        found += (each["ContributorAttributes"] for each in page["AlarmContributors"])
        if not page["AlarmContributors"] or "NextToken" not in page:
            break
        more = {"NextToken": page["NextToken"]}
    return tuple(found[:_MAX_CONTRIBUTORS])


def list_sinks(session: boto3.Session) -> tuple[str, ...]:
    """Return the ARNs of the sinks in this Region. Propagates botocore errors.

    One page is enough, because one sink makes a monitoring account.
    """
    return tuple(each["Arn"] for each in session.client("oam").list_sinks()["Items"])
