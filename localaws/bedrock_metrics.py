"""Derive the metrics that Bedrock itself publishes in `AWS/Bedrock` from the calls in a log.

Source: https://docs.aws.amazon.com/bedrock/latest/userguide/monitoring-runtime-metrics.html, read 2026-11-23.
`Invocations` does not count throttled or invalid requests. `InvocationLatency` lasts until the last token, so a failed
call has none. `EstimatedTPMQuotaUsage` is the sum of the tokens that calls consume, not of those that they reserve.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from localaws.applications import THROTTLED, Profile
from localaws.emf import Datum
from localaws.traffic import OPENING_LINE, LogEvent

NAMESPACE = "AWS/Bedrock"


def derive_metrics(events: Iterable[LogEvent], profile_arns: Mapping[Profile, str]) -> Iterator[tuple[str, Datum]]:
    """Yield the namespace and datum of each value. The log events come from `traffic.hour`."""
    models = {arn: profile.copy_from for profile, arn in profile_arns.items()}
    for event in events:
        if event.message == OPENING_LINE:
            continue
        record = json.loads(event.message)
        passed = record["modelId"]
        for name, value in _values(record, models.get(passed, passed)).items():
            yield (
                NAMESPACE,
                {
                    "MetricName": name,
                    # the id alone if the caller passed an ARN
                    "Dimensions": [{"Name": "ModelId", "Value": passed.rpartition("/")[2]}],
                    "Timestamp": datetime.fromisoformat(record["timestamp"]).replace(second=0),
                    "Values": [float(value)],
                    "Counts": [1.0],
                },
            )


def _values(record: Mapping[str, Any], model: str) -> dict[str, float]:
    error = record.get("errorCode")
    if error:
        return {"InvocationThrottles" if error == THROTTLED else "InvocationClientErrors": 1}
    read, made = record["input"], record["output"]
    if "inputTokenCount" not in read:  # a guardrail's answer
        return {"Invocations": 1, "InvocationLatency": _latency(made)}
    write = read.get("cacheWriteInputTokenCount", 0)
    return {
        "Invocations": 1,
        "InvocationLatency": _latency(made),
        "InputTokenCount": read["inputTokenCount"],
        "CacheWriteInputTokenCount": write,
        "OutputTokenCount": made.get("outputTokenCount", 0),
        "EstimatedTPMQuotaUsage": read["inputTokenCount"] + write + made.get("outputTokenCount", 0) * _burndown(model),
    }


def _latency(made: Mapping[str, Any]) -> float:
    """Return the milliseconds that a call took, or a second if its log entry does not say it."""
    body = made.get("outputBodyJson")
    metrics = body.get("metrics", {}) if isinstance(body, dict) else {}
    return float(metrics.get("latencyMs", 1_000))


def _burndown(model: str) -> int:
    """Return the burndown rate of a model in the traffic: 5 for Anthropic's models, 1 for all others."""
    return 5 if "anthropic." in model else 1
