"""The test of the alarms where the record does not come through; where it does is seen on the deployed stack."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from records import Process

from quota_monitor.aws_session import Stack
from quota_monitor.doctor import alarm_test
from quota_monitor.doctor.alarm_test import AlarmTestError, Step, Target

TARGET = Target("/aws/bedrock/modelinvocations", "Bedrock/Quotas", "monitor-test-1", "arn:aws:sns:::topic", 2)
DONE = "Successfully executed action arn:aws:sns:::topic"


class Exists(Exception):  # noqa: N818 - AWS's error, raised by the real client under another name
    pass


class Account:
    """What the clients of an account answer: each a field to be set by a test."""

    def __init__(self, *, metric: float = 1, state: str = "ALARM", history: tuple[str, ...] = (DONE,)) -> None:
        self.metric, self.state, self.history = metric, state, history
        self.armed = True
        self.written: list[Any] = []
        self.exceptions = type("", (), {"ResourceAlreadyExistsException": Exists})

    def client(self, _service: str) -> Any:
        return self

    def create_log_stream(self, **_given: Any) -> None:
        raise Exists

    def put_log_events(self, **given: Any) -> None:
        self.written.append(given)

    def get_metric_statistics(self, **_given: Any) -> Any:
        return {"Datapoints": [{"Sum": self.metric}] if self.metric >= 0 else []}

    def describe_alarms(self, **_given: Any) -> Any:
        return {"MetricAlarms": [{"StateValue": self.state, "ActionsEnabled": self.armed}] if self.state else []}

    def describe_alarm_history(self, **_given: Any) -> Any:
        return {"AlarmHistoryItems": [{"HistorySummary": each} for each in self.history]}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STEP_SECONDS", "PUBLISHED_SECONDS", "_POLL_SECONDS"):
        monkeypatch.setattr(alarm_test, name, 0.0)


def run(account: Any, target: Target = TARGET) -> list[Step]:
    return list(alarm_test.run_test(account, target, progress=lambda _what: None))


def test_every_step_is_told_as_it_is_reached() -> None:
    account = Account()
    steps = run(account)

    assert [(step.what.partition(":")[0], step.reached) for step in steps] == [
        ("record", True),
        ("metric", True),
        ("alarm", True),
        ("topic", True),
    ]
    assert steps[-1].what.endswith("was notified. Confirmed subscribers: 2.")
    (written,) = account.written
    assert (written["logGroupName"], written["logStreamName"]) == (TARGET.log_group, "quota-monitor/alarm-test")


def test_the_record_is_the_reserved_models_and_holds_no_content(process: Process) -> None:
    now = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    written = alarm_test.make_record(now)

    outcome = process([json.loads(written)], now=now)

    assert dict(outcome.out_of_scope) == {"alarm_test": 1}
    assert "Body" not in written


@pytest.mark.parametrize(
    ("account", "last", "what"),
    [
        pytest.param(Account(metric=-1), "metric", "did not arrive in Bedrock/Quotas after", id="no metric"),
        pytest.param(Account(metric=0), "metric", "did not arrive in Bedrock/Quotas after", id="metric is 0"),
        pytest.param(
            Account(state="OK"), "alarm", "did not go into ALARM, although its metric arrived", id="alarm stays OK"
        ),
        pytest.param(
            Account(history=("Failed to execute action arn:aws:sns:::topic",)),
            "topic",
            "Failed to execute action",
            id="topic refuses",
        ),
    ],
)
def test_the_first_step_that_is_not_reached_is_the_last(account: Account, last: str, what: str) -> None:
    *reached, failed = run(account)

    assert all(step.reached for step in reached)
    assert not failed.reached
    assert failed.what.startswith(f"{last}: ")
    assert what in failed.what


def test_a_message_that_nobody_gets_is_a_failure() -> None:
    *_, topic = run(Account(), Target("g", "n", "a", "t", subscribers=0))

    assert (topic.what, topic.reached) == ("topic: t was notified. Confirmed subscribers: 0.", False)


def test_where_cloudwatch_keeps_silent_somebody_has_to_look() -> None:
    *_, topic = run(Account(history=()))

    assert topic.reached
    assert topic.what.endswith("Check if the message arrived.")


@pytest.mark.parametrize(
    ("state", "armed", "resources", "why"),
    [
        pytest.param(
            "ALARM", True, {"TestAlarm": "monitor-test-1"}, "is still in ALARM from the last test", id="still in ALARM"
        ),
        pytest.param(
            "OK", False, {"TestAlarm": "monitor-test-1"}, "The actions of monitor-test-1 are disabled", id="disabled"
        ),
        pytest.param(
            "", True, {"TestAlarm": "monitor-test-1"}, "The alarm monitor-test-1 does not exist", id="deleted"
        ),
        pytest.param(
            "OK",
            True,
            {},
            "monitor has no TestAlarm, because it was deployed from another version",
            id="another version",
        ),
    ],
)
def test_nothing_is_sent_where_the_alarm_cannot_begin_to_ring(
    monkeypatch: pytest.MonkeyPatch, state: str, armed: bool, resources: dict[str, str], why: str
) -> None:
    account: Any = Account(state=state)
    account.armed = armed
    stack = Stack("monitor", "arn:aws:cloudformation:r:1:stack/monitor/1", "CREATE_COMPLETE", {}, {}, resources)
    monkeypatch.setattr("quota_monitor.doctor.alarm_test.read_stack", lambda _session, _name: stack)

    with pytest.raises(AlarmTestError, match=why):
        alarm_test.find_target(account, "monitor")
    assert account.written == []
