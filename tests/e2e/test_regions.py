"""`quota-monitor deploy`: this checkout's own command, in several Regions of the emulator at once."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError

from localaws import deployment, template
from localaws.account import Account
from localaws.deployment import Deployment
from localaws.instance import CHECKOUT, Instance
from localaws.state import StateDirectory

STACK = "quota-regions"
GOOD = ("eu-west-1", "ap-southeast-2")
BAD = "ca-central-1"
VERSION_0_1_0 = "852f7f7c5d6376e53a3bbe43c35ee12fcea8a8b8"
"""The last commit of version 0.1.0, which has no tag."""

BUILT = ("template.yaml", "functions", "layers", "registry", "LICENSE", "README.md")
IMPORTED = ("cli", "localaws", "layers", "functions", "registry")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This checkout without what the emulator cannot take: its command line builds and deploys this very copy."""
    copied: Path = tmp_path_factory.mktemp("checkout")
    for name in IMPORTED:
        shutil.copytree(CHECKOUT / name, copied / name, symlinks=True, ignore=shutil.ignore_patterns("build"))
    for name in ("README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, copied)
    settings = (CHECKOUT / "samconfig.toml").read_text(encoding="utf-8")
    assert "cached = false" in settings
    # nothing of the copy changes between its builds
    (copied / "samconfig.toml").write_text(settings.replace("cached = false", "cached = true"), encoding="utf-8")
    kept, _ = template.without(deployment._parse(CHECKOUT / "template.yaml"))
    (copied / "template.yaml").write_text(json.dumps(kept), encoding="utf-8")  # JSON is YAML
    return copied


@pytest.fixture(scope="module")
def environment(copy: Path, local: Instance) -> Mapping[str, str]:
    paths = [str(copy), str(copy / "cli"), str(copy / "layers" / "core")]
    return {
        **local.account.environment(os.environ),
        "PYTHONPATH": os.pathsep.join(paths),
        "LAMBDA_PLATFORM": "native",
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": "0.1",
        "__SAM_CLI_APP_DIR": str(copy / "sam"),
        "COLUMNS": "200",
    }


ARCHITECTURE = f"Architecture={deployment.choose_architecture(os.uname().machine)}"


def started(environment: Mapping[str, str], copy: Path, *arguments: str) -> subprocess.Popen[str]:
    return started_as_is(environment, copy, *arguments, "--parameter", ARCHITECTURE)


def started_as_is(environment: Mapping[str, str], copy: Path, *arguments: str) -> subprocess.Popen[str]:
    # a shell that runs tests in the background has Ctrl-C ignored, which children inherit
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from quota_monitor.main import main; main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=copy,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def in_region(local: Instance, region: str) -> Account:
    return msgspec.structs.replace(local.account, region=region)


def status(local: Instance, region: str) -> str:
    found = in_region(local, region).session().client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    return str(found[0]["StackStatus"])


def fetched(local: Instance, region: str) -> Mapping[str, Any]:
    """What Lambda answers of a run of that Region's fetcher."""
    session = in_region(local, region).session()
    found = session.client("cloudformation").describe_stack_resource(
        StackName=STACK, LogicalResourceId="QuotaFetcherFunction"
    )["StackResourceDetail"]["PhysicalResourceId"]
    return session.client("lambda").invoke(FunctionName=found, Payload=b"{}")


@pytest.fixture(scope="module")
def occupied(local: Instance) -> str:
    """A Region in which the stack cannot be made: invocation logs go to the log group of its own processor."""
    in_region(local, BAD).session().client("bedrock").put_model_invocation_logging_configuration(
        loggingConfig={
            "cloudWatchConfig": {
                "logGroupName": f"/aws/lambda/{STACK}-metric-processor",
                "roleArn": f"arn:aws:iam::{local.account.id}:role/bedrock-logs",
            },
            "textDataDeliveryEnabled": True,
        }
    )
    return BAD


@pytest.fixture(scope="module")
def previous(local: Instance, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str] | str:
    """The previous release's stack in one Region: physical ids of what holds data. Or the reason why there is none."""
    commit = git("describe", "--tags", "--abbrev=0", "--match=v*", "HEAD^") or VERSION_0_1_0
    archive = git("archive", commit, *BUILT, text=False)
    if not archive:
        return "no earlier commit here: no git, a shallow clone, or not the project's own repository"
    checkout = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(checkout, filter="tar")
    directory = StateDirectory(tmp_path_factory.mktemp("state"))
    deployed = Deployment(checkout, in_region(local, GOOD[0]), STACK, directory)
    deployed.build(lambda *_: None)
    deployed.deploy(lambda *_: None)
    return holding_data(local, GOOD[0])


def git(*arguments: str, text: bool = True) -> Any:
    program = shutil.which("git")
    if program is None:
        return "" if text else b""
    ran = subprocess.run([program, *arguments], cwd=CHECKOUT, capture_output=True, text=text, check=False)
    return (ran.stdout.strip() if text else ran.stdout) if ran.returncode == 0 else ran.stdout[:0]


def holding_data(local: Instance, region: str) -> dict[str, str]:
    cloudformation = in_region(local, region).session().client("cloudformation")
    found = cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
    stateful = json.loads((CHECKOUT / "tests" / "data" / "stateful.json").read_bytes())
    return {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for each in found
        if each["LogicalResourceId"] in stateful and "PhysicalResourceId" in each
    }


@pytest.fixture(scope="module")
def printed(
    environment: Mapping[str, str], copy: Path, occupied: str, previous: dict[str, str] | str
) -> tuple[int, str]:
    """What the command prints: in a Region with the previous release, in one that refuses, and in an empty one."""
    assert previous  # is there before
    regions = ",".join([GOOD[0], occupied, GOOD[1]])
    running = started(environment, copy, "deploy", "--regions", regions, "--stack-name", STACK)
    output, _ = running.communicate(timeout=240)
    return running.returncode, output


def test_one_build_is_deployed_in_every_region_that_takes_it(local: Instance, printed: tuple[int, str]) -> None:
    _, output = printed
    for region in GOOD:
        assert status(local, region) in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}, output
        assert re.search(rf"{region} +deployed +\d+", output), output
        assert f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#dashboards" in output


