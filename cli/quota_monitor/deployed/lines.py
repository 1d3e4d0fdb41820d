"""Usage from the processor's metric lines. Each has the single values of its calls, so nothing is averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from bedrock_quota.analysis.tally import UsageTally
from bedrock_quota.analysis.usage import THROTTLED
from bedrock_quota.pools import EndpointType, QuotaPool
from quota_monitor.analyze.scope import Dimension, Scope
from quota_monitor.analyze.unlabelled import Unlabelled
from quota_monitor.progress import Progress
from quota_monitor.window import Window

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

LATE_SECONDS = 14 * 24 * 3600
"""Lines are written when a record is processed: seconds after its call, or up to 14 days after it if its delivery was
replayed, or if it was older than the stack and was published later."""


class LineCall(msgspec.Struct, frozen=True, gc=False):
    """One call of a metric line."""

    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    max_tokens: int | None
    consumed_tokens: float
    truncated: bool


class MetricLine(msgspec.Struct, frozen=True):
    """A metric line of the processor, as far as it is read. A line of failed calls has an `error_code`."""

    model_id: str = msgspec.field(name="ModelId")
    endpoint_type: EndpointType = msgspec.field(name="EndpointType")
    caller: str
    operation: str = ""
    session: str = ""
    application_profile: str = ""
    project_identifier: str = ""
    request_metadata: Mapping[str, str] = {}
    max_tokens_source: str = "unknown"
    requests: int = 0
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    truncated: int = 0
    consumed: Sequence[float] = msgspec.field(name="ConsumedTokens", default=())
    reserved: Sequence[int] = msgspec.field(name="ReservedTokens", default=())
    output: Sequence[int] = msgspec.field(name="OutputTokens", default=())
    limits: Sequence[int] = msgspec.field(name="MaxTokens", default=())
    error_code: str = ""
    requests_failed: int = 0
    milliseconds: int | None = msgspec.field(name="minute", default=None)
    directive: Mapping[str, Any] = msgspec.field(name="_aws", default={})

    @property
    def minute(self) -> int:
        """Return the start of its minute, in seconds since the epoch."""
        found = self.milliseconds if self.milliseconds is not None else self.directive.get("Timestamp", 0)
        return int(found) // 1000

    @property
    def pool(self) -> QuotaPool:
        """Return its pool."""
        return QuotaPool(self.model_id, self.endpoint_type)


_decode = msgspec.json.Decoder(MetricLine).decode

_LABELS: dict[Dimension, Callable[[MetricLine], str]] = {
    Dimension.CALLER: lambda line: line.caller,
    Dimension.SESSION: lambda line: f"{line.caller} {line.session}".strip(),
    Dimension.PROFILE: lambda line: line.application_profile,
    Dimension.OPERATION: lambda line: line.operation,
    Dimension.PROJECT: lambda line: line.project_identifier,
}


def parse_line(message: str) -> MetricLine | None:
    """Return a metric line about calls of a pool, or None for any other line of the function."""
    if not message.startswith("{") or '"caller"' not in message:
        return None
    try:
        return _decode(message)
    except msgspec.MsgspecError:
        return None


class Tallies(msgspec.Struct, frozen=True):
    """Usage by caller, and by the property that the scope names if that is not the caller."""

    callers: UsageTally
    listing: UsageTally | None = None
    unlabelled: Unlabelled = msgspec.field(default_factory=Unlabelled)
    other_models: set[str] = msgspec.field(default_factory=set)
    """Models in the window that are not in scope."""


def add_line(tallies: Tallies, line: MetricLine, scope: Scope) -> None:
    """Add the calls of a line to the tallies, if they are in scope."""
    window = scope.window
    if not window.start <= line.minute < window.end:
        return
    if scope.model not in line.model_id:
        tallies.other_models.add(line.model_id)
        return
    pairs = [(tallies.callers, line.caller)]
    if tallies.listing is not None and scope.caller in line.caller:
        label = _label(line, scope)
        pairs.append((tallies.listing, label))
        if not line.error_code:
            tallies.unlabelled.add_answered(line.caller, label)
        elif line.error_code == THROTTLED:
            tallies.unlabelled.add_throttled(line.caller, label, line.requests_failed)
    for tally, label in pairs:
        if line.error_code:
            tally.add_failed(line.pool, line.minute, label, line.error_code, line.requests_failed)
            continue
        opened = tally.open_calls(line.pool, line.minute, label, line.max_tokens_source)
        for call in split_calls(line):
            opened.add(call)


def _label(line: MetricLine, scope: Scope) -> str:
    if scope.dimension is Dimension.TAG:
        return scope.choose_label(line.request_metadata.get(scope.tag, ""), line.caller)
    return scope.choose_label(_LABELS[scope.dimension](line), line.caller)


def split_calls(line: MetricLine) -> Iterator[LineCall]:
    """Yield the calls of a line, whose tokens add up to its sums.

    A line has the output and the limit of each call, and what it reserved. So its input and cache write together are
    known for each call if the limit is. Their shares are known only of the line.
    """
    count = line.requests
    output = line.output or [0] * count
    limits: Sequence[int | None] = line.limits or ([0] * count if line.reserved else [None] * count)
    bases = _find_bases(line, limits)
    cut = _find_cut(output, limits, line.truncated)
    cache_write, cache_read = line.cache_write_tokens, line.cache_read_tokens
    for index in range(count):
        written = min(cache_write, bases[index])
        cache_write -= written
        yield LineCall(
            bases[index] - written,
            cache_read if index == 0 else 0,
            written,
            output[index],
            limits[index],
            line.consumed[index] if index < len(line.consumed) else 0.0,
            index in cut,
        )


def _find_bases(line: MetricLine, limits: Sequence[int | None]) -> list[int]:
    if line.reserved:
        return [reserved - (limit or 0) for reserved, limit in zip(line.reserved, limits, strict=True)]
    share, rest = divmod(line.input_tokens + line.cache_write_tokens, line.requests or 1)
    return [share + (index < rest) for index in range(line.requests)]


def _find_cut(output: Sequence[int], limits: Sequence[int | None], truncated: int) -> set[int]:
    """Return the positions of the answers that were cut.

    A line has only their number. They are taken to be those that came closest to their limit, and the longest of those
    that came equally close.
    """
    if not truncated:
        return set()
    order = sorted(
        range(len(output)), key=lambda index: (output[index] / (limits[index] or output[index] or 1), output[index])
    )
    return set(order[len(order) - truncated :])


def read_lines(
    client: CloudWatchLogsClient,
    log_group: str,
    scope: Scope,
    tallies: Tallies,
    *,
    written: Sequence[Window],
    progress: Progress,
) -> int:
    """Add all metric lines of a window to the tallies, and return their number. Propagates botocore errors.

    Only the lines of the `written` times are read. Lines are written later than their calls.
    """
    total, done, found = sum(part.end - part.start for part in written), 0, 0
    for part in written:
        pages = client.get_paginator("filter_log_events").paginate(
            logGroupName=log_group,
            startTime=part.start * 1000,
            endTime=part.end * 1000 - 1,
            filterPattern="{ $.caller = * }",
        )
        for page in pages:
            for event in page["events"]:
                line = parse_line(event["message"])
                if line is not None:
                    found += 1
                    add_line(tallies, line, scope)
            if page["events"]:
                progress((done + page["events"][-1]["timestamp"] / 1000 - part.start) / total)
        done += part.end - part.start
    return found
