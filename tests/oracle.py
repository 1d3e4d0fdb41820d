"""An independent sum over invocation-log records, straight from AWS's rules, to hold the product's numbers against.

Nothing of `bedrock_quota` is imported: records are plain dictionaries, the registry is read as plain TOML, and the
rules are written down a second time, as slowly and plainly as they stand in AWS's user guide
(https://docs.aws.amazon.com/bedrock/latest/userguide/quotas-token-burndown.html, read 2026-11-23). A request that is in
S3 instead of the log says what was reserved if it is there within five minutes.
"""

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Pool = tuple[str, str]
"""Model id and endpoint type."""

Bodies = Mapping[str, tuple[float, Mapping[str, Any] | None]]
"""Requests in S3 by their path: the seconds after the record in which each came, and the request, None if damaged."""

PATIENCE = 300
"""Seconds for which a request is waited for."""


@dataclass(frozen=True)
class Facts:
    """What must be known of a model to sum its calls; the limits are tokens of output."""

    burndown: float
    maximum: int
    invoke_default: int
    has_output: bool = True
    has_optimized_quota: bool = False


@dataclass
class Sums:
    """One pool in one minute; `unknown` of the requests do not say what they reserved."""

    reserved: float = 0
    consumed: float = 0
    requests: int = 0
    unknown: int = 0
    callers: dict[str, float] = field(default_factory=dict)
    """Reserved tokens by caller."""


@dataclass(frozen=True)
class Totals:
    """All that a log came to: `pools` by pool and start of the minute, and what has no place in them."""

    pools: Mapping[Pool, Mapping[datetime, Sums]]
    failed: Mapping[str, int]
    out_of_scope: int
    reserved_tier: int = 0
    """Of those out of scope, the calls that the reserved tier served."""


def facts_of(registry: Path, day: datetime) -> dict[str, Facts]:
    """Read the facts of every model on a day from the registry's sources; `provider.*` stands for all others."""
    found = {}
    for path in registry.glob("*.toml"):
        file = tomllib.loads(path.read_text())
        provider = file["provider"]
        found[f"{provider['id']}.*"] = Facts(
            _in_force(provider["burndown"], day), provider["max_output_tokens"], provider["max_output_tokens"]
        )
        for model in file.get("models", []):
            has_output = model["kind"] == "text"
            maximum = model.get("max_output_tokens", 0)
            found[model["id"]] = Facts(
                _in_force(model.get("burndown") or provider["burndown"], day),
                maximum,
                model.get("default_max_tokens", maximum),
                has_output,
                model.get("latency_optimized", False),
            )
    return found


def _in_force(rates: list[dict[str, Any]], day: datetime) -> float:
    begun = [rate for rate in rates if rate["since"] <= day.date()]
    return float((begun[-1] if begun else rates[0])["rate"])


def sum_up(
    records: Iterable[Mapping[str, Any]],
    facts: Mapping[str, Facts],
    profiles: Mapping[str, Pool],
    bodies: Bodies | None = None,
) -> Totals:
    """Sum records up by pool and minute. `profiles` says what each application profile's ARN stands for."""
    pools: defaultdict[Pool, defaultdict[datetime, Sums]] = defaultdict(lambda: defaultdict(Sums))
    failed: defaultdict[str, int] = defaultdict(int)
    out_of_scope = reserved_tier = 0
    for logged in records:
        record = _with_stored_body(logged, bodies or {})
        if "errorCode" in record:
            failed[record["errorCode"]] += 1
            continue
        called = record["modelId"]
        if ":prompt-router/" in called or ":default-prompt-router/" in called:
            called = _said(record, ("trace", "promptRouter", "invokedModelId")) or called
        fast_name = called.endswith("+latency-optimized")
        pool = _pool(called.removesuffix("+latency-optimized"), profiles)
        if pool is None:
            out_of_scope += 1
            continue
        if _tier(record) == "reserved":
            out_of_scope += 1
            reserved_tier += 1
            continue
        model_id, _ = pool
        model = facts.get(model_id) or facts.get(f"{model_id.split('.')[0]}.*") or facts["*.*"]
        if _is_optimized(record, named=fast_name) and model.has_optimized_quota:
            pool = model_id, "latency-optimized"
        minute = datetime.fromisoformat(record["timestamp"]).astimezone(UTC).replace(second=0)
        sums = pools[pool][minute]
        given = record["input"]
        new_input = given.get("inputTokenCount", 0) + given.get("cacheWriteInputTokenCount", 0)
        output = record["output"].get("outputTokenCount", 0)
        sums.requests += 1
        sums.consumed += new_input + output * model.burndown
        limit = _limit(record, model)
        if limit is None:
            sums.unknown += 1
            continue
        sums.reserved += new_input + limit
        caller = _caller(record["identity"]["arn"])
        sums.callers[caller] = sums.callers.get(caller, 0) + new_input + limit
    return Totals(pools, failed, out_of_scope, reserved_tier)


