"""The max_tokens of a call: how much output Bedrock reserved for it, and how we know."""

from enum import StrEnum

import msgspec

from bedrock_quota.errors import RecordError
from bedrock_quota.processor.records import MAX_COUNT, Record, RequestBody
from bedrock_quota.registry.models import Model, ModelKind, Provider


class Source(StrEnum):
    """How a call's max_tokens is known."""

    EXPLICIT = "explicit"
    DEFAULT = "default"
    UNKNOWN = "unknown"
    NONE = "none"


MaxTokens = tuple[int | None, Source]
"""The max_tokens of one call and how it is known; None exactly when the source is `unknown`."""

EXPLICIT = Source.EXPLICIT  # a member of an enumeration takes as long to find as all else of a common call's limit
NO_OUTPUT: MaxTokens = (0, Source.NONE)
UNKNOWN: MaxTokens = (None, Source.UNKNOWN)


def limit_in_body(body: RequestBody) -> int | None:
    """Return the output limit a request body sets, or None if it sets none.

    A body has at most one of these fields in practice; where it has more, the one its model reads comes first:
    Converse and Nova (`inferenceConfig.maxTokens`, `.max_new_tokens`), Titan (`textGenerationConfig.maxTokenCount`),
    OpenAI (`max_completion_tokens`, `max_output_tokens`), Anthropic, Mistral, Cohere, DeepSeek, Qwen and others
    (`max_tokens`), Anthropic text completion (`max_tokens_to_sample`), Llama (`max_gen_len`), Jurassic
    (`maxTokens`), Pegasus (`maxOutputTokens`). Asking for `n` answers (Jamba) reserves `n` times the limit.
    """
    inference = body.inference_config
    limit = body.max_tokens if inference is None else inference.max_tokens
    if limit is None or not (
        body.text_generation_config is None and body.max_completion_tokens is None and body.max_output_tokens is None
    ):
        limit = None if body == _NO_LIMITS else _first_limit(body)
    return None if limit is None else limit * (body.choices or 1)


_NO_LIMITS = RequestBody()


def _first_limit(body: RequestBody) -> int | None:
    inference, titan = body.inference_config, body.text_generation_config
    limits = (
        None if inference is None else inference.max_tokens,
        None if inference is None else inference.max_new_tokens,
        None if titan is None else titan.max_token_count,
        body.max_completion_tokens,
        body.max_output_tokens,
        body.max_tokens,
        body.max_tokens_to_sample,
        body.max_gen_len,
        body.max_new_tokens,
        body.max_tokens_camel,
        body.max_output_tokens_camel,
    )
    for limit in limits:
        if limit is not None:
            return limit
    return None


class OutputDefaults(msgspec.Struct, frozen=True, gc=False):
    """What calls of one model and operation reserve without a word of theirs.

    `no_output`: the model has none. `maybe_no_output`: nobody has listed it yet, and its id and the operation are those
    of models without; a call of it that has output has some. `tokens`: where a request has no limit.
    """

    tokens: int
    no_output: bool = False
    maybe_no_output: bool = False


NOTHING_RESERVED = OutputDefaults(0, no_output=True)
"""For calls outside any pool."""

_NAMES_WITHOUT_OUTPUT = ("embed", "rerank")
"""In the ids of all such models that AWS lists."""


def find_defaults(model_id: str, operation: str, model: Model | None, provider: Provider) -> OutputDefaults:
    """Return what calls of a model, None if it is not in the registry, reserve by default.

    Without a limit in the request, Converse counts as the model's maximum ("The default value is the maximum
    allowed value for the model", API reference of InferenceConfiguration, read 2026-11-23), InvokeModel as the
    model's documented default. A model that is not in the registry counts as its provider's largest.
    """
    if model is None:
        named = any(name in model_id for name in _NAMES_WITHOUT_OUTPUT)
        return OutputDefaults(provider.max_output_tokens, maybe_no_output=named and operation == "InvokeModel")
    tokens = provider.max_output_tokens if model.max_output_tokens is None else model.max_output_tokens
    if model.default_max_tokens is not None and not operation.startswith("Converse"):
        tokens = model.default_max_tokens
    return OutputDefaults(tokens, no_output=model.kind is not ModelKind.TEXT)


def resolve_max_tokens(record: Record, unsaid: OutputDefaults) -> MaxTokens:
    """Return what output a call reserved, given what calls of its model and operation reserve by default.

    Raises `RecordError` (`absurd_count`) where `n` answers of that length are more than any model gives.
    """
    if unsaid.no_output:
        return NO_OUTPUT
    body, source = record.input.body, EXPLICIT
    limit = None if body is None else limit_in_body(body)
    if limit is None:
        if unsaid.maybe_no_output and not record.output.output_tokens:
            return NO_OUTPUT
        if body is None:
            return UNKNOWN
        limit, source = unsaid.tokens * (body.choices or 1), Source.DEFAULT
    if limit > MAX_COUNT:
        raise RecordError("absurd_count", record.request_id)
    return limit, source
