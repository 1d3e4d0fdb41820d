"""The layers as `sam build` makes them, and what a cold start imports of them: counts, for times are the machine's."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_BYTES = 15_000_000
UNCHECKED = 1
"""Flags of a .pyc file that is taken without a look at its source (PEP 552)."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both layers in one folder, built for this very interpreter, as on the emulator."""
    artifacts = tmp_path_factory.mktemp("artifacts")
    for layer, target in (("core", "build-CoreLayer"), ("dependencies", "build-DependenciesLayer")):
        # `sam build` copies a layer's folder first, with what links lead to
        scratch = tmp_path_factory.mktemp("scratch") / layer
        shutil.copytree(ROOT / "layers" / layer, scratch, ignore=shutil.ignore_patterns("__pycache__", "build"))
        subprocess.run(
            ["make", "--silent", target],  # noqa: S607 - whichever make there is
            cwd=scratch,
            env={
                **{name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}},
                "ARTIFACTS_DIR": str(artifacts),
                "PYTHON": sys.executable,
                "LAMBDA_PLATFORM": "native",
            },
            check=True,
        )
    return artifacts / "python"


def imported_by_a_cold_start(built: Path, **environment: str) -> set[str]:
    """Import the processor from the built layers alone, make its container, and return the modules that took."""
    code = (
        "import sys, json; sys.path[:] = [each for each in sys.path if 'site-packages' not in each]; "
        f"sys.path[:0] = [{str(ROOT / 'functions' / 'metric_processor')!r}, {str(built)!r}]; "
        "before = set(sys.modules); import app; app.container(); print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "STATE_TABLE": "state", **environment},
        capture_output=True,
        check=True,
        text=True,
    )
    return set(done.stdout.translate(str.maketrans("", "", '[]" \n')).split(","))


def test_layers_and_function_are_small(built: Path) -> None:
    files = [path for root in (built, ROOT / "functions" / "metric_processor") for path in root.rglob("*")]

    assert sum(path.stat().st_size for path in files if path.is_file()) < MAX_BYTES


def test_every_module_is_compiled_for_the_runtime_and_taken_unchecked(built: Path) -> None:
    sources = sorted(built.rglob("*.py"))
    assert len(sources) > 200

    for source in sources:
        compiled = source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
        assert int.from_bytes(compiled.read_bytes()[4:8], "little") == UNCHECKED, source

    # and tracebacks name the files where Lambda has them
    core = (built / "bedrock_quota" / "__pycache__" / f"lines.{sys.implementation.cache_tag}.pyc").read_bytes()
    assert b"/opt/python/bedrock_quota/lines.py" in core


def test_without_duplicate_detection_a_cold_start_imports_neither_boto3_nor_what_needs_it(built: Path) -> None:
    imported = imported_by_a_cold_start(built, DUPLICATE_DETECTION="off")

    packages = {name.partition(".")[0] for name in imported}
    assert packages & {"boto3", "botocore", "urllib3", "pydantic", "asyncio", "multiprocessing"} == set()
    assert not [name for name in imported if name.startswith("aws_lambda_powertools.utilities.idempotency")]
    assert {"bedrock_quota", "msgspec", "isal", "pybase64"} <= packages
    assert len(imported) < 230
