"""Serve an AWS endpoint that answers at once. It has its own process, so only the caller's CPU is measured."""

import base64
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from bedrock_quota.state.snapshot import Snapshot

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1",
}
"""Credentials that are valid nowhere."""

_SERVER = """
import http.server, sys

stored = sys.argv[1].encode()

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        target = self.headers.get("X-Amz-Target", "")
        body = stored if target.endswith(".GetItem") else b"{}" if target else b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-amzn-RequestId", "0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *of):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@contextmanager
def answering(snapshot: Snapshot | None = None) -> Iterator[dict[str, str]]:
    """Serve CloudWatch, and a DynamoDB that takes every write and has a snapshot. Yields the environment for it."""
    data = base64.b64encode(zlib.compress(msgspec.json.encode(snapshot))).decode()
    stored = f'{{"Item":{{"id":{{"S":"quotas"}},"data":{{"B":"{data}"}}}}}}' if snapshot is not None else "{}"
    server = subprocess.Popen([sys.executable, "-c", _SERVER, stored], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None  # noqa: S101 - Popen was given a pipe
        yield CREDENTIALS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{int(server.stdout.readline())}"}
    finally:
        server.terminate()
        server.communicate()


@contextmanager
def environment(given: dict[str, str]) -> Iterator[None]:
    """Set environment variables while the block runs."""
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
