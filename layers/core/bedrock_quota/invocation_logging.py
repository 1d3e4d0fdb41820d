"""The account's invocation-logging configuration: adopted where there is one, extended or made where there is none.

One configuration per account and Region; `PutModelInvocationLoggingConfiguration` replaces all of it, so what is
there is read first and kept (API reference, read 2026-11-23).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from bedrock_quota.errors import QuotaMonitorError

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_logs import CloudWatchLogsClient

_logger = logging.getLogger(__name__)

CHANGE_ID = "invocation-logging"
"""The state table's item that remembers what was changed, so that just that can be undone."""

Configuration = Mapping[str, Any]


class InvocationLoggingError(QuotaMonitorError):
    """The invocation logs cannot be used as they are; the message says what to do."""


class Wanted(msgspec.Struct, frozen=True):
    """What the stack brings for an account that has no invocation logs in CloudWatch."""

    log_group: str
    role_arn: str
    retention_days: int
    own_log_groups: tuple[str, ...]


class Change(msgspec.Struct, frozen=True):
    """A change made to the configuration: what was there before (None: nothing) and what was put."""

    before: dict[str, Any] | None
    after: dict[str, Any]


def log_group_of(configuration: Configuration | None) -> str | None:
    """Return the log group a configuration delivers to, or None."""
    return (configuration or {}).get("cloudWatchConfig", {}).get("logGroupName") or None


def read(client: BedrockClient) -> dict[str, Any] | None:
    """Return the account's configuration in this Region, or None. Raises what botocore raises."""
    found: Any = client.get_model_invocation_logging_configuration()
    return found.get("loggingConfig") or None


def set_up(bedrock: BedrockClient, logs: CloudWatchLogsClient, wanted: Wanted) -> tuple[str, str, Change | None]:
    """See to it that invocation logs reach a CloudWatch log group.

    Returns the group, a sentence that says what was done, and the change, if any. Raises
    `InvocationLoggingError` where the group is one of this stack's own (it would feed itself).
    """
    before = read(bedrock)
    group = log_group_of(before)
    if (group or wanted.log_group) in wanted.own_log_groups:
        raise InvocationLoggingError(
            f"{group or wanted.log_group} is a log group of this stack: its metric lines would be read as records for "
            "ever. Have Bedrock's invocation logs delivered to a group of their own and deploy again."
        )
    if before is not None and group is not None:
        text = before.get("textDataDeliveryEnabled", True)
        warning = "" if text else "; text delivery is off, so max_tokens stays unknown"
        return group, f"adopted the existing invocation logging{warning}", None
    _make_group(logs, wanted)
    after = {
        **(
            before
            or {
                "textDataDeliveryEnabled": True,
                "imageDataDeliveryEnabled": False,
                "embeddingDataDeliveryEnabled": False,
                "videoDataDeliveryEnabled": False,
            }
        ),
        "cloudWatchConfig": {"logGroupName": wanted.log_group, "roleArn": wanted.role_arn},
    }
    bedrock.put_model_invocation_logging_configuration(loggingConfig=after)  # type: ignore[arg-type]
    done = "added CloudWatch to the existing invocation logging" if before else "switched invocation logging on"
    return wanted.log_group, done, Change(before, after)


def _make_group(logs: CloudWatchLogsClient, wanted: Wanted) -> None:
    try:
        logs.create_log_group(logGroupName=wanted.log_group)
    except logs.exceptions.ResourceAlreadyExistsException:
        return  # somebody's group, with a retention of their own choice
    logs.put_retention_policy(logGroupName=wanted.log_group, retentionInDays=wanted.retention_days)


def undo(bedrock: BedrockClient, change: Change) -> str:
    """Take a change back, if nobody has changed the configuration since. The log group and its logs stay.

    Returns a sentence that says what was done. Raises what botocore raises.
    """
    if not _is(change.after, read(bedrock) or {}):
        return "left invocation logging as it is: somebody has changed it since"
    if change.before is None:
        bedrock.delete_model_invocation_logging_configuration()
        return "switched invocation logging off again"
    bedrock.put_model_invocation_logging_configuration(loggingConfig=change.before)  # type: ignore[arg-type]
    return "restored the invocation logging that was there before"


def _is(put: Configuration, found: Configuration) -> bool:
    """Whether what is there is what was put; a flag that Bedrock has added by itself is no change of anybody's."""
    added = {key: value for key, value in found.items() if key not in put and not isinstance(value, bool)}
    return not added and all(found.get(key) == value for key, value in put.items())


def remember(table: str, client: DynamoDBClient, change: Change) -> None:
    """Store a change for the day it is undone. Raises what botocore raises."""
    client.put_item(TableName=table, Item={"id": {"S": CHANGE_ID}, "data": {"B": msgspec.json.encode(change)}})


def recall(table: str, client: DynamoDBClient) -> Change | None:
    """Return the stored change, or None. Raises what botocore raises."""
    item = client.get_item(TableName=table, Key={"id": {"S": CHANGE_ID}}).get("Item")
    return None if item is None else msgspec.json.decode(bytes(item["data"]["B"]), type=Change)
