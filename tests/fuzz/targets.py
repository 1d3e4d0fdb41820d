"""The targets: what is fuzzed, with what must hold and with seeds to begin from."""

import base64
import functools
import gzip
import io
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import invariants
import msgspec
import shard
from botocore.exceptions import ClientError
from records import (
    EMBEDDING,
    NOVA,
    PROFILE_ARN,
    ROLE_ARN,
    SONNET,
    TITAN,
    blocked,
    converse,
    envelope,
    event_of,
    failed,
    invoke,
    message,
    metadata_only,
)

from bedrock_quota.model_ids import ApplicationProfile, OutOfScope, Reference
from bedrock_quota.pools import EndpointType
from bedrock_quota.processor.usage import UsageCalculator
from bedrock_quota.registry.models import Model, Registry
from bedrock_quota.registry.quota_names import models_by_quota_name
from bedrock_quota.registry.sources import read_sources
from quota_monitor import sample_events as events
from quota_monitor.failed import store
from quota_monitor.failed.progress import PROGRESS_PREFIX
from quota_monitor.failed.store import FailedDelivery, Store


class Target(msgspec.Struct, frozen=True):
    """One thing to fuzz. `check` raises where something does not hold; `is_json` says how to mutate."""

    check: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    is_json: bool = True


@functools.cache
def registry() -> Registry:
    return read_sources(Path(__file__).parents[2] / "registry" / "models")


@functools.cache
def accounts() -> UsageCalculator:
    def resolve(profile: ApplicationProfile) -> Reference | OutOfScope:
        is_known = profile.profile_id.startswith("a")
        return Reference(NOVA, EndpointType.CROSS_REGION) if is_known else OutOfScope("unresolved_profile")

    return UsageCalculator(registry(), resolve, (invariants.TAG,))


def text_of(data: bytes) -> str:
    """Return any bytes as a text, lone surrogates included."""
    return data.decode(errors="surrogateescape")


def json_lines(entries: Iterable[Any]) -> bytes:
    return b"\n".join(json.dumps(entry).encode() for entry in entries)


# A delivery: the first byte says how the rest is wrapped


def check_delivery(data: bytes) -> None:
    kind, rest = data[:1], data[1:]
    if kind == b"0":
        wrapped: object = text_of(rest)
    elif kind == b"1":
        wrapped = base64.b64encode(rest).decode()
    else:
        wrapped = base64.b64encode(gzip.compress(rest, 1, mtime=0)).decode()
    invariants.delivery_is_decoded_or_refused({"awslogs": {"data": wrapped}}, 100_000)


def delivery_seeds() -> tuple[bytes, ...]:
    sent = event_of([converse(text=invariants.SECRET), "plain text"])["awslogs"]["data"]
    inflated = json.dumps(envelope([message(converse(text=invariants.SECRET)), "\ud800", "é"])).encode()
    return (
        b"0" + sent.encode(),
        b"1" + base64.b64decode(sent),
        b"2" + inflated,
        b'2{"messageType": "CONTROL_MESSAGE"}',
    )


# Records: one a line, all of them one delivery


def check_records(data: bytes) -> None:
    texts = text_of(data).split("\n")
    for text in texts:
        invariants.work_is_within_the_steps(text)
        invariants.both_ways_agree(text, accounts())
    invariants.delivery_is_processed(texts, accounts())


ROUTER = "arn:aws:bedrock:us-east-1:111122223333:prompt-router/a1b2c3"


def _with_words(model_id: str, secret: str) -> Any:
    """Return a record with every word that says how a call was served."""
    words = {"serviceTier": {"type": "reserved"}, "service_tier": "flex", "performanceConfig": {"latency": "optimized"}}
    trace = {"promptRouter": {"invokedModelId": f"us.{SONNET}"}}
    fields = {"max_tokens": 5, "inferenceConfig": {"maxTokens": 6}, "stop": secret}
    events = [
        {"delta": {"stop_reason": "max_tokens"}, "choices": [{"finish_reason": "length", "text": secret}]},
        {"messageStop": {"stopReason": "max_tokens"}, "response": {"incomplete_details": {"reason": "length"}}},
        {"metadata": {**words, "trace": trace, "usage": {"inputTokens": 5, "cacheWriteInputTokenCount": 2}}},
    ]
    body = {"messages": [secret], "additionalModelRequestFields": fields, **words}
    given = {"inputTokenCount": 5, "inputBodyJson": body}
    answer = {"stopReason": "max_tokens", "trace": trace, **words} if model_id == ROUTER else events
    declared = {"requestMetadata": {"max_tokens": "900"}}
    return converse(model_id, input=given, output={"outputTokenCount": 5, "outputBodyJson": answer}, **declared)


