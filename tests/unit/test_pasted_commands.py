"""Commands in messages of the source: each exists, and each of our own is named as the user started it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import check

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "cli" / "quota_monitor").rglob("*.py"))

NOT_MESSAGES = {"models_page.py", "command_reference.py", "failure_test.py"}
"""Modules that write pages, and one with a mark in an event."""

VALUES = {"--hours": "3", "--parameter": "MonitoringAccount=123456789012"}
"""Values of options that take no text of any kind."""

NEEDED = {"deploy": ("--regions", "us-east-1")}
"""Options that `own` adds, because a stack is in a Region."""


TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}


def own_commands(tree: ast.Module) -> Iterator[str]:
    """Yield the commands that `own_command` and `own` get. Words that are not in the source get an example's value."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id in {"own_command", "own"}:
            arguments = node.args[1:] if node.func.id == "own" else node.args
            words = [str(each.value) if isinstance(each, ast.Constant) else "" for each in arguments]
            if words[0]:
                words = [word or VALUES.get(before, "VALUE") for before, word in zip(["", *words], words, strict=False)]
                yield " ".join(["quota-monitor", *words, *NEEDED.get(words[0], ())])


def messages(tree: ast.Module) -> Iterator[str]:
    """Yield the texts of a module that are no docstrings."""
    notes = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in notes:
            yield node.value


COMMANDS = sorted({each for tree in TREES.values() for each in own_commands(tree)})


@pytest.mark.parametrize("command", COMMANDS)
def test_our_own_commands_exist(command: str) -> None:
    check(command)


def test_there_are_enough_of_them() -> None:
    assert len(COMMANDS) >= 14


def test_no_message_names_the_program_by_hand() -> None:
    texts = [text for path, tree in TREES.items() if path.name not in NOT_MESSAGES for text in messages(tree)]

    assert [text for text in texts if re.search(r"(^|[`\s])quota-monitor [a-z]", text)] == []


@pytest.mark.parametrize(
    ("path", "command"),
    [
        pytest.param(path, found, id=found)
        for path, tree in TREES.items()
        for text in messages(tree)
        for found in re.findall(r"`((?:aws|sam) [a-z][^`]*)`", text)
    ],
)
def test_commands_of_others_in_messages_exist(path: Path, command: str) -> None:
    known_to_the_aws_cli_alone = {"aws configure", "aws configure list-profiles", "aws sso login"}

    if command not in known_to_the_aws_cli_alone:
        check(command)
    assert path.suffix == ".py"
