"""Denied AWS calls: the temporary ones, and a sentence with the next step for each of the others."""

import contextlib
import re
from collections.abc import Iterator

from botocore.exceptions import ClientError

from bedrock_quota.errors import QuotaMonitorError

_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})

_POLICY_KIND = re.compile(r"(service control|resource control|permissions boundar)", re.IGNORECASE)
"""Matches a policy that overrules the stack's own. The error message names its kind, for an explicit deny and for a
missing allow.

IAM User Guide, Troubleshoot access denied error messages (read 2026-11-24).
"""

_ACTION = re.compile(r"not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)")


class AccessRefusedError(QuotaMonitorError):
    """AWS denies a call. The message says who can change that."""


def is_denied(error: ClientError) -> bool:
    """Return True if AWS denied a call because a permission is missing."""
    return error.response["Error"].get("Code") in _DENIED


def is_propagation_delay(error: ClientError) -> bool:
    """Return True if the only reason may be that a new role or policy has not propagated yet.

    Bedrock tries a new role at once. While it cannot use the role, it returns `ValidationException` with "Failed to
    validate permissions".
    """
    details = error.response["Error"]
    if details.get("Code") == "ValidationException":
        return "permission" in details.get("Message", "").lower()
    return is_denied(error) and not _is_forbidden(error)


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
