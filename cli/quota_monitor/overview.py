"""The overview of several places: one row per account and Region, the worst first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import TypeVar

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from quota_monitor.places import Found, Reply

COULD_NOT_LOOK = "could not look"
"""Result of a place that failed. The reason is beside the table."""

NOTHING = "–"
"""Cell that says that there is nothing. A table that is too wide leaves it out."""

PLACE = "Place"
RESULT = "Result"
"""The first two columns of every overview."""


class Severity(IntEnum):
    """Severity of a place, the worst first. The rows are in this order."""

    FAILED = 0
    PROBLEM = 1
    WARNING = 2
    OK = 3


class Summary(msgspec.Struct, frozen=True):
    """A place in one row. `cells` has the result in a few words first."""

    severity: Severity
    cells: tuple[str, ...]


class Row(msgspec.Struct, frozen=True):
    """A place, its cells, and the reason if it failed. `section` is its number among the places that did not fail."""

    place: str
    severity: Severity
    cells: tuple[str, ...]
    exit_code: int
    reason: str = ""
    section: int | None = None


class Overview(msgspec.Struct, frozen=True):
    """A table with one row per place. Nothing is added up, because quotas belong to an account and Region."""

    heads: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def failed(self) -> tuple[Row, ...]:
        """Return the places that failed."""
        return tuple(row for row in self.rows if row.severity is Severity.FAILED)


Value = TypeVar("Value", bound=Found)


def make_overview(
    heads: Sequence[str], replies: Sequence[Reply[Value]], summarize: Callable[[Value], Summary]
) -> Overview:
    """Return the overview of replies, the worst first, and equals in the order given.

    `heads` are those of the cells after the result.
    """
    rows, sections = [], 0
    for reply in replies:
        if reply.value is None:
            cells = (COULD_NOT_LOOK, *[""] * len(heads))
            rows.append(Row(reply.name, Severity.FAILED, cells, reply.exit_code, reply.reason))
            continue
        summary = summarize(reply.value)
        rows.append(Row(reply.name, summary.severity, summary.cells, reply.exit_code, section=sections))
        sections += 1
    return Overview((PLACE, RESULT, *heads), tuple(sorted(rows, key=lambda row: row.severity)))


def print_overview(console: Console, overview: Overview, *, below: Sequence[str] = ()) -> None:
    """Print the table. While it is too wide, the next column of `below` goes below the column to its left."""
    heads, rows = overview.heads, overview.rows
    table = _make_table(heads, rows)
    for head in below:
        if console.measure(table, options=console.options.update(width=MAX_WIDTH)).maximum <= console.width:
            break
        place = next(place for place, each in enumerate(heads) if each.startswith(head))
        heads = _join_cell(heads, place)
        rows = tuple(msgspec.structs.replace(row, cells=_join_cell(row.cells, place - 1)) for row in rows)
        table = _make_table(heads, rows)
    console.print(table)


MAX_WIDTH = 1_000
"""Width in which every table fits, to measure the one that it needs."""


def _make_table(heads: Sequence[str], rows: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold", no_wrap=head == PLACE)
    for row in rows:
        table.add_row(Text(row.place), *map(Text, row.cells), style="red" if row.exit_code else "")
    return table


def _join_cell(cells: Sequence[str], place: int) -> tuple[str, ...]:
    """Return cells with that at a place below the one before it."""
    joined = "\n".join(cell for cell in cells[place - 1 : place + 1] if cell not in {"", NOTHING})
    return (*cells[: place - 1], joined, *cells[place + 1 :])


def print_failed(console: Console, overview: Overview) -> None:
    """Print the reason of each place that failed, on one line."""
    for row in overview.failed:
        console.print(Text.assemble((f"{row.place}: ", "bold red"), row.reason), soft_wrap=True)
