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
from bedrock_quota.processor.calls import DeliveryCalls
from bedrock_quota.processor.container import Container, Context
from bedrock_quota.processor.delivery import Delivery, decode_delivery
from bedrock_quota.processor.event import RawDelivery
from bedrock_quota.processor.health import line_for_duplicate
from bedrock_quota.processor.pipeline import LineOptions, Outcome, make_last_lines, make_lines, price_delivery
from bedrock_quota.processor.usage import CallUsage

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from bedrock_quota.processor.calls import LateCall
    from bedrock_quota.processor.duplicates import IdempotencyStore, InProgressDelivery
    from bedrock_quota.processor.late_bodies import LateDelivery, Message, Waiting

_logger = logging.getLogger(__name__)

MAX_EVENTS_PER_GROUP = 10_000
"""Log events after which the deliveries read so far are written, because what is kept of them takes memory."""

MIN_MILLISECONDS_TO_START = 34_000
"""Remaining time needed to start another delivery while every service is slow: up to 10 s for profiles, 7.5 s for
bodies, 4 s for the queue, 6 s for the state table, 3 s for pools of unlisted models, and its CPU."""

MIN_MILLISECONDS_TO_RECORD = 5_000
"""Remaining time below which a delivery is recorded quickly: a request to the state table may take 4 s."""

MIN_MILLISECONDS_TO_CLAIM = 9_000
"""Remaining time needed to claim another message in the state table: up to 4 s for the request, and then to record."""

MIN_MILLISECONDS_TO_RECORD_QUICKLY = 1_500
"""Remaining time needed to record another delivery in the state table: one quick request mostly takes 0.6 s at most.

If a run is killed, everything that it wrote counts again. If it ends in time, nothing does: Lambda does not send again
what was processed, recorded or not.
"""

UNREADABLE = "unreadable_message"
"""Reason for which a message of late calls is rejected that `late_bodies` did not write."""

QUEUE_FAILED = "queue_failed"
"""Reason for which a body stays unread if the call could not be sent to the queue."""

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

    `failure` is the error of the delivery after them, if the group ended with one.
    """

    deliveries: tuple[ReadDelivery, ...]
    failure: Exception | None = None


def process_batch(
    sent: Sequence[RawDelivery], container: Container, context: LambdaContext, clock: Clock, publish: Publish
) -> list[Result]:
    """Process deliveries in order up to the first that fails, and return the results of those before it.

    They are read one by one and written together. Raises the error of the very first delivery, if that one fails.
    """
    results: list[Result] = []
    failure: Exception | None = None
    while failure is None and len(results) < len(sent) and not (results and _is_late(context)):
        group = read_group(sent[len(results) :], container, context, clock)
        failure = group.failure
        try:
            results += write_group(group, container, context, publish)
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
    events, checked = 0, True
    for raw in sent:
        if deliveries and (events >= MAX_EVENTS_PER_GROUP or _is_late(context)):
            break
        try:
            read = _read_delivery(raw, container, context, clock, checked=checked)
        except Exception as error:  # noqa: BLE001 - the deliveries before it are written first
            return ReadGroup(tuple(deliveries), error)
        deliveries.append(read)
        events += len(read.calls.new_ids) if read.calls else 0
        # If the state table does not answer, asking again for each delivery would take all of the remaining time.
        checked = checked and (read.in_progress is None or read.in_progress.checked)
    return ReadGroup(tuple(deliveries))


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
        identity = received if late is None else late.identity
        in_progress = store.start(identity, context, wait=raw.item_id is None)
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
    container.seen.remember(calls.new_ids)
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
    waiting, seconds = None if late is None else late.waiting, now.timestamp()
    if late is not None and waiting is None:
        calls = DeliveryCalls(received=1, returned=1, unchecked=int(not checked))
        calls.reject(RecordError(UNREADABLE))
        return calls, None
    can_wait = not published if late is None else late.can_wait(seconds, container.settings.late_bodies_seconds)
    calls = price_delivery(
        received,
        known.calculator,
        now,
        container.seen.select_source(received.owner, received.log_group),
        container.look_up,
        checked=checked,
        set_aside=container.encode_late_call if can_wait else lambda _record: None,
        returned=late is not None,
        published=published,
    )
    if calls.late and waiting is None:
        from bedrock_quota.processor.late_bodies import begin_waiting  # noqa: PLC0415 - see that module's docstring

        waiting = begin_waiting(received, seconds)
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
    are_late = any(each.late for each in calls)
    claims: list[tuple[InProgressDelivery, Result]] = []
    options: LineOptions = {
        "quotas": last.context.quotas,
        "namespace": container.settings.namespace,
        "now": last.now,
        "quota_age_seconds": last.context.age_seconds(last.now),
    }
    try:
        outcome = make_lines(calls, before_late_calls=are_late, **options) if calls else None
        publish(outcome, [each.duplicate_line for each in group.deliveries if each.duplicate_line is not None])
        if are_late:
            unsent = set_aside(group, container, context, claims)
            publish(make_last_lines(calls, unsent, options), ())
    except Exception as error:
        for each in calls:
            container.seen.forget(each.new_ids)
        for started, _ in claims + _list_in_progress(group):
            if _is_late(context, MIN_MILLISECONDS_TO_RECORD):
                break  # refused until this invocation's time is over, then processed
            started.release(error)
        raise
    _log_missing_bodies(calls)
    for started, result in claims + _list_in_progress(group):
        quickly = _is_late(context, MIN_MILLISECONDS_TO_RECORD)
        # if one fails, the next ones would fail too, and take their time
        if _is_late(context, MIN_MILLISECONDS_TO_RECORD_QUICKLY) or not started.complete(result, quickly=quickly):
            break
    return [delivery.result for delivery in group.deliveries]


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
    unsent = found.calls
    if found.uncertain:
        checked = all(each.in_progress is None or each.in_progress.checked for each in group.deliveries)
        unsent += _claim(found.uncertain, container.deliveries if checked else None, context, claims)
    if unsent:
        chosen = frozenset(unsent)
        for each in group.deliveries:
            if each.calls is not None:
                each.calls.stop_waiting(chosen, QUEUE_FAILED)
    return [call.usage for call in unsent]


def _claim(
    messages: Iterable[Message],
    store: IdempotencyStore | None,
    context: LambdaContext,
    claims: list[tuple[InProgressDelivery, Result]],
) -> list[LateCall]:
    """Claim messages that may be in the queue, and return the calls of all that have not arrived there.

    Without an answer of the state table, or without time for one, no other message is claimed.
    """
    unsent: list[LateCall] = []
    for message in messages:
        if store is not None and not _is_late(context, MIN_MILLISECONDS_TO_CLAIM):
            claim = store.start(message.identity, context)
            if claim.is_elsewhere or claim.result is not None:
                continue
            if claim.checked:
                claims.append((claim, {"received": len(message.calls), "processed": len(message.calls)}))
            else:
                store = None
        unsent += message.calls
    return unsent


def _log_missing_bodies(calls: Iterable[DeliveryCalls]) -> None:
    """Log why bodies are missing for good."""
    several = [each.missing_bodies for each in calls if each.missing_bodies]
    if several:
        missing = sum(map(Counter, several), Counter())
        _logger.warning("could not read large request bodies", extra={"reasons": dict(missing)})


def _list_in_progress(group: ReadGroup) -> list[tuple[InProgressDelivery, Result]]:
    return [(each.in_progress, each.result) for each in group.deliveries if each.in_progress is not None]


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
