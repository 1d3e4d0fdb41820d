"""AWS's refusals: which of them waiting may mend, and a sentence that says what to do about each other."""

import contextlib
import re
from collections.abc import Iterator

from botocore.exceptions import ClientError

from bedrock_quota.errors import QuotaMonitorError

_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})

_BY_POLICY = re.compile(r"(service control|resource control|permissions boundar)", re.IGNORECASE)
"""Policies above the stack's own: the refusal names their kind, be it an explicit deny or that none of them allows it.

IAM User Guide, Troubleshoot access denied error messages (read 2026-11-24).
"""

_ACTION = re.compile(r"not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)")


class AccessRefusedError(QuotaMonitorError):
    """AWS does not allow what is to be done; the message says who can change that."""


def is_denied(error: ClientError) -> bool:
    """Whether a permission is missing, says AWS."""
    return error.response["Error"].get("Code") in _DENIED


def is_propagation_delay(error: ClientError) -> bool:
    """Whether this may only mean that a new role or policy is not known yet.

    Bedrock tries the role that it is given at once, and answers `ValidationException` with "Failed to validate
    permissions" while it cannot use it.
    """
    refused = error.response["Error"]
    if refused.get("Code") == "ValidationException":
        return "permission" in refused.get("Message", "").lower()
    return is_denied(error) and not _forbidden(error)


def _forbidden(error: ClientError) -> bool:
    message = error.response["Error"].get("Message", "")
    return "explicit deny" in message or _BY_POLICY.search(message) is not None


@contextlib.contextmanager
def translate_access_errors() -> Iterator[None]:
    """Raise refusals as `RefusedError`, with the sentence that tells what to do; let everything else pass."""
    try:
        yield
    except ClientError as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        raise AccessRefusedError(sentence) from error


def _sentence(error: ClientError) -> str | None:
    message = error.response["Error"].get("Message", "")
    named = _ACTION.search(message)
    action = named[1] if named else error.operation_name
    if is_denied(error) and _forbidden(error):
        above = _BY_POLICY.search(message)
        kind = {"service control": "a service control policy", "resource control": "a resource control policy"}
        policy = kind.get(above[1].lower(), "a permissions boundary") if above else "an explicit deny"
        return (
            f"{action} is forbidden by {policy}: ask whoever keeps your organisation's policies to allow it to the "
            "stack's LoggingSetupRole, or to set Bedrock's invocation logging up for you (Bedrock console, Settings, "
            "Model invocation logging, to CloudWatch Logs); then deploy again, with InvocationLogging=adopt-only "
            f"if it is theirs to change. AWS says: {message}"
        )
    if is_denied(error):
        return f"{action} is not allowed to the stack's LoggingSetupRole. AWS says: {message}"
    if is_propagation_delay(error):
        return (
            "Bedrock may not write where it should: does the log group, or the bucket for large bodies, have a KMS key "
            "or a policy that keeps the stack's InvocationLoggingRole or bedrock.amazonaws.com out? "
            f"Let them in and deploy again. AWS says: {message}"
        )
    return None
