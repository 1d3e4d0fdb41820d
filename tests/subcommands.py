"""Every command and subcommand of `quota-monitor`, derived from its click group."""

from collections.abc import Iterator

import click

from quota_monitor.main import main


def find_subcommands(command: click.Command = main, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command and subcommand, with its names as they are typed."""
    yield names, command
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                assert below is not None
                yield from find_subcommands(below, *names, name)
