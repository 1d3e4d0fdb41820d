"""A custom resource: the request that CloudFormation sends to a function, and the response that it waits for.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html (read 2026-11-23).
This module imports only the standard library, so a function can respond even if no other import works.
"""

from __future__ import annotations

import bisect
import contextlib
import hashlib
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
"""Physical id of a resource whose creation failed before any change. Deleting it does nothing."""

MAX_RESPONSE_BYTES = 4096
"""CloudFormation accepts no longer response (custom resource reference, read 2026-11-28)."""

DELETING_STATUSES = frozenset({"DELETE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"})
"""Statuses of a stack that is being deleted or whose creation failed. With any other status the stack stays."""

UPDATE_ROLLBACK = "UPDATE_ROLLBACK_IN_PROGRESS"

_WAITING_STATUSES = {
    "Create": frozenset({"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"}),
    "Update": frozenset({"UPDATE_IN_PROGRESS", UPDATE_ROLLBACK}),
}
"""Statuses of a stack that waits for a creation or an update of a resource.

In all others it waits for nothing, only deletes, or only imports (CloudFormation User Guide, Understand stack creation
events, and API reference, Stack, read 2026-11-28). A clean-up after an update only deletes.
"""

NO_RESPONSE = (
    "Lambda did not run the function within 15 minutes, most likely because other functions used all concurrent "
    "executions of the account (10 in a new account). Deploy again while fewer functions run, or request an increase "
    "of the quota Concurrent executions of AWS Lambda"
)
"""Meaning of "CloudFormation did not receive a response from your Custom Resource", and the next step.

Lambda keeps an event for the template's `MaximumEventAgeInSeconds` and tries again, with up to 5 minutes between two
attempts (Lambda Developer Guide, How Lambda handles errors and retries with asynchronous invocation, read 2026-11-28).
If a function runs, it responds, also if its imports fail."""

_ANSWER_ATTEMPTS = 3

_EXPIRED = 403
"""Status with which S3 refuses a presigned URL that has expired (S3 User Guide, presigned URLs, read 2026-11-28)."""

Act = Callable[[Mapping[str, Any]], Mapping[str, str]]
"""Function that carries out one request (`RequestType` is Create, Update or Delete) and returns attributes."""


class NothingDoneError(QuotaMonitorError):
    """A creation failed before it changed anything. The message says why."""


_not_imported: list[ImportError] = []


@contextlib.contextmanager
def report_import_failure() -> Iterator[None]:
    """Catch an import error, so that the function responds with it. Without this, it would never respond.

    Imports fail if the layers' wheels are for another processor than the function's.
    """
    try:
        yield
    except ImportError as error:
        _logger.exception("import failed")
        _not_imported.append(error)


def _check_imports(request_type: str) -> None:
    if not _not_imported:
        return
    reason = (
        f"{_not_imported[0]}. Check that the layers are built for the processor that the parameter Architecture names. "
        "`sam build` builds them for arm64, unless LAMBDA_PLATFORM=x86_64 is set."
    )
    raise NothingDoneError(reason) if request_type == "Create" else QuotaMonitorError(reason)


def is_request(event: Mapping[str, Any]) -> bool:
    """Return True if an event comes from CloudFormation."""
    return "RequestType" in event and "ResponseURL" in event


def stack_name(event: Mapping[str, Any]) -> str:
    """Return the name of the stack that sent the request. Its id is `arn:...:stack/NAME/UUID`."""
    return str(event["StackId"]).split("/")[1]


def stack_status(event: Mapping[str, Any], client: CloudFormationClient) -> str:
    """Return the status of the stack that sent the request. Propagates botocore errors."""
    (stack,) = client.describe_stacks(StackName=event["StackId"])["Stacks"]
    return stack["StackStatus"]


def stack_tags(event: Mapping[str, Any], client: CloudFormationClient) -> dict[str, str]:
    """Return the tags of the stack that sent the request, for resources that CloudFormation does not create.

    Tags that begin with `aws:` are left out, because only AWS sets them (CloudFormation User Guide, Resource tag, read
    2026-11-28). Propagates botocore errors.
    """
    (stack,) = client.describe_stacks(StackName=event["StackId"])["Stacks"]
    tags = {each["Key"]: each["Value"] for each in stack.get("Tags", [])}
    return {key: value for key, value in tags.items() if not key.lower().startswith("aws:")}


