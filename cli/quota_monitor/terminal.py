"""The terminal: how commands print tables, and how they report errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console

COULD_NOT_LOOK = 3
"""Exit code of a command that could not read the facts, so that nothing is known."""

WIDTH_IN_A_FILE = 132
"""Columns of a table that is not written to a terminal."""


def make_console() -> Console:
    """Return a console for tables, as wide as the terminal, or `WIDTH_IN_A_FILE` wide in a file."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH_IN_A_FILE)


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
