"""Every command and subcommand of `quota-monitor`, derived from its click group."""

from collections.abc import Iterator

import click

from quota_monitor.main import main


def find_subcommands(command: click.Command = main, *names: str) -> Iterator[tuple[str, ...]]:
    """Yield the names of every command and subcommand, as they are typed."""
    yield names
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                assert below is not None
                yield from find_subcommands(below, *names, name)
