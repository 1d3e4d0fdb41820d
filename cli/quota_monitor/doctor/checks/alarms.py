"""Checks of the alarms, and of the topic that they notify."""

from quota_monitor.aws_session import Stack
from quota_monitor.doctor.findings import Findings, check, ok, problem, warning
from quota_monitor.doctor.observed import Alarm
from quota_monitor.doctor.remedies import advise, command


@check("alarms", needs=("stack", "alarms"))
def check_alarms(stack: Stack, alarms: tuple[Alarm, ...]) -> Findings:
    """Check that every alarm notifies the topic, and that none is in ALARM."""
    logical = {stack.resources[each]: each for each in stack.logical_ids("AWS::CloudWatch::Alarm")}
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
        if each.state == "ALARM" and name != "TestAlarm":
            yield warning(f"{name} is in ALARM.", each.description or "See docs/operations.md.")


@check("topic", needs=("stack", "subscribers"))
def check_topic(stack: Stack, subscribers: dict[str, int] | None) -> Findings:
    """Check that somebody is subscribed. A deleted topic is a finding of `check_resources`."""
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
    yield problem(f"Nobody is subscribed, so alarms reach nobody.{pending}", advise("Subscribe", subscribe))
