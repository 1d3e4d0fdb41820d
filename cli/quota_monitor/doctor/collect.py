"""Collect what a deployed stack looks like. This only reads from AWS."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from bedrock_quota.deployment import log_groups, logging_configuration
from bedrock_quota.deployment.preflight import is_usable
from bedrock_quota.errors import QuotaMonitorError
from bedrock_quota.state.table import read_snapshot
from quota_monitor.aws_session import Stack, explain_aws_error, is_expired, read_stack
from quota_monitor.doctor import observed
from quota_monitor.doctor.alarms import collect_alarms, list_sinks
from quota_monitor.doctor.logging_owner import is_replaced, read_last_change
from quota_monitor.doctor.observed import Observed, Unread
from quota_monitor.doctor.policies import allowed_services, applies_to
from quota_monitor.doctor.traffic import collect_reserved_models, collect_traffic
from quota_monitor.failed.store import list_failed

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient

    from bedrock_quota.deployment.logging_configuration import LargeBodies

Value = TypeVar("Value")

_NOT_FOUND = {
    "ResourceNotFoundException",
    "ResourceNotFound",  # CloudWatch's, of a dashboard
    "NotFound",  # SNS's
    "AWS.SimpleQueueService.NonExistentQueue",
    "NotFoundException",  # KMS's
    "NoSuchEntity",
    "404",
    "NoSuchBucket",
    "NoSuchBucketPolicy",
    "ServerSideEncryptionConfigurationNotFoundError",
}

_DESCRIBE_CALLS = {
    "AWS::CloudWatch::Dashboard": ("cloudwatch", "get_dashboard", "DashboardName"),
    "AWS::DynamoDB::Table": ("dynamodb", "describe_table", "TableName"),
    "AWS::Events::Rule": ("events", "describe_rule", "Name"),
    "AWS::IAM::Role": ("iam", "get_role", "RoleName"),
    "AWS::Lambda::Function": ("lambda", "get_function_configuration", "FunctionName"),
    "AWS::S3::Bucket": ("s3", "head_bucket", "Bucket"),
    "AWS::SNS::Topic": ("sns", "get_topic_attributes", "TopicArn"),
    "AWS::SQS::Queue": ("sqs", "get_queue_attributes", "QueueUrl"),
    "AWS::Scheduler::Schedule": ("scheduler", "get_schedule", "Name"),
}
"""Calls that show if a resource exists, by resource type: service, operation, and parameter for the physical id.

