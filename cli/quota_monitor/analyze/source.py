"""A source: records of one account and Region, wherever they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from bedrock_quota.processor.look_up import FetchBodies
from quota_monitor.analyze.account import Account
from quota_monitor.analyze.reader import RecordReader, ResolveProfile
from quota_monitor.analyze.scope import Scope

Progress = Callable[[float], None]
"""Gets the share that is done, from 0 to 1."""


class Source(msgspec.Struct, frozen=True):
    """Records of one account and Region. `read` adds them to a reader and returns notes about what it left out.

    `fetch_bodies` reads request bodies in S3, or is None if the source has no access to them.
    """

    name: str
    account: Account
    resolve_profile: ResolveProfile
    read: Callable[[RecordReader, Scope, Progress], Sequence[str]]
    fetch_bodies: FetchBodies | None = None
