"""Measure the CPU of the worst deliveries that are accepted: `python -m benchmarks.cpu`, which `make cpu` runs.

With `--lambda` each delivery runs under Lambda's own Runtime Interface Emulator, held to the CPU of a small function.
"""

import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import msgspec
from rich.console import Console
from rich.table import Table

from bedrock_quota.model_ids import UNRESOLVED
from bedrock_quota.processor import pipeline
from bedrock_quota.processor.delivery import MAX_INFLATED_BYTES, MAX_LOG_EVENTS, decode_delivery
from bedrock_quota.processor.pipeline import make_lines, price_delivery
from bedrock_quota.processor.step_budget import MAX_STEPS_PER_DELIVERY, StepBudget
from bedrock_quota.processor.usage import UsageCalculator
from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.sources import read_sources
from benchmarks import emulated_lambda
from benchmarks.memory import ROOT, TAGS, compress

SIZES = (10_000, 100_000, 600_000)
"""Bytes of a record: Bedrock logs bodies of up to 100 KB, and CloudWatch Logs takes log events of up to 1 MB."""

SAMPLED, WORST = 8, 12

SHARE = 256 / 1769
"""The share of one processor that a function with 256 MB has."""

MODEL = "amazon.titan-text-express-v1"

CHUNKS = {
    "empty objects": "{}",
    "empty lists": "[]",
    "zeros": "0",
    "empty texts": '""',
    "objects without counts": '{"":0}',
    "stop reasons": '{"stopReason":0}',
    "empty usages": '{"usage":{}}',
    "usages of null": '{"usage":0}',
    "empty metrics": '{"amazon-bedrock-invocationMetrics":{}}',
    "messages": '{"message":{"usage":{}}}',
    "usages of OpenAI": '{"usage":{"prompt_tokens_details":{}}}',
    "all keys, no counts": '{"amazon-bedrock-invocationMetrics":{},"usage":{"prompt_tokens_details":{}},'
    '"message":{"usage":{}},"totalOutputTextTokenCount":null}',
    "counts of Titan": '{"totalOutputTextTokenCount":1}',
    "escapes": r'"\u00e9\u00e9"',
    "long texts": '"' + "x" * 500 + '"',
    "floats": "0.12345678901234567",
    "large integers": "9" * 300,
    "quotes": r'"\""',
    "brackets in a text": '"[[[["',
    "lists in lists": "[[[[[[[[]]]]]]]]",
}
"""Parts of which a list or an object in a record is made."""

PLACES: Mapping[str, dict[str, Any]] = {
    "the answer, no counts": {"input": {"inputBodyJson": {"max_tokens": 5}}, "output": {"outputBodyJson": "@"}},
    "the answer, no output count": {"input": {"inputTokenCount": 1}, "output": {"outputBodyJson": "@"}},
    "the answer, no input count": {"input": {}, "output": {"outputTokenCount": 1, "outputBodyJson": "@"}},
    "the answer, counted": {"input": {"inputTokenCount": 1}, "output": {"outputTokenCount": 1, "outputBodyJson": "@"}},
    "the request, odd count": {
        "input": {"inputTokenCount": "1", "inputBodyJson": {"messages": "@"}},
        "output": {"outputTokenCount": 1},
    },
    "the metadata": {
        "input": {"inputTokenCount": 1},
        "output": {"outputTokenCount": 1},
        "requestMetadata": {"team": "a", "more": "@"},
    },
    "a failed call": {"errorCode": "ThrottlingException", "output": {"outputBodyJson": "@"}},
    "a key that nobody knows": {"input": {}, "output": {}, "other": "@"},
}
"""Places of such a list in a record."""


