"""Remedy for a pool that a what-if brings to its quota: smaller limits, and larger quotas if these are not enough."""

import msgspec

from bedrock_quota.analysis.advice import Change
from bedrock_quota.analysis.increase import propose_quotas
from bedrock_quota.analysis.usage import PoolUsage
from bedrock_quota.analysis.what_if import Outcome, Projection, Scenario


class Remedy(msgspec.Struct, frozen=True):
    """The changes that keep a pool below its quota in a scenario.

    `changes` are the callers whose max_tokens to lower first, with the peaks of the scenario. `is_enough` is true if
    these are enough, and None if that cannot be known, because the max_tokens of calls is unknown. Otherwise
    `token_quota` and `request_quota` are the quotas to request as well, as far as is known.
    """

    changes: tuple[Change, ...]
    is_enough: bool | None
    token_quota: int | None = None
    request_quota: int | None = None


def find_remedy(usage: PoolUsage, scenario: Scenario, projection: Projection) -> Remedy | None:
    """Return the remedy for a pool that reaches or may reach its quota in a scenario, None for any other.

    Throttled calls count as served. A quota to request has a fifth of room.
    """
    if projection.outcome not in {Outcome.REACHES, Outcome.MAY_REACH}:
        return None
    growth, quota, requests = scenario.growth, projection.usage.token_quota, projection.usage.request_quota
    proposals = propose_quotas(usage, scenario)
    low, high = projection.usage.peak_used, projection.peak_with_throttled
    needed, begun = max(low, high or 0), projection.requests_with_throttled
    changes: tuple[Change, ...] = ()
    # otherwise the requests are too many, and not the tokens
    if quota is not None and (high is None or needed >= quota or usage.coverage < 1):
        needed = proposals.tokens.needed
        changes = tuple(_multiply(change, growth) for change in proposals.changes)
        high = changes[-1].peak_with_throttled if changes else high
    fits = (quota is None or needed < quota) and (requests is None or begun < requests)
    is_known = high is not None and usage.coverage == 1
    return Remedy(
        changes,
        (True if is_known else None) if fits else False,
        proposals.tokens.value if quota is not None and needed >= quota else None,
        proposals.requests.value if requests is not None and begun >= requests else None,
    )


def _multiply(change: Change, growth: float) -> Change:
    """Return a change with the peaks of more traffic."""
    most = change.peak_with_throttled
    return msgspec.structs.replace(
        change, peak=change.peak * growth, peak_with_throttled=None if most is None else most * growth
    )
