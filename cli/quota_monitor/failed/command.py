"""`quota-monitor failed`: list failed deliveries and replay them."""

import sys
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from quota_monitor.aws_session import aws_errors_as_messages, open_session, stack_options
from quota_monitor.command_groups import WholeSummaryGroup
from quota_monitor.failed import store
from quota_monitor.failed.store import FailedDelivery, Replayed
from quota_monitor.json_output import format_json, json_option


@click.group(cls=WholeSummaryGroup)
def failed() -> None:
    """List failed deliveries and replay them."""


@failed.command("list")
@stack_options
@json_option
def list_deliveries(stack_name: str, profile: str | None, region: str | None, as_json: bool) -> None:
    """List failed deliveries and the progress of their replay.

    The oldest is first. The list includes replayed deliveries with records that the processor rejected.
    """
    with aws_errors_as_messages():
        session = open_session(profile, region)
        where = store.find_store(session, stack_name)
        kept = store.list_all(session, where.bucket)
    if as_json:
        click.echo(to_json(where.bucket, kept))
        return
    for each in kept:
        click.echo(f"{each.kept_at:%Y-%m-%d %H:%M:%S}  {each.size:>9,} bytes")
        click.echo(f"    {each.key}")
        if each.progress.parts:
            click.echo(f"    {each.progress.describe()}")
    rejected = sum(each.is_rejected for each in kept)
    click.echo(f"Failed deliveries in s3://{where.bucket}: {len(kept) - rejected}")
    if rejected:
        click.echo(f"Replayed deliveries with rejected records: {rejected}")


def to_json(bucket: str, kept: Sequence[FailedDelivery]) -> str:
    """Return failed deliveries as JSON."""
    return format_json({"bucket": bucket, "deliveries": [_to_data(each) for each in kept]})


def _to_data(each: FailedDelivery) -> dict[str, Any]:
    parts = each.progress.parts
    return {
        "key": each.key,
        "bytes": each.size,
        "kept_at": each.kept_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "is_rejected": each.is_rejected,
        "parts": len(parts),
        "parts_processed": sum(part.is_processed for part in parts),
        "records_rejected": dict(each.progress.rejected),
    }


@failed.command()
@stack_options
@click.option(
    "--key",
    "keys",
    multiple=True,
    help="Replay only the delivery with this key, as `failed list` shows it. Repeatable.",
)
@click.option("--discard", is_flag=True, help="Delete processed deliveries even if records of them were rejected.")
def replay(keys: tuple[str, ...], stack_name: str, profile: str | None, region: str | None, discard: bool) -> None:
    """Send failed deliveries to the processor again.

    The oldest is first. A delivery that is processed completely is deleted. One with rejected records stays in the
    bucket until it expires, 14 days after Lambda wrote it, or is deleted with --discard. A delivery that fails again
    stays, too. The next replay sends only its failed parts. A delivery that times out or takes too much memory is
    halved, down to one log event.
    """
    console = Console(stderr=True, highlight=False)
    problems: list[Replayed] = []
    with aws_errors_as_messages():
        session = open_session(profile, region)
        where = store.find_store(session, stack_name)
        kept = store.list_all(session, where.bucket)
        if unknown := set(keys) - {each.key for each in kept}:
            raise click.BadParameter(f"not in s3://{where.bucket}: {', '.join(sorted(unknown))}", param_hint="--key")
        chosen = [each for each in kept if (each.key in keys if keys else discard or not each.is_rejected)]
        columns = (TextColumn("Replaying"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("", total=len(chosen))
            replays = store.replay(
                session,
                where,
                chosen,
                discard=discard,
                on_progress=lambda found: progress.update(task, description=found.describe()),
            )
            for each in replays:
                progress.update(task, advance=1, description="")
                if each.problem:
                    problems.append(each)
    failing = sum(each.failed for each in problems)
    click.echo(f"Processed: {len(chosen) - failing} of {len(chosen)}")
    for each in problems:
        click.echo(f"{'Still failing: ' if each.failed else ''}{each.key}: {each.problem}", err=True)
    sys.exit(1 if failing else 0)
