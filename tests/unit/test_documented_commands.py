"""Every block of code in the docs: tried by a test, or marked as needing an AWS account and then still well formed."""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from click.testing import CliRunner
from commands import check, lines_of, words_of

from quota_monitor.main import main

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    {page for pattern in ("*.md", "docs/*.md", "examples/*.md", ".github/**/*.md") for page in ROOT.glob(pattern)},
)
ACCOUNT = "# needs an AWS account"
"""First line of a block whose commands cannot be tried without."""

TRIED_BY = {
    "make demo": (".ci/run", "make demo"),
    "make test": (".ci/run", "make test\n"),
    "make test-fast": (".ci/run", "make test-fast"),
    "sam build": ("localaws/deployment.py", '"build"'),  # every end-to-end test runs on what it has built
    "sam local invoke": ("tests/e2e/test_sam_local.py", '"local", "invoke"'),
}
"""What tries a command that is too large to be run here, and where that says so; by the command's beginning."""


class Block(msgspec.Struct, frozen=True):
    page: str
    language: str
    text: str

    def __str__(self) -> str:
        lines = [line for line in self.text.strip().splitlines() if line != ACCOUNT]
        return f"{self.page}: {lines[0][:60] if lines else ''}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in re.finditer(r"^ *```(\w*)\n(.*?)^ *```$", text, flags=re.MULTILINE | re.DOTALL):
            yield Block(str(page.relative_to(ROOT)), found[1], found[2])


def collect_blocks(*languages: str) -> list[Any]:
    return [pytest.param(block, id=str(block)) for block in blocks() if block.language in languages]


@pytest.mark.parametrize("block", collect_blocks("sh"))
def test_every_command_names_what_is_there(block: Block) -> None:
    for command in lines_of(block.text):
        for part in re.split(r"\s&&\s|\s\|\s", command):
            check(part)


@pytest.mark.parametrize(
    "block", [each for each in collect_blocks("sh") if not each.values[0].text.startswith(ACCOUNT)]
)
def test_every_command_that_needs_no_account_is_tried(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for command in lines_of(block.text):
        for part in command.split(" && "):
            words = words_of(part)
            tried = [by for start, by in TRIED_BY.items() if words[: len(start.split())] == start.split()]
            for file, says in tried:
                assert says in (ROOT / file).read_text(encoding="utf-8")
            if not tried:
                assert words[0] == "quota-monitor", f"nothing tries: {part}"
                result = CliRunner().invoke(main, words[1:])
                assert result.exit_code == 0, result.output


@pytest.mark.parametrize("block", collect_blocks("toml", "json", "yaml"))
def test_data_is_well_formed(block: Block) -> None:
    read = {"toml": tomllib.loads, "json": json.loads, "yaml": yaml.safe_load}[block.language]

    assert read(block.text)


def test_every_language_is_known_and_no_command_hides_in_a_block_without_one() -> None:
    assert {block.language for block in blocks()} <= {"sh", "toml", "json", "yaml", "hcl", ""}
    for block in blocks():
        if not block.language:
            first = [shlex.split(line, comments=True)[:1] for line in block.text.splitlines()[:1]]
            assert first[0] not in ([["aws"]], [["sam"]], [["make"]], ["$"]), str(block)


def test_a_wrong_command_is_noticed() -> None:
    for wrong in (
        "aws logs put-filter --log-group-name x",
        "aws logs put-subscription-filter --log-group x",
        "aws sns subscribe --topic-arn x",
        "aws lambda get-policy --function-name a name of words",
        "aws lambda get-policy --function-name",
        "aws iam put-role-policy --role-name x --policy-name y --policy-document '{Version}'",
        "quota-monitor doktor",
        "quota-monitor doctor --stack x",
        "sam deploy --regions us-east-1",
    ):
        with pytest.raises((AssertionError, ValueError)):
            check(wrong)
