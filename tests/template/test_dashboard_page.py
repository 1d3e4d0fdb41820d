"""docs/dashboard.md names what is on the dashboard."""

import functools
import json
import re
from pathlib import Path

import pytest
import resolved

PAGE = (Path(__file__).parents[2] / "docs" / "dashboard.md").read_text(encoding="utf-8")
NAMES = sorted(set(re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", PAGE)) - {"reserved"})  # which is a service tier


@functools.cache
def shown() -> str:
    """Return all that people can read on the dashboard, and the names of the saved queries."""
    template = resolved.template()
    queries = [
        each["Properties"] for each in template["Resources"].values() if each["Type"] == "AWS::Logs::QueryDefinition"
    ]
    return json.dumps([resolved.dashboard(template, "team"), queries])


def test_names_are_found() -> None:
    assert len(NAMES) > 15


@pytest.mark.parametrize("name", NAMES)
def test_what_the_page_names_is_on_the_dashboard(name: str) -> None:
    assert name in shown()


def test_columns_are_those_of_the_query() -> None:
    columns = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)

    assert len(columns) == 6
    assert [each for each in columns if f" as {each}" not in shown()] == []
