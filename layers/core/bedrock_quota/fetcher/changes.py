"""A change: a quota that differs from the last fetch."""

from collections.abc import Mapping

import msgspec

from bedrock_quota.pools import PoolQuota, QuotaKey, QuotaPool, Unit


class Change(msgspec.Struct, frozen=True):
    """One quota of one pool before and after. None means that there was or is no such quota."""

    pool: QuotaPool
    unit: Unit
    before: float | None
    after: float | None

    def __str__(self) -> str:
        """Return the change as a sentence: `quota changed from 200,000 to 400,000: tokens per minute of …`."""
        key = QuotaKey(self.pool, self.unit)
        return f"quota changed from {_format_amount(self.before)} to {_format_amount(self.after)}: {key}"


def _format_amount(value: float | None) -> str:
    if value is None:
        return "none"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,}"


def find_changes(before: Mapping[QuotaPool, PoolQuota], after: Mapping[QuotaPool, PoolQuota]) -> list[Change]:
    """Return the changed quotas, ordered by pool and unit. There are none if no quotas were known before."""
    if not before:
        return []
    found = []
    for pool in sorted(before.keys() | after.keys()):
        old, new = before.get(pool, PoolQuota()), after.get(pool, PoolQuota())
        found += [
            Change(pool, unit, was, now) for unit in Unit if (was := getattr(old, unit)) != (now := getattr(new, unit))
        ]
    return found
