"""The account's invocation-logging configuration: adopt an existing one, extend it, or create one.

There is one configuration per account and Region. `PutModelInvocationLoggingConfiguration` replaces all of it without
a condition, so the existing one is read first and kept (API reference, read 2026-11-23).

The log group to read is chosen in this order:

1. The one that the configuration already delivers to, unless it is the stack's own: it is adopted.
2. The stack's parameter `InvocationLogGroupName`, if the configuration is missing, delivers only to S3, or is the
   stack's own. The log group is created if it does not exist. With `InvocationLogging=adopt-only` the set-up fails
   instead, unless the configuration is the stack's own.

Ownership is recognized without stored state, except for the names of log groups that the stack has read:

- The CloudWatch Logs part of the configuration is the stack's if it has the stack's role. It is added and removed as a
  whole, including its bucket for large bodies. An update also knows the previous role, log group and bucket, so it can
  replace them.
- A log group is the stack's if its tag `log_groups.MADE_BY` names the stack. It may also name another monitor that
  created the log group for both. Then both have read it.
- Nothing else is ever changed. If the owner has switched text delivery off, it stays off. An adopted configuration
  without a bucket for large bodies gets none. Both would send prompts to a new place. A warning says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from bedrock_quota.deployment import log_groups
from bedrock_quota.deployment.iam_retry import Sleep, retry_while_denied
from bedrock_quota.deployment.log_groups import LogGroup
from bedrock_quota.deployment.preflight import InvocationLoggingError, check_log_group

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_logs import CloudWatchLogsClient

Configuration = Mapping[str, Any]

LOOK_AGAIN = (
    "deploy again with another LogRetentionDays (sam deploy --parameter-overrides LogRetentionDays=60): "
    "the stack then checks the invocation logging again"
)
"""The way to make CloudFormation repeat the set-up: one of its properties must change."""

SETTLE_SECONDS = 3
"""Time between a change and the check that no other deployment has changed it at the same time."""

ROUNDS = 4
"""Attempts if somebody else changes the configuration at the same time."""

_TEXT, _KIND_OF_DATA = "textDataDeliveryEnabled", "DataDeliveryEnabled"
"""Member of a configuration that delivers texts, and the end of the name of every member for a kind of data."""

_CANCELLED = "CloudFormation has cancelled this set-up. Its changes are rolled back."
_MISSING = (
    "Bedrock logs no model invocations in this account and Region, and InvocationLogging=adopt-only does not "
    "allow the stack to enable logging. Enable it with text, to CloudWatch Logs (Bedrock console, Settings, Model "
    "invocation logging), or deploy with InvocationLogging=set-up."
)
_MISSING_IN_S3 = (
    "Bedrock delivers its invocation logs only to S3, and InvocationLogging=adopt-only does not allow the stack to add "
    "CloudWatch Logs. Add it (Bedrock console, Settings, Model invocation logging, Both S3 and CloudWatch Logs), or "
    "deploy with InvocationLogging=set-up, which keeps the existing settings."
)


class LoggingTarget(msgspec.Struct, frozen=True):
    """The log group, role and bucket that a stack provides for invocation logs, or provided before an update."""

    log_group: str
    role_arn: str
    retention_days: int
    large_bodies_bucket: str = ""


class SetupRequest(msgspec.Struct, frozen=True):
    """The set-up that a stack requests: its target, which replaces the `previous` one.

    With `adopt_only` it accepts only an existing configuration.
    """

    target: LoggingTarget
    stack_name: str
    own_filter: str
    previous: LoggingTarget | None = None
    adopt_only: bool = False
    own_log_groups: tuple[str, ...] = ()
    tags: Mapping[str, str] = {}
    """Tags of the stack, which CloudFormation does not give to what a function creates."""


class LargeBodies(msgspec.Struct, frozen=True):
    """The place where Bedrock stores bodies over 100 KB: a bucket and a key prefix."""

    bucket: str
    prefix: str = ""

    @property
    def folder(self) -> str:
        """Bucket and beginning of the keys that Bedrock writes: the prefix, if there is one, and `AWSLogs/`."""
        return "/".join(filter(None, (self.bucket, self.prefix.strip("/"), "AWSLogs/")))


class SetupResult(msgspec.Struct, frozen=True):
    """The log group to read, a sentence with the changes that were made, and the place of large bodies, if any."""

    log_group: str
    done: str
    large_bodies: LargeBodies | None = None


def configured_log_group(configuration: Configuration | None) -> str | None:
    """Return the log group that a configuration delivers to, or None."""
    return (configuration or {}).get("cloudWatchConfig", {}).get("logGroupName") or None


def configured_large_bodies(configuration: Configuration | None) -> LargeBodies | None:
    """Return the place where a configuration delivers large bodies, or None."""
    found = (configuration or {}).get("cloudWatchConfig", {}).get("largeDataDeliveryS3Config") or {}
    return LargeBodies(found["bucketName"], found.get("keyPrefix", "")) if found.get("bucketName") else None


def is_ours(configuration: Configuration | None, *targets: LoggingTarget | None) -> bool:
    """Return True if a configuration delivers to CloudWatch Logs with the role of one of these targets."""
    role = (configuration or {}).get("cloudWatchConfig", {}).get("roleArn")
    return role is not None and role in {target.role_arn for target in targets if target is not None}


def read_configuration(client: BedrockClient) -> dict[str, Any] | None:
    """Return the account's configuration in this Region, or None. Propagates botocore errors."""
    found: Any = client.get_model_invocation_logging_configuration()
    return found.get("loggingConfig") or None


