"""Bodies that S3 has later than the log has their record, on the deployed stack. The clock runs 30 times as fast."""

import gzip
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from conftest import PROCESSOR_LOG
from late_calls import sped_up, wait_until_empty
from test_stack import SECRET, Deliver, Metric, converse, record

from localaws.fault_proxy import Fault, FaultProxy
from localaws.instance import Instance

MODEL = "meta.llama3-8b-instruct-v1:0"
SPEED = 30
"""A body is read again every 2 s, for 10 s."""

LATE = {"at once": 0, "after 30 s": 30, "after 90 s": 90}
"""Seconds after the record in which a body comes. One more never comes."""

Resource = Callable[[str], str]


@pytest.fixture(scope="module")
def in_a_hurry(local: Instance, resource: Resource) -> Iterator[None]:
    with sped_up(local.session(), resource("MetricProcessorFunction"), resource("LateBodiesQueue"), SPEED):
        yield


def large(at: datetime, bucket: str, name: str) -> dict[str, Any]:
    """A call of 10 tokens in and 5 out, whose body is in S3."""
    made = record(at, MODEL, tokens=(10, 5))
    made["input"]["inputBodyS3Path"] = f"s3://{bucket}/AWSLogs/late/{name}.json.gz"
    return made


def health(local: Instance, since: float) -> list[dict[str, Any]]:
    """The processor's health lines of calls, logged since a time."""
    pages = local.session().client("logs").get_paginator("filter_log_events")
    found = pages.paginate(logGroupName=PROCESSOR_LOG, startTime=int(since * 1000), filterPattern="")
    messages = [event["message"] for page in found for event in page["events"]]
    assert not any(SECRET in message for message in messages)
    lines = [json.loads(message) for message in messages if message.startswith("{")]
    return [line for line in lines if line.get("event") == "delivery"]


def count_duplicates(local: Instance, since: float) -> int:
    """Return how many deliveries the processor has known again since a time."""
    pages = local.session().client("logs").get_paginator("filter_log_events")
    found = pages.paginate(logGroupName=PROCESSOR_LOG, startTime=int(since * 1000), filterPattern="")
    lines = [json.loads(each["message"]) for page in found for each in page["events"] if "Duplicate" in each["message"]]
    return sum(line.get("DuplicateDeliveries", 0) for line in lines)


def test_s3_answers_a_function_403_for_an_object_that_is_not_there(local: Instance, large_bodies: str) -> None:
    """And 404 to a caller who may list: the emulator answers as S3 does."""
    session = local.session()
    with pytest.raises(ClientError, match="NoSuchKey"):
        session.client("s3").get_object(Bucket=large_bodies, Key="AWSLogs/late/none")


@pytest.mark.usefixtures("in_a_hurry")
def test_bodies_that_come_late_count_as_if_they_had_been_there(  # noqa: PLR0917 - fixtures
    local: Instance, deliver: Deliver, metric: Metric, minute: datetime, large_bodies: str, resource: Resource
) -> None:
    at, began = minute + timedelta(minutes=40), time.time()
    s3 = local.session().client("s3")

    def put(name: str) -> None:
        body = gzip.compress(json.dumps(converse(100)).encode())
        s3.put_object(Bucket=large_bodies, Key=f"AWSLogs/late/{name}.json.gz", Body=body)

    # given three calls whose bodies come 0, 30 and 90 s after their record, and one whose body never comes
    put("at once")
    deliver([large(at, large_bodies, name) for name in (*LATE, "never")])
    delivered = time.monotonic()
    assert metric("ConsumedTokens", MODEL, "regional", stat="SampleCount")[at] == 1
    # when they come
    for name, seconds in LATE.items():
        time.sleep(max(0.0, delivered + seconds / SPEED - time.monotonic()))
        put(name)
    wait_until_empty(local.session().client("sqs"), resource("LateBodiesQueue"))
    local.drain()
    # then each counts once: 10 + 100 reserved, 10 + 5 consumed
    assert metric("ReservedTokens", MODEL, "regional", stat="SampleCount")[at] == 3
    assert metric("ReservedTokens", MODEL, "regional")[at] == 3 * 110
    assert metric("MaxTokens", MODEL, "regional")[at] == 3 * 100
    assert metric("ConsumedTokens", MODEL, "regional", stat="SampleCount")[at] == 4
    assert metric("ConsumedTokens", MODEL, "regional")[at] == 4 * 15
    # and health adds up: four calls, of which three were set aside, some of them again
    total: Counter[str] = Counter()
    for line in health(local, began):
        counted = [line.get(name, 0) for name in ("RecordsProcessed", "RecordsRejected", "RecordsOutOfScope")]
        others = [line.get(name, 0) for name in ("RequestsFailed", "ignored", "set_aside")]
        assert line["received"] == sum(counted + others)
        total.update({name: line.get(name, 0) for name in ("received", "set_aside", "returned", "RecordsProcessed")})
        total.update({name: line.get(name, 0) for name in ("max_tokens_explicit", "MaxTokensUnknown")})
    assert total["received"] - total["returned"] == total["RecordsProcessed"] == 4
    assert total["set_aside"] == total["returned"] >= 3
    assert (total["max_tokens_explicit"], total["MaxTokensUnknown"]) == (3, 1)
    # and the log says why one body is missing: to the function, which may not list, S3 says no more
    events = (
        local.session()
        .client("logs")
        .filter_log_events(logGroupName=PROCESSOR_LOG, startTime=int(began * 1000), filterPattern="")["events"]
    )
    warnings = [
        json.loads(each["message"]) for each in events if "could not read large request bodies" in each["message"]
    ]
    assert [each["reasons"] for each in warnings] == [{"AccessDenied": 1}]


