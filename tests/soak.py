"""The soak's deliveries: any number of records of all fates, hostile ones too, and what must come of each.

Everything is drawn from a seed and made as it is asked for, so that a million records need no memory.
"""

import base64
import gzip
import json
import math
import random
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from oracle import Bodies
from random_records import LATENCIES, draw_answer, draw_words

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
OPTIMIZED = ("us.meta.llama3-1-70b-instruct-v1:0", "us.amazon.nova-pro-v1:0+latency-optimized")
"""Models with a latency-optimized quota. Calls of each count in two pools, by the latency that served them."""
PROVISIONED = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:provisioned-model/abc123def456"

EMBEDDING = "amazon.titan-embed-text-v2:0"
"""Its calls reserve nothing for output, so their bodies in S3 are not read."""

BACKLOG_HOURS = 6
BACKLOG_MODELS = ("amazon.nova-pro-v1:0", "us.anthropic.claude-opus-4-6-v1", "mistral.mistral-small-2402-v1:0")
"""Models that only the calls of the backlog use."""

HOSTILE = 0.01
"""The share of each kind of hostile record."""
LARGE_EVERY = 40
"""Deliveries of which one holds records of 100 KB to 1 MB."""
STORM_EVERY, STORM = 100, 300
"""Deliveries of which one holds so many calls of application profiles that do not exist, half of them failed."""

ANSWERED, WORDED, LATENCY_BESIDE, DECLARED = 0.2, 0.1, 0.05, 0.1
"""Shares of the calls: with an answer, words in the request, a latency beside the bodies, and a declared limit."""
DECLARED_LIMITS = ("2000", "300", "1", "0", "many", "100000001", "-5", " 7", "٣")

IN_S3 = 0.2
"""The share of calls whose request is in S3, where the deliveries have such calls."""
COMES_AFTER = (0, 30, 90, math.inf)
"""Seconds after the record in which a request comes to S3, some never."""

DUPLICATES, BROKEN, TOO_OLD, FAILED, OUT_OF_SCOPE, WITHOUT_BODY = 0.05, 0.01, 0.01, 0.01, 0.01, 0.02
LARGEST = 2_000
"""Records in the largest delivery; sizes are spread evenly over the orders of magnitude from 1."""
LARGEST_IN_S3 = 200
"""The same where requests are in S3: few enough to be put there within a second on a busy machine."""

REPEATED_WITHIN = 3
"""A record comes again in one of so many next deliveries: within what one container remembers."""


PRICED = "priced"
"""The fate of a call that the oracle has to judge: it is processed, or out of scope because of its tier."""


@dataclass(frozen=True)
class Shipment:
    """One delivery: the event, the records of it that must be summed up, once, and the requests of those in S3."""

    event: dict[str, Any]
    size: int
    counted: tuple[dict[str, Any], ...]
    fates: Counter[str]
    again: bool = False
    bodies: Bodies = field(default_factory=dict)


def shipments(records: int, start: datetime, seed: int, bucket: str = "") -> Iterator[Shipment]:
    """Yield deliveries of so many records in all, calls of five minutes from `start` on in any order.

    One in twenty records comes twice: half of them in a delivery that comes again whole, half of them alone.

    With a `bucket`, some requests are there instead of in the log. No record then comes again alone, because a queue
    that is read at the same time takes a second container, and a container knows only its own records.
    """
    draw = random.Random(seed)
    recent: deque[Shipment] = deque(maxlen=REPEATED_WITHIN)
    repeated: list[tuple[str, str]] = []
    alone: set[str] = set()
    number, (kind, largest) = 0, ("s", LARGEST_IN_S3) if bucket else ("0", LARGEST)
    while number < records:
        size = min(round(largest ** draw.random()), records - number)
        if recent and draw.random() < DUPLICATES / 2:
            yield _again(draw.choice(recent))
            continue
        entries: list[tuple[str, str]] = []
        counted: list[dict[str, Any]] = []
        fates: Counter[str] = Counter()
        bodies: dict[str, tuple[float, Mapping[str, Any] | None]] = {}
        while len(entries) < size:
            number += 1
            if repeated and not bucket and draw.random() < DUPLICATES / 2:
                entries.append(repeated.pop())
                fates["ignored"] += 1
                continue
            event_id = f"{kind}{number:055d}"
            fate, record = _record(draw, number, start)
            if fate == PRICED and isinstance(record, dict):
                if bucket and draw.random() < IN_S3:
                    record = _move_request(draw, record, f"s3://{bucket}/AWSLogs/soak/{number}.json.gz", bodies)
                counted.append(record)
            message = record if isinstance(record, str) else json.dumps(record)
            entries.append((event_id, message))
            fates[fate] += 1
        for fate, message in _attacks(draw, number, start):
            number += 1
            entries.append((f"{kind}{number:055d}", message))
            fates[fate] += 1
        draw.shuffle(entries)
        if len(entries) == 1 and entries[0][0] in alone:  # the repeated record came alone before: the same delivery
            yield Shipment(_event(entries), 1, (), Counter(), again=True)
            continue
        alone.update(event_id for event_id, _ in entries if len(entries) == 1)
        shipment = Shipment(_event(entries), len(entries), tuple(counted), fates, bodies=bodies)
        repeated = draw.sample(entries, min(len(entries), 40))
        recent.append(shipment)
        yield shipment


