"""`quota-monitor deploy`: build once and deploy to several Regions in parallel."""

from __future__ import annotations

import os
import shlex
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence

import click
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from localaws import sam
from quota_monitor.aws_session import aws_errors_as_messages, find_local_endpoint, open_session
from quota_monitor.command_groups import INTERRUPTED
from quota_monitor.deployment import checkout, regions
from quota_monitor.deployment.parameters import check_parameters, parameters_option
from quota_monitor.deployment.regions import RegionProgress, State
from quota_monitor.deployment.tags import configured_tags, read_tags, tags_arguments, tags_option
from quota_monitor.json_output import format_json, json_option
from quota_monitor.places import parse_regions
from quota_monitor.program import own_command

PLATFORMS = {"arm64": "aarch64", "x86_64": "x86_64"}
"""Platform name in the makefiles of the layers, by value of the parameter Architecture."""

BUILT_FOR = "arm64"
"""Architecture that the layers of a release are built for."""

LAST_LINES = 8
"""Lines of output kept to explain a failure for which `sam` gives no reason."""

SUCCEEDED = {State.DEPLOYED, State.UNCHANGED}
STYLES = {State.FAILED: "red", **dict.fromkeys(SUCCEEDED, "green")}

console = Console(highlight=False, stderr=True)
"""For progress."""

results = Console(highlight=False)


class Deployment:
    """`sam deploy` in one Region. Its output is read in the background."""

    def __init__(self, region: str, options: Sequence[str], profile: str | None, local_endpoint: str = "") -> None:
        self.region = region
        self._local_endpoint = local_endpoint
        self.progress = RegionProgress()
        self.began = time.monotonic()
        self.ended: float | None = None
        # A separate session: Ctrl-C in the terminal reaches this command only, which then reports each Region.
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
            sam.command("deploy", *options, "--region", region, *checkout.profile_option(profile)),
            cwd=checkout.find_deployable(),
            env=sam.environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        last: deque[str] = deque(maxlen=LAST_LINES)
        for line in self._process.stdout or ():
            document = sam.document(line)
            self.progress = regions.apply_document(self.progress, document)
            if not document and line.strip():
                last.append(line.strip())
        ended = regions.finish(self.progress, self._process.wait(), " ".join(last))
        self.progress = regions.explain_local(ended, self._local_endpoint)
        self.ended = time.monotonic()

    @property
    def seconds(self) -> float:
        """Return the seconds it has taken."""
        return (self.ended or time.monotonic()) - self.began

    def wait(self) -> None:
        """Wait until it has ended."""
        self._reader.join()

    def stop_watching(self) -> None:
        """Stop watching. CloudFormation finishes what it has started."""
        self._process.terminate()


@click.command()
@click.option("--regions", "names", required=True, callback=parse_regions, help="Regions, separated by commas.")
@click.option("--profile", help="AWS profile.")
@click.option(
    "--stack-name", default="bedrock-quota-monitor", show_default=True, help="Name of the stack in each Region."
)
@parameters_option
@tags_option
@json_option
def deploy(
    *,
    names: tuple[str, ...],
    profile: str | None,
    stack_name: str,
    parameters: Mapping[str, str],
    tags: Mapping[str, str],
    as_json: bool,
) -> None:
    """Build once and deploy to several Regions in parallel.

    A failure in one Region does not stop the others. The command prints the reason and exits with code 1. After Ctrl-C,
    CloudFormation finishes the deployments that have started.
    """
    checkout.find_deployable()
    checkout.require_local_extra()
    check_parameters(parameters)
    with aws_errors_as_messages():  # what AWS refuses, it refuses before the build
        sessions = {name: open_session(profile, name) for name in names}
        present = {name: read_tags(session, stack_name) for name, session in sessions.items()}
    build(parameters)
    options = ["--stack-name", stack_name, "--s3-prefix", stack_name, "--on-failure", "DELETE", "--output", "json"]
    options += ["--no-confirm-changeset", "--no-fail-on-empty-changeset"]
    if parameters:
        options += ["--parameter-overrides", *sam.overrides(parameters)]
    wanted = {**configured_tags(checkout.find_deployable()), **tags}
    of_region = {name: [*options, *tags_arguments({**present[name], **wanted})] for name in names}
    endpoints = {name: find_local_endpoint(session) for name, session in sessions.items()}
    deployments = [Deployment(name, of_region[name], profile, endpoints[name]) for name in names]
    _wait(deployments, stack_name)
    if as_json:
        click.echo(to_json(deployments, stack_name))
    else:
        results.print(_endings(deployments, stack_name), soft_wrap=True)
    if any(each.progress.state not in SUCCEEDED for each in deployments):
        raise SystemExit(1)


