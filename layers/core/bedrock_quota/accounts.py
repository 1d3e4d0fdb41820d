"""An account: what one call reserved of its bucket's quota, and what it consumed.

The arithmetic: https://docs.aws.amazon.com/bedrock/latest/userguide/quotas-token-burndown.html (read 2026-11-23).
At the start Bedrock sets aside input + cache write + max_tokens, one for one; at the end it has taken
input + cache write + output × burndown rate. Cache reads never count. An older version of that page counted
cache reads at the start; this follows the newer one.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime

import msgspec

from bedrock_quota import callers, max_tokens, model_ids, records
from bedrock_quota.buckets import Bucket, EndpointType
from bedrock_quota.errors import RecordError
from bedrock_quota.max_tokens import Source
from bedrock_quota.model_ids import ApplicationProfile, OutOfScope, Reference
from bedrock_quota.records import Record
from bedrock_quota.registry import Burndown, Model, Provider, Registry

LONG_CONTEXT_SUFFIX = ":1m"
"""Ends the `ModelId` of a model's 1M-context quota."""

OLDEST_SECONDS = 14 * 24 * 3600
"""CloudWatch drops metric data older than two weeks, without a word."""

NEWEST_SECONDS = 2 * 3600
"""… and data more than two hours ahead (EMF specification, `Timestamp`, read 2026-11-23)."""


class Account(msgspec.Struct, frozen=True, gc=False):
    """One call: its bucket, its minute, and its tokens.

    `started` is when the call began, in seconds since the epoch; `minute` is the start of that minute. `max_tokens` and
    `reserved_tokens` are None exactly when the source is `unknown`. A call that a guardrail blocked before the
    model ran (`blocked`) is a request without tokens.
    """

    bucket: Bucket
    started: int
    caller: str
    application_profile: str | None
    request_metadata: tuple[tuple[str, str], ...]
    operation: str
    source: Source
    burndown: Burndown
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    max_tokens: int | None
    listed: bool
    blocked: bool

    @property
    def minute(self) -> int:
        """Start of the minute in which the call began, in seconds since the epoch."""
        return self.started - self.started % 60

    @property
    def reserved_tokens(self) -> int | None:
        """Tokens set aside when the call began: input + cache write + max_tokens."""
        if self.max_tokens is None:
            return None
        return self.input_tokens + self.cache_write_tokens + self.max_tokens

    @property
    def consumed_tokens(self) -> float:
        """Tokens taken when the call ended: input + cache write + output × burndown rate."""
        total = self.input_tokens + self.cache_write_tokens + self.output_tokens * self.burndown.rate
        return int(total) if total == int(total) else total


class FailedCall(msgspec.Struct, frozen=True, gc=False):
    """A call that Bedrock answered with an error: counted with its code; no tokens are invented.

    `bucket` is None where the call has none.
    """

    bucket: Bucket | None
    minute: int
    caller: str
    operation: str
    error_code: str


Entry = Account | FailedCall | OutOfScope

ResolveProfile = Callable[[ApplicationProfile], Reference | OutOfScope]
"""Finds the bucket behind an application profile; never raises."""


class _Rate(msgspec.Struct, frozen=True):
    bucket: Bucket
    model: Model | None
    provider: Provider
    burndown: Burndown
    application_profile: str | None


