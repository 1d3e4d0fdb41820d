"""Logs Insights behind its API: what StartQuery and GetQueryResults answer for the events of log groups.

MiniStack's own evaluation knows few commands. This one is the dashboard preview's. Limits: API reference of StartQuery
(read 2026-11-28).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from localaws.preview import log_evaluation, logs_insights

MAX_ROWS = 100_000
"""Most rows of any query."""

PAGE_ROWS = 10_000
"""Most rows of a page of results."""


class Answer(msgspec.Struct, frozen=True):
    """The results of a query, as GetQueryResults returns them, and its statistics."""

    results: list[list[dict[str, str]]]
    statistics: dict[str, float]


def run_query(events: Sequence[Mapping[str, Any]], text: str, limit: int | None = None) -> Answer:
    """Run a query over events with `timestamp` in milliseconds and `message`. Raises `PreviewError`."""
    query = logs_insights.parse(text)
    discover = _reads_discovered(query)
    rows = [log_evaluation.parse_event(event, discover=discover) for event in events]
    own = next((command.rows for command in query.commands if isinstance(command, logs_insights.Limit)), None)
    most = min(own or limit or log_evaluation.MAX_ROWS, limit or MAX_ROWS, MAX_ROWS)
    columns, found = log_evaluation.run(query, rows, MAX_ROWS * 10)
    results = [
        [{"field": name, "value": _print(value)} for name, value in zip(columns, row, strict=True) if value is not None]
        for row in found[:most]
    ]
    scanned = sum(len(event["message"].encode()) for event in events)
    return Answer(
        results,
        {
            "recordsMatched": float(_count_matched(query, rows, len(found))),
            "recordsScanned": float(len(events)),
            "bytesScanned": float(scanned),
        },
    )


def _reads_discovered(query: logs_insights.Query) -> bool:
    """Return True if the query reads a field of the events' JSON, and not only what it makes itself."""
    made = {
        each.name
        for command in query.commands
        if isinstance(command, logs_insights.Fields | logs_insights.Stats)
        for each in command.columns
    }
    read = logs_insights.read_fields(query)
    return any(not name.startswith("@") and name.partition(".")[0] not in made for name in read)


def _count_matched(query: logs_insights.Query, rows: Sequence[Mapping[str, Any]], found: int) -> int:
    """Return the number of events that pass the filters. Only `stats` makes other rows of them."""
    if not any(isinstance(command, logs_insights.Stats) for command in query.commands):
        return found
    before = []
    for command in query.commands:
        if isinstance(command, logs_insights.Stats):
            break
        before.append(command)
    _, kept = log_evaluation.run(logs_insights.Query((), tuple(before)), rows, MAX_ROWS * 10)
    return len(kept)


def _print(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
