"""The examination of a deployed stack: its signs, read from AWS. Nothing is changed."""

from __future__ import annotations

import functools
import itertools
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from bedrock_quota.deployment import invocation_logging, log_groups
from bedrock_quota.state.table import read_snapshot
from quota_monitor import failed_deliveries, stacks
from quota_monitor.signs import (
    HOURS,
    Access,
    Alarm,
    Filter,
    Function,
    InvocationLogging,
    Kept,
    Key,
    Parts,
    Permission,
    Reader,
    Role,
    Signs,
    Stream,
    Traffic,
    Unread,
)
from quota_monitor.stacks import Stack
from quota_monitor.usage import OUTCOMES

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient

    from bedrock_quota.deployment.invocation_logging import LargeBodies

Value = TypeVar("Value")

_PERIOD_SECONDS = 300
_NOT_THERE = {
    "ResourceNotFoundException",
    "ResourceNotFound",  # CloudWatch's, of a dashboard
    "NotFound",  # SNS's
    "NotFoundException",  # KMS's
    "NoSuchEntity",
    "404",
    "NoSuchBucket",
    "NoSuchBucketPolicy",
    "ServerSideEncryptionConfigurationNotFoundError",
}

_LOOKS = {
    "AWS::CloudWatch::Dashboard": ("cloudwatch", "get_dashboard", "DashboardName"),
    "AWS::DynamoDB::Table": ("dynamodb", "describe_table", "TableName"),
    "AWS::Events::Rule": ("events", "describe_rule", "Name"),
    "AWS::IAM::Role": ("iam", "get_role", "RoleName"),
    "AWS::Lambda::Function": ("lambda", "get_function_configuration", "FunctionName"),
    "AWS::S3::Bucket": ("s3", "head_bucket", "Bucket"),
    "AWS::SNS::Topic": ("sns", "get_topic_attributes", "TopicArn"),
    "AWS::Scheduler::Schedule": ("scheduler", "get_schedule", "Name"),
}
"""How to look whether a resource is there, by its type: service, operation, and what its physical id is called there.

Alarms, log groups, subscription, permission and stream are looked at by themselves. A layer is of no use to a function
that has been made with it.
"""


def examine(session: boto3.Session, stack_name: str, now: datetime) -> Signs:
    """Look at a deployed stack and all that it depends on.

    Raises what botocore raises if the stack itself cannot be read; whatever else cannot is `Unread` with the reason.
    """
    stack = stacks.read(session, stack_name)
    group = stack.outputs.get("InvocationLogGroupName", "")
    logs, functions = session.client("logs"), session.client("lambda")

    def named(logical_id: str, look: Callable[[str], Value]) -> Value | Unread:
        physical_id = stack.resources.get(logical_id)
        if physical_id is None:
            return Unread(f"the stack has no {logical_id}; it was deployed from another version")
        return _attempt(lambda: look(physical_id))

    logging = _attempt(lambda: _invocation_logging(session))
    large_bodies = None if isinstance(logging, Unread) or logging is None else logging.large_bodies
    own = [
        stack.resources[name] for name in ("MetricProcessorLogGroup", "QuotaFetcherLogGroup") if name in stack.resources
    ]
    log_group = _attempt(lambda: log_groups.find(logs, group))
    log_key = None if isinstance(log_group, Unread) or log_group is None else log_group.key
    alarms = _attempt(lambda: _alarms(session.client("cloudwatch"), stack))
    return Signs(
        stack=stack,
        parts=_parts(session, stack, alarms),
        invocation_logging=logging,
        logging_role=None
        if isinstance(logging, Unread) or logging is None
        else _attempt(lambda: _or_none(lambda: _writing_role(session.client("iam"), stack, logging))),
        log_group=log_group,
        log_group_key=_attempt(lambda: _key(session.client("kms"), log_key)) if log_key else None,
        filters=_attempt(lambda: _or_none(lambda: _filters(logs, functions, group))),
        permissions=named("MetricProcessorFunction", lambda name: _permissions(functions, name)),
        stream=_attempt(lambda: _stream(session, stack)),
        processor=named("MetricProcessorFunction", lambda name: _function(functions, name)),
        on_failure=named("MetricProcessorFunction", lambda name: _or_none(lambda: _on_failure(functions, name))),
        own_log_groups=_attempt(lambda: {name: log_groups.find(logs, name) is not None for name in own}),
        traffic=_attempt(lambda: _traffic(session.client("cloudwatch"), stack, now)),
        large_bodies=named(
            "MetricProcessorRole", lambda role: _or_none(lambda: _access(session, stack, role, large_bodies))
        ),
        kept=named("FailedDeliveriesBucket", lambda bucket: _or_none(lambda: _kept(session, stack, bucket))),
        processor_role=named(
            "MetricProcessorRole", lambda role: _or_none(lambda: _keeping_role(session.client("iam"), stack, role))
        ),
        snapshot=named(
            "StateTable",
            lambda table: _or_none(lambda: read_snapshot(table, session.client("dynamodb"))),
        ),
        fetcher=named("QuotaFetcherFunction", lambda name: _function(functions, name)),
        schedule=named(
            "QuotaFetcherFunctionSchedule",
            lambda name: _or_none(lambda: session.client("scheduler").get_schedule(Name=name)["State"]),
        ),
        overrides_rule=named(
            "QuotaFetcherFunctionOverridesChanged",
            lambda name: _or_none(lambda: session.client("events").describe_rule(Name=name)["State"]),
        ),
        alarms=alarms,
        subscribers=named("AlarmTopic", lambda topic: _or_none(lambda: subscribers(session.client("sns"), topic))),
    )


