"""A quota line: one pool's quotas as metrics, written by the fetcher.

The processor publishes the same metrics with each call. The fetcher's keep pools visible in which nobody calls.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from datetime import date
from typing import Any

from bedrock_quota import emf
from bedrock_quota.fetcher.changes import Change
from bedrock_quota.pools import PoolQuota, QuotaPool

ACCOUNT_NOTE = (
    "All models of this account share {tokens:,.0f} tokens per day in this Region. AWS weighs tokens by price, so a "
    "sum of tokens is not comparable one to one."
)
"""AWS estimates the use of this quota from on-demand prices (Bedrock User Guide, Quotas for the bedrock-runtime
endpoint, read 2026-11-28)."""


def lines_for_quotas(
    namespace: str,
    seconds: float,
    quotas: Mapping[QuotaPool, PoolQuota],
    changes: Iterable[Change] = (),
    *,
    account_tokens_per_day: float | None = None,
    throttled_by_day: Set[QuotaPool] = frozenset(),
    ends_of_life: Mapping[QuotaPool, date] | None = None,
) -> Iterator[bytes]:
    """Yield one line per pool with its quotas. A quota of 0 is published as 0.

    Properties: the daily quota, the previous value of a quota that changed, and `quota_note`, which says in words what
    a graph cannot show. A pool without a quota gets a line with the note alone, and no metric. The quota that all
    models share has one line without a pool and without a metric. `throttled_by_day` are the pools with a daily quota
    of 0 in which Bedrock throttled calls. `ends_of_life` are the days on which the models of pools end, where known.
    """
    if account_tokens_per_day is not None:
        shared = ACCOUNT_NOTE.format(tokens=account_tokens_per_day)
        yield emf.encode({"account_tokens_per_day": account_tokens_per_day, "quota_note": shared})
    before: dict[QuotaPool, dict[str, float | None]] = {}
    for change in changes:
        before.setdefault(change.pool, {})[f"previous_{change.unit}"] = change.before
    for pool, quota in quotas.items():
        metrics = quota.metrics()
        line: dict[str, Any] = {"ModelId": pool.model_id, "EndpointType": pool.endpoint_type, **metrics}
        if metrics:
            line = {"_aws": emf.make_directive(namespace, seconds, emf.POOL_DIMENSIONS, metrics), **line}
        if quota.tokens_per_day is not None:
            line["tokens_per_day"] = quota.tokens_per_day
        note = _make_note(quota, (ends_of_life or {}).get(pool), throttled_by_day=pool in throttled_by_day)
        if note is not None:
            line["quota_note"] = note
        yield emf.encode(line | before.get(pool, {}))


def _make_note(quota: PoolQuota, end_of_life: date | None, *, throttled_by_day: bool) -> str | None:
    """Return a note on a quota of 0 or on one that does not exist, which no graph can show."""
    tokens, requests = quota.tokens_per_minute, quota.requests_per_minute
    if quota.is_zero_per_minute:
        advice = "Request an increase in Service Quotas."
        if end_of_life is not None:
            advice = (
                f"The model's end of life is {end_of_life}, and AWS grants no increase for legacy models. Move its "
                "callers to another model."
            )
        return f"Its quota is 0, so Bedrock throttles every call. {advice}"
    if throttled_by_day:
        return (
            "Its quota on tokens per day is 0, which may be why Bedrock throttled calls. If they did not reach a quota "
            "per minute, ask AWS Support to raise the daily quota."
        )
    if tokens is None and requests is None:
        return "No quota per minute is known for this pool, so no percentages are shown."
    if requests is None:
        return "No quota on requests: AWS limits only the tokens of this pool."
    if tokens is None:
        return "No quota on tokens: AWS limits only the requests of this pool."
    return None
