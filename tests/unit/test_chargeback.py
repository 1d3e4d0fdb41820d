"""The file of `--chargeback`: prices of the user's own, and tags of callers that send none."""

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from records import SONNET, by_session, converse, failed, message, with_id
from test_answers_data import NOON, OTHER, POOL
from test_answers_totals import usages

from bedrock_quota.analysis.answers import find_answers
from bedrock_quota.analysis.usage import CallerUsage
from quota_monitor.answers import prices
from quota_monitor.answers.chargeback import Chargeback, OwnPrice, check_use, compute_price, read_chargeback
from quota_monitor.answers.data import to_json
from quota_monitor.answers.document import Document
from quota_monitor.answers.options import Output
from quota_monitor.answers.output import complete
from quota_monitor.main import main
from quota_monitor.window import Window

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("no_aws")

TEXT = """
[prices."vendor.model-1"]
input = 3
output = 15.0
cache_read = 0.3
cache_write = 3.75

[prices."vendor.model-1/global-cross-region"]
input = 1
output = 2

[tags.team]
ReportWriter = "reports"
"""


@pytest.fixture
def chargeback(tmp_path: Path) -> Path:
    path = tmp_path / "chargeback.toml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def without_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the extra `prices` not installed."""
    monkeypatch.setattr(prices, "_has_list", lambda: False)


def caller_of_1_000_calls() -> CallerUsage:
    """1,000,000 input, 100,000 output, 30,000 cache-read and 20,000 cache-write tokens."""
    (usage,) = usages({(POOL, "red"): 1_000})
    return usage.callers[0]


@pytest.mark.parametrize(
    ("price", "dollars"),
    [
        pytest.param(OwnPrice(3, 15, 0.3, 3.75), 4.584, id="3 + 1.5 + 0.009 + 0.075"),
        pytest.param(OwnPrice(0, 0, 0, 0), 0.0, id="free"),
        pytest.param(OwnPrice(3, 15, 0.3), None, id="no price of cache writes"),
        pytest.param(OwnPrice(3, 15, cache_write=3.75), None, id="no price of cache reads"),
    ],
)
def test_prices_are_per_million_tokens_and_never_guessed(price: OwnPrice, dollars: float | None) -> None:
    assert compute_price(price, caller_of_1_000_calls()) == (dollars if dollars is None else pytest.approx(dollars))


def test_a_price_is_of_the_endpoint_type_or_else_of_the_model(chargeback: Path) -> None:
    found = read_chargeback(chargeback)

    assert POOL.model_id == OTHER.model_id == "vendor.model-1"
    assert found.find_price(POOL) == OwnPrice(3, 15, 0.3, 3.75)
    assert found.find_price(OTHER) == OwnPrice(1, 2)
    assert (found.tags, found.source) == ({"team": {"ReportWriter": "reports"}}, "chargeback.toml")


@pytest.mark.usefixtures("without_list")
def test_own_prices_need_no_list(chargeback: Path) -> None:
    found = prices.price_callers(usages({(POOL, "red"): 1_000}), read_chargeback(chargeback))

    assert found == {(POOL, "red"): pytest.approx(4.584)}
    assert prices.price_callers(usages({(POOL, "red"): 1})) == {(POOL, "red"): None}
    assert prices.describe_prices(read_chargeback(chargeback)) == (
        "Prices of vendor.model-1, vendor.model-1/global-cross-region are those of chargeback.toml. Others are "
        "unknown, because genai-prices is not installed."
    )


@pytest.mark.usefixtures("without_list")
def test_a_label_with_the_name_of_a_caller_has_its_own_price(chargeback: Path) -> None:
    # the team Reports has 1 of the 4 calls of the caller Reports: 1,000 input, 30 + 20 cache and 100 output tokens each
    document = Document(
        "a test",
        Window(NOON, NOON + 60),
        find_answers(usages({(POOL, "Reports"): 4}), {}),
        by="tag:team",
        listing=usages({(POOL, "Reports"): 1, (POOL, "Support"): 3}),
    )
    completed = complete(document, Output(dollars=True, chargeback=read_chargeback(chargeback)))

    (account,) = json.loads(to_json([completed]))["accounts"]
    assert {each["caller"]: each["price_usd"] for each in account["usage_by"][0]["callers"]} == {
        "Reports": pytest.approx(0.004584),
        "Support": pytest.approx(0.013752),
    }
    assert sum(each["price_usd"] for each in account["totals_by"]) == pytest.approx(0.018336)
    assert account["pools"][0]["callers"][0]["price_usd"] == pytest.approx(0.018336)