def _attempt(look: Callable[[], Value]) -> Value | Unread:
    try:
        return look()
    except (BotoCoreError, ClientError, zlib.error, msgspec.DecodeError, KeyError) as error:
        return Unread(f"{type(error).__name__}: {error}")


def _or_none(look: Callable[[], Value]) -> Value | None:
    """Return None for what AWS says is not there."""
    try:
        return look()
    except ClientError as error:
        if error.response["Error"].get("Code") in _NOT_THERE:
            return None
        raise


def _parts(session: boto3.Session, stack: Stack, alarms: tuple[Alarm, ...] | Unread) -> Parts:
    clients: Any = functools.cache(session.client)

    def there(resource_type: str, physical_id: str) -> bool | Unread:
        service, operation, name = _LOOKS[resource_type]
        look = getattr(clients(service), operation)
        found = _attempt(lambda: _or_none(lambda: look(**{name: physical_id})))
        return found if isinstance(found, Unread) else found is not None

    seen = {
        logical_id: there(resource_type, stack.resources[logical_id])
        for logical_id, resource_type in stack.types.items()
        if resource_type in _LOOKS
    }
    gone = {logical_id for logical_id, found in seen.items() if found is False}
    if not isinstance(alarms, Unread):
        names = {each.name for each in alarms}
        gone |= {each for each in stack.of_type("AWS::CloudWatch::Alarm") if stack.resources[each] not in names}
    unread = {stack.types[logical_id]: found for logical_id, found in seen.items() if isinstance(found, Unread)}
    return Parts(frozenset(gone), tuple(unread.values()))


def _invocation_logging(session: boto3.Session) -> InvocationLogging | None:
    found = invocation_logging.read_configuration(session.client("bedrock"))
    if found is None:
        return None
    return InvocationLogging(
        text=found.get("textDataDeliveryEnabled", True),
        log_group=invocation_logging.configured_log_group(found),
        large_bodies=invocation_logging.configured_large_bodies(found),
        role=found.get("cloudWatchConfig", {}).get("roleArn"),
    )


