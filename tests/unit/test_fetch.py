"""One whole fetch: what it comes to, what it says and says again, and what a failing call costs."""

import json
from collections.abc import Callable, Set
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from records import NOVA, PROFILE_ARN, SONNET

from bedrock_quota.fetcher import burndown_drift
from bedrock_quota.fetcher.changes import Change
from bedrock_quota.fetcher.fetch import (
    DAILY_ZERO,
    DRIFT,
    END_OF_LIFE,
    MISMATCH,
    UNREAD,
    ZERO,
    Fetch,
    Sources,
    fetch_all,
)
from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool, Unit
from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.quota_names import ListedQuota
from bedrock_quota.state.snapshot import Snapshot

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(minutes=174)

NOVA_LITE = QuotaPool(NOVA, EndpointType.REGIONAL)
SONNET_4 = QuotaPool(SONNET, EndpointType.CROSS_REGION)
ROCKET = QuotaPool("acme.rocket-v1:0", EndpointType.REGIONAL)
NOVA_TOKENS = "On-demand model inference tokens per minute for Amazon Nova Lite"
NOVA_REQUESTS = "On-demand model inference requests per minute for Amazon Nova Lite"
SONNET_TOKENS = "Cross-region model inference tokens per minute for Anthropic Claude Sonnet 4 V1"
ROCKET_TOKENS = "On-demand model inference tokens per minute for Acme Rocket"
ADDED = {
    "id": ROCKET.model_id,
    "name": "Acme Rocket",
    "kind": "text",
    "max_output_tokens": 4_096,
    "burndown": [{"rate": 7, "since": "2026-01-01", "status": "listed", "source": "a page"}],
    "quota_names": ["Acme Rocket"],
    "source": "a page",
}
APPLIED_15 = {SONNET: {burndown_drift.ESTIMATED: 15_000.0, burndown_drift.OUTPUT: 1_000.0}}
"""AWS applies 15 to Sonnet 4, where the registry has 5."""

Run = Callable[..., Fetch]


class Aws:
    """What AWS answers, as a test sets it: a value, or the error of that call."""

    def __init__(self) -> None:
        self.overrides: Any = "{}"
        self.quotas: Any = [
            ListedQuota("L-1", NOVA_TOKENS, 200_000),
            ListedQuota("L-2", NOVA_REQUESTS, 100),
            ListedQuota("L-3", SONNET_TOKENS, 400_000),
            ListedQuota("L-4", "Guardrails per account", 7),
        ]
        self.in_use: Any = {NOVA_LITE}
        self.profiles: Any = {PROFILE_ARN: Reference(NOVA, EndpointType.REGIONAL)}
        self.applied: Any = {}
        self.throttled: Any = frozenset()

    def value(self, name: str, value: float) -> None:
        """Give one quota another value."""
        self.quotas = [
            msgspec.structs.replace(each, value=value) if each.name == name else each for each in self.quotas
        ]

    def sources(self) -> Sources:
        def reading(name: str) -> Callable[[], Any]:
            def read(*_asked: object) -> Any:
                answer = getattr(self, name)
                if isinstance(answer, Exception):
                    raise answer
                return answer

            return read

        return Sources(**{name: reading(name) for name in Sources.__struct_fields__})


@pytest.fixture
def aws(registry: Registry) -> Aws:
    made = Aws()
    # The registry has codes of its own for these; a listing with others would be told as misfits.
    codes = registry.by_id[NOVA].quota_codes[EndpointType.REGIONAL]
    sonnet = registry.by_id[SONNET].quota_codes[EndpointType.CROSS_REGION]
    code_of = {
        NOVA_TOKENS: codes.tokens_per_minute,
        NOVA_REQUESTS: codes.requests_per_minute,
        SONNET_TOKENS: sonnet.tokens_per_minute,
    }
    made.quotas = [msgspec.structs.replace(each, code=code_of.get(each.name) or each.code) for each in made.quotas]
    return made


@pytest.fixture
def run(aws: Aws, registry: Registry) -> Run:
    def fetch(before: Snapshot | None = None, *, always: tuple[QuotaPool, ...] = (), now: datetime = NOON) -> Fetch:
        return fetch_all(aws.sources(), registry, before, always, now)

    return fetch


def misfits(found: Fetch) -> list[str]:
    return [sentence for sentence in found.remarks if "L-" in sentence]


