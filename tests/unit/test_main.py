"""`quota-monitor` itself: subcommands are imported when they are called, and its help says what they say."""

import click
import pytest
from click.testing import CliRunner

from quota_monitor.main import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_has_the_first_sentence_of_each_help(name: str) -> None:
    command = main.get_command(click.Context(main), name)

    assert command is not None
    assert command.name == name
    assert command.help is not None
    assert command.help.partition("\n")[0] == COMMANDS[name][1]
    assert f"{name:<8}  {COMMANDS[name][1]}" in CliRunner().invoke(main, ["--help"]).output


def test_an_unknown_command_is_wrong_usage() -> None:
    result = CliRunner().invoke(main, ["doktor"])

    assert result.exit_code == 2
    assert "No such command 'doktor'" in result.output


def test_version_is_the_packages() -> None:
    result = CliRunner().invoke(main, ["--version"])

    assert result.output.startswith("quota-monitor, version ")


def test_every_option_and_command_has_a_help_text() -> None:
    def commands(command: click.Command) -> list[click.Command]:
        with click.Context(command) as context:
            if not isinstance(command, click.Group):
                return [command]
            below = [command.get_command(context, name) for name in command.list_commands(context)]
        return [command, *(each for found in below if found is not None for each in commands(found))]

    found = commands(main)

    assert len(found) > len(COMMANDS)
    for command in found:
        assert command.help, command.name
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{command.name} {parameter.name}"
