"""The usage of one call: the tokens it reserved of its pool's quota, and the tokens it consumed.

The arithmetic: https://docs.aws.amazon.com/bedrock/latest/userguide/quotas-token-burndown.html (read 2026-11-23).
At the start Bedrock reserves input + cache write + max_tokens, one for one. At the end the call has consumed
input + cache write + output × burndown rate. Cache reads never count. An older version of that page counted
cache reads at the start. This follows the newer one.
"""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec

from bedrock_quota import model_ids
from bedrock_quota.errors import RecordError
from bedrock_quota.model_ids import UNRESOLVED, ApplicationProfile, OutOfScope, Reference
from bedrock_quota.pools import LONG_CONTEXT_SUFFIX, UNLISTED, EndpointType, QuotaPool
from bedrock_quota.processor.callers import MAX_REMEMBERED_ARN, parse_caller, parse_project, parse_session, safe_label
from bedrock_quota.processor.max_tokens import (
    NO_OUTPUT,
    NOTHING_RESERVED,
    OutputDefaults,
    Source,
    find_defaults,
    resolve_max_tokens,
)
from bedrock_quota.processor.records import Record, parse_timestamp, safe_tier, safe_word
from bedrock_quota.processor.serving import KNOWN_TIERS, RESERVED_TIER, Serving, find_serving
from bedrock_quota.registry.models import Model, Provider, RateStatus, Registry

EPOCH = datetime.fromtimestamp(0, UTC)

OLDEST_SECONDS = 14 * 24 * 3600 - 5 * 60
"""CloudWatch silently drops metric data older than two weeks. The 5 minutes are for the way of a line to CloudWatch."""

NEWEST_SECONDS = 2 * 3600
"""CloudWatch also drops data more than two hours ahead (EMF specification, `Timestamp`, read 2026-11-23)."""

ANY_SECOND = 2**53
"""Later than any timestamp."""

MAX_REMEMBERED = 2048
"""Model ids, origins and groups that one container remembers of each: more than an account has in 15 minutes, few
enough to stay small."""

MAX_NAMED = 20
"""Model ids and request ids that the log names per delivery. All others are only counted."""

MAX_OPERATION = 64
"""The longest operation name that is remembered."""

Tags = tuple[tuple[str, str], ...]
"""The keys of a call's `requestMetadata` that are allowed, with their values."""


class CallGroup(msgspec.Struct, frozen=True, gc=False, order=True, cache_hash=True):
    """Everything that the calls on one metric line have in common: timestamp, dimensions and properties.

    `minute` is the start of the minute in which the calls began, in seconds since the epoch. `blocked` is true if a
    guardrail blocked the call before the model ran: a request without tokens. `listed` is true if the registry has the
    model. `service_tier` is the tier that served the calls, "" if the log names none. `session` is the session of the
    caller's role, "" unless the lines are to name it. `project` is the ID of the project that the request names.
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
    service_tier: str = ""
    session: str = ""
    project: str = ""


class CallUsage(msgspec.Struct, frozen=True, gc=False):
    """One call: its group, its start in seconds since the epoch, and its tokens.

    `reserved_tokens`: input + cache write + max_tokens, at the start. `consumed_tokens`: input + cache write + output ×
    burndown rate, at the end. `max_tokens` and `reserved_tokens` are None exactly when the source is `unknown`.
    `truncated` is true if the answer was cut at the output limit, as far as the log tells.
    """

    group: CallGroup
    started: int
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    max_tokens: int | None
    reserved_tokens: int | None
    consumed_tokens: float
    truncated: bool = False


class FailedCall(msgspec.Struct, frozen=True, gc=False):
    """A call that Bedrock answered with an error. It is counted with its code, and no tokens are invented.

    `pool` is None if the call has none. Profile, tags and project are as in `CallGroup`, as far as its record has them.
    """

    pool: QuotaPool | None
    minute: int
    caller: str
    operation: str
    error_code: str
    session: str = ""
    application_profile: str = ""
    request_metadata: Tags = ()
    project: str = ""


class ReservedTierCall(msgspec.Struct, frozen=True, gc=False):
    """A call that the reserved tier served: its capacity is bought apart, so it draws on no pool.

    It is out of scope as `RESERVED_TIER_REASON`. Its tokens are properties of a line, and never metrics.
    """

    usage: CallUsage


RESERVED_TIER_REASON = "reserved_tier"

Entry = CallUsage | ReservedTierCall | FailedCall | OutOfScope

FindProfile = Callable[[ApplicationProfile], Reference | OutOfScope | None]
"""Returns the model and endpoint type of an application profile, None if it must be looked up first. Never raises."""

AdmitPool = Callable[[QuotaPool], QuotaPool]
"""Returns the pool that an unlisted model's calls count in: its own, or one that many share. Never raises."""


