"""Invocation logs in a CloudWatch log group, as a source: by Logs Insights, or record by record."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.config import Config

from bedrock_quota.errors import LogSourceError
from bedrock_quota.registry.models import Registry
from quota_monitor.analyze.account import Profiles, read_account
from quota_monitor.analyze.bodies import make_fetch
from quota_monitor.analyze.insights import MAX_ROWS, PAGE_ROWS, list_paths, read_row, write_query
from quota_monitor.analyze.reader import RecordReader
from quota_monitor.analyze.scope import Scope
from quota_monitor.analyze.source import Progress, Source
from quota_monitor.answers.numbers import count
from quota_monitor.window import Window

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_logs import CloudWatchLogsClient

PARALLEL_QUERIES = 5
"""Queries at a time. The account has 100, which dashboards share."""

FIRST_SECONDS = 3_600
"""Length of the first windows. One with too many rows is halved."""

POLL_SECONDS = 0.5

TRY_AGAIN_SECONDS = 5.0
"""Time to wait if too many queries run already."""

MAX_TRIES = 60

_CONFIG = Config(retries={"mode": "adaptive", "total_max_attempts": 10})
"""StartQuery and GetQueryResults have 10 calls per second (CloudWatch Logs quotas, read 2026-11-28)."""

LATE_SECONDS = 120
"""An event has the timestamp of its call's start, as far as public samples show. Its arrival would be later."""

_RUNNING = frozenset({"Scheduled", "Running", "Unknown"})


class LoggedTo(msgspec.Struct, frozen=True):
    """The log group of an account's invocation logs. `has_text` is False if bodies are not delivered."""

    name: str
    has_text: bool = True


class QueryResult(msgspec.Struct, frozen=True):
    """The rows of a query. `matched` and `scanned` are numbers of events."""

    rows: list[list[dict[str, str]]]
    matched: int
    scanned: int


def find_log_group(session: boto3.Session, name: str | None) -> LoggedTo:
    """Return the log group that the account's configuration names, or `name`.

    Raises `LogSourceError` with the next step if Bedrock writes to no log group. Propagates botocore errors.
    """
    if name is not None:
        return LoggedTo(name)
    answer: Mapping[str, Any] = session.client("bedrock").get_model_invocation_logging_configuration()
    configuration = answer.get("loggingConfig") or {}
    found = (configuration.get("cloudWatchConfig") or {}).get("logGroupName")
    bucket = (configuration.get("s3Config") or {}).get("bucketName")
    if found:
        return LoggedTo(found, configuration.get("textDataDeliveryEnabled", True))
    if bucket:
        prefix = (configuration.get("s3Config") or {}).get("keyPrefix") or ""
        raise LogSourceError(
            f"Bedrock writes its logs only to S3. Read them with `quota-monitor analyze --s3 s3://{bucket}/{prefix}`."
        )
    raise LogSourceError(
        f"Bedrock writes no invocation logs in {session.region_name}, so there is nothing to analyze. "
        "Switch them on under Settings in the Bedrock console, or deploy this project. Calls from then on are logged."
    )


def open_log_group(session: boto3.Session, name: str | None, registry: Registry, *, whole_records: bool) -> Source:
    """Return the source for a log group. Raises `LogSourceError`. Propagates botocore errors."""
    group = find_log_group(session, name)
    client = session.client("logs", config=_CONFIG)
    account = read_account(session, registry)

    def read(reader: RecordReader, scope: Scope, progress: Progress) -> Sequence[str]:
        if whole_records:
            read_whole_records(client, group.name, scope.window, reader, progress)
            notes = []
        else:
            notes = read_fields(client, group.name, scope, reader, progress)
        if not group.has_text:
            notes.append(
                "Bedrock does not deliver texts to this log group, so no max_tokens is known. "
                "docs/operations.md says how applications can declare theirs."
            )
        return notes

    return Source(
        f"log group {group.name}",
        account,
        Profiles(account.profiles, session.client("bedrock")).resolve,
        read,
        make_fetch(session.client("s3")),
    )


# ---------------------------------------------------------------- fields, by Logs Insights


def read_fields(
    client: CloudWatchLogsClient, group: str, scope: Scope, reader: RecordReader, progress: Progress
) -> list[str]:
    """Add the records of a window to a reader, without fetching any text. Return notes about what is not known.

    Raises `LogSourceError`. Propagates botocore errors.
    """
    paths = list_paths(scope.metadata_keys)
    query = write_query(paths)
    window = Window(scope.window.start, scope.window.end + LATE_SECONDS)
    total = window.end - window.start
    done = unknown = lost = 0
    for part, result in _run_all(client, group, query, window):
        for row in result.rows:
            found = read_row(paths, row)
            unknown += found.is_end_unknown
            reader.add(found.message)
        lost += max(0, result.matched - len(result.rows))
        done += part.end - part.start
        progress(done / total)
    notes: list[str] = []
    if unknown:
        notes.append(
            f"For {count(unknown, 'answer')}, mostly streamed, Logs Insights shows neither tier nor latency, and not "
            "if they were cut. --whole-records reads them."
        )
    if lost:
        notes.append(
            f"{count(lost, 'record')} could not be fetched: too many began in one second. Use --whole-records."
        )
    return notes


