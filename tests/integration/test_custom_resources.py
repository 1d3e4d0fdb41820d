"""Answering CloudFormation, over HTTP on this machine."""

import json
import os
import subprocess
import sys
import threading
import urllib.error
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from bedrock_quota import custom_resource
from bedrock_quota.custom_resource import NothingDoneError


class Inbox(HTTPServer):
    """Stands in for the S3 address CloudFormation hands out."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.status = 200
        self.requests: list[tuple[str, str, dict[str, str], dict[str, Any]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/answer?signature=abc"


class Answer(BaseHTTPRequestHandler):
    server: Inbox

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.command, self.path, dict(self.headers), json.loads(body)))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET = do_PUT  # noqa: N815

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Inbox() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def request(url: str, **changes: Any) -> dict[str, Any]:
    return {
        "RequestType": "Create",
        "ResponseURL": url,
        "StackId": "arn:aws:cloudformation:us-east-1:111122223333:stack/s/1",
        "RequestId": "request-1",
        "LogicalResourceId": "FirstQuotaFetch",
        "ResourceType": "Custom::FirstQuotaFetch",
        "ResourceProperties": {"ServiceToken": "arn"},
    } | changes


ANSWER = {
    "StackId": "arn:aws:cloudformation:us-east-1:111122223333:stack/s/1",
    "RequestId": "request-1",
    "LogicalResourceId": "FirstQuotaFetch",
}


def test_success_is_answered_with_the_attributes(inbox: Inbox) -> None:
    seen: list[Mapping[str, Any]] = []

    def act(event: Mapping[str, Any]) -> Mapping[str, str]:
        seen.append(event)
        return {"Result": "done"}

    given = request(inbox.url)
    custom_resource.handle_request(given, "first-quota-fetch", act)

    assert seen == [given]
    ((method, path, headers, body),) = inbox.requests
    assert (method, path) == ("PUT", "/answer?signature=abc")
    assert headers["Content-Type"] == ""  # S3's signature covers an empty one
    assert body == ANSWER | {
        "PhysicalResourceId": "first-quota-fetch",
        "Status": "SUCCESS",
        "Data": {"Result": "done"},
    }


@pytest.mark.parametrize("request_type", ["Update", "Delete"])
def test_resource_keeps_its_physical_id(inbox: Inbox, request_type: str) -> None:
    given = request(inbox.url, RequestType=request_type, PhysicalResourceId="made-before")

    custom_resource.handle_request(given, "first-quota-fetch", lambda _event: {})

    assert inbox.requests[0][3]["PhysicalResourceId"] == "made-before"


def test_failure_is_answered_with_its_reason_and_logged(inbox: Inbox, caplog: pytest.LogCaptureFixture) -> None:
    def act(_event: Mapping[str, Any]) -> Mapping[str, str]:
        raise PermissionError("bedrock says no")

    custom_resource.handle_request(request(inbox.url), "first-quota-fetch", act)

    body = inbox.requests[0][3]
    assert body == ANSWER | {
        "PhysicalResourceId": "first-quota-fetch",
        "Status": "FAILED",
        "Reason": "PermissionError: bedrock says no",
    }
    assert [record.message for record in caplog.records] == ["custom resource failed"]


def test_what_could_not_begin_to_be_made_is_deleted_without_asking_for_anything(inbox: Inbox) -> None:
    # given a creation that has changed nothing
    def act(event: Mapping[str, Any]) -> Mapping[str, str]:
        assert event["RequestType"] == "Create"
        raise NothingDoneError("bedrock does not answer")

    custom_resource.handle_request(request(inbox.url), "first-quota-fetch", act)
    made = inbox.requests[0][3]
    # when CloudFormation deletes what it was told
    deletion = request(inbox.url, RequestType="Delete", PhysicalResourceId=made["PhysicalResourceId"])
    custom_resource.handle_request(deletion, "first-quota-fetch", act)

    failed = {"Status": "FAILED", "Reason": "bedrock does not answer"}
    assert made == ANSWER | {"PhysicalResourceId": "nothing-done"} | failed
    assert inbox.requests[1][3] == ANSWER | {"PhysicalResourceId": "nothing-done", "Status": "SUCCESS", "Data": {}}


def test_endless_reason_is_cut_to_what_cloudformation_takes(inbox: Inbox) -> None:
    def act(_event: Mapping[str, Any]) -> Mapping[str, str]:
        raise RuntimeError("long " * 10_000)

    custom_resource.handle_request(request(inbox.url), "first-quota-fetch", act)

    assert int(inbox.requests[0][2]["Content-Length"]) <= 4096
    assert inbox.requests[0][3]["Reason"].startswith("RuntimeError: long long")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("x" * 5_000, id="ASCII"),
        pytest.param("\U0001f600" * 5_000, id="characters of four bytes"),
        pytest.param('"\n' * 5_000, id="characters that JSON escapes"),
        pytest.param("\x01" * 5_000, id="control characters"),
    ],
)
@pytest.mark.parametrize("fails", [True, False], ids=["reason", "attribute"])
def test_a_response_is_cut_by_bytes(inbox: Inbox, text: str, fails: bool) -> None:
    attributes = {"LogGroupName": "g" * 512, "LargeBodies": "b" * 63 + "/" + "p" * 1_000, "Done": text}

    def act(_event: Mapping[str, Any]) -> Mapping[str, str]:
        if fails:
            raise RuntimeError(text)
        return attributes

    custom_resource.handle_request(request(inbox.url), "id", act)

    ((_, _, headers, body),) = inbox.requests
    assert 4_080 <= int(headers["Content-Length"]) <= 4_096
    assert body.keys() >= {"Status", "StackId", "RequestId", "LogicalResourceId", "PhysicalResourceId"}
    if not fails:
        assert {name: body["Data"][name] for name in ("LogGroupName", "LargeBodies")} == {
            name: attributes[name] for name in ("LogGroupName", "LargeBodies")
        }


def test_a_response_with_several_long_attributes_is_cut(inbox: Inbox) -> None:
    attributes = {"Short": "s" * 100, "Long": "l" * 9_000, "Longer": "m" * 9_001}

    custom_resource.handle_request(request(inbox.url), "id", lambda _event: attributes)

    ((_, _, headers, body),) = inbox.requests
    assert int(headers["Content-Length"]) == 4_096
    assert (body["Data"]["Short"], body["Data"]["Longer"]) == ("s" * 100, "")


def test_answer_that_is_refused_is_raised(inbox: Inbox) -> None:
    inbox.status = 400

    with pytest.raises(urllib.error.HTTPError) as caught:
        custom_resource.handle_request(request(inbox.url), "first-quota-fetch", lambda _event: {})

    assert caught.value.code == 400
    caught.value.close()


def test_answer_whose_url_has_expired_is_not_raised(inbox: Inbox) -> None:
    # so that Lambda does not run the request again, for which nobody waits
    inbox.status = 403

    custom_resource.handle_request(request(inbox.url), "first-quota-fetch", lambda _event: {})

    assert len(inbox.requests) == 1


def test_answer_that_reaches_nobody_is_raised(inbox: Inbox) -> None:
    inbox.shutdown()
    inbox.server_close()

    with pytest.raises(urllib.error.URLError):
        custom_resource.handle_request(request(inbox.url), "first-quota-fetch", lambda _event: {})


FUNCTIONS = Path(__file__).parents[2] / "functions"


def serve_with_wheels_of_another_processor(function: str, event: Mapping[str, Any], folder: Path) -> None:
    """Run a handler in a process where no compiled wheel can be imported."""
    for wheel in ("msgspec", "isal", "pybase64"):
        folder.joinpath(f"{wheel}.py").write_text(f"raise ImportError('wrong ELF class: {wheel}')")
    done = subprocess.run(
        [sys.executable, "-c", "import json, sys, app; app.handler(json.load(sys.stdin), None)"],
        input=json.dumps(event).encode(),
        env={
            **os.environ,
            "PYTHONPATH": f"{folder}:{FUNCTIONS / function}:{FUNCTIONS.parent / 'layers' / 'core'}",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("function", ["logging_setup", "quota_fetcher"])
def test_function_with_wheels_of_another_processor_answers_so(inbox: Inbox, tmp_path: Path, function: str) -> None:
    # when it is asked to create, then to delete what that came to, and, elsewhere, to update
    serve_with_wheels_of_another_processor(function, request(inbox.url), tmp_path)
    made = inbox.requests[0][3]["PhysicalResourceId"]
    deletion = request(inbox.url, RequestType="Delete", PhysicalResourceId=made)
    serve_with_wheels_of_another_processor(function, deletion, tmp_path)
    update = request(inbox.url, RequestType="Update", PhysicalResourceId="made-before")
    serve_with_wheels_of_another_processor(function, update, tmp_path)
    # then
    created, deleted, updated = (body for *_, body in inbox.requests)
    assert (created["Status"], created["PhysicalResourceId"]) == ("FAILED", "nothing-done")
    assert created["Reason"].startswith(
        "wrong ELF class: msgspec. Check that the layers are built for the processor that"
    )
    assert deleted == ANSWER | {"PhysicalResourceId": "nothing-done", "Status": "SUCCESS", "Data": {}}
    assert (updated["Status"], updated["PhysicalResourceId"]) == ("FAILED", "made-before")
    assert "wrong ELF class: msgspec" in updated["Reason"]


def test_buckets_can_be_emptied_with_wheels_of_another_processor(inbox: Inbox, tmp_path: Path) -> None:
    properties = {"ResourceProperties": {"Bucket": "kept"}}

    serve_with_wheels_of_another_processor("bucket_emptying", request(inbox.url) | properties, tmp_path)

    assert inbox.requests[0][3]["Status"] == "SUCCESS"


@pytest.mark.parametrize(
    ("event", "is_one"),
    [
        pytest.param(request("https://example.com"), True, id="a request"),
        pytest.param({"version": "0", "source": "aws.scheduler"}, False, id="an event of the scheduler"),
        pytest.param({}, False, id="empty"),
        pytest.param({"RequestType": "Create"}, False, id="no address for the answer"),
    ],
)
def test_request_of_cloudformation_is_told(event: dict[str, Any], is_one: bool) -> None:
    assert custom_resource.is_request(event) is is_one
