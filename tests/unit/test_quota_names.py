"""Every quota name of the listing that the local AWS has, and what the rules make of it: a table read by a person.

The table, `tests/data/quota_names.txt`, was reviewed line by line. After a change of rules, registry or listing, write
it anew and review the difference:

    WRITE_QUOTA_NAMES=1 .venv/bin/pytest tests/unit/test_quota_names.py
"""

import json
import os
from collections import Counter
from pathlib import Path

from bedrock_quota.pools import QuotaKey, Unit
from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.quota_names import UnmatchedQuota, match_quota_name, models_by_quota_name

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tests" / "data" / "quota_names.txt"
LISTING = ROOT / "localaws" / "data" / "service_quotas.json"


SEEN_ELSEWHERE = (
    "Cross-Model Account-Level Tokens Per Day",  # AWS General Reference, for what the user guide calls Cross-Model Max
    "Bedrock Mantle input tokens per minute for Anthropic Claude Opus 4.7",  # AWS user guide, quotas-mantle
    "Bedrock Mantle output tokens per minute for Anthropic Claude Opus 4.7",
    "InvokeModel requests per minute for Anthropic Claude Opus 4.5",  # AWS user guide, quotas-runtime, prose only
    "Model invocation max tokens per day for Anthropic Claude 3.5 Sonnet V1 (doubled for cross-region calls)",
    "Cross-region model inference tokens per minute for Moonshot AI Kimi K3.1",
)
"""Names in pages of AWS and in listings of others (all read 2026-11-28) that the local AWS does not list."""


def names() -> list[str]:
    return [*(each["name"] for each in json.loads(LISTING.read_text(encoding="utf-8"))["quotas"]), *SEEN_ELSEWHERE]


def outcome(found: QuotaKey | UnmatchedQuota) -> str:
    if isinstance(found, UnmatchedQuota):
        return f"refused: {found.reason}"
    return f"{found.unit.replace('_', ' ')} of {found.pool}"


def counted(found: QuotaKey | UnmatchedQuota) -> str:
    if isinstance(found, UnmatchedQuota):
        return f"refused: {found.reason}"
    return f"{found.pool.endpoint_type}, {found.unit.replace('_', ' ')}"


def table(registry: Registry) -> str:
    models = models_by_quota_name(registry)
    rows = {name: match_quota_name(name, models) for name in names()}
    counts = Counter(map(counted, rows.values()))
    lines = [f"{len(rows)} names", ""]
    lines += [f"{counts[each]:5}  {each}" for each in sorted(counts)]
    for result, of_result in sorted((outcome(found), name) for name, found in rows.items()):
        if f"\n{result}" not in lines:
            lines.append(f"\n{result}")
        lines.append(f"    {of_result}")
    return "\n".join(lines) + "\n"


def test_every_name_leads_where_the_reviewed_table_says(registry: Registry) -> None:
    found = table(registry)
    if os.environ.get("WRITE_QUOTA_NAMES"):
        TABLE.write_text(found, encoding="utf-8")

    assert found == TABLE.read_text(encoding="utf-8")


REFUSED = {
    "account_wide": 2,  # shown once for the account, not for a pool
    "concurrency": 4,  # no quota on tokens or requests per minute
    "custom_model": 14,  # deployments of custom models have quotas of their own
    "mantle_endpoint": 26,  # another endpoint, whose calls are in no log
    "unread_name": 1,  # AWS's prose without an endpoint type: in no listing
}
"""Expected number of names without a pool, by reason. Every other name belongs to a pool of a listed model."""


def test_every_bedrock_runtime_quota_of_a_listed_model_has_a_pool(registry: Registry) -> None:
    models = models_by_quota_name(registry)

    found = [match_quota_name(name, models) for name in names()]

    refused = Counter(each.reason for each in found if isinstance(each, UnmatchedQuota))
    assert refused == REFUSED
    assert sum(isinstance(each, QuotaKey) for each in found) == 270


def test_no_name_is_listed_twice() -> None:
    assert [name for name, count in Counter(names()).items() if count > 1] == []


def test_no_two_names_are_one_quota_of_a_pool(registry: Registry) -> None:
    models = models_by_quota_name(registry)

    found = Counter(outcome(each) for name in names() if isinstance(each := match_quota_name(name, models), QuotaKey))

    assert [quota for quota, count in found.items() if count > 1] == []


def test_codes_of_the_registry_are_on_the_quotas_they_are_for(registry: Registry) -> None:
    models = models_by_quota_name(registry)
    listed = {each["code"]: each["name"] for each in json.loads(LISTING.read_text(encoding="utf-8"))["quotas"]}
    checked = 0

    for model in registry.models:
        for endpoint_type, codes in model.quota_codes.items():
            for unit in Unit:
                name = listed.get(getattr(codes, unit) or "")
                if name is not None:
                    found = match_quota_name(name, models)
                    assert isinstance(found, QuotaKey), name
                    assert (found.pool.model_id, found.pool.endpoint_type, found.unit) == (
                        model.id, endpoint_type, unit,
                    ), name  # fmt: skip
                    checked += 1

    assert checked > 200
