"""Invocation logs in a CloudWatch log group, as a source: by Logs Insights, or record by record."""

from __future__ import annotations

import atexit
import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from bedrock_quota.access_denied import is_denied
from bedrock_quota.errors import LogSourceError
from bedrock_quota.registry.models import Registry
from quota_monitor.analyze.account import Profiles, read_account
from quota_monitor.analyze.bodies import make_fetch
from quota_monitor.analyze.estimate import Estimate, estimate_scan
from quota_monitor.analyze.insights import MAX_PAGE_ROWS, MAX_ROWS, list_columns, read_row, write_query
from quota_monitor.analyze.reader import RecordReader
from quota_monitor.analyze.scope import Scope
from quota_monitor.analyze.source import Source
from quota_monitor.answers.numbers import count
from quota_monitor.program import own_command
from quota_monitor.progress import Progress
from quota_monitor.window import Window

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_logs import CloudWatchLogsClient

PARALLEL_QUERIES = 5
"""Queries at a time. The account has 100, which dashboards share."""

FIRST_SECONDS = 3_600
"""Length of the first windows. Later ones are longer or shorter, by the events per second of those before."""

LONGEST_SECONDS = 24 * 3_600

READ_ROWS = 25_000
"""Most rows of a query that fetches fields, about 1 KB each. A window with more events is divided."""

PAGE_ROWS = 2_500
"""Rows of a page of results, about 10 KB each while it is read."""

AIM = 0.6
"""Share of the rows of a query for which the length of a window is chosen, because traffic is not even."""

POLL_SECONDS = 0.5

TRY_AGAIN_SECONDS = 5.0
"""Time to wait if too many queries run already."""

MAX_TRIES = 60

MAX_ATTEMPTS = 10
"""Attempts of each call, in botocore's adaptive mode. StartQuery and GetQueryResults have 10 calls per second
(CloudWatch Logs quotas, read 2026-11-28)."""

LATE_SECONDS = 120
"""An event has the timestamp of its call's start, as far as public samples show. Its arrival would be later."""

NO_TEXT = (
    "Bedrock does not deliver texts to this log group, so no max_tokens is known. Turn on text delivery in the logging "
    "settings of the Bedrock console, or have applications declare theirs "
    "(docs/invocation-logging.md#accounts-that-may-not-log-prompts)."
)

_NOT_KEPT = ("log groups creation time", "log retention")
"""Parts of the message of a MalformedQueryException for a window in which the log group has no events. Public
repositories quote it as "Query's end date and time is either before the log groups creation time or exceeds the log
groups log retention settings" (read 2026-11-28)."""

_RUNNING = frozenset({"Scheduled", "Running", "Unknown"})


EXISTS_ACTION = "logs:DescribeLogStreams"

LOGGING_ACTION = "bedrock:GetModelInvocationLoggingConfiguration"


class LoggedTo(msgspec.Struct, frozen=True):
    """The log group of an account's invocation logs. `has_text` is False if bodies are not delivered."""

    name: str
    has_text: bool = True


Cells = Sequence[Any]
"""A row as GetQueryResults returns it: each cell has a `field` and a `value`."""

Value = TypeVar("Value")


class QueryResult(msgspec.Struct, Generic[Value], frozen=True):
    """The rows of a query. `matched` is the number of rows that there would be without a limit."""

    rows: list[Value]
    matched: int


def find_log_group(session: boto3.Session, name: str | None) -> LoggedTo:
    """Return the log group that the account's configuration names, or `name`.

    Raises `LogSourceError` with the next step if Bedrock writes to no log group. Propagates botocore errors.
    """
    if name is not None:
        return LoggedTo(name)
    try:
        answer: Mapping[str, Any] = session.client("bedrock").get_model_invocation_logging_configuration()
    except ClientError as error:
        if not is_denied(error):
            raise
        raise LogSourceError(
            f"These credentials may not ask where Bedrock writes its logs ({LOGGING_ACTION}). Name the log group with "
            "--log-group, or ask for that right."
        ) from error
    configuration = answer.get("loggingConfig") or {}
    found = (configuration.get("cloudWatchConfig") or {}).get("logGroupName")
    bucket = (configuration.get("s3Config") or {}).get("bucketName")
    if found:
        return LoggedTo(found, configuration.get("textDataDeliveryEnabled", True))
    if bucket:
        prefix = (configuration.get("s3Config") or {}).get("keyPrefix") or ""
        raise LogSourceError(
            f"Bedrock writes its logs only to S3. Read them with `{own_command('analyze', '--s3', f's3://{bucket}/{prefix}')}`."
        )
    raise LogSourceError(
        f"Bedrock writes no invocation logs in {session.region_name}, so there is nothing to analyze. "
        "Switch them on under Settings in the Bedrock console, or deploy this project. Calls from then on are logged."
    )


