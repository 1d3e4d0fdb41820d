"""AWS clients, all made here. The first call for a client imports boto3, because that import costs 150 ms."""

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
    from mypy_boto3_sqs import SQSClient
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
    """Return the DynamoDB client for the state table. It gives up quickly, because metrics flow without the table."""
    client: DynamoDBClient = _client("dynamodb", seconds=1, attempts=2)
    return client


@functools.cache
def quick_state() -> DynamoDBClient:
    """Return the DynamoDB client for when an invocation has little time left: one attempt, mostly 0.6 s at most.

    It gives up after 0.3 s without a connection, and after 0.3 s in which nothing arrives. An answer that arrives a
    byte at a time takes as long as it takes, because the timeouts of boto3 count from the last byte.
    """
    client: DynamoDBClient = _client("dynamodb", seconds=0.3, attempts=1)
    return client


@functools.cache
def patient_state() -> DynamoDBClient:
    """Return the DynamoDB client for deployments. Long timeouts and retries, because stack deletion depends on it."""
    client: DynamoDBClient = _client("dynamodb", seconds=5, attempts=5)
    return client


@functools.cache
def bedrock() -> BedrockClient:
    """Return the Bedrock client for application profiles. It gives up quickly, because metrics flow without them."""
    client: BedrockClient = _client("bedrock", seconds=1, attempts=2)
    return client


@functools.cache
def bedrock_settings() -> BedrockClient:
    """Return the Bedrock client for deployments and the fetcher. Long timeouts: Put tries role and log group."""
    client: BedrockClient = _client("bedrock", seconds=10, attempts=3)
    return client


@functools.cache
def service_quotas() -> ServiceQuotasClient:
    """Return the Service Quotas client. It retries, because the account has 10 List* calls per second in total."""
    client: ServiceQuotasClient = _client("service-quotas", seconds=5, attempts=5)
    return client


@functools.cache
def cloudwatch() -> CloudWatchClient:
    """Return the CloudWatch client that lists the metrics in use."""
    client: CloudWatchClient = _client("cloudwatch", seconds=5, attempts=3)
    return client


@functools.cache
def logs() -> CloudWatchLogsClient:
    """Return the CloudWatch Logs client that manages the invocation-log group."""
    client: CloudWatchLogsClient = _client("logs", seconds=10, attempts=3)
    return client


@functools.cache
def kms() -> KMSClient:
    """Return the KMS client that reads the state of a log group's key."""
    client: KMSClient = _client("kms", seconds=5, attempts=3)
    return client


@functools.cache
def cloudformation() -> CloudFormationClient:
    """Return the CloudFormation client that reads the status of the stack."""
    client: CloudFormationClient = _client("cloudformation", seconds=5, attempts=5)
    return client


@functools.cache
def sns() -> SNSClient:
    """Return the SNS client that sends notices to subscribers."""
    client: SNSClient = _client("sns", seconds=5, attempts=3)
    return client


@functools.cache
def ssm() -> SSMClient:
    """Return the SSM client that reads the registry's overrides."""
    client: SSMClient = _client("ssm", seconds=5, attempts=3)
    return client


@functools.cache
def large_bodies() -> S3Client:
    """Return the S3 client for large request bodies. Its requests can be interrupted, because metrics wait for them."""
    from bedrock_quota.interruption import make_interruptible  # noqa: PLC0415 - see that module's docstring

    client: S3Client = _client("s3", seconds=2, attempts=2)
    make_interruptible(client)
    return client


@functools.cache
def late_bodies() -> SQSClient:
    """Return the SQS client for late calls. It gives up quickly, because metrics flow without the queue."""
    client: SQSClient = _client("sqs", seconds=1, attempts=2)
    return client


@functools.cache
def buckets() -> S3Client:
    """Return the S3 client that empties the stack's buckets. Long timeouts: deleting 1,000 objects takes a while."""
    client: S3Client = _client("s3", seconds=30, attempts=5)
    return client
