"""Usage of a deployed stack in a window: exact from metric lines, or partly summed up if the window is long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from bedrock_quota.analysis.tally import NO_OUTPUT, UsageTally
from bedrock_quota.analysis.usage import THROTTLED, CallerUsage, Limit, PoolMinute, PoolUsage, Sizes
from bedrock_quota.errors import LogSourceError
from bedrock_quota.fetcher.aws_sources import list_pools_called
from bedrock_quota.pools import NO_QUOTA, PoolQuota, QuotaPool
from quota_monitor.analyze.scope import Dimension, Scope
from quota_monitor.analyze.unlabelled import Unlabelled
from quota_monitor.aws_session import Stack
from quota_monitor.deployed import lines, metrics
from quota_monitor.deployed.sums import (
    HOUR,
    CallerSums,
    FailedCalls,
    count_failed,
    count_throttled,
    find_hours_written,
    sum_up,
)
from quota_monitor.program import own_command
from quota_monitor.progress import Progress
from quota_monitor.window import Window

if TYPE_CHECKING:
    import boto3

EXACT_SECONDS = 6 * 3600 + 60
"""Longest window whose metric lines are all read: six hours, and the minute that has begun."""

MAX_BUSY_HOURS = 12
"""Hours of a longer window whose metric lines are read: those with the busiest minutes of pools."""

MINUTES_KEPT = timedelta(days=15)
"""Age up to which CloudWatch keeps values per minute (API reference, GetMetricData, read 2026-11-29)."""

SOURCE_OF_EXACT = "They come from the processor's metric lines."


class Measured(msgspec.Struct, frozen=True):
    """The usage of all pools, and notes on what it rests on."""

    usages: tuple[PoolUsage, ...]
    listing: tuple[PoolUsage, ...]
    """Usage by the property that the scope names, if that is not the caller."""
    quotas: Mapping[QuotaPool, PoolQuota]
    describe: Callable[[PoolUsage], tuple[str, ...]]
    """Returns notes on one pool."""
    notes: tuple[str, ...]
    """Notes on all pools."""
    other_models: Set[str] = frozenset()
    """Models with calls that are not in scope."""
    unlabelled_throttled: int = 0
    """Throttled calls that may belong to a label of the listing, although their lines name none."""


def list_scans(scope: Scope, now: datetime) -> list[Window]:
    """Return the times that queries of Logs Insights search in `measure_stack`, one for each query.

    Lines are written after their calls, so one query looks for the hours with lines until now. The others search until
    the last of these hours, which is almost always the end of the window.
    """
    start, until = scope.window.start, _find_end(scope, now)
    if _is_exact(scope):
        return [Window(start, until)] if until > scope.window.end + HOUR else []
    sums = 3 if scope.dimension is Dimension.CALLER else 5
    return [Window(start, until), *[Window(start, min(scope.window.end, until))] * sums]


def _is_exact(scope: Scope) -> bool:
    """Return True if all metric lines of the window are read."""
    return scope.window.end - scope.window.start <= EXACT_SECONDS


def _find_end(scope: Scope, now: datetime) -> int:
    """Return the time until which lines about the window can have been written."""
    return min(int(now.timestamp()), scope.window.end + lines.LATE_SECONDS) + 1


def find_metric_lines(stack: Stack) -> str:
    """Return the log group of the processor. Raises `LogSourceError` if the stack has none."""
    found = stack.resources.get("MetricProcessorLogGroup")
    if found is None:
        raise LogSourceError(f"The stack {stack.name} has no processor. `{own_command('doctor')}` says what is wrong.")
    return found


def measure_stack(session: boto3.Session, stack: Stack, scope: Scope, now: datetime, progress: Progress) -> Measured:
    """Return the usage of the pools of a stack. Raises `LogSourceError`. Propagates botocore errors."""
    log_group = find_metric_lines(stack)
    logs, cloudwatch = session.client("logs"), session.client("cloudwatch")
    namespace = stack.parameters["MetricsNamespace"]
    until = _find_end(scope, now)
    if _is_exact(scope):
        parts = [Window(scope.window.start, until)]
        if until > scope.window.end + HOUR:
            hours = find_hours_written(logs, log_group, scope, Window(scope.window.start, until)).values()
            parts = _join_hours({hour for found in hours for hour in found}, scope.window.start, until)
        tallies = lines.Tallies(UsageTally(), UsageTally() if scope.dimension is not Dimension.CALLER else None)
        lines.read_lines(logs, log_group, scope, tallies, written=parts, progress=progress)
        usages = tallies.callers.measure({})
        quotas = metrics.read_quotas(cloudwatch, namespace, [usage.pool for usage in usages], now)
        listing = tallies.listing.measure(quotas) if tallies.listing is not None else ()
        usages = tallies.callers.measure(quotas)
        return Measured(
            usages=usages,
            listing=listing,
            quotas=quotas,
            describe=lambda usage: (describe_exactness([usage]),),
            notes=(describe_exactness(usages),),
            other_models=tallies.other_models,
            unlabelled_throttled=tallies.unlabelled.count(),
        )
    in_use = list_pools_called(cloudwatch, namespace)
    pools = sorted(pool for pool in in_use if scope.model in pool.model_id)
    minutes = metrics.read_minutes(cloudwatch, namespace, pools, scope.window)
    written = find_hours_written(logs, log_group, scope, Window(scope.window.start, until))
    last = max((hour + HOUR for hours in written.values() for hour in hours), default=scope.window.end)
    searched = Window(scope.window.start, min(last, until))
    by_caller = msgspec.structs.replace(scope, dimension=Dimension.CALLER)
    summed = sum_up(logs, log_group, by_caller, searched)
    throttled = count_throttled(logs, log_group, scope, searched)
    failed = count_failed(logs, log_group, by_caller, searched)
    called = sorted({*minutes, *summed, *failed})
    quotas = metrics.read_quotas(cloudwatch, namespace, called, now)
    busy = find_busy_hours(minutes, throttled)
    exact = lines.Tallies(UsageTally())
    for number, hour in enumerate(busy, start=1):
        inside = Window(max(hour.start, scope.window.start), min(hour.end, scope.window.end))
        part = msgspec.structs.replace(scope, window=inside)
        parts = _join_hours(written.get(hour.start, {hour.start}), scope.window.start, until)
        lines.read_lines(logs, log_group, part, exact, written=parts, progress=lambda _share: None)
        progress(number / len(busy))
    in_busy_hours = {usage.pool: usage for usage in exact.callers.measure({})}
    usages = tuple(
        combine(
            pool,
            minutes=minutes.get(pool, ()),
            summed=summed.get(pool, {}),
            throttled=throttled.get(pool, {}),
            failed=failed.get(pool, ()),
            busy=in_busy_hours.get(pool),
        )
        for pool in called
    )
    usages = tuple(
        msgspec.structs.replace(usage, token_quota=found.tokens_per_minute, request_quota=found.requests_per_minute)
        for usage in usages
        if usage.minutes or usage.errors
        for found in [quotas.get(usage.pool, NO_QUOTA)]
    )
    listing, unlabelled = (), Unlabelled()
    if scope.dimension is not Dimension.CALLER:
        by_label = sum_up(logs, log_group, scope, searched, unlabelled)
        failed = count_failed(logs, log_group, scope, searched, unlabelled)
        listed = (
            combine(pool, summed=by_label.get(pool, {}), failed=failed.get(pool, ()))
            for pool in sorted({*by_label, *failed})
        )
        listing = tuple(usage for usage in listed if usage.callers)
    notes = (describe_hours(len(busy)), *note_missing_minutes(scope.window, now))
    return Measured(
        usages=usages,
        listing=listing,
        quotas=quotas,
        describe=lambda _usage: notes,
        notes=notes,
        other_models={pool.model_id for pool in in_use if scope.model not in pool.model_id},
        unlabelled_throttled=unlabelled.count(),
    )


def describe_exactness(usages: Iterable[PoolUsage]) -> str:
    """Return a note on a window whose calls were all read."""
    is_known = all(usage.coverage == 1 for usage in usages)
    exact = "All numbers are exact." if is_known else "Numbers are exact where they are not unknown."
    return f"{exact} {SOURCE_OF_EXACT}"


def describe_hours(busy: int) -> str:
    """Return a note on a window of which the calls of some hours were read."""
    whole = "Minutes of pools, sums and largest outputs cover the whole window."
    if not busy:
        return whole
    hours = "hour" if busy == 1 else f"{busy} hours"
    return f"{whole} Percentiles, and what a change frees, come from the {hours} with the busiest minutes."


def note_missing_minutes(window: Window, now: datetime) -> tuple[str, ...]:
    """Return a note on a window that begins before the oldest values per minute."""
    oldest = now - MINUTES_KEPT
    if window.starts_at >= oldest:
        return ()
    return (
        f"CloudWatch keeps values per minute for {MINUTES_KEPT.days} days. So requests and peaks of pools from before "
        f"{oldest:%Y-%m-%d} are missing.",
    )


def find_busy_hours(
    minutes: Mapping[QuotaPool, Sequence[PoolMinute]], throttled: Mapping[QuotaPool, Mapping[int, int]]
) -> list[Window]:
    """Return the hours with the busiest and the most throttled minute of each pool, at most `MAX_BUSY_HOURS`."""
    found: dict[int, float] = {}
    for pool in {*minutes, *throttled}:
        busiest = max(minutes.get(pool, ()), key=lambda minute: minute.used_tokens, default=None)
        counts = throttled.get(pool, {})
        if busiest is not None:
            found.setdefault(busiest.minute // HOUR * HOUR, busiest.used_tokens)
        if counts:
            found[max(counts, key=lambda minute: counts[minute]) // HOUR * HOUR] = float("inf")
    hours = sorted(found, key=lambda hour: -found[hour])[:MAX_BUSY_HOURS]
    return [Window(hour, hour + HOUR) for hour in sorted(hours)]


def _join_hours(hours: Set[int], first: int, last: int) -> list[Window]:
    """Return hours as windows between `first` and `last`. Hours that follow one another are one window."""
    found: list[Window] = []
    for hour in sorted(hours):
        if found and found[-1].end == hour:
            found[-1] = Window(found[-1].start, min(hour + HOUR, last))
        else:
            found.append(Window(max(hour, first), min(hour + HOUR, last)))
    return found


def combine(
    pool: QuotaPool,
    *,
    minutes: Sequence[PoolMinute] = (),
    summed: Mapping[str, Sequence[CallerSums]],
    throttled: Mapping[int, int] = MappingProxyType({}),
    failed: Sequence[FailedCalls] = (),
    busy: PoolUsage | None = None,
) -> PoolUsage:
    """Return the usage of a pool: its minutes, the callers' sums, and from its busy hours the callers' minutes.

    `throttled` has the throttled calls by minute, `failed` all failed calls by error code and caller.
    """
    by_minute = {minute.minute: minute for minute in minutes}
    for minute, count in throttled.items():
        by_minute[minute] = msgspec.structs.replace(by_minute.get(minute, PoolMinute(minute)), throttled=count)
    exact = {caller.caller: caller for caller in busy.callers} if busy is not None else {}
    refused, errors = Counter[str](), Counter[str]()
    for each in failed:
        if each.error_code == THROTTLED:
            refused[each.caller] += each.calls
        else:
            errors[each.error_code] += each.calls
    callers = [
        _combine_caller(name, summed.get(name, ()), refused[name], exact.get(name))
        for name in dict.fromkeys((*summed, *refused, *exact))
    ]
    return PoolUsage(
        pool=pool,
        token_quota=None,
        request_quota=None,
        minutes=tuple(by_minute[minute] for minute in sorted(by_minute)),
        callers=tuple(sorted(callers, key=lambda use: (-use.reserved_tokens, -use.consumed_tokens, use.caller))),
        errors=tuple(errors.most_common()),
        input_sizes=busy.input_sizes if busy is not None else Sizes(),
        output_sizes=busy.output_sizes if busy is not None else Sizes(),
    )


def _combine_caller(name: str, sums: Sequence[CallerSums], throttled: int, busy: CallerUsage | None) -> CallerUsage:
    """Return a caller with its sums over the whole window. All else is from its calls in the busy hours, if any."""
    limits = {
        each.source: Limit(each.limit_most, each.source, each.requests) for each in sums if each.source != "unknown"
    }
    largest = max(limits.values(), key=lambda limit: (limit.max_tokens, limit.source != "default"), default=None)
    truncated = sum(each.truncated for each in sums)
    cut = max((each.limit_most or each.output_most for each in sums if each.truncated), default=0)
    sizes = busy.sizes if busy is not None else Sizes()
    return CallerUsage(
        caller=name,
        requests=sum(each.requests for each in sums),
        answers=sum(each.requests for each in sums if each.source != NO_OUTPUT),
        input_tokens=sum(each.input_tokens for each in sums),
        cache_read_tokens=sum(each.cache_read_tokens for each in sums),
        cache_write_tokens=sum(each.cache_write_tokens for each in sums),
        output_tokens=sum(each.output_tokens for each in sums),
        reserved_tokens=sum(each.reserved_tokens for each in sums),
        consumed_tokens=sum(each.consumed_tokens for each in sums),
        throttled=throttled,
        sizes=msgspec.structs.replace(sizes, largest=max((each.output_most for each in sums), default=0)),
        limits=tuple(limits.values()),
        largest_limit=largest,
        cut_answers=truncated,
        largest_cut=max(busy.largest_cut if busy is not None else 0, cut),
        largest_base=busy.largest_base if busy is not None else 0,
        largest_reservation=busy.largest_reservation if busy is not None else 0,
        largest_consumption=busy.largest_consumption if busy is not None else 0.0,
        minutes=busy.minutes if busy is not None else (),
    )
