"""The records from before a stack: in its log group, or in the logs that Bedrock writes to S3."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from bedrock_quota.errors import LogSourceError, RecordError
from bedrock_quota.log_sources import s3
from bedrock_quota.log_sources.s3 import LogFolder
from bedrock_quota.processor.delivery import MAX_MESSAGE_BYTES, LogEvent
from bedrock_quota.processor.records import parse_timestamp
from bedrock_quota.processor.usage import OLDEST_SECONDS
from quota_monitor.analyze.bucket import check_place
from quota_monitor.analyze.publish.progress import PublishProgress
from quota_monitor.answers.numbers import count
from quota_monitor.aws_session import Stack

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client

HOUR = 3_600

MARGIN_SECONDS = HOUR
"""Time for which the oldest records must still be accepted when a run begins. The oldest hours are sent first."""

READ_ATTEMPTS = 10
"""FilterLogEvents has 5 to 25 calls per second, by Region (CloudWatch Logs quotas, read 2026-11-28)."""

S3_SCHEME = "s3://"


class Records(msgspec.Struct, frozen=True):
    """The records of a source. `read` yields those of an hour that are older than the boundary, in a fixed order.

    `hours` are starts in seconds since the epoch. `measure` returns the amount from an hour on.
    """

    hours: Sequence[int]
    read: Callable[[int], Iterable[LogEvent]]
    measure: Callable[[int], Amount]


class Amount(msgspec.Struct, frozen=True):
    """Records and their bytes. The number is None if it is not known, as in S3, whose bytes are compressed."""

    records: int | None
    size: int


def list_hours(boundary: int, now: datetime) -> range:
    """Return the whole hours that CloudWatch accepts, up to that of the boundary. The oldest hour comes first."""
    oldest = int(now.timestamp()) - OLDEST_SECONDS + MARGIN_SECONDS
    return range(-(-oldest // HOUR) * HOUR, boundary // 1000 + 1, HOUR)


def open_records(session: boto3.Session, stack: Stack, progress: PublishProgress, now: datetime) -> Records:
    """Return the older records of a source. Raises `LogSourceError`. Propagates botocore errors."""
    from botocore.config import Config  # noqa: PLC0415 - slow to import, and `--help` does not need it

    client = session.client("logs", config=Config(retries={"mode": "adaptive", "total_max_attempts": READ_ATTEMPTS}))
    hours, boundary, group = list_hours(progress.boundary, now), progress.boundary, progress.source
    if group.startswith(S3_SCHEME):
        folder = find_folder(session.client("s3"), stack, group)
        delivered = list_delivered(client, stack.outputs["InvocationLogGroupName"], boundary)
        return open_folder(session.client("s3"), folder, hours, boundary // 1000, delivered)

    cloudwatch = session.client("cloudwatch")

    def measure(start: int) -> Amount:
        return measure_log_group(cloudwatch, group, start, boundary // 1000)

    return Records(hours, lambda hour: read_log_group(client, group, hour, boundary), measure)


def read_log_group(client: CloudWatchLogsClient, group: str, hour: int, boundary: int) -> Iterator[LogEvent]:
    """Yield the events of an hour that were ingested before the boundary, as FilterLogEvents sorts them.

    It sorts by timestamp, by time of ingestion, and by the id of the request (API reference, read 2026-11-28), so that
    the order is the same each time. Propagates botocore errors.
    """
    for event in _list_events(client, group, hour * 1000, (hour + HOUR) * 1000 - 1):
        if event["ingestionTime"] < boundary:
            yield LogEvent(event["message"], event.get("eventId", ""), event["timestamp"])


def _list_events(client: CloudWatchLogsClient, group: str, start: int, end: int) -> Iterator[Mapping[str, Any]]:
    for page in client.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=start, endTime=end):
        yield from page["events"]


def measure_log_group(client: CloudWatchClient, group: str, start: int, end: int) -> Amount:
    """Return the events that a log group ingested from `start` to `end`, in seconds since the epoch.

    CloudWatch counts them: `IncomingLogEvents` and `IncomingBytes` of `AWS/Logs`, before compression (CloudWatch Logs
    User Guide, "Monitoring with CloudWatch metrics", read 2026-11-28). Propagates botocore errors.
    """
    names = {"records": "IncomingLogEvents", "size": "IncomingBytes"}
    dimensions = [{"Name": "LogGroupName", "Value": group}]
    queries: list[Any] = [
        {
            "Id": each,
            "MetricStat": {
                "Metric": {"Namespace": "AWS/Logs", "MetricName": name, "Dimensions": dimensions},
                "Period": HOUR,
                "Stat": "Sum",
            },
        }
        for each, name in names.items()
    ]
    sums = dict.fromkeys(names, 0)
    pages = client.get_paginator("get_metric_data").paginate(
        StartTime=datetime.fromtimestamp(start, UTC),
        EndTime=datetime.fromtimestamp(max(end, start + HOUR), UTC),
        MetricDataQueries=queries,
    )
    for page in pages:
        for found in page["MetricDataResults"]:
            sums[found["Id"]] += round(sum(found["Values"]))
    return Amount(sums["records"] or None, sums["size"])


class _Begun(msgspec.Struct, frozen=True):
    timestamp: str = ""
    request_id: str = msgspec.field(name="requestId", default="")


_decode_begun = msgspec.json.Decoder(_Begun).decode


def find_folder(client: S3Client, stack: Stack, place: str) -> LogFolder:
    """Return the folder of the stack's own account and Region. Raises `LogSourceError` unless there is exactly one.

    Raises `click.UsageError` if `place` is not one in S3. Propagates botocore errors.
    """
    bucket, prefix = check_place(place)
    own = (stack.account, stack.region)
    folders = [each for each in s3.find_folders(client, bucket, prefix) if (each.account, each.region) == own]
    if len(folders) != 1:
        raise LogSourceError(
            f"{place} has {count(len(folders), 'folder')} of invocation logs of account {stack.account} in "
            f"{stack.region}. Name the one to publish."
        )
    return folders[0]


def open_folder(client: S3Client, folder: LogFolder, hours: range, until: int, delivered: Collection[str]) -> Records:
    """Return the records of a folder that began before `until` in seconds, and that were not `delivered`."""

    def read(hour: int) -> Iterator[LogEvent]:
        start = datetime.fromtimestamp(hour, UTC)
        for item in s3.list_objects(client, folder, start, start):
            for message in s3.read_messages(client, item):
                event = make_event(message, hour, until, delivered)
                if event is not None:
                    yield event

    def measure(start: int) -> Amount:
        end = datetime.fromtimestamp(until, UTC)
        size = sum(item.size for item in s3.list_objects(client, folder, datetime.fromtimestamp(start, UTC), end))
        return Amount(None if size else 0, size)

    written = range(hours.start, until + HOUR + 1, HOUR)  # an object lies in the hour in which it was written
    return Records(written, read, measure)


def list_delivered(client: CloudWatchLogsClient, group: str, boundary: int) -> Collection[str]:
    """Return the request ids of calls that began before the boundary and were ingested after it.

    The subscription has delivered these, and a record in S3 does not say when it was ingested. Propagates botocore
    errors.
    """
    events = _list_events(client, group, boundary - HOUR * 1000, boundary)
    ids = (_read_begun(event["message"]).request_id for event in events if event["ingestionTime"] >= boundary)
    try:
        return frozenset(each for each in ids if each)
    except client.exceptions.ResourceNotFoundException:
        return frozenset()


def make_event(message: bytes, hour: int, until: int, delivered: Collection[str]) -> LogEvent | None:
    """Return a line of an object as a log event with an id of its own, or None for a call that the stack has itself.

    A line above the largest log event is cut, because the processor rejects it and its delivery must fit.
    """
    begun = _read_begun(message)
    try:
        seconds = parse_timestamp(begun.timestamp)[0]
    except RecordError:
        seconds = hour  # the processor rejects and counts it
    if seconds >= until or begun.request_id in delivered:
        return None
    text = message[: MAX_MESSAGE_BYTES + 1].decode(errors="replace")
    return LogEvent(text, hashlib.sha256(message).hexdigest()[:56], seconds * 1000)


def _read_begun(message: bytes | str) -> _Begun:
    try:
        return _decode_begun(message)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _Begun()
