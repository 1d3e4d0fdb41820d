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
    known: int = 10,
    callers: tuple[CallerUse, ...] = (),
    throttled: int = 0,
) -> PoolUse:
    minutes = tuple(
        MinuteUse(NOON + timedelta(minutes=index), tokens, 5_000, 10, known) for index, tokens in enumerate(reserved)
    )
    return PoolUse(
        pool=QuotaPool("vendor.model-1", EndpointType.CROSS_REGION),
        token_quota=token_quota,
        request_quota=request_quota,
        minutes=minutes,
        callers=callers,
        throttled_requests=throttled,
    )


def caller_use(*, max_tokens: int = 64_000, largest_output: int = 642) -> CallerUse:
    """Ten calls in the second minute; 20,000 of what they reserve is input."""
    return CallerUse(
        caller="Hungry",
        requests=10,
        output_tokens=3_100,
        largest_output=largest_output,
        largest_max_tokens=max_tokens,
        minutes=(CallerMinute(NOON + timedelta(minutes=1), 20_000 + 10 * max_tokens, 10 * max_tokens, 10),),
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
    found = report.find_relief(pool_use(callers=(caller_use(),)))
    assert found is not None
    assert found.max_tokens == 1_024, "a quarter above 642, rounded up to what people write"
    # The second minute keeps 660,000 - 640,000 + 10 x 1,024; the first, where it did not call, is now the peak.
    assert found.peak_reserved == 400_000
    alone = report.find_relief(pool_use(reserved=(0, 660_000), callers=(caller_use(),)))
    assert alone is not None
    assert alone.peak_reserved == 30_240


@pytest.mark.parametrize(
    "caller",
    [
        pytest.param(caller_use(max_tokens=1_500), id="small max_tokens"),
        pytest.param(caller_use(largest_output=60_000), id="large output"),
    ],
)
def test_no_relief_from_a_caller_who_asks_for_what_it_needs(caller):
    assert report.find_relief(pool_use(callers=(caller,))) is None
    assert "The cause" not in printed(pool_use(callers=(caller,)))


def test_no_relief_without_a_caller():
    assert report.find_relief(pool_use()) is None


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
