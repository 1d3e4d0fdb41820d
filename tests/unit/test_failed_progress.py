"""Replays with the processor's own code: each record counts once, and each object stays as and as long as it was."""

import io
import itertools
import json
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import msgspec
import pytest
import shard
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)
from click.testing import CliRunner
from kept_objects import KEPT_AT, Objects, error
from moto import mock_aws
from records import NOW, converse, envelope, event_around, message

from bedrock_quota import clients
from bedrock_quota.errors import ConcurrentDuplicateError, DeliveryError
from bedrock_quota.processor.batch import process_batch
from bedrock_quota.processor.container import Container
from bedrock_quota.processor.delivery import decode_delivery
from bedrock_quota.processor.event import batch_response, split_event
from bedrock_quota.registry.models import Registry
from bedrock_quota.settings import Settings
from quota_monitor import sample_events
from quota_monitor.failed import progress, store
from quota_monitor.failed.progress import Part, Progress
from quota_monitor.failed.store import FailedDelivery, Replayed, Store
from quota_monitor.main import main

pytestmark = pytest.mark.usefixtures("no_aws")

STORE = Store("bucket", "function")
SECRET = "a prompt of somebody"
TIMEOUT = {"errorType": "Sandbox.Timedout", "errorMessage": "RequestId: 1 Error: Task timed out after 60.00 seconds"}
IDS = itertools.count()


class StoppedError(BaseException):
    """The replay is killed."""


def delivery(good: int, bad: int = 0, costly: tuple[int, ...] = ()) -> dict[str, Any]:
    """One delivery with so many good records, then bad ones. The processor times out at the costly ones."""
    messages = [message(converse(requestId=SECRET)) for _ in range(good)] + [f"{{{SECRET}" for _ in range(bad)]
    for number in costly:
        messages[number] = messages[number].replace(SECRET, "costly")
    payload = envelope(messages)
    for each in payload["logEvents"]:
        each["id"] = f"{next(IDS):056d}"
    return event_around(json.dumps(payload).encode())


def invocation(event: dict[str, Any], response: object = None) -> bytes:
    condition = {"condition": "RetriesExhausted", "approximateInvokeCount": 3}
    return json.dumps({"requestContext": condition, "requestPayload": event, "responsePayload": response}).encode()


def batch(*events: dict[str, Any]) -> bytes:
    return shard.kept(sample_events.batch(events)["Records"]).encode()


class Account(Objects):
    """The bucket, and the deployed processor: `refuses` deliveries that hold one of these texts."""

    region_name = "us-east-1"

    def __init__(self, registry: Registry, *, detect_duplicates: bool = True, **objects: bytes) -> None:
        super().__init__(**objects)
        settings = Settings(state_table="state", detect_duplicates=detect_duplicates)
        self._containers = lambda: Container(settings, registry, lambda: None)
        self.refused: set[str] = set()
        self.is_slow = True
        self.lines: list[dict[str, Any]] = []
        self.sent: list[int] = []

    def client(self, _name: str, **_config: Any) -> Any:
        return self

    @property
    def counted(self) -> int:
        return sum(line.get("requests", 0) for line in self.lines)

    def invoke(self, *, Payload: bytes, **_of: object) -> dict[str, Any]:  # noqa: N803 - boto3's name
        return self._call("invoke", lambda: self._invoke(json.loads(Payload)))  # type: ignore[no-any-return]

    def _invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        def fail(error: object) -> dict[str, Any]:
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(error).encode())}

        if event["awslogs"]["data"] in self.refused:
            return fail({"errorType": "DeliveryError", "errorMessage": "not yet"})
        try:
            found = decode_delivery(event)
            self.sent.append(len(found.log_events))
            if self.is_slow and any("costly" in str(each.message) for each in found.log_events):
                return fail(TIMEOUT)
            context: Any = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000)
            written: list[dict[str, Any]] = []

            def publish(outcome: Any, again: Any) -> None:
                written.extend(json.loads(line) for line in (*(outcome.lines if outcome else ()), *again))

            sent = split_event(event)
            answer = batch_response(
                sent, process_batch(sent, self._containers(), context, lambda _received: NOW, publish)
            )
        except (DeliveryError, ConcurrentDuplicateError) as error:
            return fail({"errorType": type(error).__name__, "errorMessage": str(error)})
        self.lines += written
        log = "START\n" + "\n".join(map(json.dumps, written)) + "\nREPORT"
        tail = msgspec.json.encode(log.encode()[-4_096:]).decode().strip('"')  # as base64
        return {"Payload": io.BytesIO(json.dumps(answer).encode()), "LogResult": tail}

    def replay(self, *, discard: bool = False) -> list[Replayed]:
        session: Any = self
        chosen = [each for each in store.list_all(session, "bucket") if discard or not each.is_rejected]
        return list(store.replay(session, STORE, chosen, discard=discard))


