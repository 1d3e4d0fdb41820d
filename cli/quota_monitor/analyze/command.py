"""`quota-monitor analyze`: the command."""

from __future__ import annotations

from collections.abc import Sequence

import click

from bedrock_quota.analysis.answers import find_answers
from bedrock_quota.analysis.what_if import Scenario
from bedrock_quota.registry.sources import read_sources
from quota_monitor.analyze.account import Account
from quota_monitor.analyze.errors import SourceError
from quota_monitor.analyze.files import find_files, read_file
from quota_monitor.analyze.reader import Counts, RecordReader
from quota_monitor.analyze.scope import Scope, Window
from quota_monitor.answers import terminal
from quota_monitor.answers.document import Document
from quota_monitor.data_files import MODELS
from quota_monitor.terminal import errors_as_messages, make_console


@click.command()
@click.option("--files", multiple=True, help="Files.")
def analyze(files: Sequence[str]) -> None:
    """Analyze."""
    scope = Scope()
    with errors_as_messages(SourceError):
        reader = RecordReader(read_sources(MODELS), scope)
        for path in find_files(files):
            reader.add_all(read_file(path))
        reader.finish()
    document = make_document("files", scope, reader, Account(), Scenario())
    console = make_console()
    console.print(terminal.render(document, console.width))


def make_document(source: str, scope: Scope, reader: RecordReader, account: Account, scenario: Scenario) -> Document:
    """Return the answers to all that a reader has added up."""
    usages = reader.tally.measure(account.quotas)
    minutes = [minute.minute for usage in usages for minute in usage.minutes]
    window = Window(min(minutes), max(minutes) + 60) if minutes else Window(0, 0)
    return Document(
        source=source,
        window=window,
        pools=find_answers(usages, account.quotas, scenario),
        account=account.account_id,
        region=account.region,
        by=str(scope.dimension),
        received=reader.counts.received,
        counts=name_counts(reader.counts),
        notes=account.notes,
        account_tokens_per_day=account.account_tokens_per_day,
        scenario=scenario,
    )


def name_counts(counts: Counts) -> dict[str, int]:
    """Return the outcomes that are not in the answers, by a name in words."""
    return {}
