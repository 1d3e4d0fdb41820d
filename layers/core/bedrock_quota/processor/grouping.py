"""Grouping: calls of one pool, caller and minute that share a metric line."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from bedrock_quota.pools import QuotaPool
from bedrock_quota.processor.usage import CallGroup, CallUsage, FailedCall

MAX_GROUPS_PER_POOL = 1_000
"""Groups of one pool and minute that stay apart when deliveries are written together. Calls of all further groups share
the caller `other` of their pool and minute, so every call has its metrics and a pool's tokens stay right."""

OTHER = "other"

_MinuteOfPool = tuple[int, QuotaPool | None]


class GroupedCalls(msgspec.Struct, frozen=True, gc=False):
    """The calls of one group, in order of arrival. Never empty."""

    group: CallGroup
    calls: tuple[CallUsage, ...]


def group_calls(calls: Iterable[CallUsage]) -> tuple[GroupedCalls, ...]:
    """Group calls by everything that a metric line says of them, sorted, so that equal input gives equal lines.

    The first `MAX_GROUPS_PER_POOL` groups of each pool and minute stay apart.
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
    """Return the list that a group's calls belong to: its own, or that of the others if its pool is full."""
    minute_of_pool = (group.minute, group.pool)
    size = sizes[minute_of_pool] = sizes.get(minute_of_pool, 0) + 1
    if size > MAX_GROUPS_PER_POOL:
        group = msgspec.structs.replace(
            group,
            caller=OTHER,
            session="",
            project="",
            application_profile="",
            operation=OTHER,
            request_metadata=(),
            service_tier="",
        )
    return groups.setdefault(group, [])


def count_failed_calls(failed: Sequence[FailedCall]) -> Iterator[tuple[FailedCall, int]]:
    """Yield equal failed calls once, with their number.

    The `MAX_GROUPS_PER_POOL` most frequent of each pool and minute stay apart. All others are counted as `other`.
    """
    if not failed:
        return
    counted: Counter[FailedCall] = Counter()
    sizes: Counter[_MinuteOfPool] = Counter()
    for call, count in Counter(failed).most_common():
        minute_of_pool = (call.minute, call.pool)
        sizes[minute_of_pool] += 1
        if sizes[minute_of_pool] > MAX_GROUPS_PER_POOL:
            call = msgspec.structs.replace(  # noqa: PLW2901
                call, caller=OTHER, session="", operation=OTHER, error_code=OTHER
            )
        counted[call] += count
    yield from counted.items()
