"""What a cold start costs: a process of its own for each import, with .pyc files in place, in turn."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from bedrock_quota import registry
from benchmarks.timing import Measured, summary

ROOT = Path(__file__).parents[1]

_READY = "from bedrock_quota import registry; from pathlib import Path; registry.COMPILED = Path({compiled!r}); "

STARTS = {
    "an empty handler": "",
    "import boto3": "import boto3",
    "boto3 with one DynamoDB client": "import boto3; boto3.client('dynamodb')",
    "processor, duplicate detection off": _READY + "import app; app.container()",
    "processor, duplicate detection on": _READY
    + "import app; kept = app.container(); from bedrock_quota import clients; clients.state(); kept.deliveries._store",
}

_RUN = """
import sys, time; sys.path.insert(0, {function!r}); import json
start = time.process_time(); modules = len(sys.modules)
{code}
print(json.dumps([time.process_time() - start, len(sys.modules) - modules]))
"""


class Start(msgspec.Struct, frozen=True):
    """CPU seconds of a start, and the modules it imported."""

    seconds: Measured
    modules: int


def measure(rounds: int) -> dict[str, Start]:
    """Start each so many times, in turn."""
    taken: dict[str, list[float]] = {name: [] for name in STARTS}
    modules: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as directory:
        compiled = Path(directory, "registry.json")
        compiled.write_bytes(msgspec.json.encode(registry.read_sources(ROOT / "registry" / "models")))
        for _ in range(rounds + 1):
            for name in STARTS:
                seconds, modules[name] = start(name, compiled)
                taken[name].append(seconds)
    return {name: Start(summary(each[1:]), modules[name]) for name, each in taken.items()}  # the first writes .pyc


def start(name: str, compiled: Path) -> tuple[float, int]:
    """Start one in a process of its own; return CPU seconds and the number of modules imported."""
    function = str(ROOT / "functions" / "metric_processor")
    code = _RUN.format(function=function, code=STARTS[name].format(compiled=str(compiled)))
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "layers" / "core"),
        "STATE_TABLE": "state",
        "DUPLICATE_DETECTION": "on" if name.endswith("on") else "off",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True, text=True)
    seconds, modules = json.loads(done.stdout)
    return seconds, modules
