"""The signs of a deployed stack: what of it and around it can be seen, as plain values."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from bedrock_quota.deployment.invocation_logging import LargeBodies
from bedrock_quota.deployment.log_groups import LogGroup
from bedrock_quota.state.snapshot import Snapshot
from quota_monitor.stacks import Stack


class Unread(msgspec.Struct, frozen=True):
    """Stands for what could not be read: `reason` is AWS's own word."""

    reason: str


class InvocationLogging(msgspec.Struct, frozen=True):
    """What the account's invocation logging delivers, and where."""

    text: bool
    log_group: str | None
    large_bodies: LargeBodies | None = None
    role: str | None = None
    """The ARN of the role by which Bedrock writes to the log group."""


class Filter(msgspec.Struct, frozen=True):
    """A subscription filter: the ARN it delivers to and, if that is one of these monitors, its namespace."""

    name: str
    pattern: str
    destination: str
    namespace: str | None = None


class Function(msgspec.Struct, frozen=True):
    """A function: `reserved` is its reserved concurrency, None where it has none."""

    name: str
    arn: str
    state: str
    last_update: str
    environment: Mapping[str, str]
    reserved: int | None = None


class Permission(msgspec.Struct, frozen=True):
    """A statement of a policy that lets a service invoke a function, or take on a role, for one source at most."""

    service: str
    source_arn: str | None
    source_account: str | None


class Role(msgspec.Struct, frozen=True):
    """A role: who may take it on, and which of the actions that its work needs its policies refuse."""

    arn: str
    trusts: tuple[Permission, ...] = ()
    refused: tuple[str, ...] = ()


class Reader(msgspec.Struct, frozen=True):
    """The event source mapping by which the processor reads the stream: where failed batches go to, and its state."""

    uuid: str
    state: str
    on_failure: str | None = None
    last_result: str = ""
    """What Lambda says of the last batch, such as `OK` or `PROBLEM: …`."""
    in_part: bool = True
    """Whether Lambda heeds the answer that names what of a batch was not processed."""


class Stream(msgspec.Struct, frozen=True):
    """A stream that invocation logs go through: None is what is not there of it."""

    arn: str
    status: str | None
    """Such as `ACTIVE`."""
    role: Role | None
    """The role by which CloudWatch Logs puts records into it."""
    reader: Reader | None


class Parts(msgspec.Struct, frozen=True):
    """Logical ids of what is gone of a stack; of the parts that could not be looked at the reasons."""

    gone: frozenset[str] = frozenset()
    unread: tuple[Unread, ...] = ()


class Traffic(msgspec.Struct, frozen=True):
    """What the metrics of the last `HOURS` hours show; times are the beginnings of five minutes.

    `calls` are when Bedrock answered calls, `records` when records of any outcome were processed.
    """

    calls: tuple[datetime, ...] = ()
    records: tuple[datetime, ...] = ()
    processed: float = 0
    rejected: float = 0
    unknown: float = 0
    """Requests among the processed whose max_tokens is unknown."""
    last_failed_fetch: datetime | None = None


class Alarm(msgspec.Struct, frozen=True):
    """An alarm that exists; `actions` are what it does when it rings, `armed` is whether it does it."""

    name: str
    state: str
    armed: bool
    actions: tuple[str, ...]
    description: str = ""


class Key(msgspec.Struct, frozen=True):
    """A KMS key: its state is `gone` where AWS knows it no more."""

    arn: str
    state: str = "Enabled"


class Access(msgspec.Struct, frozen=True):
    """Large bodies: whether their bucket is there, and whether the processor may read it.

    Both are true where there is to be none. `writers` may write to it. `key` is the customer's KMS key that it encrypts
    with, if any; `decrypts` whether its policy names the processor's role, `role`.
    """

    reads: bool = True
    bucket_there: bool = True
    writers: tuple[Permission, ...] = ()
    role: str = ""
    key: Key | None = None
    decrypts: bool = True


class Kept(msgspec.Struct, frozen=True):
    """Failed deliveries in the stack's bucket: how many, and since when; whether its policy lets nobody put more."""

    count: int
    oldest: datetime | None = None
    closed: bool = False


HOURS = 24
"""How far back traffic is looked for."""


class Signs(msgspec.Struct, frozen=True):
    """All that was seen. None is what is not there; `Unread` is what could not be looked at."""

    stack: Stack
    parts: Parts | Unread
    invocation_logging: InvocationLogging | Unread | None
    logging_role: Role | Unread | None
    """The role by which Bedrock writes to the log group."""
    log_group: LogGroup | Unread | None
    log_group_key: Key | Unread | None
    """What it is encrypted with, if it is with a key of the customer's."""
    filters: tuple[Filter, ...] | Unread | None
    permissions: tuple[Permission, ...] | Unread
    stream: Stream | Unread | None
    """None where logs come directly."""
    processor: Function | Unread | None
    on_failure: str | Unread | None
    """The ARN that the processor's failed deliveries go to."""
    own_log_groups: Mapping[str, bool] | Unread
    """Log groups of the functions by name, and whether they are there."""
    traffic: Traffic | Unread
    large_bodies: Access | Unread | None
    kept: Kept | Unread | None
    processor_role: Role | Unread | None
    """Refused is what keeping failed deliveries needs."""
    snapshot: Snapshot | Unread | None
    fetcher: Function | Unread | None
    schedule: str | Unread | None
    overrides_rule: str | Unread | None
    """The schedule's and the rule's state, such as `ENABLED`."""
    alarms: tuple[Alarm, ...] | Unread
    subscribers: Mapping[str, int] | Unread | None
    """Confirmed and pending subscribers of the topic by that word."""
