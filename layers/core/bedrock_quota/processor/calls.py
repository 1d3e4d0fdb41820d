"""The calls of a delivery: everything that is kept of its records."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import msgspec

from bedrock_quota.errors import RecordError
from bedrock_quota.model_ids import OutOfScope
from bedrock_quota.processor.records import safe_request_id
from bedrock_quota.processor.usage import RESERVED_TIER_REASON, CallUsage, Entry, FailedCall, ReservedTierCall


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """A record that cannot be used: the reason, and the request id if it is safe to log."""

    reason: str
    request_id: str | None


TOO_LARGE_TO_WAIT = "too_large_to_wait"
"""Reason for which a body stays unread if the call has too many bytes for the queue."""

TOO_MANY_WAITING = "too_many_waiting"
"""Reason for which a body stays unread if enough calls of the delivery wait already."""

QUEUE_FAILED = "queue_failed"
"""Reason for which a body stays unread if the queue has not taken the call."""

QUEUE_SLOW = "queue_slow"
"""Reason for which a body stays unread if the time to send calls to the queue was over."""


class LateCall(msgspec.Struct, frozen=True, gc=False, eq=False):
    """A call whose body may still come: its record as it waits in the queue, and its usage if it cannot wait.

    The first `depth` bits of `place` are those of all calls that wait
    with it: see `late_bodies.find_places`.
    """

    encoded: bytes
    usage: CallUsage
    place: bytes
    depth: int


class DeliveryCalls(msgspec.Struct):
    """The calls of one delivery, or of several, and what became of every other record.

    received = processed (`usages`) + rejected + out of scope + failed + ignored + set aside (`late`).
    """

    received: int = 0
    new_ids: Collection[str] = ()
    """Ids of the log events that were not processed before."""
    usages: list[CallUsage] = []
    oldest_starts: list[int] = []
    """For each delivery with calls, the start of its oldest call in seconds since the epoch."""
    failed: list[FailedCall] = []
    rejected: list[Rejected] = []
    out_of_scope: dict[str, int] = {}
    reserved_tier: list[CallUsage] = []
    """Calls that the reserved tier served. They are counted in `out_of_scope`."""
    ignored: int = 0
    duplicates: int = 0
    """Records among the ignored ones that were processed before."""
    unlisted_models: tuple[str, ...] = ()
    """Ids of models that are not in the registry, at most `MAX_NAMED` per delivery."""
    unknown_tiers: tuple[str, ...] = ()
    """Service tiers that are not known, at most `MAX_NAMED` per delivery."""
    control: bool = False
    late: list[LateCall] = []
    returned: int = 0
    """Records among the received ones that waited in the queue."""
    missing_bodies: dict[str, int] = {}
    """Calls whose body could not be read and does not come any more, by reason. Their max_tokens stays unknown."""
    published: int = 0
    """Records among the received ones that are older than the stack: see `event.PUBLISHED`."""
    unchecked: int = 0
    """Deliveries for which the state table could not be asked about duplicates."""

    def add(self, entry: Entry) -> None:
        """Count a record as a call, a failed call or out of scope."""
        if isinstance(entry, CallUsage):
            self.usages.append(entry)
        elif isinstance(entry, FailedCall):
            self.failed.append(entry)
        elif isinstance(entry, ReservedTierCall):
            self.reserved_tier.append(entry.usage)
            self.count_out_of_scope(OutOfScope(RESERVED_TIER_REASON), 1)
        else:
            self.count_out_of_scope(entry, 1)

    def count_out_of_scope(self, entry: OutOfScope, records: int) -> None:
        """Count records that draw on no pool, with the reason."""
        self.out_of_scope[entry.reason] = self.out_of_scope.get(entry.reason, 0) + records

    def count_missing_body(self, reason: str) -> None:
        """Count a call whose body is missing for good, with the reason."""
        self.missing_bodies[reason] = self.missing_bodies.get(reason, 0) + 1

    def stop_waiting(self, unsent: Mapping[LateCall, str]) -> None:
        """Count late calls that could not be set aside, with the reason, as calls whose body is missing for good."""
        for call in self.late:
            if call in unsent:
                self.usages.append(call.usage)
                self.count_missing_body(unsent[call])
        self.late = [call for call in self.late if call not in unsent]

    def reject(self, error: RecordError) -> None:
        """Count a record that cannot be used, with the reason."""
        self.rejected.append(Rejected(error.reason, safe_request_id(error.request_id)))


def merge_calls(several: Sequence[DeliveryCalls]) -> DeliveryCalls:
    """Return the calls of several deliveries as if they were one delivery."""
    return DeliveryCalls(
        received=sum(each.received for each in several),
        usages=[usage for each in several for usage in each.usages],
        oldest_starts=[start for each in several for start in each.oldest_starts],
        failed=[call for each in several for call in each.failed],
        rejected=[rejected for each in several for rejected in each.rejected],
        out_of_scope=dict(sum((Counter(each.out_of_scope) for each in several), Counter())),
        reserved_tier=[usage for each in several for usage in each.reserved_tier],
        ignored=sum(each.ignored for each in several),
        duplicates=sum(each.duplicates for each in several),
        unlisted_models=tuple(dict.fromkeys(model_id for each in several for model_id in each.unlisted_models)),
        unknown_tiers=tuple(dict.fromkeys(tier for each in several for tier in each.unknown_tiers)),
        control=all(each.control for each in several),
        late=[call for each in several for call in each.late],
        returned=sum(each.returned for each in several),
        missing_bodies=dict(sum((Counter(each.missing_bodies) for each in several), Counter())),
        published=sum(each.published for each in several),
        unchecked=sum(each.unchecked for each in several),
    )
