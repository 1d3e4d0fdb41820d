"""The counts in an answer: records of some calls have none of their own (seen with streams of Titan)."""

import re
from typing import Any

import msgspec

from bedrock_quota.errors import RecordError
from bedrock_quota.processor.records import MAX_COUNT
from bedrock_quota.processor.step_budget import StepBudget

_WRITTEN_COUNT = re.compile(r"-?[0-9]{1,31}")

Path = tuple[str, ...]

# The paths of each count in a chunk, the best one first
_INPUT_COUNTS = (
    ("amazon-bedrock-invocationMetrics", "inputTokenCount"),
    ("usage", "inputTokens"),
    ("usage", "input_tokens"),
    ("message", "usage", "input_tokens"),  # Anthropic's message_start
)
_CACHE_READ_COUNTS = (
    ("amazon-bedrock-invocationMetrics", "cacheReadInputTokenCount"),
    ("usage", "cacheReadInputTokens"),
    ("usage", "cache_read_input_tokens"),
    ("message", "usage", "cache_read_input_tokens"),
)
_CACHE_WRITE_COUNTS = (
    ("amazon-bedrock-invocationMetrics", "cacheWriteInputTokenCount"),
    ("usage", "cacheWriteInputTokens"),
    ("usage", "cache_creation_input_tokens"),
    ("message", "usage", "cache_creation_input_tokens"),
)
_OPENAI_INPUT_COUNTS = (("usage", "prompt_tokens"),)
"""OpenAI's count includes tokens from the cache, and all others exclude them (API reference, read 2026-11-23)."""
_OPENAI_CACHE_READ_COUNTS = (("usage", "prompt_tokens_details", "cached_tokens"),)
_OUTPUT_COUNTS = (
    ("amazon-bedrock-invocationMetrics", "outputTokenCount"),
    ("usage", "outputTokens"),
    ("usage", "output_tokens"),
    ("usage", "completion_tokens"),
    ("totalOutputTextTokenCount",),
)

_PATHS = {
    "input": _INPUT_COUNTS,
    "openai_input": _OPENAI_INPUT_COUNTS,
    "openai_cache_read": _OPENAI_CACHE_READ_COUNTS,
    "cache_read": _CACHE_READ_COUNTS,
    "cache_write": _CACHE_WRITE_COUNTS,
    "output": _OUTPUT_COUNTS,
}
_KEYS = frozenset(path[0] for paths in _PATHS.values() for path in paths)
"""A chunk with none of these keys has no count."""

_PATHS_PER_CHUNK = sum(map(len, _PATHS.values()))


class AnswerCounts(msgspec.Struct):
    """The values at the places of counts in an answer, not checked yet. None: the answer has no such value.

    Each is from the last chunk that has one. `is_blocked` is true if a guardrail stopped the call.
    """

    input: Any = None
    openai_input: Any = None
    openai_cache_read: Any = None
    cache_read: Any = None
    cache_write: Any = None
    output: Any = None
    is_blocked: bool = False


def read_answer(answer: object, budget: StepBudget) -> AnswerCounts:
    """Return the counts in an answer. Each chunk of a stream is visited once, the last one first.

    `amazon-bedrock-guardrailAction` and `stopReason` are documented in
    https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-use.html (read 2026-11-23). Raises `RecordError`
    (`too_costly`) if there are too many chunks with counts.
    """
    counts = AnswerCounts()
    chunks = answer if isinstance(answer, list) else [answer]
    for chunk in reversed(chunks):
        if not isinstance(chunk, dict) or not chunk:
            continue
        if not _KEYS.isdisjoint(chunk):
            budget.spend(_PATHS_PER_CHUNK)
            _read_chunk(chunk, counts)
        if (
            chunk.get("amazon-bedrock-guardrailAction") == "INTERVENED"
            or chunk.get("stopReason") == "guardrail_intervened"
        ):
            counts.is_blocked = True
    return counts


def _read_chunk(chunk: dict[str, Any], counts: AnswerCounts) -> None:
    for name, paths in _PATHS.items():
        if getattr(counts, name) is None:
            for path in paths:
                found: Any = chunk
                for key in path:
                    found = found.get(key) if isinstance(found, dict) else None
                if found is not None:
                    setattr(counts, name, found)
                    break


def read_count(value: object) -> int | None:
    """Return a count of tokens. `5.0` and `"5"` are 5."""
    if value is None:
        return None
    if isinstance(value, str) and _WRITTEN_COUNT.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise RecordError("wrong_type")
    if value < 0:
        raise RecordError("negative_count")
    if value > MAX_COUNT:
        raise RecordError("absurd_count")
    return value
