"""The max_tokens of a call: how much output Bedrock reserved for it, and how we know."""

from enum import StrEnum

import msgspec

from bedrock_quota.errors import RecordError
from bedrock_quota.records import MAX_COUNT, Record, RequestBody
from bedrock_quota.registry import Kind, Model, Provider


class Source(StrEnum):
    """How a call's max_tokens is known."""

    EXPLICIT = "explicit"
    DEFAULT = "default"
    UNKNOWN = "unknown"
    NONE = "none"


class MaxTokens(msgspec.Struct, frozen=True, gc=False):
    """The max_tokens of one call; `value` is None exactly when the source is `unknown`."""

    value: int | None
    source: Source


NO_OUTPUT = MaxTokens(0, Source.NONE)
UNKNOWN = MaxTokens(None, Source.UNKNOWN)


def in_body(body: RequestBody) -> int | None:
    """Return the output limit a request body sets, or None if it sets none.

    A body has at most one of these fields in practice; where it has more, the one its model reads comes first:
    Converse and Nova (`inferenceConfig.maxTokens`, `.max_new_tokens`), Titan (`textGenerationConfig.maxTokenCount`),
    OpenAI (`max_completion_tokens`, `max_output_tokens`), Anthropic, Mistral, Cohere, DeepSeek, Qwen and others
    (`max_tokens`), Anthropic text completion (`max_tokens_to_sample`), Llama (`max_gen_len`), Jurassic
    (`maxTokens`), Pegasus (`maxOutputTokens`). Asking for `n` answers (Jamba) reserves `n` times the limit.
    """
    inference, limit = body.inference_config, None
    if inference is not None:
        limit = inference.max_tokens
        if limit is None:
            limit = inference.max_new_tokens
    if limit is None:
        limit = _limit_of_invoke_model(body)
    return limit * body.choices if body.choices and limit is not None else limit


def _limit_of_invoke_model(body: RequestBody) -> int | None:
    titan = body.text_generation_config
    if titan is not None and titan.max_token_count is not None:
        return titan.max_token_count
    if body.max_tokens is not None and body.max_completion_tokens is None and body.max_output_tokens is None:
        return body.max_tokens  # most often so
    at_the_top = (
        body.max_completion_tokens,
        body.max_output_tokens,
        body.max_tokens,
        body.max_tokens_to_sample,
        body.max_gen_len,
        body.max_new_tokens,
        body.max_tokens_camel,
        body.max_output_tokens_camel,
    )
    for limit in at_the_top:
        if limit is not None:
            return limit
    return None


def of(record: Record, model: Model | None, provider: Provider) -> MaxTokens:
    """Return what output a call reserved.

    Without a limit in the request, Converse counts as the model's maximum ("The default value is the maximum
    allowed value for the model", API reference of InferenceConfiguration, read 2026-11-23), InvokeModel as the
    model's documented default. A model that is not in the registry counts as its provider's largest, or as one
    without output where its id and its call say so.

    Raises `RecordError` (`absurd_count`) where `n` answers of that length are more than any model gives.
    """
    if model is not None and model.kind is not Kind.TEXT:
        return NO_OUTPUT
    body, source = record.input.body, Source.EXPLICIT
    limit = None if body is None else in_body(body)
    if limit is None:
        if model is None and _is_embedding(record):
            return NO_OUTPUT
        if body is None:
            return UNKNOWN
        limit, source = _default(record.operation, model, provider) * (body.choices or 1), Source.DEFAULT
    if limit > MAX_COUNT:
        raise RecordError("absurd_count", record.request_id)
    return MaxTokens(limit, source)


_NAMES_WITHOUT_OUTPUT = ("embed", "rerank")
"""In the ids of all such models that AWS lists."""


def _is_embedding(record: Record) -> bool:
    """Whether a model that nobody has listed yet seems to have no output: its id says so, and no output is counted."""
    named = any(name in record.model_id for name in _NAMES_WITHOUT_OUTPUT)
    return named and record.operation == "InvokeModel" and not record.output.output_tokens


def _default(operation: str, model: Model | None, provider: Provider) -> int:
    if model is None or model.max_output_tokens is None:
        return provider.max_output_tokens
    if model.default_max_tokens is not None and not operation.startswith("Converse"):
        return model.default_max_tokens
    return model.max_output_tokens
