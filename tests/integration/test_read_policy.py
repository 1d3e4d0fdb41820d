"""The policy in docs/permissions.md for whoever only looks, judged by an IAM evaluator."""

import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from documented_actions import actions_of, reading_policy
from iam import evaluator
from iam.authorization import any_resource
from iam.evaluator import ALLOWED, DENIED, Request, evaluate

from localaws.account import ACCOUNT_ID

LOGS = f"arn:aws:logs:us-east-1:{ACCOUNT_ID}:log-group:"
STACK = "bedrock-quota-monitor"
METRIC_LINES = (f"{LOGS}/aws/lambda/{STACK}-metric-processor", f"{LOGS}/aws/lambda/{STACK}-quota-fetcher")
INVOCATION_LOG = f"{LOGS}/aws/bedrock/modelinvocations"
ON = {
    "cloudformation": (f"arn:aws:cloudformation:us-east-1:{ACCOUNT_ID}:stack/{STACK}/x",),
    "logs": tuple(f"{group}{streams}" for group in METRIC_LINES for streams in ("", ":log-stream:x")),
}
DASHBOARD = "the dashboard and the saved queries"
READS_LOGS = {
    "logs:FilterLogEvents": "",
    "logs:GetLogEvents": ":log-stream:x",
    "logs:StartQuery": "",
    "logs:StartLiveTail": "",
}
"""Actions by which a log can be read, with the place below the log group that they are on."""


@functools.cache
def managed_policy(name: str) -> Any:
    from moto.iam.aws_managed_policies import aws_managed_policies_data  # noqa: PLC0415 - 4 MB of text

    return json.loads(aws_managed_policies_data)[name]["Document"]


def results(policy: Mapping[str, Any], asked: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    pairs = list(asked)
    requests = [
        Request(
            principal=f"arn:aws:iam::{ACCOUNT_ID}:role/reader",
            account=ACCOUNT_ID,
            action=action,
            resource=resource,
            policies={"policy": policy},
        )
        for action, resource in pairs
    ]
    return dict(zip(pairs, (each.result for each in evaluate(requests)), strict=True))


def on_the_stack(actions: Iterable[str]) -> list[tuple[str, str]]:
    """Return each action with what it is on in the stack; events are in log streams, and queries on log groups."""
    found = []
    for action in sorted(actions):
        service, _, name = action.partition(":")
        types = {each["name"] for each in evaluator.read_data("actions", service)[name.lower()]["resourceTypes"]}
        own = [each for each in ON.get(service, ()) if ("log-stream:" in each) == ("log-stream" in types)]
        found += [(action, each) for each in (own if types and own else [any_resource(action)])]
    return found


@pytest.mark.parametrize("command", [DASHBOARD, "quota-monitor report"])
def test_the_policy_allows_what_the_page_names(command: str) -> None:
    found = results(reading_policy(), on_the_stack(actions_of(command)))

    assert len(found) >= 7
    assert set(found.values()) == {ALLOWED}, found


def test_no_prompt_can_be_read_with_it() -> None:
    asked = [(action, f"{INVOCATION_LOG}{place}") for action, place in READS_LOGS.items()]
    asked += [("s3:GetObject", f"arn:aws:s3:::{STACK}-failed-x/key"), ("s3:GetObject", "arn:aws:s3:::logs/AWSLogs/key")]

    assert set(results(reading_policy(), asked).values()) <= DENIED


def test_the_policy_names_nothing_that_the_page_does_not() -> None:
    written = {action for each in reading_policy()["Statement"] for action in each["Action"]}

    # the console lists dashboards, and the alarms beside them
    listed = {"cloudwatch:ListDashboards", "cloudwatch:DescribeAlarms"}
    assert written == actions_of(DASHBOARD) | actions_of("quota-monitor report") | listed


def test_the_policy_of_aws_shows_the_dashboard() -> None:
    found = results(managed_policy("CloudWatchReadOnlyAccess"), on_the_stack(actions_of(DASHBOARD)))

    assert set(found.values()) == {ALLOWED}, found


@pytest.mark.parametrize("name", ["ReadOnlyAccess", "CloudWatchReadOnlyAccess"])
def test_the_policies_of_aws_read_prompts_too(name: str) -> None:
    found = results(managed_policy(name), [("logs:GetLogEvents", f"{INVOCATION_LOG}:log-stream:x")])

    assert set(found.values()) == {ALLOWED}


def test_stacks_are_listed_in_no_narrower_way_than_all_of_them() -> None:
    assert actions_of("with a * in --stack-name") == {"cloudformation:ListStacks"}
    assert evaluator.read_data("actions", "cloudformation")["liststacks"]["resourceTypes"] == []
