"""`quota-monitor explain`: one minute of a quota pool, second by second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bedrock_quota.analysis.timeline import (
    MAX_CALLS,
    RefusedCalls,
    Second,
    TimedCall,
    Timeline,
    counts_in,
    trace_minute,
)
from bedrock_quota.analysis.usage import THROTTLED
from bedrock_quota.pools import NO_QUOTA, PoolQuota, QuotaPool
from bedrock_quota.processor.usage import CallUsage, FailedCall
from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.sources import read_sources
from quota_monitor.analyze.command import show_progress
from quota_monitor.analyze.reader import RecordReader
from quota_monitor.analyze.scope import Scope
from quota_monitor.analyze.source import Source, source_errors_as_messages
from quota_monitor.analyze.sources import open_sources, source_options
from quota_monitor.answers.numbers import count, percent, real, timestamp
from quota_monitor.answers.options import parse_time
from quota_monitor.data_files import MODELS
from quota_monitor.json_output import format_json, json_option
from quota_monitor.program import own_command
from quota_monitor.progress import Progress
from quota_monitor.terminal import COULD_NOT_LOOK, make_console
from quota_monitor.window import Window

BEFORE = 15 * 60
"""Seconds before the minute that are read, because calls that run for minutes may still hold tokens."""

FULL_SHARE = 0.8
"""Share of the token quota in use from which it may have had no room for one more call."""

MAX_HOLDERS = 3
"""Callers that a line names."""

_DAY = timedelta(days=1)
_DAY_SECONDS = 24 * 60 * 60
_MINUTE_SECONDS = 60


class PoolTrace(msgspec.Struct):
    """The calls of one pool around a minute. `left_out` are calls beyond `MAX_CALLS`."""

    calls: list[TimedCall] = []
    refused: Counter[tuple[int, str]] = msgspec.field(default_factory=Counter)
    """Refused calls by second and caller."""
    left_out: int = 0


@click.command()
@click.option(
    "--at",
    "moment",
    required=True,
    metavar="TIME",
    help="The minute, such as 14:03 or 2026-11-28T14:03 (UTC). Without a date, it is the last one that has passed, or "
    "the last one in --files.",
)
@click.option("--model", default="", metavar="TEXT", help="Only models whose id has this text.")
@source_options
@json_option
def explain(moment: str, model: str, as_json: bool, **given: Any) -> None:
    """Show one minute of a quota pool, second by second.

    It names who held the quota, and whose calls were refused. Of several quota pools, the one with most refused calls
    is shown.
    """
    minute = parse_minute(moment, datetime.now(UTC))
    any_day = bool(given["files"]) and is_time_of_day(moment)
    trace = trace_last_day if any_day else trace_minute_of
    registry = read_sources(MODELS)
    console = make_console()
    with source_errors_as_messages(), show_progress() as progress:
        traced = [
            (source, *trace(source, minute, model, registry, progress)) for source in open_sources(given, registry)
        ]
    found = [
        _explain_pool(source, found_minute, pools, pool)
        for source, found_minute, pools in traced
        if (pool := choose_pool(pools)) is not None
    ]
    if not found:
        when = f"at {timestamp(minute)[11:16]} UTC of any day" if any_day else f"in the minute from {timestamp(minute)}"
        raise NothingToExplainError(
            f"No call to {model or 'a quota pool'} began {when}, or just before. "
            f"`{own_command('analyze')}` names a minute with throttled calls."
        )
    if as_json:
        click.echo(format_json({"accounts": [to_data(each) for each in found]}))
        return
    for each in found:
        console.print(render(each.pool, each.quota, each.timeline, each.left_out))


class NothingToExplainError(click.ClickException):
    """There is no call in the minute."""

    exit_code = COULD_NOT_LOOK


class ExplainedPool(msgspec.Struct, frozen=True):
    """One minute of a quota pool. `left_out` are calls beyond `MAX_CALLS`."""

    account: str
    region: str
    pool: QuotaPool
    quota: PoolQuota
    timeline: Timeline
    left_out: int = 0


def _explain_pool(source: Source, minute: int, pools: dict[QuotaPool, PoolTrace], pool: QuotaPool) -> ExplainedPool:
    trace = pools[pool]
    refused = [RefusedCalls(*key, calls) for key, calls in trace.refused.items()]
    return ExplainedPool(
        account=source.account.account_id,
        region=source.account.region,
        pool=pool,
        quota=source.account.quotas.get(pool, NO_QUOTA),
        timeline=trace_minute(minute, trace.calls, refused),
        left_out=trace.left_out,
    )


def parse_minute(text: str, now: datetime) -> int:
    """Return the start of a minute. A time without a date is the last one that has passed, in UTC."""
    if is_time_of_day(text):
        moment = parse_time(f"{now:%Y-%m-%d}T{text.zfill(5)}")
        if moment > now:
            moment -= _DAY
    else:
        moment = parse_time(text)
    return int(moment.timestamp()) // 60 * 60


def is_time_of_day(text: str) -> bool:
    """Return True for a time without a date."""
    return len(text) <= len("14:03:00") and ":" in text


def trace_minute_of(
    source: Source, minute: int, model: str, registry: Registry, progress: Progress
) -> tuple[int, dict[QuotaPool, PoolTrace]]:
    """Return a minute, and the calls around it by pool. Raises `LogSourceError`. Propagates botocore errors."""
    scope = Scope(Window(minute - BEFORE, minute + 60), model=model)
    return minute, _trace(source, scope, lambda _started: minute, registry, progress).get(minute, {})


def trace_last_day(
    source: Source, minute: int, model: str, registry: Registry, progress: Progress
) -> tuple[int, dict[QuotaPool, PoolTrace]]:
    """Return the last minute of this time of day in which a call began, and the calls around it by pool.

    If none began in it on any day, it is the last one just after a call. Raises `LogSourceError`. Propagates botocore
    errors.
    """

    def find_minute(started: int) -> int:
        after = (started - minute) % _DAY_SECONDS
        return started - after + (0 if after < _MINUTE_SECONDS else _DAY_SECONDS)

    traced = _trace(source, Scope(model=model), find_minute, registry, progress)
    found = max(traced, key=lambda each: (_has_begun(traced[each], each), each), default=minute)
    return found, traced.get(found, {})


def _has_begun(pools: dict[QuotaPool, PoolTrace], minute: int) -> bool:
    return any(trace.refused or any(call.started >= minute for call in trace.calls) for trace in pools.values())


def _trace(
    source: Source, scope: Scope, find_minute: Callable[[int], int], registry: Registry, progress: Progress
) -> dict[int, dict[QuotaPool, PoolTrace]]:
    """Return the calls around minutes, by minute and pool. `find_minute` returns the minute of a call's start."""
    minutes: dict[int, dict[QuotaPool, PoolTrace]] = {}

    def observe(call: CallUsage | FailedCall, started: int, latency: int | None) -> None:
        pool, minute = call.pool if isinstance(call, FailedCall) else call.group.pool, find_minute(started)
        if pool is None or started < minute - BEFORE:
            return
        trace = minutes.setdefault(minute, {}).setdefault(pool, PoolTrace())
        if isinstance(call, FailedCall):
            if call.error_code == THROTTLED and minute <= started < minute + _MINUTE_SECONDS:
                trace.refused[started, call.caller] += 1
            return
        reserved = call.input_tokens + call.cache_write_tokens + (call.max_tokens or 0)
        timed = TimedCall(started, call.group.caller, reserved, call.consumed_tokens, call.max_tokens, latency)
        if not counts_in(timed, minute):
            return
        if len(trace.calls) >= MAX_CALLS:
            trace.left_out += 1
        else:
            trace.calls.append(timed)

    reader = RecordReader(
        registry, scope, source.resolve_profile, source.fetch_bodies, observe, may_repeat=source.may_repeat
    )
    source.read(reader, scope, progress)
    reader.finish()
    return minutes


