"""Removal of a stack's part of the invocation logging. All else stays as it is at that time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from bedrock_quota.deployment import log_groups, logging_configuration
from bedrock_quota.deployment.logging_configuration import (
    Configuration,
    configured_large_bodies,
    configured_log_group,
    read_configuration,
)
from bedrock_quota.deployment.logging_target import LoggingTarget, is_ours, may_be_created
from bedrock_quota.deployment.preflight import InvocationLoggingError
from bedrock_quota.state.table import LoggingOrigin

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient
    from mypy_boto3_logs import CloudWatchLogsClient


def remove_logging(
    bedrock: BedrockClient,
    logs: CloudWatchLogsClient,
    target: LoggingTarget,
    stack_name: str,
    groups_read: Iterable[str] = (),
    *,
    origin: LoggingOrigin | None = None,
) -> str:
    """Remove this stack's settings from the configuration, then its log groups, and nothing else.

    `origin` is what was there before. If it is None, a configuration counts as the stack's own if it has nothing that
    the stack does not set.

    A log group that this stack created is deleted with its logs. So is one that another monitor created and this stack
    has read (`groups_read`). A log group that Bedrock or a subscription still uses is kept, and the last of the stacks
    that read it deletes it. Returns a sentence with the changes. Raises `InvocationLoggingError` if somebody has
    changed the configuration and it still needs this stack's bucket. Propagates botocore errors.
    """
    done, present = _remove_delivery(bedrock, target, origin)
    large = configured_large_bodies(present)
    if large is not None and large.bucket == target.large_bodies_bucket:
        raise InvocationLoggingError(
            f"Somebody has changed Bedrock's invocation logging, and it still delivers large bodies to {large.bucket}, "
            "which is deleted with this stack. Select another bucket or none (Bedrock console, Settings, Model "
            "invocation logging), and delete the stack again."
        )
    delivered = configured_log_group(present)
    sentences = [
        log_groups.remove_unused(logs, name, stack_name, was_read=name in groups_read, in_use=name == delivered)
        for name in dict.fromkeys([target.log_group, *groups_read])
    ]
    return "; ".join([done, *sentences])


def _remove_delivery(
    bedrock: BedrockClient, target: LoggingTarget, origin: LoggingOrigin | None
) -> tuple[str, Configuration | None]:
    """Take the stack's part out of the configuration, as it is now. Return the change and what is left.

    AWS does not document if Bedrock accepts a configuration without a destination, so a refusal does not stop the
    uninstall: the former `cloudWatchConfig` is left out then, and a configuration that delivers nowhere is deleted.
    """
    for delivery in dict.fromkeys([origin.delivery if origin else "", ""]):
        present = read_configuration(bedrock)
        if present is None or not is_ours(present, target):
            return "did not change invocation logging: none of it is this stack's", present
        rest = logging_configuration.restore_delivery(present, delivery)
        if not rest or (may_be_created(origin) and logging_configuration.is_text_only(rest)):
            break
        try:
            logging_configuration.put_configuration(bedrock, rest)
        except ClientError as error:
            invalid = error.response["Error"].get("Code") == "ValidationException"
            if not invalid or (not delivery and logging_configuration.delivers_elsewhere(rest)):
                raise
        else:
            return "removed CloudWatch from the invocation logging", rest
    bedrock.delete_model_invocation_logging_configuration()
    return "disabled invocation logging", None
