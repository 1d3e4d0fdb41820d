"""From single calls to usage, verdicts, advice and projections. Every expected number is worked out by hand."""

from collections.abc import Iterator
from typing import TypeVar

import msgspec
import pytest

from bedrock_quota.analysis import tally as tally_module
from bedrock_quota.analysis.advice import Action, Reason, advise, plan_changes
from bedrock_quota.analysis.answers import find_answers, select_callers
from bedrock_quota.analysis.levers import Lever, find_other_levers, round_up_quota
from bedrock_quota.analysis.tally import UsageTally
from bedrock_quota.analysis.usage import THROTTLED, CallerMinute, Limit, PoolMinute, PoolUsage, Sizes
from bedrock_quota.analysis.verdict import Cause, State, judge
from bedrock_quota.analysis.what_if import Outcome, Scenario, project
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool, Unit

POOL = QuotaPool("vendor.model-1", EndpointType.CROSS_REGION)
GLOBAL = QuotaPool("vendor.model-1", EndpointType.GLOBAL_CROSS_REGION)
NOON = 1_795_867_200  # 2026-11-28T12:00:00Z


class Call(msgspec.Struct, frozen=True):
    """One call, and what a test may leave out of it."""

    caller: str = "Hungry"
    minute: int = 0
    input_tokens: int = 1_000
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 100
    max_tokens: int | None = 1_000
    consumed_tokens: float = 1_100
    truncated: bool = False
    source: str = "explicit"
    second: int = 0
    latency_ms: int | None = 1_000


def calls(count: int, **fields: object) -> list[Call]:
    return [Call(**fields)] * count  # type: ignore[arg-type]


def measure(
    *found: Call,
    quota: PoolQuota = PoolQuota(600_000),  # noqa: B008 - frozen
    throttled: tuple[tuple[int, str, int], ...] = (),
    single_calls: bool = False,
) -> PoolUsage:
    """Return the usage of calls, and of `throttled` calls: minute, caller and number."""
    tally = UsageTally(single_calls=single_calls)
    for call in found:
        opened = tally.open_calls(POOL, NOON + 60 * call.minute, call.caller, call.source)
        opened.add(call)
        opened.add_time(call, NOON + 60 * call.minute + call.second, call.latency_ms)
    for minute, caller, count in throttled:
        tally.add_failed(POOL, NOON + 60 * minute, caller, THROTTLED, count)
    (usage,) = tally.measure({POOL: quota})
    return usage


# ---------------------------------------------------------------- sums


def test_sums_of_a_minute_and_of_a_caller():
    usage = measure(
        Call(
            input_tokens=10,
            cache_read_tokens=7,
            cache_write_tokens=5,
            output_tokens=3,
            max_tokens=100,
            consumed_tokens=18,
        ),
        Call(input_tokens=20, output_tokens=30, max_tokens=None, consumed_tokens=50, source="unknown"),
        Call(caller="Other", input_tokens=1, output_tokens=1, max_tokens=2, consumed_tokens=2),
    )

    (minute,) = usage.minutes
    assert (minute.reserved_tokens, minute.consumed_tokens) == (10 + 5 + 100 + 1 + 2, 18 + 50 + 2)
    assert (minute.requests, minute.known_requests, minute.in_use) == (3, 2, None)
    first, second = usage.callers
    assert (first.caller, second.caller) == ("Hungry", "Other")
    assert (first.input_tokens, first.cache_read_tokens, first.cache_write_tokens, first.output_tokens) == (
        30,
        7,
        5,
        33,
    )
    assert (first.reserved_tokens, first.consumed_tokens, first.requests) == (115, 68, 2)
    assert (first.largest_base, first.largest_consumption) == (20, 50)
    assert first.limits == (Limit(100, "explicit", 1),)
    assert first.minutes[0].limits == ((100, 1),)
    assert usage.coverage == pytest.approx(2 / 3)


def test_quantiles_are_those_of_single_answers():
    # 1 to 200: the nearest ranks are 100, 190 and 198
    usage = measure(*(Call(output_tokens=tokens) for tokens in range(200, 0, -1)))

    assert usage.callers[0].sizes == Sizes(100, 190, 198, 200)
    assert measure(Call(output_tokens=42)).callers[0].sizes == Sizes(42, 42, 42, 42)


