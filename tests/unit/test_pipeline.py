"""One delivery from end to end inside the core: good records, and everything bad input can be."""

import gc
import json
import tracemalloc
from collections import Counter
from collections.abc import Collection
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from processed import Processed, process_delivery, written
from records import (
    EMBEDDING,
    MINUTE,
    NOVA,
    NOW,
    PROFILE_ARN,
    SONNET,
    TITAN,
    Process,
    ReadLine,
    blocked,
    converse,
    failed,
    invoke,
    log_event,
    message,
    metadata_only,
)

from bedrock_quota import model_ids
from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool
from bedrock_quota.processor.calls import DeliveryCalls, merge_calls
from bedrock_quota.processor.delivery import Delivery
from bedrock_quota.processor.look_up import FetchedBodies, LookUp
from bedrock_quota.processor.pipeline import price_delivery
from bedrock_quota.processor.records import RequestBody
from bedrock_quota.processor.seen_events import SeenInSource
from bedrock_quota.processor.usage import MAX_NAMED, UsageCalculator
from bedrock_quota.registry.models import Registry

PERMISSIONS = "Permissions are correctly set for Amazon Bedrock logs."
HEALTH = {
    "RecordsProcessed",
    "RecordsRejected",
    "RecordsOutOfScope",
    "RequestsFailed",
    "MaxTokensUnknown",
    "UnlistedModels",
}


def request_id(name: str) -> str:
    """Make an id in the shape of Bedrock's that says what it is for."""
    return f"00000000-0000-4000-8000-{name.replace('-', ''):0>12}"


def adds_up(outcome: Processed) -> bool:
    parts = outcome.processed + len(outcome.rejected) + sum(outcome.out_of_scope.values())
    return parts + outcome.failed + outcome.ignored == outcome.received


def health_of(outcome: Processed, read_line: ReadLine) -> dict[str, Any]:
    line = read_line(outcome.lines[-1])
    assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [[]]
    return line


def metric_lines(outcome: Processed, read_line: ReadLine) -> list[dict[str, Any]]:
    return [line for line in map(read_line, outcome.lines[:-1]) if "_aws" in line]


def test_all_of_the_bad_input_table_in_one_delivery(process: Process, read_line: ReadLine) -> None:
    wrong_type, no_model = converse(requestId=request_id("wrong-type")), converse(requestId=request_id("no-model"))
    wrong_type["input"]["inputTokenCount"] = "many"
    del no_model["modelId"]
    no_time = converse(timestamp=None, requestId=request_id("no-time"))

    outcome = process(
        [
            converse(input_tokens=10, output_tokens=2, max_tokens=100),  # good: reserves 110, consumes 20
            PERMISSIONS,
            "not json, with a secret",
            "[]",
            "[" * 100_000,
            wrong_type,
            no_model,
            no_time,
            converse(timestamp="noon", requestId=request_id("bad-time")),
            converse(schemaType="Other", requestId=request_id("schema")),
            converse(input_tokens=-1, requestId=request_id("negative")),
            converse(output_tokens=10**9, requestId=request_id("absurd")),
            converse(timestamp="2026-11-01T12:00:00Z", requestId=request_id("old")),
            converse(timestamp="2026-11-23T14:30:00Z", requestId=request_id("ahead")),
            failed(code="ThrottlingException"),
            failed(code="ThrottlingException"),
            failed(code="ValidationException"),
            converse("arn:aws:bedrock:us-east-1:111122223333:provisioned-model/abc"),
            converse(PROFILE_ARN),
            converse("gibberish"),
            converse(input_tokens=0, output_tokens=0),  # blocked by a guardrail, with counts
            blocked(),  # … and without
            invoke(SONNET, {}, input_tokens=None, output_tokens=None, requestId=request_id("no-input")),
            invoke(SONNET, {}, output_tokens=None, requestId=request_id("no-output")),
            invoke(SONNET, {"max_tokens": 10**8, "n": 2}, requestId=request_id("many")),
            metadata_only(SONNET, input_tokens=30, output_tokens=1),  # consumes 35
            converse("newcomer.model-1", input_tokens=5, output_tokens=1, max_tokens=50),
            converse(input_tokens=40, output_tokens=0, max_tokens=60),  # good: reserves 100, consumes 40
        ]
    )

    assert outcome.received == 28
    assert Counter(rejected.reason for rejected in outcome.rejected) == {
        "not_json": 1,
        "not_an_object": 1,
        "too_deep": 1,
        "wrong_type": 1,
        "missing_model_id": 1,
        "missing_timestamp": 1,
        "bad_timestamp": 1,
        "wrong_schema": 1,
        "negative_count": 1,
        "absurd_count": 2,
        "too_old": 1,
        "too_far_ahead": 1,
        "missing_input_count": 1,
        "missing_output_count": 1,
    }
    assert Counter(rejected.request_id for rejected in outcome.rejected) == {
        None: 3,
        request_id("wrong-type"): 1,
        request_id("no-model"): 1,
        request_id("no-time"): 1,
        request_id("bad-time"): 1,
        request_id("schema"): 1,
        request_id("negative"): 1,
        request_id("absurd"): 1,
        request_id("old"): 1,
        request_id("ahead"): 1,
        request_id("no-input"): 1,
        request_id("no-output"): 1,
        request_id("many"): 1,
    }
    assert outcome.out_of_scope == {"provisioned_model": 1, "unresolved_profile": 1, "unreadable_model_id": 1}
    assert (outcome.processed, outcome.failed, outcome.ignored) == (6, 3, 1)
    assert adds_up(outcome)
    assert outcome.unlisted == ("newcomer.model-1",)
    assert "secret" not in repr(outcome)

    sonnet = [line for line in metric_lines(outcome, read_line) if line["ModelId"] == SONNET]
    assert sum(sum(line["ConsumedTokens"]) for line in sonnet) == 20 + 40 + 35
    assert sum(sum(line.get("ReservedTokens", [])) for line in sonnet) == 110 + 100
    assert sum(line["requests"] for line in sonnet) == 5
    health = health_of(outcome, read_line)
    assert {name: health[name] for name in HEALTH} == {
        "RecordsProcessed": 6,
        "RecordsRejected": 15,
        "RecordsOutOfScope": 3,
        "RequestsFailed": 3,
        "MaxTokensUnknown": 1,
        "UnlistedModels": 1,
    }
    assert health["error_codes"] == {"ThrottlingException": 2, "ValidationException": 1}
    assert health["rejected_reasons"]["not_json"] == 1
    assert health["out_of_scope_reasons"] == outcome.out_of_scope
    assert (health["received"], health["ignored"]) == (28, 1)
    assert (health["max_tokens_explicit"], health["max_tokens_default"], health["max_tokens_none"]) == (3, 0, 2)


