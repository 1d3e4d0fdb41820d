"""`quota-monitor` itself: subcommands are imported when they are called, and its help says what they say."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from subcommands import find_subcommands

from quota_monitor import program
from quota_monitor.main import SECTIONS, main
from quota_monitor.program import own_command

COMMANDS = {name: summary for commands in SECTIONS.values() for name, (_, summary) in commands.items()}
GROUPS = [
    pytest.param(names, group, id=" ".join(("quota-monitor", *names)))
    for names, group in find_subcommands()
    if isinstance(group, click.Group)
]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_has_the_first_sentence_of_each_help(name: str) -> None:
    command = main.get_command(click.Context(main), name)

    assert command is not None
    assert command.name == name
    assert command.help is not None
    assert command.help.partition("\n")[0] == COMMANDS[name]
    assert f"{name:<8}  {COMMANDS[name]}" in CliRunner().invoke(main, ["--help"]).output


def test_the_help_has_the_commands_in_groups() -> None:
    shown = CliRunner().invoke(main, ["--help"]).output
    found = {
        title: re.findall(r"^  ([a-z]+) ", text, re.MULTILINE)
        for title, text in re.findall(r"^(Answers|Operate|Try|Maintain):\n((?:  .*\n)+)", shown, re.MULTILINE)
    }

    assert found == {
        "Answers": ["analyze", "report", "explain", "increase"],
        "Operate": ["deploy", "doctor", "failed", "cost", "package"],
        "Try": ["demo", "local"],
        "Maintain": ["registry", "events"],
    }


@pytest.mark.parametrize(("names", "group"), GROUPS)
def test_summaries_are_whole_sentences_on_one_line_of_80_columns(names: tuple[str, ...], group: click.Group) -> None:
    shown = CliRunner().invoke(main, [*names, "--help"], terminal_width=80).output

    assert max(map(len, shown.splitlines())) <= 80
    with click.Context(group) as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            assert command.help is not None
            summary = command.help.partition("\n")[0]
            assert re.search(rf"^  {name} +{re.escape(summary)}$", shown, re.MULTILINE), summary
            assert summary.endswith(".")


def test_an_unknown_command_is_wrong_usage() -> None:
    result = CliRunner().invoke(main, ["doktor"])

    assert result.exit_code == 2
    assert "No such command 'doktor'" in result.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["anlyze"], "No such command 'anlyze'. Did you mean analyze?", id="of the main group"),
        pytest.param(["local", "dwon"], "No such command 'dwon'. Did you mean down?", id="of a group in it"),
        pytest.param(["xyzzy"], "No such command 'xyzzy'.\n", id="near none"),
    ],
)
def test_a_misspelt_command_is_answered_with_the_nearest(words: list[str], said: str) -> None:
    result = CliRunner().invoke(main, words)

    assert result.exit_code == 2
    assert said in result.output


def test_the_version_of_a_package_from_an_index_has_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "IS_CHECKOUT", False)

    shown = CliRunner().invoke(main, ["--version"]).output

    assert re.fullmatch(r"quota-monitor, version \d+\.\d+\.\d+\n", shown)


GIT = {
    "url": "https://github.com/o/r",
    "vcs_info": {"vcs": "git", "requested_revision": "v1", "commit_id": "0123456789ab"},
}


def test_the_version_of_a_package_from_git_has_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "IS_CHECKOUT", False)
    monkeypatch.setattr(program, "_direct_url", lambda: GIT)

    assert program.describe_version().endswith(" (commit 012345678)")


@pytest.mark.parametrize(
    ("started", "on_path", "source", "named"),
    [
        pytest.param("{bin}/quota-monitor", "{bin}", {}, "quota-monitor", id="on the PATH"),
        pytest.param("{bin}/quota-monitor", "/nowhere", {}, "{bin}/quota-monitor", id="by its path"),
        pytest.param("{bin}/quota-monitor", "{other}", {}, "{bin}/quota-monitor", id="another one is on the PATH"),
        pytest.param("{bin}/bedrock-quota-monitor", "{bin}", {}, "bedrock-quota-monitor", id="by its other name"),
        pytest.param("/usr/bin/pytest", "{bin}", {}, "quota-monitor", id="imported by another program"),
        pytest.param(
            "{uvx}/quota-monitor", "{uvx}", GIT, "uvx --from git+https://github.com/o/r@v1 quota-monitor", id="uvx, git"
        ),
        pytest.param(
            "{uvx}/quota-monitor", "{uvx}", {}, "uvx --from bedrock-quota-monitor quota-monitor", id="uvx, index"
        ),
    ],
)
def test_messages_name_the_program_as_it_was_started(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    started: str,
    on_path: str,
    source: Mapping[str, Any],
    named: str,
) -> None:
    places = {
        "bin": tmp_path / "bin",
        "other": tmp_path / "other",
        "uvx": tmp_path / "uv" / "archive-v0" / "x" / "bin",
    }
    for folder in places.values():
        folder.mkdir(parents=True)
        for name in program.SCRIPTS:
            (folder / name).write_text("#!/bin/sh\n")
            (folder / name).chmod(0o755)
    monkeypatch.setattr("sys.argv", [started.format(**places)])
    monkeypatch.setenv("PATH", on_path.format(**places))
    monkeypatch.setattr(program, "_direct_url", lambda: source)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)

    assert own_command("local", "down") == f"{named.format(**places)} local down"


WHEEL = {"url": "file:///x/bedrock_quota_monitor-0.1.0-py3-none-any.whl", "archive_info": {}}


@pytest.mark.parametrize(
    ("installed", "source", "place"),
    [
        pytest.param({"samcli"}, {}, "'bedrock-quota-monitor[local]'", id="index"),
        pytest.param({"samcli"}, WHEEL, f"'bedrock-quota-monitor[local] @ {WHEEL['url']}'", id="wheel"),
        pytest.param(
            {"samcli", "genai_prices"},
            GIT,
            "'bedrock-quota-monitor[local,prices] @ git+https://github.com/o/r@v1'",
            id="git, both extras",
        ),
        pytest.param({"genai_prices"}, {}, "'bedrock-quota-monitor[prices]'", id="prices"),
    ],
)
def test_a_command_of_uvx_has_the_extras_that_are_installed(
    monkeypatch: pytest.MonkeyPatch, installed: set[str], source: Mapping[str, Any], place: str
) -> None:
    monkeypatch.setattr("sys.argv", ["/uv/archive-v0/x/bin/quota-monitor"])
    monkeypatch.setattr(program, "_direct_url", lambda: source)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if name in installed else None)

    assert own_command("deploy") == f"uvx --from {place} quota-monitor deploy"


@pytest.mark.parametrize(
    ("running", "arguments", "named", "expected"),
    [
        pytest.param(
            ("report",),
            ["--region", "eu-west-1", "--profile", "a b", "--stack-name", "mine"],
            ("doctor",),
            "quota-monitor doctor --profile 'a b' --region eu-west-1 --stack-name mine",
            id="all three",
        ),
        pytest.param(("report",), [], ("doctor",), "quota-monitor doctor", id="defaults"),
        pytest.param(
            ("doctor",),
            ["--region", "eu-west-1"],
            ("failed", "replay", "--region", "us-east-1"),
            "quota-monitor failed replay --region us-east-1",
            id="already named",
        ),
        pytest.param(
            ("local", "status"), ["--state", "/x/s"], ("local", "up"), "quota-monitor local up --state /x/s", id="state"
        ),
        pytest.param(
            ("explain",),
            ["--at", "14:03", "--regions", "eu-west-1", "--log-group", "g"],
            ("analyze",),
            "quota-monitor analyze --regions eu-west-1 --log-group g",
            id="logs",
        ),
        pytest.param(
            ("analyze",),
            ["--profiles", "p", "--regions", "eu-west-1"],
            ("doctor",),
            "quota-monitor doctor --profile p --region eu-west-1",
            id="one of several",
        ),
        pytest.param(
            ("analyze",), ["--profiles", "p,q"], ("doctor",), "quota-monitor doctor", id="several of which one is meant"
        ),
        pytest.param(("report",), ["--region", "eu-west-1"], ("local", "down"), "quota-monitor local down", id="none"),
    ],
)
def test_commands_in_messages_select_the_same_place(
    running: tuple[str, ...], arguments: list[str], named: tuple[str, ...], expected: str
) -> None:
    command = dict(find_subcommands())[running]

    with command.make_context(running[-1], arguments):
        assert own_command(*named) == expected


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
