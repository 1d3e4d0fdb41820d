"""The soak's deliveries: any number of records of all fates, and what must come of them, record by record.

Everything is drawn from a seed and made as it is asked for, so that a million records need no memory.
"""

import base64
import gzip
import json
import random
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

MINUTES = 5
ACCOUNT = "111122223333"
SECRET = "soak-secret-5-plums"

MODELS = (
    "us.anthropic.claude-sonnet-4-6",
    "global.anthropic.claude-opus-4-6-v1",
    f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/eu.anthropic.claude-haiku-4-5-20251001-v1:0",
    "amazon.nova-lite-v1:0",
    "arn:aws:bedrock:us-east-1::foundation-model/mistral.mistral-large-2402-v1:0",
    "us.meta.llama3-3-70b-instruct-v1:0",
    "newcomer.model-9",
)
PROVISIONED = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:provisioned-model/abc123def456"

DUPLICATES, BROKEN, TOO_OLD, FAILED, OUT_OF_SCOPE, WITHOUT_BODY = 0.05, 0.01, 0.01, 0.01, 0.01, 0.02
LARGEST = 2_000
"""Records in the largest delivery; sizes are spread evenly over the orders of magnitude from 1."""

REPEATED_WITHIN = 3
"""A record comes again in one of so many next deliveries: within what one container remembers."""


@dataclass(frozen=True)
class Shipment:
    """One delivery: the event, and the records of it that must be summed up, once."""

    event: dict[str, Any]
    size: int
    counted: tuple[dict[str, Any], ...]
    fates: Counter[str]
    again: bool = False


def shipments(records: int, start: datetime, seed: int) -> Iterator[Shipment]:
    """Yield deliveries of so many records in all, calls of five minutes from `start` on in any order.

    One in twenty records comes twice: half of them in a delivery that comes again whole, half of them alone.
    """
    draw = random.Random(seed)
    recent: deque[Shipment] = deque(maxlen=REPEATED_WITHIN)
    repeated: list[tuple[str, str]] = []
    alone: set[str] = set()
    number = 0
    while number < records:
        size = min(round(LARGEST ** draw.random()), records - number)
        if recent and draw.random() < DUPLICATES / 2:
            yield _again(draw.choice(recent))
            continue
        entries: list[tuple[str, str]] = []
        counted: list[dict[str, Any]] = []
        fates: Counter[str] = Counter()
        while len(entries) < size:
            number += 1
            if repeated and draw.random() < DUPLICATES / 2:
                entries.append(repeated.pop())
                fates["ignored"] += 1
                continue
            event_id = f"{number:056d}"
            fate, record = _record(draw, number, start)
            message = record if isinstance(record, str) else json.dumps(record)
            entries.append((event_id, message))
            fates[fate] += 1
            if fate == "processed" and isinstance(record, dict):
                counted.append(record)
        draw.shuffle(entries)
        if len(entries) == 1 and entries[0][0] in alone:  # the repeated record came alone before: the same delivery
            yield Shipment(_event(entries), 1, (), Counter(), again=True)
            continue
        alone.update(event_id for event_id, _ in entries if len(entries) == 1)
        shipment = Shipment(_event(entries), len(entries), tuple(counted), fates)
        repeated = draw.sample(entries, min(len(entries), 40))
        recent.append(shipment)
        yield shipment


def _again(shipment: Shipment) -> Shipment:
    return Shipment(shipment.event, shipment.size, (), Counter(), again=True)


def _record(draw: random.Random, number: int, start: datetime) -> tuple[str, dict[str, Any] | str]:
    """Return what must become of a record, and the record."""
    record = _call(draw, number, start)
    fate = draw.random()
    for share, word, spoil in (
        (BROKEN, "rejected", _broken),
        (TOO_OLD, "rejected", _too_old),
        (FAILED, "failed", _failed),
        (OUT_OF_SCOPE, "out_of_scope", _provisioned),
        (WITHOUT_BODY, "processed", _without_body),
    ):
        if fate < share:
            return word, spoil(draw, record)
        fate -= share
    return "processed", record


def _call(draw: random.Random, number: int, start: datetime) -> dict[str, Any]:
    moment = start + timedelta(seconds=draw.randrange(60 * MINUTES))
    body: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": SECRET}]}]}
    if draw.random() < 0.9:
        body["inferenceConfig"] = {"maxTokens": draw.choice((256, 1_024, 4_096))}
    return {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "timestamp": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        "accountId": ACCOUNT,
        "region": "us-east-1",
        "requestId": f"00000000-0000-4000-8000-{number:012d}",
        "operation": "Converse",
        "modelId": draw.choice(MODELS),
        "identity": {"arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/app-{draw.randrange(3)}/session"},
        "input": {
            "inputContentType": "application/json",
            "inputBodyJson": body,
            "inputTokenCount": draw.choice((20, 200, 2_000)),
            "cacheReadInputTokenCount": draw.choice((0, 5_000)),
            "cacheWriteInputTokenCount": draw.choice((0, 300)),
        },
        "output": {"outputContentType": "application/json", "outputTokenCount": draw.choice((1, 90, 250))},
    }


def _broken(draw: random.Random, record: dict[str, Any]) -> str | dict[str, Any]:
    """Return one of the ways in which a record is no use."""
    whole = json.dumps(record)
    return draw.choice(
        (
            whole[: draw.randrange(1, len(whole))],
            whole.replace('"inputTokenCount": ', '"inputTokenCount": -'),
            whole.replace('"timestamp": "', '"timestamp": "at '),
            {**record, "modelId": 7},
            {**record, "output": [SECRET]},
            {name: value for name, value in record.items() if name != "timestamp"},
            SECRET,
            "[]",
        )
    )


def _too_old(draw: random.Random, record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "timestamp": f"20{draw.randint(10, 25)}-03-01T00:00:00Z"}


def _failed(draw: random.Random, record: dict[str, Any]) -> dict[str, Any]:
    code = draw.choice(("ThrottlingException", "ValidationException"))
    return {**record, "errorCode": code, "input": {}, "output": {}}


def _provisioned(_draw: random.Random, record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "modelId": PROVISIONED}


def _without_body(_draw: random.Random, record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "input": {name: value for name, value in record["input"].items() if name != "inputBodyJson"}}


def _event(entries: list[tuple[str, str]]) -> dict[str, Any]:
    payload = {
        "messageType": "DATA_MESSAGE",
        "owner": ACCOUNT,
        "logGroup": "/aws/bedrock/modelinvocations",
        "logStream": "aws/bedrock/modelinvocations",
        "subscriptionFilters": ["soak"],
        "logEvents": [{"id": event_id, "timestamp": 0, "message": message} for event_id, message in entries],
    }
    return {"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(payload).encode(), 1)).decode()}}
