"""The product and the oracle, which shares none of its code, come to the same sums of any records.

50,000 records: `pytest tests/property/test_oracle.py --hypothesis-profile=thorough`.
"""

import random
from collections import defaultdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from oracle import facts_of, sum_up
from random_records import draw_record
from records import NOW, Process, ReadLine
from resolved import TEMPLATE

FACTS = facts_of(TEMPLATE.parent / "registry" / "models", NOW)

RECORDS_PER_EXAMPLE = 10


@given(st.integers(0, 2**32))
def test_the_product_agrees_with_the_oracle(process: Process, read_line: ReadLine, seed: int) -> None:
    draw = random.Random(seed)
    records = [draw_record(draw) for _ in range(RECORDS_PER_EXAMPLE)]

    outcome = process(records)

    totals = sum_up(records, FACTS, {})
    found: defaultdict[tuple[str, str, float], list[float]] = defaultdict(lambda: [0, 0, 0, 0])
    reserved_tier = 0
    for line in map(read_line, outcome.lines):
        reserved_tier += line.get("reserved_tier_calls", 0)
        if "consumed_tokens" in line:
            _add(found[line["ModelId"], line["EndpointType"], line["_aws"]["Timestamp"] / 1000], line)
    assert found == {
        (*pool, minute.timestamp()): [sums.reserved, sums.consumed, sums.requests, sums.unknown]
        for pool, minutes in totals.pools.items()
        for minute, sums in minutes.items()
    }
    assert (outcome.failed, sum(outcome.out_of_scope.values())) == (sum(totals.failed.values()), totals.out_of_scope)
    assert reserved_tier == totals.reserved_tier == outcome.out_of_scope.get("reserved_tier", 0)
    assert not outcome.rejected


def _add(sums: list[float], line: dict[str, Any]) -> None:
    sums[0] += line.get("reserved_tokens", 0)
    sums[1] += line["consumed_tokens"]
    sums[2] += line["requests"]
    sums[3] += line["requests"] if line["max_tokens_source"] == "unknown" else 0
