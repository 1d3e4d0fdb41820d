"""An account: what one call reserved of its pool's quota, and what it consumed.

The arithmetic: https://docs.aws.amazon.com/bedrock/latest/userguide/quotas-token-burndown.html (read 2026-11-23).
At the start Bedrock sets aside input + cache write + max_tokens, one for one; at the end it has taken
input + cache write + output × burndown rate. Cache reads never count. An older version of that page counted
cache reads at the start; this follows the newer one.
"""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec

from bedrock_quota import model_ids
from bedrock_quota.processor.callers import MAX_REMEMBERED_ARN, parse_caller, safe_label
from bedrock_quota.processor.max_tokens import NO_OUTPUT, find_defaults, resolve_max_tokens
from bedrock_quota.processor.records import safe_word
from bedrock_quota.pools import EndpointType, QuotaPool
from bedrock_quota.errors import RecordError
from bedrock_quota.processor.max_tokens import NOTHING_RESERVED, OutputDefaults, Source
from bedrock_quota.model_ids import ApplicationProfile, OutOfScope, Reference
from bedrock_quota.processor.records import Record, parse_timestamp
from bedrock_quota.registry.models import Model, Provider, RateStatus, Registry

EPOCH = datetime.fromtimestamp(0, UTC)

LONG_CONTEXT_SUFFIX = ":1m"
"""Ends the `ModelId` of a model's 1M-context quota."""

OLDEST_SECONDS = 14 * 24 * 3600
"""CloudWatch drops metric data older than two weeks, without a word."""

NEWEST_SECONDS = 2 * 3600
"""… and data more than two hours ahead (EMF specification, `Timestamp`, read 2026-11-23)."""


Tags = tuple[tuple[str, str], ...]
"""The keys of a call's `requestMetadata` that are allowed, with their values."""


class CallGroup(msgspec.Struct, frozen=True, gc=False, order=True, cache_hash=True):
    """What calls have in common that stand on one metric line: its timestamp, dimensions and properties.

    `minute` is the start of the minute in which they began, in seconds since the epoch. A call that a guardrail blocked
    before the model ran (`blocked`) is a request without tokens. `listed` says whether the model is in the registry.
    """

    minute: int
    pool: QuotaPool
    caller: str
    application_profile: str
    operation: str
    source: Source
    blocked: bool
    request_metadata: Tags
    burndown_status: RateStatus
    listed: bool


class CallUsage(msgspec.Struct, frozen=True, gc=False):
    """One call: its kind, its start in seconds since the epoch, and its tokens.

    `reserved_tokens` were set aside when it began: input + cache write + max_tokens; `consumed_tokens` were taken when
    it ended: input + cache write + output × burndown rate. `max_tokens` and `reserved_tokens` are None exactly when the
    source is `unknown`.
    """

    kind: CallGroup
    started: int
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    max_tokens: int | None
    reserved_tokens: int | None
    consumed_tokens: float


class FailedCall(msgspec.Struct, frozen=True, gc=False):
    """A call that Bedrock answered with an error: counted with its code; no tokens are invented.

    `pool` is None where the call has none.
    """

    pool: QuotaPool | None
    minute: int
    caller: str
    operation: str
    error_code: str


Entry = CallUsage | FailedCall | OutOfScope

ResolveProfile = Callable[[ApplicationProfile], Reference | OutOfScope]
"""Finds the pool behind an application profile; never raises."""


class _Rate(msgspec.Struct, frozen=True):
    """What is known of a model id on one day. `burndown_rate` is an integer if it `is_whole`."""

    pool: QuotaPool
    long_context_above: int | None
    model: Model | None
    provider: Provider
    burndown_rate: float
    is_whole: bool
    burndown_status: RateStatus
    application_profile: str = ""


_OriginKey = tuple[str, str | None, str, bool, int]
"""Model id, caller's ARN, operation, whether latency-optimized, and the day."""


