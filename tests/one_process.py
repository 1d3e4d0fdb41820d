"""Keep code within its own process: refuse every process that it starts, and every socket that it binds or connects."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import urllib3.util.connection  # noqa: F401 - binds a socket when it is imported, to see if there is IPv6

FORBIDDEN = frozenset(
    {
        *("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system"),
        *("socket.bind", "socket.connect"),
    }
)
"""Audit events, from https://docs.python.org/3/library/audit_events.html (read 2026-11-28)."""


class LeftProcessError(RuntimeError):
    """The code started a process or opened a connection."""


_refusals: list[list[str]] = []


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if _refusals and event in FORBIDDEN:
        _refusals[-1].append(f"{event}{arguments!r:.200}")
        raise LeftProcessError(f"{event} is for tests/integration, not for tests/unit")


sys.addaudithook(_audit)  # Python cannot remove a hook, so this one does nothing outside `kept`


@contextmanager
def kept() -> Iterator[list[str]]:
    """Refuse what leaves the process. Yield the refusals so far, because the code under test may catch the error."""
    refused: list[str] = []
    _refusals.append(refused)
    try:
        yield refused
    finally:
        _refusals.pop()