def test_a_region_that_fails_is_named_with_its_reason_and_stops_no_other(
    local: Instance, printed: tuple[int, str]
) -> None:
    exit_code, output = printed
    assert exit_code == 1
    assert re.search(rf"{BAD} +failed", output), output
    assert re.search(r"Failed: \w+: .* is a log group of this stack", output), output
    with pytest.raises(ClientError, match="does not exist"):  # nothing is left: it can be tried again
        status(local, BAD)


def test_each_region_has_functions_of_its_own_that_run(local: Instance, printed: tuple[int, str]) -> None:
    for region in GOOD:
        assert "FunctionError" not in fetched(local, region), printed[1]


@pytest.mark.parametrize(
    "words",
    [(command, "--stack-name", name) for command in ("doctor", "report") for name in (STACK, "quota-reg*")],
    ids=" ".join,
)
def test_every_region_is_looked_into_and_one_without_a_stack_stops_no_other(
    local: Instance, environment: Mapping[str, str], copy: Path, printed: tuple[int, str], words: tuple[str, ...]
) -> None:
    assert printed[0] == 1  # there are stacks in the two good Regions, and none in the other
    regions = (GOOD[1], BAD, GOOD[0])

    running = started_as_is(environment, copy, *words, "--regions", ",".join(regions), "--json")
    output, _ = running.communicate(timeout=120)

    assert running.returncode == 3, output
    places = json.loads(output[output.index("{") :])["places"]  # after what standard error says of the scans
    assert [each["region"] for each in places] == list(regions)
    assert [each["document"] is not None for each in places] == [True, False, True]
    assert [each["account"] for each in places] == [local.account.id, None, local.account.id]
    assert re.match(rf"(There is no|No) stack .*in {BAD}", places[1]["error"]), output
    for each in (places[0], places[2]):
        found = each["document"] if words[0] == "doctor" else each["document"]["accounts"][0]
        assert found["region"] == each["region"]


def test_an_update_replaces_nothing_that_holds_data(
    local: Instance, previous: dict[str, str] | str, printed: tuple[int, str]
) -> None:
    if isinstance(previous, str):
        pytest.skip(previous)
    # given a stack of the previous release, whose data is in these
    assert {"StateTable", "FailedDeliveriesBucket", "AlarmTopic", "MetricProcessorLogGroup"} <= previous.keys()
    # when this checkout was deployed over it
    assert status(local, GOOD[0]) == "UPDATE_COMPLETE", printed[1]
    # then
    after = holding_data(local, GOOD[0])
    assert {name: after.get(name) for name in previous} == previous


def test_one_build_is_deployed_to_several_accounts(
    local: Instance, environment: Mapping[str, str], copy: Path, tmp_path: Path
) -> None:
    # given a profile of each account, of which the emulator takes the key id
    accounts = {"team-a": "111111111111", "team-b": "222222222222"}
    config = "".join(
        f"[profile {name}]\naws_access_key_id = {account}\naws_secret_access_key = s\n"
        for name, account in {**accounts, "other": "333333333333"}.items()
    )
    (tmp_path / "config").write_text(config, encoding="utf-8")
    kept = {name: value for name, value in environment.items() if not name.startswith("AWS_ACCESS_KEY")}
    region, stack = "eu-west-3", "quota-accounts"
    # when
    words = ("deploy", "--profiles", "team-*", "--regions", region, "--stack-name", stack, "--json")
    running = started({**kept, "AWS_CONFIG_FILE": str(tmp_path / "config")}, copy, *words)
    output, _ = running.communicate(timeout=240)
    # then each account has the stack, and its code in a bucket of its own
    assert running.returncode == 0, output
    results = json.loads(output[output.index("{") :])["regions"]
    assert [(each["profile"], each["region"], each["state"]) for each in results] == [
        (name, region, "deployed") for name in accounts
    ]
    for account in accounts.values():
        session = msgspec.structs.replace(local.account, region=region, id=account).session()
        (found,) = session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        assert found["StackId"].split(":")[4] == account
        buckets = [each["Name"] for each in session.client("s3").list_buckets()["Buckets"]]
        assert len([each for each in buckets if each.startswith("aws-sam-cli-managed-default")]) == 1


