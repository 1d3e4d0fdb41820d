"""The mixes: deliveries of realistic records, from the same generator as the demo's traffic."""

import base64
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from localaws import traffic
from localaws.traffic import LogEvent


def delivery_of(events: list[LogEvent]) -> dict[str, Any]:
    """Return the event that CloudWatch Logs would send for these log events."""
    payload = {
        "messageType": "DATA_MESSAGE",
        "owner": "111122223333",
        "logGroup": "/aws/bedrock/modelinvocations",
        "logStream": traffic.LOG_STREAM,
        "subscriptionFilters": ["bedrock-quota-monitor-metric-processor"],
        "logEvents": [
            {"id": str(number), "timestamp": event.timestamp, "message": event.message}
            for number, event in enumerate(events)
        ],
    }
    return {"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(payload).encode())).decode()}}


def _mix(make: Callable[[int, datetime], list[LogEvent]], count: int) -> tuple[int, dict[str, Any]]:
    return count, delivery_of(make(count, datetime.now(UTC).replace(second=45)))


def all_mixes() -> dict[str, tuple[int, dict[str, Any]]]:
    """Return, by name, how many records each mix has, and its event."""
    return {
        "1,000 chat records of 1.9 KB": _mix(traffic.chat, 1000),
        "300 mixed, median 6 KB": _mix(traffic.mixed, 300),
        "100 agent turns of 60-100 KB": _mix(traffic.agent, 100),
        "10 chat records": _mix(traffic.chat, 10),
        "1 chat record": _mix(traffic.chat, 1),
    }
