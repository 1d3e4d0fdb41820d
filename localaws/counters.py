"""What the sidecar has done since it started, as it tells everyone who asks."""

import msgspec


class Rejection(msgspec.Struct):
    """How often CloudWatch would have dropped a line for one reason, and the latest offender."""

    count: int = 0
    example: str = ""


class Counters(msgspec.Struct):
    """Counts since the start; `invocations` are finished runs by the log group they logged to."""

    events: int = 0
    metric_lines: int = 0
    data: int = 0
    rejected: dict[str, Rejection] = {}
    refused: dict[str, Rejection] = {}
    invocations: dict[str, int] = {}
    unreachable: str = ""

    def reject(self, reason: str, detail: str) -> None:
        """Count a line that is no metric, though it looks like one."""
        _count(self.rejected, reason, detail)

    def refuse(self, reason: str, detail: str) -> None:
        """Count a PutMetricData request that the emulator did not take."""
        _count(self.refused, reason, detail)

    def invocation(self, group: str) -> None:
        """Count a finished run of a function that logs to `group`."""
        self.invocations[group] = self.invocations.get(group, 0) + 1


def _count(rejections: dict[str, Rejection], reason: str, detail: str) -> None:
    rejection = rejections.setdefault(reason, Rejection())
    rejection.count += 1
    rejection.example = detail