def open_log_group(session: boto3.Session, name: str | None, registry: Registry, *, whole_records: bool) -> Source:
    """Return the source for a log group. Raises `LogSourceError`. Propagates botocore errors."""
    from botocore.config import Config  # noqa: PLC0415 - slow to import, and `--help` does not need it

    group = find_log_group(session, name)
    client = session.client("logs", config=Config(retries={"mode": "adaptive", "total_max_attempts": MAX_ATTEMPTS}))
    account = read_account(session, registry)

    def read(reader: RecordReader, scope: Scope, progress: Progress) -> Sequence[str]:
        if whole_records:
            read_whole_records(client, group.name, scope.window, reader, progress)
            notes = []
        else:
            notes = read_fields(client, group.name, scope, reader, progress)
        if not group.has_text:
            notes.append(NO_TEXT)
        return notes

    def estimate(window: Window) -> Estimate:
        check_log_group(client, group.name)
        cloudwatch = session.client("cloudwatch")
        return estimate_scan(cloudwatch, group.name, [window], whole_records=whole_records)

    return Source(
        f"log group {group.name}",
        account,
        Profiles(account.profiles, session.client("bedrock")).resolve,
        read,
        make_fetch(session.client("s3")),
        estimate,
    )


def check_log_group(client: CloudWatchLogsClient, group: str) -> None:
    """Raise `LogSourceError` if there is no such log group, before its price is printed. It reads no record.

    Without the right to ask (`EXISTS_ACTION`), the reading finds out. Propagates all other botocore errors.
    """
    try:
        client.describe_log_streams(logGroupName=group, limit=1)
    except client.exceptions.ResourceNotFoundException:
        raise _not_found(group) from None
    except ClientError as error:
        if not is_denied(error):
            raise


# ---------------------------------------------------------------- fields, by Logs Insights


def read_fields(
    client: CloudWatchLogsClient, group: str, scope: Scope, reader: RecordReader, progress: Progress
) -> list[str]:
    """Add the records of a window to a reader, without fetching any text. Return notes about what is not known.

    Raises `LogSourceError`. Propagates botocore errors.
    """
    columns = list_columns(scope.metadata_keys)
    query = write_query(columns)
    window = Window(scope.window.start, scope.window.end + LATE_SECONDS)
    total = window.end - window.start
    done = lost = 0
    for part, result in _run_all(client, group, query, window, lambda cells: read_row(columns, cells)):
        for row in result.rows:
            reader.add(row.message, is_end_unknown=row.is_end_unknown)
        lost += max(0, result.matched - len(result.rows))
        done += part.end - part.start
        progress(done / total)
    if not lost:
        return []
    return [f"{count(lost, 'record')} could not be fetched: too many began in one second. Use --whole-records."]


def _run_all(
    client: CloudWatchLogsClient, group: str, query: str, window: Window, convert: Callable[[Cells], Value]
) -> Iterator[tuple[Window, QueryResult[Value]]]:
    """Yield the result of each part of a window. A part with too many rows is divided, down to one second."""
    divided: list[Window] = []
    following, seconds = window.start, FIRST_SECONDS
    running: dict[Future[QueryResult[Value]], Window] = {}
    pool = ThreadPoolExecutor(PARALLEL_QUERIES)
    stop: list[str] = []
    try:
        while divided or running or following < window.end:
            while (divided or following < window.end) and len(running) < PARALLEL_QUERIES:
                if divided:
                    part = divided.pop()
                else:
                    part = Window(following, min(following + seconds, window.end))
                    following = part.end
                future = pool.submit(
                    run_query, client, group, query, part, stop=stop, convert=convert, most_rows=READ_ROWS
                )
                running[future] = part
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                part, result = running.pop(future), future.result()
                seconds = _choose_seconds(part, result.matched)
                if result.matched > len(result.rows) and part.end - part.start > 1:
                    divided += _divide(part, result.matched / len(result.rows))
                else:
                    yield part, result
    finally:
        stop.append("")
        pool.shutdown(wait=True, cancel_futures=True)


def _choose_seconds(part: Window, events: int) -> int:
    """Return the length of the next window, by the events of one before it."""
    length = part.end - part.start
    fitting = LONGEST_SECONDS if not events else round(length * AIM * READ_ROWS / events)
    return max(1, min(fitting, 2 * length, LONGEST_SECONDS))


