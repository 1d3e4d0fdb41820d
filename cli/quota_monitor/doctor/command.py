"""`quota-monitor doctor`: check a deployed stack from end to end, and test its alarms."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from quota_monitor.aws_session import aws_errors_as_messages, open_session, stack_options
from quota_monitor.doctor import alarm_test
from quota_monitor.doctor.alarm_test import AlarmTestError
from quota_monitor.doctor.checks import run_checks
from quota_monitor.doctor.collect import collect
from quota_monitor.doctor.findings import Finding, Status
from quota_monitor.terminal import errors_as_messages

if TYPE_CHECKING:
    import boto3

_STYLES = {Status.OK: "green", Status.WARNING: "yellow", Status.PROBLEM: "bold red"}


@click.command()
@stack_options
@click.option("--test-alarm", is_flag=True, help="Set off the stack's test alarm with a synthetic record.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation before the test.")
def doctor(stack_name: str, profile: str | None, region: str | None, test_alarm: bool, yes: bool) -> None:
    """Check a deployed stack from end to end.

    Each finding says what to do. The exit code is 1 if there is a problem. The command changes nothing, except with
    --test-alarm.
    """
    console = Console(highlight=False)
    with aws_errors_as_messages(), errors_as_messages(AlarmTestError):
        session = open_session(profile, region)
        if test_alarm:
            sys.exit(0 if _test_alarm(session, stack_name, console, yes=yes) else 1)
        with Console(stderr=True).status("Checking the stack"):
            findings = run_checks(collect(session, stack_name, datetime.now(UTC)))
    console.print(render(findings), soft_wrap=True)
    sys.exit(1 if any(each.status is Status.PROBLEM for each in findings) else 0)


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
