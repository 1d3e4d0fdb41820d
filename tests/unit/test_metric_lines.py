"""Metric lines, checked against AWS's published schema and with numbers worked out by hand."""

import json
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from processed import price, read_record
from records import (
    EMBEDDING,
    MINUTE,
    NOVA,
    NOW,
    PROFILE_ARN,
    SONNET,
    TITAN,
    Entry,
    Process,
    ReadLine,
    by_session,
    converse,
    cut_answer,
    failed,
    invoke,
    message,
    metadata_only,
    of_project,
)

from bedrock_quota import emf
from bedrock_quota.fetcher.changes import Change
from bedrock_quota.fetcher.quota_lines import lines_for_quotas
from bedrock_quota.model_ids import OutOfScope, Reference
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool, Unit
from bedrock_quota.processor.grouping import MAX_GROUPS_PER_POOL, group_calls
from bedrock_quota.processor.health import Health, line_for_duplicate, line_for_health
from bedrock_quota.processor.metric_lines import lines_for_failed_calls, lines_for_groups
from bedrock_quota.processor.usage import CallUsage, FailedCall, UsageCalculator
from bedrock_quota.registry.models import Registry

REGIONAL = EndpointType.REGIONAL
POOL = QuotaPool(SONNET, EndpointType.CROSS_REGION)


def lines_of(
    accounts: UsageCalculator, *entries: Entry, quotas: Mapping[QuotaPool, PoolQuota] | None = None
) -> list[bytes]:
    opened = [price(accounts, read_record(message(entry)), NOW) for entry in entries]
    calls = [account for account in opened if isinstance(account, CallUsage)]
    assert len(calls) == len(entries)
    return list(lines_for_groups(group_calls(calls), "Bedrock/Quotas", quotas or {}))


def metric_names(line: Mapping[str, Any]) -> set[str]:
    return {metric["Name"] for directive in line["_aws"]["CloudWatchMetrics"] for metric in directive["Metrics"]}


def test_one_line_to_the_last_member(registry: Registry, read_line: ReadLine) -> None:
    accounts = UsageCalculator(registry, lambda _profile: Reference(SONNET, EndpointType.CROSS_REGION), ("team",))
    who = {"requestMetadata": {"team": "search", "secret": "x"}}
    (line,) = lines_of(
        accounts,
        # reserved 3,000 + 1,000 + 32,000 = 36,000; consumed 3,000 + 1,000 + 5 × 1,000 = 9,000
        converse(
            PROFILE_ARN,
            input_tokens=3_000,
            cache_read=4_000,
            cache_write=1_000,
            max_tokens=32_000,
            output_tokens=1_000,
            **who,
        ),
        # reserved 100 + 500 = 600; consumed 100 + 5 × 20 = 200
        converse(PROFILE_ARN, input_tokens=100, max_tokens=500, output_tokens=20, **who),
        quotas={POOL: PoolQuota(tokens_per_minute=200_000, requests_per_minute=50)},
    )

    assert read_line(line) == {
        "_aws": {
            "Timestamp": 1_795_435_200_000,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Bedrock/Quotas",
                    "Dimensions": [["ModelId", "EndpointType"]],
                    "Metrics": [
                        {"Name": "ConsumedTokens", "Unit": "Count"},
                        {"Name": "ReservedTokens", "Unit": "Count"},
                        {"Name": "OutputTokens", "Unit": "Count"},
                        {"Name": "MaxTokens", "Unit": "Count"},
                        {"Name": "ConsumedQuotaPercent", "Unit": "Percent"},
                        {"Name": "ReservedQuotaPercent", "Unit": "Percent"},
                        {"Name": "RequestQuotaPercent", "Unit": "Percent"},
                        {"Name": "TokenQuota", "Unit": "Count"},
                        {"Name": "RequestQuota", "Unit": "Count"},
                    ],
                }
            ],
        },
        "ModelId": "anthropic.claude-sonnet-4-20250514-v1:0",
        "EndpointType": "cross-region",
        "ConsumedTokens": [9_000, 200],
        "ReservedTokens": [36_000, 600],
        "OutputTokens": [1_000, 20],
        "MaxTokens": [32_000, 500],
        "ConsumedQuotaPercent": 4.6,  # 9,200 of 200,000
        "ReservedQuotaPercent": 18.3,  # 36,600 of 200,000
        "RequestQuotaPercent": 4.0,  # 2 of 50
        "TokenQuota": 200_000,
        "RequestQuota": 50,
        "caller": "ReportWriter",
        "operation": "Converse",
        "max_tokens_source": "explicit",
        "requests": 2,
        "input_tokens": 3_100,
        "cache_read_tokens": 4_000,
        "cache_write_tokens": 1_000,
        "output_tokens": 1_020,
        "consumed_tokens": 9_200,
        "reserved_tokens": 36_600,
        "output_tokens_most": 1_000,
        "max_tokens_most": 32_000,
        "application_profile": "a1b2c3d4e5f6",
        "request_metadata": {"team": "search"},
    }


