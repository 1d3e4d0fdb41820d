"""A change: a quota that is not what it was at the last fetch."""

from collections.abc import Mapping

import msgspec

from bedrock_quota.pools import QuotaPool
from bedrock_quota.pools import PoolQuota, QuotaKey, Unit


class Change(msgspec.Struct, frozen=True):
    """One quota of one pool before and after; None where there was or is no such quota."""

    pool: QuotaPool
    unit: Unit
    before: float | None
    after: float | None

    def __str__(self) -> str:
        """Say it as a person would: `quota changed from 200,000 to 400,000: tokens per minute of …`."""
        what = QuotaKey(self.pool, self.unit)
        return f"quota changed from {_amount(self.before)} to {_amount(self.after)}: {what}"


def _amount(value: float | None) -> str:
    if value is None:
        return "none"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,}"


def find_changes(before: Mapping[QuotaPool, PoolQuota], after: Mapping[QuotaPool, PoolQuota]) -> list[Change]:
    """Return what changed, in order of pools and units. Nothing has changed where nothing was known before."""
    if not before:
        return []
    found = []
    for pool in sorted(before.keys() | after.keys()):
        old, new = before.get(pool, PoolQuota()), after.get(pool, PoolQuota())
        found += [
            Change(pool, unit, was, now)
            for unit in Unit
            if (was := getattr(old, unit)) != (now := getattr(new, unit))
        ]
    return found
