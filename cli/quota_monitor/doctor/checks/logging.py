"""Checks of invocation logging: from Bedrock to the function or stream that CloudWatch Logs delivers to."""

from bedrock_quota.deployment.log_groups import FULL_LOG_GROUP, LogGroup
from bedrock_quota.deployment.preflight import can_be_subscribed, is_usable
from quota_monitor.aws_session import Stack
from quota_monitor.doctor.findings import Findings, check, ok, problem
from quota_monitor.doctor.logging_owner import is_replaced
from quota_monitor.doctor.observed import (
    HOURS,
    Filter,
    Function,
    InvocationLogging,
    Key,
    LoggingChange,
    Permission,
    Role,
    Stream,
    Traffic,
    Unread,
)
from quota_monitor.doctor.policies import allows
from quota_monitor.doctor.remedies import (
    DECLARE_LIMITS,
    SETTINGS,
    advise,
    command,
    create_log_group,
    enable_key,
    for_this_account,
    policy_document,
    read_logging_again,
)

_BEDROCK = "bedrock.amazonaws.com"


@check("invocation logging", needs=("stack", "invocation_logging"), uses=("traffic", "logging_change"))
def check_invocation_logging(
    stack: Stack,
    logging: InvocationLogging | None,
    traffic: Traffic | Unread,
    change: LoggingChange | Unread | None,
) -> Findings:
    """Check that Bedrock logs calls to the log group that the stack reads, with their text or their declared limits."""
    subscribed = stack.outputs.get("InvocationLogGroupName", "")
    adopts = stack.parameters.get("InvocationLogging") == "adopt-only"
    configure = f"Set CloudWatch Logs as a destination {SETTINGS}, or deploy with InvocationLogging=set-up."
    again = read_logging_again(stack)
    do = f"{configure}\n{again}" if adopts else again
    replaced, keep = "", ""
    if is_replaced(stack, logging):
        replaced, keep = f" {_describe_replacement(change)}", _keep_stacks_part(stack)
    if logging is None:
        yield problem(f"Invocation logging is off. Bedrock logs no calls.{replaced}", f"{keep}{do}")
        return
    if logging.log_group is None:
        yield problem(f"Invocation logging no longer delivers to CloudWatch Logs.{replaced}", f"{keep}{do}")
    elif logging.log_group != subscribed:
        what = f"Bedrock logs to {logging.log_group}, but the stack reads {subscribed}.{replaced}"
        yield problem(what, f"{keep}{again}")
    else:
        yield ok(f"Bedrock logs to {logging.log_group}.")
    if logging.text:
        return
    if isinstance(traffic, Traffic) and traffic.processed and not traffic.unknown:
        yield ok(
            "The logs leave out the text. Calls declare their limits or need none: max_tokens is known for all calls "
            f"of {HOURS} hours."
        )
    else:
        yield problem(
            "The logs leave out the text, so max_tokens is unknown for calls that do not declare their limit, and "
            "their reserved tokens are missing.",
            f"Switch on Text {SETTINGS}, or {DECLARE_LIMITS}.",
        )


def _describe_replacement(change: LoggingChange | Unread | None) -> str:
    """Return that the stack's configuration was replaced, and by whom."""
    replaced = "The configuration that the stack wrote was replaced or deleted"
    if isinstance(change, Unread):
        return f"{replaced}. CloudTrail, which knows by whom, could not be read: {change.reason}"
    if change is None:
        return f"{replaced}. CloudTrail has no such call by others in the last 90 days, or does not have it yet."
    tool = f" with {change.tool}" if change.tool else ""
    done = "deleted it" if change.deleted else "replaced it"
    return f"{replaced}. {change.who} last {done}{tool}, on {change.at:%Y-%m-%d} at {change.at:%H:%M} UTC."


def _keep_stacks_part(stack: Stack) -> str:
    """Return what a tool that owns the configuration needs in order to keep the stack's part."""
    role = stack.resources.get("InvocationLoggingRole", "")
    bucket = stack.resources.get("LargeBodiesBucket", "")
    return (
        "If Terraform, another stack or a policy of your organization owns this configuration, it puts its own back "
        "again. Add the stack's part there first "
        "(docs/invocation-logging.md#if-another-tool-owns-the-invocation-logging):\n"
        f"  log group {stack.outputs.get('InvocationLogGroupName', '')}\n"
        f"  role {stack.role_arn(role)}\n"
        + (f"  bucket for large data {bucket}\n" if bucket else "")
        + "Otherwise let the stack add its part again:\n"
    )


@check("logging role", needs=("stack", "invocation_logging", "logging_role"))
def check_logging_role(stack: Stack, logging: InvocationLogging | None, role: Role | None) -> Findings:
    """Check that Bedrock can assume its role, and that the role can write to the log group."""
    if logging is None or logging.role is None:
        return
    name = logging.role.rpartition("/")[2]
    if role is None:
        if name != stack.resources.get("InvocationLoggingRole"):  # which check_resources reports
            yield problem(f"{name} does not exist. Bedrock cannot write logs.", f"Choose another role {SETTINGS}.")
        return
    if not allows(role.trusts, {_BEDROCK}, stack.bedrock_arn_prefix, stack.account):
        yield problem(
            f"{name} does not allow Bedrock to assume it. Bedrock cannot write logs.",
            advise("Replace its trust policy with one for Bedrock alone", _trust_bedrock(stack, name)),
        )
    if role.refused:
        allow = advise("Allow it", _allow_writing(stack, name, logging.log_group or ""))
        yield problem(
            f"{name} lacks permission for {' and '.join(role.refused)}. Bedrock cannot write logs.",
            f"{allow}\nIf that does not help, its permissions boundary or a policy of your organization denies it.",
        )
    elif role.trusts and logging.log_group:
        yield ok(f"Bedrock can write to {logging.log_group} with {name}.")


