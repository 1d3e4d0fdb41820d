"""The wheel in an empty environment, away from the checkout: what `pip install`, pipx and uvx give."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from subcommands import find_subcommands
from wheels import build_wheel, install, run_script

ROOT = Path(__file__).parents[2]
LISTING = ROOT / "tests" / "data" / "registry_sync" / "listing.json"
RECORDS = ROOT / "events" / "records"
DEPLOY = ("deploy", "--regions", "us-east-1")
PACKAGE = ("package", "--regions", "us-east-1", "--bucket-prefix", "code")
SCRIPTS = ("quota-monitor", "bedrock-quota-monitor")
HEAVY = ("boto3", "botocore", "localaws", "msgspec", "rich", "samcli", "yaml")
"""Packages that `--help` must not import. Without them it takes a tenth of a second of CPU."""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the scripts of an environment that has the wheel and what it needs, and nothing else."""
    return install(wheel, tmp_path_factory.mktemp("environment"))


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Run:
    """Run a script of the environment in an empty folder."""

    def ran(*arguments: str, script: str = "quota-monitor", cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        return run_script(installed / script, *arguments, cwd=cwd)

    return ran


@pytest.mark.parametrize("script", SCRIPTS)
def test_both_scripts_say_their_version(run: Run, script: str, wheel: Path) -> None:
    ran = run("--version", script=script)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == f"quota-monitor, version {wheel.name.split('-')[1]}\n"


@pytest.mark.parametrize(
    "command", [names for names, _ in find_subcommands()], ids=lambda names: " ".join(("quota-monitor", *names))
)
def test_every_command_shows_its_help(run: Run, command: tuple[str, ...]) -> None:
    ran = run(*command, "--help")

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith(f"Usage: {' '.join(('quota-monitor', *command))} ")


def test_help_imports_nothing_heavy(installed: Path, tmp_path: Path) -> None:
    ran = subprocess.run(
        [installed / "python", "-X", "importtime", installed / "quota-monitor", "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in ran.stderr.splitlines()}

    assert "click" in imported
    assert imported.isdisjoint(HEAVY)
    assert len(ran.stderr.splitlines()) < 300  # modules: click and its part of the standard library


def test_cost_is_that_of_the_checkout(run: Run) -> None:
    arguments = ("cost", "--pools", "2", "--calls", "500000")
    ran = run(*arguments)

    assert (ran.returncode, ran.stderr) == (0, "")
    here = subprocess.run(
        [Path(sys.executable).with_name("quota-monitor"), *arguments],
        env=dict(os.environ),  # without the COLUMNS that readline sets for children
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == here.stdout


def test_the_registry_is_checked_and_compared(run: Run) -> None:
    checked = run("registry", "check")
    compared = run("registry", "sync", "--listing", str(LISTING))

    assert (checked.returncode, checked.stderr) == (0, "")
    assert "providers are in order." in checked.stdout
    assert (compared.returncode, compared.stderr) == (0, "")
    assert "mars-north-1" in compared.stdout
    assert "[[models]]" in compared.stdout


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("registry", "write"), id="registry write"),
        pytest.param(("events",), id="events"),
        pytest.param(("demo",), id="demo"),
        pytest.param(("local", "up"), id="local up"),
        pytest.param(("local", "status"), id="local status"),
    ],
)
def test_a_command_that_needs_the_source_code_says_so(run: Run, command: tuple[str, ...]) -> None:
    ran = run(*command)

    assert ran.returncode == 2
    assert ran.stderr == (
        "Error: This command needs the source code. Clone the repository, and run the command in its folder.\n"
    )


@pytest.mark.parametrize("command", [DEPLOY, PACKAGE], ids=["deploy", "package"])
def test_a_command_that_a_release_is_enough_for_says_so(run: Run, command: tuple[str, ...]) -> None:
    ran = run(*command)

    assert ran.returncode == 2
    assert ran.stderr == (
        "Error: This command needs a clone of the repository, or an unpacked release zip. "
        "Run it in that folder, the one with template.yaml.\n"
    )


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(DEPLOY, id="deploy"),
        pytest.param(PACKAGE, id="package"),
        pytest.param(("demo",), id="demo"),
        pytest.param(("local", "up"), id="local up"),
    ],
)
def test_in_a_checkout_a_command_says_how_to_install_the_extra(run: Run, command: tuple[str, ...]) -> None:
    ran = run(*command, cwd=ROOT)

    assert ran.returncode == 2
    assert ran.stderr == (
        "Error: This command needs the AWS SAM CLI and the emulator, which `make setup` installs. "
        f"Run: make -C {ROOT} setup && {ROOT}/.venv/bin/quota-monitor {' '.join(command)}\n"
    )


