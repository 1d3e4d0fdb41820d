"""The deployed stack: records written as Bedrock writes them, metrics read back as a dashboard reads them."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from localaws.instance import Instance

Deliver = Callable[[Sequence[dict[str, Any] | str]], None]
Metric = Callable[..., dict[datetime, float]]

ACCOUNT = "111122223333"
SECRET = "the-launch-code-is-7-pears"


def record(
    minute: datetime,
    model_id: str,
    *,
    second: int = 5,
    operation: str = "Converse",
    body: dict[str, Any] | None = None,
    tokens: tuple[int, int] = (0, 0),
    cached: tuple[int, int] = (0, 0),
    **more: Any,
) -> dict[str, Any]:
    return {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "timestamp": (minute + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "accountId": ACCOUNT,
        "region": "us-east-1",
        "requestId": f"00000000-0000-4000-8000-{second:012d}",
        "operation": operation,
        "modelId": model_id,
        "identity": {"arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/e2e-app/{SECRET}"},
        "input": {
            "inputContentType": "application/json",
            "inputTokenCount": tokens[0],
            "cacheReadInputTokenCount": cached[0],
            "cacheWriteInputTokenCount": cached[1],
            **({} if body is None else {"inputBodyJson": body}),
        },
        "output": {
            "outputContentType": "application/json",
            "outputBodyJson": {"output": {"message": {"role": "assistant", "content": [{"text": SECRET}]}}},
            "outputTokenCount": tokens[1],
        },
        **more,
    }


def converse(max_tokens: int | None) -> dict[str, Any]:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": SECRET}]}]}
    return body if max_tokens is None else {**body, "inferenceConfig": {"maxTokens": max_tokens}}


def test_awss_worked_example_comes_back_from_cloudwatch(deliver: Deliver, metric: Metric, minute: datetime) -> None:
    # given AWS's example, twice in one minute and once in the next, on a model at 5x
    model = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    later = minute + timedelta(minutes=1)
    example: dict[str, Any] = {"body": converse(32_000), "tokens": (3_000, 1_000), "cached": (4_000, 1_000)}
    # when
    deliver(
        [
            record(minute, model, second=0, **example),
            record(minute, model, second=59, **example),
            record(later, model, second=0, **example),
        ]
    )
    # then 3,000 + 1,000 + 32,000 reserved and 3,000 + 1,000 + 5 × 1,000 consumed a call
    pool = ("anthropic.claude-sonnet-4-5-20250929-v1:0", "cross-region")
    assert metric("ReservedTokens", *pool) == {minute: 72_000, later: 36_000}
    assert metric("ConsumedTokens", *pool) == {minute: 18_000, later: 9_000}
    assert metric("ConsumedTokens", *pool, stat="SampleCount") == {minute: 2, later: 1}
    assert metric("MaxTokens", *pool, stat="Maximum") == {minute: 32_000, later: 32_000}
    assert metric("OutputTokens", *pool) == {minute: 2_000, later: 1_000}


def test_percentages_are_of_the_live_quota(local: Instance, deliver: Deliver, metric: Metric, minute: datetime) -> None:
    # given the quota that Service Quotas has for this pool
    quotas = local.session().client("service-quotas")
    pages = quotas.get_paginator("list_aws_default_service_quotas").paginate(ServiceCode="bedrock")
    values = {quota["QuotaName"]: quota["Value"] for page in pages for quota in page["Quotas"]}
    for page in quotas.get_paginator("list_service_quotas").paginate(ServiceCode="bedrock"):
        values |= {quota["QuotaName"]: quota["Value"] for quota in page["Quotas"]}
    tokens = values["Cross-region model inference tokens per minute for Amazon Nova Pro"]
    requests = values["Cross-region model inference requests per minute for Amazon Nova Pro"]
    # when
    deliver(
        [
            record(minute, "us.amazon.nova-pro-v1:0", body=converse(700), tokens=(300, 100)),
            record(minute, "eu.amazon.nova-pro-v1:0", body=converse(1_700), tokens=(300, 200)),
        ]
    )
    # then 300 + 700 + 300 + 1,700 reserved, 300 + 100 + 300 + 200 consumed at 1x, two requests
    pool = ("amazon.nova-pro-v1:0", "cross-region")
    assert metric("ReservedQuotaPercent", *pool) == {minute: pytest.approx(100 * 3_000 / tokens)}
    assert metric("ConsumedQuotaPercent", *pool) == {minute: pytest.approx(100 * 900 / tokens)}
    assert metric("RequestQuotaPercent", *pool) == {minute: pytest.approx(100 * 2 / requests)}


def test_the_fetcher_publishes_quotas_of_pools_in_use_alone(
    local: Instance, deliver: Deliver, metric: Metric, minute: datetime, resource: Callable[[str], str]
) -> None:
    # given a call of one model
    deliver([record(minute, "cohere.embed-english-v3", operation="InvokeModel", body={"texts": []}, tokens=(9, 0))])
    # when the fetcher runs as its schedule runs it
    answer = local.session().client("lambda").invoke(FunctionName=resource("QuotaFetcherFunction"), Payload=b"{}")
    local.drain()
    # then that pool's quota is a metric, and that of a pool nobody used is not
    assert "FunctionError" not in answer
    assert list(metric("TokenQuota", "cohere.embed-english-v3", "regional", stat="Maximum").values()) == [300_000]
    assert metric("TokenQuota", "cohere.embed-multilingual-v3", "regional", stat="Maximum") == {}


def test_an_application_profile_counts_towards_its_models_pool(
    local: Instance, deliver: Deliver, metric: Metric, minute: datetime
) -> None:
    # given an application profile over an in-Region model
    source = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0"
    profile = (
        local.session()
        .client("bedrock")
        .create_inference_profile(inferenceProfileName="e2e", modelSource={"copyFrom": source})["inferenceProfileArn"]
    )
    # when
    deliver([record(minute, profile, body=converse(50), tokens=(7, 3))])
    # then
    assert metric("ReservedTokens", "amazon.nova-micro-v1:0", "regional") == {minute: 57}


def test_every_record_is_accounted_for(deliver: Deliver, metric: Metric, minute: datetime) -> None:
    names = ("RecordsProcessed", "RecordsRejected", "RecordsOutOfScope", "RequestsFailed", "MaxTokensUnknown")
    before = {name: sum(metric(name).values()) for name in names}
    good = record(minute, "mistral.mistral-large-2402-v1:0", body=converse(5), tokens=(1, 1))
    # when a delivery holds one of each
    deliver(
        [
            "Permissions are correctly set for Amazon Bedrock logs.",
            "neither JSON nor anything else",
            {**good, "timestamp": "2020-01-01T00:00:00Z"},
            {**good, "modelId": f"arn:aws:bedrock:us-east-1:{ACCOUNT}:provisioned-model/abc123def456"},
            {**good, "errorCode": "ThrottlingException", "input": {}, "output": {}},
            record(minute, "mistral.mistral-large-2402-v1:0", tokens=(10, 1)),
            good,
        ]
    )
    # then two are processed, one of them with an unknown max_tokens, and each other stands in its count
    counted = {name: sum(metric(name).values()) - before[name] for name in names}
    assert counted == {
        "RecordsProcessed": 2,
        "RecordsRejected": 2,
        "RecordsOutOfScope": 1,
        "RequestsFailed": 1,
        "MaxTokensUnknown": 1,
    }
    # and only the known max_tokens is drawn
    assert metric("ReservedTokens", "mistral.mistral-large-2402-v1:0", "regional") == {minute: 6}
    assert metric("ConsumedTokens", "mistral.mistral-large-2402-v1:0", "regional") == {minute: 13}


def test_a_delivery_that_cannot_be_read_fails_loudly(local: Instance, resource: Callable[[str], str]) -> None:
    answer = (
        local.session()
        .client("lambda")
        .invoke(FunctionName=resource("MetricProcessorFunction"), Payload=json.dumps({"awslogs": {"data": "AAAA"}}))
    )
    assert answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"].read())["errorMessage"] == "awslogs.data is not gzip"


def test_metric_lines_say_who_called_and_how(local: Instance, deliver: Deliver, minute: datetime) -> None:
    # given a tagged call; "ticket" is not on the stack's list of keys
    tags = {"team": "search", "environment": "prod", "ticket": SECRET}
    deliver([record(minute, "global.cohere.embed-v4:0", body=converse(3), tokens=(12, 0), requestMetadata=tags)])
    # when
    found = (
        local.session()
        .client("logs")
        .filter_log_events(logGroupName="/aws/lambda/quota-e2e-metric-processor")["events"]
    )
    # then
    (line,) = [
        json.loads(event["message"])
        for event in found
        if '"caller":"e2e-app"' in event["message"] and "cohere.embed-v4:0" in event["message"]
    ]
    assert line["caller"] == "e2e-app"
    assert line["operation"] == "Converse"
    assert line["max_tokens_source"] == "none"
    assert line["request_metadata"] == {"team": "search", "environment": "prod"}
    assert (line["requests"], line["reserved_tokens"], line["consumed_tokens"]) == (1, 12, 12)


def test_no_prompt_is_anywhere_but_in_bedrocks_own_log(local: Instance, deliver: Deliver, minute: datetime) -> None:
    # given a secret in prompts, answers, session names, tags, and in broken records
    whole = record(minute, "us.amazon.nova-lite-v1:0", body=converse(9), tokens=(4, 2))
    deliver(
        [
            whole,
            json.dumps(whole)[:-20],
            {**whole, "modelId": SECRET},
            {**whole, "timestamp": SECRET},
            {**whole, "requestId": f"{SECRET} {SECRET}", "input": SECRET},
            {**whole, "input": {**whole["input"], "inputBodyJson": [SECRET]}},
        ]
    )
    session = local.session()
    # when we look everywhere else
    logs = session.client("logs")
    own_groups = [
        group["logGroupName"]
        for group in logs.describe_log_groups()["logGroups"]
        if group["logGroupName"] != local.outputs["InvocationLogGroupName"]
    ]
    texts = [
        event["message"]
        for group in own_groups
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        for event in page["events"]
    ]
    tables = session.client("dynamodb")
    for name in tables.list_tables()["TableNames"]:
        texts += [repr(item) for item in tables.scan(TableName=name)["Items"]]
    texts += [repr(page) for page in session.client("cloudwatch").get_paginator("list_metrics").paginate()]
    buckets = session.client("s3")
    for bucket in buckets.list_buckets()["Buckets"]:
        if "failed" in bucket["Name"]:
            texts.append(repr(buckets.list_objects_v2(Bucket=bucket["Name"])))
    # then
    assert len(own_groups) >= 3
    assert any("e2e-app" in text for text in texts)
    assert [text for text in texts if SECRET in text] == []
