"""The fetching of quotas: list what is live, find each one's pool, see what is in use and what has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import msgspec

from bedrock_quota import model_ids
from bedrock_quota.fetcher import burndown_drift
from bedrock_quota.fetcher.changes import find_changes
from bedrock_quota.registry.overrides import apply_overrides, read_overrides
from bedrock_quota.registry.quota_codes import find_code_mismatches
from bedrock_quota.registry.quota_names import SERVICE_CODE, UNREAD_REASONS, match_quota_name, models_by_quota_name, quotas_by_pool, quotas_without_value
from bedrock_quota.pools import EndpointType, QuotaPool
from bedrock_quota.fetcher.changes import Change
from bedrock_quota.errors import QuotaFetchError
from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import PoolQuota, QuotaKey
from bedrock_quota.registry.quota_names import ListedQuota, UnmatchedQuota
from bedrock_quota.registry.models import Registry
from bedrock_quota.state.snapshot import Snapshot

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_service_quotas import ServiceQuotasClient
    from mypy_boto3_ssm import SSMClient

_ENDPOINT_TYPES = frozenset(EndpointType)

Value = TypeVar("Value")


def list_quotas(client: ServiceQuotasClient) -> list[ListedQuota]:
    """List Bedrock's quotas in this Region: AWS's defaults, overlaid with the values applied to this account.

    ListServiceQuotas "doesn't return quotas that have no applied value" for an account, hence both calls. A quota that
    is listed with an `ErrorReason` in place of its applied value has the value None, not its default.
    Raises `QuotaFetchError` if either call fails or finds nothing: a part is never passed off as the whole.
    """
    found: dict[str, ListedQuota] = {}
    try:
        for operation in ("list_aws_default_service_quotas", "list_service_quotas"):
            for page in client.get_paginator(operation).paginate(
                ServiceCode=SERVICE_CODE, PaginationConfig={"PageSize": 100}
            ):
                for quota in page["Quotas"]:
                    code = quota["QuotaCode"]
                    found[code] = ListedQuota(code, quota["QuotaName"], quota.get("Value"))
    except Exception as error:
        raise QuotaFetchError(f"Service Quotas could not be listed: {error}") from error
    if not found:
        raise QuotaFetchError("Service Quotas lists no quota for Bedrock in this Region")
    return list(found.values())


REFUSED_CALLS = ("InvocationThrottles", "InvocationClientErrors")
"""Metrics of `AWS/Bedrock` on calls that Bedrock refused: where a quota is 0, there are no others."""


def list_pools_called(client: CloudWatchClient, namespace: str) -> set[QuotaPool]:
    """Return the pools that had an answered call in the last two weeks.

    ListMetrics returns just the metrics that "have had data points reported in the past two weeks" (API reference,
    read 2026-11-23), so CloudWatch keeps this list for us. Raises what botocore raises.
    """
    found: set[QuotaPool] = set()
    for dimensions in _dimensions(client, namespace, "ConsumedTokens"):
        if dimensions.keys() == {"ModelId", "EndpointType"} and dimensions["EndpointType"] in _ENDPOINT_TYPES:
            found.add(QuotaPool(dimensions["ModelId"], EndpointType(dimensions["EndpointType"])))
    return found


def list_pools_refused(client: CloudWatchClient, known: Registry) -> set[QuotaPool]:
    """Return the pools that had a call in the last two weeks which Bedrock refused. Raises what botocore raises."""
    found: set[QuotaPool] = set()
    for name in REFUSED_CALLS:
        for dimensions in _dimensions(client, burndown_drift.NAMESPACE, name):
            called = model_ids.parse_model_id(dimensions.get("ModelId", ""), known.id_prefixes)
            if dimensions.keys() == {"ModelId"} and isinstance(called, Reference):
                model = known.find(called.model_id)
                found.add(QuotaPool(model.quota_model_id if model else called.model_id, called.endpoint_type))
    return found


def _dimensions(client: CloudWatchClient, namespace: str, metric_name: str) -> Iterator[dict[str, str]]:
    for page in client.get_paginator("list_metrics").paginate(Namespace=namespace, MetricName=metric_name):
        for metric in page["Metrics"]:
            yield {dimension["Name"]: dimension["Value"] for dimension in metric["Dimensions"]}


def list_application_profiles(client: BedrockClient) -> dict[str, Reference]:
    """Return what each application inference profile of this Region stands for, by its ARN.

    Those that stand for no single model are left out: their calls are out of scope. Raises what botocore raises.
    """
    pages = client.get_paginator("list_inference_profiles").paginate(typeEquals="APPLICATION")
    found = {}
    for page in pages:
        for profile in page["inferenceProfileSummaries"]:
            reference = model_ids.resolve_profile_models(tuple(model.get("modelArn", "") for model in profile["models"]))
            if isinstance(reference, Reference):
                found[profile["inferenceProfileArn"]] = reference
    return found


NO_OVERRIDES = "{}"


def read_overrides_parameter(parameter: str | None, client: SSMClient) -> str:
    """Return the text of the registry's overrides; nobody has made the parameter where there are none.

    Raises what botocore raises.
    """
    if parameter is None:
        return NO_OVERRIDES
    try:
        return client.get_parameter(Name=parameter)["Parameter"]["Value"]
    except client.exceptions.ParameterNotFound:
        return NO_OVERRIDES


class Sources(msgspec.Struct, frozen=True):
    """Where a fetch reads: each a call that raises if it cannot answer."""

    overrides: Callable[[], str]
    quotas: Callable[[], list[ListedQuota]]
    in_use: Callable[[], set[QuotaPool]]
    profiles: Callable[[], dict[str, Reference]]
    applied: Callable[[], dict[str, dict[str, float]]]
    """Sums of AWS's own token metrics, as `drift.measured` returns them."""


