"""Grouping: calls of one pool, caller and minute that share a metric line."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from bedrock_quota.pools import QuotaPool
from bedrock_quota.processor.usage import CallGroup, CallUsage, FailedCall

MAX_GROUPS_PER_POOL = 1_000
"""Groups of one pool and minute that stay apart when deliveries are written together. Calls of all further groups keep
their caller and operation alone. As many groups of these stay apart. Beyond that, calls share the caller `other` of
their pool and minute, so every call has its metrics and a pool's tokens stay right."""

OTHER = "other"

_MinuteOfPool = tuple[int, QuotaPool | None]


class GroupedCalls(msgspec.Struct, frozen=True, gc=False):
    """The calls of one group, in order of arrival. Never empty."""

    group: CallGroup
    calls: tuple[CallUsage, ...]


def group_calls(calls: Iterable[CallUsage]) -> tuple[GroupedCalls, ...]:
    """Group calls by everything that a metric line says of them, sorted, so that equal input gives equal lines.

    The first `MAX_GROUPS_PER_POOL` groups of each pool and minute stay apart, and as many callers of further groups.
    """
    groups: dict[CallGroup, list[CallUsage]] = {}
    known: dict[CallGroup, list[CallUsage]] = {}
    sizes: dict[_MinuteOfPool, int] = {}
    for call in calls:
        group = call.group
        found = known.get(group)
        if found is None:
            found = known[group] = _find_group(group, groups, sizes)
        found.append(call)
    return tuple([GroupedCalls(group, tuple(groups[group])) for group in sorted(groups)])


def _find_group(
    group: CallGroup, groups: dict[CallGroup, list[CallUsage]], sizes: dict[_MinuteOfPool, int]
) -> list[CallUsage]:
    """Return the list that a group's calls belong to: its own, that of its caller, or that of all others."""
    minute_of_pool = (group.minute, group.pool)
    size = sizes.get(minute_of_pool, 0)
    if size >= MAX_GROUPS_PER_POOL:
        group = msgspec.structs.replace(
            group, session="", project="", application_profile="", request_metadata=(), service_tier=""
        )
    if group not in groups and size >= 2 * MAX_GROUPS_PER_POOL:
        group = msgspec.structs.replace(group, caller=OTHER, operation=OTHER)
    if group not in groups:
        sizes[minute_of_pool] = size + 1
    return groups.setdefault(group, [])


def count_failed_calls(failed: Sequence[FailedCall]) -> Iterator[tuple[FailedCall, int]]:
    """Yield equal failed calls once, with their number.

    The `MAX_GROUPS_PER_POOL` most frequent of each pool and minute stay apart, and as many without their session. All
    others are counted as `other`.
    """
    if not failed:
        return
    counted: Counter[FailedCall] = Counter()
    sizes: Counter[_MinuteOfPool] = Counter()
    for call, count in Counter(failed).most_common():
        minute_of_pool, kept = (call.minute, call.pool), call
        if sizes[minute_of_pool] >= MAX_GROUPS_PER_POOL:
            kept = msgspec.structs.replace(kept, session="")
        if kept not in counted and sizes[minute_of_pool] >= 2 * MAX_GROUPS_PER_POOL:
            kept = msgspec.structs.replace(kept, caller=OTHER, operation=OTHER, error_code=OTHER)
        if kept not in counted:
            sizes[minute_of_pool] += 1
        counted[kept] += count
    yield from counted.items()
