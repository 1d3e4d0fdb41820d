"""The processing of one delivery: `delivery → records → accounts → minutes → metric lines`, written by the caller."""

from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from datetime import datetime

import msgspec

from bedrock_quota import lines, minutes, model_ids, records
from bedrock_quota.accounts import Account, Accounts, Entry, FailedCall
from bedrock_quota.buckets import Bucket
from bedrock_quota.delivery import Delivery, LogEvent
from bedrock_quota.errors import RecordError
from bedrock_quota.max_tokens import Source
from bedrock_quota.minutes import Minute
from bedrock_quota.quotas import BucketQuota
from bedrock_quota.records import Record, RequestBody
from bedrock_quota.snapshots import OLDEST_QUOTAS

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


def process(
    delivery: Delivery,
    accounts: Accounts,
    *,
    quotas: Mapping[Bucket, BucketQuota] | None,
    namespace: str,
    now: datetime,
    quota_age_seconds: float | None = None,
    seen: Set[str] = frozenset(),
    checked: bool = True,
    fetch_bodies: FetchBodies = lambda _paths: {},
) -> Outcome:
    """Turn one delivery into metric lines: `read`, then `outcome`, of which each says what the parameters are."""
    entries = read(delivery, accounts, now, seen, fetch_bodies, checked=checked)
    return outcome([entries], quotas=quotas, namespace=namespace, now=now, quota_age_seconds=quota_age_seconds)


def outcome(
    read_together: Sequence["Entries"],
    *,
    quotas: Mapping[Bucket, BucketQuota] | None,
    namespace: str,
    now: datetime,
    quota_age_seconds: float | None = None,
) -> Outcome:
    """Turn the entries of one or more deliveries into metric lines, as if all had come in one.

    `quotas` is None where they could not be read: the percent metrics are then left out, and the health line says so
    by its missing `quota_age_seconds` and by `QuotasUnknown`, which also counts calls whose quotas are too old.
    """
    entries = read_together[0] if len(read_together) == 1 else _together(read_together)
    grouped = minutes.group(entries.opened)
    sources, unlisted = _sources(grouped), [minute for minute in grouped if not minute.listed]
    properties = _properties(entries, sources)
    if len(read_together) > 1:
        properties["deliveries"] = len(read_together)
    if quotas is not None and quota_age_seconds is not None:
        properties["quota_age_seconds"] = round(quota_age_seconds)
    seconds = now.timestamp()
    health = _health(entries, sources, unlisted, seconds)
    if entries.opened and (quotas is None or (quota_age_seconds or 0) > OLDEST_QUOTAS.total_seconds()):
        health["QuotasUnknown"] = len(entries.opened)
    return Outcome(
        lines=(
            *lines.of_minutes(grouped, namespace, quotas or {}),
            *lines.of_failed_calls(entries.failed, namespace, quotas or {}),
            lines.of_health(namespace, seconds, health, properties),
        ),
        received=entries.received,
        processed=len(entries.opened),
        failed=len(entries.failed),
        ignored=entries.ignored,
        rejected=tuple(entries.rejected),
        out_of_scope=dict(entries.out_of_scope),
        unlisted=tuple({minute.key.bucket.model_id: None for minute in unlisted})[:MAX_NAMED],
    )


class Entries(msgspec.Struct):
    """What the records of a delivery, or of several, turned out to be: all that is kept of them."""

    received: int = 0
    opened: list[Account] = []
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
        if isinstance(entry, Account):
            self.opened.append(entry)
        elif isinstance(entry, FailedCall):
            self.failed.append(entry)
        else:
            self.out_of_scope[entry.reason] = self.out_of_scope.get(entry.reason, 0) + 1

    def reject(self, error: RecordError) -> None:
        """Count a record that cannot be used, with the reason."""
        self.rejected.append(Rejected(error.reason, records.request_id_of(error.request_id)))


def _together(several: Sequence[Entries]) -> Entries:
    """Return what several deliveries turned out to be, as if they were one."""
    return Entries(
        received=sum(each.received for each in several),
        opened=[account for each in several for account in each.opened],
        failed=[call for each in several for call in each.failed],
        rejected=[rejected for each in several for rejected in each.rejected],
        out_of_scope=sum((Counter(each.out_of_scope) for each in several), Counter()),
        ignored=sum(each.ignored for each in several),
        duplicates=sum(each.duplicates for each in several),
        control=all(each.control for each in several),
        unchecked=sum(each.unchecked for each in several),
    )