# The whole of it


def test_first_fetch_keeps_all_quotas_and_publishes_those_in_use(run: Run) -> None:
    found = run()

    nova = PoolQuota(tokens_per_minute=200_000, requests_per_minute=100)
    assert found.snapshot == Snapshot(
        fetched_at=NOON,
        quotas=((NOVA_LITE, nova), (SONNET_4, PoolQuota(tokens_per_minute=400_000))),
        profiles=((PROFILE_ARN, Reference(NOVA, EndpointType.REGIONAL)),),
        active_notices={ZERO: (), DAILY_ZERO: (), END_OF_LIFE: (), UNREAD: (), MISMATCH: (), DRIFT: ()},
    )
    assert found.listed == 4
    assert found.quotas == {NOVA_LITE: nova}
    assert (found.changes, found.notices, found.remarks, found.problems) == ((), (), (), ())


def test_named_pools_are_published_even_if_nobody_uses_them(run: Run) -> None:
    nobodys = QuotaPool("nobody.model", EndpointType.REGIONAL)

    found = run(always=(SONNET_4, nobodys)).quotas

    assert found.keys() == {NOVA_LITE, SONNET_4, nobodys}
    assert found[nobodys] == PoolQuota()  # and a line says that it has none


def test_overrides_lead_quotas_to_pools_and_are_kept(aws: Aws, run: Run) -> None:
    aws.quotas.append(ListedQuota("L-9", ROCKET_TOKENS, 9_000))
    before = run()
    assert before.remarks == (f"quota name is not known, so its quota is not shown: {ROCKET_TOKENS!r}",)
    aws.overrides, aws.in_use = json.dumps({"models": [ADDED]}), {NOVA_LITE, ROCKET}

    found = run(before.snapshot)

    assert found.quotas[ROCKET] == PoolQuota(tokens_per_minute=9_000)
    assert [model.id for model in found.snapshot.models] == [ROCKET.model_id]
    assert found.remarks == ()
    assert found.snapshot.active_notices[UNREAD] == ()


def test_corrected_rate_is_what_drift_is_measured_against(aws: Aws, run: Run) -> None:
    aws.applied = APPLIED_15
    assert len(run().notices) == 1
    rates = [{"rate": 15, "since": "2026-01-01", "status": "listed", "source": "measured"}]
    aws.overrides = json.dumps({"models": [{"id": SONNET, "burndown": rates}]})

    assert run().notices == ()


# Changes


def test_change_is_told_once(aws: Aws, run: Run) -> None:
    first = run()
    aws.value(NOVA_TOKENS, 300_000)

    second = run(first.snapshot, now=LATER)
    third = run(second.snapshot, now=LATER)

    assert second.changes == (Change(NOVA_LITE, Unit.TOKENS_PER_MINUTE, 200_000, 300_000),)
    assert second.notices == (f"quota changed from 200,000 to 300,000: tokens per minute of {NOVA_LITE}",)
    assert second.snapshot.fetched_at == LATER
    assert (third.changes, third.notices) == ((), ())


def test_change_is_told_for_pools_in_use_alone(aws: Aws, run: Run) -> None:
    first = run()
    aws.value(SONNET_TOKENS, 1)

    assert run(first.snapshot).notices == ()
    assert len(run(first.snapshot, always=(SONNET_4,)).notices) == 1
    aws.in_use = {SONNET_4}
    assert len(run(first.snapshot).changes) == 1


def test_quota_that_is_no_longer_listed_is_a_change(aws: Aws, run: Run) -> None:
    first = run()
    aws.quotas = [each for each in aws.quotas if each.name != NOVA_REQUESTS]

    assert run(first.snapshot).notices == (f"quota changed from 100 to none: requests per minute of {NOVA_LITE}",)


# Sentences that stand


def test_quota_of_0_in_use_is_noticed_once(aws: Aws, run: Run) -> None:
    aws.value(NOVA_TOKENS, 0)
    aws.value(SONNET_TOKENS, 0)  # … which nobody uses

    first = run()
    second = run(first.snapshot)

    assert first.notices == (f"quota is 0: {NOVA_LITE} may not be called by this account in this Region",)
    assert first.quotas[NOVA_LITE] == PoolQuota(tokens_per_minute=0, requests_per_minute=100)
    assert second.notices == ()
    # and again if it comes back
    aws.value(NOVA_TOKENS, 5)
    third = run(second.snapshot)
    aws.value(NOVA_TOKENS, 0)
    assert [sentence[:10] for sentence in run(third.snapshot).notices] == ["quota chan", "quota is 0"]


