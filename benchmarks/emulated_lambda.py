"""The processor under Lambda's own Runtime Interface Emulator, held to a share of one processor.

AWS SAM CLI brings the emulator, and `awslambdaric` is Lambda's own runtime: both are development dependencies. Needs
Linux, where /proc names the runtime's process.
"""

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import samcli  # type: ignore[import-untyped]

from bedrock_quota.registry.sources import read_sources
from benchmarks.memory import ROOT, TAGS

TIMEOUT_SECONDS = 60

PERIOD_SECONDS = 0.1

_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}

_START = """
import pathlib, sys
from bedrock_quota.registry import models
models.COMPILED_REGISTRY = pathlib.Path({registry!r})
sys.path.insert(0, {function!r})
from app import handler
"""


class Answer(msgspec.Struct, frozen=True):
    """The function's response, or the emulator's error, the seconds that passed, and the CPU seconds of the runtime."""

    text: str
    seconds: float
    cpu_seconds: float


Invoke = Callable[[bytes], Answer]
"""Sends an event to the function."""


@contextmanager
def throttled(share: float) -> Iterator[Invoke]:
    """Start the processor, let it import, and then hold it to a `share` of one processor."""
    emulator = Path(samcli.__file__).parent / "local" / "rapid"
    emulator /= f"aws-lambda-rie-{_ARCHITECTURES[platform.machine().lower()]}"
    with tempfile.TemporaryDirectory() as directory:
        registry = Path(directory, "registry.json")
        registry.write_bytes(msgspec.json.encode(read_sources(ROOT / "registry" / "models")))
        function = str(ROOT / "functions" / "metric_processor")
        Path(directory, "start.py").write_text(_START.format(registry=str(registry), function=function))
        port, runtime_port = _free_ports(2)
        process = subprocess.Popen(
            [
                emulator,
                *("--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
                *("--runtime-api-address", f"127.0.0.1:{runtime_port}"),
                *(sys.executable, "-m", "awslambdaric", "start.handler"),
            ],
            cwd=directory,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join([directory, str(ROOT / "layers" / "core")]),
                "AWS_LAMBDA_FUNCTION_NAME": "processor",
                "AWS_LAMBDA_FUNCTION_TIMEOUT": str(TIMEOUT_SECONDS),
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
                "AWS_DEFAULT_REGION": "us-east-1",
                "REQUEST_METADATA_KEYS": ",".join(TAGS),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        over = threading.Event()
        holder = threading.Thread(target=_hold, args=(process.pid, share, over))
        try:
            _wait_until_it_answers(port)
            holder.start()
            yield lambda event: _measure(process.pid, port, event)
        finally:
            over.set()
            if holder.ident is not None:
                holder.join()
            process.terminate()
            process.wait()


def _free_ports(count: int) -> list[int]:
    opened = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in opened]
    for each in opened:
        each.close()
    return ports


def _hold(pid: int, share: float, over: threading.Event) -> None:
    """Stop the children of a process for all but a `share` of each period."""
    while not over.is_set():
        children = _list_children(pid)
        _signal(children, signal.SIGSTOP)
        time.sleep(PERIOD_SECONDS * (1 - share))
        _signal(children, signal.SIGCONT)
        time.sleep(PERIOD_SECONDS * share)


def _list_children(pid: int) -> list[int]:
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # a thread that has ended
            children += [int(child) for child in (task / "children").read_text().split()]
    return children


def _signal(processes: list[int], number: signal.Signals) -> None:
    for each in processes:
        with suppress(ProcessLookupError):
            os.kill(each, number)


def _wait_until_it_answers(port: int, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    control = json.dumps({"awslogs": {"data": "AAAA"}}).encode()
    while True:
        with suppress(urllib.error.URLError):
            _invoke(port, control)
            return
        if time.monotonic() > deadline:
            raise TimeoutError("the emulator does not answer")
        time.sleep(0.1)


def _measure(pid: int, port: int, event: bytes) -> Answer:
    before, began = _read_cpu_seconds(pid), time.monotonic()
    text = _invoke(port, event)
    return Answer(text, time.monotonic() - began, _read_cpu_seconds(pid) - before)


def _read_cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that the children of a process have taken."""
    ticks = 0
    for child in _list_children(pid):
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _invoke(port: int, event: bytes) -> str:
    url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
    request = urllib.request.Request(url, data=event)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=2 * TIMEOUT_SECONDS) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as failed:
        return failed.read().decode()