def set_up_logging(
    bedrock: BedrockClient,
    logs: CloudWatchLogsClient,
    kms: KMSClient,
    request: SetupRequest,
    cancelled: Callable[[], bool],
    *,
    sleep: Sleep = time.sleep,
) -> SetupResult:
    """Make invocation logs reach a CloudWatch log group, on creation and on every update of the stack.

    The configuration cannot be changed on a condition. So it is read again just before the change and some seconds
    after it. If another deployment was faster, its configuration is adopted.

    If another resource of the stack fails, CloudFormation stops waiting. It deletes or rolls back this resource while
    the set-up still runs (aws-cloudformation/cloudformation-coverage-roadmap, issue 1814, read 2026-11-24). `cancelled`
    returns True then. It is called before each change and after the last one. The changes are then rolled back, because
    that deletion may have run before them.

    Raises `InvocationLoggingError` if the stack would get no records or the set-up is cancelled. Propagates botocore
    errors.
    """
    for _ in range(ROUNDS):
        before = retry_while_denied(lambda: read_configuration(bedrock), sleep)
        ours = is_ours(before, request.target, request.previous)
        if configured_log_group(before) and not (ours and _delivers_to_ours(before, request)):
            return _adopt(logs, kms, before or {}, request, sleep)
        if not ours and request.adopt_only:
            raise InvocationLoggingError(_MISSING_IN_S3 if before else _MISSING)
        after = _add_cloudwatch(before or _deliver_text_only(bedrock), request)
        try:
            again = ours and configured_log_group(before) == request.target.log_group
            remarks = _prepare_group(logs, kms, request, again=again, sleep=sleep)
            settled = _apply(bedrock, before, after, cancelled, sleep)
        finally:
            if cancelled():
                _roll_back(bedrock, logs, before, after, request)
                raise InvocationLoggingError(_CANCELLED)
        if settled:
            done = _describe_change(before, changed=_read_delivery(before) != _read_delivery(after), ours=ours)
            return _make_result(after, done, remarks)
    raise InvocationLoggingError(
        "Bedrock's invocation logging keeps changing, perhaps by another deployment. Wait until that is complete and "
        "deploy again."
    )


def _delivers_to_ours(configuration: Configuration | None, request: SetupRequest) -> bool:
    """Return True if the log group is still this stack's. Otherwise somebody has selected another one since."""
    previous = {request.previous.log_group} if request.previous else set()
    return configured_log_group(configuration) in {request.target.log_group} | previous


def _adopt(
    logs: CloudWatchLogsClient, kms: KMSClient, configuration: Configuration, request: SetupRequest, sleep: Sleep
) -> SetupResult:
    name = configured_log_group(configuration) or ""
    _check_not_own(name, request)
    group = retry_while_denied(lambda: log_groups.find(logs, name), sleep)
    if group is None:
        raise InvocationLoggingError(
            f"Bedrock delivers its invocation logs to {name}, which does not exist. Create it (aws logs "
            f"create-log-group --log-group-name {name}) or select another log group, and deploy again."
        )
    remarks = check_log_group(kms, group)
    return _make_result(configuration, "adopted the existing invocation logging", remarks)


def _prepare_group(
    logs: CloudWatchLogsClient, kms: KMSClient, request: SetupRequest, *, again: bool, sleep: Sleep
) -> list[str]:
    """Create or check the stack's log group, and return warnings."""
    target = request.target
    _check_not_own(target.log_group, request)
    group = retry_while_denied(lambda: log_groups.find(logs, target.log_group), sleep)
    if group is None:
        log_groups.create(logs, target.log_group, target.retention_days, request.stack_name, sleep, tags=request.tags)
        lost = (
            f"created {target.log_group} again, which had been deleted with its subscription: run quota-monitor doctor"
        )
        return [lost] if again else []
    _update_retention(logs, group, request)
    log_groups.update_tags(logs, group, request.stack_name, request.tags)
    return check_log_group(kms, group)


