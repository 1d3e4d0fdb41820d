"""`quota-monitor local`: an emulator of AWS on this machine, with the checkout deployed on it."""

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from localaws import instance, template
from localaws.counters import Counters
from localaws.errors import LocalAwsError
from quota_monitor.command_groups import WholeSummaryGroup
from quota_monitor.deployment.checkout import find_checkout, require_local_extra
from quota_monitor.deployment.parameters import check_parameters, parameters_option
from quota_monitor.json_output import format_json, json_option
from quota_monitor.program import own_command
from quota_monitor.terminal import errors_as_messages, wrap_prose

DIRECTORY_NAME = instance.DIRECTORY.name

STAGES = {
    "starting": "Starting the emulator",
    "building": "Building functions and layers",
    "deploying": "Deploying the stack",
}

console = Console(highlight=False)

_state = click.option(
    "--state",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=lambda: find_checkout() / DIRECTORY_NAME,
    show_default=f"{DIRECTORY_NAME} in the checkout",
    help="Directory of the local stack. Each directory is a separate local stack.",
)


@click.group(cls=WholeSummaryGroup)
def local() -> None:
    """Run the stack on this machine, without an AWS account.

    It needs no Docker and costs nothing. `sam deploy` needs an AWS account. `quota-monitor local up` builds the same
    template and deploys it on the emulator.
    """


@local.command()
@_state
@click.option("--region", default=instance.REGION, show_default=True, help="Region that the emulator uses.")
@click.option("--stack-name", default=instance.STACK_NAME, show_default=True, help="Name of the stack.")
@parameters_option
def up(directory: Path, region: str, stack_name: str, parameters: Mapping[str, str]) -> None:
    """Start the local emulator and deploy the checkout on it.

    If the emulator already runs, the command deploys again.
    """
    home = find_checkout()
    require_local_extra()
    check_parameters(parameters)
    with progress_bars() as progress, errors_as_messages(LocalAwsError), interruptions_explained():
        running = instance.up(
            home, directory, region=region, stack_name=stack_name, parameters=parameters, progress=progress
        )
    console.print("\nThe local stack is running.")
    show_dashboard(running)
    show_instance(running)
    show_down()


def show_down() -> None:
    """Print the command that stops the local stack."""
    console.print("\nThe local stack keeps running until you stop it:\n", style="bold")
    console.print(f"  {own_command('local', 'down')}", markup=False, soft_wrap=True)


