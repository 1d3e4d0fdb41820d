"""`quota-monitor doctor`: check a deployed stack from end to end, and test its alarms."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from quota_monitor.analyze.command import show_progress
from quota_monitor.answers.numbers import count
from quota_monitor.aws_session import (
    Stack,
    aws_errors_as_messages,
    find_local_endpoint,
    find_stack_name,
    open_session,
    read_stack,
)
from quota_monitor.credentials import sign_in
from quota_monitor.deployed.report import describe_recent_use
from quota_monitor.doctor import alarm_test
from quota_monitor.doctor.alarm_test import AlarmTestError
from quota_monitor.doctor.checks import run_checks
from quota_monitor.doctor.collect import collect
from quota_monitor.doctor.findings import Finding, Status
from quota_monitor.doctor.first_day import answers, failure_test
from quota_monitor.doctor.first_day.command import check_first_day
from quota_monitor.doctor.observed import Observed
from quota_monitor.doctor.remedies import list_commands
from quota_monitor.json_output import format_json, json_option
from quota_monitor.overview import Severity, Summary, make_overview, print_failed, print_overview
from quota_monitor.places import (
    Place,
    ask_all,
    format_replies,
    list_places,
    place_options,
    print_replies,
    refuse_for_several,
    worst_exit_code,
)
from quota_monitor.progress import Progress
from quota_monitor.terminal import make_console, wrap_prose

if TYPE_CHECKING:
    import boto3

_GAP = 2
"""Blanks between two columns."""

_STYLES = {Status.OK: "green", Status.WARNING: "yellow", Status.PROBLEM: "bold red"}


class Checked(msgspec.Struct, frozen=True):
    """A stack that was checked. `use` is a sentence on the use of its quotas."""

    observed: Observed
    findings: Sequence[Finding]
    use: str

    @property
    def account(self) -> str:
        """Return the account id."""
        return self.observed.stack.account

    @property
    def region(self) -> str:
        """Return the Region."""
        return self.observed.stack.region

    @property
    def exit_code(self) -> int:
        """Return 1 if there is a problem. A warning keeps it at 0."""
        return 1 if any(each.status is Status.PROBLEM for each in self.findings) else 0


@click.command()
@place_options
@click.option("--test-alarm", is_flag=True, help="Set off the stack's test alarm with a synthetic record.")
@click.option("--first-day", is_flag=True, help="Check what only a real account shows, as a checklist for an issue.")
@click.option(
    "--test-failure",
    is_flag=True,
    help="With --first-day: send the processor one event that fails, to see if Lambda keeps it.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation before a test.")
@json_option
def doctor(
    *,
    stack_name: str,
    profile: str | None,
    region: str | None,
    profiles: tuple[str, ...],
    regions: tuple[str, ...],
    summary: bool,
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

    With --profiles and --regions it checks one stack in each of these accounts and Regions. One that fails does not
    stop the others. The exit code is the worst of them. --summary prints only the table with one row for each.
    """
    places = list_places(profile, region, profiles, regions)
    refuse_for_several(places, test_alarm=test_alarm, first_day=first_day, test_failure=test_failure)
    if test_alarm and (first_day or as_json):
        raise click.UsageError("--test-alarm cannot be combined with --first-day or --json.")
    if summary and (test_alarm or first_day):
        raise click.UsageError("--summary cannot be combined with --test-alarm or --first-day.")
    if test_failure and not first_day:
        raise click.UsageError("--test-failure needs --first-day.")
    if len(places) > 1 or (summary and not as_json):
        sys.exit(_check_all(places, stack_name, summary=summary, as_json=as_json))
    console = make_console()
    with aws_errors_as_messages(AlarmTestError):
        session, now = open_session(places[0].profile, places[0].region), datetime.now(UTC)
        stack_name = find_stack_name(session, stack_name)
        if first_day:
            sys.exit(_first_day(session, stack_name, now, test_failure=test_failure, yes=yes, as_json=as_json))
        if test_alarm:
            sys.exit(0 if _test_alarm(session, stack_name, console, yes=yes) else 1)
        with Console(stderr=True).status("Checking the stack"):
            checked = _check(session, stack_name, now)
    if as_json:
        click.echo(format_json(to_data(checked)))
    else:
        _print(console, checked)
    sys.exit(checked.exit_code)


def _check(session: boto3.Session, stack_name: str, now: datetime) -> Checked:
    observed = collect(session, stack_name, now)
    return Checked(observed, run_checks(observed), describe_recent_use(session, stack_name, now))


