"""Least privilege, seen: every call the functions make while the end-to-end tests run, against what their roles allow.

The policies are read from the deployed stack, where CloudFormation has filled in all names. What is recorded is all
that this process's tests made the functions do; the test below adds what it takes to use every permission once.
"""

import fnmatch
import gzip
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from test_stack import Deliver, converse, record

from bedrock_quota.pools import PoolQuota
from bedrock_quota.state.table import read_stored_snapshot, write_snapshot
from localaws.account import ACCOUNT_ID
from localaws.fault_proxy import Call, FaultProxy
from localaws.instance import REGION, Instance

FUNCTIONS = {
    "MetricProcessorFunction": "MetricProcessorRole",
    "QuotaFetcherFunction": "QuotaFetcherRole",
    "LoggingSetupFunction": "LoggingSetupRole",
    "BucketEmptyingFunction": "BucketEmptyingRole",
}
NOT_CALLED = {
    # Lambda writes a function's log with the function's role, and not through anything that could be seen here.
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-view.html (read 2026-11-23)
    "logs:CreateLogStream": set(FUNCTIONS),
    "logs:PutLogEvents": set(FUNCTIONS),
    # Lambda keeps failed deliveries with the function's role: "s3:PutObject" and "s3:ListBucket".
    # https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html (read 2026-11-23)
    "s3:PutObject": {"MetricProcessorFunction"},
    "s3:ListBucket": {"MetricProcessorFunction"},
    # Lambda reads the queue with the function's role.
    # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html (read 2026-11-28)
    "sqs:ReceiveMessage": {"MetricProcessorFunction"},
    "sqs:DeleteMessage": {"MetricProcessorFunction"},
    "sqs:GetQueueAttributes": {"MetricProcessorFunction"},
    # Forgets a delivery whose processing itself fails, so that Lambda's retry is not refused. No record known does that
    # to it; tests/unit/test_duplicates.py breaks it from within.
    "dynamodb:DeleteItem": {"MetricProcessorFunction"},
}
"""Granted, and not seen here, with the reason; by the functions it is granted to."""

ACCOUNT = f"{REGION}:{ACCOUNT_ID}"

RESOURCES: dict[str, Callable[[Any], str]] = {
    "dynamodb:GetItem": lambda given: f"arn:aws:dynamodb:{ACCOUNT}:table/{given['TableName']}",
    "dynamodb:PutItem": lambda given: f"arn:aws:dynamodb:{ACCOUNT}:table/{given['TableName']}",
    "dynamodb:UpdateItem": lambda given: f"arn:aws:dynamodb:{ACCOUNT}:table/{given['TableName']}",
    "dynamodb:DeleteItem": lambda given: f"arn:aws:dynamodb:{ACCOUNT}:table/{given['TableName']}",
    "bedrock:GetInferenceProfile": lambda given: (
        f"arn:aws:bedrock:{ACCOUNT}:application-inference-profile/{given['inferenceProfileIdentifier']}"
    ),
    "s3:GetObject": lambda given: f"arn:aws:s3:::{given['Bucket']}/{given['Key']}",
    "ssm:GetParameter": lambda given: f"arn:aws:ssm:{ACCOUNT}:parameter/{given['Name'].removeprefix('/')}",
    "sqs:SendMessage": lambda given: f"arn:aws:sqs:{ACCOUNT}:{given['QueueUrl'].rpartition('/')[2]}",
    "sns:Publish": lambda given: str(given["TopicArn"]),
    # A policy names a log group by its ARN with ":*" at the end, but for tagging.
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html (read 2026-11-23)
    "logs:CreateLogGroup": lambda given: f"arn:aws:logs:{ACCOUNT}:log-group:{given['logGroupName']}:log-stream:",
    "logs:PutRetentionPolicy": lambda given: f"arn:aws:logs:{ACCOUNT}:log-group:{given['logGroupName']}:log-stream:",
    "logs:DescribeLogGroups": lambda given: (
        f"arn:aws:logs:{ACCOUNT}:log-group:{given['logGroupNamePrefix']}:log-stream:"
    ),
    "logs:DescribeSubscriptionFilters": lambda given: (
        f"arn:aws:logs:{ACCOUNT}:log-group:{given['logGroupName']}:log-stream:"
    ),
    "logs:DeleteLogGroup": lambda given: f"arn:aws:logs:{ACCOUNT}:log-group:{given['logGroupName']}:log-stream:",
    "logs:ListTagsForResource": lambda given: str(given["resourceArn"]),
    "kms:DescribeKey": lambda given: str(given["KeyId"]),
    "cloudformation:DescribeStacks": lambda given: str(given["StackName"]),
    "s3:ListBucketVersions": lambda given: f"arn:aws:s3:::{given['Bucket']}",
    "s3:ListBucketMultipartUploads": lambda given: f"arn:aws:s3:::{given['Bucket']}",
    "s3:DeleteObject": lambda given: f"arn:aws:s3:::{given['Bucket']}/any",  # the keys are in the request's body
    "s3:DeleteObjectVersion": lambda given: f"arn:aws:s3:::{given['Bucket']}/any",
    "s3:AbortMultipartUpload": lambda given: f"arn:aws:s3:::{given['Bucket']}/{given['Key']}",
    "iam:PassRole": lambda given: str(given["loggingConfig"]["cloudWatchConfig"]["roleArn"]),
}
"""What an action is on. Those not here take no resource: see tests/template/test_policies.py."""

