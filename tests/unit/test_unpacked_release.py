"""`quota-monitor deploy` and `package` in an unpacked release, which has no source code and is already built."""

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from unpacked_release import unpack

from quota_monitor.deployment import checkout, deploy
from quota_monitor.main import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "bedrock-quota-monitor-0.1.0"


@pytest.fixture
def ran(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return unpack(folder, monkeypatch)


def package(*options: str) -> Result:
    arguments = ["package", "--regions", "us-east-1,eu-west-1", "--bucket-prefix", "my-code", *options]
    return CliRunner().invoke(main, arguments)


def test_a_release_is_packaged_without_a_build(folder: Path, ran: list[str]) -> None:
    result = package()

    assert (result.exit_code, ran) == (0, ["package", "package"])
    template = json.loads((folder / "stack-set.json").read_text(encoding="utf-8"))
    assert "Transform" not in template
    assert template["Resources"]["MetricProcessorFunction"]["Properties"]["Code"] == {
        "S3Bucket": {"Fn::Sub": "my-code-${AWS::Region}"},
        "S3Key": "MetricProcessorFunction",
    }


@pytest.mark.usefixtures("ran")
def test_a_folder_of_the_release_will_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = folder / "functions"
    below.mkdir()
    monkeypatch.chdir(below)

    assert checkout.find_deployable() == folder


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        pytest.param({}, None, id="no architecture"),
        pytest.param({"Architecture": "arm64"}, None, id="the architecture of the release"),
        pytest.param({"Architecture": "x86_64"}, "A release is built for arm64. Build another", id="another"),
    ],
)
def test_a_release_is_not_built_again(ran: list[str], parameters: dict[str, str], message: str | None) -> None:
    if message is None:
        deploy.build(parameters)
    else:
        with pytest.raises(click.UsageError, match=message):
            deploy.build(parameters)

    assert ran == []


@pytest.mark.usefixtures("ran")
def test_a_wrong_parameter_of_a_release_is_named() -> None:
    result = package("--parameter", "AlarmMail=a@example.com")

    assert result.exit_code == 2
    assert "The template has no parameter AlarmMail. Did you mean AlarmEmail?" in result.output


@pytest.mark.usefixtures("ran")
def test_the_demo_needs_more_than_a_release() -> None:
    result = CliRunner().invoke(main, ["demo"])

    assert (result.exit_code, result.output) == (
        2,
        "Error: This command needs the source code. Clone the repository, and run the command in its folder.\n",
    )
