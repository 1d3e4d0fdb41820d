"""`quota-monitor local`: AWS on this machine, with the checkout deployed on it."""

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
from quota_monitor.parameters import option as parameters_option

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
    default=instance.DIRECTORY,
    show_default=".localaws of the checkout",
    help="Directory of this local AWS; another directory is another one, side by side.",
)


@click.group()
def local() -> None:
    """AWS on this machine: no account, no Docker, nothing to pay."""


@local.command()
@_state
@click.option("--region", default=instance.REGION, show_default=True, help="The Region to pretend to be.")
@click.option("--stack-name", default=instance.STACK_NAME, show_default=True, help="Name of the stack.")
@parameters_option
def up(directory: Path, region: str, stack_name: str, parameters: Mapping[str, str]) -> None:
    """Start it, and deploy this checkout on it; where it runs already, deploy again."""
    with shown_progress() as progress, explained():
        running = instance.up(
            directory=directory, region=region, stack_name=stack_name, parameters=parameters, progress=progress
        )
    console.print("\nAWS runs on this machine until [bold]quota-monitor local down[/].")
    show_dashboard(running)
    show(running)


@local.command()
@_state
def status(directory: Path) -> None:
    """Tell what runs, and whether all is well with it."""
    with explained():
        found = instance.status(directory)
    if found.instance is None:
        for trouble in found.trouble or ("nothing runs; start it with `quota-monitor local up`",):
            console.print(trouble, style="red" if found.trouble else "", markup=False)
        raise SystemExit(1)
    show_dashboard(found.instance)
    show(found.instance, each_left_out=True)
    console.print(f"\nStack {found.instance.stack_name}: {found.stack_status}")
    if found.counters is not None:
        show_tally(found.counters)


@local.command()
@_state
def down(directory: Path) -> None:
    """End it, and forget all it held."""
    with explained():
        ran = instance.down(directory)
    console.print("AWS on this machine is down." if ran else "Nothing ran.")


@local.command()
@_state
def dashboard(directory: Path) -> None:
    """Print the address at which the deployed dashboard is drawn."""
    with explained():
        found = instance.status(directory).instance
    if found is None:
        raise click.ClickException("nothing runs; start it with `quota-monitor local up`")
    click.echo(_dashboard_url(found))


def _dashboard_url(running: instance.Instance, chosen: Mapping[str, str] | None = None) -> str:
    query = f"?{urlencode(chosen, safe=':')}" if chosen else ""
    return f"{running.preview_url}/dashboards/{running.outputs['DashboardName']}{query}"


@contextmanager
def explained() -> Iterator[None]:
    """Errors the user can do something about as a message instead of a traceback."""
    try:
        yield
    except LocalAwsError as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def shown_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each stage of `instance.up`."""
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
    """Where the dashboard is, if the stack has one; `chosen` are values of its variables."""
    if "DashboardName" in running.outputs:
        console.print("\nThe dashboard, drawn on this machine:\n", style="bold")
        console.print(f"  {_dashboard_url(running, chosen)}\n", markup=False, soft_wrap=True)


def show(running: instance.Instance, *, each_left_out: bool = False) -> None:
    """Where everything is, how to look at it, and how much is left out on this machine, or what and why."""
    facts = {
        "Endpoint": running.endpoint_url,
        "Region, account": f"{running.account.region}, {running.account.id}",
        **dict(sorted(running.outputs.items())),
    }
    width = max(map(len, facts))
    for name, value in facts.items():
        console.print(f"{name:<{width}}  {value}", markup=False, soft_wrap=True)
    if each_left_out:
        for name, reason in running.left_out.items():
            console.print(f"left out on this machine: {name} ({reason})", style="dim", markup=False)
    elif running.left_out:
        left_out = f"{len(running.left_out)} resources of the template are left out on this machine"
        console.print(
            f"\n{left_out}; `quota-monitor local status` names them.", style="dim", markup=False, soft_wrap=True
        )
    config = shlex.quote(_short(running.cli_config))
    console.print("\nWith the AWS CLI, or any SDK:\n", style="bold")
    console.print(f"  export AWS_CONFIG_FILE={config} AWS_PROFILE=local", markup=False, soft_wrap=True)
    group = running.outputs.get("InvocationLogGroupName")
    if group is not None:
        console.print(f"  aws logs tail {shlex.quote(group)}", markup=False, soft_wrap=True)
    console.print("  aws cloudwatch list-metrics --namespace Bedrock/Quotas", markup=False, soft_wrap=True)


def show_tally(tally: Counters) -> None:
    """What the sidecar made of the functions' logs."""
    console.print(f"{tally.metric_lines:,} metric lines became {tally.data:,} metric data.")
    for reason, rejection in tally.rejected.items():
        console.print(f"rejected {rejection.count:,}×: {reason} (last: {rejection.example})", style="red", markup=False)
    for reason, rejection in tally.refused.items():
        console.print(f"refused {rejection.count:,}×: {reason} (last: {rejection.example})", style="red", markup=False)
    if tally.unreachable:
        console.print(f"the sidecar cannot reach the emulator: {tally.unreachable}", style="red", markup=False)


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith(os.pardir) else relative
