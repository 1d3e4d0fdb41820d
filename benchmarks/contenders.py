"""The contenders: ways to turn one delivery into metric lines, all of the same event."""

import base64
import gzip
import io
import json
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pybase64
from aws_lambda_powertools.metrics import single_metric
from aws_lambda_powertools.utilities.data_classes import CloudWatchLogsEvent
from aws_lambda_powertools.utilities.parser import BaseModel, parse
from aws_lambda_powertools.utilities.parser.models import CloudWatchLogsModel
from isal import isal_zlib
from pydantic import Field

from bedrock_quota import delivery, lines, processing
from bedrock_quota.accounts import Accounts
from bedrock_quota.profiles import UNRESOLVED
from bedrock_quota.registry import read_sources
from bedrock_quota.seen_events import SeenEvents

NAMESPACE = "Bedrock/Quotas"

Event = dict[str, Any]

ACCOUNTS = Accounts(
    read_sources(Path(__file__).parents[1] / "registry" / "models"), resolve_profile=lambda _profile: UNRESOLVED
)


def ours(event: Event) -> None:
    """Do all that the handler does of a delivery, but for asking the state table and keeping its container warm."""
    received = delivery.decode(event)
    seen, now = SeenEvents().ids, datetime.now(UTC)
    outcome = processing.process(received, ACCOUNTS, quotas=None, namespace=NAMESPACE, now=now, seen=seen)
    lines.write(outcome.lines, io.StringIO())


# The floor knows nothing of the product: it would sink with it.


class _Body(msgspec.Struct, gc=False):
    max_tokens: int | None = None
    inference_config: dict[str, float | int | list[str]] | None = msgspec.field(default=None, name="inferenceConfig")


class _Input(msgspec.Struct, gc=False):
    tokens: int = msgspec.field(default=0, name="inputTokenCount")
    cache_write: int = msgspec.field(default=0, name="cacheWriteInputTokenCount")
    body: _Body | None = msgspec.field(default=None, name="inputBodyJson")


class _Output(msgspec.Struct, gc=False):
    tokens: int = msgspec.field(default=0, name="outputTokenCount")


class _Identity(msgspec.Struct, gc=False):
    arn: str = ""


class _Record(msgspec.Struct, gc=False):
    timestamp: str
    model: str = msgspec.field(name="modelId")
    identity: _Identity
    operation: str
    input: _Input
    output: _Output


class _LogEvent(msgspec.Struct, gc=False):
    message: str


class _Delivery(msgspec.Struct):
    log_events: list[_LogEvent] = msgspec.field(name="logEvents")


_delivery_decoder = msgspec.json.Decoder(_Delivery)
_record_decoder = msgspec.json.Decoder(_Record)


def floor(event: Event) -> None:
    """Do the least that any way must: the fastest base64 and inflate found, and one typed pass over each record."""
    inflated = isal_zlib.decompress(pybase64.b64decode(event["awslogs"]["data"], validate=True), 31)
    for log_event in _delivery_decoder.decode(inflated).log_events:
        _record_decoder.decode(log_event.message)


def stdlib_only(event: Event) -> None:
    """Do the same job with the standard library: gzip, json, a line of sums for each minute, bucket and caller."""
    payload = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
    groups: dict[tuple[str, ...], list[tuple[int, ...]]] = {}
    for log_event in payload["logEvents"]:
        record = json.loads(log_event["message"])
        key = (record["timestamp"][:16], record["modelId"], record["identity"]["arn"])
        groups.setdefault(key, []).append(_tokens(record))
    written = io.StringIO()
    for (minute, model, caller), calls in groups.items():
        reserved, consumed, output, limits = zip(*calls, strict=True)
        metrics = {"ReservedTokens": reserved, "ConsumedTokens": consumed, "OutputTokens": output, "MaxTokens": limits}
        directive = {
            "Namespace": NAMESPACE,
            "Dimensions": [["ModelId", "EndpointType"]],
            "Metrics": [{"Name": name, "Unit": "Count"} for name in metrics],
        }
        timestamp = int(datetime.fromisoformat(minute + "+00:00").timestamp()) * 1000
        line = {"_aws": {"Timestamp": timestamp, "CloudWatchMetrics": [directive]}, **metrics}
        print(json.dumps({**line, "ModelId": model, "EndpointType": "regional", "caller": caller}), file=written)


def _tokens(record: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Return what a call reserved, consumed, put out and asked for, as simply as can be."""
    given, body = record["input"], record["input"].get("inputBodyJson") or {}
    limit = (body.get("inferenceConfig") or {}).get("maxTokens") or body.get("max_tokens") or 4096
    base = given.get("inputTokenCount", 0) + given.get("cacheWriteInputTokenCount", 0)
    output = record["output"].get("outputTokenCount", 0)
    return base + limit, base + 5 * output, output, limit


def _publish(model: str, caller: str, tokens: tuple[int, int, int, int]) -> None:
    """Write one metric document: Powertools keeps one timestamp and one set of dimensions in each."""
    reserved, consumed, output, limit = tokens
    with single_metric("ReservedTokens", unit="Count", value=reserved, namespace=NAMESPACE) as metric:
        metric.add_dimension("ModelId", model)
        metric.add_dimension("EndpointType", "regional")
        metric.add_metric("ConsumedTokens", unit="Count", value=consumed)
        metric.add_metric("OutputTokens", unit="Count", value=output)
        metric.add_metric("MaxTokens", unit="Count", value=limit)
        metric.add_metadata("caller", caller)


def powertools_data_classes(event: Event) -> None:
    """Do the same job the usual way: Powertools' data class, json, and one metric document a record."""
    with redirect_stdout(io.StringIO()):
        for log_event in CloudWatchLogsEvent(event).parse_logs_data().log_events:
            record = json.loads(log_event.message)
            _publish(record["modelId"], record["identity"]["arn"], _tokens(record))


class _ParsedInput(BaseModel):
    tokens: int = Field(0, alias="inputTokenCount")
    cache_write: int = Field(0, alias="cacheWriteInputTokenCount")
    body: dict[str, Any] = Field(default_factory=dict, alias="inputBodyJson")


class _ParsedOutput(BaseModel):
    tokens: int = Field(0, alias="outputTokenCount")


class _ParsedIdentity(BaseModel):
    arn: str = ""


class _ParsedRecord(BaseModel):
    timestamp: datetime
    model: str = Field(alias="modelId")
    identity: _ParsedIdentity
    input: _ParsedInput
    output: _ParsedOutput


def powertools_parser(event: Event) -> None:
    """Do the same job with Powertools' parser: a pydantic model of the event and one of each record."""
    with redirect_stdout(io.StringIO()):
        for log_event in parse(event=event, model=CloudWatchLogsModel).awslogs.decoded_data.logEvents:
            record = _ParsedRecord.model_validate_json(str(log_event.message))
            body, base = record.input.body, record.input.tokens + record.input.cache_write
            limit = (body.get("inferenceConfig") or {}).get("maxTokens") or body.get("max_tokens") or 4096
            output = record.output.tokens
            _publish(record.model, record.identity.arn, (base + limit, base + 5 * output, output, limit))


CONTENDERS: dict[str, Callable[[Event], None]] = {
    "floor": floor,
    "this project": ours,
    "standard library": stdlib_only,
    "Powertools data classes + metrics": powertools_data_classes,
    "Powertools parser + metrics": powertools_parser,
}
