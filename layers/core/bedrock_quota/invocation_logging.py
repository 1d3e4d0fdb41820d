"""The account's invocation-logging configuration: adopted where there is one, extended or made where there is none.

One configuration per account and Region; `PutModelInvocationLoggingConfiguration` replaces all of it, so what is
there is read first and kept (API reference, read 2026-11-23). What this stack put there bears the ARN of its role:
that is how it is known again, changed with the stack and taken out with it, without anything to remember.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import ClientError

from bedrock_quota.errors import QuotaMonitorError

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient
    from mypy_boto3_logs import CloudWatchLogsClient

Configuration = Mapping[str, Any]

PROPAGATION_SECONDS = 90
"""How long a new role may take until Bedrock can use it: until then Put answers `Failed to validate permissions`."""

_RETRY_SECONDS = 5


class InvocationLoggingError(QuotaMonitorError):
    """The invocation logs cannot be used as they are; the message says what to do."""


class Wanted(msgspec.Struct, frozen=True):
    """What the stack brings for an account that has no invocation logs in CloudWatch."""

    log_group: str
    role_arn: str
    retention_days: int
    large_bodies_bucket: str
    own_log_groups: tuple[str, ...] = ()


class LargeBodies(msgspec.Struct, frozen=True):
    """Where bodies over 100 KB go: a bucket and the beginning of their keys."""

    bucket: str
    prefix: str = ""

    @property
    def folder(self) -> str:
        """Bucket and beginning of the keys that Bedrock writes: below `AWSLogs/`, after the prefix if there is one."""
        return "/".join(filter(None, (self.bucket, self.prefix.strip("/"), "AWSLogs/")))


class SetUp(msgspec.Struct, frozen=True):
    """The log group to read, a sentence that says what was done to have it, and where large bodies go, if anywhere."""

    log_group: str
    done: str
    large_bodies: LargeBodies | None = None


def log_group_of(configuration: Configuration | None) -> str | None:
    """Return the log group a configuration delivers to, or None."""
    return (configuration or {}).get("cloudWatchConfig", {}).get("logGroupName") or None


def large_bodies_of(configuration: Configuration | None) -> LargeBodies | None:
    """Return where a configuration has bodies delivered that are too large for the log, or None."""
    found = (configuration or {}).get("cloudWatchConfig", {}).get("largeDataDeliveryS3Config") or {}
    return LargeBodies(found["bucketName"], found.get("keyPrefix", "")) if found.get("bucketName") else None


def is_ours(configuration: Configuration | None, role_arn: str) -> bool:
    """Whether it is this stack that has Bedrock deliver to CloudWatch: with the stack's own role."""
    return bool((configuration or {}).get("cloudWatchConfig", {}).get("roleArn") == role_arn)


def read(client: BedrockClient) -> dict[str, Any] | None:
    """Return the account's configuration in this Region, or None. Raises what botocore raises."""
    found: Any = client.get_model_invocation_logging_configuration()
    return found.get("loggingConfig") or None


def set_up(
    bedrock: BedrockClient, logs: CloudWatchLogsClient, wanted: Wanted, sleep: Callable[[float], None] = time.sleep
) -> SetUp:
    """See to it that invocation logs reach a CloudWatch log group, on creation and on every update of the stack.

    Raises `InvocationLoggingError` where the group is one of this stack's own (it would feed itself), and what
    botocore raises.
    """
    before = read(bedrock)
    ours = is_ours(before, wanted.role_arn)
    group = wanted.log_group if ours else log_group_of(before) or wanted.log_group
    if group in wanted.own_log_groups:
        raise InvocationLoggingError(
            f"{group} is a log group of this stack: its metric lines would be read as records for ever. "
            "Have Bedrock's invocation logs delivered to a group of their own and deploy again."
        )
    if before is not None and log_group_of(before) and not ours:
        return _set_up(before, f"adopted the existing invocation logging{_warnings(before)}")
    after = _with_cloudwatch(before, wanted)
    if after == before:
        return _set_up(after, f"kept the invocation logging that this stack set up{_warnings(after)}")
    if log_group_of(before) != group:
        _make_group(logs, wanted)
    _put(bedrock, after, sleep)
    if ours:
        return _set_up(after, f"changed the invocation logging that this stack set up{_warnings(after)}")
    done = "added CloudWatch to the existing invocation logging" if before else "switched invocation logging on"
    return _set_up(after, f"{done}{_warnings(after)}")


