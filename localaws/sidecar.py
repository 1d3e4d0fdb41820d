"""The process beside the emulator. It serves Service Quotas and the dashboard preview, and turns logs into metrics.

    python -m localaws.sidecar --state .localaws

`GET /health` returns `Counters`. `POST /drain` also returns them, after all events that were logged before the request
have been read.
"""

import argparse
import logging
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from localaws import local_http, process, service_quotas
from localaws.account import LOOPBACK, Account
from localaws.counters import Counters
from localaws.preview import server as preview
from localaws.process import Process
from localaws.state import StateDirectory
from localaws.tail import Tail

logger = logging.getLogger("localaws.sidecar")

_SHORTEST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 1.0, 10.0
_WAIT_PER_PASS = 9.0  # times the length of the last pass: reading takes a tenth of the emulator's time, if it is quick
_GIVE_UP_SECONDS = 30.0  # longer than several waits, so that one failed pass does not end it
_MAX_BODY_BYTES = 1024 * 1024


class Follower:
    """Reads the functions' logs, continuously and on demand."""

    def __init__(self, tail: Tail, counters: Counters) -> None:
        self.counters = counters
        self._tail = tail
        self._turn = threading.Lock()

    def follow(self) -> None:
        """Run passes until the emulator has not answered for a while."""
        answered = time.monotonic()
        while True:
            began = time.monotonic()
            try:
                with self._turn:
                    self._tail.run_pass()
            except (BotoCoreError, ClientError) as error:
                self.counters.unreachable = str(error)
                logger.warning("the emulator does not answer: %s", error)
                if time.monotonic() - answered > _GIVE_UP_SECONDS:
                    return
            else:
                self.counters.unreachable = ""
                answered = time.monotonic()
            time.sleep(choose_wait(time.monotonic() - began))

    def drain(self) -> None:
        """Run one whole pass, which reads all events logged before it began."""
        with self._turn:
            self._tail.run_pass()


def choose_wait(pass_seconds: float) -> float:
    """Return the seconds to wait after a pass of this length."""
    return min(max(_SHORTEST_WAIT_SECONDS, _WAIT_PER_PASS * pass_seconds), _LONGEST_WAIT_SECONDS)


class Server(ThreadingHTTPServer):
    """Answers all requests to the sidecar on one port."""

    daemon_threads = True

    def __init__(self, port: int, quotas: service_quotas.ServiceQuotas, follower: Follower | None = None) -> None:
        super().__init__((LOOPBACK, port), _Handler)
        self.quotas = quotas
        self.follower = follower


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet per answer: a second one would wait 40 ms for a delayed acknowledgement
    server: Server

    def do_GET(self) -> None:
        if self.path == "/health" and self.server.follower is not None:
            self._answer(200, self.server.follower.counters)
        else:
            self._answer(404, {"message": f"nothing at {self.path}"})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > _MAX_BODY_BYTES:
            self.close_connection = True
            self._answer(413, {"message": f"the body is over {_MAX_BODY_BYTES:,} bytes"})
            return
        body = self.rfile.read(length)
        if self.path == "/drain" and self.server.follower is not None:
            self._drain(self.server.follower)
        else:
            status, document = self.server.quotas.answer(self.headers.get("X-Amz-Target", ""), body)
            self._answer(status, document)

    def _drain(self, follower: Follower) -> None:
        try:
            follower.drain()
        except (BotoCoreError, ClientError) as error:
            self._answer(503, {"message": f"the emulator does not answer: {error}"})
        else:
            self._answer(200, follower.counters)

    def _answer(self, status: int, document: Any) -> None:
        body = msgspec.json.encode(document)
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        logger.debug(format, *args)


def start(account: Account, directory: StateDirectory) -> Process:
    """Start the sidecar for the local AWS that `directory` describes."""
    return process.start_module(
        "localaws.sidecar",
        *("--state", str(directory.path)),
        environment=account.environment(os.environ),
        log=directory.sidecar_log,
    )


def wait_until_ready(running: Process, account: Account, log: Path) -> None:
    """Return as soon as the sidecar answers. Raise an error if it has ended or takes too long."""
    process.wait_until(running, lambda: local_http.answers(f"{account.service_quotas_url}/health"), "the sidecar", log)


def main() -> None:
    """Serve until the emulator has stopped."""
    parser = argparse.ArgumentParser(description="Service Quotas and metrics beside a running emulator")
    parser.add_argument("--state", type=Path, required=True, help="directory of state.json")
    state = StateDirectory(parser.parse_args().state).read()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    account = state.account()
    counters = Counters()
    follower = Follower(Tail(account.session(), counters), counters)
    quotas = service_quotas.ServiceQuotas(service_quotas.load(), region=account.region, account=account.id)
    dashboards = preview.Server(LOOPBACK, state.ports.preview, preview.Dashboards(account.session()))
    with Server(state.ports.sidecar, quotas, follower) as server, dashboards:
        threading.Thread(target=dashboards.serve_forever, daemon=True).start()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        logger.info("serving on %s", state.ports.sidecar)
        follower.follow()
        logger.error("the emulator has not answered for %s s: stopping", _GIVE_UP_SECONDS)
        server.shutdown()
        dashboards.shutdown()


if __name__ == "__main__":
    main()