def test_record_with_a_count_of_two_signs_does_not_stop_the_others(process: Process) -> None:
    odd = converse()
    odd["input"]["inputTokenCount"] = "--5"

    outcome = process([converse(), odd, converse()])

    assert (outcome.processed, len(outcome.rejected)) == (2, 1)


def test_endlessly_nested_model_id_does_not_stop_the_others(process: Process) -> None:
    nested = "arn:aws:bedrock:us-east-1:1:inference-profile/" * 2000 + SONNET

    outcome = process([converse(), converse(nested), converse()])

    assert (outcome.processed, outcome.out_of_scope) == (2, {"unreadable_model_id": 1})


def test_empty_delivery_has_a_health_line_only(process: Process, read_line: ReadLine) -> None:
    outcome = process([])

    assert len(outcome.lines) == 1
    health = health_of(outcome, read_line)
    assert health["received"] == 0
    assert "RecordLagSeconds" not in health


def test_control_message_is_ignored_and_counted(process: Process, read_line: ReadLine) -> None:
    outcome = process(["CWL CONTROL MESSAGE: Checking health of destination Lambda."], message_type="CONTROL_MESSAGE")

    assert (outcome.received, outcome.ignored, len(outcome.rejected)) == (1, 1, 0)
    health = health_of(outcome, read_line)
    assert health["control"] is True
    assert adds_up(outcome)


def test_permissions_line_is_ignored_and_counted(process: Process) -> None:
    outcome = process([PERMISSIONS, converse()])

    assert (outcome.ignored, outcome.processed, len(outcome.rejected)) == (1, 1, 0)


