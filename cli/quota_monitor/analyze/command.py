"""`quota-monitor analyze`: the command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bedrock_quota.analysis.answers import find_answers
from bedrock_quota.analysis.what_if import Scenario
from bedrock_quota.errors import LogSourceError
from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.sources import read_sources
from quota_monitor.analyze import files as local_files
from quota_monitor.analyze.account import Account, Profiles
from quota_monitor.analyze.reader import Counts, RecordReader
from quota_monitor.analyze.scope import ALL_TIME, Scope, Window
from quota_monitor.answers import output
from quota_monitor.answers.document import Document
from quota_monitor.answers.numbers import count
from quota_monitor.answers.options import (
    Output,
    make_scenario,
    make_scope,
    output_options,
    scenario_options,
    scope_options,
)
from quota_monitor.data_files import MODELS
from quota_monitor.terminal import errors_as_messages


@click.command()
@click.option(
    "--files", multiple=True, metavar="PATH", help="Files or folders with records. - is standard input. Repeatable."
)
@scope_options
@scenario_options
@output_options
def analyze(files: Sequence[str], form: str, html: Path | None, fail_over: float | None, **given: Any) -> None:
    """Say why calls are throttled, who causes it, and what to change.

    Reads invocation logs that exist. Deploys nothing and changes nothing.
    """
    scope = make_scope(given, datetime.now(UTC), all_time=bool(files))
    scenario = make_scenario(given)
    registry = read_sources(MODELS)
    with errors_as_messages(LogSourceError):
        documents = [analyze_files(files, scope, scenario, registry)]
    sys.exit(output.write(documents, Output(form, html, fail_over)))


def analyze_files(paths: Sequence[str], scope: Scope, scenario: Scenario, registry: Registry) -> Document:
    """Return the answers to records in local files. Without credentials there are no quotas.

    A file that cannot be read to its end is named in the notes, and all others are read.
    """
    found = local_files.find_files(paths)
    reader = RecordReader(registry, scope, Profiles({}, None).resolve)
    notes: list[str] = []
    for path in found:
        try:
            reader.add_all(local_files.read_file(path))
        except LogSourceError as error:
            notes.append(str(error))
    reader.finish()
    return make_document(reader, scope, scenario, source=count(len(found), "file"), account=Account(), notes=notes)


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
