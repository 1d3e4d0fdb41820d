"""All answers about quota pools: verdict, advice, plan, other levers, and a projection. The worst pool comes first."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from bedrock_quota.analysis.advice import Advice, Change, advise, plan_changes
from bedrock_quota.analysis.levers import OtherLever, find_other_levers
from bedrock_quota.analysis.usage import PoolUsage
from bedrock_quota.analysis.verdict import State, Verdict, judge
from bedrock_quota.analysis.what_if import Projection, Scenario, project
from bedrock_quota.pools import PoolQuota, QuotaPool

NOTHING_CHANGED = Scenario()


class PoolAnswer(msgspec.Struct, frozen=True):
    """The answers about one pool. `changes` is the plan of smaller limits, with the peak after each step.

    `projection` and `projected_state` are None unless a scenario concerns the pool.
    """

    usage: PoolUsage
    verdict: Verdict
    advice: tuple[Advice, ...]
    changes: tuple[Change, ...]
    levers: tuple[OtherLever, ...]
    projection: Projection | None = None
    projected_state: State | None = None


def find_answers(
    usages: Sequence[PoolUsage], quotas: Mapping[QuotaPool, PoolQuota], scenario: Scenario = NOTHING_CHANGED
) -> tuple[PoolAnswer, ...]:
    """Return the answers about each pool, the worst first.

    `quotas` are all quotas of the account. If it has none for a pool, the scenario's is taken for the real one.
    """
    found = (_answer(usage, usages, quotas, scenario) for usage in usages)
    return tuple(sort_by_urgency(found))


def sort_by_urgency(answers: Iterable[PoolAnswer]) -> list[PoolAnswer]:
    """Sort by state, then by the highest percentage of a quota, then by requests."""
    states = list(State)
    return sorted(
        answers,
        key=lambda answer: (
            states.index(answer.verdict.state),
            -(answer.usage.peak_percent or 0),
            -answer.usage.requests,
            answer.usage.pool,
        ),
    )


def _answer(
    usage: PoolUsage, usages: Sequence[PoolUsage], quotas: Mapping[QuotaPool, PoolQuota], scenario: Scenario
) -> PoolAnswer:
    if usage.token_quota is None and usage.pool in scenario.token_quotas:
        usage = msgspec.structs.replace(usage, token_quota=scenario.token_quotas[usage.pool])
        others = {pool: quota for pool, quota in scenario.token_quotas.items() if pool != usage.pool}
        scenario = msgspec.structs.replace(scenario, token_quotas=others)
    changes = plan_changes(usage)
    peak = changes[-1].peak if changes else usage.peak_used
    concerned = scenario.growth != 1 or scenario.max_tokens or usage.pool in scenario.token_quotas
    projection = project(usage, scenario) if concerned else None
    return PoolAnswer(
        usage=usage,
        verdict=judge(usage),
        advice=advise(usage),
        changes=changes,
        levers=find_other_levers(usage, usages, quotas.items(), peak),
        projection=projection,
        projected_state=judge(projection.usage).state if projection is not None else None,
    )
