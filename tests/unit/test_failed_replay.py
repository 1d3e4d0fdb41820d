"""Failed deliveries whose objects, or the function's answers to them, are not what they should be."""

import base64
import gzip
import io
import json
import random
import string
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import boto3
import msgspec
import pytest
import shard
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError
from kept_objects import Objects

from bedrock_quota.errors import DeliveryError
from bedrock_quota.processor.delivery import decode_delivery
from quota_monitor import sample_events
from quota_monitor.failed import store
from quota_monitor.failed.store import FailedDelivery, Replayed, Store

STORE = Store("bucket", "function")
DEEP = 200_000
"""Levels of nesting that no version of Python decodes."""
KEPT = FailedDelivery("key", 1, datetime(2026, 11, 23, tzinfo=UTC))
BATCH = sample_events.batch([{"awslogs": {"data": data}} for data in ("one", "two", "three")])["Records"]
DONE = b'{"received": 1, "processed": 1}'


class Account(Objects):
    """S3 and Lambda in one: holds objects, fails at the deliveries it is told to, answers all others alike."""

    def __init__(self, held: bytes, answer: bytes) -> None:
        super().__init__(key=held)
        self.answer = answer
        self.failing: set[str] = set()
        self.errors: list[Exception] = []
        self.invoked: list[bytes] = []
        self.pages: list[tuple[str, datetime]] | None = None

    def client(self, _name: str, **_config: Any) -> Any:
        return self

    def paginate(self, **_of: str) -> Any:
        pages = [(key, KEPT.kept_at) for key in self.objects] if self.pages is None else self.pages
        return [{"Contents": [{"Key": key, "Size": 1, "LastModified": at}]} for key, at in pages]

    def invoke(self, *, Payload: bytes, **_of: object) -> dict[str, Any]:  # noqa: N803
        if self.errors:
            raise self.errors.pop()
        data = msgspec.json.decode(Payload).get("awslogs", {}).get("data")
        if data in self.failing:
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorType": "DeliveryError"}')}
        self.invoked.append(Payload)
        failed = {} if self.answer.startswith(b'{"received"') else {"FunctionError": "Unhandled"}
        return {**failed, "Payload": io.BytesIO(self.answer)}


def replayed(held: bytes, answer: bytes = b"{}") -> Replayed:
    account: Any = Account(held, answer)
    (found,) = store.replay(account, STORE, [KEPT])
    assert account.objects["key"] == held
    assert account.objects.keys() <= {"key", "progress/key"}
    return found


@pytest.mark.parametrize(
    "held",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff", id="not UTF-8"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"{}", id="empty object"),
        pytest.param(b'"text"', id="text"),
        pytest.param(b"nul", id="half a word"),
        pytest.param(b'{"requestPayload"', id="half an object"),
        pytest.param(b"[" * DEEP, id="deep list"),
        pytest.param(b'{"payload": 5}', id="payload is a number"),
        pytest.param(b'{"payload": "text"}', id="payload is text"),
        pytest.param(b'{"payload": "{}"}', id="payload is an empty object"),
        pytest.param(b'{"payload": "[]"}', id="payload is a list"),
        pytest.param(b'{"payload": {"Records": []}}', id="batch is empty"),
        pytest.param(b'{"payload": {"Records": [5]}}', id="record is a number"),
        pytest.param(b'{"payload": "{\\"Records\\": 5}"}', id="records are a number"),
        pytest.param(b'{"payload": "' + b"[" * DEEP + b'"}', id="payload is a deep list"),
        pytest.param(b'{"requestPayload": ' + b"[" * DEEP + b"]" * DEEP + b"}", id="event is a deep list"),
    ],
)
def test_object_that_is_no_record_of_an_invocation_stays(held: bytes) -> None:
    assert replayed(held) == Replayed("key", "is not the record of an invocation", failed=True)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        pytest.param(
            b'{"errorType": "DeliveryError", "errorMessage": "not gzip"}', "DeliveryError: not gzip", id="error"
        ),
        pytest.param(
            b'{"errorMessage": "RequestId: 1 Error: Runtime exited"}',
            "failed: RequestId: 1 Error: Runtime exited",
            id="error without a type",
        ),
        pytest.param(b"{}", "failed: ", id="empty object"),
        pytest.param(b"[]", "failed: ", id="list"),
        pytest.param(b'"text"', "failed: ", id="text"),
        pytest.param(b"\xff", "failed: ", id="not UTF-8"),
        pytest.param(b'{"errorType": "\xff"}', "failed: ", id="type is not UTF-8"),
        pytest.param(b'{"errorType": 5}', "failed: ", id="type is a number"),
        pytest.param(b"[" * DEEP, "failed: ", id="deep list"),
        pytest.param(b"", "failed: ", id="nothing"),
    ],
)
def test_whatever_the_function_answers_the_object_stays_with_its_problem(answer: bytes, problem: str) -> None:
    assert replayed(b'{"requestPayload": {}}', answer) == Replayed("key", problem, failed=True)


