"""The way of a record: `decode → read → price → group → lines`.

`process_batch` decodes each delivery, then calls `price_delivery` for it and `make_lines` for all of them together.
"""

import operator
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import chain
from typing import NotRequired, TypedDict, Unpack

import msgspec

from bedrock_quota.errors import RecordError
from bedrock_quota.model_ids import ApplicationProfile
from bedrock_quota.pools import PoolQuota, QuotaPool
from bedrock_quota.processor import metric_lines
from bedrock_quota.processor.calls import (
    TOO_LARGE_TO_WAIT,
    TOO_MANY_WAITING,
    DeliveryCalls,
    LateCall,
    Rejected,
    merge_calls,
)
from bedrock_quota.processor.delivery import Delivery, LogEvent
from bedrock_quota.processor.grouping import GroupedCalls, group_calls
from bedrock_quota.processor.health import line_for_health, measure_health
from bedrock_quota.processor.look_up import NO_LOOK_UP, FetchBodies, LookUp, MissingBody
from bedrock_quota.processor.reading import is_permissions_line, read_usual_record
from bedrock_quota.processor.records import Record, with_request_body
from bedrock_quota.processor.seen_events import SeenInSource
from bedrock_quota.processor.step_budget import StepBudget
from bedrock_quota.processor.tolerant_reading import count_steps, read_record
from bedrock_quota.processor.trimming import MAX_PATH, trim_record
from bedrock_quota.processor.usage import CallUsage, Entry, UsageCalculator
from bedrock_quota.state.snapshot import OLDEST_QUOTAS

NOTHING_SEEN = SeenInSource()

Price = Callable[[Record], Entry | ApplicationProfile]

SetAside = Callable[[Record], bytes | None]
"""Returns a record as it waits in the queue of late calls, or None if it is too large."""

MAX_SET_ASIDE = 1_000
"""Calls of one delivery that wait for their body. The max_tokens of all further ones is unknown at once."""

_OLDEST_QUOTAS_SECONDS = OLDEST_QUOTAS.total_seconds()

MAX_SET_ASIDE_BYTES = 5 * 1024 * 1024
"""Bytes of such calls after which no further one waits. 1,000 ordinary ones have 500 KB, and 1,000 with 16 tags of 256
letters 5 MB."""

NO_BODY = MissingBody("not_asked", may_come=False)


class LineOptions(TypedDict):
    """Everything that lines need besides the calls.

    `quotas` is None if they could not be read. The percentages are then left out, `quota_age_seconds` is missing from
    the health line, and `QuotasUnknown` counts the calls. It also counts calls whose quotas are too old.
    """

    quotas: Mapping[QuotaPool, PoolQuota] | None
    namespace: str
    now: datetime
    quota_age_seconds: NotRequired[float | None]


class Outcome(msgspec.Struct, frozen=True):
    """The lines to write for deliveries that are written together, and what the function's log names."""

    lines: Iterable[bytes]
    """Encoded as they are written, so that a large result is never in memory as a whole."""
    rejected: tuple[Rejected, ...] = ()
    unlisted: tuple[str, ...] = ()
    """Ids of models that are not in the registry, at most `MAX_NAMED`."""
    unknown_tiers: tuple[str, ...] = ()
    """Service tiers that are not known, at most `MAX_NAMED`."""
    groups: tuple[GroupedCalls, ...] = ()
    """The calls of the lines."""


