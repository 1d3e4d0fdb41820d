"""Resolving application profiles: memory, then the state table, then Bedrock."""

import logging
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError
from botocore.stub import Stubber
from records import NOVA, PROFILE_ARN, SONNET

from bedrock_quota import clients
from bedrock_quota.model_ids import ApplicationProfile, OutOfScope, Reference
from bedrock_quota.pools import EndpointType
from bedrock_quota.processor import application_profiles
from bedrock_quota.processor.application_profiles import (
    CIRCUIT_OPEN_SECONDS,
    UNRESOLVED,
    UNRESOLVED_SECONDS,
    ProfileResolver,
)
from bedrock_quota.state import table

pytestmark = pytest.mark.usefixtures("no_aws")

PROFILE = ApplicationProfile(PROFILE_ARN, "a1b2c3d4e5f6")
OTHER = ApplicationProfile(PROFILE_ARN.replace("a1b2c3d4e5f6", "other"), "other")
REFUSAL = ClientError({"Error": {"Code": "ThrottlingException", "Message": "slower"}}, "GetInferenceProfile")
NO_ANSWER = [
    ConnectionError("no route"),
    ConnectTimeoutError(endpoint_url="https://bedrock"),
    EndpointConnectionError(endpoint_url="https://bedrock"),
    ReadTimeoutError(endpoint_url="https://bedrock"),
]
"""What is raised where no answer comes: the next call would wait just as long."""


def arn(region: str, model_id: str = SONNET) -> str:
    return f"arn:aws:bedrock:{region}::foundation-model/{model_id}"


class Upstream:
    """Bedrock, the state table and a clock, as far as a resolver sees them."""

    def __init__(self) -> None:
        self.arns: list[str] | Exception = [arn("us-east-1")]
        self.stored: dict[str, Reference] = {}
        self.table_fails: Exception | None = None
        self.asked, self.looked_up, self.seconds = 0, 0, 1_000.0

    def get_inference_profile(self, *, inferenceProfileIdentifier: str) -> dict[str, Any]:  # noqa: N803
        assert inferenceProfileIdentifier in {"a1b2c3d4e5f6", "other"}
        self.asked += 1
        if isinstance(self.arns, Exception):
            raise self.arns
        return {"models": [{"modelArn": each} for each in self.arns]}

    def read_profile(self, table: str, _client: object, key: str) -> Reference | None:
        assert table == "state"
        self.looked_up += 1
        if self.table_fails:
            raise self.table_fails
        return self.stored.get(key)

    def write_profile(self, table: str, _client: object, key: str, found: Reference) -> None:
        assert table == "state"
        if self.table_fails:
            raise self.table_fails
        self.stored[key] = found


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Upstream:
    made = Upstream()
    monkeypatch.setattr(clients, "bedrock", lambda: made)
    monkeypatch.setattr(clients, "state", lambda: made)
    monkeypatch.setattr(table, "read_profile", made.read_profile)
    monkeypatch.setattr(table, "write_profile", made.write_profile)
    return made


def resolver(upstream: Upstream, table: str | None = "state") -> ProfileResolver:
    return ProfileResolver(table, lambda: upstream.seconds)


def resolve(made: ProfileResolver, *profiles: ApplicationProfile) -> Reference | OutOfScope:
    """Resolve profiles as one delivery with a call of each; return what the first one stands for."""
    unknown = {profile: 1 for profile in profiles if made.find(profile) is None}
    if unknown:
        made.look_up(unknown)
    return made.find(profiles[0]) or UNRESOLVED


@pytest.mark.parametrize(
    ("regions", "endpoint_type"),
    [
        pytest.param(["us-east-1"], EndpointType.REGIONAL, id="one Region"),
        pytest.param(["us-east-1", "us-west-2"], EndpointType.CROSS_REGION, id="two Regions"),
        pytest.param(["us-east-1", ""], EndpointType.GLOBAL_CROSS_REGION, id="global"),
    ],
)
def test_bedrock_says_what_a_profile_stands_for(regions: list[str], endpoint_type: EndpointType) -> None:
    client: Any = boto3.client("bedrock")
    answer = {
        "inferenceProfileName": "reports",
        "inferenceProfileArn": PROFILE_ARN,
        "inferenceProfileId": "a1b2c3d4e5f6",
        "status": "ACTIVE",
        "type": "APPLICATION",
        "models": [{"modelArn": arn(region)} for region in regions],
    }
    with Stubber(client) as stubber:
        stubber.add_response("get_inference_profile", answer, {"inferenceProfileIdentifier": "a1b2c3d4e5f6"})

        assert application_profiles.read_profile_model(PROFILE, client) == Reference(SONNET, endpoint_type)


