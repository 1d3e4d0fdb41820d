"""A custom resource: what CloudFormation asks of a function, and the answer it waits for.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html (read 2026-11-23).
"""

import logging
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

_logger = logging.getLogger(__name__)

MAX_REASON = 1000
"""CloudFormation takes answers of up to 4,096 bytes in all."""

Act = Callable[[Mapping[str, Any]], Mapping[str, str]]
"""Carries out one request (`RequestType` is Create, Update or Delete) and returns the resource's attributes."""


def is_request(event: Mapping[str, Any]) -> bool:
    """Whether an event comes from CloudFormation."""
    return "RequestType" in event and "ResponseURL" in event


def serve(event: Mapping[str, Any], physical_id: str, act: Act) -> None:
    """Carry out a request and answer it: with the attributes, or with FAILED and the reason if `act` raises.

    CloudFormation waits an hour for an answer that does not come, so every failure is answered. Raises if the
    answer itself cannot be delivered, so that Lambda tries again.
    """
    answer: dict[str, Any] = {
        "PhysicalResourceId": event.get("PhysicalResourceId", physical_id),
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }
    try:
        answer |= {"Status": "SUCCESS", "Data": act(event)}
    except Exception as error:
        _logger.exception("custom resource failed", extra={"request_type": event["RequestType"]})
        answer |= {"Status": "FAILED", "Reason": f"{type(error).__name__}: {error}"[:MAX_REASON]}
    request = urllib.request.Request(  # noqa: S310 - the URL is CloudFormation's own
        event["ResponseURL"], data=msgspec.json.encode(answer), method="PUT", headers={"Content-Type": ""}
    )
    with urllib.request.urlopen(request, timeout=10):  # noqa: S310
        pass