@pytest.mark.parametrize(
    ("calls", "sizes"),
    [
        pytest.param(1, [1], id="one call"),
        pytest.param(32, [32], id="as many calls as a line takes"),
        pytest.param(33, [32, 1], id="one more"),
        pytest.param(90, [32, 32, 26], id="90 calls"),
    ],
)
def test_no_metric_has_more_values_than_queries_can_bear(
    accounts: UsageCalculator, read_line: ReadLine, calls: int, sizes: list[int]
) -> None:
    given = [converse(input_tokens=number + 1, max_tokens=None) for number in range(calls)]
    quotas = {QuotaPool(SONNET, EndpointType.REGIONAL): PoolQuota(tokens_per_minute=1_000)}

    found = [read_line(line) for line in lines_of(accounts, *given, quotas=quotas)]

    assert [len(line["ConsumedTokens"]) for line in found] == sizes
    assert [line["requests"] for line in found] == sizes
    # Every call once: 1 + 2 + … + n input tokens, and 5 × 20 for the output of each.
    consumed = calls * (calls + 1) // 2 + 100 * calls
    assert sum(sum(line["ConsumedTokens"]) for line in found) == consumed
    assert sum(line["ConsumedQuotaPercent"] for line in found) == pytest.approx(consumed / 10)  # 100 % of 1,000


def test_lines_stay_small_at_their_largest(registry: Registry, read_line: ReadLine) -> None:
    keys = tuple(f"key{number}" for number in range(16))
    accounts = UsageCalculator(registry, lambda _profile: OutOfScope("unresolved_profile"), keys, with_sessions=True)
    called = converse(
        input_tokens=99_999_999,
        output_tokens=99_999_999,
        max_tokens=99_999_999,
        requestMetadata=dict.fromkeys(keys, "v" * 256),
        **by_session("s" * 5_000, role="u" * 5_000),
    )
    entry = of_project(called, "p" * 64)

    (line,) = lines_of(accounts, *[entry] * 32)

    found = read_line(line)
    assert [len(found[name]) for name in ("caller", "session", "project_identifier")] == [256, 256, 64]
    assert len(line) < 16_384


@pytest.mark.parametrize(
    ("quota", "percents"),
    [
        pytest.param(PoolQuota(), set(), id="no quota"),
        pytest.param(PoolQuota(tokens_per_minute=0, requests_per_minute=0), set(), id="both quotas 0"),
        pytest.param(PoolQuota(tokens_per_day=5), set(), id="tokens per day"),
        pytest.param(
            PoolQuota(tokens_per_minute=10), {"ConsumedQuotaPercent", "ReservedQuotaPercent"}, id="tokens per minute"
        ),
        pytest.param(PoolQuota(requests_per_minute=10), {"RequestQuotaPercent"}, id="requests per minute"),
        pytest.param(
            PoolQuota(tokens_per_minute=0, requests_per_minute=10),
            {"RequestQuotaPercent"},
            id="tokens 0 and requests known",
        ),
    ],
)
def test_percents_only_where_the_quota_is_known_and_not_0(
    accounts: UsageCalculator, read_line: ReadLine, quota: PoolQuota, percents: set[str]
) -> None:
    (line,) = lines_of(accounts, converse(), quotas={QuotaPool(SONNET, EndpointType.REGIONAL): quota})

    assert {name for name in metric_names(read_line(line)) if name.endswith("Percent")} == percents
    assert {name for name in read_line(line) if name.endswith("Percent")} == percents


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        pytest.param(PoolQuota(), {}, id="no quota"),
        pytest.param(PoolQuota(tokens_per_day=5), {}, id="tokens per day"),
        pytest.param(
            PoolQuota(tokens_per_minute=0, requests_per_minute=0),
            {"TokenQuota": 0, "RequestQuota": 0},
            id="both quotas 0",
        ),
        pytest.param(PoolQuota(tokens_per_minute=2.5), {"TokenQuota": 2.5}, id="tokens per minute"),
        pytest.param(PoolQuota(requests_per_minute=7), {"RequestQuota": 7}, id="requests per minute"),
    ],
)
def test_quota_stands_on_every_line_of_calls_where_it_is_known_0_too(
    accounts: UsageCalculator, read_line: ReadLine, quota: PoolQuota, expected: dict[str, float]
) -> None:
    given = [converse(identity={"arn": f"arn:aws:iam::111122223333:user/u{number % 2}"}) for number in range(66)]

    found = [read_line(line) for line in lines_of(accounts, *given, quotas={QuotaPool(SONNET, REGIONAL): quota})]

    assert [line["requests"] for line in found] == [32, 1, 32, 1]
    for line in found:
        assert {name: line[name] for name in ("TokenQuota", "RequestQuota") if name in line} == expected
        assert metric_names(line) & {"TokenQuota", "RequestQuota"} == expected.keys()


