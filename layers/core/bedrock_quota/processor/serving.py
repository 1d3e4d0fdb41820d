"""Serving: the tier and latency that served a call, the model that a prompt router chose, and if the answer was cut.

The answer says what served the call, so it decides. The request says only what was asked for. Sources:
https://docs.aws.amazon.com/bedrock/latest/userguide/service-tiers-inference.html and
https://docs.aws.amazon.com/bedrock/latest/userguide/latency-optimized-inference.html (read 2026-11-28): beyond its
reserved capacity a call is served by the default tier, and beyond the latency-optimized quota at standard latency.
Both APIs of OpenAI have `service_tier` in request and answer.
"""

from collections.abc import Iterable

import msgspec

from bedrock_quota.processor.records import (
    Answer,
    Choice,
    Choices,
    Chunk,
    Latency,
    PerformanceConfig,
    PromptRouterTrace,
    RequestBody,
    ServiceTier,
    StopEvent,
    Trace,
)

RESERVED_TIER = "reserved"
"""The tier with capacity of its own. All other tiers draw on one on-demand quota."""

KNOWN_TIERS = frozenset({RESERVED_TIER, "priority", "flex", "default"})
"""The tiers of the API reference (`ServiceTier`, read 2026-11-28)."""

CUT_REASONS = frozenset(
    {
        "max_tokens",  # Converse, Nova, Anthropic; Cohere writes MAX_TOKENS
        "length",  # Chat Completions, Llama, Mistral, AI21, DeepSeek; Titan writes LENGTH
        "max_output_tokens",  # Responses, in incomplete_details
    }
)
"""Reasons why an answer ended that mean that it was cut at its output limit, in lower case. An answer that fills the
context window is not one of them, because a larger max_tokens would not help. Source: StopReason of botocore 1.44.8,
and the API references of the models' providers (read 2026-11-28)."""

_NO_TIERS = frozenset({"auto", "standard_only"})
"""Values of OpenAI's and Anthropic's own APIs that leave the choice of a tier open."""

_OPTIMIZED = "optimized"


class Serving(msgspec.Struct, frozen=True, gc=False):
    """The facts that request and answer give. None: neither names it.

    `tier` is as it is written. `is_optimized` tells if the call was served with optimized latency.
    """

    tier: str | None = None
    is_optimized: bool | None = None
    invoked_model_id: str | None = None
    truncated: bool = False


NOTHING_NAMED = Serving()

_PLAIN_ENDS = ("end_turn", "tool_use", "stop_sequence", "stop", "tool_calls")
_PLAIN_ANSWERS: frozenset[Answer | None] = frozenset(
    {
        None,
        Answer(),
        Answer(choices=Choices()),
        *(Answer(stop_reason_camel=end) for end in _PLAIN_ENDS),
        *(Answer(stop_reason=end) for end in _PLAIN_ENDS),
        *(Answer(choices=Choices(Choice(finish_reason=end))) for end in _PLAIN_ENDS),
        *(Answer(choices=Choices(Choice(stop_reason=end))) for end in _PLAIN_ENDS),
        *(Answer(outputs=Choices(Choice(stop_reason=end))) for end in _PLAIN_ENDS),
        Answer(results=Choices(Choice(completion_reason="FINISH"))),
    }
)
"""Answers of most calls, which tell nothing. Finding one of them is faster than looking at each of its members."""


def find_serving(answer: Answer | None, body: RequestBody | None, beside: PerformanceConfig | None) -> Serving | None:
    """Return how a call was served: by its answer, then by its request, then by the field beside the bodies.

    None: the record tells nothing, as most do.
    """
    if answer in _PLAIN_ANSWERS:
        answer = None
    if (
        answer is None
        and beside is None
        and (
            body is None
            or (body.service_tier is None and body.service_tier_word is None and body.performance_config is None)
        )
    ):
        return None
    served = NOTHING_NAMED if answer is None else read_answer(answer)
    tier, is_optimized = served.tier, served.is_optimized
    if body is not None:
        if tier is None:
            tier = _name_tier(body.service_tier) or _name_tier(body.service_tier_word)
        if is_optimized is None:
            is_optimized = _ask_optimized(body.performance_config)
    if is_optimized is None:
        is_optimized = _ask_optimized(beside)
    return Serving(tier, is_optimized, served.invoked_model_id, served.truncated)


