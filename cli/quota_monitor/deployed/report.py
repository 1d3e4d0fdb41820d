"""`quota-monitor report`: the answers about a deployed stack."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from bedrock_quota.analysis.answers import NOTHING_CHANGED, find_answers, select_callers
from bedrock_quota.analysis.what_if import Scenario, keep_pools_with_calls
from bedrock_quota.errors import LogSourceError
from quota_monitor.analyze.command import show_progress
from quota_monitor.analyze.scope import Scope, is_tag_absent
from quota_monitor.analyze.source import Progress, source_errors_as_messages
from quota_monitor.answers import output
from quota_monitor.answers.document import Document
from quota_monitor.answers.models import find_model_maximum
from quota_monitor.answers.names import check_scenario, sort_by_similarity
from quota_monitor.answers.options import (
    make_output,
    make_scenario,
    make_scope,
    output_options,
    scenario_options,
    scope_options,
)
from quota_monitor.answers.words import summarize
from quota_monitor.aws_session import AWS_ERRORS, Stack, explain_aws_error, open_session, read_stack, stack_options
from quota_monitor.deployed.measure import measure_stack
from quota_monitor.program import own_command
from quota_monitor.window import make_window

if TYPE_CHECKING:
    import boto3


@click.command()
@stack_options
@scope_options
@scenario_options
@output_options
def report(
    *,
    stack_name: str,
    profile: str | None,
    region: str | None,
    **given: Any,
) -> None:
    """Say why calls are throttled, from a deployed stack.

    It prints the same answers as `quota-monitor analyze`.

    Up to 6 hours are exact. Of longer windows, only the busiest hours are read call by call.
    """
    now = datetime.now(UTC)
    scope, scenario, chosen = make_scope(given, now), make_scenario(given), make_output(given)
    with source_errors_as_messages(), show_progress() as progress:
        session = open_session(profile, region)
        document = make_report(session, read_stack(session, stack_name), scope, scenario, now=now, progress=progress)
    check_scenario(scenario, [document])
    sys.exit(output.write([document], chosen))


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
    scenario, notes = keep_pools_with_calls(scenario, measured.usages), measured.notes
    if is_tag_absent(scope, measured.listing):
        keys = stack.parameters.get("RequestMetadataKeys") or "empty"
        notes += (
            f"No call in this window has the tag {scope.tag}. The stack keeps only the tags in its parameter "
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
        listing=measured.listing,
        received=sum(usage.requests for usage in measured.usages),
        notes=notes,
        scenario=scenario,
    )
