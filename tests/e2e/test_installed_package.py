"""The wheel, installed without extras and far from a checkout, reads a deployed stack as the checkout does."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from records import converse
from wheels import build_wheel, install, run_script

from localaws.instance import Instance

CALLS, INPUT, OUTPUT, MAX_TOKENS = 3, 1_000, 100, 4_000
MODEL = "meta.llama4-scout-17b-instruct-v1:0"
POOL = f"{MODEL}/cross-region"
CHECKOUT = Path(sys.executable).with_name("quota-monitor")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    return install(build_wheel(folder), folder) / "quota-monitor"


@pytest.fixture(scope="module")
def called(deliver: Callable[[Sequence[dict[str, Any] | str]], None]) -> datetime:
    """The minute of some calls to a model that no other test uses. It is now, because logs are read by their time."""
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    entry = converse(f"us.{MODEL}", max_tokens=MAX_TOKENS, input_tokens=INPUT, output_tokens=OUTPUT)
    entry["timestamp"] = minute.strftime("%Y-%m-%dT%H:%M:%SZ")
    deliver([entry | {"requestId": f"00000000-0000-4000-9000-{number:012d}"} for number in range(CALLS)])
    return minute


@pytest.fixture
def run(installed: Path, local: Instance, tmp_path: Path) -> Run:
    """Run the installed command in an empty folder, and the checkout's in the same way. Both must end alike."""

    def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
        of_checkout, of_wheel = (
            run_script(script, *arguments, cwd=tmp_path, AWS_CONFIG_FILE=str(local.cli_config))
            for script in (CHECKOUT, installed)
        )
        assert (of_wheel.returncode, of_wheel.stderr) == (of_checkout.returncode, of_checkout.stderr)
        return of_wheel

    return ran


def test_report_and_analyze_have_the_tokens_of_each_call(run: Run, local: Instance, called: datetime) -> None:
    window = ("--from", called.isoformat(), "--to", (called + timedelta(minutes=2)).isoformat(), "--json")
    for command in (
        ("report", "--profile", "local", "--stack-name", local.stack_name, *window),
        ("analyze", "--profiles", "local", "--yes", *window),
    ):
        ran = run(*command)

        assert ran.returncode == 0, ran.stderr
        (account,) = json.loads(ran.stdout)["accounts"]
        (pool,) = [each for each in account["pools"] if each["model_id"] == MODEL]
        assert (pool["requests"], pool["peak_reserved_tokens"]) == (CALLS, CALLS * (INPUT + MAX_TOKENS)), command


def test_explain_and_increase_name_the_pool(run: Run, local: Instance, called: datetime) -> None:
    explained = run("explain", "--profiles", "local", "--at", called.isoformat(), "--model", MODEL)
    evidence = run("increase", "--profiles", "local", "--stack-name", local.stack_name, "--pool", POOL, "--hours", "4")

    assert explained.returncode == 0, explained.stderr
    assert f"{MODEL} (cross-region)" in explained.stdout
    assert evidence.returncode == 0, evidence.stderr
    assert MODEL in evidence.stdout


def test_the_doctor_checks_the_stack(run: Run, local: Instance) -> None:
    ran = run("doctor", "--profile", "local", "--stack-name", local.stack_name)

    assert (ran.returncode, ran.stderr) in ((0, ""), (1, ""))
    assert local.stack_name in ran.stdout
