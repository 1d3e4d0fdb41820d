"""A batch: the deliveries of one event, processed in order up to the first that fails.

Processing stops at the first failed delivery. Lambda retries that delivery and all later ones, so processing the later
ones now would count them twice. If the very first delivery fails, the whole batch does. Lambda halves it until the
delivery fails alone and is kept alone.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from bedrock_quota.errors import ConcurrentDuplicateError, RecordError
from bedrock_quota.processor.calls import QUEUE_FAILED, DeliveryCalls
from bedrock_quota.processor.container import Container, Context
from bedrock_quota.processor.delivery import Delivery, decode_delivery
from bedrock_quota.processor.delivery_digest import digest_delivery
from bedrock_quota.processor.event import RawDelivery
from bedrock_quota.processor.health import line_for_duplicate
from bedrock_quota.processor.pipeline import (
    NOTHING_SEEN,
    LineOptions,
    Outcome,
    make_last_lines,
    make_lines,
    price_delivery,
)
from bedrock_quota.processor.usage import CallUsage

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from bedrock_quota.processor.duplicates import IdempotencyStore, InProgressDelivery
    from bedrock_quota.processor.late_bodies import LateDelivery, Message, Waiting

_logger = logging.getLogger(__name__)

MAX_EVENTS_PER_GROUP = 10_000
"""Log events after which the deliveries read so far are written, because what is kept of them takes memory."""

MAX_LATE_BYTES_PER_GROUP = 1024 * 1024
"""Bytes of late calls after which the deliveries read so far are written: they take memory, and time to be sent."""

MIN_MILLISECONDS_TO_START = 34_000
"""Remaining time needed to start another delivery while every service is slow: up to 10 s for profiles, 7.5 s for
bodies, 4 s for the queue, 6 s for the state table, 3 s for pools of unlisted models, and its CPU."""

MIN_MILLISECONDS_TO_RECORD = 5_000
"""Remaining time below which a delivery is recorded quickly: a request to the state table may take 4 s."""

MIN_MILLISECONDS_TO_CLAIM = 9_500
"""Remaining time needed to claim a message in the state table: up to 4 s for the request, and 4 s and 1.5 s to record
the first claims."""

MILLISECONDS_PER_CLAIM = 600
"""Remaining time needed in addition for each message that is claimed already, to record it quickly."""

MIN_MILLISECONDS_TO_RECORD_QUICKLY = 1_500
"""Remaining time needed to record another delivery in the state table: one quick request mostly takes 0.6 s at most.

If a run is killed, everything that it wrote counts again. If it ends in time, nothing does: Lambda does not send again
what was processed, recorded or not.
"""

UNREADABLE = "unreadable_message"
"""Reason for which a message of late calls is rejected that `late_bodies` did not write."""

Result = dict[str, int]
"""Counts of records: `received`, `processed` and, if there are any, `rejected`, `set_aside` and `published`."""

Clock = Callable[[Delivery], datetime]
"""Returns the time that a delivery's records are compared with."""

Publish = Callable[[Outcome | None, Sequence[bytes]], None]
"""Writes an outcome, if there is one, and the lines of deliveries that were processed before."""


class ReadDelivery(msgspec.Struct, frozen=True):
    """One delivery that was read: its calls, or the result and line of a duplicate, and the time and quotas for it.

    `in_progress` is its entry in the state table, None if duplicates are not detected. `waiting` says since when its
    late calls wait.
    """

    context: Context
    now: datetime
    calls: DeliveryCalls | None = None
    processed_before: Result | None = None
    duplicate_line: bytes | None = None
    in_progress: InProgressDelivery | None = None
    waiting: Waiting | None = None

    @property
    def result(self) -> Result:
        """The counts of its records. They change when late calls cannot be set aside."""
        return (self.processed_before or {}) if self.calls is None else _count(self.calls)


class ReadGroup(msgspec.Struct, frozen=True):
    """Deliveries that were read one by one and are written together.

    `failure` is the error of the delivery after them, if the group ended with one. `skipped` are the positions of
    messages that another invocation is processing, in ascending order, among all that were read or skipped.
    """

    deliveries: tuple[ReadDelivery, ...]
    failure: Exception | None = None
    skipped: tuple[int, ...] = ()


def process_batch(
    sent: Sequence[RawDelivery], container: Container, context: LambdaContext, clock: Clock, publish: Publish
) -> list[Result | None]:
    """Process deliveries in order up to the first that fails, and return the results of those before it.

    They are read one by one and written together. The result of a message that another invocation is processing is
    None: messages have no order. Raises the error of the very first delivery, if that one fails.
    """
    results: list[Result | None] = []
    failure: Exception | None = None
    while failure is None and len(results) < len(sent) and not (results and _is_late(context)):
        group = read_group(sent[len(results) :], container, context, clock)
        failure = group.failure
        try:
            written: list[Result | None] = [*write_group(group, container, context, publish)]
            for position in group.skipped:
                written.insert(position, None)
            results += written
        except Exception as error:  # noqa: BLE001 - like any other failure: raised or reported to Lambda
            failure = error
        del group  # before the next one is read: each may take all the memory there is
    if failure is not None:
        is_retried = isinstance(failure, ConcurrentDuplicateError) and sent[0].item_id is not None
        if not results and not is_retried:
            raise failure
        _logger.warning(
            "a delivery of the batch failed: Lambda retries it and all later ones",
            extra={"error": type(failure).__name__},
        )
    return results


