"""A release, made in the least convenient checkout, is deployed with `sam deploy` alone from the unpacked zip."""

import json
import os
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from checkouts import ROOT, check_out_as_on_windows, run

from localaws import deployment, sam, template
from localaws.instance import Instance
from localaws.session import LocalSession

REGION = "eu-west-3"
STACK = "bedrock-quota-monitor"
"""The default of samconfig.toml."""

BOUNDARY = "arn:aws:iam::000000000000:policy/boundary"
TAGS = {"team": "platform", "cost-center": "a = b"}
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
ARCHITECTURE = deployment.choose_architecture(os.uname().machine)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked zip of `make dist`.

    It is made in a checkout of Git for Windows, below a folder with spaces, by a user whose pip installs into the
    user's folder, and unpacked below such a folder. Its layers are for this machine, on which the emulator runs them.
    """
    checkout = tmp_path_factory.mktemp("windows") / "My quota monitor"
    check_out_as_on_windows(checkout, tmp_path_factory.mktemp("git"))
    (checkout / ".venv").symlink_to(ROOT / ".venv")  # `make setup` is not what is tried
    run(
        *("make", "--old-file=.venv/ready", "dist"),
        *(f"LAMBDA_PYTHON={sys.executable}", f"LAMBDA_PYTHON_VERSION={VERSION}", "SOURCE_DATE_EPOCH=1764288000"),
        cwd=checkout,
        LAMBDA_PLATFORM="native",
        PIP_USER="1",
        SAM_CLI_TELEMETRY="0",
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    unpacked = tmp_path_factory.mktemp("release") / "Bedrock Quota Monitor"
    with zipfile.ZipFile(checkout / "dist" / f"bedrock-quota-monitor-{project['version']}.zip") as archive:
        archive.extractall(unpacked)
    return unpacked


@pytest.fixture(scope="module")
def session(local: Instance, release: Path) -> LocalSession:
    """A session in the Region to which the release is deployed, by its own samconfig.toml."""
    account = msgspec.structs.replace(local.account, region=REGION)
    built = release / ".aws-sam" / "build" / "template.yaml"
    kept, _ = template.without(deployment._parse(built))  # what the emulator cannot take
    built.write_text(json.dumps(kept), encoding="utf-8")  # JSON is YAML
    run(
        *sam.command("deploy", "--region", REGION),
        *("--parameter-overrides", f"Architecture={ARCHITECTURE}", f"PermissionsBoundaryArn={BOUNDARY}"),
        *("--tags", "team=platform", '"cost-center"="a = b"'),
        cwd=release,
        **account.environment(os.environ),
        SAM_CLI_TELEMETRY="0",
        SAM_CLI_POLL_DELAY="0.1",
        __SAM_CLI_APP_DIR=str(release / "sam"),
    )
    return account.session()


@pytest.fixture(scope="module")
def resources(session: LocalSession) -> Mapping[str, Mapping[str, Any]]:
    found = session.client("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]
    return {each["LogicalResourceId"]: each for each in found}


def test_it_is_deployed_and_its_functions_run(
    session: LocalSession, resources: Mapping[str, Mapping[str, Any]]
) -> None:
    (stack,) = session.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    fetcher = resources["QuotaFetcherFunction"]["PhysicalResourceId"]

    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}["InvocationLogging"].startswith(
        "enabled"
    )
    assert "FunctionError" not in session.client("lambda").invoke(FunctionName=fetcher, Payload=b"{}")


def test_every_role_has_the_boundary(session: LocalSession, resources: Mapping[str, Mapping[str, Any]]) -> None:
    iam = session.client("iam")
    roles = {name: each for name, each in resources.items() if each["ResourceType"] == "AWS::IAM::Role"}
    boundaries = {
        name: iam.get_role(RoleName=each["PhysicalResourceId"])["Role"].get("PermissionsBoundary", {})
        for name, each in roles.items()
    }

    assert "QuotaFetcherFunctionScheduleRole" in roles
    assert {name: each.get("PermissionsBoundaryArn") for name, each in boundaries.items()} == dict.fromkeys(
        roles, BOUNDARY
    )


def test_the_log_group_that_the_set_up_creates_has_the_stacks_tags(session: LocalSession) -> None:
    logs = session.client("logs")
    (group,) = logs.describe_log_groups(logGroupNamePrefix="/aws/bedrock/modelinvocations")["logGroups"]
    tags = logs.list_tags_for_resource(resourceArn=group["arn"].removesuffix(":*"))["tags"]

    assert TAGS.items() <= tags.items()
    assert tags["bedrock-quota-monitor:made-by"] == STACK
