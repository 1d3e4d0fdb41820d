"""LoggingSetupFunction: the custom resource that adopts, extends or creates the account's invocation logging."""

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
    from bedrock_quota.access_denied import AccessRefusedError, retry_while_denied, translate_access_errors
    from bedrock_quota.deployment import invocation_logging, log_groups, logging_configuration, logging_removal
    from bedrock_quota.deployment.invocation_logging import SetupRequest, SetupResult
    from bedrock_quota.deployment.logging_configuration import ConfigurationUnreadableError
    from bedrock_quota.deployment.logging_target import LoggingTarget
    from bedrock_quota.deployment.preflight import InvocationLoggingError
    from bedrock_quota.deployment.runtime_sdk import describe_sdk
    from bedrock_quota.state import table
    from bedrock_quota.state.table import LoggingMemory, LoggingOrigin, SetupNote

PHYSICAL_ID = "invocation-logging"
"""The id never changes. With a new one CloudFormation would delete the old one, and with it the new set-up."""

NOWHERE = "NO-LARGE-BODIES/"
"""No bucket can have this name, so a policy for it allows nothing."""

logger = Logger(service="bedrock_quota")


def handler(event: dict[str, Any], _context: object) -> None:
    """Handle one request of CloudFormation."""
    custom_resource.handle_request(event, physical_id=PHYSICAL_ID, act=_act)


def _act(event: Mapping[str, Any]) -> Mapping[str, str]:
    if event["RequestType"] == "Create":
        _check_bedrock()
    with translate_access_errors():
        status = retry_while_denied(lambda: custom_resource.stack_status(event, clients.cloudformation()))
        if event["RequestType"] != "Delete":
            return _set_up(event, status)
        if status not in custom_resource.DELETING_STATUSES:
            logger.info("invocation logging", done="skipped: the stack is not being deleted")
            return {}
        return _remove(event)


def _check_bedrock() -> None:
    """Check that Bedrock answers. Without it, in this Region or for this role, nothing can be set up or removed."""
    try:
        with translate_access_errors():
            retry_while_denied(lambda: logging_configuration.read_configuration(clients.bedrock_settings()))
    except (BotoCoreError, ClientError, AccessRefusedError, ConfigurationUnreadableError) as error:
        raise NothingDoneError(f"Bedrock's invocation logging could not be read: {error}") from error


def _remove(event: Mapping[str, Any]) -> Mapping[str, str]:
    state, client = os.environ["STATE_TABLE"], clients.patient_state()
    done = logging_removal.remove_logging(
        clients.bedrock_settings(),
        clients.logs(),
        _parse_target(event["ResourceProperties"]),
        custom_resource.stack_name(event),
        table.read_log_groups(state, client),
        origin=_read_memory().origin,
    )
    logger.info("invocation logging", done=done)
    return {}


def _set_up(event: Mapping[str, Any], status: str) -> Mapping[str, str]:
    if custom_resource.is_too_late(event, status):
        raise InvocationLoggingError(f"The stack is already {status}, so nothing is set up for it.")
    given = event["ResourceProperties"]
    before = event.get("OldResourceProperties")
    request = SetupRequest(
        target=_parse_target(given),
        previous=_parse_target(before) if before else None,
        stack_name=custom_resource.stack_name(event),
        own_filter=given.get("SubscriptionFilter", ""),
        adopt_only=given.get("Mode") == "adopt-only",
        own_log_groups=tuple(given["OwnLogGroups"]),
        tags=custom_resource.stack_tags(event, clients.cloudformation()),
        memory=_read_memory(),
    )
    if request.previous and log_groups.is_created_by(clients.logs(), request.previous.log_group, request.stack_name):
        _remember(
            request.previous.log_group
        )  # from before a failed update, or from an older version that stored fewer names
    found = _run_set_up(event, request, status)
    _remember(found.log_group)
    if found.refused_bucket != request.memory.refused_bucket:
        table.write_refused_bucket(os.environ["STATE_TABLE"], clients.patient_state(), found.refused_bucket)
    logger.info("invocation logging", done=found.done, log_group=found.log_group)
    logger.info("runtime SDK", **describe_sdk())  # the doctor's first-day check reads it
    large = found.large_bodies
    return {
        "LogGroupName": found.log_group,
        "Done": found.done,
        "LargeBodiesBucket": large.bucket if large else "",
        "LargeBodies": large.folder if large else NOWHERE,
    }


def _run_set_up(event: Mapping[str, Any], request: SetupRequest, status: str) -> SetupResult:
    bedrock, logs = clients.bedrock_settings(), clients.logs()

    def cancelled() -> bool:
        return custom_resource.stack_status(event, clients.cloudformation()) != status

    try:
        _check_order(event, status)
        return invocation_logging.set_up_logging(
            bedrock, logs, clients.kms(), request, cancelled, note_origin=_note_origin
        )
    except InvocationLoggingError as refusal:
        if status != custom_resource.UPDATE_ROLLBACK:
            raise
        groups = table.read_log_groups(os.environ["STATE_TABLE"], clients.patient_state())
        return invocation_logging.describe_existing(bedrock, logs, request, groups, str(refusal))


def _check_order(event: Mapping[str, Any], status: str) -> None:
    """Refuse an update that arrives after or instead of its own rollback. While the stack rolls back, both look alike.

    A rollback returns to what the last set-up replaced, or, if that of the update never ran, to what it left.
    """
    state, client = os.environ["STATE_TABLE"], clients.patient_state()
    wanted = custom_resource.digest_properties(event["ResourceProperties"])
    before = custom_resource.digest_properties(event.get("OldResourceProperties", event["ResourceProperties"]))
    if status != custom_resource.UPDATE_ROLLBACK:
        table.write_setup(state, client, SetupNote(wanted, before))
        return
    last = table.read_setup(state, client)
    if last is not None and wanted == last.current:
        return
    if last is not None and SetupNote(before, wanted) != last:
        raise InvocationLoggingError("This update is already being rolled back, so nothing is set up for it.")
    table.write_setup(state, client, SetupNote(wanted, wanted))


def _remember(log_group: str) -> None:
    """Store the name of a log group that this stack reads or has created, so that it can be deleted with the stack."""
    table.remember_log_group(os.environ["STATE_TABLE"], clients.patient_state(), log_group)


def _note_origin(origin: LoggingOrigin) -> None:
    """Store what was there before the stack's part, so that the uninstall can leave just that."""
    table.write_origin(os.environ["STATE_TABLE"], clients.patient_state(), origin)


def _read_memory() -> LoggingMemory:
    """Return what earlier set-ups have noted, or nothing if that cannot be read: no set-up or removal needs it."""
    try:
        return table.read_memory(os.environ["STATE_TABLE"], clients.patient_state())
    except (BotoCoreError, ClientError):
        logger.exception("the notes of earlier set-ups cannot be read")
        return LoggingMemory()


def _parse_target(given: Mapping[str, Any]) -> LoggingTarget:
    return LoggingTarget(
        log_group=given["LogGroupName"],
        role_arn=given["RoleArn"],
        retention_days=int(given["RetentionDays"]),
        large_bodies_bucket=given.get("LargeBodiesBucket", ""),
    )
