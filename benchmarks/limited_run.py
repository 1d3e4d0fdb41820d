"""Run events through the processor's handler in one container with limited memory, and report the cost of each.

`python limited_run.py FUNCTION REGISTRY LIMIT` reads events from standard input, one per line. It writes metric lines
to standard output, and one line of JSON per event to standard error.
"""

import json
import resource
import sys
import time
from pathlib import Path
from types import SimpleNamespace

CONTEXT = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000, function_name="processor")


def peak(name: str) -> int:
    """Return a peak of this process in bytes: `VmHWM` of resident memory, `VmPeak` of mapped memory."""
    # the peak of getrusage includes the parent's
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024


def main() -> None:
    """Limit the memory, import as a cold start does, run the events and report."""
    function, compiled, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    # mapped memory is never less than resident memory, which Lambda counts
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    sys.path.insert(0, str(function.parent))
    from bedrock_quota.registry import models  # noqa: PLC0415 - imports count, too

    models.COMPILED_REGISTRY = compiled
    import app  # type: ignore[import-not-found]  # noqa: PLC0415

    for body in sys.stdin.buffer:
        event = json.loads(body)  # like Lambda's runtime, which keeps both
        started = time.process_time()
        try:
            said = {"answer": app.handler(event, CONTEXT)}
        except Exception as error:  # noqa: BLE001 - every error is reported
            said = {"error": f"{type(error).__name__}: {error}"}
        seconds = time.process_time() - started
        figures = {"resident": peak("VmHWM"), "mapped": peak("VmPeak"), "seconds": seconds}
        sys.stderr.write(json.dumps(said | figures) + "\n")


if __name__ == "__main__":
    main()