def choose_pool(pools: dict[QuotaPool, PoolTrace]) -> QuotaPool | None:
    """Return the pool with most refused calls, then with most calls. None without pools."""
    return max(pools, key=lambda pool: (pools[pool].refused.total(), len(pools[pool].calls)), default=None)


def render(pool: QuotaPool, quota: PoolQuota, timeline: Timeline, left_out: int = 0) -> RenderableType:
    """Return the verdict, and a line for each second in which something changes."""
    minute = timeline.seconds[0].second
    parts: list[RenderableType] = [Text(f"{pool}, the minute from {timestamp(minute)}", style="bold"), ""]
    parts += [Text(f"▸ {sentence}") for sentence in write_sentences(quota, timeline, left_out)]
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1), pad_edge=False)
    for head, justify in (("Second", "left"), ("Begun", "right"), ("Running", "right"), ("In use", "right")):
        table.add_column(head, justify="right" if justify == "right" else "left", no_wrap=True)
    table.add_column("Refused", overflow="fold")
    table.add_column("Held by", overflow="fold")
    for second in _changes(timeline.seconds):
        table.add_row(*_row(second, quota.tokens_per_minute))
    return Group(*parts, table)


def write_sentences(quota: PoolQuota, timeline: Timeline, left_out: int = 0) -> Iterator[str]:
    """Yield who was throttled, who caused it, and what the model rests on."""
    refused, tokens = timeline.refused, quota.tokens_per_minute
    peak = max((each for each in timeline.seconds if each.refused), key=lambda each: each.in_use, default=timeline.peak)
    if refused:
        yield f"Bedrock refused {count(sum(refused.values()), 'call')}: {_name(refused.items())}."
    else:
        yield "Bedrock refused no call in this minute."
    share = f", {percent(peak.in_use, tokens)} of the quota of {tokens:,.0f}" if tokens else ""
    yield (
        f"At {timestamp(peak.second)[11:19]}, {count(peak.running, 'call')} ran, and {peak.in_use:,.0f} tokens were in "
        f"use at once{share}."
    )
    yield from _write_cause(quota, timeline, peak)
    unknown = f" The end of {timeline.unknown_ends:,} is not in the log." if timeline.unknown_ends else ""
    yield (
        f"Tokens in use are our model of {count(timeline.calls, 'call')}, because AWS publishes none.{unknown} "
        "Records have whole seconds."
    )
    if left_out:
        yield f"{count(left_out, 'call')} more were left out, because there are too many."


