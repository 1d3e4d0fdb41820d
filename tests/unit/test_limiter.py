"""Bedrock's limiter, as AWS documents it. Every case is worked out by hand."""

import random

import pytest

from localaws.limiter import Attempt, Limiter, Minutes

SLIDING, FIXED = Minutes.SLIDING, Minutes.FIXED
BOTH = pytest.mark.parametrize("minutes", [pytest.param(SLIDING, id="sliding"), pytest.param(FIXED, id="fixed")])


def served(limiter: Limiter, *attempts: tuple[float, float, float, float]) -> list[bool]:
    """Return which attempts are served: start, seconds, reserved and consumed tokens of each."""
    return [limiter.admit(Attempt(*attempt)) for attempt in attempts]


@BOTH
def test_a_reservation_is_set_aside_while_the_call_runs(minutes: Minutes):
    # 600 of 1,000 until second 10: 401 do not fit, 400 do
    assert served(Limiter(1_000, None, minutes), (0, 10, 600, 50), (5, 1, 401, 1), (6, 1, 400, 1)) == [
        True,
        False,
        True,
    ]


@BOTH
def test_the_unused_part_is_given_back_at_the_end(minutes: Minutes):
    # 600 until second 10, then 50: 950 fit at second 10, and 951 do not
    assert served(Limiter(1_000, None, minutes), (0, 10, 600, 50), (10, 1, 951, 1)) == [True, False]
    assert served(Limiter(1_000, None, minutes), (0, 10, 600, 50), (10, 1, 950, 1)) == [True, True]


@BOTH
def test_a_call_that_consumes_more_than_it_reserved_takes_more(minutes: Minutes):
    # AWS's example: 5,250 reserved, 9,000 consumed
    assert served(Limiter(10_000, None, minutes), (0, 1, 5_250, 9_000), (2, 1, 1_001, 0)) == [True, False]


def test_in_sliding_minutes_a_call_counts_for_60_seconds_from_its_start():
    assert served(Limiter(1_000, None, SLIDING), (30, 1, 900, 900), (89.9, 1, 101, 0), (90, 1, 1_000, 0)) == [
        True,
        False,
        True,
    ]


def test_in_fixed_minutes_a_new_minute_begins_with_what_the_running_calls_hold():
    # the first has ended, the second still runs at second 60
    attempts = (30, 1, 500, 500), (50, 20, 400, 10), (61, 1, 601, 0), (62, 1, 600, 0)
    assert served(Limiter(1_000, None, FIXED), *attempts) == [True, True, False, True]


def test_in_fixed_minutes_a_call_of_the_last_minute_gives_all_back():
    # it ends in second 70: nothing of it counts in the minute of its end
    assert served(Limiter(1_000, None, FIXED), (50, 20, 900, 800), (71, 1, 1_000, 0)) == [True, True]


def test_requests_count_whatever_they_use():
    assert served(Limiter(None, 2, SLIDING), (0, 1, 0, 0), (1, 1, 0, 0), (59, 1, 0, 0), (60, 1, 0, 0)) == [
        True,
        True,
        False,
        True,
    ]
    assert served(Limiter(None, 2, FIXED), (58, 1, 0, 0), (59, 1, 0, 0), (59.5, 1, 0, 0), (60, 1, 0, 0)) == [
        True,
        True,
        False,
        True,
    ]


@BOTH
def test_a_throttled_call_uses_nothing(minutes: Minutes):
    limiter = Limiter(1_000, 2, minutes)

    assert served(limiter, *[(0.0, 5.0, 1_001.0, 0.0)] * 10, (1, 1, 1_000, 0)) == [False] * 10 + [True]


@BOTH
def test_a_quota_of_0_takes_no_call_and_no_quota_takes_all(minutes: Minutes):
    assert served(Limiter(0, None, minutes), (0, 1, 1, 1)) == [False]
    assert served(Limiter(None, None, minutes), *[(0.0, 1.0, 10.0**9, 1.0)] * 100) == [True] * 100


def test_sliding_minutes_agree_with_the_definition_on_random_calls():
    """At each start, all running calls hold their reservation, and ended ones their use for 60 s from their start."""
    draw = random.Random(3)
    limiter = Limiter(50_000, 40, SLIDING)
    kept: list[Attempt] = []
    throttled = 0
    for now in sorted(round(draw.uniform(0, 600), 3) for _ in range(1_500)):
        attempt = Attempt(now, round(draw.uniform(0.1, 90), 3), draw.randint(1, 9_000), draw.randint(1, 9_000))
        held = sum(
            each.reserved if now < each.ended else each.consumed
            for each in kept
            if now < each.ended or now < each.started + 60
        )
        begun = sum(now - 60 < each.started for each in kept)
        expected = held + attempt.reserved <= 50_000 and begun < 40
        assert limiter.admit(attempt) == expected, now
        if expected:
            kept.append(attempt)
        throttled += not expected
    assert 100 < throttled < 1_400
