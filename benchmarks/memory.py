"""Measure the processor's peak memory on the worst possible deliveries: `python -m benchmarks.memory`.

`make memory` runs it. The handler runs in its own process, which may map at most `LIMIT`, the memory of the smallest
Lambda function.
"""

import base64
import gzip
import hashlib
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from bedrock_quota.processor import large_bodies
from bedrock_quota.processor.batch import MAX_EVENTS_PER_GROUP
from bedrock_quota.processor.container import MAX_NAMED_MODELS
from bedrock_quota.processor.delivery import MAX_INFLATED_BYTES, MAX_LOG_EVENTS
from bedrock_quota.processor.usage import MAX_NAMED, MAX_REMEMBERED
from bedrock_quota.registry.sources import read_sources
from quota_monitor import sample_events as events

ROOT = Path(__file__).parents[1]

LIMIT = 128 * 1024 * 1024

UNLIMITED = 1 << 40

COMPRESSED = 1_000_000
"""The most bytes that CloudWatch Logs sends."""

TAGS = [f"tag{number}" for number in range(16)]

ENVIRONMENT = {"REQUEST_METADATA_KEYS": ",".join(TAGS)}

STATE_OUT_OF_REACH = {
    "STATE_TABLE": "state",
    "DUPLICATE_DETECTION": "on",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
}
"""Makes the processor import boto3 and Powertools Idempotency and make a client, although nothing answers."""


LARGE_BODIES = "bucket"
"""Bucket of the records whose bodies are in S3."""


@contextmanager
def bodies_in_s3(inflated: int) -> Iterator[dict[str, str]]:
    """Serve a gzipped request body of this size at every key. Yields the environment for it."""
    text = b'{"max_tokens":1000,"prompt":"'
    body = gzip.compress(text + b"x" * (inflated - len(text) - 2) + b'"}', mtime=0)

    class S3(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:  # the state table, which is out of reach
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(400)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Log nothing."""

    with _serve(S3) as endpoint:
        yield STATE_OUT_OF_REACH | {"LARGE_BODIES_BUCKET": LARGE_BODIES, "AWS_ENDPOINT_URL": endpoint}


@contextmanager
def no_bodies_in_s3() -> Iterator[dict[str, str]]:
    """Serve a queue that takes every message, beside an S3 that is out of reach. Yields the environment for it."""

    class Queue(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if "Entries" not in request:  # the state table, which is out of reach
                self._answer(400, b"{}")
                return
            taken = [
                {
                    "Id": each["Id"],
                    "MessageId": each["Id"],
                    "MD5OfMessageBody": hashlib.md5(each["MessageBody"].encode(), usedforsecurity=False).hexdigest(),
                }
                for each in request["Entries"]
            ]
            self._answer(200, json.dumps({"Successful": taken}).encode())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Log nothing."""

    with _serve(Queue) as endpoint:
        yield STATE_OUT_OF_REACH | {
            "LARGE_BODIES_BUCKET": LARGE_BODIES,
            "LATE_BODIES_QUEUE": f"{endpoint}/111122223333/late",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ENDPOINT_URL_S3": "nowhere",  # no client can be made, so that 10,000 reads take no minute
        }


@contextmanager
def _serve(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve requests in this process, and yield the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Run(msgspec.Struct, frozen=True):
    """The result of one event: `answer` or `error`, the process's peaks in bytes so far, and CPU seconds."""

    resident: int
    mapped: int
    seconds: float
    answer: dict[str, Any] | None = None
    error: str | None = None


def _record(number: int, **changes: object) -> dict[str, Any]:
    """Return a record with its own quota pool and caller, and its own minute for two weeks."""
    started = datetime.now(UTC) - timedelta(minutes=number % 20_000)
    return {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "timestamp": f"{started:%Y-%m-%dT%H:%M:%SZ}",
        "accountId": "111122223333",
        "identity": {"arn": f"arn:aws:sts::111122223333:assumed-role/Role{number}/session"},
        "region": "us-east-1",
        "requestId": f"{number:08x}-0000-4000-8000-000000000000",
        "operation": "Converse",
        "modelId": f"provider{number}.model-{number}",
        "input": {"inputTokenCount": 1_000 + number, "inputBodyJson": {"inferenceConfig": {"maxTokens": 1_000}}},
        "output": {"outputTokenCount": 2_000 + number},
    } | changes


def _text(number: int, text: str, answer: object = None) -> str:
    given = {"inputTokenCount": 1_000 + number, "inputBodyJson": {"max_tokens": 1_000, "messages": [text]}}
    answered = {"outputTokenCount": 2_000 + number, "outputBodyJson": answer}
    return _json(_record(number, input=given, output=answered))


def _json(entry: object) -> str:
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":"))


