"""The report on an account's buckets: a table, and under it in words what throttles, who causes it, what to change."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from quota_monitor.usage import BucketUse, CallerUse

CRITICAL_PERCENT = 100
WARNING_PERCENT = 80

HEADROOM = 1.25
"""A limit is proposed this much above the largest answer seen."""


class Relief(msgspec.Struct, frozen=True):
    """What a smaller max_tokens of one caller would do: the limit to ask for, and the peak with it."""

    caller: CallerUse
    max_tokens: int
    peak_reserved: float


def render(uses: Sequence[BucketUse]) -> RenderableType:
    """Return the table and the findings, ready to be printed."""
    findings = Table.grid(padding=(0, 1, 1, 0))
    for finding in _findings(uses):
        findings.add_row("▸", Text.assemble(*finding))
    return Group(_table(uses), findings)


def relief(use: BucketUse) -> Relief | None:
    """Return what would help a bucket most: the caller who reserves most asking for little more than it uses.

    None where that caller asks for nothing much larger than its largest answer.
    """
    caller = next(iter(use.callers), None)
    if caller is None:
        return None
    enough = _round_up(caller.largest_output * HEADROOM)
    if enough * 2 > caller.largest_max_tokens:
        return None
    saved = {minute.minute: minute.max_tokens - enough * minute.requests for minute in caller.minutes}
    peak = max(minute.reserved_tokens - saved.get(minute.minute, 0) for minute in use.minutes)
    return Relief(caller, enough, peak)


def _round_up(tokens: float) -> int:
    """Return the next of 256, 512, 1024, …: limits that people write."""
    limit = 256
    while limit < tokens:
        limit *= 2
    return limit


def _table(uses: Sequence[BucketUse]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1), pad_edge=False)
    table.add_column("Model\nand endpoint type", overflow="fold", min_width=22)  # an endpoint type in one piece
    table.add_column("Quota\nTPM", justify="right")
    table.add_column("Reserved\npeak TPM", justify="right")
    table.add_column("Consumed\npeak TPM", justify="right")
    table.add_column("Requests\n(throttled)", justify="right")
    table.add_column("Requests\npeak RPM", justify="right")
    table.add_column("Coverage", justify="right")
    table.add_column("Reserves\nmost", overflow="fold")
    for use in sorted(uses, key=urgency, reverse=True):
        table.add_row(*_row(use))
    return table


def urgency(use: BucketUse) -> tuple[float, int]:
    """How near a bucket came to its quotas, to compare it with others."""
    tokens = max(use.peak_reserved or 0, use.peak_consumed)
    if use.token_quota == 0:
        return (WARNING_PERCENT, use.requests)
    return (100 * tokens / use.token_quota if use.token_quota else 0, use.requests)


def _row(use: BucketUse) -> Iterator[RenderableType]:
    yield Text(f"{use.bucket.model_id}\n") + Text(f"  {use.bucket.endpoint_type}", style="dim")
    yield _quota(use.token_quota)
    yield _peak(use.peak_reserved if use.requests else 0, use.token_quota)
    yield _peak(use.peak_consumed, use.token_quota)
    throttled = f"\n({use.throttled_requests:,})" if use.throttled_requests else ""
    yield Text(f"{use.requests:,}") + Text(throttled, style="red")
    yield _peak(use.peak_requests, use.request_quota)
    yield Text(f"{use.coverage:.0%}", style="" if use.coverage == 1 else "yellow") if use.requests else Text()
    yield _most(use) if use.requests else Text()


def _quota(quota: float | None) -> Text:
    if quota is None:
        return Text("no quota\nknown", style="dim")
    return Text("0: no call\nallowed", style="bold red") if quota == 0 else Text(f"{quota:,.0f}")


def _peak(value: float | None, quota: float | None) -> Text:
    if value is None:
        return Text("unknown", style="dim")
    shown = Text(f"{value:,.0f}")
    if not quota:
        return shown  # the quota's own column says why there is no percentage
    percent = 100 * value / quota
    return shown + Text(f"\n{_few_digits(percent)} %", style=_style(percent))


def _few_digits(percent: float) -> str:
    if percent >= 1 or percent == 0:
        return f"{percent:.0f}"
    return f"{percent:.1f}" if percent >= 0.1 else "< 0.1"


def _style(percent: float) -> str:
    if percent >= CRITICAL_PERCENT:
        return "bold red"
    return "yellow" if percent >= WARNING_PERCENT else "green"


def _most(use: BucketUse) -> Text:
    caller = next(iter(use.callers), None)
    if caller is None or not caller.reserved_tokens:
        return Text("unknown", style="dim")
    share = caller.reserved_tokens / sum(each.reserved_tokens for each in use.callers)
    return Text(caller.caller) + Text(f"\n{share:.0%} of it", style="dim")


# ---------------------------------------------------------------- in words

_Part = str | tuple[str, str]


def _findings(uses: Iterable[BucketUse]) -> Iterator[tuple[_Part, ...]]:
    found = False
    for use in sorted(uses, key=urgency, reverse=True):
        bucket = f"{use.bucket.model_id} ({use.bucket.endpoint_type})"
        if use.token_quota == 0:
            found = True
            yield (
                ("A quota of 0: ", "bold red"),
                f"{bucket} may take no call at all, and {use.throttled_requests:,} were throttled. "
                "Ask for an increase in Service Quotas, or move to a model that the account may use.",
            )
        elif use.token_quota and max(use.peak_reserved or 0, use.peak_consumed) >= use.token_quota:
            found = True
            yield _over_quota(use, bucket, use.token_quota)
        if use.coverage < 1:
            unknown = round((1 - use.coverage) * use.requests)
            yield (
                ("Not all is known: ", "bold yellow"),
                f"for {unknown:,} of {use.requests:,} requests to {bucket} the log lacks the body, so their max_tokens "
                "is unknown. They count as consumed, not as reserved.",
            )
    if not found:
        yield (("No bucket reached its quota.", "bold green"),)


def _over_quota(use: BucketUse, bucket: str, quota: float) -> tuple[_Part, ...]:
    reserved, consumed = use.peak_reserved or 0.0, use.peak_consumed
    parts: list[_Part] = [
        (f"{bucket} throttles: ", "bold red"),
        f"its callers reserved up to {_percent(reserved, quota)} of its quota in a minute, more than all of it in "
        f"{_minutes_over(use, quota)}; what they consumed was at most {_percent(consumed, quota)}. "
        f"{use.throttled_requests:,} requests were throttled.",
    ]
    better = relief(use)
    if better is not None:
        caller = better.caller
        after = f"{_percent(better.peak_reserved, quota)} of the quota"
        parts += [
            " The cause: ",
            (caller.caller, "bold"),
            f" asks for max_tokens {caller.largest_max_tokens:,} and uses {caller.mean_output:,.0f} on average, "
            f"{caller.largest_output:,} at most. ",
            (f"Let it ask for {better.max_tokens:,}", "bold"),
            f", and the same traffic would have peaked at {after}.",
        ]
    elif consumed >= quota:
        parts.append(" What it consumes is too much, too: the quota must grow, or the traffic be spread.")
    return tuple(parts)


def _minutes_over(use: BucketUse, quota: float) -> str:
    over: list[datetime] = [minute.minute for minute in use.minutes if minute.reserved_tokens >= quota]
    return f"{len(over)} minute{'' if len(over) == 1 else 's'} of the hour"


def _percent(value: float, quota: float) -> str:
    return f"{100 * value / quota:.0f} %"
