"""LoggingSetupFunction: the custom resource that finds, extends or makes the account's invocation logging."""

import os
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger

from bedrock_quota import clients, custom_resources, invocation_logging
from bedrock_quota.invocation_logging import Wanted

logger = Logger(service="bedrock_quota", log_uncaught_exceptions=True)


def handler(event: dict[str, Any], _context: object) -> None:
    """Serve one request of CloudFormation."""
    custom_resources.serve(event, physical_id="invocation-logging", act=_act)


def _act(event: Mapping[str, Any]) -> Mapping[str, str]:
    table = os.environ["STATE_TABLE"]
    if event["RequestType"] == "Delete":
        change = invocation_logging.recall(table, clients.state())
        done = invocation_logging.undo(clients.bedrock(), change) if change else "nothing had been changed"
        logger.info("invocation logging", done=done)
        return {}
    given = event["ResourceProperties"]
    wanted = Wanted(
        log_group=given["LogGroupName"],
        role_arn=given["RoleArn"],
        retention_days=int(given["RetentionDays"]),
        own_log_groups=tuple(given["OwnLogGroups"]),
    )
    group, done, change = invocation_logging.set_up(clients.bedrock(), clients.logs(), wanted)
    if change is not None:
        invocation_logging.remember(table, clients.state(), change)
    logger.info("invocation logging", done=done, log_group=group)
    return {"LogGroupName": group, "Done": done}