def _slow(number: int, answer: object) -> str:
    """Return a record that only the tolerant reader can read, which builds all of it."""
    return _text(number, "", answer).replace('"max_tokens":1000', '"max_tokens":NaN')


_LISTED = [
    prefix + model.id
    for model in read_sources(ROOT / "registry" / "models").models
    for prefix in ("", "us.", "global.")
]
"""Model ids with a quota pool of their own, which are not bounded as those of unlisted models are."""

EMOJI = "\U0001f600"
MANY = {f"{number:0>40}": "" for number in range(20_000)}

SHORT_TAGS = {chr(0x4E00 + number): chr(0x6000 + number) for number in range(1_366)}
PROFILE = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abc123def456"

MESSAGES: Mapping[str, Callable[[int], str]] = {
    "small records, all different": lambda number: _json(_record(number)),
    "small records of listed models, all different": lambda number: _json(
        _record(number, modelId=_LISTED[number % len(_LISTED)])
    ),
    "small records with an emoji each": lambda number: _json(_record(number, inferenceRegion=EMOJI)),
    "small records whose body is in S3": lambda number: _json(
        _record(number, input={"inputTokenCount": 5, "inputBodyS3Path": f"s3://{LARGE_BODIES}/{number}"})
    ),
    "small records, all refused": lambda number: _json(_record(number, input={"inputTokenCount": -1})),
    "failed calls, all different": lambda number: _json(_record(number, errorCode="ThrottlingException")),
    "records with 16 long tags each": lambda number: _json(
        _record(number, requestMetadata=dict.fromkeys(TAGS, f"{number:0>256}"))
    ),
    "records of 100 KB": lambda number: _text(number, "x" * 100_000),
    "records of 1 MB with an emoji each": lambda number: _text(number, "x" * 1_000_000 + EMOJI),
    "records of 1 MB read the slow way, all lists": lambda number: _slow(number, [[]] * 330_000),
    "records of 1 MB read the slow way, all objects": lambda number: _slow(number, [{"": {}}] * 110_000),
    "records of 100 KB read the slow way, lists in lists": lambda number: _slow(number, ["@"]).replace(
        '"@"', ",".join(["[[[[[[[[]]]]]]]]"] * 5_800)
    ),
    "records of 100 KB read the slow way, all objects": lambda number: _slow(number, [{}] * 33_000),
    "records of 1 MB read the slow way, all numbers": lambda number: _slow(number, ["@"]).replace(
        '"@"', ",".join(["0.5"] * 240_000)
    ),
    "records of 1 MB whose answer is empty objects, no counts": lambda number: _json(
        _record(number, input={}, output={"outputBodyJson": [{}] * 333_000})
    ),
    "records of 1 MB read the slow way, all escapes": lambda number: _slow(number, '"' * 500_000),
    "records of a profile with 1,366 short tags each": lambda number: _json(
        _record(number, modelId=PROFILE, requestMetadata=SHORT_TAGS)
    ),
    "failed calls of a profile with 1,366 short tags each": lambda number: _json(
        _record(number, modelId=PROFILE, requestMetadata=SHORT_TAGS, errorCode="ThrottlingException")
    ),
    "records with 1,366 short tags each whose body is in S3": lambda number: _json(
        _record(
            number,
            input={"inputTokenCount": 5, "inputBodyS3Path": f"s3://{LARGE_BODIES}/{number}"},
            requestMetadata=SHORT_TAGS,
        )
    ),
    "records of 1 MB with 20,000 tags": lambda number: _json(_record(number, requestMetadata=MANY)),
    "records of 1 MB of brackets": lambda _number: "[" * 1_000_000,
    "empty log events": lambda _number: "",
    "one record of 15 MB with an emoji": lambda number: _text(number, "x" * 15_000_000 + EMOJI),
    "one record with a number of 15 MB": lambda number: _text(number, "").replace("1000", "9" * 15_000_000, 1),
}
"""Messages with which a delivery is filled."""


def compress(payload: bytes) -> bytes:
    """Return the event with this payload as Lambda receives it."""
    deflate = zlib.compressobj(6, wbits=31)
    data = base64.b64encode(deflate.compress(payload) + deflate.flush()).decode()
    return json.dumps({"awslogs": {"data": data}}).encode()


