"""The caller behind `identity.arn`: a role or user, and the session of a role."""

import functools
import re

UNKNOWN_CALLER = "unknown"

MAX_LABEL = 256
"""Longest caller, session, project, tag value or operation on a metric line."""

MAX_REMEMBERED_ARN = 512
"""Longest ARN that one container remembers. A role's session has up to 170 characters, an application profile 256."""


_CONTROL_CHARACTERS = dict.fromkeys((*range(32), 127), "?")


_PROJECT_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def safe_label(text: str) -> str:
    """Return a text that is safe as a property: printable ASCII, at most `MAX_LABEL` characters.

    `?` replaces any other character, and three dots replace a cut end.
    """
    if len(text) > MAX_LABEL:
        text = text[: MAX_LABEL - 3] + "..."
    if text.isascii() and text.isprintable():
        return text
    # a microsecond per label, because a record may have 16 of them in any script
    return text.encode("ascii", "replace").decode("ascii").translate(_CONTROL_CHARACTERS)


def parse_caller(arn: str | None) -> str:
    """Return the caller's name from its ARN.

    `…:assumed-role/Role/session` → `Role`, `…:user/path/name` → `name`, `…:root` → `root`,
    `…:federated-user/name` → `name`, anything else → `unknown`.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html (read 2026-11-23).
    """
    text = arn or ""
    return _parse_name(text) if len(text) <= MAX_REMEMBERED_ARN else _parse_name.__wrapped__(text)


@functools.lru_cache(maxsize=1024)
def _parse_name(arn: str) -> str:
    resource = arn.split(":", 5)[-1]
    kind, _, rest = resource.partition("/")
    name = "root" if resource == "root" else ""
    if kind == "assumed-role":
        name = rest.partition("/")[0]
    elif kind in {"user", "role", "federated-user"}:
        name = rest.rpartition("/")[2]
    return safe_label(name) or UNKNOWN_CALLER


def parse_session(arn: str | None) -> str:
    """Return the session of an assumed role, "" for any other caller.

    `…:assumed-role/Role/session` → `session`. IAM Identity Center names it after the user.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html (read 2026-11-23).
    """
    kind, _, rest = (arn or "").split(":", 5)[-1].partition("/")
    return safe_label(rest.partition("/")[2]) if kind == "assumed-role" else ""


def parse_project(identifier: str) -> str:
    """Return the ID of a project from its ID or its ARN, `…:project/proj_1` → `proj_1`, so that both are one project.

    `ProjectIdentifier` of bedrock-runtime and `ProjectArn` of bedrock (botocore 1.44.8, read 2026-11-28). A text that
    cannot be an ID becomes `other`, because it may be of a prompt.
    """
    name = identifier.rpartition(":project/")[2]
    return name if not name or _PROJECT_ID.fullmatch(name) else "other"
