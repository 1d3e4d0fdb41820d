"""A function's settings from its environment."""

import pytest

from bedrock_quota.errors import SettingsError
from bedrock_quota.pools import EndpointType, QuotaPool
from bedrock_quota.settings import Settings, read_settings


def test_nothing_set_gives_the_defaults() -> None:
    assert read_settings({}) == Settings("Bedrock/Quotas", None, (), None, None, ())


def test_everything_set() -> None:
    environment = {
        "METRICS_NAMESPACE": "Mine",
        "STATE_TABLE": "state",
        "REQUEST_METADATA_KEYS": " team , application,,",
        "CALLER_DETAIL": "session",
        "REGISTRY_OVERRIDES": "/stack/registry-overrides",
        "TOPIC_ARN": "arn:aws:sns:us-east-1:111122223333:topic",
        "QUOTA_POOLS": "anthropic.claude-opus-5/global-cross-region, amazon.nova-lite-v1:0/regional,",
        "AWS_SAM_LOCAL": "true",
    }

    assert read_settings(environment) == Settings(
        namespace="Mine",
        state_table="state",
        metadata_keys=("team", "application"),
        overrides_parameter="/stack/registry-overrides",
        topic_arn="arn:aws:sns:us-east-1:111122223333:topic",
        always_published=(
            QuotaPool("anthropic.claude-opus-5", EndpointType.GLOBAL_CROSS_REGION),
            QuotaPool("amazon.nova-lite-v1:0", EndpointType.REGIONAL),
        ),
        with_sessions=True,
        invoked_by_sam=True,
    )


def test_empty_names_are_none() -> None:
    names = ("STATE_TABLE", "REGISTRY_OVERRIDES", "TOPIC_ARN", "QUOTA_POOLS", "REQUEST_METADATA_KEYS")

    assert read_settings(dict.fromkeys(names, "")) == Settings()


@pytest.mark.parametrize(
    "item",
    ["anthropic.claude-opus-5", "anthropic.claude-opus-5/", "a.model/on-demand", "a.model/Regional", "/", "a/b/c"],
)
def test_pool_that_cannot_be_read_is_refused_by_name(item: str) -> None:
    with pytest.raises(SettingsError, match=f"QUOTA_POOLS: '{item}'"):
        read_settings({"QUOTA_POOLS": f"amazon.nova-lite-v1:0/regional,{item}"})


@pytest.mark.parametrize("item", ["regional", "/regional"])
def test_pool_without_a_model_is_refused(item: str) -> None:
    with pytest.raises(SettingsError, match="QUOTA_POOLS"):
        read_settings({"QUOTA_POOLS": item})


@pytest.mark.parametrize(
    "namespace",
    [pytest.param("", id="empty"), pytest.param("AWS/Bedrock", id="of AWS"), pytest.param("x" * 256, id="too long")],
)
def test_namespace_out_of_range_is_refused(namespace: str) -> None:
    with pytest.raises(SettingsError, match="METRICS_NAMESPACE"):
        read_settings({"METRICS_NAMESPACE": namespace})


def test_namespace_of_255_characters_is_taken() -> None:
    assert read_settings({"METRICS_NAMESPACE": "x" * 255}).namespace == "x" * 255


def test_sixteen_keys_are_taken_and_seventeen_refused() -> None:
    keys = [f"key{number}" for number in range(17)]

    assert read_settings({"REQUEST_METADATA_KEYS": ",".join(keys[:16])}).metadata_keys == tuple(keys[:16])
    with pytest.raises(SettingsError, match="more than 16"):
        read_settings({"REQUEST_METADATA_KEYS": ",".join(keys)})


@pytest.mark.parametrize(
    ("detail", "with_sessions"), [pytest.param("role", False, id="role"), pytest.param("session", True, id="session")]
)
def test_detail_of_callers_is_a_role_or_a_session(detail: str, with_sessions: bool) -> None:
    assert read_settings({"CALLER_DETAIL": detail}).with_sessions is with_sessions


@pytest.mark.parametrize("detail", [pytest.param("", id="empty"), pytest.param("Session", id="capital letter")])
def test_any_other_detail_of_callers_is_refused(detail: str) -> None:
    with pytest.raises(SettingsError, match="CALLER_DETAIL is neither role nor session"):
        read_settings({"CALLER_DETAIL": detail})


def test_a_queue_of_late_calls_with_its_times() -> None:
    found = read_settings({"LATE_BODIES_QUEUE": "https://queue", "LATE_BODIES_DELAY": "2", "LATE_BODIES_SECONDS": "0"})
    assert (found.late_bodies_queue, found.late_bodies_delay, found.late_bodies_seconds) == ("https://queue", 2, 0)
    assert (Settings().late_bodies_queue, Settings().late_bodies_delay, Settings().late_bodies_seconds) == (
        None,
        60,
        300,
    )


@pytest.mark.parametrize("name", ["LATE_BODIES_DELAY", "LATE_BODIES_SECONDS"])
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("-1", id="negative"),
        pytest.param("1.5", id="fraction"),
        pytest.param("901", id="more than SQS delays"),
        pytest.param("1e2", id="exponent"),
        pytest.param(" 1", id="blank before it"),
        pytest.param("9" * 5_000, id="5,000 digits"),
        pytest.param("many", id="word"),
    ],
)
def test_a_time_out_of_range_is_refused(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings({name: text})