def _trust_bedrock(stack: Stack, role: str) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": _BEDROCK},
        "Action": "sts:AssumeRole",
        "Condition": for_this_account(stack),
    }
    document = policy_document(statement)
    return command("aws", "iam", "update-assume-role-policy", "--role-name", role, "--policy-document", document)


def _allow_writing(stack: Stack, role: str, group: str) -> str:
    statement = {
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": f"{stack.log_group_arn(group).removesuffix('*')}log-stream:aws/bedrock/modelinvocations",
    }
    return command(
        *("aws", "iam", "put-role-policy", "--role-name", role, "--policy-name", "write-invocation-logs"),
        *("--policy-document", policy_document(statement)),
    )


@check("log group", needs=("stack", "log_group", "log_group_key"))
def check_log_group(stack: Stack, group: LogGroup | None, key: Key | None) -> Findings:
    """Check that the log group exists and can be read."""
    name = stack.outputs.get("InvocationLogGroupName", "")
    if group is None:
        yield problem(
            f"{name} does not exist, and neither does its subscription.",
            advise(
                "Create it, then run the doctor again. It shows the command that restores the subscription",
                *create_log_group(name),
            ),
        )
    elif not can_be_subscribed(group):
        yield problem(
            f"{name} has the class {group.log_class}, which cannot be subscribed to.",
            f"Choose another log group {SETTINGS}.\n{read_logging_again(stack)}",
        )
    elif key is not None and not is_usable(key.state):
        yield problem(
            f"{name} is encrypted with {key.arn}, which is {key.state}. It can be neither written nor read.",
            enable_key(key)
            or advise("Remove the key", command("aws", "logs", "disassociate-kms-key", "--log-group-name", name)),
        )
    else:
        yield ok(f"{name} exists.")


@check("subscription", needs=("stack", "filters", "processor", "stream"))
def check_subscription(
    stack: Stack, filters: tuple[Filter, ...] | None, processor: Function | None, stream: Stream | None
) -> Findings:
    """Check that the log group delivers all records to this stack, and to no second one with the same namespace."""
    if filters is None or processor is None:
        return  # the log group or the function is deleted, which is a finding of its own
    group = stack.outputs.get("InvocationLogGroupName", "")
    destination = stream.arn if stream else processor.arn
    to = f"the stream of {processor.name}" if stream else processor.name
    ours = next((each for each in filters if each.destination == destination), None)
    name = ours.name if ours else f"{stack.name}-metric-processor"
    put = command(
        *("aws", "logs", "put-subscription-filter", "--log-group-name", group),
        *("--filter-name", name, "--filter-pattern", ""),
        *("--destination-arn", destination),
        *(("--role-arn", stream.role.arn, "--distribution", "Random") if stream and stream.role else ()),
    )
    if ours is None:
        others = ", ".join(each.name for each in filters if each.name != name)
        no_room = f"\nIf AWS refuses it with LimitExceededException, {FULL_LOG_GROUP}. Its filters: {others}."
        do = advise("Create it again", put) + (no_room if others else "")
        yield problem(f"No filter of {group} delivers to {to}.", do)
        return
    if ours.pattern.strip():
        yield problem(f"{ours.name} passes only records that match {ours.pattern!r}.", advise("Replace it", put))
    else:
        yield ok(f"{ours.name} delivers to {to}. Filters in use: {len(filters)}.")
    for other in filters:
        if other is not ours and other.namespace == stack.parameters.get("MetricsNamespace"):
            yield problem(
                f"{other.name} feeds another monitor that also publishes to {other.namespace}. Calls count twice.",
                "Deploy one of the two with its own MetricsNamespace.",
            )


@check("permission", needs=("stack", "permissions", "processor", "stream"))
def check_permission(
    stack: Stack, permissions: tuple[Permission, ...], processor: Function | None, stream: Stream | None
) -> Findings:
    """Check that CloudWatch Logs can invoke the processor.

    With a stream it needs no permission, but a role that may write to the stream: see `check_stream`.
    """
    if processor is None or stream is not None:
        return
    source = stack.log_group_arn(stack.outputs.get("InvocationLogGroupName", ""))
    services = {f"logs.{end}" for end in ("amazonaws.com", f"{stack.region}.amazonaws.com")}
    if allows(permissions, services, source, stack.account):
        yield ok(f"CloudWatch Logs can invoke {processor.name}.")
        return
    allow = command(
        *("aws", "lambda", "add-permission", "--function-name", processor.name),
        *("--statement-id", "invocation-log", "--action", "lambda:InvokeFunction"),
        *("--principal", "logs.amazonaws.com", "--source-account", stack.account, "--source-arn", source),
    )
    yield problem(
        f"CloudWatch Logs is not allowed to invoke {processor.name}. Every record is lost.", advise("Allow it", allow)
    )
