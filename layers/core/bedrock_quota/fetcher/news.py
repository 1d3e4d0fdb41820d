"""The news of quotas: one message to the topic, as text for people and as a notification for chat channels.

SNS can send another text to each protocol (`MessageStructure`). Amazon Q Developer in chat applications shows only
AWS's own events and custom notifications (its Administrator Guide, "Custom notifications", read 2026-11-29). Public
templates subscribe it with `https`. AWS does not document the protocol. All other protocols get the plain text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from mypy_boto3_sns.type_defs import PublishInputTypeDef

MAX_TEXT_BYTES = 200_000
"""Most bytes of the plain text as JSON. SNS accepts 262,144 bytes for the texts of all protocols together (API
reference of Publish, read 2026-11-29)."""

MAX_DESCRIPTION_BYTES = 2_500
"""Most bytes of a notification's description as JSON. Slack accepts 3,000 characters per section of a message (Block
Kit reference, as client libraries quote it, read 2026-11-29)."""

MAX_LINE_CHARACTERS = 1_000
"""Longest line. A notice has some 150 characters."""

REST = "and {number:,} more. The log of the quota fetcher has all of them."
"""Last line if not all of them fit."""

NEXT_STEP = "Run `quota-monitor doctor` to see what to do."


def make_message(topic_arn: str, notices: Sequence[str]) -> PublishInputTypeDef:
    """Return the parameters of SNS's Publish for these notices."""
    subject = f"Bedrock quotas: {len(notices)} change{'s' if len(notices) > 1 else ''}"
    texts = {
        "default": "\n".join(_fit_lines(notices, MAX_TEXT_BYTES)),
        "https": _encode(_make_notification(topic_arn, subject, notices)),
    }
    return {"TopicArn": topic_arn, "Subject": subject, "Message": _encode(texts), "MessageStructure": "json"}


def _make_notification(topic_arn: str, subject: str, notices: Sequence[str]) -> dict[str, Any]:
    """Return a custom notification. A channel may show several stacks, so its title has the Region and account."""
    region, account = topic_arn.split(":")[3:5]
    return {
        "version": "1.0",
        "source": "custom",
        "content": {
            "textType": "client-markdown",
            "title": f"{subject} | {region} | Account: {account}",
            "description": "\n".join(_fit_lines([f"- {each}" for each in notices], MAX_DESCRIPTION_BYTES)),
            "nextSteps": [NEXT_STEP],
        },
    }


def _fit_lines(lines: Sequence[str], most_bytes: int) -> list[str]:
    """Return the first lines that fit as JSON, and a last line with the number of the others if there are any."""
    left, kept = most_bytes - len(_encode(REST.format(number=len(lines)))), list[str]()
    for line in lines:
        short = line if len(line) <= MAX_LINE_CHARACTERS else f"{line[: MAX_LINE_CHARACTERS - 1]}…"
        left -= len(_encode(short).encode())
        if left < 0:
            return [*kept, REST.format(number=len(lines) - len(kept))]
        kept.append(short)
    return kept


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()
