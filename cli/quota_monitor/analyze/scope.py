"""The scope of an analysis: a window of time, and the models and callers to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec

from bedrock_quota.analysis.usage import PoolUsage
from bedrock_quota.processor.usage import CallGroup, FailedCall
from quota_monitor.window import Window

NO_LABEL = "–"
"""Label of calls that have no session, profile, tag or project."""


class Dimension(StrEnum):
    """The property of calls by which usage is added up."""

    CALLER = "caller"
    SESSION = "session"
    PROFILE = "profile"
    OPERATION = "operation"
    PROJECT = "project"
    TAG = "tag"


ALL_TIME = Window(0, 2**53)


def bound_window(window: Window, usages: Iterable[PoolUsage]) -> Window:
    """Return a window, or the minutes with calls if it has no start or no end."""
    if window.start != ALL_TIME.start and window.end != ALL_TIME.end:
        return window
    minutes = [minute.minute for usage in usages for minute in usage.minutes]
    return Window(min(minutes), max(minutes) + 60) if minutes else Window(0, 0)


class Scope(msgspec.Struct, frozen=True):
    """The calls to look at. `model` and `caller` are parts of a model id and of a caller's name, "" for all.

    Only callers with `caller` in their name are listed. The verdict is on all calls of their pools.

    Usage is added up by `dimension`. `tag` is the key of `requestMetadata` if that is `tag`. `tags_of_callers` has its
    value for callers whose calls send none.
    """

    window: Window = ALL_TIME
    model: str = ""
    caller: str = ""
    dimension: Dimension = Dimension.CALLER
    tag: str = ""
    tags_of_callers: Mapping[str, str] = {}

    @property
    def metadata_keys(self) -> tuple[str, ...]:
        """Return the keys of `requestMetadata` that are needed."""
        return (self.tag,) if self.dimension is Dimension.TAG else ()

    def includes(self, call: CallGroup | FailedCall) -> bool:
        """Return True for a call in scope, apart from its time. All callers of a pool share its quota, so all count."""
        return not self.model or (call.pool is not None and self.model in call.pool.model_id)

    def label(self, call: CallGroup | FailedCall) -> str:
        """Return the label under which a call is added up."""
        return self.choose_label(_LABELS[self.dimension](call), call.caller)

    def choose_label(self, found: str, caller: str) -> str:
        """Return the label that was found in the log. Without one, it is the tag of the caller if that has one."""
        if not found and self.dimension is Dimension.TAG:
            found = self.tags_of_callers.get(caller, "")
        return found or NO_LABEL


def describe_absent_tag(scope: Scope) -> str:
    """Return the beginning of a note on a tag that no listed call has."""
    of_callers = f" of callers with {scope.caller} in their name" if scope.caller else ""
    return f"No call{of_callers} in this window has the tag {scope.tag}"


def is_tag_absent(scope: Scope, listing: Sequence[PoolUsage]) -> bool:
    """Return True if usage is listed by a tag that no answered call has."""
    if scope.dimension is not Dimension.TAG:
        return False
    labels = {caller.caller for usage in listing for caller in usage.callers if caller.requests}
    return labels == {NO_LABEL}


_LABELS: dict[Dimension, Callable[[CallGroup | FailedCall], str]] = {
    Dimension.CALLER: lambda call: call.caller,
    Dimension.SESSION: lambda call: f"{call.caller} {call.session}".strip(),
    Dimension.PROFILE: lambda call: call.application_profile,
    Dimension.OPERATION: lambda call: call.operation,
    Dimension.PROJECT: lambda call: call.project,
    Dimension.TAG: lambda call: next((value for _, value in call.request_metadata), ""),
}
