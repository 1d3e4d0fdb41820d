"""A quota line: one pool's quotas as metrics, written by the fetcher.

The processor publishes the same metrics with each call. The fetcher's keep pools visible in which nobody calls.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bedrock_quota import emf
from bedrock_quota.fetcher.changes import Change
from bedrock_quota.pools import PoolQuota, QuotaPool


def lines_for_quotas(
    namespace: str, seconds: float, quotas: Mapping[QuotaPool, PoolQuota], changes: Iterable[Change] = ()
) -> Iterator[bytes]:
    """Yield one line per pool with its quotas. A quota of 0 is published as 0.

    Properties: the daily quota, the previous value of a quota that changed, and `quota_note`, which says in words what
    a graph cannot show. A pool without a quota gets a line with the note alone, and no metric.
    """
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
        note = _make_note(quota)
        if note is not None:
            line["quota_note"] = note
        yield emf.encode(line | before.get(pool, {}))


def _make_note(quota: PoolQuota) -> str | None:
    """Return a note on a quota of 0 or on one that does not exist, which no graph can show."""
    tokens, requests = quota.tokens_per_minute, quota.requests_per_minute
    if 0 in (tokens, requests, quota.tokens_per_day):
        return "Its quota is 0, so Bedrock throttles every call. Request an increase in Service Quotas."
    if tokens is None and requests is None:
        return "No quota per minute is known for this pool, so no percentages are shown."
    if requests is None:
        return "No quota on requests: AWS limits only the tokens of this pool."
    if tokens is None:
        return "No quota on tokens: AWS limits only the requests of this pool."
    return None
