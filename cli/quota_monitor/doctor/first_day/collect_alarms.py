"""Evidence of the stack's alarms: states, evaluated expressions, contributors and actions. This only reads from AWS."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from quota_monitor.aws_session import Stack
from quota_monitor.doctor.first_day.evidence import Actions, AlarmState, Contributors

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

EVALUATED = timedelta(hours=3)
"""Time range in which the expressions of alarms are evaluated again."""

MAX_HISTORY = 100
"""Most items of an alarm's history that are read: one call (API reference, DescribeAlarmHistory, read 2026-11-28)."""


def describe_alarms(client: CloudWatchClient, stack: Stack) -> list[Any]:
    """Return the stack's alarms as CloudWatch describes them. Propagates botocore errors."""
    names = [stack.resources[name] for name in stack.logical_ids("AWS::CloudWatch::Alarm")]
    found: Any = client.describe_alarms(AlarmNames=names, MaxRecords=100)["MetricAlarms"] if names else []
    return list(found)


def _logical_name(stack: Stack, alarm: str) -> str:
    return next((name for name in stack.logical_ids("AWS::CloudWatch::Alarm") if stack.resources[name] == alarm), "?")


def _expressions(alarm: Mapping[str, Any]) -> list[str]:
    return [each["Expression"] for each in alarm.get("Metrics", []) if "Expression" in each]


def read_alarm(client: CloudWatchClient, stack: Stack, alarm: Any, now: datetime) -> AlarmState:
    """Read one alarm, and evaluate its expression again.

    GetMetricData takes the queries of an alarm as they are (API reference, MetricDataQuery, read 2026-11-28).
    """
    expressions = _expressions(alarm)
    is_query = any(each.lstrip().upper().startswith("SELECT") for each in expressions)
    reason = alarm.get("StateReason", "")
    periods, values, measured, lost = _evaluate(client, alarm["Metrics"], now) if expressions else (0, 0, 0, 0)
    return AlarmState(
        name=_logical_name(stack, alarm["AlarmName"]),
        kind="query" if is_query else "math" if expressions else "metric",
        state=alarm["StateValue"],
        evaluation=alarm.get("EvaluationState", ""),
        datapoints=_count_datapoints(alarm.get("StateReasonData", "")),
        treated_missing="missing datapoint" in reason or "no datapoints were received" in reason,
        fills=any("FILL(" in each for each in expressions),
        by_pool=any("GROUP BY" in each for each in expressions),
        periods=periods,
        values=values,
        measured=measured,
        lost=lost,
    )


def _evaluate(client: CloudWatchClient, queries: Any, now: datetime) -> tuple[int, int, int, int]:
    """Return the number of periods, and in how many the expression of an alarm has a value.

    Then in how many a metric of the expression has one, and in how many of those the expression has none.
    """
    given = [each.get("Period") or each.get("MetricStat", {}).get("Period") for each in queries]
    period = max((each for each in given if each), default=60)
    end = datetime.fromtimestamp(now.timestamp() // period * period, UTC)
    asked: Any = [{**each, "ReturnData": True} for each in queries]
    pages = client.get_paginator("get_metric_data").paginate(
        MetricDataQueries=asked, StartTime=end - EVALUATED, EndTime=end
    )
    watched = {each["Id"] for each in queries if each.get("ReturnData", True)}
    moments: dict[bool, set[datetime]] = {True: set(), False: set()}
    for page in pages:
        for result in page["MetricDataResults"]:
            moments[result["Id"] in watched].update(result["Timestamps"])
    periods = int(EVALUATED.total_seconds() // period)
    return periods, len(moments[True]), len(moments[False]), len(moments[False] - moments[True])


def _count_datapoints(data: str) -> int:
    """Count the data points in the reason of an alarm's state, 0 if it has none or cannot be read."""
    try:
        found = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return 0
    points = found.get("recentDatapoints") if isinstance(found, dict) else None
    return sum(each is not None for each in points) if isinstance(points, list) else 0


def read_contributors(client: Any, stack: Stack, alarms: list[Any]) -> Contributors:
    """Read the contributors of the alarms by pool. AWS returns those in ALARM (API reference, read 2026-11-28)."""
    if not hasattr(client, "describe_alarm_contributors"):
        return Contributors(supported=False)
    found = {}
    for alarm in alarms:
        if any("GROUP BY" in each for each in _expressions(alarm)):
            answer = client.describe_alarm_contributors(AlarmName=alarm["AlarmName"])
            found[_logical_name(stack, alarm["AlarmName"])] = tuple(
                tuple(each.get("ContributorAttributes", {})) for each in answer["AlarmContributors"]
            )
    return Contributors(found)


def read_actions(client: CloudWatchClient, stack: Stack, alarms: list[Any]) -> Actions:
    """Read the actions of TestAlarm and of QuotaFetcherSilentAlarm. Propagates botocore errors."""
    named = {_logical_name(stack, each["AlarmName"]): each for each in alarms}
    tested, silent = (_read_history(client, named.get(name)) for name in ("TestAlarm", "QuotaFetcherSilentAlarm"))
    actions, changes = (sum(each["HistoryItemType"] == kind for each in silent) for kind in ("Action", "StateUpdate"))
    return Actions(
        tested=tuple(
            each["HistorySummary"].startswith("Successfully") for each in tested if each["HistoryItemType"] == "Action"
        ),
        unasked=max(0, actions - changes) if len(silent) < MAX_HISTORY else 0,
    )


def _read_history(client: CloudWatchClient, alarm: Any) -> list[Any]:
    if alarm is None:
        return []
    history: Any = client.describe_alarm_history(AlarmName=alarm["AlarmName"], MaxRecords=MAX_HISTORY)
    return list(history["AlarmHistoryItems"])