def test_health_line_to_the_last_member(process: Process, read_line: ReadLine) -> None:
    # 12:00:30 now: the calls began 25 and 90 seconds ago; the lag is that of the one that waited longest.
    outcome = process(
        [
            converse(),
            converse(NOVA, max_tokens=None, timestamp="2026-11-23T11:59:00Z"),
            invoke(EMBEDDING, {}, output_tokens=None),
            metadata_only(),
        ],
        quotas={},
        quota_age_seconds=61.4,
    )

    assert health_of(outcome, read_line) == {
        "_aws": {
            "Timestamp": (MINUTE + 30) * 1000,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Bedrock/Quotas",
                    "Dimensions": [[]],
                    "Metrics": [
                        {"Name": "RecordsProcessed", "Unit": "Count"},
                        {"Name": "RecordsRejected", "Unit": "Count"},
                        {"Name": "RecordsOutOfScope", "Unit": "Count"},
                        {"Name": "RequestsFailed", "Unit": "Count"},
                        {"Name": "MaxTokensUnknown", "Unit": "Count"},
                        {"Name": "UnlistedModels", "Unit": "Count"},
                        {"Name": "RecordLagSeconds", "Unit": "Seconds"},
                    ],
                }
            ],
        },
        "RecordsProcessed": 4,
        "RecordsRejected": 0,
        "RecordsOutOfScope": 0,
        "RequestsFailed": 0,
        "MaxTokensUnknown": 1,
        "UnlistedModels": 0,
        "RecordLagSeconds": 90,
        "event": "delivery",
        "received": 4,
        "ignored": 0,
        "control": False,
        "max_tokens_explicit": 1,
        "max_tokens_default": 1,
        "max_tokens_none": 1,
        "quota_age_seconds": 61,
    }


def test_without_quotas_the_metrics_flow_and_the_health_line_says_so(process: Process, read_line: ReadLine) -> None:
    outcome = process([converse()], quotas=None, quota_age_seconds=None)

    (line,) = metric_lines(outcome, read_line)
    assert line["ConsumedTokens"] == [200]  # 100 + 5 × 20
    assert not [name for name in line if name.endswith("Percent")]
    health = health_of(outcome, read_line)
    assert "quota_age_seconds" not in health
    assert health["QuotasUnknown"] == 1


def test_quotas_that_are_not_there_have_no_age(process: Process, read_line: ReadLine) -> None:
    assert "quota_age_seconds" not in health_of(process([converse()], quotas=None, quota_age_seconds=5), read_line)


@pytest.mark.parametrize(("age", "unknown"), [(5, None), (21_600, None), (21_601, 2)])
def test_calls_with_quotas_of_over_six_hours_are_counted(
    process: Process, read_line: ReadLine, age: float, unknown: int | None
) -> None:
    outcome = process([converse(), converse(NOVA), failed()], quotas={}, quota_age_seconds=age)

    assert health_of(outcome, read_line).get("QuotasUnknown") == unknown


def test_where_there_is_no_call_no_quota_is_missed(process: Process, read_line: ReadLine) -> None:
    outcome = process([failed(), "no JSON"], quotas=None)

    assert "QuotasUnknown" not in health_of(outcome, read_line)


def test_with_quotas_the_percent_metrics_are_published(process: Process, read_line: ReadLine) -> None:
    quotas = {QuotaPool(SONNET, EndpointType.REGIONAL): PoolQuota(tokens_per_minute=1_000)}

    outcome = process([converse()], quotas=quotas, quota_age_seconds=5)

    (line,) = metric_lines(outcome, read_line)
    assert (line["ConsumedQuotaPercent"], line["ReservedQuotaPercent"]) == (20, 60)  # 200 and 600 of 1,000


def test_clock_of_the_account_ahead_of_ours_is_no_negative_lag(process: Process, read_line: ReadLine) -> None:
    outcome = process([converse(timestamp="2026-11-23T12:00:35Z")])

    assert health_of(outcome, read_line)["RecordLagSeconds"] == 0


def test_error_codes_that_are_no_words_are_counted_as_one(process: Process, read_line: ReadLine) -> None:
    outcome = process([failed(code=f"secret {number}") for number in range(30)] + [failed()])

    assert health_of(outcome, read_line)["error_codes"] == {"other": 30, "ThrottlingException": 1}


def test_quota_of_0_shows_though_every_call_fails(process: Process, read_line: ReadLine) -> None:
    quotas = {QuotaPool(SONNET, EndpointType.REGIONAL): PoolQuota(tokens_per_minute=0, requests_per_minute=0)}

    (line,) = metric_lines(process([failed(), failed()], quotas=quotas, namespace="Mine"), read_line)

    assert (line["ModelId"], line["TokenQuota"], line["RequestQuota"]) == (SONNET, 0, 0)
    assert line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Mine"
    assert (line["requests_failed"], line.get("requests")) == (2, None)


