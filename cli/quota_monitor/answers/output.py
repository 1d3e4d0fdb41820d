"""Printing answers in the form that the user chose, and the exit code."""

from __future__ import annotations

from collections.abc import Sequence

import click
import msgspec

from bedrock_quota.analysis.answers import PoolAnswer
from quota_monitor.answers import data, markdown, prices, terminal
from quota_monitor.answers.document import Document
from quota_monitor.answers.options import Output
from quota_monitor.terminal import COULD_NOT_LOOK, make_console


def write(documents: Sequence[Document], output: Output) -> int:
    """Print answers, and write the HTML page if one is wanted. Return the exit code.

    It is 1 if a pool is over the limit, and 3 if no quota is known to compare with.
    """
    documents = [_complete(document, output) for document in documents]
    if output.html is not None:
        from quota_monitor.answers.html import to_html  # noqa: PLC0415 - only for a page

        output.html.write_text(to_html(documents), encoding="utf-8")
        click.echo(f"Wrote {output.html}.", err=True)
    if output.form == "json":
        click.echo(data.to_json(documents), nl=False)
    elif output.form == "csv":
        click.echo(data.to_csv(documents), nl=False)
    elif output.form == "markdown":
        click.echo(markdown.to_markdown(documents))
    else:
        console = make_console()
        for document in documents:
            console.print(terminal.render(document, console.width))
    limit = output.fail_over
    if limit is not None and not any(_has_quota(answer) for each in documents for answer in each.pools):
        click.echo("Error: No quota is known, so nothing can be compared with --fail-over.", err=True)
        return COULD_NOT_LOOK
    over = limit is not None and any(_is_over(answer, limit) for each in documents for answer in each.pools)
    return 1 if over else 0


def _complete(document: Document, output: Output) -> Document:
    """Return a document with the prices and the table of tokens, if they are wanted."""
    if not output.dollars:
        return msgspec.structs.replace(document, shows_usage=output.shows_usage)
    notes = (*document.notes, prices.describe_prices())
    found = prices.price_callers(document.pools)
    return msgspec.structs.replace(document, shows_usage=True, prices=found, notes=notes)


def _has_quota(answer: PoolAnswer) -> bool:
    return answer.usage.token_quota is not None or answer.usage.request_quota is not None


def _is_over(answer: PoolAnswer, limit: float) -> bool:
    usage = answer.usage
    return bool(usage.throttled) or (usage.peak_percent or 0) >= limit