def test_what_is_found_is_remembered_and_shared(upstream: Upstream) -> None:
    first = resolver(upstream)
    expected = Reference(SONNET, EndpointType.REGIONAL)

    assert [resolve(first, PROFILE) for _ in range(3)] == [expected] * 3

    assert (upstream.asked, upstream.looked_up) == (1, 1)
    assert upstream.stored == {PROFILE_ARN: expected}


def test_state_table_is_asked_before_bedrock(upstream: Upstream) -> None:
    upstream.stored[PROFILE_ARN] = Reference(NOVA, EndpointType.CROSS_REGION)

    assert resolve(resolver(upstream), PROFILE) == Reference(NOVA, EndpointType.CROSS_REGION)

    assert (upstream.asked, upstream.looked_up) == (0, 1)


def test_without_a_state_table_bedrock_alone_is_asked(upstream: Upstream) -> None:
    assert resolve(resolver(upstream, table=None), PROFILE) == Reference(SONNET, EndpointType.REGIONAL)

    assert (upstream.asked, upstream.looked_up, upstream.stored) == (1, 0, {})


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(REFUSAL, id="refused"),
        pytest.param([], id="no model"),
        pytest.param([arn("us-east-1"), arn("us-east-1", NOVA)], id="two models"),
    ],
)
def test_what_cannot_be_resolved_is_left_alone_for_some_minutes(upstream: Upstream, answer: Any) -> None:
    upstream.arns = answer
    made = resolver(upstream)
    assert [resolve(made, PROFILE) for _ in range(3)] == [OutOfScope("unresolved_profile")] * 3
    upstream.seconds += UNRESOLVED_SECONDS - 1
    assert resolve(made, PROFILE) == UNRESOLVED
    assert upstream.asked == 1
    assert upstream.stored == {}

    upstream.arns, upstream.seconds = [arn("us-east-1")], upstream.seconds + 1

    assert resolve(made, PROFILE) == Reference(SONNET, EndpointType.REGIONAL)


@pytest.mark.parametrize("answer", [pytest.param(REFUSAL, id="an error"), pytest.param([], id="no model")])
def test_what_cannot_be_resolved_is_named_once(
    upstream: Upstream, caplog: pytest.LogCaptureFixture, answer: Any
) -> None:
    upstream.arns = answer
    made = resolver(upstream)

    with caplog.at_level(logging.WARNING):
        resolve(made, PROFILE)
        resolve(made, PROFILE)

    assert [record.__dict__["profile_id"] for record in caplog.records] == ["a1b2c3d4e5f6"]


def test_state_table_out_of_reach_does_not_hide_what_bedrock_knows(upstream: Upstream) -> None:
    upstream.table_fails = RuntimeError("no table")
    made = resolver(upstream)

    assert resolve(made, PROFILE) == Reference(SONNET, EndpointType.REGIONAL)
    assert resolve(made, PROFILE) == Reference(SONNET, EndpointType.REGIONAL)
    assert upstream.asked == 1


# A service that does not answer


@pytest.mark.parametrize("error", NO_ANSWER, ids=lambda error: type(error).__name__)
def test_bedrock_that_does_not_answer_is_not_asked_for_a_minute(upstream: Upstream, error: Exception) -> None:
    upstream.arns = error
    made = resolver(upstream)
    assert [resolve(made, PROFILE), resolve(made, OTHER)] == [UNRESOLVED] * 2
    upstream.arns, upstream.seconds = [arn("us-east-1")], upstream.seconds + CIRCUIT_OPEN_SECONDS - 1

    assert resolve(made, OTHER) == UNRESOLVED
    assert upstream.asked == 2

    upstream.seconds += 1
    third = ApplicationProfile(PROFILE_ARN + "x", "a1b2c3d4e5f6")
    assert resolve(made, third) == Reference(SONNET, EndpointType.REGIONAL)
    assert upstream.asked == 3


