"""Sums over the metric lines of a window, which Logs Insights adds up. Lines are written later than their calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from bedrock_quota.analysis.usage import THROTTLED
from bedrock_quota.errors import LogSourceError
from bedrock_quota.pools import EndpointType, QuotaPool
from quota_monitor.analyze.log_group import run_query
from quota_monitor.analyze.scope import Dimension, Scope
from quota_monitor.analyze.unlabelled import Unlabelled
from quota_monitor.window import Window

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

HOUR = 3_600


class CallerSums(msgspec.Struct, frozen=True):
    """The sums of one caller over a whole window, by source of max_tokens, and the largest values of single calls."""

    source: str

    requests: int = 0
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reserved_tokens: int = 0
    consumed_tokens: float = 0.0
    output_most: int = 0
    limit_most: int = 0
    truncated: int = 0


_SUMS = ("requests", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reserved_tokens")
_LABEL_FIELDS = {
    Dimension.SESSION: "session",
    Dimension.PROFILE: "application_profile",
    Dimension.OPERATION: "operation",
    Dimension.PROJECT: "project_identifier",
}


def _label_field(scope: Scope) -> str:
    """Return the field of a line that a listing names beside the caller, "" for none."""
    if scope.dimension is Dimension.TAG:
        return f"request_metadata.`{scope.tag}`"
    return _LABEL_FIELDS.get(scope.dimension, "")


def _read_label(row: Mapping[str, str], scope: Scope) -> str:
    """Return the label of a row with a caller and, as `label`, the field of the listing."""
    caller, found = row.get("caller", "unknown"), row.get("label", "")
    if scope.dimension is Dimension.CALLER:
        return caller
    return scope.choose_label(f"{caller} {found}".strip() if scope.dimension is Dimension.SESSION else found, caller)


def _is_listed(row: Mapping[str, str], scope: Scope) -> bool:
    """Return False for calls of callers that are not selected, in a listing by something else than the caller."""
    return scope.dimension is Dimension.CALLER or scope.caller in row.get("caller", "unknown")


def sum_up(
    logs: CloudWatchLogsClient, log_group: str, scope: Scope, searched: Window, unlabelled: Unlabelled | None = None
) -> dict[QuotaPool, dict[str, list[CallerSums]]]:
    """Return the sums of each pool and label, added up by Logs Insights."""
    field = _label_field(scope)
    query = "\n| ".join(
        (
            # a name with backticks may come back in another form
            f"fields jsonParse(@message) as line{f', {field} as label' if field else ''}",
            "filter ispresent(consumed_tokens) and ispresent(EndpointType) and "
            + _in_window("line.`_aws`.Timestamp", scope),
            "stats "
            + ", ".join(f"sum({name}) as sum_{name}" for name in _SUMS)
            + ", sum(consumed_tokens) as sum_consumed_tokens, max(output_tokens_most) as output_most, "
            "max(max_tokens_most) as limit_most, sum(truncated) as sum_truncated "
            f"by ModelId, EndpointType, max_tokens_source, caller{', label' if field else ''}",
        )
    )
    found: dict[QuotaPool, dict[tuple[str, str], CallerSums]] = {}
    for row in _rows(logs, log_group, query, searched):
        pool = QuotaPool(row["ModelId"], EndpointType(row["EndpointType"]))
        if scope.model not in pool.model_id or not _is_listed(row, scope):
            continue
        label, source = _read_label(row, scope), row.get("max_tokens_source", "unknown")
        sums = CallerSums(
            source=source,
            **{name: _whole(row, f"sum_{name}") for name in _SUMS},
            consumed_tokens=float(row.get("sum_consumed_tokens", 0)),
            output_most=_whole(row, "output_most"),
            limit_most=_whole(row, "limit_most"),
            truncated=_whole(row, "sum_truncated"),
        )
        if unlabelled is not None:
            unlabelled.add_answered(row.get("caller", "unknown"), label)
        known = found.setdefault(pool, {})
        known[label, source] = _add(known[label, source], sums) if (label, source) in known else sums
    by_label: dict[QuotaPool, dict[str, list[CallerSums]]] = {}
    for pool, known in found.items():
        for (label, _), sums in known.items():
            by_label.setdefault(pool, {}).setdefault(label, []).append(sums)
    return by_label


def _add(one: CallerSums, other: CallerSums) -> CallerSums:
    """Return the sums of two callers that share a label, of the same source."""
    return CallerSums(
        source=one.source,
        **{name: getattr(one, name) + getattr(other, name) for name in (*_SUMS, "truncated")},
        consumed_tokens=one.consumed_tokens + other.consumed_tokens,
        output_most=max(one.output_most, other.output_most),
        limit_most=max(one.limit_most, other.limit_most),
    )


def count_throttled(
    logs: CloudWatchLogsClient, log_group: str, scope: Scope, searched: Window
) -> dict[QuotaPool, dict[int, int]]:
    """Return the throttled calls of each pool by minute."""
    query = "\n| ".join(
        (
            f'filter error_code = "{THROTTLED}" and ispresent(EndpointType) and {_in_window("minute", scope)}',
            "stats sum(requests_failed) as failed by ModelId, EndpointType, minute",
        )
    )
    found: dict[QuotaPool, dict[int, int]] = {}
    for row in _rows(logs, log_group, query, searched):
        if scope.model in row["ModelId"]:
            pool = QuotaPool(row["ModelId"], EndpointType(row["EndpointType"]))
            found.setdefault(pool, {})[_whole(row, "minute") // 1000] = _whole(row, "failed")
    return found


class FailedCalls(msgspec.Struct, frozen=True):
    """Failed calls of one caller, or of what else is listed, over a whole window."""

    error_code: str
    caller: str
    calls: int


def count_failed(
    logs: CloudWatchLogsClient, log_group: str, scope: Scope, searched: Window, unlabelled: Unlabelled | None = None
) -> dict[QuotaPool, list[FailedCalls]]:
    """Return the failed calls of each pool by error code and label."""
    field = _label_field(scope)
    query = "\n| ".join(
        (
            *((f"fields {field} as label",) if field else ()),
            f"filter ispresent(error_code) and ispresent(EndpointType) and {_in_window('minute', scope)}",
            "stats sum(requests_failed) as failed by ModelId, EndpointType, error_code, caller"
            + (", label" if field else ""),
        )
    )
    found: dict[QuotaPool, list[FailedCalls]] = {}
    for row in _rows(logs, log_group, query, searched):
        if scope.model not in row["ModelId"] or not _is_listed(row, scope):
            continue
        pool = QuotaPool(row["ModelId"], EndpointType(row["EndpointType"]))
        failed = FailedCalls(row["error_code"], _read_label(row, scope), _whole(row, "failed"))
        if unlabelled is not None and failed.error_code == THROTTLED:
            unlabelled.add_throttled(row.get("caller", "unknown"), failed.caller, failed.calls)
        found.setdefault(pool, []).append(failed)
    return found


def find_hours_written(
    logs: CloudWatchLogsClient, log_group: str, scope: Scope, searched: Window
) -> dict[int, set[int]]:
    """Return the hours in which lines about the calls of each hour were written. Both are starts of hours, in seconds.

    Replayed deliveries and older logs that were sent through the processor are written up to days later. Only the hours
    with such lines are read then, and not the days between them.
    """
    query = "\n| ".join(
        (
            "fields jsonParse(@message) as line, toMillis(@timestamp) as written",
            "filter ispresent(caller) and ispresent(EndpointType)",
            "fields coalesce(line.minute, line.`_aws`.Timestamp) as began",
            f"filter {_in_window('began', scope)}",
            f"fields floor(began / {HOUR * 1000}) as hour, floor(written / {HOUR * 1000}) as hour_written",
            "stats count(*) as found by hour, hour_written",
        )
    )
    found: dict[int, set[int]] = {}
    for row in _rows(logs, log_group, query, searched):
        found.setdefault(_whole(row, "hour") * HOUR, set()).add(_whole(row, "hour_written") * HOUR)
    return found


def _in_window(milliseconds: str, scope: Scope) -> str:
    """Return the condition that a line's minute is in the window. Lines are written later than their calls."""
    return f"{milliseconds} >= {scope.window.start * 1000} and {milliseconds} < {scope.window.end * 1000}"


def _rows(logs: CloudWatchLogsClient, log_group: str, query: str, searched: Window) -> Iterator[Mapping[str, str]]:
    """Yield the rows of a query. Raises `LogSourceError` if it does not return all, because sums would be too small."""
    result = run_query(logs, log_group, query, searched)
    if result.matched > len(result.rows):
        raise LogSourceError(
            f"Logs Insights returns {len(result.rows):,} rows of {log_group} at most, and this report needs more. Use "
            "a shorter window, or --by with a property that has fewer values."
        )
    for row in result.rows:
        yield {each["field"]: each["value"] for each in row}


def _whole(row: Mapping[str, Any], name: str) -> int:
    return round(float(row.get(name) or 0))