def test_failed_calls_are_counted_by_kind_and_are_no_metric(process: Process, read_line: ReadLine) -> None:
    outcome = process([failed(), failed(), failed(code="AccessDeniedException"), failed(f"us.{TITAN}")])

    found = [read_line(line) for line in outcome.lines[:-1]]
    assert found[0] == {
        "event": "failed_calls",
        "minute": MINUTE * 1000,
        "ModelId": SONNET,
        "EndpointType": "regional",
        "caller": "ReportWriter",
        "operation": "Converse",
        "error_code": "ThrottlingException",
        "requests_failed": 2,
    }
    assert [(line["ModelId"], line["error_code"], line["requests_failed"]) for line in found[1:]] == [
        (SONNET, "AccessDeniedException", 1),
        (TITAN, "ThrottlingException", 1),
    ]


def test_namespace_is_the_one_given(process: Process, read_line: ReadLine) -> None:
    outcome = process([converse()], namespace="Mine")

    namespaces = {read_line(line)["_aws"]["CloudWatchMetrics"][0]["Namespace"] for line in outcome.lines}
    assert namespaces == {"Mine"}


def test_unlisted_models_are_named_once_and_not_without_end(process: Process, read_line: ReadLine) -> None:
    outcome = process([converse(f"newcomer.model-{number % 30}") for number in range(60)])

    assert len(outcome.unlisted) == MAX_NAMED == 20
    assert len(set(outcome.unlisted)) == 20
    assert health_of(outcome, read_line)["UnlistedModels"] == 60


def test_error_codes_without_end_do_not_make_the_health_line_long(process: Process, read_line: ReadLine) -> None:
    letters = [first + second for first in "ABCDEFGHIJ" for second in "ABCDEFGHIJ"]
    outcome = process([failed(code=each * 32) for each in letters])  # as long as an error code may be

    health = health_of(outcome, read_line)
    assert len(health["error_codes"]) == 20
    assert len(outcome.lines[-1]) < 8_192


def test_calls_through_an_application_profile_share_the_lines_of_its_model_alone(
    registry: Registry, process: Process, read_line: ReadLine
) -> None:
    resolving = UsageCalculator(registry, lambda _profile: Reference(SONNET, EndpointType.CROSS_REGION))

    outcome = process([converse(PROFILE_ARN), converse(PROFILE_ARN), converse(f"us.{SONNET}")], by=resolving)

    found = metric_lines(outcome, read_line)
    assert {(line["ModelId"], line["EndpointType"]) for line in found} == {(SONNET, "cross-region")}
    assert [(line.get("application_profile"), line["requests"]) for line in found] == [(None, 1), ("a1b2c3d4e5f6", 2)]
    assert adds_up(outcome)


def test_no_text_of_a_body_reaches_any_line(process: Process) -> None:
    secret = "the treasure lies under the oak"
    odd = converse(text=secret)
    odd["input"]["inputTokenCount"] = "100"

    outcome = process(
        [
            converse(text=secret),
            odd,
            invoke(TITAN, {"inputText": secret}, answer=[{"outputText": secret}], output_tokens=None),
            invoke(TITAN, {"inputText": secret}, input_tokens=-1, requestId=secret),
            converse(requestMetadata={"prompt": secret}),
            secret,
            json.dumps(secret),
            message(converse(text=secret))[:-10],
            converse(identity={"arn": f"arn:aws:sts::111122223333:assumed-role/Role/{secret}"}),
            failed(input={"inputBodyJson": {"inputText": secret}}),
        ]
    )

    assert outcome.received == 10
    assert secret not in repr(outcome)
    assert not [line for line in outcome.lines if secret.encode() in line]


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(PERMISSIONS, id="ignored"),
        pytest.param("{", id="rejected"),
        pytest.param(failed(), id="failed"),
        pytest.param(converse(), id="processed"),
        pytest.param(converse("gibberish"), id="out of scope"),
    ],
)
def test_every_kind_of_record_adds_up_alone(process: Process, entry: Any) -> None:
    outcome = process([entry])

    assert outcome.received == 1
    assert adds_up(outcome)


def test_a_record_that_tests_the_alarms_is_counted_and_is_in_no_pool(process: Process, read_line: ReadLine) -> None:
    # given two records of the reserved id among real ones
    test = converse(model_ids.ALARM_TEST)

    outcome = process([test, converse(), test])

    # then they are out of scope, not unlisted, and nothing but the health line knows of them
    health = health_of(outcome, read_line)
    assert (outcome.processed, outcome.out_of_scope, outcome.unlisted) == (1, {"alarm_test": 2}, ())
    assert (health["AlarmTests"], health["RecordsOutOfScope"], health["UnlistedModels"]) == (2, 2, 0)
    assert [line for line in outcome.lines[:-1] if b"alarm-test" in line] == []
    assert adds_up(outcome)


