"""Usage and cost of a group over all pools: terminal, Markdown, HTML and JSON."""

import json
import re

import msgspec
import pytest
from rich.console import Console
from test_answers_data import NOON, OTHER, POOL

from bedrock_quota.analysis.answers import find_answers
from bedrock_quota.analysis.tally import UsageTally
from bedrock_quota.analysis.usage import THROTTLED, PoolUsage
from bedrock_quota.pools import QuotaPool
from quota_monitor.analyze.scope import NO_LABEL
from quota_monitor.answers import terminal
from quota_monitor.answers.data import to_csv, to_csv_totals, to_json
from quota_monitor.answers.document import Document
from quota_monitor.answers.html import to_html
from quota_monitor.answers.markdown import to_markdown
from quota_monitor.answers.options import Output
from quota_monitor.answers.output import complete, print_documents
from quota_monitor.answers.prices import describe_unknown_prices
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


def test_callers_of_a_single_pool_have_no_table_of_totals():
    document = msgspec.structs.replace(by_team(), listing=(), pools=by_team().pools[:1], prices=None)

    assert "all pools" not in to_markdown([document])


def test_totals_by_a_tag_come_before_the_findings():
    text, page, shown = to_markdown([by_team()]), to_html([by_team()]), show(by_team(), 120)

    for found in (text, page, shown):
        assert found.index("all pools") < found.index("No quota is known") < found.index("vendor.model-1")
        assert found.count("all pools") == 1


def test_totals_by_caller_come_after_the_findings():
    document = msgspec.structs.replace(by_team(), listing=(), by="caller", prices=None)

    for found in (to_markdown([document]), to_html([document]), show(document, 120)):
        assert found.index("all pools") > found.index("No quota is known")


def test_without_prices_no_total_has_an_unknown_one():
    (account,) = json.loads(to_json([msgspec.structs.replace(by_team(), prices=None)]))["accounts"]

    assert {(each["price_usd"], each["has_unknown_prices"]) for each in account["totals_by"]} == {(None, False)}


# ---------------------------------------------------------------- throttled calls


def throttled_document(*, unlabelled: int) -> Document:
    """Red has 3 throttled calls, Blue none, and 5 have no tag."""
    tally = UsageTally()
    for label in ("red", "blue", NO_LABEL):
        tally.open_calls(POOL, NOON, label, "explicit").add(LineCall(1_000, 30, 20, 100, 512, 1_612, False))
    tally.add_failed(POOL, NOON, "red", THROTTLED, 3)
    tally.add_failed(POOL, NOON, NO_LABEL, THROTTLED, 5)
    return msgspec.structs.replace(by_team(), listing=tally.measure({}), prices=None, unlabelled_throttled=unlabelled)


@pytest.mark.parametrize(
    ("unlabelled", "blue", "in_json"),
    [
        pytest.param(0, "1", 0, id="the log names every label"),
        pytest.param(5, "1 (unknown)", None, id="five may be of any label"),
    ],
)
def test_a_label_without_throttled_calls_is_0_only_if_that_is_known(unlabelled: int, blue: str, in_json: int | None):
    document = throttled_document(unlabelled=unlabelled)

    text = to_markdown([document])
    (account,) = json.loads(to_json([document]))["accounts"]
    assert f"| blue | {blue} | 1,000 | 100 | 30 | 20 |" in text
    assert f"| blue | vendor.model-1 (cross-region) | {blue} |" in text
    assert "| red | 1 (3) | 1,000 |" in text
    assert "| (no tag) | 1 (5) | 1,000 |" in text
    assert "| Total | 3 (8) | 3,000 |" in text
    counts = {"blue": in_json, "red": 3, NO_LABEL: 5}
    assert {each["caller"]: each["throttled"] for each in account["totals_by"]} == counts
    (pool,) = account["usage_by"]
    assert {each["caller"]: each["throttled"] for each in pool["callers"]} == counts
    cell = "" if in_json is None else "0"
    assert f",blue,1,{cell},1000,100," in to_csv([document])
    assert f",blue,1,{cell},1000,100,30,20,,False" in to_csv_totals([document])
    said = (
        "The log names no team for 5 throttled calls of callers whose answered calls have one. They are in the row (no "
        "tag). Other rows may have more throttled calls than is known."
    )
    assert (said in account["notes"]) == (said in show(document, 500)) == bool(unlabelled)


