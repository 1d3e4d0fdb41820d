"""The stack in every partition: China's, the US government's and the others'."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from plain import plain_template

PARTITIONS = {
    "aws": ("us-east-1", "console.aws.amazon.com"),
    "aws-us-gov": ("us-gov-west-1", "console.amazonaws-us-gov.com"),
    "aws-cn": ("cn-north-1", "console.amazonaws.cn"),
}


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return plain_template()


def in_partition(node: Any, partition: str, mappings: dict[str, Any]) -> Any:
    """The pseudo parameters and the map of consoles put in; other references stay as `${Name}`."""
    region, _ = PARTITIONS[partition]
    known = {"AWS::Partition": partition, "AWS::Region": region}
    match node:
        case {"Ref": name} if len(node) == 1:
            return known.get(name, f"${{{name}}}")
        case {"Fn::FindInMap": [name, first, second]}:
            return mappings[name][in_partition(first, partition, mappings)][second]
        case {"Fn::Sub": [text, own]}:
            values = {**known, **{key: in_partition(value, partition, mappings) for key, value in own.items()}}
            return re.sub(r"\$\{([\w:.]+)\}", lambda found: str(values.get(found[1], found[0])), text)
        case {"Fn::Sub": text}:
            return in_partition({"Fn::Sub": [text, {}]}, partition, mappings)
    if isinstance(node, dict):
        return {key: in_partition(value, partition, mappings) for key, value in node.items()}
    return [in_partition(each, partition, mappings) for each in node] if isinstance(node, list) else node


def texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for each in node.values() if isinstance(node, dict) else node:
            yield from texts(each)


@pytest.mark.parametrize("partition", PARTITIONS)
def test_every_arn_and_console_is_the_partitions_own(template: dict[str, Any], partition: str) -> None:
    _, console = PARTITIONS[partition]
    mappings = template["Mappings"]
    parts = {name: template[name] for name in ("Conditions", "Resources", "Outputs")}
    every = " ".join(texts(in_partition(parts, partition, mappings)))

    assert set(re.findall(r"arn:(aws[a-z-]*):", every)) == {partition}
    assert set(re.findall(r"console\.(?:aws\.amazon|amazonaws)[a-z.-]*", every)) == {console}
    assert f"https://{PARTITIONS[partition][0]}.{console}/cloudwatch/home" in every


def test_no_arn_region_or_account_is_written_down(template: dict[str, Any]) -> None:
    every = " ".join(texts({name: template[name] for name in ("Conditions", "Resources", "Outputs")}))

    assert re.findall(r"arn:aws[a-z-]*:", every) == []
    assert re.findall(r"\b(?:us|eu|ap|sa|ca|me|af|il|mx|cn)-(?:gov-)?[a-z]+-\d\b", every) == []
    assert re.findall(r"\b\d{12}\b", every) == []


def test_service_principals_are_those_that_every_partition_knows(template: dict[str, Any]) -> None:
    every = " ".join(texts(template["Resources"]))

    # in China, too: .com, not .com.cn (docs/limits.md)
    assert set(re.findall(r"\b[\w.-]+\.amazonaws\.com(?:\.cn)?", every)) == {
        "bedrock.amazonaws.com",
        "cloudwatch.amazonaws.com",
        "events.amazonaws.com",
        "lambda.amazonaws.com",
        "logs.amazonaws.com",
        "scheduler.amazonaws.com",
    }
