"""Logs through a data stream: the deployed stack changed over to it, its numbers against an independent sum.

The emulator's CloudWatch Logs delivers to functions alone: what it would put into the stream is put there by hand. Its
event source mapping reads streams, and knows nothing of partial answers, halves and failure destinations: what Lambda
does with these is `shard`'s, from AWS's pages.
"""

import base64
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import shard
from click.testing import CliRunner
from iam.authorization import Authorization
from iam.evaluator import ALLOWED, evaluate
from iam.recorder import Recorder, request_of
from oracle import facts_of, sum_up
from test_stack import converse, record

from localaws import instance
from localaws.account import ACCOUNT_ID
from localaws.deployment import Deployment
from localaws.fault_proxy import FaultProxy
from localaws.instance import CHECKOUT, Instance
from localaws.state import StateDirectory
from quota_monitor import sample_events as events
from quota_monitor.deployment.checkout import ROOT
from quota_monitor.main import main

Metric = Callable[..., dict[datetime, float]]
Resource = Callable[[str], str]

LLAMA = "meta.llama3-1-405b-instruct-v1:0"
DEEPSEEK = "us.deepseek.r1-v1:0"
HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
BROKEN = {"awslogs": {"data": base64.b64encode(b"no gzip at all").decode()}}
SECONDS = 30.0


@pytest.fixture(scope="module")
def streaming(local: Instance, proxy: FaultProxy) -> Iterator[Instance]:
    """The stack that the other tests have used, changed over."""
    parameters = {"RequestMetadataKeys": "team,environment"}

    def deployed(ingestion: str) -> Instance:
        """Deploy the build again with another parameter."""
        directory, given = StateDirectory(local.directory), {**parameters, "Ingestion": ingestion}
        Deployment(CHECKOUT, local.account, local.stack_name, directory, given, proxy_url=proxy.url).deploy(
            lambda *_: None
        )
        deployed = instance.status(local.directory).instance
        assert deployed is not None
        return deployed

    yield deployed("kinesis")
    assert "InvocationLogStreamArn" not in deployed("direct").outputs
    assert local.session().client("kinesis").list_streams()["StreamNames"] == []


@pytest.fixture(scope="module")
def put(streaming: Instance) -> Callable[[Sequence[dict[str, Any]]], None]:
    """Put deliveries into the stream as CloudWatch Logs does at random: gzip, under keys of no meaning."""
    kinesis, stream = streaming.session().client("kinesis"), streaming.outputs["InvocationLogStreamArn"]
    keys = itertools.count()

    def put(deliveries: Sequence[dict[str, Any]]) -> None:
        for each in deliveries:
            data = base64.b64decode(each["awslogs"]["data"])
            kinesis.put_record(StreamARN=stream, Data=data, PartitionKey=f"key-{next(keys)}")

    return put


def delivery(*records: dict[str, Any] | str) -> dict[str, Any]:
    return events.delivery([each if isinstance(each, str) else json.dumps(each) for each in records])


def until(local: Instance, expected: float, read: Callable[[], dict[datetime, float]]) -> None:
    """Wait until a metric's sum is at least this; what it is then is the test's to say."""
    deadline = time.monotonic() + SECONDS
    while sum(read().values()) < expected:
        assert time.monotonic() < deadline, "the stream is not read"
        local.drain()
        time.sleep(0.2)


def test_the_same_filter_feeds_the_stream(streaming: Instance, resource: Resource) -> None:
    # given the stack that was deployed to read directly, when it is changed over
    stream = streaming.outputs["InvocationLogStreamArn"]
    logs, functions = streaming.session().client("logs"), streaming.session().client("lambda")
    (found,) = logs.describe_subscription_filters(logGroupName=streaming.outputs["InvocationLogGroupName"])[
        "subscriptionFilters"
    ]
    (mapping,) = functions.list_event_source_mappings(EventSourceArn=stream)["EventSourceMappings"]
    # then
    assert (found["destinationArn"], found["distribution"]) == (stream, "Random")
    assert found["roleArn"].endswith(resource("InvocationLogStreamRole"))
    assert mapping["FunctionArn"].endswith(resource("MetricProcessorFunction"))
    assert (mapping["BatchSize"], mapping["FunctionResponseTypes"]) == (200, ["ReportBatchItemFailures"])
    assert resource("FailedDeliveriesBucket") in mapping["DestinationConfig"]["OnFailure"]["Destination"]