def test_percents_are_rounded_to_the_sixth_decimal(accounts: UsageCalculator, read_line: ReadLine) -> None:
    quotas = {QuotaPool(SONNET, REGIONAL): PoolQuota(tokens_per_minute=30_000, requests_per_minute=30_000)}

    (line,) = lines_of(accounts, converse(), quotas=quotas)

    assert read_line(line)["ConsumedQuotaPercent"] == 0.666667  # 200 of 30,000 are 0.6666… %
    assert read_line(line)["RequestQuotaPercent"] == 0.003333  # 1 of 30,000 is 0.0033… %


def test_quota_of_another_bucket_does_not_count(accounts: UsageCalculator, read_line: ReadLine) -> None:
    (line,) = lines_of(accounts, converse(), quotas={POOL: PoolQuota(tokens_per_minute=10)})

    assert read_line(line).keys().isdisjoint({"ConsumedQuotaPercent", "TokenQuota"})


def test_unknown_max_tokens_publishes_no_reservation(accounts: UsageCalculator, read_line: ReadLine) -> None:
    quotas = {QuotaPool(NOVA, EndpointType.REGIONAL): PoolQuota(tokens_per_minute=1_000)}

    (line,) = lines_of(accounts, metadata_only(NOVA, input_tokens=7, output_tokens=11), quotas=quotas)

    found = read_line(line)
    assert metric_names(found) == {"ConsumedTokens", "OutputTokens", "ConsumedQuotaPercent", "TokenQuota"}
    assert found.keys().isdisjoint({"ReservedTokens", "MaxTokens", "ReservedQuotaPercent", "reserved_tokens"})
    assert found["max_tokens_source"] == "unknown"
    assert found["ConsumedQuotaPercent"] == pytest.approx(1.8)  # 18 of 1,000


def test_blocked_call_is_a_request_without_tokens(accounts: UsageCalculator, read_line: ReadLine) -> None:
    quotas = {QuotaPool(SONNET, EndpointType.REGIONAL): PoolQuota(tokens_per_minute=100, requests_per_minute=4)}

    (line,) = lines_of(accounts, converse(input_tokens=0, output_tokens=0, max_tokens=900), quotas=quotas)

    found = read_line(line)
    assert (found["ConsumedTokens"], found["ReservedTokens"], found["blocked"]) == ([0], [0], True)
    assert (found["ConsumedQuotaPercent"], found["RequestQuotaPercent"]) == (0, 25)
    # would pull their averages down
    assert found.keys().isdisjoint({"OutputTokens", "MaxTokens", "output_tokens_most", "max_tokens_most"})


def test_plain_line_says_nothing_of_what_is_absent(accounts: UsageCalculator, read_line: ReadLine) -> None:
    (line,) = lines_of(accounts, converse())

    assert (
        read_line(line)
        .keys()
        .isdisjoint(
            {
                "application_profile",
                "request_metadata",
                "blocked",
                "cache_read_tokens",
                "cache_write_tokens",
                "burndown_status",
                "session",
                "project_identifier",
                "truncated",
            }
        )
    )


# Single calls


def test_the_largest_of_a_line_are_those_of_single_calls(accounts: UsageCalculator, read_line: ReadLine) -> None:
    # given 642 tokens of output beside 4: their mean is 323, and no call produced that
    entries = [converse(max_tokens=64_000, output_tokens=642), converse(max_tokens=1_000, output_tokens=4)]

    (line,) = lines_of(accounts, *entries)

    found = read_line(line)
    assert (found["output_tokens"], found["output_tokens_most"], found["max_tokens_most"]) == (646, 642, 64_000)


def test_cut_answers_are_counted_on_each_line(accounts: UsageCalculator, read_line: ReadLine) -> None:
    # given 33 calls, which need two lines: the first and the last two are cut
    entries = [converse(output_tokens=number) for number in range(1, 34)]

    first, second = map(
        read_line,
        lines_of(accounts, *(cut_answer(each) if index in {0, 31, 32} else each for index, each in enumerate(entries))),
    )

    assert (first["truncated"], first["output_tokens_most"]) == (2, 32)
    assert (second["truncated"], second["output_tokens_most"]) == (1, 33)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        pytest.param(metadata_only(output_tokens=11), {"output_tokens_most": 11}, id="unknown limit"),
        pytest.param(converse(output_tokens=0, max_tokens=7), {"max_tokens_most": 7}, id="no output"),
        pytest.param(
            cut_answer(converse(max_tokens=None, output_tokens=9)),
            {"output_tokens_most": 9, "max_tokens_most": 64_000, "truncated": 1},
            id="cut at the default",
        ),
        pytest.param(
            invoke(TITAN, {"inputText": "…"}, output_tokens=512, answer={"results": [{"completionReason": "LENGTH"}]}),
            {"output_tokens_most": 512, "max_tokens_most": 512, "truncated": 1},
            id="InvokeModel cut at the default",
        ),
    ],
)
def test_a_line_says_of_single_calls_only_what_is_known(
    accounts: UsageCalculator, read_line: ReadLine, entry: Entry, expected: dict[str, int]
) -> None:
    (line,) = lines_of(accounts, entry)

    found = read_line(line)
    assert {name: found[name] for name in found if name.endswith("_most") or name == "truncated"} == expected