def test_the_docs_show_the_example() -> None:
    example = ROOT / "examples" / "chargeback.toml"

    assert f"```toml\n{example.read_text(encoding='utf-8')}```" in (ROOT / "docs" / "answers.md").read_text(
        encoding="utf-8"
    )
    assert read_chargeback(example).tags["team"]["MonthEndReport"] == "finance"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("[prices", "cannot be read: ", id="no TOML"),
        pytest.param("[price.x]\ninput = 1\noutput = 1", "unknown field `price`", id="unknown table"),
        pytest.param('[prices.x]\ninput = "1"\noutput = 1', "Expected `float`", id="a text as a price"),
        pytest.param("[prices.x]\ninput = 1", "required field `output`", id="no price of output"),
        pytest.param("[prices.x]\ninput = -1\noutput = 1", "the price input of x is -1.0", id="negative"),
        pytest.param("[prices.x]\ninput = nan\noutput = 1", "the price input of x is nan", id="not a number"),
        pytest.param("[prices.x]\ninput = inf\noutput = 1", "the price input of x is inf", id="infinite"),
        pytest.param('[prices."x/global"]\ninput = 1\noutput = 1', "'global' is no endpoint type.", id="endpoint type"),
        pytest.param('source = "x"\n[tags.team]\nApp = "red"', "unknown field `source`", id="unknown key"),
        pytest.param("[tags]\nteam = 1", "Expected `object`", id="a tag without callers"),
    ],
)
def test_a_file_with_anything_else_in_it_is_wrong_usage(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "chargeback.toml"
    path.write_text(text)

    ran = CliRunner().invoke(main, ["analyze", "--files", ".", "--chargeback", str(path)])

    assert ran.exit_code == 2
    assert said in ran.output


def test_a_file_that_does_not_exist_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="cannot be read"):
        read_chargeback(tmp_path / "nothing.toml")


BOTH = Chargeback({"x": OwnPrice(1, 1)}, {"team": {"a": "b"}}, "f.toml")


@pytest.mark.parametrize(
    ("chargeback", "by", "dollars", "is_used"),
    [
        pytest.param(BOTH, None, True, True, id="prices"),
        pytest.param(BOTH, "tag:team", False, True, id="tags"),
        pytest.param(BOTH, "tag:cost", False, False, id="another tag"),
        pytest.param(BOTH, "team", False, False, id="no tag"),
        pytest.param(BOTH, None, False, False, id="neither option"),
        pytest.param(Chargeback(tags=BOTH.tags, source="f.toml"), None, True, False, id="no prices for --dollars"),
        pytest.param(Chargeback(), None, False, True, id="no file"),
    ],
)
def test_a_file_that_has_no_effect_is_wrong_usage(
    chargeback: Chargeback, by: str | None, dollars: bool, is_used: bool
) -> None:
    if is_used:
        check_use(chargeback, by, dollars=dollars)
        return
    with pytest.raises(click.UsageError, match=r"Nothing in f\.toml is used\."):
        check_use(chargeback, by, dollars=dollars)


@pytest.mark.usefixtures("without_list")
def test_calls_without_a_tag_count_for_the_team_of_their_caller(tmp_path: Path) -> None:
    records = tmp_path / "records.jsonl"
    entries = [
        converse(input_tokens=100, output_tokens=10),
        converse(input_tokens=100, output_tokens=10, requestMetadata={"team": "shop"}),
        converse(input_tokens=100, output_tokens=10, **by_session("jane", "Unknown")),
        failed(),
        failed(),
        failed(requestMetadata={"team": "shop"}),
    ]
    records.write_text("\n".join(message(with_id(each, number)) for number, each in enumerate(entries)))
    path = tmp_path / "chargeback.toml"
    path.write_text(f'[prices."{SONNET}"]\ninput = 10_000\noutput = 50_000\n[tags.team]\nReportWriter = "reports"\n')
    options = ["--by", "tag:team", "--dollars", "--chargeback", str(path), "--json"]

    ran = CliRunner(mix_stderr=False).invoke(main, ["analyze", "--files", str(records), *options])

    assert ran.exit_code == 0, ran.stderr
    (account,) = json.loads(ran.stdout)["accounts"]
    # 100 × $0.01 and 10 × $0.05 are $1.50 a call
    assert {
        each["caller"]: (each["requests"], each["throttled"], each["price_usd"]) for each in account["totals_by"]
    } == {
        "reports": (1, 2, 1.5),
        "shop": (1, 1, 1.5),
        "–": (1, 0, 1.5),
    }
