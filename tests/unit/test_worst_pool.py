"""The pool that stands for a place in the overview, and its change. Every number is worked out by hand."""

import pytest
from rich.console import Console
from test_answers_data import NOON

from bedrock_quota.analysis.answers import PoolAnswer, find_answers
from bedrock_quota.analysis.tally import UsageTally
from bedrock_quota.analysis.usage import THROTTLED
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool
from quota_monitor.answers.document import Document
from quota_monitor.deployed.lines import LineCall
from quota_monitor.deployed.overview import CHANGE, HEADS, WORST_POOL, find_worst, propose_change, summarize
from quota_monitor.overview import PLACE, RESULT, Overview, Row, Severity, print_overview
from quota_monitor.window import Window

SONNET = QuotaPool("anthropic.claude-sonnet-4-6", EndpointType.CROSS_REGION)
LEGACY = QuotaPool("anthropic.claude-opus-4-1-20250805-v1:0", EndpointType.CROSS_REGION)
NOVA = QuotaPool("amazon.nova-lite-v1:0", EndpointType.CROSS_REGION)


Quota = float | PoolQuota | None


def document(*pools: tuple[QuotaPool, Quota, int], output: int = 500, max_tokens: int = 64_000) -> Document:
    """Return answers about pools with a quota and throttled calls.

    MonthEndReport calls each once, with 100 input tokens. A call reserves 64,100, and consumes 600.
    """
    tally = UsageTally(single_calls=True)
    quotas = {}
    for pool, quota, throttled in pools:
        call = LineCall(100, 0, 0, output, max_tokens, 100 + output, False)
        tally.open_calls(pool, NOON, "MonthEndReport", "explicit").add(call)
        if throttled:
            tally.add_failed(pool, NOON, "MonthEndReport", THROTTLED, throttled)
        quotas[pool] = quota if isinstance(quota, PoolQuota) else PoolQuota(quota)
    return Document("a test", Window(NOON, NOON + 60), find_answers(tally.measure(quotas), quotas))


def worst(*pools: tuple[QuotaPool, Quota, int]) -> PoolAnswer:
    found = find_worst(document(*pools).pools)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("pools", "expected"),
    [
        pytest.param([(LEGACY, 0, 59), (SONNET, 41_000, 211)], SONNET, id="most throttled calls"),
        pytest.param([(LEGACY, 0, 59), (SONNET, 41_000, 58)], LEGACY, id="a quota of 0 with most throttled calls"),
        pytest.param([(LEGACY, 0, 59), (SONNET, 41_000, 59)], SONNET, id="a quota of 0 with as many"),
        pytest.param(
            # one request of one per minute is 100%, and 64,100 of 641,000 tokens are 10%
            [(LEGACY, PoolQuota(0, 1), 59), (SONNET, 641_000, 59)],
            SONNET,
            id="a token quota of 0 with as many, and a full request quota",
        ),
        pytest.param([(NOVA, 60_000, 5), (SONNET, 41_000, 5)], SONNET, id="as many, and a higher use"),
        pytest.param([(NOVA, 41_000, 0), (SONNET, 640_000, 1)], SONNET, id="one throttled call, and a low use"),
        pytest.param([(LEGACY, 0, 0), (SONNET, 41_000, 0)], SONNET, id="none throttled, and one over its quota"),
        pytest.param([(LEGACY, 0, 0), (SONNET, 641_000, 0)], LEGACY, id="none throttled, and one far from its quota"),
        pytest.param([(LEGACY, None, 0), (SONNET, 641_000, 0)], SONNET, id="none throttled, and a quota unknown"),
    ],
)
def test_the_worst_pool_has_most_throttled_calls(
    pools: list[tuple[QuotaPool, Quota, int]], expected: QuotaPool
) -> None:
    assert worst(*pools).usage.pool == worst(*reversed(pools)).usage.pool == expected


def test_no_pool_is_the_worst_of_none() -> None:
    assert find_worst(()) is None


