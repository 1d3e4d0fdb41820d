"""A background process that outlives the one that started it, and is known again later by pid and start time."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from localaws.errors import LocalAwsError

_POLL_SECONDS = 0.02
_READY_SECONDS = 30.0


class Process(msgspec.Struct, frozen=True):
    """A started process; `started` tells it from a later one that was given the same pid."""

    pid: int
    started: str

    def alive(self) -> bool:
        """Whether this very process still runs."""
        with contextlib.suppress(ChildProcessError):  # another process's child, or long collected
            os.waitpid(self.pid, os.WNOHANG)
        return _start_time(self.pid) == self.started

    def stop(self, grace_seconds: float = 5.0) -> None:
        """End it and all it started: politely, then by force."""
        for sent in (signal.SIGTERM, signal.SIGKILL):
            if not self.alive():
                break
            _signal_group(self.pid, sent)
            deadline = time.monotonic() + grace_seconds
            while self.alive() and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
        if self.alive():
            raise LocalAwsError(f"process {self.pid} does not end, even by SIGKILL")
        _signal_group(self.pid, signal.SIGKILL)  # what it started and left behind


def start(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Process:
    """Start `command` in a session of its own, its output going to `log`."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        pid = os.posix_spawn(
            command[0],
            list(command),
            dict(environment),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ],
            setsid=True,
        )
    finally:
        os.close(output)
    started = _start_time(pid)
    if started is None:
        raise LocalAwsError(f"{command[0]} ended at once; its output is in {log}")
    return Process(pid, started)


def start_module(module: str, *arguments: str, environment: Mapping[str, str], log: Path) -> Process:
    """Start a module of this package with this interpreter, whether or not the package is installed."""
    checkout = str(Path(__file__).parents[1])
    return start([sys.executable, "-m", module, *arguments], {**environment, "PYTHONPATH": checkout}, log)


def wait_until(running: Process, ready: Callable[[], bool], name: str, log: Path) -> None:
    """Return as soon as `ready`; raise, with the end of its log, if the process has ended or takes too long."""
    deadline = time.monotonic() + _READY_SECONDS
    while not ready():
        if not running.alive():
            raise LocalAwsError(f"{name} has ended; the end of {log}:\n{read_tail(log)}")
        if time.monotonic() > deadline:
            raise LocalAwsError(f"{name} does not answer after {_READY_SECONDS:.0f} s; see {log}")
        time.sleep(_POLL_SECONDS)


def read_tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def _start_time(pid: int) -> str | None:
    """When the process began, in whatever words this system has for it; None when there is none (or a zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _ask_ps_for_start_time(pid)
    except ProcessLookupError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces
    state, start_ticks = fields[0], fields[19]
    return None if state in {"Z", "X"} else start_ticks


def _ask_ps_for_start_time(pid: int) -> str | None:
    """The same on a system without /proc."""
    ps = shutil.which("ps")
    if ps is None:
        raise LocalAwsError("neither /proc nor the command ps is here to tell which processes run")
    shown = subprocess.run(  # noqa: S603 - a fixed command
        [ps, "-o", "state=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split(maxsplit=1)
    return None if len(shown) < 2 or shown[0].startswith("Z") else shown[1].strip()
