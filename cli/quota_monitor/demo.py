"""`quota-monitor demo`: an hour of an account's traffic through the deployed stack, and what comes of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click
import msgspec
from rich.console import Console

from bedrock_quota.deployment import invocation_logging
from bedrock_quota.settings import DEFAULT_NAMESPACE
from localaws import bedrock_metrics, instance, metric_requests, traffic
from localaws.bedrock_calls import LargeBody
from localaws.deployment import Progress
from localaws.errors import LocalAwsError
from localaws.instance import Instance
from localaws.traffic import LogEvent, Profile
from quota_monitor import local, report, usage
from quota_monitor.usage import OUTCOMES, BucketUse, Window

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_s3 import S3Client

METADATA_KEYS = "team,environment"
"""Tags of the traffic that the demo's stack keeps on its metric lines."""

HOUR = timedelta(hours=1)
OLDEST = timedelta(days=13)
"""CloudWatch takes nothing older than two weeks."""

PATIENCE_SECONDS = 90.0
"""How long no further record may be accounted for, before the demo gives up."""

WIDTH_IN_A_FILE = 132

_WRITING = "Writing an hour of traffic"
_ACCOUNTING = "Waiting for the metrics"
_READING = "Fetching quotas and reading back"


class Shown(msgspec.Struct, frozen=True):
    """A demo that ran: what was sent for which hour, and what CloudWatch says of it."""

    window: Window
    sent: tuple[LogEvent, ...]
    uses: tuple[BucketUse, ...]


@click.command()
@click.option("--seed", default=0, show_default=True, help="Another number is another hour of the same applications.")
@click.option("--down", is_flag=True, help="Stop AWS on this machine afterwards; without it, it goes on running.")
def demo(seed: int, down: bool) -> None:
    """See it work: AWS on this machine, an hour of Bedrock traffic, and each quota's use.

    The traffic is invented: sixteen applications, thirteen buckets, one caller who throttles everyone.
    """
    began = time.monotonic()
    with local.explained(), local.shown_progress() as progress:
        running = instance.up(parameters={"RequestMetadataKeys": METADATA_KEYS}, progress=progress)
        shown = run(running, seed, progress)
    _print(shown)
    if down:
        local.console.print()
    else:
        nearest = max(shown.uses, key=report.urgency).bucket
        local.show_dashboard(running, {"model": nearest.model_id, "endpoint": nearest.endpoint_type.value})
    local.console.print(f"That took {time.monotonic() - began:.0f} s.", end=" ")
    if down:
        with local.explained():
            instance.down()
        local.console.print("AWS on this machine is down again.")
    else:
        local.console.print("AWS goes on running on this machine until [bold]quota-monitor local down[/].\n")
        local.show(running)


def run(running: Instance, seed: int, progress: Progress = lambda _stage, _done, _total: None) -> Shown:
    """Send an hour of traffic through a running stack and collect what CloudWatch says when all is accounted for.

    Raises `LocalAwsError` if records go missing on the way.
    """
    session = running.session()
    cloudwatch = session.client("cloudwatch")
    since = datetime.now(UTC)
    window = _untouched_hour(session, since)
    profiles = _profiles(session)
    events = tuple(traffic.hour(window.end, seed, profiles, _large_bodies_bucket(session)))
    health = Window(_minute(since), _minute(since) + HOUR)
    before = usage.sums(cloudwatch, DEFAULT_NAMESPACE, OUTCOMES, health)
    log_group = _physical_id(session, running.stack_name, "MetricProcessorLogGroup")
    _write(running, events, log_group, progress)
    sent = sum(event.message != traffic.PERMISSIONS_LINE for event in events)
    _wait_until_accounted(running, before, health, sent, progress)
    progress(_READING, 0, 3)
    for request in metric_requests.requests(bedrock_metrics.of_events(events, profiles)):
        cloudwatch.put_metric_data(Namespace=request.namespace, MetricData=request.data)  # type: ignore[arg-type]
    _fetch_quotas(running)
    progress(_READING, 1, 3)
    running.drain()
    progress(_READING, 2, 3)
    uses = usage.collect(session, namespace=DEFAULT_NAMESPACE, log_group=log_group, window=window, since=since)
    progress(_READING, 3, 3)
    return Shown(window, events, tuple(uses))


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _untouched_hour(session: boto3.Session, now: datetime) -> Window:
    """Return the last hour without a call: an earlier demo's numbers would be added to ours."""
    end = _minute(now)
    while end > now - OLDEST:
        window = Window(end - HOUR, end)
        if not usage.has_calls(session.client("cloudwatch"), DEFAULT_NAMESPACE, window):
            return window
        end -= HOUR
    raise LocalAwsError("no hour is left for more traffic; start afresh with `quota-monitor local down`")