class Fetch(msgspec.Struct, frozen=True):
    """All that one fetch came to.

    `quotas` are those to publish, of all pools in use, with or without one; empty where they could not be listed: old
    values are not passed off as new ones.
    `notices` are new sentences that somebody may have to act on, `remarks` new ones for who looks after the registry;
    `problems` are what could not be done this time.
    """

    snapshot: Snapshot
    listed: int
    quotas: Mapping[QuotaPool, PoolQuota]
    changes: tuple[Change, ...]
    notices: tuple[str, ...]
    remarks: tuple[str, ...]
    problems: tuple[str, ...]


ZERO, DRIFT, UNREAD, MISFIT = "zero", "drift", "unread", "misfit"
"""Topics of standing sentences."""


def fetch_all(
    sources: Sources, registry: Registry, before: Snapshot | None, always: Iterable[QuotaPool], now: datetime
) -> Fetch:
    """Fetch everything once. A call that fails costs what depends on it and is named in `problems`, not the rest.

    `before` is the last snapshot; what could not be read stays as it was there. `always` are pools to publish even
    if nobody uses them.
    """
    before = before or Snapshot(now)
    problems: list[str] = []

    def attempt(what: str, read: Callable[[], Value], otherwise: Value) -> Value:
        try:
            return read()
        except Exception as error:  # noqa: BLE001 - one failing call does not cost the rest; the fetch fails in the end
            problems.append(f"{what}: {type(error).__name__}: {error}")
            return otherwise

    models = attempt(
        "the registry's overrides are refused, the last good ones stay",
        lambda: read_overrides(sources.overrides(), registry),
        before.models,
    )
    known = apply_overrides(registry, models)
    nothing: list[ListedQuota] = []
    listed = attempt("quotas were not fetched", sources.quotas, nothing)
    by_pool = _with_unsaid(quotas_by_pool(listed, known), quotas_without_value(listed, known), before, problems)
    if listed and not by_pool:
        problems.append("none of the listed quotas' names is known; has Service Quotas renamed them?")
    # Where nobody can say what is in use, every change is told, and the named pools alone are published.
    seen = attempt("pools in use are unknown", lambda: frozenset(sources.in_use()), None)
    in_use = frozenset(always) | (seen or frozenset())
    profiles = attempt("application profiles were not listed", sources.profiles, dict(before.profiles))
    applied = attempt("applied burndown rates are unknown", sources.applied, None)
    standing = dict(before.active_notices)
    if by_pool:
        standing |= _standing(listed, known)
        standing[ZERO] = _zeros({pool: by_pool[pool] for pool in in_use & by_pool.keys()})
    if seen is None:
        standing[ZERO] = before.active_notices.get(ZERO, ())
    if applied is not None:
        standing[DRIFT] = _drifts(before.active_notices.get(DRIFT, ()), applied, known, now)
    changed = find_changes(before.quotas_by_pool(), by_pool) if by_pool else []
    return Fetch(
        snapshot=Snapshot(
            fetched_at=now if by_pool else before.fetched_at,
            quotas=tuple(by_pool.items()) or before.quotas,
            models=models,
            profiles=tuple(profiles.items()),
            active_notices=standing,
        ),
        listed=len(listed),
        quotas={pool: by_pool.get(pool, PoolQuota()) for pool in sorted(in_use)} if by_pool else {},
        changes=(told := tuple(change for change in changed if seen is None or change.pool in in_use)),
        notices=(*(str(change) for change in told), *_new(before, standing, ZERO), *_new(before, standing, DRIFT)),
        remarks=(*_new(before, standing, UNREAD), *_new(before, standing, MISFIT)),
        problems=tuple(problems),
    )