# Sessions and projects


@pytest.fixture
def with_sessions(registry: Registry) -> UsageCalculator:
    return UsageCalculator(registry, lambda _profile: OutOfScope("unresolved_profile"), with_sessions=True)


def test_each_session_has_its_line(with_sessions: UsageCalculator, read_line: ReadLine) -> None:
    entries = [converse(**by_session(name)) for name in ("jane", "kim", "jane")]
    user = converse(identity={"arn": "arn:aws:iam::111122223333:user/team/lee"})

    found = [read_line(line) for line in lines_of(with_sessions, *entries, user)]

    assert [(line["caller"], line.get("session"), line["requests"]) for line in found] == [
        ("ReportWriter", "jane", 2),
        ("ReportWriter", "kim", 1),
        ("lee", None, 1),
    ]


def test_by_default_the_sessions_of_a_role_share_a_line(accounts: UsageCalculator, read_line: ReadLine) -> None:
    (line,) = lines_of(accounts, converse(**by_session("jane")), converse(**by_session("kim")))

    assert read_line(line)["requests"] == 2
    assert b"jane" not in line


def test_failed_calls_name_the_session(with_sessions: UsageCalculator, read_line: ReadLine) -> None:
    entries = [failed(f"us.{SONNET}", **by_session(name)) for name in ("jane", "kim", "jane")]
    user = failed(f"us.{SONNET}", identity={"arn": "arn:aws:iam::111122223333:user/lee"})

    found = [read_line(line) for line in failed_lines(with_sessions, *entries, user)]

    assert [(line["caller"], line.get("session"), line["requests_failed"]) for line in found] == [
        ("ReportWriter", "jane", 2),
        ("ReportWriter", "kim", 1),
        ("lee", None, 1),
    ]


def test_failed_calls_name_tags_profile_and_project(registry: Registry, read_line: ReadLine) -> None:
    by_team = UsageCalculator(
        registry, lambda _profile: Reference(SONNET, EndpointType.CROSS_REGION), ("team",), with_sessions=True
    )
    tagged = failed(f"us.{SONNET}", requestMetadata={"team": "shop", "secret": "x"})
    profile = failed("arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abc123")
    project = of_project(failed(operation="Converse", input={"inputBodyJson": {}}), "proj_a")

    found = [read_line(line) for line in failed_lines(by_team, tagged, tagged, profile, project)]

    names = ("request_metadata", "application_profile", "project_identifier", "requests_failed")
    assert [tuple(line.get(name) for name in names) for line in found] == [
        ({"team": "shop"}, None, None, 2),
        (None, "abc123", None, 1),
        (None, None, "proj_a", 1),
    ]


def test_failed_calls_of_too_many_tags_keep_their_caller(registry: Registry, read_line: ReadLine) -> None:
    by_team = UsageCalculator(registry, lambda _profile: OutOfScope("unresolved_profile"), ("team",))
    calls = [failed(f"us.{SONNET}", requestMetadata={"team": f"t{number}"}) for number in range(1_005)]

    found = [read_line(line) for line in failed_lines(by_team, *calls)]

    assert len(found) == MAX_GROUPS_PER_POOL + 1
    assert {line["caller"] for line in found} == {"ReportWriter"}
    assert [line["requests_failed"] for line in found if "request_metadata" not in line] == [5]


def test_calls_of_the_reserved_tier_name_session_and_project(
    with_sessions: UsageCalculator, process: Process, read_line: ReadLine
) -> None:
    entry = of_project(converse(**by_session("jane")), "proj_a")
    entry["output"]["outputBodyJson"]["serviceTier"] = {"type": "reserved"}

    line, _health = map(read_line, process([entry], by=with_sessions).lines)

    assert line["event"] == "reserved_tier_calls"
    assert (line["session"], line["project_identifier"]) == ("jane", "proj_a")


def test_each_project_has_its_line_by_id_or_by_arn(accounts: UsageCalculator, read_line: ReadLine) -> None:
    arn = "arn:aws:bedrock:us-east-1:111122223333:project/proj_b"
    entries = [of_project(converse(), name) for name in ("proj_a", "proj_b", arn)]

    found = [read_line(line) for line in lines_of(accounts, *entries, converse())]

    assert [(line.get("project_identifier"), line["requests"]) for line in found] == [
        (None, 1),
        ("proj_a", 1),
        ("proj_b", 2),
    ]


