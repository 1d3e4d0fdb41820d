"""`quota-monitor doctor`: check a deployed stack from end to end, and test its alarms."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
import msgspec
from botocore.exceptions import BotoCoreError, ClientError
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from quota_monitor.aws_session import Stack, aws_errors_as_messages, open_session, read_stack, stack_options
from quota_monitor.deployed.report import describe_recent_use
from quota_monitor.doctor import alarm_test
from quota_monitor.doctor.alarm_test import AlarmTestError
from quota_monitor.doctor.checks import run_checks
from quota_monitor.doctor.collect import collect
from quota_monitor.doctor.findings import Finding, Status
from quota_monitor.doctor.first_day import answers, failure_test
from quota_monitor.doctor.first_day.command import check_first_day
from quota_monitor.terminal import errors_as_messages

if TYPE_CHECKING:
    import boto3

_STYLES = {Status.OK: "green", Status.WARNING: "yellow", Status.PROBLEM: "bold red"}


@click.command()
@stack_options
@click.option("--test-alarm", is_flag=True, help="Set off the stack's test alarm with a synthetic record.")
@click.option("--first-day", is_flag=True, help="Check what only a real account shows, as a checklist for an issue.")
@click.option(
    "--test-failure",
    is_flag=True,
    help="With --first-day: send the processor one event that fails, to see if Lambda keeps it.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation before a test.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings or the checklist as JSON.")
def doctor(
    *,
    stack_name: str,
    profile: str | None,
    region: str | None,
    test_alarm: bool,
    first_day: bool,
    test_failure: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Check a deployed stack from end to end.

    Each finding says what to do. The exit code is 1 if there is a problem, and 3 if the stack could not be read. A
    warning keeps it at 0. The command changes nothing, except with --test-alarm and --test-failure. With --first-day it
    prints a checklist of what only a real account shows. The checklist names no account, caller or resource. The exit
    code is then 1 if an assumption is wrong, and 3 if something could not be looked at.
    """
    if test_alarm and (first_day or as_json):
        raise click.UsageError("--test-alarm cannot be combined with --first-day or --json.")
    if test_failure and not first_day:
        raise click.UsageError("--test-failure needs --first-day.")
    console = Console(highlight=False)
    if first_day:
        sys.exit(_first_day(stack_name, profile, region, test_failure=test_failure, yes=yes, as_json=as_json))
    if test_alarm:
        with aws_errors_as_messages(), errors_as_messages(AlarmTestError):
            session = open_session(profile, region)
            sys.exit(0 if _test_alarm(session, stack_name, console, yes=yes) else 1)
    try:
        with Console(stderr=True).status("Checking the stack"):
            session, now = open_session(profile, region), datetime.now(UTC)
            findings = run_checks(collect(session, stack_name, now))
            use = "" if as_json else describe_recent_use(session, stack_name, now)
    except (BotoCoreError, ClientError) as error:
        raise _CouldNotLookError(str(error)) from error
    if as_json:
        click.echo(_format_json(findings))
    else:
        console.print(render(findings), soft_wrap=True)
        console.print(Text(use), soft_wrap=True)
    sys.exit(1 if any(each.status is Status.PROBLEM for each in findings) else 0)


def _format_json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value)).decode()


class _CouldNotLookError(click.ClickException):
    exit_code = 3


def _first_day(
    stack_name: str, profile: str | None, region: str | None, *, test_failure: bool, yes: bool, as_json: bool
) -> int:
    """Print the checklist of the first-day check, and return the exit code."""
    try:
        session = open_session(profile, region)
        stack = read_stack(session, stack_name)
    except (BotoCoreError, ClientError) as error:
        raise _CouldNotLookError(str(error)) from error
    if test_failure:
        _confirm_failure_test(stack, yes=yes)
    with Console(stderr=True).status("") as status:
        report = check_first_day(session, stack, datetime.now(UTC), test_failure=test_failure, progress=status.update)
    click.echo(_format_json(report) if as_json else answers.render(report))
    return answers.exit_code(report.answers)


def _confirm_failure_test(stack: Stack, *, yes: bool) -> None:
    named = " and ".join(failure_test.ALARMS)
    click.echo(
        f"This test sends {stack.resources.get('MetricProcessorFunction', 'the processor')} one event that it cannot "
        "read. Lambda tries it three times, then writes\n"
        "it to the failed-deliveries bucket, where this command deletes it. No record is counted or lost.\n"
        f"{named} go into ALARM and notify the topic. Tell its subscribers.",
        err=True,
    )
    if not yes:
        click.confirm("Continue?", abort=True, err=True)


def render(findings: Sequence[Finding]) -> RenderableType:
    """Return a table of all findings, and below it what to do about those that are not ok."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1), pad_edge=False)
    table.add_column("Status")
    table.add_column("Where", no_wrap=True)
    table.add_column("Finding", overflow="fold")
    for each in findings:
        table.add_row(Text(each.status, style=_STYLES[each.status]), each.where, Text(each.what))
    to_do = [each for each in findings if each.status is not Status.OK]
    advice = [
        Text.assemble("▸ ", (f"{each.where}: ", _STYLES[each.status]), f"{each.what}\n", _indent(each.do))
        for each in sorted(to_do, key=lambda each: each.status is not Status.PROBLEM)
    ]
    return Group(table, *(advice or [Text("All checks passed.", style="bold green")]))


def _indent(advice: str) -> str:
    return "".join(f"  {line}\n" for line in advice.splitlines())


def _test_alarm(session: boto3.Session, stack_name: str, console: Console, *, yes: bool) -> bool:
    """Test the alarms and print each step when it is done. Return True if all steps succeeded."""
    target = alarm_test.find_target(session, stack_name)
    click.echo(
        f"This test writes one synthetic record to {target.log_group}. The record counts towards no quota.\n"
        f"The alarm {target.alarm} goes into ALARM for some minutes. It sends one message to\n"
        f"{target.topic}, which says that it is a test. Confirmed subscribers: {target.subscribers}.\n"
        "No other alarm changes its state."
    )
    if not yes:
        click.confirm("Continue?", abort=True)
    reached = True
    with Console(stderr=True).status("") as status:
        for step in alarm_test.run_test(session, target, progress=status.update):
            style = _STYLES[Status.OK if step.reached else Status.PROBLEM]
            console.print(
                Text.assemble(("ok       " if step.reached else "problem  ", style), step.what), soft_wrap=True
            )
            reached = reached and step.reached
    return reached
