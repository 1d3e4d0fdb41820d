"""The state table, with every request and answer checked against DynamoDB's service model."""

import zlib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import boto3
import msgspec
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from moto import mock_aws
from records import NOVA, PROFILE_ARN, SONNET

from bedrock_quota.errors import OutdatedError
from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool
from bedrock_quota.registry.models import Burndown, Model, ModelKind, QuotaCodes, RateStatus
from bedrock_quota.state import table as state_table
from bedrock_quota.state.snapshot import Snapshot, StoredSnapshot
from bedrock_quota.state.table import (
    LoggingMemory,
    LoggingOrigin,
    SetupNote,
    read_log_groups,
    read_memory,
    read_profile,
    read_setup,
    read_snapshot,
    read_stored_snapshot,
    remember_log_group,
    time,
    write_origin,
    write_profile,
    write_refused_bucket,
    write_setup,
    write_snapshot,
)

pytestmark = pytest.mark.usefixtures("no_aws")

SNAPSHOT = Snapshot(
    datetime(2026, 11, 23, 12, 0, tzinfo=UTC),
    quotas=(
        (QuotaPool(NOVA, EndpointType.REGIONAL), PoolQuota(tokens_per_minute=0)),
        (QuotaPool(SONNET, EndpointType.CROSS_REGION), PoolQuota(200_000, 200, 7e9)),
    ),
    models=(
        Model(
            "acme.rocket-v1:0",
            "Rocket",
            ModelKind.TEXT,
            "a page",
            max_output_tokens=4_096,
            burndown=(Burndown(7.5, date(2026, 11, 1), RateStatus.LISTED, "another page"),),
            quota_names=("Acme Rocket", "ACME Rocket"),
            quota_codes={EndpointType.REGIONAL: QuotaCodes(requests_per_minute="L-0000000A")},
        ),
    ),
    profiles=((PROFILE_ARN, Reference(SONNET, EndpointType.GLOBAL_CROSS_REGION)),),
    active_notices={"zero": ("quota is 0: …",), "drift": ()},
)


@pytest.fixture
def table() -> Iterator[tuple[Any, Stubber]]:
    client = boto3.client("dynamodb")
    with Stubber(client) as stubber:
        yield client, stubber