@pytest.mark.parametrize(
    "identifier",
    [
        pytest.param(5, id="number"),
        pytest.param(None, id="null"),
        pytest.param(["proj_a"], id="list"),
        pytest.param({"id": "proj_a"}, id="object"),
        pytest.param(True, id="true"),
        pytest.param("", id="empty"),
        pytest.param("p" * 2_049, id="longer than AWS allows"),
    ],
)
def test_a_project_of_another_type_is_left_out_and_the_call_counts(
    accounts: UsageCalculator, read_line: ReadLine, identifier: object
) -> None:
    (line,) = lines_of(accounts, of_project(converse(), identifier))

    found = read_line(line)
    assert found["ReservedTokens"] == [600]  # 100 + 500
    assert "project_identifier" not in found


def test_a_project_beside_no_limit_leaves_the_default(accounts: UsageCalculator, read_line: ReadLine) -> None:
    (line,) = lines_of(accounts, of_project(converse(max_tokens=None), "proj_a"))

    found = read_line(line)
    assert (found["max_tokens_source"], found["MaxTokens"]) == ("default", [64_000])


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"requestMetadata": {"projectIdentifier": "proj_a"}}, id="metadata"),
        pytest.param({"projectIdentifier": "proj_a"}, id="top of the record"),
    ],
)
def test_a_project_is_read_only_from_the_request(
    accounts: UsageCalculator, read_line: ReadLine, changes: dict[str, Any]
) -> None:
    (line,) = lines_of(accounts, converse(**changes))

    assert "project_identifier" not in read_line(line)


def test_embedding_line(accounts: UsageCalculator, read_line: ReadLine) -> None:
    (line,) = lines_of(accounts, invoke(EMBEDDING, {"inputText": "…"}, input_tokens=40, output_tokens=None))

    found = read_line(line)
    assert (found["ReservedTokens"], found["ConsumedTokens"], found["MaxTokens"]) == ([40], [40], [0])
    assert found.keys().isdisjoint({"output_tokens_most", "max_tokens_most"})
    assert found["max_tokens_source"] == "none"


# Failed calls


def failed_lines(
    accounts: UsageCalculator, *entries: Entry, quotas: Mapping[QuotaPool, PoolQuota] | None = None
) -> Iterator[bytes]:
    calls = [price(accounts, read_record(message(entry)), NOW) for entry in entries]
    return lines_for_failed_calls([call for call in calls if isinstance(call, FailedCall)], "Mine", quotas or {})


def test_failed_calls_to_the_last_member(accounts: UsageCalculator, read_line: ReadLine) -> None:
    quotas = {POOL: PoolQuota(tokens_per_minute=0, requests_per_minute=50)}

    (line,) = failed_lines(accounts, *[failed(f"us.{SONNET}")] * 3, quotas=quotas)

    assert read_line(line) == {
        "_aws": {
            "Timestamp": 1_795_435_200_000,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Mine",
                    "Dimensions": [["ModelId", "EndpointType"]],
                    "Metrics": [{"Name": "TokenQuota", "Unit": "Count"}, {"Name": "RequestQuota", "Unit": "Count"}],
                }
            ],
        },
        "event": "failed_calls",
        "minute": 1_795_435_200_000,
        "ModelId": "anthropic.claude-sonnet-4-20250514-v1:0",
        "EndpointType": "cross-region",
        "TokenQuota": 0,
        "RequestQuota": 50,
        "caller": "ReportWriter",
        "operation": "Converse",
        "error_code": "ThrottlingException",
        "requests_failed": 3,
    }


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        pytest.param(PoolQuota(tokens_per_minute=5), {"TokenQuota": 5}, id="tokens per minute"),
        pytest.param(PoolQuota(requests_per_minute=0), {"RequestQuota": 0}, id="requests per minute of 0"),
        pytest.param(PoolQuota(tokens_per_day=5), None, id="tokens per day"),
        pytest.param(PoolQuota(), None, id="no quota"),
    ],
)
def test_failed_calls_carry_the_quotas_there_are(
    accounts: UsageCalculator, read_line: ReadLine, quota: PoolQuota, expected: dict[str, float] | None
) -> None:
    (line,) = failed_lines(accounts, failed(f"us.{SONNET}"), quotas={POOL: quota})

    found = read_line(line)
    assert ("_aws" in found) is (expected is not None)
    assert {name: found[name] for name in ("TokenQuota", "RequestQuota") if name in found} == (expected or {})
    if expected:
        assert metric_names(found) == expected.keys()


def test_failed_calls_of_another_bucket_or_none_carry_no_quota(accounts: UsageCalculator, read_line: ReadLine) -> None:
    found = [
        read_line(line)
        for line in failed_lines(
            accounts, failed(SONNET), failed("gibberish"), quotas={POOL: PoolQuota(tokens_per_minute=5)}
        )
    ]

    assert [(line.get("ModelId"), line.get("EndpointType")) for line in found] == [(SONNET, "regional"), (None, None)]
    assert all(line.keys().isdisjoint({"_aws", "TokenQuota"}) for line in found)