def _run_all(
    client: CloudWatchLogsClient, group: str, query: str, window: Window
) -> Iterator[tuple[Window, QueryResult]]:
    """Yield the result of each part of a window. A part with too many rows is halved, down to one second."""
    coming = [
        Window(start, min(start + FIRST_SECONDS, window.end))
        for start in range(window.start, window.end, FIRST_SECONDS)
    ]
    coming.reverse()
    running: dict[Future[QueryResult], Window] = {}
    pool = ThreadPoolExecutor(PARALLEL_QUERIES)
    stop: list[str] = []
    try:
        while coming or running:
            while coming and len(running) < PARALLEL_QUERIES:
                part = coming.pop()
                running[pool.submit(run_query, client, group, query, part, stop)] = part
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                part, result = running.pop(future), future.result()
                if result.matched > len(result.rows) and part.end - part.start > 1:
                    middle = (part.start + part.end) // 2
                    coming += [Window(middle, part.end), Window(part.start, middle)]
                else:
                    yield part, result
    finally:
        stop.append("")
        pool.shutdown(wait=True, cancel_futures=True)


def run_query(
    client: CloudWatchLogsClient, group: str, query: str, part: Window, stop: Sequence[str] = ()
) -> QueryResult:
    """Run one query on the events of a window to its end. It is stopped if `stop` gets a member.

    Both ends of a query count, in whole seconds. So the query itself leaves out the events from `part.end` on.

    Raises `LogSourceError`. Propagates botocore errors.
    """
    query_id = _start(client, group, query, part, stop)
    ended = False
    try:
        while not stop:
            answer: Mapping[str, Any] = client.get_query_results(queryId=query_id)
            if answer["status"] not in _RUNNING:
                ended = True
                break
            time.sleep(POLL_SECONDS)
        else:
            raise LogSourceError("The query was stopped.")
    finally:
        if not ended:
            client.stop_query(queryId=query_id)
    if answer["status"] != "Complete":
        raise LogSourceError(f"A query on {group} ended as {answer['status']}. Run it again, or use a shorter window.")
    rows = list(answer["results"])
    while answer.get("nextToken"):
        answer = client.get_query_results(queryId=query_id, nextToken=answer["nextToken"])
        rows += answer["results"]
    statistics = answer.get("statistics", {})
    matched = round(statistics.get("recordsMatched", len(rows)))
    return QueryResult(
        rows, matched if len(rows) >= _most_rows(client) else len(rows), round(statistics.get("recordsScanned", 0))
    )


def _start(client: CloudWatchLogsClient, group: str, query: str, part: Window, stop: Sequence[str]) -> str:
    """Start a query. If too many run already, try again for some minutes."""
    limit = _most_rows(client)
    text = f"filter toMillis(@timestamp) < {part.end * 1000}\n| {query}"
    for attempt in range(MAX_TRIES):
        if stop:
            break
        try:
            return client.start_query(
                logGroupName=group, startTime=part.start, endTime=part.end, queryString=text, limit=limit
            )["queryId"]
        except client.exceptions.LimitExceededException:
            if attempt == MAX_TRIES - 1:
                raise
            time.sleep(TRY_AGAIN_SECONDS)
        except client.exceptions.ResourceNotFoundException:
            raise LogSourceError(f"There is no log group {group} in this Region.") from None
    raise LogSourceError("The query was stopped.")


def _most_rows(client: CloudWatchLogsClient) -> int:
    """Return the most rows that this SDK can read. An old one reads only the first page."""
    members: Mapping[str, Any] = client.meta.service_model.operation_model("GetQueryResults").input_shape.members  # type: ignore[union-attr]
    return MAX_ROWS if "nextToken" in members else PAGE_ROWS


# ---------------------------------------------------------------- whole records


def read_whole_records(
    client: CloudWatchLogsClient, group: str, window: Window, reader: RecordReader, progress: Progress
) -> None:
    """Add all records of a window to a reader, page by page. Propagates botocore errors."""
    token: dict[str, str] = {}
    start, total = window.start * 1000, (window.end - window.start) * 1000
    while True:
        page: Mapping[str, Any] = client.filter_log_events(
            logGroupName=group,
            startTime=start,
            endTime=(window.end + LATE_SECONDS) * 1000,
            **token,  # type: ignore[arg-type]
        )
        for event in page["events"]:
            reader.add(event["message"])
        if page["events"]:
            progress((page["events"][-1]["timestamp"] - start) / total)
        if "nextToken" not in page:
            return
        token = {"nextToken": page["nextToken"]}