def test_0_requests_a_minute_are_noticed_too(aws: Aws, run: Run) -> None:
    aws.value(NOVA_REQUESTS, 0)

    assert run().notices == (f"quota is 0: {NOVA_LITE} may not be called by this account in this Region",)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Cross-region model inference tokens per minute for Nobody 7", True),  # no such model
        ("Galactic model inference tokens per minute for Amazon Nova Lite", True),  # no such rule
        ("Guardrails per account", False),
        ("(Guardrails) On-demand ApplyGuardrail requests per minute", False),
        ("Cross-Model Account-Level Tokens Per Day", False),
        ("[bedrock-mantle endpoint] Input tokens per minute for Claude Opus 5", False),
    ],
)
def test_unknown_quota_name_is_remarked_once(aws: Aws, run: Run, name: str, told: bool) -> None:
    aws.quotas.append(ListedQuota("L-9", name, 5))

    first = run()

    assert first.remarks == ((f"quota name is not known, so its quota is not shown: {name!r}",) if told else ())
    assert first.notices == ()
    assert run(first.snapshot).remarks == ()


def test_code_that_no_longer_fits_is_remarked_once(aws: Aws, run: Run, registry: Registry) -> None:
    code = registry.by_id[NOVA].quota_codes[EndpointType.REGIONAL].tokens_per_minute
    aws.quotas[0] = ListedQuota("L-FFFFFFFF", NOVA_TOKENS, 200_000)

    first = run()

    assert misfits(first) == [f"tokens per minute of {NOVA_LITE} has the code L-FFFFFFFF, not the registry's {code}"]
    assert first.quotas[NOVA_LITE].tokens_per_minute == 200_000  # the name counts
    assert run(first.snapshot).remarks == ()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("On-demand model inference requests per minute for Amazon Nova Micro", "requests per minute of amazon.nova-"),
        ("Cross-Model Account-Level Tokens Per Day", "not the name of a known model's quota"),
    ],
)
def test_code_under_another_name_is_remarked(aws: Aws, run: Run, registry: Registry, name: str, said: str) -> None:
    code = registry.by_id[NOVA].quota_codes[EndpointType.REGIONAL].tokens_per_minute
    aws.quotas = [ListedQuota(code or "", name, 5), *aws.quotas[1:]]

    (misfit,) = misfits(run())

    assert misfit.startswith(f"{code} is tokens per minute of {NOVA_LITE} in the registry, but its name {name!r} is ")
    assert said in misfit


def test_quota_that_aws_cannot_say_stays_as_it_was(aws: Aws, run: Run) -> None:
    aws.value(NOVA_TOKENS, 0)
    first = run()
    aws.quotas = [msgspec.structs.replace(aws.quotas[0], value=None), *aws.quotas[1:]]

    second = run(first.snapshot)

    assert second.quotas[NOVA_LITE] == PoolQuota(tokens_per_minute=0, requests_per_minute=100)
    assert second.snapshot.quotas == first.snapshot.quotas
    assert second.notices == ()
    assert second.problems == (
        f"Service Quotas returned no value for tokens per minute of {NOVA_LITE}, so the last known value stays",
    )
    # and where none is known, there is none
    assert run().quotas[NOVA_LITE] == PoolQuota(requests_per_minute=100)


# Tokens per day

DAILY = "Model invocation max tokens per day for Amazon Nova Lite (doubled for cross-region calls)"
DAILY_NOTICE = (
    f"daily quota is 0: Bedrock throttled calls of {NOVA_LITE}. Its quota on tokens per day of 0 may be why. If the "
    "calls did not reach a quota per minute, ask AWS Support to raise the daily quota"
)


@pytest.fixture
def daily_zero(aws: Aws, registry: Registry) -> Aws:
    """Field case 06: 100,000 tokens and 100 requests per minute, and 0 tokens per day."""
    aws.value(NOVA_TOKENS, 100_000)
    code = registry.by_id[NOVA].quota_codes[EndpointType.REGIONAL].tokens_per_day
    aws.quotas.append(ListedQuota(code or "", DAILY, 0))
    return aws