def test_a_row_has_the_caller_and_its_change() -> None:
    # 64,100 of 41,000 tokens are 156%. An answer of 800 takes 1.25 × 800 = 1,000, so 1,024.
    summary = summarize(document((LEGACY, 0, 59), (SONNET, 41_000, 211), (NOVA, 641_000, 0), output=800))

    assert summary.severity is Severity.PROBLEM
    assert summary.cells == (
        "throttled by reservation",
        "anthropic.claude-sonnet-4-6 (cross-region), 156%",
        "MonthEndReport: max_tokens 64,000 → 1,024",
        "270",
        "2 of 3",
    )


@pytest.mark.parametrize(
    ("pool", "quota", "throttled", "change"),
    [
        pytest.param(NOVA, 0, 3, "request an increase", id="quota of 0"),
        pytest.param(LEGACY, 0, 3, "use another model", id="quota of 0 of a legacy model"),
        pytest.param(NOVA, 500, 3, "request an increase", id="consumption of 600 is above the quota"),
        pytest.param(NOVA, 6_410_000, 3, "no cause known", id="throttled at 1%"),
        pytest.param(NOVA, 6_410_000, 0, "–", id="nothing throttled"),
        pytest.param(NOVA, None, 0, "–", id="quota unknown"),
    ],
)
def test_a_pool_without_a_proposal(pool: QuotaPool, quota: float | None, throttled: int, change: str) -> None:
    assert propose_change(worst((pool, quota, throttled))) == change


def test_a_place_is_a_problem_if_any_pool_is() -> None:
    # the highest use is 92% of 70,000, and a quota of 0 without throttled calls is a problem too
    summary = summarize(document((LEGACY, 0, 0), (SONNET, 70_000, 0)))

    assert (summary.severity, summary.cells[0]) == (Severity.PROBLEM, "near its quota")


OVERVIEW = Overview(
    (PLACE, RESULT, *HEADS),
    (
        Row("prod in us-east-1", Severity.FAILED, ("could not look", "", "", "", ""), 3),
        Row(
            "staging in us-east-1",
            Severity.PROBLEM,
            (
                "throttled by reservation",
                f"{SONNET}, 156%",
                "MonthEndReport: max_tokens 64,000 → 1,024",
                "270",
                "3 of 13",
            ),
            0,
        ),
        Row("staging in eu-west-1", Severity.OK, ("ok", f"{NOVA}, 50%", "–", "0", "0 of 1"), 0),
    ),
)


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        pytest.param(
            80,
            [
                "throttled by reservation       270         3 of 13",
                "anthropic.claude-sonnet-4-6",
                "(cross-region), 156%",
                "MonthEndReport: max_tokens",
                "64,000 → 1,024",
            ],
            id="80",
        ),
        *(
            pytest.param(
                width,
                [
                    "throttled by reservation                           270         3 of 13",
                    "anthropic.claude-sonnet-4-6 (cross-region), 156%",
                    "MonthEndReport: max_tokens 64,000 → 1,024",
                ],
                id=str(width),
            )
            for width in (100, 120)
        ),
        pytest.param(
            200,
            [
                f"throttled by reservation   {SONNET}, 156%   MonthEndReport: max_tokens 64,000 → 1,024   270         "
                "3 of 13"
            ],
            id="200",
        ),
    ],
)
def test_no_word_of_a_row_is_cut(width: int, lines: list[str]) -> None:
    console = Console(width=width, highlight=False)
    with console.capture() as capture:
        print_overview(console, OVERVIEW, below=(CHANGE, WORST_POOL))

    shown = capture.get().splitlines()
    start = next(number for number, line in enumerate(shown) if "staging in us-east-1" in line)
    found = [line.removeprefix(" staging in us-east-1").strip() for line in shown[start : start + len(lines)]]
    assert found == lines
    assert max(map(len, shown)) <= width
    assert "–" not in capture.get() or width == 200
