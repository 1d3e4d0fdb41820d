"""Several Regions: the progress of the deployment in each."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from bedrock_quota.custom_resource import NO_RESPONSE
from bedrock_quota.deployment.log_groups import FULL_LOG_GROUP
from localaws import sam
from quota_monitor.program import own_command

_SUBSCRIPTION = "InvocationLogSubscription"
_LIMIT_EXCEEDED = re.compile(r"limit\s*exceeded", re.IGNORECASE)
_UNRECOGNIZED = re.compile(r"unrecognized resource types?", re.IGNORECASE)
_NO_RESPONSE = re.compile(r"not receive a response|failed to stabilize in expected time", re.IGNORECASE)
"""Matches both wordings of CloudFormation (issues of several AWS samples, read 2026-11-28).

The second is also that of other resources, such as a service that does not start.
"""
_CUSTOM = "Custom::"
"""Beginning of the types of the stack's custom resources."""


class State(enum.StrEnum):
    """State of a deployment."""

    PREPARING = "preparing"
    DEPLOYING = "deploying"
    DEPLOYED = "deployed"
    UNCHANGED = "unchanged"
    FAILED = "failed"


class RegionProgress(msgspec.Struct, frozen=True):
    """RegionProgress that `sam deploy` has reported: the current event, the first failure, and finally the outputs."""

    state: State = State.PREPARING
    current: str = ""
    reason: str = ""
    outputs: Mapping[str, str] = {}
    started: bool = False
    """True if CloudFormation has begun to change the stack."""


def apply_document(progress: RegionProgress, document: Mapping[str, Any]) -> RegionProgress:
    """Return the progress after a JSON document of `sam deploy --output json`. Unknown documents change nothing."""
    changed: dict[str, Any] = {}
    match document:
        case {"type": "changeset", "logical_id": logical_id}:  # executed as soon as it is reported
            changed = {"state": State.DEPLOYING, "current": f"to change: {logical_id}", "started": True}
        case {"type": "event", "logical_id": logical_id, "status": status}:
            reason = progress.reason or _explain(document)
            current = f"{logical_id} {status}"
            changed = {"state": State.DEPLOYING, "current": current, "reason": reason, "started": True}
        case {"type": "outputs", "stack_outputs": outputs}:
            changed = {"outputs": {each["key"]: each["value"] for each in outputs}}
        case {"type": "result", "status": "success"}:
            changed = {"state": State.DEPLOYED, "current": ""}
        case {"type": "result", "status": "no_changes"}:
            changed = {"state": State.UNCHANGED, "current": ""}
        case {"type": "result", "status": "failure", "error": {"message": message}}:
            changed = {"state": State.FAILED, "reason": progress.reason or message}
    return msgspec.structs.replace(progress, **changed)


def explain_local(progress: RegionProgress, endpoint: str) -> RegionProgress:
    """Return the progress of a failure in the account of an emulator, with what to do if that lacks a resource."""
    if not endpoint or not _UNRECOGNIZED.search(progress.reason):
        return progress
    reason = (
        f"{progress.reason}\n  The local account at {endpoint} does not have these resources, so deploy there with "
        f"`{own_command('local', 'up')}`, which leaves them out."
    )
    return msgspec.structs.replace(progress, reason=reason)


def finish(progress: RegionProgress, exit_code: int, last_lines: str) -> RegionProgress:
    """Return the final progress. A failure without a reason gets the last lines that `sam deploy` printed."""
    if exit_code == 0 and progress.state in {State.DEPLOYED, State.UNCHANGED}:
        return progress
    reason = progress.reason or last_lines or f"sam deploy ended with code {exit_code}"
    return msgspec.structs.replace(progress, state=State.FAILED, reason=reason)


def _explain(event: Mapping[str, Any]) -> str:
    """Return the reason of a failure and, if we know it, the meaning. Nothing for any other event."""
    what = sam.read_failure(event)
    if event["logical_id"] == _SUBSCRIPTION and _LIMIT_EXCEEDED.search(what):
        return f"{what}\n  This means that {FULL_LOG_GROUP}."
    if event.get("resource_type", "").startswith(_CUSTOM) and _NO_RESPONSE.search(what):
        return f"{what}\n  {NO_RESPONSE}."
    return what
