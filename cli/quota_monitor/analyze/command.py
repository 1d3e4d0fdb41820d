"""`quota-monitor analyze`: the command."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as ProgressBar

from bedrock_quota.analysis.answers import find_answers
from bedrock_quota.analysis.what_if import Scenario
from bedrock_quota.errors import LogSourceError
from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.sources import read_sources
from quota_monitor.analyze.account import Account
from quota_monitor.analyze.publish.command import publish, publish_option
from quota_monitor.analyze.reader import Counts, RecordReader
from quota_monitor.analyze.scope import ALL_TIME, Scope
from quota_monitor.analyze.source import Progress, Source
from quota_monitor.analyze.sources import open_sources, source_options
from quota_monitor.answers import output
from quota_monitor.answers.document import Document
from quota_monitor.answers.options import (
    make_output,
    make_scenario,
    make_scope,
    output_options,
    scenario_options,
    scope_options,
)
from quota_monitor.aws_session import aws_errors_as_messages
from quota_monitor.data_files import MODELS
from quota_monitor.terminal import errors_as_messages
from quota_monitor.window import Window


@click.command()
@source_options
@publish_option
@scope_options
@scenario_options
@output_options
@click.option("--yes", is_flag=True, help="Do not ask before records are published.")
def analyze(*, yes: bool, **given: Any) -> None:
    """Say why calls are throttled, who causes it, and what to change.

    Reads invocation logs that exist. Deploys nothing, and changes nothing without --publish.
    """
    if given["publish"] is not None:
        publish(given, show_progress, yes=yes)
        return
    scope = make_scope(given, datetime.now(UTC), all_time=bool(given["files"]))
    scenario, chosen = make_scenario(given), make_output(given)
    registry = read_sources(MODELS)
    with aws_errors_as_messages(), errors_as_messages(LogSourceError), show_progress() as progress:
        documents = [
            analyze_source(each, scope, scenario, registry, progress) for each in open_sources(given, registry)
        ]
    sys.exit(output.write(documents, chosen))


def analyze_source(
    source: Source, scope: Scope, scenario: Scenario, registry: Registry, progress: Progress = lambda _share: None
) -> Document:
    """Return the answers to all records of a source. Raises `LogSourceError`. Propagates botocore errors."""
    reader = RecordReader(registry, scope, source.resolve_profile, source.fetch_bodies)
    notes = source.read(reader, scope, progress)
    reader.finish()
    return make_document(reader, scope, scenario, source=source.name, account=source.account, notes=notes)


@contextmanager
def show_progress() -> Iterator[Progress]:
    """Show how much is done, on standard error if that is a terminal."""
    bar = ProgressBar(
        TextColumn("Reading records"), BarColumn(), TaskProgressColumn(), console=Console(stderr=True), transient=True
    )
    with bar:
        task = bar.add_task("", total=1.0)
        yield lambda share: bar.update(task, completed=share)


def make_document(
    reader: RecordReader, scope: Scope, scenario: Scenario, *, source: str, account: Account, notes: Sequence[str] = ()
) -> Document:
    """Return the answers to all that a reader has added up."""
    usages = reader.tally.measure(account.quotas)
    minutes = [minute.minute for usage in usages for minute in usage.minutes]
    window = scope.window
    if window.start == ALL_TIME.start or window.end == ALL_TIME.end:
        window = Window(min(minutes), max(minutes) + 60) if minutes else Window(0, 0)
    said = [*notes, *account.notes]
    if not reader.tally.is_complete:
        said.append("There are too many callers and minutes to keep all. A what-if may understate what is freed.")
    if reader.counts.unlisted_models:
        said.append(
            "The registry does not have these models, so cautious defaults apply: "
            + ", ".join(sorted(reader.counts.unlisted_models))
            + "."
        )
    return Document(
        source=source,
        window=window,
        pools=find_answers(usages, account.quotas, scenario),
        account=account.account_id,
        region=account.region,
        by=f"tag:{scope.tag}" if scope.tag else str(scope.dimension),
        received=reader.counts.received,
        counts=name_counts(reader.counts),
        notes=tuple(said),
        account_tokens_per_day=account.account_tokens_per_day,
        scenario=scenario,
    )


def name_counts(counts: Counts) -> dict[str, int]:
    """Return the outcomes that are not in the answers, by a name in words."""
    named = {
        "outside of the window, or of other models or callers": counts.not_asked_for,
        "failed calls": counts.failed,
    }
    named |= {f"out of scope ({reason})": number for reason, number in counts.out_of_scope.most_common()}
    named |= {f"rejected ({reason})": number for reason, number in counts.rejected.most_common()}
    return {name: number for name, number in named.items() if number}
