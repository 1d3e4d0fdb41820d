"""A proxy between the deployed functions and AWS. It records every call, and can make any of them fail.

Each function is deployed with its own endpoint, `http://127.0.0.1:PORT/NAME`, so the proxy knows the caller. The proxy
reads requests with botocore's service models.
"""

import contextlib
import functools
import http.client
import json
import logging
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit
from xml.etree import ElementTree

import botocore.loaders
import botocore.model
import msgspec

from localaws.account import LOOPBACK, Account
from localaws.errors import LocalAwsError

logger = logging.getLogger("localaws.fault_proxy")

_NAMED_OTHERWISE = {"monitoring": "cloudwatch", "servicequotas": "service-quotas"}
"""Services that botocore names differently from the name in a request's signature."""

_SIGNED_FOR = re.compile(r"Credential=[^/]+/\d{8}/([^/]+)/([^/]+)/aws4_request")
_RPC_PATH = re.compile(r"/service/\w+/operation/(\w+)")
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "expect"}
_LONGEST_SECONDS = 60.0


class Fault(StrEnum):
    """A fault that a call meets instead of an ordinary answer."""

    ERROR = "500"
    UNAVAILABLE = "503"
    THROTTLED = "throttled"
    SLOW = "slow"
    """Answered after 0.7 seconds."""
    HANGING = "hanging"
    """No answer while the fault lasts."""
    RESET = "reset"
    LOST_ANSWER = "lost answer"
    """The request is carried out, but the connection is reset instead of answered."""
    GARBAGE = "garbage"
    """Status 200 with meaningless bytes."""
    TRUNCATED = "truncated"
    """The correct answer, with the connection closed in the middle."""


SLOW_SECONDS = 0.7


class Call(msgspec.Struct, frozen=True):
    """One request of a function. `parameters` are those that could be read. `status` is None if no answer was sent.

    `role` is the ARN of the function's role. It is empty for a caller that the emulator does not run.
    """

    function: str
    service: str
    operation: str
    parameters: Mapping[str, Any]
    status: int | None = None
    fault: Fault | None = None
    region: str = ""
    role: str = ""


class Rule(msgspec.Struct, frozen=True):
    """The calls that a fault applies to: the first `times` of one service, operation or function."""

    fault: Fault
    service: str
    operation: str | None = None
    function: str | None = None
    times: int | None = None

    def covers(self, function: str, request: "_Request") -> bool:
        """Return True if the rule applies to this call."""
        return (
            self.service == request.service
            and self.operation in {None, request.operation}
            and self.function in {None, function}
        )


class _Request(msgspec.Struct, frozen=True):
    """A parsed request, and the protocol of its service, in which to answer."""

    service: str
    operation: str
    protocol: str
    parameters: Mapping[str, Any]
    region: str = ""