def _set_up(configuration: Configuration, done: str) -> SetUp:
    group = log_group_of(configuration)
    if group is None:
        raise RuntimeError("a configuration without a log group was taken for one with it")
    return SetUp(group, done, large_bodies_of(configuration))


def _warnings(configuration: Configuration) -> str:
    """Say what the configuration leaves out that we need; its owner decides whether that changes."""
    if not configuration.get("textDataDeliveryEnabled", True):
        return "; text delivery is off, so max_tokens stays unknown: switch it on in Bedrock's settings"
    if large_bodies_of(configuration) is None:
        return (
            "; bodies over 100 KB are delivered nowhere, so their max_tokens stays unknown: "
            "name a bucket for large data in Bedrock's settings and update the stack"
        )
    return ""


TEXT_ONLY: Configuration = {
    "textDataDeliveryEnabled": True,
    "imageDataDeliveryEnabled": False,
    "embeddingDataDeliveryEnabled": False,
    "videoDataDeliveryEnabled": False,
}
"""What is delivered where nothing was: request and response texts, for `max_tokens` stands in the request."""


def _with_cloudwatch(before: Configuration | None, wanted: Wanted) -> dict[str, Any]:
    large = large_bodies_of(before) or LargeBodies(wanted.large_bodies_bucket)
    prefix = {"keyPrefix": large.prefix} if large.prefix else {}
    delivery = {
        "logGroupName": wanted.log_group,
        "roleArn": wanted.role_arn,
        "largeDataDeliveryS3Config": {"bucketName": large.bucket, **prefix},
    }
    return {**(before or TEXT_ONLY), "cloudWatchConfig": delivery}


def _make_group(logs: CloudWatchLogsClient, wanted: Wanted) -> None:
    try:
        logs.create_log_group(logGroupName=wanted.log_group)
    except logs.exceptions.ResourceAlreadyExistsException:
        return  # somebody's group, with a retention of their own choice
    logs.put_retention_policy(logGroupName=wanted.log_group, retentionInDays=wanted.retention_days)


def _put(bedrock: BedrockClient, configuration: Mapping[str, Any], sleep: Callable[[float], None]) -> None:
    """Put a configuration; Bedrock tries the role at once, and a new role's policy takes a while to be known."""
    attempts = PROPAGATION_SECONDS // _RETRY_SECONDS
    for attempt in range(attempts + 1):
        try:
            bedrock.put_model_invocation_logging_configuration(loggingConfig=configuration)  # type: ignore[arg-type]
        except ClientError as error:
            refused = error.response["Error"]
            not_yet = (
                refused.get("Code") == "ValidationException" and "permission" in refused.get("Message", "").lower()
            )
            if not not_yet or attempt == attempts:
                raise
            sleep(_RETRY_SECONDS)
        else:
            return


def take_out(bedrock: BedrockClient, role_arn: str) -> str:
    """Take out what this stack put into the configuration, and nothing else. The log group and its logs stay.

    Returns a sentence that says what was done. Raises what botocore raises.
    """
    present = read(bedrock)
    if present is None or not is_ours(present, role_arn):
        return "left invocation logging as it is: none of it is this stack's"
    rest = {key: value for key, value in present.items() if key != "cloudWatchConfig"}
    if "s3Config" in rest:
        bedrock.put_model_invocation_logging_configuration(loggingConfig=rest)  # type: ignore[arg-type]
        return "took CloudWatch out of the invocation logging again"
    bedrock.delete_model_invocation_logging_configuration()
    return "switched invocation logging off again"