def _drifts(
    before: tuple[str, ...], applied: Mapping[str, Mapping[str, float]], known: Registry, now: datetime
) -> tuple[str, ...]:
    """Return the sentences on drift; a model that was not used enough to tell keeps the one it had."""
    subjects = tuple(burndown_drift.subject(model_id) for model_id in burndown_drift.measure_rates(applied))
    kept = [sentence for sentence in before if not sentence.startswith(subjects)]
    return tuple(sorted((*kept, *(str(each) for each in burndown_drift.detect_drift(applied, known, now)))))


def _with_unsaid(
    by_pool: dict[QuotaPool, PoolQuota], unsaid: Iterable[QuotaKey], before: Snapshot, problems: list[str]
) -> dict[QuotaPool, PoolQuota]:
    """Return the quotas with those that AWS could not say as they were before; each is a problem."""
    known, merged = before.quotas_by_pool(), dict(by_pool)
    for place in unsaid:
        problems.append(f"Service Quotas could not say the value of {place}; the last one known stays")
        last = getattr(known.get(place.pool, PoolQuota()), place.unit)
        if last is not None:
            quota = merged.get(place.pool, PoolQuota())
            merged[place.pool] = msgspec.structs.replace(quota, **{place.unit: last})
    return merged


def _new(before: Snapshot, standing: Mapping[str, tuple[str, ...]], topic: str) -> list[str]:
    said = before.active_notices.get(topic, ())
    return [sentence for sentence in standing.get(topic, ()) if sentence not in said]


def _standing(listed: Iterable[ListedQuota], known: Registry) -> dict[str, tuple[str, ...]]:
    """Return what a listing shows that who looks after the registry should know, by topic."""
    models = models_by_quota_name(known)
    matched = [(quota, match_quota_name(quota.name, models)) for quota in listed]
    unread = [
        f"quota name is not known, so its quota is not shown: {quota.name!r}"
        for quota, found in matched
        if isinstance(found, UnmatchedQuota) and found.reason in UNREAD_REASONS
    ]
    return {UNREAD: tuple(sorted(unread)), MISFIT: tuple(sorted(find_code_mismatches(known, matched)))}


def _zeros(in_use: Mapping[QuotaPool, PoolQuota]) -> tuple[str, ...]:
    zero = [
        f"quota is 0: {pool} may not be called by this account in this Region"
        for pool, quota in in_use.items()
        if 0 in (quota.tokens_per_minute, quota.requests_per_minute, quota.tokens_per_day)
    ]
    return tuple(sorted(zero))