def read_answer(answer: Answer) -> Serving:
    """Return what an answer, or a chunk of one, tells of how the call was served and if it was cut."""
    event, final = answer.metadata, answer.response
    tier = _name_tier(answer.service_tier) or _name_tier(answer.service_tier_word)
    is_optimized, invoked = _ask_optimized(answer.performance_config), _name_invoked(answer.trace)
    if event is not None:
        tier = tier or _name_tier(event.service_tier)
        is_optimized = _ask_optimized(event.performance_config) if is_optimized is None else is_optimized
        invoked = invoked or _name_invoked(event.trace)
    if final is not None:
        tier = tier or _name_tier(final.service_tier_word)
    return Serving(
        tier, is_optimized, invoked, any(reason.strip().lower() in CUT_REASONS for reason in _list_reasons(answer))
    )


def _list_reasons(answer: Answer) -> list[str]:
    """Return all reasons why the texts of an answer ended."""
    found = [answer.stop_reason_camel, answer.stop_reason, answer.finish_reason, answer.finish_reason_camel]
    if isinstance(answer, Chunk):
        found.append(answer.completion_reason)
        for event in (answer.delta, answer.message_stop):
            if event is not None and not isinstance(event, str):
                found += (event.stop_reason_camel, event.stop_reason, event.finish_reason)
    if answer.incomplete_details is not None:
        found.append(answer.incomplete_details.reason)
    final = answer.response
    if final is not None:
        found.append(final.finish_reason)
        if final.incomplete_details is not None:
            found.append(final.incomplete_details.reason)
    for choices in (answer.choices, answer.outputs, answer.results, answer.generations):
        if choices is not None:
            for choice in (choices.first, choices.second, choices.third, choices.fourth):
                if choice is not None:
                    found += (choice.finish_reason, choice.stop_reason, choice.completion_reason)
    return [reason for reason in found if reason]


def _name_tier(tier: ServiceTier | str | None) -> str | None:
    """Return the tier that is named, or None if there is none or only blanks."""
    word = ((tier.type if isinstance(tier, ServiceTier) else tier) or "").strip()
    return word if word and word.lower() not in _NO_TIERS else None


def _ask_optimized(config: Latency | PerformanceConfig | None) -> bool | None:
    word = "" if config is None or config.latency is None else config.latency.strip()
    return word.lower() == _OPTIMIZED if word else None


def _name_invoked(trace: Trace | None) -> str | None:
    router = None if trace is None else trace.prompt_router
    return None if router is None else (router.invoked_model_id or "").strip() or None


MAX_CHUNKS = 8
"""Chunks at the end of a streamed answer that are read. Only the very last ones tell anything."""

_SILENT_CHUNKS = (Chunk(), Chunk(delta=StopEvent()))
"""Chunks of text."""


def merge_chunks(chunks: Iterable[Chunk]) -> Answer | None:
    """Return one answer with what the chunks of a stream tell, given from the last to the first. None: nothing."""
    tier: str | None = None
    is_optimized: bool | None = None
    invoked: str | None = None
    truncated = False
    for chunk in chunks:
        if chunk in _SILENT_CHUNKS:
            continue
        served = read_answer(chunk)
        tier, invoked = tier or served.tier, invoked or served.invoked_model_id
        is_optimized = served.is_optimized if is_optimized is None else is_optimized
        truncated = truncated or served.truncated
    if Serving(tier, is_optimized, invoked, truncated) == NOTHING_NAMED:
        return None
    return Answer(
        stop_reason_camel="max_tokens" if truncated else None,
        service_tier=tier,
        performance_config=None if is_optimized is None else Latency(_OPTIMIZED if is_optimized else "standard"),
        trace=None if invoked is None else Trace(PromptRouterTrace(invoked)),
    )
