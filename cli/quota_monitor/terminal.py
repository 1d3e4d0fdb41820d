"""The terminal: how commands print tables, and how they report errors."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console

COULD_NOT_LOOK = 3
"""Exit code of a command that could not read the facts, so that nothing is known."""

WIDTH_IN_A_FILE = 132
"""Columns of a table that is not written to a terminal."""


def make_console() -> Console:
    """Return a console for tables, as wide as the terminal or COLUMNS, or `WIDTH_IN_A_FILE` wide in a file."""
    console = Console(highlight=False)
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return Console(highlight=False, width=WIDTH_IN_A_FILE)


def wrap_prose(text: str, width: int, indent: str = "") -> str:
    """Return a text with its lines broken between words. Words stay whole, and so do indented lines: commands."""
    return "\n".join(
        line
        if line.startswith(" ")
        else textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        for line in text.splitlines()
    )


@contextmanager
def errors_as_messages(
    *kinds: type[Exception],
    exit_code: int = click.ClickException.exit_code,
    explain: Callable[[Exception], str] = str,
) -> Iterator[None]:
    """Print errors of these kinds as one message instead of a traceback. `explain` returns the message."""
    try:
        yield
    except kinds as error:
        message = click.ClickException(explain(error))
        message.exit_code = exit_code
        raise message from error
