"""Health: the monitor's own metrics, on one line per invocation.

To add a metric:

1. Add a member to `Health` whose `msgspec.field(name=...)` is the metric's name. A member without a name is a property.
   A required metric is always published, and stands before `lag_seconds`. An optional one is published if it differs
   from its default.
2. Set it in `measure_health`. A new count of records is a member of `calls.DeliveryCalls`, added up in `merge_calls`.
3. Add its unit to `emf.UNITS`, unless it is a Count.
4. Add its row to "Health metrics" in docs/reference.md. A test compares the two. An optional metric needs a record in
   that test's `written`.
5. If people should see it, add it to dashboard/dashboard.yaml and run `make dashboard`. If they should be notified, add
   an alarm to template.yaml and its row to docs/alarms.md.
6. Correct the cost in README.md: each metric and each alarm costs. Tests compare the figures.
7. Extend the tests that list the metrics: `test_metric_lines`, `test_pipeline`, and `rare` in `test_cost`.
"""

import functools
import operator
from collections import Counter
from collections.abc import Sequence

import msgspec

from bedrock_quota import emf, model_ids
from bedrock_quota.processor.calls import DeliveryCalls
from bedrock_quota.processor.grouping import GroupedCalls
from bedrock_quota.processor.max_tokens import Source
from bedrock_quota.processor.usage import MAX_NAMED


class Health(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The health of one or more deliveries: metrics first, then properties. Members at their default are left out.

    `RecordLagSeconds` is the age of a delivery's oldest call. For several deliveries it has the least and the most.
    """

    processed: int = msgspec.field(name="RecordsProcessed")
    rejected: int = msgspec.field(name="RecordsRejected")
    out_of_scope: int = msgspec.field(name="RecordsOutOfScope")
    failed: int = msgspec.field(name="RequestsFailed")
    max_tokens_unknown: int = msgspec.field(name="MaxTokensUnknown")
    unlisted_models: int = msgspec.field(name="UnlistedModels")
    event: str
    received: int
    ignored: int
    control: bool
    max_tokens_explicit: int
    max_tokens_default: int
    max_tokens_none: int
    lag_seconds: float | tuple[float, float] | None = msgspec.field(name="RecordLagSeconds", default=None)
    quotas_unknown: int = msgspec.field(name="QuotasUnknown", default=0)
    alarm_tests: int = msgspec.field(name="AlarmTests", default=0)
    deliveries: int = 1
    max_tokens_declared: int = 0
    quota_age_seconds: int | None = None
    duplicate_records: int = 0
    duplicates_unchecked: int = 0
    set_aside: int = 0
    returned: int = 0
    published: int = 0
    rejected_reasons: dict[str, int] = {}
    out_of_scope_reasons: dict[str, int] = {}
    error_codes: dict[str, int] = {}


class _Duplicate(msgspec.Struct, frozen=True, gc=False):
    event: str
    received: int
    deliveries: int = msgspec.field(name="DuplicateDeliveries", default=1)


def _find_metrics(line: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return tuple(field for field in msgspec.structs.fields(line) if field.encode_name != field.name)


_METRICS = _find_metrics(Health)
_OPTIONAL = tuple(field for field in _METRICS if not field.required)
_DEFAULTS = tuple(field.default for field in _OPTIONAL)
_get_optional = operator.attrgetter(*(field.name for field in _OPTIONAL))

HEALTH_METRICS = frozenset(field.encode_name for field in (*_METRICS, *_find_metrics(_Duplicate)))
"""The health metrics: those of `Health`, and `DuplicateDeliveries` on its own line."""

_NO_CALLS = dict.fromkeys(Source, 0)


def measure_health(
    calls: DeliveryCalls,
    groups: Sequence[GroupedCalls],
    now: float,
    *,
    deliveries: int,
    quota_age: float | None,
    quotas_usable: bool,
) -> Health:
    """Count what became of the records of `deliveries` deliveries. `now` is in seconds since the epoch.

    `quota_age` is in seconds, None if there are no quotas. `quotas_usable` is False if they are missing or too old.
    """
    sources = _NO_CALLS.copy()
    unlisted = 0
    for grouped in groups:
        count = len(grouped.calls)
        sources[grouped.group.source] += count
        if not grouped.group.listed:
            unlisted += count
    return Health(
        processed=len(calls.usages),
        rejected=len(calls.rejected),
        out_of_scope=sum(calls.out_of_scope.values()) if calls.out_of_scope else 0,
        failed=len(calls.failed),
        max_tokens_unknown=sources[Source.UNKNOWN],
        unlisted_models=unlisted,
        event="delivery",
        received=calls.received,
        ignored=calls.ignored,
        control=calls.control,
        max_tokens_explicit=sources[Source.EXPLICIT],
        max_tokens_default=sources[Source.DEFAULT],
        max_tokens_none=sources[Source.NONE],
        lag_seconds=_compute_lag(calls.oldest_starts, now),
        quotas_unknown=0 if quotas_usable else len(calls.usages),
        alarm_tests=calls.out_of_scope.get(model_ids.ALARM_TEST_REASON, 0),
        deliveries=deliveries,
        max_tokens_declared=sources[Source.DECLARED],
        quota_age_seconds=None if quota_age is None else round(quota_age),
        duplicate_records=calls.duplicates,
        duplicates_unchecked=calls.unchecked,
        set_aside=len(calls.late),
        returned=calls.returned,
        published=calls.published,
        rejected_reasons=_count_most_common([each.reason for each in calls.rejected]),
        out_of_scope_reasons=calls.out_of_scope,
        error_codes=_count_most_common([call.error_code for call in calls.failed]),
    )


def _compute_lag(oldest_starts: Sequence[int], now: float) -> float | tuple[float, float] | None:
    """Return the age of a delivery's oldest call in seconds. For several deliveries return the least and the most."""
    if not oldest_starts:
        return None
    least, most = _round_to_tenths(now - max(oldest_starts)), _round_to_tenths(now - min(oldest_starts))
    return least if len(oldest_starts) == 1 else (least, most)


def _round_to_tenths(seconds: float) -> float:
    return int(10 * max(0.0, seconds) + 0.5) / 10  # round() takes ten times as long


def _count_most_common(words: Sequence[str]) -> dict[str, int]:
    return dict(Counter(words).most_common(MAX_NAMED)) if words else {}


@functools.lru_cache(maxsize=64)
def _list_metrics(*published: bool) -> tuple[str, ...]:
    """Return the metrics of a health line: the required ones, and the optional ones that are `published`."""
    required = [field.encode_name for field in _METRICS if field.required]
    return (*required, *(field.encode_name for field, there in zip(_OPTIONAL, published, strict=True) if there))


def line_for_health(namespace: str, seconds: float, health: Health) -> bytes:
    """Return the line of health metrics, which have no dimensions. `seconds` is the time since the epoch.

    For published records they are only properties, so that records from before the stack set off no alarm.
    """
    if health.published:
        return emf.encode(health)
    metrics = _list_metrics(*map(operator.ne, _get_optional(health), _DEFAULTS))
    return emf.encode_with_directive(emf.make_directive(namespace, seconds, (), metrics), health)


def line_for_duplicate(namespace: str, seconds: float, received: int) -> bytes:
    """Return the health line of a delivery that was processed before: none of its `received` records counts again."""
    return emf.encode_with_directive(
        emf.make_directive(namespace, seconds, (), ("DuplicateDeliveries",)),
        _Duplicate("duplicate_delivery", received),
    )
