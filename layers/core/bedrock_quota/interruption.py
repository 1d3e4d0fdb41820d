"""Requests of an AWS client that another thread can end, whatever they wait for.

The read timeout of botocore starts again with each byte, so an answer that trickles has no end. A thread that waits for
one only ends with its connection. Import this module together with boto3, because it needs sockets.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import weakref
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from botocore.client import BaseClient

_logger = logging.getLogger(__name__)

_lock = threading.Lock()
_current = threading.local()
_users: weakref.WeakKeyDictionary[socket.socket, Interruption] = weakref.WeakKeyDictionary()
"""The last one to send a request over each open connection. Connections are used again, by other threads too."""


class Interruption:
    """The end of all requests that a thread makes inside of this context. Any other thread may call `end`."""

    is_over = False

    def __enter__(self) -> Self:
        _current.interruption = self
        return self

    def __exit__(self, *_error: object) -> None:
        _current.interruption = None

    def end(self) -> None:
        """Shut down the connections in use, and refuse every further request. Never raises."""
        with _lock:
            self.is_over = True
            for line in [line for line, user in _users.items() if user is self]:
                with contextlib.suppress(OSError):  # closed by now
                    # that of an SSLSocket also drops the TLS state, which the waiting thread uses
                    socket.socket.shutdown(line, socket.SHUT_RDWR)


def make_interruptible(client: BaseClient) -> None:
    """Let an `Interruption` end the requests of a client. Never raises.

    botocore names no way to the connections of a client, so this takes private attributes. They are the same in
    botocore 1.34.162, 1.40.76, 1.43.106 and 1.44.8 (tried 2026-11-28). Without them, only its timeouts end a request.
    """
    try:
        # a handler for a longer name answers before botocore's own
        event = f"needs-retry.{client.meta.service_model.service_id.hyphenize()}.*"
        client.meta.events.register_first(event, _refuse_retry)
        pools = client._endpoint.http_session._pool_classes_by_scheme  # type: ignore[attr-defined]
        pools.update({scheme: _with_users(pool) for scheme, pool in pools.items()})
    except Exception as error:  # noqa: BLE001 - reads work without it
        _logger.warning("requests cannot be interrupted", extra={"error": type(error).__name__})


def _refuse_retry(caught_exception: Exception | None = None, **_attempt: object) -> None:
    """Raise the error of an attempt that is over, instead of the answer False: botocore 1.40.76 retries after that."""
    if caught_exception is not None and _find_interruption().is_over:
        raise caught_exception


def _with_users(pool: type[Any]) -> type[Any]:
    """Return a pool class of urllib3 that notes who uses each connection."""
    base = pool.ConnectionCls

    def connect(connection: Any) -> None:
        base.connect(connection)
        _note_user(connection)

    def request(connection: Any, *arguments: Any, **named: Any) -> Any:
        _note_user(connection)
        return base.request(connection, *arguments, **named)

    interruptible = type(base.__name__, (base,), {"connect": connect, "request": request})
    return type(pool.__name__, (pool,), {"ConnectionCls": interruptible})


def _note_user(connection: Any) -> None:
    """Raise an error, which urllib3 takes for one of the network, if the thread's requests are over."""
    interruption = _find_interruption()
    with _lock:
        if interruption.is_over:
            raise ConnectionAbortedError("interrupted")
        if connection.sock is not None:  # None before `connect`
            _users[connection.sock] = interruption


def _find_interruption() -> Interruption:
    """Return that of this thread, or one that nobody ends."""
    found: Interruption | None = getattr(_current, "interruption", None)
    return found or Interruption()