def test_memory_is_bounded_and_the_largest_answer_stays_exact(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tally_module, "MAX_SIZES", 10)
    monkeypatch.setattr(tally_module, "MAX_LIMITS", 4)
    monkeypatch.setattr(tally_module, "MAX_CALLERS_PER_POOL", 2)
    usage = measure(
        *(Call(output_tokens=tokens, max_tokens=10_000 + tokens) for tokens in range(1, 1_001)),
        Call(caller="B"),
        Call(caller="C"),
        Call(caller="D"),
    )

    hungry = next(caller for caller in usage.callers if caller.caller == "Hungry")
    assert hungry.sizes.largest == 1_000
    assert hungry.sizes.p50 >= 500  # never below the true quantile
    assert len(hungry.limits) <= 5
    assert sum(limit.calls for limit in hungry.limits) == 1_000
    assert hungry.minutes[0].reserved_tokens == sum(1_000 + 10_000 + tokens for tokens in range(1, 1_001))
    # each limit that is not kept counts as 8,192, so a proposal of 2,048 frees less than it would
    assert sum(limit * count for limit, count in hungry.minutes[0].limits) <= sum(range(10_001, 11_001))
    assert {caller.caller: caller.requests for caller in usage.callers} == {"Hungry": 1_000, "B": 1, "other": 2}


def test_minutes_beyond_the_bound_keep_their_sums(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tally_module, "MAX_CALLER_MINUTES", 1)
    tally = UsageTally()
    for minute in (0, 1):
        tally.open_calls(POOL, NOON + 60 * minute, "Hungry", "explicit").add(Call())
    (usage,) = tally.measure({})

    assert not tally.is_complete
    assert [minute.requests for minute in usage.minutes] == [1, 1]
    assert (usage.callers[0].requests, len(usage.callers[0].minutes)) == (2, 1)


def test_failed_calls_are_counted_by_code_and_throttled_ones_by_minute_and_caller():
    tally = UsageTally()
    tally.add_failed(POOL, NOON, "Hungry", THROTTLED, 3)
    tally.add_failed(POOL, NOON, "Hungry", "ValidationException", 2)
    (usage,) = tally.measure({})

    assert (usage.throttled, usage.requests, usage.errors) == (3, 0, (("ValidationException", 2),))
    assert usage.callers[0].minutes[0].throttled == 3


# ---------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    ("usage", "state"),
    [
        pytest.param(measure(Call(), quota=PoolQuota(0)), State.QUOTA_IS_ZERO, id="token quota 0"),
        pytest.param(measure(Call(), quota=PoolQuota(9, 0)), State.QUOTA_IS_ZERO, id="request quota 0"),
        pytest.param(
            measure(*calls(9, max_tokens=64_000), throttled=((0, "Hungry", 5),)),
            State.THROTTLED_BY_RESERVATION,
            id="585,000 of 600,000 reserved, and one more call needs 65,000",
        ),
        pytest.param(
            measure(*calls(5, max_tokens=64_000), throttled=((0, "Hungry", 5),)),
            State.THROTTLED_OTHERWISE,
            id="325,000 reserved, and one more call would have fit",
        ),
        pytest.param(
            measure(*calls(70, consumed_tokens=9_000, max_tokens=4_250), throttled=((0, "Hungry", 1),)),
            State.THROTTLED_BY_CONSUMPTION,
            id="630,000 consumed of AWS's own example, 367,500 reserved",
        ),
        pytest.param(
            measure(*calls(10), quota=PoolQuota(600_000, 10), throttled=((0, "Hungry", 1),)),
            State.THROTTLED_BY_REQUESTS,
            id="10 of 10 requests",
        ),
        pytest.param(
            measure(*calls(9), quota=PoolQuota(600_000, 10), throttled=((0, "Hungry", 1),)),
            State.THROTTLED_OTHERWISE,
            id="9 of 10 requests",
        ),
        pytest.param(
            measure(quota=PoolQuota(600_000), throttled=((0, "Hungry", 4),)),
            State.THROTTLED_OTHERWISE,
            id="no call answered",
        ),
        pytest.param(measure(*calls(300, max_tokens=1_000)), State.REACHED, id="600,000 of 600,000, not throttled"),
        pytest.param(measure(*calls(240)), State.NEAR, id="480,000 of 600,000"),
        pytest.param(measure(*calls(8), quota=PoolQuota(None, 10)), State.NEAR, id="8 of 10 requests without a TPM"),
        pytest.param(measure(*calls(239)), State.FINE, id="478,000 of 600,000"),
        pytest.param(measure(Call(), quota=PoolQuota()), State.NO_QUOTA, id="no quota known"),
        pytest.param(measure(Call(), Call(max_tokens=None)), State.FINE, id="half of the limits known"),
        pytest.param(measure(Call(), *calls(2, max_tokens=None)), State.MOSTLY_UNKNOWN, id="a third known"),
        pytest.param(measure(*calls(9, consumed_tokens=54_000, max_tokens=None)), State.NEAR, id="near, all unknown"),
    ],
)
def test_verdicts(usage: PoolUsage, state: State):
    assert judge(usage).state is state