PREFIXES = {"cloudwatch": "cloudwatch", "service-quotas": "servicequotas"}
"""IAM's prefix of a service, where it is not botocore's name for it."""


NAMED_OTHERWISE = {
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html (read 2026-11-28)
    "sqs:SendMessageBatch": ["sqs:SendMessage"],
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html (read 2026-11-24)
    "s3:ListObjectVersions": ["s3:ListBucketVersions"],
    "s3:ListMultipartUploads": ["s3:ListBucketMultipartUploads"],
    "s3:DeleteObjects": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
}
"""IAM's actions for an operation, where it is not one of the operation's name."""


def actions(call: Call) -> Iterator[tuple[str, str]]:
    """The IAM actions that one call needs, each with the resource it is on."""
    name = f"{PREFIXES.get(call.service, call.service)}:{call.operation}"
    names = [*NAMED_OTHERWISE.get(name, [name])]
    if call.operation == "CreateLogGroup" and call.parameters.get("tags"):
        group = f"arn:aws:logs:{ACCOUNT}:log-group:{call.parameters['logGroupName']}"
        yield "logs:TagResource", group  # of its two forms, AWS does not say which is asked for here
        yield "logs:TagResource", f"{group}:log-stream:"
    if "roleArn" in call.parameters.get("loggingConfig", {}).get("cloudWatchConfig", {}):
        names.append("iam:PassRole")  # who hands a service a role needs it (IAM User Guide, id_roles_use_passrole)
    for name in names:
        yield name, RESOURCES[name](call.parameters) if name in RESOURCES else "*"


Statements = list[tuple[str, str]]


def statements(local: Instance, role: str) -> Statements:
    """Each action a role allows, with each resource it allows it on."""
    iam = local.session().client("iam")
    found: Statements = []
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document: Any = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for statement in document["Statement"]:
            assert statement["Effect"] == "Allow"
            actions, resources = (
                value if isinstance(value, list) else [value] for value in (statement["Action"], statement["Resource"])
            )
            found += [(action, resource) for action in actions for resource in resources]
    return found


def allows(granted: tuple[str, str], used: tuple[str, str]) -> bool:
    return granted[0] == used[0] and (granted[1] == "*" or fnmatch.fnmatchcase(used[1], granted[1]))


