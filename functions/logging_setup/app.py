"""LoggingSetupFunction: the custom resource that finds, extends or makes the account's invocation logging."""

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger

from bedrock_quota import clients, custom_resources, invocation_logging
from bedrock_quota.invocation_logging import Wanted

NOWHERE = "NO-LARGE-BODIES/"
"""No bucket can have this name: a policy on it allows nothing."""

logger = Logger(service="bedrock_quota")


def handler(event: dict[str, Any], _context: object) -> None:
    """Serve one request of CloudFormation."""
    custom_resources.serve(event, physical_id="invocation-logging", act=_act)


def _act(event: Mapping[str, Any]) -> Mapping[str, str]:
    given = event["ResourceProperties"]
    bedrock = clients.bedrock_settings()
    if event["RequestType"] == "Delete":
        done = invocation_logging.take_out(bedrock, given["RoleArn"])
        logger.info("invocation logging", done=done)
        return {}
    wanted = Wanted(
        log_group=given["LogGroupName"],
        role_arn=given["RoleArn"],
        retention_days=int(given["RetentionDays"]),
        large_bodies_bucket=given["LargeBodiesBucket"],
        own_log_groups=tuple(given["OwnLogGroups"]),
    )
    found = invocation_logging.set_up(bedrock, clients.logs(), wanted)
    logger.info("invocation logging", done=found.done, log_group=found.log_group)
    large = found.large_bodies
    return {
        "LogGroupName": found.log_group,
        "Done": found.done,
        "LargeBodiesBucket": large.bucket if large else "",
        "LargeBodies": large.folder if large else NOWHERE,
    }
