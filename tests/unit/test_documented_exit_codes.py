"""The exit codes in the docs are those of the command line, each with one meaning."""

import re
from collections.abc import Iterator

import click
from documented import PAGES, name_of

from quota_monitor.deployment.deploy import INTERRUPTED
from quota_monitor.terminal import COULD_NOT_LOOK

DONE, FOUND_A_PROBLEM = 0, click.ClickException.exit_code
WRONG_USAGE = click.UsageError.exit_code

TABLE = re.compile(r"^\| (?:exit )?code \| meaning \|\n\|[-| ]+\|\n((?:\|.*\n)+)", re.MULTILINE | re.IGNORECASE)


def codes_of(text: str) -> Iterator[list[int]]:
    """The codes of each table of exit codes on a page."""
    for table in TABLE.findall(text):
        yield [int(row.strip("| ").split(" | ")[0].strip("`")) for row in table.splitlines()]


def test_tables_of_exit_codes_have_those_of_the_command_line() -> None:
    known = [DONE, FOUND_A_PROBLEM, WRONG_USAGE, COULD_NOT_LOOK, INTERRUPTED]
    tables = {name_of(page): list(codes_of(page.read_text(encoding="utf-8"))) for page in PAGES}
    listed = [codes for of_page in tables.values() for codes in of_page]

    assert known == [0, 1, 2, 3, 130]  # which design and users rely on
    assert tables["docs/command-line.md"] == [known]
    assert {code for codes in listed for code in codes} == set(known)
    for codes in listed:
        assert codes == sorted(set(codes))


def test_tables_are_found() -> None:
    text = "a\n\n| Exit code | Meaning |\n|---|---|\n| 0 | b |\n| `3` | c |\n\n| code | other |\n|---|---|\n| 7 | d |\n"

    assert list(codes_of(text)) == [[0, 3]]