class FaultProxy(ThreadingHTTPServer):
    """The proxy. It listens at once, and forwards requests after `forward_to`.

    `calls` are the recorded calls. `unread` has a message for each request that could not be read. `observe` gets each
    call before the account does.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.calls: list[Call] = []
        self.unread: list[str] = []
        self.observe: Callable[[Call], None] = lambda _call: None
        self._account: Account | None = None
        self._rules: dict[Rule, tuple[threading.Event, list[None]]] = {}
        self._turn = threading.Lock()

    @property
    def url(self) -> str:
        """Return the address of the proxy. A function's endpoint is this, a slash and the function's name."""
        return f"http://{LOOPBACK}:{self.server_port}"

    @contextlib.contextmanager
    def open(self) -> "Iterator[FaultProxy]":
        """Serve while the block runs."""
        serving = threading.Thread(target=self.serve_forever, daemon=True)
        serving.start()
        try:
            yield self
        finally:
            self.shutdown()
            serving.join()
            self.server_close()

    def forward_to(self, account: Account) -> None:
        """Forward requests to this account from now on."""
        self._account = account

    @contextlib.contextmanager
    def failing(
        self,
        fault: Fault,
        service: str,
        *,
        operation: str | None = None,
        function: str | None = None,
        times: int | None = None,
    ) -> Iterator[None]:
        """Apply a fault to these calls while the block runs. If several rules cover a call, the latest applies."""
        rule = Rule(fault, service, operation, function, times)
        over = threading.Event()
        with self._turn:
            self._rules[rule] = (over, [])
        try:
            yield
        finally:
            with self._turn:
                del self._rules[rule]
            over.set()

    def fault_for(self, function: str, request: _Request) -> tuple[Fault | None, threading.Event | None]:
        """Return the fault for this call, and an event that is set when the fault is over."""
        with self._turn:
            for rule, (over, met) in reversed(self._rules.items()):
                if rule.covers(function, request) and (rule.times is None or len(met) < rule.times):
                    met.append(None)
                    return rule.fault, over
        return None, None

    @property
    def account(self) -> Account:
        """Return the account that requests are forwarded to. Raises `LocalAwsError` if there is none yet."""
        if self._account is None:
            raise LocalAwsError("the proxy has no account to forward a function's call to: call forward_to first")
        return self._account

    def upstream(self, service: str) -> str:
        """Return the host and port that answer for a service."""
        url = self.account.service_quotas_url if service == "service-quotas" else self.account.endpoint_url
        return urlsplit(url).netloc

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's arguments
        """Log instead of printing. A caller that has given up is no error."""
        logger.debug("a caller closed its connection", exc_info=True)


class _Answer(msgspec.Struct, frozen=True):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: FaultProxy

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        _, function, rest = self.path.split("/", 2) if self.path.count("/") > 1 else ("", self.path[1:], "")
        path = f"/{rest}"
        try:
            request = read(self.command, path, dict(self.headers.items()), body)
        except LocalAwsError as error:
            self.server.unread.append(f"{function}: {error}")
            self._send(_Answer(501, [], str(error).encode()))
            return
        fault, over = self.server.fault_for(function, request)
        role = self.headers.get("X-Amz-Security-Token", "")  # see localaws.ministack_patches
        call = Call(function, request.service, request.operation, request.parameters, None, fault, request.region, role)
        self.server.observe(call)
        answer = self._meet(fault, over, path, request, body)
        self.server.calls.append(msgspec.structs.replace(call, status=None if answer is None else answer.status))
        if answer is None:
            self._reset()
        else:
            self._send(answer, cut=fault is Fault.TRUNCATED)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_any  # noqa: N815 - the base class's names

    def _meet(
        self, fault: Fault | None, over: threading.Event | None, path: str, request: _Request, body: bytes
    ) -> _Answer | None:
        """Return the answer, or None to reset the connection."""
        if fault is Fault.HANGING and over is not None:
            over.wait(_LONGEST_SECONDS)
        if fault in {Fault.HANGING, Fault.RESET}:
            return None
        if fault in {Fault.ERROR, Fault.UNAVAILABLE, Fault.THROTTLED}:
            return _error(fault, request)
        if fault is Fault.GARBAGE:
            return _Answer(200, [], b"\x00\xfe}<garbage " * 20)
        if fault is Fault.SLOW:
            time.sleep(SLOW_SECONDS)
        answer = self._forward(path, request.service, body)
        return None if fault is Fault.LOST_ANSWER else answer

    def _forward(self, path: str, service: str, body: bytes) -> _Answer:
        upstream = self.server.upstream(service)
        connection = http.client.HTTPConnection(upstream, timeout=_LONGEST_SECONDS)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        with contextlib.closing(connection):
            connection.request(self.command, path, body=body or None, headers=headers)
            answer = connection.getresponse()
            content = answer.read()
        return _Answer(
            answer.status,
            [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP],
            content,
        )

    def _send(self, answer: _Answer, *, cut: bool = False) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: len(answer.body) // 2] if cut else answer.body)
        self.wfile.flush()
        self.close_connection = self.close_connection or cut

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        logger.debug(format, *args)


def read(method: str, path: str, headers: Mapping[str, str], body: bytes) -> _Request:
    """Parse a signed request. Raises `LocalAwsError` if no service model has it."""
    signed = _SIGNED_FOR.search(headers.get("Authorization", ""))
    if signed is None:
        raise LocalAwsError(f"{method} {path} is not signed")
    region, service = signed[1], _NAMED_OTHERWISE.get(signed[2], signed[2])
    parts = urlsplit(path)
    if target := headers.get("X-Amz-Target"):
        return _Request(service, target.rpartition(".")[2], "json", json.loads(body or b"{}"), region)
    if rpc := _RPC_PATH.fullmatch(parts.path):
        return _Request(service, rpc[1], "smithy-rpc-v2-cbor", {}, region)
    form = dict(parse_qsl(body.decode())) if "urlencoded" in headers.get("Content-Type", "") else {}
    if "Action" in form:
        return _Request(service, form["Action"], "query", form, region)
    return msgspec.structs.replace(_rest(service, method, path, body), region=region)


def _rest(service: str, method: str, path: str, body: bytes) -> _Request:
    """Parse a REST request: find the operation whose path and query fit best."""
    parts = urlsplit(path)
    asked = parse_qs(parts.query, keep_blank_values=True)
    best: tuple[int, str, Mapping[str, str]] | None = None
    for name, verb, pattern, query, weight in _routes(service):
        found = pattern.fullmatch(parts.path.rstrip("/") or "/")
        if verb == method and found and query.items() <= {key: values[0] for key, values in asked.items()}.items():
            rank = weight + 100 * len(query)
            if best is None or rank > best[0]:
                best = (rank, name, {key: unquote(value) for key, value in found.groupdict().items()})
    if best is None:
        raise LocalAwsError(f"{service} has no operation for {method} {path}")
    model = _model(service)
    given = {}
    if body and model.metadata["protocol"] == "rest-json":
        given = json.loads(body)
    elif best[1] == "DeleteObjects":
        given = {"Objects": _objects(body)}
    return _Request(service, best[1], model.metadata["protocol"], {**given, **best[2]})


def _objects(body: bytes) -> list[dict[str, str]]:
    """Return the objects that a `DeleteObjects` request of S3 names, each with its `Key` and, if given, `VersionId`."""
    tree = ElementTree.fromstring(body)  # noqa: S314 - our own function's request
    return [
        {part.tag.rpartition("}")[2]: part.text or "" for part in each} for each in tree if each.tag.endswith("Object")
    ]


@functools.cache
def _model(service: str) -> botocore.model.ServiceModel:
    return botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model(service, "service-2"), service)


@functools.cache
def _routes(service: str) -> list[tuple[str, str, re.Pattern[str], dict[str, str], int]]:
    """Return each operation's name, method, path pattern, fixed query, and the length of the fixed part of its path."""
    routes = []
    for name in _model(service).operation_names:
        http = _model(service).operation_model(name).http
        uri = urlsplit(http["requestUri"])
        pattern, weight = "", 0
        for literal, variable, greedy in re.findall(r"([^{]+)|\{(\w+)(\+?)\}", uri.path.rstrip("/") or "/"):
            weight += len(literal) + (1 if variable else 0)
            pattern += re.escape(literal) if literal else f"(?P<{variable}>{'.+' if greedy else '[^/]+'})"
        query = dict(parse_qsl(uri.query, keep_blank_values=True))
        routes.append((name, http["method"], re.compile(pattern), query, weight))
    return routes