# ---------------------------------------------------------------- CSV, and several accounts


def test_csv_has_one_row_per_group_over_all_pools():
    document = msgspec.structs.replace(by_team(unpriced=True), account="111122223333", region="us-east-1")

    assert to_csv_totals([document]).splitlines() == [
        "account,region,from,to,team,requests,throttled,input_tokens,output_tokens,cache_read_tokens,"
        "cache_write_tokens,price_usd,has_unknown_prices",
        f"111122223333,us-east-1,{WINDOW},blue,4,0,4000,400,120,80,7.0,False",
        f"111122223333,us-east-1,{WINDOW},red,3,0,3000,300,90,60,1.0,True",
        f"111122223333,us-east-1,{WINDOW},(no tag),2,0,2000,200,60,40,0.25,False",
    ]


WINDOW = "2026-11-28T12:00:00Z,2026-11-28T12:01:00Z"


@pytest.mark.parametrize(
    ("by", "column"),
    [
        ("caller", "caller"),
        ("profile", "profile"),
        ("tag:team", "team"),
        pytest.param("tag:region", "tag:region", id="the name of another column"),
        pytest.param("tag:=1+1", "'=1+1", id="a formula"),
    ],
)
def test_the_column_of_totals_has_the_name_of_what_is_listed(by: str, column: str):
    heads = to_csv_totals([msgspec.structs.replace(by_team(), by=by)]).splitlines()[0].split(",")

    assert (heads[4], heads[5]) == (column, "requests")


def test_a_note_names_the_pools_without_a_price():
    unknown = {(OTHER, "red"): None, (OTHER, "blue"): None, (POOL, "red"): 1.0}

    assert describe_unknown_prices(unknown) == (
        "No price is known for vendor.model-1 (global-cross-region). Prices and totals leave out these calls.",
    )
    assert describe_unknown_prices({(POOL, "red"): 0.0}) == ()
    completed = complete(by_team(), Output("csv-totals", dollars=True))
    assert completed.notes[-1].startswith(f"No price is known for {POOL}, {OTHER}. ")


def two_places() -> list[Document]:
    """The second place has no price for Red in one pool, and Red has throttled calls there."""
    second = by_team(unpriced=True)
    (first_pool, other_pool) = second.listing
    (caller,) = (each for each in first_pool.callers if each.caller == "red")
    throttled = msgspec.structs.replace(caller, throttled=6)
    callers = tuple(throttled if each.caller == "red" else each for each in first_pool.callers)
    return [
        by_team(),
        msgspec.structs.replace(second, listing=(msgspec.structs.replace(first_pool, callers=callers), other_pool)),
    ]


def test_tokens_and_dollars_of_several_places_add_up():
    rows = [
        "| blue | 8 | 8,000 | 800 | 240 | 160 | 14.00 |",
        "| red | 6 (6) | 6,000 | 600 | 180 | 120 | 4.50 + unknown |",  # 1.00 + 2.50, and 1.00
        "| (no tag) | 4 | 4,000 | 400 | 120 | 80 | 0.50 |",
        "| Total | 18 (6) | 18,000 | 1,800 | 540 | 360 | 19.00 + unknown |",
    ]

    text = to_markdown(two_places())
    assert text.startswith("## All accounts and Regions\n")
    assert text.splitlines()[4:8] == rows
    assert to_html(two_places()).index("All accounts and Regions") < to_html(two_places()).index(">Quota pools</h2>")
    found = json.loads(to_json(two_places()))["totals_by"]
    assert [(each["caller"], each["throttled"], each["price_usd"]) for each in found] == [
        ("blue", 0, 14.0),
        ("red", 6, 4.5),
        (NO_LABEL, 0, 0.5),
    ]
    assert "totals_by" not in json.loads(to_json([by_team()]))


def test_a_total_of_several_places_is_unknown_if_none_of_them_knows():
    places = [throttled_document(unlabelled=5), throttled_document(unlabelled=5)]

    assert "| blue | 2 (unknown) |" in to_markdown(places)
    assert "| Total | 6 (16) |" in to_markdown(places)


def test_the_terminal_prints_the_totals_of_several_places_last(capsys: pytest.CaptureFixture[str]):
    print_documents(two_places(), Output())

    text = capsys.readouterr().out
    assert re.search(r"^ Total +18 ", text.rpartition("All accounts and Regions")[2], re.MULTILINE)
