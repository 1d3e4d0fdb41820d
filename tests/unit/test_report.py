from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from bedrock_quota.pools import EndpointType, QuotaPool
from quota_monitor import report
from quota_monitor.usage import CallerMinute, CallerUse, MinuteUse, PoolUse

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def pool_use(
    *,
    token_quota: float | None = 600_000,
    request_quota: float | None = None,
    reserved: tuple[float, ...] = (400_000, 660_000),
    consumed: float = 5_000,
    known: int = 10,
    callers: tuple[CallerUse, ...] = (),
    throttled: int = 0,
) -> PoolUse:
    minutes = tuple(
        MinuteUse(NOON + timedelta(minutes=index), tokens, consumed, 10, known) for index, tokens in enumerate(reserved)
    )
    return PoolUse(
        pool=QuotaPool("vendor.model-1", EndpointType.CROSS_REGION),
        token_quota=token_quota,
        request_quota=request_quota,
        minutes=minutes,
        callers=callers,
        throttled_requests=throttled,
    )


def caller_use(
    name: str = "Hungry",
    *,
    max_tokens: int = 64_000,
    largest_output: int = 642,
    others: tuple[int, ...] = (),
    minute: int = 1,
    default: bool = False,
    cut: tuple[int, ...] = (),
) -> CallerUse:
    """Ten calls in one minute, the second one, and calls with `others`; 20,000 of what they reserve is input."""
    limits = (max_tokens,) * 10 + others
    return CallerUse(
        caller=name,
        requests=10,
        output_tokens=3_100,
        largest_output=largest_output,
        largest_max_tokens=max_tokens,
        minutes=(CallerMinute(NOON + timedelta(minutes=minute), 20_000 + sum(limits), limits),),
        largest_is_default=default,
        cut_answers=len(cut),
        largest_cut=max(cut, default=0),
    )


def printed(*uses: PoolUse, width: int = 132) -> str:
    console = Console(width=width, highlight=False)
    with console.capture() as capture:
        console.print(report.render(uses))
    return " ".join(capture.get().split())


def test_names_the_pool_that_throttles_the_cause_and_the_cure():
    text = printed(pool_use(callers=(caller_use(),), throttled=190))
    assert (
        "vendor.model-1 (cross-region) is throttled. Callers reserved up to 110% of the quota per minute, "
        "and reached it in 1 minute of the hour. They consumed at most 1%."
    ) in text
    assert "Throttled requests: 190." in text
    assert (
        "Hungry sets max_tokens to 64,000, but its output has 310 tokens on average and 642 at most. "
        "With max_tokens set to 1,024, the same traffic would have peaked at 67% of the quota."
    ) in text


def test_relief_is_worked_out_minute_by_minute():
    (found,) = report.find_reliefs(pool_use(callers=(caller_use(),)))
    assert found.max_tokens == 1_024, "a quarter above 642, rounded up to what people write"
    # The second minute keeps 660,000 - 640,000 + 10 x 1,024; the first, where it did not call, is now the peak.
    assert found.peak == 400_000
    (alone,) = report.find_reliefs(pool_use(reserved=(0, 660_000), callers=(caller_use(),)))
    assert alone.peak == 30_240


def test_no_smaller_max_tokens_promises_a_peak_below_the_consumption():
    # given AWS's example in each of 100 calls: 5,250 reserved, 9,000 consumed, beside a caller that reserves 640,000
    use = pool_use(reserved=(525_000, 660_000), consumed=900_000, callers=(caller_use(),), token_quota=800_000)

    # then nothing that a caller sets brings the peak below 900,000
    assert use.peak_used == 900_000
    assert report.find_reliefs(use) == ()
    text = printed(use)
    assert "reached it in 2 minutes of the hour. They consumed at most 112%." in text
    assert "The cause" not in text
    assert "Consumption alone reaches the quota. Request an increase" in text


def test_the_promise_is_the_consumption_where_that_is_more_than_the_new_reservation():
    (found,) = report.find_reliefs(pool_use(reserved=(0, 660_000), consumed=90_000, callers=(caller_use(),)))

    assert found.peak == 90_000  # the reservation would be 30,240


def test_only_calls_above_the_proposal_reserve_less():
    # given ten more calls with a max_tokens of 300, which is not to be raised to 1,024
    caller = caller_use(others=(300,) * 10)
    (found,) = report.find_reliefs(pool_use(reserved=(0, 663_000), callers=(caller,)))

    assert (found.max_tokens, found.peak) == (1_024, 663_000 - 640_000 + 10 * 1_024)