def test_a_verdict_has_its_minutes_as_evidence_and_the_most_frequent_cause_decides():
    usage = measure(
        *calls(10, minute=0, max_tokens=64_000),
        *calls(1, minute=5),
        throttled=((0, "Hungry", 2), (5, "Hungry", 3)),
    )
    verdict = judge(usage)

    assert verdict.state is State.THROTTLED_OTHERWISE
    assert verdict.count_throttled() == {Cause.NONE_OF_THESE: 3, Cause.RESERVATION: 2}
    assert [(each.minute.minute, each.cause) for each in verdict.throttled] == [
        (NOON, Cause.RESERVATION),
        (NOON + 300, Cause.NONE_OF_THESE),
    ]
    assert [minute.minute for minute in verdict.reached] == [NOON]


def test_requests_within_60_seconds_count_across_the_minute():
    # 6 at 12:00:50 and 6 at 12:01:10: no minute has 10, but 12 began within 20 seconds
    found = [*calls(6, second=50), *calls(6, minute=1, second=10)]
    throttled = ((1, "Hungry", 1),)

    assert judge(measure(*found, quota=PoolQuota(None, 10), throttled=throttled)).state is State.THROTTLED_OTHERWISE
    usage = measure(*found, quota=PoolQuota(None, 10), throttled=throttled, single_calls=True)
    assert judge(usage).state is State.THROTTLED_BY_REQUESTS


def test_calls_of_the_minute_before_may_still_count():
    # 585,000 reserved at 12:00, throttled at 12:01 without a served call: the sums of minutes cannot tell more
    usage = measure(*calls(9, max_tokens=64_000), throttled=((1, "Hungry", 5),))
    assert judge(usage).state is State.THROTTLED_BY_RESERVATION
    # two minutes later nothing of it counts any more
    assert (
        judge(measure(*calls(9, max_tokens=64_000), throttled=((2, "Hungry", 5),))).state is State.THROTTLED_OTHERWISE
    )


def test_what_runs_over_the_minute_is_reserved_and_not_consumed():
    # two calls of 41,000 begin at 12:00:50 and run for 90 s
    found = calls(2, second=50, max_tokens=40_000, latency_ms=90_000)
    usage = measure(*found, quota=PoolQuota(100_000), throttled=((1, "Hungry", 5),), single_calls=True)

    assert usage.minutes[1].in_use == 82_000
    assert judge(usage).state is State.THROTTLED_BY_RESERVATION


def test_consumption_is_named_only_if_all_reservations_are_known():
    known = Call(max_tokens=63_000)
    unknown = calls(20, max_tokens=None, source="unknown", consumed_tokens=4_500)
    usage = measure(known, *unknown, quota=PoolQuota(100_000), throttled=((0, "Hungry", 1),))

    assert judge(usage).state is State.THROTTLED_BY_RESERVATION


def test_the_largest_input_and_the_largest_limit_of_different_calls_are_no_reservation():
    # 150,100 and 64,100: no call ever reserved 214,000
    found = [Call(input_tokens=150_000, max_tokens=100), Call(input_tokens=100, max_tokens=64_000)]
    usage = measure(*found, Call(minute=9, max_tokens=100), quota=PoolQuota(200_000), throttled=((9, "Hungry", 1),))

    assert usage.callers[0].largest_reservation == 150_100
    assert judge(usage).state is State.THROTTLED_OTHERWISE


# ---------------------------------------------------------------- advice


@pytest.mark.parametrize(
    ("found", "action", "reason", "proposed"),
    [
        pytest.param(calls(10, max_tokens=64_000, output_tokens=642), "set", Reason.FAR_ABOVE, 1_024, id="far above"),
        pytest.param(
            calls(10, max_tokens=64_000, output_tokens=820), "set", Reason.FAR_ABOVE, 2_048, id="1,025 with headroom"
        ),
        pytest.param(calls(10, max_tokens=2_047, output_tokens=642), "leave", Reason.CLOSE, None, id="less than twice"),
        pytest.param(
            calls(10, max_tokens=2_048, output_tokens=642), "set", Reason.FAR_ABOVE, 1_024, id="exactly twice"
        ),
        pytest.param(
            [*calls(99, max_tokens=64_000, output_tokens=10), Call(max_tokens=64_000, output_tokens=30_000)],
            "leave",
            Reason.CLOSE,
            None,
            id="one long answer among short ones",
        ),
        pytest.param(
            calls(10, max_tokens=512, output_tokens=512, truncated=True), "raise", Reason.CUT, 1_024, id="cut"
        ),
        pytest.param(
            [*calls(10, max_tokens=64_000), Call(max_tokens=2_048, output_tokens=2_048, truncated=True)],
            "set",
            Reason.FAR_ABOVE,
            4_096,
            id="cut at a small limit, and a far larger one elsewhere",
        ),
        pytest.param(
            calls(3, max_tokens=None, source="unknown"), "leave", Reason.UNKNOWN, None, id="limit not in the log"
        ),
        pytest.param(
            calls(3, max_tokens=0, output_tokens=0, source="none"), "leave", Reason.NO_OUTPUT, None, id="embeddings"
        ),
    ],
)
def test_advice(found: list[Call], action: str, reason: Reason, proposed: int | None):
    (advice,) = advise(measure(*found))

    assert (advice.action, advice.reason, advice.max_tokens) == (action, reason, proposed)
    assert advice.calls == sum(call.source != "none" for call in found)
    assert advice.max_tokens is None or advice.max_tokens > max(call.output_tokens for call in found)


