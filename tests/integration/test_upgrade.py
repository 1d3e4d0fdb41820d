"""An update must not replace what holds data: a new one would be empty, and the old one deleted or forgotten.

What is held fast is in tests/data/stateful.json: logical id and type, and of the properties those that CloudFormation
can only change by replacement, as the schemas say that cfn-lint ships.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from plain import plain_template

GOLDEN = Path(__file__).parents[1] / "data" / "stateful.json"
STATEFUL = {
    "AWS::DynamoDB::Table",
    "AWS::Kinesis::Stream",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SNS::Subscription",  # a new one must be confirmed again
    "AWS::SNS::Topic",
    "Custom::BedrockInvocationLogging",
    "Custom::EmptiedBucket",  # one that goes empties its bucket
}
ALSO = {"InvocationLoggingRole"}
"""Bedrock's configuration names it: a new one would not be known as the stack's own."""


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return plain_template()


def held(template: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {"Type": resource["Type"], **by_replacement(resource)}
        for name, resource in sorted(template["Resources"].items())
        if resource["Type"] in STATEFUL or name in ALSO
    }


def by_replacement(resource: dict[str, Any]) -> dict[str, Any]:
    """The properties that cannot be changed in place, or not always."""
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # noqa: PLC0415 - 3 s, which other tests need not wait

    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", resource["Type"]).schema
    pointers = [*(schema.get("createOnlyProperties") or ()), *(schema.get("conditionalCreateOnlyProperties") or ())]
    names = {pointer.split("/")[2] for pointer in pointers}
    return {name: value for name, value in sorted(resource.get("Properties", {}).items()) if name in names}


def test_nothing_that_holds_data_would_be_replaced(template: dict[str, Any]) -> None:
    golden: dict[str, Any] = json.loads(GOLDEN.read_bytes())
    found = held(template)

    assert {name: found.get(name) for name in golden} == golden, (
        "an update of a deployed stack would replace or delete this; if it must be, say in CHANGELOG.md what is lost "
        f"and how to keep it, and change {GOLDEN.name}"
    )


def test_everything_that_holds_data_is_held_fast(template: dict[str, Any]) -> None:
    assert sorted(held(template)) == sorted(json.loads(GOLDEN.read_bytes())), f"add what is new to {GOLDEN.name}"


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        pytest.param("StateTable", {"TableName": "fixed"}, id="another table name"),
        pytest.param(
            "StateTable", {"KeySchema": [{"AttributeName": "other", "KeyType": "HASH"}]}, id="another table key"
        ),
        pytest.param("FailedDeliveriesBucket", {"BucketName": "fixed"}, id="another bucket name"),
        pytest.param("AlarmTopic", {"FifoTopic": True}, id="another kind of topic"),
        pytest.param("MetricProcessorLogGroup", {"LogGroupName": "/elsewhere"}, id="another log group name"),
        pytest.param("InvocationLoggingRole", {"Path": "/elsewhere/"}, id="another path of the role"),
    ],
)
def test_a_change_that_would_replace_something_is_seen(
    template: dict[str, Any], name: str, changed: dict[str, Any]
) -> None:
    before = template["Resources"][name]
    after = {**before, "Properties": {**before["Properties"], **changed}}

    assert by_replacement(after) != by_replacement(before)


def test_a_change_in_place_is_none(template: dict[str, Any]) -> None:
    before = template["Resources"]["MetricProcessorLogGroup"]
    after = {**before, "Properties": {**before["Properties"], "RetentionInDays": 3}}

    assert by_replacement(after) == by_replacement(before)
