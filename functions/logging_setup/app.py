"""LoggingSetupFunction: the custom resource that finds, extends or makes the account's invocation logging."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from bedrock_quota import custom_resource
from bedrock_quota.custom_resource import NothingDoneError

with custom_resource.report_import_failure():
    from bedrock_quota import clients
    from bedrock_quota.deployment import invocation_logging, log_groups
    from bedrock_quota.deployment.access_denied import translate_access_errors
    from bedrock_quota.state.table import read_log_groups, remember_log_group
    from bedrock_quota.deployment.invocation_logging import LoggingTarget, SetupRequest, SetupResult
    from bedrock_quota.deployment.preflight import InvocationLoggingError
    from bedrock_quota.deployment.iam_retry import retry_while_denied
    from bedrock_quota.deployment.access_denied import AccessRefusedError

PHYSICAL_ID = "invocation-logging"
"""Never another: a new one would have CloudFormation delete the old one, and with it what the new one has set up."""

NOWHERE = "NO-LARGE-BODIES/"
"""No bucket can have this name: a policy on it allows nothing."""

logger = Logger(service="bedrock_quota")


def handler(event: dict[str, Any], _context: object) -> None:
    """Serve one request of CloudFormation."""
    custom_resource.handle_request(event, physical_id=PHYSICAL_ID, act=_act)


def _act(event: Mapping[str, Any]) -> Mapping[str, str]:
    if event["RequestType"] == "Create":
        _ask_first()
    with translate_access_errors():
        status = retry_while_denied(lambda: custom_resource.stack_status(event, clients.cloudformation()))
        if event["RequestType"] != "Delete":
            return _set_up(event, status)
        if status not in custom_resource.DELETING_STATUSES:
            logger.info("invocation logging", done="left as it is, for the stack stays")
            return {}
        return _leave(event)


def _ask_first() -> None:
    """See that Bedrock answers: where it may not, or in a Region without it, nothing can be set up, or taken out."""
    try:
        with translate_access_errors():
            retry_while_denied(lambda: invocation_logging.read_configuration(clients.bedrock_settings()))
    except (BotoCoreError, ClientError, AccessRefusedError) as error:
        raise NothingDoneError(f"Bedrock's invocation logging cannot be read: {error}") from error


def _leave(event: Mapping[str, Any]) -> Mapping[str, str]:
    done = invocation_logging.remove_logging(
        clients.bedrock_settings(),
        clients.logs(),
        _part(event["ResourceProperties"]),
        custom_resource.stack_name(event),
        read_log_groups(os.environ["STATE_TABLE"], clients.patient_state()),
    )
    logger.info("invocation logging", done=done)
    return {}


def _set_up(event: Mapping[str, Any], status: str) -> Mapping[str, str]:
    given = event["ResourceProperties"]
    before = event.get("OldResourceProperties")
    wanted = SetupRequest(
        part=_part(given),
        former=_part(before) if before else None,
        stack_name=custom_resource.stack_name(event),
        own_filter=given.get("SubscriptionFilter", ""),
        adopt_only=given.get("Mode") == "adopt-only",
        own_log_groups=tuple(given["OwnLogGroups"]),
    )
    if wanted.former and log_groups.is_created_by(clients.logs(), wanted.former.log_group, wanted.stack_name):
        _remember(wanted.former.log_group)  # before an update failed, or an older version, that noted less
    found = _found(event, wanted, status)
    _remember(found.log_group)
    logger.info("invocation logging", done=found.done, log_group=found.log_group)
    large = found.large_bodies
    return {
        "LogGroupName": found.log_group,
        "Done": found.done,
        "LargeBodiesBucket": large.bucket if large else "",
        "LargeBodies": large.folder if large else NOWHERE,
    }


def _found(event: Mapping[str, Any], wanted: SetupRequest, status: str) -> SetupResult:
    bedrock, logs = clients.bedrock_settings(), clients.logs()

    def cancelled() -> bool:
        return custom_resource.stack_status(event, clients.cloudformation()) != status

    if event["RequestType"] == "Create" and status in custom_resource.DELETING_STATUSES | {custom_resource.UPDATE_ROLLBACK}:
        raise InvocationLoggingError("The stack rolls back or is deleted already: nothing is set up for it.")
    try:
        return invocation_logging.set_up_logging(bedrock, logs, clients.kms(), wanted, cancelled)
    except InvocationLoggingError as refusal:
        if status != custom_resource.UPDATE_ROLLBACK:
            raise
        groups = read_log_groups(os.environ["STATE_TABLE"], clients.patient_state())
        return invocation_logging.describe_existing(bedrock, logs, wanted, groups, str(refusal))


def _remember(log_group: str) -> None:
    """Note a log group that this stack reads or has made: it goes with the stack, the last of its readers."""
    remember_log_group(os.environ["STATE_TABLE"], clients.patient_state(), log_group)


def _part(given: Mapping[str, Any]) -> LoggingTarget:
    return LoggingTarget(
        log_group=given["LogGroupName"],
        role_arn=given["RoleArn"],
        retention_days=int(given["RetentionDays"]),
        large_bodies_bucket=given.get("LargeBodiesBucket", ""),
    )
