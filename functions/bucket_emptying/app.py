"""BucketEmptyingFunction: the custom resource that empties a bucket when the stack is deleted."""

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from bedrock_quota import clients, custom_resource
from bedrock_quota.deployment.bucket_emptying import empty_bucket

PHYSICAL_ID = "emptied-on-deletion"

logger = Logger(service="bedrock_quota")


def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Handle one request of CloudFormation."""
    custom_resource.handle_request(event, physical_id=PHYSICAL_ID, act=lambda request: _act(request, context))


def _act(event: Mapping[str, Any], context: LambdaContext) -> Mapping[str, str]:
    bucket = event["ResourceProperties"]["Bucket"]
    if event["RequestType"] != "Delete":
        return {}
    if not custom_resource.is_stack_deleting(event, clients.cloudformation()):
        logger.info("skipped: the stack is not being deleted", bucket=bucket)
        return {}
    removed = empty_bucket(clients.buckets(), bucket, lambda: context.get_remaining_time_in_millis() / 1000)
    logger.info("bucket emptied", bucket=bucket, removed=removed)
    return {}