def _write_cause(quota: PoolQuota, timeline: Timeline, peak: Second) -> Iterator[str]:
    """Yield who held the tokens or began the requests, as the cause of refusals if their quota was full."""
    tokens, requests, refused = quota.tokens_per_minute, quota.requests_per_minute, bool(timeline.refused)
    busiest = max(each.in_60_seconds for each in timeline.seconds)
    is_full_of_requests = bool(requests) and busiest >= (requests or 0)
    if requests:
        yield f"Requests begun within 60 seconds: up to {busiest:,} of {requests:,.0f}."
    if refused and is_full_of_requests and timeline.begun:
        caller, calls = timeline.begun[0]
        yield f"Caused by {caller}, which began {calls:,} of the requests."
    elif peak.held:
        caller, most = peak.held[0]
        is_full_of_tokens = bool(tokens) and peak.in_use >= FULL_SHARE * (tokens or 0)
        verb = "Caused by" if refused and is_full_of_tokens else "Most were held by"
        yield f"{verb} {caller}, which held {most:,.0f} of them ({percent(most, peak.in_use)})."
    if refused and tokens and not is_full_of_requests and peak.in_use < FULL_SHARE * tokens:
        yield "The log shows room. Causes may be a quota per day, the capacity of the model, or calls without a log."


def _name(callers: object) -> str:
    return ", ".join(f"{number:,} of {caller}" for caller, number in callers)  # type: ignore[attr-defined]


def _changes(seconds: Sequence[Second]) -> Iterator[Second]:
    """Yield the seconds in which a call begins, ends or is refused."""
    before: Second | None = None
    for second in seconds:
        if before is None or second.begun or second.refused or second.running != before.running:
            yield second
        before = second


def _row(second: Second, quota: float | None) -> Iterator[RenderableType]:
    yield timestamp(second.second)[11:19]
    yield f"{second.begun:,}" if second.begun else ""
    yield f"{second.running:,}"
    in_use = f"{second.in_use:,.0f}"
    yield Text(in_use + (f" {percent(second.in_use, quota)}" if quota else ""))
    yield Text("\n".join(f"{number:,} {caller}" for caller, number in second.refused), style="red")
    yield Text("\n".join(f"{tokens:,.0f} {caller}" for caller, tokens in second.held[:MAX_HOLDERS]))


def to_data(explained: ExplainedPool) -> dict[str, Any]:
    """Return the minute of a pool as data for JSON."""
    quota, timeline = explained.quota, explained.timeline
    return {
        "account": explained.account or None,
        "region": explained.region or None,
        "model_id": explained.pool.model_id,
        "endpoint_type": str(explained.pool.endpoint_type),
        "token_quota": real(quota.tokens_per_minute),
        "request_quota": real(quota.requests_per_minute),
        "calls": timeline.calls,
        "calls_with_unknown_end": timeline.unknown_ends,
        "calls_left_out": explained.left_out,
        "refused": timeline.refused,
        "findings": list(write_sentences(quota, timeline, explained.left_out)),
        "seconds": [
            {
                "second": timestamp(each.second),
                "begun": each.begun,
                "running": each.running,
                "in_use_tokens": real(each.in_use),
                "held": {caller: real(tokens) for caller, tokens in each.held},
                "refused": dict(each.refused),
            }
            for each in timeline.seconds
        ],
    }
