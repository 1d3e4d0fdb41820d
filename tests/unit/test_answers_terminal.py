"""Answers in the terminal, at every width: no number is cut, and no line is too long."""

import re

import msgspec
import pytest
from rich.console import Console
from rich.text import Text
from test_answers_data import NOON, POOL, document

from bedrock_quota.analysis.answers import find_answers
from bedrock_quota.analysis.tally import UsageTally
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool
from quota_monitor.answers import terminal
from quota_monitor.answers.numbers import percent
from quota_monitor.answers.terminal import break_name
from quota_monitor.answers.words import summarize, write_paragraphs
from quota_monitor.deployed.lines import LineCall


def printed(width: int) -> str:
    console = Console(width=width, highlight=False)
    with console.capture() as capture:
        console.print(terminal.render(document(growth=2.0), width))
    return capture.get()


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160], ids=lambda width: f"{width} columns")
def test_no_number_is_cut_at_any_width(width: int):
    text = printed(width)

    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    cells = set(re.split(r"\s{2,}", text.replace("\n", "   ")))
    assert {"600,000", "650,000"} <= {cell.strip() for cell in cells}
    assert "set 256" in text
    assert "10 answers:" in text
    assert "take more days" in text


@pytest.mark.parametrize("width", [80, 160], ids=["narrow", "wide"])
def test_the_verdict_comes_before_the_tables(width: int):
    text = " ".join(printed(width).split())

    assert text.index("is throttled by reservation.") < text.index("Quota")
    assert "The cause: Hungry sets max_tokens to 64,000, but its largest output has 100 tokens" in text
    assert "(99th percentile 100, only 10 answers: take more days)" in text
    assert "With max_tokens set to 256, the same traffic would have peaked at 2% of the quota." in text
    # twice the traffic: 1,300,000 of 600,000, and 6 more calls of 65,000 each if all had been served
    assert "With traffic × 2: vendor.model-1 (cross-region) would peak at 217% to 282% of the token quota" in text


def test_a_name_breaks_after_a_space_a_dot_or_a_hyphen():
    assert str(break_name(Text("anthropic.claude-sonnet-4-6 (cross-region)"), 30)) == (
        "anthropic.claude-sonnet-4-6 \n  (cross-region)"
    )
    assert str(break_name(Text("anthropic.claude-opus-4-1-20250805-v1:0"), 30)) == (
        "anthropic.claude-opus-4-1-\n  20250805-v1:0"
    )
    assert str(break_name(Text("x" * 25), 10)) == "x" * 10 + "\n  " + "x" * 8 + "\n  " + "x" * 7


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (0, 10, "0%"),
        (1, 10_000, "<0.1%"),
        (5, 1_000, "0.5%"),
        (999, 100_000, "1.0%"),
        (1, 100, "1%"),
        (12_345, 100, "12,345%"),
    ],
    ids=["none", "very little", "half", "nearly one", "one", "thousands"],
)
def test_percentages(part: float, whole: float, shown: str):
    assert percent(part, whole) == shown


def test_the_doctors_line_is_the_most_urgent_finding():
    assert summarize(document()) == (
        "vendor.model-1 (cross-region) is throttled by reservation. Bedrock throttled 3 calls in 1 minute."
    )
    assert summarize(msgspec.structs.replace(document(), pools=())) == (
        "No calls: no call to a quota pool is in this window and selection."
    )


LEGACY = QuotaPool("anthropic.claude-opus-4-1-20250805-v1:0", EndpointType.CROSS_REGION)
MOVE = "The model ends on 2027-01-08, and AWS grants no increase for legacy models. Move its callers to another model."


@pytest.mark.parametrize(
    ("pool", "quota", "said"),
    [
        pytest.param(LEGACY, 0, MOVE, id="legacy, quota 0"),
        pytest.param(LEGACY, 1_000, MOVE, id="legacy, quota reached"),
        pytest.param(POOL, 0, "Request an increase in Service Quotas, or use another model.", id="active, quota 0"),
        pytest.param(POOL, 1_000, "with a fifth of room, request at least 1,400 tokens", id="active, quota reached"),
    ],
)
def test_no_increase_is_advised_for_a_legacy_model(pool: QuotaPool, quota: int, said: str) -> None:
    tally = UsageTally()
    tally.open_calls(pool, NOON, "App", "explicit").add(LineCall(1_000, 0, 0, 50, 100, 1_050, False))
    tally.add_failed(pool, NOON, "App", "ThrottlingException", 1)
    usages = tally.measure({pool: PoolQuota(quota)})
    pools = find_answers(usages, {pool: PoolQuota(quota)})

    text = str(write_paragraphs(msgspec.structs.replace(document(), pools=pools))[0])

    assert said in text
    assert ("request" in text.partition("throttle")[2].lower()) == (pool == POOL)


@pytest.mark.parametrize(
    ("left_out", "said"), [(1, "1 record is not counted"), (2, "2 records are not counted")], ids=["one", "two"]
)
def test_records_that_are_not_counted(left_out: int, said: str) -> None:
    empty = msgspec.structs.replace(document(), pools=(), counts={"repeated records": left_out})

    assert said in str(write_paragraphs(empty)[0])
