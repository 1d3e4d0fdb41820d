"""The advice, proved: the same traffic goes through the limiter again with the limits that the analysis proposes.

The limiter and the analysis share no code. The analysis sees only what a log shows: nothing of throttled calls but
their number.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from bedrock_quota.analysis.advice import plan_changes
from bedrock_quota.analysis.tally import UsageTally
from bedrock_quota.analysis.usage import THROTTLED, PoolUsage
from bedrock_quota.analysis.verdict import State, judge
from bedrock_quota.analysis.what_if import Scenario, project
from bedrock_quota.pools import PoolQuota, QuotaPool
from localaws import applications, quotas, traffic
from localaws.bedrock_calls import prose
from localaws.limiter import Minutes
from localaws.traffic import Planned

END = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
START = END - timedelta(hours=1)
TEXT = prose("proof", 20_000)
NOTHING: Mapping[str, int] = {}


class LoggedCall(msgspec.Struct, frozen=True):
    """What a record shows of an answered call."""

    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    max_tokens: int
    consumed_tokens: float
    truncated: bool = False


def run_hour(seed: int, minutes: Minutes, max_tokens: Mapping[str, int] = NOTHING) -> list[tuple[Planned, str]]:
    """Return the calls of an hour in the pool of the culprit, each with its error code."""
    busy = [each for each in applications.CAST if "claude-sonnet-4-6" in str(each.model)]
    assert len(busy) == 3
    planned = [
        call
        for each in busy
        for call in traffic._plan(traffic._limited(each, max_tokens), START, seed=seed, text=TEXT, profile_arns={})
    ]
    return list(traffic.admit(planned, minutes))


def measure(outcomes: Iterable[tuple[Planned, str]]) -> PoolUsage:
    """Return the usage that the analysis sees."""
    tally = UsageTally()
    found: dict[QuotaPool, PoolQuota] = {}
    for planned, error_code in outcomes:
        call, application = planned.call, planned.application
        need = quotas.find_need(application.model, application.operation, planned.started.date())
        assert need is not None
        found[need.pool] = quotas.list_quotas()[need.pool]
        minute = int(planned.started.timestamp()) // 60 * 60
        if error_code:
            assert error_code == THROTTLED
            tally.add_failed(need.pool, minute, application.role, error_code)
            continue
        attempt = quotas.make_attempt(call, need, 0)
        limit = 0 if call.blocked else call.max_tokens or need.default_max_tokens
        tally.open_calls(need.pool, minute, application.role, "explicit").add(
            LoggedCall(
                call.input_tokens,
                call.cache_read_tokens,
                call.cache_write_tokens,
                call.output_tokens,
                limit,
                attempt.consumed,
                call.output_tokens == limit and limit > 0,
            )
        )
    (usage,) = tally.measure(found)
    return usage


@pytest.mark.parametrize("minutes", [pytest.param(each, id=f"{each} minutes") for each in Minutes])
@pytest.mark.parametrize("seed", [pytest.param(seed, id=f"seed {seed}") for seed in range(20)])
def test_the_measured_peak_is_within_the_stated_range(seed: int, minutes: Minutes) -> None:
    # given an hour in which one caller throttles all
    before = measure(run_hour(seed, minutes))
    assert judge(before).state is State.THROTTLED_BY_RESERVATION
    changes = plan_changes(before)
    assert changes[0].caller.caller == applications.CULPRIT
    limits = {change.caller.caller: change.max_tokens for change in changes}

    # when the same traffic runs with the limits of the plan
    projection = project(before, Scenario(max_tokens=limits))
    after = measure(run_hour(seed, minutes, limits))

    # then the peak is in the range that was promised, and nothing is throttled or cut any more
    assert projection.usage.peak_used <= after.peak_used <= projection.peak_with_throttled
    assert (after.throttled, sum(caller.cut_answers for caller in after.callers)) == (0, 0)
    assert changes[-1].peak == projection.usage.peak_used
    assert after.peak_used < 0.5 * before.peak_used


@pytest.mark.parametrize("minutes", [pytest.param(each, id=f"{each} minutes") for each in Minutes])
def test_the_prediction_is_exact_for_served_calls(minutes: Minutes) -> None:
    # given the calls that were served, and no others, with the limits of the plan
    outcomes = run_hour(3, minutes)
    before = measure(outcomes)
    limits = {change.caller.caller: change.max_tokens for change in plan_changes(before)}
    served = [
        (msgspec.structs.replace(planned, call=msgspec.structs.replace(planned.call, max_tokens=limit)), error_code)
        if (limit := limits.get(planned.application.role)) is not None
        else (planned, error_code)
        for planned, error_code in outcomes
        if not error_code
    ]
    after = measure(served)

    # then every minute is as predicted, to the token
    predicted = project(before, Scenario(max_tokens=limits)).usage
    assert {minute.minute: (minute.reserved_tokens, minute.consumed_tokens) for minute in after.minutes} == {
        minute.minute: (minute.reserved_tokens, pytest.approx(minute.consumed_tokens))
        for minute in predicted.minutes
        if minute.requests
    }


def test_growth_is_predicted_for_the_same_traffic_twice() -> None:
    outcomes = [(planned, "") for planned, _ in run_hour(1, Minutes.SLIDING)]
    once, twice = measure(outcomes), measure(outcomes * 2)

    assert project(once, Scenario(growth=2)).usage.peak_used == twice.peak_used
