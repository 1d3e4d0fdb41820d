"""The max_tokens that the dashboard proposes is the one that the product's advice proposes."""

import json
from typing import Any

import msgspec
import resolved
from hypothesis import example, given
from hypothesis import strategies as st

from bedrock_quota.analysis.advice import advise
from bedrock_quota.analysis.tally import UsageTally
from bedrock_quota.pools import EndpointType, QuotaPool
from localaws.preview import log_evaluation, logs_insights

POOL = QuotaPool("model", EndpointType.REGIONAL)
INPUT = 7
(QUERY,) = (
    logs_insights.parse(widget["properties"]["query"])
    for widget in resolved.dashboard(resolved.template())["widgets"]
    if widget["properties"].get("title", "").startswith("Callers to change first")
)


class Answered(msgspec.Struct, frozen=True):
    """One call, as the analysis sees it."""

    max_tokens: int
    output_tokens: int
    truncated: bool
    input_tokens: int = INPUT
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    @property
    def consumed_tokens(self) -> float:
        return self.input_tokens + self.output_tokens


@st.composite
def answered(draw: st.DrawFn, limits: st.SearchStrategy[int]) -> Answered:
    limit = draw(limits)
    sizes = st.integers(0, limit) | st.just(limit) | st.integers(0, min(limit, 300))
    # The rule does not rest on a cut answer being as long as its limit.
    return Answered(limit, draw(sizes), draw(st.integers(0, 9)) == 0)


def line(minute: int, calls: list[Answered]) -> dict[str, Any]:
    """The metric line of calls of one minute, without the members that are left out."""
    reserved = sum(call.input_tokens + call.max_tokens for call in calls)
    written = {
        "_aws": {"Timestamp": minute},
        "ModelId": "model",
        "EndpointType": "regional",
        "caller": "app",
        "requests": len(calls),
        "input_tokens": sum(call.input_tokens for call in calls),
        "reserved_tokens": reserved,
        "output_tokens_most": max(call.output_tokens for call in calls),
        "max_tokens_most": max(call.max_tokens for call in calls),
        "truncated": sum(call.truncated for call in calls),
        "ReservedQuotaPercent": reserved / 1_000,
    }
    return {name: value for name, value in written.items() if value}


def shown(minutes: list[list[Answered]]) -> dict[str, Any]:
    """The row of the caller on the dashboard."""
    events = [
        {"timestamp": 0, "message": json.dumps(line(60_000 * at, calls))} for at, calls in enumerate(minutes) if calls
    ]
    columns, (row,) = log_evaluation.run(QUERY, map(log_evaluation.parse_event, events))
    return dict(zip(columns, row, strict=True))


LIMITS = st.integers(1, 200_000)


@given(
    LIMITS.flatmap(
        lambda limit: st.lists(st.lists(answered(st.just(limit)), min_size=1, max_size=4), min_size=1, max_size=4)
    )
)
def test_the_proposal_is_that_of_the_advice(minutes: list[list[Answered]]) -> None:
    # given calls of one caller, which all set the same max_tokens
    tally = UsageTally()
    for at, calls in enumerate(minutes):
        for call in calls:
            tally.open_calls(POOL, 60 * at, "app", "explicit").add(call)
    (usage,) = tally.measure({})
    (advice,) = advise(usage)
    # then the dashboard proposes what the advice proposes, and else the value that is in force
    row = shown(minutes)
    limit = minutes[0][0].max_tokens
    assert row["max_tokens"] == limit
    assert row["set_max_tokens_to"] == (limit if advice.max_tokens is None else advice.max_tokens)
    # and frees what all calls of the fullest minute set less, in percent of a quota of 100,000
    fullest = max(len(calls) for calls in minutes)
    freed = fullest * (limit - row["set_max_tokens_to"]) / 1_000
    assert abs(row["own_peak_frees"] - freed) <= 0.05 + 1e-6 * abs(freed)


@given(st.lists(st.lists(answered(LIMITS), min_size=1, max_size=4), min_size=1, max_size=4))
@example([[Answered(1, 0, True, 7, 0, 0)], [Answered(131_072, 52_429, False, 7, 0, 0)]])  # 1.25 × 52,429: 131,072 again
def test_no_proposal_cuts_an_answer(minutes: list[list[Answered]]) -> None:
    # given calls with different limits
    calls = [call for each in minutes for call in each]
    row = shown(minutes)
    # then the value is larger than the limit of each answer that was cut, and a new one is enough for each answer
    assert all(row["set_max_tokens_to"] > call.max_tokens for call in calls if call.truncated)
    if row["set_max_tokens_to"] != max(call.max_tokens for call in calls):
        assert all(row["set_max_tokens_to"] >= 1.25 * call.output_tokens for call in calls)
