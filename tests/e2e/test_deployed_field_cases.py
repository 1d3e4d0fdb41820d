"""The records of public reports through the deployed stack, and their numbers back from CloudWatch."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from field_cases import CASES, entries_of, is_expected

EARLIER = timedelta(days=3)
"""The cases are of a time that no other test uses, each of a minute of its own."""


def test_every_case_comes_back_from_cloudwatch(
    deliver: Callable[[Sequence[dict[str, Any]]], None],
    metric: Callable[..., dict[datetime, float]],
    minute: datetime,
) -> None:
    # given all cases in one delivery
    minutes = {name: minute - EARLIER + timedelta(minutes=number) for number, name in enumerate(CASES)}
    before = sum(metric("RecordsOutOfScope").values())

    def read(name: str, pool: tuple[str, str], stat: str = "Sum") -> dict[datetime, float]:
        return metric(name, *pool, stat=stat, since=minute - EARLIER)

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
            assert is_expected(read("ReservedTokens", where)[minutes[name]], pool["reserved"]), name
            assert is_expected(read("ConsumedTokens", where)[minutes[name]], pool["consumed"]), name
            assert read("ConsumedTokens", where, "SampleCount")[minutes[name]] == pool["requests"], name
    reserved = CASES["reserved-tier"]["records"][0]["modelId"].removeprefix("us.")
    assert minutes["reserved-tier"] not in read("ConsumedTokens", (reserved, "cross-region"))
    assert sum(metric("RecordsOutOfScope").values()) - before == 1
