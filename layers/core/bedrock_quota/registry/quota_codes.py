"""Quota codes: a check on the quotas' names. AWS does not guarantee the codes, so no quota is found by its code."""

from collections.abc import Iterable, Iterator

import msgspec

from bedrock_quota.pools import QuotaKey, QuotaPool, Unit
from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.quota_names import ListedQuota, UnmatchedQuota


def find_code_mismatches(
    known: Registry, listed: Iterable[tuple[ListedQuota, QuotaKey | UnmatchedQuota]]
) -> Iterator[str]:
    """Yield one sentence for each code or name in a listing that does not match the registry.

    `listed` are quotas with the results of `match_quota`.
    """
    code_of = {
        QuotaKey(QuotaPool(model.id, endpoint_type), Unit(unit)): code
        for model in known.models
        for endpoint_type, codes in model.quota_codes.items()
        for unit, code in msgspec.structs.asdict(codes).items()
        if code is not None
    }
    key_of = {code: key for key, code in code_of.items()}
    listed_at: dict[QuotaKey, ListedQuota] = {}
    for quota, found in listed:
        registered = key_of.get(quota.code)
        if registered is not None and registered != found:
            meaning = str(found) if isinstance(found, QuotaKey) else "not the name of a known model's quota"
            yield f"{quota.code} is {registered} in the registry, but its name {quota.name!r} is {meaning}"
        if isinstance(found, UnmatchedQuota):
            continue
        if registered is None and code_of.get(found, quota.code) != quota.code:
            yield f"{found} has the code {quota.code}, not the registry's {code_of[found]}"
        first = listed_at.setdefault(found, quota)
        if first is not quota:
            yield f"{found} is two quotas: {first.name!r} ({first.code}) and {quota.name!r} ({quota.code})"
