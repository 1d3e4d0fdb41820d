"""A function's settings from its environment."""

import pytest

from bedrock_quota import settings
from bedrock_quota.errors import SettingsError
from bedrock_quota.settings import Settings


def test_nothing_set_gives_the_defaults() -> None:
    assert settings.from_environment({}) == Settings("Bedrock/Quotas", None, ())


def test_everything_set() -> None:
    environment = {
        "METRICS_NAMESPACE": "Mine",
        "STATE_TABLE": "state",
        "REQUEST_METADATA_KEYS": " team , application,,",
    }

    assert settings.from_environment(environment) == Settings("Mine", "state", ("team", "application"))


def test_empty_state_table_is_none() -> None:
    assert settings.from_environment({"STATE_TABLE": ""}).state_table is None


@pytest.mark.parametrize("namespace", ["", "AWS/Bedrock", "x" * 256])
def test_namespace_out_of_range_is_refused(namespace: str) -> None:
    with pytest.raises(SettingsError, match="METRICS_NAMESPACE"):
        settings.from_environment({"METRICS_NAMESPACE": namespace})


def test_namespace_of_255_characters_is_taken() -> None:
    assert settings.from_environment({"METRICS_NAMESPACE": "x" * 255}).namespace == "x" * 255


def test_sixteen_keys_are_taken_and_seventeen_refused() -> None:
    keys = [f"key{number}" for number in range(17)]

    assert settings.from_environment({"REQUEST_METADATA_KEYS": ",".join(keys[:16])}).metadata_keys == tuple(keys[:16])
    with pytest.raises(SettingsError, match="more than 16"):
        settings.from_environment({"REQUEST_METADATA_KEYS": ",".join(keys)})