@pytest.fixture
def throttling(copy: Path, tmp_path: Path) -> Path:
    """A checkout whose set-up of invocation logging gets no concurrent execution, and is given up after 3 seconds.

    Its template has what the set-up needs and nothing else.
    """
    changed: Path = tmp_path / "checkout"
    shutil.copytree(copy, changed, ignore=shutil.ignore_patterns(".aws-sam"))
    source = json.loads((changed / "template.yaml").read_text(encoding="utf-8"))
    resources = source["Resources"]
    needed: set[str] = {"InvocationLogSetup", *template.references(source["Globals"])} & resources.keys()
    while (
        more := {each for name in needed for each in template.references(resources[name])} & resources.keys() - needed
    ):
        needed |= more
    resources["LoggingSetupFunction"]["Properties"]["ReservedConcurrentExecutions"] = 0
    resources["InvocationLogSetup"]["Properties"]["ServiceTimeout"] = 3
    whole = {name: part for name, part in source.items() if name != "Outputs"}
    small = {**whole, "Resources": {name: resources[name] for name in sorted(needed)}}
    (changed / "template.yaml").write_text(json.dumps(small), encoding="utf-8")
    return changed


def test_the_reason_is_kept_of_a_custom_resource_that_gets_no_concurrency(
    copy: Path, environment: Mapping[str, str], throttling: Path
) -> None:
    region = "eu-west-2"
    paths = environment["PYTHONPATH"].replace(str(copy), str(throttling))
    running = started(
        {**environment, "PYTHONPATH": paths}, throttling, "deploy", "--regions", region, "--stack-name", STACK
    )
    output, _ = running.communicate(timeout=240)

    assert running.returncode == 1, output
    assert "Failed: InvocationLogSetup: CloudFormation did not receive a response from your Custom Resource" in output
    assert f"aws cloudformation list-stacks --region {region}" in output


def test_ctrl_c_leaves_cloudformation_to_finish_and_says_so(
    local: Instance, environment: Mapping[str, str], copy: Path
) -> None:
    region = "sa-east-1"
    running = started(environment, copy, "deploy", "--regions", region, "--stack-name", STACK)
    cloudformation = in_region(local, region).session().client("cloudformation")
    # given a stack that is being made
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and running.poll() is None:
        stacks = cloudformation.list_stacks()["StackSummaries"]
        if any((each["StackName"], each["StackStatus"]) == (STACK, "CREATE_IN_PROGRESS") for each in stacks):
            break
        time.sleep(0.1)
    time.sleep(0.5)  # for the first event to be told
    # when
    running.send_signal(signal.SIGINT)
    output, _ = running.communicate(timeout=30)
    # then
    assert running.returncode == 130, output
    assert f"CloudFormation finishes the deployment in {region}" in output
    while time.monotonic() < deadline and status(local, region).endswith("IN_PROGRESS"):
        time.sleep(0.2)
    assert status(local, region) == "CREATE_COMPLETE"


def test_a_template_for_stack_sets_deploys_by_itself_in_each_region(
    local: Instance, environment: Mapping[str, str], copy: Path
) -> None:
    # given a bucket in each Region
    regions = ("eu-north-1", "us-west-2")
    for region in regions:
        in_region(local, region).session().client("s3").create_bucket(
            Bucket=f"monitor-code-{region}", CreateBucketConfiguration={"LocationConstraint": region}
        )
    # when
    options = ("--regions", ",".join(regions), "--bucket-prefix", "monitor-code", "--output", str(copy / "set.json"))
    running = started(environment, copy, "package", *options)
    output, _ = running.communicate(timeout=120)
    assert running.returncode == 0, output
    # then the template is a stack by itself: no SAM CLI, no macro, no code from another Region
    text = (copy / "set.json").read_text(encoding="utf-8")
    assert "Transform" not in json.loads(text)
    cloudformation = in_region(local, regions[1]).session().client("cloudformation")
    bucket = f"monitor-code-{regions[1]}"
    in_region(local, regions[1]).session().client("s3").put_object(Bucket=bucket, Key="set.json", Body=text.encode())
    cloudformation.create_stack(
        StackName=STACK,
        TemplateURL=f"{local.endpoint_url}/{bucket}/set.json",  # too large to be given as it is
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[dict(zip(("ParameterKey", "ParameterValue"), ARCHITECTURE.split("="), strict=True))],
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and status(local, regions[1]).endswith("IN_PROGRESS"):
        time.sleep(0.2)
    assert status(local, regions[1]) == "CREATE_COMPLETE"
    assert "FunctionError" not in fetched(local, regions[1])