def filled(message: Callable[[int], str], first_id: int = 0, inflated: int = MAX_INFLATED_BYTES) -> bytes:
    """Return an event of these messages that inflates to `inflated` bytes and is as large as CloudWatch sends."""
    noise = base64.b64encode(random.Random(4).randbytes(COMPRESSED)).decode()
    payload = bytearray(b'{"messageType":"DATA_MESSAGE","owner":"111122223333","logEvents":[')
    for number in range(MAX_LOG_EVENTS):
        part = _json({"id": f"{first_id + number:056d}", "timestamp": 0, "message": message(number)}).encode()
        if len(payload) + len(part) > inflated - 100:
            break
        payload += part + b","
    payload[-1:] = b"]"
    room = inflated - len(payload) - 100
    wanted = int((COMPRESSED - len(zlib.compress(payload, 6))) * 1.32)  # base64 compresses to three quarters
    payload += f',"x":"{noise[: max(min(wanted, room), 0)]}"'.encode()
    return compress(bytes(payload.ljust(inflated - 1) + b"}"))


def deliveries() -> Iterator[tuple[str, bytes]]:
    """Yield the name and event of each of the worst deliveries that are accepted."""
    for name, first_id in zip(MESSAGES, itertools.count(0, MAX_LOG_EVENTS)):
        yield name, filled(MESSAGES[name], first_id)


def batch() -> bytes:
    """Return the worst batch of a stream: one log event too few to be written, then the worst delivery three times."""
    message = MESSAGES["small records, all different"]
    few = [{"id": f"{number:056d}", "message": message(number)} for number in range(MAX_EVENTS_PER_GROUP - 1)]
    first = compress(_json({"messageType": "DATA_MESSAGE", "logEvents": few}).encode())
    worst = [filled(message, number * MAX_LOG_EVENTS) for number in range(1, 4)]
    return json.dumps(events.batch([json.loads(each) for each in (first, *worst)])).encode()


def groups(count: int) -> bytes:
    """Return a batch of a stream that is written in so many groups, each of the worst delivery."""
    message = MESSAGES["small records of listed models, all different"]
    return json.dumps(
        events.batch([json.loads(filled(message, number * MAX_LOG_EVENTS)) for number in range(count)])
    ).encode()


LATE_TAGS: Mapping[str, Mapping[str, str]] = {
    "9 tags of 256 accents": dict.fromkeys(TAGS[:9], "\N{LATIN SMALL LETTER E WITH ACUTE}" * 256),
    "16 tags of 256 letters": dict.fromkeys(TAGS, "x" * 256),
}
"""Tags with which a call that waits is as large as one can be, and as one of plain letters."""


def late_batch(tags: Mapping[str, str]) -> bytes:
    """Return a batch of a stream of ten deliveries, each of 1,000 records with these tags, whose bodies are in S3."""

    def call(number: int) -> str:
        path = {"inputTokenCount": 5, "inputBodyS3Path": f"s3://{LARGE_BODIES}/{number}"}
        return _json(_record(number, input=path, requestMetadata=tags))

    sent = [
        compress(
            _json(
                {
                    "messageType": "DATA_MESSAGE",
                    "logEvents": [{"id": f"{number:056d}", "message": call(number)} for number in range(n, n + 1_000)],
                }
            ).encode()
        )
        for n in range(0, 10_000, 1_000)
    ]
    return json.dumps(events.batch([json.loads(each) for each in sent])).encode()


NAMES = MAX_REMEMBERED
"""Names in one delivery, as many as the processor remembers."""


def _named(number: int, caller_length: int = 460, **changes: object) -> str:
    """Return a record with names of maximum length, all different within `NAMES` records."""
    number %= NAMES
    return _json(
        _record(
            number,
            modelId=f"arn:aws:bedrock:{number:0>430}::inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            identity={"arn": f"arn:aws:sts::111122223333:assumed-role/{str(number).zfill(caller_length)}/session"},
            operation="Converse" + f"{number:0>56}".translate(str.maketrans("0123456789", "abcdefghij")),
            timestamp=(datetime.now(UTC) - timedelta(seconds=number)).isoformat(timespec="microseconds"),
        )
        | changes
    )


def _unlisted(first: int) -> bytes:
    """Return a delivery with as many new models as are named in one log message."""
    events = [
        {"id": f"unlisted {first + number:047d}", "message": _json(_record(0, modelId=f"p.{first + number:0>250}"))}
        for number in range(MAX_NAMED)
    ]
    return compress(_json({"messageType": "DATA_MESSAGE", "logEvents": events}).encode())