@pytest.mark.usefixtures("daily_zero")
def test_daily_quota_of_0_proves_nothing_while_calls_succeed(run: Run) -> None:
    found = run()

    assert found.notices == ()
    assert found.throttled_by_day == frozenset()
    assert found.quotas[NOVA_LITE] == PoolQuota(100_000, 100, tokens_per_day=0)


def test_daily_quota_of_0_is_named_once_when_calls_are_throttled(daily_zero: Aws, run: Run) -> None:
    first = run()
    daily_zero.throttled = {NOVA_LITE}
    second = run(first.snapshot)
    third = run(second.snapshot)
    daily_zero.throttled = frozenset()  # a quiet night
    fourth = run(third.snapshot)

    assert second.notices == (DAILY_NOTICE,)
    assert (third.notices, fourth.notices) == ((), ())
    assert fourth.snapshot.active_notices[DAILY_ZERO] == (DAILY_NOTICE,)
    assert fourth.throttled_by_day == {NOVA_LITE}


def test_daily_notice_ends_with_the_quota_of_0(daily_zero: Aws, run: Run) -> None:
    daily_zero.throttled = {NOVA_LITE}
    first = run()
    daily_zero.value(DAILY, 5)

    found = run(first.snapshot)

    assert found.snapshot.active_notices[DAILY_ZERO] == ()
    assert found.throttled_by_day == frozenset()


@pytest.mark.parametrize("name", [pytest.param(NOVA_TOKENS, id="tokens"), pytest.param(NOVA_REQUESTS, id="requests")])
def test_quota_of_0_per_minute_is_the_only_notice_beside_a_daily_one(daily_zero: Aws, run: Run, name: str) -> None:
    daily_zero.value(name, 0)
    daily_zero.throttled = {NOVA_LITE}

    assert run().notices == (f"quota is 0: {NOVA_LITE} may not be called by this account in this Region",)


def test_throttles_are_read_only_for_pools_in_use_with_a_daily_quota_of_0(daily_zero: Aws, registry: Registry) -> None:
    asked: list[frozenset[QuotaPool]] = []

    def throttled(pools: Set[QuotaPool]) -> Set[QuotaPool]:
        asked.append(frozenset(pools))
        return frozenset({SONNET_4})  # another pool, which the answer may also have

    sources = msgspec.structs.replace(daily_zero.sources(), throttled=throttled)
    assert fetch_all(sources, registry, None, (SONNET_4,), NOON).snapshot.active_notices[DAILY_ZERO] == ()
    assert asked == [frozenset({NOVA_LITE})]

    daily_zero.value(DAILY, 1)
    fetch_all(sources, registry, None, (SONNET_4,), NOON)
    assert len(asked) == 1


def test_daily_notice_stays_if_throttles_could_not_be_read(daily_zero: Aws, run: Run) -> None:
    daily_zero.throttled = {NOVA_LITE}
    first = run()
    daily_zero.throttled = RuntimeError("not today")

    found = run(first.snapshot)

    assert found.problems == ("throttled calls could not be read: RuntimeError: not today",)
    assert found.snapshot.active_notices[DAILY_ZERO] == (DAILY_NOTICE,)
    daily_zero.throttled = {NOVA_LITE}
    assert run(found.snapshot).notices == ()


def test_daily_notice_is_not_sent_again_after_a_fetch_that_did_not_know_the_pools_in_use(
    daily_zero: Aws, run: Run
) -> None:
    daily_zero.throttled = {NOVA_LITE}
    first = run()
    daily_zero.in_use = RuntimeError("not today")
    second = run(first.snapshot)
    daily_zero.in_use = {NOVA_LITE}

    assert run(second.snapshot).notices == ()


# The quota on tokens per day that all models share


@pytest.mark.parametrize(
    ("code", "name"),
    [
        pytest.param("L-1", "Cross-Model Max Tokens Per Day", id="user guide's name"),
        pytest.param("L-1", "Cross-Model Account-Level Tokens Per Day", id="General Reference's name"),
        pytest.param("L-1", "CROSS MODEL  account-level tokens\tper day", id="other case and spacing"),
        pytest.param("L-1", "Max tokens-per-day (cross-model, account-wide)", id="other order"),
        pytest.param("L-E3F10727", "Something that AWS has renamed", id="code alone"),
        pytest.param(
            "L-E3F10727", "On-demand model inference tokens per minute for Nobody 7", id="code of a model unknown"
        ),
    ],
)
def test_account_wide_daily_quota_is_published_once(aws: Aws, run: Run, code: str, name: str) -> None:
    aws.quotas.append(ListedQuota(code, name, 700_000_000))

    found = run()

    assert found.account_tokens_per_day == 700_000_000
    assert found.snapshot.account_tokens_per_day == 700_000_000
    assert (found.remarks, found.notices) == ((), ())
    assert found.quotas.keys() == {NOVA_LITE}