@pytest.fixture
def make(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Account]]:
    """Make accounts with a state table that checks conditions as DynamoDB does."""
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        client.create_table(
            TableName="state",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        monkeypatch.setattr(clients, "state", lambda: client)
        yield lambda **given: Account(registry, **given)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the claims of stopped replays end."""
    return lambda: monkeypatch.setattr(progress, "CLAIM", timedelta(0))


def test_two_replays_with_a_rejected_record_each_keep_both(make: Callable[..., Account]) -> None:
    # given a batch of two deliveries with a rejected record each, of which the second fails at first
    first, second = delivery(5, bad=1), delivery(5, bad=1)
    kept = batch(first, second)
    account = make(key=kept)
    account.refused = {second["awslogs"]["data"]}
    # when
    (failed,) = account.replay()
    account.refused = set()
    (replayed,) = account.replay()
    # then all good records count once, and the only copy of both rejected ones is the object that Lambda wrote
    assert failed.problem == "1 of its 2 deliveries failed again, the first: DeliveryError: not yet"
    assert "records of it were rejected: 2 (not_json: 2)" in str(replayed.problem)
    assert account.counted == 10
    assert account.objects.keys() == {"key", "progress/key"}
    assert account.objects["key"] == kept
    # and it can be discarded
    (discarded,) = account.replay(discard=True)
    assert "discarded" in str(discarded.problem)
    assert not discarded.failed
    assert not account.objects
    assert account.counted == 10


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param(lambda: invocation(delivery(5, bad=1)), id="invocation"),
        pytest.param(lambda: batch(delivery(5), {"awslogs": {"data": "AAAA"}}, delivery(5, bad=1)), id="batch"),
        pytest.param(lambda: invocation(delivery(5, bad=1, costly=(2,))), id="split"),
    ],
)
def test_bucket_keeps_what_lambda_wrote_until_it_expires(
    make: Callable[..., Account], kept: Callable[[], bytes]
) -> None:
    account = make(key=kept())
    written = account.objects["key"]

    for _ in range(3):
        account.replay()

    # no write of a payload restarts the 14 days, and no other object holds a payload
    assert set(account.written) == {"progress/key"}
    assert account.objects["key"] == written
    assert SECRET.encode() not in account.objects["progress/key"]
    assert account.objects.keys() == {"key", "progress/key"}
    assert b"H4sI" not in account.objects["progress/key"]  # how gzip begins in base64


@pytest.mark.parametrize("when", ["before_call", "after_call"])
@pytest.mark.parametrize(
    ("kept", "counted"),
    [
        pytest.param(lambda: invocation(delivery(5, bad=1)), 5, id="invocation"),
        pytest.param(lambda: batch(delivery(5), {"awslogs": {"data": "AAAA"}}, delivery(5, bad=1)), 10, id="batch"),
        pytest.param(lambda: batch(delivery(3), delivery(4)), 7, id="batch without rejected records"),
        pytest.param(lambda: invocation(delivery(5, costly=(3,))), 4, id="split"),
    ],
)
def test_replay_that_is_stopped_counts_nothing_twice(
    make: Callable[..., Account],
    later: Callable[[], None],
    kept: Callable[[], bytes],
    counted: int,
    when: str,
) -> None:
    later()
    for stopped_at in range(100):
        # given a replay that is stopped before or after one of its calls
        account = make(key=kept())
        calls: list[str] = []

        def stop(name: str, calls: list[str] = calls, stopped_at: int = stopped_at) -> None:
            calls.append(name)
            if len(calls) > stopped_at:
                raise StoppedError

        setattr(account, when, stop)
        try:
            account.replay()
            break  # it was never stopped
        except StoppedError:
            pass
        # when the next ones run to the end
        setattr(account, when, lambda _name: None)
        for _ in range(2):
            account.replay()
        # then
        assert account.counted == counted, (when, calls)
    assert {"get_object", "put_object", "invoke"} <= set(calls)
    assert stopped_at >= 5


@pytest.mark.parametrize("detect_duplicates", [True, False], ids=["with duplicate detection", "without"])
def test_two_replays_at_once_count_once(make: Callable[..., Account], detect_duplicates: bool) -> None:
    # given a second replay that begins while the first invokes the processor
    account = make(detect_duplicates=detect_duplicates, key=batch(delivery(3), delivery(4), delivery(5, bad=1)))
    second: list[Replayed] = []

    def begin(name: str) -> None:
        if name == "invoke":
            account.before_call = lambda _name: None
            second.extend(account.replay())

    account.before_call = begin
    # when
    (first,) = account.replay()
    # then
    assert "another replay is at it" in str(second[0].problem)
    assert "records of it were rejected: 1 " in str(first.problem)
    assert account.counted == 12


def test_delivery_is_not_lost_if_the_first_of_two_replays_fails(make: Callable[..., Account]) -> None:
    account = make(key=invocation(delivery(3)))

    def stop(name: str) -> None:
        if name == "invoke":
            raise StoppedError

    account.before_call = stop
    with pytest.raises(StoppedError):
        account.replay()
    account.before_call = lambda _name: None
    (second,) = account.replay()

    assert second.failed
    assert "another replay is at it, or was stopped: replay again after " in str(second.problem)
    assert "key" in account.objects


def test_replay_that_took_too_long_does_not_overwrite_the_progress_of_the_next(
    make: Callable[..., Account], later: Callable[[], None]
) -> None:
    # given a replay whose claim has ended when the processor answers
    later()
    account = make(key=batch(delivery(3), delivery(4)))
    second: list[Replayed] = []

    def begin(name: str) -> None:
        if name == "invoke":
            account.after_call = lambda _name: None
            second.extend(account.replay())

    account.after_call = begin
    # when
    (first,) = account.replay()
    # then
    assert first == Replayed("key", "another replay is at it", failed=True)
    assert second == [Replayed("key")]
    assert account.counted == 7
    assert not account.objects


def test_replay_goes_on_when_the_response_to_its_own_write_is_lost(make: Callable[..., Account]) -> None:
    # given writes whose response is lost: boto3 tries each again, and S3 finds the first try in the way
    account = make(key=invocation(delivery(3)))

    def lose_response(name: str) -> None:
        if name == "put_object":
            raise error("PreconditionFailed", "PutObject")

    account.after_call = lose_response
    # when
    (replayed,) = account.replay()
    # then all is counted once and nothing is left
    assert replayed == Replayed("key")
    assert account.counted == 3
    assert account.objects == {}


def test_replays_in_threads_count_once(make: Callable[..., Account]) -> None:
    account = make(key=batch(*(delivery(3) for _ in range(4))), other=invocation(delivery(5)))
    threads = [threading.Thread(target=account.replay) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    account.replay()

    assert account.counted == 17
    assert not account.objects


def test_delivery_that_times_out_is_halved_down_to_the_log_event(make: Callable[..., Account]) -> None:
    # given 200 records, one of which takes the processor more than its time
    account = make(key=invocation(delivery(200, costly=(57,))))
    # when
    (found,) = account.replay()
    # then all others count, the one stays with its reason, and it takes two invocations per halving
    assert account.counted == 199
    assert found.failed
    assert "log event 57 of delivery 0 by itself: Sandbox.Timedout: " in str(found.problem)
    assert len(account.sent) <= 17
    # and it alone is sent again
    account.sent.clear()
    account.replay()
    assert account.sent == [1]
    assert account.counted == 199


def test_halves_that_were_sent_are_sent_again_though_the_processor_is_faster_now(
    make: Callable[..., Account], later: Callable[[], None]
) -> None:
    # given a replay that is stopped after the first half of a delivery is processed, before that is noted
    later()
    account = make(key=invocation(delivery(8, costly=(6,))))

    def stop(name: str) -> None:
        if name == "invoke" and account.sent == [8, 4]:
            raise StoppedError

    account.after_call = stop
    with pytest.raises(StoppedError):
        account.replay()
    assert account.counted == 4
    # when a new processor would not time out at the whole
    account.after_call = lambda _name: None
    account.is_slow = False
    # then
    assert account.replay() == [Replayed("key")]
    assert account.counted == 8


STOPPED = [
    pytest.param(TIMEOUT, id="timeout with a type"),
    pytest.param({"errorMessage": "2026-11-23 1 Task timed out after 60.00 seconds"}, id="timeout"),
    pytest.param(
        {
            "errorType": "Runtime.ExitError",
            "errorMessage": "RequestId: 1 Error: Runtime exited with error: signal: killed",
        },
        id="killed",
    ),
    pytest.param(
        {
            "errorType": "Runtime.ExitError",
            "errorMessage": "RequestId: 1 Error: Runtime exited with error: exit status 137",
        },
        id="exit status 137",
    ),
    pytest.param(
        {
            "errorType": "Runtime.ExitError",
            "errorMessage": "RequestId: 1 Error: Runtime exited without providing a reason",
        },
        id="exit without a reason",
    ),
    pytest.param({"errorType": "Runtime.OutOfMemory", "errorMessage": "RequestId: 1 Error: "}, id="out of memory"),
    pytest.param({"errorMessage": "RequestId: 1 Error: Runtime exited with error: signal: killed"}, id="no type"),
]


@pytest.mark.parametrize("response", STOPPED)
def test_delivery_of_which_lambda_says_that_it_was_stopped_is_halved_at_once(
    make: Callable[..., Account], response: object
) -> None:
    account = make(key=invocation(delivery(8), response))

    assert account.replay() == [Replayed("key")]
    assert account.sent == [4, 4]  # two invocations, none of which was stopped
    assert account.counted == 8


@pytest.mark.parametrize("response", STOPPED)
def test_delivery_at_which_the_processor_is_stopped_is_halved(
    make: Callable[..., Account], monkeypatch: pytest.MonkeyPatch, response: dict[str, str]
) -> None:
    # given 8 records, one of which stops the processor
    monkeypatch.setattr(sys.modules[__name__], "TIMEOUT", response)
    account = make(key=invocation(delivery(8, costly=(5,))))
    # when
    (found,) = account.replay()
    # then the others count, and it is named
    assert account.counted == 7
    assert account.sent == [8, 4, 4, 2, 1, 1, 2]
    assert "log event 5 of delivery 0 by itself: " in str(found.problem)
    assert store.list_all(account, "bucket")[0].progress.describe() == (  # type: ignore[arg-type]
        "processed: 3 of 4 parts; timed out or out of memory: 1"
    )


def lambda_error(status: int) -> ClientError:
    answer: Any = {"Error": {"Code": "SomeException"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "Invoke")


URL = "https://lambda.example"


@pytest.mark.parametrize(
    ("problem", "may_run"),
    [
        pytest.param(lambda_error(429), False, id="throttled"),
        pytest.param(lambda_error(403), False, id="access denied"),
        pytest.param(lambda_error(404), False, id="no function"),
        pytest.param(EndpointConnectionError(endpoint_url=URL), False, id="no connection"),
        pytest.param(ConnectTimeoutError(endpoint_url=URL), False, id="connection timed out"),
        pytest.param(NoCredentialsError(), False, id="no credentials"),
        pytest.param(lambda_error(500), True, id="internal error"),
        pytest.param(ReadTimeoutError(endpoint_url=URL), True, id="no answer in time"),
        pytest.param(ConnectionClosedError(endpoint_url=URL), True, id="connection lost"),
    ],
)
def test_replay_that_an_error_stops_gives_up_its_claim_unless_the_processor_may_still_run(
    make: Callable[..., Account], problem: Exception, may_run: bool
) -> None:
    # given a batch of two deliveries, and an error at the second one
    account = make(key=batch(delivery(3), delivery(4)))

    def stop(name: str) -> None:
        if name == "invoke" and account.sent:
            raise problem

    account.before_call = stop
    (first,) = account.replay()
    assert first.failed
    assert str(first.problem).startswith("could not be replayed: ")
    # when it is replayed again at once
    account.before_call = lambda _name: None
    (second,) = account.replay()
    # then it goes on, unless the processor may be at it
    if may_run:
        assert "another replay is at it, or was stopped" in str(second.problem)
        assert account.counted == 3
    else:
        assert second == Replayed("key")
        assert account.sent == [3, 4]
        assert account.counted == 7


def test_answer_that_breaks_off_leaves_the_claim(make: Callable[..., Account]) -> None:
    account = make(key=invocation(delivery(3)))

    def break_off() -> bytes:
        raise ReadTimeoutError(endpoint_url=URL)

    account.invoke = lambda **_given: {"Payload": SimpleNamespace(read=break_off)}  # type: ignore[method-assign]
    account.replay()

    assert "another replay is at it, or was stopped" in str(account.replay()[0].problem)


@pytest.mark.parametrize("operation", ["put_object", "delete_object", "get_object"])
def test_error_of_s3_gives_up_the_claim(make: Callable[..., Account], operation: str) -> None:
    # given one error of S3 after the claim
    account = make(key=invocation(delivery(3)))
    calls: list[str] = []

    def fail(name: str) -> None:
        calls.append(name)
        if name == operation and "put_object" in calls[:-1] and calls.count("failed") == 0:
            calls.append("failed")
            raise error("InternalError", operation)

    account.before_call = fail
    (first,) = account.replay()
    assert "could not be replayed" in str(first.problem)
    assert "failed" in calls
    # when it is replayed at once, then all is counted once
    assert account.replay() == [Replayed("key")]
    assert account.counted == 3
    assert not account.objects


def test_error_of_the_first_call_leaves_the_claim_of_another_replay(make: Callable[..., Account]) -> None:
    account = make(key=invocation(delivery(3)))
    session: Any = account
    second: list[Replayed] = []

    def begin(name: str) -> None:
        if name == "invoke":
            account.before_call = fail
            second.extend(store.replay(session, STORE, [FailedDelivery("key", 1, KEPT_AT)]))
            account.before_call = lambda _name: None

    def fail(_name: str) -> None:
        raise error("SlowDown", "GetObject")

    account.before_call = begin
    (first,) = account.replay()

    assert "could not be replayed" in str(second[0].problem)
    assert first == Replayed("key")
    assert account.counted == 3


def test_deliveries_that_fail_otherwise_are_not_halved(make: Callable[..., Account]) -> None:
    event = delivery(8)
    account = make(key=invocation(event, {"errorType": "DeliveryError", "errorMessage": "timed out of S3"}))
    account.refused = {event["awslogs"]["data"]}

    (found,) = account.replay()

    assert found.problem == "DeliveryError: not yet"
    assert msgspec.json.decode(account.objects["progress/key"], type=Progress).parts == (Part(0, status="failed"),)


def test_replay_ends_after_so_many_stopped_invocations_and_the_next_goes_on(
    make: Callable[..., Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given 16 records, 12 of which take too long
    monkeypatch.setattr(store, "MAX_STOPPED", 5)
    account = make(key=invocation(delivery(16, costly=tuple(range(12)))))
    # when
    (found,) = account.replay()
    # then
    assert len(account.sent) == 5
    assert "parts are left after 5 invocations that were stopped. Replay it again to go on" in str(found.problem)
    for _ in range(6):
        account.replay()
    assert account.counted == 4  # though single log events that time out again come before the good ones


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(b"\xff", id="not JSON"),
        pytest.param(b'{"parts": [{"delivery": "one"}]}', id="wrong type"),
        pytest.param(b'{"parts": [{"delivery": 1}]}', id="another delivery"),
        pytest.param(b'{"parts": [{"delivery": -1}]}', id="negative delivery"),
        pytest.param(b'{"parts": [{"delivery": 0, "events": [2, 9]}]}', id="other log events"),
    ],
)
def test_damaged_progress_is_named_and_nothing_is_sent(make: Callable[..., Account], found: bytes) -> None:
    account = make(key=invocation(delivery(3)))
    account.objects["progress/key"] = found

    (replayed,) = account.replay()

    assert replayed.failed
    assert "delete progress/key and replay again" in str(replayed.problem)
    assert not account.sent


def test_object_that_another_replay_has_deleted_is_no_failure(make: Callable[..., Account]) -> None:
    account: Any = make()

    (found,) = store.replay(account, STORE, [FailedDelivery("key", 1, KEPT_AT)])

    assert found == Replayed("key", "is gone: another replay processed it, or it expired")
    assert not account.objects


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run `quota-monitor failed` on an account."""

    def invoke(account: Account, *arguments: str, exit_code: int = 0) -> str:
        monkeypatch.setattr(boto3, "Session", lambda **_of: account)
        monkeypatch.setattr(store, "find_store", lambda *_of: STORE)
        result = CliRunner().invoke(main, ["failed", *arguments])
        assert result.exit_code == exit_code, result.output
        return result.output

    return invoke


def test_list_shows_progress_and_why_records_were_rejected(
    make: Callable[..., Account], run: Callable[..., str]
) -> None:
    account = make(a=batch(delivery(1), {"awslogs": {"data": "AAAA"}}), b=invocation(delivery(1, bad=2)), c=b"{}")

    run(account, "replay", exit_code=1)
    listed = run(account, "list").splitlines()

    assert [line.strip() for line in listed if not line.endswith(" bytes")] == [
        "a",
        "processed: 1 of 2 deliveries",
        "b",
        "processed: 1 of 1 deliveries; records rejected: 2 (not_json: 2)",
        "c",
        "Failed deliveries in s3://bucket: 2",
        "Replayed deliveries with rejected records: 1",
    ]


def test_copies_of_version_0_1_0_are_listed_replayed_by_key_and_discarded(
    make: Callable[..., Account], run: Callable[..., str]
) -> None:
    account = make(**{"key": invocation(delivery(2)), "refused/a": invocation(delivery(1, bad=1))})
    account.objects["refused/b"] = account.objects["refused/a"]

    assert "refused/a" in run(account, "list")
    assert "Processed: 1 of 1" in run(account, "replay")
    assert account.counted == 2
    assert "Processed: 1 of 1" in run(account, "replay", "--key", "refused/a")
    assert account.counted == 3
    assert "Processed: 2 of 2" in run(account, "replay", "--discard")
    assert not account.objects


def test_keys_that_are_not_there_are_named(make: Callable[..., Account], run: Callable[..., str]) -> None:
    account = make(key=invocation(delivery(2)))

    assert "not in s3://bucket: other" in run(account, "replay", "--key", "key", "--key", "other", exit_code=2)
    assert not account.sent
