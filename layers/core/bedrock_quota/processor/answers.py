"""The counts in an answer: records of some calls have none of their own (seen with streams of Titan).

Names of counts: https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html and
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-text.html (read 2026-11-28).
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from bedrock_quota.processor.counts import read_count
from bedrock_quota.processor.step_budget import StepBudget

_USAGE = "usage"
_METRICS = "amazon-bedrock-invocationMetrics"
_EVENTS = ("message", "response", "metadata", "delta")
"""Events of streams with a usage: Anthropic's message_start, the last of Responses and Cohere's `stream-end`,
ConverseStream's and Nova's, and Cohere's `message-end`."""

_INPUT_COUNTS = ("inputTokenCount", "inputTokens", "input_tokens", "prompt_tokens")
_OTHER_COUNTS = {
    "cache_read": ("cacheReadInputTokenCount", "cacheReadInputTokens", "cache_read_input_tokens"),
    "cache_write": ("cacheWriteInputTokenCount", "cacheWriteInputTokens", "cache_creation_input_tokens"),
    "output": ("outputTokenCount", "outputTokens", "output_tokens", "completion_tokens"),
}
"""The names of each count in a usage, or in the invocation metrics that end a stream, the best one first."""

_DETAILS = ("input_tokens_details", "prompt_tokens_details")
"""OpenAI's counts of the input include tokens from and for the cache, and its details have these parts (API reference
of Responses and Chat Completions, read 2026-11-28). Anthropic's `input_tokens` has no details, and excludes them."""

_INPUTS_IN_CHUNK = ("inputTextTokenCount", "prompt_token_count")
_OUTPUTS_IN_CHUNK = ("totalOutputTextTokenCount", "generation_token_count")
"""Counts of Titan and Llama. Of Titan's answer that is not streamed, `results` has the count of each text."""

_META, _COHERE_COUNTS = "meta", ("tokens", "billed_units")
"""The place of Cohere's counts, there or in `usage`, also of an event (API references of Cohere's Chat, v1 and v2, read
2026-11-28)."""

_BLOCKED = "guardrail_intervened"

OUTPUT_PLACES = (_USAGE, _METRICS, _META, *_EVENTS, *_OUTPUTS_IN_CHUNK, "results")
"""An answer with none of these keys has no count of its output."""

_PLACES = frozenset({*OUTPUT_PLACES, *_INPUTS_IN_CHUNK})
"""A chunk with none of these keys has no count."""

_STEPS_PER_CHUNK = len(_PLACES)
_STEPS_PER_USAGE = len(_INPUT_COUNTS) + sum(map(len, _OTHER_COUNTS.values())) + len(_DETAILS)


class AnswerCounts(msgspec.Struct):
    """The values at the places of counts in an answer, not checked yet. None: the answer has no such value.

    Each is from the last chunk that has one. `all_input` includes tokens from and for the cache, and `input` excludes
    them. `is_blocked` is true if a guardrail stopped the call.
    """

    input: Any = None
    all_input: Any = None
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
        if not _PLACES.isdisjoint(chunk):
            budget.spend(_STEPS_PER_CHUNK)
            for usage, is_final in _list_usages(chunk):
                budget.spend(_STEPS_PER_USAGE)
                _read_usage(usage, counts, is_final=is_final)
            _read_beside_usage(chunk, counts, budget)
        if chunk.get("amazon-bedrock-guardrailAction") == "INTERVENED" or _BLOCKED in (
            chunk.get("stopReason"),
            _get_stop_reason(chunk.get("messageStop")),
        ):
            counts.is_blocked = True
    return counts


def _get_stop_reason(event: object) -> object:
    return event.get("stopReason") if isinstance(event, dict) else None


def _list_usages(chunk: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield the objects of a chunk that have counts, the best one first, and if their output is the whole output.

    Anthropic's `message_start` has the output so far, which is 1.
    """
    found = [(chunk.get(place), True) for place in (_METRICS, _USAGE, _META)]
    for event in map(chunk.get, _EVENTS):
        if isinstance(event, dict) and event:
            is_final = chunk.get("type") != "message_start"
            found += [(event.get(_USAGE), is_final), (event.get(_META), is_final)]
    for usage, is_final in found:
        if isinstance(usage, dict) and usage:
            yield usage, is_final
            cohere = _get_first(usage, _COHERE_COUNTS)
            if isinstance(cohere, dict) and cohere:
                yield cohere, is_final


def _read_usage(usage: dict[str, Any], counts: AnswerCounts, *, is_final: bool) -> None:
    """Add the counts of a usage that are not known yet."""
    details = next((each for each in map(usage.get, _DETAILS) if isinstance(each, dict)), {})
    name = next((each for each in _INPUT_COUNTS if usage.get(each) is not None), "")
    includes_cache = name == "prompt_tokens" or (name == "input_tokens" and isinstance(usage.get(_DETAILS[0]), dict))
    if counts.input is None and counts.all_input is None:
        setattr(counts, "all_input" if includes_cache else "input", usage.get(name))
    elif includes_cache and counts.input == usage[name]:  # then the invocation metrics include them, too
        counts.input, counts.all_input = None, usage[name]
    _fill(counts, "cache_read", details.get("cached_tokens"))
    _fill(counts, "cache_write", details.get("cache_write_tokens"))
    for count, names in _OTHER_COUNTS.items():
        if is_final or count != "output":
            _fill(counts, count, _get_first(usage, names))


def _read_beside_usage(chunk: dict[str, Any], counts: AnswerCounts, budget: StepBudget) -> None:
    """Add the counts of Titan and Llama, which have no usage."""
    if counts.input is None and counts.all_input is None:
        counts.input = _get_first(chunk, _INPUTS_IN_CHUNK)
    _fill(counts, "output", _get_first(chunk, _OUTPUTS_IN_CHUNK))
    results = chunk.get("results")
    if counts.output is None and isinstance(results, list):
        budget.spend(len(results))
        made = [each.get("tokenCount") for each in results if isinstance(each, dict)]
        if made and all(type(count) is int for count in made):
            counts.output = sum(made)


def _get_first(found: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((found[each] for each in names if found.get(each) is not None), None)


def _fill(counts: AnswerCounts, name: str, value: object) -> None:
    if getattr(counts, name) is None:
        setattr(counts, name, value)


def split_input(counts: AnswerCounts) -> tuple[int | None, int | None, int | None]:
    """Return input without cached tokens, cache reads and cache writes. Raises `RecordError` for what is no count."""
    cache_read, cache_write = read_count(counts.cache_read), read_count(counts.cache_write)
    if counts.all_input is None:
        return read_count(counts.input), cache_read, cache_write
    given = read_count(counts.all_input) or 0
    return max(0, given - (cache_read or 0) - (cache_write or 0)), cache_read, cache_write
