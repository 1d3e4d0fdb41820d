"""Failed deliveries whose objects, or the function's answers to them, are not what they should be."""

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
import shard

from quota_monitor import events, failed_deliveries
from quota_monitor.failed_deliveries import FailedDelivery, Place, Replayed

PLACE = Place("bucket", "function")
KEPT = FailedDelivery("key", 1, datetime(2026, 11, 23, tzinfo=UTC))


class Account:
    """S3 and Lambda in one: holds an object, gives an answer, notes what is deleted."""

    def __init__(self, held: bytes, answer: bytes) -> None:
        self._held, self._answer = held, answer
        self.deleted: list[str] = []

    def client(self, _name: str, **_config: Any) -> Any:
        return self

    def get_object(self, **_of: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(self._held)}

    def invoke(self, **_of: object) -> dict[str, Any]:
        failed = {} if self._answer.startswith(b'{"received"') else {"FunctionError": "Unhandled"}
        return {**failed, "Payload": io.BytesIO(self._answer)}

    def delete_object(self, Key: str, **_of: str) -> None:  # noqa: N803 - boto3's name
        self.deleted.append(Key)


def replayed(held: bytes, answer: bytes = b"{}") -> Replayed:
    account: Any = Account(held, answer)
    kept = FailedDelivery("key", len(held), datetime(2026, 11, 23, tzinfo=UTC))
    (found,) = failed_deliveries.replay(account, Place("bucket", "function"), [kept])
    assert not account.deleted
    return found


@pytest.mark.parametrize(
    "held",
    [
        *(b"", b"\xff", b"[]", b"{}", b'"text"', b"nul", b'{"requestPayload"', b"[" * 5_000),
        *(b'{"payload": 5}', b'{"payload": "text"}', b'{"payload": "{}"}', b'{"payload": "[]"}'),
        *(b'{"payload": {"Records": []}}', b'{"payload": {"Records": [5]}}', b'{"payload": "{\\"Records\\": 5}"}'),
        b'{"payload": "' + b"[" * 5_000 + b'"}',
        b'{"requestPayload": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    ],
)
def test_object_that_is_no_record_of_an_invocation_stays(held: bytes) -> None:
    assert replayed(held) == Replayed("key", "is not the record of an invocation")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b'{"errorType": "DeliveryError", "errorMessage": "not gzip"}', "DeliveryError: not gzip"),
        (b'{"errorMessage": "RequestId: 1 Error: Runtime exited"}', "failed: RequestId: 1 Error: Runtime exited"),
        (b"{}", "failed: "),
        (b"[]", "failed: "),
        (b'"text"', "failed: "),
        (b"\xff", "failed: "),
        (b'{"errorType": "\xff"}', "failed: "),
        (b'{"errorType": 5}', "failed: "),
        (b"[" * 5_000, "failed: "),
        (b"", "failed: "),
    ],
)
def test_whatever_the_function_answers_the_object_stays_with_its_problem(answer: bytes, problem: str) -> None:
    assert replayed(b'{"requestPayload": {}}', answer) == Replayed("key", problem)


@pytest.mark.parametrize(
    ("answer", "discard", "deleted"),
    [
        (b'{"received": 9, "processed": 9}', False, True),
        (b'{"received": 9, "processed": 0}', False, True),  # out of scope or failed calls, all counted
        (b'{"received": 9, "processed": 0, "rejected": 9}', False, False),
        (b'{"received": 9, "processed": 8, "rejected": 1}', True, True),
        (b'{"received": ', True, False),
    ],
)
def test_object_goes_only_when_none_of_its_records_was_refused(answer: bytes, discard: bool, deleted: bool) -> None:
    account: Any = Account(b'{"requestPayload": {}}', answer)
    delivery = FailedDelivery("key", 1, datetime(2026, 11, 23, tzinfo=UTC))

    (found,) = failed_deliveries.replay(account, Place("bucket", "function"), [delivery], discard=discard)

    assert (found.problem is None) is deleted
    assert bool(account.deleted) is deleted
    if b"rejected" in answer and not deleted:
        assert "9 of its records were refused" in str(found.problem)


class Bucket:
    """S3 with one object, and a processor that fails at the deliveries it is told to."""

    def __init__(self, held: str, failing: set[str]) -> None:
        self.held: str | None = held
        self._failing = failing
        self.processed: list[str] = []

    def client(self, _name: str, **_config: Any) -> Any:
        return self

    def get_object(self, **_of: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(str(self.held).encode())}

    def put_object(self, *, Body: bytes, **_of: str) -> None:  # noqa: N803 - boto3's name
        self.held = Body.decode()

    def delete_object(self, **_of: str) -> None:
        self.held = None

    def invoke(self, *, Payload: bytes, **_of: object) -> dict[str, Any]:  # noqa: N803
        data = json.loads(Payload)["awslogs"]["data"]
        if data in self._failing:
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorType": "DeliveryError"}')}
        self.processed.append(data)
        return {"Payload": io.BytesIO(b'{"received": 1, "processed": 1}')}


BATCH = events.batch([{"awslogs": {"data": data}} for data in ("one", "two", "three")])["Records"]


@pytest.mark.parametrize("as_text", [True, False])
def test_every_delivery_of_a_batch_of_a_stream_is_processed_by_itself(as_text: bool) -> None:
    held = json.loads(shard.kept(BATCH))
    bucket: Any = Bucket(json.dumps(held if as_text else held | {"payload": {"Records": BATCH}}), set())

    assert list(failed_deliveries.replay(bucket, PLACE, [KEPT])) == [Replayed("key")]
    assert bucket.processed == ["one", "two", "three"]
    assert bucket.held is None


def test_of_a_batch_of_which_some_fail_again_these_alone_are_kept() -> None:
    # given a batch of three, of which the second fails
    bucket: Any = Bucket(shard.kept(BATCH), {"two"})
    # when it is replayed twice
    (first,), (second,) = (list(failed_deliveries.replay(bucket, PLACE, [KEPT])) for _ in range(2))
    # then the others are processed once, and what stays is what Lambda would have kept of it
    assert first.problem == "1 of its 3 deliveries stay, the first: DeliveryError: "
    assert second.problem == "DeliveryError: "
    assert bucket.processed == ["one", "three"]
    kept = json.loads(bucket.held)
    assert json.loads(kept["payload"]) == {"Records": [BATCH[1]]}
    assert kept.keys() == json.loads(shard.kept(BATCH)).keys()