def test_one_name_that_gets_no_answer_does_not_cost_the_others(upstream: Upstream) -> None:
    upstream.arns = NO_ANSWER[0]  # type: ignore[assignment]
    made = resolver(upstream)
    assert resolve(made, PROFILE) == UNRESOLVED

    upstream.arns = [arn("us-east-1")]

    assert resolve(made, OTHER) == Reference(SONNET, EndpointType.REGIONAL)


def test_bedrock_that_answers_with_an_error_is_asked_for_the_next_profile(upstream: Upstream) -> None:
    upstream.arns = REFUSAL
    made = resolver(upstream)

    assert [resolve(made, PROFILE), resolve(made, OTHER)] == [UNRESOLVED] * 2
    assert upstream.asked == 2


def test_bedrock_that_does_not_answer_does_not_hide_what_the_state_table_knows(upstream: Upstream) -> None:
    upstream.arns = NO_ANSWER[0]  # type: ignore[assignment]
    upstream.stored[OTHER.arn] = Reference(NOVA, EndpointType.REGIONAL)
    made = resolver(upstream)
    assert resolve(made, PROFILE) == UNRESOLVED

    assert resolve(made, OTHER) == Reference(NOVA, EndpointType.REGIONAL)


@pytest.mark.parametrize("error", NO_ANSWER, ids=lambda error: type(error).__name__)
def test_state_table_that_does_not_answer_is_left_alone_for_a_minute(upstream: Upstream, error: Exception) -> None:
    upstream.table_fails = error
    made = resolver(upstream)
    assert resolve(made, PROFILE) == Reference(SONNET, EndpointType.REGIONAL)
    assert upstream.looked_up == 1
    upstream.table_fails, upstream.seconds = None, upstream.seconds + CIRCUIT_OPEN_SECONDS - 1

    assert resolve(made, OTHER) == Reference(SONNET, EndpointType.REGIONAL)
    assert (upstream.looked_up, upstream.asked, upstream.stored) == (1, 2, {})  # neither read nor written

    upstream.seconds += 1
    resolve(made, ApplicationProfile(PROFILE_ARN + "x", "a1b2c3d4e5f6"))
    assert (upstream.looked_up, len(upstream.stored)) == (2, 1)


def test_state_table_that_answers_with_an_error_is_asked_for_the_next_profile(upstream: Upstream) -> None:
    upstream.table_fails = REFUSAL
    made = resolver(upstream)

    resolve(made, PROFILE)
    resolve(made, OTHER)

    assert (upstream.looked_up, upstream.asked) == (2, 2)


THROTTLED_TO_THE_END = ClientError(
    {"Error": {"Code": "ThrottlingException"}, "ResponseMetadata": {"MaxAttemptsReached": True}},  # type: ignore[typeddict-item]
    "GetInferenceProfile",
)


@pytest.mark.parametrize("error", [NO_ANSWER[0], THROTTLED_TO_THE_END], ids=["silent", "throttled"])
def test_what_nobody_could_be_asked_about_is_asked_as_soon_as_somebody_answers(
    upstream: Upstream, error: Exception
) -> None:
    upstream.arns = error
    made = resolver(upstream)
    assert [resolve(made, PROFILE), resolve(made, OTHER), resolve(made, PROFILE)] == [UNRESOLVED] * 3
    assert upstream.asked == 2
    upstream.arns, upstream.seconds = [arn("us-east-1")], upstream.seconds + CIRCUIT_OPEN_SECONDS

    assert [resolve(made, PROFILE), resolve(made, OTHER)] == [Reference(SONNET, EndpointType.REGIONAL)] * 2


def test_a_delivery_does_not_wait_long_for_all_its_profiles(upstream: Upstream) -> None:
    # given answers that all come, each after 3 seconds
    def slowly(**given: str) -> dict[str, Any]:
        upstream.seconds += 3
        return Upstream.get_inference_profile(upstream, **given)

    upstream.get_inference_profile = slowly  # type: ignore[method-assign]
    made = resolver(upstream)
    asked = [ApplicationProfile(f"{PROFILE_ARN}{number}", "other") for number in range(9)]
    # when a delivery has nine profiles, and most calls of the last one
    made.look_up(dict.fromkeys(asked, 1) | {asked[8]: 5})
    # then two are looked up, at 0 and 3 seconds, first the one that most calls need
    assert [number for number, profile in enumerate(asked) if made.find(profile)] == [0, 8]
    # and the others with the next delivery
    assert isinstance(resolve(made, asked[7]), Reference)


