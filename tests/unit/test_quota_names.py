"""Every quota name of the listing that the local AWS has, and what the rules make of it: a table read by a person.

The table, `tests/data/quota_names.txt`, was reviewed line by line. After a change of rules, registry or listing, write
it anew and review the difference:

    WRITE_QUOTA_NAMES=1 .venv/bin/pytest tests/unit/test_quota_names.py
"""

import json
import os
from collections import Counter
from pathlib import Path

from bedrock_quota.registry.quota_names import match_quota_name, models_by_quota_name
from bedrock_quota.pools import QuotaKey, Unit
from bedrock_quota.registry.quota_names import UnmatchedQuota
from bedrock_quota.registry.models import Registry

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tests" / "data" / "quota_names.txt"
LISTING = ROOT / "localaws" / "data" / "service_quotas.json"


def names() -> list[str]:
    return [each["name"] for each in json.loads(LISTING.read_text(encoding="utf-8"))["quotas"]]


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
