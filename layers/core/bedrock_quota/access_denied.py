"""Denied AWS calls: retries while a new permission propagates, and a sentence with the next step for all others.

"Changes that I make are not always immediately visible" (IAM User Guide, Troubleshoot IAM, read 2026-11-24).
"""

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from botocore.exceptions import ClientError

from bedrock_quota.errors import QuotaMonitorError

Answer = TypeVar("Answer")
Sleep = Callable[[float], None]

PROPAGATION_SECONDS = 90
"""Longest time that a new role or policy may need to propagate."""

RETRY_SECONDS = 5

_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"})
"""Error codes of a missing permission. `AuthorizationError` is from SNS (API reference, Publish, read 2026-11-28)."""

_POLICY_KIND = re.compile(r"(service control|resource control|permissions boundar)", re.IGNORECASE)
"""Matches a policy that overrules the stack's own. The error message names its kind, for an explicit deny and for a
missing allow.

IAM User Guide, Troubleshoot access denied error messages (read 2026-11-24).
"""

_ACTION = re.compile(r"not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)")

_FAILED_TRIAL = re.compile(r"permission|access|bucket", re.IGNORECASE)
"""Matches the message of a `ValidationException` with which Bedrock reports that its trial write failed.

Seen for a log group: "Failed to validate permissions for log group: …, with role: …. Verify the IAM role permissions
are correct" (alphagov/govuk-infrastructure, pull request 2440, read 2026-11-28). The words for a bucket are not
published.
"""

_SERVICES_OF_BODIES = ("s3:", "kms:")
"""Beginnings of the actions that Bedrock may ask of whoever names a bucket for large bodies."""


class AccessRefusedError(QuotaMonitorError):
    """AWS denies a call. The message says who can change that."""


def retry_while_denied(
    call: Callable[[], Answer], sleep: Sleep = time.sleep, waits: Iterator[float] | None = None
) -> Answer:
    """Retry a call while a permission is missing, for at most `PROPAGATION_SECONDS`.

    Calls that share an iterator of `make_waits` also share that time. Propagates botocore errors: the last denial, a
    denial that is permanent, or any other error.
    """
    waits = make_waits() if waits is None else waits
    while True:
        try:
            return call()
        except ClientError as error:
            seconds = next(waits, None) if is_propagation_delay(error) else None
            if seconds is None:
                raise
        sleep(seconds)


def make_waits() -> Iterator[float]:
    """Return the waits between attempts, in seconds, which add up to `PROPAGATION_SECONDS`."""
    return iter((float(RETRY_SECONDS),) * (PROPAGATION_SECONDS // RETRY_SECONDS))


def is_denied(error: ClientError) -> bool:
    """Return True if AWS denied a call because a permission is missing."""
    return error.response["Error"].get("Code") in _DENIED


def is_propagation_delay(error: ClientError) -> bool:
    """Return True if the only reason may be that a new role or policy has not propagated yet.

    Bedrock tries a new role at once. While it cannot use the role, it returns `ValidationException` with "Failed to
    validate permissions".
    """
    return _is_failed_trial(error) or (is_denied(error) and not _is_forbidden(error))


def may_concern_large_bodies(error: ClientError) -> bool:
    """Return True if a configuration may have been refused because of its bucket for large bodies."""
    named = _ACTION.search(error.response["Error"].get("Message", ""))
    denied = is_denied(error) and named is not None and named[1].startswith(_SERVICES_OF_BODIES)
    return denied or _is_failed_trial(error)


def _is_failed_trial(error: ClientError) -> bool:
    details = error.response["Error"]
    return details.get("Code") == "ValidationException" and bool(_FAILED_TRIAL.search(details.get("Message", "")))


def _is_forbidden(error: ClientError) -> bool:
    message = error.response["Error"].get("Message", "")
    return "explicit deny" in message or _POLICY_KIND.search(message) is not None


@contextlib.contextmanager
def translate_access_errors() -> Iterator[None]:
    """Raise denied calls as `AccessRefusedError`, with the next step. Other errors pass unchanged."""
    try:
        yield
    except ClientError as error:
        sentence = _explain(error)
        if sentence is None:
            raise
        raise AccessRefusedError(sentence) from error


def _explain(error: ClientError) -> str | None:
    message = error.response["Error"].get("Message", "")
    named = _ACTION.search(message)
    action = named[1] if named else error.operation_name
    if is_denied(error) and _is_forbidden(error):
        above = _POLICY_KIND.search(message)
        kind = {"service control": "a service control policy", "resource control": "a resource control policy"}
        policy = kind.get(above[1].lower(), "a permissions boundary") if above else "an explicit deny"
        return (
            f"{action} is forbidden by {policy}. Ask the owner of your organization's policies to allow it for the "
            "stack's LoggingSetupRole. Or ask them to enable invocation logging (Bedrock console, Settings, Model "
            "invocation logging, to CloudWatch Logs). Then deploy again, with InvocationLogging=adopt-only if they "
            f"manage the logging. AWS returned: {message}"
        )
    if is_denied(error):
        return f"the stack's LoggingSetupRole is not allowed to call {action}. AWS returned: {message}"
    if is_propagation_delay(error):
        return (
            "Bedrock is not allowed to write its invocation logs. Check the KMS key and the policy of the log group "
            "and of the bucket for large bodies. They must allow the stack's InvocationLoggingRole and "
            f"bedrock.amazonaws.com. Then deploy again. AWS returned: {message}"
        )
    return None