def read_group(sent: Sequence[RawDelivery], container: Container, context: LambdaContext, clock: Clock) -> ReadGroup:
    """Read deliveries until there are enough to write, time is short, or one of them fails."""
    deliveries: list[ReadDelivery] = []
    skipped: list[int] = []
    events, late_bytes, checked, failure = 0, 0, True, None
    for position, raw in enumerate(sent):
        enough = events >= MAX_EVENTS_PER_GROUP or late_bytes >= MAX_LATE_BYTES_PER_GROUP
        if position and (enough or _is_late(context)):
            break
        try:
            read = _read_delivery(raw, container, context, clock, checked=checked)
        except Exception as error:  # noqa: BLE001 - the deliveries before it are written first
            if raw.message is not None and isinstance(error, ConcurrentDuplicateError):
                _logger.warning("another run is processing a message: SQS sends it again")
                skipped.append(position)
                continue
            failure = error
            break
        deliveries.append(read)
        if read.calls is not None:
            events += read.calls.received - read.calls.duplicates
            late_bytes += sum([len(call.encoded) for call in read.calls.late])
        # If the state table does not answer, asking again for each delivery would take all of the remaining time.
        checked = checked and (read.in_progress is None or read.in_progress.checked)
    return ReadGroup(tuple(deliveries), failure, tuple(skipped))


def _read_delivery(
    raw: RawDelivery, container: Container, context: LambdaContext, clock: Clock, *, checked: bool
) -> ReadDelivery:
    """Read one delivery, or a message of late calls, unless it was processed before.

    `checked` is False if the state table does not answer.

    Raises `ConcurrentDuplicateError` if another invocation is processing it. For a delivery outside of a stream that is
    so only if it lasts: this may be another attempt at the same event, so only a completed delivery is a duplicate.
    """
    late = None if raw.message is None else _read_message(raw.message, is_repeated=raw.is_repeated)
    received = decode_delivery(raw.event) if late is None else late.delivery
    known, now = container.current(), clock(received)
    store, in_progress = container.deliveries, None
    if store is not None and checked and not received.is_control:  # control messages are all alike
        key = digest_delivery(received) if late is None else late.key
        in_progress = store.start(key, context, wait=raw.item_id is None)
        checked = in_progress.checked
        if in_progress.is_elsewhere:
            raise ConcurrentDuplicateError("another invocation is processing this delivery")
        if in_progress.result is not None:
            line = line_for_duplicate(container.settings.namespace, now.timestamp(), len(received.log_events))
            return ReadDelivery(known, now, None, in_progress.result, line)
    try:
        calls, waiting = _price(
            received,
            late,
            container,
            known,
            now,
            checked=checked or received.is_control,
            published=raw.is_published,
        )
    except Exception as error:
        if in_progress is not None:
            in_progress.release(error)
        raise
    container.seen.remember(calls.new_ids)  # none of a message
    return ReadDelivery(known, now, calls, None, None, in_progress, waiting)


def _read_message(text: str, *, is_repeated: bool) -> LateDelivery:
    from bedrock_quota.processor.late_bodies import read_message  # noqa: PLC0415 - see that module's docstring

    return read_message(text, is_repeated=is_repeated)


def _price(
    received: Delivery,
    late: LateDelivery | None,
    container: Container,
    known: Context,
    now: datetime,
    *,
    checked: bool,
    published: bool,
) -> tuple[DeliveryCalls, Waiting | None]:
    """Price a delivery, or the calls of a message. A call without its body is late as long as it can wait.

    A `published` call does not wait, because its body came long ago or never. Returns also since when the late calls
    wait, None if there are none.
    """
    waiting = None if late is None else late.waiting
    if late is not None and waiting is None:
        calls = DeliveryCalls(received=1, returned=1, unchecked=int(not checked))
        calls.reject(RecordError(UNREADABLE))
        return calls, None
    can_wait = container.has_queue and not published
    if late is not None:
        can_wait = can_wait and late.can_wait(now.timestamp(), container.settings.late_bodies_seconds)
        container.restore_profiles(late.profiles)
    calls = price_delivery(
        received,
        known.calculator,
        now,
        NOTHING_SEEN if late is not None else container.seen.select_source(received.owner, received.log_group),
        container.look_up,
        checked=checked,
        set_aside=container.encode_late_call if can_wait else None,
        returned=late is not None,
        published=published,
    )
    if calls.late and waiting is None:
        from bedrock_quota.processor.late_bodies import begin_waiting  # noqa: PLC0415 - see that module's docstring

        waiting = begin_waiting(received, now.timestamp())
    return calls, waiting


