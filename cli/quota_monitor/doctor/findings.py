"""Findings: the result of each check, with what to do about it."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import wraps

import msgspec

from quota_monitor.doctor.observed import Observed, Unread


class Status(StrEnum):
    """Severity of a finding. A `problem` makes numbers wrong or missing, or disables alarms."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(msgspec.Struct, frozen=True):
    """Result of one check: where, what was found and, unless it is ok, what to do."""

    status: Status
    where: str
    what: str
    do: str = ""


Findings = Iterator[Finding]
Check = Callable[[Observed], Findings]


def ok(what: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding(Status.OK, "", what)


def warning(what: str, do: str) -> Finding:
    """Return a warning and what to do about it."""
    return Finding(Status.WARNING, "", what, do)


def problem(what: str, do: str) -> Finding:
    """Return a problem and what to do about it."""
    return Finding(Status.PROBLEM, "", what, do)


def could_not_check(unread: Unread) -> Finding:
    """Return the warning for something that could not be read."""
    return warning(
        f"Could not check: {unread.reason}", "Run the doctor again with credentials that allow it (--profile)."
    )


def check(
    where: str, *, needs: tuple[str, ...], uses: tuple[str, ...] = ()
) -> Callable[[Callable[..., Findings]], Check]:
    """Turn a function into a check. It gets the named fields of `Observed`, if all that it `needs` could be read.

    Those that it only `uses` come after them, and may be `Unread`.

    Add the check to `CHECKS` in `doctor/checks/__init__.py`. The doctor runs only those.
    """

    def decorate(judge: Callable[..., Findings]) -> Check:
        @wraps(judge)
        def run(observed: Observed) -> Findings:
            values = [getattr(observed, need) for need in needs]
            used = [getattr(observed, name) for name in uses]
            unread = next((value for value in values if isinstance(value, Unread)), None)
            for finding in judge(*values, *used) if unread is None else (could_not_check(unread),):
                yield msgspec.structs.replace(finding, where=where)

        return run

    return decorate