def hostile_names() -> Iterator[bytes]:
    """Yield deliveries that fill a container's memory with names of maximum length."""
    counts = {"inputTokenCount": 1_000}
    kinds: tuple[dict[str, Any], ...] = (
        {},  # its max_tokens is explicit
        {"input": {**counts, "inputBodyJson": {}}},  # the model's default
        {"input": counts},  # unknown
        {"input": {"inputTokenCount": 900_000, "inputBodyJson": {"max_tokens": 5}}},  # long context
        {"input": {"inputTokenCount": 900_000, "inputBodyJson": {}}},
        {"input": {"inputTokenCount": 900_000}},
        {"input": {"inputTokenCount": 0}, "output": {"outputTokenCount": 0}},  # blocked
    )
    for first_id, changes in zip(itertools.count(10**9, MAX_LOG_EVENTS), kinds):
        yield filled(lambda number, changes=changes: _named(number, **changes), first_id)  # type: ignore[misc]
    yield filled(lambda number: _named(number, caller_length=1_990), 2 * 10**9)
    yield filled(MESSAGES["records with 16 long tags each"], 3 * 10**9)
    yield from (_unlisted(first) for first in range(0, MAX_NAMED_MODELS, MAX_NAMED))
    # none is remembered, because these are not valid names
    yield filled(lambda number: _named(number, modelId=f"{number} \N{GRINNING FACE}" + "m" * 1_000_000), 4 * 10**9)


def bomb() -> bytes:
    """Return an event of about 0.6 MB that inflates to 450 MB."""
    deflate = zlib.compressobj(9, wbits=31)
    whole = b"".join(deflate.compress(b" " * 1_000_000) for _ in range(450)) + deflate.flush()
    return json.dumps({"awslogs": {"data": base64.b64encode(whole).decode()}}).encode()


def run(sent: Iterable[bytes], environment: Mapping[str, str] = ENVIRONMENT, limit: int = LIMIT) -> list[Run]:
    """Run the handler on events in sequence in one process. Raises `MemoryError` if `limit` is too small."""
    with tempfile.TemporaryDirectory() as directory:
        compiled = Path(directory, "registry.json")
        compiled.write_bytes(msgspec.json.encode(read_sources(ROOT / "registry" / "models")))
        function = ROOT / "functions" / "metric_processor" / "app.py"
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("limited_run.py")), str(function), str(compiled), str(limit)],
            input=b"\n".join(sent),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={"PYTHONPATH": str(ROOT / "layers" / "core"), "PATH": os.environ["PATH"], **environment},
            check=False,
        )
    said = done.stderr.decode()
    if done.returncode or "MemoryError" in said:
        raise MemoryError(said[-2_000:])
    return [msgspec.json.decode(line, type=Run) for line in said.splitlines() if line.startswith("{")]


def main() -> None:
    """Measure each delivery in a new process, then all in one process, and print a table."""
    table = Table(title=f"Peak memory of the processor, limited to {LIMIT >> 20} MiB")
    for heading in ("delivery", "event MB", "result", "resident MiB", "mapped MiB", "seconds"):
        table.add_column(heading, justify="right" if "M" in heading or heading == "seconds" else "left")

    def add(name: str, size: int, done: Run) -> None:
        came_to = done.error or f"{done.answer}"
        peaks = (f"{done.resident / 2**20:.0f}", f"{done.mapped / 2**20:.0f}")
        table.add_row(name, f"{size / 1e6:.2f}", came_to, *peaks, f"{done.seconds:.2f}")

    worst = dict(deliveries())
    for name, event in worst.items():
        add(name, len(event), run([event])[0])
    add("all of these in one container, no limit", 0, run(worst.values(), limit=UNLIMITED)[-1])
    add("0.6 MB that inflate to 450 MB", len(bomb()), run([bomb()])[0])
    add("a batch of a stream: three times the first and a third", len(batch()), run([batch()])[0])
    for count in (1, 2):
        add(f"a batch of a stream in groups: {count}", len(groups(count)), run([groups(count)], limit=UNLIMITED)[0])
    for name, tags in LATE_TAGS.items():
        with no_bodies_in_s3() as environment:
            event = late_batch(tags)
            found = run([event], ENVIRONMENT | environment, UNLIMITED)[0]
            add(f"ten deliveries of 1,000 calls without a body, {name}, with boto3 and no limit", len(event), found)
    with_state = ENVIRONMENT | STATE_OUT_OF_REACH
    add("the first, with boto3 and no limit", 0, run([worst[next(iter(worst))]], with_state, UNLIMITED)[0])
    add("all of these, with boto3 and no limit", 0, run(worst.values(), with_state, UNLIMITED)[-1])
    hostile = list(hostile_names())
    for size in (large_bodies.MAX_BODY_BYTES, large_bodies.MAX_BODY_BYTES + 1, large_bodies.MAX_BODY_BYTES // 40):
        with bodies_in_s3(size) as environment:
            found = run([worst["small records whose body is in S3"]], environment, UNLIMITED)[0]
            add(f"bodies of {size:,} bytes read from S3, with boto3 and no limit", 0, found)
            found = run(worst.values(), ENVIRONMENT | environment, UNLIMITED)[-1]
            add("  all of these", 0, found)
            found = run([*hostile, *worst.values()], ENVIRONMENT | environment, UNLIMITED)[-1]
            add("  all of these after hostile names", 0, found)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
