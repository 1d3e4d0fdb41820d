"""A custom resource: what CloudFormation asks of a function, and the answer it waits for.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html (read 2026-11-23).
Imports the standard library alone: an answer can be given where nothing else can be imported.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bedrock_quota.errors import QuotaMonitorError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

_logger = logging.getLogger(__name__)

NOTHING_DONE = "nothing-done"
"""Physical id of what could not begin to be made: CloudFormation deletes it by this, and there is nothing to do."""

MAX_REASON = 1000
"""CloudFormation takes answers of up to 4,096 bytes in all."""

DELETING_STATUSES = frozenset({"DELETE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"})
"""A stack that is deleted, or whose creation has failed; all other statuses are of stacks that stay."""

UPDATE_ROLLBACK = "UPDATE_ROLLBACK_IN_PROGRESS"

_ANSWER_ATTEMPTS = 3

Act = Callable[[Mapping[str, Any]], Mapping[str, str]]
"""Carries out one request (`RequestType` is Create, Update or Delete) and returns the resource's attributes."""


class NothingDoneError(QuotaMonitorError):
    """A creation has failed before it changed anything; the message says why."""


_not_imported: list[ImportError] = []


@contextlib.contextmanager
def report_import_failure() -> Iterator[None]:
    """Around a function's imports: one that fails becomes the answer, and not a function that never answers.

    It does where the layers' wheels are for another processor than the function's.
    """
    try:
        yield
    except ImportError as error:
        _logger.exception("not imported")
        _not_imported.append(error)


def _check_imports(request_type: str) -> None:
    if not _not_imported:
        return
    reason = (
        f"{_not_imported[0]}. Are the layers built for the processor that the parameter Architecture names? "
        "They are for arm64, unless `sam build` was told LAMBDA_PLATFORM=x86_64."
    )
    raise NothingDoneError(reason) if request_type == "Create" else QuotaMonitorError(reason)


def is_request(event: Mapping[str, Any]) -> bool:
    """Whether an event comes from CloudFormation."""
    return "RequestType" in event and "ResponseURL" in event


def stack_name(event: Mapping[str, Any]) -> str:
    """Return the name of the stack that asks: its id is `arn:...:stack/NAME/UUID`."""
    return str(event["StackId"]).split("/")[1]


def stack_status(event: Mapping[str, Any], client: CloudFormationClient) -> str:
    """Return the status of the stack that asks. Raises what botocore raises."""
    (stack,) = client.describe_stacks(StackName=event["StackId"])["Stacks"]
    return stack["StackStatus"]


def is_stack_deleting(event: Mapping[str, Any], client: CloudFormationClient) -> bool:
    """Whether the stack that asks is itself being removed.

    An update sends `Delete`, too, for what it has replaced or what its template no longer holds, and so does the
    rollback of one; what the stack has set up, and what it keeps, must outlive that. Raises what botocore raises.
    """
    return stack_status(event, client) in DELETING_STATUSES


def handle_request(event: Mapping[str, Any], physical_id: str, act: Act) -> None:
    """Carry out a request and answer it: with the attributes, or with FAILED and the reason if `act` raises.

    CloudFormation waits an hour for an answer that does not come, so every failure is answered. A creation that
    raises `NothingDoneError` is answered with an id of its own, whose deletion, which follows, has nothing to do and
    succeeds: what kept the creation from asking AWS would keep the deletion from it, too. Raises if the answer itself
    cannot be delivered, three times in a row.
    """
    nothing_done = event.get("PhysicalResourceId") == NOTHING_DONE
    answer: dict[str, Any] = {
        "PhysicalResourceId": event.get("PhysicalResourceId", physical_id),
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }
    try:
        if not nothing_done:
            _check_imports(event["RequestType"])
        answer |= {"Status": "SUCCESS", "Data": {} if nothing_done else act(event)}
    except NothingDoneError as error:
        _logger.exception("custom resource not begun", extra={"request_type": event["RequestType"]})
        answer |= {"Status": "FAILED", "Reason": str(error)[:MAX_REASON], "PhysicalResourceId": NOTHING_DONE}
    except Exception as error:
        _logger.exception("custom resource failed", extra={"request_type": event["RequestType"]})
        answer |= {"Status": "FAILED", "Reason": f"{type(error).__name__}: {error}"[:MAX_REASON]}
    request = urllib.request.Request(  # noqa: S310 - the URL is CloudFormation's own
        event["ResponseURL"],
        data=json.dumps(answer, ensure_ascii=False).encode(errors="replace"),
        method="PUT",
        headers={"Content-Type": ""},
    )
    _deliver(request)


def _deliver(request: urllib.request.Request) -> None:
    for attempt in range(1, _ANSWER_ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(request, timeout=10):  # noqa: S310
                return
        except urllib.error.HTTPError as error:  # S3 has answered: only its own errors pass
            if attempt == _ANSWER_ATTEMPTS or error.code < 500:
                raise
            error.close()
        except OSError:
            if attempt == _ANSWER_ATTEMPTS:
                raise
        time.sleep(attempt)
