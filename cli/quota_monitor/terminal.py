"""The terminal: how commands print tables, and how they report errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console

WIDTH_IN_A_FILE = 132
"""Columns of a table that is not written to a terminal."""


def make_console() -> Console:
    """Return a console for tables, as wide as the terminal, or `WIDTH_IN_A_FILE` wide in a file."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH_IN_A_FILE)


@contextmanager
def errors_as_messages(*kinds: type[Exception]) -> Iterator[None]:
    """Print errors of these kinds as one message instead of a traceback."""
    try:
        yield
    except kinds as error:
        raise click.ClickException(str(error)) from error