def _writing_role(client: IAMClient, stack: Stack, logging: InvocationLogging) -> Role | None:
    """Look whether Bedrock may take on its role, if it has one, and write to the log group by it.

    The stream is the one that the Bedrock User Guide names (Monitor model invocation, read 2026-11-24).
    """
    arn = logging.role
    if arn is None:
        return None
    found: Any = client.get_role(RoleName=arn.rpartition("/")[2])["Role"]["AssumeRolePolicyDocument"]
    stream = (
        f"{stack.arn_of_log_group(logging.log_group or '').removesuffix('*')}log-stream:aws/bedrock/modelinvocations"
    )
    return Role(
        arn,
        trusts=tuple(_let_in(found["Statement"], "sts:AssumeRole")),
        refused=_refused(client, arn, stream, "logs:CreateLogStream", "logs:PutLogEvents"),
    )


def _keeping_role(client: IAMClient, stack: Stack, name: str) -> Role:
    """Look whether Lambda may keep failed deliveries by the processor's role.

    It asks for these two (Lambda Developer Guide, Capturing records of asynchronous invocations, read 2026-11-24).
    """
    arn, bucket = stack.arn_of_role(name), stack.arn_of_bucket(stack.resources.get("FailedDeliveriesBucket", ""))
    return Role(
        arn,
        refused=(
            *_refused(client, arn, f"{bucket}/aws/lambda/async/x", "s3:PutObject"),
            *_refused(client, arn, bucket, "s3:ListBucket"),
        ),
    )


def _refused(client: IAMClient, role: str, resource: str, *actions: str) -> tuple[str, ...]:
    """Return those of the actions that a role's policies, with their limits and the organisation's, do not allow.

    What depends on a condition that nobody here can know counts as allowed.
    """
    found = client.simulate_principal_policy(PolicySourceArn=role, ActionNames=actions, ResourceArns=[resource])
    return tuple(
        each["EvalActionName"]
        for each in found["EvaluationResults"]
        if each["EvalDecision"] != "allowed" and not each.get("MissingContextValues")
    )


def _filters(logs: CloudWatchLogsClient, functions: LambdaClient, group: str) -> tuple[Filter, ...]:
    found = logs.describe_subscription_filters(logGroupName=group)["subscriptionFilters"]
    return tuple(
        Filter(
            each["filterName"],
            each.get("filterPattern", ""),
            each["destinationArn"],
            _namespace(functions, each["destinationArn"]),
        )
        for each in found
    )


def _stream(session: boto3.Session, stack: Stack) -> Stream | None:
    arn = stack.outputs.get("InvocationLogStreamArn")
    if arn is None:
        return None
    kinesis, functions, iam = session.client("kinesis"), session.client("lambda"), session.client("iam")
    found = _or_none(lambda: kinesis.describe_stream_summary(StreamARN=arn)["StreamDescriptionSummary"])
    role = stack.arn_of_role(stack.resources["InvocationLogStreamRole"])
    reader = _or_none(lambda: functions.get_event_source_mapping(UUID=stack.resources["InvocationLogStreamMapping"]))
    return Stream(
        arn=arn,
        status=found["StreamStatus"] if found else None,
        role=_or_none(lambda: Role(role, refused=_refused(iam, role, arn, "kinesis:PutRecord"))),
        reader=Reader(
            reader["UUID"],
            reader["State"],
            reader.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"),
            reader.get("LastProcessingResult", ""),
            "ReportBatchItemFailures" in reader.get("FunctionResponseTypes", []),
        )
        if reader
        else None,
    )


def _namespace(client: LambdaClient, destination: str) -> str | None:
    """Return where a subscribed function publishes, or one that reads a subscribed stream, if it is such a monitor."""
    if ":stream/" in destination:
        readers = client.list_event_source_mappings(EventSourceArn=destination)["EventSourceMappings"]
        destination = next((each["FunctionArn"] for each in readers), "")
    if ":function:" not in destination:
        return None
    found = _attempt(lambda: _or_none(lambda: _function(client, destination)))
    return found.environment.get("METRICS_NAMESPACE") if isinstance(found, Function) else None


