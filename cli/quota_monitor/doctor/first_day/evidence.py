"""Evidence: what was read of an account for the first-day check, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from bedrock_quota.pools import QuotaPool


class Unreadable(msgspec.Struct, frozen=True):
    """Stands for evidence that could not be read: the API operation and AWS's error code, without its message.

    AWS's messages name the caller and the resource.
    """

    operation: str
    code: str


class Total(msgspec.Struct, frozen=True):
    """Sum and number of the values of one metric in one minute."""

    total: float = 0.0
    count: int = 0


Minutes = Mapping[datetime, Total]
"""The totals of one metric by minute."""


class MetricLines(msgspec.Struct, frozen=True):
    """Metric lines that the processor wrote, added up per minute, and facts about the records behind them.

    `processed` is `RecordsProcessed`, `consumed` is `ConsumedTokens` of each pool. Only minutes to which no recent line
    adds are there. `whole` is False if there were more lines than were read.
    """

    processed: Minutes = {}
    consumed: Mapping[QuotaPool, Minutes] = {}
    whole: bool = True
    since: datetime | None = None
    """Start of the time that was read."""
    broken: int = 0
    """Lines that begin like a metric line and are no valid one."""
    lags: tuple[float, ...] = ()
    """`RecordLagSeconds` of deliveries: from the start of the oldest call to the processor."""
    throttled: int = 0
    """Failed calls that were throttled, as the log has them."""
    received: int = 0
    """Log events of all deliveries. A call that was set aside is received once more when it comes back."""
    set_aside: int = 0
    """Calls that waited for their body in S3."""
    operations: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()
    """Optional fields of records that came: `service_tier` and `project_identifier`."""


class MetricValues(msgspec.Struct, frozen=True):
    """The metrics that CloudWatch made of the lines, like those of `MetricLines`."""

    processed: Minutes = {}
    consumed: Mapping[QuotaPool, Minutes] = {}


class AlarmState(msgspec.Struct, frozen=True):
    """An alarm as CloudWatch evaluates it. `name` is the logical id.

    `kind` is `metric`, `math` or `query`. `periods` and `values` are of the alarm's own expression, asked again with
    GetMetricData over the last hours. `measured` is the number of periods in which a metric of the expression has a
    value, and `lost` of those in which only the expression has none. All four are 0 for a plain metric.
    """

    name: str
    kind: str
    state: str
    evaluation: str = ""
    """`EvaluationState`, such as `EVALUATION_ERROR`. Empty if the evaluation works."""
    datapoints: int = 0
    """Data points of which the reason of the last change of state speaks."""
    treated_missing: bool = False
    """True if that reason speaks of missing data points."""
    fills: bool = False
    """True if the expression fills missing values."""
    by_pool: bool = False
    """True if the query has one series per pool."""
    periods: int = 0
    values: int = 0
    measured: int = 0
    lost: int = 0


class Contributors(msgspec.Struct, frozen=True):
    """Names of the attributes of each contributor, by the logical id of the alarm. `supported`: the SDK has the API."""

    of_alarms: Mapping[str, tuple[tuple[str, ...], ...]] = {}
    supported: bool = True


class Actions(msgspec.Struct, frozen=True):
    """Actions in the history of two alarms. `tested` has one entry per action of TestAlarm: True if it succeeded.

    `unasked` is the number of actions of QuotaFetcherSilentAlarm beyond its changes of state. A change has one at most.
    """

    tested: tuple[bool, ...] = ()
    unasked: int = 0


class FailurePath(msgspec.Struct, frozen=True):
    """The processor's failure destination: `kept` objects in the bucket, and Lambda's counts of two weeks."""

    is_bucket: bool = True
    kept: bool = False
    dropped: float = 0
    """`AsyncEventsDropped`."""
    failures: float = 0
    """`DestinationDeliveryFailures`."""


class Dimensions(msgspec.Struct, frozen=True):
    """Combinations of dimension names by metric, such as `AWS/Bedrock Invocations`. `tiers` are service tiers."""

    of_metrics: Mapping[str, tuple[tuple[str, ...], ...]] = {}
    tiers: frozenset[str] = frozenset()


class Bodies(msgspec.Struct, frozen=True):
    """Seconds from a record in CloudWatch Logs to its body in S3. Negative: the body was first.

    `missing` is the number of bodies that are not in S3, although their records are older than any wait.
    """

    delays: tuple[float, ...] = ()
    missing: int = 0


class Sdk(msgspec.Struct, frozen=True):
    """The runtime's SDK as the set-up reports it, and the account's configuration as Bedrock returns it.

    `members` and `flags` are names of the configuration's members. `flags` has those that switch a kind of data.
    """

    version: str = ""
    members: frozenset[str] = frozenset()
    returned: frozenset[str] = frozenset()
    flags: Mapping[str, bool] = {}
    made_by_stack: bool = False
    """True if this stack enabled the account's logging, so that all of the configuration is its own."""
    large_bodies: bool = False
    """True if the configuration has a bucket for bodies over 100 KB."""


class Counts(msgspec.Struct, frozen=True):
    """Calls that Bedrock counts, and records that came, in the same hours.

    `whole` is False if the stack is too new for any hour in which all calls were logged.
    """

    whole: bool = True
    invocations: float = 0
    errors: float = 0
    answered: float = 0
    """Records of calls that Bedrock answered."""


class Evidence(msgspec.Struct, frozen=True):
    """All that was read, at one time. Each field is `Unreadable` if AWS refused it."""

    lines: MetricLines | Unreadable
    values: MetricValues | Unreadable
    refused: float | Unreadable
    """Metric lines that CloudWatch refused."""
    dashboard: tuple[str, ...] | Unreadable | None
    """Places in which the dashboard differs from the template. None if the template has no comparable body."""
    alarms: tuple[AlarmState, ...] | Unreadable
    contributors: Contributors | Unreadable
    actions: Actions | Unreadable
    failure_path: FailurePath | Unreadable
    dimensions: Dimensions | Unreadable
    delays: tuple[float, ...] | Unreadable
    """Seconds from a call's start to CloudWatch Logs."""
    bodies: Bodies | Unreadable
    sdk: Sdk | Unreadable
    counts: Counts | Unreadable
    throttles: float | Unreadable
    """Calls that Bedrock throttled while the metric lines were written."""
    overrides: float | Unreadable
    """Times that the rule of changed overrides started the fetcher."""
    is_local: bool = False
    """True if the account is that of an emulator on this machine."""
    kept_test: bool | None = None
    """True if the event of --test-failure was kept, False if it was not, None without that test."""
