"""The policies of the template, and what judges them: the evaluator, and the translation of calls for it.

tests/e2e/test_permissions.py judges the calls of the deployed functions.
"""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from iam import evaluator
from iam.authorization import read_call
from iam.evaluator import ALLOWED, Request, evaluate
from ingestion import template_of

from localaws.fault_proxy import Call

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
ROLE = "arn:aws:iam::111122223333:role/r"
GROUP = "arn:aws:logs:us-east-1:111122223333:log-group:/g"
KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
STACK = "arn:aws:cloudformation:us-east-1:111122223333:stack/s/1"
TAG = "bedrock-quota-monitor:made-by"

Statement = dict[str, Any]


def call(service: str, operation: str, **parameters: Any) -> Call:
    return Call("f", service, operation, parameters, region="us-east-1", role=ROLE)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(
            call("dynamodb", "GetItem", TableName="t"),
            {("dynamodb:GetItem", "arn:aws:dynamodb:us-east-1:111122223333:table/t")},
            id="resource filled in from a parameter",
        ),
        pytest.param(
            call("s3", "GetObject", Bucket="b", Key="a/b c"),
            {("s3:GetObject", "arn:aws:s3:::b/a/b c")},
            id="object of a bucket",
        ),
        pytest.param(
            call("s3", "ListObjectVersions", Bucket="b"),
            {("s3:ListBucketVersions", "arn:aws:s3:::b")},
            id="action with another name than the operation",
        ),
        pytest.param(
            call("s3", "DeleteObjects", Bucket="b", Objects=[{"Key": "x", "VersionId": "null"}, {"Key": "y"}]),
            {
                ("s3:DeleteObject", "arn:aws:s3:::b/x"),
                ("s3:DeleteObjectVersion", "arn:aws:s3:::b/x"),
                ("s3:DeleteObject", "arn:aws:s3:::b/y"),
            },
            id="every object that is deleted",
        ),
        pytest.param(
            call("sqs", "SendMessageBatch", QueueUrl="https://sqs/111122223333/q"),
            {("sqs:SendMessage", "arn:aws:sqs:us-east-1:111122223333:q")},
            id="queue by its URL",
        ),
        pytest.param(
            call("ssm", "GetParameter", Name="/a/b"),
            {("ssm:GetParameter", "arn:aws:ssm:us-east-1:111122223333:parameter/a/b")},
            id="parameter without its slash",
        ),
        pytest.param(
            call("cloudformation", "DescribeStacks", StackName=STACK),
            {("cloudformation:DescribeStacks", STACK)},
            id="resource that is a parameter",
        ),
        pytest.param(
            call("bedrock", "GetInferenceProfile", inferenceProfileIdentifier="a1"),
            {
                (
                    "bedrock:GetInferenceProfile",
                    "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/a1",
                )
            },
            id="application profile by its id",
        ),
        pytest.param(
            call("service-quotas", "ListServiceQuotas", ServiceCode="bedrock"),
            {("servicequotas:ListServiceQuotas", "*")},
            id="action that takes no resource",
        ),
        pytest.param(
            call("logs", "DescribeLogGroups", logGroupNamePrefix="/g"),
            {("logs:DescribeLogGroups", "*")},
            id="log groups that are listed",
        ),
        pytest.param(
            call("logs", "CreateLogGroup", logGroupName="/g", tags={TAG: "s"}),
            {
                ("logs:CreateLogGroup", GROUP),
                ("logs:CreateLogGroup", f"{GROUP}:log-stream:"),
                ("logs:TagResource", GROUP),
                ("logs:TagResource", f"{GROUP}:log-stream:"),
            },
            id="log group with tags, by both of its ARNs",
        ),
        pytest.param(
            call(
                "bedrock",
                "PutModelInvocationLoggingConfiguration",
                loggingConfig={"cloudWatchConfig": {"logGroupName": "/g", "roleArn": ROLE}},
            ),
            {("bedrock:PutModelInvocationLoggingConfiguration", "*"), ("iam:PassRole", ROLE)},
            id="role that is handed to Bedrock",
        ),
    ],
)
def test_a_call_asks_for(given: Call, expected: set[tuple[str, str]]) -> None:
    asked = list(read_call(given, {}))

    assert {(each.action, each.resource) for each in asked} == expected
    assert len(asked) == len(expected)
    found = evaluate([request(each.action, each.resource, dict(each.context)) for each in asked])
    assert [each.unused_keys for each in found] == [()] * len(asked)


def test_a_call_has_the_tags_of_the_request_and_of_the_resource() -> None:
    (created, *_) = read_call(call("logs", "CreateLogGroup", logGroupName="/g", tags={TAG: "s"}), {})
    (deleted, *_) = read_call(call("logs", "DeleteLogGroup", logGroupName="/g"), {GROUP: {TAG: "s"}})
    *_, passed = read_call(
        call(
            "bedrock",
            "PutModelInvocationLoggingConfiguration",
            loggingConfig={"cloudWatchConfig": {"roleArn": ROLE}},
        ),
        {},
    )

    assert {f"aws:RequestTag/{TAG}": "s", "aws:TagKeys": (TAG,)}.items() <= dict(created.context).items()
    assert dict(deleted.context)[f"aws:ResourceTag/{TAG}"] == "s"
    assert dict(passed.context)["iam:PassedToService"] == "bedrock.amazonaws.com"


