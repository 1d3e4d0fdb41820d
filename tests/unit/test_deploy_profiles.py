"""`quota-monitor deploy` to several accounts: which it deploys to, how many at once, and what stops it."""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError
from click.testing import CliRunner, Result

from localaws import sam
from quota_monitor.deployment import deploy, targets
from quota_monitor.deployment.deploy import Deployment
from quota_monitor.deployment.regions import RegionProgress, State
from quota_monitor.main import main
from quota_monitor.places import Place

pytestmark = pytest.mark.usefixtures("no_aws")

ACCOUNTS = {"prod": "111111111111", "staging": "222222222222", "same-as-prod": "111111111111"}
TWO = ("--profiles", "prod,staging", "--regions", "us-east-1,eu-west-1")


class Sam:
    """A process of `sam deploy`. It reports its own arguments as the address of the dashboard."""

    def __init__(self, arguments: Sequence[str], **_given: object) -> None:
        outputs = [{"key": "DashboardURL", "value": " ".join(arguments)}]
        documents = ({"type": "outputs", "stack_outputs": outputs}, {"type": "result", "status": "success"})
        self.stdout: Iterable[str] = [json.dumps(each) for each in documents]

    def wait(self) -> int:
        return 0


class WaitingSam:
    """A process of `sam deploy` that prints nothing until it is terminated."""

    def __init__(self, *_given: object, **_more: object) -> None:
        self._ended = threading.Event()
        self.stdout: Iterable[str] = iter(self._read, None)

    def _read(self) -> str | None:
        self._ended.wait(30)
        return None

    def terminate(self) -> None:
        self._ended.set()

    def wait(self) -> int:
        return -15


def run(*words: str) -> Result:
    return CliRunner(mix_stderr=False).invoke(main, ["deploy", *words], env={"COLUMNS": "200"})


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str | None, str], Mapping[str, str] | Exception]:
    """The tags of the stack of a profile in a Region, or an error. No build, and a program in place of `sam`."""
    tags: dict[tuple[str | None, str], Mapping[str, str] | Exception] = {}

    def open_session(profile: str | None, region: str, _credentials: object) -> Any:
        identity = SimpleNamespace(get_caller_identity=lambda: {"Account": ACCOUNTS[str(profile)]})
        return SimpleNamespace(place=(profile, region), client={"sts": identity}.__getitem__)

    def read_tags(session: Any, _stack_name: str) -> Mapping[str, str]:
        found = tags.get(session.place, {})
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(targets, "open_session", open_session)
    monkeypatch.setattr(targets, "read_tags", read_tags)
    monkeypatch.setattr(targets, "find_local_endpoint", lambda _session: "")
    monkeypatch.setattr(deploy, "configured_tags", lambda _checkout: {})
    monkeypatch.setattr(deploy, "build", lambda _parameters: None)
    monkeypatch.setattr(sam, "command", lambda *words: words)
    monkeypatch.setattr(subprocess, "Popen", Sam)
    return tags


def arguments_of(ran: Result) -> dict[tuple[str, str], list[str]]:
    """Return the arguments of `sam` by profile and Region."""
    found = json.loads(ran.stdout)["regions"]
    return {(each["profile"], each["region"]): each["outputs"]["DashboardURL"].split() for each in found}


def test_each_profile_is_deployed_to_in_each_region(aws: dict[Any, Any]) -> None:
    aws["staging", "eu-west-1"] = {"team": "ours"}

    ran = run(*TWO, "--json")

    assert ran.exit_code == 0, ran.stderr
    given = arguments_of(ran)
    assert list(given) == [(profile, at) for profile in ("prod", "staging") for at in ("us-east-1", "eu-west-1")]
    for (profile, region), words in given.items():
        assert words[0] == "deploy"
        assert words[words.index("--region") :] == ["--region", region, "--profile", profile]
        assert ("team=ours" in words) is ((profile, region) == ("staging", "eu-west-1"))


@pytest.mark.usefixtures("aws")
def test_places_are_named_by_profile_and_region() -> None:
    ran = run(*TWO)

    lines = ran.stdout.splitlines()
    names = [f"{profile} in {region}" for profile in ("prod", "staging") for region in ("us-east-1", "eu-west-1")]
    assert [line for line in lines if " in " in line and not line.startswith(" ")] == names


