"""The network proxy: what a function asks for is told from the request, and errors are worded as the service does."""

from collections.abc import Iterator
from typing import Any

import boto3
import msgspec
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from localaws.account import Account
from localaws.fault_proxy import Call, Fault, FaultProxy

pytestmark = pytest.mark.usefixtures("no_aws")

CALLS: list[tuple[str, str, dict[str, Any], str]] = [
    ("dynamodb", "get_item", {"TableName": "t", "Key": {"id": {"S": "a"}}}, "GetItem"),
    ("ssm", "get_parameter", {"Name": "/a"}, "GetParameter"),
    ("s3", "get_object", {"Bucket": "b", "Key": "a/b c"}, "GetObject"),
    ("s3", "list_objects_v2", {"Bucket": "b"}, "ListObjectsV2"),
    ("sns", "publish", {"TopicArn": "arn:aws:sns:us-east-1:111122223333:t", "Message": "m"}, "Publish"),
    (
        "sqs",
        "send_message_batch",
        {"QueueUrl": "https://sqs/1/q", "Entries": [{"Id": "0", "MessageBody": "m"}]},
        "SendMessageBatch",
    ),
    ("bedrock", "get_inference_profile", {"inferenceProfileIdentifier": "a1"}, "GetInferenceProfile"),
    ("bedrock", "list_inference_profiles", {}, "ListInferenceProfiles"),
    ("service-quotas", "list_service_quotas", {"ServiceCode": "bedrock"}, "ListServiceQuotas"),
    ("cloudwatch", "list_metrics", {}, "ListMetrics"),
    ("logs", "create_log_group", {"logGroupName": "g"}, "CreateLogGroup"),
]
"""One call of each protocol at least: JSON, REST-JSON, REST-XML, query and CBOR."""


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    """An proxy that leads nowhere."""
    with FaultProxy().open() as opened:
        opened.forward_to(Account("http://127.0.0.1:9", "http://127.0.0.1:9", "us-east-1"))
        yield opened


def call(proxy: FaultProxy, service: str, method: str, given: dict[str, Any], seconds: float = 30) -> Any:
    config = Config(retries={"total_max_attempts": 1}, read_timeout=seconds)
    client: Any = boto3.client(service, endpoint_url=f"{proxy.url}/caller", config=config)  # type: ignore[call-overload]
    return getattr(client, method)(**given)


@pytest.mark.parametrize(
    ("service", "method", "given", "operation"),
    CALLS,
    ids=[f"{service} {operation}" for service, _, _, operation in CALLS],
)
def test_every_protocols_errors_are_understood(
    proxy: FaultProxy, service: str, method: str, given: dict[str, Any], operation: str
) -> None:
    found = {}
    for fault in (Fault.ERROR, Fault.UNAVAILABLE, Fault.THROTTLED):
        with proxy.failing(fault, service), pytest.raises(ClientError) as caught:
            call(proxy, service, method, given)
        found[fault] = caught.value.response["Error"]["Code"]
    assert found[Fault.ERROR] == "InternalServerError"
    assert found[Fault.UNAVAILABLE] == "ServiceUnavailable"
    assert any(word in found[Fault.THROTTLED] for word in ("Throttl", "TooManyRequests", "SlowDown"))
    assert [(each.function, each.service, each.operation) for each in proxy.calls] == [
        ("caller", service, operation)
    ] * 3
    assert proxy.unread == []


@pytest.mark.parametrize("fault", [Fault.HANGING, Fault.RESET])
def test_no_answer_is_none(proxy: FaultProxy, fault: Fault) -> None:
    with proxy.failing(fault, "ssm"), pytest.raises(BotoCoreError):
        call(proxy, "ssm", "get_parameter", {"Name": "/a"}, seconds=0.3)


def test_what_a_call_is_on_is_noted(proxy: FaultProxy) -> None:
    with proxy.failing(Fault.ERROR, "s3"), pytest.raises(ClientError):
        call(proxy, "s3", "get_object", {"Bucket": "b", "Key": "a/b c"})
    assert (proxy.calls[0].parameters, proxy.calls[0].status) == ({"Bucket": "b", "Key": "a/b c"}, 500)


def test_objects_to_delete_are_noted(proxy: FaultProxy) -> None:
    objects = [{"Key": "a/b c", "VersionId": "null"}, {"Key": "d&e"}]
    with proxy.failing(Fault.ERROR, "s3"), pytest.raises(ClientError):
        call(proxy, "s3", "delete_objects", {"Bucket": "b", "Delete": {"Objects": objects}})
    assert proxy.calls[0].parameters == {"Bucket": "b", "Objects": objects}


def test_a_call_is_observed_with_role_and_region_before_it_is_answered(proxy: FaultProxy) -> None:
    role = "arn:aws:iam::111122223333:role/r"
    client = boto3.Session("key", "secret", role, "eu-west-1").client(
        "ssm", endpoint_url=f"{proxy.url}/caller", config=Config(retries={"total_max_attempts": 1})
    )
    observed: list[tuple[Call, int]] = []
    proxy.observe = lambda each: observed.append((each, len(proxy.calls)))
    with proxy.failing(Fault.ERROR, "ssm"), pytest.raises(ClientError):
        client.get_parameter(Name="/a")
    ((seen, before),) = observed
    assert (seen.role, seen.region, seen.status, before) == (role, "eu-west-1", None, 0)
    assert proxy.calls == [msgspec.structs.replace(seen, status=500)]


def test_only_those_calls_fail_that_are_meant(proxy: FaultProxy) -> None:
    with (
        proxy.failing(Fault.ERROR, "ssm", operation="PutParameter"),
        proxy.failing(Fault.ERROR, "ssm", function="other"),
        proxy.failing(Fault.THROTTLED, "ssm", times=1),
    ):
        with pytest.raises(ClientError, match="Rate exceeded"):
            call(proxy, "ssm", "get_parameter", {"Name": "/a"})
        with pytest.raises(BotoCoreError):  # forwarded, and nobody is there
            call(proxy, "ssm", "get_parameter", {"Name": "/a"})
