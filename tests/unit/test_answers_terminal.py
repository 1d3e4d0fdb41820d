"""Answers in the terminal, at every width: no number is cut, and no line is too long."""

import csv
import io
import json
import re

import msgspec
import pytest
from rich.console import Console
from rich.text import Text
from test_answers_data import NOON, POOL, document

from bedrock_quota.analysis.answers import find_answers, select_callers
from bedrock_quota.analysis.tally import UsageTally
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool
from quota_monitor.answers import terminal
from quota_monitor.answers.data import to_csv, to_json
from quota_monitor.answers.document import Document
from quota_monitor.answers.html import to_html
from quota_monitor.answers.markdown import to_markdown
from quota_monitor.answers.names import list_names
from quota_monitor.answers.numbers import percent
from quota_monitor.answers.terminal import break_name
from quota_monitor.answers.words import summarize, write_paragraphs
from quota_monitor.deployed.lines import LineCall
from quota_monitor.window import Window


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


def test_the_first_line_says_how_many_records_are_left_out():
    assert "from a test. 4 more records left out, see below" in printed(160).splitlines()[0]
    assert "Records that are not in these numbers: 4 failed calls." in printed(160)


@pytest.mark.parametrize("width", [80, 160], ids=["narrow", "wide"])
def test_the_verdict_comes_before_the_tables(width: int):
    text = " ".join(printed(width).split())

    assert text.index("is throttled by reservation.") < text.index("Quota")
    assert "The cause: Hungry sets max_tokens to 64,000, but its largest output has 100 tokens" in text
    assert "(99th percentile 100, only 10 answers: take more days)" in text
    # 10 served and 3 throttled calls of 1,256: 16,328 of 600,000
    assert "the same traffic would have peaked at 3% of the quota at most, throttled calls included." in text
    # twice the traffic: 1,300,000 of 600,000, and 6 more calls of 65,000 each if all had been served. Once the traffic
    # with all 13 calls is 845,000, which reaches 600,000 at 0.71. With 256, all 26 calls have 32,656
    assert "With traffic × 2: 1 quota pool changes. The end of a range" in text
    assert (
        "– vendor.model-1 (cross-region) reaches its quota: 108% → 217% to 282% of the token quota. "
        "It reaches the quota at × 0.71. Set max_tokens of Hungry to 256. This is enough: 4% to 5% of the "
        "token quota."
    ) in text


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


def zero_quota(refused: dict[str, int], served: int = 0) -> Document:
    """A pool with a quota of 0, with throttled calls by caller, and served ones of the caller Early."""
    tally = UsageTally(single_calls=True)
    for caller, number in refused.items():
        tally.add_failed(POOL, NOON, caller, "ThrottlingException", number)
    for _ in range(served):
        tally.open_calls(POOL, NOON, "Early", "explicit").add(LineCall(1_000, 0, 0, 100, 512, 1_100, False))
    quotas = {POOL: PoolQuota(0, 0)}
    return Document("a test", Window(NOON, NOON + 60), find_answers(tally.measure(quotas), quotas), shows_usage=True)


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        pytest.param({"Old": 59}, "(59 in this window, all of Old)", id="one"),
        pytest.param({"New": 19, "Old": 40}, "(59 in this window, 40 of Old and 19 of New)", id="two"),
        pytest.param(
            {"A": 9, "B": 8, "C": 7, "D": 3, "E": 2},
            "(29 in this window, 9 of A, 8 of B, 7 of C and 5 of 2 other callers)",
            id="more than are named",
        ),
    ],
)
def test_the_callers_of_a_pool_that_is_all_throttled_are_named(refused: dict[str, int], said: str):
    found = zero_quota(refused)

    assert said in str(write_paragraphs(found)[0])
    console = Console(width=120, highlight=False)
    with console.capture() as capture:
        console.print(terminal.render(found, 120))
    for caller, number in refused.items():
        # in the table of proposals and in that of tokens
        assert len(re.findall(rf"^ {caller} ", capture.get(), re.MULTILINE)) == 2, caller
        assert f"| {caller} | vendor.model-1 (cross-region) | 0 ({number}) | 0 |" in to_markdown([found])
    assert "| leave it: all its calls were throttled |" in to_markdown([found])


def only(found: Document, caller: str) -> Document:
    """The same answers, with only the callers that have this text in their name."""
    return msgspec.structs.replace(found, pools=select_callers(found.pools, caller), only_callers=caller)


def test_a_selected_caller_changes_no_number_of_its_pool():
    found = zero_quota({"New": 19, "Old": 40})

    assert "(59 in this window, 40 of Old and 19 of New)" in str(write_paragraphs(only(found, "Old"))[0])


