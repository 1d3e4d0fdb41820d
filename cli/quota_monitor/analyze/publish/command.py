"""The options of `analyze` that publish records, and what they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from bedrock_quota.errors import LogSourceError
from quota_monitor.analyze.bucket import check_place
from quota_monitor.analyze.policy import write_policy
from quota_monitor.analyze.publish.boundary import find_boundary
from quota_monitor.analyze.publish.deliveries import MAX_DELIVERY_BYTES
from quota_monitor.analyze.publish.errors import PublishError, explain_failure
from quota_monitor.analyze.publish.progress import (
    PublishProgress,
    describe_time,
    mark_hour,
    read_progress,
    start_progress,
)
from quota_monitor.analyze.publish.records import S3_SCHEME, Amount, open_records
from quota_monitor.analyze.publish.sending import INVOKE_OPTIONS, Sent, make_invoke, send_hours
from quota_monitor.answers.numbers import count
from quota_monitor.aws_session import AWS_ERRORS, Stack, open_session, read_stack
from quota_monitor.cost.bill import HOURS_PER_MONTH, METRICS_PER_POOL, Alarms, Use, itemize, measure
from quota_monitor.cost.prices import read_prices
from quota_monitor.places import list_places

if TYPE_CHECKING:
    import boto3

SETTLED_SECONDS = 120
"""Time after the boundary until all events from before it can be read. AWS names none; it mostly takes seconds."""

SETTLED_S3_SECONDS = 3_600
"""The same for S3, where an object is written up to some minutes after its records (see `log_sources.s3.LATE`)."""

PROCESSING_ITEMS = frozenset({"metric lines", "Lambda's own log lines", "Lambda", "state table"})
"""Items of a bill that grow with the calls, if the calls do not come through a stream or a queue."""

_ALLOWED = frozenset({"publish", "yes", "regions", "profiles", "log_group", "bucket", "only_policy"})

DELAY = (
    "CloudWatch accepts calls of the last 14 days. It can take 2 hours to show calls over 3 hours old, and 48 hours or "
    "more to show calls over 24 hours old."
)
"""The API reference of PutMetricData (read 2026-11-28) says "as much as 2 hours" and "at least 48 hours"."""


def publish_option(command: Callable[..., None]) -> Callable[..., None]:
    """Add the option that publishes records instead of analyzing them."""
    return click.option(
        "--publish",
        metavar="STACK",
        help="Send records from before this stack through its processor, up to 14 days back. Each counts once.",
    )(command)


def publish(given: Mapping[str, Any], show: Callable[[], Any], *, yes: bool, only_policy: bool = False) -> None:
    """Publish the older records that the options select, with progress as `show` shows it. Asks first unless `yes`.

    Prints the rights instead if `only_policy`. Raises `PublishError`, and `click.UsageError` for options that select
    other records.
    """
    check_options(given)
    if only_policy:
        click.echo(write_policy(given))
        return
    with _errors_end_with_3():
        (place,) = list_places(None, None, given["profiles"], given["regions"])
        session = open_session(place.profile, place.region)
        stack, now = read_own_stack(session, given["publish"]), datetime.now(UTC)
        progress = plan(session, stack, given["log_group"] or given["bucket"], now)
        check_settled(progress, now)
        records = open_records(session, stack, progress, now)
        hours = [hour for hour in records.hours if hour not in progress.hours]
        amount = records.measure(hours[0]) if hours else Amount(0, 0)
        if amount.records == 0:
            click.echo(f"There is nothing left to publish: {_describe_boundary(stack, progress)}")
            return
        click.echo("\n".join(describe(stack, progress, hours, amount)), err=True)
        if not yes:
            click.confirm("Publish them?", abort=True, err=True)
        client, table = session.client("dynamodb"), stack.resources["StateTable"]
        stored = start_progress(client, table, progress)
        if (stored.boundary, stored.source) != (progress.boundary, progress.source):
            raise PublishError("Another run has begun in the meantime. Run the command again.")
        from botocore.config import Config  # noqa: PLC0415 - slow to import, and `--help` does not need it

        invoke = make_invoke(session.client("lambda", config=Config(**INVOKE_OPTIONS)), stack, progress.source)
        with show() as update:
            sent = send_hours(records, hours, invoke, lambda hour: mark_hour(client, table, hour), update)
    click.echo(summarize(sent, hours))


def check_options(given: Mapping[str, Any]) -> None:
    """Raise `click.UsageError` for options that have no meaning for publishing, which takes all older records."""
    context = click.get_current_context()
    others = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name is not None
        and parameter.name not in _ALLOWED
        and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    ]
    if others:
        raise click.UsageError(f"--publish takes all records from before the stack, so it does not take {others[0]}.")
    if len(list_places(None, None, given["profiles"], given["regions"])) > 1:
        raise click.UsageError("--publish takes one profile and one Region.")
    if given["log_group"] and given["bucket"]:
        raise click.UsageError("Use one of --log-group and --s3.")
    if given["bucket"]:
        check_place(given["bucket"])


@contextmanager
def _errors_end_with_3() -> Iterator[None]:
    try:
        yield
    except (*AWS_ERRORS, LogSourceError) as error:
        raise PublishError(explain_failure(error)) from error


def read_own_stack(session: boto3.Session, name: str) -> Stack:
    """Return a deployed stack of this project. Raises `PublishError` if it is another's. Propagates botocore errors."""
    stack = read_stack(session, name)
    if "InvocationLogGroupName" not in stack.outputs or not {"StateTable", "MetricProcessorFunction"} <= {
        *stack.resources
    }:
        raise PublishError(f"The stack {name} does not have the resources of this monitor. --publish takes its name.")
    return stack