@pytest.mark.usefixtures("in_a_hurry")
def test_a_message_whose_run_fails_comes_again_and_counts_once(  # noqa: PLR0917 - fixtures
    local: Instance,
    proxy: FaultProxy,
    deliver: Deliver,
    metric: Metric,
    minute: datetime,
    large_bodies: str,
    resource: Resource,
) -> None:
    # given a call that was set aside, and two messages with it, as SQS may deliver one twice
    at, queue = minute + timedelta(minutes=41), resource("LateBodiesQueue")
    sqs, s3 = local.session().client("sqs"), local.session().client("s3")
    known = len(proxy.calls)
    deliver([large(at, large_bodies, "twice")])
    (sent,) = [each for each in proxy.calls[known:] if each.operation == "SendMessageBatch"]
    assert metric("ConsumedTokens", MODEL, "regional").get(at) is None
    body = sent.parameters["Entries"][0]["MessageBody"]
    # when its body comes
    packed = gzip.compress(json.dumps(converse(100)).encode())
    s3.put_object(Bucket=large_bodies, Key="AWSLogs/late/twice.json.gz", Body=packed)
    wait_until_empty(sqs, queue)
    sqs.send_message(QueueUrl=queue, MessageBody=body)
    sqs.send_message(QueueUrl=queue, MessageBody="not a message")
    wait_until_empty(sqs, queue)
    local.drain()
    # then it counts once, and what is no message is dropped
    assert metric("ReservedTokens", MODEL, "regional")[at] == 110
    assert metric("ReservedTokens", MODEL, "regional", stat="SampleCount")[at] == 1


@pytest.mark.usefixtures("in_a_hurry")
@pytest.mark.parametrize(
    ("fault", "sent", "minutes"),
    [
        pytest.param(Fault.RESET, 0, 42, id="nothing arrives there"),
        pytest.param(Fault.LOST_ANSWER, 2, 43, id="both attempts arrive there"),
    ],
)
def test_without_an_answer_of_the_queue_the_call_is_unknown_at_once_and_counts_once(  # noqa: PLR0917 - fixtures
    local: Instance,
    proxy: FaultProxy,
    deliver: Deliver,
    metric: Metric,
    minute: datetime,
    large_bodies: str,
    resource: Resource,
    fault: Fault,
    sent: int,
    minutes: int,
) -> None:
    at, began = minute + timedelta(minutes=minutes), time.time()
    with proxy.failing(fault, "sqs"):
        deliver([large(at, large_bodies, f"no queue {minutes}")])
    assert metric("ConsumedTokens", MODEL, "regional")[at] == 15
    assert metric("ReservedTokens", MODEL, "regional").get(at) is None
    # when the body comes, and the messages that the queue has are received
    body = gzip.compress(json.dumps(converse(100)).encode())
    local.session().client("s3").put_object(
        Bucket=large_bodies, Key=f"AWSLogs/late/no queue {minutes}.json.gz", Body=body
    )
    wait_until_empty(local.session().client("sqs"), resource("LateBodiesQueue"))
    local.drain()
    # then they are duplicates
    assert metric("ConsumedTokens", MODEL, "regional")[at] == 15
    assert metric("ReservedTokens", MODEL, "regional").get(at) is None
    assert count_duplicates(local, began) == sent