def _check_not_own(name: str, request: SetupRequest) -> None:
    if name in request.own_log_groups:
        raise InvocationLoggingError(
            f"{name} is a log group of this stack, so the stack would read its own metric lines as records forever. "
            "Deliver Bedrock's invocation logs to a separate log group and deploy again."
        )


def _update_retention(logs: CloudWatchLogsClient, group: LogGroup, request: SetupRequest) -> None:
    """Update the retention of a log group that this stack created, unless somebody has changed it."""
    previous = request.previous.retention_days if request.previous else None
    follows = group.retention_days in {None, previous} and group.retention_days != request.target.retention_days
    if follows and log_groups.find_creator(logs, group) == request.stack_name:
        logs.put_retention_policy(logGroupName=group.name, retentionInDays=request.target.retention_days)


def _describe_change(before: Configuration | None, *, changed: bool, ours: bool) -> str:
    if ours:
        return f"{'changed' if changed else 'kept'} the invocation logging that this stack set up"
    return "added CloudWatch to the existing invocation logging" if before else "enabled invocation logging"


def _make_result(configuration: Configuration, done: str, remarks: Iterable[str]) -> SetupResult:
    group = configured_log_group(configuration)
    if group is None:
        raise RuntimeError("the configuration has no log group")
    remarks_text = "".join(f"; {remark}" for remark in remarks)
    return SetupResult(
        group, f"{done}{_describe_gaps(configuration)}{remarks_text}", configured_large_bodies(configuration)
    )


def _describe_gaps(configuration: Configuration) -> str:
    """Return warnings about missing parts of a configuration. Its owner decides about changes."""
    if not configuration.get(_TEXT, True):
        return (
            "; text delivery is off, so max_tokens is unknown for calls that do not declare their limit: enable it in "
            "Bedrock's settings, or declare the limits in requestMetadata"
        )
    if configured_large_bodies(configuration) is None:
        return (
            "; bodies over 100 KB are not delivered, so their max_tokens stays unknown: "
            f"select a bucket for large data in Bedrock's settings, then {LOOK_AGAIN}"
        )
    return ""


def _deliver_text_only(client: BedrockClient) -> dict[str, bool]:
    """Return the settings of a new configuration: request and response texts, because `max_tokens` is in the request.

    Every other kind of data that the SDK knows is switched off by name, because the default of a kind that is not named
    is undocumented: video came switched on when it was new (hashicorp/terraform-provider-aws issue 41312, read
    2026-11-28). A kind that the SDK does not know, such as audio in older ones, is left out: the SDK would refuse it.
    """
    members = client.meta.service_model.shape_for("LoggingConfig").members  # type: ignore[attr-defined]
    return {name: name == _TEXT for name in members if name.endswith(_KIND_OF_DATA)}


def _add_cloudwatch(before: Configuration, request: SetupRequest) -> dict[str, Any]:
    large = _choose_large_bodies(before, request)
    prefix = {"keyPrefix": large.prefix} if large and large.prefix else {}
    delivery: dict[str, Any] = {"logGroupName": request.target.log_group, "roleArn": request.target.role_arn}
    if large is not None:
        delivery["largeDataDeliveryS3Config"] = {"bucketName": large.bucket, **prefix}
    return {**before, "cloudWatchConfig": delivery}


def _choose_large_bodies(before: Configuration | None, request: SetupRequest) -> LargeBodies | None:
    """Return the stack's bucket, unless somebody has selected another one or none since."""
    there = configured_large_bodies(before)
    previous = request.previous.large_bodies_bucket if request.previous and configured_log_group(before) else ""
    if there is not None and there.bucket not in {previous} - {request.target.large_bodies_bucket}:
        return there
    return None if there is None and previous else LargeBodies(request.target.large_bodies_bucket)


def _read_delivery(configuration: Configuration | None) -> tuple[str | None, str | None, LargeBodies | None]:
    """Return the stack's settings of a configuration. The others are the owner's, and may be returned changed."""
    role = (configuration or {}).get("cloudWatchConfig", {}).get("roleArn")
    return configured_log_group(configuration), role, configured_large_bodies(configuration)


def _apply(
    bedrock: BedrockClient,
    before: Configuration | None,
    after: Configuration,
    cancelled: Callable[[], bool],
    sleep: Sleep,
) -> bool:
    """Change the configuration if needed, and return True if the change is still there some seconds later."""
    if _read_delivery(before) == _read_delivery(after):
        return True
    if not _put_configuration(bedrock, before, after, cancelled, sleep):
        return False
    sleep(SETTLE_SECONDS)
    return _read_delivery(read_configuration(bedrock)) == _read_delivery(after)


