"""Requests that the stack's roles must be allowed, and requests that they must be denied."""

from collections.abc import Mapping
from typing import NamedTuple

from localaws.account import ACCOUNT_ID
from localaws.instance import REGION

FUNCTIONS = {
    "MetricProcessorFunction": "MetricProcessorRole",
    "QuotaFetcherFunction": "QuotaFetcherRole",
    "LoggingSetupFunction": "LoggingSetupRole",
    "BucketEmptyingFunction": "BucketEmptyingRole",
}


class Names(NamedTuple):
    """ARNs of the deployed stack."""

    invocation_log: str
    large_bodies: str
    failed_deliveries: str
    table: str
    queue: str
    topic: str
    stack: str
    overrides: str
    functions: Mapping[str, str]
    roles: Mapping[str, str]
    logs: Mapping[str, str]


Asked = tuple[str, str]
"""An action and a resource."""


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT_ID}:{resource}"


def asked_by_aws(names: Names) -> dict[str, list[Asked]]:
    """What AWS's services ask with the stack's roles, where no test sees it, by role."""
    stream = "log-stream:2026/11/28/[$LATEST]0123456789abcdef"
    # Lambda writes a function's log with the function's role.
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-view.html (read 2026-11-23)
    by_role: dict[str, list[Asked]] = {
        role: [(action, f"{names.logs[function]}:{stream}") for action in ("logs:CreateLogStream", "logs:PutLogEvents")]
        for function, role in FUNCTIONS.items()
    }
    by_role["MetricProcessorRole"] += [
        # Lambda keeps failed deliveries with the function's role.
        # https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html (read 2026-11-23)
        ("s3:PutObject", f"{names.failed_deliveries}/aws/lambda/async/processor/2026/11/28/x"),
        ("s3:ListBucket", names.failed_deliveries),
        # Lambda reads the queue with the function's role.
        # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html (read 2026-11-28)
        *((f"sqs:{action}", names.queue) for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")),
    ]
    # https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html (read 2026-11-23)
    by_role["InvocationLoggingRole"] = [
        (action, f"{names.invocation_log}:log-stream:aws/bedrock/modelinvocations")
        for action in ("logs:CreateLogStream", "logs:PutLogEvents")
    ]
    by_role["QuotaFetcherFunctionScheduleRole"] = [("lambda:InvokeFunction", names.functions["QuotaFetcherFunction"])]
    return by_role


def never_asked(names: Names) -> list[Asked]:
    """What no role of the stack may do. Resources of others are called `other`."""
    other_log, other_bucket = arn("logs", "log-group:other"), "arn:aws:s3:::other"
    other_table, other_queue, other_topic = arn("dynamodb", "table/other"), arn("sqs", "other"), arn("sns", "other")
    other_role, other_stack = f"arn:aws:iam::{ACCOUNT_ID}:role/other", arn("cloudformation", "stack/other/1")
    functions = [*names.functions.values(), arn("lambda", "function:other")]
    model = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0"
    profile = arn("bedrock", "application-inference-profile/other")
    return [
        # read prompts, or let others read them
        ("logs:GetLogEvents", f"{names.invocation_log}:log-stream:aws/bedrock/modelinvocations"),
        *(
            (f"logs:{action}", group)
            for action in (
                *("FilterLogEvents", "StartQuery", "StartLiveTail", "Unmask", "GetLogGroupFields"),
                *("CreateExportTask", "PutSubscriptionFilter", "DeleteSubscriptionFilter", "DescribeLogStreams"),
                "GetQueryResults",
            )
            for group in (names.invocation_log, other_log)
        ),
        *(
            (f"s3:{action}", f"{other_bucket}/AWSLogs/x")
            for action in ("GetObject", "PutObject", "DeleteObject", "PutObjectAcl")
        ),
        ("s3:GetObject", f"{names.failed_deliveries}/x"),
        ("s3:PutObject", f"{names.large_bodies}/AWSLogs/x"),
        *(
            (f"s3:{action}", bucket)
            for action in ("PutBucketPolicy", "DeleteBucket", "PutLifecycleConfiguration", "PutBucketAcl")
            for bucket in (names.large_bodies, names.failed_deliveries, other_bucket)
        ),
        ("s3:ListBucket", other_bucket),
        ("s3:ListBucketVersions", other_bucket),
        # call models, or change what others have in Bedrock
        *((f"bedrock:{action}", model) for action in ("InvokeModel", "InvokeModelWithResponseStream")),
        *((f"bedrock:{action}", profile) for action in ("InvokeModel", "DeleteInferenceProfile", "TagResource")),
        # gain more rights
        *(
            (f"iam:{action}", role)
            for action in ("CreateRole", "PutRolePolicy", "AttachRolePolicy", "UpdateAssumeRolePolicy", "DeleteRole")
            for role in (*names.roles.values(), other_role)
        ),
        ("sts:AssumeRole", other_role),
        # run or change functions
        *(
            (f"lambda:{action}", function)
            for action in ("InvokeFunction", "UpdateFunctionCode", "UpdateFunctionConfiguration", "AddPermission")
            for function in functions
        ),
        # reach other data
        *((f"dynamodb:{action}", other_table) for action in ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Scan")),
        *((f"dynamodb:{action}", names.table) for action in ("Scan", "Query", "DeleteTable", "UpdateTable")),
        *((f"sqs:{action}", other_queue) for action in ("SendMessage", "ReceiveMessage", "DeleteMessage")),
        *((f"sqs:{action}", names.queue) for action in ("PurgeQueue", "DeleteQueue", "SetQueueAttributes")),
        *((f"sns:{action}", names.topic) for action in ("Subscribe", "SetTopicAttributes", "DeleteTopic")),
        ("sns:Publish", other_topic),
        ("ssm:GetParameter", arn("ssm", "parameter/other")),
        ("ssm:PutParameter", names.overrides),
        ("secretsmanager:GetSecretValue", arn("secretsmanager", "secret:other-123456")),
        ("kms:Decrypt", arn("kms", "key/1234abcd-12ab-34cd-56ef-1234567890ab")),
        # change log groups, stacks, alarms and quotas
        *((f"logs:{action}", other_log) for action in ("CreateLogGroup", "PutRetentionPolicy", "TagResource")),
        *(("logs:DeleteLogGroup", group) for group in (names.invocation_log, other_log)),  # they have no tag
        *((f"logs:{action}", f"{other_log}:log-stream:x") for action in ("CreateLogStream", "PutLogEvents")),
        *(
            (f"cloudformation:{action}", stack)
            for action in ("UpdateStack", "DeleteStack", "CreateChangeSet", "GetTemplate")
            for stack in (names.stack, other_stack)
        ),
        ("cloudformation:DescribeStacks", other_stack),
        ("cloudwatch:PutMetricData", arn("cloudwatch", "dataset/default")),
        ("cloudwatch:DeleteAlarms", arn("cloudwatch", "alarm:other")),
        ("servicequotas:RequestServiceQuotaIncrease", arn("servicequotas", "bedrock/L-1")),
    ]