def write_record(size: int, place: str, chunk: str, *, first: str = "", last: str = "", as_object: bool = False) -> str:
    """Return a record of this many bytes, filled with a chunk at a place. `first` and `last` enclose the chunks."""
    entry = {"timestamp": _now(), "modelId": MODEL, "operation": "InvokeModelWithResponseStream", **PLACES[place]}
    written = json.dumps(entry, separators=(",", ":"))
    members = [f'"{number}":{CHUNKS[chunk]}' for number in range(4)] if as_object else [CHUNKS[chunk]]
    width = sum(map(len, members)) + len(members)
    count = max((size - len(written) - len(first) - len(last)) // width, 0)
    if as_object:
        parts = [f'"{number}":{CHUNKS[chunk]}' for number in range(count * len(members))]
    else:
        parts = [part for part in (first, *[CHUNKS[chunk]] * count, last) if part]
    opened, closed = ("{", "}") if as_object else ("[", "]")
    return written.replace('"@"', opened + ",".join(parts) + closed)


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


COUNTED = '{"usage":{"inputTokens":1,"outputTokens":1}}'


def body_shapes(sizes: tuple[int, ...] = SIZES) -> Iterator[tuple[str, str]]:
    """Yield the name and text of every record that has many parts at one place."""
    for size, place, chunk in itertools.product(sizes, PLACES, CHUNKS):
        yield f"{size:,} bytes, {place}, {chunk}", write_record(size, place, chunk)
    for size, chunk in itertools.product(sizes, CHUNKS):
        yield (
            f"{size:,} bytes, the answer counted in its first chunk, {chunk}",
            write_record(size, "the answer, no counts", chunk, first=COUNTED),
        )
        yield (
            f"{size:,} bytes, the answer counted in its last chunk, {chunk}",
            write_record(size, "the answer, no counts", chunk, last=COUNTED),
        )
        yield (
            f"{size:,} bytes, the answer as one object, {chunk}",
            write_record(size, "the answer, no counts", chunk, as_object=True),
        )


def _small(model_id: str, number: int, **changes: object) -> str:
    entry = {
        "timestamp": _now(),
        "modelId": model_id,
        "input": {"inputTokenCount": 1 + number % 5, "inputBodyJson": {"max_tokens": 1}},
        "output": {"outputTokenCount": 1},
    }
    return json.dumps({**entry, **changes}, separators=(",", ":"))


def _long(prefix: str, filling: str, number: int, length: int = 250) -> str:
    return prefix + filling * ((length - len(prefix)) // len(filling)) + f"{number:05d}"


ARN = "arn:aws:bedrock:us-east-1:111122223333:"
ODD = {"input": {"inputTokenCount": "1", "inputBodyJson": {"max_tokens": 1}}}
"""A count that sends the record to the tolerant reader."""

NAME_SHAPES: Mapping[str, Callable[[int], str]] = {
    "calls, one id each": lambda n: _small(f"anthropic.a{n}", n),
    "calls of ids of 240 colons": lambda n: _small(_long("anthropic.a", ":", n), n),
    "calls of ids of 240 colons, tolerant reader": lambda n: _small(_long("anthropic.a", ":", n), n, **ODD),
    "failed calls of ids of 240 colons": lambda n: _small(_long("anthropic.a", ":", n), n, errorCode="X"),
    "failed calls of ids of 240 colons, cross-Region": lambda n: _small(
        _long("us.anthropic.a", ":", n), n, errorCode="X"
    ),
    "calls of ids of 240 dots": lambda n: _small(_long("us.anthropic.a", ".a", n), n),
    "calls of a model with 240 colons more": lambda n: _small(_long(MODEL, ":", n), n),
    "calls of ids of 2,000 characters": lambda n: _small(_long("us.anthropic.a", "a", n, 2_000), n),
    "calls of ARNs of many colons": lambda n: _small(_long(ARN + "foundation-model/a.b", ":", n, 300), n),
    "calls of ARNs of many slashes": lambda n: _small(_long(ARN + "inference-profile/a.b", "/", n, 300), n),
    "calls of application profiles": lambda n: _small(f"{ARN}application-inference-profile/{n:012d}", n),
    "failed calls of application profiles": lambda n: _small(
        f"{ARN}application-inference-profile/{n:012d}", n, errorCode="X"
    ),
    "calls out of scope": lambda n: _small(f"{ARN}provisioned-model/{n:012d}", n),
    "calls of callers of their own": lambda n: _small(
        MODEL, n, identity={"arn": f"arn:aws:sts::1:assumed-role/{n:0>300}/session"}
    ),
    "calls of callers of accents": lambda n: _small(
        MODEL, n, identity={"arn": "arn:aws:sts::1:assumed-role/" + "\xe9" * 150 + f"{n}/s"}
    ),
    "calls of minutes of their own": lambda n: _small(MODEL, n, timestamp=_minute(n)),
    "calls of minutes and models of their own": lambda n: _small(f"anthropic.a{n}", n, timestamp=_minute(n)),
    "calls with tags of accents": lambda n: _small(
        MODEL, n, requestMetadata={f"tag{key}": chr(0xE0 + key) * 100 + str(n) for key in range(16)}
    ),
    "calls with 16 tags": lambda n: _small(MODEL, n, requestMetadata={f"tag{key}": f"{n:x>60}" for key in range(16)}),
    "failed calls of codes of their own": lambda n: _small(MODEL, n, errorCode=_letters(n)),
    "calls with a time of 32 characters": lambda n: _small(MODEL, n, timestamp=f"{_now()[:-1]}.{n:06d}+00:00"),
    "calls, counts from the answer": lambda n: _small(
        MODEL, n, input={}, output={"outputBodyJson": [{"usage": {"inputTokens": 1, "outputTokens": n}}]}
    ),
    "records that are refused": lambda n: _small(MODEL, n, input={"inputTokenCount": -1}),
    "empty log events": lambda _n: "",
    "log events of one bracket": lambda _n: "[",
    "permissions lines": lambda _n: "Permissions are correctly set for Amazon Bedrock logs.",
    "two records in one log event": lambda n: _small(MODEL, n) * 2,
}
"""Records of which a delivery has as many as it can, each with a name of its own."""


def _minute(number: int) -> str:
    return f"{datetime.fromtimestamp(time.time() // 60 * 60 - 60 * (number % 20_000), UTC):%Y-%m-%dT%H:%M:%SZ}"


def _letters(number: int) -> str:
    return "Code" + "".join(chr(ord("a") + int(digit)) for digit in str(number))


_first_ids = itertools.count(0, MAX_LOG_EVENTS)
"""Event ids differ between deliveries: a container ignores those that it has seen."""


def fill(message: Callable[[int], str], inflated: int = MAX_INFLATED_BYTES, most: int = MAX_LOG_EVENTS) -> bytes:
    """Return the JSON of a delivery with as many of these messages as fit into `inflated` bytes, at most `most`."""
    payload = bytearray(b'{"messageType":"DATA_MESSAGE","owner":"111122223333","logEvents":[')
    first_id = next(_first_ids)
    for number in range(most):
        event = {"id": f"{first_id + number:056d}", "timestamp": 0, "message": message(number)}
        part = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        if len(payload) + len(part) > inflated - 100:
            break
        payload += part + b","
    payload[-1:] = b"]}"
    return bytes(payload)


class Cost(msgspec.Struct, frozen=True, order=True):
    """The cost of one delivery in CPU seconds, and what became of its records."""

    seconds: float
    name: str
    received: int
    processed: int
    rejected: dict[str, int]


def measure(name: str, payload: bytes, registry: Registry) -> Cost:
    """Process a delivery in this process as a fresh container does, and return its cost."""
    event = json.loads(compress(payload))
    calculator = UsageCalculator(registry, lambda _profile: UNRESOLVED, tuple(TAGS))
    began, now = time.process_time(), datetime.now(UTC)
    calls = price_delivery(decode_delivery(event), calculator, now)
    outcome = make_lines([calls], quotas={}, namespace="Bedrock/Quotas", now=now)
    for _line in outcome.lines:  # encoded one by one, as they are when the processor writes them
        pass
    seconds = time.process_time() - began
    rejected = Counter(each.reason for each in calls.rejected)
    return Cost(seconds, name, calls.received, len(calls.usages), dict(rejected))


def search(registry: Registry) -> list[tuple[str, Callable[[int], str]]]:
    """Return the `WORST` shapes, found by deliveries of a `SAMPLED`th of the size."""
    shapes: dict[str, Callable[[int], str]] = dict(NAME_SHAPES)
    for name, text in body_shapes():
        shapes[name] = lambda _number, text=text: text  # type: ignore[misc]
    with patch.object(pipeline, "StepBudget", lambda: StepBudget(MAX_STEPS_PER_DELIVERY // SAMPLED)):
        found = [
            measure(name, fill(make, MAX_INFLATED_BYTES // SAMPLED, MAX_LOG_EVENTS // SAMPLED), registry)
            for name, make in shapes.items()
        ]
    return [(each.name, shapes[each.name]) for each in sorted(found, reverse=True)[:WORST]]


def bombs(records: int, good: int) -> bytes:
    """Return a delivery of good records and some of 1 MB whose answer is a list of empty objects."""
    bomb = write_record(1_000_000, "the answer, no counts", "empty objects")
    return fill(lambda number: _small(MODEL, number) if number < good else bomb, most=good + records)


def main() -> None:
    """Measure the worst deliveries and print a table; with `--lambda`, under Lambda's emulator as well."""
    registry = read_sources(ROOT / "registry" / "models")
    worst = [(name, fill(make)) for name, make in search(registry)]
    worst.append(("200 good records beside 8 of 1 MB, the answer empty objects", bombs(8, 200)))
    emulated = {}
    if "--lambda" in sys.argv[1:]:
        with emulated_lambda.throttled(SHARE) as invoke:
            for name, payload in worst:
                emulated[name] = invoke(compress(payload))
    table = Table(title="CPU of the processor on the worst deliveries")
    for heading in ("delivery", "records", "processed", "rejected", "CPU, s", "in Lambda, CPU s", "seconds at 256 MB"):
        table.add_column(heading, justify="left" if heading in {"delivery", "rejected"} else "right")
    for name, payload in worst:
        cost = measure(name, payload, registry)
        answer = emulated.get(name)
        if answer is not None and '"processed"' not in answer.text:
            raise RuntimeError(f"{name}: {answer.text[:200]}")
        table.add_row(
            name,
            f"{cost.received:,}",
            f"{cost.processed:,}",
            ", ".join(f"{count:,} {reason}" for reason, count in cost.rejected.items()),
            f"{cost.seconds:.1f}",
            f"{answer.cpu_seconds:.1f}" if answer else "",
            f"{answer.seconds:.1f}" if answer else "",
        )
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
