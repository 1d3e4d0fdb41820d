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

Bodies = Mapping[str, tuple[float, Mapping[str, Any]]]
"""Requests in S3 by their path: the seconds after the record in which each came, and the request itself."""

PATIENCE = 300
"""Seconds for which a request is waited for."""


@dataclass(frozen=True)
class Facts:
    """What must be known of a model to sum its calls; the limits are tokens of output."""

    burndown: float
    maximum: int
    invoke_default: int
    has_output: bool = True


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
    out_of_scope = 0
    for record in records:
        if "errorCode" in record:
            failed[record["errorCode"]] += 1
            continue
        pool = _pool(record["modelId"], profiles)
        if pool is None:
            out_of_scope += 1
            continue
        model_id, _ = pool
        model = facts.get(model_id) or facts.get(f"{model_id.split('.')[0]}.*") or facts["*.*"]
        minute = datetime.fromisoformat(record["timestamp"]).astimezone(UTC).replace(second=0)
        sums = pools[pool][minute]
        given = record["input"]
        new_input = given.get("inputTokenCount", 0) + given.get("cacheWriteInputTokenCount", 0)
        output = record["output"].get("outputTokenCount", 0)
        sums.requests += 1
        sums.consumed += new_input + output * model.burndown
        limit = _limit(record, model, bodies or {})
        if limit is None:
            sums.unknown += 1
            continue
        sums.reserved += new_input + limit
        caller = _caller(record["identity"]["arn"])
        sums.callers[caller] = sums.callers.get(caller, 0) + new_input + limit
    return Totals(pools, failed, out_of_scope)


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


def _limit(record: Mapping[str, Any], model: Facts, bodies: Bodies) -> int | None:
    """Return the output set aside for a call, None if its request is neither in the log nor in S3 in time."""
    if not model.has_output or _blocked(record):
        return 0
    body: Mapping[str, Any] | None = record["input"].get("inputBodyJson")
    late, stored = bodies.get(record["input"].get("inputBodyS3Path", ""), (0.0, None))
    if body is None and late <= PATIENCE:
        body = stored
    if body is None:
        return None
    if record["operation"].startswith("Converse"):
        return body.get("inferenceConfig", {}).get("maxTokens", model.maximum)
    for name in ("max_tokens", "max_gen_len", "max_completion_tokens"):
        if name in body:
            return body[name]
    return model.invoke_default


def _blocked(record: Mapping[str, Any]) -> bool:
    """Whether a guardrail answered before the model saw the request: nothing is counted, or all is 0."""
    counts = ("inputTokenCount", "cacheReadInputTokenCount", "cacheWriteInputTokenCount")
    return not any(record["input"].get(name) for name in counts) and not record["output"].get("outputTokenCount")


def _caller(arn: str) -> str:
    kind, *names = arn.split(":", 5)[5].split("/")
    return names[0] if kind == "assumed-role" else names[-1]
