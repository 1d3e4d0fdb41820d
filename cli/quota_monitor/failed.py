"""`quota-monitor failed`: deliveries that the processor failed at, and a way to process them after all."""

import sys

import boto3
import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from quota_monitor import failed_deliveries
from quota_monitor.failed_deliveries import Replayed
from quota_monitor.stacks import explained, of_a_stack


@click.group()
def failed() -> None:
    """Look at the deliveries that could not be processed, and process them again."""


@failed.command("list")
@of_a_stack
def show(stack_name: str, profile: str | None, region: str | None) -> None:
    """List them, the oldest first; and what was replayed but for records that were refused."""
    with explained():
        session = boto3.Session(profile_name=profile, region_name=region)
        where = failed_deliveries.place(session, stack_name)
        kept = failed_deliveries.kept(session, where.bucket)
        refused = failed_deliveries.refused(session, where.bucket)
    for each in (*kept, *refused):
        click.echo(f"{each.kept_at:%Y-%m-%d %H:%M:%S}  {each.size:>9,} bytes  {each.key}")
    click.echo(f"{len(kept)} failed deliveries in s3://{where.bucket}")
    if refused:
        click.echo(f"{len(refused)} more were replayed, and hold records that were refused")


@failed.command()
@of_a_stack
@click.option("--discard", is_flag=True, help="Keep nothing of what was processed, even if records of it were refused.")
def replay(stack_name: str, profile: str | None, region: str | None, discard: bool) -> None:
    """Process them again, in order; what succeeds is deleted, what fails again stays."""
    console = Console(stderr=True, highlight=False)
    problems: list[Replayed] = []
    with explained():
        session = boto3.Session(profile_name=profile, region_name=region)
        where = failed_deliveries.place(session, stack_name)
        kept = failed_deliveries.kept(session, where.bucket)
        with Progress(TextColumn("Replaying"), BarColumn(), MofNCompleteColumn(), console=console) as progress:
            task = progress.add_task("", total=len(kept))
            for each in failed_deliveries.replay(session, where, kept, discard=discard):
                progress.advance(task)
                if each.problem:
                    problems.append(each)
    failing = sum(each.failed for each in problems)
    click.echo(f"{len(kept) - failing} of {len(kept)} processed")
    for each in problems:
        click.echo(f"{'still failing: ' if each.failed else ''}{each.key}: {each.problem}", err=True)
    sys.exit(1 if failing else 0)