@pytest.mark.parametrize(
    ("answer", "discard", "left"),
    [
        pytest.param(b'{"received": 9, "processed": 9}', False, set(), id="all processed"),
        pytest.param(b'{"received": 9, "processed": 0}', False, set(), id="all out of scope or failed calls"),
        pytest.param(b'{"received": 9, "processed": 8, "rejected": 1}', False, {"key"}, id="one rejected"),
        pytest.param(b'{"received": 9, "processed": 8, "rejected": 1}', True, set(), id="one rejected, discarded"),
        pytest.param(b'{"received": ', True, {"key"}, id="answer cut short"),
    ],
)
def test_processed_delivery_goes_unless_records_of_it_were_rejected(
    answer: bytes, discard: bool, left: set[str]
) -> None:
    account: Any = Account(b'{"requestPayload": {}}', answer)

    (found,) = store.replay(account, STORE, [KEPT], discard=discard)

    assert {key for key in account.objects if not key.startswith("progress/")} == left
    assert ("records of it were rejected: 1 (unknown: 1)" in str(found.problem)) is (b"rejected" in answer)
    # and one with rejected records is not replayed again with the others
    rejected = bool(left) and b"rejected" in answer
    assert found.failed is (bool(left) and not rejected)
    assert [each.key for each in store.list_failed(account, "bucket")] == ([] if rejected else sorted(left))
    assert [each.key for each in store.list_all(account, "bucket")] == sorted(left)


def test_a_delivery_that_is_larger_than_the_processor_takes_is_processed_in_parts() -> None:
    # given questions about one long text, 17.6 MB of them, that compress well enough to be sent
    text = "".join(random.Random(7).choices(string.ascii_lowercase, k=12_000))
    messages = [f"question {number}: {text}" for number in range(1_470)]
    event = sample_events.delivery(messages)
    assert len(event["awslogs"]["data"]) < 1_000_000
    with pytest.raises(DeliveryError, match="inflates to more than"):
        decode_delivery(event)
    account: Any = Account(json.dumps({"requestPayload": event}).encode(), b'{"received": 735, "processed": 735}')
    # when
    (found,) = store.replay(account, STORE, [KEPT])
    # then the processor takes each part, and all of them are all there was, in order
    assert found == Replayed("key")
    parts = [decode_delivery(json.loads(payload)) for payload in account.invoked]
    assert len(parts) == 2
    assert [log_event.message for part in parts for log_event in part.log_events] == messages
    ids = [log_event.id for log_event in decode_delivery(event, 20_000_000).log_events]
    assert [log_event.id for part in parts for log_event in part.log_events] == ids
    assert not account.objects


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("é", id="not ASCII"),
        pytest.param("A", id="not base64"),
        pytest.param("AAAA", id="not gzip"),
        pytest.param(base64.b64encode(gzip.compress(b"no JSON" * 3_000_000)).decode(), id="not JSON"),
    ],
)
def test_what_cannot_be_taken_apart_is_sent_as_it_is(data: str) -> None:
    event = json.dumps({"awslogs": {"data": data}})
    account: Any = Account(f'{{"requestPayload": {event}}}'.encode(), b'{"errorType": "DeliveryError"}')

    (found,) = store.replay(account, STORE, [KEPT])

    assert found.failed
    assert account.invoked == [event.encode()]


