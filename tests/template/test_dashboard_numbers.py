"""What the dashboard and the saved queries show of four minutes of calls, worked out by hand."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import resolved
from made_account import MadeAccount
from records import (
    ACCOUNT,
    EMBEDDING,
    MINUTE,
    NOVA,
    NOW,
    SONNET,
    TITAN,
    Entry,
    Process,
    ReadLine,
    by_session,
    converse,
    cut_answer,
    failed,
    metadata_only,
)
from resolved import NAMESPACE, VALUES, Tree

from bedrock_quota import model_ids
from bedrock_quota.fetcher.quota_lines import lines_for_quotas
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool
from bedrock_quota.processor.health import line_for_duplicate
from bedrock_quota.processor.usage import UsageCalculator
from bedrock_quota.registry.models import Registry
from localaws.preview import body as preview_body
from localaws.preview import drawing, log_evaluation, logs_insights, math_evaluation, metric_math, metric_search
from localaws.preview.drawing import Drawing, Reader
from localaws.preview.series import TimeRange

PROCESSOR, FETCHER = VALUES["MetricProcessorLogGroup"], VALUES["QuotaFetcherLogGroup"]
CROSS = QuotaPool(SONNET, EndpointType.CROSS_REGION)
QUOTAS = {
    CROSS: PoolQuota(tokens_per_minute=10_000, requests_per_minute=20),
    QuotaPool(NOVA, EndpointType.REGIONAL): PoolQuota(tokens_per_minute=1_000, requests_per_minute=5),
    QuotaPool(TITAN, EndpointType.REGIONAL): PoolQuota(tokens_per_minute=0, requests_per_minute=10),
}
A, B, C, D = (MINUTE - 180, MINUTE - 120, MINUTE - 60, MINUTE)
"""11:57 to 12:00. Each begins at a full minute."""
TIMES = {A: "11:57", B: "11:58", C: "11:59", D: "12:00"}
RANGE = TimeRange(MINUTE - 300, MINUTE + 60)
HELD = 0.000001
ZERO = "Its quota is 0, so Bedrock throttles every call. Request an increase in Service Quotas."


def by(caller: str, minute: int) -> dict[str, Any]:
    """Who called, and when."""
    return {
        "identity": {"arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{caller}/session"},
        "timestamp": f"2026-11-23T{TIMES[minute]}:05Z",
    }


def call(model_id: str, caller: str, minute: int, *, asked: int, given: int, made: int) -> Entry:
    return converse(model_id, max_tokens=asked, input_tokens=given, output_tokens=made, **by(caller, minute))


ENTRIES: list[Entry | str] = [
    # burndown 5x; reserved 2 × 1,100, consumed 2 × (100 + 5 × 20)
    *[call(f"us.{SONNET}", "Report", A, asked=1_000, given=100, made=20)] * 2,
    # reserved 3 × 4,100 + 2 × 250, consumed 3 × 300 + 2 × 200: over the quota
    *[call(f"us.{SONNET}", "Report", B, asked=4_000, given=100, made=40)] * 3,
    *[call(f"us.{SONNET}", "Chat", B, asked=200, given=50, made=30)] * 2,
    *[failed(f"us.{SONNET}", **by("Chat", B))] * 2,
    failed(f"us.{SONNET}", "ValidationException", **by("Report", B)),
    cut_answer(call(f"us.{SONNET}", "Chat", C, asked=200, given=50, made=30)),
    metadata_only(f"us.{SONNET}", 7, 11, **by("Chat", D)),
    # of other pools: 1x, and one without quotas
    call(NOVA, "Batch", A, asked=500, given=100, made=20),
    call(SONNET, "Report", A, asked=100, given=10, made=2),
    failed(TITAN, **by("Report", D)),
    converse(f"arn:aws:bedrock:us-east-1:{ACCOUNT}:provisioned-model/abcdef123456"),
    # of the reserved tier, in the fullest minute: it adds to no number but the records out of scope
    call(f"us.{SONNET}", "Chat", B, asked=200, given=50, made=30)
    | {"output": {"outputTokenCount": 30, "outputBodyJson": {"serviceTier": {"type": "reserved"}}}},
    "{",
]


@pytest.fixture
def account(process: Process, read_line: ReadLine) -> MadeAccount:
    """Two deliveries, one that came again, a fetch of the quotas before one was raised, and what AWS itself counts."""
    made = MadeAccount()
    fetched = QUOTAS | {CROSS: PoolQuota(tokens_per_minute=9_000, requests_per_minute=20)}
    fetched |= {QuotaPool(EMBEDDING, EndpointType.REGIONAL): PoolQuota(requests_per_minute=9)}
    made.write(FETCHER, C, map(read_line, lines_for_quotas(NAMESPACE, C, fetched)))
    now = int(NOW.timestamp())
    made.write(PROCESSOR, now, map(read_line, process(ENTRIES, quotas=QUOTAS).lines))
    again = process([call(NOVA, "Batch", D, asked=500, given=100, made=20)], quotas=QUOTAS)
    made.write(PROCESSOR, now, map(read_line, again.lines))
    made.write(PROCESSOR, now, [read_line(line_for_duplicate(NAMESPACE, NOW.timestamp(), 0))])
    made.put(NAMESPACE, "ConsumedTokens", C, 1_000, ModelId=f"{SONNET}:1m", EndpointType="cross-region")
    for name, second, value, model_id in (
        ("InvocationThrottles", B, 2, f"us.{SONNET}"),
        ("InvocationThrottles", B, 99, f"us.{SONNET}-5"),  # another model, whose name begins so
        ("InvocationClientErrors", B, 1, f"global.{SONNET}"),
        ("InvocationServerErrors", C, 3, SONNET),
        ("EstimatedTPMQuotaUsage", A, 400, f"us.{SONNET}"),
        ("EstimatedTPMQuotaUsage", A, 20, SONNET),
        ("EstimatedTPMQuotaUsage", A, 7_777, f"us.{SONNET}-5"),
    ):
        made.put("AWS/Bedrock", name, second, value, ModelId=model_id)
    made.put("AWS/Bedrock", "ModelInvocationLogsCloudWatchDeliveryFailure", A, 4, 1)
    made.put("AWS/Lambda", "Errors", A, 1, 2, FunctionName=VALUES["MetricProcessorFunction"])
    return made


@pytest.fixture(scope="module")
def template() -> Tree:
    return resolved.template()


@pytest.fixture(scope="module", params=["no", "yes"], ids=["alone", "monitoring account"])
def body(template: Tree, request: pytest.FixtureRequest) -> Tree:
    return resolved.dashboard(template, monitoring_account=request.param)


def drawn(body: Tree, account: Any, pool: QuotaPool = CROSS) -> dict[str, Drawing]:
    """What every widget shows when a pool is chosen, by the beginning of its title."""
    values = {"model": pool.model_id, "endpoint": str(pool.endpoint_type)}
    widgets = preview_body.chosen(json.dumps(body), values)["widgets"]
    found = [drawing.draw(widget, RANGE, Reader(account, "us-east-1")) for widget in widgets]
    assert [each["problems"] for each in found if each["problems"]] == []
    titles = [each["title"] for each in found if each["kind"] != "text"]
    assert len(titles) == len(set(titles))
    return {each["title"]: each for each in found if each["kind"] != "text"}


def shown(found: Mapping[str, Drawing], title: str) -> Drawing:
    (one,) = [each for name, each in found.items() if name.startswith(title)]
    return one


def points(drawn: Drawing) -> dict[str, dict[int, Any]]:
    """The series of a graph: values by minute."""
    return {
        series["label"]: {
            at // 1000: pytest.approx(value, abs=HELD)
            for at, value in zip(series["times"], series["values"], strict=True)
        }
        for series in drawn["series"]
    }


NAME, OTHER = f"{SONNET} cross-region", f"{NOVA} regional"
RESERVED = {NAME: {A: 22, B: 128, C: 2.5}, OTHER: {A: 60, D: 60}}
CONSUMED = {NAME: {A: 4, B: 13, C: 2, D: 0.62}, OTHER: {A: 12, D: 12}}
REQUESTS = {NAME: {A: 10, B: 25, C: 5, D: 5}, OTHER: {A: 20, D: 20}}


@pytest.mark.parametrize(
    ("table", "graph", "expected"),
    [
        pytest.param("Peak reserved", "Reserved of each pool", RESERVED, id="reserved"),
        pytest.param("Peak consumed", "Consumed of each pool", CONSUMED, id="consumed"),
        pytest.param("Peak requests", "Requests of each pool", REQUESTS, id="requests"),
    ],
)
def test_the_pool_with_the_highest_peak_comes_first(
    body: Tree, account: MadeAccount, table: str, graph: str, expected: dict[str, dict[int, float]]
) -> None:
    # The first one's peak is the higher, its average, its least, and its name are the lower.
    found = drawn(body, account)

    table = f"{table}, % of quota per minute"
    peaks = points(shown(found, table))
    assert (peaks, list(peaks)) == (expected, list(expected))
    assert shown(found, table)["summary"] == ["MAX", "AVG"]
    over_time = points(shown(found, graph))
    assert over_time.pop("alarm at 80%") == dict.fromkeys(RANGE.moments(60), 80)
    assert (over_time, list(over_time)) == (expected, list(expected))
    assert shown(found, graph)["stacked"] is False


def test_the_first_graph_is_of_the_pools_with_the_highest_peaks(body: Tree, account: MadeAccount) -> None:
    # given a pool that consumes more of its quota than the one that reserves most of its own
    account.put(NAMESPACE, "ConsumedQuotaPercent", C, 14, ModelId=TITAN, EndpointType="regional")

    found = shown(drawn(body, account), "Highest use of any pool")

    assert points(found) == {
        f"highest reserved {NAME}": RESERVED[NAME],
        f"highest consumed {TITAN} regional": {C: 14},
    }
    assert [each["color"] for each in found["series"]] == ["#0072B2", "#E69F00"]
    assert [[mark["value"] for mark in each] for each in found["annotations"]] == [[100]]


def test_a_quota_of_0_comes_first(body: Tree, account: MadeAccount) -> None:
    found = shown(drawn(body, account), "Lowest token quotas")

    # The embedding model has no quota on tokens. That of the first pool was 9,000 before it was raised.
    lowest = [(each["label"], min(each["values"])) for each in found["series"]]
    assert lowest == [(f"{TITAN} regional", 0), (OTHER, 1_000), (NAME, 9_000)]
    assert found["summary"] == ["MIN"]


@pytest.mark.parametrize(
    ("title", "label", "peak"),
    [
        pytest.param("Peak reserved, % of the quota", "reserved", 128, id="reserved"),
        pytest.param("Peak consumed, % of the quota", "consumed", 13, id="consumed"),
        pytest.param("Peak requests, % of the quota", "requests", 25, id="requests"),
    ],
)
def test_gauges_stand_at_the_peak(body: Tree, account: MadeAccount, title: str, label: str, peak: float) -> None:
    found = drawn(body, account)[title]

    assert found["view"] == "gauge"
    assert points(found) == {label: dict.fromkeys(RANGE.moments(60), peak)}
    assert found["left"] == {"min": 0, "max": 150}
    assert [[mark["value"] for mark in each] for each in found["annotations"]] == [[100]]


def test_tokens_and_requests_of_each_minute_beside_the_quota(body: Tree, account: MadeAccount) -> None:
    found = drawn(body, account)

    assert points(found["Tokens per minute"]) == {
        "reserved (what throttles)": {A: 2_200, B: 12_800, C: 250},  # none where nothing is known
        "consumed": {A: 400, B: 1_300, C: 200, D: 62},
        "quota": dict.fromkeys((A, B, C, D), 10_000),
    }
    assert points(found["Requests per minute"]) == {
        "requests": {A: 2, B: 5, C: 1, D: 1},
        "quota": dict.fromkeys((A, B, C, D), 20),
    }
    assert all(found[title]["stacked"] is False for title in ("Tokens per minute", "Requests per minute"))


def test_what_was_asked_for_beside_what_came_of_it(body: Tree) -> None:
    # given 200 calls: the k-th asked for k tokens, and produced 1,000 + k (which no model does)
    made = MadeAccount()
    for name, first in (("MaxTokens", 1), ("OutputTokens", 1_001)):
        made.put(NAMESPACE, name, A, *range(first, first + 200), ModelId=SONNET, EndpointType="cross-region")

    found = drawn(body, made)
    assert points(found["max_tokens per call"]) == {"largest max_tokens": {A: 200}, "median max_tokens": {A: 100}}
    assert points(found["Output per call"]) == {"largest output": {A: 1_200}, "median output": {A: 1_100}}


def test_bedrocks_own_counts_are_of_this_model_however_it_is_called(body: Tree, account: MadeAccount) -> None:
    found = drawn(body, account)

    assert points(shown(found, "Throttles and errors")) == {
        f"throttled us.{SONNET}": {B: 2},
        f"client errors global.{SONNET}": {B: 1},
        f"server errors {SONNET}": {C: 3},
    }
    assert points(shown(found, "Cross-check")) == {
        "consumed, all endpoint types": {A: 420, B: 1_300, C: 1_200, D: 62},
        "EstimatedTPMQuotaUsage": {A: 420},
    }


def test_searches_name_every_way_to_call_a_model_and_are_short_enough(body: Tree, registry: Registry) -> None:
    every = {"chosen-model", *(f"{each}.chosen-model" for each in (*model_ids.GEO_PREFIXES, model_ids.GLOBAL_PREFIX))}
    every |= {f"{each}chosen-model{model_ids.LATENCY_OPTIMIZED_SUFFIX}" for each in ("", "us.")}
    longest = max((model.id for model in registry.models), key=len)
    named = []
    for widget in body["widgets"]:
        for row in widget["properties"].get("metrics", []):
            for search in math_evaluation.searches(metric_math.parse(row[-1].get("expression", "m"))):
                metric_search.parse(search.expression.replace("chosen-model", longest))
                if "{AWS/Bedrock,ModelId}" in search.expression:
                    named.append(names(metric_search.parse(search.expression).condition))

    assert named == [every] * 4


def names(condition: metric_search.Condition) -> set[str]:
    """The ids that a search wants exactly."""
    match condition:
        case metric_search.Term(text, True, "ModelId"):
            return {text}
        case metric_search.All(parts) | metric_search.Any(parts):
            return {text for part in parts for text in names(part)}
    return set()


def test_whether_the_numbers_can_be_trusted(body: Tree, account: MadeAccount) -> None:
    found = drawn(body, account)

    became = {"processed": 12, "failed calls": 4, "out of scope": 2, "rejected": 1}
    records = shown(found, "Records in this time range")
    assert points(records) == {label: {RANGE.start: value} for label, value in became.items()} | {
        "max_tokens unknown": {RANGE.start: 1}
    }
    assert points(found["Records per minute by outcome"]) == {label: {D: value} for label, value in became.items()}
    assert found["Records per minute by outcome"]["stacked"] is True
    coverage = shown(found, "Coverage")
    assert points(coverage) == {
        "calls whose max_tokens is known": {D: 100 * 11 / 12},
        "age of the oldest record": {D: 205},  # at 12:00:30, of a call at 11:57:05; 25 in the second delivery
    }
    assert [each["axis"] for each in coverage["series"]] == ["left", "right"]
    five = {"calls of unlisted models": {D: 0}, "duplicate deliveries": {D: 1}}
    before = MINUTE - 300
    five |= {"failed runs of the processor": {before: 3}}
    five |= {"records that Bedrock could not log ModelInvocationLogsCloudWatchDeliveryFailure": {before: 5}}
    assert {label: dict(at) for label, at in points(found["Problems to check"]).items()} == five


# Tables


def rows(found: Mapping[str, Drawing], title: str) -> list[list[Any]]:
    return rounded(shown(found, title)["rows"])


def rounded(found: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [[round(cell, 3) if isinstance(cell, float) else cell for cell in row] for row in found]


THROTTLED, INVALID = "ThrottlingException", "ValidationException"
OF_CROSS = [SONNET, "cross-region"]
FAILED = [
    ["Chat", THROTTLED, *OF_CROSS, 2],
    ["Report", THROTTLED, TITAN, "regional", 1],
    ["Report", INVALID, *OF_CROSS, 1],
]


PROPOSAL = ["max_tokens", "set_max_tokens_to", "largest_output", "cut_percent", "frees_percent", "peak_percent"]
REPORT = [4_000, 256, 40, 0, 112.3, 123]
"""At 11:58 it reserves 3 × 4,100 of 10,000, 3 × 4,000 of them for max_tokens. 256 instead frees 3 × 3,744."""
CHAT = [200, 256, 30, 33.3, -1.1, 5]
"""One answer of three was cut at 200 tokens, so it may need 1.25 × 200. 2 × 56 more of 10,000 are reserved at 11:58."""


def test_what_to_change_first(body: Tree, account: MadeAccount) -> None:
    found = drawn(body, account)

    assert shown(found, "Callers to change first")["columns"] == ["ModelId", "EndpointType", "caller", *PROPOSAL]
    assert rows(found, "Callers to change first") == [
        [*OF_CROSS, "Report", *REPORT],
        [*OF_CROSS, "Chat", *CHAT],  # its answers were cut, so it is here although it frees nothing
    ]  # Batch keeps its 500, because 256 is more than half of it, and so does Report its 100 in the regional pool


def test_tables_of_the_chosen_pool(body: Tree, account: MadeAccount) -> None:
    found = drawn(body, account)

    assert shown(found, "Callers of the chosen pool")["columns"] == [
        "caller", "max_tokens_source", *PROPOSAL, "reserved", "consumed", "calls"
    ]  # fmt: skip
    assert rows(found, "Callers of the chosen pool") == [
        ["Report", "explicit", *REPORT, 14_500, 1_300, 5],
        ["Chat", "explicit", *CHAT, 750, 600, 3],
        ["Chat", "unknown", None, None, 11, 0, None, None, None, 62, 1],
    ]
    assert rows(found, "Failed calls of the chosen pool") == [[THROTTLED, "Chat", 2], [INVALID, "Report", 1]]
    assert sorted(rows(found, "Calls of the chosen pool by")) == [["explicit", 8], ["unknown", 1]]
    assert shown(found, "Calls of the chosen pool by")["view"] == "pie"
    assert rows(found, "Quotas of the chosen pool") == [[10_000, 20, None]]  # the newest ones


def test_a_quota_of_0_is_said_in_words_though_the_newest_line_says_nothing(body: Tree, account: MadeAccount) -> None:
    found = drawn(body, account, QuotaPool(TITAN, EndpointType.REGIONAL))

    without = "No quota on tokens: AWS limits only the requests of this pool."
    assert rows(found, "Notes on quotas") == [[TITAN, "regional", ZERO], [EMBEDDING, "regional", without]]
    assert rows(found, "Quotas of the chosen pool") == [
        [0, 10, ZERO]
    ]  # the newest line is that of the call that failed


def test_tables_of_all_pools(body: Tree, account: MadeAccount) -> None:
    found = drawn(body, account)
    report, batch = ["Report", *OF_CROSS, 14_500, 1_300, 5], ["Batch", NOVA, "regional", 1_200, 240, 2]
    chat, once = ["Chat", *OF_CROSS, 750, 662, 4], ["Report", SONNET, "regional", 110, 20, 1]

    assert rows(found, "Callers of all pools by consumed tokens") == [report, chat, batch, once]
    assert rows(found, "Calls by operation and application profile") == [["Converse", None, 16_560, 2_222, 12]]
    assert rows(found, "Failed calls by caller")[0] == FAILED[0]
    assert sorted(rows(found, "Failed calls by caller")) == FAILED


SAVED = {
    "TopReserversQuery": [
        ["Report", None, *OF_CROSS, 14_500, 1_300, 5],
        ["Batch", None, NOVA, "regional", 1_200, 240, 2],
        ["Chat", None, *OF_CROSS, 750, 600, 3],
        ["Report", None, SONNET, "regional", 110, 20, 1],
    ],
    "OversizedMaxTokensQuery": [  # the largest of single calls: Report's asked for 4,000, and one got 40
        ["Report", SONNET, "Converse", "explicit", 6, 4_000, 40, 0, 100],
        ["Batch", NOVA, "Converse", "explicit", 2, 500, 20, 0, 25],
        ["Chat", SONNET, "Converse", "explicit", 3, 200, 30, 1, 6.667],
    ],
    "ThrottledMinutesQuery": [
        ["12:00", NOVA, "regional", "Batch", None, 600, 120, 1],
        ["12:00", TITAN, "regional", "Report", 1, None, None, None],
        ["12:00", *OF_CROSS, "Chat", None, None, 62, 1],
        ["11:59", *OF_CROSS, "Chat", None, 250, 200, 1],
        ["11:58", *OF_CROSS, "Chat", 2, 500, 400, 2],  # who was throttled, and right behind who filled that minute
        ["11:58", *OF_CROSS, "Report", None, 12_300, 900, 3],
        ["11:57", NOVA, "regional", "Batch", None, 600, 120, 1],
        ["11:57", *OF_CROSS, "Report", None, 2_200, 400, 2],
        ["11:57", SONNET, "regional", "Report", None, 110, 20, 1],
    ],
    "UnknownMaxTokensQuery": [["Chat", SONNET, "Converse", 1, 62]],
    "FailuresQuery": [
        [THROTTLED, *OF_CROSS, "Chat", "Converse", 2],
        [INVALID, *OF_CROSS, "Report", "Converse", 1],
        [THROTTLED, TITAN, "regional", "Report", "Converse", 1],
    ],
}


@pytest.mark.parametrize("logical_id", SAVED)
def test_a_saved_query_makes_these_rows(template: Tree, account: MadeAccount, logical_id: str) -> None:
    text = resolved.Resolver(VALUES, template)(template["Resources"][logical_id]["Properties"]["QueryString"])
    query = logs_insights.parse(text)

    _, found = log_evaluation.run(query, Reader(account, "us-east-1").events([PROCESSOR], RANGE))  # type: ignore[arg-type]

    expected = [
        [f"2026-11-23 {cell}:00.000" if cell in TIMES.values() else cell for cell in row] for row in SAVED[logical_id]
    ]
    assert rounded(found) == expected


@pytest.fixture
def of_sessions(registry: Registry, process: Process, read_line: ReadLine) -> MadeAccount:
    """Two calls of one session, one of another, which is also throttled, and one of a third without max_tokens."""
    by_sessions = UsageCalculator(registry, lambda _profile: model_ids.UNRESOLVED, with_sessions=True)
    entries = [converse(**by_session("jane"))] * 2 + [
        converse(max_tokens=4_000, output_tokens=40, **by_session("kim")),
        failed(**by_session("kim")),
        metadata_only(SONNET, 100, 20, **by_session("lee")),
    ]
    made = MadeAccount()
    made.write(PROCESSOR, int(NOW.timestamp()), map(read_line, process(entries, by=by_sessions).lines))
    return made


@pytest.mark.parametrize(
    ("logical_id", "rows"),
    [
        pytest.param(
            "TopReserversQuery",
            [
                ["ReportWriter", "kim", None, SONNET, "regional", 4_100, 300, 1],
                ["ReportWriter", "jane", None, SONNET, "regional", 1_200, 400, 2],
            ],
            id="callers by reserved tokens",
        ),
        pytest.param(
            "OversizedMaxTokensQuery",
            [
                ["ReportWriter", "kim", SONNET, "Converse", "explicit", 1, 4_000, 40, 0, 100],
                ["ReportWriter", "jane", SONNET, "Converse", "explicit", 2, 500, 20, 0, 25],
            ],
            id="max_tokens far above the output",
        ),
        pytest.param(
            "ThrottledMinutesQuery",
            [
                ["12:00", SONNET, "regional", "ReportWriter", "kim", 1, 4_100, 300, 1],
                ["12:00", SONNET, "regional", "ReportWriter", "jane", None, 1_200, 400, 2],
                ["12:00", SONNET, "regional", "ReportWriter", "lee", None, None, 200, 1],
            ],
            id="callers in throttled minutes",
        ),
        pytest.param(
            "UnknownMaxTokensQuery",
            [["ReportWriter", "lee", SONNET, "Converse", 1, 200]],
            id="calls with unknown max_tokens",
        ),
        pytest.param(
            "FailuresQuery",
            [["ThrottlingException", SONNET, "regional", "ReportWriter", "kim", "Converse", 1]],
            id="failed calls by error code",
        ),
    ],
)
def test_with_sessions_the_queries_tell_them_apart(
    template: Tree, of_sessions: MadeAccount, logical_id: str, rows: list[list[Any]]
) -> None:
    given = template["Resources"][logical_id]["Properties"]["QueryString"]
    query = logs_insights.parse(resolved.Resolver(VALUES | {"CallerDetail": "session"}, template)(given))

    events = Reader(of_sessions, "us-east-1").events([PROCESSOR], RANGE)  # type: ignore[arg-type]
    _, found = log_evaluation.run(query, events)

    assert rounded(found) == [
        [f"2026-11-23 {cell}:00.000" if cell in TIMES.values() else cell for cell in row] for row in rows
    ]


def test_with_sessions_every_query_by_caller_is_also_by_session(template: Tree) -> None:
    resolve = resolved.Resolver(VALUES | {"CallerDetail": "session"}, template)
    widgets = resolved.dashboard(template, caller_detail="session")["widgets"]
    queries = {
        **{name: resolve(template["Resources"][name]["Properties"]["QueryString"]) for name in SAVED},
        **{each["properties"]["title"]: each["properties"]["query"] for each in widgets if each["type"] == "log"},
    }
    by_caller = {name for name, query in queries.items() if re.search(r" by .*\bcaller\b", query)}

    assert len(by_caller) == 10
    assert {name for name in by_caller if re.search(r" by .*\bcaller, session\b", queries[name])} == by_caller


def test_every_saved_query_is_tried(template: Tree) -> None:
    resources = template["Resources"].items()

    assert SAVED.keys() == {name for name, each in resources if each["Type"] == "AWS::Logs::QueryDefinition"}