def backlog(records: int, end: datetime, seed: int) -> Iterator[Shipment]:
    """Yield deliveries of 10 good calls each, from `BACKLOG_HOURS` before `end` on, as a stream has after an outage."""
    draw = random.Random(seed)
    count = -(-records // 10)
    for delivery in range(count):
        start = end - timedelta(hours=BACKLOG_HOURS) * (1 - delivery / count)
        counted = [
            {**_call(draw, 10**11 + 10 * delivery + each, start, seconds=30), "modelId": draw.choice(BACKLOG_MODELS)}
            for each in range(10)
        ]
        entries = [(f"b{10 * delivery + each:055d}", json.dumps(record)) for each, record in enumerate(counted)]
        yield Shipment(_event(entries), len(entries), tuple(counted), Counter({PRICED: len(counted)}))


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
        (WITHOUT_BODY, PRICED, _without_body),
        (HOSTILE, "failed", _colons),
        (HOSTILE, "rejected", _crowded_answer),
        (HOSTILE, "rejected", _deep),
        (HOSTILE, PRICED, _embedding_in_s3),
        (HOSTILE, "out_of_scope", _out_of_scope_in_s3),
        (HOSTILE, "failed", _failed_with_missing_profile),
        (HOSTILE, "out_of_scope", _unreadable_model),
        (HOSTILE, PRICED, _odd_words),
    ):
        if fate < share:
            return word, spoil(draw, record)
        fate -= share
    return PRICED, record