def _function(client: LambdaClient, name: str) -> Function | None:
    found = _or_none(lambda: client.get_function_configuration(FunctionName=name))
    if found is None:
        return None
    return Function(
        name=found["FunctionName"],
        arn=found["FunctionArn"],
        state=found.get("State", "Active"),
        last_update=found.get("LastUpdateStatus", "Successful"),
        environment=found.get("Environment", {}).get("Variables", {}),
        reserved=client.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions"),
    )


def _permissions(client: LambdaClient, name: str) -> tuple[Permission, ...]:
    policy = _or_none(lambda: client.get_policy(FunctionName=name)["Policy"])
    if policy is None:
        return ()
    return tuple(_let_in(msgspec.json.decode(policy)["Statement"], "lambda:InvokeFunction"))


def _let_in(statements: list[dict[str, Any]], action: str) -> Iterator[Permission]:
    """Yield which services a policy lets do this, for which sources."""
    for statement in statements:
        if statement["Effect"] != "Allow" or not _names(statement, action):
            continue
        conditions = {
            key.lower(): _as_list(value)
            for each in statement.get("Condition", {}).values()
            for key, value in each.items()
        }
        sources = conditions.get("aws:sourcearn", [None]), conditions.get("aws:sourceaccount", [None])
        for service, arn, account in itertools.product(_principals(statement, "Service"), *sources):
            yield Permission(service, arn, account)


def _on_failure(client: LambdaClient, name: str) -> str | None:
    found = client.get_function_event_invoke_config(FunctionName=name, Qualifier="$LATEST")
    return found.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")


def _traffic(client: CloudWatchClient, stack: Stack, now: datetime) -> Traffic:
    ours = stack.parameters.get("MetricsNamespace", "")
    fetcher = {"FunctionName": stack.resources.get("QuotaFetcherFunction", "")}
    queries = {
        **{name: _query(name.lower(), ours, name) for name in (*OUTCOMES, "MaxTokensUnknown")},
        "Invocations": _query("calls", "AWS/Bedrock", "Invocations"),
        "Errors": _query("errors", "AWS/Lambda", "Errors", fetcher),
    }
    series: dict[str, dict[datetime, float]] = {query["Id"]: {} for query in queries.values()}
    pages = client.get_paginator("get_metric_data").paginate(
        StartTime=now - timedelta(hours=HOURS), EndTime=now, MetricDataQueries=list(queries.values())
    )
    for page in pages:
        for found in page["MetricDataResults"]:
            values = zip(found["Timestamps"], found["Values"], strict=True)
            series[found["Id"]] |= {at: value for at, value in values if value > 0}
    read = {name: series[query["Id"]] for name, query in queries.items()}
    return Traffic(
        calls=tuple(read["Invocations"]),
        records=tuple({at for name in OUTCOMES for at in read[name]}),
        processed=sum(read["RecordsProcessed"].values()),
        rejected=sum(read["RecordsRejected"].values()),
        unknown=sum(read["MaxTokensUnknown"].values()),
        last_failed_fetch=max(read["Errors"], default=None),
    )


def _query(
    query_id: str, namespace: str, name: str, dimensions: Mapping[str, str] | None = None
) -> MetricDataQueryTypeDef:
    return {
        "Id": query_id,
        "MetricStat": {
            "Metric": {
                "Namespace": namespace,
                "MetricName": name,
                "Dimensions": [{"Name": key, "Value": value} for key, value in (dimensions or {}).items()],
            },
            "Period": _PERIOD_SECONDS,
            "Stat": "Sum",
        },
    }


def _access(session: boto3.Session, stack: Stack, name: str, large: LargeBodies | None) -> Access:
    if large is None:
        return Access()
    s3, role = session.client("s3"), stack.arn_of_role(name)
    if _or_none(lambda: s3.head_bucket(Bucket=large.bucket)) is None:
        return Access(bucket_there=False)
    body = stack.arn_of_bucket(f"{large.folder}x")
    named, kms = _key_of(s3, large.bucket), session.client("kms")
    key = None if named is None else _key(kms, named)
    return Access(
        reads=not _refused(session.client("iam"), role, body, "s3:GetObject"),
        writers=tuple(_let_in(_statements(s3, large.bucket), "s3:PutObject")),
        role=role,
        key=key,
        decrypts=key is None or (key.state == "Enabled" and _decrypts(kms, key, role)),
    )


