"""Records drawn at random, in all the ways in which a record tells its limit, tier, latency and model."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from oracle import ADDITIONAL_LIMIT_NAMES, LIMIT_NAMES
from records import ACCOUNT, EMBEDDING, MINUTE, NOVA, SONNET, TITAN, Entry, counts, record

MODELS = (
    SONNET,
    NOVA,
    TITAN,
    EMBEDDING,
    "anthropic.claude-opus-5",
    "amazon.nova-pro-v1:0",
    "amazon.nova-2-lite-v1:0",
    "meta.llama3-1-8b-instruct-v1:0",
    "openai.gpt-oss-120b-1:0",
    "newcomer.model-1",
)
TIERS = ("reserved", "Reserved", "priority", "flex", "default", "ultrafast")
LATENCIES = ("optimized", "standard", "Optimized")


def draw_record(draw: random.Random) -> Entry:
    """Draw one record of the minutes around `MINUTE`. Its input is below any 1M-context quota."""
    operation = draw.choice(("Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream"))
    started = datetime.fromtimestamp(MINUTE + draw.randint(-120, 20), UTC)
    entry: Entry = {"timestamp": started.strftime("%Y-%m-%dT%H:%M:%SZ")}
    entry["identity"] = {"arn": f"arn:aws:iam::{ACCOUNT}:user/{draw.choice(('jane', 'joe'))}"}
    if draw.random() < 0.1:
        entry["errorCode"] = "ThrottlingException"
    if draw.random() < 0.3:
        declared = draw.choice(("2000", "1", "0", "many", "100000001", "-5", " 7", "٣"))
        entry["requestMetadata"] = {"max_tokens": declared}
    if draw.random() < 0.1:
        entry["performanceConfig"] = {"latency": draw.choice(LATENCIES)}
    given: Entry = counts(
        inputTokenCount=draw.randint(0, 50_000),
        cacheReadInputTokenCount=draw.choice((None, draw.randint(0, 9_000))),
        cacheWriteInputTokenCount=draw.choice((None, draw.randint(0, 9_000))),
    )
    place = draw.random()
    if place < 0.8:
        given["inputBodyJson"] = _draw_body(draw, operation)
    elif place < 0.9:
        given["inputBodyS3Path"] = "s3://bucket/body.json.gz"
    output: Entry = {"outputTokenCount": draw.choice((0, draw.randint(1, 500), draw.randint(1, 150_000)))}
    if draw.random() < 0.8:
        output["outputBodyJson"] = draw_answer(draw)
    return record(_draw_model_id(draw), operation, **entry, input=given, output=output)


def _draw_model_id(draw: random.Random) -> str:
    model_id = draw.choice(("", "", "us.", "eu.", "global.")) + draw.choice(MODELS)
    model_id += draw.choice(("", "", "", "+latency-optimized"))
    arn = f"arn:aws:bedrock:us-east-1:{ACCOUNT}"
    return draw.choice(
        (
            *[model_id] * 12,
            f"{arn}:inference-profile/{model_id}",
            f"{arn}:default-prompt-router/anthropic.claude:1",
            f"{arn}:prompt-router/a1b2c3",
            f"{arn}:provisioned-model/a1b2c3",
        )
    )


def _draw_body(draw: random.Random, operation: str) -> Entry:
    body: Entry = {"messages": []}
    if draw.random() < 0.5:
        if operation.startswith("Converse"):
            body["inferenceConfig"] = {"maxTokens": draw.randint(1, 9_000)}
        else:
            body[draw.choice(LIMIT_NAMES)] = draw.randint(1, 9_000)
    if draw.random() < 0.3:
        fields: Entry = {"top_k": 5}
        if draw.random() < 0.7:
            fields[draw.choice(ADDITIONAL_LIMIT_NAMES)] = draw.randint(1, 9_000)
        body["additionalModelRequestFields"] = fields
    return body | draw_words(draw, 0.2)


def draw_words(draw: random.Random, share: float) -> Entry:
    """Draw the words of a body that say how a call was served: each of tier and latency in this share of bodies."""
    words: Entry = {}
    if draw.random() < share:
        tier = draw.choice(TIERS)
        words |= {"serviceTier": {"type": tier}} if draw.random() < 0.5 else {"service_tier": tier}
    if draw.random() < share:
        words["performanceConfig"] = {"latency": draw.choice(LATENCIES)}
    return words


def draw_answer(draw: random.Random) -> Any:
    """Draw an answer, whole or streamed, without texts."""
    words = draw_words(draw, 0.3)
    if draw.random() < 0.5:
        words["trace"] = {"promptRouter": {"invokedModelId": draw.choice(("", "us.", "global.")) + draw.choice(MODELS)}}
    if "service_tier" in words:
        shapes: tuple[Callable[[], Any], ...] = (
            lambda: words,
            lambda: [{"delta": "x"}, words],
            lambda: [
                {"delta": "x"},
                {"type": "response.completed", "response": {"service_tier": words["service_tier"]}},
            ],
        )
    else:
        shapes = (
            lambda: {"stopReason": "end_turn", **words},
            lambda: {"metadata": words},
            lambda: [{"messageStart": {}}, {"messageStop": {"stopReason": "end_turn"}}, {"metadata": words}],
        )
    return draw.choice(shapes)()