def _divide(part: Window, times: float) -> list[Window]:
    """Return a window that has so many times too many rows in parts, the last one first."""
    parts = max(2, -int(-times // AIM))
    seconds = max(1, (part.end - part.start) // parts)
    starts = range(part.start, part.end, seconds)
    return [Window(start, min(start + seconds, part.end)) for start in reversed(starts)]


def run_query(
    client: CloudWatchLogsClient,
    group: str,
    query: str,
    part: Window,
    *,
    stop: Sequence[str] = (),
    convert: Callable[[Cells], Any] = list,
    most_rows: int = MAX_ROWS,
) -> QueryResult[Any]:
    """Run one query on the events of a window to its end. It is stopped if `stop` gets a member.

    Both ends of a query count, in whole seconds. So the query itself leaves out the events from `part.end` on. Each row
    is converted when its page comes, because pages are large. At most `most_rows` are returned.

    Raises `LogSourceError`. Propagates botocore errors.
    """
    has_pages = _has_pages(client)
    limit = min(most_rows, MAX_ROWS if has_pages else MAX_PAGE_ROWS)
    query_id = _start(client, group, query, part, stop=stop, limit=limit)
    if query_id is None:
        return QueryResult([], 0)
    page: dict[str, Any] = {"queryId": query_id} | ({"maxItems": PAGE_ROWS} if has_pages else {})
    ended, stop_query = False, functools.partial(_stop, client, query_id)
    atexit.register(stop_query)  # a thread that Ctrl-C leaves behind does not get to `finally`
    try:
        while not stop:
            answer: Mapping[str, Any] = client.get_query_results(**page)
            if answer["status"] not in _RUNNING:
                ended = True
                break
            time.sleep(POLL_SECONDS)
        else:
            raise LogSourceError("The query was stopped.")
    finally:
        atexit.unregister(stop_query)
        if not ended:
            stop_query()
    if answer["status"] != "Complete":
        raise LogSourceError(f"A query on {group} ended as {answer['status']}. Run it again, or use a shorter window.")
    rows = [convert(cells) for cells in answer["results"]]
    matched = round(answer.get("statistics", {}).get("recordsMatched", 0))
    while answer.get("nextToken"):
        answer = client.get_query_results(**page, nextToken=answer["nextToken"])
        rows += [convert(cells) for cells in answer["results"]]
    return QueryResult(rows, max(matched, len(rows)) if len(rows) >= limit else len(rows))


def _stop(client: CloudWatchLogsClient, query_id: str) -> None:
    """Stop a query, because AWS charges for all that it scans."""
    with contextlib.suppress(BotoCoreError, ClientError):  # it has ended, or the session has
        client.stop_query(queryId=query_id)


def _start(
    client: CloudWatchLogsClient, group: str, query: str, part: Window, *, stop: Sequence[str], limit: int
) -> str | None:
    """Start a query. If too many run already, try again for some minutes. None: the log group has no such events."""
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
                raise LogSourceError(
                    f"Too many queries of Logs Insights run in this account. Run it again later. {group} was not read."
                ) from None
            time.sleep(TRY_AGAIN_SECONDS)
        except client.exceptions.ResourceNotFoundException:
            raise _not_found(group) from None
        except client.exceptions.MalformedQueryException as error:
            if not any(part in str(error) for part in _NOT_KEPT):
                raise
            return None
    raise LogSourceError("The query was stopped.")


def _not_found(group: str) -> LogSourceError:
    return LogSourceError(f"There is no log group {group} in this Region. --regions names another, --log-group too.")


def _has_pages(client: CloudWatchLogsClient) -> bool:
    """Return True if this SDK can read more than the first page of results."""
    members: Mapping[str, Any] = client.meta.service_model.operation_model("GetQueryResults").input_shape.members  # type: ignore[union-attr]
    return "nextToken" in members


# ---------------------------------------------------------------- whole records


def read_whole_records(
    client: CloudWatchLogsClient, group: str, window: Window, reader: RecordReader, progress: Progress
) -> None:
    """Add all records of a window to a reader, page by page. Raises `LogSourceError`. Propagates botocore errors."""
    token: dict[str, str] = {}
    start, total = window.start * 1000, (window.end - window.start) * 1000
    while True:
        try:
            page: Mapping[str, Any] = client.filter_log_events(
                logGroupName=group,
                startTime=start,
                endTime=(window.end + LATE_SECONDS) * 1000,
                **token,  # type: ignore[arg-type]
            )
        except client.exceptions.ResourceNotFoundException:
            raise _not_found(group) from None
        for event in page["events"]:
            reader.add(event["message"])
        if page["events"]:
            progress(min(1.0, (page["events"][-1]["timestamp"] - start) / total))
        if "nextToken" not in page:
            return
        token = {"nextToken": page["nextToken"]}
