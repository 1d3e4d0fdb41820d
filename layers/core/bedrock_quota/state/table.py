"""The state table: the quota snapshot that the fetcher stores for the processor, and what containers share.

It is one DynamoDB table with the string key `id`. Temporary items have an `expiration` in seconds since the epoch. The
docstring of `bedrock_quota.state` says what happens if the table is down.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from bedrock_quota.errors import OutdatedError
from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import EndpointType, QuotaPool
from bedrock_quota.state.snapshot import Snapshot, StoredSnapshot

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SNAPSHOT_ID = "quotas"
LOG_GROUPS_ID = "former-log-groups"
SETUP_ID = "setup"
UNLISTED_POOLS_ID = "unlisted-pools"
UNLISTED_POOLS_DAYS = 15
"""Days without a call after which another unlisted pool may take a pool's place.

CloudWatch lists a metric for two weeks after its last value.
"""
UNLISTED_POOLS_SECONDS = (UNLISTED_POOLS_DAYS + 1) * 24 * 3600
"""Time after the last write until all unlisted pools are forgotten."""
UNLISTED_POOLS_ATTEMPTS = 4
"""The first attempt is made before the item is read."""

PROFILE_PREFIX = "profile#"
PROFILE_SECONDS = 24 * 3600
"""A profile's model never changes, but the profile may be deleted. Its item expires after a day."""


class SetupNote(msgspec.Struct, frozen=True):
    """Digests of the properties with which logging was set up last, and of those that they replaced."""

    current: str
    replaced: str


class LoggingOrigin(msgspec.Struct, frozen=True):
    """The invocation logging that a stack found when it last added its part.

    `created` is True if there was no configuration. `delivery` is the JSON text of the `cloudWatchConfig` that was
    there and delivered nowhere, such as `{}`. It is empty if there was none.
    """

    created: bool
    delivery: str = ""


class LoggingMemory(msgspec.Struct, frozen=True):
    """Notes of a stack's earlier set-ups. `origin` is None if it is not noted, as by an older version.

    `refused_bucket` is the stack's bucket for large bodies that Bedrock could not write to, so it was left out.
    """

    origin: LoggingOrigin | None = None
    refused_bucket: str = ""


_ENDPOINT_TYPES = frozenset(EndpointType)

_Pool = TypeVar("_Pool", QuotaPool, str)
"""A pool, or its name in the state table."""


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


def admit_pool(table: str, client: DynamoDBClient, pool: QuotaPool, most: int, today: int) -> dict[QuotaPool, int]:
    """Note that an unlisted pool is used today, and return the noted pools with the day on which each was last used.

    Days are counted since the epoch. A new pool is noted if there are fewer than `most`, or in the place of one that
    `select_unused` returns. Nothing is written if the pool was noted today. If other containers write at the same
    time, this makes up to `UNLISTED_POOLS_ATTEMPTS` attempts, and then returns what it read last. Propagates botocore
    errors.
    """
    key: dict[str, Any] = {"id": {"S": UNLISTED_POOLS_ID}}
    name = f"{pool.model_id}/{pool.endpoint_type}"
    days: dict[str, int] = {}
    update = _note_if_there_is_room(name, most, today)
    for _ in range(UNLISTED_POOLS_ATTEMPTS):
        update["ExpressionAttributeValues"][":expiration"] = {"N": str(int(time.time()) + UNLISTED_POOLS_SECONDS)}
        try:
            written = client.update_item(TableName=table, Key=key, ReturnValues="ALL_NEW", **update)
            days = _read_days(written["Attributes"])
            break
        except client.exceptions.ConditionalCheckFailedException:
            item = client.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item", {})
        days = _read_days(item)
        next_update = _note(item, days, name, most, today)
        if next_update is None:
            break
        update = next_update
    return {found: day for each, day in days.items() if (found := _parse_pool(each)) is not None}


def select_unused(days: Mapping[_Pool, int], today: int) -> _Pool | None:
    """Return the pool that was not used for the longest time, or None if all were used in `UNLISTED_POOLS_DAYS`."""
    oldest = min(days, key=lambda pool: days[pool], default=None)
    return oldest if oldest is not None and days[oldest] < today - UNLISTED_POOLS_DAYS else None