def test_the_caller_that_helps_is_named_though_another_reserves_more():
    # given one that needs what it asks for, and one that does not
    needs = caller_use("Writer", max_tokens=32_000, largest_output=30_000, others=(32_000,) * 10)
    (found,) = report.find_reliefs(pool_use(reserved=(0, 980_000), callers=(needs, caller_use(max_tokens=30_000))))

    assert (found.caller.caller, found.max_tokens, found.peak) == ("Hungry", 1_024, 980_000 - 300_000 + 10_240)


def test_callers_are_named_until_the_peak_is_below_the_quota():
    # given three that reserve 300,000, 640,000 and 20,000 of tokens that they do not need
    callers = (
        caller_use("Second", max_tokens=30_000),
        caller_use("First", max_tokens=64_000),
        caller_use("Third", max_tokens=2_048),
    )
    use = pool_use(reserved=(0, 1_000_480), token_quota=400_000, callers=callers)

    # 1,000,480 - 640,000 + 10,240 is still 370,720 of 400,000 with the first change
    assert [(each.caller.caller, each.peak) for each in report.find_reliefs(use)] == [("First", 370_720)]
    smaller = pool_use(reserved=(0, 1_000_480), token_quota=100_000, callers=callers)
    # 370,720 - 300,000 + 10,240 is 80,960
    assert [(each.caller.caller, each.peak) for each in report.find_reliefs(smaller)] == [
        ("First", 370_720),
        ("Second", 80_960),
    ]
    text = printed(smaller)
    assert "The cause: First sets max_tokens to 64,000" in text
    assert "would have peaked at 371% of the quota. Another cause: Second sets max_tokens to 30,000" in text
    assert "With max_tokens set to 1,024 as well, the same traffic would have peaked at 81% of the quota." in text


def test_two_callers_in_different_minutes_are_both_named():
    callers = (caller_use("Early", minute=0), caller_use("Late"))
    first, second = report.find_reliefs(pool_use(reserved=(660_000, 660_000), callers=callers))

    assert (first.caller.caller, first.peak) == ("Early", 660_000)
    assert (second.caller.caller, second.peak) == ("Late", 30_240)


def test_what_remains_above_the_quota_is_said():
    use = pool_use(reserved=(0, 660_000), token_quota=20_000, callers=(caller_use(),))

    assert "peaked at 151% of the quota. The rest needs a larger quota. Request an increase" in printed(use)


def test_without_a_cause_the_report_says_what_to_do():
    text = printed(pool_use(callers=(caller_use(max_tokens=1_500),)))

    assert "No smaller max_tokens would help. Request an increase, or spread the traffic." in text


def test_a_default_is_not_said_to_be_set():
    text = printed(pool_use(callers=(caller_use(default=True),)))

    assert "Hungry sets no max_tokens, so the model's default of 64,000 applies, but its output has" in text


# Cut answers


@pytest.mark.parametrize(
    ("cut", "proposed"),
    [
        pytest.param((642,), 1_024, id="at the largest output"),
        pytest.param((1_024, 512), 2_048, id="at the limit that would be proposed"),
        pytest.param((20_000,), 32_768, id="far above the largest output"),
        pytest.param((64_000,), None, id="at the largest limit"),
        pytest.param((30_000,), None, id="at half of the largest limit"),
    ],
)
def test_no_proposal_is_at_or_below_a_limit_that_cut_an_answer(cut: tuple[int, ...], proposed: int | None):
    found = report.find_reliefs(pool_use(callers=(caller_use(cut=cut, max_tokens=65_536),)))

    assert [each.max_tokens for each in found] == ([] if proposed is None else [proposed])
    assert all(each.max_tokens > max(cut) for each in found)


def test_smaller_limits_count_as_raised_where_answers_were_cut():
    # given ten more calls whose answers were cut at 300: they count with 1,024, too
    caller = caller_use(others=(300,) * 10, cut=(300,) * 10)
    (found,) = report.find_reliefs(pool_use(reserved=(0, 663_000), callers=(caller,)))

    assert (found.max_tokens, found.peak) == (1_024, 20_000 + 20 * 1_024)


