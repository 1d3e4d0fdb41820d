"""Records through the processor's pipeline, with everything that became of them."""

from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from typing import Any

import msgspec

from bedrock_quota.model_ids import ApplicationProfile
from bedrock_quota.pools import PoolQuota, QuotaPool
from bedrock_quota.processor import reading, tolerant_reading
from bedrock_quota.processor.calls import DeliveryCalls, Rejected, merge_calls
from bedrock_quota.processor.delivery import Delivery
from bedrock_quota.processor.look_up import NO_LOOK_UP, LookUp
from bedrock_quota.processor.pipeline import Outcome, make_lines, price_delivery
from bedrock_quota.processor.records import Record
from bedrock_quota.processor.seen_events import SeenInSource
from bedrock_quota.processor.step_budget import StepBudget
from bedrock_quota.processor.usage import Entry, UsageCalculator


class Processed(msgspec.Struct, frozen=True):
    """A delivery's calls and the outcome of writing them."""

    calls: DeliveryCalls
    outcome: Outcome
    lines: tuple[bytes, ...]

    @property
    def unlisted(self) -> tuple[str, ...]:
        return self.outcome.unlisted

    @property
    def rejected(self) -> tuple[Rejected, ...]:
        assert self.outcome.rejected == tuple(self.calls.rejected)
        return self.outcome.rejected

    @property
    def received(self) -> int:
        return self.calls.received

    @property
    def processed(self) -> int:
        return len(self.calls.usages)

    @property
    def failed(self) -> int:
        return len(self.calls.failed)

    @property
    def ignored(self) -> int:
        return self.calls.ignored

    @property
    def out_of_scope(self) -> Mapping[str, int]:
        return self.calls.out_of_scope


def process_delivery(
    received: Delivery,
    calculator: UsageCalculator,
    *,
    quotas: Mapping[QuotaPool, PoolQuota] | None,
    namespace: str,
    now: datetime,
    quota_age_seconds: float | None = None,
    seen: Set[str] = frozenset(),
    checked: bool = True,
    look_up: LookUp = NO_LOOK_UP,
) -> Processed:
    """Price one delivery and make its lines, as the processor does."""
    calls = price_delivery(received, calculator, now, SeenInSource(seen), look_up, checked=checked)
    return written([calls], quotas=quotas, namespace=namespace, now=now, quota_age_seconds=quota_age_seconds)


def written(deliveries: Sequence[DeliveryCalls], **options: Any) -> Processed:
    """Make the lines of deliveries that are written together."""
    outcome = make_lines(deliveries, **options)
    calls = deliveries[0] if len(deliveries) == 1 else merge_calls(deliveries)
    return Processed(calls, outcome, tuple(outcome.lines))


def price(calculator: UsageCalculator, record: Record, now: datetime) -> Entry:
    """Price one record as the only one of its delivery."""
    calculator.begin(now)
    entry = calculator.price(record, wait=False)
    assert not isinstance(entry, ApplicationProfile)
    return entry


def read_record(message: bytes | str, budget: StepBudget | None = None) -> Record:
    """Read one record as the only one of its delivery."""
    found = reading.read_usual_record(message)
    return found or read_slowly(message, budget)


def read_slowly(message: bytes | str, budget: StepBudget | None = None) -> Record:
    """Read one record as the only one of its delivery, slowly though it may be usual."""
    return tolerant_reading.read_record(message, budget or StepBudget(), tolerant_reading.count_steps(message))
