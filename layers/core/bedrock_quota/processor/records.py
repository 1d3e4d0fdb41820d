"""A record: one entry of Bedrock's model-invocation log, as typed shapes.

Shape: https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html (read 2026-11-23) and
records seen in public repositories. Any key can be missing. Of the bodies only numbers and words are kept: output
limits, service tier, latency, the reason why an answer ended, and the model that a prompt router chose. Members of the
Converse API: botocore 1.44.8, `bedrock-runtime` (read 2026-11-28).
"""

import functools
import re
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from bedrock_quota.errors import RecordError

MAX_COUNT = 100_000_000
"""Most tokens of one call: ten times the largest context window. More are rejected as absurd."""

Tokens = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
_Timestamp = Annotated[datetime, msgspec.Meta(tz=True)]
TimestampText = Annotated[str, msgspec.Meta(max_length=32)]
Word = Annotated[str, msgspec.Meta(max_length=64)]
"""A word of a body. A longer text is none, so that no record keeps much of a body."""
_ProjectText = Annotated[str, msgspec.Meta(max_length=2048)]
_ModelIdText = Annotated[str, msgspec.Meta(max_length=2048)]

SECONDS_PER_DAY = 24 * 3600

SCHEMA_TYPE: Literal["ModelInvocationLog"] = "ModelInvocationLog"

_REQUEST_ID = re.compile(r"[0-9a-z]{8}(-[0-9a-z]{4}){3}-[0-9a-z]{12}")
_WORD = re.compile(r"[A-Za-z]{1,64}")
_TIER = re.compile(r"[a-z0-9_-]{1,32}")


class InferenceConfig(msgspec.Struct, frozen=True, gc=False):
    """The `inferenceConfig` of Converse and of Amazon Nova's own request."""

    max_tokens: Tokens | None = msgspec.field(default=None, name="maxTokens")
    max_new_tokens: Tokens | None = None


class TextGenerationConfig(msgspec.Struct, frozen=True, gc=False):
    """The `textGenerationConfig` of Amazon Titan Text."""

    max_token_count: Tokens | None = msgspec.field(default=None, name="maxTokenCount")


class OutputLimits(msgspec.Struct, frozen=True, gc=False):
    """The fields that limit a call's output."""

    inference_config: InferenceConfig | None = msgspec.field(default=None, name="inferenceConfig")
    text_generation_config: TextGenerationConfig | None = msgspec.field(default=None, name="textGenerationConfig")
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    max_output_tokens: Tokens | None = None
    max_tokens_to_sample: Tokens | None = None
    max_gen_len: Tokens | None = None
    max_new_tokens: Tokens | None = None
    max_tokens_camel: Tokens | None = msgspec.field(default=None, name="maxTokens")
    max_output_tokens_camel: Tokens | None = msgspec.field(default=None, name="maxOutputTokens")
    choices: Tokens | None = msgspec.field(default=None, name="n")


class AdditionalFields(OutputLimits, frozen=True, gc=False):
    """The `additionalModelRequestFields` of Converse: fields that it passes on to the model."""

    max_token_count: Tokens | None = msgspec.field(default=None, name="maxTokenCount")


class ServiceTier(msgspec.Struct, frozen=True, gc=False):
    """The `serviceTier` of Converse: the tier that was asked for, or that served the call."""

    type: Word | None = None


class Latency(msgspec.Struct, frozen=True, gc=False):
    """The `performanceConfig` of a Converse body: the latency that was asked for, or that the call was served with."""

    latency: Word | None = None


class RequestBody(OutputLimits, frozen=True, gc=False):
    """The fields of a request body that decide about its quota, and its project. All others are skipped.

    `project_identifier` is the ID or the ARN of a project. Only Converse has it in the body (`ConverseRequest` in
    botocore 1.44.8, read 2026-11-28).
    """

    service_tier: ServiceTier | Word | None = msgspec.field(default=None, name="serviceTier")
    service_tier_word: ServiceTier | Word | None = msgspec.field(default=None, name="service_tier")
    performance_config: Latency | None = msgspec.field(default=None, name="performanceConfig")
    additional_fields: AdditionalFields | None = msgspec.field(default=None, name="additionalModelRequestFields")
    project_identifier: _ProjectText | None = msgspec.field(default=None, name="projectIdentifier")


