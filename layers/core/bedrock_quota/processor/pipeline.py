"""The processing of one delivery: `delivery → records → accounts → minutes → metric lines`, written by the caller."""

from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from datetime import datetime

import msgspec

from bedrock_quota import model_ids
from bedrock_quota.processor.grouping import group_calls
from bedrock_quota.processor.metric_lines import line_for_duplicate, line_for_health, lines_for_failed_calls, lines_for_groups, lines_for_overflow
from bedrock_quota.processor.reading import is_permissions_line, read_record
from bedrock_quota.processor.records import safe_request_id, with_request_body
from bedrock_quota.processor.usage import CallUsage, Entry, FailedCall, UsageCalculator
from bedrock_quota.pools import QuotaPool
from bedrock_quota.processor.delivery import Delivery, LogEvent
from bedrock_quota.errors import RecordError
from bedrock_quota.processor.metric_lines import Health
from bedrock_quota.processor.max_tokens import Source
from bedrock_quota.pools import PoolQuota
from bedrock_quota.processor.records import Record, RequestBody
from bedrock_quota.state.snapshot import OLDEST_QUOTAS

MAX_NAMED = 20
"""Request ids and model ids named by one delivery; the rest is only counted."""


FetchBodies = Callable[[Collection[str]], Mapping[str, RequestBody]]
"""Returns the request bodies at these paths, as far as they could be read; never raises."""


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """A record that could not be used: why, and which, if it says so in a form that is safe to log."""

    reason: str
    request_id: str | None


class Outcome(msgspec.Struct, frozen=True):
    """All that the deliveries written together came to, mostly one. `lines` are ready; the rest is for the log.

    `received` = processed + rejected + out of scope + failed + ignored.
    """

    lines: tuple[bytes, ...]
    received: int
    processed: int
    failed: int
    ignored: int
    rejected: tuple[Rejected, ...]
    out_of_scope: Mapping[str, int]
    unlisted: tuple[str, ...]
    other_calls: int = 0
    """Of those processed, the calls beyond the bound on lines: they have no metrics."""


def process_delivery(
    delivery: Delivery,
    accounts: UsageCalculator,
    *,
    quotas: Mapping[QuotaPool, PoolQuota] | None,
    namespace: str,
    now: datetime,
    quota_age_seconds: float | None = None,
    seen: Set[str] = frozenset(),
    checked: bool = True,
    fetch_bodies: FetchBodies = lambda _paths: {},
) -> Outcome:
    """Turn one delivery into metric lines: `read`, then `outcome`, of which each says what the parameters are."""
    entries = read_calls(delivery, accounts, now, seen, fetch_bodies, checked=checked)
    return make_lines([entries], quotas=quotas, namespace=namespace, now=now, quota_age_seconds=quota_age_seconds)


def make_lines(
    read_together: Sequence["DeliveryCalls"],
    *,
    quotas: Mapping[QuotaPool, PoolQuota] | None,
    namespace: str,
    now: datetime,
    quota_age_seconds: float | None = None,
) -> Outcome:
    """Turn the entries of one or more deliveries into metric lines, as if all had come in one.

    `quotas` is None where they could not be read: the percent metrics are then left out, and the health line says so
    by its missing `quota_age_seconds` and by `QuotasUnknown`, which also counts calls whose quotas are too old.
    """
    entries = read_together[0] if len(read_together) == 1 else _together(read_together)
    grouped = group_calls(entries.opened)
    sources = _NO_CALLS.copy()
    unlisted: dict[str, int] = {}
    for kind, calls in grouped.sizes():
        sources[kind.source] += calls
        if not kind.listed:
            unlisted[kind.pool.model_id] = unlisted.get(kind.pool.model_id, 0) + calls
    seconds = now.timestamp()
    no_quotas = quotas is None or (quota_age_seconds or 0) > OLDEST_QUOTAS.total_seconds()
    health = Health(
        processed=len(entries.opened),
        rejected=len(entries.rejected),
        out_of_scope=sum(entries.out_of_scope.values()),
        failed=len(entries.failed),
        max_tokens_unknown=sources[Source.UNKNOWN],
        unlisted_models=sum(unlisted.values()),
        event="delivery",
        received=entries.received,
        ignored=entries.ignored,
        control=entries.control,
        max_tokens_explicit=sources[Source.EXPLICIT],
        max_tokens_default=sources[Source.DEFAULT],
        max_tokens_none=sources[Source.NONE],
        lag_seconds=_lag(entries.oldest_starts, seconds),
        quotas_unknown=len(entries.opened) if no_quotas else 0,
        alarm_tests=entries.out_of_scope.get(model_ids.ALARM_TEST_REASON, 0),
        deliveries=len(read_together),
        quota_age_seconds=None if quotas is None or quota_age_seconds is None else round(quota_age_seconds),
        duplicate_records=entries.duplicates,
        duplicates_unchecked=entries.unchecked,
        other_calls=len(grouped.rest),
        rejected_reasons=_most_common([each.reason for each in entries.rejected]),
        out_of_scope_reasons=entries.out_of_scope,
        error_codes=_most_common([call.error_code for call in entries.failed]),
    )
    return Outcome(
        lines=(
            *lines_for_groups(grouped.minutes, namespace, quotas or {}),
            *lines_for_overflow(grouped.rest),
            *lines_for_failed_calls(entries.failed, namespace, quotas or {}),
            line_for_health(namespace, seconds, health),
        ),
        received=entries.received,
        processed=len(entries.opened),
        failed=len(entries.failed),
        ignored=entries.ignored,
        rejected=tuple(entries.rejected),
        out_of_scope=dict(entries.out_of_scope),
        unlisted=tuple(unlisted)[:MAX_NAMED],
        other_calls=len(grouped.rest),
    )


