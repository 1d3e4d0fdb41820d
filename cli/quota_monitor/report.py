"""Report on the quota pools of an account: a table, then the causes of throttling and what to change."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from quota_monitor.usage import CallerUse, PoolUse

CRITICAL_PERCENT = 100
WARNING_PERCENT = 80

HEADROOM = 1.25
"""Factor between the largest output seen and the max_tokens that the report proposes."""


class Relief(msgspec.Struct, frozen=True):
    """Effect of a smaller max_tokens of one caller: the proposed value, and the peak with it."""

    caller: CallerUse
    max_tokens: int
    peak_reserved: float


def render(uses: Sequence[PoolUse]) -> RenderableType:
    """Return the table and the findings, ready to print."""
    findings = Table.grid(padding=(0, 1, 1, 0))
    for finding in _findings(uses):
        findings.add_row("▸", Text.assemble(*finding))
    return Group(_table(uses), findings)


def find_relief(use: PoolUse) -> Relief | None:
    """Return the change that helps a quota pool most: the caller that reserves most sets a smaller max_tokens.

    Return None if its max_tokens is not much larger than its largest output.
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
    """Return the next of 256, 512, 1024, …, the values that people use."""
    limit = 256
    while limit < tokens:
        limit *= 2
    return limit


def _table(uses: Sequence[PoolUse]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1), pad_edge=False)
    table.add_column("Model\nand endpoint type", overflow="fold", min_width=22)  # keeps an endpoint type on one line
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


def urgency(use: PoolUse) -> tuple[float, int]:
    """Return a sort key: how close a quota pool came to its token quota, in percent, then its requests."""
    tokens = max(use.peak_reserved or 0, use.peak_consumed)
    if use.token_quota == 0:
        return (WARNING_PERCENT, use.requests)
    return (100 * tokens / use.token_quota if use.token_quota else 0, use.requests)


def _row(use: PoolUse) -> Iterator[RenderableType]:
    yield Text(f"{use.pool.model_id}\n") + Text(f"  {use.pool.endpoint_type}", style="dim")
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
    return Text("0: no calls\nallowed", style="bold red") if quota == 0 else Text(f"{quota:,.0f}")


def _peak(value: float | None, quota: float | None) -> Text:
    if value is None:
        return Text("unknown", style="dim")
    shown = Text(f"{value:,.0f}")
    if not quota:
        return shown  # the column of the quota shows why there is no percentage
    percent = 100 * value / quota
    return shown + Text(f"\n{_few_digits(percent)}%", style=_style(percent))


def _few_digits(percent: float) -> str:
    if percent >= 1 or percent == 0:
        return f"{percent:.0f}"
    return f"{percent:.1f}" if percent >= 0.1 else "<0.1"


def _style(percent: float) -> str:
    if percent >= CRITICAL_PERCENT:
        return "bold red"
    return "yellow" if percent >= WARNING_PERCENT else "green"


def _most(use: PoolUse) -> Text:
    caller = next(iter(use.callers), None)
    if caller is None or not caller.reserved_tokens:
        return Text("unknown", style="dim")
    share = caller.reserved_tokens / sum(each.reserved_tokens for each in use.callers)
    return Text(caller.caller) + Text(f"\n{share:.0%} of it", style="dim")


# ---------------------------------------------------------------- findings in words

_Part = str | tuple[str, str]


def _findings(uses: Iterable[PoolUse]) -> Iterator[tuple[_Part, ...]]:
    found = False
    for use in sorted(uses, key=urgency, reverse=True):
        pool = f"{use.pool.model_id} ({use.pool.endpoint_type})"
        if use.token_quota == 0:
            found = True
            yield (
                ("Quota is 0: ", "bold red"),
                f"Bedrock throttles every call to {pool} ({use.throttled_requests:,} in this window). "
                "Request an increase in Service Quotas, or use another model.",
            )
        elif use.token_quota and max(use.peak_reserved or 0, use.peak_consumed) >= use.token_quota:
            found = True
            yield _over_quota(use, pool, use.token_quota)
        if use.coverage < 1:
            unknown = round((1 - use.coverage) * use.requests)
            yield (
                ("Incomplete: ", "bold yellow"),
                f"The log has no body for {unknown:,} of {use.requests:,} requests to {pool}, so their max_tokens is "
                "unknown. They count as consumed, but not as reserved.",
            )
    if not found:
        yield (("No quota pool reached its quota.", "bold green"),)


def _over_quota(use: PoolUse, pool: str, quota: float) -> tuple[_Part, ...]:
    reserved, consumed = use.peak_reserved or 0.0, use.peak_consumed
    parts: list[_Part] = [
        (f"{pool} is throttled. ", "bold red"),
        f"Callers reserved up to {_percent(reserved, quota)} of the quota per minute, and reached it in "
        f"{_minutes_over(use, quota)}. They consumed at most {_percent(consumed, quota)}. "
        f"Throttled requests: {use.throttled_requests:,}.",
    ]
    better = find_relief(use)
    if better is not None:
        caller = better.caller
        after = f"{_percent(better.peak_reserved, quota)} of the quota"
        parts += [
            " The cause: ",
            (caller.caller, "bold"),
            f" sets max_tokens to {caller.largest_max_tokens:,}, but its output has {caller.mean_output:,.0f} tokens "
            f"on average and {caller.largest_output:,} at most. ",
            (f"With max_tokens set to {better.max_tokens:,}", "bold"),
            f", the same traffic would have peaked at {after}.",
        ]
    elif consumed >= quota:
        parts.append(" Consumption alone exceeds the quota. Request an increase, or spread the traffic.")
    return tuple(parts)


def _minutes_over(use: PoolUse, quota: float) -> str:
    over: list[datetime] = [minute.minute for minute in use.minutes if minute.reserved_tokens >= quota]
    return f"{len(over)} minute{'' if len(over) == 1 else 's'} of the hour"


def _percent(value: float, quota: float) -> str:
    return f"{100 * value / quota:.0f}%"
