"""Runs events through the processor's handler, in one container whose memory is limited, and says what each took.

`python limited_run.py FUNCTION REGISTRY LIMIT`: events on standard input, one a line; metric lines on standard output;
on standard error a line of JSON for each event.
"""

import json
import resource
import sys
import time
from pathlib import Path
from types import SimpleNamespace

CONTEXT = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000, function_name="processor")


def peak(name: str) -> int:
    """Return a peak of this process in bytes: `VmHWM` is what was resident, `VmPeak` all that was mapped."""
    # not getrusage: its peak begins with that of the parent
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024


def main() -> None:
    """Limit, import as a cold start does, run, report."""
    function, compiled, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    # all that is mapped: never less than what Lambda counts, which is what is resident
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    sys.path.insert(0, str(function.parent))
    from bedrock_quota.registry import models  # noqa: PLC0415 - what is imported counts, too

    models.COMPILED_REGISTRY = compiled
    import app  # type: ignore[import-not-found]  # noqa: PLC0415

    for body in sys.stdin.buffer:
        event = json.loads(body)  # as Lambda's runtime does, which keeps both
        started = time.process_time()
        try:
            said = {"answer": app.handler(event, CONTEXT)}
        except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
            said = {"error": f"{type(error).__name__}: {error}"}
        seconds = time.process_time() - started
        figures = {"resident": peak("VmHWM"), "mapped": peak("VmPeak"), "seconds": seconds}
        sys.stderr.write(json.dumps(said | figures) + "\n")


if __name__ == "__main__":
    main()