def _profiles(session: boto3.Session) -> dict[Profile, str]:
    """Make the application profiles of the cast where they are not made yet; return their ARNs."""
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
        for profile in traffic.PROFILES
    }


def _large_bodies_bucket(session: boto3.Session) -> str:
    """Return where Bedrock delivers bodies that are too large for the log."""
    found = invocation_logging.configured_large_bodies(invocation_logging.read_configuration(session.client("bedrock")))
    if found is None:
        raise LocalAwsError("the account's invocation logging names no bucket for large bodies")
    return found.bucket


def _write(running: Instance, events: Sequence[LogEvent], processor_log: str, progress: Progress) -> None:
    """Write the events, a batch when the one before is processed: many deliveries at once overwhelm MiniStack."""
    logs, s3 = running.session().client("logs"), running.session().client("s3")
    log_group = running.outputs["InvocationLogGroupName"]
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):  # an earlier demo's
        logs.create_log_stream(logGroupName=log_group, logStreamName=traffic.LOG_STREAM)
    written = 0
    progress(_WRITING, 0, len(events))
    deliveries = running.drain().invocations.get(processor_log, 0)
    for batch in traffic.batches(events):
        _store([body for event in batch for body in event.large_bodies], s3)
        answer = logs.put_log_events(
            logGroupName=log_group,
            logStreamName=traffic.LOG_STREAM,
            logEvents=[{"timestamp": event.timestamp, "message": event.message} for event in batch],
        )
        if answer.get("rejectedLogEventsInfo"):
            raise LocalAwsError(f"CloudWatch Logs did not take all records: {answer['rejectedLogEventsInfo']}")
        deliveries += 1
        running.drain({processor_log: deliveries})
        written += len(batch)
        progress(_WRITING, written, len(events))


def _store(bodies: Iterable[LargeBody], s3: S3Client) -> None:
    """Write large bodies where the log says they are."""
    for body in bodies:
        bucket, _, key = body.path.removeprefix("s3://").partition("/")
        s3.put_object(Bucket=bucket, Key=key, Body=body.gzipped)


def _wait_until_accounted(
    running: Instance, before: dict[str, float], health: Window, sent: int, progress: Progress
) -> None:
    """Return when the outcomes' counts have grown by `sent`; raise when they stop growing, or grow by more."""
    cloudwatch = running.session().client("cloudwatch")
    accounted, grew = 0, time.monotonic()
    progress(_ACCOUNTING, 0, sent)
    while accounted < sent:
        running.drain()
        now = usage.sums(cloudwatch, DEFAULT_NAMESPACE, OUTCOMES, health)
        counts = {name: round(now[name] - before[name]) for name in OUTCOMES}
        if sum(counts.values()) > accounted:
            accounted, grew = sum(counts.values()), time.monotonic()
        progress(_ACCOUNTING, min(accounted, sent), sent)
        if accounted > sent or (accounted < sent and time.monotonic() - grew > PATIENCE_SECONDS):
            raise LocalAwsError(_difference(sent, counts))
        if accounted < sent:
            time.sleep(0.3)
    running.drain()  # the last lines' other metrics


def _difference(sent: int, counts: dict[str, int]) -> str:
    accounted = sum(counts.values())
    kind = f"{sent - accounted:,} are missing" if accounted < sent else f"{accounted - sent:,} too many"
    detail = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return (
        f"{sent:,} records were sent and {accounted:,} accounted for, {kind}: {detail}. "
        "The processor's log and `quota-monitor local status` say more."
    )


def _fetch_quotas(running: Instance) -> None:
    """Run the fetcher once more: it publishes the quotas of buckets in use, and now there are some."""
    session = running.session()
    function = _physical_id(session, running.stack_name, "QuotaFetcherFunction")
    answer = session.client("lambda").invoke(FunctionName=function, Payload=b"{}")
    if "FunctionError" in answer:
        raise LocalAwsError(f"the quota fetcher failed: {answer['Payload'].read().decode(errors='replace')[:1000]}")


def _physical_id(session: boto3.Session, stack_name: str, logical_id: str) -> str:
    detail = session.client("cloudformation").describe_stack_resource(
        StackName=stack_name, LogicalResourceId=logical_id
    )["StackResourceDetail"]
    return detail["PhysicalResourceId"]


def _print(shown: Shown) -> None:
    console = local.console if local.console.is_terminal else Console(highlight=False, width=WIDTH_IN_A_FILE)
    requests = sum(use.requests for use in shown.uses)
    console.print(
        f"\n[bold]{requests:,} requests to {len(shown.uses)} buckets[/] between "
        f"{shown.window.start:%H:%M} and {shown.window.end:%H:%M} UTC, read back from CloudWatch"
    )
    console.print(report.render(shown.uses))