@pytest.mark.parametrize(
    ("code", "name"),
    [
        pytest.param("L-1", "Cross-Model Account-Level Requests Per Minute", id="requests"),
        pytest.param("L-1", "Cross-region model inference tokens per minute for Amazon Nova Lite", id="a model's"),
        pytest.param("L-1", "[bedrock-mantle endpoint] Cross-Model Max Tokens Per Day", id="endpoint mantle"),
        pytest.param("L-E3F10727", "Bedrock Mantle Cross-Model Max Tokens Per Day", id="endpoint mantle with the code"),
        pytest.param("L-E3F10727", NOVA_REQUESTS, id="code on a quota of a pool"),
    ],
)
def test_no_other_quota_is_taken_for_the_account_wide_daily_quota(aws: Aws, run: Run, code: str, name: str) -> None:
    aws.quotas.append(ListedQuota(code, name, 5))

    assert run().account_tokens_per_day is None


def test_smaller_of_two_account_wide_daily_quotas_is_published(aws: Aws, run: Run) -> None:
    aws.quotas += [
        ListedQuota("L-1", "Cross-Model Account-Level Tokens Per Day", 700_000_000),
        ListedQuota("L-E3F10727", "Cross-Model Max Tokens Per Day", 150_000_000),
    ]

    assert run().account_tokens_per_day == 150_000_000


def test_quota_with_the_known_code_counts_before_a_similar_name(aws: Aws, run: Run) -> None:
    aws.quotas += [
        ListedQuota("L-1", "Account-level tokens per day for batch jobs", 3),
        ListedQuota("L-E3F10727", "Cross-Model Max Tokens Per Day", 150_000_000),
    ]

    assert run().account_tokens_per_day == 150_000_000


def test_account_wide_daily_quota_without_a_value_keeps_the_last_one(aws: Aws, run: Run) -> None:
    aws.quotas.append(ListedQuota("L-E3F10727", "Cross-Model Max Tokens Per Day", 150_000_000))
    first = run()
    aws.quotas[-1] = ListedQuota("L-E3F10727", "Cross-Model Max Tokens Per Day", None)

    found = run(first.snapshot)

    assert found.account_tokens_per_day == 150_000_000
    assert found.problems == (
        "Service Quotas returned no value for tokens per day of all models, so the last known value stays",
    )


def test_account_wide_daily_quota_is_kept_and_not_published_if_quotas_could_not_be_listed(aws: Aws, run: Run) -> None:
    aws.quotas.append(ListedQuota("L-E3F10727", "Cross-Model Max Tokens Per Day", 150_000_000))
    first = run()
    aws.quotas = RuntimeError("not today")

    found = run(first.snapshot)

    assert (found.account_tokens_per_day, found.snapshot.account_tokens_per_day) == (None, 150_000_000)


# End of life

OPUS_4_1 = QuotaPool("anthropic.claude-opus-4-1-20250805-v1:0", EndpointType.CROSS_REGION)  # ends 2027-01-08
HAIKU_3 = QuotaPool("anthropic.claude-3-haiku-20240307-v1:0", EndpointType.REGIONAL)  # ended 2026-09-10
SONNET_4_5 = QuotaPool("anthropic.claude-sonnet-4-5-20250929-v1:0:1m", EndpointType.CROSS_REGION)  # ends 2027-04-08


def ending(pool: QuotaPool, day: str) -> str:
    return (
        f"end of life of {pool.model_id.removesuffix(':1m')} is {day} (another day in some Regions). Move its callers "
        "to another model"
    )


