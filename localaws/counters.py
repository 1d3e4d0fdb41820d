"""Counts of the sidecar's work since it started. `quota-monitor local status` shows them."""

import msgspec


class Rejection(msgspec.Struct):
    """Metric lines or PutMetricData requests with the same error: their number, and the latest example."""

    count: int = 0
    example: str = ""


class Counters(msgspec.Struct):
    """Counts since the start. `invocations` has the number of finished runs per log group."""

    events: int = 0
    metric_lines: int = 0
    data: int = 0
    rejected: dict[str, Rejection] = {}
    refused: dict[str, Rejection] = {}
    invocations: dict[str, int] = {}
    unreachable: str = ""

    def reject(self, reason: str, detail: str) -> None:
        """Count a line that looks like a metric but is invalid."""
        _count(self.rejected, reason, detail)

    def refuse(self, reason: str, detail: str) -> None:
        """Count a PutMetricData request that the emulator refused."""
        _count(self.refused, reason, detail)

    def invocation(self, group: str) -> None:
        """Count a finished run of the function that logs to `group`."""
        self.invocations[group] = self.invocations.get(group, 0) + 1


def _count(rejections: dict[str, Rejection], reason: str, detail: str) -> None:
    rejection = rejections.setdefault(reason, Rejection())
    rejection.count += 1
    rejection.example = detail