def test_nothing_is_said_of_tests_where_there_are_none(process: Process, read_line: ReadLine) -> None:
    almost = converse(f"us.{model_ids.ALARM_TEST}")

    assert "AlarmTests" not in health_of(process([converse(), almost]), read_line)


def test_an_event_that_is_twice_in_one_delivery_counts_once(accounts: UsageCalculator) -> None:
    event, other = (log_event(message(converse()), event_id) for event_id in ("1", "2"))
    without = log_event(message(converse()), "")

    outcome = process_delivery(
        Delivery("DATA_MESSAGE", (event, event, other, without, without)), accounts, quotas=None, namespace="N", now=NOW
    )

    assert (outcome.received, outcome.processed, outcome.ignored) == (5, 4, 1)


def test_call_whose_body_lies_in_s3_counts_once_with_the_limit_that_is_there(
    process: Process, read_line: ReadLine
) -> None:
    # given a body that can be read and one that cannot, in the middle of others
    given = {"inputTokenCount": 100, "inputBodyS3Path": "s3://bucket/there"}
    absent = {"inputTokenCount": 100, "inputBodyS3Path": "s3://bucket/gone"}
    asked: list[str] = []

    def fetch(paths: Collection[str]) -> FetchedBodies:
        asked.extend(sorted(paths))
        return FetchedBodies({"s3://bucket/there": RequestBody(max_tokens=700)})

    outcome = process([converse(input=given), converse(), converse(input=absent)], look_up=LookUp(bodies=fetch))

    assert adds_up(outcome)
    assert asked == ["s3://bucket/gone", "s3://bucket/there"]
    health = health_of(outcome, read_line)
    assert (health["RecordsProcessed"], health["max_tokens_explicit"], health["MaxTokensUnknown"]) == (3, 2, 1)
    assert sorted(value for line in metric_lines(outcome, read_line) for value in line.get("MaxTokens", ())) == [
        500,
        700,
    ]


def test_a_declared_limit_saves_the_read_from_s3(process: Process, read_line: ReadLine) -> None:
    # given a body in S3 whose call declares its limit
    given = {"inputTokenCount": 100, "inputBodyS3Path": "s3://bucket/there"}

    def fetch(paths: Collection[str]) -> dict[str, RequestBody]:
        raise AssertionError(paths)

    outcome = process([converse(input=given, requestMetadata={"max_tokens": "700"})], look_up=LookUp(bodies=fetch))

    (line,) = metric_lines(outcome, read_line)
    assert (line["max_tokens_source"], line["MaxTokens"], line["reserved_tokens"]) == ("declared", [700], 800)
    health = health_of(outcome, read_line)
    assert (health["max_tokens_declared"], health["MaxTokensUnknown"]) == (1, 0)


# Several deliveries written together


def read_of(accounts: UsageCalculator, *entries: Any) -> DeliveryCalls:
    events = tuple(log_event(message(entry), str(number)) for number, entry in enumerate(entries))
    return price_delivery(Delivery("DATA_MESSAGE", events), accounts, NOW)


def test_deliveries_written_together_add_up(accounts: UsageCalculator, read_line: ReadLine) -> None:
    # given a delivery with calls of 60 s and 700 s ago, one with a call of 20 s ago, and one without any
    deliveries = [
        read_of(accounts, converse(timestamp=ago(60)), converse(timestamp=ago(700)), converse("gibberish")),
        read_of(accounts, converse(timestamp=ago(20)), converse("gibberish"), converse("arn:aws:x")),
        read_of(accounts, failed(SONNET), "no record"),
    ]

    outcome = written(deliveries, quotas=None, namespace="Bedrock/Quotas", now=NOW)

    assert adds_up(outcome)
    assert (outcome.received, outcome.processed, outcome.failed, len(outcome.rejected)) == (8, 3, 1, 1)
    assert sum(outcome.out_of_scope.values()) == 3
    health = health_of(outcome, read_line)
    assert health["deliveries"] == 3
    # then of the deliveries' lags the least and the most, not the oldest call's alone: that of one delivery is no lag
    assert health["RecordLagSeconds"] == [20, 700]


