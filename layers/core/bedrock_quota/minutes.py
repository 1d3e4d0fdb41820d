"""A minute: the calls of one bucket and one kind of caller that began in the same minute."""

from collections.abc import Iterable, Iterator

import msgspec

from bedrock_quota.accounts import Account, Kind


class Minute(msgspec.Struct, frozen=True, gc=False):
    """The accounts of one kind, in order of arrival; never empty."""

    kind: Kind
    accounts: tuple[Account, ...]


class Grouped(msgspec.Struct, frozen=True):
    """The accounts of a delivery in groups. `rest` are those of what would be too many metric lines: kept as counts."""

    minutes: tuple[Minute, ...]
    rest: tuple[Account, ...] = ()

    def sizes(self) -> Iterator[tuple[Kind, int]]:
        """Yield how many calls there are of each kind, those of the rest one by one."""
        for minute in self.minutes:
            yield minute.kind, len(minute.accounts)
        for account in self.rest:
            yield account.kind, 1


MAX_KINDS = 1_000
"""Kinds of calls of one delivery that get lines of their own: each costs as much as a few hundred calls of one kind."""

MAX_OTHERS = 1_000
"""Lines on which callers and operations beyond that are `other`: one for each bucket and minute, so that their tokens
are where they belong. Each bucket is a few metrics of CloudWatch, which cost, so that these have a bound, too."""

OTHER = "other"


def group(accounts: Iterable[Account]) -> Grouped:
    """Group accounts by all that a metric line says of them, sorted, so that equal input gives equal lines.

    The first `MAX_KINDS` kinds are told apart; what comes of others after that is the caller `other` of its bucket, and
    after `MAX_OTHERS` of these the `rest`.
    """
    groups: dict[Kind, list[Account]] = {}
    known: dict[Kind, list[Account]] = {}
    rest: list[Account] = []
    for account in accounts:
        kind = account.kind
        found = known.get(kind)
        if found is None:
            found = known[kind] = _group_of(kind, groups, rest)
        found.append(account)
    return Grouped(tuple([Minute(kind, tuple(groups[kind])) for kind in sorted(groups)]), tuple(rest))


def _group_of(kind: Kind, groups: dict[Kind, list[Account]], rest: list[Account]) -> list[Account]:
    """Return where the accounts of a kind belong, in a new group if there may be one more."""
    if len(groups) >= MAX_KINDS:
        kind = msgspec.structs.replace(kind, caller=OTHER, application_profile="", operation=OTHER, request_metadata=())
        if len(groups) >= MAX_KINDS + MAX_OTHERS and kind not in groups:
            return rest
    return groups.setdefault(kind, [])