def _error(fault: Fault, request: _Request) -> _Answer:
    """Return an error in the words and the protocol of the service."""
    status, code, message = {
        Fault.ERROR: (500, "InternalServerError", "The request failed because of an internal error"),
        Fault.UNAVAILABLE: (503, "ServiceUnavailable", "The service is unavailable"),
        Fault.THROTTLED: (400, _throttled(request), "Rate exceeded"),
    }[fault]
    if request.protocol == "rest-xml":
        status = 503 if fault is Fault.THROTTLED else status
        text = f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>proxy</RequestId></Error>"
        return _Answer(status, [("Content-Type", "application/xml")], text.encode())
    if request.protocol == "query":
        text = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
            "<RequestId>proxy</RequestId></ErrorResponse>"
        )
        return _Answer(status, [("Content-Type", "text/xml")], text.encode())
    if request.protocol == "rest-json":
        status = 429 if fault is Fault.THROTTLED else status
        headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", code)]
        return _Answer(status, headers, json.dumps({"message": message}).encode())
    if request.protocol == "smithy-rpc-v2-cbor":
        headers = [("Content-Type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")]
        return _Answer(status, headers, _cbor({"__type": code, "message": message}))
    return _Answer(
        status,
        [("Content-Type", "application/x-amz-json-1.0")],
        json.dumps({"__type": code, "message": message}).encode(),
    )


def _throttled(request: _Request) -> str:
    """Return the operation's error code for throttling. The models of S3 and SNS have none."""
    if request.protocol == "rest-xml":
        return "SlowDown"
    known = [shape.name for shape in _model(request.service).operation_model(request.operation).error_shapes]
    return next((name for name in known if re.search("Throttl|TooManyRequests", name)), "ThrottlingException")


def _cbor(texts: Mapping[str, str]) -> bytes:
    """Encode a map of texts of up to 255 bytes (RFC 8949, sections 3 and 3.1)."""
    encoded = bytearray([0xA0 | len(texts)])
    for text in (part for item in texts.items() for part in item):
        encoded += bytes([0x78, len(text.encode())]) + text.encode()
    return bytes(encoded)
