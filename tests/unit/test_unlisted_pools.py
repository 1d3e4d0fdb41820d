"""Pools of models that are not in the registry: how many have metrics of their own, over all containers."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import msgspec
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from processed import process_delivery
from records import NOW, converse, failed, log_event, message

from bedrock_quota import clients
from bedrock_quota.pools import EndpointType, QuotaPool
from bedrock_quota.processor.container import Container
from bedrock_quota.processor.delivery import Delivery
from bedrock_quota.processor.unlisted_pools import MAX_UNLISTED_POOLS, UnlistedPools
from bedrock_quota.registry.models import Registry
from bedrock_quota.settings import Settings
from bedrock_quota.state import table

pytestmark = pytest.mark.usefixtures("no_aws")


@pytest.fixture
def state() -> Iterator[Any]:
    """A state table that checks conditions as DynamoDB does."""
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        client.create_table(
            TableName="state",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield client


@pytest.fixture
def asked(state: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests to the state table about pools."""
    requests: list[str] = []
    admit = table.admit_pool

    def counted(name: str, client: Any, pool: QuotaPool, most: int) -> frozenset[QuotaPool]:
        requests.append(pool.model_id)
        return admit(name, client, pool, most)

    monkeypatch.setattr(clients, "state", lambda: state)
    monkeypatch.setattr(table, "admit_pool", counted)
    return requests


def pool(number: int) -> QuotaPool:
    return QuotaPool(f"forged.model-{number}", EndpointType.REGIONAL)


def test_the_first_pools_are_admitted_and_the_others_share_one(asked: list[str]) -> None:
    pools = UnlistedPools("state")

    admitted = [pools.admit(pool(number)) for number in range(MAX_UNLISTED_POOLS + 50)]

    assert admitted[:MAX_UNLISTED_POOLS] == [pool(number) for number in range(MAX_UNLISTED_POOLS)]
    assert set(admitted[MAX_UNLISTED_POOLS:]) == {QuotaPool("unlisted", EndpointType.REGIONAL)}
    assert len(asked) == MAX_UNLISTED_POOLS  # and nobody is asked once it is full


def test_another_container_knows_them_with_one_question(asked: list[str]) -> None:
    first = UnlistedPools("state")
    for number in range(MAX_UNLISTED_POOLS):
        first.admit(pool(number))
    asked.clear()

    other = UnlistedPools("state")

    assert other.admit(pool(5_000)) == QuotaPool("unlisted", EndpointType.REGIONAL)
    assert [other.admit(pool(number)) for number in (0, 99)] == [pool(0), pool(99)]
    assert asked == ["forged.model-5000"]


def test_without_the_state_table_none_is_admitted_and_it_is_not_asked_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries = []

    def silent() -> Any:
        tries.append(1)
        raise ConnectionError("no route")

    monkeypatch.setattr(clients, "state", silent)
    pools = UnlistedPools("state", clock=lambda: 0.0)

    assert {pools.admit(pool(number)) for number in range(100)} == {QuotaPool("unlisted", EndpointType.REGIONAL)}
    assert len(tries) == 2


def test_a_state_table_that_refuses_is_asked_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    tries, seconds = [], 0.0

    def refuse(*_given: object) -> Any:
        tries.append(1)
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "UpdateItem")

    monkeypatch.setattr(clients, "state", lambda: None)
    monkeypatch.setattr(table, "admit_pool", refuse)
    pools = UnlistedPools("state", clock=lambda: seconds)

    for seconds in (0.0, 59.9, 60.0):
        assert {pools.admit(pool(number)) for number in range(100)} == {QuotaPool("unlisted", EndpointType.REGIONAL)}
        assert len(tries) == (2 if seconds == 60 else 1)


def test_slow_answers_take_three_seconds_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a state table that answers each time after half a second
    seconds, admitted = 0.0, set()

    def answer_slowly(_table: str, _client: object, asked: QuotaPool, _most: int) -> frozenset[QuotaPool]:
        nonlocal seconds
        seconds += 0.5
        admitted.add(asked)
        return frozenset(admitted)

    monkeypatch.setattr(clients, "state", lambda: None)
    monkeypatch.setattr(table, "admit_pool", answer_slowly)
    pools = UnlistedPools("state", clock=lambda: seconds)
    # when a delivery has ninety new pools, then six are admitted
    assert [pools.admit(pool(number)) == pool(number) for number in range(90)] == [True] * 6 + [False] * 84
    assert seconds == 3.0
    # and six more a minute later
    seconds = 63.0
    assert sum(pools.admit(pool(number)) == pool(number) for number in range(90)) == 12
    assert seconds == 66.0


def test_where_there_is_no_table_the_bound_is_that_of_one_container() -> None:
    pools = UnlistedPools(None)

    admitted = {pools.admit(pool(number)) for number in range(500)}

    assert len(admitted) == MAX_UNLISTED_POOLS + 1


def deliver(registry: Registry, first: int, make: Any = converse) -> set[tuple[str, str]]:
    """Process 2,000 calls of as many forged models in a fresh container; return the pools that get metrics."""
    container = Container(Settings(state_table="state"), registry, lambda: None)
    endpoints = ("", "us.", "global.")
    events = tuple(
        log_event(message(make(f"{endpoints[number % 3]}forged.model-{number}")), str(number))
        for number in range(first, first + 2_000)
    )
    processed = process_delivery(
        Delivery("DATA_MESSAGE", events), container.current().calculator, quotas=None, namespace="N", now=NOW
    )
    lines = [msgspec.json.decode(line) for line in processed.lines]
    if make is converse:
        assert sum(line["requests"] for line in lines if "requests" in line) == processed.processed == 2_000
        assert lines[-1]["UnlistedModels"] == 2_000
        assert len(processed.unlisted) == 20
    return {(line["ModelId"], line["EndpointType"]) for line in lines if "ModelId" in line and "_aws" in line}


def test_fresh_containers_make_at_most_200_new_pools(registry: Registry, asked: list[str]) -> None:
    pools: set[tuple[str, str]] = set()
    for delivery in range(20):
        pools |= deliver(registry, 2_000 * delivery)

    assert len(pools) == MAX_UNLISTED_POOLS + 3 <= 200
    assert len(asked) == MAX_UNLISTED_POOLS + 19


def test_failed_calls_ask_for_no_pool_and_have_no_metrics(registry: Registry, asked: list[str]) -> None:
    assert deliver(registry, 0, failed) == set()
    assert asked == []


def test_the_set_is_forgotten_some_time_after_the_last_pool(state: Any) -> None:
    before = int(datetime.now(UTC).timestamp())

    table.admit_pool("state", state, pool(1), 5)

    item = state.get_item(TableName="state", Key={"id": {"S": "unlisted-pools"}})["Item"]
    assert int(item["expiration"]["N"]) >= before + 15 * 86_400
