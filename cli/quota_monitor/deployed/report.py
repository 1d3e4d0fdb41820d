"""`quota-monitor report`: the answers about a deployed stack."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
import msgspec

from bedrock_quota.analysis.answers import NOTHING_CHANGED, find_answers, select_callers
from bedrock_quota.analysis.what_if import Scenario, keep_pools_with_calls
from bedrock_quota.errors import LogSourceError
from quota_monitor.analyze.command import show_progress
from quota_monitor.analyze.estimate import ASK_ABOVE_DOLLARS, Estimate, estimate_scan, is_wanted, scan_options, sum_up
from quota_monitor.analyze.scope import Scope, describe_absent_tag, is_tag_absent
from quota_monitor.analyze.source import source_errors_as_messages
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
from quota_monitor.answers.words import summarize
from quota_monitor.aws_session import (
    AWS_ERRORS,
    Stack,
    explain_aws_error,
    find_stack_name,
    open_session,
    read_stack,
)
from quota_monitor.credentials import sign_in
from quota_monitor.deployed import overview
from quota_monitor.deployed.measure import find_metric_lines, list_scans, measure_stack
from quota_monitor.places import Place, Reply, ask_all, list_places, place_options, worst_exit_code
from quota_monitor.program import own_command
from quota_monitor.progress import Progress
from quota_monitor.window import make_window

if TYPE_CHECKING:
    import boto3

    from quota_monitor.answers.options import Output


@click.command()
@place_options
@scope_options
@scenario_options
@output_options
@scan_options(f"Do not ask before a scan of more than ${ASK_ABOVE_DOLLARS:g}.")
def report(
    *,
    stack_name: str,
    profile: str | None,
    region: str | None,
    profiles: tuple[str, ...],
    regions: tuple[str, ...],
    yes: bool,
    only_estimate: bool,
    **given: Any,
) -> None:
    """Say why calls are throttled, from a deployed stack.

    It prints the same answers as `quota-monitor analyze`.

    Up to 6 hours are exact. Of longer windows, only the busiest hours are read call by call. Logs Insights adds up the
    rest, and the command says first what that costs.

    With --profiles and --regions it reads one stack in each of these accounts and Regions. One that fails does not stop
    the others. The exit code is the worst of them. --summary prints only the table with one row for each.
    """
    now, places = datetime.now(UTC), list_places(profile, region, profiles, regions)
    scope, scenario, chosen = make_scope(given, now), make_scenario(given), make_output(given)
    if len(places) > 1 or (chosen.is_summary and chosen.form in {"terminal", "markdown"}):
        sys.exit(
            _report_all(places, stack_name, scope, scenario, chosen, now=now, only_estimate=only_estimate, yes=yes)
        )
    with source_errors_as_messages():
        opened = _open_stack(open_session(places[0].profile, places[0].region), stack_name, scope, now)
        if not _is_wanted({opened.stack.name: opened}, only_estimate=only_estimate, yes=yes):
            sys.exit(0 if only_estimate else 1)
        with show_progress() as progress:
            document = make_report(opened.session, opened.stack, scope, scenario, now=now, progress=progress)
    check_selection(scope.model, scope.caller, [document])
    check_scenario(scenario, [document])
    sys.exit(output.write([document], chosen))


class OpenedStack(msgspec.Struct, frozen=True):
    """A stack that was found, the session that reads it, and what reading it costs. None if it costs nothing."""

    session: boto3.Session
    stack: Stack
    costs: Estimate | None

    @property
    def account(self) -> str:
        """Return the account id."""
        return self.stack.account

    @property
    def region(self) -> str:
        """Return the Region."""
        return self.stack.region


def _open_stack(session: boto3.Session, stack_name: str, scope: Scope, now: datetime) -> OpenedStack:
    """Find a stack, and estimate what reading it costs. Raises `LogSourceError`. Propagates botocore errors."""
    stack = read_stack(session, find_stack_name(session, stack_name))
    scans, log_group = list_scans(scope, now), find_metric_lines(stack)
    costs = estimate_scan(session.client("cloudwatch"), log_group, scans) if scans else None
    return OpenedStack(session, stack, costs)


def _is_wanted(opened: Mapping[str, OpenedStack], *, only_estimate: bool, yes: bool) -> bool:
    """Say what reading stacks costs, and ask if it is expensive. Return False if nothing is to be read."""
    costs = {name: each.costs for name, each in opened.items() if each.costs is not None}
    if only_estimate and opened and not costs:
        click.echo("This window is read without a scan, so it costs nothing.")
    said = list(costs.values()) if len(costs) == 1 else sum_up(costs)
    return is_wanted(said, only=only_estimate, yes=yes)


def _report_all(
    places: Sequence[Place],
    stack_name: str,
    scope: Scope,
    scenario: Scenario,
    chosen: Output,
    *,
    now: datetime,
    only_estimate: bool,
    yes: bool,
) -> int:
    """Report on a stack in each place, print all, and return the exit code."""
    credentials = sign_in(places)

    def open_place(place: Place, _progress: Progress) -> OpenedStack:
        with source_errors_as_messages():
            session = open_session(place.profile, place.region, credentials[place.profile])
            return _open_stack(session, stack_name, scope, now)

    opened = ask_all(places, open_place, lambda _opened: 0)
    found = {each.place: each.value for each in opened if each.value is not None}
    named = {each.name: each.value for each in opened if each.value is not None}
    if not _is_wanted(named, only_estimate=only_estimate, yes=yes):
        for each in opened:
            if each.value is None:
                click.echo(f"Error: {each.name}: {each.reason}", err=True)
        return worst_exit_code(opened) if only_estimate else 1

    def read(place: Place, progress: Progress) -> Document:
        with source_errors_as_messages():
            session, stack = found[place].session, found[place].stack
            return output.complete(make_report(session, stack, scope, scenario, now=now, progress=progress), chosen)

    with show_progress(f"Reading {count(len(found), 'stack')}") as progress:
        read_ones = ask_all(
            list(found), read, lambda document: output.compare([document], chosen.fail_over)[0], progress
        )
    by_place = {each.place: each for each in read_ones}
    replies = [
        by_place.get(each.place) or Reply[Document](each.place, None, each.reason, each.exit_code) for each in opened
    ]
    if all(reply.value is not None for reply in replies):
        documents = [reply.value for reply in replies if reply.value is not None]
        check_selection(scope.model, scope.caller, documents)
        check_scenario(scenario, documents)
    return overview.write(replies, chosen)


RECENT = timedelta(hours=3)
"""Time that one line of the doctor is about."""


def describe_recent_use(session: boto3.Session, stack_name: str, now: datetime) -> str:
    """Return a sentence about the last hours, and the command for more.

    Never raises, because the doctor has other things to say.
    """
    scope = Scope(make_window(now - RECENT, now))
    try:
        document = make_report(session, read_stack(session, stack_name), scope, NOTHING_CHANGED, now=now)
    except (*AWS_ERRORS, LogSourceError) as error:
        return f"Use of the quotas could not be read: {explain_aws_error(error)}"
    more = own_command("report", "--hours", f"{RECENT.total_seconds() / 3600:g}")
    return f"Last 3 hours: {summarize(document)} For more, run:\n  {more}"


def make_report(
    session: boto3.Session,
    stack: Stack,
    scope: Scope,
    scenario: Scenario,
    *,
    now: datetime,
    progress: Progress = lambda _share: None,
) -> Document:
    """Return the answers about a deployed stack. Raises `LogSourceError`. Propagates botocore errors."""
    measured = measure_stack(session, stack, scope, now, progress)
    scenario = keep_pools_with_calls(scenario, measured.usages)
    notes = (*measured.notes, *note_missing_days(measured.usages, scope.window))
    if is_tag_absent(scope, measured.listing):
        keys = stack.parameters.get("RequestMetadataKeys") or "empty"
        notes += (
            f"{describe_absent_tag(scope)}. The stack keeps only the tags in its parameter "
            f"RequestMetadataKeys, which is {keys}.",
        )
    return Document(
        source=f"the stack {stack.name}",
        window=scope.window,
        pools=select_callers(
            find_answers(measured.usages, measured.quotas, scenario, find_model_maximum), scope.caller
        ),
        account=stack.account,
        region=stack.region,
        by=f"tag:{scope.tag}" if scope.tag else str(scope.dimension),
        callers=frozenset(caller.caller for usage in measured.usages for caller in usage.callers),
        called=frozenset(usage.pool for usage in measured.usages),
        other_models=tuple(sort_by_similarity(scope.model, measured.other_models)),
        only_callers=scope.caller,
        listing=measured.listing,
        unlabelled_throttled=measured.unlabelled_throttled,
        received=sum(usage.requests for usage in measured.usages),
        notes=notes,
        scenario=scenario,
    )
