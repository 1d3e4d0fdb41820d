"""Policies name what they are about: `*` only for actions that AWS lets nobody narrow down."""

from pathlib import Path
from typing import Any

import pytest
from ingestion import template_of

TEMPLATE = Path(__file__).parents[2] / "template.yaml"

BEDROCK = "https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonbedrock.html"
CLOUDWATCH = "https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html"
SERVICE_QUOTAS = "https://docs.aws.amazon.com/service-authorization/latest/reference/list_servicequotas.html"

TAKES_NO_RESOURCE = {
    "bedrock:GetModelInvocationLoggingConfiguration": BEDROCK,
    "bedrock:PutModelInvocationLoggingConfiguration": BEDROCK,
    "bedrock:DeleteModelInvocationLoggingConfiguration": BEDROCK,
    "bedrock:ListInferenceProfiles": BEDROCK,
    "cloudwatch:ListMetrics": CLOUDWATCH,
    "cloudwatch:GetMetricData": CLOUDWATCH,
    "servicequotas:ListServiceQuotas": SERVICE_QUOTAS,
    "servicequotas:ListAWSDefaultServiceQuotas": SERVICE_QUOTAS,
}
"""Actions whose "Resource types" are empty in the Service Authorization Reference (read 2026-11-23), and where."""

Statement = dict[str, Any]


@pytest.fixture(scope="module")
def statements() -> list[Statement]:
    """Every statement of every role's policies, of a stack that has all there is."""
    resources = template_of(TEMPLATE.read_text(encoding="utf-8"), "kinesis")["Resources"].values()
    policies = [resource["Properties"] for resource in resources if resource["Type"] == "AWS::IAM::Policy"]
    policies += [
        each
        for resource in resources
        if resource["Type"] == "AWS::IAM::Role"
        for each in resource["Properties"]["Policies"]
    ]
    assert {each["PolicyName"] for each in policies} >= {"process-deliveries", "read-invocation-log-stream"}
    return [statement for each in policies for statement in each["PolicyDocument"]["Statement"]]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_everything_is_named_that_can_be(statements: list[Statement]) -> None:
    on_everything = [each for each in statements if "*" in listed(each["Resource"])]
    assert {action for each in on_everything for action in listed(each["Action"])} == TAKES_NO_RESOURCE.keys()
    assert all(listed(each["Resource"]) == ["*"] for each in on_everything)


def test_no_name_of_a_service_or_action_holds_a_wildcard(statements: list[Statement]) -> None:
    actions = [action for each in statements for action in listed(each["Action"])]
    assert len(actions) > 20
    assert [action for action in actions if "*" in action or "?" in action] == []
    assert [each for each in statements if {"NotAction", "NotResource"} & each.keys()] == []
