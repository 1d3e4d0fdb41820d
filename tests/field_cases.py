"""Records from public reports, with the right numbers worked out by hand: `tests/data/field_cases`."""

import json
from pathlib import Path
from typing import Any

from records import Entry, record

CASES: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted(Path(__file__).parent.joinpath("data", "field_cases").glob("*.json"))
}


def entries_of(case: dict[str, Any], timestamp: str) -> list[Entry]:
    """Return a case's records as Bedrock would log them at a moment."""
    return [record(**{"timestamp": timestamp} | rename(each)) for each in case["records"]]


def rename(entry: Entry) -> Entry:
    return {"model_id" if key == "modelId" else key: value for key, value in entry.items()}


def is_expected(value: float, expected: float | dict[str, float]) -> bool:
    """Return True if a number is the expected one, or at least its `min`."""
    return value >= expected["min"] if isinstance(expected, dict) else round(value, 6) == expected
