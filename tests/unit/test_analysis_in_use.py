"""Tokens in use at once. Every expected number is added up by hand."""

import random

import pytest

from bedrock_quota.analysis import in_use
from bedrock_quota.analysis.in_use import InUse

NOON = 1_795_867_200  # 2026-11-28T12:00:00Z
MINUTE = 60


def model(*calls: tuple[int, int | None, float, float]) -> InUse:
    """Return the model of calls: start in seconds after noon, latency in ms, reserved tokens, consumed tokens."""
    modelled = InUse([100])
    for started, latency, reserved, consumed in calls:
        modelled.add(NOON + started, latency, reserved, consumed)
    return modelled


def held(modelled: InUse) -> dict[int, float]:
    """Return the tokens in use by second after noon, only where there are any."""
    return {second - NOON: tokens for second, tokens, _ in modelled.seconds() if tokens}


def test_a_call_holds_its_reservation_while_it_runs_and_its_consumption_until_a_minute_after_its_start():
    # runs 2.5 s from second 10: seconds 10, 11 and 12 hold 1,000, then 300 until second 69
    assert held(model((10, 2_500, 1_000, 300))) == {
        **dict.fromkeys(range(10, 13), 1_000),
        **dict.fromkeys(range(13, 70), 300),
    }


def test_a_call_that_runs_longer_than_a_minute_holds_its_reservation_until_its_end():
    assert held(model((0, 90_000, 1_000, 300))) == dict.fromkeys(range(90), 1_000)


def test_a_call_that_consumes_more_than_it_reserved_holds_more_after_its_end():
    # AWS's example: 5,250 reserved, 9,000 consumed
    assert held(model((0, 1_000, 5_250, 9_000))) == {0: 5_250, **dict.fromkeys(range(1, 60), 9_000)}


@pytest.mark.parametrize(
    "latency",
    [pytest.param(None, id="not in the log"), pytest.param(-5, id="negative"), pytest.param(10**9, id="eleven days")],
)
def test_a_call_whose_end_is_unknown_is_counted_and_ends_after_a_second(latency: int | None):
    modelled = model((0, latency, 1_000, 300), (0, 1_000, 1, 1))

    assert modelled.unknown_ends == 1
    assert held(modelled) == {0: 1_001, **dict.fromkeys(range(1, 60), 301)}


def test_peaks_of_each_minute_and_requests_in_any_60_seconds():
    # at seconds 50 and 55, and at second 65: the last has both others within its 60 seconds
    peaks = model((50, 1_000, 100, 10), (55, 1_000, 100, 10), (65, 1_000, 100, 10)).peaks()

    assert peaks == {NOON: (110, 2), NOON + MINUTE: (120, 3), NOON + 2 * MINUTE: (10, 1)}


def test_a_minute_that_only_holds_what_began_before_has_its_tokens():
    # begun at 12:00:50, consumed until 12:01:49: the second minute has 10 tokens in use, and one request until then
    assert model((50, 1_000, 100, 10)).peaks() == {NOON: (100, 1), NOON + MINUTE: (10, 1)}


def test_the_hour_changes_within_a_call():
    modelled = model((3_595, 10_000, 100, 10))

    assert held(modelled) == {**dict.fromkeys(range(3_595, 3_605), 100), **dict.fromkeys(range(3_605, 3_655), 10)}
    assert [
        requests for second, _, requests in modelled.seconds() if second - NOON in {3_594, 3_600, 3_654, 3_655}
    ] == [
        0,
        1,
        1,
        0,
    ]


def test_hours_beyond_the_bound_are_left_out_and_it_says_so():
    modelled = InUse([1])
    modelled.add(NOON, 1_000, 5, 5)
    modelled.add(NOON + 7_200, 1_000, 7, 7)

    assert not modelled.complete
    assert set(held(modelled).values()) == {5}


def test_agrees_with_the_definition_on_random_calls():
    # given the definition of design.md, computed call by call at every second
    draw = random.Random(17)
    calls = [
        (draw.randint(0, 4_000), draw.randint(1, 150_000), draw.randint(1, 9_999), draw.randint(1, 9_999))
        for _ in range(300)
    ]
    modelled = model(*calls)

    def in_use_at(second: int) -> int:
        total = 0
        for started, latency, reserved, consumed in calls:
            running = started <= second < started + -(-latency // 1000)
            if running:
                total += reserved
            elif started <= second < started + 60:
                total += consumed
        return total

    found = {second - NOON: tokens for second, tokens, _ in modelled.seconds()}
    assert {second: found[second] for second in range(4_200)} == {second: in_use_at(second) for second in range(4_200)}
    assert in_use.WINDOW_SECONDS == 60
