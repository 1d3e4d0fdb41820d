"""A minute: the calls of one bucket and one kind of caller that began in the same minute."""

import operator
from collections.abc import Iterable

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


def group(accounts: Iterable[Account]) -> list[Minute]:
    """Group accounts by all that a metric line says of them, sorted, so that equal input gives equal lines."""
    groups: dict[tuple[object, ...], list[Account]] = {}
    for account in accounts:
        key = (
            account.minute,
            account.bucket,
            account.caller,
            account.application_profile,
            account.operation,
            account.source,
            account.blocked,
            account.request_metadata,
        )
        group = groups.get(key)
        if group is None:
            groups[key] = [account]
        else:
            group.append(account)
    return sorted((Minute(_key_of(group[0]), tuple(group)) for group in groups.values()), key=_key)


_key = operator.attrgetter("key")


def _key_of(account: Account) -> MinuteKey:
    return MinuteKey(
        minute=account.minute,
        bucket=account.bucket,
        caller=account.caller,
        application_profile=account.application_profile or "",
        operation=account.operation,
        source=account.source,
        blocked=account.blocked,
        request_metadata=account.request_metadata,
    )
