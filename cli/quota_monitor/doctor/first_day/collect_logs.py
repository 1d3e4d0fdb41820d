"""Evidence of log groups: metric lines, delays of records and bodies, and the SDK. This only reads from AWS.

The invocation log holds prompts. It is asked with Logs Insights for times and paths only, so its records stay in AWS.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from bedrock_quota.errors import QuotaMonitorError
from quota_monitor.aws_session import Stack
from quota_monitor.doctor.first_day.evidence import Bodies, MetricLines, Sdk
from quota_monitor.doctor.first_day.metric_lines import SETTLED, LogEvent, add_up

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_logs import CloudWatchLogsClient

LINE_HOURS = (1, 24)
"""Hours of metric lines to read. The second is for accounts without a line in the first."""

MAX_PAGES = 30
"""Most calls of FilterLogEvents for one log group. Each returns 1 MB or 10,000 events at most (API reference, read
2026-11-28)."""

RECORD_HOURS = 3
"""Hours of the invocation log that Logs Insights scans. Each query costs the price per GB in `prices.toml`."""

MAX_RECORDS = 1_000
MAX_BODIES = 20
"""Most records whose times are read, and most bodies that are looked up in S3, one call each."""

QUERY_SECONDS = 60.0
"""Time limit of a query in Logs Insights."""

SDK_MESSAGE = "runtime SDK"
"""Message of the line in which the set-up reports its SDK (`functions/logging_setup`)."""

_POLL_SECONDS = 1.0
_KIND_OF_DATA = "DeliveryEnabled"
_RECORD_QUERY = "fields @ingestionTime, timestamp as recorded | filter ispresent(recorded) | sort @timestamp desc"
_BODY_QUERY = (
    "fields @ingestionTime, input.inputBodyS3Path as body | filter ispresent(input.inputBodyS3Path) "
    "| sort @timestamp desc"
)


class QueryIncompleteError(QuotaMonitorError):
    """Logs Insights did not complete a query. The message is its status."""


class _SdkLine(msgspec.Struct, frozen=True):
    message: str = ""
    botocore: str = ""
    logging_members: list[str] = []


def read_lines(logs: CloudWatchLogsClient, stack: Stack, now: datetime) -> MetricLines:
    """Read metric lines of the last hour, or of the last day if that has none. Propagates botocore errors."""
    group, until = stack.resources["MetricProcessorLogGroup"], now - SETTLED
    lines = MetricLines()
    for hours in LINE_HOURS:
        since = (until - timedelta(hours=hours)).replace(second=0, microsecond=0)
        events, whole = _read_log(logs, group, since)
        lines = add_up(events, since, until, whole=whole)
        if lines.processed:
            break
    return lines


def _read_log(logs: CloudWatchLogsClient, group: str, since: datetime | None) -> tuple[list[LogEvent], bool]:
    """Return the events of a log group, and True if these are all of them."""
    given: dict[str, Any] = {"logGroupName": group}
    if since is not None:
        given["startTime"] = int(since.timestamp() * 1000)
    events: list[LogEvent] = []
    for _ in range(MAX_PAGES):
        page = logs.filter_log_events(**given)
        events += [LogEvent(_from_milliseconds(each["timestamp"]), each["message"]) for each in page["events"]]
        token = page.get("nextToken")
        if not token:
            return events, True
        given["nextToken"] = token
    return events, False


def _from_milliseconds(value: float) -> datetime:
    return datetime.fromtimestamp(value / 1000, UTC)


def read_delays(logs: CloudWatchLogsClient, stack: Stack, now: datetime) -> tuple[float, ...]:
    """Return the seconds from the start of calls to CloudWatch Logs, which include the calls.

    Raises `QueryIncompleteError` if Logs Insights does not complete the query. Propagates botocore errors.
    """
    return tuple(
        (ingested - recorded).total_seconds()
        for row in _query(logs, stack, _RECORD_QUERY, until=now, limit=MAX_RECORDS)
        if (ingested := _parse_time(row.get("@ingestionTime"))) and (recorded := _parse_time(row.get("recorded")))
    )


def read_bodies(session: boto3.Session, stack: Stack, now: datetime) -> Bodies:
    """Read when the bodies of older records were written to S3. A body is listed and not read.

    Raises `QueryIncompleteError` if Logs Insights does not complete the query. Propagates botocore errors.
    """
    s3 = session.client("s3")
    delays, missing = [], 0
    for row in _query(session.client("logs"), stack, _BODY_QUERY, until=now - SETTLED, limit=MAX_BODIES):
        bucket, _, key = row.get("body", "").removeprefix("s3://").partition("/")
        ingested = _parse_time(row.get("@ingestionTime"))
        if not (bucket and key and ingested):
            continue
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", [])
        if listed:
            delays.append((listed[0]["LastModified"] - ingested).total_seconds())
        else:
            missing += 1
    return Bodies(tuple(delays), missing)


def _query(
    logs: CloudWatchLogsClient, stack: Stack, query: str, *, until: datetime, limit: int
) -> list[dict[str, str]]:
    """Return the rows of a query on the invocation log. Raises `QueryIncompleteError` if it does not complete."""
    query_id = logs.start_query(
        logGroupName=stack.outputs["InvocationLogGroupName"],
        startTime=int((until - timedelta(hours=RECORD_HOURS)).timestamp()),
        endTime=int(until.timestamp()),
        queryString=f"{query} | limit {limit}",
    )["queryId"]
    deadline = time.monotonic() + QUERY_SECONDS
    while True:
        answer: Any = logs.get_query_results(queryId=query_id)
        if answer["status"] not in {"Scheduled", "Running", "Unknown"}:
            break
        if time.monotonic() >= deadline:
            break
        time.sleep(_POLL_SECONDS)
    if answer["status"] != "Complete":
        raise QueryIncompleteError(answer["status"])
    return [{each["field"]: each.get("value", "") for each in row} for row in answer["results"]]


def _parse_time(text: str | None) -> datetime | None:
    """Parse a time as Logs Insights or a record writes it. Both are in UTC."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def read_sdk(session: boto3.Session, stack: Stack) -> Sdk:
    """Read the newest report of the set-up on its SDK, and the account's configuration. Propagates botocore errors."""
    events, _ = _read_log(session.client("logs"), stack.resources["LoggingSetupLogGroup"], None)
    reported = _SdkLine()
    for event in events:
        try:
            line = msgspec.json.decode(event.message, type=_SdkLine)
        except msgspec.DecodeError:
            continue
        reported = line if line.message == SDK_MESSAGE else reported
    configuration = _read_raw_configuration(session)
    return Sdk(
        version=reported.botocore,
        members=frozenset(reported.logging_members),
        returned=frozenset(configuration),
        flags={name: value is True for name, value in configuration.items() if name.endswith(_KIND_OF_DATA)},
        large_bodies=bool(_section(_section(configuration, "cloudWatchConfig"), "largeDataDeliveryS3Config")),
        made_by_stack=stack.outputs.get("InvocationLogging", "").startswith("enabled invocation logging"),
    )


def _section(configuration: dict[str, Any], name: str) -> dict[str, Any]:
    found = configuration.get(name)
    return found if isinstance(found, dict) else {}


def _read_raw_configuration(session: boto3.Session) -> dict[str, Any]:
    """Return the account's invocation logging as Bedrock sends it, with members that this SDK does not know."""
    client: Any = session.client("bedrock")
    bodies: list[bytes] = []

    def keep(http_response: Any, **_given: Any) -> None:
        bodies.append(http_response.content)

    client.meta.events.register("after-call.bedrock.GetModelInvocationLoggingConfiguration", keep)
    parsed = client.get_model_invocation_logging_configuration()
    found: Any = msgspec.json.decode(bodies[-1]) if bodies else parsed
    return found.get("loggingConfig") or {} if isinstance(found, dict) else {}
