"""Grouping: calls of one pool, caller and minute that share a metric line."""

from collections.abc import Iterable, Iterator

import msgspec

from bedrock_quota.processor.usage import CallGroup, CallUsage

MAX_GROUPS = 1_000
"""Groups of one delivery that get their own lines. Each costs as much as a few hundred calls of one group."""

MAX_OTHER_GROUPS = 1_000
"""Further groups, in which caller and operation are `other`: one per pool and minute, so that the pool's tokens stay
right. Each pool is a few paid metrics in CloudWatch, so these groups have a bound too."""

OTHER = "other"


class GroupedCalls(msgspec.Struct, frozen=True, gc=False):
    """The calls of one group, in order of arrival. Never empty."""

    group: CallGroup
    calls: tuple[CallUsage, ...]


class Groups(msgspec.Struct, frozen=True):
    """All calls of one or more deliveries in groups. `overflow` has the calls beyond the bound on groups."""

    groups: tuple[GroupedCalls, ...]
    overflow: tuple[CallUsage, ...] = ()

    def sizes(self) -> Iterator[tuple[CallGroup, int]]:
        """Yield each group with its number of calls. Calls of the overflow are yielded one by one."""
        for grouped in self.groups:
            yield grouped.group, len(grouped.calls)
        for call in self.overflow:
            yield call.group, 1


def group_calls(calls: Iterable[CallUsage]) -> Groups:
    """Group calls by everything that a metric line says of them, sorted, so that equal input gives equal lines.

    The first `MAX_GROUPS` groups stay apart. Calls of later groups join the caller `other` of their pool and minute.
    After `MAX_OTHER_GROUPS` of these, calls go to the overflow.
    """
    groups: dict[CallGroup, list[CallUsage]] = {}
    known: dict[CallGroup, list[CallUsage]] = {}
    overflow: list[CallUsage] = []
    for call in calls:
        group = call.group
        found = known.get(group)
        if found is None:
            found = known[group] = _find_group(group, groups, overflow)
        found.append(call)
    return Groups(tuple([GroupedCalls(group, tuple(groups[group])) for group in sorted(groups)]), tuple(overflow))


def _find_group(
    group: CallGroup, groups: dict[CallGroup, list[CallUsage]], overflow: list[CallUsage]
) -> list[CallUsage]:
    """Return the list that a group's calls belong to, a new one if the bounds allow it."""
    if len(groups) >= MAX_GROUPS:
        group = msgspec.structs.replace(
            group, caller=OTHER, application_profile="", operation=OTHER, request_metadata=()
        )
        if len(groups) >= MAX_GROUPS + MAX_OTHER_GROUPS and group not in groups:
            return overflow
    return groups.setdefault(group, [])
