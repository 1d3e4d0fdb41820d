"""The policy in examples/ for whoever deploys: judged by an IAM evaluator, on what AWS's resource schemas say.

CloudFormation acts with the rights of the caller. A schema names the actions with which it creates, reads, updates and
deletes a resource of its type (`handlers`), and tags it. cfn-lint ships the schemas.
"""

import ast
import fnmatch
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import samcli
from botocore import xform_name
from iam import evaluator
from iam.authorization import ACTIONS
from iam.evaluator import ALLOWED, DENIED, Request, evaluate
from plain import plain_template

from localaws.account import ACCOUNT_ID

POLICY = Path(__file__).parents[2] / "examples" / "deploy-policy.json"
MANAGED_POLICY_CHARACTERS = 6144
"""IAM's limit for a managed policy without white space (IAM User Guide, "IAM and AWS STS quotas", read 2026-11-28)."""

REGION = f"us-east-1:{ACCOUNT_ID}"
STACK = "bedrock-quota-monitor"
OTHER = "somebody-elses"

NOT_USED = {
    "data of a table, for replicas and imports": "dynamodb:Scan Query PutItem GetItem UpdateItem DeleteItem "
    "BatchWriteItem ImportTable DescribeImport CreateTableReplica AssociateTableReplica",
    "settings of the table that the template leaves out": "dynamodb:UpdateContributorInsights UpdateContinuousBackups "
    "EnableKinesisStreamingDestination DisableKinesisStreamingDestination UpdateKinesisStreamingDestination "
    "PutResourcePolicy DeleteResourcePolicy",
    "streams of a table": "kinesis:DescribeStream PutRecords",
    "settings of the stream that the template leaves out": "kinesis:EnableEnhancedMonitoring DisableEnhancedMonitoring "
    "UpdateMaxRecordSize UpdateShardCount UpdateStreamWarmThroughput",
    "networks and file systems, which no function has": "ec2:* elasticfilesystem:* s3files:*",
    "keys: the stack has those of AWS's services": "kms:*",
    "settings of functions that the template leaves out": "lambda:PutFunctionCodeSigningConfig "
    "DeleteFunctionCodeSigningConfig PutFunctionConcurrency DeleteFunctionConcurrency PutFunctionScalingConfig "
    "PutRuntimeManagementConfig PassCapacityProvider PublishVersion GetCodeSigningConfig",
    "settings of log groups that the template leaves out": "logs:AssociateKmsKey DisassociateKmsKey CreateLogDelivery "
    "CreateLogStream DescribeLogStreams PutLogEvents PutDataProtectionPolicy DeleteDataProtectionPolicy PutIndexPolicy "
    "DeleteIndexPolicy PutResourcePolicy DeleteResourcePolicy PutBearerTokenAuthentication "
    "PutLogGroupDeletionProtection",
    "Firehose": "firehose:*",
    "settings of buckets that the template leaves out": "s3:PutBucketAbac PutAnalyticsConfiguration PutBucketCORS "
    "PutInventoryConfiguration PutMetricsConfiguration PutBucketNotification PutBucketWebsite DeleteBucketWebsite "
    "PutAccelerateConfiguration PutReplicationConfiguration PutObjectAcl PutBucketAcl PutBucketObjectLockConfiguration "
    "PutBucketLogging PutIntelligentTieringConfiguration CreateBucketMetadataTableConfiguration "
    "DeleteBucketMetadataTableConfiguration UpdateBucketMetadataJournalTableConfiguration GetObjectVersion "
    "UpdateBucketMetadataInventoryTableConfiguration UpdateBucketMetadataAnnotationTableConfiguration",
    "tables of S3": "s3tables:*",
    "filters of messages": "sns:PutDataProtectionPolicy",
    "policies of users and groups, and managed policies": "iam:GetUserPolicy PutUserPolicy DeleteUserPolicy "
    "GetGroupPolicy PutGroupPolicy DeleteGroupPolicy AttachRolePolicy DetachRolePolicy",
    "roles of services, which DynamoDB needs for replicas": "iam:CreateServiceLinkedRole",
    "a permissions boundary that changes (docs/permissions.md)": "iam:PutRolePermissionsBoundary "
    "DeleteRolePermissionsBoundary",
}
"""Actions of the schemas that this template needs none of, by the reason."""

