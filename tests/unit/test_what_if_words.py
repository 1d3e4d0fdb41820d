"""What a what-if says in words and in JSON: each pool that it changes, what cannot be predicted, and the remedy."""

import json
from typing import Any

import msgspec
import pytest
from rich.console import Console

from bedrock_quota.analysis.answers import find_answers
from bedrock_quota.analysis.tally import UsageTally
from bedrock_quota.analysis.usage import THROTTLED
from bedrock_quota.analysis.what_if import Scenario
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool
from quota_monitor.answers import terminal
from quota_monitor.answers.data import to_json
from quota_monitor.answers.document import Document
from quota_monitor.answers.html import to_html
from quota_monitor.answers.markdown import to_markdown
from quota_monitor.answers.words import write_paragraphs
from quota_monitor.deployed.lines import LineCall
from quota_monitor.window import Window

NOON = 1_795_867_200  # 2026-11-28T12:00:00Z


class Calls(msgspec.Struct, frozen=True):
    """Calls of one caller to a pool in one minute. Each has 1,000 input tokens, and 100 output tokens."""

    pool: str
    number: int
    max_tokens: int | None = 1_000
    caller: str = "App"
    throttled: int = 0
    consumed: float = 1_100


def pool(name: str) -> QuotaPool:
    return QuotaPool(f"vendor.{name}", EndpointType.REGIONAL)


def what_if(found: list[Calls], quotas: dict[str, PoolQuota], **scenario: Any) -> Document:
    tally = UsageTally()
    for each in found:
        source = "unknown" if each.max_tokens is None else "explicit"
        for _ in range(each.number):
            call = LineCall(1_000, 0, 0, 100, each.max_tokens, each.consumed, False)
            tally.open_calls(pool(each.pool), NOON, each.caller, source).add(call)
        if each.throttled:
            tally.add_failed(pool(each.pool), NOON, each.caller, THROTTLED, each.throttled)
    known = {pool(name): quota for name, quota in quotas.items()}
    assumed = Scenario(**scenario)
    pools = find_answers(tally.measure(known), known, assumed)
    return Document("a test", Window(NOON, NOON + 60), pools, scenario=assumed)


def said(document: Document) -> tuple[str, list[str]]:
    """The first words of the what-if, and its items."""
    (found,) = [each for each in write_paragraphs(document) if each.head.startswith("With ")]
    return found.head + "".join(found.parts), ["".join(item) for item in found.items]


def item(found: list[Calls], quotas: dict[str, PoolQuota], **scenario: Any) -> str:
    """The only item of a what-if."""
    (text,) = said(what_if(found, quotas, **scenario))[1]
    return text


def projections(document: Document) -> dict[str, Any]:
    (account,) = json.loads(to_json([document]))["accounts"]
    return {each["model_id"].removeprefix("vendor."): each["projection"] for each in account["pools"]}


MIXED = [
    Calls("below", 100),  # 200,000
    Calls("breaks", 100),
    Calls("unknown", 10, max_tokens=None),  # 11,000 consumed
    Calls("requests", 10, max_tokens=0),
    Calls("nothing", 10),
    Calls("zero", 0, throttled=5),
]
QUOTAS = {
    "below": PoolQuota(1_000_000),
    "breaks": PoolQuota(300_000),
    "unknown": PoolQuota(100_000),
    "requests": PoolQuota(None, 100),
    "nothing": PoolQuota(),
    "zero": PoolQuota(0),
}