def test_in_a_release_a_command_says_how_to_install_the_extra(run: Run, tmp_path: Path) -> None:
    built = tmp_path / ".aws-sam" / "build"
    built.mkdir(parents=True)
    shutil.copy(ROOT / "template.yaml", built)

    ran = run(*DEPLOY, cwd=tmp_path)

    assert ran.returncode == 2
    assert ran.stderr == (
        "Error: This command needs the AWS SAM CLI, which the extra `local` has. Run, with the .whl file of the "
        "release: uvx --from 'FILE.whl[local]' quota-monitor deploy --regions us-east-1\n"
    )


def test_prices_say_how_to_install_their_package(run: Run) -> None:
    ran = run("analyze", "--files", str(RECORDS), "--dollars")

    assert ran.returncode == 2
    assert ran.stderr == (
        "Error: Prices need the package genai-prices, which is not installed beside quota-monitor. Install it there, "
        "with `pip install genai-prices` or `uv pip install genai-prices`, or give uvx the option "
        "`--with genai-prices`.\n"
    )


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        pytest.param(
            ("analyze",), "amazon.nova-pro-v1:0 (cross-region) is throttled, and its quota is unknown.", id="analyze"
        ),
        pytest.param(
            ("explain", "--at", "2026-11-20T09:15"),
            "amazon.nova-pro-v1:0 (cross-region), the minute from 2026-11-20T09:15:00Z",
            id="explain",
        ),
    ],
)
def test_files_are_read_without_a_checkout_and_without_credentials(
    run: Run, command: tuple[str, ...], shown: str
) -> None:
    arguments = (*command, "--files", str(RECORDS))
    ran = run(*arguments)
    here = subprocess.run(
        [Path(sys.executable).with_name("quota-monitor"), *arguments], capture_output=True, text=True, check=True
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    assert shown in ran.stdout
    assert ran.stdout == here.stdout  # which has the registry of the checkout


def test_uvx_runs_it_from_a_repository(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    command = [Path(sys.executable).with_name("uvx"), "--python", sys.executable, "--quiet"]
    command += ["--from", f"git+file://{ROOT}", "quota-monitor", "cost", "--pools", "1", "--calls", "1000"]

    ran = subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "\nTotal " in ran.stdout


def test_in_a_checkout_it_works_on_that(run: Run, installed: Path, tmp_path: Path) -> None:
    # given a checkout whose page of models is out of date
    for name in ("template.yaml", "registry", "docs", "events"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    (tmp_path / "layers" / "core" / "bedrock_quota").mkdir(parents=True)
    page = tmp_path / "docs" / "models.md"
    page.write_text("old", encoding="utf-8")
    # when
    before = run("registry", "check", cwd=tmp_path / "docs")
    written = run("registry", "write")
    after = run("registry", "check")
    # then
    assert (
        before.stderr == f"Error: docs/models.md is out of date. Run `{installed / 'quota-monitor'} registry write`.\n"
    )
    assert (written.returncode, after.returncode) == (0, 0)
    assert page.read_bytes() == (ROOT / "docs" / "models.md").read_bytes()
    assert run("events").returncode == 0
    assert run("local", "status").stdout.startswith("The local stack is not running.\nTo start it, run `")


def test_failed_deliveries_and_the_doctor_get_as_far_as_aws(run: Run) -> None:
    for command in (("failed", "list"), ("failed", "replay"), ("doctor",)):
        ran = run(*command, "--profile", "nobody-has-this-profile")

        assert ran.returncode == 3
        assert ran.stderr == (
            "Error: The config profile (nobody-has-this-profile) could not be found. `aws configure list-profiles` "
            "lists the profiles that exist.\n"
        )


def test_the_wheel_holds_the_models_once_and_no_test(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert len(names) == len(set(names))
    models = {path.name for path in (ROOT / "registry" / "models").glob("*.toml")}
    assert {Path(name).name for name in names if "/registry/models/" in name} == models
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {
        "bedrock_quota",
        "bedrock_quota_monitor",
        "localaws",
        "quota_monitor",
    }
