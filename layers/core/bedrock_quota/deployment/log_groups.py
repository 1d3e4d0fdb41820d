"""Log groups for invocation logs: found, made, and removed again if it was a monitor that made them.

What a monitor makes bears the tag `MADE_BY` with the stack's name. It is given with the group itself, so a group that
was made is known as such whatever fails next.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from bedrock_quota.deployment.iam_retry import Sleep, retry_while_denied

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

MADE_BY = "bedrock-quota-monitor:made-by"
"""The tag's key. The set-up's role may delete what bears it, and nothing else."""

MAX_FILTERS = 2
"""Subscription filters a log group may have (CloudWatch Logs quotas, read 2026-11-23)."""


class LogGroup(msgspec.Struct, frozen=True):
    """A log group: its class is `STANDARD`, `INFREQUENT_ACCESS` or `DELIVERY`, its key the ARN of a KMS key."""

    name: str
    arn: str
    log_class: str = "STANDARD"
    key: str | None = None
    retention_days: int | None = None


def find(client: CloudWatchLogsClient, name: str) -> LogGroup | None:
    """Return a log group by its whole name, or None. Raises what botocore raises."""
    for page in client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name):
        for group in page["logGroups"]:
            if group["logGroupName"] == name:
                return LogGroup(
                    name,
                    group["arn"].removesuffix(":*"),
                    group.get("logGroupClass", "STANDARD"),
                    group.get("kmsKeyId"),
                    group.get("retentionInDays"),
                )
    return None


def create(client: CloudWatchLogsClient, name: str, retention_days: int, made_by: str, sleep: Sleep) -> None:
    """Make a log group, unless somebody has by now.

    The policy that allows it may be as new as the name: after an update it takes a while to be known. An answer that
    was lost has been asked for again by botocore, and was a group of this stack's own, then: it expires, too.
    Raises what botocore raises.
    """
    try:
        retry_while_denied(lambda: client.create_log_group(logGroupName=name, tags={MADE_BY: find_creator}), sleep)
    except client.exceptions.ResourceAlreadyExistsException:
        if not is_created_by(client, name, find_creator):
            return  # somebody's group, with a retention of their own choice
    client.put_retention_policy(logGroupName=name, retentionInDays=retention_days)


def find_creator(client: CloudWatchLogsClient, group: LogGroup) -> str | None:
    """Return the name of the stack that made a log group, or None if no monitor did. Raises what botocore raises."""
    return client.list_tags_for_resource(resourceArn=group.arn)["tags"].get(MADE_BY)


def is_created_by(client: CloudWatchLogsClient, name: str, stack_name: str) -> bool:
    """Whether it was this stack that made a log group, and it is still there. Raises what botocore raises."""
    group = find(client, name)
    return group is not None and find_creator(client, group) == stack_name


def list_filters(client: CloudWatchLogsClient, name: str) -> tuple[str, ...]:
    """Return the names of a log group's subscription filters. Raises what botocore raises."""
    found = client.describe_subscription_filters(logGroupName=name)["subscriptionFilters"]
    return tuple(each["filterName"] for each in found)


def delete(client: CloudWatchLogsClient, name: str) -> None:
    """Delete a log group with all its logs, if it is still there. Raises what botocore raises."""
    with contextlib.suppress(client.exceptions.ResourceNotFoundException):  # gone is what was wanted
        client.delete_log_group(logGroupName=name)