@contextmanager
def interruptions_explained() -> Iterator[None]:
    """Say after Ctrl-C that the emulator may go on."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(
            f"\nThe emulator may still be running. `{own_command('local', 'up')}` goes on with it, and "
            f"`{own_command('local', 'down')}` stops it.",
            err=True,
        )
        raise


@local.command()
@_state
@json_option
def status(directory: Path, as_json: bool) -> None:
    """Show the status of the local stack.

    The exit code is 1 if it is not running.
    """
    with errors_as_messages(LocalAwsError):
        found = instance.status(directory)
    if as_json:
        click.echo(to_json(found))
    elif found.instance is None:
        for line in found.trouble or ("The local stack is not running.",):
            click.echo(line)
        click.echo(f"To start it, run `{own_command('local', 'up')}`.")
        if found.trouble:
            click.echo(f"To stop what is left of it, run `{own_command('local', 'down')}`.")
    else:
        show_dashboard(found.instance)
        show_instance(found.instance)
        console.print(f"\nStack {found.instance.stack_name}: {found.stack_status}")
        if found.counters is not None:
            show_counters(found.counters)
    sys.exit(0 if found.instance is not None else 1)


def to_json(found: instance.Status) -> str:
    """Return the status as JSON."""
    running = found.instance
    return format_json(
        {
            "running": running is not None,
            "trouble": list(found.trouble),
            "stack": None if running is None else running.stack_name,
            "stack_status": found.stack_status or None,
            "region": None if running is None else running.account.region,
            "account": None if running is None else running.account.id,
            "endpoint_url": None if running is None else running.endpoint_url,
            "dashboard_url": None if running is None or not has_dashboard(running) else _dashboard_url(running),
            "aws_config_file": None if running is None else str(running.cli_config.resolve()),
            "outputs": {} if running is None else running.outputs,
            "left_out": {} if running is None else running.left_out,
            "metric_lines": None if found.counters is None else found.counters.metric_lines,
            "metric_values": None if found.counters is None else found.counters.data,
        }
    )


@local.command()
@_state
def down(directory: Path) -> None:
    """Stop the local stack and delete its data."""
    with errors_as_messages(LocalAwsError):
        ran = instance.down(directory)
    console.print("The local stack is stopped." if ran else "The local stack was not running.")


@local.command()
@_state
def dashboard(directory: Path) -> None:
    """Print the URL of the dashboard of the local stack."""
    with errors_as_messages(LocalAwsError):
        found = instance.status(directory).instance
    if found is None:
        raise click.ClickException(f"The local stack is not running. Start it with `{own_command('local', 'up')}`.")
    click.echo(_dashboard_url(found))


def _dashboard_url(running: instance.Instance, chosen: Mapping[str, str] | None = None) -> str:
    query = f"?{urlencode(chosen, safe=':')}" if chosen else ""
    return f"{running.preview_url}/dashboards/{running.outputs['DashboardName']}{query}"


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Show a progress bar for each stage of `instance.up`."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def advance(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(STAGES.get(stage, stage), total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield advance


def show_dashboard(running: instance.Instance, chosen: Mapping[str, str] | None = None) -> None:
    """Print the URL of the dashboard, if the stack has one. `chosen` has values of its variables."""
    if has_dashboard(running):
        console.print("\nDashboard, drawn on this machine:\n", style="bold")
        console.print(f"  {_dashboard_url(running, chosen)}\n", markup=False, soft_wrap=True)


def has_dashboard(running: instance.Instance) -> bool:
    """Return True if the local stack has a dashboard."""
    return "DashboardName" in running.outputs


OF_A_REAL_ACCOUNT = "DashboardURL"
"""An output that is an address in the AWS console. It shows nothing of the local stack."""


def show_instance(running: instance.Instance, more: Sequence[str] = ()) -> None:
    """Print endpoint, outputs and how to use them, and which resources the emulator leaves out.

    `more` are commands of this program that the local stack has data for.
    """
    facts = {
        "Endpoint": running.endpoint_url,
        "Region, account": f"{running.account.region}, {running.account.id}",
        **{name: value for name, value in sorted(running.outputs.items()) if name != OF_A_REAL_ACCOUNT},
    }
    width = max(map(len, facts))
    for name, value in facts.items():
        console.print(f"{name:<{width}}  {value}", markup=False, soft_wrap=True)
    if left_out := template.describe_left_out(running.left_out):
        reasons = f"For the reasons, run `{own_command('local', 'status', '--json')}`."
        said = wrap_prose(f"{left_out} {reasons}", console.width)
        console.print(f"\n{said}", style="dim", markup=False, soft_wrap=True)
    config = shlex.quote(str(running.cli_config.resolve()))
    console.print("\nUse it with quota-monitor, the AWS CLI or any SDK:\n", style="bold")
    console.print(f"  export AWS_CONFIG_FILE={config} AWS_PROFILE=local", markup=False, soft_wrap=True)
    for command in (_own_command(running, "doctor"), _own_command(running, "report"), *more):
        console.print(f"  {command}", markup=False, soft_wrap=True)
    group = running.outputs.get("InvocationLogGroupName")
    if group is not None:
        console.print(f"  aws logs tail {shlex.quote(group)}  # AWS CLI 2", markup=False, soft_wrap=True)
    console.print("  aws cloudwatch list-metrics --namespace Bedrock/Quotas", markup=False, soft_wrap=True)


def _own_command(running: instance.Instance, name: str) -> str:
    if running.stack_name == instance.STACK_NAME:
        return own_command(name)
    return own_command(name, "--stack-name", running.stack_name)


def show_counters(counters: Counters) -> None:
    """Print how many metric lines of the functions became metrics."""
    console.print(f"Metric lines: {counters.metric_lines:,}. Metric values written: {counters.data:,}.")
    for reason, rejection in counters.rejected.items():
        console.print(
            f"Rejected {rejection.count:,} times: {reason} (last: {rejection.example})", style="red", markup=False
        )
    for reason, rejection in counters.refused.items():
        console.print(
            f"Refused {rejection.count:,} times: {reason} (last: {rejection.example})", style="red", markup=False
        )
    if counters.unreachable:
        console.print(f"The sidecar cannot reach the emulator: {counters.unreachable}", style="red", markup=False)
