"""Calls whose body is not in S3 yet: set aside in the queue, read again, counted once, and never lost."""

import gzip
import hashlib
import io
import itertools
import json
import logging
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import oracle
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from botocore.response import StreamingBody
from hypothesis import given
from hypothesis import strategies as st
from processed import read_record
from records import (
    NOVA,
    NOW,
    PROFILE_ARN,
    SONNET,
    Process,
    ReadLine,
    converse,
    envelope,
    event_around,
    invoke,
    message,
    record,
)

from bedrock_quota import clients
from bedrock_quota.errors import ConcurrentDuplicateError
from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import EndpointType
from bedrock_quota.processor import late_bodies, pipeline
from bedrock_quota.processor.batch import MIN_MILLISECONDS_TO_CLAIM, process_batch
from bedrock_quota.processor.calls import LateCall
from bedrock_quota.processor.container import Container
from bedrock_quota.processor.delivery import LogEvent
from bedrock_quota.processor.event import batch_response, split_event
from bedrock_quota.processor.late_bodies import (
    MAX_CALLS_PER_PART,
    MAX_REQUEST_BYTES,
    MESSAGES_PER_REQUEST,
    Queue,
    Waiting,
    encode_call,
    find_places,
)
from bedrock_quota.processor.pipeline import Outcome
from bedrock_quota.processor.step_budget import StepBudget
from bedrock_quota.registry.models import Registry
from bedrock_quota.settings import Settings
from quota_monitor import sample_events as events

ROOT = Path(__file__).parents[2]
BUCKET, QUEUE = "large-bodies", "https://sqs.us-east-1.amazonaws.com/111122223333/late"
SECRET = "the words of the prompt"
BATCH_SIZE = 3
"""Messages that a run receives. The template has the same."""


class Killed(BaseException):
    """Lambda ends the run, as it does at the timeout."""


class Bodies:
    """An S3 that answers as a role without `s3:ListBucket` sees it, or with another code; counts what is asked."""

    exceptions = SimpleNamespace(ClientError=ClientError)

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.code = "AccessDenied"
        self.asked: Counter[str] = Counter()

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - S3's own names
        assert Bucket == BUCKET
        self.asked[Key] += 1
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": self.code}}, "GetObject")
        content = self.objects[Key]
        return {"Body": StreamingBody(io.BytesIO(content), len(content))}  # type: ignore[no-untyped-call]