@pytest.mark.parametrize("reserved", [pytest.param((1, 2), id="below"), pytest.param((1, 660_000), id="above")])
def test_the_report_says_raise_where_answers_are_cut(reserved: tuple[float, ...]):
    callers = (caller_use(max_tokens=512, largest_output=512, cut=(512, 256)), caller_use("Other", cut=(64_000,)))
    text = printed(pool_use(reserved=reserved, callers=callers))

    assert (
        "Cut answers: 3 of 20 answers from vendor.model-1 (cross-region) ended at their output limit. "
        "2 of them were for Hungry, at up to 512 tokens. Raise max_tokens for these calls. "
        "Each call then reserves as many tokens more."
    ) in text
    assert "With max_tokens set to" not in text


def test_nothing_is_said_of_cut_answers_where_none_was():
    assert "Cut answers" not in printed(pool_use(callers=(caller_use(),)))


@pytest.mark.parametrize(
    "caller",
    [
        pytest.param(caller_use(max_tokens=1_500), id="small max_tokens"),
        pytest.param(caller_use(largest_output=60_000), id="large output"),
    ],
)
def test_no_relief_from_a_caller_who_asks_for_what_it_needs(caller):
    assert report.find_reliefs(pool_use(callers=(caller,))) == ()
    assert "The cause" not in printed(pool_use(callers=(caller,)))


def test_no_relief_without_a_caller():
    assert report.find_reliefs(pool_use()) == ()


def test_peaks_have_their_share_of_the_quota():
    text = printed(pool_use(request_quota=250))
    assert "600,000 660,000 5,000 20 10 100%" in text
    assert "110% 0.8% 4%" in text


def test_a_quota_of_0_is_said_in_words():
    text = printed(pool_use(token_quota=0, throttled=25))
    assert "0: no calls" in text
    assert "Quota is 0: Bedrock throttles every call to vendor.model-1 (cross-region) (25 in this window)." in text
    assert "%" not in text.replace("100%", "")


def test_a_pool_where_every_call_fails_has_a_row_without_coverage():
    use = pool_use(token_quota=0, reserved=(), throttled=25)
    assert (use.requests, use.coverage, use.peak_reserved) == (0, 1, None)
    text = printed(use)
    assert "0: no calls" in text
    assert "(25)" in text
    assert "(25 in this window)" in text
    assert "%" not in text
    assert "unknown" not in text
    assert "The log has no body" not in text


def test_an_unknown_quota_is_said_in_words():
    text = printed(pool_use(token_quota=None))
    assert "no quota" in text
    assert "No quota pool reached its quota." in text


def test_unknown_max_tokens_are_said_and_never_drawn():
    text = printed(pool_use(reserved=(0, 0), known=0))
    assert "600,000 unknown 5,000" in text
    assert "The log has no body for 20 of 20 requests to vendor.model-1 (cross-region)" in text


def test_a_pool_of_which_only_the_consumption_is_known_is_judged_by_it():
    text = printed(pool_use(reserved=(0, 0), known=0, consumed=660_000, callers=(caller_use(),)))

    assert (
        "Callers consumed up to 110% of the quota per minute, and reached it in 2 minutes of the hour. "
        "Their reservations are unknown. Throttled requests: 0. Consumption alone reaches the quota."
    ) in text
    assert "reserved up to" not in text


def test_a_promise_is_a_minimum_where_the_max_tokens_of_some_calls_is_unknown():
    text = printed(pool_use(reserved=(0, 660_000), known=9, callers=(caller_use(),)))

    assert "peaked at 5% of the quota or more, because the max_tokens of other calls is unknown." in text


def test_says_so_when_all_is_well():
    assert "No quota pool reached its quota." in printed(pool_use(reserved=(1, 2)))


@pytest.mark.parametrize(("percent", "style"), [(100, "bold red"), (99.9, "yellow"), (80, "yellow"), (79.9, "green")])
def test_colours(percent, style):
    use = pool_use(reserved=(percent * 6_000,), known=5)
    console = Console(width=132, color_system="truecolor", force_terminal=True, highlight=False)
    segments = [segment for line in console.render_lines(report.render([use])) for segment in line]
    shown = next(segment for segment in segments if f"{percent:.0f}%" in segment.text)
    assert shown.style == console.get_style(style)


@pytest.mark.parametrize("width", [60, 80, 132, 200])
def test_readable_at_any_width(width):
    assert "Hungry" in printed(pool_use(callers=(caller_use(),)), width=width)
