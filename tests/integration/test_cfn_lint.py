"""cfn-lint, in a process of its own, on the templates that CloudFormation gets."""

import fnmatch
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from iam.evaluator import read_data
from plain import plain_template
from samcli.yamlhelper import yaml_parse

ROOT = Path(__file__).parents[2]


REGIONS = (
    "us-east-1",
    "eu-central-1",
    "ap-southeast-7",  # one of the newest, which lacks services that the others have
    "us-gov-west-1",
    "us-gov-east-1",
    "cn-north-1",
    "cn-northwest-1",
)
"""Regions of every partition that the template is for, old and new."""


def test_cfn_lint_finds_nothing_without_macros_in_any_partition(tmp_path: Path) -> None:
    file = tmp_path / "plain.json"
    file.write_text(json.dumps(plain_template()), encoding="utf-8")
    linted = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), "--regions", *REGIONS, "--template", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert linted.returncode == 0, linted.stdout + linted.stderr


CANNOT_BE_TAGGED = {
    "AWS::IAM::Policy",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::LayerVersion",
    "AWS::Lambda::Permission",
    "AWS::Logs::QueryDefinition",
    "AWS::Logs::SubscriptionFilter",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::Scheduler::Schedule",
}
"""Types that cannot carry tags, as the schemas say that cfn-lint ships. docs/limits.md names them."""


def test_every_other_resource_can_be_tagged_by_cloudformation_and_none_has_tags_of_its_own() -> None:
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # noqa: PLC0415 - 3 s, which other tests need not wait

    resources = plain_template()["Resources"].values()
    types = {each["Type"] for each in resources if not each["Type"].startswith("Custom::")}
    schemas = {each: PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", each).schema for each in types}

    assert {each for each in types if not schemas[each].get("tagging", {}).get("taggable")} == CANNOT_BE_TAGGED
    # SAM marks functions and roles; a tag of the stack with that key would be another value of the same tag
    own = {tag["Key"] for each in resources for tag in each.get("Properties", {}).get("Tags", []) if "Key" in tag}
    assert own == {"lambda:createdBy"}


def test_the_destination_for_other_accounts_is_well_formed_and_opens_to_that_account_alone(tmp_path: Path) -> None:
    # given the template that docs/regions-and-accounts.md shows
    page = (ROOT / "docs" / "regions-and-accounts.md").read_text(encoding="utf-8")
    (block,) = [each for each in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "# destination.yaml" in each]
    told = tmp_path / "destination.yaml"
    told.write_text(textwrap.dedent(block), encoding="utf-8")
    # when
    linted = subprocess.run(
        [Path(sys.executable).parent / "cfn-lint", "--regions", "us-east-1", "--template", str(told)],
        capture_output=True,
        text=True,
        check=False,
    )
    # then
    assert linted.returncode == 0, linted.stdout
    destination = yaml_parse(told.read_text(encoding="utf-8"))["Resources"]["LogsOfOtherAccounts"]["Properties"]
    (statement,) = json.loads(destination["DestinationPolicy"])["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Principal": {"AWS": "222222222222"},
        "Action": "logs:PutSubscriptionFilter",
        "Resource": f"arn:aws:logs:us-east-1:111111111111:destination:{destination['DestinationName']}",
    }


CHANNELS = {
    "slack-channel": "AWS::Chatbot::SlackChannelConfiguration",
    "teams-channel": "AWS::Chatbot::MicrosoftTeamsChannelConfiguration",
}
"""Templates for chat channels in examples/, and the types that they are for."""


@pytest.mark.parametrize("name", CHANNELS)
def test_a_chat_channel_is_well_formed_and_cannot_change_anything(name: str) -> None:
    template = ROOT / "examples" / f"{name}.yaml"
    # cfn-lint finds nothing in the Regions of the partition `aws`, the only one that has the type
    regions = [each for each in REGIONS if not each.startswith(("us-gov-", "cn-"))]
    linted = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), "--regions", *regions, "--template", str(template)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr
    # the channel shows the topics, and its role and its guardrail are the same policy
    parsed = yaml_parse(template.read_text(encoding="utf-8"))
    resources = {each["Type"]: each["Properties"] for each in parsed["Resources"].values()}
    channel, only = resources[CHANNELS[name]], [{"Ref": "ReadMetrics"}]
    assert channel["SnsTopicArns"] == {"Ref": "TopicArns"}
    assert channel["GuardrailPolicies"] == resources["AWS::IAM::Role"]["ManagedPolicyArns"] == only
    assert resources["AWS::IAM::Role"].keys() == {"AssumeRolePolicyDocument", "ManagedPolicyArns"}
    # which allows actions of CloudWatch that read, and no log, because those may have prompts
    (statement,) = resources["AWS::IAM::ManagedPolicy"]["PolicyDocument"]["Statement"]
    assert {each.partition(":")[0] for each in statement["Action"]} == {"cloudwatch"}
    levels = {f"cloudwatch:{each['name']}": each["accessLevel"] for each in read_data("actions", "cloudwatch").values()}
    allowed = {action for pattern in statement["Action"] for action in fnmatch.filter(levels, pattern)}
    assert {"cloudwatch:GetMetricWidgetImage", "cloudwatch:DescribeAlarms"} <= allowed
    assert {levels[action] for action in allowed} == {"Read", "List"}