def test_failed_calls_beyond_the_bound_are_counted_as_others(accounts: UsageCalculator, read_line: ReadLine) -> None:
    # given one kind of failed call 3 times, and 2,020 callers with one each
    arn = "arn:aws:iam::111122223333:user/u{}".format
    calls = [failed(f"us.{SONNET}")] * 3 + [failed(f"us.{SONNET}", identity={"arn": arn(n)}) for n in range(2_020)]

    found = [read_line(line) for line in failed_lines(accounts, *calls)]

    # then 2,000 kinds stay apart: the 3, and 1,999 of the others
    assert len(found) == 2 * MAX_GROUPS_PER_POOL + 1
    assert [(line["caller"], line["error_code"], line["requests_failed"]) for line in (found[0], found[-1])] == [
        ("ReportWriter", "ThrottlingException", 3),
        ("other", "other", 21),
    ]
    assert sum(line["requests_failed"] for line in found) == 2_023


def test_failed_calls_of_any_number_of_minutes_are_told_apart(read_line: ReadLine) -> None:
    # given two calls in each of 1,500 minutes and one in each of 1,500 more
    pool = QuotaPool(NOVA, REGIONAL)
    calls = [FailedCall(pool, 60 * (n % 3_000), "Job", "Converse", "ThrottlingException") for n in range(4_500)]

    found = [read_line(line) for line in lines_for_failed_calls(calls, "Mine", {})]

    assert [line["requests_failed"] for line in found] == [2] * 1_500 + [1] * 1_500
    assert {line["caller"] for line in found} == {"Job"}


def test_quota_lines_publish_0_as_0_and_leave_out_what_is_not_there(read_line: ReadLine) -> None:
    quotas = {
        QuotaPool("a.both", EndpointType.REGIONAL): PoolQuota(tokens_per_minute=400_000, requests_per_minute=100),
        QuotaPool("a.zero", EndpointType.REGIONAL): PoolQuota(tokens_per_minute=0),
        QuotaPool("a.requests", EndpointType.GLOBAL_CROSS_REGION): PoolQuota(requests_per_minute=7),
        QuotaPool("a.none", EndpointType.REGIONAL): PoolQuota(tokens_per_day=5),
    }

    found = [read_line(line) for line in lines_for_quotas("Mine", MINUTE + 0.25, quotas)]

    assert [(line["ModelId"], line["EndpointType"]) for line in found] == [
        ("a.both", "regional"),
        ("a.zero", "regional"),
        ("a.requests", "global-cross-region"),
        ("a.none", "regional"),
    ]
    assert found[0]["_aws"] == {
        "Timestamp": 1_795_435_200_250,
        "CloudWatchMetrics": [
            {
                "Namespace": "Mine",
                "Dimensions": [["ModelId", "EndpointType"]],
                "Metrics": [{"Name": "TokenQuota", "Unit": "Count"}, {"Name": "RequestQuota", "Unit": "Count"}],
            }
        ],
    }
    assert (found[0]["TokenQuota"], found[0]["RequestQuota"]) == (400_000, 100)
    assert found[1]["TokenQuota"] == 0
    assert metric_names(found[1]) == {"TokenQuota"}
    assert found[2]["RequestQuota"] == 7
    assert metric_names(found[2]) == {"RequestQuota"}
    assert "_aws" not in found[3]
    # and words say what no line on a graph can
    assert [line.get("quota_note") for line in found] == [
        None,
        "Its quota is 0, so Bedrock throttles every call. Request an increase in Service Quotas.",
        "No quota on tokens: AWS limits only the requests of this pool.",
        "No quota per minute is known for this pool, so no percentages are shown.",
    ]


def test_a_larger_quota_is_not_proposed_for_a_model_at_its_end(read_line: ReadLine) -> None:
    zero, more = (QuotaPool(name, EndpointType.REGIONAL) for name in ("a.zero", "a.more"))
    quotas = {zero: PoolQuota(0, 0), more: PoolQuota(5, 5)}
    ends = dict.fromkeys(quotas, date(2026, 9, 10))

    found = [read_line(line).get("quota_note") for line in lines_for_quotas("Mine", MINUTE, quotas, ends_of_life=ends)]

    assert found == [
        "Its quota is 0, so Bedrock throttles every call. The model's end of life is 2026-09-10, and AWS grants no "
        "increase for legacy models. Move its callers to another model.",
        None,
    ]


def test_model_without_a_quota_on_requests_is_said_so(read_line: ReadLine) -> None:
    quotas = {
        QuotaPool("a.tokens", EndpointType.REGIONAL): PoolQuota(tokens_per_minute=5),
    }

    (found,) = [read_line(line)["quota_note"] for line in lines_for_quotas("Mine", MINUTE, quotas)]

    assert found == "No quota on requests: AWS limits only the tokens of this pool."


