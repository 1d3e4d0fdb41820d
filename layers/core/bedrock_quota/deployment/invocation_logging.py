"""The account's invocation-logging configuration: adopt an existing one, extend it, or create one.

There is one configuration per account and Region. `PutModelInvocationLoggingConfiguration` replaces all of it without
a condition, so the existing one is read first and kept (API reference, read 2026-11-23).

The log group to read is chosen in this order:

1. The one that the configuration already delivers to, unless it is the stack's own: it is adopted.
2. The stack's parameter `InvocationLogGroupName`, if the configuration is missing, delivers only to S3, or is the
   stack's own. The log group is created if it does not exist. With `InvocationLogging=adopt-only` the set-up fails
   instead, unless the configuration is the stack's own.

Ownership is recognized without stored state, except for the names of log groups that the stack has read. Stored state
also has what was there before (`LoggingOrigin`), so that the uninstall leaves just that:

- The CloudWatch Logs part of the configuration is the stack's if it has the stack's role. It is added and removed as a
  whole, including its bucket for large bodies. An update also knows the previous role, log group and bucket, so it can
  replace them.
- A log group is the stack's if its tag `log_groups.MADE_BY` names the stack. It may also name another monitor that
  created the log group for both. Then both have read it.
- If there was no configuration, and nothing but the stack's own is there at the uninstall, it is deleted. Otherwise the
  rest is put back, even if it only switches kinds of data on or off, because the next set-up must find these switches.
- Nothing else is ever changed: `logging_configuration` carries all members as they were read. If the owner has switched
  text delivery off, it stays off. An adopted configuration without a bucket for large bodies gets none. Both would send
  prompts to a new place. A warning says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec
from botocore.exceptions import ClientError

from bedrock_quota.access_denied import Sleep, may_concern_large_bodies, retry_while_denied
from bedrock_quota.deployment import log_groups, logging_configuration
from bedrock_quota.deployment.log_groups import LogGroup
from bedrock_quota.deployment.logging_configuration import (
    Configuration,
    LargeBodies,
    configured_large_bodies,
    configured_log_group,
    is_same,
    is_same_delivery,
    read_configuration,
)
from bedrock_quota.deployment.logging_target import LoggingTarget, is_ours, may_be_created
from bedrock_quota.deployment.preflight import InvocationLoggingError, check_log_group
from bedrock_quota.state.table import LoggingMemory, LoggingOrigin

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_logs import CloudWatchLogsClient

LOOK_AGAIN = (
    "deploy again with a new value of CheckLoggingAgain (quota-monitor deploy --regions REGION "
    "--parameter CheckLoggingAgain=$(date +%s)): the stack then checks the logging again"
)
"""The way to make CloudFormation repeat the set-up: one of its properties must change. A new version changes one."""

SETTLE_SECONDS = 3
"""Time between a change and the check that no other deployment has changed it at the same time."""

ROUNDS = 4
"""Attempts if somebody else changes the configuration at the same time."""

BUCKET_REFUSED = "Bedrock could not write to the stack's bucket for large bodies"
"""Beginning of the warning that a deployment goes without its bucket. The doctor looks for it."""

_MOST_OF_A_MESSAGE = 300
"""Characters of an AWS message in a warning. CloudFormation accepts 4 KB for all of a response."""

_MOST_OF_A_DELIVERY = 10_000
"""Characters of a former `cloudWatchConfig` to remember. The known one has under 3,000, and an item up to 400 KB."""

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
    memory: LoggingMemory = LoggingMemory()
    """Notes of earlier set-ups."""


class SetupResult(msgspec.Struct, frozen=True):
    """The log group to read, a sentence with the changes that were made, and the place of large bodies, if any.

    `refused_bucket` is the stack's own bucket if Bedrock cannot write to it. Each later set-up tries it again.
    """

    log_group: str
    done: str
    large_bodies: LargeBodies | None = None
    refused_bucket: str = ""


def set_up_logging(
    bedrock: BedrockClient,
    logs: CloudWatchLogsClient,
    kms: KMSClient,
    request: SetupRequest,
    cancelled: Callable[[], bool],
    *,
    note_origin: Callable[[LoggingOrigin], None],
    sleep: Sleep = time.sleep,
) -> SetupResult:
    """Make invocation logs reach a CloudWatch log group, on creation and on every update of the stack.

    The configuration cannot be changed on a condition. So it is read again just before the change and some seconds
    after it. If another deployment was faster, its configuration is adopted.

    If another resource of the stack fails, CloudFormation stops waiting. It deletes or rolls back this resource while
    the set-up still runs (aws-cloudformation/cloudformation-coverage-roadmap, issue 1814, read 2026-11-24). `cancelled`
    returns True then. It is called before each change and after the last one. The changes are then rolled back, because
    that deletion may have run before them.

    `note_origin` is called with what is there, just before the stack's part is added to it.

    Raises `InvocationLoggingError` if the stack would get no records or the set-up is cancelled. Propagates botocore
    errors.
    """
    for _ in range(ROUNDS):
        before = retry_while_denied(lambda: read_configuration(bedrock), sleep)
        ours = is_ours(before, request.target, request.previous)
        if configured_log_group(before) and not (ours and _delivers_to_ours(before, request)):
            return _adopt(logs, kms, before or {}, request, sleep)
        if not ours and request.adopt_only:
            raise InvocationLoggingError(
                _MISSING_IN_S3 if logging_configuration.delivers_elsewhere(before) else _MISSING
            )
        after = _add_cloudwatch(before or logging_configuration.make_text_only(bedrock), request)
        change = _Change(bedrock, before, after, _without_bucket(after, request), cancelled, sleep)
        try:
            again = ours and configured_log_group(before) == request.target.log_group
            remarks = _prepare_group(logs, kms, request, again=again, sleep=sleep)
            if not ours:
                note_origin(_describe_origin(before))
            settled = _apply(change)
        finally:
            if cancelled():
                _roll_back(change, logs, request)
                raise InvocationLoggingError(_CANCELLED)
        if settled is not None:
            done = _describe_change(before, changed=not is_same_delivery(before, settled.configuration), ours=ours)
            remarks += _describe_own_kinds(settled.configuration, request) if ours else []
            found = _make_result(settled.configuration, done, [*settled.remarks, *remarks])
            refused = request.target.large_bodies_bucket if settled.refused else ""
            return msgspec.structs.replace(found, refused_bucket=refused)
    raise InvocationLoggingError(
        "Bedrock's invocation logging keeps changing, perhaps by another deployment. Wait until that is complete and "
        "deploy again."
    )


def _describe_origin(before: Configuration | None) -> LoggingOrigin:
    delivery = logging_configuration.encode_delivery(before)
    return LoggingOrigin(before is None, delivery if len(delivery) <= _MOST_OF_A_DELIVERY else "")


def _describe_own_kinds(configuration: Configuration, request: SetupRequest) -> list[str]:
    """Return a warning if a configuration that the stack created delivers more than text.

    An older version did not name every kind of data to switch it off, or somebody has switched one on since.
    """
    owned = not may_be_created(request.memory.origin) or logging_configuration.delivers_elsewhere(configuration)
    kinds = [] if owned else logging_configuration.list_kinds_beside_text(configuration)
    if not kinds:
        return []
    return [
        f"Bedrock also delivers kinds of data that this stack does not need ({', '.join(kinds)}): switch them off in "
        "Bedrock's settings if you do not want them in your logs"
    ]


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
    return SetupResult(
        group, "; ".join((done, *_describe_gaps(configuration), *remarks)), configured_large_bodies(configuration)
    )


def _describe_gaps(configuration: Configuration) -> Iterable[str]:
    """Yield a warning about the part of a configuration that is missing. Its owner decides about changes."""
    if not logging_configuration.delivers_text(configuration):
        yield (
            "text delivery is off, so max_tokens is unknown for calls that do not declare their limit: enable it in "
            "Bedrock's settings, or declare the limits in requestMetadata"
        )
    elif configured_large_bodies(configuration) is None:
        yield (
            "bodies over 100 KB are not delivered, so their max_tokens stays unknown: "
            f"select a bucket for large data in Bedrock's settings, then {LOOK_AGAIN}"
        )


def _add_cloudwatch(before: Configuration, request: SetupRequest) -> Configuration:
    target = request.target
    large = _choose_large_bodies(before, request)
    return logging_configuration.deliver_to(before, target.log_group, target.role_arn, large)


def _choose_large_bodies(before: Configuration | None, request: SetupRequest) -> LargeBodies | None:
    """Return the stack's bucket, unless somebody has selected another one or none since.

    A bucket that the stack itself left out, because Bedrock refused it, is offered again.
    """
    there = configured_large_bodies(before)
    previous = request.previous.large_bodies_bucket if request.previous and configured_log_group(before) else ""
    if there is not None and there.bucket not in {previous} - {request.target.large_bodies_bucket}:
        return there
    refused = request.memory.refused_bucket in {previous, request.target.large_bodies_bucket}
    if there is None and previous and not refused:
        return None
    return LargeBodies(request.target.large_bodies_bucket)


def _without_bucket(after: Configuration, request: SetupRequest) -> Configuration | None:
    """Return a configuration without the stack's own bucket, or None if it does not deliver there."""
    large, target = configured_large_bodies(after), request.target
    if large is None or large.bucket != target.large_bodies_bucket:
        return None
    return logging_configuration.deliver_to(after, target.log_group, target.role_arn, None)