class Accounts:
    """Turns records into accounts; remembers what it found out about each model id."""

    def __init__(
        self, registry: Registry, resolve_profile: ResolveProfile, metadata_keys: tuple[str, ...] = ()
    ) -> None:
        self._registry = registry
        self._resolve_profile = resolve_profile
        self._metadata_keys = metadata_keys
        self._providers = registry.id_prefixes
        self._rates: dict[tuple[str, bool, date], _Rate] = {}

    def of(self, record: Record, now: datetime) -> Entry:
        """Account for one record.

        Raises `RecordError` with the reason `too_old` or `too_far_ahead` for a timestamp that CloudWatch would
        drop without a word, `missing_input_count` or `missing_output_count` for text that was made but not counted,
        or `absurd_count`.
        """
        seconds = int(record.timestamp.timestamp())
        age = now.timestamp() - seconds
        if age + seconds % 60 > OLDEST_SECONDS:  # metrics are stamped with the start of the minute
            raise RecordError("too_old", record.request_id)
        if age < -NEWEST_SECONDS:
            raise RecordError("too_far_ahead", record.request_id)
        caller = callers.name_of(record.identity.arn if record.identity else None)
        if record.error_code is not None:
            return self._failed(record, seconds, caller)
        rate = self._rate(record.model_id, _is_optimized(record), record.timestamp.astimezone(UTC).date())
        return rate if isinstance(rate, OutOfScope) else self._open(record, rate, seconds, caller)

    def _open(self, record: Record, rate: _Rate, started: int, caller: str) -> Account:
        given = record.input
        input_tokens = given.input_tokens or 0
        cache_read, cache_write = given.cache_read_tokens or 0, given.cache_write_tokens or 0
        output_tokens = record.output.output_tokens or 0
        limit = max_tokens.of(record, rate.model, rate.provider)
        made_text = limit.source is not Source.NONE
        blocked = made_text and _counts_nothing(record)
        if made_text and not blocked:
            _check_counts(record)
        bucket = rate.bucket
        threshold = rate.model.long_context_above if rate.model else None
        if threshold is not None and input_tokens + cache_read + cache_write > threshold:
            bucket = Bucket(bucket.model_id + LONG_CONTEXT_SUFFIX, bucket.endpoint_type)
        return Account(
            bucket=bucket,
            started=started,
            caller=caller,
            application_profile=rate.application_profile,
            request_metadata=self._tags(record.request_metadata),
            operation=records.word_of(record.operation),
            source=Source.NONE if blocked else limit.source,
            burndown=rate.burndown,
            input_tokens=input_tokens,
            cache_read_tokens=cache_read,
            cache_write_tokens=cache_write,
            output_tokens=output_tokens,
            max_tokens=0 if blocked else limit.value,
            listed=rate.model is not None,
            blocked=blocked,
        )

    def _tags(self, metadata: dict[str, str] | None) -> tuple[tuple[str, str], ...]:
        if not metadata or not self._metadata_keys:
            return ()
        return tuple((key, callers.label(metadata[key])) for key in self._metadata_keys if key in metadata)

    def _rate(self, model_id: str, optimized: bool, day: date) -> _Rate | OutOfScope:
        key = (model_id, optimized, day)
        known = self._rates.get(key)
        if known is not None:
            return known
        found = model_ids.parse(model_id, self._providers)
        application_profile = None
        if isinstance(found, ApplicationProfile):
            application_profile = found.profile_id
            found = self._resolve_profile(found)
        if isinstance(found, OutOfScope):
            return found
        model = self._registry.find(found.model_id)
        served_fast = optimized and model is not None and model.latency_optimized
        endpoint_type = EndpointType.LATENCY_OPTIMIZED if served_fast else found.endpoint_type
        rate = _Rate(
            bucket=Bucket(model.quota_model_id if model else found.model_id, endpoint_type),
            model=model,
            provider=self._registry.provider_of(found.model_id),
            burndown=self._registry.burndown_of(found.model_id, day),
            application_profile=application_profile,
        )
        if application_profile is None:  # profiles have a memory of their own
            self._remember(key, rate)
        return rate

    def _remember(self, key: tuple[str, bool, date], rate: _Rate) -> None:
        if len(self._rates) >= MAX_REMEMBERED:
            self._rates.clear()
        self._rates[key] = rate

    def _failed(self, record: Record, started: int, caller: str) -> FailedCall:
        rate = self._rate(record.model_id, _is_optimized(record), record.timestamp.astimezone(UTC).date())
        return FailedCall(
            bucket=None if isinstance(rate, OutOfScope) else rate.bucket,
            minute=started - started % 60,
            caller=caller,
            operation=records.word_of(record.operation),
            error_code=records.word_of(record.error_code),
        )


def _is_optimized(record: Record) -> bool:
    return record.performance_config is not None and record.performance_config.latency == "optimized"


def _counts_nothing(record: Record) -> bool:
    """Whether the model never ran, as in a call that a guardrail blocked: 0 tokens in and out."""
    given = record.input
    cached = given.cache_read_tokens or given.cache_write_tokens
    return given.input_tokens == 0 and record.output.output_tokens == 0 and not cached


def _check_counts(record: Record) -> None:
    """Refuse a call that made text and does not say how much: 0 would be invented."""
    if record.input.input_tokens is None:
        raise RecordError("missing_input_count", record.request_id)
    if record.output.output_tokens is None:
        raise RecordError("missing_output_count", record.request_id)


MAX_REMEMBERED = 4096
"""Model ids remembered by one container: far more than an account uses, few enough to stay small."""
