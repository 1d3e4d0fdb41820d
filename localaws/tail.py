"""Read every event of all functions' logs exactly once, and put its metrics into CloudWatch.

A stream that has changed is read again from its beginning, and the events that were there before are skipped. This is
exact in any order of timestamps: many events share a millisecond, and some arrive late. It is cheap, because each
invocation has its own stream in the emulator.
"""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from localaws import emf, metric_requests
from localaws.counters import Counters

if TYPE_CHECKING:
    import boto3

FUNCTION_GROUPS = "/aws/lambda/"
_END_OF_INVOCATION = "END RequestId:"

_Stream = tuple[str, str]


class Tail:
    """Reads events and puts metrics in passes. Only one thread may use it at a time."""

    def __init__(self, session: "boto3.Session", counters: Counters) -> None:
        self._logs = session.client("logs")
        self._functions = session.client("lambda")
        self._metrics = session.client("cloudwatch")
        self._counters = counters
        self._marks: dict[_Stream, object] = {}
        self._seen: dict[_Stream, Counter[int]] = {}
        self._unsent: list[metric_requests.MetricRequest] = []

    def run_pass(self) -> int:
        """Read all new events, put their metrics, and return the number of new events."""
        data: list[tuple[str, emf.Datum]] = []
        fresh = 0
        try:
            for group in self._groups():
                for event in self._new_events(group):
                    fresh += 1
                    data.extend(self._metric_data(group, event))
        finally:  # events are read only once, so send their metrics even if reading the rest failed
            self._unsent.extend(metric_requests.requests(data))
        self._send()
        return fresh

    def _groups(self) -> list[str]:
        """Return the log groups of all functions, without Bedrock's own log group."""
        groups = {
            function.get("LoggingConfig", {}).get("LogGroup", FUNCTION_GROUPS + function["FunctionName"])
            for page in self._functions.get_paginator("list_functions").paginate()
            for function in page["Functions"]
        }
        return sorted(groups)

    def _new_events(self, group: str) -> Iterator[Any]:
        for stream, mark in self._streams(group):
            if self._marks.get((group, stream)) == mark:
                continue
            yield from self._unseen((group, stream))
            self._marks[group, stream] = mark

    def _streams(self, group: str) -> list[tuple[str, object]]:
        """Return a group's streams, each with a mark that changes when events arrive. A missing group has none."""
        try:
            return [
                (stream["logStreamName"], (stream.get("lastIngestionTime"), stream["storedBytes"]))
                for page in self._logs.get_paginator("describe_log_streams").paginate(logGroupName=group)
                for stream in page["logStreams"]
            ]
        except self._logs.exceptions.ResourceNotFoundException:
            return []

    def _unseen(self, stream: _Stream) -> list[Any]:
        before = self._seen.get(stream, Counter())
        now: Counter[int] = Counter()
        unseen = []
        for event in self._events(stream):
            key = hash((event["timestamp"], event["message"]))
            now[key] += 1
            if now[key] > before[key]:
                unseen.append(event)
        self._seen[stream] = now
        return unseen

    def _events(self, stream: _Stream) -> Iterator[Any]:
        group, name = stream
        page = self._logs.get_log_events(logGroupName=group, logStreamName=name, startFromHead=True)
        while page["events"]:
            yield from page["events"]
            page = self._logs.get_log_events(
                logGroupName=group, logStreamName=name, startFromHead=True, nextToken=page["nextForwardToken"]
            )

    def _metric_data(self, group: str, event: Any) -> list[tuple[str, emf.Datum]]:
        self._counters.events += 1
        if event["message"].startswith(_END_OF_INVOCATION):
            self._counters.invocation(group)
        try:
            data = emf.metric_data(event["message"], event["ingestionTime"])
        except emf.Rejected as rejected:
            self._counters.reject(rejected.reason, rejected.detail)
            return []
        self._counters.metric_lines += bool(data)
        self._counters.data += len(data)
        return data

    def _send(self) -> None:
        while self._unsent:
            request = self._unsent[0]
            try:
                self._metrics.put_metric_data(Namespace=request.namespace, MetricData=request.data)  # type: ignore[arg-type]
            except ClientError as error:  # a retry would be refused again
                self._counters.refuse(error.response["Error"]["Code"], str(error))
            del self._unsent[0]
