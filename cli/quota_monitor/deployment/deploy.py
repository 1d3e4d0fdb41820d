"""`quota-monitor deploy`: build once and deploy to several accounts and Regions in parallel."""

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
from quota_monitor.command_groups import INTERRUPTED
from quota_monitor.deployment import checkout, regions
from quota_monitor.deployment.parameters import check_parameters, parameters_option
from quota_monitor.deployment.regions import RegionProgress, State
from quota_monitor.deployment.tags import configured_tags, tags_arguments, tags_option
from quota_monitor.deployment.targets import Target, read_targets
from quota_monitor.json_output import format_json, json_option
from quota_monitor.places import MAX_PARALLEL, Place, list_places, parse_regions, profiles_option
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
    """`sam deploy` in one account and Region. It runs in the background, when one of the `slots` is free."""

    def __init__(
        self, place: Place, name: str, options: Sequence[str], slots: threading.Semaphore, local_endpoint: str = ""
    ) -> None:
        self.place = place
        self.name = name
        self._local_endpoint = local_endpoint
        self.progress = RegionProgress()
        self.began: float | None = None
        self.ended: float | None = None
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self._is_stopped = False
        self._lock = threading.Lock()
        self._runner = threading.Thread(target=self._run, args=(slots,), daemon=True)
        self._runner.start()

    def _run(self, slots: threading.Semaphore) -> None:
        with slots:
            try:
                process = self._start()
            except OSError as error:
                self.progress = regions.finish(self.progress, 1, str(error))
                self.ended = time.monotonic()
                return
            if process is not None:
                self._read(process)

    def _start(self) -> subprocess.Popen[str] | None:
        """Start `sam deploy`, unless nobody watches any more."""
        with self._lock:
            if self._is_stopped:
                return None
            self.began = time.monotonic()
            # A separate session: Ctrl-C in the terminal reaches this command only, which then reports each place.
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
                sam.command(
                    "deploy",
                    *self._options,
                    "--region",
                    self.place.region or "",
                    *checkout.profile_option(self.place.profile),
                ),
                cwd=checkout.find_deployable(),
                env=sam.environment(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            return self._process

    def _read(self, process: subprocess.Popen[str]) -> None:
        last: deque[str] = deque(maxlen=LAST_LINES)
        for line in process.stdout or ():
            document = sam.document(line)
            self.progress = regions.apply_document(self.progress, document)
            if not document and line.strip():
                last.append(line.strip())
        ended = regions.finish(self.progress, process.wait(), " ".join(last))
        self.progress = regions.explain_local(ended, self._local_endpoint)
        self.ended = time.monotonic()

    @property
    def seconds(self) -> float:
        """Return the seconds it has taken, 0 if it waits for others."""
        return 0 if self.began is None else (self.ended or time.monotonic()) - self.began

    def wait(self) -> None:
        """Wait until it has ended."""
        self._runner.join()

    def stop_watching(self) -> None:
        """Stop watching, and do not start if it has not. CloudFormation finishes what it has started."""
        with self._lock:
            self._is_stopped = True
            if self._process is not None:
                self._process.terminate()


@click.command()
@click.option("--regions", "names", required=True, callback=parse_regions, help="Regions, separated by commas.")
@click.option("--profile", help="AWS profile.")
@profiles_option("Deploy to every Region of each.")
@click.option(
    "--stack-name",
    default="bedrock-quota-monitor",
    show_default=True,
    help="Name of the stack in each account and Region.",
)
@parameters_option
@tags_option
@json_option
def deploy(
    *,
    names: tuple[str, ...],
    profile: str | None,
    profiles: tuple[str, ...],
    stack_name: str,
    parameters: Mapping[str, str],
    tags: Mapping[str, str],
    as_json: bool,
) -> None:
    """Build once and deploy to several accounts and Regions.

    At most 8 are deployed to at the same time. A failure in one does not stop the others. The command prints the reason
    and exits with code 1. After Ctrl-C, CloudFormation finishes the deployments that have started.
    """
    places = list_places(profile, None, profiles, names)
    checkout.find_deployable()
    checkout.require_local_extra()
    check_parameters(parameters)
    targets = read_targets(places, stack_name)  # what AWS refuses, it refuses before the build
    build(parameters)
    options = ["--stack-name", stack_name, "--s3-prefix", stack_name, "--on-failure", "DELETE", "--output", "json"]
    options += ["--no-confirm-changeset", "--no-fail-on-empty-changeset"]
    if parameters:
        options += ["--parameter-overrides", *sam.overrides(parameters)]
    wanted = {**configured_tags(checkout.find_deployable()), **tags}
    options_of = [[*options, *tags_arguments({**target.tags, **wanted})] for target in targets]
    slots = threading.Semaphore(MAX_PARALLEL)
    deployments = [
        Deployment(target.place, _name(target), given, slots, target.local_endpoint)
        for target, given in zip(targets, options_of, strict=True)
    ]
    _wait(deployments, stack_name)
    if as_json:
        click.echo(to_json(deployments, stack_name))
    else:
        results.print(_endings(deployments, stack_name), soft_wrap=True)
    if any(each.progress.state not in SUCCEEDED for each in deployments):
        raise SystemExit(1)


def _name(target: Target) -> str:
    """Return the Region, and the profile if there are several."""
    return target.place.name() if target.account else target.region


def _wait(deployments: Sequence[Deployment], stack_name: str) -> None:
    """Wait for all deployments. After Ctrl-C, report each and exit."""
    try:
        with Live(console=console, get_renderable=lambda: _table(deployments)):
            for each in deployments:
                each.wait()
    except KeyboardInterrupt:
        _report_interruption(deployments, stack_name)
        for each in reversed(deployments):  # those that wait for a slot first, so that none starts in it
            each.stop_watching()
        raise SystemExit(INTERRUPTED) from None


def to_json(deployments: Sequence[Deployment], stack_name: str) -> str:
    """Return the result of each account and Region as JSON."""
    return format_json(
        {
            "stack": stack_name,
            "regions": [
                {
                    "profile": each.place.profile,
                    "region": each.place.region,
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
    table = Table("Stack in", "State", "Current step", box=None, padding=(0, 2, 0, 0))
    table.add_column("Seconds", justify="right")
    for each in deployments:
        progress = each.progress
        table.add_row(
            each.name,
            "waiting" if each.began is None and progress.state is State.PREPARING else str(progress.state),
            Text(progress.current),
            f"{each.seconds:.0f}",
            style=STYLES.get(progress.state, ""),
        )
    return table


def _endings(deployments: Sequence[Deployment], stack_name: str) -> Text:
    """Return the result of each place: the outputs, or the reason of the failure and where its events are."""
    lines = []
    for each in deployments:
        progress = each.progress
        lines.append(f"\n{each.name}")
        if progress.state is State.FAILED:
            lines.append(f"  Failed: {progress.reason}")
            lines += [f"  {line}" for line in _find_events(each.place, stack_name) if progress.started]
        lines += [
            f"  {progress.outputs[name]}" for name in ("DashboardURL", "InvocationLogging") if name in progress.outputs
        ]
    return Text("\n".join(lines))


def _find_events(place: Place, stack_name: str) -> Sequence[str]:
    """Return how to find all events of a failed deployment, even of a stack that was deleted.

    Events of a deleted stack need its ARN (CloudFormation API reference, DescribeStackEvents), and CloudFormation
    lists deleted stacks for 90 days (ListStacks, both read 2026-11-28).
    """
    stacks = f"StackSummaries[?StackName=='{stack_name}'].[CreationTime,StackStatus,StackId]"
    failed = "StackEvents[?ends_with(ResourceStatus,'FAILED')].[LogicalResourceId,ResourceStatusReason]"
    where = ("--region", place.region or "", *checkout.profile_option(place.profile))
    find = ("aws", "cloudformation", "list-stacks", *where, "--query", stacks, "--output", "text")
    show = ("aws", "cloudformation", "describe-stack-events", *where, "--query", failed)
    return (
        "All events, for 90 days after a first deployment has failed and its stack is deleted. The first command shows "
        "the ARN for the second:",
        f"  {shlex.join(find)}",
        f"  {shlex.join((*show, '--stack-name', 'ARN'))}",
    )


def _write_check(place: Place, stack_name: str) -> str:
    """Return the command that checks the stack in a place."""
    region = place.region or ""
    if place.profile is None:
        return own_command("doctor", "--region", region, "--stack-name", stack_name)
    return own_command("doctor", "--profile", place.profile, "--region", region, "--stack-name", stack_name)


def _report_interruption(deployments: Sequence[Deployment], stack_name: str) -> None:
    started = [each for each in deployments if each.progress.state is State.DEPLOYING]
    not_started = [each.name for each in deployments if each.progress.state is State.PREPARING]
    if started:
        names = ", ".join(each.name for each in started)
        console.print(f"\nCloudFormation finishes the deployment in {names}. To see the result:", soft_wrap=True)
        for each in started:
            console.print(f"  {_write_check(each.place, stack_name)}", soft_wrap=True, markup=False)
    if not_started:
        console.print(
            f"\nNot started in {', '.join(not_started)}. Nothing has changed there.", soft_wrap=True, markup=False
        )