def record_seeds() -> tuple[bytes, ...]:
    secret = invariants.SECRET
    said = {"content": secret, "usage": {"input_tokens": 3, "output_tokens": 4}}
    streamed = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 9, "cache_read_input_tokens": 5}}},
        {"type": "message_delta", "usage": {"output_tokens": 4}, "text": secret},
    ]
    openai = {"usage": {"prompt_tokens": 30, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 20}}}
    tagged = {"requestMetadata": {invariants.TAG: "search", "note": secret}}
    entries = (
        converse(text=secret, **tagged),
        converse(f"us.{SONNET}", text=secret, cache_read=5, cache_write=6, performanceConfig={"latency": "optimized"}),
        converse(input={"inputTokenCount": "5", "inputBodyJson": {"messages": [secret]}}),
        invoke(SONNET, {"max_tokens": 7, "prompt": secret}, answer=said, input_tokens=None, output_tokens=None),
        invoke(SONNET, {"max_tokens": 7}, answer=streamed, input_tokens=None, output_tokens=None),
        invoke("openai.gpt-oss-120b-1:0", {"n": 2}, answer=openai, input_tokens=None, output_tokens=None),
        *(_with_words(each, secret) for each in (SONNET, "us.amazon.nova-pro-v1:0+latency-optimized", ROUTER)),
        invoke(TITAN, {"inputText": secret, "textGenerationConfig": {"maxTokenCount": 5}}, answer=[said, said]),
        invoke(EMBEDDING, {"inputText": secret}, answer={"embedding": [0.5]}, output_tokens=None),
        invoke("newcomer.embed-1", {"inputText": secret}, output_tokens=None),
        blocked(SONNET),
        metadata_only(f"arn:aws:bedrock:us-east-1::foundation-model/{NOVA}", identity={"arn": ROLE_ARN}),
        invoke(TITAN, {}, answer=[{"usage": {}}] * 50, input_tokens=None, output_tokens=None),
        metadata_only(f"anthropic.a{':' * 200}1"),
        metadata_only(PROFILE_ARN, input={"inputTokenCount": 7, "inputBodyS3Path": "s3://bucket/key"}),
        failed(errorMessage=secret),
    )
    return (*(json_lines([entry]) for entry in entries), json_lines(entries[:4]))


# A request body by itself


def body_seeds() -> tuple[bytes, ...]:
    bodies = (
        {"inferenceConfig": {"maxTokens": 5, "max_new_tokens": 6}, "messages": [{"text": invariants.SECRET}]},
        {"textGenerationConfig": {"maxTokenCount": 5}, "inputText": invariants.SECRET},
        {"max_tokens": 5, "n": 3, "max_completion_tokens": 6, "max_output_tokens": 7},
        {"max_tokens_to_sample": 1, "max_gen_len": 2, "max_new_tokens": 3, "maxTokens": 4, "maxOutputTokens": 5},
    )
    return tuple(json_lines([body]) for body in bodies)


# Names


def check_model_id(data: bytes) -> None:
    invariants.model_id_is_parsed(text_of(data), registry())
    invariants.text_becomes_a_label(text_of(data))


MODEL_IDS = (
    SONNET,
    f"us.{SONNET}",
    f"global.{NOVA}",
    "amazon.titan-text-express-v1:0:8k",
    "us.deepseek.v3.2",
    PROFILE_ARN,
    ROLE_ARN,
    f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET}",
    f"arn:aws-us-gov:bedrock:us-gov-west-1:111122223333:inference-profile/us-gov.{SONNET}",
    "arn:aws:bedrock:us-east-1:111122223333:custom-model-deployment/abc",
    "arn:aws:sagemaker:us-east-1:111122223333:endpoint/abc",
)

