"""Log groups for invocation logs: find, create and delete them. `invocation_logging` chooses which one is read.

A log group that a monitor creates has the tag `MADE_BY` with the stack's name. The tag is set when the group is
created, so it is there even if the next step fails.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from bedrock_quota.access_denied import Sleep, retry_while_denied

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

MADE_BY = "bedrock-quota-monitor:made-by"
"""The tag's key. The LoggingSetupRole may delete only log groups with this tag."""

MAX_TAGS = 50
"""Tags that a log group, and a stack, can have (CloudWatch Logs API reference, CreateLogGroup and TagResource, and
CloudFormation API reference, CreateStack, read 2026-11-28). Tags that begin with `aws:` are not counted."""

FULL_LOG_GROUP = (
    "the log group has no room for another subscription filter. Agree with the owners of its filters on readers that "
    "can share one, for example through a stream (Ingestion=kinesis)"
)
"""Meaning of `LimitExceededException` for a subscription filter, and what helps.

Pages of AWS differ in how many a log group can have: 2 in older copies, 5 in the newest one (CloudWatch Logs quotas,
read 2026-11-28). So only AWS enforces it."""


class LogGroup(msgspec.Struct, frozen=True):
    """A log group. Its class is `STANDARD`, `INFREQUENT_ACCESS` or `DELIVERY`. Its key is the ARN of a KMS key."""

    name: str
    arn: str
    log_class: str = "STANDARD"
    key: str | None = None
    retention_days: int | None = None


def find(client: CloudWatchLogsClient, name: str) -> LogGroup | None:
    """Return the log group with this name, or None. Propagates botocore errors."""
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


def create(
    client: CloudWatchLogsClient, name: str, retention_days: int, made_by: str, sleep: Sleep, *, tags: Mapping[str, str]
) -> None:
    """Create a log group with a retention and the stack's `tags`, unless it exists.

    It has its tags from the start, because an organization may refuse a log group without them. If there are more than
    fit beside `MADE_BY`, the last ones are left out.

    The policy that allows it may be as new as the name: after an update it takes a while to propagate. If the first
    response was lost, botocore has retried and the group exists already. It is this stack's, so it gets the retention
    too. Propagates botocore errors.
    """
    all_tags = {**_take(tags, MAX_TAGS - 1), MADE_BY: made_by}
    try:
        retry_while_denied(lambda: client.create_log_group(logGroupName=name, tags=all_tags), sleep)
    except client.exceptions.ResourceAlreadyExistsException:
        if not is_created_by(client, name, made_by):
            return  # somebody else's group keeps its own retention
    client.put_retention_policy(logGroupName=name, retentionInDays=retention_days)


def find_creator(client: CloudWatchLogsClient, group: LogGroup) -> str | None:
    """Return the name of the stack that created a log group, or None if no monitor did. Propagates botocore errors."""
    return _read_tags(client, group).get(MADE_BY)


def update_tags(client: CloudWatchLogsClient, group: LogGroup, made_by: str, tags: Mapping[str, str]) -> None:
    """Give a log group that this stack created the stack's `tags`. Its other tags stay. Propagates botocore errors.

    New tags are left out if the log group has no room for them.
    """
    present = _read_tags(client, group) if tags else {}
    room = MAX_TAGS - sum(not key.lower().startswith("aws:") for key in present)
    fresh = _take({key: value for key, value in tags.items() if key not in present}, room)
    replaced = {key: value for key, value in tags.items() if present.get(key, value) != value and key != MADE_BY}
    changed = {**replaced, **fresh}
    if changed and present.get(MADE_BY) == made_by:
        client.tag_resource(resourceArn=group.arn, tags=changed)


def _take(tags: Mapping[str, str], most: int) -> dict[str, str]:
    others = (each for each in tags.items() if each[0] != MADE_BY)
    return dict(itertools.islice(others, max(most, 0)))


def _read_tags(client: CloudWatchLogsClient, group: LogGroup) -> dict[str, str]:
    return client.list_tags_for_resource(resourceArn=group.arn)["tags"]


def is_created_by(client: CloudWatchLogsClient, name: str, stack_name: str) -> bool:
    """Return True if this stack created a log group, and it still exists. Propagates botocore errors."""
    group = find(client, name)
    return group is not None and find_creator(client, group) == stack_name


def list_filters(client: CloudWatchLogsClient, name: str) -> tuple[str, ...]:
    """Return the names of a log group's subscription filters. Propagates botocore errors."""
    pages = client.get_paginator("describe_subscription_filters").paginate(logGroupName=name)
    return tuple(each["filterName"] for page in pages for each in page["subscriptionFilters"])


def delete(client: CloudWatchLogsClient, name: str) -> None:
    """Delete a log group with all its logs, if it still exists. Propagates botocore errors."""
    with contextlib.suppress(client.exceptions.ResourceNotFoundException):  # already deleted
        client.delete_log_group(logGroupName=name)


def remove_unused(client: CloudWatchLogsClient, name: str, stack_name: str, *, was_read: bool, in_use: bool) -> str:
    """Delete an unused log group that this stack or an earlier one created. Return the result as a sentence.

    `was_read` is True if this stack has read the group, and `in_use` if Bedrock delivers to it. Propagates botocore
    errors.
    """
    group = find(client, name)
    if group is None:
        return f"{name} is already deleted"
    maker = find_creator(client, group)
    if maker is None:
        return f"kept {name}, which no monitor created"
    if maker != stack_name and not was_read:
        return f"kept {name}, which the stack {maker} created and this one never read"
    if in_use:
        return f"kept {name}, because Bedrock delivers to it"
    others = list_filters(client, name)
    if others:
        return f"kept {name}, because it still has a subscription: {', '.join(others)}"
    delete(client, name)
    return f"deleted {name}"
