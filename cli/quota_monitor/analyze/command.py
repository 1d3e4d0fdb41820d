"""`quota-monitor analyze`: the command."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as ProgressBar

from bedrock_quota.analysis.answers import find_answers, select_callers
from bedrock_quota.analysis.what_if import Scenario, keep_pools_with_calls
from bedrock_quota.errors import LogSourceError
from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.sources import read_sources
from quota_monitor.analyze.account import Account
from quota_monitor.analyze.estimate import ASK_ABOVE_DOLLARS, is_wanted, scan_options
from quota_monitor.analyze.policy import write_policy
from quota_monitor.analyze.publish.command import publish, publish_option
from quota_monitor.analyze.reader import Counts, RecordReader
from quota_monitor.analyze.scope import Scope, bound_window, describe_absent_tag, is_tag_absent
from quota_monitor.analyze.source import Source, explain, source_errors_as_messages
from quota_monitor.analyze.sources import Opening, list_openings, source_options
from quota_monitor.answers import output
from quota_monitor.answers.days import note_missing_days
from quota_monitor.answers.document import Document
from quota_monitor.answers.models import find_model_maximum
from quota_monitor.answers.names import check_scenario, check_selection, sort_by_similarity
from quota_monitor.answers.numbers import count
from quota_monitor.answers.options import (
    make_output,
    make_scenario,
    make_scope,
    output_options,
    scenario_options,
    scope_options,
)
from quota_monitor.data_files import MODELS
from quota_monitor.progress import Progress
from quota_monitor.terminal import COULD_NOT_LOOK


@click.command()
@source_options
@publish_option
@scope_options
@scenario_options
@output_options
@scan_options(f"Do not ask before a scan of more than ${ASK_ABOVE_DOLLARS:g}, or before publishing.")
@click.option(
    "--policy", "only_policy", is_flag=True, help="Only print the IAM policy that reading, or publishing, needs."
)
def analyze(
    *,
    yes: bool,
    only_estimate: bool,
    only_policy: bool,
    **given: Any,
) -> None:
    """Say why calls are throttled, from invocation logs that exist.

    It says who causes it and what to change. It deploys nothing, and changes nothing without --publish.
    """
    if given["publish"] is not None:
        publish(given, show_progress, yes=yes, only_policy=only_policy)
        return
    scope = make_scope(given, datetime.now(UTC), all_time=bool(given["files"]))
    scenario, chosen = make_scenario(given), make_output(given)
    openings = list_openings(given, registry := read_sources(MODELS))
    if only_policy:
        click.echo(write_policy(given))
        if not (given["files"] or given["bucket"] or given["log_group"]):
            click.echo("With --log-group NAME, the policy covers that log group alone.", err=True)
        return
    if only_estimate and (given["files"] or given["bucket"]):
        raise click.UsageError("--estimate is for log groups. Nothing is charged for reading files, or per GB in S3.")

    unread: list[Source] = []

    def analyze_one(source: Source) -> Document | None:
        if source.estimate is not None and not is_wanted([source.estimate(scope.window)], only=only_estimate, yes=yes):
            unread.append(source)
            return None
        with show_progress() as progress:
            return analyze_source(source, scope, scenario, registry, progress)

    documents, failures = _analyze_each(openings, analyze_one)
    if not failures:
        check_selection(scope.model, scope.caller, documents)
        check_scenario(scenario, documents)
    exit_code = output.write(documents, chosen) if documents else 0
    if unread and not only_estimate:  # the answer was "no", as for `click.Abort`
        exit_code = max(exit_code, 1)
    for failure in failures:
        click.echo(f"Error: {failure}", err=True)
    sys.exit(COULD_NOT_LOOK if failures else exit_code)


def _analyze_each(
    openings: Sequence[Opening], analyze_one: Callable[[Source], Document | None]
) -> tuple[list[Document], list[str]]:
    """Return the answers of all accounts and Regions, and a sentence for each that could not be read."""
    documents: list[Document] = []
    failures: list[str] = []
    for opening in openings:
        with source_errors_as_messages():
            try:
                documents += filter(None, map(analyze_one, opening.open()))
            except (LogSourceError, BotoCoreError, ClientError) as error:
                if len(openings) == 1 and not documents:
                    raise
                failures.append(f"{opening.name}: {explain(error)}")
    return documents, failures


def analyze_source(
    source: Source, scope: Scope, scenario: Scenario, registry: Registry, progress: Progress = lambda _share: None
) -> Document:
    """Return the answers to all records of a source. Raises `LogSourceError`. Propagates botocore errors."""
    reader = RecordReader(registry, scope, source.resolve_profile, source.fetch_bodies, may_repeat=source.may_repeat)
    notes = source.read(reader, scope, progress)
    reader.finish()
    return make_document(reader, scope, scenario, source=source.name, account=source.account, notes=notes)


@contextmanager
def show_progress(doing: str = "Reading records") -> Iterator[Progress]:
    """Show how much is done, on standard error if that is a terminal."""
    console = Console(stderr=True)
    bar = ProgressBar(
        TextColumn(doing),
        BarColumn(),
        TaskProgressColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("", total=1.0)
        yield lambda share: bar.update(task, completed=share)


def make_document(
    reader: RecordReader, scope: Scope, scenario: Scenario, *, source: str, account: Account, notes: Sequence[str] = ()
) -> Document:
    """Return the answers to all that a reader has added up."""
    usages = reader.tally.measure(account.quotas)
    listing = reader.listing.measure(account.quotas) if reader.listing is not None else ()
    scenario = keep_pools_with_calls(scenario, usages)
    said = [*notes, *account.notes]
    unknown_ends = reader.counts.unknown_ends.total()
    if unknown_ends:
        said.append(
            f"For {count(unknown_ends, 'answer')}, mostly streamed, Logs Insights shows neither tier nor latency, and "
            "not if they were cut. --whole-records reads them."
        )
    if not reader.counts.received:
        said.append("There are no records in this window. Use a longer one, such as --days 7.")
    if is_tag_absent(scope, listing):
        said.append(f"{describe_absent_tag(scope)} in its requestMetadata.")
    said += note_missing_days(usages, bound_window(scope.window, usages))
    if reader.counts.missing_bodies:
        said.append(_explain_unknown(reader.counts.missing_bodies))
    if not reader.tally.is_complete:
        said.append(
            "There are too many callers, minutes or limits to keep all. A what-if may understate what is freed."
        )
    if not reader.tally.models_all_seconds:
        said.append("There are too many hours to model all. In later ones, tokens in use at once are not known.")
    if reader.counts.unlisted_models:
        said.append(
            "The registry does not have these models, so cautious defaults apply: "
            + ", ".join(sorted(reader.counts.unlisted_models))
            + "."
        )
    return Document(
        source=source,
        window=bound_window(scope.window, usages),
        pools=select_callers(find_answers(usages, account.quotas, scenario, find_model_maximum), scope.caller),
        account=account.account_id,
        region=account.region,
        by=f"tag:{scope.tag}" if scope.tag else str(scope.dimension),
        callers=frozenset(caller.caller for usage in usages for caller in usage.callers),
        called=frozenset(usage.pool for usage in usages),
        other_models=tuple(sort_by_similarity(scope.model, reader.counts.other_models)),
        only_callers=scope.caller,
        listing=listing,
        unlabelled_throttled=reader.unlabelled.count(),
        received=reader.counts.received,
        counts=name_counts(reader.counts, throttled=sum(usage.throttled for usage in usages)),
        notes=tuple(said),
        account_tokens_per_day=account.account_tokens_per_day,
        scenario=scenario,
    )


def _explain_unknown(reasons: Mapping[str, int]) -> str:
    """Return a sentence on the calls whose max_tokens is unknown, with the reasons."""
    named = {"not_logged": "the request is not in the log", "no_access": "the request is in S3, which was not read"}
    why = ", ".join(
        f"{number:,} because {named.get(reason, f'the request in S3 could not be read ({reason})')}"
        for reason, number in reasons.items()
    )
    return f"The max_tokens of {count(sum(reasons.values()), 'call')} is unknown: {why}."


def name_counts(counts: Counts, throttled: int = 0) -> dict[str, int]:
    """Return the outcomes that are not in the answers, by a name in words. Throttled calls are in the answers."""
    named = {
        "outside of the window, or of other models": counts.not_asked_for,
        "calls that failed for another reason": counts.failed - throttled,
        "repeated records": counts.duplicates,
        "ignored, because Bedrock writes them when logging is set up": counts.ignored,
    }
    named |= {f"out of scope ({reason})": number for reason, number in counts.out_of_scope.most_common()}
    named |= {f"rejected ({reason})": number for reason, number in counts.rejected.most_common()}
    return {name: number for name, number in named.items() if number}
