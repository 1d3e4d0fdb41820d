"""The records of public reports through the deployed stack, and their numbers back from CloudWatch."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from field_cases import CASES, entries_of, is_expected

FIRST = timedelta(minutes=40)
"""Begins the minutes that no other test uses: each case has its own."""


def test_every_case_comes_back_from_cloudwatch(
    deliver: Callable[[Sequence[dict[str, Any]]], None],
    metric: Callable[..., dict[datetime, float]],
    minute: datetime,
) -> None:
    # given all cases in one delivery
    minutes = {name: minute + FIRST + timedelta(minutes=number) for number, name in enumerate(CASES)}
    before = sum(metric("RecordsOutOfScope").values())
    # when
    deliver(
        [
            entry
            for name, case in CASES.items()
            for entry in entries_of(case, minutes[name].strftime("%Y-%m-%dT%H:%M:%SZ"))
        ]
    )
    # then each pool has its sums in the minute of its case, and no other pool has any
    for name, case in CASES.items():
        for pool in case["expected"]["pools"]:
            where = (pool["model_id"], pool["endpoint_type"])
            assert is_expected(metric("ReservedTokens", *where)[minutes[name]], pool["reserved"]), name
            assert is_expected(metric("ConsumedTokens", *where)[minutes[name]], pool["consumed"]), name
            assert metric("ConsumedTokens", *where, stat="SampleCount")[minutes[name]] == pool["requests"], name
    reserved = CASES["reserved-tier"]["records"][0]["modelId"].removeprefix("us.")
    assert minutes["reserved-tier"] not in metric("ConsumedTokens", reserved, "cross-region")
    assert sum(metric("RecordsOutOfScope").values()) - before == 1