def test_pools_of_which_nothing_is_known_are_counted_apart_and_not_promised_to_be_safe() -> None:
    found = what_if(MIXED, QUOTAS, growth=2)
    head, items = said(found)

    assert head == (
        "With traffic × 2: 6 quota pools change: 1 reaches its quota, 1 stays below its quota, 1 cannot be predicted, "
        "1 has no known token quota, 1 has no known quota and 1 has a quota of 0. "
        "× 1 is the traffic of this window with its throttled calls."
    )
    # 400,000 of 300,000: at 1.5 it is reached. 256 instead of 1,000 is 251,200
    assert items == [
        "vendor.breaks (regional) reaches its quota: 67% → 133% of the token quota. It reaches the quota at × 1.5. "
        "Set max_tokens of App to 256. This is enough: 84% of the token quota.",
        "vendor.zero (regional) has a quota of 0, so every call is throttled. Request an increase.",
        "vendor.unknown (regional) cannot be predicted, because the max_tokens of 10 of 10 calls is unknown. "
        "Known use alone: 11% → 22% of the token quota.",
        "vendor.requests (regional) has no known token quota: 10% → 20% of the request quota.",
        "vendor.nothing (regional) has no known quota to compare with.",
        "vendor.below (regional) stays below its quota: 20% → 40% of the token quota. It reaches the quota at × 5.",
    ]
    assert {name: (each["outcome"], each["growth_to_quota"]) for name, each in projections(found).items()} == {
        "below": ("stays below its quota", 5.0),
        "breaks": ("reaches its quota", 1.5),
        "unknown": ("cannot be predicted: max_tokens of its calls is unknown", None),
        "requests": ("no token quota", None),
        "nothing": ("no quota", None),
        "zero": ("reaches its quota", None),
    }


def test_every_form_has_the_same_items() -> None:
    found = what_if(MIXED, QUOTAS, growth=2)
    _, items = said(found)
    page, text = to_html([found]), to_markdown([found])

    for each in items:
        rest = each.partition(")")[2].replace("max_tokens", "max\\_tokens").replace("App to 256", "**App to 256**")
        assert rest in text
        assert each.partition(")")[2].replace("App to 256", "<strong>App to 256</strong>") in page
    assert text.count("With traffic × 2") == page.count("With traffic × 2") == 1
    assert "  - **vendor.below (regional)** stays below its quota" in text


@pytest.mark.parametrize("width", [80, 100, 120], ids=lambda width: f"{width} columns")
def test_items_are_whole_at_each_width(width: int) -> None:
    found = what_if(MIXED, QUOTAS, growth=2)
    console = Console(width=width, highlight=False)
    with console.capture() as capture:
        console.print(terminal.render(found, width))

    lines = capture.get().splitlines()
    text = " ".join(" ".join(lines).split())
    assert max(map(len, lines)) <= width
    assert all(f"– {each}" in text for each in said(found)[1])


def test_a_limit_names_the_pool_that_it_changes_and_counts_the_others() -> None:
    # 10 × 65,000 and 1 × 2,000 of 600,000. With 2,048: 10 × 3,048 + 2,000 = 32,480, and 1 throttled call more is 35,528
    found = what_if(
        [Calls("one", 10, 64_000, "Big", throttled=1), Calls("one", 1), Calls("two", 1), Calls("three", 1)],
        dict.fromkeys(("one", "two", "three"), PoolQuota(600_000)),
        max_tokens={"Big": 2_048},
    )

    assert said(found) == (
        "With max_tokens 2,048 for Big: 1 quota pool changes. 2 other quota pools would not change. The end of a range "
        "has all throttled calls as well, each as large as the largest of its caller. × 1 is the traffic of this "
        "window with its throttled calls.",
        [
            # 600,000 / 35,528 is 16.9
            "vendor.one (regional) stays below its quota: 109% → 5% to 6% of the token quota. "
            "It reaches the quota at × 16.",
        ],
    )
    assert {name: each["is_changed"] for name, each in projections(found).items()} == {
        "one": True,
        "two": False,
        "three": False,
    }


def test_growth_and_a_limit_together_still_show_the_pool_of_the_limit() -> None:
    _, items = said(
        what_if(
            [Calls("one", 10, 64_000, "Big"), Calls("two", 10)],
            dict.fromkeys(("one", "two"), PoolQuota(600_000)),
            growth=2,
            max_tokens={"Big": 1_024},
        )
    )

    # 20 × 2,024 = 40,480, and 20 × 2,000. Alone they are 20,240 and 20,000, so they reach 600,000 at 29.6 and 30
    assert items == [
        "vendor.one (regional) stays below its quota: 108% → 7% of the token quota. It reaches the quota at × 29.",
        "vendor.two (regional) stays below its quota: 3% → 7% of the token quota. It reaches the quota at × 30.",
    ]


