"""Throttled calls whose log has no label, although other calls of their caller have one.

AWS does not document which fields the record of a throttled call has (Bedrock User Guide, Monitor model invocation,
read 2026-11-29). Metric lines of older versions of the stack name only the caller of failed calls. So a label without
throttled calls may have some, and nobody can tell.
"""

from __future__ import annotations

from collections import Counter

from quota_monitor.analyze.scope import NO_LABEL

MAX_CALLERS = 20_000
"""Callers that are remembered."""


class Unlabelled:
    """Counts throttled calls without a label by caller, and remembers callers whose answered calls have one."""

    def __init__(self) -> None:
        self._labelled: set[str] = set()
        self._throttled: Counter[str] = Counter()

    def add_answered(self, caller: str, label: str) -> None:
        """Remember a caller whose answered calls have a label."""
        if label != NO_LABEL and len(self._labelled) < MAX_CALLERS:
            self._labelled.add(caller)

    def add_throttled(self, caller: str, label: str, calls: int) -> None:
        """Count throttled calls, if they have no label."""
        if label == NO_LABEL and (caller in self._throttled or len(self._throttled) < MAX_CALLERS):
            self._throttled[caller] += calls

    def count(self) -> int:
        """Return the throttled calls that may belong to a label."""
        return sum(calls for caller, calls in self._throttled.items() if caller in self._labelled)
