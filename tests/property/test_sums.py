"""Sums in are sums out, in whatever order and in however many deliveries the records come."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from processed import Processed
from records import MINUTE, Entry, Process, ReadLine, converse, metadata_only

from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool

# Model and how it was called, with the dimensions and the burndown rate worked out by hand
CALLED = {
    "anthropic.claude-sonnet-4-20250514-v1:0": ("anthropic.claude-sonnet-4-20250514-v1:0", "regional", 5),
    "us.anthropic.claude-opus-5": ("anthropic.claude-opus-5", "cross-region", 10),
    "eu.anthropic.claude-opus-5": ("anthropic.claude-opus-5", "cross-region", 10),
    "global.anthropic.claude-opus-5": ("anthropic.claude-opus-5", "global-cross-region", 10),
    "amazon.nova-lite-v1:0": ("amazon.nova-lite-v1:0", "regional", 1),
}
QUOTAS = {
    QuotaPool("anthropic.claude-opus-5", EndpointType.CROSS_REGION): PoolQuota(
        tokens_per_minute=2_000_000, requests_per_minute=50
    )
}


def moment(second: int) -> str:
    return datetime.fromtimestamp(MINUTE + second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


calls = st.fixed_dictionaries(
    {
        "model_id": st.sampled_from(list(CALLED)),
        "second": st.integers(-180, 30),
        "input_tokens": st.integers(1, 100_000),
        "output_tokens": st.integers(0, 100_000),
        "cache_read": st.none() | st.integers(0, 50_000),
        "cache_write": st.none() | st.integers(0, 50_000),
        "max_tokens": st.none() | st.integers(0, 64_000),  # None: no body at all
        "declared": st.none() | st.integers(1, 64_000),  # used without a body
        "tier": st.sampled_from([None, "default", "flex", "reserved"]),
        "operation": st.sampled_from(["Converse", "ConverseStream"]),
        "user": st.sampled_from(["jane", "joe"]),
    }
)
many_calls = st.lists(calls, max_size=30) | st.lists(calls, min_size=1, max_size=3).map(lambda few: few * 70)


def entry_of(call: dict[str, Any]) -> Entry:
    who: dict[str, Any] = {
        "timestamp": moment(call["second"]),
        "identity": {"arn": f"arn:aws:iam::111122223333:user/{call['user']}"},
    }
    if call["declared"] is not None:
        who["requestMetadata"] = {"max_tokens": str(call["declared"])}
    if call["max_tokens"] is None:
        return metadata_only(call["model_id"], call["input_tokens"], call["output_tokens"], **who)
    given_keys = ("model_id", "max_tokens", "input_tokens", "output_tokens", "cache_read", "cache_write", "operation")
    entry = converse(**{key: call[key] for key in given_keys}, **who)
    if call["tier"] is not None:
        entry["output"]["outputBodyJson"]["serviceTier"] = {"type": call["tier"]}
    return entry


def draws_on_no_pool(call: dict[str, Any]) -> bool:
    """The reserved tier served the call, and the log has its answer."""
    return call["tier"] == "reserved" and call["max_tokens"] is not None


Totals = dict[tuple[str, str, int, str], float]
"""Model, endpoint type, minute and metric: the sum."""


def totals_by_hand(given_calls: Iterable[dict[str, Any]]) -> Totals:
    totals: Totals = defaultdict(float)
    for call in given_calls:
        if draws_on_no_pool(call):
            continue
        model_id, endpoint_type, rate = CALLED[call["model_id"]]
        limit = call["max_tokens"]
        if limit is None and (call["declared"] or 0) >= call["output_tokens"]:  # a smaller one cannot be right
            limit = call["declared"]
        known = limit is not None
        paid_input = call["input_tokens"] + ((call["cache_write"] or 0) if call["max_tokens"] is not None else 0)
        minute = (MINUTE + call["second"]) // 60 * 60
        where = (model_id, endpoint_type, minute)
        totals[*where, "ConsumedTokens"] += paid_input + rate * call["output_tokens"]
        totals[*where, "OutputTokens"] += call["output_tokens"]
        totals[*where, "requests"] += 1
        if known:
            totals[*where, "ReservedTokens"] += paid_input + limit
            totals[*where, "MaxTokens"] += limit
        if (model_id, endpoint_type) == ("anthropic.claude-opus-5", "cross-region"):
            totals[*where, "ConsumedQuotaPercent"] += (paid_input + rate * call["output_tokens"]) / 20_000
            totals[*where, "RequestQuotaPercent"] += 2
            # The same on every line of the pool, and not for adding up
            totals[*where, "TokenQuota"], totals[*where, "RequestQuota"] = 2_000_000, 50
            if known:
                totals[*where, "ReservedQuotaPercent"] += (paid_input + limit) / 20_000
    return rounded(totals)


def totals_of(outcomes: Iterable[Processed], read_line: ReadLine) -> Totals:
    totals: Totals = defaultdict(float)
    for line in (read_line(each) for outcome in outcomes for each in outcome.lines):
        if "_aws" not in line or "ModelId" not in line:
            continue
        where = (line["ModelId"], line["EndpointType"], line["_aws"]["Timestamp"] // 1000)
        totals[*where, "requests"] += line["requests"]
        for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]:
            values = line[metric["Name"]]
            if metric["Name"] in {"TokenQuota", "RequestQuota"}:
                assert totals.setdefault((*where, metric["Name"]), values) == values
                continue
            totals[*where, metric["Name"]] += sum(values) if isinstance(values, list) else values
            if metric["Name"] == "ConsumedTokens":  # its SampleCount is the number of requests
                assert len(values) == line["requests"]
    return rounded(totals)


def rounded(totals: Totals) -> Totals:
    return {key: round(total, 6) for key, total in totals.items()}


@given(many_calls)
def test_sums_out_are_sums_in(process: Process, read_line: ReadLine, given_calls: list[dict[str, Any]]) -> None:
    outcome = process(map(entry_of, given_calls), quotas=QUOTAS)

    assert outcome.processed == sum(not draws_on_no_pool(call) for call in given_calls)
    assert outcome.processed + sum(outcome.out_of_scope.values()) == len(given_calls)
    assert totals_of([outcome], read_line) == totals_by_hand(given_calls)


@given(many_calls, st.randoms(use_true_random=False), st.integers(1, 7))
def test_order_and_split_do_not_matter(
    process: Process, read_line: ReadLine, given_calls: list[dict[str, Any]], rng: Any, deliveries: int
) -> None:
    entries = [entry_of(call) for call in given_calls]
    shuffled = rng.sample(entries, len(entries))

    whole = process(entries, quotas=QUOTAS)
    parts = [process(shuffled[start::deliveries], quotas=QUOTAS) for start in range(deliveries)]

    assert totals_of(parts, read_line) == totals_of([whole], read_line)


@given(many_calls)
def test_lines_say_the_same_whichever_way_they_are_summed(
    process: Process, read_line: ReadLine, given_calls: list[dict[str, Any]]
) -> None:
    outcome = process(map(entry_of, given_calls))

    by_user: Counter[str] = Counter()
    for line in map(read_line, outcome.lines[:-1]):
        if line.get("event") == "reserved_tier_calls":
            by_user[line["caller"]] += line["reserved_tier_calls"]
            continue
        by_user[line["caller"]] += line["requests"]
        assert line["consumed_tokens"] == sum(line["ConsumedTokens"])
        assert line["output_tokens"] == sum(line["OutputTokens"])
        assert line.get("reserved_tokens") == (sum(line["ReservedTokens"]) if "ReservedTokens" in line else None)
    assert by_user == Counter(call["user"] for call in given_calls)
