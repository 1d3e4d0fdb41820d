"""Usage and cost of a group over all pools: terminal, Markdown, HTML and JSON."""

import json
import re

import msgspec
import pytest
from rich.console import Console
from test_answers_data import NOON, OTHER, POOL

from bedrock_quota.analysis.answers import find_answers
from bedrock_quota.analysis.tally import UsageTally
from bedrock_quota.analysis.usage import PoolUsage
from bedrock_quota.pools import QuotaPool
from quota_monitor.analyze.scope import NO_LABEL
from quota_monitor.answers import terminal
from quota_monitor.answers.data import to_csv, to_json
from quota_monitor.answers.document import Document
from quota_monitor.answers.html import to_html
from quota_monitor.answers.markdown import to_markdown
from quota_monitor.deployed.lines import LineCall
from quota_monitor.window import Window


def usages(calls: dict[tuple[QuotaPool, str], int]) -> tuple[PoolUsage, ...]:
    tally = UsageTally(single_calls=True)
    for (pool, label), number in calls.items():
        for _ in range(number):
            tally.open_calls(pool, NOON, label, "explicit").add(LineCall(1_000, 30, 20, 100, 512, 1_612, False))
    return tally.measure({})


def by_team(*, unpriced: bool = False) -> Document:
    """Red has 3 calls in two pools, Blue 4 in one, and 2 calls have no tag."""
    listing = usages({(POOL, "red"): 1, (OTHER, "red"): 2, (POOL, "blue"): 4, (OTHER, NO_LABEL): 2})
    prices = {(POOL, "red"): 1.0, (OTHER, "red"): 2.5, (POOL, "blue"): 7.0, (OTHER, NO_LABEL): 0.25}
    return Document(
        "a test",
        Window(NOON, NOON + 60),
        find_answers(usages({(POOL, "Caller"): 5, (OTHER, "Caller"): 4}), {}),
        by="tag:team",
        listing=listing,
        prices=prices | ({(OTHER, "red"): None} if unpriced else {}),
        shows_usage=True,
    )


def show(document: Document, width: int) -> str:
    console = Console(width=width, highlight=False)
    with console.capture() as capture:
        console.print(terminal.render(document, width))
    return capture.get()


def test_markdown_has_a_total_per_group_the_most_expensive_first_and_the_sum():
    text = to_markdown([by_team()])

    assert text.partition("| Team, all pools |")[2].splitlines()[2:6] == [
        "| blue | 4 | 4,000 | 400 | 120 | 80 | 7.00 |",
        "| red | 3 | 3,000 | 300 | 90 | 60 | 3.50 |",
        "| (no tag) | 2 | 2,000 | 200 | 60 | 40 | 0.25 |",
        "| Total | 9 | 9,000 | 900 | 270 | 180 | 10.75 |",
    ]
    assert "| (no tag) | vendor.model-1 (global-cross-region) | 2 |" in text
    assert '<td class="left">Total</td>' in to_html([by_team()])


@pytest.mark.parametrize("width", [80, 120], ids=["narrow", "wide"])
def test_the_terminal_keeps_the_cache_with_dollars(width: int):
    text = show(by_team(), width)

    assert re.search(r"^ blue +4 +4,000 +400 +120 +80 +7\.00 *$", text, re.MULTILINE)
    assert re.search(r"^ Total +9 +9,000 +900 +270 +180 +10\.75 *$", text, re.MULTILINE)
    usage = text.partition(" Team ")[2].partition(" Team, ")[0]
    assert usage.count("Cache") == 2, "of the table by pool"
    assert len(re.findall(r"^ \(no tag\) ", text, re.MULTILINE)) == 2


def test_an_unknown_price_is_no_part_of_a_total_and_is_named():
    assert "| red | 3 | 3,000 | 300 | 90 | 60 | 1.00 + unknown |" in to_markdown([by_team(unpriced=True)])


def test_json_has_the_totals():
    (account,) = json.loads(to_json([by_team(unpriced=True)]))["accounts"]

    assert [(each["caller"], each["price_usd"], each["has_unknown_prices"]) for each in account["totals_by"]] == [
        ("blue", 7.0, False),
        ("red", 1.0, True),
        (NO_LABEL, 0.25, False),
    ]
    assert (account["totals_by"][1]["requests"], account["totals_by"][1]["cache_read_tokens"]) == (3, 90)


def test_csv_names_untagged_calls_in_words():
    assert ",(no tag),2,0," in to_csv([by_team()])


def test_a_single_pool_has_no_table_of_totals():
    document = msgspec.structs.replace(by_team(), listing=by_team().listing[:1])

    assert "all pools" not in to_markdown([document])
