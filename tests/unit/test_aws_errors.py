"""Errors of AWS: every command that talks to AWS says the same, with the next step, and exits with 3."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Any

import botocore.client
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from click.testing import CliRunner, Result
from subcommands import find_subcommands

from localaws import sam
from quota_monitor import aws_regions
from quota_monitor.deployment import checkout, deploy
from quota_monitor.main import main

pytestmark = pytest.mark.usefixtures("no_aws")

COMMANDS: dict[str, tuple[str, ...]] = {
    "analyze": ("analyze",),
    "analyze, of S3": ("analyze", "--s3", "s3://logs"),
    "analyze, publishing": ("analyze", "--publish", "nope"),
    "explain": ("explain", "--at", "14:03"),
    "increase": ("increase", "--pool", "amazon.nova-lite-v1:0"),
    "increase, of a stack": ("increase", "--pool", "amazon.nova-lite-v1:0", "--stack-name", "nope"),
    "report": ("report", "--stack-name", "nope"),
    "doctor": ("doctor", "--stack-name", "nope"),
    "doctor, first day": ("doctor", "--stack-name", "nope", "--first-day"),
    "doctor, test of the alarm": ("doctor", "--stack-name", "nope", "--test-alarm"),
    "failed list": ("failed", "list", "--stack-name", "nope"),
    "failed replay": ("failed", "replay", "--stack-name", "nope"),
    "cost, from the account": ("cost", "--from-account"),
    "registry sync": ("registry", "sync"),
    "deploy": ("deploy",),
    "package": ("package", "--bucket-prefix", "code"),
}
"""Every command that talks to AWS, with the options that it needs."""

NEEDS_REGIONS = {"deploy", "package"}
"""Commands with a required option --regions, so that they never lack a Region."""

PLURAL = {"analyze", "explain", "increase", "cost"}
"""Commands that take several profiles and Regions."""

OF_STACKS = {name for name, words in COMMANDS.items() if "nope" in words}

WITHOUT_AWS = {"events", "demo", "local up"}
"""Commands with one of these options, or with AWS in the future, that ask no account."""


@pytest.fixture(autouse=True)
def no_build(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_given: object, **_more: object) -> None:
        pytest.fail("it was built")

    monkeypatch.setattr(deploy, "build", build)
    monkeypatch.setattr(checkout, "require_local_extra", lambda: None)
    monkeypatch.setattr(sam, "command", build)


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], Any]], None]:
    """Have every call of AWS answered by a function of its operation."""

    def install(given: Callable[[str], Any]) -> None:
        monkeypatch.setattr(
            botocore.client.BaseClient, "_make_api_call", lambda _self, operation, _given: given(operation)
        )

    return install


def run(name: str, *options: str, region: str = "us-east-1") -> Result:
    words = COMMANDS[name]
    plural = words[0] in PLURAL | NEEDS_REGIONS
    there = (("--regions",) if plural else ("--region",), (region,)) if region else ()
    return CliRunner(mix_stderr=False).invoke(main, [*words, *(word for part in there for word in part), *options])


def failing(code: str, message: str = "as AWS says it") -> Callable[[str], Any]:
    def fail(operation: str) -> Any:
        raise ClientError({"Error": {"Code": code, "Message": message}}, operation)

    return fail


def test_the_list_has_every_command_that_selects_a_region_or_profile() -> None:
    selecting = {
        " ".join(names)
        for names, command in find_subcommands()
        if {"region", "regions", "names", "profile", "profiles"} & {each.name for each in command.params}
    }

    assert selecting - WITHOUT_AWS == {" ".join(words).partition(" --")[0] for words in COMMANDS.values()}


ERRORS = {
    "expired": (failing("ExpiredToken"), "The AWS session has expired. Sign in, for example with `aws sso login`"),
    "unknown keys": (
        failing("UnrecognizedClientException"),
        "AWS does not accept these credentials (UnrecognizedClientException). Sign in",
    ),
    "denied": (failing("AccessDenied"), "These credentials may not "),
}


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("name", COMMANDS)
def test_what_aws_answers_is_one_sentence(name: str, error: str, answer: Any) -> None:
    answers, said = ERRORS[error]
    answer(answers)

    ran = run(name)

    assert (ran.exit_code, ran.stdout) == (3, ""), ran.output
    assert ran.stderr.startswith("Error: ")
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_no_network_is_one_sentence(name: str, answer: Any) -> None:
    def fail(_operation: str) -> Any:
        raise EndpointConnectionError(endpoint_url="https://x.amazonaws.com")

    answer(fail)

    ran = run(name)

    assert (ran.exit_code, ran.stdout) == (3, "")
    assert "Check your network, and run the command again." in ran.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_endpoint_on_this_machine_is_the_local_stack(host: str, answer: Any) -> None:
    def fail(_operation: str) -> Any:
        raise EndpointConnectionError(endpoint_url=f"http://{host}:4566/")

    answer(fail)

    ran = run("report")

    assert (ran.exit_code, ran.stdout) == (3, "")
    assert f"Nothing answers at http://{host}:4566/, so the local stack is not running." in ran.stderr
    assert "run `quota-monitor local up " in ran.stderr
    assert "network" not in ran.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_no_credentials(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    monkeypatch.setattr("botocore.credentials.CredentialResolver.load_credentials", lambda _self: None)

    ran = run(name)

    assert (ran.exit_code, ran.stdout) == (3, "")
    option = "--profiles" if COMMANDS[name][0] in PLURAL else "--profile"
    assert ran.stderr.startswith(
        "Error: There are no AWS credentials. Sign in, for example with `aws sso login`, and run the command again. Or "
        f"name a profile that has some with {option}."
    )
    if name == "deploy":
        assert ran.stderr.endswith(f"with {option}.\n"), "only the sentence on credentials"


@pytest.mark.parametrize("name", [each for each in COMMANDS if each not in {*NEEDS_REGIONS, "analyze, of S3"}])
def test_no_region(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    ran = run(name, region="")

    assert (ran.exit_code, ran.stdout) == (3, "")
    option = "--regions" if COMMANDS[name][0] in PLURAL else "--region"
    assert ran.stderr == (
        f"Error: There is no AWS Region. Name one with {option}, or set one in your profile with `aws configure`.\n"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_no_such_profile(name: str) -> None:
    plural = COMMANDS[name][0] in PLURAL

    ran = run(name, "--profiles" if plural else "--profile", "nobody")

    assert (ran.exit_code, ran.stdout) == (3, "")
    assert ran.stderr == (
        "Error: The config profile (nobody) could not be found. `aws configure list-profiles` lists the profiles that "
        "exist.\n"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_a_region_that_does_not_exist(name: str, monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    monkeypatch.setattr(aws_regions, "_has_address", lambda _name: False)
    answer(lambda operation: pytest.fail(f"asked AWS for {operation}"))

    ran = run(name, region="us-esat-1")

    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr.endswith("Error: 'us-esat-1' is no AWS Region. Did you mean us-east-1?\n")


@pytest.mark.parametrize("name", sorted(OF_STACKS))
def test_a_stack_that_does_not_exist(name: str, answer: Any) -> None:
    outputs = [{"OutputKey": key} for key in ("InvocationLogGroupName", "AlarmTopicArn", "DashboardName")]
    asked = []

    def answers(operation: str) -> Any:
        asked.append(operation)
        if operation == "GetCallerIdentity":
            return {"Account": "111122223333"}
        if operation == "DescribeStacks" and asked.count(operation) > (0 if "failed" in name else 1):
            return {"Stacks": [{"StackName": "monitor-dev", "Outputs": outputs}, {"StackName": "another"}]}
        return failing("ValidationError", "Stack with id nope does not exist")(operation)

    answer(answers)

    ran = run(name)

    assert (ran.exit_code, ran.stdout) == (3, ""), ran.output
    assert ran.stderr == (
        "Error: There is no stack nope in us-east-1 of account 111122223333. These look like the monitor: monitor-dev. "
        "Name one with --stack-name.\n"
    )


def test_without_the_right_to_list_stacks_the_sentence_is_shorter(answer: Any) -> None:
    asked = []

    def answers(operation: str) -> Any:
        asked.append(operation)
        first = len(asked) == 1
        return failing("ValidationError" if first else "AccessDenied", "Stack nope does not exist")(operation)

    answer(answers)

    assert run("report").stderr == (
        "Error: There is no stack nope in us-east-1. Check --region and --profile, or deploy it first.\n"
    )


# ---------------------------------------------------------------- Regions


@pytest.mark.parametrize("name", ["us-east-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1"])
def test_regions_of_all_partitions_are_known_offline(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_given: pytest.fail("looked up an address"))

    aws_regions.check_region(name)


def test_regions_are_known_whatever_profile_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    aws_regions.list_regions.cache_clear()

    aws_regions.check_region("us-east-1")
    ran = CliRunner().invoke(main, ["analyze", "--regions", "us-east-1"])

    assert ran.exit_code == 3
    assert ran.output.startswith("Error: The config profile (nobody) could not be found.")


def test_a_region_newer_than_boto3_is_taken_if_it_has_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port: asked.append((host, port)) or [1])

    aws_regions.check_region("mars-north-1")

    assert asked == [("cloudformation.mars-north-1.amazonaws.com", 443)]


def test_behind_a_proxy_aws_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_given: pytest.fail("looked up an address"))

    aws_regions.check_region("mars-north-1")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param("us-east1", "Did you mean us-east-1?", id="hyphen left out"),
        pytest.param("eu-wset-1", "Did you mean eu-west-1?", id="letters swapped"),
        pytest.param("EU-WEST-1", "'EU-WEST-1' is no AWS Region.", id="capitals"),
        pytest.param("us east 1", "is no AWS Region. Did you mean us-east-1?", id="blanks"),
    ],
)
def test_the_nearest_region_is_named(given: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_given: object) -> None:
        raise OSError("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", fail)

    ran = run("report", region=given)

    assert ran.exit_code == 2
    assert said in re.sub(r"\s+", " ", ran.stderr)


def test_the_region_of_the_aws_cli_is_taken_too(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    answer(failing("ValidationError", "Stack with id nope does not exist"))

    assert "There is no stack nope in eu-west-1." in run("report", region="").stderr
