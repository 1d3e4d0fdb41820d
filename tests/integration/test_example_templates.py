"""The templates in examples/ for many accounts: links to a monitoring account, and alarms through a webhook."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from moto.events.models import EventPattern
from samcli.yamlhelper import yaml_parse

ROOT = Path(__file__).parents[2]
REGIONS = ("us-east-1", "eu-central-1", "ap-southeast-7", "cn-north-1", "cn-northwest-1")
GOVCLOUD = ("us-gov-west-1", "us-gov-east-1")

TEMPLATES = {
    "observability-sink": (*REGIONS, *GOVCLOUD),
    "observability-link": (*REGIONS, *GOVCLOUD),
    "slack-webhook": REGIONS,  # GovCloud has no API destinations
}


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml_parse((ROOT / "examples" / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", TEMPLATES)
def test_cfn_lint_finds_nothing(name: str) -> None:
    template = ROOT / "examples" / f"{name}.yaml"
    linted = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), "--regions", *TEMPLATES[name], "--template", str(template)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_template_has_an_alias(name: str) -> None:
    # CloudFormation takes none (User Guide, "Template format", read 2026-11-29)
    tokens = yaml.scan((ROOT / "examples" / f"{name}.yaml").read_text(encoding="utf-8"))

    assert not [token for token in tokens if isinstance(token, (yaml.AliasToken, yaml.AnchorToken))]


def test_only_accounts_of_the_organization_can_link_and_only_metrics_and_logs() -> None:
    (sink,) = read("observability-sink")["Resources"].values()

    assert sink["Properties"]["Policy"]["Statement"] == [
        {
            "Effect": "Allow",
            "Principal": "*",
            "Action": ["oam:CreateLink", "oam:UpdateLink"],
            "Resource": "*",
            "Condition": {
                "StringEquals": {"aws:PrincipalOrgID": {"Ref": "OrganizationId"}},
                "ForAllValues:StringEquals": {"oam:ResourceTypes": ["AWS::CloudWatch::Metric", "AWS::Logs::LogGroup"]},
            },
        }
    ]


def test_a_link_shares_the_metrics_and_the_logs_of_the_functions_and_no_prompt() -> None:
    template = read("observability-link")
    link, parameters = template["Resources"]["Link"], template["Parameters"]

    assert link["Properties"]["ResourceTypes"] == ["AWS::CloudWatch::Metric", "AWS::Logs::LogGroup"]
    filters = link["Properties"]["LinkConfiguration"]
    assert filters == {
        "MetricConfiguration": {"Filter": {"Fn::Sub": "Namespace IN ('${MetricsNamespace}', 'AWS/Bedrock')"}},
        "LogGroupConfiguration": {"Filter": {"Fn::Sub": "LogGroupName LIKE '${LogGroupPrefix}%'"}},
    }
    processor = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))["Resources"]["MetricProcessorLogGroup"]
    name = processor["Properties"]["LogGroupName"]["Fn::Sub"].replace("${AWS::StackName}", "bedrock-quota-monitor")
    assert name.startswith(parameters["LogGroupPrefix"]["Default"])
    assert not "/aws/bedrock/modelinvocations".startswith(parameters["LogGroupPrefix"]["Default"])


def test_the_monitoring_account_is_not_linked_to_itself() -> None:
    template = read("observability-link")

    assert template["Resources"]["Link"]["Condition"] == "IsSourceAccount"
    account = {"Fn::Select": [4, {"Fn::Split": [":", {"Ref": "SinkArn"}]}]}
    assert template["Conditions"] == {
        "IsSourceAccount": {"Fn::Not": [{"Fn::Equals": [account, {"Ref": "AWS::AccountId"}]}]}
    }
    arn = "arn:aws:oam:us-east-1:111122223333:sink/0a1b2c3d-EXAMPLE"
    assert re.fullmatch(template["Parameters"]["SinkArn"]["AllowedPattern"], arn)
    assert arn.split(":")[4] == "111122223333"


# ---------------------------------------------------------------- alarms through a webhook

DESCRIPTION = 'Slow down the first caller under "Callers of the chosen pool".\nDashboard: https://example.com/#a?b=c'


def alarm_event(name: str, state: str, before: str = "OK", **detail: Any) -> dict[str, Any]:
    """An event as CloudWatch documents it ("Alarm events and EventBridge", CloudWatch User Guide, read 2026-11-29)."""
    reason = "Threshold Crossed: 1 datapoint [81.0 (01/12/25 13:34:00)] was greater than the threshold (80.0)."
    return {
        "version": "0",
        "id": "80ddd249-dedf-7c4d-0708-0eb78132dd78",
        "detail-type": "CloudWatch Alarm State Change",
        "source": "aws.cloudwatch",
        "account": "111122223333",
        "time": "2026-12-01T13:42:04Z",
        "region": "us-east-1",
        "resources": [f"arn:aws:cloudwatch:us-east-1:111122223333:alarm:{name}"],
        "detail": {
            "alarmName": name,
            "state": {"value": state, "reason": reason, "timestamp": "2026-12-01T13:42:04.919+0000"},
            "previousState": {"value": before, "reason": "", "timestamp": "2026-12-01T13:40:50.600+0000"},
            "configuration": {"metrics": [], "description": DESCRIPTION},
            **detail,
        },
    }


def contributor_event(name: str, state: str, attributes: dict[str, str]) -> dict[str, Any]:
    found = alarm_event(name, state, alarmContributor={"id": "6d442278dba546f6", "attributes": attributes})
    del found["detail"]["previousState"]
    return {**found, "detail-type": "CloudWatch Alarm Contributor State Change"}


POOL = {"ModelId": "amazon.nova-pro-v1:0", "EndpointType": "cross-region"}
TOKENS = "bedrock-quota-monitor tokens reserved near the quota"
GENERATED = "bedrock-quota-monitor-NoRecordsAlarm-1A2B3C"
SILENT = "bedrock-quota-monitor-QuotaFetcherSilentAlarm-1A2B3C"


def fill_in(value: Any) -> Any:
    """Return a pattern with the default of the parameter."""
    if isinstance(value, list):
        return [fill_in(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value == {"Ref": "StackName"}:
        return "bedrock-quota-monitor"
    if set(value) == {"Fn::Sub"}:
        return value["Fn::Sub"].replace("${StackName}", "bedrock-quota-monitor")
    return {key: fill_in(each) for key, each in value.items()}


def rules() -> dict[str, dict[str, Any]]:
    resources = read("slack-webhook")["Resources"]
    return {name: each["Properties"] for name, each in resources.items() if each["Type"] == "AWS::Events::Rule"}


@pytest.mark.parametrize(
    ("event", "posted_by"),
    [
        pytest.param(alarm_event(TOKENS, "ALARM"), ["Alarms"], id="alarm on a quota"),
        pytest.param(alarm_event(GENERATED, "ALARM"), ["Alarms"], id="alarm with a generated name"),
        pytest.param(alarm_event(GENERATED, "OK", "ALARM"), [], id="over"),
        pytest.param(alarm_event(GENERATED, "INSUFFICIENT_DATA"), [], id="no data"),
        pytest.param(alarm_event(SILENT, "INSUFFICIENT_DATA"), ["FetcherSilent"], id="silent fetcher"),
        pytest.param(alarm_event(SILENT, "OK", "INSUFFICIENT_DATA"), [], id="fetcher runs again"),
        pytest.param(alarm_event("another ALARM", "ALARM"), [], id="alarm of another stack"),
        pytest.param(contributor_event(TOKENS, "ALARM", POOL), ["Pools"], id="pool"),
        pytest.param(contributor_event(TOKENS, "OK", POOL), [], id="pool that is over"),
        pytest.param(contributor_event(GENERATED, "ALARM", {}), [], id="contributor that is no pool"),
    ],
)
def test_each_event_is_posted_by_the_rule_that_is_for_it(event: dict[str, Any], posted_by: list[str]) -> None:
    patterns = {name: json.dumps(fill_in(rule["EventPattern"])) for name, rule in rules().items()}

    assert [name for name, pattern in patterns.items() if EventPattern.load(pattern).matches_event(event)] == posted_by


def transform(rule: dict[str, Any], event: dict[str, Any]) -> Any:
    """Return the body that EventBridge posts. A variable outside quotes becomes JSON (`InputTransformer`)."""
    (target,) = rule["Targets"]
    transformer = target["InputTransformer"]
    body = transformer["InputTemplate"]
    for name, path in transformer["InputPathsMap"].items():
        value: Any = event
        for part in path.removeprefix("$.").split("."):
            value = value[part]
        assert f"<{name}>" in body, f"{name} is not used"
        body = body.replace(f"<{name}>", json.dumps(value))
    assert not re.search(r"<\w+>", body)
    return json.loads(body)


@pytest.mark.parametrize(
    ("rule", "event", "facts"),
    [
        pytest.param("Alarms", alarm_event(TOKENS, "ALARM"), ["ALARM"], id="alarm"),
        pytest.param(
            "FetcherSilent", alarm_event(SILENT, "INSUFFICIENT_DATA"), ["INSUFFICIENT_DATA"], id="silent fetcher"
        ),
        pytest.param("Pools", contributor_event(TOKENS, "ALARM", POOL), list(POOL.values()), id="pool"),
    ],
)
def test_a_message_is_what_slack_takes(rule: str, event: dict[str, Any], facts: list[str]) -> None:
    message = transform(rules()[rule], event)

    title, fields, description = message["blocks"]
    assert message["text"] == title["text"]["text"] == event["detail"]["alarmName"]
    assert [each["text"] for each in fields["fields"]] == [
        *facts,
        "111122223333",
        "us-east-1",
        event["detail"]["state"]["reason"],
    ]
    assert description["text"] == {"type": "mrkdwn", "text": DESCRIPTION}
    assert {each["type"] for each in message["blocks"]} == {"section"}


def test_what_slack_does_not_take_goes_to_a_queue_to_which_only_the_rules_may_send() -> None:
    resources = read("slack-webhook")["Resources"]
    (statement,) = resources["NotPostedPolicy"]["Properties"]["PolicyDocument"]["Statement"]

    for rule in rules().values():
        (target,) = rule["Targets"]
        assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["NotPosted", "Arn"]}}
        assert target["Arn"] == {"Fn::GetAtt": ["Webhook", "Arn"]}
    assert statement["Action"] == "sqs:SendMessage"
    assert statement["Condition"]["ArnEquals"]["aws:SourceArn"] == [{"Fn::GetAtt": [name, "Arn"]} for name in rules()]
    assert read("slack-webhook")["Parameters"]["WebhookUrl"]["NoEcho"] is True
