"""Records through the processor's pipeline, with everything that became of them."""

from collections.abc import Mapping, Set
from datetime import datetime

import msgspec

from bedrock_quota.pools import PoolQuota, QuotaPool
from bedrock_quota.processor.calls import DeliveryCalls, Rejected
from bedrock_quota.processor.delivery import Delivery
from bedrock_quota.processor.pipeline import FetchBodies, Outcome, make_lines, price_delivery
from bedrock_quota.processor.records import Record
from bedrock_quota.processor.usage import Entry, UsageCalculator


class Processed(msgspec.Struct, frozen=True):
    """A delivery's calls and the outcome of writing them."""

    calls: DeliveryCalls
    outcome: Outcome

    @property
    def lines(self) -> tuple[bytes, ...]:
        return self.outcome.lines

    @property
    def unlisted(self) -> tuple[str, ...]:
        return self.outcome.unlisted

    @property
    def other_calls(self) -> int:
        return self.outcome.other_calls

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
    fetch_bodies: FetchBodies = lambda _paths: {},
) -> Processed:
    """Price one delivery and make its lines, as the processor does."""
    calls = price_delivery(received, calculator, now, seen, fetch_bodies, checked=checked)
    return Processed(
        calls, make_lines([calls], quotas=quotas, namespace=namespace, now=now, quota_age_seconds=quota_age_seconds)
    )


def price(calculator: UsageCalculator, record: Record, now: datetime) -> Entry:
    """Price one record as the only one of its delivery."""
    calculator.begin(now)
    return calculator.price(record)