def test_an_operation_without_an_action_of_its_name_is_refused() -> None:
    with pytest.raises(AssertionError, match="there is no action s3:HeadObject"):
        list(read_call(call("s3", "HeadObject", Bucket="b", Key="x"), {}))


def request(action: str, resource: str, context: dict[str, Any] | None = None, **allowing: Any) -> Request:
    """A request of a role with one statement, which allows `Action` on `Resource` under `Condition`."""
    statement = {"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*", **allowing}
    return Request(
        principal="arn:aws:sts::111122223333:assumed-role/r/f",
        account="111122223333",
        action=action,
        resource=resource,
        context=context or {},
        policies={"p": {"Version": "2012-10-17", "Statement": [statement]}},
    )


TAGGED = {"Null": {f"aws:ResourceTag/{TAG}": "false"}}
TO_BEDROCK = {"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}}
DENY_PLAIN = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": "*",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ],
}
OBJECT = request("s3:GetObject", "arn:aws:s3:::b/x", Action="s3:GetObject", Resource="arn:aws:s3:::b/*")
PLAIN = msgspec.structs.replace(OBJECT, resource_policy=DENY_PLAIN, context={"aws:SecureTransport": "false"})
SECURE = msgspec.structs.replace(PLAIN, context={"aws:SecureTransport": "true"})
PASS = {"Action": "iam:PassRole", "Resource": ROLE, "Condition": TO_BEDROCK}
DELETE = {"Action": "logs:DeleteLogGroup", "Resource": f"{GROUP}*", "Condition": TAGGED}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(OBJECT, "Allowed", id="resource of the statement"),
        pytest.param(msgspec.structs.replace(OBJECT, resource="arn:aws:s3:::c/x"), "ImplicitlyDenied", id="another"),
        pytest.param(PLAIN, "ExplicitlyDenied", id="refused by the bucket"),
        pytest.param(SECURE, "Allowed", id="not refused by the bucket"),
        pytest.param(
            request("logs:DeleteLogGroup", GROUP, {f"aws:ResourceTag/{TAG}": "s"}, **DELETE), "Allowed", id="tag there"
        ),
        pytest.param(request("logs:DeleteLogGroup", GROUP, **DELETE), "ImplicitlyDenied", id="tag not there"),
        pytest.param(
            request("iam:PassRole", ROLE, {"iam:PassedToService": "bedrock.amazonaws.com"}, **PASS),
            "Allowed",
            id="role for the service",
        ),
        pytest.param(
            request("iam:PassRole", ROLE, {"iam:PassedToService": "lambda.amazonaws.com"}, **PASS),
            "ImplicitlyDenied",
            id="role for another service",
        ),
        pytest.param(
            request("kms:DescribeKey", KEY, Action="kms:DescribeKey", Resource="*"),
            "ImplicitlyDenied",
            id="key whose policy leaves it to nobody",
        ),
        pytest.param(
            request("logs:DescribeLogGroups", "*", Action="logs:DescribeLogGroups", Resource=f"{GROUP}*"),
            "ImplicitlyDenied",
            id="resource for an action that takes none",
        ),
    ],
)
def test_the_evaluator_answers(given: Request, expected: str) -> None:
    (found,) = evaluate([given])

    (policy,) = given.policies.values()
    (statement,) = policy["Statement"]
    assert found.result == expected
    if expected == ALLOWED:
        assert found.grants == ((statement["Action"], statement["Resource"]),)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        pytest.param("s3:HeadObject", "arn:aws:s3:::b/x", id="action that IAM does not have"),
        pytest.param("s3:GetObject", "arn:aws:s3:::b", id="resource of another kind"),
        pytest.param("logs:DescribeLogGroups", GROUP, id="resource for an action that takes none"),
    ],
)
def test_a_request_that_cannot_be_is_no_denial(action: str, resource: str) -> None:
    with pytest.raises(AssertionError, match=action):
        evaluate([request(action, resource)])


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


def takes_no_resource(action: str) -> bool:
    """Whether the Service Authorization Reference has no type of resource for the action."""
    service, _, name = action.partition(":")
    return evaluator.read_data("actions", service)[name.lower()]["resourceTypes"] == []


def test_everything_is_named_that_can_be(statements: list[Statement]) -> None:
    on_everything = [each for each in statements if "*" in listed(each["Resource"])]
    assert all(listed(each["Resource"]) == ["*"] for each in on_everything)
    actions = {action for each in on_everything for action in listed(each["Action"])}
    assert {action for action in actions if not takes_no_resource(action)} == {
        # may be limited to a dataset, which metrics of OpenTelemetry are in; other metrics are in none
        "cloudwatch:GetMetricData",
        "cloudwatch:ListMetrics",
    }


def test_nothing_is_named_for_an_action_that_takes_no_resource(statements: list[Statement]) -> None:
    named = {action for each in statements if listed(each["Resource"]) != ["*"] for action in listed(each["Action"])}
    assert len(named) > 20
    assert {action for action in named if takes_no_resource(action)} == set()


def test_no_name_of_a_service_or_action_holds_a_wildcard(statements: list[Statement]) -> None:
    actions = [action for each in statements for action in listed(each["Action"])]
    assert len(actions) > 20
    assert [action for action in actions if "*" in action or "?" in action] == []
    assert [each for each in statements if {"NotAction", "NotResource"} & each.keys()] == []
