"""What arrives twice counts once: on the deployed stack, with the state table there, and gone."""

import json
from collections.abc import Callable
from datetime import datetime

from test_stack import converse, record

from localaws.instance import Instance
from quota_monitor import sample_events as events

Metric = Callable[..., dict[datetime, float]]

BUCKET = ("cohere.command-r-v1:0", "regional")


def test_a_delivery_that_comes_twice_counts_once(
    local: Instance, metric: Metric, minute: datetime, resource: Callable[[str], str]
) -> None:
    # given one delivery, with the event ids that CloudWatch Logs gives it
    message = json.dumps(record(minute, BUCKET[0], body=converse(100), tokens=(20, 5)))
    event = events.delivery([message])
    function, invoke = resource("MetricProcessorFunction"), local.session().client("lambda").invoke
    before = sum(metric("DuplicateDeliveries").values())
    # when it is delivered, and delivered again
    first = invoke(FunctionName=function, Payload=json.dumps(event))
    second = invoke(FunctionName=function, Payload=json.dumps(event))
    local.drain()
    # then it is answered alike, counted once, and the second is named a duplicate
    assert "FunctionError" not in first
    assert "FunctionError" not in second
    assert json.loads(first["Payload"].read()) == json.loads(second["Payload"].read())
    assert metric("ReservedTokens", *BUCKET) == {minute: 120}
    assert metric("ConsumedTokens", *BUCKET, stat="SampleCount") == {minute: 1}
    assert sum(metric("DuplicateDeliveries").values()) - before == 1
