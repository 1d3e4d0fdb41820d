"""The evidence for a larger quota: steady and peak use of a pool, and the value to ask for."""

import math
from collections.abc import Sequence

import msgspec

from bedrock_quota.analysis.advice import Change, plan_changes
from bedrock_quota.analysis.levers import QUOTA_HEADROOM, round_up_quota
from bedrock_quota.analysis.usage import PoolMinute, PoolUsage
from bedrock_quota.analysis.what_if import Scenario, project
from bedrock_quota.pools import Unit


class Load(msgspec.Struct, frozen=True):
    """Tokens and requests per minute, taken from the same minutes."""

    tokens: float
    requests: float


class Evidence(msgspec.Struct, frozen=True):
    """The load of a pool in its busy minutes, those with a call.

    `steady` is the median of each, `high` the 90th percentile, and `peak` the largest. Tokens are the larger of
    reserved and consumed. `throttled_minutes` are minutes with throttled calls.
    """

    busy_minutes: int
    steady: Load
    high: Load
    peak: Load
    mean_input: float
    mean_output: float
    throttled: int
    throttled_minutes: int


class Proposal(msgspec.Struct, frozen=True):
    """The value to ask for: `base` × `growth` × `headroom`, rounded up to two significant digits.

    `base` is the highest use per minute, after smaller limits if `is_after_changes`, and with the throttled calls if
    `has_throttled`. `value` is None if the window shows no use to derive it from, because no call was answered or none
    used tokens.
    """

    unit: Unit
    base: float
    growth: float
    headroom: float
    value: int | None
    is_after_changes: bool = False
    has_throttled: bool = False

    @property
    def needed(self) -> float:
        """Return the use that is expected, without headroom."""
        return self.base * self.growth


class Proposals(msgspec.Struct, frozen=True):
    """The values to ask for, of tokens and of requests, and the smaller limits that come first.

    The limits are chosen so that `growth` times the traffic stays below the quota. Their peaks are those of the window.
    """

    changes: tuple[Change, ...]
    tokens: Proposal
    requests: Proposal


def gather_evidence(usage: PoolUsage) -> Evidence:
    """Return the evidence about a pool."""
    busy = [minute for minute in usage.minutes if minute.requests]
    requests = usage.requests or 1
    return Evidence(
        busy_minutes=len(busy),
        steady=_load(busy, 50),
        high=_load(busy, 90),
        peak=Load(usage.peak_used, usage.peak_requests),
        mean_input=sum(each.input_tokens + each.cache_write_tokens for each in usage.callers) / requests,
        mean_output=sum(each.output_tokens for each in usage.callers) / requests,
        throttled=usage.throttled,
        throttled_minutes=sum(minute.throttled > 0 for minute in usage.minutes),
    )


def propose_quotas(usage: PoolUsage, scenario: Scenario, headroom: float = QUOTA_HEADROOM) -> Proposals:
    """Return the values to ask for in a scenario. The remedy of a what-if has the same.

    Throttled calls count as served, each as large as the largest of its caller, if their limits are known.
    """
    growth, quota = scenario.growth, scenario.token_quotas.get(usage.pool, usage.token_quota)
    # growth times the tokens reach the quota when the tokens reach this part of it
    part = None if quota is None else quota / growth
    changes = plan_changes(msgspec.structs.replace(usage, token_quota=part), scenario.max_tokens)
    if changes:
        low, high = changes[-1].peak, changes[-1].peak_with_throttled
    else:
        now = project(usage, msgspec.structs.replace(scenario, growth=1.0))
        low, high = now.usage.peak_used, now.peak_with_throttled
    wanted = max((minute.requests + minute.throttled for minute in usage.minutes), default=0)
    tokens = Proposal(
        Unit.TOKENS_PER_MINUTE,
        max(low, high or 0.0),
        growth,
        headroom,
        None,
        is_after_changes=bool(changes),
        has_throttled=high is not None and high > low,
    )
    requests = Proposal(
        Unit.REQUESTS_PER_MINUTE, float(wanted), growth, headroom, None, has_throttled=wanted > usage.peak_requests
    )
    if usage.requests:
        tokens, requests = _add_value(tokens), _add_value(requests)
    return Proposals(changes, tokens, requests)


def _add_value(proposal: Proposal) -> Proposal:
    value = round_up_quota(proposal.base * proposal.growth * proposal.headroom) or None
    return msgspec.structs.replace(proposal, value=value)


def _load(busy: Sequence[PoolMinute], percent: int) -> Load:
    return Load(
        _quantile([minute.used_tokens for minute in busy], percent),
        _quantile([minute.requests for minute in busy], percent),
    )


def _quantile(values: Sequence[float], percent: int) -> float:
    """Return a quantile by the nearest rank, 0 without values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else 0.0