NO_ACTIONS = {
    "s3:DeleteBucketAnalyticsConfiguration",
    "s3:DeleteBucketCors",
    "s3:DeleteBucketEncryption",
    "s3:DeleteBucketLifecycle",
    "s3:DeleteBucketMetricsConfiguration",
    "s3:DeleteBucketReplication",
    "s3:DeleteBucketTagging",
    "s3:GetObjectMetadata",
    "s3:PutBucketReplication",
    "s3:PutObjectLockConfiguration",
    "s3:REST.PUT.OBJECT",
}
"""Names in the schemas that the Service Authorization Reference does not have."""

ARNS = {
    "cloudformation:stack": (f"arn:aws:cloudformation:{REGION}:stack/{STACK}/x",),
    "cloudwatch:alarm": (
        f"arn:aws:cloudwatch:{REGION}:alarm:{STACK}-NoRecordsAlarm-x",
        f"arn:aws:cloudwatch:{REGION}:alarm:{STACK} tokens reserved near the quota",
    ),
    "cloudwatch:dashboard": (f"arn:aws:cloudwatch::{ACCOUNT_ID}:dashboard/{STACK}-us-east-1",),
    "dynamodb:table": (f"arn:aws:dynamodb:{REGION}:table/{STACK}-StateTable-x",),
    "events:rule-on-default-event-bus": (f"arn:aws:events:{REGION}:rule/{STACK}-QuotaFetcherFunctionOverrides-x",),
    "iam:role": (f"arn:aws:iam::{ACCOUNT_ID}:role/{STACK}-MetricProcessorRole-x",),
    "kinesis:stream": (f"arn:aws:kinesis:{REGION}:stream/{STACK}-InvocationLogStream-x",),
    "lambda:function": (f"arn:aws:lambda:{REGION}:function:{STACK}-MetricProcessorFunction-x",),
    "lambda:layer": (f"arn:aws:lambda:{REGION}:layer:CoreLayer", f"arn:aws:lambda:{REGION}:layer:DependenciesLayer"),
    "lambda:layerVersion": (f"arn:aws:lambda:{REGION}:layer:CoreLayer:1",),
    "lambda:eventSourceMapping": (f"arn:aws:lambda:{REGION}:event-source-mapping:x",),
    "logs:log-group": (f"arn:aws:logs:{REGION}:log-group:/aws/lambda/{STACK}-metric-processor",),
    "s3:bucket": (f"arn:aws:s3:::{STACK}-largebodiesbucket-x", "arn:aws:s3:::aws-sam-cli-managed-default-x"),
    "s3:object": (f"arn:aws:s3:::aws-sam-cli-managed-default-x/{STACK}/code",),
    "scheduler:schedule": (f"arn:aws:scheduler:{REGION}:schedule/default/{STACK}-QuotaFetcherFunctionSchedule-x",),
    "sns:topic": (f"arn:aws:sns:{REGION}:{STACK}-AlarmTopic-x",),
    "sqs:queue": (f"arn:aws:sqs:{REGION}:{STACK}-LateBodiesQueue-x",),
}
"""What the stack consists of, and the bucket of SAM CLI's, by the Service Authorization Reference's type."""

SAM_STACK = f"arn:aws:cloudformation:{REGION}:stack/aws-sam-cli-managed-default/x"
"""The stack that all SAM applications of the account share. SAM CLI creates it once and then reads its outputs."""

ON_SAM_STACK = {
    "cloudformation:CreateChangeSet",
    "cloudformation:DescribeChangeSet",
    "cloudformation:DescribeStacks",
    "cloudformation:ExecuteChangeSet",
    "cloudformation:TagResource",
}
"""Its calls for that: those that it makes, those of its waiters, and the right to tag the stack."""

ON_ANY_LOG_GROUP = {"logs:PutSubscriptionFilter", "logs:DeleteSubscriptionFilter", "logs:DescribeSubscriptionFilters"}
"""They are on the invocation log group, which can have any name."""

CALLED_BY_SAM = {
    "cloudformation": (
        "lib/deploy/deployer.py",
        "lib/utils/managed_cloudformation_stack.py",
        "lib/delete/cfn_utils.py",
    ),
    "s3": ("lib/package/s3_uploader.py",),
}
"""Modules of SAM CLI that call AWS for `sam deploy` and `sam delete`."""

NOT_CALLED = {"s3:GetObjectTagging"}
"""Calls of these modules that neither command makes: only `sam package` of an application of the repository does."""

