"""Deploying on this machine: what is left out of the template, and what the SAM CLI is told."""

import copy
import json
import sys

import pytest

from localaws import deployment, sam, template
from localaws.account import Account
from localaws.deployment import Deployment, choose_architecture
from localaws.errors import LocalAwsError
from localaws.state import StateDirectory
from localaws.template import Omission

QUERY = {"Type": "AWS::Logs::QueryDefinition", "Properties": {"Name": "q"}}
TOPIC = {"Type": "AWS::SNS::Topic"}
MATH_ALARM = {
    "Type": "AWS::CloudWatch::Alarm",
    "Properties": {"Metrics": [{"Id": "a"}], "AlarmActions": [{"Ref": "Topic"}]},
}
PLAIN_ALARM = {"Type": "AWS::CloudWatch::Alarm", "Properties": {"MetricName": "Errors"}}

ACCOUNT = Account("http://127.0.0.1:1", "http://127.0.0.1:2", "us-east-1")


def resources(**named):
    return {"Resources": {"Topic": TOPIC, **named}}


def test_a_template_with_nothing_to_leave_out_stays_as_it_is():
    whole = {**resources(Alarm=PLAIN_ALARM), "Outputs": {"TopicArn": {"Value": {"Ref": "Topic"}}}}
    assert template.without(whole) == (whole, {})


def test_resources_go_by_type_and_by_property_each_with_its_reason():
    kept, left_out = template.without(resources(Query=QUERY, Math=MATH_ALARM, Plain=PLAIN_ALARM))
    assert kept == resources(Plain=PLAIN_ALARM)
    assert left_out == {"Query": template.LEFT_OUT[0].reason, "Math": template.LEFT_OUT[1].reason}


def test_a_resource_goes_by_logical_id():
    kept, left_out = template.without(resources(Plain=PLAIN_ALARM), (Omission(target="Plain", reason="because"),))
    assert kept == resources()
    assert left_out == {"Plain": "because"}


def test_the_given_template_is_not_changed():
    given = resources(Query=QUERY, After={**TOPIC, "DependsOn": ["Query", "Topic"]})
    before = copy.deepcopy(given)
    template.without(given)
    assert given == before


@pytest.mark.parametrize(
    ("depends_on", "kept"),
    [
        pytest.param("Query", {}, id="one name as text"),
        pytest.param(["Query"], {}, id="one name in a list"),
        pytest.param(["Query", "Topic"], {"DependsOn": ["Topic"]}, id="one of two names"),
        pytest.param("Topic", {"DependsOn": ["Topic"]}, id="another resource"),
    ],
)
def test_dependencies_go_with_it(depends_on, kept):
    changed, _ = template.without(resources(Query=QUERY, After={**TOPIC, "DependsOn": depends_on}))
    assert changed["Resources"]["After"] == {**TOPIC, **kept}


@pytest.mark.parametrize(
    "value",
    [
        {"Ref": "Query"},
        {"Fn::GetAtt": ["Query", "QueryDefinitionId"]},
        {"Fn::GetAtt": "Query.QueryDefinitionId"},
        {"Fn::Sub": "id: ${Query}"},
        {"Fn::Sub": ["${Query.QueryDefinitionId} ${x}", {"x": "y"}]},
        {"Fn::Sub": ["${x}", {"x": {"Ref": "Query"}}]},
        {"Fn::Join": ["-", ["a", {"Ref": "Query"}]]},
        {"Fn::Sub": ['{"widgets":["${x}"]}', {"x": {"Fn::If": ["Has", {"Ref": "Query"}, ""]}}]},
    ],
    ids=[
        "Ref",
        "GetAtt with a list",
        "GetAtt with a text",
        "Sub with a text",
        "Sub with a list",
        "Ref in a variable of Sub",
        "Ref in Join",
        "Ref in a JSON text",
    ],
)
def test_outputs_go_with_it_and_any_other_reference_is_an_error(value):
    outputs = {"Gone": {"Value": value}, "Stays": {"Value": {"Ref": "Topic"}}}
    kept, _ = template.without({**resources(Query=QUERY), "Outputs": outputs})
    assert kept["Outputs"] == {"Stays": {"Value": {"Ref": "Topic"}}}
    with pytest.raises(LocalAwsError, match="User refers to Query, which is left out on this machine"):
        template.without(resources(Query=QUERY, User={**TOPIC, "Properties": {"DisplayName": value}}))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("Query", id="plain text"),
        pytest.param({"Fn::Sub": "${!Query}"}, id="escaped variable"),
        pytest.param({"Fn::Sub": "${Querying} ${AWS::Region}"}, id="longer name and pseudo parameter"),
    ],
)
def test_what_only_looks_like_a_reference_is_none(value):
    kept, _ = template.without(resources(Query=QUERY, User={**TOPIC, "Properties": {"DisplayName": value}}))
    assert "User" in kept["Resources"]


def test_outputs_disappear_when_none_is_left():
    kept, _ = template.without({**resources(Query=QUERY), "Outputs": {"Gone": {"Value": {"Ref": "Query"}}}})
    assert "Outputs" not in kept


