"""A strict reader of metric lines."""

import json
import math
from pathlib import Path
from typing import Any

import jsonschema

EMF_SCHEMA = jsonschema.Draft7Validator(
    json.loads(Path(__file__).with_name("data").joinpath("emf_schema.json").read_bytes())
)
MAX_LINE_BYTES = 256 * 1024
"""The smallest limit on a log event that AWS ever documented; the newest text says 1 MB."""

MAX_FIELDS = 200
"""Fields of a JSON log event that Logs Insights finds; members of arrays are fields of their own."""


def fields_of(node: Any) -> int:
    """How many fields Logs Insights makes of a value."""
    if isinstance(node, dict):
        return sum(fields_of(each) for each in node.values())
    return sum(fields_of(each) for each in node) if isinstance(node, list) else 1


def strictly_read(line: bytes) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    assert b"\n" not in line
    assert len(line) < MAX_LINE_BYTES
    root: dict[str, Any] = json.loads(line, parse_constant=refuse)
    assert fields_of(root) <= MAX_FIELDS
    if "_aws" not in root:  # a plain line, not a metric
        return root
    EMF_SCHEMA.validate(root)
    timestamp = root["_aws"]["Timestamp"]
    assert type(timestamp) is int
    # Milliseconds, not seconds: between 2020-01-01 and 2100-01-01.
    assert 1_577_836_800_000 <= timestamp < 4_102_444_800_000
    assert root["_aws"].keys() == {"Timestamp", "CloudWatchMetrics"}
    for directive in root["_aws"]["CloudWatchMetrics"]:
        assert directive.keys() == {"Namespace", "Dimensions", "Metrics"}
        assert 1 <= len(directive["Metrics"]) <= 100
        for dimension in (name for names in directive["Dimensions"] for name in names):
            value = root[dimension]
            assert isinstance(value, str)
            assert value.strip()
            assert value.isascii()
            assert value.isprintable()
            assert len(value) <= 1024
        names = [metric["Name"] for metric in directive["Metrics"]]
        assert len(names) == len(set(names))
        for name in names:
            values = root[name] if isinstance(root[name], list) else [root[name]]
            assert 1 <= len(values) <= 100
            assert all(type(value) in (int, float) and math.isfinite(value) and value >= 0 for value in values)
    return root
