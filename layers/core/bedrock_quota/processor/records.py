"""A record: one entry of Bedrock's model-invocation log, as typed shapes.

Shape: https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html (read 2026-11-23) and
records seen in public repositories. Any key can be missing. Only the output limits of a request body are kept.
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

SECONDS_PER_DAY = 24 * 3600

SCHEMA_TYPE: Literal["ModelInvocationLog"] = "ModelInvocationLog"

_REQUEST_ID = re.compile(r"[0-9a-z]{8}(-[0-9a-z]{4}){3}-[0-9a-z]{12}")
_WORD = re.compile(r"[A-Za-z]{1,64}")


class InferenceConfig(msgspec.Struct, frozen=True, gc=False):
    """The `inferenceConfig` of Converse and of Amazon Nova's own request."""

    max_tokens: Tokens | None = msgspec.field(default=None, name="maxTokens")
    max_new_tokens: Tokens | None = None


class TextGenerationConfig(msgspec.Struct, frozen=True, gc=False):
    """The `textGenerationConfig` of Amazon Titan Text."""

    max_token_count: Tokens | None = msgspec.field(default=None, name="maxTokenCount")


class RequestBody(msgspec.Struct, frozen=True, gc=False):
    """The fields of a request body that limit its output, and its project. All others are skipped.

    `project_identifier` is the ID or the ARN of a project. Only Converse has it in the body (`ConverseRequest` in
    botocore 1.44.8, read 2026-11-28).
    """

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
    project_identifier: str | None = msgspec.field(default=None, name="projectIdentifier")


class RecordInput(msgspec.Struct, frozen=True, gc=False):
    """The `input` of a record. `input_tokens` excludes cached tokens."""

    input_tokens: Tokens | None = msgspec.field(default=None, name="inputTokenCount")
    cache_read_tokens: Tokens | None = msgspec.field(default=None, name="cacheReadInputTokenCount")
    cache_write_tokens: Tokens | None = msgspec.field(default=None, name="cacheWriteInputTokenCount")
    body: RequestBody | None = msgspec.field(default=None, name="inputBodyJson")
    body_s3_path: str | None = msgspec.field(default=None, name="inputBodyS3Path")


class RecordOutput(msgspec.Struct, frozen=True, gc=False):
    """The `output` of a record."""

    output_tokens: Tokens | None = msgspec.field(default=None, name="outputTokenCount")


class Identity(msgspec.Struct, frozen=True, gc=False):
    """The caller."""

    arn: str | None = None


class PerformanceConfig(msgspec.Struct, frozen=True, gc=False):
    """The requested latency mode."""

    latency: str | None = None


class Record(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One call of a model, as Bedrock logged it. `started_at` is the request's start as text, in whole seconds."""

    started_at: TimestampText = msgspec.field(name="timestamp")
    model_id: str
    operation: str = ""
    request_id: str = ""
    schema_type: Literal["ModelInvocationLog"] = SCHEMA_TYPE
    error_code: str | None = None
    identity: Identity | None = None
    request_metadata: dict[str, str] | None = None
    performance_config: PerformanceConfig | None = None
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
    except ValueError as error:
        raise RecordError("bad_timestamp") from error
    if timestamp.tzinfo is None:
        raise RecordError("bad_timestamp")
    return timestamp


def with_request_body(record: Record, body: RequestBody | None) -> Record:
    """Return the record with the request body that was read from S3, None if it could not be."""
    return msgspec.structs.replace(record, input=msgspec.structs.replace(record.input, body=body, body_s3_path=None))


def safe_word(value: str | None) -> str:
    """Return an operation or an error code if it is one word, else `other`. Logs must never contain a prompt."""
    return value if value is not None and _WORD.fullmatch(value) else "other"


def safe_request_id(value: object) -> str | None:
    """Return a request id if it looks like one. Logs must never contain a prompt."""
    return value if isinstance(value, str) and _REQUEST_ID.fullmatch(value) else None
