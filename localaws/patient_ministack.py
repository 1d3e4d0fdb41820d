"""MiniStack, with more patience for what functions print, and S3's own rule for buckets that go.

`python -m localaws.patient_ministack`.

MiniStack 1.5.33 takes a finished invocation's lines from a pipe and stops at the first 5 ms without one, or after 50 ms
without any. On a busy machine lines are still under way then: they come with the function's next invocation, or never.
All of them are in the pipe by the time the function has answered; here it is read until it is empty.

Its CloudFormation deletes a bucket with all that is in it. S3 refuses that (API reference, DeleteBucket, read
2026-11-24), and so does this.

And a stack that makes a function ends running functions of the same name in other Regions, too: here, in its own alone.
"""

import array
import fcntl
import functools
import inspect
import os
import termios
import time
from collections.abc import Callable
from typing import Any

from ministack import app  # type: ignore[import-untyped]
from ministack.core.lambda_runtime import Worker  # type: ignore[import-untyped]
from ministack.core.responses import get_account_id, get_region  # type: ignore[import-untyped]
from ministack.services import lambda_svc, s3  # type: ignore[import-untyped]
from ministack.services.cloudformation import provisioners  # type: ignore[import-untyped]

_WAITS = {"first_line_wait": 0.1, "idle_confirm": 0.1, "hard_cap": 10.0}
"""Seconds, from when the pipe is empty: MiniStack's own thread has the lines then, and is about to hand them over."""

_LONGEST_SECONDS = 10.0


def main() -> None:
    """Run MiniStack as its own command would."""
    os.environ.pop("PYTHONPATH", None)  # it led here; the functions it runs must not inherit it
    drain = Worker._drain_stderr_bounded
    unknown = _WAITS.keys() - inspect.signature(drain).parameters.keys()
    if unknown:
        raise RuntimeError(f"this MiniStack has no such waits any more: {sorted(unknown)}")

    @functools.wraps(drain)
    def drain_all(worker: Any) -> str:
        if worker._proc is not None:  # None where the function has ended
            _await_empty(worker._proc.stderr.fileno())
        return str(drain(worker, **_WAITS))

    Worker._drain_stderr_bounded = drain_all
    of_buckets = provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]
    of_buckets["delete"] = functools.partial(_delete_if_empty, of_buckets["delete"])
    lambda_svc.invalidate_worker = functools.partial(_end_here, lambda_svc.invalidate_worker)
    app.main()


def _end_here(end: Callable[..., None], function: str, **of: Any) -> None:
    end(function, **{"account": get_account_id(), "region": get_region(), **of})


def _delete_if_empty(delete: Callable[[str, Any], None], bucket: str, properties: Any) -> None:
    held = s3._buckets.get(bucket)
    if held is not None and (held["objects"] or s3._bucket_has_versions(bucket)):
        raise RuntimeError(f"The bucket you tried to delete is not empty: {bucket}")
    delete(bucket, properties)


def _await_empty(pipe: int) -> None:
    deadline = time.monotonic() + _LONGEST_SECONDS
    while _unread_bytes(pipe) and time.monotonic() < deadline:
        time.sleep(0.001)


def _unread_bytes(pipe: int) -> int:
    waiting = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, waiting)
    return waiting[0]


if __name__ == "__main__":
    main()
