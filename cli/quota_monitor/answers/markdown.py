"""Answers as Markdown, for an issue, a ticket or a chat."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from bedrock_quota.analysis.advice import Action, Advice
from bedrock_quota.analysis.answers import PoolAnswer
from quota_monitor.answers.document import Document
from quota_monitor.answers.numbers import count, percent
from quota_monitor.answers.paragraph import Paragraph
from quota_monitor.answers.tokens import (
    HEADS,
    NOT_BILLED,
    TOTAL_HEADS,
    GroupTotal,
    list_all_totals,
    list_callers,
    list_totals,
    write_cells,
    write_price,
    write_requests,
    write_total_cells,
    write_total_price,
)
from quota_monitor.answers.words import write_paragraphs
from quota_monitor.overview import Overview, Row

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~@])")


def to_markdown(documents: Sequence[Document], overview: Overview | None = None, *, is_summary: bool = False) -> str:
    """Return the findings and tables of each document. The overview and the totals of several places come first.

    With `is_summary` there are only these two.
    """
    sections = () if is_summary else documents
    summary = _overview(overview, sections) if overview is not None else ()
    lines = (line for document in sections for line in _document(document))
    return "\n".join([*summary, *_all_totals(documents), *lines])


def escape(text: str) -> str:
    """Return a text that Markdown prints as it is, on one line. A name in a log may contain anything."""
    return _SPECIAL.sub(r"\\\1", re.sub(r"[\r\n\t]+", " ", text))


def write_paragraph(paragraph: Paragraph) -> str:
    """Return one finding as an item of a list, with a list of its own items."""
    lines = [f"- {_bold(paragraph.head)}{_emphasise(paragraph.parts)}".rstrip()]
    return "\n".join([*lines, *(f"  - {_emphasise(item)}" for item in paragraph.items)])


def _emphasise(parts: Iterable[str]) -> str:
    return "".join(_bold(part) if number % 2 else escape(part) for number, part in enumerate(parts))


def _bold(text: str) -> str:
    """Return a text in bold. Markdown knows no blanks at the edge of it."""
    inside = text.strip()
    if not inside:
        return text
    before, _, after = text.partition(inside)
    return f"{before}**{escape(inside)}**{after}"


def _overview(overview: Overview, documents: Sequence[Document]) -> Iterator[str]:
    """Yield the table of all places. A place links to its section, if the text has one."""
    yield "## Overview"
    yield ""
    yield from _lines(
        [(head, "---") for head in overview.heads],
        ((_link(row, documents), *map(escape, row.cells)) for row in overview.rows),
    )
    yield from (f"- {_bold(f'{row.place}:')} {escape(row.reason)}" for row in overview.failed)
    if overview.failed:
        yield ""


def _link(row: Row, documents: Sequence[Document]) -> str:
    place = escape(row.place)
    if row.section is None or row.section >= len(documents):
        return place
    return f"[{place}](#{_make_anchor(documents[row.section].title)})"


def _make_anchor(heading: str) -> str:
    """Return the anchor that GitHub and GitLab give a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _all_totals(documents: Sequence[Document]) -> Iterator[str]:
    totals = list_all_totals(documents)
    if totals:
        yield f"## {ALL_PLACES}"
        yield ""
        yield from _table(list_total_heads(documents[0]), write_total_rows(documents[0], totals))


def _document(document: Document) -> Iterator[str]:
    yield f"## {escape(document.title or 'Quota pools')}"
    yield ""
    yield f"{document.window}, from {escape(document.source)}."
    yield ""
    if document.selection:
        yield escape(document.selection)
        yield ""
    totals = list_total_rows(document)
    if totals and document.listing:
        yield from _table(list_total_heads(document), totals)
    yield from map(write_paragraph, write_paragraphs(document))
    yield ""
    if document.pools:
        yield from _table(POOL_HEADS, map(write_pool_row, document.pools))
    if document.advice:
        yield from _table(ADVICE_HEADS, (write_advice_row(answer, each) for answer, each in document.advice))
    if document.shows_usage:
        yield from _table(list_token_heads(document), list_token_rows(document))
        if totals and not document.listing:
            yield from _table(list_total_heads(document), totals)
        yield NOT_BILLED
        yield ""
    for note in document.all_notes:
        yield escape(note)
        yield ""