@pytest.fixture
def everything_used(  # noqa: PLR0917 - fixtures
    local: Instance,
    proxy: FaultProxy,
    deliver: Deliver,
    minute: datetime,
    resource: Callable[[str], str],
    large_bodies: str,
) -> list[Call]:
    """All calls so far, after each function has done at least once all that it does."""
    session = local.session()
    # the processor: a profile nobody knows, a large body, and one that is late
    source = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0"
    profile = session.client("bedrock").create_inference_profile(
        inferenceProfileName="permissions", modelSource={"copyFrom": source}
    )["inferenceProfileArn"]
    session.client("s3").put_object(
        Bucket=large_bodies, Key="AWSLogs/permissions.json.gz", Body=gzip.compress(json.dumps(converse(5)).encode())
    )
    late = minute + timedelta(minutes=60)
    large = record(late, "amazon.nova-micro-v1:0", tokens=(1, 1))
    large["input"]["inputBodyS3Path"] = f"s3://{large_bodies}/AWSLogs/permissions.json.gz"
    missing = record(late, "amazon.nova-micro-v1:0", tokens=(1, 1))
    missing["input"]["inputBodyS3Path"] = f"s3://{large_bodies}/AWSLogs/never.json.gz"
    deliver([record(late, profile, body=converse(1), tokens=(1, 1)), large, missing])
    # the fetcher: AWS's own metrics, for the rate it applies
    session.client("cloudwatch").put_metric_data(
        Namespace="AWS/Bedrock",
        MetricData=[
            {
                "MetricName": "EstimatedTPMQuotaUsage",
                "Dimensions": [{"Name": "ModelId", "Value": "us.amazon.nova-micro-v1:0"}],
                "Value": 1,
            }
        ],
    )
    # and a quota in use that has changed, which people are told of
    table, client = resource("StateTable"), session.client("dynamodb")
    stored = read_stored_snapshot(table, client)
    snapshot = stored.snapshot
    assert snapshot is not None
    (changed,) = [bucket for bucket in snapshot.quotas_by_pool() if str(bucket) == "amazon.nova-micro-v1:0 (regional)"]
    before = {**snapshot.quotas_by_pool(), changed: PoolQuota(tokens_per_minute=111)}
    write_snapshot(table, client, msgspec.structs.replace(snapshot, quotas=tuple(before.items())), stored.version)
    invoke(local, resource("QuotaFetcherFunction"), {})
    # the set-up: a group that is gone, a name that changes, and logs that are adopted, under a key
    bedrock, logs = session.client("bedrock"), session.client("logs")
    present = bedrock.get_model_invocation_logging_configuration()["loggingConfig"]
    logs.delete_log_group(logGroupName=local.outputs["InvocationLogGroupName"])
    asked = request(local, "Update", resource, large_bodies)
    before = {**asked["ResourceProperties"], "LogGroupName": "/former", "RetentionDays": "1"}
    invoke(local, resource("LoggingSetupFunction"), {**asked, "OldResourceProperties": before})
    bedrock.delete_model_invocation_logging_configuration()
    invoke(local, resource("LoggingSetupFunction"), request(local, "Create", resource, large_bodies))
    key = session.client("kms").create_key()["KeyMetadata"]["Arn"]
    logs.create_log_group(logGroupName="/encrypted", kmsKeyId=key)
    theirs = {"logGroupName": "/encrypted", "roleArn": f"arn:aws:iam::{ACCOUNT_ID}:role/theirs"}
    bedrock.put_model_invocation_logging_configuration(loggingConfig={"cloudWatchConfig": theirs})
    invoke(local, resource("LoggingSetupFunction"), request(local, "Create", resource, large_bodies))
    bedrock.put_model_invocation_logging_configuration(loggingConfig=present)
    # and the buckets, for the end
    for bucket in (large_bodies, resource("FailedDeliveriesBucket")):
        session.client("s3").put_object(Bucket=bucket, Key="left", Body=b"x")
        session.client("s3").create_multipart_upload(Bucket=bucket, Key="never-completed")
    return proxy.calls