def test_roles_of_the_stream_may_do_what_aws_does_with_them_and_nothing_else(
    streaming: Instance, recorder: Recorder, resource: Resource
) -> None:
    # given what Lambda does with the processor's role, and CloudWatch Logs with its own:
    # https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-create.html (read 2026-11-28)
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html (read 2026-11-28)
    stream = streaming.outputs["InvocationLogStreamArn"]
    reads = {"DescribeStream", "DescribeStreamSummary", "GetRecords", "GetShardIterator", "ListShards"}
    expected = {"MetricProcessorRole": reads, "InvocationLogStreamRole": {"PutRecord"}}
    every = sorted({*reads, "PutRecord", "PutRecords", "DeleteStream", "SplitShard", "MergeShards"})
    asked = [(role, action, on) for role in expected for action in every for on in (stream, f"{stream}-other")]
    policies = {role: recorder.policies(resource(role)) for role in expected}
    arns = {role: f"arn:aws:iam::{ACCOUNT_ID}:role/{resource(role)}" for role in expected}
    # when
    found = evaluate(
        [request_of(arns[role], Authorization(f"kinesis:{action}", on), policies[role]) for role, action, on in asked]
    )
    # then
    allowed = {given for given, verdict in zip(asked, found, strict=True) if verdict.result == ALLOWED}
    assert allowed == {(role, action, stream) for role, actions in expected.items() for action in actions}


def test_the_doctor_looks_at_the_stream(streaming: Instance, resource: Resource, monkeypatch: Any) -> None:
    # given the stream's reader switched off, then what fills it without its policy, then all as it was
    monkeypatch.setenv("AWS_CONFIG_FILE", str(streaming.cli_config))
    functions, uuid = streaming.session().client("lambda"), resource("InvocationLogStreamMapping")
    iam: Any = streaming.session().client("iam")
    policy = {"RoleName": resource("InvocationLogStreamRole"), "PolicyName": "put-invocation-logs"}

    def said() -> list[str]:
        arguments = ["doctor", "--profile", "local", "--stack-name", streaming.stack_name]
        output = CliRunner(env={"COLUMNS": "1000"}).invoke(main, arguments).output
        return [
            line for line in output.splitlines() if line.split()[1:2] in (["subscription"], ["stream"], ["permission"])
        ]

    functions.update_event_source_mapping(UUID=uuid, Enabled=False)
    ill = said()
    functions.update_event_source_mapping(UUID=uuid, Enabled=True, FunctionResponseTypes=[])
    document = iam.get_role_policy(**policy)["PolicyDocument"]
    iam.delete_role_policy(**policy)
    worse = said()
    iam.put_role_policy(**policy, PolicyDocument=json.dumps(document))
    functions.update_event_source_mapping(UUID=uuid, FunctionResponseTypes=["ReportBatchItemFailures"])
    well = said()
    # then
    assert [line.split()[:2] for line in ill] == [["ok", "subscription"], ["problem", "stream"]]
    assert "its event source mapping is Disabled" in ill[1]
    assert [line.split()[:2] for line in worse] == [["ok", "subscription"], *[["problem", "stream"]] * 2]
    assert "CloudWatch Logs is not allowed to write to" in worse[1]
    assert "does not report partial batch failures" in worse[2]
    assert [line.split()[:2] for line in well] == [["ok", "subscription"], ["ok", "stream"]]


def test_numbers_through_the_stream_are_those_of_an_independent_sum(
    streaming: Instance, put: Callable[..., None], metric: Metric, minute: datetime
) -> None:
    # given 60 calls of three models in four minutes, and broken records among them, in 20 deliveries
    names = ("RecordsProcessed", "RecordsRejected", "RequestsFailed")
    before = {name: sum(metric(name).values()) for name in names}
    calls = [
        record(
            minute + timedelta(minutes=n % 4),
            (LLAMA, DEEPSEEK, HAIKU)[n % 3],
            second=n,
            body=converse(100 + n),
            tokens=(10 * n + 1, n),
            cached=(5 * n, 3 * n),
        )
        for n in range(60)
    ]

    def unusable(n: int) -> list[dict[str, Any] | str]:
        return [record(minute, HAIKU, second=n, errorCode="ThrottlingException"), f"{{broken {n}"]

    deliveries = [delivery(*calls[n : n + 3], *(unusable(n) if n % 15 == 0 else [])) for n in range(0, 60, 3)]
    # when
    put(deliveries)
    until(streaming, before["RecordsProcessed"] + 60, lambda: metric("RecordsProcessed"))
    # then
    expected = sum_up(calls, facts_of(ROOT / "registry" / "models", datetime.now(UTC)), {}).pools
    assert len(expected) == 3
    for bucket, minutes in expected.items():
        assert metric("ReservedTokens", *bucket) == {at: sums.reserved for at, sums in minutes.items()}
        assert metric("ConsumedTokens", *bucket) == {at: sums.consumed for at, sums in minutes.items()}
        requests = metric("ConsumedTokens", *bucket, stat="SampleCount")
        assert requests == {at: sums.requests for at, sums in minutes.items()}
    now = {name: sum(metric(name).values()) - before[name] for name in names}
    assert now == {"RecordsProcessed": 60, "RecordsRejected": 4, "RequestsFailed": 4}