def two_callers() -> Document:
    """Big reserves 65,000 in each of 6 calls, and Small 20,000 in each of 3: 390,000 and 60,000 of 450,000."""
    tally = UsageTally()
    for caller, calls, limit in (("Big", 6, 64_000), ("Small", 3, 19_000)):
        for _ in range(calls):
            tally.open_calls(POOL, NOON, caller, "explicit").add(LineCall(1_000, 0, 0, 100, limit, 1_100, False))
    tally.add_failed(POOL, NOON, "Big", "ThrottlingException", 2)
    tally.add_failed(POOL, NOON, "Small", "ThrottlingException", 1)
    quotas = {POOL: PoolQuota(450_000)}
    return Document("a test", Window(NOON, NOON + 60), find_answers(tally.measure(quotas), quotas), shows_usage=True)


@pytest.mark.parametrize("caller", ["Big", "Small"])
def test_shares_and_sentences_are_those_of_the_pool_whatever_caller_is_listed(caller: str):
    found = only(two_callers(), caller)
    console = Console(width=160, highlight=False)
    with console.capture() as capture:
        console.print(terminal.render(found, 160))
    text = " ".join(capture.get().split())

    said = (
        f"Only callers with {caller} in their name are listed. Findings, and all numbers of quota pools, are about all "
        "callers of these pools."
    )
    assert said in text
    assert "Throttled callers: Big (2) and Small (1)." in text
    assert "9 100% Big" in text  # requests, coverage, and who reserves most of the pool
    assert "87% of it" in text  # 390,000 of 450,000
    (other,) = {"Big", "Small"} - {caller}
    assert not re.search(rf"^ {other} ", capture.get(), re.MULTILINE)
    for page in (to_markdown([found]), to_html([found])):
        assert said in page
    (account,) = json.loads(to_json([found]))["accounts"]
    (pool,) = account["pools"]
    assert (account["only_callers"], pool["requests"], pool["throttled"]) == (caller, 9, 3)
    assert [each["caller"] for each in pool["callers"]] == [caller]
    assert [row["caller"] for row in csv.DictReader(io.StringIO(to_csv([found])))] == [caller]


def test_callers_to_change_come_first_those_that_free_most_before_others():
    # A frees 4 × (2,000 - 256) of 100,000, 7%. B frees 10 × (16,000 - 256) of 1,000,000, 16%. C is close to its limit.
    # D frees 1 × (1,000 - 256) of 100,000, 0.7%, which is no change. E is cut, and its new limit of 512 frees nothing.
    pools = [QuotaPool(f"vendor.{name}", EndpointType.REGIONAL) for name in ("one", "two")]
    tally = UsageTally()
    for pool, caller, calls, limit, output in (
        (pools[0], "A", 4, 2_000, 100),
        (pools[0], "C", 9, 1_000, 900),
        (pools[0], "D", 1, 1_000, 100),
        (pools[0], "E", 1, 300, 300),
        (pools[1], "B", 10, 16_000, 100),
    ):
        for _ in range(calls):
            call = LineCall(100, 0, 0, output, limit, 200, caller == "E")
            tally.open_calls(pool, NOON, caller, "explicit").add(call)
    quotas = {pools[0]: PoolQuota(100_000), pools[1]: PoolQuota(1_000_000)}
    found = Document("a test", Window(NOON, NOON + 60), find_answers(tally.measure(quotas), quotas))

    assert [(each.caller, each.action, each.max_tokens) for _, each in found.advice] == [
        ("B", "set", 256),
        ("A", "set", 256),
        ("E", "raise", 512),
        ("C", "leave", None),
        ("D", "leave", None),
    ]
    rows = re.findall(r"^\| ([A-E]) \| vendor", to_markdown([found]), re.MULTILINE)
    assert rows == ["B", "A", "E", "C", "D"]
    assert "leave it: a smaller limit would free little of the quota" in to_markdown([found])


def test_a_list_of_names_says_how_many_it_leaves_out():
    names = [f"m{number}" for number in range(13)]

    assert list_names(names) == "m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, and 3 more"
    assert list_names(names[:10]) == "m0, m1, m2, m3, m4, m5, m6, m7, m8, m9"


def test_the_throttled_callers_of_another_cause_are_named():
    assert "Bedrock throttled 3 calls in 1 minute. Throttled callers: Hungry (3)." in " ".join(printed(120).split())


def test_calls_without_a_latency_are_explained():
    (answer, *_) = document().pools
    unknown = msgspec.structs.replace(answer, usage=msgspec.structs.replace(answer.usage, unknown_ends=812))
    found = msgspec.structs.replace(document(), pools=(unknown,))

    assert "The log has no usable latency of 812 calls, so each counts as one second long." in str(
        write_paragraphs(found)[0]
    )


def test_the_page_names_throttled_requests_only_if_there_are_some():
    calm = zero_quota({}, served=3)

    assert "Tokens per minute, and throttled requests." in to_html([zero_quota({"Old": 59})])
    assert "Tokens per minute." in to_html([calm])
    assert "throttled requests." not in to_html([calm])


@pytest.mark.parametrize(
    ("left_out", "said"), [(1, "1 record is not counted"), (2, "2 records are not counted")], ids=["one", "two"]
)
def test_records_that_are_not_counted(left_out: int, said: str) -> None:
    empty = msgspec.structs.replace(document(), pools=(), counts={"repeated records": left_out})

    assert said in str(write_paragraphs(empty)[0])
