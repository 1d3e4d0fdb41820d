"""Observed: what a deployed stack and its surroundings look like, as plain values."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from bedrock_quota.deployment.log_groups import LogGroup
from bedrock_quota.deployment.logging_configuration import LargeBodies
from bedrock_quota.state.snapshot import Snapshot
from quota_monitor.aws_session import Stack


class Unread(msgspec.Struct, frozen=True):
    """Stands for something that could not be read. `reason` is AWS's own message."""

    reason: str


class InvocationLogging(msgspec.Struct, frozen=True):
    """Invocation logging of the account: what it delivers, and where to."""

    text: bool
    log_group: str | None
    large_bodies: LargeBodies | None = None
    role: str | None = None
    """ARN of the role with which Bedrock writes to the log group."""


class LoggingChange(msgspec.Struct, frozen=True):
    """A change of the account's invocation logging that somebody else made, as CloudTrail has it."""

    at: datetime
    who: str
    """ARN of the caller, or what CloudTrail has in its place."""
    tool: str = ""
    """Name of the tool, such as `Terraform`, if it is known."""
    deleted: bool = False


class Filter(msgspec.Struct, frozen=True):
    """A subscription filter. `namespace` is set if it delivers to a monitor like this one."""

    name: str
    pattern: str
    destination: str
    namespace: str | None = None


class Function(msgspec.Struct, frozen=True):
    """A function. `reserved` is its reserved concurrency, if it has any."""

    name: str
    arn: str
    state: str
    last_update: str
    environment: Mapping[str, str]
    reserved: int | None = None


class Permission(msgspec.Struct, frozen=True):
    """A policy statement that allows a service something, for at most one source."""

    service: str
    source_arn: str | None
    source_account: str | None


class Role(msgspec.Struct, frozen=True):
    """A role: who can assume it, and which of the actions it needs are denied."""

    arn: str
    trusts: tuple[Permission, ...] = ()
    refused: tuple[str, ...] = ()


class Reader(msgspec.Struct, frozen=True):
    """The event source mapping with which the processor reads the stream, or the queue of late calls."""

    uuid: str
    state: str
    on_failure: str | None = None
    last_result: str = ""
    """Result of the last batch as Lambda reports it, such as `OK` or `PROBLEM: …`."""
    in_part: bool = True
    """True if Lambda takes partial batch failures into account."""


READING_STATES = frozenset({"Enabled", "Enabling", "Creating", "Updating"})
"""States of an event source mapping that reads, or is about to."""


class Stream(msgspec.Struct, frozen=True):
    """The stream that invocation logs go through. A part that does not exist is None."""

    arn: str
    status: str | None
    """Such as `ACTIVE`."""
    role: Role | None
    """The role with which CloudWatch Logs writes to it."""
    reader: Reader | None


class Parts(msgspec.Struct, frozen=True):
    """Missing resources of the stack: `gone` has their logical ids. `unread` says why others could not be read."""

    gone: frozenset[str] = frozenset()
    unread: tuple[Unread, ...] = ()


class Traffic(msgspec.Struct, frozen=True):
    """Metrics of the last `HOURS` hours. Each time is the start of a `PERIOD`.

    `calls` has the periods in which Bedrock answered calls, `records` those in which records were processed.
    """

    calls: tuple[datetime, ...] = ()
    records: tuple[datetime, ...] = ()
    processed: float = 0
    rejected: float = 0
    unknown: float = 0
    """Processed requests whose max_tokens is unknown."""
    last_failed_fetch: datetime | None = None


class Alarm(msgspec.Struct, frozen=True):
    """An alarm that exists. `armed` is True if its actions are enabled.

    `contributors` has the dimensions of each pool that is in ALARM, if the alarm evaluates each pool separately.
    """

    name: str
    state: str
    armed: bool
    actions: tuple[str, ...]
    description: str = ""
    contributors: tuple[Mapping[str, str], ...] | Unread = ()


class Key(msgspec.Struct, frozen=True):
    """A KMS key. Its state is `deleted` if AWS does not find it."""

    arn: str
    state: str = "Enabled"


class Access(msgspec.Struct, frozen=True):
    """Access to the bucket for large bodies. The default is for a stack without such a bucket.

    `writers` are allowed to write to it. `key` is the customer's KMS key that encrypts it, if any. `decrypts` is True
    if the policy of the key allows the processor's role, `role`, to decrypt.
    """

    reads: bool = True
    bucket_there: bool = True
    writers: tuple[Permission, ...] = ()
    role: str = ""
    key: Key | None = None
    decrypts: bool = True


class Kept(msgspec.Struct, frozen=True):
    """Failed deliveries in the stack's bucket. `closed` is True if the bucket policy denies new ones."""

    count: int
    oldest: datetime | None = None
    closed: bool = False


HOURS = 24
"""Time span of the metrics that are read."""

PERIOD = timedelta(minutes=5)
"""Time that one value of these metrics covers."""


class Observed(msgspec.Struct, frozen=True):
    """All that was read, at one time. None stands for something that does not exist, `Unread` for a failed read."""

    at: datetime
    stack: Stack
    parts: Parts | Unread
    invocation_logging: InvocationLogging | Unread | None
    logging_change: LoggingChange | Unread | None
    """The last change by somebody else. It is read only if what the stack wrote is no longer there."""
    logging_role: Role | Unread | None
    """The role with which Bedrock writes to the log group."""
    log_group: LogGroup | Unread | None
    log_group_key: Key | Unread | None
    """The customer's key that encrypts it, if any."""
    filters: tuple[Filter, ...] | Unread | None
    permissions: tuple[Permission, ...] | Unread
    stream: Stream | Unread | None
    """None if logs are delivered directly."""
    processor: Function | Unread | None
    on_failure: str | Unread | None
    """ARN that the processor's failed deliveries go to."""
    own_log_groups: Mapping[str, bool] | Unread
    """Log groups of the functions by name. The value is True if the group exists."""
    traffic: Traffic | Unread
    large_bodies: Access | Unread | None
    late_calls: Reader | Unread | None
    """The event source mapping of the queue of late calls."""
    kept: Kept | Unread | None
    processor_role: Role | Unread | None
    """`refused` has denied actions that keeping failed deliveries needs."""
    reserved_models: tuple[str, ...] | Unread
    """Ids, as callers passed them, of the models that reserved capacity has served in the last two weeks."""
    snapshot: Snapshot | Unread | None
    fetcher: Function | Unread | None
    fetch_error: str | Unread | None
    """The last error in the fetcher's log. It is read only if a fetch has failed."""
    schedule: str | Unread | None
    overrides_rule: str | Unread | None
    """State of the schedule and of the rule, such as `ENABLED`."""
    alarms: tuple[Alarm, ...] | Unread
    subscribers: Mapping[str, int] | Unread | None
    """Number of `confirmed` and `pending` subscribers of the topic."""
    sinks: tuple[str, ...] | Unread
    """ARNs of the Observability Access Manager's sinks in this Region. An account with one is a monitoring account."""