def read(
    delivery: Delivery,
    accounts: Accounts,
    now: datetime,
    seen: Set[str] = frozenset(),
    fetch_bodies: FetchBodies = lambda _paths: {},
    *,
    checked: bool = True,
) -> Entries:
    """Read the records of one delivery. A bad record is counted with its reason and the others go on.

    Log events whose id is in `seen` have been processed before and are ignored; `checked` says whether anybody could
    look if the whole delivery had been. `fetch_bodies` reads request bodies that lie in S3.
    """
    entries = Entries(received=len(delivery.log_events), control=delivery.is_control, unchecked=0 if checked else 1)
    if delivery.is_control:
        entries.ignored = len(delivery.log_events)
        return entries
    events = _new_events(delivery.log_events, seen)
    entries.duplicates = entries.ignored = len(delivery.log_events) - len(events)
    waiting: deque[Record] = deque()
    read_record, account, add = records.read, accounts.of, entries.add
    for event in events:
        try:
            record = read_record(event.message)
            if record.input.body_s3_path is not None and _missing_body(record) is not None:
                waiting.append(record)
            else:
                add(account(record, now))
        except RecordError as error:
            if records.is_permissions_line(event.message):
                entries.ignored += 1
            else:
                entries.reject(error)
    if not waiting:
        return entries
    bodies = fetch_bodies({path for record in waiting if (path := _missing_body(record)) is not None})
    while waiting:  # of a record only its account is kept
        record = waiting.popleft()
        body = bodies.get(_missing_body(record) or "")
        try:
            add(account(records.with_body(record, body) if body else record, now))
        except RecordError as error:
            entries.reject(error)
    return entries


def _new_events(events: Sequence[LogEvent], seen: Set[str]) -> Sequence[LogEvent]:
    """Return the events that were not processed before, each once. An event without an id is always new."""
    ids = {event.id for event in events}
    if len(ids) == len(events) and seen.isdisjoint(ids):
        return events
    new, met = [], set()
    for event in events:
        if not event.id or (event.id not in met and event.id not in seen):
            new.append(event)
            met.add(event.id)
    return new


def _missing_body(record: Record) -> str | None:
    """Return where the request body lies that the log leaves out, if it says so."""
    return record.input.body_s3_path if record.input.body is None and record.error_code is None else None


_SOURCES = tuple(Source)


def _sources(grouped: Sequence[Minute]) -> dict[Source, int]:
    """Return how many calls have their max_tokens from where."""
    sources = dict.fromkeys(_SOURCES, 0)
    for minute in grouped:
        sources[minute.key.source] += len(minute.accounts)
    return sources


def _health(
    entries: Entries, sources: Mapping[Source, int], unlisted: Sequence[Minute], now: float
) -> dict[str, float]:
    opened = entries.opened
    health: dict[str, float] = {
        "RecordsProcessed": len(opened),
        "RecordsRejected": len(entries.rejected),
        "RecordsOutOfScope": sum(entries.out_of_scope.values()),
        "RequestsFailed": len(entries.failed),
        "MaxTokensUnknown": sources[Source.UNKNOWN],
        "UnlistedModels": sum([len(minute.accounts) for minute in unlisted]),
    }
    if opened:
        lag = max(0.0, now - min([account.started for account in opened]))
        health["RecordLagSeconds"] = int(10 * lag + 0.5) / 10  # to a tenth; round() takes ten times as long
    if tests := entries.out_of_scope.get(model_ids.ALARM_TEST_REASON):
        health["AlarmTests"] = tests
    return health


def _properties(entries: Entries, sources: Mapping[Source, int]) -> dict[str, object]:
    properties: dict[str, object] = {
        "event": "delivery",
        "received": entries.received,
        "ignored": entries.ignored,
        "control": entries.control,
        "max_tokens_explicit": sources[Source.EXPLICIT],
        "max_tokens_default": sources[Source.DEFAULT],
        "max_tokens_none": sources[Source.NONE],
    }
    if entries.duplicates:
        properties["duplicate_records"] = entries.duplicates
    if entries.unchecked:
        properties["duplicates_unchecked"] = entries.unchecked
    if entries.rejected:
        properties["rejected_reasons"] = dict(Counter(each.reason for each in entries.rejected))
    if entries.out_of_scope:
        properties["out_of_scope_reasons"] = dict(entries.out_of_scope)
    if entries.failed:
        codes = Counter(call.error_code for call in entries.failed)
        properties["error_codes"] = dict(codes.most_common(MAX_NAMED))
    return properties


def duplicate(delivery: Delivery, namespace: str, now: datetime) -> bytes:
    """Return the health line of a delivery that was processed before: nothing of it counts again."""
    properties = {"event": "duplicate_delivery", "received": len(delivery.log_events)}
    return lines.of_health(namespace, now.timestamp(), {"DuplicateDeliveries": 1}, properties)
