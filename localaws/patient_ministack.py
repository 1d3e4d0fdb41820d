"""MiniStack, with more patience for what functions print: `python -m localaws.patient_ministack`.

MiniStack 1.5.33 takes a finished invocation's lines from a pipe and stops at the first 5 ms without one. On a busy
machine lines are still under way then: they come with the function's next invocation, or never. Here it waits longer.
"""

import functools
import inspect
import os

from ministack import app  # type: ignore[import-untyped]
from ministack.core.lambda_runtime import Worker  # type: ignore[import-untyped]

_WAITS = {"idle_confirm": 0.1, "hard_cap": 10.0}  # seconds


def main() -> None:
    """Run MiniStack as its own command would."""
    os.environ.pop("PYTHONPATH", None)  # it led here; the functions it runs must not inherit it
    drain = Worker._drain_stderr_bounded
    unknown = _WAITS.keys() - inspect.signature(drain).parameters.keys()
    if unknown:
        raise RuntimeError(f"this MiniStack has no such waits any more: {sorted(unknown)}")
    Worker._drain_stderr_bounded = functools.partialmethod(drain, **_WAITS)
    app.main()


if __name__ == "__main__":
    main()
