"""`quota-monitor deploy`: this checkout in several Regions, built once and deployed side by side."""

from __future__ import annotations

import os
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
from quota_monitor import checkout, regions
from quota_monitor.parameters import option as parameters_option
from quota_monitor.regions import Progress, State

PLATFORMS = {"arm64": "aarch64", "x86_64": "x86_64"}
"""What the layers' makefiles call each value of the parameter Architecture."""

LAST_LINES = 8
"""Of what `sam` printed, kept for a failure that it does not explain itself."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell gives it."""

WELL = {State.DEPLOYED, State.UNCHANGED}
STYLES = {State.FAILED: "red", **dict.fromkeys(WELL, "green")}

console = Console(highlight=False)


class Deployment:
    """`sam deploy` in one Region: what it has told so far, read in the background."""

    def __init__(self, region: str, options: Sequence[str], profile: str | None) -> None:
        self.region = region
        self.progress = Progress()
        self.began = time.monotonic()
        self.ended: float | None = None
        # A session of its own: the terminal's Ctrl-C is for this command, which says what becomes of each Region.
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
            sam.command("deploy", *options, "--region", region, *checkout.profile_option(profile)),
            cwd=checkout.ROOT,
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
            self.progress = regions.after(self.progress, document)
            if not document and line.strip():
                last.append(line.strip())
        self.progress = regions.ended(self.progress, self._process.wait(), " ".join(last))
        self.ended = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has taken."""
        return (self.ended or time.monotonic()) - self.began

    def wait(self) -> None:
        """Return when it has ended."""
        self._reader.join()

    def leave(self) -> None:
        """Watch no longer; what CloudFormation has begun, it finishes."""
        self._process.terminate()


@click.command()
@click.option("--regions", "names", required=True, callback=regions.of_option, help="Regions, comma separated.")
@click.option("--profile", help="AWS profile.")
@click.option("--stack-name", default="bedrock-quota-monitor", show_default=True, help="Name of the stack in each.")
@parameters_option
def deploy(names: tuple[str, ...], profile: str | None, stack_name: str, parameters: Mapping[str, str]) -> None:
    """Build once, and deploy in several Regions side by side.

    One Region's failure does not stop the others: it is named with its reason, and the exit code is 1.
    After Ctrl-C, CloudFormation finishes what it has begun.
    """
    build(parameters)
    options = ["--stack-name", stack_name, "--s3-prefix", stack_name, "--on-failure", "DELETE", "--output", "json"]
    options += ["--no-confirm-changeset", "--no-fail-on-empty-changeset"]
    if parameters:
        options += ["--parameter-overrides", *sam.overrides(parameters)]
    deployments = [Deployment(name, options, profile) for name in names]
    try:
        with Live(console=console, get_renderable=lambda: _table(deployments)):
            for each in deployments:
                each.wait()
    except KeyboardInterrupt:
        _say_what_goes_on(deployments, stack_name)
        for each in deployments:
            each.leave()
        raise SystemExit(INTERRUPTED) from None
    console.print(_endings(deployments), soft_wrap=True)
    if any(each.progress.state not in WELL for each in deployments):
        raise SystemExit(1)


def build(parameters: Mapping[str, str]) -> None:
    """`sam build` of this checkout, for the functions' processor; raises `click.ClickException` if it fails."""
    options = ["--parameter-overrides", *sam.overrides(parameters)] if parameters else []
    platform = (
        {"LAMBDA_PLATFORM": PLATFORMS.get(parameters["Architecture"], "")} if "Architecture" in parameters else {}
    )
    with console.status("Building functions and layers"):
        checkout.run_sam("build", *options, **platform)


def _table(deployments: Sequence[Deployment]) -> RenderableType:
    table = Table("Region", "State", "At hand", box=None, padding=(0, 2, 0, 0))
    table.add_column("Seconds", justify="right")
    for each in deployments:
        told = each.progress
        table.add_row(
            each.region, str(told.state), Text(told.at_hand), f"{each.seconds:.0f}", style=STYLES.get(told.state, "")
        )
    return table


def _endings(deployments: Sequence[Deployment]) -> Text:
    """What each Region came to: where to look, or why not."""
    lines = []
    for each in deployments:
        told = each.progress
        lines.append(f"\n{each.region}")
        if told.state is State.FAILED:
            lines.append(f"  failed: {told.reason}")
        lines += [f"  {told.outputs[name]}" for name in ("DashboardURL", "InvocationLogging") if name in told.outputs]
    return Text("\n".join(lines))


def _say_what_goes_on(deployments: Sequence[Deployment], stack_name: str) -> None:
    begun = [each.region for each in deployments if each.progress.state is State.DEPLOYING]
    not_begun = [each.region for each in deployments if each.progress.state is State.PREPARING]
    if begun:
        console.print(f"\nCloudFormation finishes by itself in {', '.join(begun)}. To see how it ended:")
        for name in begun:
            console.print(f"  quota-monitor doctor --region {name} --stack-name {stack_name}", soft_wrap=True)
    if not_begun:
        console.print(f"\nNot begun in {', '.join(not_begun)}: nothing is changed there.")
