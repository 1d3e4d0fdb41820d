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
from bedrock_quota.processor import unlisted_pools
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

    def counted(name: str, client: Any, pool: QuotaPool, most: int, today: int) -> dict[QuotaPool, int]:
        requests.append(pool.model_id)
        return admit(name, client, pool, most, today)

    monkeypatch.setattr(clients, "state", lambda: state)
    monkeypatch.setattr(table, "admit_pool", counted)
    return requests


def pool(number: int) -> QuotaPool:
    return QuotaPool(f"forged.model-{number}", EndpointType.REGIONAL)


def test_the_first_pools_are_admitted_and_the_others_share_one(asked: list[str]) -> None:
    pools = UnlistedPools("state", clock=lambda: 0.0)

    admitted = [pools.admit(pool(number)) for number in range(MAX_UNLISTED_POOLS + 50)]

    assert admitted[:MAX_UNLISTED_POOLS] == [pool(number) for number in range(MAX_UNLISTED_POOLS)]
    assert set(admitted[MAX_UNLISTED_POOLS:]) == {QuotaPool("unlisted", EndpointType.REGIONAL)}
    assert len(asked) == MAX_UNLISTED_POOLS  # and nobody is asked once it is full


def test_another_container_knows_them_with_one_question(asked: list[str]) -> None:
    first = UnlistedPools("state", clock=lambda: 0.0)
    for number in range(MAX_UNLISTED_POOLS):
        first.admit(pool(number))
    asked.clear()

    other = UnlistedPools("state", clock=lambda: 0.0)

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
    seconds, admitted = 0.0, {}

    def answer_slowly(_table: str, _client: object, asked: QuotaPool, _most: int, today: int) -> dict[QuotaPool, int]:
        nonlocal seconds
        seconds += 0.5
        admitted[asked] = today
        return admitted.copy()

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
    container = Container(Settings(state_table="state"), registry, lambda: None, clock=lambda: 0.0)
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


DAY = 20_000
"""A day since the epoch: 2024-10-04."""


@pytest.fixture
def most(monkeypatch: pytest.MonkeyPatch) -> int:
    """A table for ten pools, because the simulated one is slow."""
    monkeypatch.setattr(unlisted_pools, "MAX_UNLISTED_POOLS", 10)
    return 10


class Calendar:
    """The time of day 20,000 at noon, and the time after it."""

    def __init__(self) -> None:
        self.day = DAY

    def __call__(self) -> float:
        return self.day * 86_400 + 43_200.0


def fill(state: Any, days: dict[str, int]) -> None:
    pools = {name: {"N": str(day)} for name, day in days.items()}
    state.put_item(TableName="state", Item={"id": {"S": "unlisted-pools"}, "last_used": {"M": pools}})


def stored(state: Any) -> dict[str, int]:
    item = state.get_item(TableName="state", Key={"id": {"S": "unlisted-pools"}})["Item"]
    assert "pools" not in item
    return {name: int(day["N"]) for name, day in item["last_used"]["M"].items()}


@pytest.mark.usefixtures("asked")
def test_new_model_takes_the_place_of_one_that_was_silent_for_more_than_15_days(state: Any, most: int) -> None:
    # given a full table, of whose pools every container uses all but the first two each day
    calendar = Calendar()
    for day in range(16):
        calendar.day = DAY + day
        container = UnlistedPools("state", now=calendar, clock=lambda: 0.0)
        for number in range(0 if day == 0 else 2, most):
            container.admit(pool(number))
    # when new models come, then none is admitted 15 days after the last call of the two
    assert {UnlistedPools("state", now=calendar, clock=lambda: 0.0).admit(pool(number)) for number in (500, 501)} == {
        QuotaPool("unlisted", EndpointType.REGIONAL)
    }
    # and two are on the next day, also by containers that knew the table as full
    calendar.day = DAY + 16
    assert [container.admit(pool(number)) == pool(number) for number in (500, 501, 502)] == [True, True, False]
    # and the two do not come back, nor does the table grow
    assert {UnlistedPools("state", now=calendar, clock=lambda: 0.0).admit(pool(number)) for number in (0, 1)} == {
        QuotaPool("unlisted", EndpointType.REGIONAL)
    }
    assert len(stored(state)) == most
    assert UnlistedPools("state", now=calendar, clock=lambda: 0.0).admit(pool(9)) == pool(9)