def _note_if_there_is_room(name: str, most: int, today: int) -> dict[str, Any]:
    """Return the update that notes a pool if the table has it with an earlier day, or has fewer than `most`."""
    return {
        "UpdateExpression": "SET last_used.#pool = :today, expiration = :expiration",
        "ConditionExpression": (
            "attribute_exists(last_used) AND (last_used.#pool < :today"
            " OR (attribute_not_exists(last_used.#pool) AND size(last_used) < :most))"
        ),
        "ExpressionAttributeNames": {"#pool": name},
        "ExpressionAttributeValues": {":today": {"N": str(today)}, ":most": {"N": str(most)}},
    }


def _note(item: Mapping[str, Any], days: Mapping[str, int], name: str, most: int, today: int) -> dict[str, Any] | None:
    """Return the update that notes a pool in this item, or None if the pool is noted or there is no room for it."""
    if "last_used" not in item:  # earlier versions stored pools without a day
        names = dict.fromkeys([*item.get("pools", {}).get("SS", []), name][:most])
        return {
            "UpdateExpression": "SET last_used = :pools, expiration = :expiration REMOVE pools",
            "ConditionExpression": "attribute_not_exists(last_used)",
            "ExpressionAttributeValues": {":pools": {"M": {each: {"N": str(today)} for each in names}}},
        }
    if name in days or len(days) < most:
        return _note_if_there_is_room(name, most, today) if days.get(name, -1) < today else None
    unused = select_unused(days, today)
    if unused is None:
        return None
    return {
        "UpdateExpression": "SET last_used.#pool = :today, expiration = :expiration REMOVE last_used.#unused",
        "ConditionExpression": "last_used.#unused = :day AND attribute_not_exists(last_used.#pool)",
        "ExpressionAttributeNames": {"#pool": name, "#unused": unused},
        "ExpressionAttributeValues": {":today": {"N": str(today)}, ":day": {"N": str(days[unused])}},
    }


def _read_days(item: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(day.get("N", 0)) for name, day in item.get("last_used", {}).get("M", {}).items()}


def _parse_pool(name: str) -> QuotaPool | None:
    """Return the pool of this name, or None if its endpoint type is not known, as after a downgrade."""
    model_id, _, endpoint_type = name.rpartition("/")
    return QuotaPool(model_id, EndpointType(endpoint_type)) if endpoint_type in _ENDPOINT_TYPES else None


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


def write_setup(table: str, client: DynamoDBClient, setup: SetupNote) -> None:
    """Store the note on the last set-up. Propagates botocore errors."""
    client.update_item(
        TableName=table,
        Key={"id": {"S": SETUP_ID}},
        UpdateExpression="SET #current = :current, replaced = :replaced",
        ExpressionAttributeNames={"#current": "current"},
        ExpressionAttributeValues={":current": {"S": setup.current}, ":replaced": {"S": setup.replaced}},
    )


def read_setup(table: str, client: DynamoDBClient) -> SetupNote | None:
    """Return the note on the last set-up, or None if there is none yet. Propagates botocore errors."""
    item = client.get_item(TableName=table, Key={"id": {"S": SETUP_ID}}, ConsistentRead=True).get("Item")
    return SetupNote(item["current"]["S"], item["replaced"]["S"]) if item and "current" in item else None


def write_origin(table: str, client: DynamoDBClient, origin: LoggingOrigin) -> None:
    """Store what was there before the stack's part of the invocation logging. Propagates botocore errors."""
    client.update_item(
        TableName=table,
        Key={"id": {"S": SETUP_ID}},
        UpdateExpression="SET created = :created, delivery = :delivery",
        ExpressionAttributeValues={":created": {"BOOL": origin.created}, ":delivery": {"S": origin.delivery}},
    )


def write_refused_bucket(table: str, client: DynamoDBClient, bucket: str) -> None:
    """Store the name of the stack's bucket if Bedrock refused it, or else an empty name. Propagates botocore errors."""
    client.update_item(
        TableName=table,
        Key={"id": {"S": SETUP_ID}},
        UpdateExpression="SET refused_bucket = :bucket",
        ExpressionAttributeValues={":bucket": {"S": bucket}},
    )


def read_memory(table: str, client: DynamoDBClient) -> LoggingMemory:
    """Return what the set-up has noted. It is empty if the table is gone, and for notes of another type.

    Propagates other botocore errors.
    """
    try:
        item: Any = client.get_item(TableName=table, Key={"id": {"S": SETUP_ID}}, ConsistentRead=True).get("Item", {})
    except client.exceptions.ResourceNotFoundException:
        return LoggingMemory()
    created = item.get("created", {}).get("BOOL")
    delivery, bucket = (item.get(name, {}).get("S", "") for name in ("delivery", "refused_bucket"))
    return LoggingMemory(None if created is None else LoggingOrigin(created, delivery), bucket)
