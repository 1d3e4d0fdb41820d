"""Records in the shapes of Bedrock's invocation log, all of them invented, and deliveries that carry them."""

import base64
import gzip
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from processed import Processed

from bedrock_quota.processor.delivery import LogEvent

Entry = dict[str, Any]

# What the fixtures of conftest.py are
Process = Callable[..., Processed]
ReadLine = Callable[[bytes], dict[str, Any]]

NOW = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)
STARTED = "2026-11-23T12:00:05Z"
"""When the records below began, 25 seconds before `NOW`."""
MINUTE = 1_795_435_200
"""2026-11-23T12:00:00Z: 1,767,225,600 (New Year) + 326 days of 86,400 s + 43,200 s."""

ACCOUNT = "111122223333"
ROLE_ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/ReportWriter/session-of-somebody"
PROFILE_ARN = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/a1b2c3d4e5f6"

SONNET = "anthropic.claude-sonnet-4-20250514-v1:0"  # burndown 5x, 1M-context quota above 200,000 input tokens
OPUS = "anthropic.claude-opus-4-8"  # burndown 15x
NOVA = "amazon.nova-lite-v1:0"  # 1x
TITAN = "amazon.titan-text-express-v1"  # 1x, 512 tokens where an InvokeModel request sets no limit
EMBEDDING = "amazon.titan-embed-text-v2:0"


def record(model_id: str = SONNET, operation: str = "Converse", **changes: Any) -> Entry:
    """Make a record without input and output; `changes` replace keys, None takes one away."""
    made: Entry = {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "timestamp": STARTED,
        "accountId": ACCOUNT,
        "identity": {"arn": ROLE_ARN},
        "region": "us-east-1",
        "requestId": "0f0e0d0c-0b0a-4908-8706-050403020100",
        "operation": operation,
        "modelId": model_id,
    } | changes
    return {key: value for key, value in made.items() if value is not None}


def counts(**values: int | None) -> Entry:
    """Keep the counts that are given."""
    return {key: value for key, value in values.items() if value is not None}


def converse(
    model_id: str = SONNET,
    *,
    max_tokens: int | None = 500,
    input_tokens: int | None = 100,
    output_tokens: int | None = 20,
    cache_read: int | None = None,
    cache_write: int | None = None,
    operation: str = "Converse",
    text: str = "How tall is the invented tower?",
    **changes: Any,
) -> Entry:
    """Make the record of a Converse or ConverseStream call."""
    body: Entry = {"messages": [{"role": "user", "content": [{"text": text}]}]}
    if max_tokens is not None:
        body["inferenceConfig"] = {"maxTokens": max_tokens, "temperature": 0.5}
    answer = {
        "output": {"message": {"role": "assistant", "content": [{"text": "Three invented miles."}]}},
        "stopReason": "end_turn",
        "metrics": {"latencyMs": 1234},
        "usage": {"inputTokens": input_tokens, "outputTokens": output_tokens},
    }
    given = {
        "inputContentType": "application/json",
        "inputBodyJson": body,
        **counts(
            inputTokenCount=input_tokens,
            cacheReadInputTokenCount=cache_read,
            cacheWriteInputTokenCount=cache_write,
        ),
    }
    answered = {
        "outputContentType": "application/json",
        "outputBodyJson": answer,
        **counts(outputTokenCount=output_tokens),
    }
    return record(model_id, operation, **{"input": given, "output": answered} | changes)


def invoke(
    model_id: str,
    body: object,
    *,
    answer: object = None,
    input_tokens: int | None = 100,
    output_tokens: int | None = 20,
    operation: str = "InvokeModel",
    **changes: Any,
) -> Entry:
    """Make the record of an InvokeModel call, or of one that streams."""
    given = {
        "inputContentType": "application/json",
        "inputBodyJson": body,
        **counts(inputTokenCount=input_tokens),
    }
    answered = {
        "outputContentType": "application/json",
        "outputBodyJson": {} if answer is None else answer,
        **counts(outputTokenCount=output_tokens),
    }
    return record(model_id, operation, **{"input": given, "output": answered} | changes)


