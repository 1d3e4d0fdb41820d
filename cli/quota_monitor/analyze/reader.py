"""Reading records into usage, with the processor's own core, so that both come to the same numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import msgspec

from bedrock_quota.analysis.tally import CallTally, UsageTally
from bedrock_quota.analysis.usage import THROTTLED
from bedrock_quota.errors import RecordError
from bedrock_quota.model_ids import UNRESOLVED, ApplicationProfile, OutOfScope, Reference
from bedrock_quota.pools import UNLISTED, QuotaPool
from bedrock_quota.processor.look_up import FetchBodies
from bedrock_quota.processor.reading import is_permissions_line, read_usual_record
from bedrock_quota.processor.records import Record, parse_timestamp, with_request_body
from bedrock_quota.processor.step_budget import StepBudget
from bedrock_quota.processor.tolerant_reading import count_steps, read_record
from bedrock_quota.processor.trimming import MAX_PATH, trim_record
from bedrock_quota.processor.unlisted_pools import MAX_UNLISTED_POOLS
from bedrock_quota.processor.usage import (
    RESERVED_TIER_REASON,
    CallGroup,
    CallUsage,
    FailedCall,
    ReservedTierCall,
    UsageCalculator,
)
from bedrock_quota.registry.models import Registry
from quota_monitor.analyze.latency import read_latency
from quota_monitor.analyze.scope import Dimension, Scope
from quota_monitor.analyze.unlabelled import Unlabelled

MAX_WAITING = 500
"""Calls that wait for their body in S3 before the bodies are read."""

MAX_REMEMBERED_GROUPS = 20_000

MAX_REMEMBERED_IDS = 1_000_000
"""Requests that are recognized if their record is repeated, as in exports that overlap. They take about 70 MB."""

Observe = Callable[[CallUsage | FailedCall, int, int | None], None]
"""Gets each call in scope: its usage or failure, its start in seconds, and its latency in ms if the log has one."""

ResolveProfile = Callable[[ApplicationProfile], Reference | OutOfScope]


class Counts(msgspec.Struct):
    """The outcome of every record.

    received = answered + failed + ignored + duplicates + rejected + out of scope + not asked for.

    `not_asked_for` are calls outside of the window, or of other models. The model of a call out of scope is not looked
    at. `rejected` and `out_of_scope` are counted by reason. `missing_bodies` are answered calls
    whose max_tokens is unknown, by reason. `unknown_ends` are those whose end could not be read, by pool.
    """

    received: int = 0
    answered: int = 0
    failed: int = 0
    ignored: int = 0
    duplicates: int = 0
    not_asked_for: int = 0
    rejected: Counter[str] = msgspec.field(default_factory=Counter)
    out_of_scope: Counter[str] = msgspec.field(default_factory=Counter)
    missing_bodies: Counter[str] = msgspec.field(default_factory=Counter)
    unknown_ends: Counter[QuotaPool] = msgspec.field(default_factory=Counter)
    unlisted_models: dict[str, None] = {}
    other_models: dict[str, None] = {}
    """Models that were not asked for, at most `MAX_UNLISTED_POOLS`."""

    @property
    def has_records(self) -> bool:
        """Return True if anything was a record, also one that is not in the answers."""
        named = self.answered + self.failed + self.duplicates + self.not_asked_for + self.ignored
        return named > 0 or self.out_of_scope.total() > 0


class RecordReader:
    """Adds the calls of records to a tally, and counts every record that is not a call."""

    def __init__(
        self,
        registry: Registry,
        scope: Scope,
        resolve_profile: ResolveProfile = lambda _profile: UNRESOLVED,
        fetch_bodies: FetchBodies | None = None,
        observe: Observe | None = None,
        *,
        may_repeat: bool = False,
    ) -> None:
        self.tally = UsageTally(single_calls=True)
        """Usage by caller, on which the answers rest."""
        self.listing = UsageTally() if scope.dimension is not Dimension.CALLER else None
        """Usage by the property that the scope names, if that is not the caller."""
        self.unlabelled = Unlabelled()
        """Throttled calls for which the log may leave out that property."""
        self.counts = Counts()
        self._scope, self._fetch_bodies, self._observe = scope, fetch_bodies, observe
        self._unlisted: set[QuotaPool] = set()
        self._calculator = UsageCalculator(
            registry, resolve_profile, scope.metadata_keys, self._admit_unlisted, with_sessions=True
        )
        self._calculator.begin_any_time()
        self._price = self._calculator.price
        self._start, self._end = scope.window.start, scope.window.end
        self._open: dict[CallGroup, tuple[CallTally, ...]] = {}
        self._seen: set[int] | None = set() if may_repeat else None
        self._waiting: list[tuple[Record, int | None, bool]] = []

    def add_all(self, messages: Iterable[bytes | str]) -> None:
        """Add the records of log events. Call `finish` after the last ones."""
        for message in messages:
            self.add(message)

    def add(self, message: bytes | str, *, is_end_unknown: bool = False) -> None:
        """Add the record of one log event, or count why it is none.

        `is_end_unknown` is true if the record leaves out how and when the answer ended.
        """
        counts = self.counts
        counts.received += 1
        try:
            record = read_usual_record(message) or read_record(message, StepBudget(), count_steps(message))
        except RecordError as error:
            if is_permissions_line(message):
                counts.ignored += 1
            else:
                counts.rejected[error.reason] += 1
            return
        if self._seen is not None and record.request_id and self._came_before(record.request_id, self._seen):
            counts.duplicates += 1
            return
        if self._fetch_bodies is not None and self._needs_body(record):
            trimmed = trim_record(record, self._scope.metadata_keys, with_session=True)
            self._waiting.append((trimmed, read_latency(message), is_end_unknown))
            if len(self._waiting) >= MAX_WAITING:
                self.finish()
            return
        self._add_record(record, message, None, is_end_unknown=is_end_unknown)

    def _came_before(self, request_id: str, seen: set[int]) -> bool:
        """Return True if a record of this request came before, among the first `MAX_REMEMBERED_IDS`."""
        key = hash(request_id)
        if key in seen:
            return True
        if len(seen) < MAX_REMEMBERED_IDS:
            seen.add(key)
        return False

    def _needs_body(self, record: Record) -> bool:
        """Return True for a call in scope whose max_tokens is only in its body in S3."""
        if not 0 < len(record.input.body_s3_path or "") <= MAX_PATH:
            return False
        try:
            entry = self._price(record)
        except RecordError:
            return False  # it is rejected with or without its body
        if type(entry) is not CallUsage or entry.max_tokens is not None:
            return False
        return self._start <= entry.started < self._end and self._scope.includes(entry.group)

    def finish(self) -> None:
        """Read the bodies of the calls that wait for one, and add these calls."""
        waiting, self._waiting = self._waiting, []
        if not waiting or self._fetch_bodies is None:
            return
        bodies = self._fetch_bodies(dict.fromkeys(record.input.body_s3_path or "" for record, _, _ in waiting))
        for record, latency, is_end_unknown in waiting:
            path = record.input.body_s3_path or ""
            body = bodies.found.get(path)
            if body is not None:
                self._add_record(with_request_body(record, body), None, latency, is_end_unknown=is_end_unknown)
                continue
            missing = bodies.missing.get(path)
            reason = "not_asked" if missing is None else missing.reason
            self._add_record(record, None, latency, reason, is_end_unknown=is_end_unknown)

    def _add_record(
        self,
        record: Record,
        message: bytes | str | None,
        latency: int | None,
        missing: str = "no_access",
        *,
        is_end_unknown: bool,
    ) -> None:
        counts = self.counts
        try:
            entry = self._price(record)
        except RecordError as error:
            counts.rejected[error.reason] += 1
            return
        if type(entry) is CallUsage:
            if not self._start <= entry.started < self._end:
                counts.not_asked_for += 1
                return
            tallies = self._open.get(entry.group) or self._open_group(entry.group)
            if not tallies:
                counts.not_asked_for += 1
                return
            counts.answered += 1
            if entry.max_tokens is None:
                counts.missing_bodies[missing if record.input.body_s3_path else "not_logged"] += 1
            if is_end_unknown:
                counts.unknown_ends[entry.group.pool] += 1
            self._add_answered(entry, tallies, latency if message is None else read_latency(message))
        elif isinstance(entry, FailedCall):
            self._add_failed(entry, record)
        elif not self._start <= parse_timestamp(record.started_at)[0] < self._end:
            counts.not_asked_for += 1
        elif isinstance(entry, ReservedTierCall):
            counts.out_of_scope[RESERVED_TIER_REASON] += 1
        else:
            counts.out_of_scope[entry.reason if isinstance(entry, OutOfScope) else UNRESOLVED.reason] += 1

    def _add_answered(self, call: CallUsage, tallies: tuple[CallTally, ...], latency: int | None) -> None:
        for tally in tallies:
            tally.add(call)
        tallies[0].add_time(call, call.started, latency)
        if self._observe is not None:
            self._observe(call, call.started, latency)

    def _open_group(self, group: CallGroup) -> tuple[CallTally, ...]:
        if not self._scope.includes(group):
            self._note_other(group.pool)
            return ()
        if not group.listed and len(self.counts.unlisted_models) < MAX_UNLISTED_POOLS:
            self.counts.unlisted_models[group.pool.model_id] = None
        tallies = [self.tally.open_calls(group.pool, group.minute, group.caller, group.source)]
        if self.listing is not None and self._scope.caller in group.caller:
            label = self._scope.label(group)
            self.unlabelled.add_answered(group.caller, label)
            tallies.append(self.listing.open_calls(group.pool, group.minute, label, group.source))
        if len(self._open) >= MAX_REMEMBERED_GROUPS:
            self._open.clear()
        self._open[group] = tuple(tallies)
        return self._open[group]

    def _note_other(self, pool: QuotaPool) -> None:
        if len(self.counts.other_models) < MAX_UNLISTED_POOLS:
            self.counts.other_models[pool.model_id] = None

    def _add_failed(self, call: FailedCall, record: Record) -> None:
        is_in_window = self._start <= call.minute < self._end
        if not is_in_window or not self._scope.includes(call):
            self.counts.not_asked_for += 1
            if is_in_window and call.pool is not None:
                self._note_other(call.pool)
            return
        self.counts.failed += 1
        if call.pool is not None:
            self.tally.add_failed(call.pool, call.minute, call.caller, call.error_code)
            if self.listing is not None and self._scope.caller in call.caller:
                label = self._scope.label(call)
                self.listing.add_failed(call.pool, call.minute, label, call.error_code)
                if call.error_code == THROTTLED:
                    self.unlabelled.add_throttled(call.caller, label, 1)
        if self._observe is not None:
            self._observe(call, parse_timestamp(record.started_at)[0], None)

    def _admit_unlisted(self, pool: QuotaPool) -> QuotaPool:
        """Return the pool of an unlisted model, or the one that all further ones share."""
        if len(self._unlisted) < MAX_UNLISTED_POOLS:
            self._unlisted.add(pool)
        return pool if pool in self._unlisted else QuotaPool(UNLISTED, pool.endpoint_type)
