"""samconfig.toml: what `sam build` and `sam deploy` do without being told."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from samcli.yamlhelper import yaml_parse

ROOT = Path(__file__).parents[2]
PROFILES = ["default", "dev", "prod"]


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("profile", PROFILES)
def test_profile_can_deploy_without_a_question(config: dict[str, Any], profile: str) -> None:
    deploy = config[profile]["deploy"]["parameters"]

    assert config[profile]["global"]["parameters"]["stack_name"]
    assert deploy["capabilities"] == "CAPABILITY_IAM"
    assert deploy["resolve_s3"] is True
    assert "region" not in deploy  # the user says where
    assert deploy["confirm_changeset"] is (profile == "prod")
    assert deploy["on_failure"] == "DELETE"  # what is left of a failed creation could not be deployed over
    assert deploy["s3_prefix"] == config[profile]["global"]["parameters"]["stack_name"]


def test_every_profile_deploys_a_stack_of_its_own(config: dict[str, Any]) -> None:
    names = [config[profile]["global"]["parameters"]["stack_name"] for profile in PROFILES]

    assert names == ["bedrock-quota-monitor", "bedrock-quota-monitor-dev", "bedrock-quota-monitor-prod"]


def test_two_stacks_in_one_region_publish_to_two_namespaces(config: dict[str, Any]) -> None:
    assert config["dev"]["global"] != config["default"]["global"]
    overrides = config["dev"]["deploy"]["parameters"]["parameter_overrides"]
    assert [each for each in overrides if each.startswith("MetricsNamespace=")] != []


def test_parameters_that_are_set_are_ones_the_template_takes(config: dict[str, Any]) -> None:
    parameters = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))["Parameters"]
    overrides = [
        each
        for profile in config.values()
        if isinstance(profile, dict)
        for command in profile.values()
        for each in command.get("parameters", {}).get("parameter_overrides", [])
    ]

    assert overrides
    for override in overrides:
        name, _, value = override.partition("=")
        assert name in parameters
        if "AllowedValues" in parameters[name]:
            assert value in map(str, parameters[name]["AllowedValues"])
