"""The state table: the quota snapshot that the fetcher stores for the processor, and resolved application profiles.

It is one DynamoDB table with the string key `id`. Temporary items have an `expiration` in seconds since the epoch. The
docstring of `bedrock_quota.state` says what happens if the table is down.
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
"""A profile's model never changes, but the profile may be deleted. Its item expires after a day."""


def write_snapshot(table: str, client: DynamoDBClient, snapshot: Snapshot, version: int) -> None:
    """Store the quota snapshot that replaces `version`, in one item, which may have up to 400 KB.

    Raises `OutdatedError` if another version is stored. Propagates botocore errors.
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
        raise OutdatedError(f"the stored snapshot is no longer version {version}") from error


def read_stored_snapshot(table: str, client: DynamoDBClient) -> StoredSnapshot:
    """Return the quota snapshot to be replaced, with its version. Propagates botocore errors.

    An item that cannot be decoded, for example from a newer version of this product, is None with the reason.
    """
    item = client.get_item(TableName=table, Key={"id": {"S": SNAPSHOT_ID}}, ConsistentRead=True).get("Item")
    if item is None:
        return StoredSnapshot()
    version = int(item["version"]["N"]) if "version" in item else 0
    try:
        return StoredSnapshot(_decode(item), version)
    except (KeyError, zlib.error, msgspec.DecodeError) as error:
        return StoredSnapshot(None, version, f"{type(error).__name__}: {error}")


def read_snapshot(table: str, client: DynamoDBClient) -> Snapshot | None:
    """Return the stored quota snapshot, or None before the first fetch.

    Propagates botocore errors. Raises `zlib.error` or `msgspec.DecodeError` if the item is not a snapshot.
    """
    item = client.get_item(TableName=table, Key={"id": {"S": SNAPSHOT_ID}}).get("Item")
    if item is None:
        return None
    return _decode(item)


def _decode(item: Mapping[str, Any]) -> Snapshot:
    return msgspec.json.decode(zlib.decompress(item["data"]["B"]), type=Snapshot)


def write_profile(table: str, client: DynamoDBClient, arn: str, found: Reference) -> None:
    """Store the model and endpoint type of an application profile for all containers. Propagates botocore errors."""
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
    """Return the model and endpoint type of an application profile, or None if they are not stored.

    Propagates botocore errors.
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
    """Store the name of a log group that the stack reads, has read or has created. Propagates botocore errors."""
    client.update_item(
        TableName=table,
        Key={"id": {"S": LOG_GROUPS_ID}},
        UpdateExpression="ADD log_groups :name",
        ExpressionAttributeValues={":name": {"SS": [name]}},
    )


def read_log_groups(table: str, client: DynamoDBClient) -> tuple[str, ...]:
    """Return the stored log groups, sorted by name. There are none if the table is gone.

    Propagates other botocore errors.
    """
    try:
        item = client.get_item(TableName=table, Key={"id": {"S": LOG_GROUPS_ID}}, ConsistentRead=True).get("Item", {})
    except client.exceptions.ResourceNotFoundException:
        return ()
    return tuple(sorted(item.get("log_groups", {}).get("SS", [])))
