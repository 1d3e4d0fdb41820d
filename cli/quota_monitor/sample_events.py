"""`quota-monitor events`: write sample events for `sam local invoke`, made from readable records."""

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from quota_monitor.deployment.checkout import find_checkout

RECORDED_AT = datetime(2026, 11, 20, 9, 16, 30, tzinfo=UTC)
"""Time at which the records of `events/records` reached CloudWatch Logs."""

LOG_GROUP = "/aws/bedrock/modelinvocations"

STREAM = "arn:aws:kinesis:us-east-1:111122223333:stream/bedrock-quota-monitor-invocation-logs"

FIRST_SEQUENCE_NUMBER = 49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898
"""A number as long as those of Kinesis."""


def delivery(messages: Sequence[str], message_type: str = "DATA_MESSAGE") -> dict[str, Any]:
    """Return the event that CloudWatch Logs sends to a subscribed function for these log events.

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
    """Return the event that Lambda sends to a function that reads a Kinesis stream with these deliveries.

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
    """Return an id of 56 digits, as CloudWatch Logs gives to each log event."""
    return str(int(hashlib.sha256(f"{index} {message}".encode()).hexdigest(), 16))[:56].zfill(56)


def read_messages(path: Path) -> list[str]:
    """Read the messages of a file of readable records: texts unchanged, records as JSON."""
    return [
        each if isinstance(each, str) else json.dumps(each, separators=(",", ":"))
        for each in json.loads(path.read_text())
    ]


def make_events(checkout: Path) -> dict[Path, dict[str, Any]]:
    """Return every event of `events/metric_processor` by its path."""
    records = sorted((checkout / "events" / "records").glob("*.json"))
    deliveries = checkout / "events" / "metric_processor"
    made = {deliveries / path.name: delivery(read_messages(path)) for path in records}
    made[deliveries / "control-message.json"] = delivery(
        ["CWL CONTROL MESSAGE: Checking health of destination Lambda."], "CONTROL_MESSAGE"
    )
    made[deliveries / "kinesis-batch.json"] = batch([delivery(read_messages(path)) for path in records])
    return made


@click.command()
def events() -> None:
    """Rebuild the sample events in events/metric_processor/.

    They are made from the records in events/records/.
    """
    checkout = find_checkout()
    for path, event in make_events(checkout).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(event, indent=2) + "\n")
        click.echo(f"{path.relative_to(checkout)}")