def test_advice_says_what_it_frees_at_the_peak_and_what_it_rests_on():
    # 9 calls of 65,000 at the peak of 600,000: each frees 64,000 - 1,024
    usage = measure(
        *calls(9, max_tokens=64_000, output_tokens=642),
        Call(caller="Other", max_tokens=14_000),
        quota=PoolQuota(600_000),
    )
    hungry, _ = advise(usage)

    assert usage.peak_used == 600_000
    assert (hungry.freed_tokens, hungry.freed_percent) == (9 * 62_976, pytest.approx(94.464))
    assert hungry.rests_on_few
    assert (hungry.limit, hungry.sizes.largest, hungry.cut_share) == (Limit(64_000, "explicit", 9), 642, 0)


def test_freed_tokens_stop_at_the_consumption():
    usage = measure(*calls(9, max_tokens=64_000, output_tokens=642, consumed_tokens=50_000))

    # 585,000 reserved, 450,000 consumed: the smaller reservation frees only the difference
    assert advise(usage)[0].freed_tokens == 135_000


def test_raising_a_limit_frees_less_than_nothing():
    usage = measure(*calls(10, max_tokens=512, output_tokens=512, truncated=True))
    (advice,) = advise(usage)

    assert (advice.action, advice.freed_tokens, advice.cut_share) == (Action.RAISE, -5_120, 1)


def test_a_plan_names_callers_until_the_peak_is_below_the_quota():
    callers = [
        *calls(10, caller="Second", input_tokens=2_000, max_tokens=30_000, output_tokens=642),
        *calls(10, caller="First", input_tokens=2_000, max_tokens=64_000, output_tokens=642),
        *calls(10, caller="Third", input_tokens=2_000, max_tokens=2_048, output_tokens=642),
    ]  # 1,020,480 reserved

    def plan(quota: int) -> list[tuple[str, int, float]]:
        changes = plan_changes(measure(*callers, quota=PoolQuota(quota)))
        return [(change.caller.caller, change.max_tokens, change.peak) for change in changes]

    assert plan(400_000) == [("First", 1_024, 390_720)]
    assert plan(120_000) == [("First", 1_024, 390_720), ("Second", 1_024, 100_960)]
    assert plan(1_100_000) == [("First", 1_024, 390_720)]  # below its quota: the change lowers the peak


def test_the_peak_after_a_change_has_the_throttled_calls_too():
    # 9 of 65,000 are served and 5 throttled. With 256, all 14 have 14 × 1,256
    usage = measure(*calls(9, max_tokens=64_000), throttled=((0, "Hungry", 5),))
    (change,) = plan_changes(usage)

    assert (change.peak, change.peak_with_throttled) == (9 * 1_256, 14 * 1_256)


def test_a_plan_goes_on_until_throttled_calls_fit_as_well():
    # 5 × 65,000 and 5 × 21,000 are served, and 10 of Second are throttled: 430,000, and 640,000 with them. With 256,
    # First has 6,280. Second then has up to 15 × 21,000, which is below 400,000 but not below 300,000
    found = [*calls(5, caller="First", max_tokens=64_000), *calls(5, caller="Second", max_tokens=20_000)]

    def plan(quota: int) -> list[tuple[str, float, float | None]]:
        usage = measure(*found, quota=PoolQuota(quota), throttled=((0, "Second", 10),))
        return [(each.caller.caller, each.peak, each.peak_with_throttled) for each in plan_changes(usage)]

    # Second saves 15 × 19,744 with its throttled calls, and First 5 × 63,744
    assert plan(400_000) == [("First", 111_280, 321_280)]
    assert plan(300_000) == [("First", 111_280, 321_280), ("Second", 12_560, 25_120)]


def test_a_plan_says_if_the_limits_of_throttled_callers_are_unknown():
    found = [*calls(9, max_tokens=64_000), Call(caller="Dark", max_tokens=None, source="unknown")]
    (change,) = plan_changes(measure(*found, quota=PoolQuota(500_000), throttled=((0, "Dark", 5),)))

    assert (change.caller.caller, change.peak, change.peak_with_throttled) == ("Hungry", 9 * 1_256, None)


