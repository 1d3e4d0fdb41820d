"""The account's invocation-logging configuration: adopted where there is one, extended or made where there is none.

One configuration per account and Region; `PutModelInvocationLoggingConfiguration` replaces all of it, unconditionally,
so what is there is read first and kept (API reference, read 2026-11-23).

What belongs to a stack, and how that is known without anything to remember but the names of log groups it has read:

- The part of the configuration that delivers to CloudWatch Logs is the stack's if it bears the stack's role. It is put
  in and taken out as a whole; what it says of large bodies is in it. An update also knows the role, the log group and
  the bucket of before, so that they can be replaced.
- A log group is a stack's if the tag it was made with names that stack (`log_groups.MADE_BY`), or another monitor that
  made it for both: then both have read it.
- Nothing else is ever changed. Text delivery that its owner has off stays off, and an adopted configuration that has
  no bucket for large bodies gets none: both would send prompts where they did not go before. A warning says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from bedrock_quota.deployment import log_groups
from bedrock_quota.deployment.preflight import check_log_group
from bedrock_quota.deployment.log_groups import LogGroup
from bedrock_quota.deployment.preflight import InvocationLoggingError
from bedrock_quota.deployment.iam_retry import Sleep, retry_while_denied

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_logs import CloudWatchLogsClient

Configuration = Mapping[str, Any]

LOOK_AGAIN = (
    "deploy again with another LogRetentionDays (sam deploy --parameter-overrides LogRetentionDays=60): "
    "the stack then looks at the invocation logging anew"
)
"""What makes CloudFormation ask for a set-up once more: one of its properties must change."""

SETTLE_SECONDS = 3
"""How long after a change it is looked whether another deployment has changed it at the same time."""

ROUNDS = 4
"""How often to begin anew when somebody else changes the configuration meanwhile."""


class LoggingTarget(msgspec.Struct, frozen=True):
    """What a stack brings for an account that has no invocation logs in CloudWatch, or brought before an update."""

    log_group: str
    role_arn: str
    retention_days: int
    large_bodies_bucket: str = ""


class SetupRequest(msgspec.Struct, frozen=True):
    """What a stack wants: its part, in place of a `former` one; with `adopt_only`, nothing but what is there."""

    part: LoggingTarget
    stack_name: str
    own_filter: str
    former: LoggingTarget | None = None
    adopt_only: bool = False
    own_log_groups: tuple[str, ...] = ()


class LargeBodies(msgspec.Struct, frozen=True):
    """Where bodies over 100 KB go: a bucket and the beginning of their keys."""

    bucket: str
    prefix: str = ""

    @property
    def folder(self) -> str:
        """Bucket and beginning of the keys that Bedrock writes: below `AWSLogs/`, after the prefix if there is one."""
        return "/".join(filter(None, (self.bucket, self.prefix.strip("/"), "AWSLogs/")))


class SetupResult(msgspec.Struct, frozen=True):
    """The log group to read, a sentence that says what was done to have it, and where large bodies go, if anywhere."""

    log_group: str
    done: str
    large_bodies: LargeBodies | None = None


def configured_log_group(configuration: Configuration | None) -> str | None:
    """Return the log group a configuration delivers to, or None."""
    return (configuration or {}).get("cloudWatchConfig", {}).get("logGroupName") or None


def configured_large_bodies(configuration: Configuration | None) -> LargeBodies | None:
    """Return where a configuration has bodies delivered that are too large for the log, or None."""
    found = (configuration or {}).get("cloudWatchConfig", {}).get("largeDataDeliveryS3Config") or {}
    return LargeBodies(found["bucketName"], found.get("keyPrefix", "")) if found.get("bucketName") else None


def is_ours(configuration: Configuration | None, *parts: LoggingTarget | None) -> bool:
    """Whether it is a stack with one of these parts that has Bedrock deliver to CloudWatch: with its own role."""
    role = (configuration or {}).get("cloudWatchConfig", {}).get("roleArn")
    return role is not None and role in {part.role_arn for part in parts if part is not None}


def read_configuration(client: BedrockClient) -> dict[str, Any] | None:
    """Return the account's configuration in this Region, or None. Raises what botocore raises."""
    found: Any = client.get_model_invocation_logging_configuration()
    return found.get("loggingConfig") or None


