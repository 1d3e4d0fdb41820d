"""Answers as one HTML page that opens offline: findings, tables, and the minutes of each pool drawn by uPlot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib import resources
from typing import Any

import msgspec

from bedrock_quota.analysis.answers import PoolAnswer
from bedrock_quota.analysis.verdict import State
from quota_monitor.answers import markdown
from quota_monitor.answers.document import Document
from quota_monitor.answers.paragraph import Level, Paragraph
from quota_monitor.answers.tokens import NOT_BILLED, list_all_totals
from quota_monitor.answers.words import write_paragraphs
from quota_monitor.overview import Overview, Row, Severity

MAX_CHARTS = 12
"""Pools that are drawn, the worst first. All are in the tables."""

MAX_POINTS = 20_200
"""Minutes that are drawn per pool: two weeks."""

_CLASSES = {"bold red": "problem", "bold yellow": "warning", "bold green": "good"}

_SEVERITIES = {
    Severity.FAILED: "problem",
    Severity.PROBLEM: "problem",
    Severity.WARNING: "warning",
    Severity.OK: "good",
}


def to_html(documents: Sequence[Document], overview: Overview | None = None) -> str:
    """Return the page. It loads nothing, and no name in it can become markup. The `overview` comes first."""
    drawn = [
        (f"pool-{number}-{position}", answer)
        for number, document in enumerate(documents)
        for position, answer in enumerate(_select(document.pools))
    ]
    sections = [line for number, document in enumerate(documents) for line in _document(document, number)]
    summary = _overview(overview) if overview is not None else ()
    body = "\n".join([*summary, *_all_totals(documents), *sections])
    vendor = resources.files("localaws.preview") / "static" / "vendor" / "uplot"
    own = resources.files("quota_monitor.answers")
    data = msgspec.json.encode([_minutes(place, answer) for place, answer in drawn]).decode().replace("<", "\\u003c")
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>Bedrock quotas</title>
<style>{(vendor / "uPlot.min.css").read_text(encoding="utf-8")}</style>
<style>{(own / "page.css").read_text(encoding="utf-8")}</style>
</head>
<body>
<h1>Bedrock quotas: who fills them, and what to change</h1>
{body}
<script type="application/json" id="minutes">{data}</script>
<script>{(vendor / "uPlot.iife.min.js").read_text(encoding="utf-8")}</script>
<script>{(own / "page.js").read_text(encoding="utf-8")}</script>
</body>
</html>
"""


def _select(pools: Sequence[PoolAnswer]) -> list[PoolAnswer]:
    return [answer for answer in pools if answer.usage.minutes][:MAX_CHARTS]


def _overview(overview: Overview) -> Iterator[str]:
    """Yield the table of all places, with links to their sections, and the reasons of those that failed."""
    yield "<h2>Overview</h2>"
    yield from _lines([(head, "---") for head in overview.heads], map(_overview_cells, overview.rows))
    if overview.failed:
        yield "<h3>Could not look</h3>"
        yield "<ul>"
        yield from (
            f'<li><strong class="problem">{escape(row.place)}: </strong>{escape(row.reason)}</li>'
            for row in overview.failed
        )
        yield "</ul>"


def _overview_cells(row: Row) -> list[str]:
    place = escape(row.place)
    linked = place if row.section is None else f'<a href="#{_name_section(row.section)}">{place}</a>'
    result, *others = row.cells
    return [linked, f'<strong class="{_SEVERITIES[row.severity]}">{escape(result)}</strong>', *map(escape, others)]


def _name_section(number: int) -> str:
    return f"place-{number}"


def _all_totals(documents: Sequence[Document]) -> Iterator[str]:
    totals = list_all_totals(documents)
    if totals:
        yield f"<h2>{escape(markdown.ALL_PLACES)}</h2>"
        yield from _table(markdown.list_total_heads(documents[0]), markdown.write_total_rows(documents[0], totals))


