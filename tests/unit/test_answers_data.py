"""Answers as JSON and CSV, and the page that describes them."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bedrock_quota.analysis.answers import find_answers
from bedrock_quota.analysis.tally import UsageTally
from bedrock_quota.analysis.verdict import State
from bedrock_quota.analysis.what_if import Scenario
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool
from quota_monitor.answers.data import to_csv, to_json
from quota_monitor.answers.document import Document
from quota_monitor.answers.markdown import to_markdown
from quota_monitor.deployed.lines import LineCall
from quota_monitor.json_output import SCHEMA_VERSION
from quota_monitor.window import Window

PAGE = (Path(__file__).parents[2] / "docs" / "answers.md").read_text(encoding="utf-8")
POOL = QuotaPool("vendor.model-1", EndpointType.CROSS_REGION)
OTHER = QuotaPool("vendor.model-1", EndpointType.GLOBAL_CROSS_REGION)
NOON = 1_795_867_200  # 2026-11-28T12:00:00Z


def document(caller: str = "Hungry", **scenario: object) -> Document:
    tally = UsageTally(single_calls=True)
    call = LineCall(1_000, 5, 0, 100, 64_000, 1_100, False)
    for _ in range(10):
        opened = tally.open_calls(POOL, NOON, caller, "explicit")
        opened.add(call)
        opened.add_time(call, NOON, 2_000)
    tally.add_failed(POOL, NOON, caller, "ThrottlingException", 3)
    tally.add_failed(POOL, NOON, caller, "ValidationException", 1)
    quotas = {POOL: PoolQuota(600_000, 100), OTHER: PoolQuota(900_000)}
    assumed = Scenario(**scenario)  # type: ignore[arg-type]
    return Document(
        source="a test",
        window=Window(NOON, NOON + 60),
        pools=find_answers(tally.measure(quotas), quotas, assumed),
        account="111122223333",
        region="us-east-1",
        received=14,
        counts={"failed calls": 4},
        notes=("A note.",),
        scenario=assumed,
        prices={(POOL, caller): 1.25},
        caller_prices={(POOL, caller): 1.25},
    )


DATA = {"throttled_by_cause", "errors", "records_not_counted"}
"""Objects whose names are data."""


def members(value: object) -> Iterator[str]:
    """Yield the names of all members, without those that are data."""
    if isinstance(value, list):
        for each in value:
            yield from members(each)
    elif isinstance(value, dict):
        for name, inside in value.items():
            if re.fullmatch(r"[a-z0-9_]+", name):
                yield name
            if name not in DATA:
                yield from members(inside)


def test_every_member_is_on_the_page_and_every_state():
    found = json.loads(to_json([document(growth=2.0)]))

    assert found["schema_version"] == SCHEMA_VERSION == 1
    named = set(re.findall(r"`([a-z0-9_]+)`", PAGE))
    assert set(members(found)) - named == set()
    states = PAGE.partition("## States of a pool")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([^`]+)` \|", states, re.M) == [str(state) for state in State]


def test_numbers_of_a_pool_and_a_caller():
    (account,) = json.loads(to_json([document()]))["accounts"]
    (pool,) = account["pools"]
    (caller,) = pool["callers"]

    assert (account["from"], account["to"]) == ("2026-11-28T12:00:00Z", "2026-11-28T12:01:00Z")
    assert (pool["state"], pool["throttled_by_cause"]) == ("throttled by reservation", {"reservation": 3})
    assert (pool["peak_reserved_tokens"], pool["peak_consumed_tokens"]) == (650_000, 11_000)
    assert pool["errors"] == {"ValidationException": 1}
    # 10 calls with 256 instead of 64,000, and the 3 throttled ones, each of 1,256 as well
    assert pool["changes"] == [
        {"caller": "Hungry", "max_tokens": 256, "peak_tokens": 12_560, "peak_tokens_with_throttled": 16_328}
    ]
    assert caller["advice"]["freed_tokens_at_peak"] == 637_440
    assert (caller["price_usd"], caller["cache_read_tokens"]) == (1.25, 50)
    assert pool["minutes"][0]["in_use_tokens"] == 650_000
    assert pool["projection"] is None


def test_a_row_per_caller():
    (head, row) = list(csv.reader(io.StringIO(to_csv([document()]))))
    found = dict(zip(head, row, strict=True))

    assert (found["account"], found["caller"], found["output_largest"]) == ("111122223333", "Hungry", "100")
    assert (found["action"], found["proposed_max_tokens"], found["price_usd"]) == ("set", "256", "1.25")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx"], ids=["equals", "plus", "minus", "at", "tab"])
def test_no_name_in_a_row_is_a_formula(name: str):
    (_, row) = list(csv.reader(io.StringIO(to_csv([document(name)]))))

    assert f"'{name}" in row


def test_a_proposal_on_few_answers_says_so():
    assert "| set 256 (10 answers: take more days) |" in to_markdown([document()])
