"""Grouping: calls of one pool, caller and minute that share a metric line."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from bedrock_quota.pools import QuotaPool
from bedrock_quota.processor.usage import CallGroup, CallUsage, FailedCall

MAX_GROUPS_PER_POOL = 1_000
"""Groups of one pool and minute that stay apart when deliveries are written together, those of the most calls. Calls of
all further groups keep their caller and operation alone. As many groups of these stay apart. Beyond that, calls share
the caller `other` of their pool and minute, so every call has its metrics and a pool's tokens stay right."""

OTHER = "other"

_MinuteOfPool = tuple[int, QuotaPool | None]


class GroupedCalls(msgspec.Struct, frozen=True, gc=False):
    """The calls of one group. Never empty."""

    group: CallGroup
    calls: tuple[CallUsage, ...]


def group_calls(calls: Iterable[CallUsage]) -> tuple[GroupedCalls, ...]:
    """Group calls by everything that a metric line says of them, sorted, so that equal input gives equal lines.

    The `MAX_GROUPS_PER_POOL` most frequent groups of each pool and minute stay apart, and as many callers of others.
    """
    groups: dict[CallGroup, list[CallUsage]] = {}
    for call in calls:
        group = call.group
        found = groups.get(group)
        if found is None:
            found = groups[group] = []
        found.append(call)
    if len(groups) > MAX_GROUPS_PER_POOL:  # nearly never
        groups = _merge_rare_groups(groups)
    return tuple([GroupedCalls(group, tuple(groups[group])) for group in sorted(groups)])


def _merge_rare_groups(groups: dict[CallGroup, list[CallUsage]]) -> dict[CallGroup, list[CallUsage]]:
    """Return the most frequent groups of each pool and minute. Others become their caller's, then those of `other`."""
    kept: dict[CallGroup, list[CallUsage]] = {}
    for name_less in (_name_caller, _name_pool):
        sizes: Counter[_MinuteOfPool] = Counter()
        merged: dict[CallGroup, list[CallUsage]] = {}
        for group, calls in sorted(groups.items(), key=lambda each: -len(each[1])):
            minute_of_pool = (group.minute, group.pool)
            if group in kept:
                kept[group] += calls
            elif sizes[minute_of_pool] < MAX_GROUPS_PER_POOL:
                sizes[minute_of_pool] += 1
                kept[group] = calls
            else:
                merged.setdefault(name_less(group), []).extend(calls)
        groups = merged
    for group, calls in groups.items():
        kept.setdefault(group, []).extend(calls)
    return kept


def _name_caller(group: CallGroup) -> CallGroup:
    """Return the group of all calls of its caller and operation."""
    return msgspec.structs.replace(
        group, session="", project="", application_profile="", request_metadata=(), service_tier=""
    )


def _name_pool(group: CallGroup) -> CallGroup:
    """Return the group of all other calls of its pool."""
    return msgspec.structs.replace(group, caller=OTHER, operation=OTHER)


def count_failed_calls(failed: Sequence[FailedCall]) -> Iterator[tuple[FailedCall, int]]:
    """Yield equal failed calls once, with their number.

    The `MAX_GROUPS_PER_POOL` most frequent of each pool and minute stay apart, and as many with their caller alone. All
    others are counted as `other`.
    """
    if not failed:
        return
    counted: Counter[FailedCall] = Counter()
    sizes: Counter[_MinuteOfPool] = Counter()
    for call, count in Counter(failed).most_common():
        minute_of_pool, kept = (call.minute, call.pool), call
        if sizes[minute_of_pool] >= MAX_GROUPS_PER_POOL:
            kept = msgspec.structs.replace(kept, session="", application_profile="", request_metadata=(), project="")
        if kept not in counted and sizes[minute_of_pool] >= 2 * MAX_GROUPS_PER_POOL:
            kept = msgspec.structs.replace(kept, caller=OTHER, operation=OTHER, error_code=OTHER)
        if kept not in counted:
            sizes[minute_of_pool] += 1
        counted[kept] += count
    yield from counted.items()