def _document(document: Document, number: int) -> Iterator[str]:
    yield f'<h2 id="{_name_section(number)}">{escape(document.title or "Quota pools")}</h2>'
    yield f'<p class="note">{escape(str(document.window))}, from {escape(document.source)}.</p>'
    if document.selection:
        yield f"<p>{escape(document.selection)}</p>"
    totals = markdown.list_total_rows(document)
    if totals and document.listing:
        yield from _table(markdown.list_total_heads(document), totals)
    yield "<ul>"
    yield from (f"<li>{_paragraph(each)}</li>" for each in write_paragraphs(document))
    yield "</ul>"
    if document.pools:
        yield from _table(markdown.POOL_HEADS, map(markdown.write_pool_row, document.pools))
    if document.advice:
        rows_of_callers = (markdown.write_advice_row(answer, each) for answer, each in document.advice)
        yield "<h3>Callers</h3>"
        yield from _table(markdown.ADVICE_HEADS, rows_of_callers)
    if document.shows_usage:
        yield "<h3>Tokens</h3>"
        yield from _table(markdown.list_token_heads(document), markdown.list_token_rows(document))
        if totals and not document.listing:
            yield from _table(markdown.list_total_heads(document), totals)
        yield f'<p class="note">{escape(NOT_BILLED)}</p>'
    for position, answer in enumerate(_select(document.pools)):
        state = answer.verdict.state
        said = "" if state in {State.FINE, State.NO_QUOTA} else f": {escape(state)}"
        yield f"<h3>{escape(str(answer.usage.pool))}{said}</h3>"
        yield f'<p class="note">Tokens per minute{", and throttled requests" if answer.usage.throttled else ""}.</p>'
        yield f'<div id="pool-{number}-{position}"></div>'
    yield from (f'<p class="note">{escape(note)}</p>' for note in document.all_notes)


def _paragraph(paragraph: Paragraph) -> str:
    head = f'<strong class="{_class(paragraph.level)}">{escape(paragraph.head)}</strong>{_emphasise(paragraph.parts)}'
    items = "".join(f"<li>{_emphasise(item)}</li>" for item in paragraph.items)
    return f"{head}<ul>{items}</ul>" if items else head


def _emphasise(parts: Iterable[str]) -> str:
    return "".join(
        f"<strong>{escape(part)}</strong>" if number % 2 else escape(part) for number, part in enumerate(parts)
    )


def _class(level: Level) -> str:
    return _CLASSES.get(level.style, "plain")


def _table(heads: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield from _lines(heads, (map(escape, row) for row in rows))


def _lines(heads: Sequence[tuple[str, str]], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield a table whose cells are HTML."""
    yield '<div class="scroll"><table>'
    yield "<tr>" + "".join(f'<th class="{_side(line)}">{escape(head)}</th>' for head, line in heads) + "</tr>"
    for row in rows:
        cells = zip(row, heads, strict=True)
        yield "<tr>" + "".join(f'<td class="{_side(line)}">{cell}</td>' for cell, (_, line) in cells) + "</tr>"
    yield "</table></div>"


def _side(line: str) -> str:
    return "right" if line.endswith(":") else "left"


def _minutes(place: str, answer: PoolAnswer) -> dict[str, Any]:
    """Return what the chart of a pool draws. Minutes without calls in between are gaps."""
    usage = answer.usage
    by_minute = {minute.minute: minute for minute in usage.minutes[:MAX_POINTS]}
    known = sorted({each for minute in by_minute for each in (minute - 60, minute, minute + 60)})
    found = [by_minute.get(minute) for minute in known]
    return {
        "id": place,
        "quota": usage.token_quota,
        "minutes": known,
        "reserved": [None if each is None or not each.known_requests else each.reserved_tokens for each in found],
        "consumed": [None if each is None or not each.requests else each.consumed_tokens for each in found],
        "in_use": [None if each is None else each.in_use for each in found],
        "throttled": [None if each is None or not each.throttled else each.throttled for each in found],
    }
