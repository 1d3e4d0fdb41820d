"""Bodies in S3 that come by the byte: each read ends at its deadline, and leaves no thread and no buffer behind."""

import datetime
import gzip
import ipaddress
import logging
import random
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from botocore.exceptions import ConnectionClosedError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bedrock_quota import clients
from bedrock_quota.interruption import Interruption
from bedrock_quota.processor import large_bodies
from bedrock_quota.processor.look_up import MissingBody

DELIVERIES, BODIES = 25, 4
SECONDS = 0.2
"""In place of the 5 seconds of a delivery, or the 1.5 seconds of a body."""

GOOD = gzip.compress(b'{"max_tokens":9}')
TRICKLES = [
    pytest.param("silent", id="no answer"),
    pytest.param("headers", id="headers by the byte"),
    pytest.param("error", id="an error by the byte"),
    pytest.param("body", id="a body by the byte"),
    pytest.param("endless", id="a body of unknown length by the byte"),
]


class S3(BaseHTTPRequestHandler):
    """An S3 whose answer for a key is as the key begins: one of `TRICKLES`, "large", or else a good body."""

    protocol_version = "HTTP/1.1"
    large: ClassVar[bytes] = b""
    over: ClassVar = threading.Event()
    requests: ClassVar[Counter[str]] = Counter()
    connected: ClassVar[list[int]] = []
    open_connections: ClassVar[set[int]] = set()

    def setup(self) -> None:
        super().setup()
        self.connected.append(self.client_address[1])
        self.open_connections.add(self.client_address[1])

    def finish(self) -> None:
        self.open_connections.discard(self.client_address[1])
        super().finish()

    def do_GET(self) -> None:
        key = self.path.rpartition("/")[2]
        self.requests[key] += 1
        kind = key.partition("-")[0]
        try:
            if kind == "silent":
                self.rfile.read(1)
            elif kind == "headers":
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                self.trickle(b"x-a: b\r\n")
            elif kind == "error":
                self.answer(403, b"<Error>", 100_000)
                self.trickle(b" ")
            elif kind == "body":
                self.answer(200, GOOD[:5], 100_000)
                self.trickle(b"\0")
            elif kind == "endless":
                self.answer(200, GOOD[:5], None)
                self.trickle(GOOD[5:6])
            elif kind == "large":
                self.answer(200, self.large[:-100], len(self.large) + 200_000)
                self.trickle(b"\0")
            else:
                self.answer(200, GOOD, len(GOOD))
                return
        except OSError:  # the reader has gone, as it must
            pass
        self.close_connection = True

    def answer(self, status: int, body: bytes, length: int | None) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def trickle(self, piece: bytes) -> None:
        while not self.over.wait(0.05):
            self.wfile.write(piece)
            self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing."""


def make_certificate(directory: Path) -> Path:
    """Return a file with a key and a certificate for 127.0.0.1 that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "S3 of a test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file = directory / "certificate.pem"
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


@pytest.fixture(params=["http", "https"])
def s3(
    request: pytest.FixtureRequest,
    no_aws: None,  # noqa: ARG001 - made before this one
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[type[S3]]:
    class Served(S3):
        over = threading.Event()
        requests: ClassVar[Counter[str]] = Counter()
        connected: ClassVar[list[int]] = []
        open_connections: ClassVar[set[int]] = set()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Served)
    server.daemon_threads = True
    if request.param == "https":
        certificate = make_certificate(tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"{request.param}://127.0.0.1:{server.server_port}")
    clients.large_bodies.cache_clear()
    clients.large_bodies()
    try:
        yield Served
    finally:
        Served.over.set()
        clients.large_bodies().close()
        clients.large_bodies.cache_clear()
        server.shutdown()
        thread.join()
        server.server_close()


over_http = pytest.mark.parametrize("s3", ["http"], indirect=True)


def reading_threads() -> int:
    return sum(thread.name.startswith("ThreadPoolExecutor") for thread in threading.enumerate())


def resident_mib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