class Kept:
    """Catches what was put, so that it can be given back."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []

    class exceptions:  # noqa: N801 - botocore's name
        class ConditionalCheckFailedException(Exception): ...  # noqa: N818

    def put_item(self, *, TableName: str, Item: dict[str, Any], **_condition: Any) -> None:  # noqa: N803
        assert TableName == "state"
        self.items.append(Item)


def test_snapshot_comes_back_as_it_was(table: tuple[Any, Stubber]) -> None:
    client, stubber = table
    kept = Kept()
    write_snapshot("state", kept, SNAPSHOT, 0)  # type: ignore[arg-type]
    new = {"ConditionExpression": "attribute_not_exists(version)"}
    stubber.add_response("put_item", {}, {"TableName": "state", "Item": kept.items[0], **new})
    stubber.add_response("get_item", {"Item": kept.items[0]}, {"TableName": "state", "Key": {"id": {"S": "quotas"}}})

    write_snapshot("state", client, SNAPSHOT, 0)

    assert read_snapshot("state", client) == SNAPSHOT


@pytest.fixture
def real_table() -> Iterator[Any]:
    """A table that checks conditions as DynamoDB does."""
    with mock_aws():
        client = boto3.client("dynamodb")
        client.create_table(
            TableName="state",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield client


def test_each_snapshot_comes_after_the_one_that_was_read(real_table: Any) -> None:
    later = msgspec.structs.replace(SNAPSHOT, unsent_notices=("quota is 0",))
    # given nothing stored, one and then another
    assert read_stored_snapshot("state", real_table) == StoredSnapshot()
    write_snapshot("state", real_table, SNAPSHOT, 0)
    assert read_stored_snapshot("state", real_table) == StoredSnapshot(SNAPSHOT, 1)
    write_snapshot("state", real_table, later, 1)
    # then who read either before is refused, and changes nothing
    for seen in (0, 1, 3):
        with pytest.raises(OutdatedError, match=f"no longer version {seen}"):
            write_snapshot("state", real_table, SNAPSHOT, seen)
    assert read_stored_snapshot("state", real_table) == StoredSnapshot(later, 2)


def test_snapshot_of_a_version_that_did_not_count_is_replaced(real_table: Any) -> None:
    data = zlib.compress(msgspec.json.encode(SNAPSHOT))
    real_table.put_item(TableName="state", Item={"id": {"S": "quotas"}, "data": {"B": data}})

    assert read_stored_snapshot("state", real_table) == StoredSnapshot(SNAPSHOT, 0)
    write_snapshot("state", real_table, SNAPSHOT, 0)

    assert read_stored_snapshot("state", real_table) == StoredSnapshot(SNAPSHOT, 1)


@pytest.mark.parametrize(
    "item",
    [
        pytest.param({"data": {"B": b"gibberish"}}, id="not compressed"),
        pytest.param(
            {"data": {"B": zlib.compress(b'{"fetched_at": "2026-11-23T12:00:00Z", "quotas": [["of tomorrow", 5]]}')}},
            id="of a newer version",
        ),
        pytest.param({"other": {"S": "data"}}, id="no data"),
    ],
)
def test_what_is_no_snapshot_can_be_replaced(real_table: Any, item: dict[str, Any]) -> None:
    real_table.put_item(TableName="state", Item={"id": {"S": "quotas"}, "version": {"N": "7"}, **item})

    found = read_stored_snapshot("state", real_table)
    assert (found.snapshot, found.version) == (None, 7)
    assert found.unreadable
    write_snapshot("state", real_table, SNAPSHOT, 7)

    assert read_stored_snapshot("state", real_table) == StoredSnapshot(SNAPSHOT, 8)


def test_no_snapshot_yet_is_none(table: tuple[Any, Stubber]) -> None:
    client, stubber = table
    stubber.add_response("get_item", {})

    assert read_snapshot("state", client) is None


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b'{"fetched_at": "2026-11-23T12:00:00Z"}', zlib.error),
        (zlib.compress(b'{"fetched_at": 5}'), msgspec.DecodeError),
        (zlib.compress(b'{"fetched_at": "2026-11-23T12:00:00Z"}')[:-5], zlib.error),
    ],
    ids=["not compressed", "no snapshot", "cut off"],
)
def test_damaged_snapshot_is_raised(table: tuple[Any, Stubber], data: bytes, error: type[Exception]) -> None:
    client, stubber = table
    stubber.add_response("get_item", {"Item": {"id": {"S": "quotas"}, "data": {"B": data}}})

    with pytest.raises(error):
        read_snapshot("state", client)


def test_snapshot_of_two_thousand_pools_fits_an_item() -> None:
    # given 2,000 pools, no two quotas alike, 500 profiles and a sentence on each of 500 models
    count = 2_000
    types = tuple(EndpointType)
    models = [f"provider{number % 40}.model-{number * 7919 % 100_003}-of-usual-length-v1:0" for number in range(count)]
    quotas = tuple(
        (
            QuotaPool(model_id, types[number % len(types)]),
            PoolQuota(1_000 * number + 7, number * 31 % 9_973, 1_440_000 * number + 11),
        )
        for number, model_id in enumerate(models)
    )
    profiles = tuple(
        (f"{PROFILE_ARN[:-12]}{number * 104_729:012x}", Reference(models[number], EndpointType.CROSS_REGION))
        for number in range(500)
    )
    standing = {"zero": tuple(f"quota is 0: {pool} may not be called by this account" for pool, _ in quotas[:500])}
    whole = Snapshot(SNAPSHOT.fetched_at, quotas, SNAPSHOT.models, profiles, standing)
    kept = Kept()

    write_snapshot("state", kept, whole, 0)  # type: ignore[arg-type]

    data = kept.items[0]["data"]["B"]
    assert len(data) < 400 * 1024 < len(msgspec.json.encode(whole))  # DynamoDB's limit on an item
    assert msgspec.json.decode(zlib.decompress(data), type=Snapshot) == whole


def test_profile_comes_back_as_it_was_and_expires_in_a_day(
    table: tuple[Any, Stubber], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, stubber = table
    found = Reference(SONNET, EndpointType.GLOBAL_CROSS_REGION)
    monkeypatch.setattr(time, "time", lambda: 1_000.9)
    item = {
        "id": {"S": f"profile#{PROFILE_ARN}"},
        "model_id": {"S": SONNET},
        "endpoint_type": {"S": "global-cross-region"},
        "expiration": {"N": "87400"},  # 1,000 + 86,400
    }
    stubber.add_response("put_item", {}, {"TableName": "state", "Item": item})
    stubber.add_response(
        "get_item", {"Item": item}, {"TableName": "state", "Key": {"id": {"S": f"profile#{PROFILE_ARN}"}}}
    )

    write_profile("state", client, PROFILE_ARN, found)

    assert read_profile("state", client, PROFILE_ARN) == found


def test_profile_nobody_found_out_is_none(table: tuple[Any, Stubber]) -> None:
    client, stubber = table
    stubber.add_response("get_item", {})

    assert read_profile("state", client, PROFILE_ARN) is None


@pytest.mark.parametrize(
    "operation", ["write_snapshot", "read_snapshot", "read_stored_snapshot", "write_profile", "read_profile"]
)
def test_error_of_dynamodb_is_raised(table: tuple[Any, Stubber], operation: str) -> None:
    client, stubber = table
    stubber.add_client_error("put_item" if "write" in operation else "get_item", "AccessDeniedException")
    more = {
        "write_snapshot": [SNAPSHOT, 1],
        "read_snapshot": [],
        "read_stored_snapshot": [],
        "write_profile": [PROFILE_ARN, Reference(NOVA, EndpointType.REGIONAL)],
        "read_profile": [PROFILE_ARN],
    }

    with pytest.raises(ClientError, match="AccessDenied"):
        getattr(state_table, operation)("state", client, *more[operation])


def test_log_groups_noted_come_back_in_order_and_once(real_table: Any) -> None:
    for name in ("/second", "/first", "/second"):
        remember_log_group("state", real_table, name)

    assert read_log_groups("state", real_table) == ("/first", "/second")


def test_note_on_the_last_setup_comes_back(real_table: Any) -> None:
    assert read_setup("state", real_table) is None

    for note in (SetupNote("a", "a"), SetupNote("b", "a")):
        write_setup("state", real_table, note)
        assert read_setup("state", real_table) == note


def test_notes_of_set_ups_come_back_and_do_not_disturb_each_other(real_table: Any) -> None:
    assert read_memory("state", real_table) == LoggingMemory()
    assert read_memory("gone", real_table) == LoggingMemory()

    write_origin("state", real_table, LoggingOrigin(created=True))
    write_refused_bucket("state", real_table, "bucket")
    assert read_setup("state", real_table) is None
    write_setup("state", real_table, SetupNote("a", "a"))
    assert read_memory("state", real_table) == LoggingMemory(LoggingOrigin(created=True), "bucket")

    write_origin("state", real_table, LoggingOrigin(created=False, delivery='{"a":"\u00e9"}'))
    write_refused_bucket("state", real_table, "")
    assert read_memory("state", real_table) == LoggingMemory(LoggingOrigin(created=False, delivery='{"a":"\u00e9"}'))
    assert read_setup("state", real_table) == SetupNote("a", "a")


def test_notes_of_other_types_count_as_none(real_table: Any) -> None:
    real_table.put_item(
        TableName="state",
        Item={"id": {"S": "setup"}, "created": {"S": "x"}, "delivery": {"N": "1"}, "refused_bucket": {"NULL": True}},
    )

    assert read_memory("state", real_table) == LoggingMemory()


def test_no_log_groups_are_noted_at_first_nor_where_the_table_is_gone(real_table: Any) -> None:
    assert read_log_groups("state", real_table) == ()
    assert read_log_groups("gone", real_table) == ()
