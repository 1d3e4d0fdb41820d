"""Measure cold starts, each in its own process, in turn. All its CPU counts, and .pyc files are there."""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from bedrock_quota.registry.sources import read_sources
from benchmarks import endpoint
from benchmarks.mixes import make_delivery
from benchmarks.processor import snapshot
from benchmarks.timing import Measured, Taken, summary
from localaws import traffic

ROOT = Path(__file__).parents[1]

EMPTY, BOTO3 = "an empty handler", "import boto3"

_READY = (
    "from pathlib import Path; from bedrock_quota.registry import models; "
    "models.COMPILED_REGISTRY = Path({compiled!r}); import app; "
)
_FIRST = (
    _READY + "from types import SimpleNamespace; import json; "
    "app.handler(json.loads(Path({delivery!r}).read_bytes()), "
    "SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000, function_name='processor'))"
)

STARTS = {
    EMPTY: "",
    BOTO3: "import boto3",
    "boto3 with one DynamoDB client": "import boto3; boto3.client('dynamodb')",
    "processor: import and container, detection off": _READY + "app.container()",
    "processor: import and container, detection on": _READY + "app.container()",
    "processor: first delivery too, detection off": _FIRST,
    "processor: first delivery too, detection on": _FIRST,
}

_RUN = """
# Lambda's runtime imports these before any handler (aws-lambda-python-runtime-interface-client, read 2026-11-25)
import concurrent.futures, decimal, http.client, importlib, json, logging, traceback
import sys; sys.path.insert(0, {function!r})
modules = len(sys.modules)
{code}
print(len(sys.modules) - modules, file=sys.stderr)
"""


class Start(msgspec.Struct, frozen=True):
    """CPU seconds of a process, their part above an empty handler, its ratio to boto3's, and the imported modules."""

    seconds: Measured
    above: float
    to_boto3: float
    modules: int


def measure(rounds: int) -> dict[str, Start]:
    """Start each `rounds` times, in turn. The first delivery reads its snapshot from an endpoint on this machine."""
    taken: dict[str, list[float]] = {name: [] for name in STARTS}
    modules: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as directory, endpoint.answering(snapshot()) as given:
        files = write_files(Path(directory))
        for _ in range(rounds + 1):
            for name in STARTS:
                seconds, modules[name] = start(name, files, environment(name, given))
                taken[name].append(seconds)
    counted: dict[str, Taken] = {name: each[1:] for name, each in taken.items()}  # the first round writes .pyc files
    above = {
        name: statistics.median([one - empty for one, empty in zip(each, counted[EMPTY], strict=True)])
        for name, each in counted.items()
    }
    return {
        name: Start(summary(each), above[name], above[name] / above[BOTO3], modules[name])
        for name, each in counted.items()
    }


def write_files(directory: Path) -> dict[str, str]:
    """Write the compiled registry and a delivery of ten records, which the starts read. Return the paths."""
    compiled, delivery = directory / "registry.json", directory / "delivery.json"
    compiled.write_bytes(msgspec.json.encode(read_sources(ROOT / "registry" / "models")))
    delivery.write_text(json.dumps(make_delivery(traffic.chat(10, snapshot().fetched_at))))
    return {"compiled": str(compiled), "delivery": str(delivery)}


def environment(name: str, given: dict[str, str]) -> dict[str, str]:
    """Return the environment of a start."""
    return given | {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "layers" / "core"),
        "STATE_TABLE": "state",
        "DUPLICATE_DETECTION": "on" if name.endswith("on") else "off",
    }


def start(name: str, files: dict[str, str], given: dict[str, str]) -> tuple[float, int]:
    """Start one in its own process. Return its CPU seconds and the number of imported modules."""
    function = str(ROOT / "functions" / "metric_processor")
    code = _RUN.format(function=function, code=STARTS[name].format(**files))
    before = _children()
    done = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, check=True, text=True)
    return _children() - before, int(done.stderr.splitlines()[-1])


def _children() -> float:
    """Return the CPU seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
