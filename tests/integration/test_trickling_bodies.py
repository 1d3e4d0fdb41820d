"""Bodies in S3 that come by the byte: each read ends at its deadline, and leaves no thread and no buffer behind."""

import gzip
import random
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bedrock_quota import clients
from bedrock_quota.processor import large_bodies

DELIVERIES, BODIES = 25, 4
SECONDS = 0.2
"""In place of the 5 seconds of a delivery."""


@pytest.fixture
def trickling(no_aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:  # noqa: ARG001 - made before this one
    """An S3 that sends most of a body of 7 MB at once, and after that a byte in 50 ms."""
    draw = random.Random(1)
    text = b'{"max_tokens":1000,"prompt":"' + b"".join(
        bytes(draw.choices(b"abcdef", k=64)) + b"x" * 4_000 for _ in range(1_700)
    )
    compressed = gzip.compress(text, 1)
    over = threading.Event()

    class S3(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(compressed) + 200_000))
            self.end_headers()
            try:
                self.wfile.write(compressed[:-100])
                while not over.wait(0.05):
                    self.wfile.write(b"\0")
                    self.wfile.flush()
            except OSError:  # the reader has gone, as it must
                pass
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), S3)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    clients.large_bodies.cache_clear()
    try:
        yield
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def reading_threads() -> int:
    return sum(thread.name.startswith("ThreadPoolExecutor") for thread in threading.enumerate())


def resident_mib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


@pytest.mark.usefixtures("trickling")
def test_reads_that_trickle_end_at_their_deadline_and_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    # given deliveries whose bodies trickle
    monkeypatch.setattr(large_bodies, "SECONDS_PER_DELIVERY", SECONDS)
    resident, longest = [], 0.0
    # when they come one after another, 100 bodies in all
    for number in range(DELIVERIES):
        began = time.monotonic()
        found = large_bodies.fetch_bodies([f"s3://bucket/{number}-{body}" for body in range(BODIES)], "bucket")
        longest = max(longest, time.monotonic() - began)
        # then none is known, and nobody reads on
        assert not found.found
        assert reading_threads() == 0
        resident.append(resident_mib())
    # and each ended at its deadline, with memory as after the first few: what is left behind is 14 MB per delivery
    assert longest < SECONDS + large_bodies.SECONDS_TO_END
    assert resident[-1] - resident[4] <= 2 * 14
