"""Checks of the alarms, of the topic that they notify, and of the accounts whose metrics they read."""

from collections.abc import Sequence

from quota_monitor.aws_session import Stack
from quota_monitor.doctor.findings import Findings, check, could_not_check, ok, problem, warning
from quota_monitor.doctor.observed import Alarm, Unread
from quota_monitor.doctor.remedies import advise, command, own

MAX_POOLS = 10
"""Most pools that a finding names."""

_TEST_ALARM = "TestAlarm"
"""Logical id of the alarm that `--test-alarm` sets off."""


@check("alarms", needs=("stack", "alarms"))
def check_alarms(stack: Stack, alarms: tuple[Alarm, ...]) -> Findings:
    """Check that every alarm notifies the topic, and that none is in ALARM."""
    logical = _logical_ids(stack)
    topic = stack.resources.get("AlarmTopic", "")
    muted = [each.name for each in alarms if not each.armed]
    unconnected = [logical.get(each.name, each.name) for each in alarms if topic not in each.actions]
    if muted:
        yield problem(
            f"{', '.join(logical.get(name, name) for name in muted)}: actions are disabled, so nobody is notified.",
            advise("Enable them", command("aws", "cloudwatch", "enable-alarm-actions", "--alarm-names", *muted)),
        )
    if unconnected:
        yield problem(
            f"{', '.join(unconnected)}: no action notifies {topic}.",
            "Add the topic to the alarm's actions again, in the CloudWatch console.",
        )
    if alarms and not (muted or unconnected):
        yield ok(f"All {len(alarms)} alarms can notify the topic.")
    for each in alarms:
        name = logical.get(each.name, each.name)
        if each.state == "ALARM" and name != _TEST_ALARM:
            do = each.description or "See docs/alarms.md#alarms-by-name."
            yield warning(f"{name} is in ALARM{_name_pools(each)}.", do)


def _logical_ids(stack: Stack) -> dict[str, str]:
    """Return the logical ids of the stack's alarms by name."""
    return {stack.resources[each]: each for each in stack.logical_ids("AWS::CloudWatch::Alarm")}


def _name_pools(alarm: Alarm) -> str:
    """Return the pools for which an alarm is in ALARM, the model first.

    The result is empty if there are none or if they are unread. The alarm's description then says how to list them.
    """
    if isinstance(alarm.contributors, Unread) or not alarm.contributors:
        return ""
    pools = sorted(" ".join(each[name] for name in sorted(each, reverse=True)) for each in alarm.contributors)
    left_out = len(pools) - MAX_POOLS
    return f" for {', '.join(pools[:MAX_POOLS])}" + (f" and {left_out} more" if left_out > 0 else "")


@check("topic", needs=("stack", "subscribers"), uses=("alarms",))
def check_topic(stack: Stack, subscribers: dict[str, int] | None, alarms: tuple[Alarm, ...] | Unread) -> Findings:
    """Check that somebody is subscribed. A deleted topic is a finding of `check_resources`.

    A new stack has no subscriber, and its numbers are right. So this is a problem only while an alarm is in ALARM.
    """
    if subscribers is None:
        return
    if subscribers["confirmed"]:
        yield ok(f"Confirmed subscribers: {subscribers['confirmed']}.")
        return
    pending = f" Subscriptions not yet confirmed: {subscribers['pending']}." if subscribers["pending"] else ""
    subscribe = command(
        *("aws", "sns", "subscribe", "--topic-arn", stack.resources.get("AlarmTopic", ""), "--protocol", "email"),
        *("--notification-endpoint", "YOUR-ADDRESS"),
    )
    logical = _logical_ids(stack)
    firing = () if isinstance(alarms, Unread) else [each for each in alarms if each.state == "ALARM"]
    judge = problem if any(logical.get(each.name) != _TEST_ALARM for each in firing) else warning
    yield judge(f"Nobody is subscribed, so alarms reach nobody.{pending}", advise("Subscribe", subscribe))


@check("monitoring account", needs=("stack",), uses=("sinks",))
def check_monitoring_account(stack: Stack, sinks: Sequence[str] | Unread) -> Findings:
    """Check that alarms and dashboard read no other account. Queries of a CloudWatch monitoring account do."""
    told = stack.parameters.get("MonitoringAccount", "no") == "yes"
    if isinstance(sinks, Unread):
        finding = could_not_check(sinks)
        if told:
            advice = advise("If it is no longer a CloudWatch monitoring account", _deploy(stack, "no"))
        else:
            advice = advise("If it is a CloudWatch monitoring account", _deploy(stack, "yes"))
        yield warning(finding.what, f"{finding.do}\n{advice}")
    elif sinks and not told:
        yield problem(
            f"This account is a CloudWatch monitoring account ({sinks[0]}). Alarms add up the percentages of all "
            "linked accounts, and the dashboard shows their pools.",
            advise("Deploy with MonitoringAccount=yes", _deploy(stack, "yes")),
        )
    elif told and not sinks:
        yield problem(
            "MonitoringAccount is yes, but this account has no sink in this Region. Queries of alarms may be invalid.",
            advise("Deploy with MonitoringAccount=no", _deploy(stack, "no")),
        )
    else:
        yield ok("Alarms and dashboard read the metrics of this account only.")


def _deploy(stack: Stack, value: str) -> str:
    """Return the command that deploys this checkout with another value of MonitoringAccount, and no other change."""
    return own(stack, "deploy", "--parameter", f"MonitoringAccount={value}")