def _table(heads: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield from _lines(heads, (map(escape, row) for row in rows))


def _lines(heads: Sequence[tuple[str, str]], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield the lines of a table whose cells are Markdown."""
    yield "| " + " | ".join(head for head, _ in heads) + " |"
    yield "|" + "|".join(line for _, line in heads) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


ALL_PLACES = "All accounts and Regions"
"""Heading of totals over several documents."""

POOL_HEADS = (
    ("Quota pool", "---"),
    ("State", "---"),
    ("Quota TPM", "--:"),
    ("Reserved, peak TPM", "--:"),
    ("Consumed, peak TPM", "--:"),
    ("Requests (throttled)", "--:"),
    ("Peak RPM", "--:"),
)


def write_pool_row(answer: PoolAnswer) -> tuple[str, ...]:
    """Return the cells of a pool, in the order of `POOL_HEADS`."""
    usage = answer.usage
    return (
        str(usage.pool),
        str(answer.verdict.state),
        "unknown" if usage.token_quota is None else f"{usage.token_quota:,.0f}",
        _share(usage.peak_reserved if usage.requests else 0, usage.token_quota),
        _share(usage.peak_consumed, usage.token_quota),
        write_requests(usage.requests, usage.throttled),
        _share(usage.peak_requests, usage.request_quota),
    )


ADVICE_HEADS = (
    ("Caller", "---"),
    ("Quota pool", "---"),
    ("max_tokens now", "--:"),
    ("Largest output", "--:"),
    ("p99", "--:"),
    ("Cut", "--:"),
    ("Answers", "--:"),
    ("Proposal", "---"),
    ("Freed at the pool's peak", "--:"),
)


def write_advice_row(answer: PoolAnswer, advice: Advice) -> tuple[str, ...]:
    """Return the cells of a caller in a pool, in the order of `ADVICE_HEADS`."""
    limit, quota = advice.limit, answer.usage.token_quota
    freed = ""
    if advice.max_tokens is not None:
        share = f" ({percent(advice.freed_percent, 100)})" if quota and advice.freed_percent is not None else ""
        freed = f"{advice.freed_tokens:,.0f}{share}"
    return (
        advice.caller,
        str(answer.usage.pool),
        "unknown" if limit is None else f"{limit.max_tokens:,} ({limit.source})",
        f"{advice.sizes.largest:,}",
        "–" if advice.sizes.p99 is None else f"{advice.sizes.p99:,}",
        percent(advice.cut_answers, advice.calls or 1),
        f"{advice.calls:,}",
        propose(advice),
        freed,
    )


def list_token_heads(document: Document) -> list[tuple[str, str]]:
    """Return the heads of the table of tokens by caller."""
    heads = [
        (document.by_title, "---"),
        ("Quota pool", "---"),
        *((head, "--:") for head in HEADS),
    ]
    return [*heads, ("US$", "--:")] if document.prices is not None else heads


def list_token_rows(document: Document) -> Iterator[list[str]]:
    """Yield the rows of the table of tokens by caller."""
    for pool, caller in list_callers(document):
        row = [document.name_group(caller.caller), str(pool), *write_cells(document, caller)]
        yield [*row, write_price(document, pool, caller)] if document.prices is not None else row


def list_total_heads(document: Document) -> list[tuple[str, str]]:
    """Return the heads of the table of totals over all pools."""
    heads = [(f"{document.by_title}, all pools", "---"), *((head, "--:") for head in TOTAL_HEADS)]
    return [*heads, ("US$", "--:")] if document.prices is not None else heads


def list_total_rows(document: Document) -> list[list[str]]:
    """Return the rows of the table of totals over all pools, if there is one."""
    return write_total_rows(document, list_totals(document)) if document.shows_usage else []


def write_total_rows(document: Document, totals: Sequence[GroupTotal]) -> list[list[str]]:
    """Return totals as rows of a table."""
    rows = [(total, [document.name_group(total.name), *write_total_cells(total)]) for total in totals]
    return [[*row, write_total_price(total)] if document.prices is not None else row for total, row in rows]


def propose(advice: Advice) -> str:
    """Return the proposal in words."""
    if advice.max_tokens is None:
        return f"leave it: {advice.reason}"
    few = f" ({count(advice.calls, 'answer')}: take more days)" if advice.rests_on_few else ""
    return f"{'set' if advice.action is Action.SET else 'raise to'} {advice.max_tokens:,}{few}"


def _share(value: float | None, quota: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:,.0f} ({percent(value, quota)})" if quota else f"{value:,.0f}"
