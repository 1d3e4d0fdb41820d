"""The owner of the account's invocation logging: did somebody replace what the stack wrote, and who was it?

Terraform and other tools keep the whole configuration. If one of them owns it, its next run removes the stack's part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from quota_monitor.doctor.observed import InvocationLogging, LoggingChange

if TYPE_CHECKING:
    import boto3

    from quota_monitor.aws_session import Stack

WROTE = ("enabled", "added CloudWatch", "changed the invocation logging", "kept the invocation logging that this stack")
"""Beginnings of the stack's output `InvocationLogging` if the stack has written the configuration."""

_EVENTS = ("PutModelInvocationLoggingConfiguration", "DeleteModelInvocationLoggingConfiguration")
_EVENTS_READ = 50
"""The newest events of each name that are read: the most that CloudTrail returns at once, without a second call."""

_TOOLS = {
    "OpenTofu": "OpenTofu",
    "Terraform": "Terraform",
    "Pulumi": "Pulumi",
    "cloudformation.amazonaws.com": "CloudFormation",
    "aws-cli": "AWS CLI",
    "console.amazonaws.com": "the console",
    "Mozilla": "the console",
    "Boto3": "Boto3",
}
"""Tools by a word of the user agent. Terraform's is `APN/1.0 HashiCorp/1.0 Terraform/1.9` (CloudTrail events in public
repositories, read 2026-11-28)."""

_LONGEST = 200
"""Characters of a name that are shown. Its owner chooses it."""


def is_replaced(stack: Stack, present: InvocationLogging | None) -> bool:
    """Return True if the stack wrote the configuration, and the present one delivers elsewhere or not at all."""
    wrote = stack.outputs.get("InvocationLogging", "").startswith(WROTE)
    delivered = None if present is None else present.log_group
    return wrote and delivered != stack.outputs.get("InvocationLogGroupName")


def read_last_change(session: boto3.Session, stack: Stack) -> LoggingChange | None:
    """Return the last change of the configuration that somebody else made, or None if CloudTrail has none.

    CloudTrail has 90 days of events, without a trail (CloudTrail API reference, LookupEvents, read 2026-11-28). An
    event is there some minutes after its call. Propagates botocore errors.
    """
    client = session.client("cloudtrail")
    own_role = stack.resources.get("LoggingSetupRole", "")
    found = [
        change
        for name in _EVENTS
        for each in client.lookup_events(
            LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": name}], MaxResults=_EVENTS_READ
        )["Events"]
        for change in _read_change(each, own_role)
    ]
    return max(found, key=lambda change: change.at, default=None)


def _read_change(event: Mapping[str, Any], own_role: str) -> Iterator[LoggingChange]:
    """Yield the change that an event stands for, unless its call failed or the stack itself made it."""
    try:
        record = json.loads(event.get("CloudTrailEvent", "{}"))
    except ValueError:
        record = {}
    if not isinstance(record, dict) or "errorCode" in record:
        return
    identity = record.get("userIdentity")
    identity = identity if isinstance(identity, dict) else {}
    who = identity.get("arn") or identity.get("invokedBy") or event.get("Username") or "unknown"
    if own_role and f":assumed-role/{own_role}/" in str(who):
        return
    agent = f"{record.get('userAgent', '')} {identity.get('invokedBy', '')}"
    tool = next((name for word, name in _TOOLS.items() if word in agent), "")
    yield LoggingChange(event["EventTime"], _printable(who), tool, deleted="Delete" in event["EventName"])


def _printable(name: object) -> str:
    return re.sub(r"[^\x20-\x7e]", "?", str(name))[:_LONGEST]