def _pool(model_id: str, profiles: Mapping[str, Pool]) -> Pool | None:
    if model_id in profiles:
        return profiles[model_id]
    if model_id.startswith("arn:"):
        kind, _, name = model_id.split(":", 5)[5].partition("/")
        if kind == "foundation-model":
            return name, "regional"
        return _pool(name, profiles) if kind == "inference-profile" else None
    geography, _, rest = model_id.partition(".")
    if geography == "global":
        return rest, "global-cross-region"
    if geography in {"us", "eu", "apac", "jp", "au", "ca"}:
        return rest, "cross-region"
    return model_id, "regional"


LIMIT_NAMES = (
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "max_tokens_to_sample",
    "max_gen_len",
    "max_new_tokens",
    "maxTokens",
    "maxOutputTokens",
)
ADDITIONAL_LIMIT_NAMES = (*LIMIT_NAMES, "maxTokenCount")
"""Names of limits at the top of a request, and of its `additionalModelRequestFields`."""


def _with_stored_body(record: Mapping[str, Any], bodies: Bodies) -> Mapping[str, Any]:
    """Return a record with its body from S3, if that comes in time and no limit is declared, which spares the read."""
    late, stored = bodies.get(record.get("input", {}).get("inputBodyS3Path", ""), (0.0, None))
    if stored is None or late > PATIENCE or _declared(record) is not None:
        return record
    return {**record, "input": {**record["input"], "inputBodyJson": stored}}


def _declared(record: Mapping[str, Any]) -> int | None:
    text = record.get("requestMetadata", {}).get("max_tokens", "")
    is_count = isinstance(text, str) and text.isascii() and text.isdigit() and 1 <= int(text) <= 100_000_000
    return int(text) if is_count and int(text) >= record["output"].get("outputTokenCount", 0) else None


def _limit(record: Mapping[str, Any], model: Facts) -> int | None:
    """Return the output set aside for a call, None if nothing says it."""
    if not model.has_output or _blocked(record):
        return 0
    if "inputBodyJson" not in record["input"]:
        return _declared(record)
    body = record["input"]["inputBodyJson"]
    converse = record["operation"].startswith("Converse")
    for place, names in ((body, LIMIT_NAMES), (body.get("additionalModelRequestFields", {}), ADDITIONAL_LIMIT_NAMES)):
        limit = place.get("inferenceConfig", {}).get("maxTokens")
        if limit is None:
            limit = next((place[name] for name in names if name in place), None)
        if limit is not None:
            return limit
    return max(model.maximum if converse else model.invoke_default, record["output"].get("outputTokenCount", 0))


def _said(record: Mapping[str, Any], path: tuple[str, ...]) -> str | None:
    """Return a word of the answer: of a stream's events the last one that has it, also within its `metadata`."""
    answer = record["output"].get("outputBodyJson", {})
    for event in reversed(answer if isinstance(answer, list) else [answer]):
        for place in (event, event.get("metadata", {}), event.get("response", {})):
            word = _word(place, path)
            if word:
                return word
    return None


def _word(place: Any, path: tuple[str, ...]) -> str | None:
    """Return a word of a record. One of a wrong type is as if it were not there."""
    for key in path:
        place = place.get(key) if isinstance(place, dict) else None
    return place if isinstance(place, str) and place else None


def _tier(record: Mapping[str, Any]) -> str:
    """Return the tier that served a call, by its answer or else by its request."""
    body = record["input"].get("inputBodyJson", {})
    tier = _said(record, ("serviceTier", "type")) or _said(record, ("service_tier",))
    tier = tier or _word(body, ("serviceTier", "type")) or _word(body, ("service_tier",))
    return (tier or "").lower()


def _is_optimized(record: Mapping[str, Any], *, named: bool) -> bool:
    """Return True if the call was served with optimized latency. `named`: its model id says so."""
    body = record["input"].get("inputBodyJson", {})
    path = ("performanceConfig", "latency")
    latency = _said(record, path) or _word(body, path) or _word(record, path)
    return latency.lower() == "optimized" if latency else named


def _blocked(record: Mapping[str, Any]) -> bool:
    """Whether a guardrail answered before the model saw the request: nothing is counted, or all is 0."""
    counts = ("inputTokenCount", "cacheReadInputTokenCount", "cacheWriteInputTokenCount")
    return not any(record["input"].get(name) for name in counts) and not record["output"].get("outputTokenCount")


def _caller(arn: str) -> str:
    kind, *names = arn.split(":", 5)[5].split("/")
    return names[0] if kind == "assumed-role" else names[-1]
