"""Checks of the stack itself: its status, and the resources it consists of."""

from bedrock_quota.custom_resource import NO_RESPONSE
from quota_monitor.aws_session import Stack
from quota_monitor.doctor.findings import Findings, check, could_not_check, ok, problem, warning
from quota_monitor.doctor.observed import Parts
from quota_monitor.doctor.remedies import advise, command, restore_resources

_CONSEQUENCES = {
    "InvocationLoggingRole": "Bedrock cannot write logs",
    "MetricProcessorFunction": "every record is lost",
    "MetricProcessorRole": "the processor cannot run",
    "FailedDeliveriesBucket": "failed deliveries are lost",
    "LargeBodiesBucket": "max_tokens of calls over 100 KB is unknown",
    "LateBodiesQueue": "max_tokens of calls over 100 KB is unknown if their body is late",
    "StateTable": "no percentages, and duplicate deliveries count twice",
    "QuotaFetcherFunction": "quotas are no longer updated",
    "QuotaFetcherRole": "quotas are no longer updated",
    "QuotaFetcherFunctionSchedule": "quotas are no longer updated",
    "QuotaFetcherFunctionScheduleRole": "quotas are no longer updated",
    "InvocationLogStreamRole": "CloudWatch Logs cannot write to the stream, and records are lost",
    "AlarmTopic": "alarms reach nobody",
}
"""Effect of deleting one of these resources. A deleted alarm cannot fire. Deleting any other loses no data."""

_BEFORE_DEPLOYING = {
    "UPDATE_ROLLBACK_FAILED": ("Then finish the rollback", "continue-update-rollback"),
    "ROLLBACK_COMPLETE": ("Then delete the stack", "delete-stack"),  # its creation failed: there is nothing to update
    "ROLLBACK_FAILED": ("Then delete the stack", "delete-stack"),
    "CREATE_FAILED": ("Then delete the stack", "delete-stack"),
}
"""Steps that CloudFormation needs before a stack in this status can be deployed again.

API reference, ContinueUpdateRollback, read 2026-11-24. A stack that was never complete can only be deleted.
"""


@check("stack", needs=("stack",))
def check_status(stack: Stack) -> Findings:
    """Check that the last deployment succeeded."""
    what = f"{stack.name} is {stack.status}."
    if stack.status in {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"}:
        yield ok(what)
    elif stack.status.endswith("_IN_PROGRESS"):
        yield warning(what, "Wait until it is done, then run the doctor again.")
    elif stack.status == "UPDATE_ROLLBACK_COMPLETE":
        yield warning("The last update failed. The previous version is still deployed.", _deploy_again(stack))
    else:
        yield problem(what, _deploy_again(stack))


def _deploy_again(stack: Stack) -> str:
    named = ("--stack-name", stack.name)
    steps = [
        advise("See why it failed and fix the cause", command("aws", "cloudformation", "describe-stack-events", *named))
    ]
    if stack.status in _BEFORE_DEPLOYING:
        sentence, operation = _BEFORE_DEPLOYING[stack.status]
        steps.append(advise(sentence, command("aws", "cloudformation", operation, *named)))
    no_response = f"If CloudFormation did not receive a response from a custom resource: {NO_RESPONSE}."
    return "\n".join((*steps, "Then deploy again.", no_response))


@check("resources", needs=("stack", "parts"))
def check_resources(stack: Stack, parts: Parts) -> Findings:
    """Check that no resource of the stack was deleted."""
    for unread in parts.unread:
        yield could_not_check(unread)
    alarms = set(stack.logical_ids("AWS::CloudWatch::Alarm"))
    harm = {name: "it cannot fire" if name in alarms else _CONSEQUENCES.get(name) for name in parts.gone}
    harmful = sorted(name for name, follows in harm.items() if follows)
    harmless = sorted(harm.keys() - set(harmful))
    if harmful:
        deleted = ", ".join(f"{name} ({harm[name]})" for name in harmful)
        yield problem(f"Deleted: {deleted}.", restore_resources(stack))
    if harmless:
        yield warning(f"Deleted: {', '.join(harmless)}.", restore_resources(stack))
    if not parts.gone and not parts.unread:
        yield ok("All resources exist.")