def price_delivery(
    received: Delivery,
    calculator: UsageCalculator,
    now: datetime,
    seen: SeenInSource = NOTHING_SEEN,
    look_up: LookUp = NO_LOOK_UP,
    *,
    checked: bool = True,
    set_aside: SetAside | None = None,
    returned: bool = False,
    published: bool = False,
) -> DeliveryCalls:
    """Read and price the records of one delivery. A bad record is counted with its reason, and the others are priced.

    Log events in `seen` were processed before and are ignored. `checked` is False if the state table could
    not be asked about the whole delivery. `look_up` is asked only for records whose numbers depend on it. A call whose
    body may still come is `late` if `set_aside` encodes it, and no call waits if `set_aside` is None. `returned` is
    True if the records waited in the queue: they are late because of their body, and say nothing about the lag of the
    logs. Nor do records that are `published`.
    """
    calls = DeliveryCalls(received=len(received.log_events), control=received.is_control, unchecked=int(not checked))
    if received.is_control:
        calls.ignored = calls.received
        return calls
    events, calls.new_ids = _select_new(received.log_events, seen)
    calls.duplicates = calls.ignored = calls.received - len(events)
    calls.returned = calls.received if returned else 0
    calls.published = calls.received if published else 0
    calculator.begin(now)
    waiting = Waiting(calculator)
    _price(_read(events, calls), calculator.price, calls, waiting)
    if waiting.profiles:
        look_up.profiles(_count_calls(waiting.profiles))
        _price(_release_profiles(waiting), partial(calculator.price, wait=False), calls, waiting)
    if waiting.bodies:
        released = _release_bodies(waiting, look_up.bodies, calls, set_aside)
        _price(released, partial(calculator.price, wait=False), calls, waiting)
    if calculator.unlisted_models:
        calls.unlisted_models = tuple(calculator.unlisted_models)
    if calculator.unknown_tiers:
        calls.unknown_tiers = tuple(calculator.unknown_tiers)
    if calls.usages and not returned and not published:
        calls.oldest_starts.append(min([usage.started for usage in calls.usages]))
    return calls


def make_lines(
    deliveries: Sequence[DeliveryCalls], *, before_late_calls: bool = False, **options: Unpack[LineOptions]
) -> Outcome:
    """Group the calls of deliveries that are written together, and make their metric lines.

    With `before_late_calls` there is no health line yet: `make_last_lines` makes it when the late calls are set aside.
    """
    calls = deliveries[0] if len(deliveries) == 1 else merge_calls(deliveries)
    groups = group_calls(calls.usages)
    namespace, quotas = options["namespace"], options["quotas"] or {}
    return Outcome(
        lines=chain(
            metric_lines.lines_for_groups(groups, namespace, quotas),
            metric_lines.lines_for_reserved_tier(group_calls(calls.reserved_tier)) if calls.reserved_tier else (),
            metric_lines.lines_for_failed_calls(calls.failed, namespace, quotas) if calls.failed else (),
            () if before_late_calls else (_line_for_health(calls, groups, len(deliveries), options),),
        ),
        rejected=tuple(calls.rejected),
        unlisted=calls.unlisted_models,
        unknown_tiers=calls.unknown_tiers,
        groups=groups,
    )


def make_last_lines(
    deliveries: Sequence[DeliveryCalls],
    unsent: Sequence[CallUsage],
    written: Sequence[GroupedCalls],
    **options: Unpack[LineOptions],
) -> Outcome:
    """Make the lines that `make_lines` has left out: of the calls that could not be set aside, and of health.

    `written` are the groups of the lines that it has made.
    """
    calls = deliveries[0] if len(deliveries) == 1 else merge_calls(deliveries)
    groups = group_calls(unsent)
    health = _line_for_health(calls, (*written, *groups), len(deliveries), options)
    lines = metric_lines.lines_for_groups(groups, options["namespace"], options["quotas"] or {})
    return Outcome(lines=chain(lines, (health,)))


def _line_for_health(
    calls: DeliveryCalls, groups: Sequence[GroupedCalls], deliveries: int, options: LineOptions
) -> bytes:
    quotas, age, seconds = options["quotas"], options.get("quota_age_seconds"), options["now"].timestamp()
    if quotas is None:
        age = None
    usable = quotas is not None and (age or 0) <= _OLDEST_QUOTAS_SECONDS
    health = measure_health(calls, groups, seconds, deliveries=deliveries, quota_age=age, quotas_usable=usable)
    return line_for_health(options["namespace"], seconds, health)


def _select_new(events: Sequence[LogEvent], seen: SeenInSource) -> tuple[Sequence[LogEvent], Collection[str]]:
    """Return the events that were not processed before, each once, and their ids. One without an id is always new."""
    prefix = seen.prefix
    names = [event.id and prefix + event.id for event in events] if prefix else [event.id for event in events]
    ids = dict.fromkeys(names)
    if len(ids) == len(events) and seen.ids.isdisjoint(ids):
        ids.pop("", None)
        return events, ids
    new, ids = [], {}
    for event, name in zip(events, names, strict=True):
        if not name:
            new.append(event)
        elif name not in ids and name not in seen.ids:
            new.append(event)
            ids[name] = None
    return new, ids