@pytest.mark.parametrize(
    ("quota", "minutes", "action"),
    [
        # one call with 256 instead of 6,256 frees 6,000
        pytest.param(600_000, (0,), "set", id="1% at the peak"),
        pytest.param(600_001, (0,), "leave", id="less than 1% at the peak"),
        pytest.param(120_000, (1,), "set", id="5% in another minute"),
        pytest.param(120_001, (1,), "leave", id="less than 5% in another minute"),
    ],
)
def test_a_change_that_frees_little_is_none(quota: int, minutes: tuple[int, ...], action: str):
    found = [
        Call(caller="Small", minute=minute, input_tokens=1, max_tokens=6_256, consumed_tokens=101) for minute in minutes
    ]
    peak = [Call(caller="Other", input_tokens=80_000, max_tokens=200)]
    usage = measure(*found, *peak, quota=PoolQuota(quota))
    (small,) = [each for each in advise(usage) if each.caller == "Small"]

    assert small.action == action
    assert (small.reason is Reason.FREES_LITTLE) == (action == "leave")


Minute = TypeVar("Minute", CallerMinute, PoolMinute)


class CountedMinutes(tuple[Minute, ...]):
    """Minutes that count how often they are gone through."""

    times = 0

    def __iter__(self) -> Iterator[Minute]:
        self.times += 1
        return super().__iter__()


def count_passes(callers: int) -> int:
    found = [
        Call(caller=f"Caller{number}", minute=number, max_tokens=64_000, output_tokens=100) for number in range(callers)
    ]
    usage = measure(*found, quota=PoolQuota(60_000))
    minutes = CountedMinutes(usage.minutes)
    advice = advise(msgspec.structs.replace(usage, minutes=minutes), plan=())
    assert {each.action for each in advice} == {Action.SET}
    return minutes.times


def test_the_minutes_of_a_pool_are_not_gone_through_for_each_caller():
    assert count_passes(callers=50) == count_passes(callers=5)


@pytest.mark.parametrize("throttled", [1, 50], ids=["one throttled minute", "many"])
def test_the_minutes_of_a_caller_are_gone_through_once_for_all_throttled_minutes(throttled: int):
    refused = CountedMinutes(CallerMinute(NOON + 60 * number, throttled=1) for number in range(throttled))
    usage = measure(*calls(2, max_tokens=64_000), quota=PoolQuota(60_000))
    (caller,) = usage.callers
    minutes = tuple(PoolMinute(NOON + 60 * number, throttled=1) for number in range(throttled))

    found = judge(
        msgspec.structs.replace(usage, minutes=minutes, callers=(msgspec.structs.replace(caller, minutes=refused),))
    )

    # one more call of 65,000 does not fit into 60,000
    assert found.count_throttled() == {Cause.RESERVATION: throttled}
    assert refused.times == 1


def test_a_change_that_the_plan_needs_is_proposed_though_it_frees_little_at_the_peak():
    # 12:00 has 1,000,000 of 600,000, and 12:01 has 606,000, of which Small frees 6,000 × 2
    found = [
        *calls(10, max_tokens=99_000),
        *calls(2, caller="Small", minute=1, input_tokens=1, max_tokens=6_256),
        Call(caller="Fixed", minute=1, input_tokens=593_486, max_tokens=0, output_tokens=0, source="none"),
    ]
    usage = measure(*found, quota=PoolQuota(600_000))

    assert [change.caller.caller for change in plan_changes(usage)] == ["Hungry", "Small"]
    assert {each.caller: each.action for each in advise(usage)}["Small"] == "set"


def test_levers_are_about_throttled_calls_if_only_these_reach_the_quota():
    # 580,000 are served, and with 10 throttled calls of 2,000 it is the quota. A fifth more is 720,000
    usage = measure(*calls(290), throttled=((0, "Hungry", 10),))
    found = find_other_levers(usage, [usage], (), 580_000, 600_000)

    assert [(lever.amount, lever.most) for lever in found if lever.lever is Lever.QUOTA] == [(720_000, None)]
    assert find_other_levers(usage, [usage], (), 580_000, 599_999) == ()


def test_no_plan_promises_a_peak_below_the_consumption():
    # AWS's example in each of 100 calls: 5,250 reserved, 9,000 consumed
    usage = measure(*calls(100, max_tokens=4_250, consumed_tokens=9_000), quota=PoolQuota(800_000))

    assert usage.peak_used == 900_000
    assert plan_changes(usage) == ()


def test_no_proposal_is_above_the_models_maximum():
    usage = measure(*calls(10, max_tokens=6_000, output_tokens=6_000, truncated=True))

    assert advise(usage)[0].max_tokens == 8_192
    assert advise(usage, 8_000)[0].max_tokens == 8_000
    (at_most,) = advise(usage, 6_000)
    assert (at_most.action, at_most.reason) == (Action.LEAVE, Reason.AT_MAXIMUM)