def _roll_back(
    bedrock: BedrockClient,
    logs: CloudWatchLogsClient,
    before: Configuration | None,
    after: Configuration,
    request: SetupRequest,
) -> None:
    """Roll back a change, unless somebody else has changed the configuration since. Delete a new stack's log group."""
    present: Configuration | None = read_configuration(bedrock)
    if _read_delivery(present) == _read_delivery(after) != _read_delivery(before):
        if before is None:
            bedrock.delete_model_invocation_logging_configuration()
        else:
            bedrock.put_model_invocation_logging_configuration(loggingConfig=before)  # type: ignore[arg-type]
        present = before
    if request.previous is None:
        name = request.target.log_group
        _remove_group(logs, name, request.stack_name, was_read=False, in_use=name == configured_log_group(present))


def _put_configuration(
    bedrock: BedrockClient,
    before: Configuration | None,
    after: Configuration,
    cancelled: Callable[[], bool],
    sleep: Sleep,
) -> bool:
    """Replace `before` by another configuration. Return False if it has changed or the set-up is cancelled.

    Bedrock tries the role at once, and a new role's policy takes a while to propagate. In that time somebody else may
    have changed the configuration, so each attempt checks first.
    """

    def attempt() -> bool:
        if cancelled() or read_configuration(bedrock) != before:
            return False
        bedrock.put_model_invocation_logging_configuration(loggingConfig=after)  # type: ignore[arg-type]
        return True

    return retry_while_denied(attempt, sleep)


def describe_existing(
    bedrock: BedrockClient, logs: CloudWatchLogsClient, request: SetupRequest, groups_read: Iterable[str], refusal: str
) -> SetupResult:
    """Return the existing set-up, with a warning instead of an error, because the rollback of an update must succeed.

    The log group is the one that has the stack's subscription, so that nothing moves. If none of the known log groups
    (`groups_read`) has it, Bedrock's log group is used, or else the stack's own. Propagates
    botocore errors.
    """
    configuration = read_configuration(bedrock)
    known = dict.fromkeys([request.target.log_group, *groups_read])
    there = (name for name in known if log_groups.find(logs, name) is not None)
    subscribed = (name for name in there if request.own_filter in log_groups.list_filters(logs, name))
    group = next(subscribed, None) or configured_log_group(configuration) or request.target.log_group
    done = f"did not change invocation logging, because an update was rolled back; {refusal}"
    return SetupResult(group, done, configured_large_bodies(configuration))


def remove_logging(
    bedrock: BedrockClient,
    logs: CloudWatchLogsClient,
    target: LoggingTarget,
    stack_name: str,
    groups_read: Iterable[str] = (),
) -> str:
    """Remove this stack's settings from the configuration, then its log groups, and nothing else.

    A log group that this stack created is deleted with its logs. So is one that another monitor created and this stack
    has read (`groups_read`). A log group that Bedrock or a subscription still uses is kept, and the last of the stacks
    that read it deletes it. Returns a sentence with the changes. Raises `InvocationLoggingError` if somebody has
    changed the configuration and it still needs this stack's bucket. Propagates botocore errors.
    """
    present = read_configuration(bedrock)
    if is_ours(present, target):
        rest = {key: value for key, value in (present or {}).items() if key != "cloudWatchConfig"}
        if "s3Config" in rest:
            bedrock.put_model_invocation_logging_configuration(loggingConfig=rest)  # type: ignore[arg-type]
            done = "removed CloudWatch from the invocation logging"
        else:
            bedrock.delete_model_invocation_logging_configuration()
            done = "disabled invocation logging"
        present = rest
    else:
        done = "did not change invocation logging: none of it is this stack's"
    large = configured_large_bodies(present)
    if large is not None and large.bucket == target.large_bodies_bucket:
        raise InvocationLoggingError(
            f"Somebody has changed Bedrock's invocation logging, and it still delivers large bodies to {large.bucket}, "
            "which is deleted with this stack. Select another bucket or none (Bedrock console, Settings, Model "
            "invocation logging), and delete the stack again."
        )
    delivered = configured_log_group(present)
    sentences = [
        _remove_group(logs, name, stack_name, was_read=name in groups_read, in_use=name == delivered)
        for name in dict.fromkeys([target.log_group, *groups_read])
    ]
    return "; ".join([done, *sentences])


def _remove_group(logs: CloudWatchLogsClient, name: str, stack_name: str, *, was_read: bool, in_use: bool) -> str:
    """Delete an unused log group that this stack or an earlier one created. Return the result as a sentence."""
    group = log_groups.find(logs, name)
    if group is None:
        return f"{name} is already deleted"
    maker = log_groups.find_creator(logs, group)
    if maker is None:
        return f"kept {name}, which no monitor created"
    if maker != stack_name and not was_read:
        return f"kept {name}, which the stack {maker} created and this one never read"
    if in_use:
        return f"kept {name}, because Bedrock delivers to it"
    others = log_groups.list_filters(logs, name)
    if others:
        return f"kept {name}, because it still has a subscription: {', '.join(others)}"
    log_groups.delete(logs, name)
    return f"deleted {name}"
