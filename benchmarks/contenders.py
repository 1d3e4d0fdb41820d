"""The contenders: ways to turn one delivery into metric lines, all of the same event."""

import base64
import gzip
import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import isal.isal_zlib
import msgspec
from aws_lambda_powertools.metrics import single_metric
from aws_lambda_powertools.utilities.data_classes import CloudWatchLogsEvent

from bedrock_quota import delivery, processing
from bedrock_quota.accounts import Accounts
from bedrock_quota.profiles import UNRESOLVED
from bedrock_quota.records import Record
from bedrock_quota.registry import read_sources

NAMESPACE = "Bedrock/Quotas"

Event = dict[str, Any]

_ACCOUNTS = Accounts(
    read_sources(Path(__file__).parents[1] / "registry" / "models"), resolve_profile=lambda _profile: UNRESOLVED
)


def ours(event: Event) -> bytes:
    """Run the processor's own way from event to lines."""
    outcome = processing.process(
        delivery.decode(event), _ACCOUNTS, quotas=None, namespace=NAMESPACE, now=datetime.now(UTC)
    )
    return b"\n".join(outcome.lines)


class _LogEvent(msgspec.Struct, frozen=True):
    message: str
    id: str = ""
    timestamp: int = 0


class _Delivery(msgspec.Struct, frozen=True, rename="camel"):
    message_type: str
    log_events: tuple[_LogEvent, ...]


_delivery_decoder = msgspec.json.Decoder(_Delivery)
_record_decoder = msgspec.json.Decoder(Record)


def floor(event: Event) -> bytes:
    """Do the least that any way must: base64, the fastest inflate, one typed pass over each record."""
    inflated = isal.isal_zlib.decompress(base64.b64decode(event["awslogs"]["data"]), 31)
    for log_event in _delivery_decoder.decode(inflated).log_events:
        _record_decoder.decode(log_event.message)
    return b""


def gunzip_and_json(event: Event) -> bytes:
    """Gunzip and parse with the standard library, and do nothing with it."""
    payload = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
    for log_event in payload["logEvents"]:
        json.loads(log_event["message"])
    return b""


def powertools(event: Event) -> bytes:
    """Do the same job the usual way: Powertools' data class, json, and one metric document a record."""
    written = io.StringIO()
    with redirect_stdout(written):
        for log_event in CloudWatchLogsEvent(event).parse_logs_data().log_events:
            record = json.loads(log_event.message)
            given, body = record["input"], record["input"].get("inputBodyJson") or {}
            limit = (body.get("inferenceConfig") or {}).get("maxTokens") or body.get("max_tokens") or 4096
            base = given.get("inputTokenCount", 0) + given.get("cacheWriteInputTokenCount", 0)
            output = record["output"].get("outputTokenCount", 0)
            with single_metric("ReservedTokens", unit="Count", value=base + limit, namespace=NAMESPACE) as metric:
                metric.add_dimension("ModelId", record["modelId"])
                metric.add_dimension("EndpointType", "regional")
                metric.add_metric("ConsumedTokens", unit="Count", value=base + 5 * output)
                metric.add_metric("OutputTokens", unit="Count", value=output)
                metric.add_metric("MaxTokens", unit="Count", value=limit)
                metric.add_metadata("caller", record["identity"]["arn"])
    return written.getvalue().encode()


CONTENDERS: dict[str, Callable[[Event], bytes]] = {
    "floor: base64 + isal + one typed pass": floor,
    "this project": ours,
    "gunzip + json, nothing done": gunzip_and_json,
    "Powertools data class + metrics": powertools,
}
