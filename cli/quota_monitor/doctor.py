"""`quota-monitor doctor`: a deployed stack examined from end to end, and its alarms tried."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import boto3
import click
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from quota_monitor import alarm_test, examination, findings
from quota_monitor.alarm_test import AlarmTestError
from quota_monitor.findings import Finding, Status
from quota_monitor.stacks import explained, of_a_stack

_STYLES = {Status.OK: "green", Status.WARNING: "yellow", Status.PROBLEM: "bold red"}


@click.command()
@of_a_stack
@click.option("--test-alarm", is_flag=True, help="Make the stack's test alarm ring, through the real path of a record.")
@click.option("--yes", is_flag=True, help="Do not ask before the alarm is made to ring.")
def doctor(stack_name: str, profile: str | None, region: str | None, test_alarm: bool, yes: bool) -> None:
    """Examine a deployed stack from end to end and say what to do about each finding.

    Nothing is changed. The exit code is 1 if there is a problem.
    """
    console = Console(highlight=False)
    with explained():
        session = boto3.Session(profile_name=profile, region_name=region)
    if test_alarm:
        try:
            with explained():
                sys.exit(0 if _test_alarm(session, stack_name, console, yes=yes) else 1)
        except AlarmTestError as error:
            raise click.ClickException(str(error)) from error
    now = datetime.now(UTC)
    with explained(), Console(stderr=True).status("Examining the stack"):
        found = findings.of(examination.examine(session, stack_name, now), now)
    console.print(render(found), soft_wrap=True)
    sys.exit(1 if any(each.status is Status.PROBLEM for each in found) else 0)


def render(found: Sequence[Finding]) -> RenderableType:
    """Return the table of all findings, and under it what to do about those that are not well."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1), pad_edge=False)
    table.add_column("Status")
    table.add_column("Where", no_wrap=True)
    table.add_column("Finding", overflow="fold")
    for each in found:
        table.add_row(Text(each.status, style=_STYLES[each.status]), each.where, Text(each.what))
    unwell = [each for each in found if each.status is not Status.OK]
    advice = [
        Text.assemble(
            "▸ ", (f"{each.where}: ", _STYLES[each.status]), f"{each.what}\n", f"  {each.do}\n"
        )  # in one piece
        for each in sorted(unwell, key=lambda each: each.status is not Status.PROBLEM)
    ]
    return Group(table, *(advice or [Text("All is well.", style="bold green")]))


def _test_alarm(session: boto3.Session, stack_name: str, console: Console, *, yes: bool) -> bool:
    """Try the alarms, telling each step as it is reached; return whether all were."""
    target = alarm_test.target(session, stack_name)
    click.echo(
        f"This writes one synthetic record into {target.log_group}, as Bedrock would. It counts towards no quota.\n"
        f"The alarm {target.alarm} will ring for some minutes, and the {target.subscribers} confirmed subscribers of\n"
        f"{target.topic} get one message, which says that it is a test.\n"
        "No other alarm is touched."
    )
    if not yes:
        click.confirm("Go on?", abort=True)
    reached = True
    with Console(stderr=True).status("") as status:
        for step in alarm_test.run(session, target, progress=status.update):
            style = _STYLES[Status.OK if step.reached else Status.PROBLEM]
            console.print(
                Text.assemble(("ok       " if step.reached else "problem  ", style), step.what), soft_wrap=True
            )
            reached = reached and step.reached
    return reached