def _wait(deployments: Sequence[Deployment], stack_name: str) -> None:
    """Wait for all deployments. After Ctrl-C, report each and exit."""
    try:
        with Live(console=console, get_renderable=lambda: _table(deployments)):
            for each in deployments:
                each.wait()
    except KeyboardInterrupt:
        _report_interruption(deployments, stack_name)
        for each in deployments:
            each.stop_watching()
        raise SystemExit(INTERRUPTED) from None


def to_json(deployments: Sequence[Deployment], stack_name: str) -> str:
    """Return the result of each Region as JSON."""
    return format_json(
        {
            "stack": stack_name,
            "regions": [
                {
                    "region": each.region,
                    "state": str(each.progress.state),
                    "seconds": round(each.seconds),
                    "reason": each.progress.reason or None,
                    "outputs": dict(each.progress.outputs),
                }
                for each in deployments
            ],
        }
    )


def build(parameters: Mapping[str, str]) -> None:
    """Run `sam build` for the architecture of the functions. Raises `click.ClickException` if it fails.

    A release is built already, for arm64.
    """
    if checkout.is_release(checkout.find_deployable()):
        if parameters.get("Architecture", BUILT_FOR) != BUILT_FOR:
            raise click.UsageError(f"A release is built for {BUILT_FOR}. Build another architecture from a clone.")
        return
    options = ["--parameter-overrides", *sam.overrides(parameters)] if parameters else []
    platform = (
        {"LAMBDA_PLATFORM": PLATFORMS.get(parameters["Architecture"], "")} if "Architecture" in parameters else {}
    )
    with console.status("Building functions and layers"):
        checkout.run_sam("build", *options, **platform)


def _table(deployments: Sequence[Deployment]) -> RenderableType:
    table = Table("Region", "State", "Current step", box=None, padding=(0, 2, 0, 0))
    table.add_column("Seconds", justify="right")
    for each in deployments:
        progress = each.progress
        table.add_row(
            each.region,
            str(progress.state),
            Text(progress.current),
            f"{each.seconds:.0f}",
            style=STYLES.get(progress.state, ""),
        )
    return table


def _endings(deployments: Sequence[Deployment], stack_name: str) -> Text:
    """Return the result of each Region: the outputs, or the reason of the failure and where its events are."""
    lines = []
    for each in deployments:
        progress = each.progress
        lines.append(f"\n{each.region}")
        if progress.state is State.FAILED:
            lines.append(f"  Failed: {progress.reason}")
            lines += [f"  {line}" for line in _find_events(each.region, stack_name) if progress.started]
        lines += [
            f"  {progress.outputs[name]}" for name in ("DashboardURL", "InvocationLogging") if name in progress.outputs
        ]
    return Text("\n".join(lines))


def _find_events(region: str, stack_name: str) -> Sequence[str]:
    """Return how to find all events of a failed deployment, even of a stack that was deleted.

    Events of a deleted stack need its ARN (CloudFormation API reference, DescribeStackEvents), and CloudFormation
    lists deleted stacks for 90 days (ListStacks, both read 2026-11-28).
    """
    stacks = f"StackSummaries[?StackName=='{stack_name}'].[CreationTime,StackStatus,StackId]"
    failed = "StackEvents[?ends_with(ResourceStatus,'FAILED')].[LogicalResourceId,ResourceStatusReason]"
    find = ("aws", "cloudformation", "list-stacks", "--region", region, "--query", stacks, "--output", "text")
    show = ("aws", "cloudformation", "describe-stack-events", "--region", region, "--query", failed)
    return (
        "All events, for 90 days after a first deployment has failed and its stack is deleted. The first command shows "
        "the ARN for the second:",
        f"  {shlex.join(find)}",
        f"  {shlex.join((*show, '--stack-name', 'ARN'))}",
    )


def _report_interruption(deployments: Sequence[Deployment], stack_name: str) -> None:
    started = [each.region for each in deployments if each.progress.state is State.DEPLOYING]
    not_started = [each.region for each in deployments if each.progress.state is State.PREPARING]
    if started:
        console.print(f"\nCloudFormation finishes the deployment in {', '.join(started)}. To see the result:")
        for name in started:
            doctor = own_command("doctor", "--region", name, "--stack-name", stack_name)
            console.print(f"  {doctor}", soft_wrap=True, markup=False)
    if not_started:
        console.print(f"\nNot started in {', '.join(not_started)}. Nothing has changed there.")