class _Origin(msgspec.Struct, frozen=True, eq=False):
    """What is known of calls of one model id, caller and operation on one day. It is a key by its identity."""

    rate: _Rate | OutOfScope
    caller: str
    operation: str
    unsaid: OutputDefaults


_KindKey = tuple[_Origin, int, Source, bool, bool, Tags]
"""Origin, minute, source of max_tokens, whether blocked, whether long-context, and the tags."""


class UsageCalculator:
    """Turns records into accounts; remembers what it found out about each kind of call."""

    def __init__(
        self, registry: Registry, resolve_profile: ResolveProfile, metadata_keys: tuple[str, ...] = ()
    ) -> None:
        self._registry = registry
        self._resolve_profile = resolve_profile
        self._metadata_keys = metadata_keys
        self._providers = registry.id_prefixes
        self._rates: dict[tuple[str, bool, int], _Rate] = {}
        self._origins: dict[_OriginKey, _Origin] = {}
        self._passing_origins: dict[_OriginKey, _Origin] = {}
        self._kinds: dict[_KindKey, CallGroup] = {}
        self._now, self._oldest, self._newest = EPOCH, 0, 0

    def of(self, record: Record, now: datetime) -> Entry:
        """Account for one record.

        What an application profile leads to is asked for anew whenever `now` is another object: each delivery has its
        own. Raises `RecordError` with the reason `bad_timestamp` for what is no moment, `too_old` or `too_far_ahead`
        for one that CloudWatch would drop without a word, `missing_input_count` or `missing_output_count` for text
        that was made but not counted, or `absurd_count`.
        """
        if now is not self._now:  # once a delivery: it costs as much as the rest of this
            self._now, seconds = now, now.timestamp()
            self._oldest, self._newest = math.ceil(seconds) - OLDEST_SECONDS, int(seconds) + NEWEST_SECONDS
            self._passing_origins.clear()
        try:
            started, minute, day = parse_timestamp(record.started_at)
        except RecordError as error:
            raise RecordError(error.reason, record.request_id) from None
        if minute < self._oldest:  # metrics are stamped with the start of the minute
            raise RecordError("too_old", record.request_id)
        if started > self._newest:
            raise RecordError("too_far_ahead", record.request_id)
        identity, performance = record.identity, record.performance_config
        key = (
            record.model_id,
            identity.arn if identity is not None else None,
            record.operation,
            performance is not None and performance.latency == "optimized",
            day,
        )
        origin = self._origins.get(key) or self._origin(key)
        rate = origin.rate
        if record.error_code is not None:
            pool = rate.pool if isinstance(rate, _Rate) else None
            return FailedCall(pool, minute, origin.caller, origin.operation, safe_word(record.error_code))
        if not isinstance(rate, _Rate):  # the other way round takes ten times as long: msgspec's classes are ABCs
            return rate
        given = record.input
        input_tokens, output_tokens = given.input_tokens or 0, record.output.output_tokens or 0
        cache_read, cache_write = given.cache_read_tokens or 0, given.cache_write_tokens or 0
        max_output, source = resolve_max_tokens(record, origin.unsaid)
        blocked = long_context = False
        if not (input_tokens and output_tokens) and source is not Source.NONE:
            _check_counts(record)
            if not (input_tokens or output_tokens or cache_read or cache_write):
                blocked, (max_output, source) = True, NO_OUTPUT
        base = input_tokens + cache_write
        if rate.long_context_above is not None:
            long_context = base + cache_read > rate.long_context_above
        consumed = base + output_tokens * rate.burndown_rate
        tags = self._tags(record.request_metadata) if self._metadata_keys else ()
        kind = (origin, minute, source, blocked, long_context, tags)
        return CallUsage(
            self._kinds.get(kind) or self._kind(rate, kind),
            started,
            input_tokens,
            cache_read,
            cache_write,
            output_tokens,
            max_output,
            None if max_output is None else base + max_output,
            consumed if rate.is_whole or consumed % 1 else int(consumed),
        )

    def _tags(self, metadata: dict[str, str] | None) -> Tags:
        if not metadata:
            return ()
        return tuple((key, safe_label(metadata[key])) for key in self._metadata_keys if key in metadata)

    def _origin(self, key: _OriginKey) -> _Origin:
        known = self._passing_origins.get(key)
        if known is not None:
            return known
        model_id, arn, operation, optimized, day = key
        rate = self._rate(model_id, optimized, day)
        unsaid, lasting = NOTHING_RESERVED, False
        if isinstance(rate, _Rate):
            unsaid = find_defaults(model_id, operation, rate.model, rate.provider)
            lasting = not rate.application_profile  # what that leads to can change
        origin = _Origin(rate, parse_caller(arn), safe_word(operation), unsaid)
        # what is longer than AWS makes it is not worth a memory, and may have a million characters
        named = len(model_id) <= MAX_REMEMBERED_ARN and len(arn or "") <= MAX_REMEMBERED_ARN
        if named and len(operation) <= MAX_OPERATION:
            _remember(self._origins if lasting else self._passing_origins, key, origin)
        return origin

    def _kind(self, rate: _Rate, key: _KindKey) -> CallGroup:
        origin, minute, source, blocked, long_context, tags = key
        pool = rate.pool
        if long_context:
            pool = QuotaPool(pool.model_id + LONG_CONTEXT_SUFFIX, pool.endpoint_type)
        kind = CallGroup(
            minute=minute,
            pool=pool,
            caller=origin.caller,
            application_profile=rate.application_profile,
            operation=origin.operation,
            source=source,
            blocked=blocked,
            request_metadata=tags,
            burndown_status=rate.burndown_status,
            listed=rate.model is not None,
        )
        _remember(self._kinds, key, kind)
        return kind

    def _rate(self, model_id: str, optimized: bool, day: int) -> _Rate | OutOfScope:
        key = (model_id, optimized, day)
        known = self._rates.get(key)
        if known is not None:
            return known
        found = model_ids.parse_model_id(model_id, self._providers)
        application_profile = ""
        if isinstance(found, ApplicationProfile):
            application_profile = found.profile_id
            found = self._resolve_profile(found)
        if isinstance(found, OutOfScope):
            return found
        model = self._registry.find(found.model_id)
        served_fast = optimized and model is not None and model.latency_optimized
        pool = QuotaPool(
            model.quota_model_id if model else found.model_id,
            EndpointType.LATENCY_OPTIMIZED if served_fast else found.endpoint_type,
        )
        burndown = self._registry.find_burndown(found.model_id, (EPOCH + timedelta(days=day)).date())
        is_whole = float(burndown.rate).is_integer()
        rate = _Rate(
            pool=pool,
            long_context_above=model.long_context_above if model else None,
            model=model,
            provider=self._registry.find_provider(found.model_id),
            burndown_rate=int(burndown.rate) if is_whole else burndown.rate,
            is_whole=is_whole,
            burndown_status=burndown.status,
            application_profile=application_profile,
        )
        if not application_profile:
            _remember(self._rates, key, rate)
        return rate


_Key = TypeVar("_Key")
_Known = TypeVar("_Known")


def _remember(memory: dict[_Key, _Known], key: _Key, known: _Known) -> None:
    if len(memory) >= MAX_REMEMBERED:
        memory.clear()
    memory[key] = known


def _check_counts(record: Record) -> None:
    """Refuse a call that made text and does not say how much: 0 would be invented."""
    if record.input.input_tokens is None:
        raise RecordError("missing_input_count", record.request_id)
    if record.output.output_tokens is None:
        raise RecordError("missing_output_count", record.request_id)


MAX_REMEMBERED = 2048
"""Model ids, origins and kinds that one container remembers of each: more than an account has in a quarter of an hour,
few enough to stay small."""

MAX_OPERATION = 64
