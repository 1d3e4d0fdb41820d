"""`analyze` and the oracle, which shares none of its code, come to the same sums of any records, by any source.

50,000 records: `pytest tests/property/test_analyze.py --hypothesis-profile=thorough`.
"""

import json
import random
from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from oracle import facts_of, sum_up
from random_records import draw_record
from records import MINUTE, NOW
from resolved import TEMPLATE
from usage_sums import sums_of, sums_of_oracle

from bedrock_quota.registry.sources import read_sources
from localaws import log_queries
from quota_monitor.analyze.insights import list_columns, read_row, write_query
from quota_monitor.analyze.reader import Counts, RecordReader
from quota_monitor.analyze.scope import Scope

REGISTRY = read_sources(TEMPLATE.parent / "registry" / "models")

FACTS = facts_of(TEMPLATE.parent / "registry" / "models", NOW)

RECORDS_PER_EXAMPLE = 10

COLUMNS = list_columns()
QUERY = write_query(COLUMNS)

HOSTILE: tuple[Any, ...] = (
    *(None, True, -1, 0.5, 1e308, 10**30, "", "5", "\ud800", "x" * 300, [], {}, [[[]]], {"a": {"b": 1}}),
    *("max_tokens", '{"max_tokens": 7}', {"max_tokens": 7}, [{"outputTokenCount": 7}], "2026-11-23T12:00:05Z", "٣"),
)


def read(messages: Iterable[str | bytes]) -> RecordReader:
    reader = RecordReader(REGISTRY, Scope())
    reader.add_all(messages)
    return reader


def read_by_insights(messages: Iterable[str]) -> RecordReader:
    events = [{"timestamp": MINUTE * 1000, "message": message} for message in messages]
    return read(read_row(COLUMNS, row).message for row in log_queries.run_query(events, QUERY).results)


def outcomes(counts: Counts) -> int:
    listed = (counts.answered, counts.failed, counts.ignored, counts.not_asked_for)
    return sum(listed) + counts.rejected.total() + counts.out_of_scope.total()


@given(st.integers(0, 2**32))
def test_whole_records_agree_with_the_oracle(seed: int) -> None:
    draw = random.Random(seed)
    records = [draw_record(draw) for _ in range(RECORDS_PER_EXAMPLE)]

    reader = read(map(json.dumps, records))

    totals = sum_up(records, FACTS, {})
    assert sums_of(reader.tally.measure({})) == sums_of_oracle(totals)
    counts = reader.counts
    assert (counts.failed, counts.out_of_scope.total()) == (sum(totals.failed.values()), totals.out_of_scope)
    assert (counts.received, outcomes(counts)) == (len(records), len(records))


@given(st.integers(0, 2**32))
def test_fields_by_logs_insights_agree_with_the_oracle(seed: int) -> None:
    # of an answer in chunks, the query sees neither its tier nor its latency, and says so
    draw = random.Random(seed)
    drawn = [draw_record(draw) for _ in range(RECORDS_PER_EXAMPLE)]
    records = [each for each in drawn if not isinstance(each["output"].get("outputBodyJson"), list)]

    reader = read_by_insights(map(json.dumps, records))

    totals = sum_up(records, FACTS, {})
    assert sums_of(reader.tally.measure({})) == sums_of_oracle(totals)
    assert (reader.counts.received, outcomes(reader.counts)) == (len(records), len(records))


@given(st.integers(0, 2**32))
def test_hostile_records_have_one_outcome_each_and_change_no_other(seed: int) -> None:
    draw = random.Random(seed)
    records = [draw_record(draw) for _ in range(RECORDS_PER_EXAMPLE)]
    hostile = [spoil(draw, draw_record(draw)) for _ in range(RECORDS_PER_EXAMPLE)]
    far = [each | {"timestamp": "2001-01-01T00:00:00Z"} for each in hostile]
    mixed = [json.dumps(each) for pair in zip(records, far, strict=True) for each in pair]

    for reader in (read(mixed), read_by_insights(mixed)):
        assert (reader.counts.received, outcomes(reader.counts)) == (len(mixed), len(mixed))
    old = str(978_307_200)
    sums = {key: value for key, value in sums_of(read(mixed).tally.measure({})).items() if old not in key}
    assert sums == sums_of_oracle(sum_up(records, FACTS, {}))


def spoil(draw: random.Random, record: dict[str, Any]) -> dict[str, Any]:
    """Return a record with a hostile value at a random place."""
    spoiled: dict[str, Any] = json.loads(json.dumps(record))
    place: Any = spoiled
    while True:
        key = draw.choice(list(place) or ["a"]) if isinstance(place, dict) else draw.randrange(len(place))
        inside = place.get(key) if isinstance(place, dict) else place[key]
        if not isinstance(inside, dict | list) or not inside or draw.random() < 0.3:
            place[key] = draw.choice(HOSTILE)
            return spoiled
        place = inside
