"""`quota-monitor failed`: list failed deliveries and replay them."""

import sys

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from quota_monitor.aws_session import aws_errors_as_messages, open_session, stack_options
from quota_monitor.failed import store
from quota_monitor.failed.store import Replayed


@click.group()
def failed() -> None:
    """List failed deliveries and replay them."""


@failed.command("list")
@stack_options
def list_deliveries(stack_name: str, profile: str | None, region: str | None) -> None:
    """List failed deliveries, the oldest first.

    The list includes replayed deliveries with records that the processor rejected.
    """
    with aws_errors_as_messages():
        session = open_session(profile, region)
        where = store.find_store(session, stack_name)
        kept = store.list_failed(session, where.bucket)
        rejected = store.list_rejected(session, where.bucket)
    for each in (*kept, *rejected):
        click.echo(f"{each.kept_at:%Y-%m-%d %H:%M:%S}  {each.size:>9,} bytes  {each.key}")
    click.echo(f"Failed deliveries in s3://{where.bucket}: {len(kept)}")
    if rejected:
        click.echo(f"Replayed deliveries with rejected records: {len(rejected)}")


@failed.command()
@stack_options
@click.option("--discard", is_flag=True, help="Delete processed deliveries even if records of them were rejected.")
def replay(stack_name: str, profile: str | None, region: str | None, discard: bool) -> None:
    """Replay failed deliveries, the oldest first.

    A delivery that is processed completely is deleted. One with rejected records moves to refused/, or is deleted with
    --discard. A delivery that fails again stays in the bucket.
    """
    console = Console(stderr=True, highlight=False)
    problems: list[Replayed] = []
    with aws_errors_as_messages():
        session = open_session(profile, region)
        where = store.find_store(session, stack_name)
        kept = store.list_failed(session, where.bucket)
        with Progress(TextColumn("Replaying"), BarColumn(), MofNCompleteColumn(), console=console) as progress:
            task = progress.add_task("", total=len(kept))
            for each in store.replay(session, where, kept, discard=discard):
                progress.advance(task)
                if each.problem:
                    problems.append(each)
    failing = sum(each.failed for each in problems)
    click.echo(f"Processed: {len(kept) - failing} of {len(kept)}")
    for each in problems:
        click.echo(f"{'Still failing: ' if each.failed else ''}{each.key}: {each.problem}", err=True)
    sys.exit(1 if failing else 0)