def _lag(oldest_starts: Sequence[int], now: float) -> float | tuple[float, float] | None:
    """Return how old a delivery's oldest call is, in seconds; the least and the most of several deliveries."""
    if not oldest_starts:
        return None
    least, most = _tenths(now - max(oldest_starts)), _tenths(now - min(oldest_starts))
    return least if len(oldest_starts) == 1 else (least, most)


def _tenths(seconds: float) -> float:
    return int(10 * max(0.0, seconds) + 0.5) / 10  # round() takes ten times as long


def _most_common(words: Sequence[str]) -> dict[str, int]:
    return dict(Counter(words).most_common(MAX_NAMED)) if words else {}


class DeliveryCalls(msgspec.Struct):
    """What the records of a delivery, or of several, turned out to be: all that is kept of them."""

    received: int = 0
    new_ids: Collection[str] = ()
    """Ids of the log events that were not processed before."""
    opened: list[CallUsage] = []
    oldest_starts: list[int] = []
    """When the oldest call of each delivery with calls began, in seconds since the epoch."""
    failed: list[FailedCall] = []
    rejected: list[Rejected] = []
    out_of_scope: dict[str, int] = {}
    ignored: int = 0
    duplicates: int = 0
    """Of those ignored, the records that were processed before."""
    control: bool = False
    unchecked: int = 0
    """Deliveries of which nobody could say whether they were processed before."""

    def add(self, entry: Entry) -> None:
        """Count a record as what it turned out to be."""
        if isinstance(entry, CallUsage):
            self.opened.append(entry)
        elif isinstance(entry, FailedCall):
            self.failed.append(entry)
        else:
            self.out_of_scope[entry.reason] = self.out_of_scope.get(entry.reason, 0) + 1

    def reject(self, error: RecordError) -> None:
        """Count a record that cannot be used, with the reason."""
        self.rejected.append(Rejected(error.reason, safe_request_id(error.request_id)))


def _together(several: Sequence[DeliveryCalls]) -> DeliveryCalls:
    """Return what several deliveries turned out to be, as if they were one."""
    return DeliveryCalls(
        received=sum(each.received for each in several),
        opened=[account for each in several for account in each.opened],
        oldest_starts=[start for each in several for start in each.oldest_starts],
        failed=[call for each in several for call in each.failed],
        rejected=[rejected for each in several for rejected in each.rejected],
        out_of_scope=dict(sum((Counter(each.out_of_scope) for each in several), Counter())),
        ignored=sum(each.ignored for each in several),
        duplicates=sum(each.duplicates for each in several),
        control=all(each.control for each in several),
        unchecked=sum(each.unchecked for each in several),
    )


def read_calls(
    delivery: Delivery,
    accounts: UsageCalculator,
    now: datetime,
    seen: Set[str] = frozenset(),
    fetch_bodies: FetchBodies = lambda _paths: {},
    *,
    checked: bool = True,
) -> DeliveryCalls:
    """Read the records of one delivery. A bad record is counted with its reason and the others go on.

    Log events whose id is in `seen` have been processed before and are ignored; `checked` says whether anybody could
    look if the whole delivery had been. `fetch_bodies` reads request bodies that lie in S3.
    """
    entries = DeliveryCalls(received=len(delivery.log_events), control=delivery.is_control, unchecked=0 if checked else 1)
    if delivery.is_control:
        entries.ignored = len(delivery.log_events)
        return entries
    events, entries.new_ids = _new_events(delivery.log_events, seen)
    entries.duplicates = entries.ignored = len(delivery.log_events) - len(events)
    waiting: deque[Record] = deque()
    opened, account = entries.opened, accounts.of
    for event in events:
        try:
            record = read_record(event.message)
            if record.input.body_s3_path is not None and _missing_body(record) is not None:
                waiting.append(record)
                continue
            entry = account(record, now)
            if type(entry) is CallUsage:  # nearly always
                opened.append(entry)
            else:
                entries.add(entry)
        except RecordError as error:
            if is_permissions_line(event.message):
                entries.ignored += 1
            else:
                entries.reject(error)
    if waiting:
        bodies = fetch_bodies({path for record in waiting if (path := _missing_body(record)) is not None})
        while waiting:  # of a record only its account is kept
            record = waiting.popleft()
            body = bodies.get(_missing_body(record) or "")
            try:
                entries.add(account(with_request_body(record, body) if body else record, now))
            except RecordError as error:
                entries.reject(error)
    if opened:
        entries.oldest_starts.append(min([each.started for each in opened]))
    return entries


def _new_events(events: Sequence[LogEvent], seen: Set[str]) -> tuple[Sequence[LogEvent], Collection[str]]:
    """Return the events that were not processed before, each once, and their ids. One without an id is always new."""
    ids = dict.fromkeys([event.id for event in events])
    if len(ids) == len(events) and seen.isdisjoint(ids):
        return events, ids
    new, ids = [], {}
    for event in events:
        if not event.id or (event.id not in ids and event.id not in seen):
            new.append(event)
            ids[event.id] = None
    return new, ids


def _missing_body(record: Record) -> str | None:
    """Return where the request body lies that the log leaves out, if it says so."""
    return record.input.body_s3_path if record.input.body is None and record.error_code is None else None


_NO_CALLS = dict.fromkeys(Source, 0)


def line_for_duplicate_delivery(delivery: Delivery, namespace: str, now: datetime) -> bytes:
    """Return the health line of a delivery that was processed before: nothing of it counts again."""
    return line_for_duplicate(namespace, now.timestamp(), len(delivery.log_events))
