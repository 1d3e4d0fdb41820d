"""A minute: the calls of one bucket and one kind of caller that began in the same minute."""

import operator
from collections.abc import Iterable
from typing import Any

import msgspec

from bedrock_quota.accounts import Account
from bedrock_quota.buckets import Bucket
from bedrock_quota.max_tokens import Source


class MinuteKey(msgspec.Struct, frozen=True, gc=False, order=True):
    """What calls must share to stand on one metric line: its dimensions, timestamp and properties."""

    minute: int
    bucket: Bucket
    caller: str
    application_profile: str
    operation: str
    source: Source
    blocked: bool
    request_metadata: tuple[tuple[str, str], ...]


class Minute(msgspec.Struct, frozen=True, gc=False):
    """The accounts of one key, in order of arrival; never empty."""

    key: MinuteKey
    accounts: tuple[Account, ...]

    @property
    def listed(self) -> bool:
        """Whether the model of the bucket is in the registry."""
        return self.accounts[0].listed


MAX_KINDS = 1_000
"""Kinds of calls of one delivery that get lines of their own: each costs as much as a few hundred calls of one kind."""

OTHER = "other"
"""The caller and operation of all kinds beyond that. Their tokens are where they belong, in bucket and minute."""


def group(accounts: Iterable[Account]) -> list[Minute]:
    """Group accounts by all that a metric line says of them, sorted, so that equal input gives equal lines.

    The first `MAX_KINDS` kinds are told apart; what comes of others after that is the caller `other` of its bucket.
    """
    groups: dict[tuple[Any, ...], list[Account]] = {}
    for account in accounts:
        key = (
            account.minute,
            account.bucket,
            account.caller,
            account.application_profile or "",
            account.operation,
            account.source,
            account.blocked,
            account.request_metadata,
        )
        found = groups.get(key)
        if found is None:
            if len(groups) >= MAX_KINDS:
                key = (account.minute, account.bucket, OTHER, "", OTHER, account.source, account.blocked, ())
            found = groups.setdefault(key, [])
        found.append(account)
    return [Minute(MinuteKey(*key), tuple(found)) for key, found in sorted(groups.items(), key=operator.itemgetter(0))]