def blocked(model_id: str = SONNET, body: object = None, *, answer: object = None, **changes: Any) -> Entry:
    """Make the record of an InvokeModel call that a guardrail blocked: no counts, and the guardrail's answer."""
    return invoke(
        model_id,
        {"max_tokens": 4_000} if body is None else body,
        answer={"amazon-bedrock-guardrailAction": "INTERVENED", "completion": "No."} if answer is None else answer,
        input_tokens=None,
        output_tokens=None,
        **changes,
    )


def of_project(entry: Entry, identifier: object) -> Entry:
    """Name a project in the body of a request, in place of any that it names."""
    given = entry["input"]
    return entry | {"input": given | {"inputBodyJson": given["inputBodyJson"] | {"projectIdentifier": identifier}}}


def cut_answer(entry: Entry) -> Entry:
    """Say that an answer of Converse was cut at its output limit."""
    answered = entry["output"]
    return entry | {"output": answered | {"outputBodyJson": answered["outputBodyJson"] | {"stopReason": "max_tokens"}}}


def by_session(session: str, role: str = "ReportWriter") -> Entry:
    """Return the `identity` of a role's session."""
    return {"identity": {"arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}"}}


def without_answer(entry: Entry) -> Entry:
    """Take the body of the answer away, as in an account that delivers no text."""
    kept = {key: value for key, value in entry["output"].items() if key != "outputBodyJson"}
    return entry | {"output": kept}


def metadata_only(model_id: str = NOVA, input_tokens: int = 7, output_tokens: int = 11, **changes: Any) -> Entry:
    """Make a record of an account that delivers no text: counts and no bodies."""
    given = {"inputContentType": "application/json", "inputTokenCount": input_tokens}
    answered = {"outputContentType": "application/json", "outputTokenCount": output_tokens}
    return record(model_id, "Converse", **{"input": given, "output": answered} | changes)


def failed(model_id: str = SONNET, code: str = "ThrottlingException", **changes: Any) -> Entry:
    """Make the record of a call that Bedrock answered with an error."""
    return record(model_id, **{"errorCode": code, "input": {}, "output": {}} | changes)


def message(entry: Mapping[str, Any]) -> str:
    """Return a record as CloudWatch Logs carries it."""
    return json.dumps(entry)


def log_event(text: str, event_id: str = "") -> LogEvent:
    """Return a log event as a delivery has it once it is decoded; lone surrogates may be in its text."""
    return LogEvent(text.encode(errors="surrogatepass"), event_id)


def envelope(messages: Iterable[str], message_type: str = "DATA_MESSAGE") -> Entry:
    """Return what a delivery holds once it is inflated."""
    return {
        "messageType": message_type,
        "owner": ACCOUNT,
        "logGroup": "/aws/bedrock/modelinvocations",
        "logStream": "aws/bedrock/modelinvocations",
        "subscriptionFilters": ["quota-monitor"],
        "logEvents": [
            {"id": f"{index:056d}", "timestamp": MINUTE * 1000, "message": text} for index, text in enumerate(messages)
        ],
    }


def event_around(payload: bytes) -> dict[str, dict[str, str]]:
    """Wrap raw bytes as CloudWatch Logs would wrap its JSON."""
    return {"awslogs": {"data": base64.b64encode(gzip.compress(payload, mtime=0)).decode()}}


def event_of(entries: Iterable[Mapping[str, Any] | str], message_type: str = "DATA_MESSAGE") -> Any:
    """Wrap records, as dictionaries or as raw messages, as an event of a CloudWatch Logs subscription."""
    messages = [entry if isinstance(entry, str) else message(entry) for entry in entries]
    return event_around(json.dumps(envelope(messages, message_type)).encode())


def with_id(entry: Mapping[str, Any], number: int) -> Entry:
    """Return a record of another request. `analyze` counts each request once."""
    return {**entry, "requestId": f"{number:08x}-0b0a-4908-8706-050403020100"}
