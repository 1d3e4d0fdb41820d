"""A minute: the calls of one bucket and one kind of caller that began in the same minute."""

from collections.abc import Collection, Iterable

import msgspec

from bedrock_quota.accounts import Account, Kind, Tags
from bedrock_quota.buckets import Bucket
from bedrock_quota.max_tokens import Source


class MinuteKey(msgspec.Struct, frozen=True, gc=False, order=True, cache_hash=True):
    """What calls must share to stand on one metric line: its dimensions, timestamp and properties."""

    minute: int
    bucket: Bucket
    caller: str
    application_profile: str
    operation: str
    source: Source
    blocked: bool
    request_metadata: Tags


class Minute(msgspec.Struct, frozen=True, gc=False):
    """The accounts of one key, in order of arrival; never empty."""

    key: MinuteKey
    accounts: tuple[Account, ...]

    @property
    def listed(self) -> bool:
        """Whether the model of the bucket is in the registry."""
        return self.accounts[0].kind.listed


MAX_KINDS = 1_000
"""Kinds of calls of one delivery that get lines of their own: each costs as much as a few hundred calls of one kind."""

OTHER = "other"
"""The caller and operation of all kinds beyond that. Their tokens are where they belong, in bucket and minute."""


def group(accounts: Iterable[Account]) -> list[Minute]:
    """Group accounts by all that a metric line says of them, sorted, so that equal input gives equal lines.

    The first `MAX_KINDS` kinds are told apart; what comes of others after that is the caller `other` of its bucket.
    """
    groups: dict[MinuteKey, list[Account]] = {}
    known: dict[tuple[int, Kind, Tags], list[Account]] = {}
    for account in accounts:
        seen_as = (account.minute, account.kind, account.request_metadata)
        found = known.get(seen_as)
        if found is None:
            found = known[seen_as] = groups.setdefault(_key(account, groups), [])
        found.append(account)
    return [Minute(key, tuple(groups[key])) for key in sorted(groups)]


def _key(account: Account, groups: Collection[MinuteKey]) -> MinuteKey:
    kind = account.kind
    key = MinuteKey(
        account.minute,
        kind.bucket,
        kind.caller,
        kind.application_profile or "",
        kind.operation,
        kind.source,
        kind.blocked,
        account.request_metadata,
    )
    if len(groups) < MAX_KINDS or key in groups:
        return key
    return MinuteKey(account.minute, kind.bucket, OTHER, "", OTHER, kind.source, kind.blocked, ())