@pytest.mark.parametrize(
    ("processor", "architecture"),
    [("x86_64", "x86_64"), ("AMD64", "x86_64"), ("aarch64", "arm64"), ("arm64", "arm64")],
)
def test_functions_are_built_for_this_machine(tmp_path, processor, architecture):
    deployed = Deployment(tmp_path, ACCOUNT, "s", StateDirectory(tmp_path), processor=processor)
    environment = deployed.environment({})
    assert (environment["PYTHON"], environment["LAMBDA_PLATFORM"]) == (sys.executable, "native")
    assert deployed.overrides() == [f'Architecture="{architecture}"']


def test_a_processor_that_lambda_does_not_have_is_an_error():
    with pytest.raises(LocalAwsError, match="riscv64"):
        choose_architecture("riscv64")


def test_parameters_are_given_quoted_and_win_over_those_of_the_machine(tmp_path):
    given = {"Architecture": "arm64", "RequestMetadataKeys": 'team,"a b"\\'}
    deployed = Deployment(tmp_path, ACCOUNT, "s", StateDirectory(tmp_path), given, "x86_64")
    assert deployed.overrides() == ['Architecture="arm64"', 'RequestMetadataKeys="team,\\"a b\\"\\\\"']


def test_nothing_of_the_users_aws_or_make_settings_reaches_sam(tmp_path):
    inherited = {
        "AWS_PROFILE": "production",
        "AWS_SESSION_TOKEN": "secret",
        "AWS_ENDPOINT_URL_S3": "http://elsewhere",
        "SAM_CLI_DEBUG": "1",
        "MAKEFLAGS": " -- PYTHON=python3.9",
        "PYTHON": "python3.9",
        "HTTPS_PROXY": "http://proxy",
        "no_proxy": "internal",
        "PATH": "/usr/bin",
    }
    environment = Deployment(tmp_path, ACCOUNT, "s", StateDirectory(tmp_path)).environment(inherited)
    assert {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "SAM_CLI_DEBUG", "MAKEFLAGS"}.isdisjoint(
        environment
    )
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert environment["AWS_ENDPOINT_URL_SERVICE_QUOTAS"] == "http://127.0.0.1:2"
    assert environment["NO_PROXY"] == environment["no_proxy"] == "internal,127.0.0.1,localhost"
    assert environment["HTTPS_PROXY"] == "http://proxy"  # wheels may come through it
    assert environment["PYTHON"] != "python3.9"
    assert environment["PATH"].endswith(":/usr/bin")


def test_a_failed_build_shows_the_end_of_what_sam_said(tmp_path):
    (tmp_path / "template.yaml").write_text("Resources: {A: {Type: AWS::Serverless::Function}}\n")
    directory = StateDirectory(tmp_path / "state")
    directory.path.mkdir()
    with pytest.raises(LocalAwsError, match=r"(?s)sam build failed.*sam\.log"):
        Deployment(tmp_path, ACCOUNT, "s", directory).build(lambda *_: None)


def test_a_failed_deployment_shows_the_first_reason(tmp_path, monkeypatch):
    events = [
        event("Table", "CREATE_COMPLETE", ""),
        event("Topic", "CREATE_FAILED", "Resource creation cancelled"),
        event("Setup", "CREATE_FAILED", "4 is no retention time"),
        event("Other", "DELETE_FAILED", "not empty"),
        {"type": "result", "status": "failure", "error": {"message": "ROLLBACK_COMPLETE"}},
    ]
    said = "\n".join(map(json.dumps, [*events, *[event("Table", "DELETE_COMPLETE", "")] * 40]))
    script = f"print({said!r}); raise SystemExit(1)"
    monkeypatch.setattr(sam, "command", lambda *_: [sys.executable, "-c", script])
    directory = StateDirectory(tmp_path / "state")
    directory.path.mkdir()
    with pytest.raises(LocalAwsError) as raised:
        list(Deployment(tmp_path, ACCOUNT, "s", directory)._sam("deploy"))
    assert str(raised.value) == (
        f"sam deploy failed. Setup: 4 is no retention time\nAll of its output is in {directory.sam_log}."
    )


def event(logical_id, status, reason):
    return {"type": "event", "logical_id": logical_id, "status": status, "reason": reason}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", {}, id="empty line"),
        pytest.param("Uploading", {}, id="progress"),
        pytest.param('{"type": "info"}', {"type": "info"}, id="JSON document"),
    ],
)
def test_events_are_told_from_other_output(text, expected):
    assert sam.document(text) == expected


def test_short_forms_are_read_as_sam_reads_them(tmp_path):
    path = tmp_path / "template.yaml"
    path.write_text(
        'Resources:\n  A:\n    DependsOn: [B]\n    V: "2012-10-17"\n    W: !Sub "${C.Arn}"\n    X: !GetAtt D.Arn\n'
    )
    parsed = deployment._parse(path)
    assert set(template.references(parsed)) == {"B", "C", "D"}
    assert json.loads(json.dumps(parsed)) == parsed