UPLOAD = {"s3:PutObject", "s3:AbortMultipartUpload"}
"""Actions of boto3's `upload_file` (S3 User Guide, "Uploading and copying objects using multipart upload")."""

BY_CLOUDFORMATION = {"lambda:InvokeFunction", "cloudformation:TagResource", "cloudformation:UntagResource"}
"""CloudFormation invokes the functions of custom resources (CloudFormation User Guide, "Custom resources"). If a stack
has tags, it checks that the caller may tag (CloudFormation API reference, UpdateStackSet, Tags, read 2026-11-29)."""


@pytest.fixture(scope="module")
def policy() -> Any:
    return json.loads(POLICY.read_bytes())


@pytest.fixture(scope="module")
def of_schemas() -> set[str]:
    """Every action that the schemas of the template's types name."""
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # noqa: PLC0415 - 3 s, which other tests need not wait

    types = {each["Type"] for each in plain_template()["Resources"].values() if not each["Type"].startswith("Custom::")}
    assert len(types) > 20
    found: set[str] = set()
    for name in types:
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", name).schema
        handlers = [
            schema["handlers"][each] for each in ("create", "read", "update", "delete") if each in schema["handlers"]
        ]
        assert any(handlers), name
        for part in (*handlers, schema.get("tagging") or {}):
            found.update(part.get("permissions") or ())
    return {f"s3:{each[3:]}" if each.startswith("S3:") else each for each in found} - NO_ACTIONS


@pytest.fixture(scope="module")
def needed(of_schemas: set[str]) -> set[str]:
    not_used = set(names(NOT_USED.values()))
    left = {each for each in of_schemas if not any(fnmatch.fnmatchcase(each, name) for name in not_used)}
    return left | called_by_sam() | UPLOAD | BY_CLOUDFORMATION


def names(given: Iterable[str]) -> Iterator[str]:
    """Actions of texts such as `s3:GetObject PutObject`."""
    for text in given:
        service = ""
        for word in text.split():
            before, colon, name = word.rpartition(":")
            service = before if colon else service
            yield f"{service}:{name}"


def called_by_sam() -> set[str]:
    return {
        ACTIONS.get(action, action)
        for service, modules in CALLED_BY_SAM.items()
        for module in modules
        for action in calls(Path(samcli.__file__).parent / module, service)
    } - NOT_CALLED


