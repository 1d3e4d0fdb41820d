"""Printing answers in the form that the user chose, and the exit code."""

from __future__ import annotations

from collections.abc import Sequence

import click
import msgspec
from rich.console import Console

from bedrock_quota.analysis.answers import PoolAnswer
from quota_monitor.answers import data, markdown, prices, terminal
from quota_monitor.answers.document import Document
from quota_monitor.answers.options import Output
from quota_monitor.overview import Overview
from quota_monitor.terminal import COULD_NOT_LOOK, make_console


def write(documents: Sequence[Document], output: Output) -> int:
    """Print answers, and write the HTML page if one is wanted. Return the exit code.

    It is 1 if a pool is over the limit, and 3 if no quota is known to compare with.
    """
    documents = [complete(document, output) for document in documents]
    write_page(documents, output)
    print_documents(documents, output)
    exit_code, said = compare(documents, output.fail_over)
    if said:
        click.echo(said, err=True)
    return exit_code


def write_page(documents: Sequence[Document], output: Output, overview: Overview | None = None) -> None:
    """Write the HTML page, if one is wanted. The `overview` of several places comes first."""
    if output.html is None:
        return
    from quota_monitor.answers.html import to_html  # noqa: PLC0415 - only for a page

    output.html.write_text(to_html(documents, overview), encoding="utf-8")
    click.echo(f"Wrote {output.html}.", err=True)


def print_documents(documents: Sequence[Document], output: Output, overview: Overview | None = None) -> None:
    """Print answers in the form that is wanted. In Markdown, the `overview` of several places comes first."""
    if output.form == "json":
        click.echo(data.to_json(documents), nl=False)
    elif output.form == "csv":
        click.echo(data.to_csv(documents), nl=False)
    elif output.form == "csv-totals":
        click.echo(data.to_csv_totals(documents), nl=False)
    elif output.form == "markdown":
        click.echo(markdown.to_markdown(documents, overview, is_summary=output.is_summary))
    else:
        console = make_console()
        for document in documents:
            console.print(terminal.render(document, console.width))
        print_all_totals(documents, console)


def print_all_totals(documents: Sequence[Document], console: Console) -> None:
    """Print the totals over several accounts and Regions, if there are any."""
    totals = terminal.render_all_totals(documents, console.width)
    if totals is not None:
        console.print(totals)


def compare(documents: Sequence[Document], limit: float | None) -> tuple[int, str]:
    """Return the exit code of a comparison with a limit, if there is one, and the reason unless it is 0.

    It is 1 if a pool is over the limit or was throttled, and 3 if no quota of the pools with calls is known.
    """
    if limit is None:
        return 0, ""
    answers = [answer for document in documents for answer in document.pools]
    over = [str(answer.usage.pool) for answer in answers if _is_over(answer, limit)]
    if over:
        return 1, f"At {limit:g}% of a quota, or throttled: {', '.join(over)}."
    if answers and not any(_has_quota(answer) for answer in answers):
        return COULD_NOT_LOOK, "Error: No quota is known, so nothing can be compared with --fail-over."
    return 0, ""


def complete(document: Document, output: Output) -> Document:
    """Return a document with the prices and the table of tokens, if they are wanted."""
    if not output.dollars:
        return msgspec.structs.replace(document, shows_usage=output.shows_usage)
    listed = prices.price_callers(document.listed, output.chargeback)
    of_callers = prices.price_callers((answer.usage for answer in document.pools), output.chargeback)
    said = (prices.describe_prices(output.chargeback), *prices.describe_unknown_prices({**of_callers, **listed}))
    return msgspec.structs.replace(
        document, shows_usage=True, prices=listed, caller_prices=of_callers, notes=(*document.notes, *said)
    )


def _has_quota(answer: PoolAnswer) -> bool:
    return answer.usage.token_quota is not None or answer.usage.request_quota is not None


def _is_over(answer: PoolAnswer, limit: float) -> bool:
    usage = answer.usage
    return bool(usage.throttled) or (usage.peak_percent or 0) >= limit