def write_group(group: ReadGroup, container: Container, context: LambdaContext, publish: Publish) -> list[Result]:
    """Write the metric lines of a group, set its late calls aside, and record its deliveries as processed.

    Returns the results of the deliveries. If writing fails, the error is raised and all of the group will be processed
    again. Late calls are set aside after the lines of all others: a run that is killed before it writes leaves nothing
    behind that could count twice, and one that is killed later loses nothing. The messages that it claims are recorded
    before its deliveries, because they may come although the run ends in time.
    """
    if not group.deliveries:
        return []
    last = group.deliveries[-1]
    calls = [delivery.calls for delivery in group.deliveries if delivery.calls is not None]
    late = [each for each in calls if each.late]
    claims: list[tuple[InProgressDelivery, Result]] = []
    options: LineOptions = {
        "quotas": last.context.quotas,
        "namespace": container.settings.namespace,
        "now": last.now,
        "quota_age_seconds": last.context.age_seconds(last.now),
    }
    try:
        outcome = make_lines(calls, before_late_calls=bool(late), **options) if calls else None
        publish(outcome, [each.duplicate_line for each in group.deliveries if each.duplicate_line is not None])
        if outcome is not None and late:
            unsent = set_aside(group, container, context, claims)
            publish(make_last_lines(calls, unsent, outcome.groups, **options), ())
    except Exception as error:
        for each in calls:
            container.seen.forget(each.new_ids)
        in_progress = [each.in_progress for each in group.deliveries if each.in_progress is not None]
        for started in [*(claim for claim, _ in claims), *in_progress]:
            if _is_late(context, MIN_MILLISECONDS_TO_RECORD):
                break  # refused until this invocation's time is over, then processed
            started.release(error)
        raise
    _log_missing_bodies(calls)
    results = [delivery.result for delivery in group.deliveries]
    for started, result in claims + _list_in_progress(group, results):
        quickly = _is_late(context, MIN_MILLISECONDS_TO_RECORD)
        # if one fails, the next ones would fail too, and take their time
        if _is_late(context, MIN_MILLISECONDS_TO_RECORD_QUICKLY) or not started.complete(result, quickly=quickly):
            break
    return results


def set_aside(
    group: ReadGroup,
    container: Container,
    context: LambdaContext,
    claims: list[tuple[InProgressDelivery, Result]],
) -> list[CallUsage]:
    """Send the late calls of a group to the queue. Return the usage of those that could not be sent.

    A message that may be in the queue is claimed in the state table as if it were being processed here, and added to
    `claims`. If it arrives, it is a duplicate. If it has arrived before, its calls wait there. If it cannot be claimed,
    its calls count here and again when it arrives.
    """
    late = [
        (each.waiting, each.calls.late)
        for each in group.deliveries
        if each.waiting is not None and each.calls is not None and each.calls.late
    ]
    found = container.queue.send(late, group.deliveries[-1].now.timestamp())
    if found.uncertain:
        checked = all(each.in_progress is None or each.in_progress.checked for each in group.deliveries)
        found.add(_claim(found.uncertain, container.deliveries if checked else None, context, claims), QUEUE_FAILED)
    if found.calls:
        for each in group.deliveries:
            if each.calls is not None:
                each.calls.stop_waiting(found.calls)
    return [call.usage for call in found.calls]


def _claim(
    messages: Iterable[Message],
    store: IdempotencyStore | None,
    context: LambdaContext,
    claims: list[tuple[InProgressDelivery, Result]],
) -> list[Message]:
    """Claim messages that may be in the queue, and return all that have not arrived there.

    Without an answer of the state table, or without time for one, no other message is claimed.
    """
    unsent: list[Message] = []
    for message in messages:
        needed = MIN_MILLISECONDS_TO_CLAIM + len(claims) * MILLISECONDS_PER_CLAIM
        if store is not None and not _is_late(context, needed):
            claim = store.start(message.key, context)
            if claim.is_elsewhere or claim.result is not None:
                continue
            if claim.checked:
                claims.append((claim, {"received": len(message.calls), "processed": len(message.calls)}))
            else:
                store = None
        unsent.append(message)
    return unsent


def _log_missing_bodies(calls: Iterable[DeliveryCalls]) -> None:
    """Log why bodies are missing for good."""
    several = [each.missing_bodies for each in calls if each.missing_bodies]
    if several:
        missing = sum(map(Counter, several), Counter())
        _logger.warning("could not read large request bodies", extra={"reasons": dict(missing)})


def _list_in_progress(group: ReadGroup, results: Iterable[Result]) -> list[tuple[InProgressDelivery, Result]]:
    each_with_result = zip(group.deliveries, results, strict=True)
    return [(each.in_progress, result) for each, result in each_with_result if each.in_progress is not None]


def _is_late(context: LambdaContext, least: int = MIN_MILLISECONDS_TO_START) -> bool:
    return context.get_remaining_time_in_millis() < least


def _count(calls: DeliveryCalls) -> Result:
    counts = {"received": calls.received, "processed": len(calls.usages)}
    if calls.rejected:
        counts["rejected"] = len(calls.rejected)
    if calls.late:
        counts["set_aside"] = len(calls.late)
    if calls.published:
        counts["published"] = calls.published
    return counts
