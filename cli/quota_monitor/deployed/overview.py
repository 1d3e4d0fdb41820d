"""Reports on several accounts and Regions: an overview with the worst pool of each, and all of them in one output."""

from __future__ import annotations

from collections.abc import Sequence

import click
import msgspec
from rich.text import Text

from bedrock_quota.analysis.answers import PoolAnswer
from bedrock_quota.analysis.verdict import NEAR_PERCENT, State
from quota_monitor.answers import data, output, terminal
from quota_monitor.answers.document import Document
from quota_monitor.answers.models import advise_for_legacy
from quota_monitor.answers.numbers import percent
from quota_monitor.answers.options import Output
from quota_monitor.answers.tokens import list_all_totals
from quota_monitor.answers.words import is_full_of_reservations
from quota_monitor.overview import NOTHING, Severity, Summary, make_overview, print_failed, print_overview
from quota_monitor.places import Reply, format_replies, print_replies, worst_exit_code
from quota_monitor.terminal import make_console

WORST_POOL = "Worst pool"
CHANGE = "Change"

HEADS = (WORST_POOL, CHANGE, "Throttled", "Near or over")

_FULL = frozenset(
    {
        State.QUOTA_IS_ZERO,
        State.THROTTLED_BY_RESERVATION,
        State.THROTTLED_BY_CONSUMPTION,
        State.THROTTLED_BY_REQUESTS,
    }
)
"""States of a pool whose quota is used up, even if no minute's sum came near it."""

_RESULTS = {
    State.THROTTLED_OTHERWISE: "throttled, cause not in the log",
    State.MOSTLY_UNKNOWN: "use mostly unknown",
    State.FINE: "ok",
}
"""Results whose words differ from those of the state of the worst pool."""

_PROBLEMS = frozenset({*_FULL, State.THROTTLED_OTHERWISE, State.REACHED})


def write(replies: Sequence[Reply[Document]], chosen: Output) -> int:
    """Print all reports, or only their overview, and write the HTML page if one is wanted. Return the exit code."""
    overview = make_overview(HEADS, replies, summarize)
    documents = [
        msgspec.structs.replace(reply.value, profile=reply.place.profile or "")
        for reply in replies
        if reply.value is not None
    ]
    output.write_page(documents, chosen, overview)
    if chosen.form == "json":
        totals = data.to_totals(documents)
        click.echo(format_replies(replies, lambda document: data.to_data([document]), totals))
    elif chosen.form == "terminal":
        console = make_console()
        if not chosen.is_summary:
            print_replies(console, replies, lambda document: console.print(terminal.render(document, console.width)))
        print_overview(console, overview, below=(CHANGE, WORST_POOL))
        output.print_all_totals(documents, console)
        failed = [reply.name for reply in replies if reply.value is None]
        if failed and list_all_totals(documents):
            console.print(Text(f"Left out, because they could not be read: {', '.join(failed)}.", style="dim"))
        if chosen.is_summary:
            print_failed(console, overview)
    else:
        output.print_documents(documents, chosen, overview)
    for reply in replies:
        if reply.value is None:
            if chosen.form not in {"json", "terminal"}:  # these two have the reason at the place
                click.echo(f"Error: {reply.name}: {reply.reason}", err=True)
            continue
        _, said = output.compare([reply.value], chosen.fail_over)
        if said:
            click.echo(f"{reply.name}: {said}", err=True)
    return worst_exit_code(replies)


def summarize(document: Document) -> Summary:
    """Return the state of the worst pool, its name and use, and a change.

    After these come all throttled calls, and the pools near or over a quota.
    """
    near = sum(_is_near(answer) for answer in document.pools)
    throttled = sum(answer.usage.throttled for answer in document.pools)
    worst = find_worst(document.pools)
    severity, result = _judge(document.pools, worst)
    named, change = ("", NOTHING) if worst is None else (_name(worst), propose_change(worst))
    return Summary(severity, (result, named, change, f"{throttled:,}", f"{near} of {len(document.pools)}"))


def find_worst(answers: Sequence[PoolAnswer]) -> PoolAnswer | None:
    """Return the pool with most throttled calls, and of equal ones the one with the highest use of its quota.

    A quota of 0 has no use, so it comes after these. Without throttled calls, it still comes before pools that are far
    from their quota. None without pools.
    """
    return min(answers, key=_rank, default=None)


def _rank(answer: PoolAnswer) -> tuple[float, ...]:
    usage, state = answer.usage, answer.verdict.state
    use = usage.peak_percent or 0
    if usage.throttled:
        return (-usage.throttled, state is State.QUOTA_IS_ZERO, -use)
    order = (State.REACHED, State.NEAR, State.QUOTA_IS_ZERO, State.MOSTLY_UNKNOWN, State.FINE, State.NO_QUOTA)
    return (0, order.index(state), -use)


REQUEST_INCREASE = "request an increase"
USE_OTHER_MODEL = "use another model"
"""For a legacy model, because AWS grants no increase for it."""


def propose_change(answer: PoolAnswer) -> str:
    """Return the first proposal for a pool in a few words, as its findings have it, or that there is none."""
    state = answer.verdict.state
    if answer.changes and (state is State.NEAR or is_full_of_reservations(answer)):
        change, more = answer.changes[0], len(answer.changes) - 1
        limit = change.caller.largest_limit
        before = "" if limit is None else f"{limit.max_tokens:,} "
        others = f" (and {more:,} more)" if more else ""
        return f"{change.caller.caller}: max_tokens {before}→ {change.max_tokens:,}{others}"
    if state is State.THROTTLED_OTHERWISE:
        return "no cause known"
    if state in _FULL or state is State.REACHED:
        return USE_OTHER_MODEL if advise_for_legacy(answer.usage.pool) else REQUEST_INCREASE
    return NOTHING


def _judge(answers: Sequence[PoolAnswer], worst: PoolAnswer | None) -> tuple[Severity, str]:
    """Return the severity of a place, and the result of its worst pool.

    Of a pool without a quota, nobody knows if it is near. So a place with one is `ok` only as far as the quotas are
    known, and comes before those that are.
    """
    if worst is None:
        return Severity.OK, "no calls"
    state = worst.verdict.state
    unknown = sum(answer.verdict.state is State.NO_QUOTA for answer in answers)
    if state is State.FINE and unknown:
        return Severity.WARNING, f"ok, but {unknown} of {len(answers)} quotas unknown"
    severity = min(_judge_state(answer.verdict.state) for answer in answers)
    return severity, _RESULTS.get(state, str(state))


def _judge_state(state: State) -> Severity:
    if state in _PROBLEMS:
        return Severity.PROBLEM
    return Severity.OK if state is State.FINE else Severity.WARNING


def _is_near(answer: PoolAnswer) -> bool:
    return answer.verdict.state in _FULL or (answer.usage.peak_percent or 0) >= NEAR_PERCENT


def _name(answer: PoolAnswer) -> str:
    """Return a pool, and its highest use in percent."""
    usage = answer.usage
    return str(usage.pool) if usage.peak_percent is None else f"{usage.pool}, {percent(usage.peak_percent, 100)}"
