"""Checks before a log group is subscribed: each problem that would prevent reading it, with the next step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from bedrock_quota.access_denied import is_denied
from bedrock_quota.deployment.log_groups import LogGroup
from bedrock_quota.errors import QuotaMonitorError

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient


_NOT_SUBSCRIBED = frozenset({"INFREQUENT_ACCESS", "DELIVERY"})
"""Classes without subscription filters (CloudWatch Logs User Guide, Log classes, read 2026-11-24).

A group's class cannot be changed. AWS decides about classes that are not known here.
"""

_UNUSABLE = frozenset(
    {"Creating", "Disabled", "PendingDeletion", "PendingImport", "PendingReplicaDeletion", "Unavailable", "deleted"}
)
"""States of a KMS key that cannot be used. One in the state `Updating` can (KMS Developer Guide, Change the primary key
in a set of multi-Region keys, read 2026-11-28). `deleted` is the word of this product for a key that is gone."""


class InvocationLoggingError(QuotaMonitorError):
    """The invocation logs cannot be used as they are. The message has the next step."""


def can_be_subscribed(group: LogGroup) -> bool:
    """Return False if the class of a log group has no subscription filters."""
    return group.log_class not in _NOT_SUBSCRIBED


def is_usable(key_state: str) -> bool:
    """Return False if nothing can be encrypted or decrypted with a KMS key in this state."""
    return key_state not in _UNUSABLE


def check_log_group(kms: KMSClient, group: LogGroup) -> list[str]:
    """Check that a log group can be subscribed and read, and return the warnings.

    Raises `InvocationLoggingError` if the stack would get no records. The number of subscription filters is not
    checked, because AWS enforces it. Propagates botocore errors.
    """
    if not can_be_subscribed(group):
        raise InvocationLoggingError(
            f"{group.name} is a log group of the class {group.log_class}, which cannot be subscribed and cannot be "
            "changed. Deliver Bedrock's invocation logs to a log group of the class Standard (Bedrock console, "
            "Settings, Model invocation logging) and deploy again."
        )
    return _check_key(kms, group)


def _check_key(kms: KMSClient, group: LogGroup) -> list[str]:
    """Check a log group's key and return warnings. Without a usable key, nothing is written or read (CloudWatch Logs
    User Guide, Encrypt log data using KMS, read 2026-11-24)."""
    if group.key is None:
        return []
    try:
        state = kms.describe_key(KeyId=group.key)["KeyMetadata"]["KeyState"]
    except ClientError as error:
        if not is_denied(error):
            raise
        return [
            f"{group.name} is encrypted with {group.key}, whose state could not be read: if no records arrive, check "
            "that it is enabled and allows CloudWatch Logs to use it"
        ]
    if not is_usable(state):
        raise InvocationLoggingError(
            f"{group.name} is encrypted with {group.key}, which is {state}, so nothing can be written or read. "
            "Enable the key (aws kms enable-key, or cancel-key-deletion first), or deliver Bedrock's invocation logs "
            "to another log group, and deploy again."
        )
    return []
