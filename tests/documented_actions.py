"""The IAM actions that docs/permissions.md names for each command."""

import json
import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "permissions.md"


def read_section() -> str:
    """Return the section that is about reading."""
    return PAGE.read_text(encoding="utf-8").partition("\n## Read\n")[2].partition("\n## ")[0]


def actions_of(command: str) -> set[str]:
    """Return the actions in the row of a command."""
    rows = [
        line
        for line in read_section().splitlines()
        if line.startswith("| ") and f"{command} |" in line.replace("`", "")
    ]
    (row,) = rows
    return set(re.findall(r"`(\w+:\w+)`", row))


def reading_policy() -> Any:
    """Return the policy for people who look at the dashboard and run the report."""
    return json.loads(read_section().partition("```json\n")[2].partition("```")[0])
