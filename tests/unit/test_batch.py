"""Batches of deliveries: processed up to the first that fails, written together, nothing twice when they come again."""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import shard
from hypothesis import given
from hypothesis import strategies as st
from records import NOW, ReadLine, converse, envelope, event_around, message

from bedrock_quota.errors import ConcurrentDuplicateError, DeliveryError
from bedrock_quota.processor import batch as batch_module
from bedrock_quota.processor.batch import process_batch
from bedrock_quota.processor.container import Container
from bedrock_quota.processor.duplicates import InProgressDelivery
from bedrock_quota.processor.event import RawDelivery, batch_response, split_event
from bedrock_quota.processor.pipeline import Outcome
from bedrock_quota.registry.models import Registry
from bedrock_quota.settings import Settings
from quota_monitor import sample_events as events

IDS = itertools.count()
BROKEN = {"awslogs": {"data": "AAAA"}}


def sent_by_logs(*entries: Mapping[str, Any]) -> dict[str, Any]:
    """One delivery, whose log events have ids of their own."""
    payload = envelope([message(each) for each in entries])
    for each in payload["logEvents"]:
        each["id"] = f"{next(IDS):056d}"
    return event_around(json.dumps(payload).encode())


class Function:
    """The processor's containers, with what they have written; `remaining` milliseconds are left, one by one."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.written: list[bytes] = []
        self.runs = 0
        self.remaining: Iterator[int] = itertools.repeat(60_000)
        self.container = self.new_container()

    def new_container(self) -> Container:
        return Container(Settings(), self._registry, lambda: None)

    def publish(self, outcome: Outcome | None, again: Sequence[bytes]) -> None:
        self.written += [*(outcome.lines if outcome else ()), *again]

    def __call__(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """Run it as Lambda does: what it raises is a failure."""
        self.runs += 1
        context: Any = SimpleNamespace(get_remaining_time_in_millis=lambda: next(self.remaining))
        sent = split_event(event)
        try:
            results = process_batch(sent, self.container, context, lambda _received: NOW, self.publish)
        except DeliveryError:
            return None
        return batch_response(sent, results)


@pytest.fixture
def function(registry: Registry) -> Function:
    return Function(registry)


@pytest.fixture
def read(read_line: ReadLine) -> Callable[[Function], tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """The lines of calls and those of health."""

    def lines(function: Function) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        found = [read_line(each) for each in function.written]
        return [each for each in found if "requests" in each], [each for each in found if "received" in each]

    return lines


Read = Callable[[Function], tuple[list[dict[str, Any]], list[dict[str, Any]]]]


def test_deliveries_of_a_batch_are_written_as_if_they_had_come_in_one(function: Function, read: Read) -> None:
    # given three deliveries, one record in them rejected, and all of one minute, pool and caller
    batch = [sent_by_logs(converse()), sent_by_logs(converse(), converse(input_tokens=-1)), sent_by_logs(converse())]
    # when
    told = function(events.batch(batch))
    # then there is one line of three calls, and one of health
    assert told == {"batchItemFailures": []}
    ((calls,), (health,)) = read(function)
    assert calls["ConsumedTokens"] == [200, 200, 200]  # 100 + 5 × 20 each
    assert (health["received"], health["RecordsProcessed"], health["RecordsRejected"]) == (4, 3, 1)
    assert health["deliveries"] == 3


def test_one_long_call_among_deliveries_written_together_is_no_lag_of_all_of_them(
    function: Function, read: Read
) -> None:
    # given two deliveries of calls that began 20 seconds ago, one with an older call too, and one of 700 seconds ago
    def called(*seconds: int) -> dict[str, Any]:
        return sent_by_logs(
            *(converse(timestamp=f"{NOW - timedelta(seconds=each):%Y-%m-%dT%H:%M:%SZ}") for each in seconds)
        )

    # when
    function(events.batch([called(20), called(20, 50), called(700)]))
    # then of 20, 50 and 700 the least and the most are told
    assert [health["RecordLagSeconds"] for health in read(function)[1]] == [[20.0, 700.0]]


def test_a_delivery_by_itself_is_answered_with_its_counts(function: Function) -> None:
    assert function(sent_by_logs(converse(), converse(input_tokens=-1))) == {
        "received": 2,
        "processed": 1,
        "rejected": 1,
    }


def test_a_batch_goes_on_behind_a_delivery_that_fails_when_it_comes_again(function: Function, read: Read) -> None:
    # given a delivery that can never be read, between two that can, and a new container every time
    batch = events.batch([sent_by_logs(converse()), BROKEN, sent_by_logs(converse())])
    # when
    first = function(batch)
    assert first == {"batchItemFailures": [{"itemIdentifier": batch["Records"][1]["kinesis"]["sequenceNumber"]}]}
    assert len(read(function)[0]) == 1
    function.container = function.new_container()
    given_up = shard.consume(batch["Records"][1:], function)
    # then it alone is given up, and the others count once
    assert given_up == [[batch["Records"][1]]]
    assert [line["ConsumedTokens"] for line in read(function)[0]] == [[200], [200]]


def test_a_batch_whose_first_delivery_fails_fails_whole_and_writes_nothing(function: Function) -> None:
    assert function(events.batch([BROKEN, sent_by_logs(converse())])) is None
    assert function.written == []


@given(st.lists(st.booleans(), min_size=1, max_size=24), st.integers(0, 3))
def test_whatever_fails_all_else_counts_once_without_any_memory(
    registry: Registry, good: list[bool], retries: int
) -> None:
    # given a batch of good and broken deliveries, and a container for each run
    function = Function(registry)
    sent = [sent_by_logs(converse(input_tokens=1000 + n)) if ok else BROKEN for n, ok in enumerate(good)]
    batch = events.batch(sent)["Records"]

    def run(event: dict[str, Any]) -> dict[str, Any] | None:
        function.container = function.new_container()
        return function(event)

    # when
    given_up = shard.consume(batch, run, retries=retries)
    # then
    assert given_up == [[batch[n]] for n, ok in enumerate(good) if not ok]
    counted = [value for line in function.written for value in json.loads(line).get("ConsumedTokens", [])]
    assert sorted(counted) == [1000 + n + 100 for n, ok in enumerate(good) if ok]


def test_a_log_event_in_two_deliveries_of_a_batch_counts_once(function: Function, read: Read) -> None:
    one = sent_by_logs(converse())

    function(events.batch([one, one]))

    ((calls,), (health,)) = read(function)
    assert calls["requests"] == 1
    assert (health["received"], health["ignored"], health["duplicate_records"]) == (2, 1, 1)


def test_a_batch_is_written_in_parts_so_that_not_all_of_it_is_kept(
    function: Function, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given that two log events are enough
    monkeypatch.setattr(batch_module, "MAX_EVENTS_PER_GROUP", 2)
    # when five deliveries of one come
    told = function(events.batch([sent_by_logs(converse()) for _ in range(5)]))
    # then
    assert told == {"batchItemFailures": []}
    assert [health["received"] for health in read(function)[1]] == [2, 2, 1]


def test_a_batch_that_takes_long_is_gone_on_with_in_another_run(function: Function, read: Read) -> None:
    # given that after two deliveries too little time is left
    function.remaining = iter([60_000, 33_999, 33_999])
    batch = events.batch([sent_by_logs(converse()) for _ in range(4)])
    # when
    told = function(batch)
    # then what was read is written, and Lambda comes back with the third
    assert told == {"batchItemFailures": [{"itemIdentifier": batch["Records"][2]["kinesis"]["sequenceNumber"]}]}
    assert [health["received"] for health in read(function)[1]] == [2]


def test_an_empty_batch_is_done(function: Function) -> None:
    assert function({"Records": []}) == {"batchItemFailures": []}
    assert function.written == []


@pytest.mark.parametrize(
    "records",
    [
        pytest.param(None, id="null"),
        pytest.param(5, id="a number"),
        pytest.param([5], id="a list of numbers"),
        pytest.param([{}], id="a record without a source"),
        pytest.param([{"kinesis": {}}], id="a Kinesis record without data"),
        pytest.param([{"kinesis": {"data": "AAAA"}}], id="data that is not gzip"),
        pytest.param([{"Sns": 1}], id="a record of SNS"),
    ],
)
def test_records_of_anything_else_fail_loudly(records: Any) -> None:
    with pytest.raises(DeliveryError, match="not a batch of Kinesis records"):
        split_event({"Records": records})


ELSEWHERE = "another invocation"


class Memory:
    """A memory of deliveries, which finds those it is told to."""

    def __init__(self, *found: dict[str, int] | str | None) -> None:
        self._found = iter(found)
        self.told: list[tuple[str, object]] = []
        self.quickly: list[bool] = []
        self.waited: list[bool] = []

    def start(self, _key: str, _context: Any, *, wait: bool) -> Any:
        self.waited.append(wait)
        found = next(self._found)

        def complete(result: dict[str, int], *, quickly: bool) -> bool:
            self.quickly.append(quickly)
            self.told.append(("finished", result["received"]))
            return True

        return SimpleNamespace(
            result=None if found == ELSEWHERE else found,
            checked=True,
            is_elsewhere=found == ELSEWHERE,
            complete=complete,
            release=lambda error: self.told.append(("forgotten", str(error))),
        )


def test_a_delivery_processed_before_is_told_of_and_the_others_count(function: Function, read: Read) -> None:
    # given that the second was processed before
    memory: Any = Memory(None, {"received": 1, "processed": 1}, None)
    function.container.deliveries = memory
    # when
    told = function(events.batch([sent_by_logs(converse()) for _ in range(3)]))
    # then
    assert told == {"batchItemFailures": []}
    calls, healths = read(function)
    assert sum(line["requests"] for line in calls) == 2
    assert [health.get("DuplicateDeliveries") for health in healths] == [None, 1]
    assert memory.told == [("finished", 1), ("finished", 1)]


def test_control_messages_are_never_looked_up_for_all_of_them_are_alike(function: Function, read: Read) -> None:
    memory: Any = Memory()  # which fails when it is asked
    function.container.deliveries = memory
    control = event_around(json.dumps(envelope(["CWL CONTROL MESSAGE"], "CONTROL_MESSAGE")).encode())

    assert [function(control) for _ in range(2)] == [{"received": 1, "processed": 0}] * 2
    assert [health.get("DuplicateDeliveries") for health in read(function)[1]] == [None, None]


def test_a_delivery_that_another_run_works_on_comes_again_with_what_is_behind_it(
    function: Function, caplog: pytest.LogCaptureFixture
) -> None:
    memory: Any = Memory(None, ELSEWHERE, None)
    function.container.deliveries = memory
    batch = events.batch([sent_by_logs(converse()) for _ in range(3)])

    told = function(batch)

    assert told == {"batchItemFailures": [{"itemIdentifier": batch["Records"][1]["kinesis"]["sequenceNumber"]}]}
    assert memory.told == [("finished", 1)]
    (warning,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert warning.getMessage() == "a delivery of the batch failed: Lambda retries it and all later ones"
    assert warning.__dict__["error"] == "ConcurrentDuplicateError"


def test_a_first_delivery_that_another_run_works_on_is_no_error_of_a_stream(function: Function) -> None:
    # given a batch of a stream, and a delivery that CloudWatch Logs sends, both of which another run works on
    memory: Any = Memory(ELSEWHERE, ELSEWHERE)
    function.container.deliveries = memory
    batch = events.batch([sent_by_logs(converse()) for _ in range(2)])
    # when, then the stream's comes again
    first = batch["Records"][0]["kinesis"]["sequenceNumber"]
    assert function(batch) == {"batchItemFailures": [{"itemIdentifier": first}]}
    assert function.written == []
    # and the other fails after it has waited: Lambda tries it again
    with pytest.raises(ConcurrentDuplicateError):
        function(sent_by_logs(converse()))
    assert memory.waited == [False, True]
    assert function.written == []


def test_a_delivery_that_ends_with_little_time_left_is_recorded_quickly(function: Function) -> None:
    memory: Any = Memory(None)
    function.container.deliveries = memory
    function.remaining = iter([4_999, 4_999])

    assert function(sent_by_logs(converse())) == {"received": 1, "processed": 1}
    assert (memory.told, memory.quickly) == ([("finished", 1)], [True])


def test_a_delivery_whose_records_cannot_be_read_is_forgotten(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory: Any = Memory(None)
    function.container.deliveries = memory

    def broken(*_given: object, **_named: object) -> None:
        raise DeliveryError("no memory")

    monkeypatch.setattr(batch_module, "price_delivery", broken)

    assert function(events.batch([sent_by_logs(converse())])) is None
    assert memory.told == [("forgotten", "no memory")]


def test_what_cannot_be_written_is_forgotten_and_counts_when_it_comes_again(
    function: Function, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a container that cannot write
    memory: Any = Memory(*[None] * 4)
    function.container.deliveries = memory
    batch = events.batch([sent_by_logs(converse()), sent_by_logs(converse())])

    def broken(*_of: object) -> None:
        raise DeliveryError("no output")

    with monkeypatch.context() as patched:
        patched.setattr(function, "publish", broken)
        assert function(batch) is None
    assert memory.told == [("forgotten", "no output")] * 2
    # when it can again, and the batch comes again
    assert function(batch) == {"batchItemFailures": []}
    # then
    assert sum(line["requests"] for line in read(function)[0]) == 2
    assert memory.told[2:] == [("finished", 1)] * 2


def test_what_was_written_before_something_cannot_be_is_answered_for(
    function: Function, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given deliveries that are written one by one, and an output that is closed after the first
    memory: Any = Memory(None, None)
    function.container.deliveries = memory
    monkeypatch.setattr(batch_module, "MAX_EVENTS_PER_GROUP", 1)
    publish = function.publish

    def closing(outcome: Outcome | None, again: Sequence[bytes]) -> None:
        if function.written:
            raise OSError("closed")
        publish(outcome, again)

    monkeypatch.setattr(function, "publish", closing)
    batch = events.batch([sent_by_logs(converse()) for _ in range(3)])
    # when
    told = function(batch)
    # then Lambda comes back with the second
    assert told == {"batchItemFailures": [{"itemIdentifier": batch["Records"][1]["kinesis"]["sequenceNumber"]}]}
    assert sum(line["requests"] for line in read(function)[0]) == 1
    assert memory.told == [("finished", 1), ("forgotten", "closed")]


def test_a_log_event_that_counted_before_stays_known_when_what_it_came_again_with_cannot_be_written(
    function: Function, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a call that counted
    one, two = sent_by_logs(converse(input_tokens=1000)), sent_by_logs(converse(input_tokens=2000))
    function(events.batch([one]))

    # when it comes again with another, first where nothing can be written
    def broken(*_of: object) -> None:
        raise DeliveryError("no output")

    with monkeypatch.context() as patched:
        patched.setattr(function, "publish", broken)
        assert function(events.batch([two, one])) is None
    assert function(events.batch([two, one])) == {"batchItemFailures": []}
    # then each counts once: 1,000 + 5 × 20 and 2,000 + 5 × 20
    assert [line["ConsumedTokens"] for line in read(function)[0]] == [[1100], [2100]]


class Killed(BaseException):
    """Lambda's end of a run whose time is over."""