def invoke(local: Instance, function: str, event: object) -> None:
    answer = local.session().client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
    assert "FunctionError" not in answer, answer["Payload"].read()


def stack_id(local: Instance) -> str:
    return local.session().client("cloudformation").describe_stacks(StackName=local.stack_name)["Stacks"][0]["StackId"]


def request(
    local: Instance, kind: str, resource: Callable[[str], str], bucket: str, own_log_groups: tuple[str, ...] = ()
) -> dict[str, Any]:
    """What CloudFormation asks of the set-up; answered into a bucket."""
    key = {"Bucket": bucket, "Key": f"answers/{kind}"}
    return {
        "RequestType": kind,
        "ResponseURL": local.session().client("s3").generate_presigned_url("put_object", Params=key),
        "StackId": stack_id(local),
        "RequestId": kind,
        "LogicalResourceId": "InvocationLogSetup",
        "ResourceProperties": {
            "LogGroupName": local.outputs["InvocationLogGroupName"],
            "RoleArn": f"arn:aws:iam::{ACCOUNT_ID}:role/{resource('InvocationLoggingRole')}",
            "LargeBodiesBucket": resource("LargeBodiesBucket"),
            "RetentionDays": "60",
            "OwnLogGroups": own_log_groups,
            "SubscriptionFilter": f"{local.stack_name}-metric-processor",
            "Mode": "set-up",
        },
    }


def test_functions_use_what_they_are_granted_and_nothing_else(
    local: Instance, proxy: FaultProxy, everything_used: list[Call], resource: Callable[[str], str]
) -> None:
    """Last of all end-to-end tests: it deletes the stack, for that is what some permissions are for."""
    by_function = {function: statements(local, resource(role)) for function, role in FUNCTIONS.items()}
    stacks = local.session().client("cloudformation")
    stacks.delete_stack(StackName=local.stack_name)
    stacks.get_waiter("stack_delete_complete").wait(
        StackName=local.stack_name, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )
    assert proxy.unread == []
    for function, granted in by_function.items():
        calls = [call for call in everything_used if call.function == function]
        used = {action for call in calls for action in actions(call)}
        # nothing is used that is not granted
        assert [each for each in used if not any(allows(grant, each) for grant in granted)] == [], function
        # and nothing is granted that is not used, but what is argued above
        argued = {action for action, functions in NOT_CALLED.items() if function in functions}
        idle = {action for action, _ in granted} - {action for action, _ in used}
        assert idle == argued, function
        resources = {grant for grant in granted if grant[0] not in argued}
        assert [grant for grant in resources if not any(allows(grant, each) for each in used)] == [], function


def test_a_stack_that_would_read_its_own_log_is_refused(
    local: Instance, resource: Callable[[str], str], large_bodies: str
) -> None:
    # given invocation logs in a log group of the stack's own
    group = local.outputs["InvocationLogGroupName"]
    # when the stack is deployed
    asked = request(local, "Update", resource, large_bodies, own_log_groups=(group,))
    invoke(local, resource("LoggingSetupFunction"), asked)
    # then the deployment fails, and says what to do
    answer = local.session().client("s3").get_object(Bucket=large_bodies, Key="answers/Update")["Body"].read()
    assert json.loads(answer)["Status"] == "FAILED"
    assert f"{group} is a log group of this stack" in json.loads(answer)["Reason"]
    assert "Deliver Bedrock's invocation logs to a separate log group" in json.loads(answer)["Reason"]


def test_an_action_on_another_resource_is_not_allowed() -> None:
    table = "arn:aws:dynamodb:us-east-1:111122223333:table/"
    call = Call("f", "dynamodb", "GetItem", {"TableName": "other"}, 200, None)
    (used,) = actions(call)
    assert used == ("dynamodb:GetItem", f"{table}other")
    assert not allows(("dynamodb:GetItem", f"{table}state"), used)
    assert allows(("dynamodb:GetItem", "*"), used)
    assert not allows(("dynamodb:PutItem", "*"), used)
