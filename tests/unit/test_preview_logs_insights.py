"""Logs Insights queries over a handful of events, with rows worked out by hand."""

import json
from typing import Any

import pytest

from localaws.preview import log_evaluation, logs_insights
from localaws.preview.errors import NotSupportedError, PreviewError

EVENTS: list[dict[str, Any]] = [
    {"caller": "a", "tokens": 10, "requests": 1, "tags": {"team": "x"}},
    {"caller": "b", "tokens": 70, "requests": 2, "tags": {"team": "y"}, "note": "old"},
    {"caller": "a", "tokens": 30, "requests": 3},
    {"caller": "b", "note": "new", "failed": 4, "_aws": {"Timestamp": 5}},
]


def run(query: str) -> tuple[list[str], list[list[Any]]]:
    lines = [*map(json.dumps, EVENTS), "START RequestId: plain text", '{"cut": ']
    rows = [log_evaluation.parse_event({"timestamp": at, "message": line}) for at, line in enumerate(lines)]
    return log_evaluation.run(logs_insights.parse(query), rows)


@pytest.mark.parametrize(
    ("query", "columns", "rows"),
    [
        pytest.param(
            "SOURCE 'g' | filter ispresent(tokens) | stats sum(tokens) as t, sum(requests) as n by caller | sort t desc",
            ["caller", "t", "n"],
            [["b", 70, 2], ["a", 40, 4]], id="sums by caller, sorted"),
        pytest.param("filter caller = 'a' and tokens > 10 | fields tokens / requests as each | display each", ["each"], [[10]], id="arithmetic on fields"),
        pytest.param("filter ispresent(tokens) | stats sum(tokens) / sum(requests) as mean by caller", ["caller", "mean"], [["a", 10], ["b", 35]], id="arithmetic on sums"),
        pytest.param("filter caller = \"b\" | stats latest(note) as said, earliest(note) as was", ["said", "was"], [["new", "old"]], id="latest and earliest"),
        pytest.param("filter ispresent(caller) | stats count(*) as n, count(tokens) as known by tags.team | sort n desc", ["tags.team", "n", "known"], [[None, 2, 1], ["x", 1, 1], ["y", 1, 1]], id="counts by a nested field"),
        pytest.param("fields coalesce(failed, `_aws.Timestamp`, tokens) as v | filter ispresent(v) | display v", ["v"], [[10], [70], [30], [4]], id="coalesce"),
        pytest.param("filter caller in ['b'] and note like 'ol' | display tokens", ["tokens"], [[70]], id="in and like"),
        pytest.param("filter note like /^NE/i | display failed", ["failed"], [[4]], id="like with a regular expression"),
        pytest.param("# a remark\nfilter ispresent(tokens) | stats pct(tokens, 50) as p50, max(tokens) as most, avg(tokens) as mean", ["p50", "most", "mean"], [[30, 70, 110 / 3]], id="percentile, maximum and average after a comment"),
        pytest.param("filter not ispresent(tokens) and ispresent(caller) | stats sum(tokens) as none by caller", ["caller", "none"], [["b", None]], id="sum of no values"),
        pytest.param("filter ispresent(tokens) | sort caller desc, tokens asc | limit 2 | display caller, tokens", ["caller", "tokens"], [["b", 70], ["a", 10]], id="sort by two keys, limited"),
        pytest.param("filter ispresent(caller) | stats latest(tokens) as last, latest(note) as said, sortsLast(note) as z, sortsFirst(note) as a", ["last", "said", "z", "a"], [[None, "new", "old", "new"]], id="sortsLast and sortsFirst"),
        pytest.param("filter tokens = 10 | fields 2 ^ ceil(log(tokens) / log(2)) as power, 2 * 3 ^ 2 as eighteen, greatest(tokens, 3, 12) as most, least(tokens, 3) as least | display power, eighteen, most, least", ["power", "eighteen", "most", "least"], [[16, 18, 12, 3]], id="powers, greatest and least"),
        pytest.param("filter tokens = 10 | fields tokens ^ 1000 as large, 0 ^ (0 - 1) as pole, (0 - 8) ^ 0.5 as root, 2 ^ (0 - 1) as half | display large, pole, root, half", ["large", "pole", "root", "half"], [[None, None, None, 0.5]], id="powers that are no real number or too large"),
        pytest.param("filter ispresent(note) | fields greatest(tokens, 100) as most, log(failed - 4) as none | display most, none", ["most", "none"], [[100, None], [None, None]], id="greatest of a missing field and log of 0"),
        pytest.param("filter ispresent(tokens) | stats floor(max(tokens) / 3) as third, greatest(sum(requests), 5) as five by caller | sort third desc", ["caller", "third", "five"], [["b", 23, 5], ["a", 10, 5]], id="functions of aggregates"),
        pytest.param("filter ispresent(tokens) | stats sum(tokens) as t, sum(requests) as n by caller, tags.team | stats max(t) as most, sum(n) as all by caller | sort most desc | limit 1", ["caller", "most", "all"], [["b", 70, 2]], id="stats of stats"),
        pytest.param("filter failed = 4 | fields fromMillis(failed * 1000) as at, fromMillis(note) as none | display at, none", ["at", "none"], [["1970-01-01 00:00:04.000", None]], id="fromMillis"),
    ],
)  # fmt: skip
def test_a_query_makes_these_rows(query: str, columns: list[str], rows: list[list[Any]]) -> None:
    found = run(query)

    assert found[0] == columns
    assert found[1] == [[pytest.approx(cell) if isinstance(cell, float) else cell for cell in row] for row in rows]


def test_an_event_has_200_fields_and_no_more() -> None:
    line = {"values": list(range(198)), "nested": {"last": "here"}, "fits": 1, "lost": 2}

    row = log_evaluation.parse_event({"timestamp": 0, "message": json.dumps(line)})

    assert (row["values.197"], row["nested.last"], row["fits"]) == (197, "here", 1)
    assert "lost" not in row


def test_source_names_the_groups() -> None:
    assert logs_insights.parse("SOURCE '/aws/a' | SOURCE '/aws/b' | limit 5").groups == ("/aws/a", "/aws/b")


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("parse @message '*' as x", id="unknown command"),
        pytest.param("stats median(tokens)", id="unknown function"),
        pytest.param("filter a = ", id="missing operand"),
        pytest.param("limit many", id="limit without a number"),
        pytest.param("sum(x)", id="function without a command"),
        pytest.param("stats sum(a) as b | stats sum(b) as c | stats sum(c)", id="three stats commands"),
        pytest.param("stats sum(a) as b by c | sort b desc | stats max(b)", id="sort before the last stats command"),
        pytest.param("stats sum(a) as b by c | limit 5 | stats max(b)", id="limit before the last stats command"),
    ],
)
def test_what_is_not_supported_or_wrong_is_said(query: str) -> None:
    with pytest.raises(PreviewError):
        logs_insights.parse(query)


def test_a_command_that_is_not_supported_is_named() -> None:
    with pytest.raises(NotSupportedError, match="the command dedup"):
        logs_insights.parse("filter a = 1 | dedup a")