Alarms, log groups, subscription, permission and stream are read on their own. Layers are left out: a function keeps
its copy of a layer.
"""


def collect(session: boto3.Session, stack_name: str, now: datetime) -> Observed:
    """Read a deployed stack and everything that it depends on.

    Propagates botocore errors if the stack itself cannot be read. Anything else that cannot be read is `Unread`.
    """
    stack = read_stack(session, stack_name)
    group = stack.outputs.get("InvocationLogGroupName", "")
    logs, functions = session.client("logs"), session.client("lambda")

    def read(logical_id: str, look: Callable[[str], Value]) -> Value | Unread:
        physical_id = stack.resources.get(logical_id)
        if physical_id is None:
            return Unread(f"the stack has no {logical_id}, it was deployed from another version")
        return _attempt(lambda: look(physical_id))

    logging = _attempt(lambda: _invocation_logging(session))
    large_bodies = None if isinstance(logging, Unread) or logging is None else logging.large_bodies
    own = [
        stack.resources[name] for name in ("MetricProcessorLogGroup", "QuotaFetcherLogGroup") if name in stack.resources
    ]
    log_group = _attempt(lambda: log_groups.find(logs, group))
    log_key = None if isinstance(log_group, Unread) or log_group is None else log_group.key
    alarms = _attempt(lambda: collect_alarms(session.client("cloudwatch"), stack))
    traffic = _attempt(lambda: collect_traffic(session.client("cloudwatch"), stack, now))
    failed = None if isinstance(traffic, Unread) else traffic.last_failed_fetch
    return Observed(
        at=now,
        stack=stack,
        parts=_parts(session, stack, alarms),
        invocation_logging=logging,
        logging_change=_attempt(lambda: read_last_change(session, stack))
        if not isinstance(logging, Unread) and is_replaced(stack, logging)
        else None,
        logging_role=None
        if isinstance(logging, Unread) or logging is None
        else _attempt(lambda: _or_none(lambda: _writing_role(session.client("iam"), stack, logging))),
        log_group=log_group,
        log_group_key=_attempt(lambda: _key(session.client("kms"), log_key)) if log_key else None,
        filters=_attempt(lambda: _or_none(lambda: _filters(logs, functions, group))),
        permissions=read("MetricProcessorFunction", lambda name: _permissions(functions, name)),
        stream=_attempt(lambda: _stream(session, stack)),
        processor=read("MetricProcessorFunction", lambda name: _function(functions, name)),
        on_failure=read("MetricProcessorFunction", lambda name: _or_none(lambda: _on_failure(functions, name))),
        own_log_groups=_attempt(lambda: {name: log_groups.find(logs, name) is not None for name in own}),
        traffic=traffic,
        large_bodies=read(
            "MetricProcessorRole", lambda role: _or_none(lambda: _access(session, stack, role, large_bodies))
        ),
        late_calls=read("LateBodiesMapping", lambda uuid: _or_none(lambda: _reader(functions, uuid))),
        kept=read("FailedDeliveriesBucket", lambda bucket: _or_none(lambda: _kept(session, stack, bucket))),
        processor_role=read(
            "MetricProcessorRole", lambda role: _or_none(lambda: _keeping_role(session.client("iam"), stack, role))
        ),
        reserved_models=_attempt(lambda: collect_reserved_models(session.client("cloudwatch"))),
        snapshot=read(
            "StateTable",
            lambda table: _or_none(lambda: read_snapshot(table, session.client("dynamodb"))),
        ),
        fetcher=read("QuotaFetcherFunction", lambda name: _function(functions, name)),
        fetch_error=None
        if failed is None
        else read("QuotaFetcherLogGroup", lambda group: _or_none(lambda: read_last_error(logs, group, failed))),
        schedule=read(
            "QuotaFetcherFunctionSchedule",
            lambda name: _or_none(lambda: session.client("scheduler").get_schedule(Name=name)["State"]),
        ),
        overrides_rule=read(
            "QuotaFetcherFunctionOverridesChanged",
            lambda name: _or_none(lambda: session.client("events").describe_rule(Name=name)["State"]),
        ),
        alarms=alarms,
        subscribers=read("AlarmTopic", lambda topic: _or_none(lambda: count_subscribers(session.client("sns"), topic))),
        sinks=_attempt(lambda: list_sinks(session)),
    )


def _attempt(look: Callable[[], Value]) -> Value | Unread:
    try:
        return look()
    except (BotoCoreError, ClientError) as error:
        if is_expired(error):
            raise
        return Unread(explain_aws_error(error))
    except (zlib.error, msgspec.DecodeError, QuotaMonitorError, KeyError) as error:
        return Unread(f"{type(error).__name__}: {error}")


def _or_none(look: Callable[[], Value]) -> Value | None:
    """Return None if AWS does not find the resource."""
    try:
        return look()
    except ClientError as error:
        if error.response["Error"].get("Code") in _NOT_FOUND:
            return None
        raise


def _parts(session: boto3.Session, stack: Stack, alarms: tuple[observed.Alarm, ...] | Unread) -> observed.Parts:
    clients: Any = functools.cache(session.client)

    def there(resource_type: str, physical_id: str) -> bool | Unread:
        service, operation, name = _DESCRIBE_CALLS[resource_type]
        look = getattr(clients(service), operation)
        found = _attempt(lambda: _or_none(lambda: look(**{name: physical_id})))
        return found if isinstance(found, Unread) else found is not None

    seen = {
        logical_id: there(resource_type, stack.resources[logical_id])
        for logical_id, resource_type in stack.types.items()
        if resource_type in _DESCRIBE_CALLS
    }
    gone = {logical_id for logical_id, found in seen.items() if found is False}
    if not isinstance(alarms, Unread):
        names = {each.name for each in alarms}
        gone |= {each for each in stack.logical_ids("AWS::CloudWatch::Alarm") if stack.resources[each] not in names}
    unread = {stack.types[logical_id]: found for logical_id, found in seen.items() if isinstance(found, Unread)}
    return observed.Parts(frozenset(gone), tuple(unread.values()))


def _invocation_logging(session: boto3.Session) -> observed.InvocationLogging | None:
    found = logging_configuration.read_configuration(session.client("bedrock"))
    if found is None:
        return None
    return observed.InvocationLogging(
        text=logging_configuration.delivers_text(found),
        log_group=logging_configuration.configured_log_group(found),
        large_bodies=logging_configuration.configured_large_bodies(found),
        role=logging_configuration.configured_role(found),
    )


def _writing_role(client: IAMClient, stack: Stack, logging: observed.InvocationLogging) -> observed.Role | None:
    """Read if Bedrock can assume its role, and if the role can write to the log group.

    The Bedrock User Guide names the log stream (Monitor model invocation, read 2026-11-24).
    """
    arn = logging.role
    if arn is None:
        return None
    found: Any = client.get_role(RoleName=arn.rpartition("/")[2])["Role"]["AssumeRolePolicyDocument"]
    stream = f"{stack.log_group_arn(logging.log_group or '').removesuffix('*')}log-stream:aws/bedrock/modelinvocations"
    return observed.Role(
        arn,
        trusts=tuple(allowed_services(found["Statement"], "sts:AssumeRole")),
        refused=_refused(client, arn, stream, "logs:CreateLogStream", "logs:PutLogEvents"),
    )


def _keeping_role(client: IAMClient, stack: Stack, name: str) -> observed.Role:
    """Return the processor's role, with the actions for keeping failed deliveries that it is refused.

    Lambda needs two actions (Lambda Developer Guide, Capturing records of asynchronous invocations, read 2026-11-24).
    """
    arn, bucket = stack.role_arn(name), stack.bucket_arn(stack.resources.get("FailedDeliveriesBucket", ""))
    return observed.Role(
        arn,
        refused=(
            *_refused(client, arn, f"{bucket}/aws/lambda/async/x", "s3:PutObject"),
            *_refused(client, arn, bucket, "s3:ListBucket"),
        ),
    )


def _refused(client: IAMClient, role: str, resource: str, *actions: str) -> tuple[str, ...]:
    """Return the actions that a role is denied, by its own policies or by those above it.

    An action counts as allowed if it depends on a condition value that is unknown here.
    """
    found = client.simulate_principal_policy(PolicySourceArn=role, ActionNames=actions, ResourceArns=[resource])
    return tuple(
        each["EvalActionName"]
        for each in found["EvaluationResults"]
        if each["EvalDecision"] != "allowed" and not each.get("MissingContextValues")
    )


def _filters(logs: CloudWatchLogsClient, functions: LambdaClient, group: str) -> tuple[observed.Filter, ...]:
    pages = logs.get_paginator("describe_subscription_filters").paginate(logGroupName=group)
    return tuple(
        observed.Filter(
            each["filterName"],
            each.get("filterPattern", ""),
            each["destinationArn"],
            _namespace(functions, each["destinationArn"]),
        )
        for page in pages
        for each in page["subscriptionFilters"]
    )


def _stream(session: boto3.Session, stack: Stack) -> observed.Stream | None:
    arn = stack.outputs.get("InvocationLogStreamArn")
    if arn is None:
        return None
    kinesis, functions, iam = session.client("kinesis"), session.client("lambda"), session.client("iam")
    found = _or_none(lambda: kinesis.describe_stream_summary(StreamARN=arn)["StreamDescriptionSummary"])
    role = stack.role_arn(stack.resources["InvocationLogStreamRole"])
    reader = _or_none(lambda: _reader(functions, stack.resources["InvocationLogStreamMapping"]))
    return observed.Stream(
        arn=arn,
        status=found["StreamStatus"] if found else None,
        role=_or_none(lambda: observed.Role(role, refused=_refused(iam, role, arn, "kinesis:PutRecord"))),
        reader=reader,
    )


def _reader(functions: LambdaClient, uuid: str) -> observed.Reader:
    found = functions.get_event_source_mapping(UUID=uuid)
    return observed.Reader(
        found["UUID"],
        found["State"],
        found.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"),
        found.get("LastProcessingResult", ""),
        "ReportBatchItemFailures" in found.get("FunctionResponseTypes", []),
    )


def _namespace(client: LambdaClient, destination: str) -> str | None:
    """Return the namespace of the monitor behind a destination, a function or a stream. Return None for any other."""
    if ":stream/" in destination:
        readers = client.list_event_source_mappings(EventSourceArn=destination)["EventSourceMappings"]
        destination = next((each["FunctionArn"] for each in readers), "")
    if ":function:" not in destination:
        return None
    found = _attempt(lambda: _or_none(lambda: _function(client, destination)))
    return found.environment.get("METRICS_NAMESPACE") if isinstance(found, observed.Function) else None


def _function(client: LambdaClient, name: str) -> observed.Function | None:
    found = _or_none(lambda: client.get_function_configuration(FunctionName=name))
    if found is None:
        return None
    return observed.Function(
        name=found["FunctionName"],
        arn=found["FunctionArn"],
        state=found.get("State", "Active"),
        last_update=found.get("LastUpdateStatus", "Successful"),
        environment=found.get("Environment", {}).get("Variables", {}),
        reserved=client.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions"),
    )


_ERROR_WINDOWS = 4
"""Periods of the log that are searched. A run that began at the end of the first one ends within the next two, because
its timeout is 10 minutes."""

_MAX_PAGES = 5
"""Pages of a period that are searched. A page may have no match, although a later one has."""

_MOST_OF_A_REASON = 500
"""Characters of an error that are shown."""


class _LogLine(msgspec.Struct):
    message: str = ""


def read_last_error(client: CloudWatchLogsClient, group: str, failed: datetime) -> str | None:
    """Return the last error in a function's log of the run that failed, or None if there is none.

    `failed` is the time of the metric's value: the run began in the period from then on. CloudWatch Logs returns the
    oldest events first, so the periods are searched from the newest one backwards.
    """
    for number in reversed(range(_ERROR_WINDOWS)):
        start = failed + number * observed.PERIOD
        pages = client.get_paginator("filter_log_events").paginate(
            logGroupName=group,
            startTime=int(start.timestamp() * 1000),
            endTime=int((start + observed.PERIOD).timestamp() * 1000) - 1,
            filterPattern='?ERROR ?"Task timed out"',
        )
        found = [event for page in islice(pages, _MAX_PAGES) for event in page["events"]]
        if found:
            return _read_reason(sorted(found, key=lambda event: event["timestamp"])[-1]["message"])
    return None


def _read_reason(line: str) -> str:
    try:
        said = msgspec.json.decode(line, type=_LogLine).message
    except msgspec.DecodeError:
        said = line
    return " ".join(said.split())[:_MOST_OF_A_REASON]


def _permissions(client: LambdaClient, name: str) -> tuple[observed.Permission, ...]:
    policy = _or_none(lambda: client.get_policy(FunctionName=name)["Policy"])
    if policy is None:
        return ()
    return tuple(allowed_services(msgspec.json.decode(policy)["Statement"], "lambda:InvokeFunction"))


def _on_failure(client: LambdaClient, name: str) -> str | None:
    found = client.get_function_event_invoke_config(FunctionName=name, Qualifier="$LATEST")
    return found.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")


def _access(session: boto3.Session, stack: Stack, name: str, large: LargeBodies | None) -> observed.Access:
    if large is None:
        return observed.Access()
    s3, role = session.client("s3"), stack.role_arn(name)
    if _or_none(lambda: s3.head_bucket(Bucket=large.bucket)) is None:
        return observed.Access(bucket_there=False)
    body = stack.bucket_arn(f"{large.folder}x")
    named, kms = _key_of(s3, large.bucket), session.client("kms")
    key = None if named is None else _key(kms, named)
    return observed.Access(
        reads=not _refused(session.client("iam"), role, body, "s3:GetObject"),
        writers=tuple(allowed_services(_statements(s3, large.bucket), "s3:PutObject")),
        role=role,
        key=key,
        decrypts=key is None or (is_usable(key.state) and _decrypts(kms, key, role)),
    )


def _key_of(client: S3Client, bucket: str) -> str | None:
    """Return the customer's key that encrypts new objects of a bucket. An AWS managed key needs no check."""
    found = _or_none(lambda: client.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"])
    for rule in found["Rules"] if found else []:
        key = rule.get("ApplyServerSideEncryptionByDefault", {}).get("KMSMasterKeyID")
        if key is not None and not key.endswith("alias/aws/s3"):
            return key
    return None


def _key(client: KMSClient, name: str) -> observed.Key:
    """Read a key by its ARN or alias. The result has the ARN, because policies and commands do not take aliases."""
    found = _or_none(lambda: client.describe_key(KeyId=name)["KeyMetadata"])
    return observed.Key(found["Arn"], found.get("KeyState", "Enabled")) if found else observed.Key(name, "deleted")


def _decrypts(client: KMSClient, key: observed.Key, role: str) -> bool:
    """Return True if the key policy lets the role decrypt. The policies of the role do not, so nothing else can."""
    policy = msgspec.json.decode(client.get_key_policy(KeyId=key.arn, PolicyName="default")["Policy"])
    return any(
        statement["Effect"] == "Allow" and applies_to(statement, "kms:Decrypt", role)
        for statement in policy["Statement"]
    )


def _kept(session: boto3.Session, stack: Stack, bucket: str) -> observed.Kept:
    found = list_failed(session, bucket)
    s3, role = session.client("s3"), stack.role_arn(stack.resources.get("MetricProcessorRole", ""))
    return observed.Kept(
        len(found),
        min((each.kept_at for each in found), default=None),
        closed=any(
            statement["Effect"] == "Deny"
            and "Condition" not in statement  # such as the one on TLS, which Lambda meets
            and applies_to(statement, "s3:PutObject", role)
            for statement in _statements(s3, bucket)
        ),
    )


def _statements(client: S3Client, bucket: str) -> list[dict[str, Any]]:
    policy = _or_none(lambda: client.get_bucket_policy(Bucket=bucket)["Policy"])
    return msgspec.json.decode(policy)["Statement"] if policy else []


def count_subscribers(client: SNSClient, topic: str) -> dict[str, int]:
    """Count the `confirmed` and `pending` subscribers of a topic. Propagates botocore errors."""
    counts = {"confirmed": 0, "pending": 0}
    for page in client.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic):
        for each in page["Subscriptions"]:
            if each["SubscriptionArn"].startswith("arn:"):
                counts["confirmed"] += 1
            elif each["SubscriptionArn"] == "PendingConfirmation":
                counts["pending"] += 1
    return counts
