"""Each function loads its own package of the core and the shared modules, and nothing of another function's."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUNCTION_PACKAGES = {"processor", "fetcher", "deployment"}
PROGRAM = """
import json, sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
import app
print(json.dumps(sorted(sys.modules)))
"""


def loaded_modules(function: str, tmp_path: Path) -> set[str]:
    """Import a function's handler in a process of its own, and return all modules that it loads."""
    arguments = [str(ROOT / "functions" / function), str(ROOT / "layers" / "core")]
    environment = {"AWS_DEFAULT_REGION": "us-east-1", "POWERTOOLS_DEV": "false", "HOME": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True, env=environment
    )
    return set(json.loads(ran.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("function", "own"),
    [
        ("metric_processor", "processor"),
        ("quota_fetcher", "fetcher"),
        ("logging_setup", "deployment"),
        ("bucket_emptying", "deployment"),
    ],
)
def test_handler_loads_only_its_own_package(function: str, own: str, tmp_path: Path) -> None:
    modules = loaded_modules(function, tmp_path)

    packages = {name.split(".")[1] for name in modules if name.startswith("bedrock_quota.")}
    assert packages & FUNCTION_PACKAGES == {own}


@pytest.mark.parametrize("function", ["quota_fetcher", "logging_setup", "bucket_emptying"])
def test_only_the_processor_loads_the_native_inflater(function: str, tmp_path: Path) -> None:
    modules = loaded_modules(function, tmp_path)

    assert not {name.split(".")[0] for name in modules} & {"isal", "pybase64"}
    assert {"isal", "pybase64"} <= {name.split(".")[0] for name in loaded_modules("metric_processor", tmp_path)}
