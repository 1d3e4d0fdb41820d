"""Turn one delivery into metric lines in several ways, which `benchmarks` compares."""

import base64
import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from datetime import datetime
from typing import Any

import msgspec
import pybase64
from aws_lambda_powertools.metrics import EphemeralMetrics
from aws_lambda_powertools.utilities.data_classes import CloudWatchLogsEvent
from aws_lambda_powertools.utilities.parser import BaseModel, parse
from aws_lambda_powertools.utilities.parser.models import CloudWatchLogsModel
from isal import isal_zlib
from pydantic import Field

from benchmarks.mixes import Event
from benchmarks.processor import Processor

NAMESPACE = "Bedrock/Quotas"

Contender = Callable[[Event], str | None]
"""Takes an event, and returns its output, or None if it has none."""

# The floor shares no code with the product, so it stays the same when the product becomes faster.


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
    """Do only what every way must: the fastest known base64 and inflate, and one typed pass over each record."""
    inflated = isal_zlib.decompress(pybase64.b64decode(event["awslogs"]["data"], validate=True), 31)
    for log_event in _delivery_decoder.decode(inflated).log_events:
        _record_decoder.decode(log_event.message)


Tokens = tuple[int, int, int, int]
"""Reserved, consumed, output and requested tokens of a call."""

Group = tuple[str, str, str]
"""Minute, model and caller."""

MOST_VALUES = 100
"""The most values of a metric in one document of the format."""


def _grouped(calls: Iterator[tuple[str, str, str, Tokens]]) -> Iterator[tuple[Group, Sequence[Tokens]]]:
    """Group calls by minute, model and role, at most a hundred in a group."""
    groups: dict[Group, list[Tokens]] = {}
    for started, model, arn, tokens in calls:
        groups.setdefault((started[:16], model, arn.split("/")[1]), []).append(tokens)
    for group, found in groups.items():
        for start in range(0, len(found), MOST_VALUES):
            yield group, found[start : start + MOST_VALUES]


def _milliseconds(minute: str) -> int:
    return int(datetime.fromisoformat(minute + "+00:00").timestamp()) * 1000


def stdlib_only(event: Event) -> str:
    """Do the same job with the standard library: gzip, json, and one line of arrays per minute, model and role."""
    payload = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
    records = (json.loads(log_event["message"]) for log_event in payload["logEvents"])
    written = io.StringIO()
    for (minute, model, caller), calls in _grouped(
        (record["timestamp"], record["modelId"], record["identity"]["arn"], _tokens(record)) for record in records
    ):
        reserved, consumed, output, limits = zip(*calls, strict=True)
        metrics = {"ReservedTokens": reserved, "ConsumedTokens": consumed, "OutputTokens": output, "MaxTokens": limits}
        directive = {
            "Namespace": NAMESPACE,
            "Dimensions": [["ModelId", "EndpointType"]],
            "Metrics": [{"Name": name, "Unit": "Count"} for name in metrics],
        }
        line = {"_aws": {"Timestamp": _milliseconds(minute), "CloudWatchMetrics": [directive]}, **metrics}
        print(json.dumps({**line, "ModelId": model, "EndpointType": "regional", "caller": caller}), file=written)
    return written.getvalue()


def _tokens(record: Mapping[str, Any]) -> Tokens:
    """Return the tokens of a call in the simplest way."""
    given, body = record["input"], record["input"].get("inputBodyJson") or {}
    limit = (body.get("inferenceConfig") or {}).get("maxTokens") or body.get("max_tokens") or 4096
    base = given.get("inputTokenCount", 0) + given.get("cacheWriteInputTokenCount", 0)
    output = record["output"].get("outputTokenCount", 0)
    return base + limit, base + 5 * output, output, limit


def _publish(minute: str, model: str, caller: str, calls: Sequence[Tokens]) -> None:
    """Write one metric document: Powertools keeps one timestamp and one set of dimensions in each."""
    metrics = EphemeralMetrics(namespace=NAMESPACE)
    metrics.add_dimension("ModelId", model)
    metrics.add_dimension("EndpointType", "regional")
    metrics.add_metadata("caller", caller)
    metrics.set_timestamp(_milliseconds(minute))
    for reserved, consumed, output, limit in calls:
        metrics.add_metric("ReservedTokens", unit="Count", value=reserved)
        metrics.add_metric("ConsumedTokens", unit="Count", value=consumed)
        metrics.add_metric("OutputTokens", unit="Count", value=output)
        metrics.add_metric("MaxTokens", unit="Count", value=limit)
    metrics.flush_metrics()


def powertools_grouped(event: Event) -> str:
    """Do the same job with Powertools at its best: its data class, json, and one document of arrays per group."""
    log_events = CloudWatchLogsEvent(event).parse_logs_data().log_events
    records = (json.loads(log_event.message) for log_event in log_events)
    with redirect_stdout(io.StringIO()) as written:
        for (minute, model, caller), calls in _grouped(
            (record["timestamp"], record["modelId"], record["identity"]["arn"], _tokens(record)) for record in records
        ):
            # Powertools writes by itself when one metric has a hundred values, before the others have them
            for few in (calls[: MOST_VALUES - 1], calls[MOST_VALUES - 1 :]):
                if few:
                    _publish(minute, model, caller, few)
    return written.getvalue()


def powertools_data_classes(event: Event) -> str:
    """Do the same job the usual way: Powertools' data class, json, and one metric document per record."""
    with redirect_stdout(io.StringIO()) as written:
        for log_event in CloudWatchLogsEvent(event).parse_logs_data().log_events:
            record = json.loads(log_event.message)
            _publish(record["timestamp"][:16], record["modelId"], record["identity"]["arn"], [_tokens(record)])
    return written.getvalue()


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


def powertools_parser(event: Event) -> str:
    """Do the same job with Powertools' parser: pydantic models of the event and of each record."""
    with redirect_stdout(io.StringIO()) as written:
        for log_event in parse(event=event, model=CloudWatchLogsModel).awslogs.decoded_data.logEvents:
            record = _ParsedRecord.model_validate_json(str(log_event.message))
            body, base = record.input.body, record.input.tokens + record.input.cache_write
            limit = (body.get("inferenceConfig") or {}).get("maxTokens") or body.get("max_tokens") or 4096
            output = record.output.tokens
            tokens = (base + limit, base + 5 * output, output, limit)
            _publish(f"{record.timestamp:%Y-%m-%dT%H:%M}", record.model, record.identity.arn, [tokens])
    return written.getvalue()


FLOOR, OURS, USUAL, GROUPED = (
    "floor",
    "this project",
    "Powertools data classes + metrics",
    "Powertools, one document per group",
)


def contenders(ours: Processor) -> dict[str, Contender]:
    """Return all contenders by name. `ours` is this project's container."""
    return {
        FLOOR: floor,
        OURS: ours.write,
        "standard library": stdlib_only,
        GROUPED: powertools_grouped,
        USUAL: powertools_data_classes,
        "Powertools parser + metrics": powertools_parser,
    }
