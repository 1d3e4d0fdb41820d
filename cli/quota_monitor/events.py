"""`quota-monitor events`: ready events for `sam local invoke`, made from readable records."""

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from quota_monitor.checkout import ROOT

RECORDS = ROOT / "events" / "records"
DELIVERIES = ROOT / "events" / "metric_processor"

RECORDED_AT = datetime(2026, 11, 20, 9, 16, 30, tzinfo=UTC)
"""When the records of `events/records` reached CloudWatch Logs."""

LOG_GROUP = "/aws/bedrock/modelinvocations"

STREAM = "arn:aws:kinesis:us-east-1:111122223333:stream/bedrock-quota-monitor-invocation-logs"

FIRST_SEQUENCE_NUMBER = 49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898
"""As long as those that Kinesis gives."""


def delivery(messages: Sequence[str], message_type: str = "DATA_MESSAGE") -> dict[str, Any]:
    """Return what CloudWatch Logs sends a subscribed function for these log events.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html (read 2026-11-23).
    """
    millis = int(RECORDED_AT.timestamp() * 1000)
    payload = {
        "messageType": message_type,
        "owner": "111122223333",
        "logGroup": LOG_GROUP,
        "logStream": "aws/bedrock/modelinvocations",
        "subscriptionFilters": ["bedrock-quota-monitor-metric-processor"],
        "logEvents": [
            {"id": _id_of(index, message), "timestamp": millis + index, "message": message}
            for index, message in enumerate(messages)
        ],
    }
    packed = gzip.compress(json.dumps(payload, separators=(",", ":")).encode(), mtime=0)
    return {"awslogs": {"data": base64.b64encode(packed).decode()}}


def batch(deliveries: Sequence[dict[str, Any]], stream: str = STREAM) -> dict[str, Any]:
    """Return what Lambda hands a function that reads a Kinesis stream into which CloudWatch Logs puts these deliveries.

    https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html (read 2026-11-24).
    """
    return {"Records": [_record(index, each["awslogs"]["data"], stream) for index, each in enumerate(deliveries)]}


def _record(index: int, data: str, stream: str) -> dict[str, Any]:
    number = str(FIRST_SEQUENCE_NUMBER + index)
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": hashlib.sha256(number.encode()).hexdigest()[:32],
            "sequenceNumber": number,
            "data": data,
            "approximateArrivalTimestamp": RECORDED_AT.timestamp() + index / 1000,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"shardId-000000000000:{number}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::111122223333:role/bedrock-quota-monitor-processor",
        "awsRegion": "us-east-1",
        "eventSourceARN": stream,
    }


def _id_of(index: int, message: str) -> str:
    """Return an id of 56 digits, as CloudWatch Logs gives each log event one of its own."""
    return str(int(hashlib.sha256(f"{index} {message}".encode()).hexdigest(), 16))[:56].zfill(56)


def messages_of(path: Path) -> list[str]:
    """Return the messages a file of readable records stands for: texts as they are, records as JSON."""
    return [
        each if isinstance(each, str) else json.dumps(each, separators=(",", ":"))
        for each in json.loads(path.read_text())
    ]


def deliveries() -> dict[Path, dict[str, Any]]:
    """Return every event of `events/metric_processor` by the path it belongs at."""
    made = {DELIVERIES / path.name: delivery(messages_of(path)) for path in sorted(RECORDS.glob("*.json"))}
    made[DELIVERIES / "control-message.json"] = delivery(
        ["CWL CONTROL MESSAGE: Checking health of destination Lambda."], "CONTROL_MESSAGE"
    )
    made[DELIVERIES / "kinesis-batch.json"] = batch(
        [delivery(messages_of(path)) for path in sorted(RECORDS.glob("*.json"))]
    )
    return made


@click.command()
def events() -> None:
    """Rebuild events/metric_processor/ from events/records/."""
    for path, event in deliveries().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(event, indent=2) + "\n")
        click.echo(f"{path.relative_to(ROOT)}")
