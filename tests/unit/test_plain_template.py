"""A template without macros: the text that replaces Fn::ToJsonString is the same JSON."""

import json
import re

import pytest

from quota_monitor.deployment import package
from quota_monitor.deployment.plain_template import MacroLeftError, expand_macros

VALUES = {"AWS::Region": "eu-west-1", "Threshold": "80", "Tags": "team"}
CONDITIONS = {"HasTags": True, "Never": False}


def evaluated(node):
    """What CloudFormation makes of the functions that stay."""
    match node:
        case {"Ref": name}:
            return VALUES[name]
        case {"Fn::Sub": [text, own]}:
            values = {**VALUES, **{name: evaluated(value) for name, value in own.items()}}
            return re.sub(r"\$\{([\w:]+)\}", lambda found: values[found[1]], text)
        case {"Fn::Sub": text}:
            return evaluated({"Fn::Sub": [text, {}]})
        case {"Fn::If": [condition, yes, no]}:
            return evaluated(yes if CONDITIONS[condition] else no)
        case {"Fn::Join": [separator, parts]}:
            return separator.join(map(evaluated, parts))
        case str():
            return node
    raise AssertionError(f"not a function that a plain template may have: {node}")


def template(body):
    return {
        "Transform": ["AWS::LanguageExtensions", "AWS::Serverless-2016-10-31"],
        "Parameters": {"Threshold": {"Type": "Number"}, "Tags": {"Type": "String"}},
        "Conditions": {"HasTags": {"Fn::Equals": [1, 1]}, "Never": {"Fn::Equals": [1, 2]}},
        "Resources": {
            "D": {"Type": "AWS::CloudWatch::Dashboard", "Properties": {"DashboardBody": {"Fn::ToJsonString": body}}}
        },
    }


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            {"a": [1, 2.5, True, None, "x"], "b": {}}, {"a": [1, 2.5, True, None, "x"], "b": {}}, id="every type"
        ),
        pytest.param({"a": []}, {"a": []}, id="empty list"),
        pytest.param({"quote": 'a "b" \\ c\n', "é": "×"}, {"quote": 'a "b" \\ c\n', "é": "×"}, id="quotes"),
        pytest.param({"region": {"Ref": "AWS::Region"}}, {"region": "eu-west-1"}, id="Ref"),
        pytest.param({"value": {"Ref": "Threshold"}}, {"value": "80"}, id="number becomes text"),  # as CloudFormation
        pytest.param(
            {"query": {"Fn::Sub": 'SOURCE "${AWS::Region}"\n| limit 5'}},
            {"query": 'SOURCE "eu-west-1"\n| limit 5'},
            id="Sub",
        ),
        pytest.param(
            {"t": {"Fn::Sub": ['"${A}" ${B}', {"A": {"Ref": "Tags"}, "B": {"Fn::If": ["Never", "x", 'say "y"']}}]}},
            {"t": '"team" say "y"'},
            id="Sub with values",
        ),
        pytest.param({"t": {"Fn::If": ["HasTags", "with", {"deep": 1}]}}, {"t": "with"}, id="If is true"),
        pytest.param(
            {"t": {"Fn::If": ["Never", "with", {"deep": [1, {"Ref": "Tags"}]}]}},
            {"t": {"deep": [1, "team"]}},
            id="If is false",
        ),
        pytest.param({"t": {"Fn::Join": ['"', ["a", {"Ref": "Tags"}]]}}, {"t": 'a"team'}, id="Join"),
    ],
)
def test_json_text_is_written_out(body, expected):
    given = template(body)
    found = expand_macros(given)
    text = evaluated(found["Resources"]["D"]["Properties"]["DashboardBody"])
    assert json.loads(text) == expected
    assert "Transform" not in found
    assert "Transform" in given  # which stays as it was


def test_what_would_need_a_macro_is_refused():
    given = template({})
    given["Resources"]["D"]["Properties"]["DashboardName"] = {"Fn::Length": [1]}
    with pytest.raises(MacroLeftError, match="Fn::Length needs a macro"):
        expand_macros(given)


def test_code_is_in_the_bucket_of_the_region_that_a_stack_is_in():
    packaged = {
        "Metadata": {"AWS::ServerlessRepo::Application": {"ReadmeUrl": "s3://b-eu-west-1/r"}, "Other": 1},
        "Resources": {
            "F": {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": "s3://b-eu-west-1/abc/def"}},
            "L": {"Type": "AWS::Serverless::LayerVersion", "Properties": {"ContentUri": "s3://b-eu-west-1/0"}},
            "T": {"Type": "AWS::SNS::Topic"},
        },
    }
    found = package.use_regional_buckets(packaged, "b")
    bucket = {"Fn::Sub": "b-${AWS::Region}"}
    assert found["Resources"] == {
        "F": {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": {"Bucket": bucket, "Key": "abc/def"}}},
        "L": {"Type": "AWS::Serverless::LayerVersion", "Properties": {"ContentUri": {"Bucket": bucket, "Key": "0"}}},
        "T": {"Type": "AWS::SNS::Topic"},
    }
    assert found["Metadata"] == {"Other": 1}
