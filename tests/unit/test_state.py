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
from records import NOVA, PROFILE_ARN, SONNET

from bedrock_quota import state
from bedrock_quota.buckets import Bucket, EndpointType
from bedrock_quota.model_ids import Reference
from bedrock_quota.quotas import BucketQuota
from bedrock_quota.registry import Burndown, Kind, Model, QuotaCodes, RateStatus
from bedrock_quota.snapshots import Snapshot

pytestmark = pytest.mark.usefixtures("no_aws")

SNAPSHOT = Snapshot(
    datetime(2026, 11, 23, 12, 0, tzinfo=UTC),
    quotas=(
        (Bucket(NOVA, EndpointType.REGIONAL), BucketQuota(tokens_per_minute=0)),
        (Bucket(SONNET, EndpointType.CROSS_REGION), BucketQuota(200_000, 200, 7e9)),
    ),
    models=(
        Model(
            "acme.rocket-v1:0",
            "Rocket",
            Kind.TEXT,
            "a page",
            max_output_tokens=4_096,
            burndown=(Burndown(7.5, date(2026, 11, 1), RateStatus.LISTED, "another page"),),
            quota_names=("Acme Rocket", "ACME Rocket"),
            quota_codes={EndpointType.REGIONAL: QuotaCodes(requests_per_minute="L-0000000A")},
        ),
    ),
    profiles=((PROFILE_ARN, Reference(SONNET, EndpointType.GLOBAL_CROSS_REGION)),),
    standing={"zero": ("quota is 0: …",), "drift": ()},
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

    def put_item(self, *, TableName: str, Item: dict[str, Any]) -> None:  # noqa: N803 - botocore's names
        assert TableName == "state"
        self.items.append(Item)


def test_snapshot_comes_back_as_it_was(table: tuple[Any, Stubber]) -> None:
    client, stubber = table
    kept = Kept()
    state.write_snapshot("state", kept, SNAPSHOT)  # type: ignore[arg-type]
    stubber.add_response("put_item", {}, {"TableName": "state", "Item": kept.items[0]})
    stubber.add_response("get_item", {"Item": kept.items[0]}, {"TableName": "state", "Key": {"id": {"S": "quotas"}}})

    state.write_snapshot("state", client, SNAPSHOT)

    assert state.read_snapshot("state", client) == SNAPSHOT


def test_no_snapshot_yet_is_none(table: tuple[Any, Stubber]) -> None:
    client, stubber = table
    stubber.add_response("get_item", {})

    assert state.read_snapshot("state", client) is None


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
        state.read_snapshot("state", client)


def test_snapshot_of_two_thousand_buckets_fits_an_item() -> None:
    # given 2,000 buckets, no two quotas alike, 500 profiles and a sentence on each of 500 models
    count = 2_000
    types = tuple(EndpointType)
    models = [f"provider{number % 40}.model-{number * 7919 % 100_003}-of-usual-length-v1:0" for number in range(count)]
    quotas = tuple(
        (
            Bucket(model_id, types[number % len(types)]),
            BucketQuota(1_000 * number + 7, number * 31 % 9_973, 1_440_000 * number + 11),
        )
        for number, model_id in enumerate(models)
    )
    profiles = tuple(
        (f"{PROFILE_ARN[:-12]}{number * 104_729:012x}", Reference(models[number], EndpointType.CROSS_REGION))
        for number in range(500)
    )
    standing = {"zero": tuple(f"quota is 0: {bucket} may not be called by this account" for bucket, _ in quotas[:500])}
    whole = Snapshot(SNAPSHOT.fetched_at, quotas, SNAPSHOT.models, profiles, standing)
    kept = Kept()

    state.write_snapshot("state", kept, whole)  # type: ignore[arg-type]

    data = kept.items[0]["data"]["B"]
    assert len(data) < 400 * 1024 < len(msgspec.json.encode(whole))  # DynamoDB's limit on an item
    assert msgspec.json.decode(zlib.decompress(data), type=Snapshot) == whole


def test_profile_comes_back_as_it_was_and_expires_in_a_day(
    table: tuple[Any, Stubber], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, stubber = table
    found = Reference(SONNET, EndpointType.GLOBAL_CROSS_REGION)
    monkeypatch.setattr(state.time, "time", lambda: 1_000.9)
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

    state.write_profile("state", client, PROFILE_ARN, found)

    assert state.read_profile("state", client, PROFILE_ARN) == found


def test_profile_nobody_found_out_is_none(table: tuple[Any, Stubber]) -> None:
    client, stubber = table
    stubber.add_response("get_item", {})

    assert state.read_profile("state", client, PROFILE_ARN) is None


@pytest.mark.parametrize("operation", ["write_snapshot", "read_snapshot", "write_profile", "read_profile"])
def test_error_of_dynamodb_is_raised(table: tuple[Any, Stubber], operation: str) -> None:
    client, stubber = table
    stubber.add_client_error("put_item" if "write" in operation else "get_item", "AccessDeniedException")
    more = {
        "write_snapshot": [SNAPSHOT],
        "read_snapshot": [],
        "write_profile": [PROFILE_ARN, Reference(NOVA, EndpointType.REGIONAL)],
        "read_profile": [PROFILE_ARN],
    }

    with pytest.raises(ClientError, match="AccessDenied"):
        getattr(state, operation)("state", client, *more[operation])