def check_settled(progress: PublishProgress, now: datetime) -> None:
    """Raise `PublishError` if records from before the boundary may not be readable yet. An hour is read only once."""
    wait = SETTLED_S3_SECONDS if progress.source.startswith(S3_SCHEME) else SETTLED_SECONDS
    ready = -(-progress.boundary // 1000) + wait
    if now.timestamp() < ready:
        raise PublishError(
            "The newest of the older records may not be readable yet, because AWS shows records with a delay. "
            f"Run the command again after {describe_time(ready + 59)}."
        )


def plan(session: boto3.Session, stack: Stack, source: str | None, now: datetime) -> PublishProgress:
    """Return the progress so far, or the one that a first run begins with. `source` is the stack's log group if None.

    Raises `PublishError` if the stack does not detect duplicates, or was published from another source. Propagates
    botocore errors.
    """
    if stack.parameters.get("DuplicateDetection") == "off":
        raise PublishError(
            f"DuplicateDetection is off in the stack {stack.name}, so an interrupted hour would count twice. "
            "Set it to on, and publish again."
        )
    source = source or stack.outputs["InvocationLogGroupName"]
    found = read_progress(session.client("dynamodb"), stack.resources["StateTable"])
    if found is None:
        return PublishProgress(find_boundary(session, stack, now), source)
    if found.source != source:
        option = "--s3" if found.source.startswith(S3_SCHEME) else "--log-group"
        raise PublishError(
            f"The stack {stack.name} was published from {found.source}, and {source} may have the same records. "
            f"Continue with {option} {found.source}."
        )
    return found


def describe(stack: Stack, progress: PublishProgress, hours: Sequence[int], amount: Amount) -> Iterator[str]:
    """Yield what is about to be published, and what it costs."""
    records = "All records" if amount.records is None else f"About {count(amount.records, 'record')}"
    size = f" ({amount.size / 1e6:,.1f} MB)" if amount.size else ""
    yield (
        f"{records}{size} from {progress.source} go through the processor of {stack.name}. "
        f"Their calls began from {describe_time(hours[0])} on. {_describe_boundary(stack, progress)}"
    )
    yield _describe_cost(amount, len(hours))
    yield "Percentages are of today's quotas, because the log does not say what they were."
    yield DELAY


def _describe_boundary(stack: Stack, progress: PublishProgress) -> str:
    return f"{stack.name} itself has the records since {describe_time(progress.boundary // 1000)}."


def _describe_cost(amount: Amount, hours: int) -> str:
    price = read_prices()
    records = 1_000_000 if amount.records is None else amount.records
    deliveries = min(records, hours + amount.size // MAX_DELIVERY_BYTES)
    use = Use(1, records, max(1, records // deliveries))
    items = [item for item in itemize(use, price, Alarms(0, 0), measure(use)[0]) if item.what in PROCESSING_ITEMS]
    dollars = sum(item.dollars for item in items)
    pool = METRICS_PER_POOL * price.metric_month / HOURS_PER_MONTH
    each = "per million records " if amount.records is None else ""
    return (
        f"This costs about ${max(0.01, dollars):,.2f} {each}for {', '.join(item.what for item in items)}, "
        f"and ${pool:.3f} for the metrics of each quota pool per hour that it takes."
    )


def summarize(sent: Sent, hours: Sequence[int]) -> str:
    """Return the outcome in words."""
    others = sent.received - sent.processed - sent.rejected
    begun = f"Published {count(sent.received, 'record')} from {describe_time(hours[0])} on"
    text = f"{begun}: {count(sent.processed, 'call')} processed"
    if others:
        text += f", {others:,} failed, out of scope or ignored"
    if sent.rejected:
        text += f", {sent.rejected:,} rejected, for which the processor's log has the reasons"
    return f"{text}."
