"""AWS clients, made in one place. boto3 is imported by the first call that needs one, for its import costs 150 ms."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_service_quotas import ServiceQuotasClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_ssm import SSMClient


def _client(service: str, *, seconds: float, attempts: int) -> Any:
    import boto3  # noqa: PLC0415 - see the module's docstring
    from botocore.config import Config  # noqa: PLC0415

    retries = {"mode": "adaptive" if attempts > 3 else "standard", "total_max_attempts": attempts}
    return boto3.client(
        service,  # type: ignore[call-overload]
        config=Config(connect_timeout=seconds, read_timeout=seconds, retries=retries),  # type: ignore[arg-type]
    )


@functools.cache
def state() -> DynamoDBClient:
    """DynamoDB for the state table: quick to give up, for metrics flow without it."""
    client: DynamoDBClient = _client("dynamodb", seconds=1, attempts=2)
    return client


@functools.cache
def quick_state() -> DynamoDBClient:
    """DynamoDB for the state table when an invocation has little time left: one attempt, 0.6 s at most."""
    client: DynamoDBClient = _client("dynamodb", seconds=0.3, attempts=1)
    return client


@functools.cache
def patient_state() -> DynamoDBClient:
    """DynamoDB for what a deployment notes in the state table: patient, for without it a stack cannot leave."""
    client: DynamoDBClient = _client("dynamodb", seconds=5, attempts=5)
    return client


@functools.cache
def bedrock() -> BedrockClient:
    """Bedrock's control plane, for application profiles: quick to give up, for metrics flow without them."""
    client: BedrockClient = _client("bedrock", seconds=2, attempts=2)
    return client


@functools.cache
def bedrock_settings() -> BedrockClient:
    """Bedrock's control plane, for the logging configuration: patient, since Put tries role and log group."""
    client: BedrockClient = _client("bedrock", seconds=10, attempts=3)
    return client


@functools.cache
def service_quotas() -> ServiceQuotasClient:
    """Service Quotas: patient, since List* is limited to 10 calls a second for the whole account."""
    client: ServiceQuotasClient = _client("service-quotas", seconds=5, attempts=5)
    return client


@functools.cache
def cloudwatch() -> CloudWatchClient:
    """CloudWatch, for the list of metrics in use."""
    client: CloudWatchClient = _client("cloudwatch", seconds=5, attempts=3)
    return client


@functools.cache
def logs() -> CloudWatchLogsClient:
    """CloudWatch Logs, for the invocation-log group."""
    client: CloudWatchLogsClient = _client("logs", seconds=10, attempts=3)
    return client


@functools.cache
def kms() -> KMSClient:
    """KMS, for the state of a log group's key."""
    client: KMSClient = _client("kms", seconds=5, attempts=3)
    return client


@functools.cache
def cloudformation() -> CloudFormationClient:
    """CloudFormation, for what becomes of the stack."""
    client: CloudFormationClient = _client("cloudformation", seconds=5, attempts=5)
    return client


@functools.cache
def sns() -> SNSClient:
    """SNS, for what people should hear."""
    client: SNSClient = _client("sns", seconds=5, attempts=3)
    return client


@functools.cache
def ssm() -> SSMClient:
    """SSM, for the registry's overrides."""
    client: SSMClient = _client("ssm", seconds=5, attempts=3)
    return client


@functools.cache
def large_bodies() -> S3Client:
    """S3, for request bodies that are too large for the log: quick to give up, for metrics flow without them."""
    client: S3Client = _client("s3", seconds=2, attempts=2)
    return client


@functools.cache
def buckets() -> S3Client:
    """S3, for emptying the stack's buckets: patient, since a page of a thousand deletions takes its time."""
    client: S3Client = _client("s3", seconds=30, attempts=5)
    return client
