"""`quota-monitor demo`: send an hour of traffic through the deployed stack and print the report on it."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click
import msgspec

from bedrock_quota.analysis.answers import NOTHING_CHANGED
from bedrock_quota.deployment import logging_configuration
from bedrock_quota.settings import DEFAULT_NAMESPACE, LATE_BODIES_DELAY
from localaws import bedrock_metrics, instance, metric_requests, traffic
from localaws.applications import PROFILES, Profile
from localaws.bedrock_calls import LargeBody
from localaws.deployment import Progress
from localaws.errors import LocalAwsError
from localaws.instance import Instance
from localaws.traffic import LogEvent
from quota_monitor import local
from quota_monitor.analyze.scope import Scope
from quota_monitor.answers import terminal
from quota_monitor.answers.document import Document
from quota_monitor.aws_session import physical_id, read_stack
from quota_monitor.deployed import metrics
from quota_monitor.deployed.metrics import OUTCOMES
from quota_monitor.deployed.report import make_report
from quota_monitor.deployment.checkout import find_checkout, require_local_extra
from quota_monitor.program import own_command
from quota_monitor.terminal import errors_as_messages, make_console
from quota_monitor.window import Window, make_window

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_s3 import S3Client

METADATA_KEYS = "team,environment"
"""Metadata keys of the traffic that the stack of the demo adds to its metric lines."""

HOUR = timedelta(hours=1)
HOURS_SHOWN = 3
"""Hours that the dashboard shows by default."""

OLDEST = timedelta(days=13)
"""CloudWatch accepts no data older than two weeks."""

SPEED = 30
"""Factor by which late bodies come earlier and are read again earlier, so that the demo does not wait for minutes."""

STALLED_SECONDS = 90.0
"""Time without a newly counted record after which the demo fails."""

_WRITING = "Writing an hour of traffic"
_ACCOUNTING = "Waiting for the metrics"
_READING = "Fetching quotas and reading back"


class DemoResult(msgspec.Struct, frozen=True):
    """A finished demo: the records it sent for an hour, and the report on them."""

    window: Window
    sent: tuple[LogEvent, ...]
    document: Document


@click.command()
@click.option(
    "--seed",
    default=0,
    show_default=True,
    help="Seed of the traffic. Another number gives another hour of the same applications.",
)
@click.option("--down", is_flag=True, help="Stop the local stack afterwards, without serving the dashboard.")
def demo(seed: int, down: bool) -> None:
    """Deploy the stack on this machine and send it an hour of traffic.

    The traffic is invented. Sixteen applications use thirteen quota pools. In one pool, a single caller reserves so
    much that Bedrock throttles all callers. The command prints the usage of each pool and serves the dashboard.
    """
    home = find_checkout()
    require_local_extra()
    directory = home / local.DIRECTORY_NAME
    began = time.monotonic()
    with errors_as_messages(LocalAwsError), local.progress_bars() as progress, local.interruptions_explained():
        running = instance.up(home, directory, parameters={"RequestMetadataKeys": METADATA_KEYS}, progress=progress)
        result = run_demo(running, seed, progress)
    _print(result)
    took = f"The demo took {time.monotonic() - began:.0f} s."
    if down:
        with errors_as_messages(LocalAwsError):
            instance.down(directory)
        local.console.print(f"\n{took} The local stack is stopped.")
        return
    nearest = next(answer for answer in result.document.pools if answer.usage.requests).usage.pool
    chosen = {"model": nearest.model_id, "endpoint": nearest.endpoint_type.value}
    local.show_dashboard(running, {**chosen, "hours": str(_hours_since(result.window, datetime.now(UTC)))})
    local.show_instance(running, _list_commands(result.document))
    local.show_down()
    local.console.print(f"\n{took}")


def _list_commands(document: Document) -> tuple[str, ...]:
    """Return commands about the minute with most throttled calls of the first pool that served calls, and that pool."""
    throttled = [answer for answer in document.pools if answer.usage.requests and answer.usage.throttled]
    if not throttled:
        return ()
    usage = throttled[0].usage
    worst = max(usage.minutes, key=lambda minute: minute.throttled)
    at = f"{datetime.fromtimestamp(worst.minute, UTC):%Y-%m-%dT%H:%M}"
    model = usage.pool.model_id
    return (own_command("explain", "--at", at, "--model", model), own_command("increase", "--pool", model))


def _hours_since(window: Window, now: datetime) -> int:
    """Return the hours that the dashboard must show so that the window is on it, at least `HOURS_SHOWN`."""
    return max(HOURS_SHOWN, math.ceil((now - window.starts_at) / HOUR))


def run_demo(running: Instance, seed: int, progress: Progress = lambda _stage, _done, _total: None) -> DemoResult:
    """Send an hour of traffic through a running stack. Return the usage when every record is counted.

    Raises `LocalAwsError` if records are missing.
    """
    session = running.session()
    cloudwatch = session.client("cloudwatch")
    since = datetime.now(UTC)
    window = _untouched_hour(session, since)
    profiles = _profiles(session)
    events = tuple(traffic.hour(window.ends_at, seed, profiles, _large_bodies_bucket(session)))
    health = make_window(since, since + HOUR)
    before = metrics.sums(cloudwatch, DEFAULT_NAMESPACE, OUTCOMES, health)
    log_group = physical_id(session, running.stack_name, "MetricProcessorLogGroup")
    _read_late_bodies_soon(running)
    _write(running, events, log_group, progress)
    sent = sum(event.message != traffic.OPENING_LINE for event in events)
    _wait_until_accounted(running, before, health, sent, progress)
    progress(_READING, 0, 3)
    for request in metric_requests.requests(bedrock_metrics.derive_metrics(events, profiles)):
        cloudwatch.put_metric_data(Namespace=request.namespace, MetricData=request.data)  # type: ignore[arg-type]
    _fetch_quotas(running)
    progress(_READING, 1, 3)
    running.drain()
    progress(_READING, 2, 3)
    stack = read_stack(session, running.stack_name)
    document = make_report(session, stack, Scope(window), NOTHING_CHANGED, now=datetime.now(UTC))
    progress(_READING, 3, 3)
    return DemoResult(window, events, document)


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _untouched_hour(session: boto3.Session, now: datetime) -> Window:
    """Return the last hour without a call, because the numbers of an earlier demo would add up with new ones."""
    end = _minute(now)
    while end > now - OLDEST:
        window = make_window(end - HOUR, end)
        if not metrics.has_calls(session.client("cloudwatch"), DEFAULT_NAMESPACE, window):
            return window
        end -= HOUR
    raise LocalAwsError(f"No hour is left for more traffic. Start again with `{own_command('local', 'down')}`.")


def _profiles(session: boto3.Session) -> dict[Profile, str]:
    """Create the missing application profiles of the traffic. Return the ARNs of all of them."""
    bedrock = session.client("bedrock")
    pages = bedrock.get_paginator("list_inference_profiles").paginate(typeEquals="APPLICATION")
    known = {
        each["inferenceProfileName"]: each["inferenceProfileArn"]
        for page in pages
        for each in page["inferenceProfileSummaries"]
    }
    return {
        profile: known.get(profile.name)
        or bedrock.create_inference_profile(
            inferenceProfileName=profile.name, modelSource={"copyFrom": profile.copy_from}
        )["inferenceProfileArn"]
        for profile in PROFILES
    }


def _large_bodies_bucket(session: boto3.Session) -> str:
    """Return the bucket to which Bedrock delivers bodies that are too large for the log."""
    present = logging_configuration.read_configuration(session.client("bedrock"))
    found = logging_configuration.configured_large_bodies(present)
    if found is None:
        raise LocalAwsError("The invocation logging of the account has no bucket for large bodies.")
    return found.bucket


def _write(running: Instance, events: Sequence[LogEvent], processor_log: str, progress: Progress) -> None:
    """Write the events batch by batch, because many deliveries at once are too much for MiniStack."""
    logs, s3 = running.session().client("logs"), running.session().client("s3")
    log_group = running.outputs["InvocationLogGroupName"]
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):  # from an earlier demo
        logs.create_log_stream(logGroupName=log_group, logStreamName=traffic.LOG_STREAM)
    written = 0
    coming: list[tuple[float, LargeBody]] = []
    progress(_WRITING, 0, len(events))
    deliveries = running.drain().invocations.get(processor_log, 0)
    for batch in traffic.batches(events):
        _store([body for event in batch if not event.bodies_late for body in event.large_bodies], s3)
        answer = logs.put_log_events(
            logGroupName=log_group,
            logStreamName=traffic.LOG_STREAM,
            logEvents=[{"timestamp": event.timestamp, "message": event.message} for event in batch],
        )
        if answer.get("rejectedLogEventsInfo"):
            raise LocalAwsError(f"CloudWatch Logs rejected records: {answer['rejectedLogEventsInfo']}")
        now = time.monotonic()
        coming += [
            (now + each.bodies_late / SPEED, body) for each in batch if each.bodies_late for body in each.large_bodies
        ]
        deliveries = running.drain({processor_log: deliveries + 1}).invocations.get(processor_log, 0)
        written += len(batch)
        progress(_WRITING, written, len(events))
        now = time.monotonic()
        _store([body for due, body in coming if due <= now], s3)
        coming = [(due, body) for due, body in coming if due > now]
    for due, body in sorted(coming, key=lambda each: each[0]):
        time.sleep(max(0.0, due - time.monotonic()))
        _store([body], s3)


def _store(bodies: Iterable[LargeBody], s3: S3Client) -> None:
    """Write large bodies to the S3 paths that the log names."""
    for body in bodies:
        bucket, _, key = body.path.removeprefix("s3://").partition("/")
        s3.put_object(Bucket=bucket, Key=key, Body=body.gzipped)


def _wait_until_accounted(
    running: Instance, before: dict[str, float], health: Window, sent: int, progress: Progress
) -> None:
    """Return when the outcomes have grown by `sent`. Raise if they stop growing, or grow by more."""
    cloudwatch = running.session().client("cloudwatch")
    accounted, grew = 0, time.monotonic()
    progress(_ACCOUNTING, 0, sent)
    while accounted < sent:
        running.drain()
        now = metrics.sums(cloudwatch, DEFAULT_NAMESPACE, OUTCOMES, health)
        counts = {name: round(now[name] - before[name]) for name in OUTCOMES}
        if sum(counts.values()) > accounted:
            accounted, grew = sum(counts.values()), time.monotonic()
        progress(_ACCOUNTING, min(accounted, sent), sent)
        if accounted > sent or (accounted < sent and time.monotonic() - grew > STALLED_SECONDS):
            raise LocalAwsError(_describe_difference(sent, counts))
        if accounted < sent:
            time.sleep(0.3)
    running.drain()  # the other metrics of the last lines


def _describe_difference(sent: int, counts: dict[str, int]) -> str:
    accounted = sum(counts.values())
    kind = f"{sent - accounted:,} are missing" if accounted < sent else f"{accounted - sent:,} are too many"
    detail = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return (
        f"{sent:,} records were sent and {accounted:,} counted, {kind}: {detail}. "
        f"See the processor's log and `{own_command('local', 'status')}`."
    )


def _read_late_bodies_soon(running: Instance) -> None:
    """Have the processor read late bodies again as soon as the demo's faster clock says."""
    functions = running.session().client("lambda")
    name = physical_id(running.session(), running.stack_name, "MetricProcessorFunction")
    before = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    hurried = {**before, "LATE_BODIES_DELAY": str(LATE_BODIES_DELAY // SPEED)}
    if hurried != before:
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": hurried})


def _fetch_quotas(running: Instance) -> None:
    """Run the fetcher again. It publishes the quotas of quota pools in use, and now there are some."""
    session = running.session()
    function = physical_id(session, running.stack_name, "QuotaFetcherFunction")
    answer = session.client("lambda").invoke(FunctionName=function, Payload=b"{}")
    if "FunctionError" in answer:
        raise LocalAwsError(f"The quota fetcher failed: {answer['Payload'].read().decode(errors='replace')[:1000]}")


def _print(result: DemoResult) -> None:
    console = make_console()
    console.print()
    console.print(terminal.render(result.document, console.width))
