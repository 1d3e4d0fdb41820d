"""The fetcher on the deployed stack: overrides as docs/adding-models.md has it, and AWS's own applied rates."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from test_stack import Deliver, Metric, converse, record

from localaws.fault_proxy import FaultProxy
from localaws.instance import Instance

EXAMPLE = {
    "id": "anthropic.claude-example-6",
    "name": "Claude Example 6",
    "kind": "text",
    "max_output_tokens": 128_000,
    "burndown": [{"rate": 10, "since": "2026-11-23", "status": "listed", "source": "where you read it, and when"}],
    "quota_names": ["Anthropic Claude Example 6"],
    "source": "where you read it, and when",
}
LOG = "/aws/lambda/quota-e2e-quota-fetcher"


@pytest.fixture
def override(local: Instance) -> Iterator[Callable[[str], None]]:
    """Write the parameter of overrides, which the stack does not make; afterwards there is none again."""
    parameters, name = local.session().client("ssm"), local.outputs["RegistryOverridesParameter"]

    def write(value: str) -> None:
        parameters.put_parameter(Name=name, Type="String", Value=value, Overwrite=True)

    yield write
    parameters.delete_parameter(Name=name)


@pytest.fixture
def fetch(local: Instance, resource: Callable[[str], str]) -> Callable[[], dict[str, Any]]:
    """Run the fetcher as the rule on the parameter, or the schedule, runs it."""

    def run() -> dict[str, Any]:
        answer = local.session().client("lambda").invoke(FunctionName=resource("QuotaFetcherFunction"), Payload=b"{}")
        local.drain()
        return {"failed": "FunctionError" in answer, "answer": json.loads(answer["Payload"].read())}

    return run


def messages(local: Instance) -> list[str]:
    pages = local.session().client("logs").get_paginator("filter_log_events").paginate(logGroupName=LOG)
    return [event["message"] for page in pages for event in page["events"]]


def test_an_invented_model_takes_one_value_and_nothing_else(  # noqa: PLR0917 - fixtures
    local: Instance,
    deliver: Deliver,
    metric: Metric,
    minute: datetime,
    override: Callable[[str], None],
    fetch: Callable[[], dict[str, Any]],
    resource: Callable[[str], str],
) -> None:
    # given the value of docs/adding-models.md in the parameter, and a fetch
    unlisted = sum(metric("UnlistedModels").values())
    override(json.dumps({"models": [EXAMPLE]}))
    assert not fetch()["failed"]
    # when the model is called, seen by a processor that has the new snapshot (a new container has it at once)
    functions, name = local.session().client("lambda"), resource("MetricProcessorFunction")
    variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": {**variables, "RENEWED": "1"}})
    deliver([record(minute, "us.anthropic.claude-example-6", body=converse(None), tokens=(1_000, 20))])
    # then it counts with what the value says: 1,000 + 128,000 reserved, 1,000 + 10 × 20 consumed, and is not unlisted
    assert metric("ReservedTokens", EXAMPLE["id"], "cross-region") == {minute: 129_000}
    assert metric("ConsumedTokens", EXAMPLE["id"], "cross-region") == {minute: 1_200}
    assert sum(metric("UnlistedModels").values()) == unlisted


def test_a_wrong_override_is_refused_loudly(
    override: Callable[[str], None], fetch: Callable[[], dict[str, Any]]
) -> None:
    override('{"models": [{"id": "anthropic.claude-example-7"}]}')
    ran = fetch()
    assert ran["failed"]
    assert "models[anthropic.claude-example-7]: Object missing required field" in ran["answer"]["errorMessage"]
    assert "the last valid ones stay" in ran["answer"]["errorMessage"]


def test_a_daily_quota_of_0_is_named_once_when_calls_are_throttled(
    local: Instance, fetch: Callable[[], dict[str, Any]], queue: str, proxy: FaultProxy
) -> None:
    # field case 06: 300,000 tokens per minute and 0 tokens per day, as new accounts list it
    model_id = "mistral.mistral-7b-instruct-v0:2"

    def throttle(count: int) -> None:
        local.session().client("cloudwatch").put_metric_data(
            Namespace="AWS/Bedrock",
            MetricData=[
                {
                    "MetricName": "InvocationThrottles",
                    "Dimensions": [{"Name": "ModelId", "Value": model_id}],
                    "Timestamp": datetime.now(UTC) - timedelta(minutes=5),
                    "Value": count,
                }
            ],
        )

    said = f"daily quota is 0: Bedrock throttled calls of {model_id} (regional)"
    throttle(0)  # the pool is in use
    assert not fetch()["failed"]
    assert not any(said in message for message in messages(local))
    throttle(3)
    sqs, published = local.session().client("sqs"), len(proxy.calls)
    sqs.purge_queue(QueueUrl=queue)
    assert not fetch()["failed"]
    assert not fetch()["failed"]
    assert sum(said in message for message in messages(local)) == 1
    # and a queue gets it as plain text
    received = [json.loads(each["Body"]) for each in sqs.receive_message(QueueUrl=queue)["Messages"]]
    (news,) = [each for each in received if each.get("Subject", "").startswith("Bedrock quotas: ")]
    assert said in news["Message"].split(". ")[0]
    # and chat channels, which subscribe with https, get a custom notification
    (message,) = [
        json.loads(call.parameters["Message"]) for call in proxy.calls[published:] if call.operation == "Publish"
    ]
    assert message["default"] == news["Message"]
    notification = json.loads(message["https"])
    assert (notification["source"], notification["content"]["textType"]) == ("custom", "client-markdown")
    assert said in notification["content"]["description"]
    # and the quota that all models share is in the log, too
    assert any('"account_tokens_per_day":700000000' in message.replace(" ", "") for message in messages(local))


def test_an_applied_rate_that_is_not_the_registrys_is_told_once(
    local: Instance, fetch: Callable[[], dict[str, Any]]
) -> None:
    # given AWS's own metrics: 90,000 input, 10,000 cache write, 5,000 output at 12x
    moment = datetime.now(UTC) - timedelta(minutes=30)
    values = {
        "EstimatedTPMQuotaUsage": 160_000,
        "InputTokenCount": 90_000,
        "CacheWriteInputTokenCount": 10_000,
        "OutputTokenCount": 5_000,
    }
    local.session().client("cloudwatch").put_metric_data(
        Namespace="AWS/Bedrock",
        MetricData=[
            {
                "MetricName": name,
                "Dimensions": [{"Name": "ModelId", "Value": "us.anthropic.claude-sonnet-5-5"}],
                "Timestamp": moment,
                "Value": value,
            }
            for name, value in values.items()
        ],
    )
    # when the fetcher runs twice
    assert not fetch()["failed"]
    assert not fetch()["failed"]
    # then it says so once
    said = "burndown rate of anthropic.claude-sonnet-5-5: AWS applies 12, the registry has 10 (unlisted)"
    assert sum(said in message for message in messages(local)) == 1