@pytest.mark.parametrize(
    ("pool", "today", "expected"),
    [
        pytest.param(OPUS_4_1, datetime(2026, 10, 9, 23, tzinfo=UTC), [], id="91 days before"),
        pytest.param(
            OPUS_4_1, datetime(2026, 10, 10, tzinfo=UTC), [ending(OPUS_4_1, "2027-01-08")], id="90 days before"
        ),
        pytest.param(OPUS_4_1, datetime(2027, 1, 8, tzinfo=UTC), [ending(OPUS_4_1, "2027-01-08")], id="on the day"),
        pytest.param(HAIKU_3, NOON, [ending(HAIKU_3, "2026-09-10")], id="ended"),
        pytest.param(SONNET_4_5, NOON, [], id="1M-context pool far from its end"),
        pytest.param(
            SONNET_4_5, datetime(2027, 2, 1, tzinfo=UTC), [ending(SONNET_4_5, "2027-04-08")], id="1M-context pool"
        ),
        pytest.param(NOVA_LITE, NOON, [], id="no end announced"),
        pytest.param(ROCKET, NOON, [], id="model not in the registry"),
    ],
)
def test_model_in_use_that_ends_within_90_days_is_noticed(
    aws: Aws, run: Run, pool: QuotaPool, today: datetime, expected: list[str]
) -> None:
    aws.in_use = {pool}

    assert list(run(now=today).notices) == expected


def test_end_of_a_model_is_noticed_once_before_and_after_it(aws: Aws, run: Run) -> None:
    regional = QuotaPool(OPUS_4_1.model_id, EndpointType.REGIONAL)
    aws.in_use = {OPUS_4_1, regional}  # two pools, one model
    first = run(now=datetime(2026, 12, 1, tzinfo=UTC))
    second = run(first.snapshot, now=datetime(2027, 1, 8, tzinfo=UTC))
    aws.in_use = RuntimeError("not today")
    third = run(second.snapshot, now=datetime(2027, 1, 9, tzinfo=UTC))
    aws.in_use = {OPUS_4_1}
    fourth = run(third.snapshot, now=datetime(2027, 1, 10, tzinfo=UTC))

    assert first.notices == (ending(OPUS_4_1, "2027-01-08"),)
    assert (second.notices, third.notices, fourth.notices) == ((), (), ())


def test_end_of_a_model_that_nobody_uses_is_no_notice(run: Run) -> None:
    assert run(always=(HAIKU_3,)).notices == ()


def test_end_of_life_of_an_override_is_noticed(aws: Aws, run: Run) -> None:
    ends = {"day": "2026-12-24", "source": "a page"}
    aws.overrides, aws.in_use = json.dumps({"models": [ADDED | {"end_of_life": ends}]}), {ROCKET}

    assert run().notices == (ending(ROCKET, "2026-12-24"),)


def test_days_on_which_models_of_published_pools_end_are_known(aws: Aws, run: Run) -> None:
    aws.in_use = {SONNET_4_5, NOVA_LITE}

    assert run(always=(HAIKU_3,)).ends_of_life == {SONNET_4_5: date(2027, 4, 8), HAIKU_3: date(2026, 9, 10)}


# Drift


def test_drift_is_noticed_once(aws: Aws, run: Run) -> None:
    aws.applied = APPLIED_15

    first = run()
    second = run(first.snapshot)

    (notice,) = first.notices
    assert notice.startswith(f"burndown rate of {SONNET}: AWS applies 15, the registry has 5 (")
    assert first.snapshot.active_notices[DRIFT] == (notice,)
    assert second.notices == ()


def test_drift_measured_a_little_differently_is_not_told_again(aws: Aws, run: Run) -> None:
    aws.applied = APPLIED_15
    first = run()
    aws.applied = {SONNET: {burndown_drift.ESTIMATED: 15_020.0, burndown_drift.OUTPUT: 1_000.0}}  # 15.02

    assert run(first.snapshot).notices == ()


@pytest.mark.parametrize("applied", [9.7, 10.0, 10.3])
def test_drift_measured_around_a_whole_number_is_one_drift(aws: Aws, run: Run, applied: float) -> None:
    aws.applied = {SONNET: {burndown_drift.ESTIMATED: 9_800.0, burndown_drift.OUTPUT: 1_000.0}}
    first = run()
    assert len(first.notices) == 1
    aws.applied = {SONNET: {burndown_drift.ESTIMATED: 1_000 * applied, burndown_drift.OUTPUT: 1_000.0}}

    assert run(first.snapshot).notices == ()