def calls(module: Path, service: str, functions: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the actions of calls of a boto3 client in a module, or in some of its functions."""
    model = botocore.session.get_session().get_service_model(service)
    operations = {xform_name(name): name for name in model.operation_names}
    tree = ast.parse(module.read_text(encoding="utf-8"))
    parts = [each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name in functions]
    assert len(parts) == len(functions)
    for node in (found for part in parts or [tree] for found in ast.walk(part)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in operations:
                yield action_of(service, operations[node.func.attr])
            elif node.func.attr == "get_paginator":
                yield action_of(service, operations[ast.literal_eval(node.args[0])])


def action_of(service: str, operation: str) -> str:
    return {"s3:HeadObject": "s3:GetObject"}.get(f"{service}:{operation}", f"{service}:{operation}")


def resources(action: str, arns: Mapping[str, tuple[str, ...]] = ARNS) -> list[str]:
    """Return the stack's resources that an action is on, or `*` if it takes none."""
    service, _, name = action.partition(":")
    types = [each["name"] for each in evaluator.read_data("actions", service)[name.lower()]["resourceTypes"]]
    found = [arn for each in types for arn in arns.get(f"{service}:{each}", ())]
    assert found or not types, f"{action} is on one of {types}, and the stack has none"
    return found or ["*"]


def ask(policy: Any, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the evaluator's results by action and resource."""
    asked = list(pairs)
    requests = [
        Request(
            principal=f"arn:aws:iam::{ACCOUNT_ID}:role/deployer",
            account=ACCOUNT_ID,
            action=action,
            resource=resource,
            context={"iam:PassedToService": "lambda.amazonaws.com"} if action == "iam:PassRole" else {},
            policies={"deploy": policy},
        )
        for action, resource in asked
    ]
    return dict(zip(asked, (each.result for each in evaluate(requests)), strict=True))


def test_deploying_takes_nothing_that_the_policy_leaves_out(policy: Any, needed: set[str]) -> None:
    pairs = {(action, resource) for action in needed for resource in resources(action)}
    invocation_log = f"arn:aws:logs:{REGION}:log-group:/any/name"
    pairs |= {(action, invocation_log) for action in ON_ANY_LOG_GROUP}

    results = ask(policy, sorted(pairs))

    assert len(results) > 200
    assert {pair for pair, result in results.items() if result != ALLOWED} == set()


def test_the_stack_of_sam_cli_can_be_created_and_read_and_not_deleted(policy: Any, needed: set[str]) -> None:
    # `sam deploy` calls manage_stack. Its module has update_stack, too, for `sam pipeline bootstrap` alone
    module = Path(samcli.__file__).parent / "lib/utils/managed_cloudformation_stack.py"
    called = set(calls(module, "cloudformation", ("manage_stack", "_create_or_get_stack", "_create_stack")))
    assert called == ON_SAM_STACK - {"cloudformation:DescribeChangeSet", "cloudformation:TagResource"}
    on_stacks = {each for each in needed if set(resources(each)) == set(ARNS["cloudformation:stack"])}
    assert {"cloudformation:DeleteStack", "cloudformation:UpdateStack"} <= on_stacks - ON_SAM_STACK

    results = ask(policy, [(action, SAM_STACK) for action in sorted(ON_SAM_STACK | on_stacks)])

    reading = {f"cloudformation:{name}" for name in ("DescribeStackEvents", "DescribeStackResources")}
    allowed = {action for (action, _), result in results.items() if result == ALLOWED}
    assert allowed >= ON_SAM_STACK
    assert allowed - ON_SAM_STACK <= reading


def test_the_policy_allows_nothing_else(policy: Any, needed: set[str], of_schemas: set[str]) -> None:
    written = {name for statement in policy["Statement"] for name in statement["Action"]}

    # each of its names is for something
    assert {name for name in written if not fnmatch.filter(needed, name)} == set()
    # each reason is for something, too
    assert {name for name in names(NOT_USED.values()) if not fnmatch.filter(of_schemas, name)} == set()


def test_what_is_of_somebody_else_stays_out_of_reach(policy: Any, needed: set[str]) -> None:
    others = {
        kind: tuple(
            re.sub(f"{STACK}|aws-sam-cli-managed-default|CoreLayer|DependenciesLayer", OTHER, arn) for arn in found
        )
        for kind, found in ARNS.items()
        if kind != "lambda:eventSourceMapping"  # they have generated ids, which no policy can know
    }
    pairs = {
        (action, resource)
        for action in needed - ON_ANY_LOG_GROUP
        if any(kind.startswith(f"{action.partition(':')[0]}:") for kind in others)
        for resource in (resources(action, others) if not only_on_mappings(action) else ())
        if resource != "*"
    }

    results = ask(policy, sorted(pairs))

    assert len(results) > 120
    assert {pair for pair, result in results.items() if result not in DENIED} == set()


def test_the_code_of_other_stacks_in_the_bucket_of_sam_cli_stays_out_of_reach(policy: Any) -> None:
    code = f"arn:aws:s3:::aws-sam-cli-managed-default-x/{OTHER}/code"
    actions = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")

    assert set(ask(policy, [(action, code) for action in actions]).values()) <= DENIED


def only_on_mappings(action: str) -> bool:
    service, _, name = action.partition(":")
    types = [each["name"] for each in evaluator.read_data("actions", service)[name.lower()]["resourceTypes"]]
    return types == ["eventSourceMapping"]


def test_a_role_is_passed_to_no_other_service_and_bodies_are_not_read(policy: Any) -> None:
    denied = Request(
        principal=f"arn:aws:iam::{ACCOUNT_ID}:role/deployer",
        account=ACCOUNT_ID,
        action="iam:PassRole",
        resource=ARNS["iam:role"][0],
        context={"iam:PassedToService": "ec2.amazonaws.com"},
        policies={"deploy": policy},
    )
    bodies = ask(policy, [("s3:GetObject", f"arn:aws:s3:::{STACK}-largebodiesbucket-x/AWSLogs/x")])

    assert evaluate([denied])[0].result in DENIED
    assert set(bodies.values()) <= DENIED


def test_it_fits_into_one_managed_policy(policy: Any) -> None:
    assert len(re.sub(r"\s", "", POLICY.read_text(encoding="utf-8"))) <= MANAGED_POLICY_CHARACTERS
    assert policy["Version"] == "2012-10-17"
    assert {each["Effect"] for each in policy["Statement"]} == {"Allow"}
