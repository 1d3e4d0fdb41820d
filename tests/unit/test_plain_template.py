"""A template without macros, for stack sets."""

import pytest

from quota_monitor.deployment import package
from quota_monitor.deployment.plain_template import MacroLeftError, expand_macros


def template(properties):
    return {
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": {"D": {"Type": "AWS::CloudWatch::Dashboard", "Properties": properties}},
    }


def test_the_transform_goes_and_functions_of_cloudformation_stay():
    body = {"Fn::Sub": ['{"widgets":["${Title}"]}', {"Title": {"Fn::If": ["Tags", "with", {"Ref": "AWS::Region"}]}}]}
    given = template({"DashboardBody": body})

    found = expand_macros(given)

    assert found["Resources"]["D"]["Properties"] == {"DashboardBody": body}
    assert "Transform" not in found
    assert "Transform" in given  # which stays as it was


@pytest.mark.parametrize(
    ("needed", "name"),
    [
        pytest.param({"Fn::Length": [1]}, "Fn::Length", id="length"),
        pytest.param({"Fn::ToJsonString": {}}, "Fn::ToJsonString", id="text of JSON"),
        pytest.param({"Fn::Transform": {"Name": "AWS::Include"}}, "Fn::Transform", id="include"),
        pytest.param({"deep": [{"Fn::ForEach::Each": []}]}, "Fn::ForEach::Each", id="loop"),
    ],
)
def test_what_would_need_a_macro_is_refused(needed, name):
    with pytest.raises(MacroLeftError, match=f"{name} needs a macro"):
        expand_macros(template({"DashboardBody": "{}", "DashboardName": needed}))


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