@pytest.mark.parametrize("seconds", [0.3, 0.9, 1.7, 2.4, 2.6, 4.9, 5.0])
def test_profiles_of_a_delivery_never_take_more_than_ten_seconds(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    # given services of which every answer comes just before their clients give up
    def slowly(act: Any) -> Any:
        def acted(*given: Any, **named: Any) -> Any:
            upstream.seconds += seconds
            return act(*given, **named)

        return acted

    upstream.get_inference_profile = slowly(upstream.get_inference_profile)  # type: ignore[method-assign]
    monkeypatch.setattr(table, "read_profile", slowly(upstream.read_profile))
    monkeypatch.setattr(table, "write_profile", slowly(upstream.write_profile))
    made, began = resolver(upstream), upstream.seconds
    asked = [ApplicationProfile(f"{PROFILE_ARN}{number}", "other") for number in range(50)]
    # when a delivery has fifty profiles
    made.look_up(dict.fromkeys(asked, 1))
    # then at least one is found, and all calls have ended in time
    assert made.find(asked[0]) is not None
    assert upstream.seconds - began <= application_profiles.SECONDS_PER_DELIVERY == 10


def test_a_call_takes_no_longer_than_its_clients_allow() -> None:
    for client in (clients.state(), clients.bedrock()):
        config = client.meta.config
        attempts = config.retries["total_max_attempts"]
        # standard retries wait up to 1 s before the second attempt
        longest = attempts * (config.connect_timeout + config.read_timeout) + (attempts - 1)
        assert longest == application_profiles.SECONDS_PER_CALL


def test_200_profiles_are_looked_up_for_one_delivery(upstream: Upstream) -> None:
    made = resolver(upstream)

    made.look_up({ApplicationProfile(f"{PROFILE_ARN}{number}", "other"): 1 for number in range(250)})

    assert upstream.asked == application_profiles.MAX_LOOK_UPS == 200


def test_what_the_fetcher_resolved_is_not_forgotten_for_names_that_callers_make_up(upstream: Upstream) -> None:
    # given a profile of the snapshot, and twice as many made-up names as are remembered
    made = resolver(upstream, table=None)
    made.learn({PROFILE_ARN: Reference(NOVA, EndpointType.REGIONAL)})
    upstream.arns = REFUSAL
    for number in range(2 * application_profiles.MAX_PROFILES // application_profiles.MAX_LOOK_UPS):
        made.look_up({ApplicationProfile(f"{PROFILE_ARN}{number}-{each}", "other"): 1 for each in range(200)})
    # then the profile is still known, and not looked up
    assert made.find(PROFILE) == Reference(NOVA, EndpointType.REGIONAL)
    assert len(made._known) + len(made._unresolved) <= application_profiles.MAX_PROFILES


def test_the_profiles_of_a_delivery_are_still_known_after_it_was_looked_up(upstream: Upstream) -> None:
    # given 9,900 resolved profiles, close to as many as are remembered
    made = resolver(upstream, table=None)
    made._known = {f"{PROFILE_ARN}{number}": Reference(NOVA, EndpointType.REGIONAL) for number in range(9_900)}
    # when a delivery has 150 others
    asked = [ApplicationProfile(f"{PROFILE_ARN}{number}", "other") for number in range(9_900, 10_050)]
    made.look_up(dict.fromkeys(asked, 1))
    # then all of these are known, and of the others at most the oldest are forgotten
    assert all(made.find(profile) for profile in asked)
    known = [made.find(ApplicationProfile(f"{PROFILE_ARN}{number}", "other")) is not None for number in range(9_900)]
    assert known == [False] * 100 + [True] * 9_800


def test_nobody_is_asked_about_an_arn_that_is_too_long_to_be_one(upstream: Upstream) -> None:
    made = resolver(upstream)
    longest = PROFILE_ARN.ljust(256, "0")

    assert isinstance(resolve(made, ApplicationProfile(longest, "other")), Reference)
    assert made.find(ApplicationProfile(longest + "0", "other")) == UNRESOLVED
    assert upstream.asked == 1


def test_breaker_holds_for_a_minute() -> None:
    assert CIRCUIT_OPEN_SECONDS == 60
    assert UNRESOLVED_SECONDS == 300
