"""The max_tokens of a call: the output tokens that Bedrock reserved for it, and the source of that number.

`explicit`: in the request. `declared`: in `requestMetadata.max_tokens`, used if the request's body is not in the log.
`default`: the request has no limit, so the model's default applies, and never less than the output that came.
`unknown`: the body is not available. `none`: the call has no output tokens.

`find_defaults` chooses the default of a call without a limit. The numbers are in registry/models/*.toml.
"""

import re
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from bedrock_quota.errors import RecordError
from bedrock_quota.processor.records import MAX_COUNT, OutputLimits, Record, RequestBody
from bedrock_quota.registry.models import Model, ModelKind, Provider


class Source(StrEnum):
    """The source of a call's max_tokens."""

    EXPLICIT = "explicit"
    DECLARED = "declared"
    DEFAULT = "default"
    UNKNOWN = "unknown"
    NONE = "none"


MaxTokens = tuple[int | None, Source]
"""The max_tokens of one call and its source. None exactly if the source is `unknown`."""

EXPLICIT = Source.EXPLICIT  # finding an enumeration member takes as long as the rest of a common call's limit
NO_OUTPUT: MaxTokens = (0, Source.NONE)
UNKNOWN: MaxTokens = (None, Source.UNKNOWN)

DECLARED_LIMIT_KEY = "max_tokens"
"""Key of `requestMetadata` by which an application declares its limit."""

_DECLARED_LIMIT = re.compile(r"[0-9]{1,9}")

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

    If Converse has no limit of its own, one in `additionalModelRequestFields` counts, in the same order: Converse
    passes these fields on to the model ("Additional inference parameters that the model supports", API reference of
    Converse, read 2026-11-28).
    """
    inference = body.inference_config
    limit = body.max_tokens if inference is None else inference.max_tokens
    if limit is None or not (
        body.text_generation_config is None and body.max_completion_tokens is None and body.max_output_tokens is None
    ):
        if body == _NO_LIMITS:
            return None
        limit = _find_first_limit(body)
        if limit is None and body.additional_fields is not None:
            limit = _find_first_limit(body.additional_fields)
            limit = body.additional_fields.max_token_count if limit is None else limit
    if limit is None or (body.choices is None and body.additional_fields is None):
        return limit
    return limit * _count_answers(body)


def _count_answers(body: RequestBody) -> int:
    """Return how many answers a request asks for."""
    additional = body.additional_fields
    return body.choices or (additional is not None and additional.choices) or 1


def _find_first_limit(limits: OutputLimits) -> int | None:
    inference, titan = limits.inference_config, limits.text_generation_config
    found = (
        None if inference is None else inference.max_tokens,
        None if inference is None else inference.max_new_tokens,
        None if titan is None else titan.max_token_count,
        limits.max_completion_tokens,
        limits.max_output_tokens,
        limits.max_tokens,
        limits.max_tokens_to_sample,
        limits.max_gen_len,
        limits.max_new_tokens,
        limits.max_tokens_camel,
        limits.max_output_tokens_camel,
    )
    for limit in found:
        if limit is not None:
            return limit
    return None


def read_declared_limit(metadata: Mapping[str, str] | None) -> int | None:
    """Return the limit that an application declares in `requestMetadata`: 1 to `MAX_COUNT` tokens, in digits.

    Any other text declares nothing.
    """
    text = metadata.get(DECLARED_LIMIT_KEY) if metadata else None
    if text is None or not _DECLARED_LIMIT.fullmatch(text):
        return None
    return limit if 1 <= (limit := int(text)) <= MAX_COUNT else None


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

    A declared limit is used before a body in S3 is read: that costs neither time nor a request. One below the output is
    wrong, so it declares nothing. A default is at least the output: Nova 2 with high reasoning effort must have no
    limit, and may exceed its documented maximum (Nova 2 User Guide, "Extended thinking", read 2026-11-28).

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
            declared = read_declared_limit(record.request_metadata)
            if declared is None or declared < (record.output.output_tokens or 0):
                return UNKNOWN
            return declared, Source.DECLARED
        limit = max(defaults.tokens * _count_answers(body), record.output.output_tokens or 0)
        source = Source.DEFAULT
    if limit > MAX_COUNT:
        raise RecordError("absurd_count", record.request_id)
    return limit, source
