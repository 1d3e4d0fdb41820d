"""The max_tokens of a call: the output tokens that Bedrock reserved for it, and the source of that number.

`find_defaults` chooses the default of a call without a limit. The numbers are in registry/models/*.toml.
"""

from enum import StrEnum

import msgspec

from bedrock_quota.errors import RecordError
from bedrock_quota.processor.records import MAX_COUNT, Record, RequestBody
from bedrock_quota.registry.models import Model, ModelKind, Provider


class Source(StrEnum):
    """The source of a call's max_tokens."""

    EXPLICIT = "explicit"
    DEFAULT = "default"
    UNKNOWN = "unknown"
    NONE = "none"


MaxTokens = tuple[int | None, Source]
"""The max_tokens of one call and its source. None exactly if the source is `unknown`."""

EXPLICIT = Source.EXPLICIT  # finding an enumeration member takes as long as the rest of a common call's limit
NO_OUTPUT: MaxTokens = (0, Source.NONE)
UNKNOWN: MaxTokens = (None, Source.UNKNOWN)

_NO_LIMITS = RequestBody()

_NAMES_WITHOUT_OUTPUT = ("embed", "rerank")
"""Parts of the ids of all models without output that AWS lists."""


def find_output_limit(body: RequestBody) -> int | None:
    """Return the output limit of a request body, or None if it has none.

    In practice a body has at most one of these fields. If it has more, the first in this order counts:
    Converse and Nova (`inferenceConfig.maxTokens`, `.max_new_tokens`), Titan (`textGenerationConfig.maxTokenCount`),
    OpenAI (`max_completion_tokens`, `max_output_tokens`), Anthropic, Mistral, Cohere, DeepSeek, Qwen and others
    (`max_tokens`), Anthropic text completion (`max_tokens_to_sample`), Llama (`max_gen_len`), Jurassic
    (`maxTokens`), Pegasus (`maxOutputTokens`). A request for `n` answers (Jamba) reserves `n` times the limit.
    """
    inference = body.inference_config
    limit = body.max_tokens if inference is None else inference.max_tokens
    if limit is None or not (
        body.text_generation_config is None and body.max_completion_tokens is None and body.max_output_tokens is None
    ):
        limit = None if body == _NO_LIMITS else _find_first_limit(body)
    return None if limit is None else limit * (body.choices or 1)


def _find_first_limit(body: RequestBody) -> int | None:
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
    """The output tokens that calls of one model and operation reserve by default.

    `tokens`: the limit of a request without one. `no_output`: the model has no output. `maybe_no_output`: the model is
    not in the registry, and its id and operation look like a model without output. Calls with output disprove it.
    """

    tokens: int
    no_output: bool = False
    maybe_no_output: bool = False


NOTHING_RESERVED = OutputDefaults(0, no_output=True)
"""The defaults for calls outside any pool."""


def find_defaults(model_id: str, operation: str, model: Model | None, provider: Provider) -> OutputDefaults:
    """Return the tokens that calls of a model reserve by default. `model` is None if it is not in the registry.

    Without a limit in the request, Converse counts as the model's maximum ("The default value is the maximum
    allowed value for the model", API reference of InferenceConfiguration, read 2026-11-23). InvokeModel counts
    as the model's documented default. A model that is not in the registry counts as its provider's largest.
    """
    if model is None:
        looks_like_no_output = any(name in model_id for name in _NAMES_WITHOUT_OUTPUT)
        return OutputDefaults(
            provider.max_output_tokens, maybe_no_output=looks_like_no_output and operation == "InvokeModel"
        )
    tokens = provider.max_output_tokens if model.max_output_tokens is None else model.max_output_tokens
    if model.default_max_tokens is not None and not operation.startswith("Converse"):
        tokens = model.default_max_tokens
    return OutputDefaults(tokens, no_output=model.kind is not ModelKind.TEXT)


def resolve_max_tokens(record: Record, defaults: OutputDefaults) -> MaxTokens:
    """Return the output tokens that a call reserved, from its request or the defaults of its model and operation.

    Raises `RecordError` (`absurd_count`) if `n` answers of that length exceed `MAX_COUNT` tokens.
    """
    if defaults.no_output:
        return NO_OUTPUT
    body, source = record.input.body, EXPLICIT
    limit = None if body is None else find_output_limit(body)
    if limit is None:
        if defaults.maybe_no_output and not record.output.output_tokens:
            return NO_OUTPUT
        if body is None:
            return UNKNOWN
        limit, source = defaults.tokens * (body.choices or 1), Source.DEFAULT
    if limit > MAX_COUNT:
        raise RecordError("absurd_count", record.request_id)
    return limit, source
