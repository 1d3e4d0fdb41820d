"""The layers as `sam build` makes them, and what a cold start imports of them: counts, for times are the machine's."""

import os
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
        subprocess.run(
            ["make", "--silent", "--makefile", f"layers/{layer}/Makefile", target],  # noqa: S607 - whichever there is
            cwd=ROOT,
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
    core = (
        built / "bedrock_quota" / "processor" / "__pycache__" / f"metric_lines.{sys.implementation.cache_tag}.pyc"
    ).read_bytes()
    assert b"/opt/python/bedrock_quota/processor/metric_lines.py" in core


RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"


def compiled(folder: Path, *path: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run what both layers' Makefiles include on a layer of one module, as for Lambda, with these folders as PATH."""
    (folder / "python").mkdir()
    (folder / "python" / "module.py").touch()
    folder.joinpath("Makefile").write_text(f"include {ROOT / 'layers' / 'python.mk'}\nall:\n\t$(compile)\n")
    return subprocess.run(
        ["make", "--silent"],  # noqa: S607 - whichever make there is
        cwd=folder,
        env={"ARTIFACTS_DIR": str(folder), "HOME": str(folder), "PATH": ":".join([*path, os.defpath]), **environment},
        capture_output=True,
        check=True,
        text=True,
    )


def pyc_files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*.pyc")]


def executable(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_python_of_lambdas_version_compiles_a_layer(tmp_path: Path) -> None:
    done = compiled(tmp_path, PYTHON=sys.executable, LAMBDA_PYTHON_VERSION=RUNNING)

    assert pyc_files(tmp_path) == [f"module.{sys.implementation.cache_tag}.pyc"]
    assert done.stderr == ""


@pytest.mark.parametrize("where", ["on the PATH", "of uv", "of pyenv"])
def test_python_of_lambdas_version_is_found(tmp_path: Path, where: str) -> None:
    # given that `python3` is another, and that there is one elsewhere
    commands = tmp_path / "commands"
    this = f'exec {sys.executable} "$@"'
    executable(commands / "python3", "exit 1")
    if where == "on the PATH":
        executable(commands / f"python{RUNNING}", this)
    elif where == "of uv":
        executable(commands / "python", this)
        executable(commands / "uv", f'test "$1 $2 $4" = "python find {RUNNING}" && echo {commands / "python"}')
    else:
        executable(tmp_path / ".pyenv" / "versions" / f"{RUNNING}.7" / "bin" / "python", this)
    # when
    compiled(tmp_path, str(commands), PYTHON="python3", LAMBDA_PYTHON_VERSION=RUNNING)
    # then
    assert pyc_files(tmp_path) == [f"module.{sys.implementation.cache_tag}.pyc"]


def test_python_of_another_version_compiles_nothing_and_the_build_says_so(tmp_path: Path) -> None:
    # given one that calls itself Lambda's, and is not
    executable(tmp_path / "commands" / "python3.99", f'exec {sys.executable} "$@"')
    # when
    done = compiled(tmp_path, str(tmp_path / "commands"), PYTHON=sys.executable, LAMBDA_PYTHON_VERSION="3.99")
    # then
    assert pyc_files(tmp_path) == []
    assert done.stderr.startswith("no Python 3.99 here: built without .pyc files")


def test_without_duplicate_detection_a_cold_start_imports_neither_boto3_nor_what_needs_it(built: Path) -> None:
    imported = imported_by_a_cold_start(built, DUPLICATE_DETECTION="off")

    packages = {name.partition(".")[0] for name in imported}
    assert packages & {"boto3", "botocore", "urllib3", "pydantic", "asyncio", "multiprocessing"} == set()
    assert not [name for name in imported if name.startswith("aws_lambda_powertools.utilities.idempotency")]
    assert {"bedrock_quota", "msgspec", "isal", "pybase64"} <= packages
    assert len(imported) < 230
