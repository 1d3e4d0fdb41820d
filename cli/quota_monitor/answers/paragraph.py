"""A paragraph of the answers: its urgency, its first words, and the rest with emphasis."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Level(msgspec.Struct, frozen=True):
    """The urgency of a paragraph, as the style of its first words."""

    style: str


PROBLEM, WARNING, GOOD, PLAIN = Level("bold red"), Level("bold yellow"), Level("bold green"), Level("bold")


class Paragraph(msgspec.Struct, frozen=True):
    """A finding: its first words, and the rest, in which every second part is emphasised. So it is in each item."""

    level: Level
    head: str
    parts: tuple[str, ...] = ()
    items: tuple[tuple[str, ...], ...] = ()

    def __str__(self) -> str:
        return " ".join(["".join((self.head, *self.parts)), *map("".join, self.items)])


def join_words(parts: Iterable[str]) -> str:
    """Return words or names with commas, and `and` before the last one."""
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last
