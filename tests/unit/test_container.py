"""What one container knows: the compiled registry, and all that the latest snapshot adds to it."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from processed import price, read_record
from records import NOVA, NOW, PROFILE_ARN, SONNET, Entry, Process, ReadLine, converse, message

from bedrock_quota import clients
from bedrock_quota.model_ids import OutOfScope, Reference
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool
from bedrock_quota.processor import container as container_module
from bedrock_quota.processor.container import Container, Context
from bedrock_quota.processor.records import Record
from bedrock_quota.processor.usage import CallUsage
from bedrock_quota.registry.models import Burndown, Model, ModelKind, RateStatus, Registry
from bedrock_quota.settings import Settings
from bedrock_quota.state.snapshot import REFRESH_SECONDS, Snapshot

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ROCKET = Model(
    id="acme.rocket-v1:0",
    name="Acme Rocket",
    kind=ModelKind.TEXT,
    source="a page",
    max_output_tokens=4_096,
    burndown=(Burndown(7, date(2026, 1, 1), RateStatus.LISTED, "a page"),),
)
QUOTAS = ((QuotaPool(NOVA, EndpointType.REGIONAL), PoolQuota(tokens_per_minute=0)),)


class StateTable:
    """A state table and a clock that a test sets, and Bedrock out of reach."""

    def __init__(self) -> None:
        self.answer: Snapshot | Exception | None = None
        self.seconds, self.asked = 1_000.0, 0

    def read(self) -> Snapshot | None:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def later(self, answer: Snapshot | Exception | None) -> None:
        self.answer, self.seconds = answer, self.seconds + REFRESH_SECONDS

    def bedrock(self) -> None:
        self.asked += 1
        raise ConnectionError("no bedrock")


@pytest.fixture
def state_table(monkeypatch: pytest.MonkeyPatch) -> Iterator[StateTable]:
    made = StateTable()
    monkeypatch.setattr(clients, "bedrock", made.bedrock)
    return made


@pytest.fixture
def container(state_table: StateTable, registry: Registry) -> Container:
    return Container(Settings(metadata_keys=("team",)), registry, state_table.read, clock=lambda: state_table.seconds)


def record(entry: Entry) -> Record:
    found = read_record(message(entry))
    assert isinstance(found, Record)
    return found


def account(known: Context, model_id: str, **changes: object) -> CallUsage:
    found = price(known.calculator, record(converse(model_id, **changes)), NOW)  # type: ignore[arg-type]
    assert isinstance(found, CallUsage)
    return found


def test_before_the_first_fetch_there_are_no_quotas_and_the_registry_holds(container: Container) -> None:
    known = container.current()

    assert (known.quotas, known.fetched_at, known.age_seconds(NOON)) == (None, None, None)
    assert account(known, SONNET).consumed_tokens == 200  # 100 + 5 × 20
    assert account(known, SONNET, requestMetadata={"team": "search", "x": "y"}).group.request_metadata == (
        ("team", "search"),
    )


def test_the_settings_say_if_lines_name_sessions(registry: Registry) -> None:
    for with_sessions, session in ((False, ""), (True, "session-of-somebody")):
        container = Container(Settings(with_sessions=with_sessions), registry, lambda: None)

        assert account(container.current(), SONNET).group.session == session


def test_new_snapshot_brings_quotas_overrides_and_profiles(state_table: StateTable, container: Container) -> None:
    # given a container that has processed a call of a model it does not know
    before = container.current()
    assert not account(before, ROCKET.id).group.listed
    # when the fetcher has stored a snapshot
    profiles = ((PROFILE_ARN, Reference(ROCKET.id, EndpointType.CROSS_REGION)),)
    state_table.later(Snapshot(NOON, QUOTAS, (ROCKET,), profiles))
    known = container.current()
    # then all three take effect
    assert known.quotas == dict(QUOTAS)
    assert known.age_seconds(NOON + timedelta(seconds=90)) == 90
    found = account(known, f"us.{ROCKET.id}", input_tokens=100, output_tokens=20)
    assert (found.group.listed, found.consumed_tokens) == (True, 240)  # 100 + 7 × 20
    through = account(known, PROFILE_ARN)
    assert (through.group.pool, through.group.application_profile) == (
        QuotaPool(ROCKET.id, EndpointType.CROSS_REGION), PROFILE_ARN.rpartition("/")[2],
    )  # fmt: skip
    assert state_table.asked == 0
    # and tags are carried as before
    assert account(known, SONNET, requestMetadata={"team": "search"}).group.request_metadata == (("team", "search"),)


def test_override_that_is_gone_takes_effect_as_well(state_table: StateTable, container: Container) -> None:
    state_table.answer = Snapshot(NOON, QUOTAS, (ROCKET,))
    assert account(container.current(), ROCKET.id).group.listed

    state_table.later(Snapshot(NOON, QUOTAS))

    assert not account(container.current(), ROCKET.id).group.listed


@pytest.mark.parametrize(
    "answer", [pytest.param(RuntimeError("no table"), id="no table"), pytest.param(None, id="no snapshot")]
)
def test_failed_read_keeps_the_last(state_table: StateTable, container: Container, answer: Exception | None) -> None:
    state_table.answer = Snapshot(NOON, QUOTAS, (ROCKET,), ((PROFILE_ARN, Reference(NOVA, EndpointType.REGIONAL)),))
    before = container.current()

    state_table.later(answer)
    known = container.current()

    assert known is before
    assert known.quotas == dict(QUOTAS)
    assert account(known, ROCKET.id).consumed_tokens == 240  # 100 + 7 × 20
    assert account(known, PROFILE_ARN).group.pool == QuotaPool(NOVA, EndpointType.REGIONAL)


def test_knowledge_is_made_once_a_snapshot(state_table: StateTable, container: Container) -> None:
    state_table.answer = Snapshot(NOON, QUOTAS)

    assert container.current() is container.current()


def test_snapshot_without_quotas_has_no_age_but_overrides(state_table: StateTable, container: Container) -> None:
    # As after a first fetch to which Service Quotas did not answer.
    state_table.answer = Snapshot(NOON, (), (ROCKET,))

    known = container.current()

    assert (known.quotas, known.fetched_at, known.age_seconds(NOON)) == (None, None, None)
    assert account(known, ROCKET.id).group.listed


def test_profile_that_no_snapshot_names_is_asked_for(
    state_table: StateTable, container: Container, process: Process
) -> None:
    other = PROFILE_ARN.replace("a1b2c3d4e5f6", "other")
    state_table.answer = Snapshot(NOON, QUOTAS, (), ((other, Reference(NOVA, EndpointType.REGIONAL)),))
    known = container.current()

    outcome = process([converse(PROFILE_ARN)], by=known.calculator, look_up=container.look_up)

    assert outcome.out_of_scope == {"unresolved_profile": 1}
    assert state_table.asked == 1


def test_profile_out_of_reach_is_known_with_the_snapshot_that_names_it(
    state_table: StateTable, container: Container
) -> None:
    assert isinstance(price(container.current().calculator, record(converse(PROFILE_ARN)), NOW), OutOfScope)

    state_table.later(Snapshot(NOON, QUOTAS, (), ((PROFILE_ARN, Reference(NOVA, EndpointType.REGIONAL)),)))

    assert account(container.current(), PROFILE_ARN).group.pool == QuotaPool(NOVA, EndpointType.REGIONAL)


def test_each_delivery_has_ten_seconds_for_all_its_profiles(
    state_table: StateTable,
    container: Container,
    process: Process,
    read_line: ReadLine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a Bedrock that answers every question, after 3 seconds
    def answer(**_of: object) -> dict[str, Any]:
        state_table.seconds += 3
        return {"models": [{"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{NOVA}"}]}

    monkeypatch.setattr(clients, "bedrock", lambda: SimpleNamespace(get_inference_profile=answer))
    calls = [converse(f"{PROFILE_ARN}{number}") for number in range(9)]
    # when two deliveries have the same nine profiles
    resolved = []
    for minute in range(2):
        known = container.current()
        lines = map(
            read_line,
            process(calls, by=known.calculator, now=NOW + timedelta(minutes=minute), look_up=container.look_up).lines,
        )
        resolved.append(sum(line["requests"] for line in lines if "ModelId" in line))
    # then each asks for two, at 0 and 3 seconds, and the second one knows what the first one learned
    assert resolved == [2, 4]


def test_model_is_first_seen_once(container: Container) -> None:
    assert container.select_unnamed(["b", "a", "b"]) == ["a", "b"]
    assert container.select_unnamed(["c", "a"]) == ["c"]
    assert container.select_unnamed(["a", "b", "c"]) == []


def test_models_that_were_named_are_not_remembered_without_end(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a memory for three
    monkeypatch.setattr(container_module, "MAX_NAMED_MODELS", 3)
    assert container.select_unnamed(["a", "b", "c"]) == ["a", "b", "c"]
    assert container.select_unnamed(["a"]) == []
    # when a fourth comes, then it begins again with it
    assert container.select_unnamed(["d"]) == ["d"]
    assert container.select_unnamed(["a", "d"]) == ["a"]
