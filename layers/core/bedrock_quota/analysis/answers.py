"""All answers about quota pools: verdict, advice, plan, other levers, and a projection. The worst pool comes first."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from bedrock_quota.analysis.advice import Advice, Change, advise, plan_changes
from bedrock_quota.analysis.levers import OtherLever, find_other_levers
from bedrock_quota.analysis.remedy import Remedy, find_remedy
from bedrock_quota.analysis.usage import CallerUsage, PoolUsage
from bedrock_quota.analysis.verdict import State, Verdict, judge
from bedrock_quota.analysis.what_if import Projection, Scenario, project
from bedrock_quota.pools import PoolQuota, QuotaPool

NOTHING_CHANGED = Scenario()


class PoolAnswer(msgspec.Struct, frozen=True):
    """The answers about one pool. `changes` is the plan of smaller limits, with the peak after each step.

    `usage` has all callers, because they share the quota. `callers` and `advice` are those that are listed.
    `projection` is None unless a scenario concerns the pool, and `remedy` unless the pool may reach its quota then.
    """

    usage: PoolUsage
    verdict: Verdict
    advice: tuple[Advice, ...]
    changes: tuple[Change, ...]
    levers: tuple[OtherLever, ...]
    callers: tuple[CallerUsage, ...]
    projection: Projection | None = None
    remedy: Remedy | None = None


def find_answers(
    usages: Sequence[PoolUsage],
    quotas: Mapping[QuotaPool, PoolQuota],
    scenario: Scenario = NOTHING_CHANGED,
    model_maximum: Callable[[QuotaPool], int | None] = lambda _pool: None,
) -> tuple[PoolAnswer, ...]:
    """Return the answers about each pool, the worst first.

    `quotas` are all quotas of the account. If it has none for a pool, the scenario's is taken for the real one.
    `model_maximum` returns the most output tokens that a pool's model takes, None if that is unknown.
    """
    found = (_answer(usage, usages, quotas, scenario, model_maximum(usage.pool)) for usage in usages)
    return tuple(sort_by_urgency(found))


def sort_by_urgency(answers: Iterable[PoolAnswer]) -> list[PoolAnswer]:
    """Sort by throttled calls, then by state, then by the highest percentage of a quota, then by requests.

    Of equally many throttled calls, a quota of 0 comes last.
    """
    states = list(State)
    return sorted(
        answers,
        key=lambda answer: (
            -answer.usage.throttled,
            bool(answer.usage.throttled) and answer.verdict.state is State.QUOTA_IS_ZERO,
            states.index(answer.verdict.state),
            -(answer.usage.peak_percent or 0),
            -answer.usage.requests,
            answer.usage.pool,
        ),
    )


def select_callers(answers: Iterable[PoolAnswer], caller: str) -> tuple[PoolAnswer, ...]:
    """Return the answers that list only the callers whose name has this text, and only the pools that they use.

    An empty text selects all. Pools without a caller, whose calls all failed, are then among them.

    Usage, verdict and plan stay those of the whole pool, because all its callers share the quota.
    """
    found = (
        msgspec.structs.replace(
            answer,
            callers=tuple(each for each in answer.callers if caller in each.caller),
            advice=tuple(each for each in answer.advice if caller in each.caller),
        )
        for answer in answers
    )
    return tuple(answer for answer in found if answer.callers or not caller)


def _answer(
    usage: PoolUsage,
    usages: Sequence[PoolUsage],
    quotas: Mapping[QuotaPool, PoolQuota],
    scenario: Scenario,
    model_maximum: int | None,
) -> PoolAnswer:
    if usage.token_quota is None and usage.pool in scenario.token_quotas:
        usage = msgspec.structs.replace(usage, token_quota=scenario.token_quotas[usage.pool])
        others = {pool: quota for pool, quota in scenario.token_quotas.items() if pool != usage.pool}
        scenario = msgspec.structs.replace(scenario, token_quotas=others)
    changes = plan_changes(usage)
    peak = changes[-1].peak if changes else usage.peak_used
    most = None
    if usage.throttled:
        most = changes[-1].peak_with_throttled if changes else project(usage, NOTHING_CHANGED).peak_with_throttled
    concerned = scenario.growth != 1 or scenario.max_tokens or usage.pool in scenario.token_quotas
    projection = project(usage, scenario) if concerned else None
    return PoolAnswer(
        usage=usage,
        verdict=judge(usage),
        advice=advise(usage, model_maximum, changes),
        changes=changes,
        levers=find_other_levers(usage, usages, quotas.items(), peak, most),
        callers=usage.callers,
        projection=projection,
        remedy=None if projection is None else find_remedy(usage, scenario, projection),
    )
