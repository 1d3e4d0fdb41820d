"""What would keep a log group from being read, found out before it is subscribed, with what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from bedrock_quota.deployment import log_groups
from bedrock_quota.deployment.access_denied import is_denied
from bedrock_quota.errors import QuotaMonitorError
from bedrock_quota.deployment.log_groups import LogGroup, MAX_FILTERS

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_logs import CloudWatchLogsClient


class InvocationLoggingError(QuotaMonitorError):
    """The invocation logs cannot be used as they are; the message says what to do."""


def check_log_group(logs: CloudWatchLogsClient, kms: KMSClient, group: LogGroup, own_filter: str) -> list[str]:
    """Look whether a log group can be subscribed and read; return warnings, none if all is well.

    `own_filter` is the name of the stack's own subscription filter, which may be there already. Raises
    `InvocationLoggingError` for what would make the deployment fail later or leave it without records, and what
    botocore raises.
    """
    if group.log_class != "STANDARD":
        # A group's class cannot be changed, and only Standard ones take subscription filters
        # (CloudWatch Logs User Guide, Log classes, read 2026-11-24).
        raise InvocationLoggingError(
            f"{group.name} is a log group of the class {group.log_class}, which cannot be subscribed and cannot be "
            "changed: have Bedrock's invocation logs delivered to a group of the class Standard (Bedrock console, "
            "Settings, Model invocation logging) and deploy again."
        )
    others = [name for name in log_groups.list_filters(logs, group.name) if name != own_filter]
    if len(others) >= MAX_FILTERS:
        raise InvocationLoggingError(
            f"{group.name} has room for {MAX_FILTERS} subscription filters, and {' and '.join(others)} take it: remove "
            f"one (aws logs delete-subscription-filter --log-group-name {group.name} --filter-name ...), or send both "
            "receivers through one, and deploy again."
        )
    return _about_key(kms, group)


def _about_key(kms: KMSClient, group: LogGroup) -> list[str]:
    """With its key out of use, nothing is written to a group or read from it (CloudWatch Logs User Guide, Encrypt
    log data using KMS, read 2026-11-24)."""
    if group.key is None:
        return []
    try:
        state = kms.describe_key(KeyId=group.key)["KeyMetadata"]["KeyState"]
    except ClientError as error:
        if not is_denied(error):
            raise
        return [
            f"{group.name} is encrypted with {group.key}, whose state could not be read: if no records come, see that "
            "it is enabled and lets CloudWatch Logs use it"
        ]
    if state != "Enabled":
        raise InvocationLoggingError(
            f"{group.name} is encrypted with {group.key}, which is {state}: nothing can be written or read there. "
            "Enable the key (aws kms enable-key, or cancel-key-deletion first), or have Bedrock's invocation logs "
            "delivered to another group, and deploy again."
        )
    return []
