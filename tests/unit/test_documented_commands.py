"""Every command in the docs: tried, or marked as needing an AWS account and then still well formed."""

import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import check, lines_of, words_of
from documented import ROOT, Block, blocks, parameters

from quota_monitor.main import main

TRIED_BY = {
    "make demo": (".ci/run", "make demo"),
    "make test": (".ci/run", "make test\n"),
    "make test-fast": (".ci/run", "make test\n"),
    "make test-lambda": (".ci/run", "make test-lambda\n"),
    "make check": ("Makefile", "test: setup .venv/node check "),
    "make setup": ("Makefile", "\ncheck: setup "),
    "make docs": (".ci/run", "make docs\n"),
    "make dist": (".ci/run", "make dist\n"),
    "make workflows": (".ci/run", "make workflows\n"),
    "make checkov": (".ci/run", "make checkov\n"),
    "sam build": ("localaws/deployment.py", '"build"'),  # every end-to-end test runs on what it has built
    "uvx --from": ("tests/integration/test_wheel.py", '"--from", f"git+file://'),
    "sam local invoke": ("tests/e2e/test_sam_local.py", '"local", "invoke"'),
    "quota-monitor demo": ("Makefile", "$(BIN)/quota-monitor demo\n"),
    "quota-monitor local down": (".ci/run", "quota-monitor local down\n"),
    "quota-monitor doctor": ("tests/e2e/test_installed_package.py", 'run("doctor", '),
    "quota-monitor report": ("tests/e2e/test_installed_package.py", '("report", '),
    "quota-monitor explain": ("tests/e2e/test_installed_package.py", 'run("explain", '),
    "quota-monitor increase": ("tests/e2e/test_installed_package.py", 'run("increase", '),
    "pip install": ("tests/integration/test_wheel.py", "def test_"),
    "pipx install": ("tests/integration/test_wheel.py", "def test_"),
    "uv tool install": ("tests/integration/test_wheel.py", "def test_"),
    "pytest": (".ci/run", "make test\n"),
}
"""What tries a command that is too large to be run here, and where that says so; by the command's beginning."""

NOT_TRIED = ("git clone ", "cd ", "export ", "source ")
"""Commands that only get the project, go into its folder, or set variables; by their beginning."""


@pytest.fixture(autouse=True)
def profiles(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Profiles that fit the patterns in the docs."""
    config = tmp_path_factory.mktemp("aws") / "config"
    config.write_text("[profile prod-one]\n[profile prod-two]\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))


@pytest.mark.parametrize("block", parameters("sh"))
def test_every_command_names_what_is_there(block: Block) -> None:
    commands = list(lines_of(block.text))

    assert commands
    for command in commands:
        for part in re.split(r"\s&&\s|\s\|\s", command):
            check(part)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: it has the files of this checkout, and what a command writes is not left there."""
    for path in ROOT.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("checkout")
@pytest.mark.parametrize("block", [each for each in parameters("sh") if not each.values[0].needs_account])
def test_every_command_that_needs_no_account_is_tried(block: Block) -> None:
    for command in lines_of(block.text):
        for part in command.split(" && "):
            words = words_of(part)
            tried = [by for start, by in TRIED_BY.items() if words[: len(start.split())] == start.split()]
            for file, says in tried:
                assert says in (ROOT / file).read_text(encoding="utf-8")
            if not tried and not part.startswith(NOT_TRIED):
                assert words[0] in {"quota-monitor", "uvx"}, f"nothing tries: {part}"
                result = CliRunner().invoke(main, words[words.index("quota-monitor") + 1 :])
                assert result.exit_code == 0, result.output


def commands_with(beginning: str) -> list[str]:
    found = [command for block in blocks("sh") for command in lines_of(block.text)]
    return [each for each in found if each.startswith(beginning)]


def test_the_stack_set_starts_to_store_no_prompts() -> None:
    (command,) = commands_with("aws cloudformation create-stack-set --stack-set-name bedrock-quota-monitor ")

    assert "--parameters ParameterKey=InvocationLogging,ParameterValue=adopt-only " in command


def test_events_of_a_failed_deployment_are_asked_for_by_the_arn_that_a_deleted_stack_needs() -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    of_events = commands_with("aws cloudformation describe-stack-events")

    assert config["default"]["deploy"]["parameters"]["on_failure"] == "DELETE"
    assert of_events
    assert {re.findall(r" --stack-name (\S+)", each)[0] for each in of_events} == {"ARN"}


DEPLOY = "aws cloudformation deploy --stack-name x --template-file examples/slack-channel.yaml"
PARAMETERS = "SlackWorkspaceId=T0 SlackChannelId=C0 TopicArns=arn:aws:sns:us-east-1:111122223333:x"


def test_a_right_deployment_of_a_template_is_accepted() -> None:
    check(f"{DEPLOY} --capabilities CAPABILITY_IAM --parameter-overrides {PARAMETERS}")


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("aws logs put-filter --log-group-name x", id="operation"),
        pytest.param("aws logs put-subscription-filter --log-group x", id="option of aws"),
        pytest.param("aws sns subscribe --topic-arn x", id="required option"),
        pytest.param("aws cloudformation wait stack-deleted --stack-name x", id="waiter"),
        pytest.param("aws cloudformation wait stack-delete-complete --stack x", id="option of a waiter"),
        pytest.param(
            "aws cloudformation delete-stack-instances --stack-set-name x --regions y", id="required switch, yes or no"
        ),
        pytest.param("aws lambda get-policy --function-name a name of words", id="too many values"),
        pytest.param("aws lambda get-policy --function-name", id="no value"),
        pytest.param("aws iam put-role-policy --role-name x --policy-name y --policy-document '{Version}'", id="JSON"),
        pytest.param(f"{DEPLOY} --parameter TopicArns=x", id="option of aws cloudformation deploy"),
        pytest.param(f"{DEPLOY} --parameter-overrides SlackWorkspaceId=T0 TopicArns=x", id="missing parameter"),
        pytest.param(f"{DEPLOY} --parameter-overrides {PARAMETERS} Topic=x", id="unknown parameter"),
        pytest.param(f"{DEPLOY} --parameter-overrides {PARAMETERS.replace('C0', '#x')}", id="value of a parameter"),
        pytest.param("quota-monitor doktor", id="command"),
        pytest.param("quota-monitor doctor --stack x", id="option of ours"),
        pytest.param("quota-monitor analyze --hours many", id="value of ours"),
        pytest.param("quota-monitor failed replay --nothing", id="option of a subcommand"),
        pytest.param("uvx --from git+https://a.b/c quota-monitor doktor", id="command of uvx"),
        pytest.param("sam deploy --regions us-east-1", id="option of sam"),
        pytest.param("make tests", id="target of make"),
        pytest.param("make fuzz MINUTES=3", id="variable of make"),
        pytest.param("python examples/undeclared.py", id="file"),
        pytest.param("frobnicate --all", id="unknown program"),
    ],
)
def test_a_wrong_command_is_noticed(command: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        check(command)
