"""Background processes that outlive their parent and are identified by pid and start time."""

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
    """A started process. `started` distinguishes it from a later process with the same pid."""

    pid: int
    started: str

    def alive(self) -> bool:
        """Return True if this process still runs."""
        with contextlib.suppress(ChildProcessError):  # another process's child, or already collected
            os.waitpid(self.pid, os.WNOHANG)
        return _start_time(self.pid) == self.started

    def stop(self, grace_seconds: float = 1.0) -> None:
        """Stop the process and its children, first with SIGTERM, then with SIGKILL."""
        for sent in (signal.SIGTERM, signal.SIGKILL):
            if not self.alive():
                break
            _signal_group(self.pid, sent)
            deadline = time.monotonic() + grace_seconds
            while self.alive() and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
        if self.alive():
            raise LocalAwsError(f"process {self.pid} still runs after SIGKILL")
        _signal_group(self.pid, signal.SIGKILL)  # the children that still run


def start(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Process:
    """Start `command` in its own session, with its output in `log`."""
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
        raise LocalAwsError(f"{command[0]} ended at once. Its output is in {log}")
    return Process(pid, started)


def start_module(module: str, *arguments: str, environment: Mapping[str, str], log: Path) -> Process:
    """Start a module of this package with this interpreter. The package need not be installed."""
    checkout = str(Path(__file__).parents[1])
    return start([sys.executable, "-m", module, *arguments], {**environment, "PYTHONPATH": checkout}, log)


def wait_until(running: Process, ready: Callable[[], bool], name: str, log: Path) -> None:
    """Wait until `ready`. Raise an error with the end of the log if the process has ended or takes too long."""
    deadline = time.monotonic() + _READY_SECONDS
    while not ready():
        if not running.alive():
            raise LocalAwsError(f"{name} has ended. The end of {log}:\n{read_tail(log)}")
        if time.monotonic() > deadline:
            raise LocalAwsError(f"{name} did not answer within {_READY_SECONDS:.0f} s. Its output is in {log}")
        time.sleep(_POLL_SECONDS)


def read_tail(log: Path, lines: int = 20) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def _start_time(pid: int) -> str | None:
    """Return the start time of a process in the system's own format, or None if it does not run or is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _ask_ps_for_start_time(pid)
    except ProcessLookupError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name in front may contain spaces
    state, start_ticks = fields[0], fields[19]
    return None if state in {"Z", "X"} else start_ticks


def _ask_ps_for_start_time(pid: int) -> str | None:
    """Return the start time on a system without /proc."""
    ps = shutil.which("ps")
    if ps is None:
        raise LocalAwsError("cannot see which processes run: this system has neither /proc nor the command ps")
    shown = subprocess.run(  # noqa: S603 - a fixed command
        [ps, "-o", "state=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split(maxsplit=1)
    return None if len(shown) < 2 or shown[0].startswith("Z") else shown[1].strip()
