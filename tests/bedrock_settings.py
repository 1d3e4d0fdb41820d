"""Bedrock's API for invocation logging, below the SDK: the very bytes of each request and answer."""

import io
import json
from collections.abc import Iterator
from typing import Any

import botocore.session
import msgspec
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config


class Exchange(msgspec.Struct, frozen=True):
    """A request that is expected, and its answer. `sent` is the parsed body, or None if any body will do."""

    method: str
    sent: Any
    status: int
    answer: bytes


class BedrockSettings:
    """A client of Bedrock, and what it will be asked, in order. It sends nothing."""

    def __init__(self, sdk: botocore.session.Session | None = None) -> None:
        self.client: Any = (sdk or botocore.session.get_session()).create_client(
            "bedrock",
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            config=Config(retries={"total_max_attempts": 1}),
        )
        self.client.meta.events.register("before-send.bedrock.*", self._answer)
        self.bodies: list[bytes] = []
        """Bodies that were put, byte by byte."""
        self._expected: list[Exchange] = []

    def expect(
        self, method: str, sent: Any = None, *, answer: Any = None, refusal: tuple[str, str] | None = None
    ) -> None:
        """Expect a request, and answer it with JSON (bytes are sent as they are) or with an error."""
        if refusal is not None:
            code, message = refusal
            self._expected.append(
                Exchange(method, sent, 400, json.dumps({"__type": code, "message": message}).encode())
            )
            return
        body = answer if isinstance(answer, bytes) else json.dumps({} if answer is None else answer).encode()
        self._expected.append(Exchange(method, sent, 200, body))

    def assert_no_pending_responses(self) -> None:
        """Raise if an expected request did not come."""
        assert self._expected == []

    def _answer(self, request: AWSPreparedRequest, **_event: object) -> AWSResponse:
        assert request.url.endswith("/logging/modelinvocations")
        assert self._expected, f"unexpected {request.method}"
        exchange = self._expected.pop(0)
        assert request.method == exchange.method
        if request.method == "PUT":
            assert isinstance(request.body, bytes)
            assert request.headers["Content-Length"] == str(len(request.body))
            self.bodies.append(request.body)
            assert exchange.sent is None or json.loads(request.body) == exchange.sent
        headers = {"Content-Type": "application/json"}
        return AWSResponse(request.url, exchange.status, headers, _Stream(exchange.answer))


class _Stream(io.BytesIO):
    """A body as urllib3 hands it over."""

    def stream(self) -> Iterator[bytes]:
        yield self.getvalue()
