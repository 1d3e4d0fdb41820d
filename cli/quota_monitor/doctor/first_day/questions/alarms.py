"""Questions about the alarms: their expressions, their contributors, and what they notify."""

from __future__ import annotations

from quota_monitor.doctor.first_day.answers import (
    Answer,
    could_not_look,
    not_as_assumed,
    not_yet,
    safe_name,
    safe_names,
    seen,
)
from quota_monitor.doctor.first_day.evidence import Actions, AlarmState, Contributors
from quota_monitor.doctor.first_day.question import question

POOL_ATTRIBUTES = ("ModelId", "EndpointType")
"""Attributes by which a notification of a contributor names the pool."""


@question(
    "expressions",
    "Do the alarms on expressions and queries evaluate?",
    assumption="An expression of an alarm has a value wherever one of its metrics has one, also if another never had "
    "one.",
    needs=("alarms",),
)
def ask_expressions(alarms: tuple[AlarmState, ...]) -> Answer:
    """Look at the state of each alarm on an expression, and at the values that its expression has."""
    of_expressions = [each for each in alarms if each.kind != "metric"]
    facts = tuple(_describe_alarm(each) for each in of_expressions)
    failing = [each.name for each in alarms if each.evaluation.startswith("EVALUATION")]
    unmeasured = [each for each in of_expressions if each.fills and not each.measured]
    filled = [each.name for each in unmeasured if each.values]
    losing = [each.name for each in of_expressions if each.lost > 1]  # the newest period may not be whole yet
    waiting = [each.name for each in of_expressions if each.state == "INSUFFICIENT_DATA"]
    if unmeasured:
        gives = f"values ({safe_names(filled)})" if filled else "no value"
        facts += (f"FILL gives {gives} where no metric of an expression has one.",)
    if failing:
        return not_as_assumed(f"CloudWatch cannot evaluate {safe_names(failing)}.", *facts)
    if losing:
        return not_as_assumed(f"No value, although a metric of the expression has one: {safe_names(losing)}.", *facts)
    if not of_expressions:
        return not_yet("The stack has no alarm on an expression.", then="Deploy this version, and run this again.")
    if waiting:
        return not_yet(
            f"INSUFFICIENT_DATA: {safe_names(waiting)}.",
            *facts,
            then="Run this again an hour after the deployment. If it is the same then, open an issue with this output.",
        )
    return seen(*facts)


def _describe_alarm(alarm: AlarmState) -> str:
    reason = "from data points" if alarm.datapoints else "from missing data" if alarm.treated_missing else "no reason"
    evaluation = f", {safe_name(alarm.evaluation)}" if alarm.evaluation else ""
    return (
        f"{safe_name(alarm.name)}: {safe_name(alarm.state)} ({reason}){evaluation}. "
        f"Its expression has values in {alarm.values} of {alarm.periods} periods."
    )


@question(
    "contributors",
    "Does a quota alarm name its pool?",
    assumption="The contributors of a quota alarm have the attributes ModelId and EndpointType.",
    needs=("contributors", "alarms"),
)
def ask_contributors(found: Contributors, alarms: tuple[AlarmState, ...]) -> Answer:
    """Look at the names of the attributes of each contributor. Their values are left out."""
    if not found.supported:
        return could_not_look(
            "The installed boto3 has no DescribeAlarmContributors.", then="Update boto3, and run this again."
        )
    all_of_them = [attributes for of_alarm in found.of_alarms.values() for attributes in of_alarm]
    firing = {each.name for each in alarms if each.by_pool and each.state == "ALARM"}
    silent = firing - {name for name, of_alarm in found.of_alarms.items() if of_alarm}
    if silent:
        return not_as_assumed(f"In ALARM and without a contributor: {safe_names(silent)}.")
    if not all_of_them:
        return not_yet(
            "No quota alarm is in ALARM, and AWS lists the contributors in ALARM only.",
            then="Run this again while a quota alarm is in ALARM, for example after a load test of one model.",
        )
    attributes = safe_names(name for each in all_of_them for name in each)
    what = f"Contributors: {len(all_of_them)}. Their attributes: {attributes}."
    named = all(set(POOL_ATTRIBUTES) <= set(each) for each in all_of_them)
    return seen(what) if named else not_as_assumed(what)


@question(
    "actions",
    "Does the history of an alarm show that it notified the topic?",
    assumption="An alarm's history has its actions, and a new alarm without data notifies nobody.",
    needs=("actions",),
)
def ask_actions(actions: Actions) -> Answer:
    """Look for the actions of TestAlarm, and for those of QuotaFetcherSilentAlarm without a change."""
    if actions.unasked:
        return not_as_assumed(f"Messages of QuotaFetcherSilentAlarm without a change of its state: {actions.unasked}.")
    if not actions.tested:
        return not_yet(
            "The history of TestAlarm has no action.",
            then="Run the doctor with the option --test-alarm, then run this again.",
        )
    done = actions.tested.count(True)
    what = f"Actions of TestAlarm: {len(actions.tested)}, of them successful: {done}."
    return seen(what) if done else not_as_assumed(what)