def set_up_logging(
    bedrock: BedrockClient,
    logs: CloudWatchLogsClient,
    kms: KMSClient,
    wanted: SetupRequest,
    cancelled: Callable[[], bool],
    *,
    sleep: Sleep = time.sleep,
) -> SetupResult:
    """See to it that invocation logs reach a CloudWatch log group, on creation and on every update of the stack.

    The configuration cannot be changed on a condition. So it is read again just before it is changed and some seconds
    after: where another deployment was quicker, what that one made is adopted.

    Where another resource of the stack fails, CloudFormation waits for this no longer, and has it deleted or updated
    back while it still runs (aws-cloudformation/cloudformation-coverage-roadmap, issue 1814, read 2026-11-24).
    `cancelled` tells so: it is asked before each change and after the last, and what was done is taken back then, for
    that deletion may have looked before there was anything.

    Raises `InvocationLoggingError` for what would leave the stack without records, and for a set-up that is cancelled,
    and what botocore raises.
    """
    for _ in range(ROUNDS):
        before = retry_while_denied(lambda: read_configuration(bedrock), sleep)
        ours = is_ours(before, wanted.part, wanted.former)
        if configured_log_group(before) and not (ours and _where_we_put_it(before, wanted)):
            return _adopt(logs, kms, before or {}, wanted, sleep)
        if not ours and wanted.adopt_only:
            raise InvocationLoggingError(_MISSING_IN_S3 if before else _MISSING)
        after = _with_cloudwatch(before, wanted)
        try:
            again = ours and configured_log_group(before) == wanted.part.log_group
            remarks = _prepare(logs, kms, wanted, again=again, sleep=sleep)
            settled = _change(bedrock, before, after, cancelled, sleep)
        finally:
            if cancelled():
                _take_back(bedrock, logs, before, after, wanted)
                raise InvocationLoggingError(_CANCELLED)
        if settled:
            done = _words(before, changed=_delivery(before) != _delivery(after), ours=ours)
            return _set_up(after, done, remarks)
    raise InvocationLoggingError(
        "Somebody else keeps changing Bedrock's invocation logging, another deployment perhaps: "
        "wait until that is done and deploy again."
    )


_CANCELLED = "CloudFormation has cancelled this set-up: what it had done is taken back."
_MISSING = (
    "Bedrock logs no model invocations in this account and Region, and InvocationLogging=adopt-only forbids to switch "
    "it on. Have them delivered to CloudWatch Logs with text (Bedrock console, Settings, Model invocation logging), or "
    "deploy with InvocationLogging=set-up."
)
_MISSING_IN_S3 = (
    "Bedrock's invocation logs go to S3 only, and InvocationLogging=adopt-only forbids to add CloudWatch Logs. Add it "
    "(Bedrock console, Settings, Model invocation logging, Both S3 and CloudWatch Logs), or deploy with "
    "InvocationLogging=set-up, which keeps everything that is set there."
)


def _where_we_put_it(configuration: Configuration | None, wanted: SetupRequest) -> bool:
    """Whether what bears our role delivers where we had it delivered; else somebody has chosen another group since."""
    former = {wanted.former.log_group} if wanted.former else set()
    return configured_log_group(configuration) in {wanted.part.log_group} | former


def _adopt(
    logs: CloudWatchLogsClient, kms: KMSClient, configuration: Configuration, wanted: SetupRequest, sleep: Sleep
) -> SetupResult:
    name = configured_log_group(configuration) or ""
    _refuse_own(name, wanted)
    group = retry_while_denied(lambda: log_groups.find(logs, name), sleep)
    if group is None:
        raise InvocationLoggingError(
            f"Bedrock delivers its invocation logs to {name}, which is gone: make it again (aws logs create-log-group "
            f"--log-group-name {name}) or have them delivered to another group, and deploy again."
        )
    remarks = check_log_group(logs, kms, group, wanted.own_filter)
    return _set_up(configuration, "adopted the existing invocation logging", remarks)


def _prepare(logs: CloudWatchLogsClient, kms: KMSClient, wanted: SetupRequest, *, again: bool, sleep: Sleep) -> list[str]:
    """See to it that the stack's log group can be written to and read; return warnings."""
    part = wanted.part
    _refuse_own(part.log_group, wanted)
    group = retry_while_denied(lambda: log_groups.find(logs, part.log_group), sleep)
    if group is None:
        log_groups.create(logs, part.log_group, part.retention_days, wanted.stack_name, sleep)
        lost = f"made {part.log_group} again, which was gone, and its subscription with it: see quota-monitor doctor"
        return [lost] if again else []
    _keep_retention(logs, group, wanted)
    return check_log_group(logs, kms, group, wanted.own_filter)


def _refuse_own(name: str, wanted: SetupRequest) -> None:
    if name in wanted.own_log_groups:
        raise InvocationLoggingError(
            f"{name} is a log group of this stack: its metric lines would be read as records for ever. "
            "Have Bedrock's invocation logs delivered to a group of their own and deploy again."
        )


