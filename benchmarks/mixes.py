"""Make deliveries of realistic records with the generator of the demo's traffic."""

import base64
import gzip
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from localaws import traffic
from localaws.traffic import LogEvent

Event = dict[str, Any]

RECORDS_PER_TIMING = 300
"""Small deliveries are timed together, so that a timing covers about this many records."""


class Mix(msgspec.Struct, frozen=True):
    """Deliveries of the same `count` records. Each has its own event ids, so none is a duplicate."""

    count: int
    records: list[LogEvent]
    events: list[Event]


def make_delivery(records: Sequence[LogEvent], first_id: int = 0) -> Event:
    """Return the event that CloudWatch Logs would send for these log events. Their ids begin with `first_id`."""
    payload = {
        "messageType": "DATA_MESSAGE",
        "owner": "111122223333",
        "logGroup": "/aws/bedrock/modelinvocations",
        "logStream": traffic.LOG_STREAM,
        "subscriptionFilters": ["bedrock-quota-monitor-metric-processor"],
        "logEvents": [
            {"id": f"{number:056d}", "timestamp": record.timestamp, "message": record.message}
            for number, record in enumerate(records, first_id)
        ],
    }
    return {"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(payload).encode())).decode()}}


def mix(make: Callable[[int, datetime], list[LogEvent]], count: int) -> Mix:
    """Return enough deliveries of `count` records each for one timing."""
    records = make(count, datetime.now(UTC).replace(second=45))
    firsts = range(0, max(count, RECORDS_PER_TIMING // count * count), count)
    return Mix(count, records, [make_delivery(records, first) for first in firsts])


def all_mixes() -> dict[str, Mix]:
    """Return the mixes by name."""
    return {
        "1,000 chat records of 1.9 KB": mix(traffic.chat, 1000),
        "300 mixed, median 6 KB": mix(traffic.mixed, 300),
        "100 agent turns of 60-100 KB": mix(traffic.agent, 100),
        "10 chat records": mix(traffic.chat, 10),
        "1 chat record": mix(traffic.chat, 1),
    }