def _key_of(client: S3Client, bucket: str) -> str | None:
    """Return the customer's key that a bucket encrypts new objects with, if any; AWS's own opens to its account."""
    found = _or_none(lambda: client.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"])
    for rule in found["Rules"] if found else []:
        key = rule.get("ApplyServerSideEncryptionByDefault", {}).get("KMSMasterKeyID")
        if key is not None and not key.endswith("alias/aws/s3"):
            return key
    return None


def _key(client: KMSClient, name: str) -> Key:
    """Look at a key by its ARN or by its alias, by which neither its policy is found nor a command takes it."""
    found = _or_none(lambda: client.describe_key(KeyId=name)["KeyMetadata"])
    return Key(found["Arn"], found.get("KeyState", "Enabled")) if found else Key(name, "gone")


def _decrypts(client: KMSClient, key: Key, role: str) -> bool:
    """Whether a key's own policy lets the role decrypt: the role's policy does not, so nothing else can."""
    policy = msgspec.json.decode(client.get_key_policy(KeyId=key.arn, PolicyName="default")["Policy"])
    return any(
        statement["Effect"] == "Allow" and _is_about(statement, "kms:Decrypt", role)
        for statement in policy["Statement"]
    )


def _is_about(statement: dict[str, Any], action: str, role: str) -> bool:
    """Whether a statement of a resource's policy is about this action of this role."""
    return _names(statement, action) and bool({role, "*"} & set(_principals(statement, "AWS")))


def _names(statement: dict[str, Any], action: str) -> bool:
    actions = (each.lower() for each in _as_list(statement.get("Action", [])))
    return any(fnmatchcase(action.lower(), each) for each in actions)


def _principals(statement: dict[str, Any], kind: str) -> list[Any]:
    given = statement.get("Principal", {})
    return _as_list(given.get(kind, []) if isinstance(given, dict) else given)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _kept(session: boto3.Session, stack: Stack, bucket: str) -> Kept:
    found = failed_deliveries.kept(session, bucket)
    s3, role = session.client("s3"), stack.arn_of_role(stack.resources.get("MetricProcessorRole", ""))
    return Kept(
        len(found),
        min((each.kept_at for each in found), default=None),
        closed=any(
            statement["Effect"] == "Deny"
            and "Condition" not in statement  # such as that on TLS, which Lambda meets
            and _is_about(statement, "s3:PutObject", role)
            for statement in _statements(s3, bucket)
        ),
    )


def _statements(client: S3Client, bucket: str) -> list[dict[str, Any]]:
    policy = _or_none(lambda: client.get_bucket_policy(Bucket=bucket)["Policy"])
    return msgspec.json.decode(policy)["Statement"] if policy else []


def _alarms(client: CloudWatchClient, stack: Stack) -> tuple[Alarm, ...]:
    names = [stack.resources[logical_id] for logical_id in stack.of_type("AWS::CloudWatch::Alarm")]
    found = client.describe_alarms(AlarmNames=names, MaxRecords=100)["MetricAlarms"] if names else []
    return tuple(
        Alarm(
            name=each["AlarmName"],
            state=each["StateValue"],
            armed=each["ActionsEnabled"],
            actions=tuple(each.get("AlarmActions", [])),
            description=each.get("AlarmDescription", ""),
        )
        for each in found
    )


def subscribers(client: SNSClient, topic: str) -> dict[str, int]:
    """Return how many subscribers of a topic are `confirmed` and `pending`. Raises what botocore raises."""
    counts = {"confirmed": 0, "pending": 0}
    for page in client.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic):
        for each in page["Subscriptions"]:
            if each["SubscriptionArn"].startswith("arn:"):
                counts["confirmed"] += 1
            elif each["SubscriptionArn"] == "PendingConfirmation":
                counts["pending"] += 1
    return counts