def test_drift_is_not_told_again_after_a_quiet_night(aws: Aws, run: Run) -> None:
    aws.applied = APPLIED_15
    first = run()
    aws.applied = {}
    night = run(first.snapshot)
    aws.applied = APPLIED_15

    assert run(night.snapshot).notices == ()


def test_quota_of_0_is_not_told_again_after_a_fetch_that_did_not_know_what_is_in_use(aws: Aws, run: Run) -> None:
    aws.value(NOVA_TOKENS, 0)
    first = run()
    aws.in_use = RuntimeError("not today")
    second = run(first.snapshot)
    aws.in_use = {NOVA_LITE}

    assert run(second.snapshot).notices == ()


# One failing call does not cost the rest


@pytest.fixture
def before(aws: Aws, run: Run) -> Snapshot:
    """A snapshot that has something of everything, and a aws in which all of that is different by now."""
    aws.overrides = json.dumps({"models": [ADDED]})
    aws.value(SONNET_TOKENS, 0)
    aws.in_use = {SONNET_4}
    aws.quotas.append(ListedQuota("L-9", "Galactic tokens per minute", 5))
    aws.applied = {NOVA: {burndown_drift.ESTIMATED: 2_000.0, burndown_drift.OUTPUT: 1_000.0}}
    kept = run().snapshot
    assert all(kept.active_notices[topic] for topic in (ZERO, UNREAD, DRIFT))
    fresh = Aws()
    aws.overrides, aws.in_use, aws.quotas = "{}", fresh.in_use, [*aws.quotas[:4]]
    aws.value(SONNET_TOKENS, 400_000)
    aws.value(NOVA_TOKENS, 300_000)
    aws.profiles = {PROFILE_ARN: Reference(SONNET, EndpointType.GLOBAL_CROSS_REGION)}
    aws.applied = APPLIED_15
    return kept


def test_whole_fetch_renews_everything(run: Run, before: Snapshot) -> None:
    found = run(before, now=LATER)

    assert found.problems == ()
    assert found.snapshot.fetched_at == LATER
    assert found.snapshot.models == ()
    assert dict(found.snapshot.profiles) == {PROFILE_ARN: Reference(SONNET, EndpointType.GLOBAL_CROSS_REGION)}
    assert found.snapshot.quotas_by_pool()[NOVA_LITE].tokens_per_minute == 300_000
    assert [found.snapshot.active_notices[topic] for topic in (ZERO, UNREAD)] == [(), ()]
    assert len(found.notices) == 2  # Nova Lite's change, Sonnet's drift


def test_without_overrides_the_last_good_ones_stay(aws: Aws, run: Run, before: Snapshot) -> None:
    whole = run(before, now=LATER)
    aws.overrides = PermissionError("no parameter")

    found = run(before, now=LATER)

    (problem,) = found.problems
    assert "overrides" in problem
    assert "PermissionError: no parameter" in problem
    assert found.snapshot.models == before.models
    assert_alike_but_for(found, whole, {"models"})


@pytest.mark.parametrize("wrong", ["not json", '{"models": [{"id": "acme.rocket-v1:0"}]}', '{"model": []}'])
def test_wrong_overrides_are_refused_and_the_last_good_ones_stay(
    aws: Aws, run: Run, before: Snapshot, wrong: str
) -> None:
    whole = run(before, now=LATER)
    aws.overrides = wrong

    found = run(before, now=LATER)

    (problem,) = found.problems
    assert problem.startswith(
        "the registry's overrides are rejected, the last valid ones stay in use: RegistryError: override: "
    )
    assert [model.id for model in found.snapshot.models] == [ROCKET.model_id]
    assert_alike_but_for(found, whole, {"models"})


def test_without_quotas_nothing_is_published_and_the_old_ones_keep_their_age(
    aws: Aws, run: Run, before: Snapshot
) -> None:
    whole = run(before, now=LATER)
    aws.quotas = RuntimeError("not today")

    found = run(before, always=(SONNET_4,), now=LATER)

    assert found.problems == ("quotas could not be fetched: RuntimeError: not today",)
    assert (found.listed, found.quotas, found.changes) == (0, {}, ())
    assert (found.snapshot.fetched_at, found.snapshot.quotas) == (NOON, before.quotas)
    assert [found.snapshot.active_notices[topic] for topic in (ZERO, UNREAD, MISMATCH)] == [
        before.active_notices[topic] for topic in (ZERO, UNREAD, MISMATCH)
    ]
    # the rest is new
    assert (found.snapshot.models, found.snapshot.profiles) == (whole.snapshot.models, whole.snapshot.profiles)
    assert found.snapshot.active_notices[DRIFT] == whole.snapshot.active_notices[DRIFT]
    assert found.notices == whole.notices[-1:]  # the drift


