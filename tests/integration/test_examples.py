"""The examples as users run them: real botocore and the real Strands SDK, against an HTTP server in Bedrock's place."""

import copy
import json
import os
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ParamValidationError
from records import Process, ReadLine, metadata_only

from examples.declared_boto3 import declare_max_tokens

ROOT = Path(__file__).parents[2]
EVENT = "provide-client-params.bedrock-runtime"
HEADER = "X-Amzn-Bedrock-Request-Metadata"
USAGE = {"inputTokens": 5, "outputTokens": 7, "totalTokens": 12}
MESSAGE = {"role": "assistant", "content": [{"text": "Rhine."}]}
STREAM: list[tuple[str, dict[str, Any]]] = [
    ("messageStart", {"role": "assistant"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Rhine."}}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("messageStop", {"stopReason": "end_turn"}),
    ("metadata", {"usage": USAGE, "metrics": {"latencyMs": 9}}),
]
MODEL = "amazon.nova-2-lite-v1:0"
CALL: dict[str, Any] = {"modelId": MODEL, "messages": [{"role": "user", "content": [{"text": "?"}]}]}


class Sent(NamedTuple):
    """A request that reached the server: the last part of its path, its metadata header and its JSON body."""

    operation: str
    header: str | None
    body: dict[str, Any]


class Bedrock(ThreadingHTTPServer):
    """Answer each model call, after `faults` have been answered with 503."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.sent: list[Sent] = []
        self.faults = 0


class Answer(BaseHTTPRequestHandler):
    server: Bedrock

    def do_POST(self) -> None:
        operation = self.path.rpartition("/")[2]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.sent.append(Sent(operation, self.headers[HEADER], body))
        if self.server.faults:
            self.server.faults -= 1
            return self.answer(503, "application/json", b'{"message": "busy"}')
        if operation == "converse-stream":
            stream = b"".join(frame(name, payload) for name, payload in STREAM)
            return self.answer(200, "application/vnd.amazon.eventstream", stream)
        answer = {"output": {"message": MESSAGE}, "stopReason": "end_turn", "usage": USAGE, "metrics": {"latencyMs": 9}}
        return self.answer(200, "application/json", json.dumps(answer).encode())

    def answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing."""


def frame(name: str, payload: dict[str, Any]) -> bytes:
    """Encode one event as https://smithy.io/2.0/aws/amazon-eventstream.html says (read 2026-11-28)."""
    headers = b"".join(
        bytes([len(key)]) + key.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for key, value in {":message-type": "event", ":event-type": name, ":content-type": "application/json"}.items()
    )
    data = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(data), len(headers))
    start = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + data
    return start + struct.pack(">I", zlib.crc32(start))


@pytest.fixture(scope="module")
def server() -> Iterator[Bedrock]:
    with Bedrock() as bedrock:
        thread = threading.Thread(target=bedrock.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield bedrock
        bedrock.shutdown()
        thread.join()


@pytest.fixture
def bedrock(server: Bedrock, no_aws: None, monkeypatch: pytest.MonkeyPatch) -> Bedrock:  # noqa: ARG001 - made first
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", f"http://127.0.0.1:{server.server_port}")
    server.sent.clear()
    server.faults = 0
    return server


def make_client(server: Bedrock, session: boto3.Session) -> Any:
    return session.client(
        "bedrock-runtime",
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        endpoint_url=f"http://127.0.0.1:{server.server_port}",
        config=Config(retries={"max_attempts": 1}),
    )


@pytest.fixture(scope="module")
def client(server: Bedrock) -> Iterator[Any]:
    """A client of a session that the hook is registered on."""
    session = boto3.Session()
    session.events.register(EVENT, declare_max_tokens)
    made = make_client(server, session)
    yield made
    made.close()


@pytest.fixture(scope="module")
def strands_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with what examples/uv.lock has."""
    environment = tmp_path_factory.mktemp("examples") / "venv"
    command = ["uv", "sync", "--frozen", "--quiet", "--project", ROOT / "examples", "--python", sys.executable]
    command[0] = Path(sys.executable).with_name("uv")
    kept = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    ran = subprocess.run(
        command,
        env={**kept, "UV_PROJECT_ENVIRONMENT": str(environment)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return environment / "bin" / "python"


def run(*command: str | Path) -> str:
    """Run a command as a user does, in the folder of the project, and return its output."""
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def declared(body: dict[str, Any]) -> dict[str, str] | None:
    return body.get("requestMetadata")


def test_boto3_example_declares_limits_streamed_and_not(bedrock: Bedrock) -> None:
    printed = run(sys.executable, "examples/declared_boto3.py")

    assert [(sent.operation, declared(sent.body), sent.body["inferenceConfig"]) for sent in bedrock.sent] == [
        ("converse", {"max_tokens": "200"}, {"maxTokens": 200}),
        ("converse-stream", {"max_tokens": "300"}, {"maxTokens": 300}),
    ]
    assert printed == f"{USAGE}\n{USAGE}\n"


def test_processor_reads_what_the_hook_sends(
    bedrock: Bedrock, client: Any, process: Process, read_line: ReadLine
) -> None:
    # given a call through the hook
    call(client, "converse", {**CALL, "inferenceConfig": {"maxTokens": 200}})
    sent = declared(bedrock.sent[-1].body)
    # when Bedrock logs it without bodies: 5 tokens in, 7 out
    outcome = process([metadata_only(input_tokens=5, output_tokens=7, requestMetadata=sent)])
    # then 205 tokens are reserved
    line = read_line(outcome.lines[0])
    assert (line["max_tokens_source"], line["ReservedTokens"], line["MaxTokens"]) == ("declared", [205], [200])


def test_plain_example_declares_limits_in_both_apis(bedrock: Bedrock) -> None:
    printed = run(sys.executable, "examples/declared_call.py")

    converse, invoke = bedrock.sent
    assert (converse.operation, invoke.operation) == ("converse", "invoke")
    assert (declared(converse.body), converse.header) == ({"max_tokens": "200"}, None)
    assert invoke.header is not None
    assert json.loads(invoke.header) == {"max_tokens": "200"}
    assert (declared(invoke.body), invoke.body["inferenceConfig"]) == (None, {"maxTokens": 200})
    assert printed == f"{USAGE}\n{USAGE}\n"


def test_strands_example_declares_the_agents_limit(bedrock: Bedrock, strands_python: Path) -> None:
    printed = run(strands_python, "examples/declared_strands.py")

    (sent,) = bedrock.sent
    assert (sent.operation, declared(sent.body)) == ("converse-stream", {"max_tokens": "200"})
    assert sent.body["inferenceConfig"] == {"maxTokens": 200}
    assert "'outputTokens': 7" in printed
    assert "Rhine" not in printed


def test_strands_agent_without_streaming_declares_its_limit(bedrock: Bedrock, strands_python: Path) -> None:
    run(
        strands_python,
        "-c",
        "import sys; sys.path.insert(0, 'examples')\n"
        "import declared_strands as example\n"
        "streaming = example.BedrockModel\n"
        "example.BedrockModel = lambda **settings: streaming(**settings, streaming=False)\n"
        "example.main()",
    )

    (sent,) = bedrock.sent
    assert (sent.operation, declared(sent.body)) == ("converse", {"max_tokens": "200"})


NEEDS = "for example with `aws configure`.\n"


@pytest.mark.parametrize(
    "missing",
    [
        pytest.param(("AWS_DEFAULT_REGION",), id="no Region"),
        pytest.param(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), id="no credentials"),
    ],
)
@pytest.mark.parametrize("script", ["declared_boto3.py", "declared_call.py"])
@pytest.mark.usefixtures("bedrock")
def test_example_without_settings_ends_with_one_sentence(
    script: str, missing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in missing:
        monkeypatch.delenv(name)
    ran = subprocess.run([sys.executable, f"examples/{script}"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == f"Configure AWS credentials and a Region first, {NEEDS}"


def test_strands_example_without_credentials_ends_with_one_sentence(
    bedrock: Bedrock, strands_python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    ran = subprocess.run(
        [strands_python, "examples/declared_strands.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (ran.returncode, ran.stdout, bedrock.sent) == (2, "", [])
    assert ran.stderr == f"Configure AWS credentials first, {NEEDS}"


def call(client: Any, operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """Make a call and read its answer to the end."""
    answer: dict[str, Any] = getattr(client, operation)(**request)
    if "stream" in answer:
        assert [event for event in answer["stream"] if "metadata" in event]
    return answer


def metadata(entries: int) -> dict[str, str]:
    return {f"tag{number}": "x" for number in range(entries)}


@pytest.mark.parametrize("operation", ["converse", "converse_stream"])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({"inferenceConfig": {"maxTokens": 100}}, {"max_tokens": "100"}, id="limit of inferenceConfig"),
        pytest.param(
            {"additionalModelRequestFields": {"max_tokens": 300}},
            {"max_tokens": "300"},
            id="limit of additionalModelRequestFields",
        ),
        pytest.param(
            {"inferenceConfig": {"maxTokens": 100}, "additionalModelRequestFields": {"max_tokens": 300}},
            {"max_tokens": "100"},
            id="limits in both, inferenceConfig first",
        ),
        pytest.param(
            {"inferenceConfig": {"topP": 0.5}, "additionalModelRequestFields": {"max_tokens": 300}},
            {"max_tokens": "300"},
            id="inferenceConfig without a limit",
        ),
        pytest.param({}, None, id="no limit"),
        pytest.param({"inferenceConfig": {}}, None, id="empty inferenceConfig"),
        pytest.param({"requestMetadata": {"team": "search"}}, {"team": "search"}, id="metadata without a limit"),
        pytest.param({"additionalModelRequestFields": ["max_tokens"]}, None, id="additional fields are a list"),
        pytest.param({"additionalModelRequestFields": {"max_tokens": "9"}}, None, id="additional limit is a text"),
        pytest.param(
            {"inferenceConfig": {"maxTokens": 100}, "requestMetadata": {"team": "search"}},
            {"team": "search", "max_tokens": "100"},
            id="metadata of the caller",
        ),
        pytest.param(
            {"inferenceConfig": {"maxTokens": 100}, "requestMetadata": {"max_tokens": "50"}},
            {"max_tokens": "50"},
            id="declared by the caller",
        ),
        pytest.param(
            {"inferenceConfig": {"maxTokens": 100}, "requestMetadata": metadata(15)},
            {**metadata(15), "max_tokens": "100"},
            id="room for one entry more",
        ),
        pytest.param(
            {"inferenceConfig": {"maxTokens": 100}, "requestMetadata": metadata(16)},
            metadata(16),
            id="no room for one entry more",
        ),
    ],
)
def test_hook_adds_the_limit_and_changes_nothing_else(
    client: Any, bedrock: Bedrock, operation: str, given: dict[str, Any], expected: dict[str, str] | None
) -> None:
    request = CALL | given
    before = copy.deepcopy(request)

    call(client, operation, request)

    (sent,) = bedrock.sent
    assert declared(sent.body) == expected
    wanted = {name: value for name, value in before.items() if name not in {"modelId", "requestMetadata"}}
    assert {name: value for name, value in sent.body.items() if name != "requestMetadata"} == wanted
    assert request == before


def test_hook_changes_converse_and_converse_stream_alone(client: Any) -> None:
    service = client.meta.service_model
    changed = set()
    for operation in service.operation_names:
        params = {"inferenceConfig": {"maxTokens": 100}}
        declare_max_tokens(params, service.operation_model(operation))
        if "requestMetadata" in params:
            changed.add(operation)

    assert changed == {"Converse", "ConverseStream"}
    assert len(service.operation_names) > len(changed)


def test_hook_leaves_invoke_model_alone(client: Any, bedrock: Bedrock) -> None:
    client.invoke_model(modelId=MODEL, body=json.dumps({"inferenceConfig": {"maxTokens": 100}}))

    (sent,) = bedrock.sent
    assert (sent.header, sent.body) == (None, {"inferenceConfig": {"maxTokens": 100}})


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"requestMetadata": "search"}, id="metadata is a text"),
        pytest.param({"requestMetadata": None}, id="metadata is None"),
        pytest.param({"inferenceConfig": [100]}, id="inferenceConfig is a list"),
    ],
)
def test_botocore_reports_a_wrong_argument_as_without_the_hook(
    client: Any, bedrock: Bedrock, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ParamValidationError, match=next(iter(wrong))):
        client.converse(**CALL, **({"inferenceConfig": {"maxTokens": 100}} | wrong))

    assert bedrock.sent == []


@pytest.mark.parametrize("operation", ["converse", "converse_stream"])
def test_a_retried_call_declares_the_same_limit(client: Any, bedrock: Bedrock, operation: str) -> None:
    bedrock.faults = 1

    answer = call(client, operation, CALL | {"inferenceConfig": {"maxTokens": 100}})

    assert answer["ResponseMetadata"]["RetryAttempts"] == 1
    first, second = bedrock.sent
    assert declared(first.body) == {"max_tokens": "100"}
    assert first == second


def test_hook_can_be_registered_on_one_client(bedrock: Bedrock) -> None:
    session = boto3.Session()
    declaring, other = make_client(bedrock, session), make_client(bedrock, session)
    declaring.meta.events.register(EVENT, declare_max_tokens)

    for each in (declaring, other):
        each.converse(**CALL, inferenceConfig={"maxTokens": 100})
        each.close()

    assert [declared(sent.body) for sent in bedrock.sent] == [{"max_tokens": "100"}, None]