def test_daily_quota_of_0_is_noted_only_for_pools_that_are_throttled(read_line: ReadLine) -> None:
    calm, throttled = (QuotaPool(name, EndpointType.REGIONAL) for name in ("a.calm", "a.throttled"))
    quotas = {pool: PoolQuota(100_000, 100, tokens_per_day=0) for pool in (calm, throttled)}

    first, second = map(read_line, lines_for_quotas("Mine", MINUTE, quotas, throttled_by_day={throttled}))

    assert "quota_note" not in first
    assert second["quota_note"] == (
        "Its quota on tokens per day is 0, which may be why Bedrock throttled calls. If they did not reach a quota "
        "per minute, ask AWS Support to raise the daily quota."
    )
    assert first["TokenQuota"] == second["TokenQuota"] == 100_000


def test_daily_quota_that_all_models_share_is_one_line_without_a_metric(read_line: ReadLine) -> None:
    quotas = {QuotaPool(name, EndpointType.REGIONAL): PoolQuota(5, 5) for name in ("a.one", "a.two")}

    found = [read_line(line) for line in lines_for_quotas("Mine", MINUTE, quotas, account_tokens_per_day=700_000_000)]

    (shared,) = [line for line in found if "account_tokens_per_day" in line]
    assert shared == {
        "account_tokens_per_day": 700_000_000,
        "quota_note": (
            "All models of this account share 700,000,000 tokens per day in this Region. AWS weighs tokens by price, "
            "so a sum of tokens is not comparable one to one."
        ),
    }
    assert len(found) == 3


def test_quota_lines_carry_the_daily_quota_and_what_a_changed_quota_was_before(read_line: ReadLine) -> None:
    changed, risen, zero = (QuotaPool(name, EndpointType.REGIONAL) for name in ("a.changed", "a.risen", "a.zero"))
    quotas = {
        changed: PoolQuota(tokens_per_minute=400, requests_per_minute=5, tokens_per_day=9_000),
        risen: PoolQuota(tokens_per_minute=8),
        zero: PoolQuota(requests_per_minute=3, tokens_per_day=0),
    }
    changes = [
        Change(changed, Unit.TOKENS_PER_MINUTE, 200, 400),
        Change(changed, Unit.TOKENS_PER_DAY, 0, 9_000),
        Change(risen, Unit.TOKENS_PER_MINUTE, None, 8),
        Change(QuotaPool("a.gone", EndpointType.REGIONAL), Unit.TOKENS_PER_MINUTE, 5, None),
    ]

    first, second, third = (read_line(line) for line in lines_for_quotas("Mine", MINUTE, quotas, changes))

    assert {key: first[key] for key in first if "_per_" in key} == {
        "tokens_per_day": 9_000,
        "previous_tokens_per_minute": 200,
        "previous_tokens_per_day": 0,
    }
    assert {key: second[key] for key in second if "_per_" in key} == {"previous_tokens_per_minute": None}
    assert {key: third[key] for key in third if "_per_" in key} == {"tokens_per_day": 0}
    # properties are no metrics: each metric of a pool is paid for
    assert metric_names(first) == {"TokenQuota", "RequestQuota"}


HEALTHY = Health(
    processed=3,
    rejected=0,
    out_of_scope=0,
    failed=1,
    max_tokens_unknown=2,
    unlisted_models=0,
    event="delivery",
    received=4,
    ignored=0,
    control=False,
    max_tokens_explicit=1,
    max_tokens_default=0,
    max_tokens_none=0,
)
ALWAYS = (
    "RecordsProcessed",
    "RecordsRejected",
    "RecordsOutOfScope",
    "RequestsFailed",
    "MaxTokensUnknown",
    "UnlistedModels",
)


def test_health_line_to_the_last_member(read_line: ReadLine) -> None:
    line = line_for_health("Mine", MINUTE + 30.5, HEALTHY)

    assert read_line(line) == {
        "_aws": {
            "Timestamp": 1_795_435_230_500,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Mine",
                    "Dimensions": [[]],
                    "Metrics": [{"Name": name, "Unit": "Count"} for name in ALWAYS],
                }
            ],
        },
        "RecordsProcessed": 3,
        "RecordsRejected": 0,
        "RecordsOutOfScope": 0,
        "RequestsFailed": 1,
        "MaxTokensUnknown": 2,
        "UnlistedModels": 0,
        "event": "delivery",
        "received": 4,
        "ignored": 0,
        "control": False,
        "max_tokens_explicit": 1,
        "max_tokens_default": 0,
        "max_tokens_none": 0,
    }