def test_quotas_that_were_never_fetched_stay_unknown(aws: Aws, run: Run) -> None:
    aws.quotas = RuntimeError("not today")

    found = run()

    assert (found.snapshot.quotas, found.quotas, found.notices) == ((), {}, ())
    aws.quotas = Aws().quotas
    assert run(found.snapshot).notices == ()  # nothing was known that could have changed


def test_names_that_are_all_unknown_are_a_problem_and_cost_no_quota(aws: Aws, run: Run, before: Snapshot) -> None:
    aws.quotas = [ListedQuota("L-1", "Renamed", 1), ListedQuota("L-2", "Renamed, too", 2)]

    found = run(before, now=LATER)

    assert found.problems == ("no rule matches any of the listed quotas' names: Service Quotas may have renamed them",)
    assert (found.listed, found.quotas, found.changes) == (2, {}, ())
    assert (found.snapshot.fetched_at, found.snapshot.quotas) == (NOON, before.quotas)


def test_without_the_pools_in_use_named_ones_are_published_and_every_change_is_told(
    aws: Aws, run: Run, before: Snapshot
) -> None:
    aws.in_use = RuntimeError("not today")

    found = run(before, always=(SONNET_4,), now=LATER)

    assert found.problems == ("pools in use could not be listed: RuntimeError: not today",)
    assert found.quotas == {SONNET_4: PoolQuota(tokens_per_minute=400_000)}
    assert [(change.pool, change.after) for change in found.changes] == [(NOVA_LITE, 300_000), (SONNET_4, 400_000)]
    assert found.snapshot.fetched_at == LATER
    assert found.snapshot.quotas_by_pool()[NOVA_LITE].tokens_per_minute == 300_000


def test_nobody_using_anything_is_not_unknown_use(aws: Aws, run: Run, before: Snapshot) -> None:
    aws.in_use = set()

    found = run(before)

    assert (found.quotas, found.changes, found.problems) == ({}, (), ())


def test_without_profiles_the_last_ones_stay(aws: Aws, run: Run, before: Snapshot) -> None:
    whole = run(before, now=LATER)
    aws.profiles = RuntimeError("not today")

    found = run(before, now=LATER)

    assert found.problems == ("application profiles could not be listed: RuntimeError: not today",)
    assert found.snapshot.profiles == before.profiles
    assert_alike_but_for(found, whole, {"profiles"})


def test_without_applied_rates_the_last_drifts_stand(aws: Aws, run: Run, before: Snapshot) -> None:
    whole = run(before, now=LATER)
    aws.applied = RuntimeError("not today")

    found = run(before, now=LATER)

    assert found.problems == ("applied burndown rates could not be read: RuntimeError: not today",)
    assert found.snapshot.active_notices == whole.snapshot.active_notices | {DRIFT: before.active_notices[DRIFT]}
    assert found.notices == whole.notices[:1]  # the change alone
    assert (found.quotas, found.changes) == (whole.quotas, whole.changes)


def test_every_failure_is_named(aws: Aws, run: Run, before: Snapshot) -> None:
    for name in Sources.__struct_fields__:
        setattr(aws, name, RuntimeError(name))

    found = run(before, now=LATER)

    assert [problem.rpartition(" ")[2] for problem in found.problems] == [
        "overrides", "quotas", "in_use", "profiles", "applied",
    ]  # fmt: skip
    assert found.snapshot == before
    assert (found.quotas, found.changes, found.notices, found.remarks) == ({}, (), (), ())


def assert_alike_but_for(found: Fetch, whole: Fetch, fields: set[str]) -> None:
    """All that does not depend on a failed call is as if it had not failed."""
    assert (found.quotas, found.changes, found.notices, found.remarks) == (
        whole.quotas, whole.changes, whole.notices, whole.remarks,
    )  # fmt: skip
    for field in {*Snapshot.__struct_fields__} - fields:
        assert getattr(found.snapshot, field) == getattr(whole.snapshot, field), field
