"""`quota-monitor local`: an emulator of AWS on this machine, with the checkout deployed on it."""

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from localaws import instance
from localaws.counters import Counters
from localaws.errors import LocalAwsError
from quota_monitor.command_groups import WholeSummaryGroup
from quota_monitor.deployment.checkout import find_checkout, require_local_extra
from quota_monitor.deployment.parameters import check_names, parameters_option
from quota_monitor.terminal import errors_as_messages

DIRECTORY_NAME = instance.DIRECTORY.name

STAGES = {
    "starting": "Starting the emulator",
    "building": "Building functions and layers",
    "deploying": "Deploying the stack",
}

_NOT_RUNNING = "The local stack is not running. Start it with `quota-monitor local up`."

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
    require_local_extra()
    check_names(parameters)
    with progress_bars() as progress, errors_as_messages(LocalAwsError):
        running = instance.up(
            find_checkout(), directory, region=region, stack_name=stack_name, parameters=parameters, progress=progress
        )
    console.print("\nThe local stack is running. Stop it with [bold]quota-monitor local down[/].")
    show_dashboard(running)
    show_instance(running)


@local.command()
@_state
def status(directory: Path) -> None:
    """Show the status of the local stack."""
    with errors_as_messages(LocalAwsError):
        found = instance.status(directory)
    if found.instance is None:
        for trouble in found.trouble or (_NOT_RUNNING,):
            console.print(trouble, style="red" if found.trouble else "", markup=False)
        raise SystemExit(1)
    show_dashboard(found.instance)
    show_instance(found.instance, list_left_out=True)
    console.print(f"\nStack {found.instance.stack_name}: {found.stack_status}")
    if found.counters is not None:
        show_counters(found.counters)


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
        raise click.ClickException(_NOT_RUNNING)
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
    if "DashboardName" in running.outputs:
        console.print("\nDashboard, drawn on this machine:\n", style="bold")
        console.print(f"  {_dashboard_url(running, chosen)}\n", markup=False, soft_wrap=True)


def show_instance(running: instance.Instance, *, list_left_out: bool = False) -> None:
    """Print endpoint, outputs and how to use them, and which resources the emulator leaves out."""
    facts = {
        "Endpoint": running.endpoint_url,
        "Region, account": f"{running.account.region}, {running.account.id}",
        **dict(sorted(running.outputs.items())),
    }
    width = max(map(len, facts))
    for name, value in facts.items():
        console.print(f"{name:<{width}}  {value}", markup=False, soft_wrap=True)
    if list_left_out:
        for name, reason in running.left_out.items():
            console.print(f"Left out on this machine: {name} ({reason})", style="dim", markup=False)
    elif running.left_out:
        left_out = f"Resources of the template that are left out on this machine: {len(running.left_out)}."
        console.print(
            f"\n{left_out} `quota-monitor local status` lists them.", style="dim", markup=False, soft_wrap=True
        )
    config = shlex.quote(_short(running.cli_config))
    console.print("\nUse it with the AWS CLI or any SDK:\n", style="bold")
    console.print(f"  export AWS_CONFIG_FILE={config} AWS_PROFILE=local", markup=False, soft_wrap=True)
    group = running.outputs.get("InvocationLogGroupName")
    if group is not None:
        console.print(f"  aws logs tail {shlex.quote(group)}", markup=False, soft_wrap=True)
    console.print("  aws cloudwatch list-metrics --namespace Bedrock/Quotas", markup=False, soft_wrap=True)


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


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith(os.pardir) else relative
