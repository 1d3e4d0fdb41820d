"""Make a Bedrock call's record as Bedrock's invocation log would have it, with bodies in the format of each API.

Source of the record: https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html. Source of the
bodies: the request and response pages of each model family under
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html. Both were read on 2026-11-23.
All text is generated from a short list of words.
"""

import gzip
import random
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

CHARACTERS_PER_TOKEN = 4
"""A rough figure for plain English."""

MAX_INLINE_BYTES = 100 * 1024
"""Bedrock writes a larger body to S3 instead of the record."""

DELTA_CHARACTERS = 24
"""Characters of text per chunk of a streamed answer."""

Json: TypeAlias = dict[str, Any]

INVOKE = "InvokeModel"
INVOKE_STREAM = "InvokeModelWithResponseStream"
CONVERSE = "Converse"
CONVERSE_STREAM = "ConverseStream"


class Origin(msgspec.Struct, frozen=True):
    """Account and Region of a call, and the bucket for large bodies."""

    account_id: str
    region: str
    log_bucket: str


class Call(msgspec.Struct, frozen=True):
    """One call that a model answered, or that a guardrail answered instead (`blocked`). Bedrock counts the tokens.

    `context` is the part of the prompt that prompt caching covers. `input_tokens` include neither `cache_read_tokens`
    nor `cache_write_tokens`. `max_tokens` is None if the request sets no limit.
    """

    operation: str
    model_id: str
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    max_tokens: int | None
    latency_ms: int
    context: str
    prompt: str
    answer: str
    blocked: bool = False


class Bodies(msgspec.Struct, frozen=True):
    """Request and response of a call. A streamed InvokeModel has a list of chunks as its response."""

    request: Json
    response: Json | list[Json]


WriteBodies: TypeAlias = Callable[[Call], Bodies]


class Event(msgspec.Struct, frozen=True):
    """The record's fields about the caller, the time and the model id that the caller passed."""

    started: datetime
    request_id: str
    caller_arn: str
    operation: str
    model_id: str
    inference_region: str | None = None
    metadata: Mapping[str, str] | None = None


class LargeBody(msgspec.Struct, frozen=True):
    """A body that is too large for the record: its place in S3 (`s3://bucket/key`) and its content."""

    path: str
    gzipped: bytes


class Record(msgspec.Struct, frozen=True):
    """The record of a call, and the bodies that Bedrock writes to S3."""

    entry: Json
    large_bodies: tuple[LargeBody, ...] = ()


def record(event: Event, origin: Origin, call: Call, bodies: Bodies | None) -> Record:
    """Return the record of an answered call. `bodies` is None if the account does not log bodies."""
    large: list[LargeBody] = []
    entry_input: Json = {"inputContentType": "application/json"}
    entry_output: Json = {"outputContentType": "application/json"}
    if bodies is not None:
        folder = (
            f"s3://{origin.log_bucket}/AWSLogs/{origin.account_id}/BedrockModelInvocationLogs/{origin.region}/"
            f"{event.started:%Y/%m/%d/%H}/data/{event.request_id}"
        )
        entry_input |= _delivered("inputBody", bodies.request, f"{folder}_input.json.gz", large)
        entry_output |= _delivered("outputBody", bodies.response, f"{folder}_output.json.gz", large)
    if not (call.blocked and call.operation in {INVOKE, INVOKE_STREAM}):  # these are logged without counts
        entry_input["inputTokenCount"] = call.input_tokens
        if call.cache_read_tokens or call.cache_write_tokens:
            entry_input["cacheReadInputTokenCount"] = call.cache_read_tokens
            entry_input["cacheWriteInputTokenCount"] = call.cache_write_tokens
        entry_output["outputTokenCount"] = call.output_tokens
    return Record({**_head(event, origin), "input": entry_input, "output": entry_output, **_tail(event)}, tuple(large))


def failure(event: Event, origin: Origin, error_code: str) -> Record:
    """Return the record of a call that Bedrock refused. It has an error code, but no bodies and no counts."""
    return Record({**_head(event, origin), "errorCode": error_code, "input": {}, "output": {}, **_tail(event)})


def _head(event: Event, origin: Origin) -> Json:
    head: Json = {
        "timestamp": f"{event.started:%Y-%m-%dT%H:%M:%SZ}",  # whole seconds: cut, not rounded
        "accountId": origin.account_id,
        "region": origin.region,
        "requestId": event.request_id,
        "operation": event.operation,
        "modelId": event.model_id,
    }
    if event.inference_region is not None:
        head["inferenceRegion"] = event.inference_region
    if event.metadata is not None:
        head["requestMetadata"] = dict(event.metadata)
    return head


def _tail(event: Event) -> Json:
    return {
        "identity": {"arn": event.caller_arn},
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
    }