def comes_true(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


@pytest.mark.parametrize("kind", TRICKLES)
def test_read_ends_whatever_it_waits_for(s3: type[S3], monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(large_bodies, "SECONDS_PER_BODY", SECONDS)
    paths = [f"s3://bucket/{kind}-{number}" for number in range(3)]
    attempts: list[str] = []
    clients.large_bodies().meta.events.register(
        "before-send.s3.GetObject", lambda request, **_: attempts.append(request.url)
    )

    fetched = large_bodies.fetch_bodies(paths, "bucket")

    # each is asked for once, and may be read again later
    assert fetched.missing == dict.fromkeys(paths, MissingBody("too_slow"))
    assert s3.requests == {f"{kind}-{number}": 1 for number in range(3)}
    assert len(attempts) == 3
    # and nothing stays: neither a thread nor a connection
    assert reading_threads() == 0
    assert comes_true(lambda: not s3.open_connections)


@over_http
def test_bodies_behind_slow_ones_are_read(s3: type[S3], monkeypatch: pytest.MonkeyPatch) -> None:
    # given as many slow bodies as are read at a time, and others behind them
    monkeypatch.setattr(large_bodies, "SECONDS_PER_BODY", SECONDS)
    slow = [f"s3://bucket/{kind}" for kind in ("headers", "body")]
    good = [f"s3://bucket/good-{number}" for number in range(20)]
    assert len(slow) == large_bodies.PARALLEL_READS

    fetched = large_bodies.fetch_bodies(slow + good, "bucket")

    assert fetched.found.keys() == set(good)
    assert fetched.missing == dict.fromkeys(slow, MissingBody("too_slow"))
    assert sum(s3.requests.values()) == 22


@over_http
@pytest.mark.usefixtures("s3")
def test_interrupting_logs_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(large_bodies, "SECONDS_PER_BODY", SECONDS)
    paths = [f"s3://bucket/good-{number}" for number in range(30)] + ["s3://bucket/body", "s3://bucket/headers"]

    with caplog.at_level(logging.INFO):
        fetched = large_bodies.fetch_bodies(paths, "bucket")

    assert len(fetched.found) == 30
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


def test_end_of_a_read_leaves_the_next_user_of_its_connection_alone(s3: type[S3]) -> None:
    client = clients.large_bodies()
    with Interruption() as first:
        large_bodies.read_body("s3://bucket/good-1", "bucket", client)
    with Interruption():
        large_bodies.read_body("s3://bucket/good-2", "bucket", client)
        first.end()
        large_bodies.read_body("s3://bucket/good-3", "bucket", client)
    assert len(s3.connected) == 1


def test_nothing_is_requested_after_the_end(s3: type[S3]) -> None:
    with Interruption() as interruption:
        interruption.end()
        with pytest.raises(ConnectionClosedError):
            large_bodies.read_body("s3://bucket/good", "bucket", clients.large_bodies())
    assert not s3.requests
    # and the thread may make other requests
    assert large_bodies.read_body("s3://bucket/good", "bucket", clients.large_bodies()).max_tokens == 9


@over_http
def test_reads_that_trickle_end_at_their_deadline_and_leave_nothing_behind(
    s3: type[S3], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given deliveries whose bodies of 7 MB trickle at their end
    monkeypatch.setattr(large_bodies, "SECONDS_PER_DELIVERY", SECONDS)
    draw = random.Random(1)
    text = b'{"max_tokens":1000,"prompt":"' + b"".join(
        bytes(draw.choices(b"abcdef", k=64)) + b"x" * 4_000 for _ in range(1_700)
    )
    s3.large = gzip.compress(text, 1)
    resident, longest = [], 0.0
    # when they come one after another, 100 bodies in all
    for number in range(DELIVERIES):
        began = time.monotonic()
        found = large_bodies.fetch_bodies([f"s3://bucket/large-{number}-{body}" for body in range(BODIES)], "bucket")
        longest = max(longest, time.monotonic() - began)
        # then none is known, and nobody reads on
        assert not found.found
        assert reading_threads() == 0
        resident.append(resident_mib())
    # and each ended at its deadline, with memory as after the first few: what is left behind is 14 MB per delivery
    assert longest < SECONDS + large_bodies.SECONDS_TO_END
    assert resident[-1] - resident[4] <= 2 * 14