def test_blocked_calls_are_no_answers():
    blocked = calls(30, max_tokens=0, output_tokens=0, consumed_tokens=0, source="none")
    (advice,) = advise(measure(*blocked, Call(output_tokens=300)))

    assert (advice.calls, advice.sizes.p50, advice.rests_on_few) == (1, 300, True)


def test_the_largest_limit_stays_exact_among_very_many(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tally_module, "MAX_LIMITS", 4)
    tally = UsageTally()
    for limit in (*range(90_000, 90_060), 100_003):
        tally.open_calls(POOL, NOON, "Hungry", "explicit").add(Call(max_tokens=limit))
    (usage,) = tally.measure({})

    assert usage.callers[0].largest_limit == Limit(100_003, "explicit", 1)
    assert not tally.is_complete


def test_the_largest_answer_stays_exact_when_its_size_equals_a_rounded_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tally_module, "MAX_SIZES", 10)

    usage = measure(*(Call(output_tokens=tokens) for tokens in (*range(1, 11), 2_049, 4_096)))
    assert usage.callers[0].sizes.largest == 4_096


# ---------------------------------------------------------------- projections


def test_growth_multiplies_what_was_served():
    projection = project(measure(*calls(100), quota=PoolQuota(300_000)), Scenario(growth=2))

    assert (projection.usage.peak_used, projection.usage.peak_requests) == (400_000, 200)
    assert judge(projection.usage).state is State.REACHED
    assert projection.peak_with_throttled == 400_000


def test_another_limit_and_another_quota():
    usage = measure(*calls(10, max_tokens=64_000), Call(caller="Other"), quota=PoolQuota(600_000))
    scenario = Scenario(max_tokens={"Hungry": 1_024}, token_quotas={POOL: 50_000})
    projection = project(usage, scenario)

    assert projection.usage.peak_used == 10 * 2_024 + 2_000
    assert projection.usage.token_quota == 50_000
    assert projection.cut_callers == ()


def test_a_limit_below_an_answer_says_whose_answers_it_cuts():
    projection = project(measure(*calls(10, output_tokens=900)), Scenario(max_tokens={"Hungry": 512}))

    assert projection.cut_callers == ("Hungry",)


def test_throttled_calls_widen_the_range():
    # 5 served with 2,000 each; 3 throttled, each at most as large as the largest served one
    usage = measure(*calls(4), Call(input_tokens=4_000), throttled=((0, "Hungry", 3),))
    same = project(usage, Scenario(growth=1.0, max_tokens={"Hungry": 1_000}))

    assert same.usage.peak_used == 13_000
    assert same.peak_with_throttled == 13_000 + 3 * 5_000
    assert project(usage, Scenario(max_tokens={"Hungry": 256})).peak_with_throttled == 13_000 - 5 * 744 + 3 * 4_256


def test_a_caller_without_served_calls_counts_like_the_largest_of_the_pool():
    usage = measure(*calls(4), Call(caller="Large", input_tokens=9_000), throttled=((0, "Never", 2),))

    assert project(usage, Scenario(growth=1.5)).peak_with_throttled == 1.5 * (18_000 + 2 * 10_000)


def test_the_range_is_open_if_limits_of_throttled_callers_are_unknown():
    usage = measure(*calls(4, max_tokens=None, source="unknown"), throttled=((0, "Hungry", 2),))
    projection = project(usage, Scenario(growth=2))

    assert (projection.peak_with_throttled, projection.outcome) == (None, Outcome.UNKNOWN_LIMITS)


@pytest.mark.parametrize(
    ("quota", "outcome"),
    [
        pytest.param(PoolQuota(13_000), Outcome.REACHES, id="the served calls alone"),
        pytest.param(PoolQuota(20_000), Outcome.MAY_REACH, id="only with the throttled ones"),
        pytest.param(PoolQuota(90_000), Outcome.BELOW, id="not at all"),
        pytest.param(PoolQuota(90_000, 8), Outcome.MAY_REACH, id="requests, only with the throttled ones"),
        pytest.param(PoolQuota(), Outcome.NO_QUOTA, id="no quota"),
    ],
)
def test_outcomes(quota: PoolQuota, outcome: Outcome):
    # 13,000 served by 5 calls, and 3 throttled calls of up to 5,000
    usage = measure(*calls(4), Call(input_tokens=4_000), quota=quota, throttled=((0, "Hungry", 3),))

    assert project(usage, Scenario(max_tokens={"Hungry": 1_000})).outcome is outcome