def test_use_of_a_pool_is_noted_once_per_day(state: Any, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    # given a pool that ten containers use a hundred times on each of two days
    writes: list[str] = []
    client = state.update_item

    def update_item(**given: Any) -> Any:
        answer = client(**given)
        writes.append(given["UpdateExpression"])
        return answer

    monkeypatch.setattr(state, "update_item", update_item)
    calendar = Calendar()
    containers = [UnlistedPools("state", now=calendar, clock=lambda: 0.0) for _ in range(10)]
    for calendar.day in (DAY, DAY + 1):
        for container in containers:
            assert {container.admit(pool(1)) for _ in range(100)} == {pool(1)}
    # then each container asks once per day, and the first one writes
    assert len(asked) == 20
    assert len(writes) == 2
    assert stored(state) == {"forged.model-1/regional": DAY + 1}


@pytest.mark.usefixtures("asked")
def test_pool_stays_admitted_if_its_use_cannot_be_noted(state: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calendar = Calendar()
    container = UnlistedPools("state", now=calendar, clock=lambda: 0.0)
    container.admit(pool(1))

    monkeypatch.setattr(state, "update_item", lambda **_given: 1 / 0)
    calendar.day += 1

    assert container.admit(pool(1)) == pool(1)
    assert container.admit(pool(2)) == QuotaPool("unlisted", EndpointType.REGIONAL)


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("count", [1, 9, 10, 12])
def test_set_of_an_earlier_version_is_taken_over(state: Any, most: int, count: int) -> None:
    # given the item of the version before, a set of names
    names = [f"forged.model-{number}/regional" for number in range(count)]
    state.put_item(TableName="state", Item={"id": {"S": "unlisted-pools"}, "pools": {"SS": names}})
    calendar = Calendar()
    container = UnlistedPools("state", now=calendar, clock=lambda: 0.0)
    # when a new model comes, then it is admitted if the set has room
    assert (container.admit(pool(5_000)) == pool(5_000)) is (count < most)
    assert sum(container.admit(pool(number)) == pool(number) for number in range(count)) == min(count, most)
    # and the table has a day for each
    assert len(stored(state)) == min(count + 1, most)
    assert set(stored(state).values()) == {DAY}


@pytest.mark.usefixtures("asked")
def test_item_that_this_version_does_not_know_is_no_fault(state: Any) -> None:
    fill(state, {"forged.model-1/on-the-moon": DAY, "no endpoint type": DAY, "forged.model-2/regional": DAY + 3})
    container = UnlistedPools("state", now=Calendar(), clock=lambda: 0.0)

    assert [container.admit(pool(number)) for number in (2, 3)] == [pool(2), pool(3)]
    assert stored(state)["forged.model-2/regional"] == DAY + 3  # noted by a container whose clock is ahead
    assert len(stored(state)) == 4


@pytest.mark.parametrize("taken", [99, 100])
def test_containers_that_write_at_the_same_time_never_admit_too_many(
    state: Any, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    # given room for one pool: the last place, or that of a pool that was silent for long
    fill(state, {f"forged.model-{number}/regional": DAY - 20 * (number == 99) for number in range(taken)})
    # when another container admits its own pool between the read and the write of ours
    update_item = state.update_item

    def come_second(**given: Any) -> Any:
        monkeypatch.setattr(state, "update_item", update_item)
        table.admit_pool("state", state, pool(700), MAX_UNLISTED_POOLS, DAY)
        return update_item(**given)

    monkeypatch.setattr(state, "update_item", come_second)
    found = table.admit_pool("state", state, pool(800), MAX_UNLISTED_POOLS, DAY)
    # then ours is not admitted
    assert pool(800) not in found
    assert len(found) == len(stored(state)) == MAX_UNLISTED_POOLS
    assert pool(700) in found


def test_two_first_containers_both_have_their_pools(state: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    update_item = state.update_item

    def come_second(**given: Any) -> Any:
        monkeypatch.setattr(state, "update_item", update_item)
        table.admit_pool("state", state, pool(1), MAX_UNLISTED_POOLS, DAY)
        return update_item(**given)

    monkeypatch.setattr(state, "update_item", come_second)

    assert table.admit_pool("state", state, pool(2), MAX_UNLISTED_POOLS, DAY) == {pool(1): DAY, pool(2): DAY}


def test_writes_that_never_come_first_end_after_four_attempts(state: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(state, {"forged.model-1/regional": DAY})
    attempts: list[object] = []

    def lose(**given: Any) -> Any:
        attempts.append(given)
        raise state.exceptions.ConditionalCheckFailedException({"Error": {}}, "UpdateItem")

    monkeypatch.setattr(state, "update_item", lose)

    assert table.admit_pool("state", state, pool(2), MAX_UNLISTED_POOLS, DAY) == {pool(1): DAY}
    assert len(attempts) == 4


@pytest.mark.usefixtures("asked")
def test_forged_models_of_fifty_fresh_containers_in_a_month_fill_the_table_twice(state: Any, most: int) -> None:
    # given 50 containers over 30 days, each with 300 models that never come again
    calendar, admitted = Calendar(), set()
    for container in range(50):
        calendar.day = DAY + container * 30 // 50
        pools = UnlistedPools("state", now=calendar, clock=lambda: 0.0)
        admitted |= {pools.admit(pool(1_000 * container + number)) for number in range(300)}
    # then the table was full on the first day, and once more after 16 days
    assert len(admitted - {QuotaPool("unlisted", EndpointType.REGIONAL)}) == 2 * most
    assert len(stored(state)) == most


def test_all_pools_are_forgotten_some_time_after_the_last_write(state: Any) -> None:
    before = int(datetime.now(UTC).timestamp())

    table.admit_pool("state", state, pool(1), 5, DAY)

    item = state.get_item(TableName="state", Key={"id": {"S": "unlisted-pools"}})["Item"]
    assert before + 16 * 86_400 <= int(item["expiration"]["N"]) <= before + 16 * 86_400 + 60


def test_item_of_the_longest_names_is_far_below_the_limit_of_dynamodb(state: Any) -> None:
    for number in range(MAX_UNLISTED_POOLS):
        longest = QuotaPool(f"p.{number:0>254}", EndpointType.LATENCY_OPTIMIZED)
        table.admit_pool("state", state, longest, MAX_UNLISTED_POOLS, DAY)

    assert sum(map(len, stored(state))) + 100 * 10 < 40_000  # of 400 KB