class SlowTable:
    """A state table that takes so many milliseconds of a run's time for each request."""

    def __init__(self, milliseconds: int) -> None:
        self._milliseconds = milliseconds
        self.left = 0
        self.results: dict[str, dict[str, int]] = {}

    def get_remaining_time_in_millis(self) -> int:
        return self.left

    def _take(self) -> None:
        self.left -= self._milliseconds
        if self.left <= 0:
            raise Killed

    def start(self, key: str, _context: Any, *, wait: bool) -> Any:  # noqa: ARG002
        self._take()

        def finish(result: dict[str, int], *, quickly: bool) -> bool:
            if quickly and self._milliseconds > 600:  # more than the quick client waits
                self.left -= 600
                return False
            self._take()
            self.results[key] = result
            return True

        return SimpleNamespace(
            result=self.results.get(key),
            checked=True,
            is_elsewhere=False,
            complete=finish,
            release=lambda _error: self._take(),
        )


@pytest.mark.parametrize(("milliseconds", "runs"), [(20, 1), (100, 1), (300, 3), (900, 7), (4_000, 29)])
def test_a_slow_state_table_makes_nothing_count_twice(function: Function, milliseconds: int, runs: int) -> None:
    # given runs of a minute, in each of which as many deliveries are read as 26 seconds have requests
    table: Any = SlowTable(milliseconds)
    batch = events.batch([sent_by_logs(converse(input_tokens=1000 + n)) for n in range(200)])["Records"]
    done = 0

    def run(event: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal done
        done += 1
        function.container = function.new_container()  # which knows no log event
        function.container.deliveries = table
        table.left = 60_000
        sent = split_event(event)
        try:
            results = process_batch(sent, function.container, table, lambda _received: NOW, function.publish)
        except Killed:
            return None
        return batch_response(sent, results)

    # when
    given_up = shard.consume(batch, run)
    # then
    assert (given_up, done) == ([], runs)
    counted = [value for line in function.written for value in json.loads(line).get("ConsumedTokens", [])]
    assert sorted(counted) == [1100 + n for n in range(200)]


def test_a_slow_state_table_is_told_of_no_failure_when_time_is_short(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given that after the second delivery 5 seconds are left, and after one more request less
    memory: Any = Memory(None, None)
    function.container.deliveries = memory
    function.remaining = iter([60_000, 5_000, 4_999])

    def broken(*_of: object) -> None:
        raise DeliveryError("no output")

    monkeypatch.setattr(function, "publish", broken)

    assert function(events.batch([sent_by_logs(converse()), sent_by_logs(converse())])) is None
    assert memory.told == [("forgotten", "no output")]


def test_a_state_table_that_does_not_answer_is_asked_once_a_batch(function: Function, read: Read) -> None:
    # given one that answers for the first delivery alone
    asked = iter(
        [
            SimpleNamespace(result=None, checked=True, is_elsewhere=False, complete=lambda _result, **_of: True),
            InProgressDelivery("key"),
        ]
    )
    silent: Any = SimpleNamespace(start=lambda _received, _context, **_of: next(asked))
    function.container.deliveries = silent
    # when four come, and a control message, which is never asked about
    control = event_around(json.dumps(envelope(["CWL CONTROL MESSAGE"], "CONTROL_MESSAGE")).encode())
    told = function(events.batch([*[sent_by_logs(converse()) for _ in range(4)], control]))
    # then all are processed, and the health line says of how many nobody knows
    assert told == {"batchItemFailures": []}
    assert [health["duplicates_unchecked"] for health in read(function)[1]] == [3]


def test_a_state_table_that_stops_answering_is_told_of_nothing_more(function: Function) -> None:
    told: list[object] = []
    ticket = SimpleNamespace(
        result=None, checked=True, is_elsewhere=False, complete=lambda result, **_of: told.append(result) is not None
    )
    silent: Any = SimpleNamespace(start=lambda _received, _context, **_of: ticket)
    function.container.deliveries = silent

    assert function(events.batch([sent_by_logs(converse()) for _ in range(3)])) == {"batchItemFailures": []}
    assert len(told) == 1


def test_parcels_of_an_event_of_cloudwatch_logs_are_that_event() -> None:
    event = sent_by_logs(converse())

    assert split_event(event) == [RawDelivery(event)]
