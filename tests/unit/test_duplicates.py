"""Deliveries that come twice: processed once where the state table can tell, and all the same where it cannot."""

from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws
from records import log_event

from bedrock_quota import duplicates, seen_events
from bedrock_quota.delivery import Delivery
from bedrock_quota.duplicates import Once, ProcessedDeliveries

CONTEXT: Any = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000, function_name="processor")
RESULT = {"received": 1, "processed": 1}


def delivery(*ids: str) -> Delivery:
    return Delivery("DATA_MESSAGE", tuple(log_event("m", each) for each in ids))


class Work:
    """Work that counts its runs, and fails if told to."""

    def __init__(self) -> None:
        self.checked: list[bool] = []
        self.error: Exception | None = None

    def __call__(self, checked: bool) -> dict[str, int]:
        self.checked.append(checked)
        if self.error:
            raise self.error
        return RESULT


@pytest.fixture
def deliveries(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        client.create_table(
            TableName="state",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        yield ProcessedDeliveries("state", lambda: client)


def test_the_second_time_nothing_is_done(deliveries: ProcessedDeliveries) -> None:
    work = Work()
    assert deliveries.once(delivery("a", "b"), CONTEXT, work) == Once(RESULT, duplicate=False)
    assert deliveries.once(delivery("a", "b"), CONTEXT, work) == Once(RESULT, duplicate=True)
    assert work.checked == [True]


@pytest.mark.parametrize("other", [("a",), ("b", "a"), ("a", "b", "c"), ("ab",)])
def test_other_events_are_another_delivery(deliveries: ProcessedDeliveries, other: tuple[str, ...]) -> None:
    work = Work()
    deliveries.once(delivery("a", "b"), CONTEXT, work)
    assert not deliveries.once(delivery(*other), CONTEXT, work).duplicate
    assert len(work.checked) == 2


def test_what_failed_is_done_again(deliveries: ProcessedDeliveries) -> None:
    work = Work()
    work.error = RuntimeError("broken")
    with pytest.raises(RuntimeError, match="broken"):
        deliveries.once(delivery("a"), CONTEXT, work)
    work.error = None
    assert deliveries.once(delivery("a"), CONTEXT, work) == Once(RESULT, duplicate=False)


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


def without(operation: str) -> ProcessedDeliveries:
    table: Any = Table(operation)
    return ProcessedDeliveries("state", lambda: table)


def test_without_the_state_table_metrics_flow_unchecked() -> None:
    work = Work()
    assert without("put_item").once(delivery("a"), CONTEXT, work) == Once(RESULT, duplicate=False)
    assert work.checked == [False]


def test_without_a_client_for_the_state_table_metrics_flow_unchecked() -> None:
    def connect() -> Any:
        raise RuntimeError("no Region")

    work = Work()
    assert ProcessedDeliveries("state", connect).once(delivery("a"), CONTEXT, work) == Once(RESULT, duplicate=False)
    assert work.checked == [False]


def test_a_state_table_that_goes_in_the_middle_makes_nothing_run_twice() -> None:
    work = Work()
    once = without("update_item").once(delivery("a"), CONTEXT, work)
    assert once == Once(RESULT, duplicate=False)
    assert work.checked == [True]


def test_a_failure_is_raised_even_if_the_state_table_cannot_forget_it() -> None:
    work = Work()
    work.error = RuntimeError("broken")
    with pytest.raises(RuntimeError, match="broken"):
        without("delete_item").once(delivery("a"), CONTEXT, work)
    assert work.checked == [True]


def test_events_without_ids_are_told_apart_by_their_text(deliveries: ProcessedDeliveries) -> None:
    def of(*texts: str) -> Delivery:
        return Delivery("DATA_MESSAGE", tuple(log_event(text) for text in texts))

    work = Work()
    assert not deliveries.once(of("one"), CONTEXT, work).duplicate
    assert not deliveries.once(of("two"), CONTEXT, work).duplicate
    assert deliveries.once(of("one"), CONTEXT, work).duplicate


def test_a_delivery_is_remembered_for_as_long_as_a_failed_one_is_kept_and_a_day_more() -> None:
    assert duplicates.REMEMBERED_SECONDS == 15 * 86_400
    assert seen_events.REMEMBERED_EVENTS == 20_000


def test_the_client_is_made_once_and_bears_no_more_with_each_delivery(deliveries: ProcessedDeliveries) -> None:
    client = deliveries._connect()
    made: list[object] = []
    many = ProcessedDeliveries("state", lambda: made.append(client) or client)

    for number in range(3):
        assert not many.once(delivery(str(number)), CONTEXT, Work()).duplicate

    assert len(made) == 1
