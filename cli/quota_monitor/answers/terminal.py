"""Answers in the terminal: paragraphs, then tables that drop columns before they cut a number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bedrock_quota.analysis.advice import Action, Advice, Reason
from bedrock_quota.analysis.answers import PoolAnswer
from bedrock_quota.analysis.usage import PoolUsage
from bedrock_quota.pools import QuotaPool
from quota_monitor.answers.document import Document
from quota_monitor.answers.markdown import ALL_PLACES
from quota_monitor.answers.numbers import count, percent
from quota_monitor.answers.tokens import (
    HEADS,
    NOT_BILLED,
    TOTAL_HEADS,
    list_all_totals,
    list_callers,
    list_totals,
    write_cells,
    write_price,
    write_total_cells,
    write_total_price,
)
from quota_monitor.answers.words import write_paragraphs

CRITICAL_PERCENT = 100
WARNING_PERCENT = 80

MAX_ADVICE = 15
"""Callers that are listed in the terminal. Files list all."""

MIN_NAME = 29
"""Characters of the first column that are kept whole, before other columns are dropped."""

_SPACE = 3
"""Columns between two columns of a table."""


def render(document: Document, width: int) -> RenderableType:
    """Return everything about a document, ready to print at this width."""
    parts: list[RenderableType] = [_head(document)]
    if document.selection:
        parts.append(Text(document.selection))
    parts.append("")
    totals = list_totals(document) if document.shows_usage and document.pools else []
    if totals and document.listing:  # what the user asked for comes first
        parts += _table(_total_columns(document), totals, width)
    findings = Table.grid(padding=(0, 1, 1, 0))
    for paragraph in write_paragraphs(document):
        text = _emphasise(paragraph.parts, Text(paragraph.head, style=paragraph.level.style))
        items = Table.grid(padding=(0, 1, 0, 0))
        for item in paragraph.items:
            items.add_row("–", _emphasise(item, Text()))
        findings.add_row("▸", Group(text, items) if paragraph.items else text)
    parts.append(findings)
    if document.pools:
        parts += _table([_POOL, *_POOL_COLUMNS], document.pools, width)
    advice = document.advice
    if advice:
        parts += _table(_advice_columns(), advice[:MAX_ADVICE], width)
        if len(advice) > MAX_ADVICE:
            parts.append(
                Text(f"{count(len(advice) - MAX_ADVICE, 'more line')} in --json, --csv or --html.\n", style="dim")
            )
    if document.shows_usage and document.pools:
        parts += _table(_token_columns(document), list(list_callers(document)), width)
        if totals and not document.listing:
            parts += _table(_total_columns(document), totals, width)
        parts.append(Text(NOT_BILLED, style="dim"))
    parts += [Text(note, style="dim") for note in _notes(document)]
    return Group(*parts)


def _emphasise(parts: Iterable[str], text: Text) -> Text:
    """Append parts, of which every second one is bold."""
    for number, part in enumerate(parts):
        text.append(part, style="bold" if number % 2 else "not bold default")
    return text


def render_all_totals(documents: Sequence[Document], width: int) -> RenderableType | None:
    """Return the totals over several accounts and Regions, if there are any."""
    totals = list_all_totals(documents)
    if not totals:
        return None
    return Group(Text(ALL_PLACES, style="bold"), *_table(_total_columns(documents[0]), totals, width))


def _head(document: Document) -> Text:
    requests = sum(answer.usage.requests for answer in document.pools)
    pools = count(len(document.pools), "quota pool")
    title = f"{document.title}: " if document.title else ""
    left_out = sum(document.counts.values())
    more = f". {count(left_out, 'more record')} left out, see below" if left_out else ""
    return Text(
        f"{title}{count(requests, 'request')} to {pools}, {document.window}, from {document.source}{more}", style="bold"
    )


def _notes(document: Document) -> Iterator[str]:
    left_out = {name: number for name, number in document.counts.items() if number}
    if left_out:
        yield (
            "Records that are not in these numbers: " + ", ".join(f"{n:,} {name}" for name, n in left_out.items()) + "."
        )
    yield from document.all_notes


# ---------------------------------------------------------------- tables


class Column(msgspec.Struct, frozen=True):
    """A column of a table. Those with a low `rank` are kept longest. A cell may have several lines."""

    head: str
    rank: int
    cell: Callable[..., Text]
    left: bool = False


def _table(columns: list[Column], rows: Iterable[object], width: int) -> Iterator[RenderableType]:
    """Yield a table with the columns that fit into this width whole, those with the lowest rank first, and a hint.

    The hint names the columns that are left out.

    The first column may take several lines, but not less than `MIN_NAME` characters.
    """
    cells = {column.head: [column.cell(row) for row in rows] for column in columns}
    widths = {column.head: _measure(column.head, cells[column.head]) for column in columns}
    first, *others = sorted(columns, key=lambda column: column.rank)
    needed = {first.head: min(widths[first.head], MIN_NAME)} | {each.head: widths[each.head] for each in others}
    kept = [first, *others]
    while len(kept) > 2 and sum(needed[column.head] + _SPACE for column in kept) - 1 > width:
        kept.pop()
    left = width - sum(needed[column.head] + _SPACE for column in kept[1:]) - 2
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1), pad_edge=False)
    for column in columns:
        if column is first:
            table.add_column(column.head, overflow="fold")
        elif column in kept:
            table.add_column(
                column.head, justify="left" if column.left else "right", no_wrap=True, min_width=widths[column.head]
            )
    for number, name in enumerate(cells[first.head]):
        others_of_row = (cells[column.head][number] for column in columns if column in kept and column is not first)
        table.add_row(break_name(name, left), *others_of_row)
    yield table
    left_out = [column.head.replace("\n", " ") for column in columns if column not in kept]
    if left_out:
        yield Text(f"Left out at {width} columns: {', '.join(left_out)}.\n", style="dim")


def _measure(head: str, cells: Iterable[Text]) -> int:
    """Return the width of a column whose lines are not broken."""
    return max(Text(line).cell_len for cell in (head, *map(str, cells)) for line in cell.split("\n"))


def break_name(name: Text, width: int) -> Text:
    """Return a name with its lines broken after a dot, a hyphen, a slash or a space, so that no number is cut."""
    lines: list[Text] = []
    for line in name.split("\n"):
        rest = line
        while rest.cell_len > width:
            cut = _find_break(rest.plain, width)
            lines.append(rest[:cut])
            rest = Text("  ") + rest[cut:]
        lines.append(rest)
    return Text("\n").join(lines)


def _find_break(line: str, width: int) -> int:
    """Return where to break a line: after the last space, or else after the last dot, hyphen or slash."""
    for breaks in (" ", ".-/"):
        found = [place + 1 for place, letter in enumerate(line[:width]) if letter in breaks]
        if found and found[-1] > width // 3:
            return found[-1]
    return width


def _pool_name(usage: PoolUsage) -> Text:
    return Text(f"{usage.pool.model_id}\n") + Text(f"  {usage.pool.endpoint_type}", style="dim")


def _quota(quota: float | None) -> Text:
    if quota is None:
        return Text("unknown", style="dim")
    return Text("0", style="bold red") if quota == 0 else Text(f"{quota:,.0f}")


def _peak(value: float | None, quota: float | None) -> Text:
    if value is None:
        return Text("unknown", style="dim")
    shown = Text(f"{value:,.0f}")
    return shown + Text(f"\n{percent(value, quota)}", style=_style(100 * value / quota)) if quota else shown


def _style(value: float) -> str:
    if value >= CRITICAL_PERCENT:
        return "bold red"
    return "yellow" if value >= WARNING_PERCENT else "green"


def _requests(usage: PoolUsage) -> Text:
    throttled = f"\n({usage.throttled:,})" if usage.throttled else ""
    return Text(f"{usage.requests:,}") + Text(throttled, style="red")


def _most(usage: PoolUsage) -> Text:
    total = sum(caller.reserved_tokens for caller in usage.callers)
    if not total:
        return Text("unknown", style="dim") if usage.requests else Text()
    caller = usage.callers[0]
    return Text(caller.caller) + Text(f"\n{percent(caller.reserved_tokens, total)} of it", style="dim")


def _coverage(usage: PoolUsage) -> Text:
    return Text(f"{usage.coverage:.0%}", style="" if usage.coverage == 1 else "yellow") if usage.requests else Text()


_POOL = Column("Model\nand endpoint type", 0, lambda answer: _pool_name(answer.usage), left=True)

_POOL_COLUMNS = [
    Column("Quota\nTPM", 1, lambda answer: _quota(answer.usage.token_quota)),
    Column(
        "Reserved\npeak TPM",
        2,
        lambda answer: _peak(answer.usage.peak_reserved if answer.usage.requests else 0, answer.usage.token_quota),
    ),
    Column("Consumed\npeak TPM", 3, lambda answer: _peak(answer.usage.peak_consumed, answer.usage.token_quota)),
    Column("Requests\n(throttled)", 4, lambda answer: _requests(answer.usage)),
    Column("Requests\npeak RPM", 5, lambda answer: _peak(answer.usage.peak_requests, answer.usage.request_quota)),
    Column("Coverage", 6, lambda answer: _coverage(answer.usage)),
    Column("Reserves\nmost", 7, lambda answer: _most(answer.usage), left=True),
]


_Row = tuple[PoolAnswer, Advice]


def _proposal(advice: Advice) -> Text:
    if advice.reason is Reason.ALL_THROTTLED:
        return Text("throttled", style="red")
    if advice.max_tokens is None:
        return Text("leave", style="dim")
    style = "bold" if advice.action is Action.SET else "bold yellow"
    proposal = Text(f"{'set' if advice.action is Action.SET else 'raise to'} {advice.max_tokens:,}", style=style)
    if not advice.rests_on_few:
        return proposal
    return proposal + Text(f"\n{count(advice.calls, 'answer')}:\ntake more days", style="not bold yellow")


def _limit(advice: Advice) -> Text:
    limit = advice.limit
    if limit is None:
        return Text("unknown", style="dim")
    return Text(f"{limit.max_tokens:,}") + Text(f"\n{limit.source}", style="dim")


def _quantile(tokens: int | None) -> Text:
    return Text("–", style="dim") if tokens is None else Text(f"{tokens:,}")


def _freed(row: _Row) -> Text:
    answer, advice = row
    if advice.max_tokens is None or not advice.freed_tokens:
        return Text("–", style="dim")
    quota = answer.usage.token_quota
    share = f"\n{percent(advice.freed_percent, 100)}" if quota and advice.freed_percent is not None else ""
    return Text(f"{advice.freed_tokens:,.0f}{share}")


_TOKEN_RANKS = (1, 2, 3, 7, 8, 5, 6)
_BILL_RANKS = (6, 2, 3, 4, 5, 7, 8)
"""Ranks of the columns of `HEADS`. Billed tokens are kept longest if dollars are shown."""


def _token_columns(document: Document) -> list[Column]:
    columns = [
        Column(
            f"{document.by_title}\nand pool",
            0,
            lambda row: _caller_name(document.name_group(row[1].caller), row[0]),
            left=True,
        )
    ]
    ranks = _TOKEN_RANKS if document.prices is None else _BILL_RANKS
    columns += [
        Column(
            head.replace(" ", "\n", 1),
            rank,
            lambda row, number=number: Text(write_cells(document, row[1])[number].replace(" ", "\n")),
        )
        for number, (head, rank) in enumerate(zip(HEADS, ranks, strict=True))
    ]
    if document.prices is not None:
        columns.append(Column("US$", 1, lambda row: Text(write_price(document, *row))))
    return columns


def _total_columns(document: Document) -> list[Column]:
    columns = [
        Column(f"{document.by_title},\nall pools", 0, lambda row: Text(document.name_group(row.name)), left=True)
    ]
    columns += [
        Column(
            head.replace(" ", "\n", 1),
            rank,
            lambda row, number=number: Text(write_total_cells(row)[number].replace(" ", "\n")),
        )
        for number, (head, rank) in enumerate(zip(TOTAL_HEADS, _BILL_RANKS, strict=False))
    ]
    if document.prices is not None:
        columns.append(Column("US$", 1, lambda row: Text(write_total_price(row))))
    return columns


def _caller_name(caller: str, pool: QuotaPool) -> Text:
    return Text(f"{caller}\n") + Text(f"  {pool}", style="dim")


def _advice_columns() -> list[Column]:
    """Return the columns of the table on callers. They are numbered in the order in which they are kept."""
    return [
        Column(
            "Caller\nand pool",
            0,
            lambda row: _caller_name(row[1].caller, row[0].usage.pool),
            left=True,
        ),
        Column("max_tokens\nnow", 2, lambda row: _limit(row[1])),
        Column("Output\nlargest", 3, lambda row: Text(f"{row[1].sizes.largest:,}")),
        Column("Output\np99", 5, lambda row: _quantile(row[1].sizes.p99)),
        Column("Output\np50", 7, lambda row: _quantile(row[1].sizes.p50)),
        Column("Cut", 6, lambda row: Text(percent(row[1].cut_answers, row[1].calls or 1))),
        Column("Answers", 8, lambda row: Text(f"{row[1].calls:,}")),
        Column("Proposal", 1, lambda row: _proposal(row[1])),
        Column("Freed at the\npool's peak", 4, _freed),
    ]