class Messages:
    """A queue with a clock: messages, each visible from a time on."""

    def __init__(self) -> None:
        self.held: list[tuple[float, str, str]] = []
        self.now = 0.0
        self.sent: list[str] = []
        self.refused: Callable[[int], str | None] = lambda _number: None
        self.error: Exception | None = None
        self.requests = 0

    def send_message_batch(self, *, QueueUrl: str, Entries: Sequence[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        assert QueueUrl == QUEUE
        assert 1 <= len(Entries) <= MESSAGES_PER_REQUEST
        assert sum(len(each["MessageBody"].encode()) for each in Entries) <= MAX_REQUEST_BYTES == 256 * 1024
        self.requests += 1
        if self.error is not None:
            raise self.error
        answer: dict[str, Any] = {"Successful": [], "Failed": []}
        for number, each in enumerate(Entries):
            assert 0 <= each["DelaySeconds"] <= 900
            assert each["MessageBody"].isascii()
            code = self.refused(number)
            if code is not None:
                answer["Failed"].append({"Id": each["Id"], "Code": code})
                continue
            self.sent.append(each["MessageBody"])
            self.held.append((self.now + each["DelaySeconds"], f"m{len(self.sent)}", each["MessageBody"]))
            answer["Successful"].append({"Id": each["Id"]})
        return answer


class Memory:
    """The state table as the processor sees it: deliveries processed so far, by what identifies them."""

    def __init__(self) -> None:
        self.done: dict[str, dict[str, int]] = {}
        self.in_progress: dict[str, float] = {}
        self.now = 0.0
        self.killed_at: str | None = None
        self.asked: list[str] = []
        self.is_down = False

    def start(self, key: str, _context: Any, *, wait: bool = False) -> Any:  # noqa: ARG002
        self.asked.append(key)
        if self.is_down:
            return SimpleNamespace(result=None, checked=False, is_elsewhere=False, complete=lambda _result, **_: False)
        elsewhere = key not in self.done and self.in_progress.get(key, -1.0) > self.now
        self.in_progress[key] = self.in_progress[key] if elsewhere else self.now + 60

        def complete(result: dict[str, int], *, quickly: bool) -> bool:  # noqa: ARG001
            if self.killed_at == "recording":
                self.killed_at = None
                raise Killed
            self.done[key] = result
            return True

        return SimpleNamespace(
            result=self.done.get(key),
            checked=True,
            is_elsewhere=elsewhere,
            complete=complete,
            release=lambda _error: self.in_progress.pop(key),
        )


class Stack:
    """The processor, its queue and S3, with a clock that the tests turn. `at` is in seconds since `NOW`."""

    def __init__(self, registry: Registry, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        self.s3, self.queue, self.memory = Bodies(), Messages(), Memory()
        monkeypatch.setattr(clients, "large_bodies", lambda: self.s3)
        monkeypatch.setattr(clients, "late_bodies", lambda: self.queue)
        self._registry = registry
        self._settings = Settings(
            late_bodies_queue=QUEUE, large_bodies_bucket=BUCKET, metadata_keys=("team",), **settings
        )
        self.container = self.new_container()
        self.at = 0.0
        self.written: list[bytes] = []
        self.killed_at: str | None = None
        self.received: Counter[str] = Counter()
        self.remaining_milliseconds = 60_000
        self._ids = 0

    def new_container(self) -> Container:
        container = Container(self._settings, self._registry, lambda: None)
        container.deliveries = self.memory  # type: ignore[assignment]
        return container

    def run(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """Run the function once; None if it is killed."""
        self.queue.now = self.memory.now = self.at
        context: Any = SimpleNamespace(get_remaining_time_in_millis=lambda: self.remaining_milliseconds)
        sent = split_event(event)
        try:
            results = process_batch(sent, self.container, context, lambda _received: self.now(), self._publish)
        except (Killed, ConcurrentDuplicateError):
            self.container = self.new_container()
            return None
        return batch_response(sent, results)

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.at)

    def _publish(self, outcome: Outcome | None, again: Sequence[bytes]) -> None:
        if self.killed_at == "writing":
            self.killed_at = None
            raise Killed
        self.written += [*(outcome.lines if outcome else ()), *again]
        if self.killed_at == "sending":
            self.killed_at = None
            raise Killed
        if self.killed_at == "writing the last lines":
            self.killed_at = "writing"

    def deliver(self, *entries: dict[str, Any]) -> dict[str, Any]:
        payload = envelope([message(each) for each in entries])
        for each in payload["logEvents"]:
            each["id"] = f"{self._ids:056d}"
            self._ids += 1
        return event_around(json.dumps(payload).encode())

    def put(self, name: str, body: object) -> None:
        self.s3.objects[f"AWSLogs/{name}_input.json.gz"] = gzip.compress(json.dumps(body).encode(), mtime=0)

    def wait(self, until: float) -> None:
        """Turn the clock, and have the function receive each message when it becomes visible."""
        while due := sorted(each for each in self.queue.held if each[0] <= until):
            self.at = max(due[0][0], self.at)
            batch = [each for each in due if each[0] <= self.at][:BATCH_SIZE]
            for each in batch:
                self.queue.held.remove(each)
            self.received.update(name for _, name, _ in batch)
            answer = self.run(of_queue([(name, body) for _, name, body in batch], self.received))
            failed = [] if answer is None else answer["batchItemFailures"]
            names = {each["itemIdentifier"] for each in failed} if answer is not None else {each[1] for each in batch}
            self.queue.held += [(self.at + 360, name, body) for _, name, body in batch if name in names]
        self.at = until


def of_queue(messages: Iterable[tuple[str, str]], received: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Return the event with which Lambda passes messages on, each received for the first time unless it is said."""
    return {
        "Records": [
            {
                "messageId": name,
                "body": body,
                "eventSource": "aws:sqs",
                "attributes": {"ApproximateReceiveCount": str(1 if received is None else received[name])},
            }
            for name, body in messages
        ]
    }


def large(name: str, **changes: Any) -> dict[str, Any]:
    """A record whose request is in S3: 100 tokens in, 20 out, of a model at 5x."""
    given = {"inputTokenCount": 100, "inputBodyS3Path": f"s3://{BUCKET}/AWSLogs/{name}_input.json.gz"}
    return converse(input=given, requestMetadata={"team": "search", "note": SECRET}, **changes)


@pytest.fixture
def stack(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Stack:
    return Stack(registry, monkeypatch)


Read = Callable[[Stack], tuple[list[dict[str, Any]], list[dict[str, Any]]]]


@pytest.fixture
def read(read_line: ReadLine) -> Read:
    """The lines of calls and those of health."""

    def lines(stack: Stack) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        found = [read_line(each) for each in stack.written]
        return [each for each in found if "requests" in each], [
            each for each in found if each.get("event") == "delivery"
        ]

    return lines


def counted(lines: Iterable[dict[str, Any]]) -> Counter[tuple[str, int | None]]:
    """The calls on lines: source and, where it is known, what each reserved."""
    found: Counter[tuple[str, int | None]] = Counter()
    for line in lines:
        found.update(
            (line["max_tokens_source"], each) for each in line.get("ReservedTokens", [None] * line["requests"])
        )
    return found


def outcomes(health: Iterable[dict[str, Any]]) -> Counter[str]:
    """The sums of health lines. Each of them adds up."""
    names = ("RecordsProcessed", "RecordsRejected", "RecordsOutOfScope", "RequestsFailed", "ignored", "set_aside")
    total: Counter[str] = Counter()
    for each in health:
        assert each["received"] == sum(each.get(name, 0) for name in names)
        total.update({name: each.get(name, 0) for name in (*names, "received", "returned", "MaxTokensUnknown")})
    return total


@pytest.mark.parametrize("late", [30, 45, 90, 200, 299], ids="after {} s".format)
@pytest.mark.parametrize(
    "code", [pytest.param("AccessDenied", id="without ListBucket"), pytest.param("NoSuchKey", id="with ListBucket")]
)
def test_a_body_that_comes_in_time_is_as_good_as_one_that_was_there(
    stack: Stack, read: Read, late: int, code: str
) -> None:
    # given a record whose body is not there yet
    stack.s3.code = code
    stack.run(stack.deliver(large("a")))
    assert read(stack)[0] == []
    # when it comes
    stack.wait(late)
    stack.put("a", {"inferenceConfig": {"maxTokens": 700}})
    stack.wait(1_000)
    # then the call counts once, in the minute in which it began: 100 + 700, and 100 + 5 × 20
    (line,) = read(stack)[0]
    assert (line["max_tokens_source"], line["ReservedTokens"], line["ConsumedTokens"]) == ("explicit", [800], [200])
    assert line["_aws"]["Timestamp"] == int(NOW.replace(second=0).timestamp() * 1000)
    assert line["request_metadata"] == {"team": "search"}
    total = outcomes(read(stack)[1])
    assert (total["RecordsProcessed"], total["MaxTokensUnknown"]) == (1, 0)
    assert total["received"] - total["returned"] == 1
    assert total["set_aside"] == total["returned"] == late // 60 + 1
    assert stack.queue.held == []


def test_case_21_of_the_field(stack: Stack, read: Read) -> None:
    """The object of a large body is there 30 s after the record: 5 + 28,000 + 32,000 are reserved two minutes later."""
    tokens = {"inputTokenCount": 5, "cacheWriteInputTokenCount": 28_000}
    path = {"inputBodyS3Path": f"s3://{BUCKET}/AWSLogs/a_input.json.gz"}
    model = "us.anthropic.claude-opus-4-5-20251101-v1:0"
    stack.run(stack.deliver(invoke(model, None, input=tokens | path, output={"outputTokenCount": 400})))
    stack.at = 30
    stack.put("a", {"max_tokens": 32_000})

    stack.wait(120)

    (line,) = read(stack)[0]
    assert (line["ModelId"], line["EndpointType"]) == ("anthropic.claude-opus-4-5-20251101-v1:0", "cross-region")
    assert (line["ReservedTokens"], line["ConsumedTokens"]) == ([60_005], [28_005 + 5 * 400])


def test_a_body_that_never_comes_is_unknown_once_after_five_minutes(
    stack: Stack, read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    stack.run(stack.deliver(large("a")))
    with caplog.at_level(logging.WARNING):
        stack.wait(299)
        assert read(stack)[0] == []
        assert caplog.records == []
        stack.wait(301)
    # then it counts with what is known of it, and the reason is in the log
    (line,) = read(stack)[0]
    assert (line["max_tokens_source"], line["ConsumedTokens"], "ReservedTokens" in line) == ("unknown", [200], False)
    assert [each.__dict__["reasons"] for each in caplog.records] == [{"AccessDenied": 1}]
    total = outcomes(read(stack)[1])
    assert (total["RecordsProcessed"], total["MaxTokensUnknown"], total["set_aside"]) == (1, 1, 5)
    assert stack.s3.asked.total() == 6
    assert stack.queue.held == []


def test_a_published_call_does_not_wait_for_its_body(stack: Stack, read: Read) -> None:
    stack.put("a", {"inferenceConfig": {"maxTokens": 700}})
    answer = stack.run({**stack.deliver(large("a"), large("b")), "published": True})
    # then the body that is there is read, and the other one is unknown at once
    assert answer == {"received": 2, "processed": 2, "published": 2}
    assert counted(read(stack)[0]) == {("explicit", 800): 1, ("unknown", None): 1}
    assert stack.queue.sent == []


def test_late_calls_leave_the_others_alone_and_say_nothing_about_lag(stack: Stack, read: Read) -> None:
    stack.run(stack.deliver(converse(), large("a"), record(NOVA, errorCode="ThrottlingException")))
    assert counted(read(stack)[0]) == {("explicit", 600): 1}
    stack.put("a", {"inferenceConfig": {"maxTokens": 700}})
    stack.wait(100)
    assert counted(read(stack)[0]) == {("explicit", 600): 1, ("explicit", 800): 1}
    first, second = read(stack)[1]
    assert (first["received"], first["set_aside"], first["RecordLagSeconds"]) == (3, 1, 25.0)
    assert (second["received"], second["returned"], "RecordLagSeconds" in second) == (1, 1, False)


def test_what_time_does_not_mend_is_unknown_at_once(stack: Stack, read: Read, caplog: pytest.LogCaptureFixture) -> None:
    # given bodies that are none, and one in another bucket
    stack.s3.objects["AWSLogs/a_input.json.gz"] = b"plain"
    elsewhere = {"inputTokenCount": 100, "inputBodyS3Path": "s3://theirs/AWSLogs/b_input.json.gz"}
    # when
    with caplog.at_level(logging.WARNING):
        stack.run(stack.deliver(large("a"), converse(input=elsewhere)))
    # then nothing is set aside
    assert counted(read(stack)[0]) == {("unknown", None): 2}
    assert caplog.records[-1].__dict__["reasons"] == {"not_gzip": 1, "another_bucket": 1}
    assert stack.queue.requests == 0


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"late_bodies_seconds": 0}, id="no time to wait"),
        pytest.param({"late_bodies_queue": None}, id="no queue"),
    ],
)
def test_without_a_place_or_time_to_wait_calls_are_unknown_at_once(
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    read: Read,
    settings: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    stack = Stack(registry, monkeypatch)
    stack.container = Container(msgspec.structs.replace(stack.container.settings, **settings), registry, lambda: None)
    stack.run(stack.deliver(large("a")))
    assert counted(read(stack)[0]) == {("unknown", None): 1}
    assert stack.queue.requests == 0
    assert reasons(caplog) == [{"AccessDenied": 1}]


# The queue


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ClientError({"Error": {"Code": "AccessDenied"}}, "SendMessageBatch"), id="access denied"),
        pytest.param(ReadTimeoutError(endpoint_url=QUEUE), id="no answer"),
        pytest.param(ValueError("no JSON"), id="garbage"),
    ],
)
def test_if_the_queue_cannot_be_reached_calls_are_unknown_at_once(
    stack: Stack, read: Read, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    stack.queue.error = error
    with caplog.at_level(logging.WARNING):
        answer = stack.run(stack.deliver(converse(), large("a"), large("b")))
    assert answer == {"received": 3, "processed": 3}
    assert counted(read(stack)[0]) == {("explicit", 600): 1, ("unknown", None): 2}
    total = outcomes(read(stack)[1])
    assert (total["received"], total["set_aside"], total["RecordsProcessed"]) == (3, 0, 3)
    assert [each.getMessage() for each in caplog.records] == [
        "could not send late calls to the queue",
        "could not read large request bodies",
    ]
    assert caplog.records[1].__dict__["reasons"] == {"queue_failed": 2}


def lose_answers(stack: Stack, then: Callable[[], object] = lambda: None, error: Exception | None = None) -> None:
    """Have the queue take messages, but nobody learns of it. Before the caller goes on, something else happens."""
    send = stack.queue.send_message_batch

    def send_and_fail(**request: Any) -> dict[str, Any]:
        send(**request)
        stack.queue.send_message_batch = send  # type: ignore[method-assign]
        then()
        raise error or ReadTimeoutError(endpoint_url=QUEUE)

    stack.queue.send_message_batch = send_and_fail  # type: ignore[method-assign]


def refuse(status: int, attempts: int) -> ClientError:
    metadata = {"HTTPStatusCode": status, "RetryAttempts": attempts}
    return ClientError({"Error": {"Code": "x"}, "ResponseMetadata": metadata}, "SendMessageBatch")  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ReadTimeoutError(endpoint_url=QUEUE), id="no answer"),
        pytest.param(EndpointConnectionError(endpoint_url=QUEUE), id="no connection at the second attempt"),
        pytest.param(refuse(500, 1), id="SQS fails"),
        pytest.param(refuse(403, 1), id="refused at the second attempt"),
        pytest.param(ClientError({"Error": {"Code": "x"}}, "SendMessageBatch"), id="no status"),
        pytest.param(ValueError("no JSON"), id="garbage"),
    ],
)
def test_calls_count_once_although_the_queue_took_them_and_its_answer_was_lost(
    stack: Stack, read: Read, error: Exception
) -> None:
    lose_answers(stack, error=error)
    stack.run(stack.deliver(*(large(f"{number}") for number in range(100))))
    assert counted(read(stack)[0]) == {("unknown", None): 100}
    assert len(stack.queue.held) > 5
    for number in range(100):
        stack.put(f"{number}", {"inferenceConfig": {"maxTokens": 700}})
    # when another container receives the messages
    stack.container = stack.new_container()
    stack.wait(1_000)
    # then they are duplicates
    assert counted(read(stack)[0]) == {("unknown", None): 100}
    assert stack.queue.held == []


def test_messages_without_an_answer_of_their_own_count_once(stack: Stack, read: Read) -> None:
    send = stack.queue.send_message_batch

    def send_and_forget_half(**request: Any) -> dict[str, Any]:
        answer = send(**request)
        taken = answer["Successful"]
        failed = [{"Id": taken[0]["Id"], "Code": "InternalError", "SenderFault": False}]
        return {"Successful": taken[len(taken) // 2 :], "Failed": failed}

    stack.queue.send_message_batch = send_and_forget_half  # type: ignore[method-assign]
    stack.run(stack.deliver(*(large(f"{number}") for number in range(100))))
    unknown = counted(read(stack)[0])["unknown", None]
    stack.queue.send_message_batch = send  # type: ignore[method-assign]
    for number in range(100):
        stack.put(f"{number}", {"inferenceConfig": {"maxTokens": 700}})
    stack.wait(1_000)
    assert 20 < unknown < 80
    assert counted(read(stack)[0]) == {("unknown", None): unknown, ("explicit", 800): 100 - unknown}


def test_a_message_that_has_arrived_before_its_calls_are_counted_is_sent(stack: Stack, read: Read) -> None:
    stack.put("b", {"inferenceConfig": {"maxTokens": 700}})

    def receive() -> None:
        stack.put("a", {"inferenceConfig": {"maxTokens": 700}})
        sender, stack.container = stack.container, stack.new_container()
        stack.wait(60)
        stack.container = sender

    lose_answers(stack, receive)
    stack.run(stack.deliver(large("a"), large("b")))
    assert counted(read(stack)[0]) == {("explicit", 800): 2}
    assert outcomes(read(stack)[1])["set_aside"] == 1


def test_a_run_killed_before_it_counts_calls_that_may_be_in_the_queue_loses_none(stack: Stack, read: Read) -> None:
    # given a run that is killed when it has claimed a message
    lose_answers(stack)
    stack.killed_at = "writing the last lines"
    event = stack.deliver(converse(), large("a"))
    assert stack.run(event) is None
    assert counted(read(stack)[0]) == {("explicit", 600): 1}
    # when Lambda tries again, and the message comes once per run
    stack.at = 61
    stack.run(event)
    stack.put("a", {"inferenceConfig": {"maxTokens": 700}})
    assert len(stack.queue.held) == 2
    stack.wait(1_000)
    # then it counts once
    assert counted(read(stack)[0]) == {("explicit", 600): 2, ("explicit", 800): 1}


def test_if_lines_cannot_be_written_claimed_messages_are_released(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_answers(stack)
    monkeypatch.delattr("bedrock_quota.processor.batch.make_last_lines")
    with pytest.raises(NameError):
        stack.run(stack.deliver(large("a")))
    assert len(stack.queue.held) == 1
    assert stack.memory.in_progress == {}


@pytest.mark.parametrize("error", [refuse(400, 0), refuse(403, 0), refuse(499, 0)], ids=["400", "403", "499"])
def test_a_request_that_was_refused_is_not_claimed(stack: Stack, read: Read, error: ClientError) -> None:
    stack.queue.error = error
    stack.run(stack.deliver(*(large(f"{number}") for number in range(900))))
    assert counted(read(stack)[0]) == {("unknown", None): 900}
    assert len(stack.memory.done) == 1


def test_messages_that_the_sender_got_wrong_are_not_claimed(stack: Stack, read: Read) -> None:
    failed = [{"Id": "0", "Code": "x", "SenderFault": True}]
    stack.queue.send_message_batch = lambda **_: {"Failed": failed}  # type: ignore[method-assign]
    stack.run(stack.deliver(large("a")))
    assert counted(read(stack)[0]) == {("unknown", None): 1}
    assert len(stack.memory.done) == 1


@pytest.mark.parametrize("case", ["detection is off", "state table is down", "no time", "down from then on"])
def test_without_a_claim_calls_count_again_when_their_message_comes(
    stack: Stack, read: Read, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if case == "detection is off":
        stack.container.deliveries = None
    if case == "no time":
        stack.remaining_milliseconds = MIN_MILLISECONDS_TO_CLAIM - 1
    stack.memory.is_down = case == "state table is down"
    lose_answers(stack, lambda: monkeypatch.setattr(stack.memory, "is_down", case == "down from then on"))
    stack.run(stack.deliver(*(large(f"{number}") for number in range(100))))
    # then at most one claim is tried
    assert sum(" part " in each for each in stack.memory.asked) == (case == "down from then on")
    assert counted(read(stack)[0]) == {("unknown", None): 100}
    stack.remaining_milliseconds = 60_000
    monkeypatch.setattr(stack.memory, "is_down", False)
    for number in range(100):
        stack.put(f"{number}", {"inferenceConfig": {"maxTokens": 700}})
    stack.wait(1_000)
    assert counted(read(stack)[0]) == {("unknown", None): 100, ("explicit", 800): 100}


def test_a_queue_that_fails_is_not_asked_again_for_the_other_calls(stack: Stack, read: Read) -> None:
    stack.queue.error = ReadTimeoutError(endpoint_url=QUEUE)
    stack.run(stack.deliver(*(large(f"{number}") for number in range(900))))
    assert stack.queue.requests == 1
    assert counted(read(stack)[0]) == {("unknown", None): 900}


def test_messages_that_the_queue_refuses_are_unknown_and_the_others_wait(
    stack: Stack, read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    # given a queue that refuses every other message
    stack.queue.refused = lambda number: "InternalError" if number % 2 else None
    with caplog.at_level(logging.WARNING):
        stack.run(stack.deliver(*(large(f"{number}") for number in range(300))))
    assert caplog.records[0].__dict__["codes"] == ["InternalError"]
    # then each call is either unknown or waits
    unknown = counted(read(stack)[0])["unknown", None]
    waiting = sum(len(json.loads(text)["calls"]) for text in stack.queue.sent)
    assert 0 < unknown < 300
    assert unknown + waiting == 300
    assert outcomes(read(stack)[1])["set_aside"] == waiting


def test_requests_to_a_slow_queue_end(stack: Stack) -> None:
    # given a queue, each request to which takes 0.9 s
    places = find_places([f"{number}" for number in range(1_000)])
    late = [LateCall(b"{" + b" " * 12_000 + b"}", None, *place) for place in places]  # type: ignore[arg-type]
    queue = Queue(QUEUE, 60, 300, lambda: stack.queue)  # type: ignore[arg-type,return-value]
    # when 1,000 calls of 12 KB are sent, about 11 in a message and one message in a request
    clock = itertools.count(0, 0.9)
    unsent = queue.send([(Waiting(0), late)], 0, lambda: next(clock))
    # then no request begins after 2 s: the one before the first is the clock's beginning
    assert stack.queue.requests == len(stack.queue.sent) == 2
    sent = sum(len(json.loads(text)["calls"]) for text in stack.queue.sent)
    assert len(unsent.calls) == 1_000 - sent
    # and the reason is the time, because the queue has not failed
    assert (set(unsent.calls.values()), unsent.uncertain) == ({"queue_slow"}, [])


@pytest.mark.parametrize(
    ("tag", "most"),
    [
        pytest.param("search", MAX_CALLS_PER_PART, id="ordinary calls"),
        pytest.param("x" * 256, MAX_CALLS_PER_PART, id="a long tag"),
        pytest.param("\U0001f600" * 256, MAX_CALLS_PER_PART, id="calls of 3.6 KB"),
    ],
)
def test_calls_share_messages_and_messages_share_requests(stack: Stack, tag: str, most: int) -> None:
    stack.run(stack.deliver(*(large(f"{number:04}") | {"requestMetadata": {"team": tag}} for number in range(1_000))))

    calls = [len(json.loads(text)["calls"]) for text in stack.queue.sent]
    assert sum(calls) == 1_000
    assert most // 2 < sum(calls) / len(calls) < max(calls) <= most


def test_calls_of_one_body_are_told_apart(stack: Stack, read: Read) -> None:
    stack.run(stack.deliver(*[large("a")] * 100))
    stack.put("a", {"inferenceConfig": {"maxTokens": 700}})
    stack.wait(100)
    assert max(len(json.loads(text)["calls"]) for text in stack.queue.sent) <= MAX_CALLS_PER_PART
    assert counted(read(stack)[0]) == {("explicit", 800): 100}


def test_the_place_of_a_call_is_its_own() -> None:
    """A part has the same calls in any order, and if others are missing it is the same or joined with its neighbour."""
    paths = [f"s3://{BUCKET}/{number}" for number in range(1_000)]
    places = dict(zip(paths, find_places(paths), strict=True))
    assert dict(zip(paths[::-1], find_places(paths[::-1]), strict=True)) == places
    fewer = dict(zip(paths[1:], find_places(paths[1:]), strict=True))
    assert all(fewer[path][0] == places[path][0] and places[path][1] - fewer[path][1] in {0, 1} for path in paths[1:])
    assert sum(fewer[path] != places[path] for path in paths[1:]) <= MAX_CALLS_PER_PART
    assert find_places([]) == []
    assert find_places(["\ud800", "\ud801"])[0] != find_places(["\ud801"])[0]


def test_no_more_calls_wait_than_the_bound(
    stack: Stack, read: Read, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pipeline, "MAX_SET_ASIDE", 3)
    stack.run(stack.deliver(*(large(f"{number}") for number in range(5))))
    assert counted(read(stack)[0]) == {("unknown", None): 2}
    assert outcomes(read(stack)[1])["set_aside"] == 3
    assert reasons(caplog) == [{"too_many_waiting": 2}]


def test_bodies_that_were_not_read_in_time_are_read_later(
    stack: Stack, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given more bodies than a delivery may read, all there
    monkeypatch.setattr("bedrock_quota.processor.large_bodies.MAX_BODIES", 2)
    for number in range(5):
        stack.put(f"{number}", {"inferenceConfig": {"maxTokens": 700}})
    stack.run(stack.deliver(*(large(f"{number}") for number in range(5))))
    assert counted(read(stack)[0]) == {("explicit", 800): 2}
    # then the rest is read two by two
    stack.wait(200)
    assert counted(read(stack)[0]) == {("explicit", 800): 5}


def reasons(caplog: pytest.LogCaptureFixture) -> list[dict[str, int]]:
    """The reasons in the log for which bodies stay unread."""
    return [each.__dict__["reasons"] for each in caplog.records if "reasons" in each.__dict__]


def test_no_more_bytes_wait_than_the_bound(
    stack: Stack, read: Read, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # given that 700 bytes of late calls are enough: the second call of some 500 bytes passes it
    monkeypatch.setattr(pipeline, "MAX_SET_ASIDE_BYTES", 700)
    stack.run(stack.deliver(*(large(f"{number}") for number in range(5))))
    assert outcomes(read(stack)[1])["set_aside"] == 2
    assert counted(read(stack)[0]) == {("unknown", None): 3}
    assert reasons(caplog) == [{"too_many_waiting": 3}]


def test_a_group_of_a_stream_ends_when_enough_late_calls_take_memory(
    stack: Stack, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bedrock_quota.processor.batch.MAX_LATE_BYTES_PER_GROUP", 700)
    stack.run(events.batch([stack.deliver(large(name)) for name in "abcde"]))
    # two calls of some 500 bytes pass it, so the five are written in three groups
    assert [each["set_aside"] for each in read(stack)[1]] == [2, 2, 1]
    assert stack.queue.requests == 3


@pytest.mark.parametrize(
    ("keys", "tag", "calls"),
    [
        pytest.param(1, "search", 1_000, id="ordinary calls"),
        pytest.param(16, "x" * 256, 1_000, id="16 tags of 256 letters"),
        pytest.param(9, "é" * 256, 360, id="9 tags of 256 accents"),
    ],
)
def test_late_calls_of_a_full_batch_are_sent_in_few_requests(  # noqa: PLR0917 - cases
    registry: Registry, monkeypatch: pytest.MonkeyPatch, read: Read, keys: int, tag: str, calls: int
) -> None:
    """A healthy queue answers 40 requests within `SECONDS_TO_SEND` if each takes 50 ms."""
    stack = Stack(registry, monkeypatch)
    names = tuple(f"key{number:02}" for number in range(keys))
    stack._settings = msgspec.structs.replace(stack.container.settings, metadata_keys=names)
    stack.container = stack.new_container()
    before: list[int] = []
    publish = stack._publish

    def count_requests(outcome: Outcome | None, again: Sequence[bytes]) -> None:
        before.append(stack.queue.requests)
        publish(outcome, again)

    monkeypatch.setattr(stack, "_publish", count_requests)
    call = {"requestMetadata": dict.fromkeys(names, tag)}
    stack.run(
        events.batch([stack.deliver(*(large(f"{n}-{number}") | call for number in range(calls))) for n in range(3)])
    )
    assert max(after - earlier for earlier, after in itertools.pairwise(before)) <= 40
    assert outcomes(read(stack)[1])["set_aside"] == 3 * calls


@pytest.mark.parametrize("events_per_group", [1, 10_000], ids=["written one by one", "written together"])
def test_late_calls_of_a_stream_wait_with_those_of_their_delivery(
    stack: Stack, read: Read, monkeypatch: pytest.MonkeyPatch, events_per_group: int
) -> None:
    # given three deliveries of a stream, each with a late call
    monkeypatch.setattr("bedrock_quota.processor.batch.MAX_EVENTS_PER_GROUP", events_per_group)
    batch = events.batch([stack.deliver(converse(), large(name)) for name in "abc"])
    # when they come, are brought again, and the bodies come
    assert stack.run(batch) == {"batchItemFailures": []}
    assert stack.queue.requests == (3 if events_per_group == 1 else 1)
    assert stack.run(batch) == {"batchItemFailures": []}
    assert len(stack.queue.held) == 3
    for name in "abc":
        stack.put(name, {"inferenceConfig": {"maxTokens": 700}})
    stack.wait(100)
    # then each call counts once
    assert counted(read(stack)[0]) == {("explicit", 600): 3, ("explicit", 800): 3}
    assert outcomes(read(stack)[1])["set_aside"] == 3


def test_late_calls_of_a_stream_are_unknown_without_the_queue(stack: Stack, read: Read) -> None:
    stack.queue.error = ReadTimeoutError(endpoint_url=QUEUE)
    stack.run(events.batch([stack.deliver(converse(), large(name)) for name in "abc"]))
    assert counted(read(stack)[0]) == {("explicit", 600): 3, ("unknown", None): 3}
    claims, deliveries = [1, 1, 1], [2, 2, 2]
    assert [result["processed"] for result in stack.memory.done.values()] == claims + deliveries


# Once, and not lost


def test_a_message_in_progress_elsewhere_holds_back_no_other_one(
    stack: Stack, read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    # given three messages, the second of which another run is processing
    for name in "abc":
        stack.run(stack.deliver(large(name)))
        stack.put(name, {"inferenceConfig": {"maxTokens": 700}})
    messages = [(name, body) for _, name, body in stack.queue.held]
    stack.at = 61
    stack.memory.start(late_bodies.read_message(messages[1][1]).key, None)
    stack.memory.in_progress = dict.fromkeys(stack.memory.in_progress, 120.0)
    # when
    answer = stack.run(of_queue(messages))
    # then SQS sends it again, and the other two count
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m2"}]}
    assert counted(read(stack)[0]) == {("explicit", 800): 2}
    assert [each.getMessage() for each in caplog.records] == ["another run is processing a message: SQS sends it again"]
    stack.at = 421
    assert stack.run(of_queue([messages[1]])) == {"batchItemFailures": []}
    assert counted(read(stack)[0]) == {("explicit", 800): 3}


def test_messages_that_are_all_in_progress_elsewhere_come_again(stack: Stack) -> None:
    for name in "ab":
        stack.run(stack.deliver(large(name)))
    messages = [(name, body) for _, name, body in stack.queue.held]
    for _, body in messages:
        stack.memory.start(late_bodies.read_message(body).key, None)
    written = len(stack.written)
    answer = stack.run(of_queue(messages))
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m1"}, {"itemIdentifier": "m2"}]}
    assert len(stack.written) == written


@pytest.mark.parametrize("source", ["", "ab"], ids=["no source", "a source"])
def test_messages_make_no_container_forget_events_or_the_source_of_its_logs(
    stack: Stack, read: Read, source: str
) -> None:
    # given a message before the first delivery
    body = json.dumps({"since": 1, "source": source, "calls": [converse(), converse(input_tokens=200)]})
    stack.run(of_queue([("m1", body)]))
    assert counted(read(stack)[0]) == {("explicit", 600): 1, ("explicit", 700): 1}
    # when a delivery of two events comes, and another message
    stack.run(stack.deliver(converse(), converse()))
    stack.run(of_queue([("m2", body + " ")]))
    # then the ids of the two are remembered as they are, and nothing else
    assert list(stack.container.seen.ids) == [f"{0:056d}", f"{1:056d}"]


def test_more_messages_are_claimed_only_if_there_is_time_to_record_them(stack: Stack) -> None:
    # given three messages that SQS may have taken, and time for two claims: the second needs 600 ms more
    lose_answers(stack, lambda: setattr(stack, "remaining_milliseconds", MIN_MILLISECONDS_TO_CLAIM + 600))
    stack.run(events.batch([stack.deliver(large(name)) for name in "abc"]))
    assert sum(" part " in each for each in stack.memory.asked) == 2
    assert sum(" part " in each for each in stack.memory.done) == 2


RESOLVED = {"arn": PROFILE_ARN, "model": {"model_id": SONNET, "endpoint_type": "cross-region"}}


@pytest.mark.parametrize(
    "called",
    [
        pytest.param({"modelId": PROFILE_ARN}, id="profile"),
        pytest.param(
            {
                "modelId": "arn:aws:bedrock:us-east-1:111122223333:prompt-router/abc",
                "output": {
                    "outputTokenCount": 20,
                    "outputBodyJson": {"trace": {"promptRouter": {"invokedModelId": PROFILE_ARN}}},
                },
            },
            id="profile that a prompt router chose",
        ),
    ],
)
def test_a_late_call_of_a_profile_needs_no_second_look_up(stack: Stack, read: Read, called: dict[str, Any]) -> None:
    # given a container that knows the profile, and a call of it that is set aside twice
    stack.container.restore_profiles({PROFILE_ARN: Reference(SONNET, EndpointType.CROSS_REGION)})
    stack.run(stack.deliver({**large("a"), **called}))
    assert json.loads(stack.queue.sent[0])["calls"][0]["resolvedProfile"] == RESOLVED
    for until in (61, 1_000):
        # when other containers take it back, to which nobody tells the profile
        stack.container = stack.new_container()
        stack.wait(until)
        stack.put("a", {"inferenceConfig": {"maxTokens": 700}})
    # then it counts in the same pool
    (line,) = read(stack)[0]
    assert (line["ModelId"], line["EndpointType"], line["ReservedTokens"]) == (SONNET, "cross-region", [800])
    assert line["application_profile"] == "a1b2c3d4e5f6"


@pytest.mark.parametrize(
    "resolved",
    [
        pytest.param(None, id="null"),
        pytest.param(5, id="a number"),
        pytest.param({"arn": PROFILE_ARN}, id="no model"),
        pytest.param(RESOLVED | {"model": {"model_id": SONNET, "endpoint_type": "x"}}, id="unknown endpoint type"),
        pytest.param(RESOLVED | {"arn": "a" * 300}, id="long ARN"),
    ],
)
def test_a_call_whose_profile_cannot_be_read_is_read_all_the_same(stack: Stack, read: Read, resolved: object) -> None:
    body = json.dumps({"since": 1, "calls": [converse() | {"resolvedProfile": resolved}]})
    stack.run(of_queue([("m1", body)]))
    assert counted(read(stack)[0]) == {("explicit", 600): 1}


def test_a_message_that_comes_twice_counts_once(stack: Stack, read: Read) -> None:
    stack.run(stack.deliver(large("a")))
    stack.put("a", {"inferenceConfig": {"maxTokens": 700}})
    (again,) = stack.queue.held
    stack.wait(100)
    # when SQS delivers it again, to another container
    stack.container = stack.new_container()
    stack.run(of_queue([(again[1], again[2])]))
    assert counted(read(stack)[0]) == {("explicit", 800): 1}


def test_a_request_that_the_queue_carried_out_twice_counts_once(stack: Stack, read: Read) -> None:
    """Without an answer to the first attempt, boto3 sends again, and SQS has two messages with ids of their own."""
    stack.run(stack.deliver(large("a")))
    ((visible, _, body),) = stack.queue.held
    stack.queue.held.append((visible, "another id", body))
    stack.put("a", {"inferenceConfig": {"maxTokens": 700}})
    stack.wait(100)
    assert counted(read(stack)[0]) == {("explicit", 800): 1}


def test_equal_records_that_bedrock_logs_twice_count_twice(stack: Stack, read: Read) -> None:
    """As they do if their bodies are there: a log event counts once, and these are two."""
    for together in (1, 1, 2):
        stack.run(stack.deliver(*[large("a")] * together))
    stack.put("a", {"inferenceConfig": {"maxTokens": 700}})
    stack.wait(100)
    assert counted(read(stack)[0]) == {("explicit", 800): 4}


@pytest.mark.parametrize("there", [False, True], ids=["body still missing", "body has come"])
@pytest.mark.parametrize(
    ("killed", "lines", "late"),
    [
        pytest.param("writing", 1, 1, id="before it writes"),
        pytest.param("sending", 2, 1, id="before it sets calls aside"),
        pytest.param("recording", 2, 2, id="before it records the delivery"),
    ],
)
def test_only_a_run_killed_between_writing_and_recording_counts_twice(  # noqa: PLR0917 - cases
    stack: Stack, read: Read, killed: str, lines: int, late: int, there: bool
) -> None:
    # given a run that is killed
    event = stack.deliver(converse(), large("a"))
    if killed == "recording":
        stack.memory.killed_at = killed
    else:
        stack.killed_at = killed
    assert stack.run(event) is None
    assert len(stack.queue.held) == (killed == "recording")
    # when Lambda tries again after it, and the body comes before or after that
    stack.at = 61
    if there:
        stack.put("a", {"inferenceConfig": {"maxTokens": 700}})
    stack.run(event)
    stack.put("a", {"inferenceConfig": {"maxTokens": 700}})
    stack.wait(1_000)
    # then nothing is lost. A late call counts twice only if its body came between the runs, because messages of the
    # same part count once
    assert counted(read(stack)[0]) == {("explicit", 600): lines, ("explicit", 800): late if there else 1}


@pytest.mark.parametrize("tag", ["search", "x" * 256], ids=["ordinary calls", "a long tag"])
@pytest.mark.parametrize("between", [0, 1, 200, 399], ids="{} bodies come".format)
def test_a_run_killed_before_recording_counts_only_calls_twice_whose_body_came_before_the_next(
    stack: Stack, read: Read, between: int, tag: str
) -> None:
    # given 400 calls that were set aside by a run that was killed then
    event = stack.deliver(*(large(f"{number}") | {"requestMetadata": {"team": tag}} for number in range(400)))
    stack.memory.killed_at = "recording"
    assert stack.run(event) is None
    # when some bodies come before Lambda tries again, and the others after it
    stack.at = 61
    for number in range(400):
        if number == between:
            stack.run(event)
        stack.put(f"{number}", {"inferenceConfig": {"maxTokens": 1_000 + number}})
    stack.wait(1_000)
    # then the others count once
    expected = {("explicit", 1_100 + number): 2 if number < between else 1 for number in range(400)}
    assert counted(read(stack)[0]) == expected


def test_a_run_over_a_message_killed_before_recording_counts_only_calls_twice_whose_body_came_before_the_next(
    stack: Stack, read: Read
) -> None:
    # given a message of which no body has come, and a run over it that is killed when it has sent them again
    stack.run(stack.deliver(*(large(f"{number}") for number in range(10))))
    stack.memory.killed_at = "recording"
    stack.wait(61)
    # when one body comes before SQS brings the message again, whose time is over then
    stack.put("3", {"inferenceConfig": {"maxTokens": 700}})
    stack.wait(1_000)
    # then only that call counts twice: the message that the killed run had sent came first
    assert counted(read(stack)[0]) == {("explicit", 800): 2, ("unknown", None): 9}
    assert stack.queue.held == []


def test_calls_that_a_killed_run_has_sent_count_twice_if_the_queue_refuses_the_next_run(
    stack: Stack, read: Read
) -> None:
    """This takes two faults at once. A claim of each refused message would cost a request per message."""
    event = stack.deliver(*(large(f"{number}") for number in range(10)))
    stack.memory.killed_at = "recording"
    assert stack.run(event) is None
    stack.at, stack.queue.error = 61, refuse(403, 0)
    stack.run(event)
    stack.queue.error = None
    stack.wait(1_000)
    assert counted(read(stack)[0]) == {("unknown", None): 20}


def test_deliveries_that_begin_with_the_same_event_have_parts_of_their_own(stack: Stack, read: Read) -> None:
    """CloudWatch Logs may send events again together with others, and another container does not know the first."""
    records = [large("a"), large("b")]
    first = stack.deliver(records[0])
    stack._ids = 0
    second = stack.deliver(*records)
    stack.run(first)
    stack.container = stack.new_container()
    stack.run(second)
    for name in "ab":
        stack.put(name, {"inferenceConfig": {"maxTokens": 700 + ord(name)}})
    stack.wait(100)
    assert counted(read(stack)[0]) == {("explicit", 897): 2, ("explicit", 898): 1}


def test_killed_with_a_message_in_hand_counts_it_when_it_comes_again(stack: Stack, read: Read) -> None:
    # given a message whose run is killed before it writes
    stack.run(stack.deliver(large("a"), large("b")))
    stack.put("a", {"inferenceConfig": {"maxTokens": 700}})
    stack.killed_at = "writing"
    stack.wait(100)
    assert read(stack)[0] == []
    # then SQS brings it again when its time is over, and the other call has waited for long enough
    stack.wait(1_000)
    assert counted(read(stack)[0]) == {("explicit", 800): 1, ("unknown", None): 1}


@given(
    arrivals=st.lists(st.none() | st.integers(0, 400), min_size=1, max_size=12),
    sizes=st.lists(st.integers(1, 4), min_size=12, max_size=12),
    kills=st.lists(st.sampled_from(["writing", None, None]), max_size=6),
    seed=st.integers(0, 2**32),
)
def test_whenever_bodies_come_each_call_counts_once(
    registry: Registry,
    arrivals: list[int | None],
    sizes: list[int],
    kills: list[str | None],
    seed: int,
) -> None:
    """Bodies come at any time or never, messages come twice, and runs over messages are killed before they write."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        stack = Stack(registry, monkeypatch)
        names = iter(range(len(arrivals)))
        for size in sizes:
            part = [f"{number}" for _, number in zip(range(size), names, strict=False)]
            if part:
                stack.run(stack.deliver(*map(large, part)))
        pending, duplicates = list(kills), random.Random(seed)
        for second in range(0, 1_500, 20):
            for number, arrival in enumerate(arrivals):
                if arrival is not None and second - 20 < arrival <= second:
                    stack.put(f"{number}", {"inferenceConfig": {"maxTokens": 1_000 + number}})
            if stack.queue.held and duplicates.random() < 0.1:
                visible, _, body = duplicates.choice(stack.queue.held)
                stack.queue.held.append((visible, "twice", body))
            stack.killed_at = pending.pop() if pending else None
            stack.wait(float(second))
            stack.killed_at = None
        lines = [json.loads(each) for each in stack.written]
    found = counted(line for line in lines if "requests" in line)
    # each call once, known if its body came before the call's last read, of which the kills may add one after 5 minutes
    assert found.total() == len(arrivals)
    known = {reserved - 1_100 for source, reserved in found if source == "explicit" and reserved is not None}
    assert known >= {number for number, arrival in enumerate(arrivals) if arrival is not None and arrival <= 280}
    assert known <= {number for number, arrival in enumerate(arrivals) if arrival is not None}
    assert stack.queue.held == []


@given(st.lists(st.tuples(st.sampled_from([0, 30, 90, 239, 310, 400, None]), st.integers(1, 90_000)), max_size=40))
def test_sums_are_those_of_the_oracle(registry: Registry, calls: list[tuple[int | None, int]]) -> None:
    """A body that is there within five minutes says what its call reserved, as if it had been there at once."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        stack = Stack(registry, monkeypatch)
        records = [large(f"{number}") for number in range(len(calls))]
        bodies = {
            each["input"]["inputBodyS3Path"]: (late, {"inferenceConfig": {"maxTokens": limit}})
            for each, (late, limit) in zip(records, calls, strict=True)
            if late is not None
        }
        stack.run(stack.deliver(*records))
        for seconds in (0, 30, 90, 239, 310, 400, 1_000):
            stack.wait(seconds)
            for number, (late, limit) in enumerate(calls):
                if late == seconds:
                    stack.put(f"{number}", {"inferenceConfig": {"maxTokens": limit}})
        lines = [line for line in map(json.loads, stack.written) if "requests" in line]
    expected = oracle.sum_up(records, oracle.facts_of(ROOT / "registry" / "models", NOW), {}, bodies)
    sums = [minute for minutes in expected.pools.values() for minute in minutes.values()]
    assert sum(line.get("reserved_tokens", 0) for line in lines) == sum(each.reserved for each in sums)
    assert sum(line["consumed_tokens"] for line in lines) == sum(each.consumed for each in sums)
    assert sum(line["requests"] for line in lines) == sum(each.requests for each in sums) == len(calls)
    unknown = sum(line["requests"] for line in lines if line["max_tokens_source"] == "unknown")
    assert unknown == sum(each.unknown for each in sums)


# Messages


def test_a_message_holds_paths_and_counts_and_no_words_of_a_prompt(stack: Stack) -> None:
    answer = {"output": {"message": {"content": [{"text": SECRET}]}}, "stopReason": "end_turn"}
    stack.run(stack.deliver(large("a", output={"outputTokenCount": 20, "outputBodyJson": answer})))

    (text,) = stack.queue.sent
    assert SECRET not in text
    (call,) = json.loads(text)["calls"]
    assert call["input"] == {
        "inputTokenCount": 100,
        "inputBodyS3Path": f"s3://{BUCKET}/AWSLogs/a_input.json.gz",
    }
    assert call["output"]["outputTokenCount"] == 20
    assert call["requestMetadata"] == {"team": "search"}


@pytest.mark.parametrize(
    ("with_sessions", "caller"),
    [
        pytest.param(False, "AWSReservedSSO_Dev", id="role"),
        pytest.param(True, "AWSReservedSSO_Dev/a@b.c", id="session"),
    ],
)
def test_a_message_is_exactly_this(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, with_sessions: bool, caller: str
) -> None:
    stack = Stack(registry, monkeypatch, with_sessions=with_sessions)
    answer = {"stopReason": SECRET, "service_tier": SECRET, "performanceConfig": {"latency": SECRET}}
    trace = {"promptRouter": {"invokedModelId": SECRET}}
    arn = "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Dev/a@b.c"
    call = large(
        "a",
        identity={"arn": arn},
        output={
            "outputTokenCount": 20,
            "outputBodyJson": answer | {"trace": trace, "choices": [{"finish_reason": SECRET}]},
        },
        performanceConfig={"latency": SECRET},
        errorCode=None,
        more=SECRET,
    )
    stack.run(stack.deliver(call))

    (text,) = stack.queue.sent
    (found,) = json.loads(text)["calls"]
    assert found == {
        "timestamp": call["timestamp"],
        "modelId": call["modelId"],
        "operation": "Converse",
        "requestId": call["requestId"],
        "schemaType": "ModelInvocationLog",
        "identity": {"arn": f"arn:aws:sts:::assumed-role/{caller}"},
        "requestMetadata": {"team": "search"},
        "performanceConfig": {"latency": "standard"},
        "input": {
            "inputTokenCount": 100,
            "inputBodyS3Path": f"s3://{BUCKET}/AWSLogs/a_input.json.gz",
        },
        "output": {
            "outputTokenCount": 20,
            "outputBodyJson": {"serviceTier": "other", "performanceConfig": {"latency": "standard"}},
        },
    }


@pytest.mark.parametrize(
    "text", ["the words of the prompt", "0", "5", "1000000000000", ""], ids=["words", "zero", "low", "long", "empty"]
)
def test_a_declared_limit_is_not_in_a_message(stack: Stack, text: str) -> None:
    """A call waits only if the limit says nothing or is below its output, so that its body must tell."""
    stack.run(stack.deliver(large("a") | {"requestMetadata": {"team": "search", "max_tokens": text}}))
    (call,) = json.loads(stack.queue.sent[0])["calls"]
    assert call["requestMetadata"] == {"team": "search"}


@pytest.mark.parametrize(
    ("operation", "word"),
    [
        pytest.param("ConverseStream", "ConverseStream", id="one word"),
        pytest.param("the words of the prompt", "other", id="words"),
        pytest.param("Converse " + SECRET, "other", id="begins like one"),
    ],
)
def test_an_operation_in_a_message_is_one_word(stack: Stack, operation: str, word: str) -> None:
    stack.run(stack.deliver({**large("a"), "operation": operation}))
    assert json.loads(stack.queue.sent[0])["calls"][0]["operation"] == word


def test_an_empty_tag_survives_the_queue(stack: Stack, read: Read) -> None:
    stack.run(stack.deliver({**large("a"), "requestMetadata": {"team": ""}}))
    stack.put("a", {"inferenceConfig": {"maxTokens": 700}})
    stack.wait(100)
    assert [line["request_metadata"] for line in read(stack)[0]] == [{"team": ""}]


def test_a_call_that_waited_is_the_same_record() -> None:
    text = message(large("a", performanceConfig={"latency": "optimized"}))
    given = read_record(text, StepBudget())

    encoded = encode_call(given)

    assert encoded is not None
    assert read_record(encoded, StepBudget()) == given


def test_a_call_with_the_longest_tags_there_are_waits() -> None:
    tags = {f"{number:02}" + "k" * 254: "v" * 256 for number in range(16)}  # Converse takes 16 of 256 characters each
    encoded = encode_call(read_record(message(large("a") | {"requestMetadata": tags}), StepBudget()))
    assert encoded is not None
    assert json.loads(encoded)["requestMetadata"] == tags


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"operation": "x" * 16_000}, id="long operation"),
        pytest.param({"identity": {"arn": "é" * 4_000}}, id="long caller"),
        pytest.param({"requestId": "0" * 17_000}, id="long request id"),
        pytest.param({"performanceConfig": {"latency": "x" * 16_000}}, id="long latency"),
        pytest.param({"requestMetadata": {"team": "x" * 16_000}}, id="long tag"),
    ],
)
def test_a_call_waits_however_long_its_texts_are(stack: Stack, read: Read, changes: dict[str, Any]) -> None:
    stack.run(stack.deliver({**large("a"), **changes}))
    (text,) = stack.queue.sent
    assert len(text) < 2_000
    assert outcomes(read(stack)[1])["set_aside"] == 1


def test_a_call_that_is_too_large_for_the_queue_is_unknown_at_once(
    stack: Stack, read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    # given texts within their bounds that take 12 bytes per character in a message
    path = f"s3://{BUCKET}/" + "\U0001f600" * 2_000
    call = large("a", identity={"arn": "é" * 512}) | {"requestMetadata": {"team": "\U0001f600" * 256}}
    call["input"]["inputBodyS3Path"] = path
    stack.run(stack.deliver(call, large("b")))
    assert counted(read(stack)[0]) == {("unknown", None): 1}
    assert outcomes(read(stack)[1])["set_aside"] == 1
    assert reasons(caplog) == [{"too_large_to_wait": 1}]


@pytest.mark.parametrize(
    "caller", ["é\u2028\uffff", "\ud83d\ude00", "\x00\x1f", "a\ud800b"], ids=["BMP", "emoji", "control", "half a pair"]
)
def test_any_character_survives_the_queue(stack: Stack, read: Read, caller: str) -> None:
    stack.run(stack.deliver(large("a", identity={"arn": f"arn:aws:iam::111122223333:user/{caller}"}), large("b")))
    for name in "ab":
        stack.put(name, {"inferenceConfig": {"maxTokens": 700}})
    stack.wait(100)
    assert counted(read(stack)[0]) == {("explicit", 800): 2}


HEAD = '{"since": 1795435230, "calls": '


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("", id="empty"),
        pytest.param("hello", id="text"),
        pytest.param("[]", id="a list"),
        pytest.param("null", id="null"),
        pytest.param("{}", id="nothing in it"),
        pytest.param('{"since": "x", "calls": []}', id="since is text"),
        pytest.param('{"since": -1, "calls": []}', id="since before 1970"),
        pytest.param('{"since": 1e400, "calls": []}', id="since beyond a float"),
        pytest.param('{"since": 9999999999999999999999, "calls": []}', id="since beyond an integer"),
        pytest.param('{"since": 1, "reads": -1, "calls": []}', id="negative reads"),
        pytest.param('{"since": 1, "source": 5, "calls": []}', id="source is a number"),
        pytest.param(f'{{"since": 1, "source": "{"x" * 300}", "calls": []}}', id="long source"),
        pytest.param('{"since": 1, "source": "a", "part": 5, "calls": []}', id="part is a number"),
        pytest.param(f'{{"since": 1, "source": "a", "part": "{"0" * 600}", "calls": []}}', id="long part"),
        pytest.param('{"since": 1, "source": "a", "part": "\\ud800", "calls": []}', id="part with half a pair"),
        pytest.param(HEAD + "{}}", id="calls are an object"),
        pytest.param(HEAD + "[1", id="cut short"),
        pytest.param(HEAD + f"[{'0,' * 400_000}0]}}", id="400,000 calls"),
        pytest.param(HEAD + "[" * 100_000, id="nested"),
        pytest.param("\ud800", id="half a pair"),
        pytest.param(message(converse()), id="a record"),
    ],
)
def test_a_message_that_cannot_be_read_is_counted_and_dropped(
    stack: Stack, read: Read, body: str, read_line: ReadLine
) -> None:
    # given it between two good ones
    stack.run(stack.deliver(large("a")))
    stack.put("a", {"inferenceConfig": {"maxTokens": 700}})
    ((_, _, good),) = stack.queue.held
    # when
    answer = stack.run(of_queue([("m1", body), ("m2", good)]))
    # then Lambda deletes both
    assert answer == {"batchItemFailures": []}
    assert counted(read(stack)[0]) == {("explicit", 800): 1}
    health = read(stack)[1][-1]
    assert (health["RecordsRejected"], health["rejected_reasons"]) == (1, {"unreadable_message": 1})
    outcomes(read(stack)[1])
    assert read_line(stack.written[-1])


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        pytest.param("5", "not_an_object", id="a number"),
        pytest.param("{}", "missing_model_id", id="nothing in it"),
        pytest.param('{"modelId": "m"}', "missing_timestamp", id="no timestamp"),
        pytest.param(
            '{"modelId":"m","timestamp":"2026-11-23T12:00:05Z","input":{"inputTokenCount":-1}}',
            "negative_count",
            id="negative count",
        ),
        pytest.param(
            '{"modelId":"m","timestamp":"2026-10-23T12:00:05Z","input":{"inputTokenCount":1},'
            '"output":{"outputTokenCount":1}}',
            "too_old",
            id="a month old",
        ),
    ],
)
def test_a_call_that_cannot_be_read_is_rejected_and_the_others_count(
    stack: Stack, read: Read, call: str, reason: str
) -> None:
    body = HEAD + f"[{message(converse())},{call}]}}"
    assert stack.run(of_queue([("m1", body)])) == {"batchItemFailures": []}
    assert counted(read(stack)[0]) == {("explicit", 600): 1}
    assert read(stack)[1][0]["rejected_reasons"] == {reason: 1}


@pytest.mark.parametrize(
    "head",
    [
        pytest.param({"since": 2**53}, id="in the far future"),
        pytest.param({"since": int(NOW.timestamp()), "reads": 2**53}, id="read for ever"),
    ],
)
def test_no_message_comes_back_for_ever(stack: Stack, read: Read, head: dict[str, int]) -> None:
    call = json.loads(message(large("a")))
    stack.queue.held.append((0, "m0", json.dumps(head | {"calls": [call]})))

    stack.wait(late_bodies.MAX_READS * 60 + 60)

    assert stack.queue.held == []
    assert counted(read(stack)[0]) == {("unknown", None): 1}


def test_a_message_of_a_later_version_is_read_for_what_is_known(stack: Stack, read: Read) -> None:
    body = json.dumps({"since": 1, "kind": "new", "calls": [converse() | {"more": [1]}]})
    stack.run(of_queue([("m1", body)]))
    assert counted(read(stack)[0]) == {("explicit", 600): 1}


def test_messages_of_a_batch_that_were_not_processed_come_again(stack: Stack, read: Read) -> None:
    # given three messages, and lines that cannot be written
    bodies = [HEAD + f"[{message(converse(input_tokens=number))}]}}" for number in (1, 2, 3)]
    event = of_queue([(f"m{number}", body) for number, body in enumerate(bodies)])
    sent = split_event(event)
    # then each of those behind the results is named, not the first alone as for a stream
    assert batch_response(sent, [{}]) == {"batchItemFailures": [{"itemIdentifier": "m1"}, {"itemIdentifier": "m2"}]}
    assert batch_response(sent, [{}, {}, {}]) == {"batchItemFailures": []}
    assert stack.run(event) == {"batchItemFailures": []}
    assert counted(read(stack)[0]).total() == 3


@pytest.mark.parametrize("delay", [0, 1, 60], ids="delay of {} s".format)
def test_calls_that_wait_take_their_delay_and_no_longer_than_is_left(stack: Stack, delay: int) -> None:
    late = [LateCall(b"{}", None, b"", 0)]  # type: ignore[arg-type]
    queue = Queue(QUEUE, delay, 300, lambda: stack.queue)  # type: ignore[arg-type,return-value]
    for now in (0, 250, 295.5, 300):
        queue.send([(Waiting(0), late)], now)
    assert [visible for visible, _, _ in stack.queue.held] == [min(delay, left) for left in (300, 50, 5, 0)]


def test_nothing_is_asked_or_loaded_while_no_call_is_late(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, process: Process
) -> None:
    monkeypatch.delattr(clients, "late_bodies")
    monkeypatch.setitem(sys.modules, late_bodies.__name__, None)  # type: ignore[arg-type]  # importing it fails
    stack.put("a", {"inferenceConfig": {"maxTokens": 700}})
    assert stack.run(stack.deliver(converse(), large("a"))) == {"received": 2, "processed": 2}
    assert process([converse()]).calls.late == []


def test_events_of_a_late_delivery_have_no_ids_and_a_message_without_a_source_is_named_after_its_text() -> None:
    body = HEAD + '[{"a":1},{"b":2}]}'
    found = late_bodies.read_message(body)
    digest = hashlib.sha256(body.encode()).hexdigest()
    assert found.delivery.log_events == (LogEvent('{"a":1}'), LogEvent('{"b":2}'))
    assert (found.key, found.waiting) == (digest, Waiting(1_795_435_230, digest, 1))


def test_the_model_of_the_cases_has_the_rate_they_are_worked_out_with(registry: Registry) -> None:
    assert registry.find_burndown(SONNET, NOW.date()).rate == 5