class _Rate(msgspec.Struct, frozen=True):
    """The pool and the rates of a model id on one day. `burndown_rate` is an integer if it `is_whole`."""

    pool: QuotaPool
    long_context_above: int | None
    model: Model | None
    provider: Provider
    burndown_rate: float
    is_whole: bool
    burndown_status: RateStatus
    application_profile: str = ""


_OriginKey = tuple[str, str | None, str, bool | None, int]
"""Model id, caller's ARN, operation, whether latency-optimized (None: the model id decides), and the day."""


class _Origin(msgspec.Struct, frozen=True, eq=False):
    """Everything that calls of one model id, caller and operation share on one day. A dict key by identity."""

    rate: _Rate | OutOfScope | ApplicationProfile
    caller: str
    operation: str
    defaults: OutputDefaults
    session: str


_GroupKey = tuple[_Origin, int, Source, bool, bool, Tags, str | None, str]
"""Origin, minute, source of max_tokens, whether blocked, whether long-context, tags, service tier, and project."""


class UsageCalculator:
    """Turns records into the usage of calls. Remembers each model id, origin and group that it has seen."""

    def __init__(
        self,
        registry: Registry,
        find_profile: FindProfile,
        metadata_keys: tuple[str, ...] = (),
        admit_pool: AdmitPool = lambda pool: pool,
        *,
        with_sessions: bool = False,
    ) -> None:
        self._registry = registry
        self._find_profile, self._admit_pool = find_profile, admit_pool
        self.metadata_keys, self.with_sessions = metadata_keys, with_sessions
        self._providers = registry.id_prefixes
        self._rates: dict[tuple[str, bool | None, int], _Rate] = {}
        self._origins: dict[_OriginKey, _Origin] = {}
        self._passing_origins: dict[_OriginKey, _Origin] = {}
        self._groups: dict[_GroupKey, CallGroup] = {}
        self._oldest, self._newest = 0, 0
        self.unlisted_models: dict[str, None] = {}
        """Ids of models met in this delivery that are not in the registry, at most `MAX_NAMED`."""
        self.unknown_tiers: dict[str, None] = {}
        """Service tiers met in this delivery that are not known, at most `MAX_NAMED`."""

    def begin(self, now: datetime) -> None:
        """Begin a delivery: records are compared with `now`, and application profiles are resolved again."""
        seconds = now.timestamp()
        self._oldest, self._newest = math.ceil(seconds) - OLDEST_SECONDS, int(seconds) + NEWEST_SECONDS
        self._passing_origins.clear()
        self.unlisted_models.clear()
        self.unknown_tiers.clear()

    def begin_any_time(self) -> None:
        """Begin to read records of any time. CloudWatch takes no metrics for them, but they can be added up."""
        self._oldest, self._newest = 0, ANY_SECOND

    def price(self, record: Record, *, wait: bool = True) -> Entry | ApplicationProfile:
        """Return what one record comes to: a call's usage, a failed call, a call of the reserved tier, or out of scope.

        Returns the application profile if that must be looked up first, and out of scope instead if `wait` is False.

        Raises `RecordError` with the reason `bad_timestamp`; `too_old` or `too_far_ahead` for a timestamp whose metrics
        CloudWatch would drop silently; `missing_input_count` or `missing_output_count` for text that was made but not
        counted; `absurd_count`.
        """
        try:
            started, minute, day = parse_timestamp(record.started_at)
        except RecordError as error:
            raise RecordError(error.reason, record.request_id) from None
        if minute < self._oldest:  # metrics are stamped with the start of the minute
            raise RecordError("too_old", record.request_id)
        if started > self._newest:
            raise RecordError("too_far_ahead", record.request_id)
        identity, given, output = record.identity, record.input, record.output
        # an answer is a list only while it is read, and a cast would take as long as half of the look
        served = find_serving(output.answer, given.body, record.performance_config)  # type: ignore[arg-type]
        model_id, tier, is_optimized = record.model_id, None, None
        if served is not None:
            tier, is_optimized, model_id = served.tier, served.is_optimized, _choose_model_id(model_id, served)
        key = (
            model_id,
            identity.arn if identity is not None else None,
            record.operation,
            is_optimized,
            day,
        )
        origin = self._origins.get(key) or self._find_origin(key)
        rate = origin.rate
        if type(rate) is not _Rate:  # faster than isinstance, because msgspec's classes are ABCs
            if wait and isinstance(rate, ApplicationProfile):
                return rate
            if record.error_code is None:
                return rate if isinstance(rate, OutOfScope) else UNRESOLVED
            return self._make_failed_call(record, record.error_code, None, minute, origin)
        if record.error_code is not None:
            return self._make_failed_call(record, record.error_code, rate, minute, origin)
        input_tokens, output_tokens = given.input_tokens or 0, output.output_tokens or 0
        cache_read, cache_write = given.cache_read_tokens or 0, given.cache_write_tokens or 0
        max_output, source = resolve_max_tokens(record, origin.defaults)
        blocked = long_context = False
        if not (input_tokens and output_tokens) and source is not Source.NONE:
            _check_counts(record)
            if not (input_tokens or output_tokens or cache_read or cache_write):
                blocked, (max_output, source) = True, NO_OUTPUT
        base = input_tokens + cache_write
        if rate.long_context_above is not None:
            long_context = base + cache_read > rate.long_context_above
        consumed = base + output_tokens * rate.burndown_rate
        tags = self._select_tags(record.request_metadata) if self.metadata_keys else ()
        body = given.body
        project_id = None if body is None else body.project_identifier
        project = "" if project_id is None else _find_project(origin.operation, project_id)
        group_key = (origin, minute, source, blocked, long_context, tags, tier, project)
        usage = CallUsage(
            self._groups.get(group_key) or self._find_group(rate, group_key),
            started,
            input_tokens,
            cache_read,
            cache_write,
            output_tokens,
            max_output,
            None if max_output is None else base + max_output,
            consumed if rate.is_whole or consumed % 1 else int(consumed),
            served is not None and served.truncated,
        )
        if tier is not None and usage.group.service_tier == RESERVED_TIER:
            return ReservedTierCall(usage)
        return usage

    def find_resolved_profile(self, record: Record) -> tuple[str, Reference] | None:
        """Return the ARN of a call's application profile and the model behind it. None: there is none, or not known."""
        served = find_serving(record.output.answer, record.input.body, record.performance_config)  # type: ignore[arg-type]
        model_id = record.model_id if served is None else _choose_model_id(record.model_id, served)
        bare_id = model_id.removesuffix(model_ids.LATENCY_OPTIMIZED_SUFFIX)
        profile = model_ids.parse_model_id(bare_id, self._providers)
        if not isinstance(profile, ApplicationProfile):
            return None
        found = self._find_profile(profile)
        return (profile.arn, found) if isinstance(found, Reference) else None

    def _make_failed_call(
        self, record: Record, error_code: str, rate: _Rate | None, minute: int, origin: _Origin
    ) -> FailedCall:
        body = record.input.body
        project_id = None if body is None else body.project_identifier
        return FailedCall(
            pool=None if rate is None else rate.pool,
            minute=minute,
            caller=origin.caller,
            operation=origin.operation,
            error_code=safe_word(error_code),
            session=origin.session,
            application_profile="" if rate is None else rate.application_profile,
            request_metadata=self._select_tags(record.request_metadata) if self.metadata_keys else (),
            project="" if project_id is None else _find_project(origin.operation, project_id),
        )

    def _select_tags(self, metadata: dict[str, str] | None) -> Tags:
        if not metadata:
            return ()
        return tuple((key, safe_label(metadata[key])) for key in self.metadata_keys if key in metadata)

    def _find_origin(self, key: _OriginKey) -> _Origin:
        known = self._passing_origins.get(key)
        if known is not None:
            return known
        model_id, arn, operation, optimized, day = key
        rate, word = self._find_rate(model_id, optimized, day), safe_word(operation)
        defaults, lasting = NOTHING_RESERVED, False
        if isinstance(rate, _Rate):
            defaults = find_defaults(model_id, word, rate.model, rate.provider)
            lasting = not rate.application_profile  # the model behind it can change
        session = parse_session(arn) if self.with_sessions else ""
        origin = _Origin(rate, parse_caller(arn), word, defaults, session)
        # longer than AWS allows: not remembered, because they may have a million characters
        named = len(model_id) <= MAX_REMEMBERED_ARN and len(arn or "") <= MAX_REMEMBERED_ARN
        if named and len(operation) <= MAX_OPERATION and not isinstance(rate, ApplicationProfile):
            _remember(self._origins if lasting else self._passing_origins, key, origin)
        return origin

    def _find_group(self, rate: _Rate, key: _GroupKey) -> CallGroup:
        origin, minute, source, blocked, long_context, tags, tier_name, project = key
        tier = "" if tier_name is None else safe_tier(tier_name)
        if tier and tier not in KNOWN_TIERS and len(self.unknown_tiers) < MAX_NAMED:
            self.unknown_tiers[tier] = None
        pool = rate.pool
        if rate.model is None:
            if len(self.unlisted_models) < MAX_NAMED:
                self.unlisted_models[pool.model_id] = None
            if tier != RESERVED_TIER:  # which has no metrics
                pool = self._admit_pool(pool)
            elif pool.model_id not in self.unlisted_models:
                pool = QuotaPool(UNLISTED, pool.endpoint_type)
        if long_context:
            pool = QuotaPool(pool.model_id + LONG_CONTEXT_SUFFIX, pool.endpoint_type)
        group = CallGroup(
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
            service_tier=tier,
            session=origin.session,
            project=project,
        )
        _remember(self._groups, key, group)
        return group

    def _find_rate(self, model_id: str, optimized: bool | None, day: int) -> _Rate | OutOfScope | ApplicationProfile:
        key = (model_id, optimized, day)
        known = self._rates.get(key)
        if known is not None:
            return known
        bare_id = model_id.removesuffix(model_ids.LATENCY_OPTIMIZED_SUFFIX)
        if optimized is None:
            optimized = bare_id != model_id
        found = model_ids.parse_model_id(bare_id, self._providers)
        application_profile = ""
        if isinstance(found, ApplicationProfile):
            application_profile = found.profile_id
            found = self._find_profile(found) or found
        if not isinstance(found, Reference):
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


def _choose_model_id(model_id: str, served: Serving) -> str:
    """Return the model that a prompt router chose, or the id that was called."""
    chosen = served.invoked_model_id
    return chosen if chosen is not None and model_ids.is_prompt_router(model_id) else model_id


def _find_project(operation: str, identifier: str) -> str:
    """Return the project of a call. Only Converse has it in the body, so in any other body the word means nothing."""
    return parse_project(identifier) if operation.startswith("Converse") else ""


def _check_counts(record: Record) -> None:
    """Reject a call that made text but has no count of it: 0 would be invented."""
    if record.input.input_tokens is None:
        raise RecordError("missing_input_count", record.request_id)
    if record.output.output_tokens is None:
        raise RecordError("missing_output_count", record.request_id)