@pytest.mark.parametrize(
    ("found", "quota", "outcome"),
    [
        pytest.param(calls(9, max_tokens=None), PoolQuota(600_000), Outcome.UNKNOWN_LIMITS, id="none is known"),
        pytest.param(
            [Call(), *calls(2, max_tokens=None)], PoolQuota(600_000), Outcome.UNKNOWN_LIMITS, id="a third is known"
        ),
        # 4,000 known, and 1 more like the largest known of 2,000
        pytest.param(
            [*calls(2), Call(max_tokens=None)], PoolQuota(6_000), Outcome.MAY_REACH, id="the unknown one may fill it"
        ),
        pytest.param([*calls(2), Call(max_tokens=None)], PoolQuota(6_001), Outcome.BELOW, id="the unknown one fits"),
        pytest.param(calls(9, max_tokens=None), PoolQuota(9_900), Outcome.REACHES, id="consumption alone reaches it"),
        pytest.param(
            calls(9, max_tokens=None), PoolQuota(600_000, 9), Outcome.REACHES, id="the requests alone reach it"
        ),
        pytest.param(calls(9), PoolQuota(None, 10), Outcome.NO_TOKEN_QUOTA, id="only a request quota, and below it"),
        pytest.param(calls(10), PoolQuota(None, 10), Outcome.REACHES, id="only a request quota, and reached"),
        pytest.param(calls(9, max_tokens=None), PoolQuota(None, 10), Outcome.NO_TOKEN_QUOTA, id="neither is known"),
    ],
)
def test_what_is_unknown_is_no_promise(found: list[Call], quota: PoolQuota, outcome: Outcome):
    assert project(measure(*found, quota=quota), Scenario(max_tokens={"Nobody": 1})).outcome is outcome


def test_what_is_unknown_stays_so_if_its_requests_round_to_0():
    usage = measure(*calls(4, max_tokens=None))

    assert project(usage, Scenario(growth=0.1)).outcome is Outcome.UNKNOWN_LIMITS


@pytest.mark.parametrize(
    ("found", "quota", "throttled", "factor"),
    [
        pytest.param(calls(100), PoolQuota(300_000), 0, 1.5, id="200,000 of 300,000"),
        pytest.param(calls(100), PoolQuota(300_000), 50, 1.0, id="with 50 throttled calls of 2,000"),
        pytest.param(calls(100), PoolQuota(300_000, 120), 0, 1.2, id="100 of 120 requests come first"),
        pytest.param(calls(100), PoolQuota(None, 120), 0, None, id="no token quota"),
        pytest.param(calls(100), PoolQuota(0), 0, None, id="quota 0"),
        pytest.param(calls(100), PoolQuota(), 0, None, id="no quota"),
        pytest.param([*calls(99), Call(max_tokens=None)], PoolQuota(300_000), 0, None, id="a limit is unknown"),
    ],
)
@pytest.mark.parametrize("growth", [1.0, 2.0], ids=["the same traffic", "twice the traffic"])
def test_the_growth_at_which_a_quota_is_reached(
    found: list[Call], quota: PoolQuota, throttled: int, factor: float | None, growth: float
):
    usage = measure(*found, quota=quota, throttled=((0, "Hungry", throttled),) if throttled else ())

    assert project(usage, Scenario(growth=growth)).growth_to_quota == factor


def test_a_smaller_limit_moves_the_growth_at_which_a_quota_is_reached():
    # 10 × 1,256 instead of 10 × 65,000
    usage = measure(*calls(10, max_tokens=64_000), quota=PoolQuota(125_600))

    assert project(usage, Scenario(max_tokens={"Hungry": 256})).growth_to_quota == 10


# ---------------------------------------------------------------- other levers


def levers(usage: PoolUsage, quotas: dict[QuotaPool, PoolQuota] | None = None) -> dict[Lever, float]:
    found = find_other_levers(usage, [usage], (quotas or {}).items(), usage.peak_used)
    return {lever.lever: lever.amount for lever in found}


def test_no_lever_below_the_quota():
    assert levers(measure(*calls(10))) == {}


def test_another_endpoint_type_needs_room_for_what_is_above_the_quota():
    usage = measure(*calls(350), quota=PoolQuota(600_000))  # 700,000: 100,000 above

    assert levers(usage, {GLOBAL: PoolQuota(100_001)})[Lever.ENDPOINT] == 100_001
    assert Lever.ENDPOINT not in levers(usage, {GLOBAL: PoolQuota(100_000)})
    assert Lever.ENDPOINT not in levers(usage, {GLOBAL: PoolQuota(900_000, 0)})
    assert Lever.ENDPOINT not in levers(usage, {QuotaPool("vendor.other", GLOBAL.endpoint_type): PoolQuota(900_000)})


