"""A minute: the calls of one pool and one kind of caller that began in the same minute."""

from collections.abc import Iterable, Iterator

import msgspec

from bedrock_quota.processor.usage import CallGroup, CallUsage


class GroupedCalls(msgspec.Struct, frozen=True, gc=False):
    """The accounts of one kind, in order of arrival; never empty."""

    kind: CallGroup
    accounts: tuple[CallUsage, ...]


class Groups(msgspec.Struct, frozen=True):
    """The accounts of a delivery in groups. `rest` are those of what would be too many metric lines: kept as counts."""

    minutes: tuple[GroupedCalls, ...]
    rest: tuple[CallUsage, ...] = ()

    def sizes(self) -> Iterator[tuple[CallGroup, int]]:
        """Yield how many calls there are of each kind, those of the rest one by one."""
        for minute in self.minutes:
            yield minute.group, len(minute.accounts)
        for account in self.rest:
            yield account.group, 1


MAX_GROUPS = 1_000
"""Kinds of calls of one delivery that get lines of their own: each costs as much as a few hundred calls of one kind."""

MAX_OTHER_GROUPS = 1_000
"""Lines on which callers and operations beyond that are `other`: one for each pool and minute, so that their tokens
are where they belong. Each pool is a few metrics of CloudWatch, which cost, so that these have a bound, too."""

OTHER = "other"


def group_calls(accounts: Iterable[CallUsage]) -> Groups:
    """Group accounts by all that a metric line says of them, sorted, so that equal input gives equal lines.

    The first `MAX_KINDS` kinds are told apart; what comes of others after that is the caller `other` of its pool, and
    after `MAX_OTHERS` of these the `rest`.
    """
    groups: dict[CallGroup, list[CallUsage]] = {}
    known: dict[CallGroup, list[CallUsage]] = {}
    rest: list[CallUsage] = []
    for account in accounts:
        kind = account.group
        found = known.get(kind)
        if found is None:
            found = known[kind] = _group_of(kind, groups, rest)
        found.append(account)
    return Groups(tuple([GroupedCalls(kind, tuple(groups[kind])) for kind in sorted(groups)]), tuple(rest))


def _group_of(kind: CallGroup, groups: dict[CallGroup, list[CallUsage]], rest: list[CallUsage]) -> list[CallUsage]:
    """Return where the accounts of a kind belong, in a new group if there may be one more."""
    if len(groups) >= MAX_GROUPS:
        kind = msgspec.structs.replace(kind, caller=OTHER, application_profile="", operation=OTHER, request_metadata=())
        if len(groups) >= MAX_GROUPS + MAX_OTHER_GROUPS and kind not in groups:
            return rest
    return groups.setdefault(kind, [])