class Reason(msgspec.Struct, frozen=True, gc=False):
    """The `incomplete_details` of Responses."""

    reason: Word | None = None


class Choice(msgspec.Struct, frozen=True, gc=False):
    """One of an answer's texts, with the reason why it ended."""

    finish_reason: Word | None = None
    stop_reason: Word | None = None
    completion_reason: Word | None = msgspec.field(default=None, name="completionReason")


class Choices(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The first texts of an answer. The others are skipped, so that a long list costs no memory."""

    first: Choice | None = None
    second: Choice | None = None
    third: Choice | None = None
    fourth: Choice | None = None


class PromptRouterTrace(msgspec.Struct, frozen=True, gc=False):
    """The model that a prompt router chose, as the ARN of a model or of an inference profile."""

    invoked_model_id: _ModelIdText | None = msgspec.field(default=None, name="invokedModelId")


class Trace(msgspec.Struct, frozen=True, gc=False):
    """The `trace` of an answer of Converse."""

    prompt_router: PromptRouterTrace | None = msgspec.field(default=None, name="promptRouter")


class StreamMetadata(msgspec.Struct, frozen=True, gc=False):
    """The `metadata` event of ConverseStream. Responses has `metadata` of the caller's, whose values are texts."""

    service_tier: ServiceTier | None = msgspec.field(default=None, name="serviceTier")
    performance_config: Latency | None = msgspec.field(default=None, name="performanceConfig")
    trace: Trace | None = None


class StopEvent(msgspec.Struct, frozen=True, gc=False):
    """The `messageStop` event of ConverseStream and Nova, and the `delta` of Anthropic's `message_delta` and Cohere's
    `message-end`."""

    stop_reason_camel: Word | None = msgspec.field(default=None, name="stopReason")
    stop_reason: Word | None = None
    finish_reason: Word | None = None


class FinalResponse(msgspec.Struct, frozen=True, gc=False):
    """The `response` of the last events of a Responses stream, and of Cohere's."""

    service_tier_word: ServiceTier | Word | None = msgspec.field(default=None, name="service_tier")
    incomplete_details: Reason | None = None
    finish_reason: Word | None = None


class Answer(msgspec.Struct, frozen=True, gc=False):
    """The fields of an answer that say how the call was served and why it ended.

    Each takes time for every record, so those of stream events alone are in `Chunk`.
    """

    stop_reason_camel: Word | None = msgspec.field(default=None, name="stopReason")
    stop_reason: Word | None = None
    finish_reason: Word | None = None
    finish_reason_camel: Word | None = msgspec.field(default=None, name="finishReason")
    incomplete_details: Reason | None = None
    choices: Choices | None = None
    outputs: Choices | None = None
    results: Choices | None = None
    generations: Choices | None = None
    service_tier: ServiceTier | Word | None = msgspec.field(default=None, name="serviceTier")
    service_tier_word: ServiceTier | Word | None = msgspec.field(default=None, name="service_tier")
    performance_config: Latency | None = msgspec.field(default=None, name="performanceConfig")
    trace: Trace | None = None
    metadata: StreamMetadata | None = None
    response: FinalResponse | None = None


class Chunk(Answer, frozen=True, gc=False):
    """One event of a streamed answer."""

    delta: StopEvent | str | None = None
    message_stop: StopEvent | None = msgspec.field(default=None, name="messageStop")
    completion_reason: Word | None = msgspec.field(default=None, name="completionReason")


class InputCounts(msgspec.Struct, frozen=True, gc=False):
    """The counts in the `input` of a record. `input_tokens` excludes cached tokens."""

    input_tokens: Tokens | None = msgspec.field(default=None, name="inputTokenCount")
    cache_read_tokens: Tokens | None = msgspec.field(default=None, name="cacheReadInputTokenCount")
    cache_write_tokens: Tokens | None = msgspec.field(default=None, name="cacheWriteInputTokenCount")
    body_s3_path: str | None = msgspec.field(default=None, name="inputBodyS3Path")


class RecordInput(InputCounts, frozen=True, gc=False):
    """The `input` of a record."""

    body: RequestBody | None = msgspec.field(default=None, name="inputBodyJson")


class RecordOutput(msgspec.Struct, frozen=True, gc=False):
    """The `output` of a record. Only while it is read is the answer a list: the chunks of a streamed one."""

    output_tokens: Tokens | None = msgspec.field(default=None, name="outputTokenCount")
    answer: Answer | list[msgspec.Raw] | None = msgspec.field(default=None, name="outputBodyJson")


class Identity(msgspec.Struct, frozen=True, gc=False):
    """The caller."""

    arn: str | None = None


class PerformanceConfig(msgspec.Struct, frozen=True, gc=False):
    """The requested latency mode, where a third party's schema has it: beside the bodies."""

    latency: str | None = None


class RecordHead(msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True):
    """A record without its input and output. `started_at` is the request's start as text, in whole seconds.

    The members are in the order of Bedrock's records, whose last ones are the first here. The decoder looks for each
    key after the one before it, so it finds most at once.
    """

    identity: Identity | None = None
    schema_type: Literal["ModelInvocationLog"] = SCHEMA_TYPE
    performance_config: PerformanceConfig | None = None
    started_at: TimestampText = msgspec.field(name="timestamp")
    request_id: str = ""
    operation: str = ""
    model_id: str
    error_code: str | None = None
    request_metadata: dict[str, str] | None = None


class Record(RecordHead, frozen=True, gc=False, rename="camel", kw_only=True):
    """One call of a model, as Bedrock logged it."""

    input: RecordInput = RecordInput()
    output: RecordOutput = RecordOutput()


@functools.lru_cache(maxsize=4096)
def parse_timestamp(text: str) -> tuple[int, int, int]:
    """Return a timestamp's second and minute start, in seconds since the epoch, and its days since the epoch.

    Cached, because many calls begin in one second. Raises `RecordError` with the reason `bad_timestamp` for text
    that is not a timestamp or has no time zone.
    """
    seconds = int(read_timestamp(text).timestamp())
    return seconds, seconds - seconds % 60, seconds // SECONDS_PER_DAY


def read_timestamp(value: object) -> datetime:
    """Return a timestamp with its time zone. Raises `RecordError`: `missing_timestamp` or `bad_timestamp`."""
    if value is None:
        raise RecordError("missing_timestamp")
    if not isinstance(value, str) or "\0" in value:  # fromisoformat stops at a null character
        raise RecordError("bad_timestamp")
    try:
        return msgspec.convert(value, _Timestamp)
    except (msgspec.ValidationError, UnicodeError):  # "20261123T120005Z", for example, is a timestamp too
        pass
    try:
        timestamp = datetime.fromisoformat(value)
    except ValueError:  # its message repeats the text
        raise RecordError("bad_timestamp") from None
    if timestamp.tzinfo is None:
        raise RecordError("bad_timestamp")
    return timestamp


def with_request_body(record: Record, body: RequestBody | None) -> Record:
    """Return the record with the request body that was read from S3, None if it could not be."""
    return msgspec.structs.replace(record, input=msgspec.structs.replace(record.input, body=body, body_s3_path=None))


def safe_word(value: str | None) -> str:
    """Return an operation or an error code if it is one word, else `other`. Logs must never contain a prompt."""
    return value if value is not None and _WORD.fullmatch(value) else "other"


def safe_tier(value: str) -> str:
    """Return a service tier in lower case if it is one short word, else `other`. Logs must never contain a prompt."""
    word = value.strip().lower()
    return word if _TIER.fullmatch(word) else "other"


def safe_request_id(value: object) -> str | None:
    """Return a request id if it looks like one. Logs must never contain a prompt."""
    return value if isinstance(value, str) and _REQUEST_ID.fullmatch(value) else None