def test_what_is_put_into_the_stream_twice_counts_once(
    streaming: Instance, put: Callable[..., None], metric: Metric, minute: datetime
) -> None:
    bucket = ("mistral.mixtral-8x7b-instruct-v0:1", "regional")
    before = sum(metric("DuplicateDeliveries").values())
    one = delivery(record(minute, bucket[0], body=converse(100), tokens=(20, 5)))

    put([one])
    until(streaming, 120, lambda: metric("ReservedTokens", *bucket))
    put([one])
    until(streaming, before + 1, lambda: metric("DuplicateDeliveries"))

    assert metric("ReservedTokens", *bucket) == {minute: 120}
    assert sum(metric("DuplicateDeliveries").values()) == before + 1


def test_a_delivery_that_fails_is_kept_alone_and_replayed(
    streaming: Instance, metric: Metric, minute: datetime, resource: Resource, monkeypatch: Any
) -> None:
    # given a batch of five, of which one can never be read, and Lambda's way with it
    monkeypatch.setenv("AWS_CONFIG_FILE", str(streaming.cli_config))
    session, function, bucket = (
        streaming.session(),
        resource("MetricProcessorFunction"),
        resource("FailedDeliveriesBucket"),
    )
    model = "ai21.jamba-1-5-mini-v1:0"
    good = [delivery(record(minute, model, second=n, body=converse(10 * n), tokens=(n, 1))) for n in range(1, 5)]
    batch = events.batch([*good[:2], BROKEN, *good[2:]], streaming.outputs["InvocationLogStreamArn"])["Records"]

    def invoke(event: dict[str, Any]) -> Any:
        answer = session.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        return None if "FunctionError" in answer else json.loads(answer["Payload"].read())

    # when
    given_up = shard.consume(batch, invoke, retries=1)
    streaming.drain()
    # then the others count once: 1 + 10, 2 + 20, 3 + 30, 4 + 40
    assert given_up == [[batch[2]]]
    assert metric("ReservedTokens", model, "regional") == {minute: 110}
    assert metric("ConsumedTokens", model, "regional", stat="SampleCount") == {minute: 4}
    # and what is kept can be listed and, as far as it can be read, replayed: here a batch of it and a good one
    late = delivery(record(minute, model, second=9, body=converse(50), tokens=(5, 1)))
    late_record = events.batch([late])["Records"][0]
    key = "aws/lambda/9d2a0f3e/shardId-000000000000/2026/11/20/2026-11-20T09.20.00-1"
    session.client("s3").put_object(Bucket=bucket, Key=key, Body=shard.kept([*given_up[0], late_record]))
    arguments = ["--profile", "local", "--stack-name", streaming.stack_name]
    listed = CliRunner().invoke(main, ["failed", "list", *arguments])
    replayed = CliRunner().invoke(main, ["failed", "replay", *arguments])
    streaming.drain()
    assert key in listed.output
    assert f"Still failing: {key}: 1 of its 2 deliveries failed again, the first: " in replayed.output
    assert "awslogs.data is not gzip" in replayed.output
    assert metric("ReservedTokens", model, "regional") == {minute: 165}
    left = json.loads(session.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
    assert json.loads(left["payload"])["Records"] == [*given_up[0], late_record]  # as Lambda wrote it
    again = CliRunner().invoke(main, ["failed", "replay", "--key", key, *arguments])
    streaming.drain()
    assert "1 of its 2 deliveries failed again" in again.output
    assert metric("ReservedTokens", model, "regional") == {minute: 165}
    for each in (key, f"progress/{key}"):
        session.client("s3").delete_object(Bucket=bucket, Key=each)
