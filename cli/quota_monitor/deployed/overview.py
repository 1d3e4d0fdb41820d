"""Reports on several accounts and Regions: all of them in one output, and the worst pool of each."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.text import Text

from bedrock_quota.analysis.answers import PoolAnswer
from bedrock_quota.analysis.verdict import NEAR_PERCENT, State
from quota_monitor.answers import data, output, terminal
from quota_monitor.answers.document import Document
from quota_monitor.answers.numbers import percent
from quota_monitor.answers.options import Output
from quota_monitor.answers.tokens import list_all_totals
from quota_monitor.places import Reply, format_replies, print_overview, print_replies, worst_exit_code
from quota_monitor.terminal import make_console

HEADS = ("Near or over quota", "Throttled calls", "Worst pool")

_FULL = frozenset(
    {
        State.QUOTA_IS_ZERO,
        State.THROTTLED_BY_RESERVATION,
        State.THROTTLED_BY_CONSUMPTION,
        State.THROTTLED_BY_REQUESTS,
    }
)
"""States of a pool whose quota is used up, even if no minute's sum came near it."""


def write(replies: Sequence[Reply[Document]], chosen: Output) -> int:
    """Print all reports, and write the HTML page if one is wanted. Return the exit code."""
    documents = [reply.value for reply in replies if reply.value is not None]
    if documents:
        output.write_page(documents, chosen)
    if chosen.form == "json":
        totals = data.to_totals(documents)
        click.echo(format_replies(replies, lambda document: data.to_data([document]), totals))
    elif chosen.form == "terminal":
        console = make_console()
        print_replies(console, replies, lambda document: console.print(terminal.render(document, console.width)))
        print_overview(console, HEADS, replies, summarize)
        output.print_all_totals(documents, console)
        failed = [reply.name for reply in replies if reply.value is None]
        if failed and list_all_totals(documents):
            console.print(Text(f"Left out, because they could not be read: {', '.join(failed)}.", style="dim"))
    elif documents:
        output.print_documents(documents, chosen)
    for reply in replies:
        if reply.value is None:
            if chosen.form not in {"json", "terminal"}:  # these two have the reason at the place
                click.echo(f"Error: {reply.name}: {reply.reason}", err=True)
            continue
        _, said = output.compare([reply.value], chosen.fail_over)
        if said:
            click.echo(f"{reply.name}: {said}", err=True)
    return worst_exit_code(replies)


def summarize(document: Document) -> tuple[str, str, str]:
    """Return the number of pools near or over their quota, the throttled calls, and the worst pool of a report."""
    near = sum(_is_near(answer) for answer in document.pools)
    throttled = sum(answer.usage.throttled for answer in document.pools)
    return f"{near} of {len(document.pools)}", f"{throttled:,}", _name_worst(document.pools)


def _is_near(answer: PoolAnswer) -> bool:
    return answer.verdict.state in _FULL or (answer.usage.peak_percent or 0) >= NEAR_PERCENT


def _name_worst(answers: Sequence[PoolAnswer]) -> str:
    """Return the first pool, because answers begin with the worst, and its highest use in percent."""
    if not answers:
        return "no calls"
    usage = answers[0].usage
    return str(usage.pool) if usage.peak_percent is None else f"{usage.pool}, {percent(usage.peak_percent, 100)}"
