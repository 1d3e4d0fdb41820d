"""`sam local invoke` as docs/getting-started.md shows it: in Docker, without AWS credentials and without a network."""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from quota_monitor.deployment.checkout import ROOT

IMAGE = "public.ecr.aws/lambda/python:3.13"
SAM = [sys.executable, "-m", "samcli"]
X86 = platform.machine().lower() in {"x86_64", "amd64"}


def fails(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode != 0


def missing() -> str | None:
    """What `sam local invoke` needs and this machine lacks."""
    docker = shutil.which("docker")
    if docker is None:
        return "docker is not installed"
    if fails([docker, "info"]):
        return "no Docker engine is running"
    names = (IMAGE, f"{IMAGE}-{'x86_64' if X86 else 'arm64'}")
    if all(fails([docker, "image", "inspect", name]) for name in names):
        return f"the image {IMAGE} is not here"
    return None


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    reason = missing()
    if reason:
        pytest.skip(f"sam local invoke was not tried: {reason}")
    build = tmp_path_factory.mktemp("sam")
    run_sam("build", "--build-dir", str(build), environment={"LAMBDA_PLATFORM": "x86_64" if X86 else "aarch64"})
    return build


def run_sam(*arguments: str, environment: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    no_credentials = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [*SAM, *arguments, "--config-file", str(ROOT / "samconfig.toml"), *(["--config-env", "x86_64"] if X86 else [])],
        cwd=ROOT,
        env={**no_credentials, "SAM_CLI_TELEMETRY": "0", **(environment or {})},
        text=True,
        capture_output=True,
        check=True,
        timeout=300,
    )


def test_a_ready_event_becomes_metric_lines(built: Path) -> None:
    # when
    ran = run_sam(
        "local", "invoke", "MetricProcessorFunction", "--skip-pull-image",
        "--template-file", str(built / "template.yaml"), "--event", "events/metric_processor/converse.json",
    )  # fmt: skip
    # then all six records are processed
    assert json.loads(ran.stdout.splitlines()[-1]) == {"received": 6, "processed": 6}
    lines = [json.loads(line) for line in ran.stderr.splitlines() + ran.stdout.splitlines() if '"_aws"' in line]
    sonnet = [line for line in lines if line.get("ModelId") == "anthropic.claude-sonnet-4-5-20250929-v1:0"]
    # and AWS's worked example among them, 3,000 + 1,000 + 32,000, beside 812 + 2,048
    assert sorted(value for line in sonnet for value in line["ReservedTokens"]) == [2_860, 36_000]