class _Change(msgspec.Struct, frozen=True):
    """A change of the configuration. If Bedrock cannot write to the stack's bucket, `fallback` is taken."""

    bedrock: BedrockClient
    before: Configuration | None
    after: Configuration
    fallback: Configuration | None
    cancelled: Callable[[], bool]
    sleep: Sleep


class _Settled(msgspec.Struct, frozen=True):
    """The configuration that a change has led to, warnings, and if the stack's bucket was refused."""

    configuration: Configuration
    remarks: tuple[str, ...] = ()
    refused: bool = False


def _apply(change: _Change) -> _Settled | None:
    """Change the configuration if needed. Return None if somebody else changes it, or the set-up is cancelled."""
    if change.before is not None and is_same_delivery(change.before, change.after):
        return _Settled(change.before)
    put = _put_after_or_fallback(change)
    if put is None:
        return None
    change.sleep(SETTLE_SECONDS)
    present = read_configuration(change.bedrock)
    if present is None or not is_same_delivery(present, put.configuration):
        return None
    kinds = logging_configuration.list_unwanted_kinds(present, put.configuration)
    if not kinds:
        return _Settled(present, put.remarks, put.refused)
    if change.before is not None:
        return _Settled(present, (*put.remarks, _describe_kinds(kinds)), put.refused)
    return _switch_off(change, present, kinds, put)