def _delivered(key: str, body: Json | list[Json], s3_path: str, large: list[LargeBody]) -> Json:
    """Return the record's fields for a body. A body that does not fit is added to `large`."""
    written = msgspec.json.encode(body)
    if len(written) <= MAX_INLINE_BYTES:
        return {f"{key}Json": body}
    large.append(LargeBody(s3_path, gzip.compress(written, compresslevel=1, mtime=0)))
    return {f"{key}S3Path": s3_path}


# ---------------------------------------------------------------- Converse, the same for every model


def converse(call: Call) -> Bodies:
    """Write the bodies of Converse and ConverseStream. Both are logged as one object."""
    question: Json = {"text": call.prompt}
    if call.blocked:
        question = {"guardContent": {"text": {"text": call.prompt, "qualifiers": ["guard_content"]}}}
    request: Json = {"messages": [{"role": "user", "content": [question]}]}
    if call.context:
        request["system"] = [{"text": call.context}, {"cachePoint": {"type": "default"}}]
    if call.max_tokens is not None:
        request["inferenceConfig"] = {"maxTokens": call.max_tokens, "temperature": 0.2}
    usage = {"inputTokens": call.input_tokens, "outputTokens": call.output_tokens}
    if call.context:
        usage |= {"cacheReadInputTokens": call.cache_read_tokens, "cacheWriteInputTokens": call.cache_write_tokens}
    usage["totalTokens"] = sum(usage.values())
    response = {
        "output": {"message": {"role": "assistant", "content": [{"text": call.answer}]}},
        "stopReason": "guardrail_intervened" if call.blocked else _stop_reason(call, "end_turn", "max_tokens"),
        "metrics": {"latencyMs": call.latency_ms},
        "usage": usage,
    }
    return Bodies(request, response)


# ---------------------------------------------------------------- InvokeModel, by model family


def anthropic_messages(call: Call) -> Bodies:
    """Write the bodies of Anthropic Claude's Messages API."""
    request: Json = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": call.max_tokens,
        "messages": [{"role": "user", "content": [{"type": "text", "text": call.prompt}]}],
    }
    if call.context:
        request["system"] = [{"type": "text", "text": call.context, "cache_control": {"type": "ephemeral"}}]
    message: Json = {
        "id": "msg_bdrk_" + f"{len(call.prompt):06d}{call.latency_ms:06d}",
        "type": "message",
        "role": "assistant",
        "model": call.model_id.rpartition(".")[2],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }
    usage: Json = {"input_tokens": call.input_tokens}
    if call.context:
        usage |= {
            "cache_creation_input_tokens": call.cache_write_tokens,
            "cache_read_input_tokens": call.cache_read_tokens,
        }
    stop_reason = _stop_reason(call, "end_turn", "max_tokens")
    if call.blocked:
        return Bodies(
            request,
            {
                **message,
                "content": [{"type": "text", "text": call.answer}],
                "stop_reason": "end_turn",
                "amazon-bedrock-guardrailAction": "INTERVENED",
            },
        )
    if call.operation == INVOKE_STREAM:
        start = {"type": "message_start", "message": {**message, "usage": {**usage, "output_tokens": 1}}}
        return Bodies(request, [start, *_anthropic_deltas(call, stop_reason)])
    content = [{"type": "text", "text": call.answer}]
    usage["output_tokens"] = call.output_tokens
    return Bodies(request, {**message, "content": content, "stop_reason": stop_reason, "usage": usage})


def _anthropic_deltas(call: Call, stop_reason: str) -> Iterator[Json]:
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    for text in _deltas(call.answer):
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    yield {"type": "content_block_stop", "index": 0}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason, "stop_sequence": None},
        "usage": {"output_tokens": call.output_tokens},
    }
    yield {"type": "message_stop", "amazon-bedrock-invocationMetrics": _invocation_metrics(call)}


def llama(call: Call) -> Bodies:
    """Write the bodies of Meta Llama's completion API."""
    request: Json = {"prompt": f"<|begin_of_text|>{call.prompt}<|eot_id|>", "temperature": 0.1}
    if call.max_tokens is not None:
        request["max_gen_len"] = call.max_tokens
    counts = {"prompt_token_count": call.input_tokens, "generation_token_count": call.output_tokens}
    stop_reason = _stop_reason(call, "stop", "length")
    if call.operation != INVOKE_STREAM:
        return Bodies(request, {"generation": call.answer, **counts, "stop_reason": stop_reason})
    chunks: list[Json] = [{"generation": text, "stop_reason": None} for text in _deltas(call.answer)]
    end = {"generation": "", **counts, "stop_reason": stop_reason}
    return Bodies(request, [*chunks, {**end, "amazon-bedrock-invocationMetrics": _invocation_metrics(call)}])


