"""The state table: the quota snapshot the fetcher leaves for the processor, and application profiles found out.

One DynamoDB table with the string key `id`; items that may go carry `expiration`, seconds since the epoch.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from bedrock_quota.errors import OutdatedError
from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import EndpointType, QuotaPool
from bedrock_quota.state.snapshot import Snapshot, StoredSnapshot

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SNAPSHOT_ID = "quotas"
LOG_GROUPS_ID = "former-log-groups"
UNLISTED_POOLS_ID = "unlisted-pools"
UNLISTED_POOLS_SECONDS = 15 * 24 * 3600
"""CloudWatch lists a metric for two weeks after its last value."""

PROFILE_PREFIX = "profile#"
PROFILE_SECONDS = 24 * 3600
"""A profile's model never changes, but its id may come to nothing: forget it after a day."""


def write_snapshot(table: str, client: DynamoDBClient, snapshot: Snapshot, version: int) -> None:
    """Store the quota snapshot that comes after `version`, whole or not at all: an item takes 400 KB.

    Raises `OutdatedError` if another version is stored by now, and what botocore raises.
    """
    data = zlib.compress(msgspec.json.encode(snapshot))
    try:
        client.put_item(
            TableName=table,
            Item={"id": {"S": SNAPSHOT_ID}, "data": {"B": data}, "version": {"N": str(version + 1)}},
            ConditionExpression="version = :seen" if version else "attribute_not_exists(version)",
            **({"ExpressionAttributeValues": {":seen": {"N": str(version)}}} if version else {}),  # type: ignore[arg-type]
        )
    except client.exceptions.ConditionalCheckFailedException as error:
        raise OutdatedError(f"the snapshot is not version {version} any more") from error


def read_stored_snapshot(table: str, client: DynamoDBClient) -> StoredSnapshot:
    """Return the quota snapshot to be replaced, with its version. Raises what botocore raises.

    What is no snapshot, say that of a newer version of this product, is none, with the reason.
    """
    item = client.get_item(TableName=table, Key={"id": {"S": SNAPSHOT_ID}}, ConsistentRead=True).get("Item")
    if item is None:
        return StoredSnapshot()
    version = int(item["version"]["N"]) if "version" in item else 0
    try:
        return StoredSnapshot(_decoded(item), version)
    except (KeyError, zlib.error, msgspec.DecodeError) as error:
        return StoredSnapshot(None, version, f"{type(error).__name__}: {error}")


def read_snapshot(table: str, client: DynamoDBClient) -> Snapshot | None:
    """Return the stored quota snapshot, or None before the first fetch.

    Raises what botocore raises, and `zlib.error` or `msgspec.DecodeError` for an item that is no snapshot.
    """
    item = client.get_item(TableName=table, Key={"id": {"S": SNAPSHOT_ID}}).get("Item")
    if item is None:
        return None
    return _decoded(item)


def _decoded(item: Mapping[str, Any]) -> Snapshot:
    return msgspec.json.decode(zlib.decompress(item["data"]["B"]), type=Snapshot)


def write_profile(table: str, client: DynamoDBClient, arn: str, found: Reference) -> None:
    """Store what an application profile stands for, for all containers. Raises what botocore raises."""
    client.put_item(
        TableName=table,
        Item={
            "id": {"S": PROFILE_PREFIX + arn},
            "model_id": {"S": found.model_id},
            "endpoint_type": {"S": found.endpoint_type},
            "expiration": {"N": str(int(time.time()) + PROFILE_SECONDS)},
        },
    )


def read_profile(table: str, client: DynamoDBClient, arn: str) -> Reference | None:
    """Return what an application profile stands for, or None if nobody found out yet.

    Raises what botocore raises.
    """
    item = client.get_item(TableName=table, Key={"id": {"S": PROFILE_PREFIX + arn}}).get("Item")
    if item is None:
        return None
    return Reference(item["model_id"]["S"], EndpointType(item["endpoint_type"]["S"]))


def admit_pool(table: str, client: DynamoDBClient, pool: QuotaPool, most: int) -> frozenset[QuotaPool]:
    """Add a pool to the set of unlisted pools if it has fewer than `most`, and return the set.

    The set is forgotten `UNLISTED_POOLS_SECONDS` after the last pool was added. Propagates botocore errors.
    """
    key: dict[str, Any] = {"id": {"S": UNLISTED_POOLS_ID}}
    name = f"{pool.model_id}/{pool.endpoint_type}"
    try:
        item = client.update_item(
            TableName=table,
            Key=key,
            UpdateExpression="ADD pools :pools SET expiration = :expiration",
            ConditionExpression="attribute_not_exists(pools) OR contains(pools, :pool) OR size(pools) < :most",
            ExpressionAttributeValues={
                ":pools": {"SS": [name]},
                ":pool": {"S": name},
                ":most": {"N": str(most)},
                ":expiration": {"N": str(int(time.time()) + UNLISTED_POOLS_SECONDS)},
            },
            ReturnValues="ALL_NEW",
        )["Attributes"]
    except client.exceptions.ConditionalCheckFailedException:
        item = client.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item", {})
    return frozenset(_parse_pool(each) for each in item.get("pools", {}).get("SS", []))


def _parse_pool(name: str) -> QuotaPool:
    model_id, _, endpoint_type = name.rpartition("/")
    return QuotaPool(model_id, EndpointType(endpoint_type))


def remember_log_group(table: str, client: DynamoDBClient, name: str) -> None:
    """Note a log group of invocation logs that the stack reads, has read or has made. Raises what botocore raises."""
    client.update_item(
        TableName=table,
        Key={"id": {"S": LOG_GROUPS_ID}},
        UpdateExpression="ADD log_groups :name",
        ExpressionAttributeValues={":name": {"SS": [name]}},
    )


def read_log_groups(table: str, client: DynamoDBClient) -> tuple[str, ...]:
    """Return the log groups noted, in the order of their names: none if the table is gone.

    Raises what else botocore raises.
    """
    try:
        item = client.get_item(TableName=table, Key={"id": {"S": LOG_GROUPS_ID}}, ConsistentRead=True).get("Item", {})
    except client.exceptions.ResourceNotFoundException:
        return ()
    return tuple(sorted(item.get("log_groups", {}).get("SS", [])))