def _keep_retention(logs: CloudWatchLogsClient, group: LogGroup, wanted: SetupRequest) -> None:
    """Let the retention of a group that this stack made follow its parameter, unless somebody has changed it."""
    former = wanted.former.retention_days if wanted.former else None
    follows = group.retention_days in {None, former} and group.retention_days != wanted.part.retention_days
    if follows and log_groups.find_creator(logs, group) == wanted.stack_name:
        logs.put_retention_policy(logGroupName=group.name, retentionInDays=wanted.part.retention_days)


def _words(before: Configuration | None, *, changed: bool, ours: bool) -> str:
    if ours:
        return f"{'changed' if changed else 'kept'} the invocation logging that this stack set up"
    return "added CloudWatch to the existing invocation logging" if before else "switched invocation logging on"


def _set_up(configuration: Configuration, done: str, remarks: Iterable[str]) -> SetupResult:
    group = configured_log_group(configuration)
    if group is None:
        raise RuntimeError("a configuration without a log group was taken for one with it")
    said = "".join(f"; {remark}" for remark in remarks)
    return SetupResult(group, f"{done}{_warnings(configuration)}{said}", configured_large_bodies(configuration))


def _warnings(configuration: Configuration) -> str:
    """Say what the configuration leaves out that we need; its owner decides whether that changes."""
    if not configuration.get("textDataDeliveryEnabled", True):
        return "; text delivery is off, so max_tokens stays unknown: switch it on in Bedrock's settings"
    if configured_large_bodies(configuration) is None:
        return (
            "; bodies over 100 KB are delivered nowhere, so their max_tokens stays unknown: "
            f"name a bucket for large data in Bedrock's settings, then {LOOK_AGAIN}"
        )
    return ""


TEXT_ONLY: Configuration = {
    "textDataDeliveryEnabled": True,
    "imageDataDeliveryEnabled": False,
    "embeddingDataDeliveryEnabled": False,
    "videoDataDeliveryEnabled": False,
}
"""What is delivered where nothing was: request and response texts, for `max_tokens` stands in the request."""


def _with_cloudwatch(before: Configuration | None, wanted: SetupRequest) -> dict[str, Any]:
    large = _large_bodies_wanted(before, wanted)
    prefix = {"keyPrefix": large.prefix} if large and large.prefix else {}
    delivery: dict[str, Any] = {"logGroupName": wanted.part.log_group, "roleArn": wanted.part.role_arn}
    if large is not None:
        delivery["largeDataDeliveryS3Config"] = {"bucketName": large.bucket, **prefix}
    return {**(before or TEXT_ONLY), "cloudWatchConfig": delivery}


def _large_bodies_wanted(before: Configuration | None, wanted: SetupRequest) -> LargeBodies | None:
    """The stack's bucket, but where somebody has named another one since, or none."""
    there = configured_large_bodies(before)
    former = wanted.former.large_bodies_bucket if wanted.former and configured_log_group(before) else ""
    if there is not None and there.bucket not in {former} - {wanted.part.large_bodies_bucket}:
        return there
    return None if there is None and former else LargeBodies(wanted.part.large_bodies_bucket)


def _delivery(configuration: Configuration | None) -> tuple[str | None, str | None, LargeBodies | None]:
    """What of a configuration is a stack's: the rest is its owner's, and may be read otherwise than it was put."""
    role = (configuration or {}).get("cloudWatchConfig", {}).get("roleArn")
    return configured_log_group(configuration), role, configured_large_bodies(configuration)


def _change(
    bedrock: BedrockClient,
    before: Configuration | None,
    after: Configuration,
    cancelled: Callable[[], bool],
    sleep: Sleep,
) -> bool:
    """See to it that the configuration is as it should be; whether it is, some seconds later."""
    if _delivery(before) == _delivery(after):
        return True
    if not _put(bedrock, before, after, cancelled, sleep):
        return False
    sleep(SETTLE_SECONDS)
    return _delivery(read_configuration(bedrock)) == _delivery(after)


def _take_back(
    bedrock: BedrockClient,
    logs: CloudWatchLogsClient,
    before: Configuration | None,
    after: Configuration,
    wanted: SetupRequest,
) -> None:
    """Put back what was before a change, unless somebody else has by now; remove the group made for a new stack."""
    present: Configuration | None = read_configuration(bedrock)
    if _delivery(present) == _delivery(after) != _delivery(before):
        if before is None:
            bedrock.delete_model_invocation_logging_configuration()
        else:
            bedrock.put_model_invocation_logging_configuration(loggingConfig=before)  # type: ignore[arg-type]
        present = before
    if wanted.former is None:
        name = wanted.part.log_group
        _leave(logs, name, wanted.stack_name, was_read=False, in_use=name == configured_log_group(present))