def test_one_profile_is_not_asked_for_its_account(aws: dict[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert aws == {}
    monkeypatch.setattr(targets, "open_session", lambda *_given: SimpleNamespace(place=(None, "")))

    one, named = run("--regions", "us-east-1", "--json"), run("--regions", "us-east-1", "--profile", "prod", "--json")

    assert [list(arguments_of(each)) for each in (one, named)] == [[(None, "us-east-1")], [("prod", "us-east-1")]]


@pytest.fixture
def nothing_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "build", lambda _parameters: pytest.fail("it was built"))
    monkeypatch.setattr(deploy, "Deployment", lambda *_given: pytest.fail("it was deployed"))


@pytest.mark.usefixtures("aws", "nothing_built")
def test_two_profiles_of_one_account_are_refused() -> None:
    ran = run("--profiles", "staging,prod,same-as-prod", "--regions", "us-east-1")

    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr.endswith(
        "Error: The profiles prod and same-as-prod are both of account 111111111111, so they would deploy the same "
        "stack at the same time. Name one of them.\n"
    )


@pytest.mark.usefixtures("nothing_built")
def test_one_place_that_cannot_be_read_stops_all(aws: dict[Any, Any]) -> None:
    aws["staging", "us-east-1"] = aws["staging", "eu-west-1"] = NoCredentialsError()

    ran = run(*TWO)

    assert (ran.exit_code, ran.stdout) == (3, "")
    assert ran.stderr.startswith("Error: staging in us-east-1, staging in eu-west-1: There are no AWS credentials. ")
    assert ran.stderr.endswith("\nNothing was deployed anywhere.\n")


@pytest.mark.usefixtures("nothing_built")
def test_a_reason_of_all_places_is_said_once(aws: dict[Any, Any]) -> None:
    aws[None, "us-east-1"] = aws[None, "eu-west-1"] = NoCredentialsError()

    ran = run("--regions", "us-east-1,eu-west-1")

    assert ran.exit_code == 3
    assert ran.stderr.startswith("Error: There are no AWS credentials. ")
    assert ran.stderr.count("There are no AWS credentials.") == 1


@pytest.mark.usefixtures("aws", "nothing_built")
def test_profile_and_profiles_exclude_each_other() -> None:
    ran = run("--profile", "prod", "--profiles", "staging", "--regions", "us-east-1")

    assert ran.exit_code == 2
    assert "--profile and --profiles exclude each other" in ran.stderr


# ---------------------------------------------------------------- at the same time


def start(monkeypatch: pytest.MonkeyPatch, process: Callable[..., object], number: int, slots: int) -> list[Deployment]:
    monkeypatch.setattr(subprocess, "Popen", process)
    shared = threading.Semaphore(slots)
    return [Deployment(Place("p", f"us-east-{index}"), f"us-east-{index}", [], shared) for index in range(number)]


def test_no_more_run_than_there_are_slots_and_the_others_never_start_after_a_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deployments = start(monkeypatch, WaitingSam, 5, 2)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and sum(each.began is not None for each in deployments) < 2:
        time.sleep(0.01)
    time.sleep(0.1)  # for a third one, if it could
    running = [each.began is not None for each in deployments]

    for each in reversed(deployments):
        each.stop_watching()
    for each in deployments:
        each.wait()

    assert sum(running) == 2
    assert deployments[running.index(False)].seconds == 0
    assert [each.began is not None for each in deployments] == running
    states = {is_running: each.progress.state for is_running, each in zip(running, deployments, strict=True)}
    assert states == {True: State.FAILED, False: State.PREPARING}


def test_all_run_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    deployments = start(monkeypatch, Sam, 5, 2)

    for each in deployments:
        each.wait()

    assert [each.progress.state for each in deployments] == [State.DEPLOYED] * 5


def test_after_ctrl_c_each_place_has_its_command_and_those_that_wait_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def made(profile: str | None, name: str, state: State) -> Any:
        return SimpleNamespace(place=Place(profile, "us-east-1"), name=name, progress=RegionProgress(state))

    deploy._report_interruption(
        [
            made("prod", "prod in us-east-1", State.DEPLOYING),
            made(None, "us-east-1", State.DEPLOYING),
            made("staging", "staging in us-east-1", State.PREPARING),
            made("done", "done in us-east-1", State.DEPLOYED),
        ],
        "monitor",
    )

    assert capsys.readouterr().err.strip().splitlines() == [
        "CloudFormation finishes the deployment in prod in us-east-1, us-east-1. To see the result:",
        "  quota-monitor doctor --profile prod --region us-east-1 --stack-name monitor",
        "  quota-monitor doctor --region us-east-1 --stack-name monitor",
        "",
        "Not started in staging in us-east-1. Nothing has changed there.",
    ]


def test_a_program_that_does_not_start_is_a_failure_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_given: object, **_more: object) -> None:
        raise OSError("Cannot allocate memory")

    deployments = start(monkeypatch, fail, 2, 1)
    for each in deployments:
        each.wait()

    assert [(each.progress.state, each.progress.reason) for each in deployments] == [
        (State.FAILED, "Cannot allocate memory")
    ] * 2
    assert all(each.ended is not None for each in deployments), "their time does not go on"
