"""Whatever a stack's parameters are, the dashboard's body is JSON of the documented structure."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import resolved
from hypothesis import given
from hypothesis import strategies as st

TESTS = Path(__file__).parents[1]
SCHEMA = jsonschema.Draft7Validator(json.loads((TESTS / "data" / "dashboard_body.schema.json").read_bytes()))
TEMPLATE = resolved.template()
PARAMETERS: dict[str, Any] = TEMPLATE["Parameters"]

BODY = TEMPLATE["Resources"]["QuotaDashboard"]["Properties"]["DashboardBody"]
SUBSTITUTED = sorted(PARAMETERS.keys() & set(re.findall(r"\w+", json.dumps(BODY))))
"""The parameters that reach the body."""

CHOOSING = ["CallerDetail", "MonitoringAccount"]
"""The parameters that choose between texts of the body."""

STACK_NAMES = r"[a-zA-Z][-a-zA-Z0-9]{0,127}"
"""Of CloudFormation (API reference, CreateStack)."""


def taken(parameter: Any) -> st.SearchStrategy[str]:
    """Return what CloudFormation takes for a parameter."""
    if "AllowedValues" in parameter:
        return st.sampled_from([str(value) for value in parameter["AllowedValues"]])
    return st.from_regex(parameter["AllowedPattern"], fullmatch=True)


@given(
    st.fixed_dictionaries({name: taken(PARAMETERS[name]) for name in SUBSTITUTED + CHOOSING}),
    st.from_regex(STACK_NAMES, fullmatch=True),
)
def test_no_value_of_a_parameter_breaks_the_body(parameters: dict[str, str], stack: str) -> None:
    # given any values that the template's patterns allow, and names that CloudFormation makes of the stack's
    values = resolved.VALUES | parameters | {"AWS::StackName": stack}
    values |= dict.fromkeys(("MetricProcessorLogGroup", "QuotaFetcherLogGroup"), f"/aws/lambda/{stack}-log")
    # when they are substituted, as CloudFormation does it, without any escaping
    text = resolved.Resolver(values, TEMPLATE)(BODY)
    # then it is a dashboard, with the values in it
    body = json.loads(text)
    assert [f"{list(each.absolute_path)}: {each.message}"[:300] for each in SCHEMA.iter_errors(body)] == []
    assert f"TIME_SERIES({parameters['AlarmThresholdPercent']})" in text
    keys = parameters["RequestMetadataKeys"]
    assert not keys or any(f"`request_metadata.{keys.split(',')[0]}`" in str(each) for each in body["widgets"])


@pytest.mark.parametrize("name", [name for name, each in PARAMETERS.items() if "AllowedPattern" in each])
@given(st.data())
def test_no_parameter_takes_what_json_would_have_to_escape(name: str, data: st.DataObject) -> None:
    # given a value that the pattern allows
    pattern = PARAMETERS[name]["AllowedPattern"]
    value = data.draw(taken(PARAMETERS[name]))
    assert re.fullmatch(pattern, value)
    # when a quote, a backslash or a control character is anywhere in it, then the pattern refuses it
    special = data.draw(st.sampled_from(['"', "\\", *map(chr, range(32))]))
    at = data.draw(st.integers(0, len(value)))
    assert not re.fullmatch(pattern, value[:at] + special + value[at:])
    assert not re.fullmatch(pattern, value[:at] + special + value[at + 1 :])


def test_three_parameters_reach_the_body() -> None:
    assert SUBSTITUTED == ["AlarmThresholdPercent", "MetricsNamespace", "RequestMetadataKeys"]


def test_every_parameter_is_bounded_by_a_pattern_or_a_list() -> None:
    assert all("AllowedPattern" in each or "AllowedValues" in each for each in PARAMETERS.values())


@given(st.from_regex(PARAMETERS["AlarmThresholdPercent"]["AllowedPattern"], fullmatch=True))
def test_the_threshold_is_a_number_of_json_from_1_to_100(threshold: str) -> None:
    assert 1 <= json.loads(threshold) <= 100
