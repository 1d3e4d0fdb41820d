"""Deliveries that come twice: processed once where the state table can tell, and all the same where it cannot."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import boto3
import msgspec
import pytest
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws
from records import log_event

from bedrock_quota.processor import seen_events
from bedrock_quota.processor.delivery import Delivery
from bedrock_quota.processor.delivery_digest import digest_delivery
from bedrock_quota.processor.duplicates import IdempotencyStore, InProgressDelivery

pytestmark = pytest.mark.usefixtures("no_aws")

CONTEXT: Any = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000, function_name="processor")
RESULT = {"received": 1, "processed": 1}


def delivery(*ids: str) -> str:
    """The key of a delivery of events with these ids."""
    return digest_delivery(Delivery("DATA_MESSAGE", tuple(log_event("m", each) for each in ids)))


def processed(deliveries: IdempotencyStore, key: str) -> InProgressDelivery:
    """Begin a delivery and, unless it had been processed before, finish it."""
    ticket = deliveries.start(key, CONTEXT)
    if ticket.result is None:
        ticket.complete(RESULT)
    return ticket


@pytest.fixture
def deliveries() -> Any:
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        client.create_table(
            TableName="state",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        yield IdempotencyStore("state", lambda: client, lambda: client)


def test_the_second_time_there_is_a_result(deliveries: IdempotencyStore) -> None:
    first, second = (processed(deliveries, delivery("a", "b")) for _ in range(2))
    assert (first.checked, first.result) == (True, None)
    assert (second.checked, second.result) == (True, RESULT)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(("a",), id="fewer"),
        pytest.param(("b", "a"), id="another order"),
        pytest.param(("a", "b", "c"), id="more"),
        pytest.param(("ab",), id="the ids joined"),
    ],
)
def test_other_events_are_another_delivery(deliveries: IdempotencyStore, other: tuple[str, ...]) -> None:
    processed(deliveries, delivery("a", "b"))
    assert processed(deliveries, delivery(*other)).result is None


def test_what_failed_is_done_again(deliveries: IdempotencyStore) -> None:
    deliveries.start(delivery("a"), CONTEXT).release(RuntimeError("broken"))
    assert processed(deliveries, delivery("a")).result is None
    assert processed(deliveries, delivery("a")).result == RESULT


def test_what_another_invocation_is_processing_is_that_ones_until_its_time_is_over(
    deliveries: IdempotencyStore,
) -> None:
    # given a delivery that was begun by an invocation with a minute, and one whose time is over
    deliveries.start(delivery("a"), CONTEXT)
    deliveries.start(delivery("b"), SimpleNamespace(get_remaining_time_in_millis=lambda: -1))  # type: ignore[arg-type]
    # then
    found = deliveries.start(delivery("a"), CONTEXT)
    assert (found.is_elsewhere, found.result) == (True, None)
    assert processed(deliveries, delivery("b")).result is None


def answered_late(deliveries: IdempotencyStore, *, put_twice: bool, retried: int) -> IdempotencyStore:
    """The same table through a client that had to write so many times again, having written at first or not."""
    client: Any = deliveries._connect()

    def put_item(**given: Any) -> Any:
        try:
            if put_twice:
                client.put_item(**given)
            return client.put_item(**given)
        except client.exceptions.ConditionalCheckFailedException as error:
            error.response["ResponseMetadata"]["RetryAttempts"] = retried
            raise

    table: Any = SimpleNamespace(
        put_item=put_item, update_item=client.update_item, meta=client.meta, exceptions=client.exceptions
    )
    return IdempotencyStore("state", lambda: table, lambda: table)


def test_a_write_whose_answer_was_lost_is_known_for_our_own(deliveries: IdempotencyStore) -> None:
    ours = answered_late(deliveries, put_twice=True, retried=1)

    assert processed(ours, delivery("a")).result is None
    assert processed(deliveries, delivery("a")).result == RESULT


def test_another_containers_delivery_is_not_taken_for_our_own(deliveries: IdempotencyStore) -> None:
    # given a delivery that another container is working on, and one that it has processed
    another = SimpleNamespace(get_remaining_time_in_millis=lambda: 30_000)
    deliveries.start(delivery("a"), another)  # type: ignore[arg-type]
    processed(deliveries, delivery("b"))
    # when we have to ask twice
    ours = answered_late(deliveries, put_twice=False, retried=1)
    # then
    assert ours.start(delivery("a"), CONTEXT).is_elsewhere
    assert ours.start(delivery("b"), CONTEXT).result == RESULT


def test_a_delivery_in_progress_is_anothers_where_nothing_was_written_again(deliveries: IdempotencyStore) -> None:
    assert answered_late(deliveries, put_twice=True, retried=0).start(delivery("a"), CONTEXT).is_elsewhere


class Table:
    """A state table of which the named operations do not answer."""

    def __init__(self, *silent: str) -> None:
        self.silent = silent
        self.meta = boto3.client("dynamodb", region_name="us-east-1").meta

    def __getattr__(self, operation: str) -> Any:
        def call(**_given: object) -> dict[str, Any]:
            if operation in self.silent:
                raise EndpointConnectionError(endpoint_url="https://dynamodb.example")
            return {}

        return call


def without(operation: str) -> IdempotencyStore:
    table: Any = Table(operation)
    return IdempotencyStore("state", lambda: table, lambda: table)


def test_without_the_state_table_metrics_flow_unchecked() -> None:
    ticket = processed(without("put_item"), delivery("a"))
    assert (ticket.checked, ticket.result) == (False, None)


def test_without_a_client_for_the_state_table_metrics_flow_unchecked() -> None:
    def connect() -> Any:
        raise RuntimeError("no Region")

    ticket = processed(IdempotencyStore("state", connect, connect), delivery("a"))
    ticket.release(RuntimeError("broken"))  # and nobody is asked any more
    assert (ticket.checked, ticket.result) == (False, None)


def test_a_state_table_that_goes_in_the_middle_fails_nothing(caplog: pytest.LogCaptureFixture) -> None:
    ticket = processed(without("update_item"), delivery("a"))
    without("delete_item").start(delivery("a"), CONTEXT).release(RuntimeError("broken"))
    assert (ticket.checked, ticket.result) == (True, None)
    assert ["could not" in each for each in caplog.messages] == [True, True]


def test_events_without_ids_are_told_apart_by_their_text(deliveries: IdempotencyStore) -> None:
    def make_delivery(*texts: str) -> str:
        return digest_delivery(Delivery("DATA_MESSAGE", tuple(log_event(text) for text in texts)))

    assert [processed(deliveries, make_delivery(text)).result for text in ("one", "two", "one")] == [None, None, RESULT]


def test_a_delivery_is_remembered_for_as_long_as_a_failed_one_is_kept_and_a_day_more(
    deliveries: IdempotencyStore,
) -> None:
    processed(deliveries, delivery("a"))

    client: Any = deliveries._connect()
    (item,) = client.scan(TableName="state")["Items"]
    assert int(item["expiration"]["N"]) == pytest.approx(time.time() + 15 * 86_400, abs=60)
    assert seen_events.REMEMBERED_EVENTS == 20_000


def test_the_client_is_made_once_and_bears_no_more_with_each_delivery(deliveries: IdempotencyStore) -> None:
    client = deliveries._connect()
    made: list[object] = []
    many = IdempotencyStore("state", lambda: made.append(client) or client, lambda: client)

    for number in range(3):
        assert processed(many, delivery(str(number))).checked

    assert len(made) == 1


def test_events_of_another_account_or_log_group_are_another_delivery(deliveries: IdempotencyStore) -> None:
    first = Delivery("DATA_MESSAGE", (log_event("m", "a"),))
    assert processed(deliveries, digest_delivery(first)).result is None

    for other in ({"owner": "999988887777"}, {"log_group": "/other"}):
        assert processed(deliveries, digest_delivery(msgspec.structs.replace(first, **other))).result is None
    assert processed(deliveries, digest_delivery(first)).result == RESULT


def test_a_quick_record_is_one_attempt_with_the_quick_client(deliveries: IdempotencyStore) -> None:
    # given a store whose quick client is another one
    client: Any = deliveries._connect()
    used: list[str] = []

    def update_item(**given: Any) -> Any:
        used.append("quick")
        return client.update_item(**given)

    quick: Any = SimpleNamespace(
        put_item=client.put_item, update_item=update_item, meta=client.meta, exceptions=client.exceptions
    )
    store = IdempotencyStore("state", lambda: client, lambda: quick)
    # when one delivery is recorded as usual, and one quickly
    assert store.start(delivery("a"), CONTEXT).complete(RESULT)
    assert used == []
    assert store.start(delivery("b"), CONTEXT).complete(RESULT, quickly=True)
    # then
    assert used == ["quick"]
    assert [store.start(delivery(name), CONTEXT).result for name in ("a", "b")] == [RESULT] * 2


class Waiting:
    """A context whose time passes while it sleeps, and what happens in which second."""

    def __init__(self, **events: Callable[[], object]) -> None:
        self.left, self.events, self.slept = 60_000, events, 0

    def get_remaining_time_in_millis(self) -> int:
        return self.left

    def sleep(self, seconds: float) -> None:
        self.left -= int(seconds * 1000)
        self.slept += 1
        self.events.get(f"at_{self.slept}", lambda: None)()


def test_a_direct_delivery_waits_for_the_invocation_that_processes_it(deliveries: IdempotencyStore) -> None:
    # given another invocation that completes a delivery after three seconds
    other = deliveries.start(delivery("a"), CONTEXT)
    ours = Waiting(at_3=lambda: other.complete(RESULT))
    store = IdempotencyStore("state", deliveries._connect, deliveries._connect, ours.sleep)

    found = store.start(delivery("a"), ours, wait=True)  # type: ignore[arg-type]

    assert (found.result, found.is_elsewhere, ours.slept) == (RESULT, False, 3)


def test_a_direct_delivery_is_processed_if_the_other_invocation_fails(deliveries: IdempotencyStore) -> None:
    other = deliveries.start(delivery("a"), CONTEXT)
    ours = Waiting(at_2=lambda: other.release(RuntimeError("broken")))
    store = IdempotencyStore("state", deliveries._connect, deliveries._connect, ours.sleep)

    found = store.start(delivery("a"), ours, wait=True)  # type: ignore[arg-type]

    assert (found.result, found.is_elsewhere, found.checked) == (None, False, True)


class Interrupted:
    """A state table that is out of reach for some requests, counted from 1."""

    def __init__(self, client: Any, *unanswered: int) -> None:
        self._client, self._unanswered, self._requests = client, unanswered, 0
        self.meta, self.exceptions, self.update_item = client.meta, client.exceptions, client.update_item

    def put_item(self, **given: Any) -> Any:
        self._requests += 1
        if self._requests in self._unanswered:
            raise EndpointConnectionError(endpoint_url="https://dynamodb.example")
        return self._client.put_item(**given)


def test_error_after_a_delivery_was_seen_in_progress_does_not_process_it_twice(deliveries: IdempotencyStore) -> None:
    # given another invocation that completes a delivery after four seconds, and a table that fails twice meanwhile
    other = deliveries.start(delivery("a"), CONTEXT)
    ours = Waiting(at_4=lambda: other.complete(RESULT))
    table: Any = Interrupted(deliveries._connect(), 2, 4)
    store = IdempotencyStore("state", lambda: table, lambda: table, ours.sleep)

    found = store.start(delivery("a"), ours, wait=True)  # type: ignore[arg-type]

    assert (found.result, found.is_elsewhere, found.checked, ours.slept) == (RESULT, False, True, 4)


def test_delivery_seen_in_progress_is_elsewhere_if_the_table_is_gone_from_then_on(
    deliveries: IdempotencyStore,
) -> None:
    deliveries.start(delivery("a"), CONTEXT)
    ours = Waiting()
    table: Any = Interrupted(deliveries._connect(), *range(2, 100))
    store = IdempotencyStore("state", lambda: table, lambda: table, ours.sleep)

    found = store.start(delivery("a"), ours, wait=True)  # type: ignore[arg-type]

    assert (found.result, found.is_elsewhere, found.checked) == (None, True, True)
    assert 14_000 <= ours.left < 15_000


def test_error_before_a_delivery_was_seen_in_progress_leaves_it_unchecked(deliveries: IdempotencyStore) -> None:
    deliveries.start(delivery("a"), CONTEXT)
    ours = Waiting()
    table: Any = Interrupted(deliveries._connect(), 1)
    store = IdempotencyStore("state", lambda: table, lambda: table, ours.sleep)

    found = store.start(delivery("a"), ours, wait=True)  # type: ignore[arg-type]

    assert (found.checked, found.is_elsewhere, ours.slept) == (False, False, 0)


def test_a_direct_delivery_does_not_wait_to_the_end_of_its_time(deliveries: IdempotencyStore) -> None:
    deliveries.start(delivery("a"), CONTEXT)
    ours = Waiting()
    store = IdempotencyStore("state", deliveries._connect, deliveries._connect, ours.sleep)

    assert store.start(delivery("a"), ours, wait=True).is_elsewhere  # type: ignore[arg-type]
    assert 14_000 <= ours.left < 15_000
