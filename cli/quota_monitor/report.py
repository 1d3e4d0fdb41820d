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


MAX_RELIEFS = 3
"""Callers for which the report proposes a smaller max_tokens, per quota pool."""


class Relief(msgspec.Struct, frozen=True):
    """Effect of a smaller max_tokens of one caller: the proposed value, and the peak with it and all reliefs before it.

    The peak is the larger of reserved and consumed tokens in one minute, because no max_tokens lowers consumption.
    """

    caller: CallerUse
    max_tokens: int
    peak: float


def render(uses: Sequence[PoolUse]) -> RenderableType:
    """Return the table and the findings, ready to print."""
    findings = Table.grid(padding=(0, 1, 1, 0))
    for finding in _findings(uses):
        findings.add_row("▸", Text.assemble(*finding))
    return Group(_table(uses), findings)


def find_reliefs(use: PoolUse) -> tuple[Relief, ...]:
    """Return the changes that bring a quota pool below its quota, at most `MAX_RELIEFS`, the largest saving first.

    A caller with a max_tokens much larger than it needs sets a smaller one. It needs `HEADROOM` times its largest
    output, and more than the limit of any answer that was cut. Fewer changes are returned if they are enough, and none
    if none lowers the peak.
    """
    peak, quota = use.peak_used, use.token_quota
    goal = peak if quota is None else min(quota, peak)
    busy = {minute.minute for minute in use.minutes if minute.used_tokens >= goal}
    proposals = [(caller, enough, _savings(caller, enough)) for caller in use.callers if (enough := _enough(caller))]
    proposals.sort(key=lambda proposal: -sum(proposal[2].get(minute, 0) for minute in busy))
    reserved = {minute.minute: minute.reserved_tokens for minute in use.minutes}
    reliefs: list[Relief] = []
    for caller, enough, savings in proposals[:MAX_RELIEFS]:
        if peak < goal or sum(savings.get(minute, 0) for minute in busy) <= 0:
            break
        for minute, tokens in savings.items():
            if minute in reserved:
                reserved[minute] -= tokens
        peak = max(max(reserved[minute.minute], minute.consumed_tokens) for minute in use.minutes)
        reliefs.append(Relief(caller, enough, peak))
    return tuple(reliefs) if peak < use.peak_used else ()


def _enough(caller: CallerUse) -> int | None:
    """Return a max_tokens that is enough for each answer of a caller, None if it is not much smaller than now."""
    enough = _round_up(max(caller.largest_output, caller.largest_cut) * HEADROOM)
    return enough if enough * 2 <= caller.largest_max_tokens else None


def _savings(caller: CallerUse, enough: int) -> dict[datetime, int]:
    """Return the tokens per minute that a caller reserves less if no call sets more than `enough`.

    If answers of the caller were cut, each call counts with `enough`, because smaller limits must be raised.
    """
    return {
        minute.minute: sum(limit - enough for limit in minute.max_tokens if limit > enough or caller.cut_answers)
        for minute in caller.minutes
    }


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
    tokens = use.peak_used
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
        elif use.token_quota and use.peak_used >= use.token_quota:
            found = True
            yield _over_quota(use, pool, use.token_quota)
        if any(caller.cut_answers for caller in use.callers):
            yield _cut_answers(use, pool)
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
    reserved, consumed = use.peak_reserved, use.peak_consumed
    reached = f"and reached it in {_minutes_over(use, quota)}."
    parts: list[_Part] = [
        (f"{pool} is throttled. ", "bold red"),
        f"Callers consumed up to {_percent(consumed, quota)} of the quota per minute, {reached} "
        "Their reservations are unknown."
        if reserved is None
        else f"Callers reserved up to {_percent(reserved, quota)} of the quota per minute, {reached} "
        f"They consumed at most {_percent(consumed, quota)}.",
        f" Throttled requests: {use.throttled_requests:,}.",
    ]
    reliefs = find_reliefs(use)
    for relief in reliefs:
        parts += _relief(relief, use, quota, is_first=relief is reliefs[0])
    if consumed >= quota:
        parts.append(" Consumption alone reaches the quota. Request an increase, or spread the traffic.")
    elif reliefs and reliefs[-1].peak >= quota:
        parts.append(" The rest needs a larger quota. Request an increase, or spread the traffic.")
    elif not reliefs and use.coverage == 1:
        parts.append(" No smaller max_tokens would help. Request an increase, or spread the traffic.")
    return tuple(parts)


def _relief(relief: Relief, use: PoolUse, quota: float, *, is_first: bool) -> tuple[_Part, ...]:
    caller = relief.caller
    limit = (
        f" sets no max_tokens, so the model's default of {caller.largest_max_tokens:,} applies, but its output has "
        if caller.largest_is_default
        else f" sets max_tokens to {caller.largest_max_tokens:,}, but its output has "
    )
    peak = f"{_percent(relief.peak, quota)} of the quota"
    return (
        " The cause: " if is_first else " Another cause: ",
        (caller.caller, "bold"),
        limit + f"{caller.mean_output:,.0f} tokens on average and {caller.largest_output:,} at most. ",
        (f"With max_tokens set to {relief.max_tokens:,}", "bold"),
        f"{'' if is_first else ' as well'}, the same traffic would have peaked at "
        f"{peak if use.coverage == 1 else f'{peak} or more, because the max_tokens of other calls is unknown'}.",
    )


def _cut_answers(use: PoolUse, pool: str) -> tuple[_Part, ...]:
    most = max(use.callers, key=lambda caller: caller.cut_answers)
    total = sum(caller.cut_answers for caller in use.callers)
    return (
        ("Cut answers: ", "bold yellow"),
        f"{total:,} of {use.requests:,} answers from {pool} ended at their output limit. {most.cut_answers:,} of them "
        "were for ",
        (most.caller, "bold"),
        f", at up to {most.largest_cut:,} tokens. ",
        ("Raise max_tokens", "bold"),
        " for these calls. Each call then reserves as many tokens more.",
    )


def _minutes_over(use: PoolUse, quota: float) -> str:
    over = sum(minute.used_tokens >= quota for minute in use.minutes)
    return f"{over} minute{'' if over == 1 else 's'} of the hour"


def _percent(value: float, quota: float) -> str:
    return f"{100 * value / quota:.0f}%"