class Waiting(msgspec.Struct):
    """Records of a delivery that cannot be priced yet: by the application profile, or without the body from S3.

    The latter have their usage without the body. All are trimmed, because a delivery may hold tens of thousands.
    """

    calculator: UsageCalculator
    profiles: dict[ApplicationProfile, deque[Record]] = {}
    bodies: deque[tuple[Record, CallUsage]] = msgspec.field(default_factory=deque)

    def trim(self, record: Record) -> Record:
        """Return a record as it waits: with all that decides about its usage, and no more."""
        return trim_record(record, self.calculator.metadata_keys, with_session=self.calculator.with_sessions)


def _read(events: Iterable[LogEvent], calls: DeliveryCalls) -> Iterator[Record]:
    """Yield the records among log events. Any other event is counted.

    Unusual records come last, the one with the least work first: one that takes much leaves enough for ordinary ones.
    """
    unusual: list[tuple[int, LogEvent]] = []
    for event in events:
        try:
            record = read_usual_record(event.message)
            if record is None:
                unusual.append((count_steps(event.message), event))
        except RecordError as error:
            calls.reject(error)
            continue
        if record is not None:
            yield record
    if not unusual:
        return
    budget = StepBudget()
    for steps, event in sorted(unusual, key=operator.itemgetter(0)):
        try:
            record = read_record(event.message, budget, steps)
        except RecordError as error:
            if is_permissions_line(event.message):
                calls.ignored += 1
            else:
                calls.reject(error)
        else:
            yield record


def _price(records: Iterable[Record], price: Price, calls: DeliveryCalls, waiting: Waiting) -> None:
    """Price records and keep only their usage. Records that must wait are kept in `waiting`."""
    usages = calls.usages
    for record in records:
        try:
            entry = price(record)
        except RecordError as error:
            calls.reject(error)
            continue
        if type(entry) is CallUsage:  # nearly always
            if entry.max_tokens is None and 0 < len(record.input.body_s3_path or "") <= MAX_PATH:
                waiting.bodies.append((waiting.trim(record), entry))
            else:
                usages.append(entry)
        elif isinstance(entry, ApplicationProfile):
            waiting.profiles.setdefault(entry, deque()).append(waiting.trim(record))
        else:
            calls.add(entry)


def _count_calls(profiles: Mapping[ApplicationProfile, Sequence[Record]]) -> dict[ApplicationProfile, int]:
    """Return how many answered calls need each profile. A failed call is counted without one."""
    counts = {profile: sum(record.error_code is None for record in records) for profile, records in profiles.items()}
    return {profile: count for profile, count in counts.items() if count}


def _release_profiles(waiting: Waiting) -> Iterator[Record]:
    """Yield the records that waited for their application profile, and forget them."""
    profiles, waiting.profiles = waiting.profiles, {}
    for records in profiles.values():
        while records:
            yield records.popleft()


def _release_bodies(
    waiting: Waiting, fetch: FetchBodies, calls: DeliveryCalls, set_aside: SetAside | None
) -> Iterator[Record]:
    """Yield the records whose body could be read from S3, with that body, and forget all that waited for one.

    A call without its body is late if it can wait. Otherwise it counts with what is known of it.
    """
    incomplete = waiting.bodies
    paths = [record.input.body_s3_path or "" for record, _ in incomplete]
    bodies = fetch(dict.fromkeys(paths))
    places: Sequence[tuple[bytes, int]] | None = None
    size = 0
    for position, path in enumerate(paths):
        record, usage = incomplete.popleft()
        body = bodies.found.get(path)
        if body is not None:
            yield with_request_body(record, body)
            continue
        missing = bodies.missing.get(path, NO_BODY)
        encoded, reason = None, missing.reason
        if missing.may_come and set_aside is not None:
            if len(calls.late) < MAX_SET_ASIDE and size < MAX_SET_ASIDE_BYTES:
                encoded, reason = set_aside(record), TOO_LARGE_TO_WAIT
            else:
                reason = TOO_MANY_WAITING
        if encoded is not None:
            size += len(encoded)
            places = _find_places(paths) if places is None else places
            calls.late.append(LateCall(encoded, usage, *places[position]))
        else:
            calls.usages.append(usage)
            calls.count_missing_body(reason)


def _find_places(paths: Sequence[str]) -> Sequence[tuple[bytes, int]]:
    from bedrock_quota.processor.late_bodies import find_places  # noqa: PLC0415 - see that module's docstring

    return find_places(paths)
