"""The follower of the local stack's logs: how long it waits, and when it gives up."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from localaws import sidecar
from localaws.counters import Counters
from localaws.sidecar import Follower, choose_wait


@pytest.mark.parametrize(
    ("pass_seconds", "wait"),
    [
        pytest.param(0.0, 1.0, id="at once"),
        pytest.param(0.5, 4.5, id="nine times the pass"),
        pytest.param(4.0, 10.0, id="slow machine"),
    ],
)
def test_the_wait_grows_with_the_pass_up_to_a_bound(pass_seconds: float, wait: float) -> None:
    assert choose_wait(pass_seconds) == wait


@pytest.mark.parametrize(
    ("outcomes", "passes"),
    [
        # passes of 4 seconds with waits of 10: at the end, the last answer was 14, 28 and 42 seconds ago
        pytest.param("good bad good bad bad bad", 6, id="until 30 seconds have no answer"),
        pytest.param("bad bad bad", 3, id="never an answer"),
    ],
)
def test_one_failed_pass_on_a_slow_machine_does_not_end_it(
    monkeypatch: pytest.MonkeyPatch, outcomes: str, passes: int
) -> None:
    seconds, run = [0.0], [0]
    left: Iterator[str] = iter(outcomes.split())

    class Tail:
        def run_pass(self) -> None:
            seconds[0] += 4
            run[0] += 1
            if next(left) == "bad":
                raise EndpointConnectionError(endpoint_url="http://localhost:1")

    def sleep(length: float) -> None:
        seconds[0] += length

    monkeypatch.setattr(sidecar.time, "monotonic", lambda: seconds[0])
    monkeypatch.setattr(sidecar.time, "sleep", sleep)
    tail: Any = Tail()

    Follower(tail, Counters()).follow()

    assert run[0] == passes
