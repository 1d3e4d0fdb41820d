"""The page on troubleshooting names every state of a pool, every check of the doctor and every alarm."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import resolved

from bedrock_quota.analysis.verdict import State
from quota_monitor.doctor.checks import CHECKS

PAGE = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


def rows_of(column: str) -> list[list[str]]:
    """The rows of the table whose first column has this heading."""
    found = re.search(rf"^\| {column} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert found is not None
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in found[1].splitlines()]


def states() -> list[str]:
    return [str(state) for state in State]


def checks() -> list[str]:
    """Names under which the doctor prints its findings, in its order."""
    return list(dict.fromkeys(inspect.getclosurevars(check).nonlocals["where"] for check in CHECKS))


def alarms() -> list[str]:
    resources = resolved.template()["Resources"]
    return [name for name, resource in resources.items() if resource["Type"] == "AWS::CloudWatch::Alarm"]


@pytest.mark.parametrize(
    ("column", "known"),
    [
        pytest.param("state", states, id="states of a pool"),
        pytest.param("check", checks, id="checks of the doctor"),
        pytest.param("alarm", alarms, id="alarms of the template"),
    ],
)
def test_each_has_a_row_with_its_meaning_and_what_to_do(column: str, known: Callable[[], list[str]]) -> None:
    rows = rows_of(column)

    assert [row[0] for row in rows] == [f"`{name}`" for name in known()]
    assert all(len(row) == 3 and all(row) for row in rows)


def test_the_page_begins_with_the_question_that_people_ask() -> None:
    headings = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)

    assert headings[0] == "Why am I throttled below my quota?"
