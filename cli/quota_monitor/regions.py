"""Several Regions: how a user names them, and how far the deployment in one of them has come."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Any

import click
import msgspec

_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_CONSEQUENCE = "Resource creation cancelled"  # said of what was under way when something else failed


class State(enum.StrEnum):
    """How far a deployment has come."""

    PREPARING = "preparing"
    DEPLOYING = "deploying"
    DEPLOYED = "deployed"
    UNCHANGED = "unchanged"
    FAILED = "failed"


class Progress(msgspec.Struct, frozen=True):
    """What `sam deploy` has told: the event at hand, what failed first and why, the stack's outputs in the end."""

    state: State = State.PREPARING
    at_hand: str = ""
    reason: str = ""
    outputs: Mapping[str, str] = {}


def after(progress: Progress, document: Mapping[str, Any]) -> Progress:
    """Return the progress after one more JSON document of `sam deploy --output json`; others change nothing."""
    changed: dict[str, Any] = {}
    match document:
        case {"type": "changeset", "logical_id": logical_id}:  # executed as soon as it is told
            changed = {"state": State.DEPLOYING, "at_hand": f"to change: {logical_id}"}
        case {"type": "event", "logical_id": logical_id, "status": status}:
            reason = progress.reason or _reason(logical_id, status, document.get("reason", ""))
            changed = {"state": State.DEPLOYING, "at_hand": f"{logical_id} {status}", "reason": reason}
        case {"type": "outputs", "stack_outputs": outputs}:
            changed = {"outputs": {each["key"]: each["value"] for each in outputs}}
        case {"type": "result", "status": "success"}:
            changed = {"state": State.DEPLOYED, "at_hand": ""}
        case {"type": "result", "status": "no_changes"}:
            changed = {"state": State.UNCHANGED, "at_hand": ""}
        case {"type": "result", "status": "failure", "error": {"message": message}}:
            changed = {"state": State.FAILED, "reason": progress.reason or message}
    return msgspec.structs.replace(progress, **changed)


def ended(progress: Progress, exit_code: int, last_lines: str) -> Progress:
    """Return the progress of a `sam deploy` that has ended, with what it printed last where it gave no reason."""
    if exit_code == 0 and progress.state in {State.DEPLOYED, State.UNCHANGED}:
        return progress
    reason = progress.reason or last_lines or f"sam deploy ended with code {exit_code}"
    return msgspec.structs.replace(progress, state=State.FAILED, reason=reason)


def _reason(logical_id: str, status: str, reason: str) -> str:
    failed = status.endswith("_FAILED") and not reason.startswith(_CONSEQUENCE)
    return f"{logical_id}: {reason or status}" if failed else ""


def of_option(_context: click.Context, _parameter: click.Parameter, given: str) -> tuple[str, ...]:
    """Return an option's Regions, comma separated; raises `click.BadParameter` for what is none, or named twice."""
    names = tuple(name.strip() for name in given.split(","))
    for name in names:
        if not _REGION.fullmatch(name):
            raise click.BadParameter(f"{name!r} is not the name of a Region")
        if names.count(name) > 1:
            raise click.BadParameter(f"{name} is there twice")
    return names
