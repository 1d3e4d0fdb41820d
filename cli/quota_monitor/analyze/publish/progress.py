"""The progress of publishing older records: one item in the stack's state table, which never expires.

The item has the boundary, which is fixed with the first run, and the hours whose records are all sent. Two weeks are
336 hours, so that the item stays below 8 KB.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PUBLISHED_ID = "published"

_KEY: Mapping[str, Any] = {"id": {"S": PUBLISHED_ID}}


class PublishProgress(msgspec.Struct, frozen=True):
    """The progress of a stack. `boundary` is in milliseconds since the epoch, `hours` are starts in seconds.

    `source` is where the records come from: one log group, or one folder in S3.
    """

    boundary: int
    source: str
    hours: frozenset[int] = frozenset()


def read_progress(client: DynamoDBClient, table: str) -> PublishProgress | None:
    """Return the progress, or None if nothing was published yet. Propagates botocore errors."""
    item = client.get_item(TableName=table, Key=_KEY, ConsistentRead=True).get("Item")
    if item is None:
        return None
    hours = frozenset(map(int, item.get("hours", {}).get("NS", [])))
    return PublishProgress(int(item["boundary"]["N"]), item["source"]["S"], hours)


def start_progress(client: DynamoDBClient, table: str, progress: PublishProgress) -> PublishProgress:
    """Store a progress unless there is one, and return the stored one. Propagates botocore errors."""
    try:
        client.put_item(
            TableName=table,
            Item={**_KEY, "boundary": {"N": str(progress.boundary)}, "source": {"S": progress.source}},
            ConditionExpression="attribute_not_exists(id)",
        )
    except client.exceptions.ConditionalCheckFailedException:
        return read_progress(client, table) or progress
    return progress


def mark_hour(client: DynamoDBClient, table: str, hour: int) -> None:
    """Store that all records of an hour are sent. Propagates botocore errors."""
    client.update_item(
        TableName=table,
        Key=_KEY,
        UpdateExpression="ADD #hours :hour",
        ConditionExpression="attribute_exists(id)",
        ExpressionAttributeNames={"#hours": "hours"},
        ExpressionAttributeValues={":hour": {"NS": [str(hour)]}},
    )


def describe_time(seconds: int) -> str:
    """Return a time as messages have it, from seconds since the epoch."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