def is_stack_deleting(event: Mapping[str, Any], client: CloudFormationClient) -> bool:
    """Return True if the stack that sent the request is itself being deleted.

    An update, or its rollback, also sends `Delete` for resources that it has replaced or removed. The stack's settings
    and data must survive that. Propagates botocore errors.
    """
    return stack_status(event, client) in DELETING_STATUSES


def is_too_late(event: Mapping[str, Any], status: str) -> bool:
    """Return True if a stack with this status cannot be waiting for this creation or update.

    Lambda delivers an event late if the account has no concurrency left, and sometimes twice. CloudFormation may have
    stopped waiting, or completed, undone or deleted the stack. Only a rollback of an update sends an update of its own.
    """
    return status not in _WAITING_STATUSES[event["RequestType"]]


def digest_properties(properties: Mapping[str, Any]) -> str:
    """Return a digest of a resource's properties, the same for the same values."""
    return hashlib.sha256(json.dumps(properties, sort_keys=True).encode()).hexdigest()


def handle_request(event: Mapping[str, Any], physical_id: str, act: Act) -> None:
    """Carry out a request and respond: with the attributes, or with FAILED and the reason if `act` raises.

    Without a response, CloudFormation waits until the `ServiceTimeout` of the template. So every failure gets one. A
    creation that raises `NothingDoneError` gets its own id. CloudFormation then deletes that id, which does nothing and
    succeeds. A real deletion would fail for the same reason as the creation. Raises if the response cannot be
    delivered, three times in a row. If its URL has expired, nobody waits for the response, so that is only logged.
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
        answer |= {"Status": "SUCCESS", "Data": {} if nothing_done else dict(act(event))}
    except NothingDoneError as error:
        _logger.exception("custom resource failed before any change", extra={"request_type": event["RequestType"]})
        answer |= {"Status": "FAILED", "Reason": str(error), "PhysicalResourceId": NOTHING_DONE}
    except Exception as error:
        _logger.exception("custom resource failed", extra={"request_type": event["RequestType"]})
        answer |= {"Status": "FAILED", "Reason": f"{type(error).__name__}: {error}"}
    request = urllib.request.Request(  # noqa: S310 - the URL is CloudFormation's own
        event["ResponseURL"],
        data=_encode_response(answer),
        method="PUT",
        headers={"Content-Type": ""},
    )
    _deliver(request)


def _encode_response(answer: dict[str, Any]) -> bytes:
    """Return a response as JSON of at most `MAX_RESPONSE_BYTES`: its texts are cut, the longest first."""
    texts: list[tuple[dict[str, Any], str]] = [(answer, "Reason")] if "Reason" in answer else []
    texts += [(answer["Data"], name) for name in answer.get("Data", ())]
    for owner, name in sorted(texts, key=lambda text: len(_encode(text[0][text[1]])), reverse=True):
        excess = len(_encode(answer)) - MAX_RESPONSE_BYTES
        if excess <= 0:
            break
        text = owner[name]
        room = len(_encode(text)) - excess
        kept = bisect.bisect_right(range(len(text) + 1), room, key=lambda length: len(_encode(text[:length]))) - 1
        owner[name] = text[: max(kept, 0)]
    return _encode(answer)


def _encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="replace")


def _deliver(request: urllib.request.Request) -> None:
    for attempt in range(1, _ANSWER_ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(request, timeout=10):  # noqa: S310
                return
        except urllib.error.HTTPError as error:  # S3 has responded: only its own errors (5xx) are temporary
            if error.code == _EXPIRED:
                error.close()
                _logger.warning("CloudFormation no longer accepts the response: its URL has expired")
                return
            if attempt == _ANSWER_ATTEMPTS or error.code < 500:
                raise
            error.close()
        except OSError:
            if attempt == _ANSWER_ATTEMPTS:
                raise
        time.sleep(attempt)
