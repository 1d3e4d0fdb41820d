"""AWS's own metrics of logged calls, worked out by hand from the calls' numbers."""

import json
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from localaws import bedrock_metrics, traffic
from localaws.applications import MOBILE
from localaws.traffic import LogEvent

AT = datetime(2026, 11, 23, 12, 4, tzinfo=UTC)


def event(model: str, *, error: str = "", **counts: int) -> LogEvent:
    record: dict[str, Any] = {"timestamp": "2026-11-23T12:04:59Z", "modelId": model, "input": {}, "output": {}}
    if error:
        record["errorCode"] = error
    for name, count in counts.items():
        record["output" if name.startswith("output") else "input"][name] = count
    return LogEvent(0, json.dumps(record))


def published(*events: LogEvent, **profiles: Any) -> dict[tuple[str, str], float]:
    sums: dict[tuple[str, str], float] = defaultdict(float)
    for namespace, datum in bedrock_metrics.derive_metrics(events, profiles.get("arns", {})):
        assert (namespace, datum["Timestamp"]) == ("AWS/Bedrock", AT)
        sums[datum["Dimensions"][0]["Value"], datum["MetricName"]] += datum["Values"][0]
    return sums


def test_a_call_counts_as_what_it_consumes_by_the_id_that_was_passed() -> None:
    sonnet = "us.anthropic.claude-sonnet-4-6"
    counts = {"inputTokenCount": 100, "cacheReadInputTokenCount": 900, "cacheWriteInputTokenCount": 30}

    found = published(
        event(sonnet, **counts, outputTokenCount=10),
        event(f"arn:aws:bedrock:us-east-1:1:inference-profile/{sonnet}", inputTokenCount=1, outputTokenCount=1),
        event("cohere.embed-v4:0", inputTokenCount=7),
    )

    assert found[sonnet, "EstimatedTPMQuotaUsage"] == 100 + 30 + 5 * 10 + 1 + 5
    assert (found[sonnet, "Invocations"], found[sonnet, "OutputTokenCount"]) == (2, 11)
    assert found["cohere.embed-v4:0", "EstimatedTPMQuotaUsage"] == 7


def test_calls_of_a_profile_burn_as_its_model_does() -> None:
    arn = "arn:aws:bedrock:us-east-1:1:application-inference-profile/ip-1"

    found = published(event(arn, inputTokenCount=1, outputTokenCount=2), arns={MOBILE: arn})

    assert found["ip-1", "EstimatedTPMQuotaUsage"] == 11


def test_refused_calls_are_no_invocations() -> None:
    found = published(
        LogEvent(0, traffic.OPENING_LINE),
        event("m", error="ThrottlingException"),
        event("m", error="ValidationException"),
        event("m"),  # a guardrail's answer, without counts
    )

    assert found == {
        ("m", "InvocationThrottles"): 1,
        ("m", "InvocationClientErrors"): 1,
        ("m", "Invocations"): 1,
        ("m", "InvocationLatency"): 1_000,
    }


def test_a_call_takes_as_long_as_its_record_says() -> None:
    record = json.loads(event("m", inputTokenCount=1).message)
    record["output"]["outputBodyJson"] = {"metrics": {"latencyMs": 640}}

    assert published(LogEvent(0, json.dumps(record)))["m", "InvocationLatency"] == 640