@pytest.mark.parametrize(
    ("changes", "member", "unit"),
    [
        pytest.param({"lag_seconds": 0.0}, ("RecordLagSeconds", 0), "Seconds", id="lag of 0"),
        pytest.param({"lag_seconds": (2.5, 700.0)}, ("RecordLagSeconds", [2.5, 700.0]), "Seconds", id="two lags"),
        pytest.param({"quotas_unknown": 3}, ("QuotasUnknown", 3), "Count", id="quotas unknown"),
        pytest.param({"alarm_tests": 1}, ("AlarmTests", 1), "Count", id="alarm test"),
    ],
)
def test_health_metric_that_there_is_something_to_say_of(
    read_line: ReadLine, changes: dict[str, Any], member: tuple[str, object], unit: str
) -> None:
    found = read_line(line_for_health("Mine", MINUTE, msgspec.structs.replace(HEALTHY, **changes)))

    assert found[member[0]] == member[1]
    metrics = found["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    assert metrics[len(ALWAYS) :] == [{"Name": member[0], "Unit": unit}]


def test_health_properties_are_no_metrics(read_line: ReadLine) -> None:
    said = {
        "deliveries": 2,
        "quota_age_seconds": 0,
        "duplicate_records": 1,
        "duplicates_unchecked": 1,
        "rejected_reasons": {"not_json": 1},
        "out_of_scope_reasons": {"custom_model": 1},
        "error_codes": {"ThrottlingException": 1},
    }
    found = read_line(line_for_health("Mine", MINUTE, msgspec.structs.replace(HEALTHY, **said)))

    assert {key: found[key] for key in said} == said
    assert metric_names(found) == set(ALWAYS)


def test_line_of_a_delivery_that_was_processed_before(read_line: ReadLine) -> None:
    assert read_line(line_for_duplicate("Mine", MINUTE, 7)) == {
        "_aws": {
            "Timestamp": 1_795_435_200_000,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Mine",
                    "Dimensions": [[]],
                    "Metrics": [{"Name": "DuplicateDeliveries", "Unit": "Count"}],
                }
            ],
        },
        "DuplicateDeliveries": 1,
        "event": "duplicate_delivery",
        "received": 7,
    }


def test_lines_are_out_before_the_function_ends(tmp_path: Path) -> None:
    # given an output that keeps what it is given until it is told to hand it on
    with (tmp_path / "out").open("w") as output:
        emf.write_lines([b"one", b"two"] * 200, output)
        # then nothing waits in it: Lambda freezes a container as soon as its handler has answered
        assert (tmp_path / "out").read_text() == "one\ntwo\n" * 200


# The reader itself: a check that cannot fail checks nothing.


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda line: line["_aws"].pop("Timestamp"), id="no timestamp"),
        pytest.param(lambda line: line["_aws"].update(Timestamp=1_795_435_200_000.5), id="a fraction of a millisecond"),
        pytest.param(lambda line: line["_aws"].update(Timestamp=1_795_435_200), id="a timestamp in seconds"),
        pytest.param(lambda line: line["_aws"]["CloudWatchMetrics"][0].pop("Namespace"), id="no namespace"),
        pytest.param(
            lambda line: line["_aws"]["CloudWatchMetrics"][0]["Metrics"][0].update(Unit="Tokens"), id="an unknown unit"
        ),
        pytest.param(lambda line: line["_aws"]["CloudWatchMetrics"][0].update(Dimensions=[]), id="no dimension set"),
        pytest.param(lambda line: line["_aws"]["CloudWatchMetrics"][0].update(Metrics=[]), id="no metrics"),
        pytest.param(lambda line: line.pop("ModelId"), id="a dimension without a value"),
        pytest.param(lambda line: line.update(ModelId=""), id="an empty dimension value"),
        pytest.param(lambda line: line.update(ModelId="é"), id="a dimension value that is not ASCII"),
        pytest.param(lambda line: line.update(ModelId="x" * 1025), id="a dimension value of 1,025 characters"),
        pytest.param(lambda line: line.pop("ConsumedTokens"), id="a metric without a value"),
        pytest.param(lambda line: line.update(ConsumedTokens=[1] * 101), id="101 values"),
        pytest.param(lambda line: line.update(ConsumedTokens=[]), id="an empty list of values"),
        pytest.param(lambda line: line.update(ConsumedTokens=["1"]), id="a value that is text"),
        pytest.param(lambda line: line.update(ConsumedTokens=[None]), id="a value that is null"),
        pytest.param(lambda line: line.update(ConsumedTokens=[float("nan")]), id="a value that is NaN"),
        pytest.param(lambda line: line.update(ConsumedTokens=[-1]), id="a negative value"),
        pytest.param(lambda line: line.update(padding="x" * 256 * 1024), id="a line of more than 256 KB"),
    ],
)
def test_reader_refuses_a_spoilt_line(accounts: UsageCalculator, read_line: ReadLine, spoil: Any) -> None:
    (line,) = lines_of(accounts, converse())
    spoilt = json.loads(line)
    spoil(spoilt)

    with pytest.raises((AssertionError, KeyError, jsonschema.ValidationError)):
        read_line(json.dumps(spoilt).encode())