@pytest.mark.parametrize(
    ("found", "quota", "growth", "remedy"),
    [
        pytest.param(
            [Calls("p", 10, 64_000, "Big"), Calls("p", 10, 32_000, "Less")],
            # 650,000 + 330,000, twice. With 256: 2 × 12,560 and 2 × 330,000, and then 2 × 25,120
            PoolQuota(680_000),
            2,
            "Set max_tokens of Big to 256, and of Less to 256. This is enough: 7% of the token quota.",
            id="two limits are needed",
        ),
        pytest.param(
            [Calls("p", 10, 64_000, "Big"), Calls("p", 10, 32_000, "Less")],
            PoolQuota(700_000),
            2,
            "Set max_tokens of Big to 256. This is enough: 98% of the token quota.",  # 685,120
            id="the largest is enough",
        ),
        pytest.param(
            [Calls("p", 100, 400, consumed=1_100), Calls("p", 10, 64_000, "Big")],
            # 140,000 + 650,000, twice. With 256 for Big it is 2 × 152,560, and a fifth more is 366,144
            PoolQuota(300_000),
            2,
            "Set max_tokens of Big to 256. This is not enough. Request 370,000 tokens per minute.",
            id="a limit and a larger quota",
        ),
        pytest.param(
            [Calls("p", 100, 400, consumed=1_400)],
            PoolQuota(200_000),
            2,  # 280,000, and a fifth more is 336,000
            "Request 340,000 tokens per minute.",
            id="only a larger quota",
        ),
        pytest.param(
            [Calls("p", 100, 64_000)],
            PoolQuota(100_000_000, 150),
            2,  # 200 requests, and a fifth more is 240
            "Request 240 requests per minute.",
            id="requests, which no limit lowers",
        ),
        pytest.param(
            [Calls("p", 60, 1_000), Calls("p", 40, None, "Dark")],
            # 120,000 known twice is 240,000. 40 more like the largest known call, twice, are 400,000
            PoolQuota(300_000),
            2,
            "Set max_tokens of App to 256. It is unknown if this is enough, because the max_tokens of calls is "
            "unknown.",
            id="some limits are unknown",
        ),
    ],
)
def test_the_remedy_is_beside_the_pool_that_breaks(
    found: list[Calls], quota: PoolQuota, growth: float, remedy: str
) -> None:
    assert item(found, {"p": quota}, growth=growth).endswith(f" {remedy}")


def test_the_remedy_is_in_json() -> None:
    found = what_if(
        [Calls("p", 100, 400), Calls("p", 10, 64_000, "Big", throttled=1)], {"p": PoolQuota(300_000)}, growth=2
    )

    # with 256, 11 calls of Big are 11 × 1,256 and the others 140,000, twice. A fifth more than 307,632 is 369,158
    assert projections(found)["p"]["remedy"] == {
        "changes": [
            {"caller": "Big", "max_tokens": 256, "peak_tokens": 305_120, "peak_tokens_with_throttled": 307_632}
        ],
        "is_enough": False,
        "token_quota": 370_000,
        "request_quota": None,
    }


def test_a_caller_of_the_what_if_is_not_in_its_remedy() -> None:
    # Big keeps the 32,000 that is tried: 10 × 33,000, and Less goes from 330,000 to 12,560
    text = item(
        [Calls("p", 10, 64_000, "Big"), Calls("p", 10, 32_000, "Less")],
        {"p": PoolQuota(400_000)},
        max_tokens={"Big": 32_000},
    )

    assert text.endswith("Set max_tokens of Less to 256. This is enough: 86% of the token quota.")


def test_no_remedy_is_a_larger_quota_for_a_legacy_model() -> None:
    legacy = QuotaPool("anthropic.claude-opus-4-1-20250805-v1:0", EndpointType.CROSS_REGION)
    tally = UsageTally()
    for _ in range(10):
        tally.open_calls(legacy, NOON, "App", "explicit").add(LineCall(1_000, 0, 0, 100, 200, 1_200, False))
    quotas = {legacy: PoolQuota(20_000)}
    assumed = Scenario(growth=2)
    found = Document(
        "a test", Window(NOON, NOON + 60), find_answers(tally.measure(quotas), quotas, assumed), scenario=assumed
    )

    (text,) = said(found)[1]
    assert text.endswith("AWS grants no increase for legacy models. Move its callers to another model.")
    assert "Request" not in text
