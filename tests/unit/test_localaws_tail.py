"""The tail: every event once, whatever the order they come in, and nothing lost when the emulator hiccups."""

import json
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from localaws.counters import Counters
from localaws.tail import Tail

GROUP = "/aws/lambda/processor"
NOW_MS = 1_795_420_800_000


class NotFoundError(Exception):
    pass


class Logs:
    """CloudWatch Logs of one function: pages of two events and one stream, as small as can be."""

    exceptions = SimpleNamespace(ResourceNotFoundException=NotFoundError)

    def __init__(self):
        self.groups = {}
        self.reads = 0

    def put(self, *events, stream="s", group=GROUP):
        stored = self.groups.setdefault(group, {}).setdefault(stream, [])
        stored.extend({"timestamp": at, "message": message, "ingestionTime": NOW_MS} for at, message in events)
        stored.sort(key=lambda event: event["timestamp"])

    def get_paginator(self, _operation):
        return SimpleNamespace(paginate=self._pages)

    def _pages(self, logGroupName):  # noqa: N803 - the API's name
        if logGroupName not in self.groups:
            raise NotFoundError
        for name, events in self.groups[logGroupName].items():
            size = sum(len(event["message"]) for event in events)
            yield {"logStreams": [{"logStreamName": name, "lastIngestionTime": NOW_MS, "storedBytes": size}]}

    def get_log_events(self, *, logGroupName, logStreamName, startFromHead, nextToken="0"):  # noqa: N803
        assert startFromHead
        self.reads += 1
        first = int(nextToken)
        events = self.groups[logGroupName][logStreamName][first : first + 2]
        return {"events": events, "nextForwardToken": str(first + len(events))}


class Metrics:
    """CloudWatch that keeps what it is given, and fails when told to."""

    def __init__(self):
        self.values = []
        self.failures = []

    def put_metric_data(self, *, Namespace, MetricData):  # noqa: N803
        if self.failures:
            raise self.failures.pop()
        for datum in MetricData:
            for value, count in zip(datum["Values"], datum["Counts"], strict=True):
                self.values += [(Namespace, datum["MetricName"], value)] * int(count)


@pytest.fixture
def logs():
    return Logs()


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def counters():
    return Counters()


@pytest.fixture
def tail(logs, metrics, counters):
    functions = [
        {"FunctionName": "other", "LoggingConfig": {"LogGroup": GROUP}},
        {"FunctionName": "implied"},
        {"FunctionName": "never-ran", "LoggingConfig": {"LogGroup": "/nowhere"}},
    ]
    listed = SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=lambda: [{"Functions": functions}]))
    clients = {"logs": logs, "lambda": listed, "cloudwatch": metrics}
    return Tail(SimpleNamespace(client=clients.__getitem__), counters)


def line(value):
    directive = {"Namespace": "N", "Dimensions": [[]], "Metrics": [{"Name": "M"}]}
    return json.dumps({"_aws": {"Timestamp": NOW_MS, "CloudWatchMetrics": [directive]}, "M": value})


def values(metrics):
    return sorted(value for _, _, value in metrics.values)


def test_events_of_one_millisecond_are_all_read_and_none_twice(tail, logs, metrics):
    logs.put((NOW_MS, line(1)), (NOW_MS, line(1)), (NOW_MS, line(2)))
    assert tail.run_pass() == 3
    logs.put((NOW_MS, line(1)), (NOW_MS, line(3)))
    assert tail.run_pass() == 2
    assert tail.run_pass() == 0
    assert values(metrics) == [1, 1, 1, 2, 3]


def test_an_event_that_comes_late_with_an_old_timestamp_is_read(tail, logs, metrics):
    logs.put((NOW_MS, line(1)), (NOW_MS + 5, line(2)))
    tail.run_pass()
    logs.put((NOW_MS - 5, line(3)))
    assert tail.run_pass() == 1
    assert values(metrics) == [1, 2, 3]


def test_a_stream_without_news_is_not_read_again(tail, logs):
    logs.put((NOW_MS, line(1)))
    tail.run_pass()
    before = logs.reads
    assert tail.run_pass() == 0
    assert logs.reads == before


def test_groups_that_a_function_implies_are_read_and_others_are_not(tail, logs, metrics):
    logs.put((NOW_MS, line(1)), group="/aws/lambda/implied")
    logs.put((NOW_MS, line(2)), group="/aws/bedrock/modelinvocations")
    assert tail.run_pass() == 1
    assert values(metrics) == [1]


def test_everything_is_counted(tail, logs, counters):
    logs.put(
        (NOW_MS, "START RequestId: 1 Version: $LATEST"),
        (NOW_MS, line([1, 2])),
        (NOW_MS, line("x")),
        (NOW_MS, line(None)),
        (NOW_MS, "END RequestId: 1"),
    )
    tail.run_pass()
    assert (counters.events, counters.metric_lines, counters.data) == (5, 1, 1)
    assert counters.invocations == {GROUP: 1}
    assert {reason: rejection.count for reason, rejection in counters.rejected.items()} == {"value is not a number": 2}
    assert counters.rejected["value is not a number"].example == "M"


def test_metrics_wait_for_an_emulator_that_does_not_answer(tail, logs, metrics):
    logs.put((NOW_MS, line(1)))
    metrics.failures.append(EndpointConnectionError(endpoint_url="http://127.0.0.1:1"))
    with pytest.raises(EndpointConnectionError):
        tail.run_pass()
    assert tail.run_pass() == 0
    assert values(metrics) == [1]


def test_what_was_read_before_a_failure_is_put_once(tail, logs, metrics, monkeypatch):
    logs.put((NOW_MS, line(1)), group="/aws/lambda/implied")
    logs.put((NOW_MS, line(2)))
    read = logs.get_log_events

    def failing(**request):
        if request["logGroupName"] == GROUP:
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
        return read(**request)

    monkeypatch.setattr(logs, "get_log_events", failing)
    with pytest.raises(EndpointConnectionError):
        tail.run_pass()
    monkeypatch.undo()
    tail.run_pass()
    assert values(metrics) == [1, 2]


def test_a_refused_request_is_counted_and_does_not_stop_the_next(tail, logs, metrics, counters):
    metrics.failures.append(ClientError({"Error": {"Code": "InvalidParameterValue", "Message": "no"}}, "PutMetricData"))
    logs.put((NOW_MS, line(1)))
    tail.run_pass()
    logs.put((NOW_MS, line(2)))
    tail.run_pass()
    assert values(metrics) == [2]
    assert counters.refused["InvalidParameterValue"].count == 1