def _put(
    bedrock: BedrockClient,
    before: Configuration | None,
    after: Configuration,
    cancelled: Callable[[], bool],
    sleep: Sleep,
) -> bool:
    """Put a configuration in place of `before`; whether that was still there, and is still wanted.

    Bedrock tries the role at once, and a new role's policy takes a while to be known: meanwhile somebody else may
    have changed the configuration, so each attempt looks first.
    """

    def attempt() -> bool:
        if cancelled() or read_configuration(bedrock) != before:
            return False
        bedrock.put_model_invocation_logging_configuration(loggingConfig=after)  # type: ignore[arg-type]
        return True

    return retry_while_denied(attempt, sleep)


def describe_existing(
    bedrock: BedrockClient, logs: CloudWatchLogsClient, wanted: SetupRequest, read_groups: Iterable[str], refusal: str
) -> SetupResult:
    """Return what there is, with a warning in place of a refusal: for the rollback of an update, which has to end.

    The log group is the one that the stack's subscription is on, so that nothing moves; if it is on none that the
    stack knows of (`read_groups`), the one that Bedrock delivers to, or else the stack's own. Raises what botocore
    raises.
    """
    configuration = read_configuration(bedrock)
    known = dict.fromkeys([wanted.part.log_group, *read_groups])
    there = (name for name in known if log_groups.find(logs, name) is not None)
    subscribed = (name for name in there if wanted.own_filter in log_groups.list_filters(logs, name))
    group = next(subscribed, None) or configured_log_group(configuration) or wanted.part.log_group
    done = f"left invocation logging as it was found, for an update was rolled back; {refusal}"
    return SetupResult(group, done, configured_large_bodies(configuration))


def remove_logging(
    bedrock: BedrockClient, logs: CloudWatchLogsClient, part: LoggingTarget, stack_name: str, read_groups: Iterable[str] = ()
) -> str:
    """Take out what this stack put into the configuration, then its log groups, and nothing else.

    A log group that this stack made goes with its logs, and so does one that another monitor made and this stack has
    read (`read_groups`), unless Bedrock or a subscription still uses it: then it is the other's, and the last of its
    readers that leaves removes it. Returns a sentence that says what was done. Raises
    `InvocationLoggingError` if the configuration is somebody else's by now and still needs this stack's bucket, and
    what botocore raises.
    """
    present = read_configuration(bedrock)
    if is_ours(present, part):
        rest = {key: value for key, value in (present or {}).items() if key != "cloudWatchConfig"}
        if "s3Config" in rest:
            bedrock.put_model_invocation_logging_configuration(loggingConfig=rest)  # type: ignore[arg-type]
            done = "took CloudWatch out of the invocation logging again"
        else:
            bedrock.delete_model_invocation_logging_configuration()
            done = "switched invocation logging off again"
        present = rest
    else:
        done = "left invocation logging as it is: none of it is this stack's"
    large = configured_large_bodies(present)
    if large is not None and large.bucket == part.large_bodies_bucket:
        raise InvocationLoggingError(
            f"Bedrock's invocation logging, changed by somebody since, still delivers large bodies to {large.bucket}, "
            "which goes with this stack: name another bucket there, or none (Bedrock console, Settings, Model "
            "invocation logging), and delete the stack again."
        )
    delivered = configured_log_group(present)
    sentences = [
        _leave(logs, name, stack_name, was_read=name in read_groups, in_use=name == delivered)
        for name in dict.fromkeys([part.log_group, *read_groups])
    ]
    return "; ".join([done, *sentences])


def _leave(logs: CloudWatchLogsClient, name: str, stack_name: str, *, was_read: bool, in_use: bool) -> str:
    """Remove a log group that this stack or one before it made, and that nobody uses; say what became of it."""
    group = log_groups.find(logs, name)
    if group is None:
        return f"{name} is gone already"
    maker = log_groups.find_creator(logs, group)
    if maker is None:
        return f"left {name}, which no monitor made"
    if maker != stack_name and not was_read:
        return f"left {name}, which the stack {maker} made and this one never read"
    if in_use:
        return f"left {name}, for Bedrock delivers to it"
    others = log_groups.list_filters(logs, name)
    if others:
        return f"left {name}, for {' and '.join(others)} reads it"
    log_groups.delete(logs, name)
    return f"removed {name}"