def test_deliveries_written_together_say_nothing_where_there_is_nothing_to_say(
    accounts: UsageCalculator, read_line: ReadLine
) -> None:
    deliveries = [read_of(accounts, converse()), read_of(accounts, converse())]

    health = health_of(written(deliveries, quotas=None, namespace="Mine", now=NOW), read_line)

    assert not {name for name in health if name.endswith("reasons")} | {"error_codes"} & set(health)


def ago(seconds: int) -> str:
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_calls_of_any_number_of_minutes_have_their_metrics(process: Process, read_line: ReadLine) -> None:
    # given calls in 2,100 minutes, each failed once and answered once
    moments = [ago(60 * number) for number in range(2_100)]

    outcome = process([*(converse(timestamp=moment) for moment in moments), *(failed(timestamp=m) for m in moments)])

    # then each has a line of its own, and the health line comes last
    assert adds_up(outcome)
    assert outcome.processed == outcome.failed == 2_100
    assert len(outcome.lines) == 2 * 2_100 + 1
    assert sum(line["requests"] for line in metric_lines(outcome, read_line) if "requests" in line) == 2_100


def test_merged_calls_keep_every_count() -> None:
    # given a delivery in which no count is at its default
    some: dict[str, Any] = {
        "usages": [object()], "oldest_starts": [1], "failed": [object()], "rejected": [object()],
        "out_of_scope": {"prompt": 1}, "control": True, "unlisted_models": ("a",),
        "reserved_tier": [object()], "unknown_tiers": ("b",),
        "late": [object()], "missing_bodies": {"NoSuchKey": 1},
    }  # fmt: skip
    names = [field.name for field in msgspec.structs.fields(DeliveryCalls) if field.name != "new_ids"]
    given = DeliveryCalls(**{name: some.get(name, 1) for name in names})

    merged = merge_calls([given, given])

    unset = [name for name in names if getattr(merged, name) == getattr(DeliveryCalls(), name)]
    assert unset == []
    assert (merged.received, merged.duplicates, merged.out_of_scope) == (2, 2, {"prompt": 2})


@pytest.mark.parametrize("prefix", ["", "0123456789abcdef:"], ids=["first source", "another source"])
@pytest.mark.parametrize(
    ("ids", "new", "names"),
    [
        pytest.param(("",), 1, [], id="one without an id"),
        pytest.param(("", ""), 2, [], id="two without an id"),
        pytest.param(("a", "", "b"), 3, ["a", "b"], id="one among others"),
        pytest.param(("a", "", "a", ""), 3, ["a"], id="among equal ones"),
    ],
)
def test_events_without_an_id_are_always_new_and_none_is_remembered(
    accounts: UsageCalculator, prefix: str, ids: tuple[str, ...], new: int, names: list[str]
) -> None:
    received = Delivery("DATA_MESSAGE", tuple(log_event(message(converse()), each) for each in ids))

    calls = price_delivery(received, accounts, NOW, SeenInSource(frozenset({"", prefix}), prefix))

    assert len(calls.usages) == new
    assert list(calls.new_ids) == [prefix + name for name in names]


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(
            converse(PROFILE_ARN, input={"inputTokenCount": 1, "inputBodyS3Path": "s3://b/" + "x" * 1_000_000}),
            id="path of 1 MB",
        ),
        pytest.param(
            converse(
                "arn:aws:bedrock:us-east-1:1:prompt-router/" + "x" * 1_000_000,
                output={
                    "outputTokenCount": 5,
                    "outputBodyJson": {"trace": {"promptRouter": {"invokedModelId": PROFILE_ARN}}},
                },
            ),
            id="id of a prompt router of 1 MB",
        ),
        pytest.param(converse(PROFILE_ARN, operation="x" * 1_000_000), id="operation of 1 MB"),
        pytest.param(converse(PROFILE_ARN, requestMetadata={"max_tokens": "5" * 1_000_000}), id="limit of 1 MB"),
    ],
)
def test_records_that_wait_for_their_profile_take_little_memory(registry: Registry, entry: dict[str, Any]) -> None:
    # given 10 records of 1 MB each
    text = message(entry)
    received = Delivery("DATA_MESSAGE", tuple(log_event(text, f"{number}") for number in range(10)))
    calculator = UsageCalculator(registry, lambda _profile: None)
    held: list[int] = []

    def measure(_needed: object) -> None:
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        calls = price_delivery(received, calculator, NOW, look_up=LookUp(measure))
    finally:
        tracemalloc.stop()
    # then the look-up finds at most a few kilobytes of each, or the record is out of scope before
    assert [each for each in held if each - before > 1_000_000] == []
    assert sum(calls.out_of_scope.values()) == 10
