"""Groups of commands. Their help shows whole summaries, and imports a command only if it has to."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

import click

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C stopped: 128 and the number of the signal."""

Commands = Mapping[str, tuple[str, str]]
"""Module and name of each command, as `module:name`, and the first sentence of its help."""


class SuggestingGroup(click.Group):
    """A group that names the nearest command for one that does not exist."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command of the first word. Raise `click.UsageError` if there is none."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            nearest = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            if nearest:
                error.message += f" Did you mean {nearest[0]}?"
            raise


class WholeSummaryGroup(SuggestingGroup):
    """A group whose help has the first sentence of each command, however long it is."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        names = self.list_commands(ctx)
        found = [(name, self.get_command(ctx, name)) for name in names]
        with formatter.section("Commands"):
            formatter.write_dl([(name, read_summary(command)) for name, command in found if command is not None])


def read_summary(command: click.Command) -> str:
    """Return the first line of a command's help."""
    return (command.help or "").partition("\n")[0]


class LazyGroup(SuggestingGroup):
    """A group that imports a command when it is called, as click's documentation shows it.

    Its help lists the commands in sections.
    """

    def __init__(self, *args: Any, sections: Mapping[str, Commands], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections = sections
        self._places = {name: place for commands in sections.values() for name, (place, _) in commands.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands, in the order of the help."""
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Import a command. Return None if there is none of this name."""
        if cmd_name not in self._places:
            return None
        module, _, name = self._places[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{name} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Write the list of commands without importing them, in columns that all sections share."""
        width = max(map(len, self._places))
        for title, commands in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), summary) for name, (_, summary) in commands.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. Ctrl-C has the exit code that a shell gives it, because 1 means that a problem was found."""
        _drop_unusable_columns()
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _stop()
        except click.Abort as error:  # click raises it for Ctrl-C at a question, for "no", and at the end of the input
            if isinstance(error.__context__, KeyboardInterrupt):
                _stop()
            raise


def _stop() -> NoReturn:
    click.echo("Stopped.", err=True)
    sys.exit(INTERRUPTED)


def _drop_unusable_columns() -> None:
    """Remove COLUMNS from the environment unless it is a positive number. rich prints no table in 0 columns."""
    columns = os.environ.get("COLUMNS", "")
    if not (columns.isdecimal() and int(columns) > 0):
        os.environ.pop("COLUMNS", None)