def test_calls_can_be_spread_if_the_minutes_around_have_room():
    # 700,000 in one of five minutes: 140,000 on average
    assert levers(measure(*calls(350)))[Lever.SPREAD] == 140_000
    assert Lever.SPREAD not in levers(measure(*(call for minute in range(5) for call in calls(350, minute=minute))))


def test_caching_is_named_where_new_input_fills_the_quota():
    # 700 calls with 1,000 of 1,001 reserved tokens as new input
    usage = measure(*calls(700, max_tokens=1, output_tokens=1, consumed_tokens=1_001))

    assert levers(usage)[Lever.CACHE] == 700_000
    assert Lever.CACHE not in levers(measure(*calls(60, max_tokens=64_000)))


def test_a_larger_quota_has_room_and_few_digits():
    # 700,000 with a fifth more is 840,000
    assert levers(measure(*calls(350)))[Lever.QUOTA] == 840_000
    assert [round_up_quota(tokens) for tokens in (0, 7, 99, 101, 1_234_567)] == [0, 7, 99, 110, 1_300_000]


# ---------------------------------------------------------------- all of it


def test_answers_begin_with_the_worst_pool():
    tally = UsageTally()
    pools = [QuotaPool(f"vendor.{name}", EndpointType.REGIONAL) for name in ("fine", "near", "over", "zero")]
    for pool, count in zip(pools, (1, 85, 120, 1), strict=True):
        for call in calls(count):
            tally.open_calls(pool, NOON, "Hungry", "explicit").add(call)
    quotas = {pool: PoolQuota(200_000) for pool in pools} | {pools[3]: PoolQuota(0)}
    answers = find_answers(tally.measure(quotas), quotas, Scenario(growth=2))

    assert [answer.usage.pool.model_id for answer in answers] == [
        "vendor.zero",
        "vendor.over",
        "vendor.near",
        "vendor.fine",
    ]
    assert [answer.verdict.state for answer in answers] == [State.QUOTA_IS_ZERO, State.REACHED, State.NEAR, State.FINE]
    assert [answer.projection.outcome for answer in answers if answer.projection] == [
        Outcome.REACHES,
        Outcome.REACHES,
        Outcome.REACHES,
        Outcome.BELOW,
    ]
    # 120 calls that reserve 256 instead of 1,000: 150,720 of 200,000, so nothing else is needed
    assert [(change.max_tokens, change.peak) for change in answers[1].changes] == [(256, 150_720)]
    assert answers[1].levers == ()


def test_a_request_quota_that_throttles_has_its_own_levers():
    usage = measure(*calls(10), quota=PoolQuota(600_000, 10), throttled=((0, "Hungry", 4),))
    found = find_other_levers(usage, [usage], {GLOBAL: PoolQuota(None, 20)}.items(), usage.peak_used)

    # 14 wanted: 4 above the quota, and a fifth more is 16.8
    assert [(lever.lever, lever.unit, lever.amount) for lever in found] == [
        (Lever.ENDPOINT, Unit.REQUESTS_PER_MINUTE, 20),
        (Lever.SPREAD, Unit.REQUESTS_PER_MINUTE, 2.8),
        (Lever.QUOTA, Unit.REQUESTS_PER_MINUTE, 17),
    ]


def test_one_caller_is_listed_and_the_verdict_stays_that_of_the_pool():
    tally = UsageTally()
    for call in calls(9, max_tokens=64_000):
        tally.open_calls(POOL, NOON, "Big", "explicit").add(call)
    tally.open_calls(POOL, NOON, "Small", "explicit").add(Call(max_tokens=100))
    tally.add_failed(POOL, NOON, "Small", THROTTLED, 3)
    quotas = {POOL: PoolQuota(586_500)}
    (answer,) = select_callers(find_answers(tally.measure(quotas), quotas), "Small")

    assert [caller.caller for caller in answer.callers] == [advice.caller for advice in answer.advice] == ["Small"]
    assert [caller.caller for caller in answer.usage.callers] == ["Big", "Small"]
    assert (answer.verdict.state, answer.changes[0].caller.caller) == (State.THROTTLED_BY_RESERVATION, "Big")
    assert select_callers([answer], "Nobody") == ()


def test_the_quota_to_ask_for_says_how_much_throttled_calls_would_add():
    usage = measure(*calls(350), throttled=((0, "Hungry", 100),))
    found = find_other_levers(usage, [usage], (), 700_000, 900_000)

    # 840,000, or 1,080,000 rounded up to two digits
    assert [(lever.amount, lever.most) for lever in found if lever.lever is Lever.QUOTA] == [(840_000, 1_100_000)]


def test_embeddings_are_not_told_to_cache():
    usage = measure(*calls(700, max_tokens=0, output_tokens=0, consumed_tokens=1_000, source="none"))

    assert Lever.CACHE not in levers(usage)
