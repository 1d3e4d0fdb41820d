"""The way of a record: `decode → read → price → group → lines`.

`process_batch` decodes each delivery, then calls `price_delivery` for it and `make_lines` for all of them together.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from datetime import datetime

import msgspec

from bedrock_quota.errors import RecordError
from bedrock_quota.pools import PoolQuota, QuotaPool
from bedrock_quota.processor import metric_lines
from bedrock_quota.processor.calls import MAX_NAMED, DeliveryCalls, Rejected, merge_calls
from bedrock_quota.processor.delivery import Delivery, LogEvent
from bedrock_quota.processor.grouping import Groups, group_calls
from bedrock_quota.processor.health import line_for_health, measure_health
from bedrock_quota.processor.reading import is_permissions_line, read_record
from bedrock_quota.processor.records import Record, RequestBody, with_request_body
from bedrock_quota.processor.usage import CallUsage, UsageCalculator
from bedrock_quota.state.snapshot import OLDEST_QUOTAS

FetchBodies = Callable[[Collection[str]], Mapping[str, RequestBody]]
"""Returns the request bodies at these paths that could be read. Never raises."""


class Outcome(msgspec.Struct, frozen=True):
    """The lines to write for deliveries that are written together, and what the function's log names."""

    lines: tuple[bytes, ...]
    rejected: tuple[Rejected, ...]
    unlisted: tuple[str, ...]
    """Ids of models that are not in the registry, at most `MAX_NAMED`."""
    other_calls: int
    """Processed calls beyond the bound on groups: they have no metrics."""


def price_delivery(
    received: Delivery,
    calculator: UsageCalculator,
    now: datetime,
    seen: Set[str] = frozenset(),
    fetch_bodies: FetchBodies = lambda _paths: {},
    *,
    checked: bool = True,
) -> DeliveryCalls:
    """Read and price the records of one delivery. A bad record is counted with its reason, and the others are priced.

    Log events with an id in `seen` were processed before and are ignored. `checked` is False if the state table could
    not be asked about the whole delivery. `fetch_bodies` reads request bodies from S3.
    """
    calls = DeliveryCalls(received=len(received.log_events), control=received.is_control, unchecked=int(not checked))
    if received.is_control:
        calls.ignored = calls.received
        return calls
    events, calls.new_ids = _select_new(received.log_events, seen)
    calls.duplicates = calls.ignored = calls.received - len(events)
    calculator.begin(now)
    incomplete: deque[Record] = deque()
    _price(_read(events, calls, incomplete), calculator, calls)
    if incomplete:
        _price(_add_bodies(incomplete, fetch_bodies), calculator, calls)
    if calls.usages:
        calls.oldest_starts.append(min([usage.started for usage in calls.usages]))
    return calls


def make_lines(
    deliveries: Sequence[DeliveryCalls],
    *,
    quotas: Mapping[QuotaPool, PoolQuota] | None,
    namespace: str,
    now: datetime,
    quota_age_seconds: float | None = None,
) -> Outcome:
    """Group the calls of deliveries that are written together, and make their metric lines.

    `quotas` is None if they could not be read. The percentages are then left out, `quota_age_seconds` is missing from
    the health line, and `QuotasUnknown` counts the calls. It also counts calls whose quotas are too old.
    """
    calls = deliveries[0] if len(deliveries) == 1 else merge_calls(deliveries)
    groups = group_calls(calls.usages)
    known = quotas or {}
    age = None if quotas is None else quota_age_seconds
    usable = quotas is not None and (age or 0) <= OLDEST_QUOTAS.total_seconds()
    seconds = now.timestamp()
    health = measure_health(calls, groups, seconds, deliveries=len(deliveries), quota_age=age, quotas_usable=usable)
    return Outcome(
        lines=(
            *metric_lines.lines_for_groups(groups.groups, namespace, known),
            *metric_lines.lines_for_overflow(groups.overflow),
            *metric_lines.lines_for_failed_calls(calls.failed, namespace, known),
            line_for_health(namespace, seconds, health),
        ),
        rejected=tuple(calls.rejected),
        unlisted=_list_unlisted_models(groups) if health.unlisted_models else (),
        other_calls=len(groups.overflow),
    )


def _select_new(events: Sequence[LogEvent], seen: Set[str]) -> tuple[Sequence[LogEvent], Collection[str]]:
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


def _read(events: Iterable[LogEvent], calls: DeliveryCalls, incomplete: deque[Record]) -> Iterator[Record]:
    """Yield the records among log events, except those whose request body is in S3: they go to `incomplete`.

    Any other event is counted.
    """
    for event in events:
        try:
            record = read_record(event.message)
        except RecordError as error:
            if is_permissions_line(event.message):
                calls.ignored += 1
            else:
                calls.reject(error)
            continue
        if record.input.body_s3_path is not None and _missing_body(record) is not None:
            incomplete.append(record)
        else:
            yield record


def _missing_body(record: Record) -> str | None:
    """Return the S3 path of the request body that the log leaves out, if there is one."""
    return record.input.body_s3_path if record.input.body is None and record.error_code is None else None


def _add_bodies(incomplete: deque[Record], fetch_bodies: FetchBodies) -> Iterator[Record]:
    """Yield incomplete records with their request body from S3, or as they are if it could not be read."""
    bodies = fetch_bodies({path for record in incomplete if (path := _missing_body(record)) is not None})
    while incomplete:  # releases each record as soon as it is priced
        record = incomplete.popleft()
        body = bodies.get(_missing_body(record) or "")
        yield with_request_body(record, body) if body else record


def _price(records: Iterable[Record], calculator: UsageCalculator, calls: DeliveryCalls) -> None:
    """Price records, and keep only their usage."""
    usages, price = calls.usages, calculator.price
    for record in records:
        try:
            entry = price(record)
        except RecordError as error:
            calls.reject(error)
            continue
        if type(entry) is CallUsage:  # nearly always
            usages.append(entry)
        else:
            calls.add(entry)


def _list_unlisted_models(groups: Groups) -> tuple[str, ...]:
    unlisted = dict.fromkeys(group.pool.model_id for group, _ in groups.sizes() if not group.listed)
    return tuple(unlisted)[:MAX_NAMED]