def test_one_that_cannot_be_asked_for_is_named_and_the_others_go_on() -> None:
    account: Any = Account(b'{"requestPayload": {}}', b'{"received": 1, "processed": 1}')
    throttled = {"Error": {"Code": "TooManyRequestsException", "Message": "Rate exceeded"}}
    account.errors = [ClientError(throttled, "Invoke")]
    both = [KEPT, FailedDelivery("second", 1, KEPT.kept_at)]
    account.objects["second"] = account.objects["key"]

    first, second = store.replay(account, STORE, both)

    assert (first.key, first.failed) == ("key", True)
    assert "Rate exceeded" in str(first.problem)
    assert second == Replayed("second")
    assert account.objects.keys() == {"key", "progress/key"}


def test_they_are_replayed_in_the_order_in_which_they_failed() -> None:
    account: Any = Account(b"", b"")
    account.pages = [("b/later", datetime(2026, 11, 23, 12, 1, tzinfo=UTC)), ("c/first", KEPT.kept_at)]

    assert [each.key for each in store.list_failed(account, "bucket")] == ["c/first", "b/later"]


def test_the_function_is_never_asked_twice_about_one_delivery(no_aws: None) -> None:  # noqa: ARG001
    # given a function whose answer is an error that boto3 would try again
    asked: list[str] = []

    def answer(request: AWSPreparedRequest, **_of: object) -> AWSResponse:
        asked.append(request.method)
        code = 500 if request.method == "POST" else 200
        body = b'{"requestPayload": {}}' if request.method == "GET" else b""
        headers = {"ETag": '"1"'}
        raw = SimpleNamespace(stream=lambda: iter([body]), read=lambda *_: body)
        return AWSResponse(request.url, code, HTTPHeaders.from_dict(headers), raw)

    def client(name: str, **options: Any) -> Any:
        made = boto3.client(name, **options)
        made.meta.events.register("before-send", answer)
        return made

    session: Any = SimpleNamespace(client=client)
    # when
    (found,) = store.replay(session, STORE, [KEPT])
    # then
    assert found.failed
    assert asked.count("POST") == 1


@pytest.mark.parametrize("as_text", [True, False], ids=["payload as text", "payload as an object"])
def test_every_delivery_of_a_batch_of_a_stream_is_processed_by_itself(as_text: bool) -> None:
    held = json.loads(shard.kept(BATCH))
    account: Any = Account(json.dumps(held if as_text else held | {"payload": {"Records": BATCH}}).encode(), DONE)

    assert list(store.replay(account, STORE, [KEPT])) == [Replayed("key")]
    assert processed(account) == ["one", "two", "three"]
    assert not account.objects


def test_of_a_batch_that_was_kept_without_its_records_it_is_said_where_they_are() -> None:
    held = json.loads(shard.kept(BATCH))
    del held["payload"]
    account: Any = Account(json.dumps(held).encode(), DONE)

    (found,) = store.replay(account, STORE, [KEPT])

    first, last = (BATCH[n]["kinesis"]["sequenceNumber"] for n in (0, -1))
    assert found.failed
    assert found.problem == (
        f"has no records, which stay in {BATCH[0]['eventSourceARN']} for a day: shardId-000000000000, {first} to {last}"
    )
    assert account.objects


def processed(account: Account) -> list[str]:
    return [json.loads(payload)["awslogs"]["data"] for payload in account.invoked]


def test_of_a_batch_of_which_some_fail_again_these_alone_are_sent_again() -> None:
    # given a batch of three, of which the second fails
    account: Any = Account(shard.kept(BATCH).encode(), DONE)
    account.failing = {"two"}
    # when it is replayed twice
    (first,), (second,) = (list(store.replay(account, STORE, [KEPT])) for _ in range(2))
    # then the others are processed once, and the object is as Lambda wrote it
    assert first.problem == second.problem == "1 of its 3 deliveries failed again, the first: DeliveryError: "
    assert processed(account) == ["one", "three"]
    assert account.objects["key"] == shard.kept(BATCH).encode()
    account.failing = set()
    assert list(store.replay(account, STORE, [KEPT])) == [Replayed("key")]
    assert processed(account) == ["one", "three", "two"]
    assert not account.objects