def mistral(call: Call) -> Bodies:
    """Write the bodies of Mistral's completion API."""
    request: Json = {"prompt": f"<s>[INST] {call.prompt} [/INST]", "temperature": 0.3}
    if call.max_tokens is not None:
        request["max_tokens"] = call.max_tokens
    stop_reason = _stop_reason(call, "stop", "length")
    return Bodies(request, {"outputs": [{"text": call.answer, "stop_reason": stop_reason}]})


def deepseek(call: Call) -> Bodies:
    """Write the bodies of DeepSeek-R1's completion API."""
    request: Json = {"prompt": call.prompt, "temperature": 0.6}
    if call.max_tokens is not None:
        request["max_tokens"] = call.max_tokens
    return Bodies(request, {"choices": [{"text": call.answer, "stop_reason": _stop_reason(call, "stop", "length")}]})


def openai_chat(call: Call) -> Bodies:
    """Write the bodies of OpenAI's Chat Completions API, as gpt-oss takes them through InvokeModel."""
    request: Json = {"messages": [{"role": "user", "content": call.prompt}], "reasoning_effort": "low"}
    if call.max_tokens is not None:
        request["max_completion_tokens"] = call.max_tokens
    usage = {
        "prompt_tokens": call.input_tokens,
        "completion_tokens": call.output_tokens,
        "total_tokens": call.input_tokens + call.output_tokens,
    }
    choice = {
        "index": 0,
        "finish_reason": _stop_reason(call, "stop", "length"),
        "message": {"role": "assistant", "content": call.answer},
    }
    return Bodies(request, {"object": "chat.completion", "model": call.model_id, "choices": [choice], "usage": usage})


def titan_embedding(call: Call) -> Bodies:
    """Write the bodies of Amazon Titan Text Embeddings V2 with 256 dimensions."""
    request = {"inputText": call.prompt, "dimensions": 256, "normalize": True}
    return Bodies(request, {"embedding": _embedding(call, 256), "inputTextTokenCount": call.input_tokens})


def cohere_embedding(call: Call) -> Bodies:
    """Write the bodies of Cohere Embed with a batch of up to 96 texts."""
    size = -(-len(call.prompt) // 96) or 1
    texts = [call.prompt[first : first + size] for first in range(0, len(call.prompt), size)]
    request = {"texts": texts, "input_type": "search_document", "embedding_types": ["float"]}
    embedding = _embedding(call, 256)
    return Bodies(request, {"embeddings": {"float": [embedding] * len(texts)}, "response_type": "embeddings_by_type"})


def _deltas(text: str) -> Iterator[str]:
    return (text[first : first + DELTA_CHARACTERS] for first in range(0, len(text), DELTA_CHARACTERS))


def _stop_reason(call: Call, ended: str, cut: str) -> str:
    return cut if call.output_tokens == call.max_tokens else ended


def _invocation_metrics(call: Call) -> Json:
    return {
        "inputTokenCount": call.input_tokens,
        "outputTokenCount": call.output_tokens,
        "invocationLatency": call.latency_ms,
        "firstByteLatency": min(call.latency_ms, 400 + call.input_tokens // 20),
    }


def _embedding(call: Call, dimensions: int) -> list[float]:
    numbers = random.Random(len(call.prompt) * 1000 + call.input_tokens)  # noqa: S311 - no secret
    return [round(numbers.uniform(-0.2, 0.2), 6) for _ in range(dimensions)]


# ---------------------------------------------------------------- words

_VOCABULARY = (
    "the a of and to in for with on by from each every next last open late early new old small large clear plain "
    "order invoice parcel customer agent branch ledger meadow harbour lantern bridge window garden kettle café "
    "forecast margin balance route ticket warehouse shelf sample figure table column report summary chapter note "
    "arrives leaves counts grows shows holds moves opens closes waits changes keeps finds names sends returns "
    "quickly slowly twice again today tomorrow yesterday soon never always often here there under above between "
    "Größe naïve façade résumé señor"
)
_WORDS = _VOCABULARY.split()


def prose(seed: str, characters: int = 200_000) -> str:
    """Return a long text without meaning. `excerpt` cuts from it, which is faster than making a text word by word."""
    words = random.Random(seed)  # noqa: S311 - no secret
    sentences: list[str] = []
    length = 0
    while length < characters:
        sentence = " ".join(words.choices(_WORDS, k=words.randint(5, 18))).capitalize() + ". "
        sentences.append(sentence)
        length += len(sentence)
    return "".join(sentences)


def excerpt(text: str, draw: random.Random, characters: int) -> str:
    """Return this many characters of `text` from the beginning of a word. A text that is too short is repeated."""
    start = text.find(" ", draw.randrange(len(text) // 2)) + 1
    cut = text[start : start + characters]
    while len(cut) < characters:
        cut += text[: characters - len(cut)]
    return cut
