"""A batch: the deliveries of one event, processed in order up to the first that fails.

What is behind a delivery that fails is left alone: Lambda brings it again together with the one that failed, and it
would count twice. So no failure of one makes another count twice, whether duplicates are looked for or not. Where the
very first fails, all of the batch does: Lambda halves it, until the delivery fails alone and is kept alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from bedrock_quota.processor.delivery import decode_delivery
from bedrock_quota.processor.pipeline import line_for_duplicate_delivery, make_lines, read_calls
from bedrock_quota.processor.delivery import Delivery
from bedrock_quota.processor.event import RawDelivery
from bedrock_quota.processor.container import Container
from bedrock_quota.processor.pipeline import DeliveryCalls, Outcome

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from bedrock_quota.processor.duplicates import InProgressDelivery

_logger = logging.getLogger(__name__)

MAX_EVENTS_PER_GROUP = 10_000
"""Log events after which the deliveries read so far are written: what is kept of them takes memory."""

MIN_MILLISECONDS_TO_START = 25_000
"""Time without which no further delivery is begun: profiles may take it 10 s, bodies 5 s, the state table 8 s."""

MIN_MILLISECONDS_TO_RECORD = 5_000
"""Time without which the state table is told of no further delivery: one request may take 4 s.

A run that is killed has all that it wrote counted again. One that ends in time has not: what it answered for does not
come again, whether the state table was told of it or not.
"""

Result = dict[str, int]
"""What became of a delivery's records: `received`, `processed` and, where there are any, `rejected`."""

Clock = Callable[[Delivery], datetime]
"""Returns the time that a delivery's records are judged by."""

Publish = Callable[[Outcome | None, Sequence[bytes]], None]
"""Writes an outcome, where there is one, and the lines of deliveries that had been processed before."""


def process_batch(
    sent: Sequence[RawDelivery], kept: Container, context: LambdaContext, clock: Clock, publish: Publish
) -> list[Result]:
    """Process deliveries in order, up to the first that fails, and return the results of those before it.

    They are read one by one, and written together. Raises what the very first one raised: nothing is processed then.
    """
    results: list[Result] = []
    failure: Exception | None = None
    while failure is None and len(results) < len(sent) and not (results and _is_late(context)):
        group = _Group(kept, context, clock)
        failure = group.read(sent[len(results) :])
        try:
            results += group.write(publish)
        except Exception as error:  # noqa: BLE001 - as any other: raised or told to Lambda
            failure = error
    if failure is not None:
        if not results:
            raise failure
        _logger.warning("a delivery of a batch failed and comes again", extra={"error": type(failure).__name__})
    return results


def _is_late(context: LambdaContext, least: int = MIN_MILLISECONDS_TO_START) -> bool:
    return context.get_remaining_time_in_millis() < least


class _Group:
    """Deliveries that are read one by one, and written together."""

    def __init__(self, kept: Container, context: LambdaContext, clock: Clock) -> None:
        self._kept, self._context, self._clock = kept, context, clock
        self._results: list[Result] = []
        self._entries: list[DeliveryCalls] = []
        self._event_ids: list[str] = []
        self._again: list[bytes] = []
        self._tickets: list[tuple[InProgressDelivery, Result]] = []
        self._memory = kept.deliveries
        self._unchecked = False
        """Whether the state table did not answer: to ask again for each delivery would take all the time there is."""

    def read(self, sent: Sequence[RawDelivery]) -> Exception | None:
        """Read deliveries until there are enough of them or one fails; return why it did."""
        for parcel in sent:
            if self._results and (len(self._event_ids) >= MAX_EVENTS_PER_GROUP or _is_late(self._context)):
                break
            try:
                self._read(decode_delivery(parcel.event))
            except Exception as error:  # noqa: BLE001 - those before it are written first
                return error
        return None

    def _read(self, received: Delivery) -> None:
        kept = self._kept
        known, self._now = kept.current(), self._clock(received)
        self._known = known
        # every control message is like every other
        asked = self._memory is not None and not self._unchecked and not received.is_control
        ticket = self._memory.begin(received, self._context) if self._memory is not None and asked else None
        self._unchecked = self._unchecked or (ticket is not None and not ticket.checked)
        if ticket is not None and ticket.result is not None:
            self._again.append(line_for_duplicate_delivery(received, kept.settings.namespace, self._now))
            self._results.append(ticket.result)
            return
        try:
            checked = received.is_control or not self._unchecked
            entries = read_calls(
                received, known.accounts, self._now, kept.seen.ids, kept.fetch_bodies, checked=checked
            )
        except Exception as error:
            if ticket is not None:
                ticket.forget(error)
            raise
        result = _result(entries)
        self._results.append(result)
        self._entries.append(entries)
        if ticket is not None:
            self._tickets.append((ticket, result))
        self._event_ids += entries.new_ids
        kept.seen.remember(entries.new_ids)

    def write(self, publish: Publish) -> list[Result]:
        """Write all that was read, and return the results. If that fails, all of it is to be processed again."""
        if not self._results:
            return []
        known = self._known
        try:
            outcome = (
                make_lines(
                    self._entries,
                    quotas=known.quotas,
                    namespace=self._kept.settings.namespace,
                    now=self._now,
                    quota_age_seconds=known.age_seconds(self._now),
                )
                if self._entries
                else None
            )
            publish(outcome, self._again)
        except Exception as error:
            self._kept.seen.forget(self._event_ids)
            for ticket, _ in self._tickets:
                if _is_late(self._context, MIN_MILLISECONDS_TO_RECORD):
                    break  # they are refused until this invocation's time is over, then processed
                ticket.forget(error)
            raise
        for ticket, result in self._tickets:
            # where one fails, the next ones would take their time and fail, too
            if _is_late(self._context, MIN_MILLISECONDS_TO_RECORD) or not ticket.finish(result):
                break
        return self._results


def _result(entries: DeliveryCalls) -> Result:
    counts = {"received": entries.received, "processed": len(entries.opened)}
    return {**counts, "rejected": len(entries.rejected)} if entries.rejected else counts