def _check_all(places: Sequence[Place], stack_name: str, *, summary: bool, as_json: bool) -> int:
    """Check a stack in each place, print all or only the overview, and return the exit code."""
    now, credentials = datetime.now(UTC), sign_in(places)

    def check(place: Place, _progress: Progress) -> Checked:
        with aws_errors_as_messages():
            session = open_session(place.profile, place.region, credentials[place.profile])
            return _check(session, find_stack_name(session, stack_name), now)

    with show_progress(f"Checking {len(places)} stacks") as progress:
        replies = ask_all(places, check, lambda checked: checked.exit_code, progress)
    if as_json:
        click.echo(format_replies(replies, to_data))
    else:
        console, overview = make_console(), make_overview(OVERVIEW_HEADS, replies, _summarize)
        if not summary:
            print_replies(console, replies, lambda checked: _print(console, checked))
        print_overview(console, overview)
        if summary:
            print_failed(console, overview)
    return worst_exit_code(replies)


OVERVIEW_HEADS = ("To do",)


def _summarize(checked: Checked) -> Summary:
    """Return the number of findings by severity, the worst first, or `ok`, and the names of their checks."""
    numbers = Counter(each.status for each in checked.findings)
    worst_first = [each for each in (Status.PROBLEM, Status.WARNING) if numbers[each]]
    result = ", ".join(count(numbers[each], each) for each in worst_first) or "ok"
    severity = _SEVERITIES[worst_first[0]] if worst_first else Severity.OK
    names = [each.where for status in worst_first for each in checked.findings if each.status is status]
    return Summary(severity, (result, ", ".join(dict.fromkeys(names))))


_SEVERITIES = {Status.PROBLEM: Severity.PROBLEM, Status.WARNING: Severity.WARNING}


def _print(console: Console, checked: Checked) -> None:
    console.print(render(checked.findings, console.width), soft_wrap=True)
    console.print(Text(wrap_prose(checked.use, console.width)), soft_wrap=True)


def to_data(checked: Checked) -> Mapping[str, Any]:
    """Return all findings as data, with the commands of each remedy."""
    stack = checked.observed.stack
    return {
        "checked_at": checked.observed.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "stack": stack.name,
        "account": stack.account,
        "region": stack.region,
        "use": checked.use,
        "checks": [
            {
                "name": each.where,
                "state": str(each.status),
                "detail": each.what,
                "remedy": each.do or None,
                "commands": list_commands(each.do),
            }
            for each in checked.findings
        ],
    }


def _first_day(
    session: boto3.Session, stack_name: str, now: datetime, *, test_failure: bool, yes: bool, as_json: bool
) -> int:
    """Print the checklist of the first-day check, and return the exit code."""
    stack = read_stack(session, stack_name)
    if test_failure:
        _confirm_failure_test(stack, yes=yes)
    with Console(stderr=True).status("") as status:
        report = check_first_day(
            session,
            stack,
            now,
            test_failure=test_failure,
            is_local=bool(find_local_endpoint(session)),
            progress=status.update,
        )
    click.echo(format_json(msgspec.to_builtins(report)) if as_json else answers.render(report))
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


def render(findings: Sequence[Finding], width: int) -> RenderableType:
    """Return all findings, and below them what to do about those that are not ok. No name and no command is broken."""
    to_do = [each for each in findings if each.status is not Status.OK]
    advice = [_advise(each, width) for each in sorted(to_do, key=lambda each: each.status is not Status.PROBLEM)]
    return Group(_list_all(findings, width), *(advice or [Text("All checks passed.", style="bold green")]))


def _advise(finding: Finding, width: int) -> Text:
    head = Text(wrap_prose(f"▸ {finding.where}: {finding.what}\n", width, indent="  "))
    head.stylize(_STYLES[finding.status], 2, len(f"▸ {finding.where}:"))
    return head + Text("\n" + _indent(wrap_prose(finding.do, width - 2)))


def _list_all(findings: Sequence[Finding], width: int) -> RenderableType:
    """Return a table, or two lines per finding if a name would not fit into the last column whole."""
    used = max(len(each.status) + len(each.where) for each in findings) + 2 * _GAP
    longest = max((len(word) for each in findings for word in each.what.split()), default=0)
    if longest > width - used:
        return (
            Text("\n")
            .join(
                [
                    Text.assemble(
                        (f"{each.status:<7}", _STYLES[each.status]),
                        f"  {each.where}\n  ",
                        wrap_prose(each.what, width - 2, indent="  "),
                    )
                    for each in findings
                ]
            )
            .append("\n")
        )
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, _GAP, 0, 0), pad_edge=False)
    table.add_column("Status", no_wrap=True)
    table.add_column("Where", no_wrap=True)
    table.add_column("Finding", overflow="fold")
    for each in findings:
        table.add_row(Text(each.status, style=_STYLES[each.status]), each.where, Text(each.what))
    return table


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