def _put_after_or_fallback(change: _Change) -> _Settled | None:
    """Put the new configuration, and return it. Without the stack's bucket, if Bedrock refuses that to the last."""
    try:
        done = retry_while_denied(lambda: _put(change, change.before, change.after), change.sleep)
    except ClientError as error:
        if change.fallback is None or not may_concern_large_bodies(error):
            raise
        kept = is_same_delivery(change.before, change.fallback)  # it was refused before, too
        done = kept or _put(change, change.before, change.fallback)
        return _Settled(change.fallback, (_describe_refusal(change, error),), refused=True) if done else None
    return _Settled(change.after) if done else None


def _switch_off(change: _Change, present: Configuration, kinds: list[str], put: _Settled) -> _Settled | None:
    """Switch off kinds of data that neither this code nor the SDK knows, in a configuration that the stack made."""
    quiet = logging_configuration.switch_off(present, kinds)
    try:
        return _Settled(quiet, put.remarks, put.refused) if _put(change, present, quiet) else None
    except ClientError as error:
        refused = f"{_describe_kinds(kinds)}. AWS returned: {_shorten(error)}"
        return _Settled(present, (*put.remarks, refused), put.refused)


def _put(change: _Change, before: Configuration | None, after: Configuration) -> bool:
    """Replace `before` by another configuration. Return False if it has changed or the set-up is cancelled.

    Bedrock tries the role at once, and a new role's policy takes a while to propagate. In that time somebody else may
    have changed the configuration, so each attempt checks first.
    """
    if change.cancelled() or not is_same(read_configuration(change.bedrock), before):
        return False
    logging_configuration.put_configuration(change.bedrock, after)
    return True


def _describe_kinds(kinds: Iterable[str]) -> str:
    return (
        f"Bedrock also delivers a kind of data that nobody asked for ({', '.join(kinds)}): switch it off in Bedrock's "
        "settings if you do not want it in your logs"
    )


def _describe_refusal(change: _Change, error: ClientError) -> str:
    large = configured_large_bodies(change.after)
    return (
        f"{BUCKET_REFUSED} ({large.bucket if large else ''}), so it is not used: check the policies of your "
        f"organization on S3, then {LOOK_AGAIN}. AWS returned: {_shorten(error)}"
    )


def _shorten(error: ClientError) -> str:
    return str(error.response["Error"].get("Message", ""))[:_MOST_OF_A_MESSAGE]


def _roll_back(change: _Change, logs: CloudWatchLogsClient, request: SetupRequest) -> None:
    """Roll back a change of the delivery, unless somebody else has changed it since. Delete a new stack's log group.

    All other members stay as they are now, because their owner may have changed them since.
    """
    present = read_configuration(change.bedrock)
    ours = any(each is not None and is_same_delivery(present, each) for each in (change.after, change.fallback))
    if ours and not is_same_delivery(present, change.before):
        delivery = logging_configuration.encode_delivery(change.before)
        rest = logging_configuration.restore_delivery(present or {}, delivery)
        if change.before is None and logging_configuration.is_text_only(rest):
            change.bedrock.delete_model_invocation_logging_configuration()
            present = None
        else:
            logging_configuration.put_configuration(change.bedrock, rest)
            present = rest
    if request.previous is None:
        name = request.target.log_group
        in_use = name == configured_log_group(present)
        log_groups.remove_unused(logs, name, request.stack_name, was_read=False, in_use=in_use)


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
    large = configured_large_bodies(configuration)
    refused = "" if large else request.memory.refused_bucket
    if refused:
        done = f"{done}; {BUCKET_REFUSED} ({refused}), so it is not used: {LOOK_AGAIN}"
    return SetupResult(group, done, large, refused)