def _attacks(draw: random.Random, number: int, start: datetime) -> Iterator[tuple[str, str]]:
    """Yield further records of a few deliveries: large records, and storms of missing profiles."""
    if draw.randrange(LARGE_EVERY) == 0:
        for chunk, size in (("{}", 1_000_000), ("[[[[[[[[]]]]]]]]", 1_000_000), ('{"usage":{}}', 500_000)):
            bomb = json.dumps({**_call(draw, number, start), "input": {}, "output": {"outputBodyJson": ["@"]}})
            yield "rejected", bomb.replace('"@"', ",".join([chunk] * (size // (len(chunk) + 1))))
    if draw.randrange(STORM_EVERY) == 0:
        for each in range(STORM):
            call = _call(draw, number, start)
            if each % 2:
                yield "failed", json.dumps(_failed_with_missing_profile(draw, call))
            else:
                yield "out_of_scope", json.dumps({**call, "modelId": _missing_profile(draw)})


def _missing_profile(draw: random.Random) -> str:
    return f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/{draw.randrange(36**8):012x}"


def _call(draw: random.Random, number: int, start: datetime, seconds: int = 60 * MINUTES) -> dict[str, Any]:
    moment = start + timedelta(seconds=draw.randrange(seconds))
    body: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": SECRET}]}]}
    if draw.random() < 0.9:
        body["inferenceConfig"] = {"maxTokens": draw.choice((256, 1_024, 4_096))}
    if draw.random() < WORDED:
        body |= draw_words(draw, 0.5)
    output: dict[str, Any] = {"outputContentType": "application/json", "outputTokenCount": draw.choice((1, 90, 250))}
    if draw.random() < ANSWERED:
        output["outputBodyJson"] = draw_answer(draw)
    beside: dict[str, Any] = {}
    if draw.random() < LATENCY_BESIDE:
        beside["performanceConfig"] = {"latency": draw.choice(LATENCIES)}
    if draw.random() < DECLARED:
        beside["requestMetadata"] = {"max_tokens": draw.choice(DECLARED_LIMITS)}
    return {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "timestamp": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        "accountId": ACCOUNT,
        "region": "us-east-1",
        "requestId": f"00000000-0000-4000-8000-{number:012d}",
        "operation": "Converse",
        "modelId": draw.choice((*MODELS, *OPTIMIZED)),
        "identity": {"arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/app-{draw.randrange(3)}/session"},
        "input": {
            "inputContentType": "application/json",
            "inputBodyJson": body,
            "inputTokenCount": draw.choice((20, 200, 2_000)),
            "cacheReadInputTokenCount": draw.choice((0, 5_000)),
            "cacheWriteInputTokenCount": draw.choice((0, 300)),
        },
        "output": output,
        **beside,
    }


def _move_request(
    draw: random.Random,
    record: dict[str, Any],
    path: str,
    bodies: dict[str, tuple[float, Mapping[str, Any] | None]],
) -> dict[str, Any]:
    """Return a call whose request is in S3, and add the request to `bodies`. A few are unreadable, or elsewhere."""
    given = dict(record["input"])
    request = given.pop("inputBodyJson", None)
    if request is None:
        return record
    place = draw.random()
    if place < 0.02:
        path = f"s3://elsewhere/{draw.randrange(10**9)}"
    elif place < 0.04:
        bodies[path] = (0, None)
    else:
        bodies[path] = (draw.choice(COMES_AFTER), request)
    return {**record, "input": {**given, "inputBodyS3Path": path}}


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


def _without_body(draw: random.Random, record: dict[str, Any]) -> dict[str, Any]:
    """Return a call without its request. Half of them declare a limit."""
    given = {name: value for name, value in record["input"].items() if name != "inputBodyJson"}
    declared = {"requestMetadata": {"max_tokens": draw.choice(DECLARED_LIMITS)}} if draw.random() < 0.5 else {}
    return {**record, **declared, "input": given}


def _odd_words(draw: random.Random, record: dict[str, Any]) -> dict[str, Any]:
    """Return a call whose tier and latency have wrong types everywhere, or a tier that nobody knows."""
    odd = draw.choice((7, [], ["reserved"], {"type": 7}, {"type": ["reserved"]}, {"latency": {}}, True, None))
    words: dict[str, Any] = {"serviceTier": odd, "service_tier": odd, "performanceConfig": odd}
    if draw.random() < 0.5:
        words = {"service_tier": f"tier-{draw.randrange(10**6)}"}
    limits = {name: value for name, value in record["input"]["inputBodyJson"].items() if name == "inferenceConfig"}
    answer = draw.choice((words, [{"delta": "x"}, words], {"metadata": words}))
    return {
        **record,
        "performanceConfig": odd,
        "input": {**record["input"], "inputBodyJson": {**limits, **words}},
        "output": {**record["output"], "outputBodyJson": answer},
    }


def _colons(draw: random.Random, record: dict[str, Any]) -> dict[str, Any]:
    """Return a failed call of a model id that is nearly all colons."""
    return {**_failed(draw, record), "modelId": f"anthropic.a{':' * 235}{draw.randrange(10**6)}"}


def _crowded_answer(draw: random.Random, record: dict[str, Any]) -> dict[str, Any]:
    """Return a call without counts, whose answer has thousands of places where one could be."""
    chunk = draw.choice(({}, [], {"usage": {}}, {"usage": 0}, {"message": {"usage": {}}}))
    return {**record, "input": {}, "output": {"outputBodyJson": [chunk] * draw.choice((10, 1_000))}}


def _deep(draw: random.Random, record: dict[str, Any]) -> str:
    """Return a call without counts, with an answer that is nested too deeply."""
    depth = draw.choice((101, 1_000, 90_000))
    written = json.dumps({**record, "input": {}, "output": {"outputBodyJson": "@"}})
    return written.replace('"@"', "[" * depth + "]" * depth)


def _embedding_in_s3(draw: random.Random, record: dict[str, Any]) -> dict[str, Any]:
    given = {"inputTokenCount": 50, "inputBodyS3Path": f"s3://soak/{draw.randrange(10**9)}"}
    return {**record, "modelId": EMBEDDING, "operation": "InvokeModel", "input": given, "output": {}}


def _out_of_scope_in_s3(draw: random.Random, record: dict[str, Any]) -> dict[str, Any]:
    return {**_embedding_in_s3(draw, record), "modelId": PROVISIONED}


def _failed_with_missing_profile(draw: random.Random, record: dict[str, Any]) -> dict[str, Any]:
    return {**_failed(draw, record), "modelId": _missing_profile(draw)}


def _unreadable_model(draw: random.Random, record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "modelId": draw.choice(("", "us.", "a" * 2_000, "\x00", f"arn:aws:bedrock:::{SECRET}"))}


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