QUOTA_NAMES = (
    "On-demand model inference tokens per minute for Anthropic Claude Sonnet 4 V1",
    "Cross-region model inference requests per minute for Amazon Nova Lite",
    "Global cross-region model inference tokens per minute for Anthropic Claude Sonnet 4 V1 1M Context Length",
    "Model invocation max tokens per day for Amazon Nova Lite (doubled for cross-region calls)",
    "On-demand, latency-optimized model inference tokens per minute for Amazon Nova Pro",
    "[bedrock-mantle endpoint] Input tokens per minute for Claude",
    "On-demand InvokeModel concurrent requests for Amazon Nova Reel",
)


@functools.cache
def spelled() -> dict[str, Model]:
    return models_by_quota_name(registry())


def check_quota_name(data: bytes) -> None:
    invariants.quota_name_is_matched_or_refused(text_of(data), spelled())


# What users and AWS hand to the fetcher and to the command line


def override_seeds() -> tuple[bytes, ...]:
    new = {
        "id": "newcomer.model-1",
        "name": "Model 1",
        "kind": "text",
        "source": "its page",
        "max_output_tokens": 4_096,
        "burndown": [{"rate": 5, "since": "2026-01-01", "status": "listed", "source": "its page"}],
        "quota_names": ["Newcomer Model 1"],
        "quota_codes": {"regional": {"tokens_per_minute": "L-0123ABCD"}},
    }
    corrected = {"id": SONNET, "long_context_above": 200_000, "latency_optimized": True, "default_max_tokens": 5}
    return json_lines([{"models": [new]}]), json_lines([{"models": [corrected, new]}]), json_lines([{}])


class _Bucket:
    """S3 and Lambda in one: gives the same bytes for every object and every answer, and notes what is deleted."""

    def __init__(self, held: bytes) -> None:
        self._held = held
        self.deleted: list[str] = []

    def client(self, _name: str, **_config: object) -> "_Bucket":
        return self

    def get_object(self, Key: str, **_of: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        if Key.startswith(PROGRESS_PREFIX):
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": ""}}, "GetObject")
        return {"Body": io.BytesIO(self._held), "ETag": ""}

    def put_object(self, Key: str, **_of: object) -> dict[str, str]:  # noqa: N803
        assert Key.startswith(PROGRESS_PREFIX)
        return {"ETag": ""}

    def delete_object(self, Key: str, **_of: str) -> None:  # noqa: N803
        self.deleted.append(Key)

    def invoke(self, **_of: object) -> dict[str, Any]:
        return {"FunctionError": "Unhandled", "Payload": io.BytesIO(self._held)}


def check_failed_delivery(data: bytes) -> None:
    kept = FailedDelivery("key", len(data), datetime(2026, 11, 23, tzinfo=UTC))
    for held in (data, b'{"requestPayload": {}}'):  # an odd object; then an odd answer
        bucket = _Bucket(held)
        bucket.invoke = lambda **_of: {"FunctionError": "Unhandled", "Payload": io.BytesIO(data)}  # type: ignore[method-assign]
        (replayed,) = store.replay(bucket, Store("bucket", "function"), [kept])  # type: ignore[arg-type]
        assert replayed.problem
        assert set(bucket.deleted) <= {f"{PROGRESS_PREFIX}{kept.key}"}


def failed_delivery_seeds() -> tuple[bytes, ...]:
    kept = {
        "version": "1.0",
        "requestPayload": event_of([converse()]),
        "responsePayload": {"errorType": "DeliveryError"},
    }
    of_a_stream = shard.kept(events.batch([event_of([converse()])])["Records"]).encode()
    return json_lines([kept]), of_a_stream, json_lines([{"errorType": "DeliveryError", "errorMessage": "not gzip"}])


def _texts(texts: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(text.encode() for text in texts)


TARGETS = {
    "delivery": Target(check_delivery, delivery_seeds(), is_json=False),
    "records": Target(check_records, record_seeds()),
    "body": Target(invariants.body_is_read_or_refused, body_seeds()),
    "model_id": Target(check_model_id, _texts(MODEL_IDS), is_json=False),
    "quota_name": Target(check_quota_name, _texts(QUOTA_NAMES), is_json=False),
    "overrides": Target(
        lambda data: invariants.overrides_are_read_or_refused(text_of(data), registry()), override_seeds()
    ),
    "failed_delivery": Target(check_failed_delivery, failed_delivery_seeds()),
}
