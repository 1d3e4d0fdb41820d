"""Every record of a public report comes to the numbers that were worked out by hand."""

from typing import Any

import pytest
from field_cases import CASES, entries_of, is_expected
from records import STARTED, Process, ReadLine

from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_a_record_of_a_public_report_comes_to_the_right_numbers(
    process: Process, read_line: ReadLine, case: dict[str, Any]
) -> None:
    quotas = {}
    for name, (tokens, requests) in (case["quotas_tpm_rpm"] or {}).items():
        model_id, _, endpoint = name.rpartition("/")
        quotas[QuotaPool(model_id, EndpointType(endpoint))] = PoolQuota(tokens, requests)

    outcome = process(entries_of(case, STARTED), quotas=quotas)

    *lines, health = map(read_line, outcome.lines)
    pools = {(line["ModelId"], line["EndpointType"]): line for line in lines if "_aws" in line}
    expected = {(pool["model_id"], pool["endpoint_type"]): pool for pool in case["expected"]["pools"]}
    assert pools.keys() == expected.keys()
    for pool, line in pools.items():
        wanted = expected[pool]
        assert is_expected(line["reserved_tokens"], wanted["reserved"])
        assert is_expected(sum(line["ReservedTokens"]), wanted["reserved"])
        assert is_expected(line["consumed_tokens"], wanted["consumed"])
        assert line["requests"] == wanted["requests"]
        assert line["max_tokens_source"] == wanted.get("source", "explicit")
        for metric, key in (("ReservedQuotaPercent", "reserved_percent"), ("ConsumedQuotaPercent", "consumed_percent")):
            assert key not in wanted or is_expected(line[metric], wanted[key])
    for metric, count in case["expected"]["health"].items():
        assert health[metric] == count
    assert health["RecordsProcessed"] == sum(pool["requests"] for pool in expected.values())
