"""One local AWS: `up` starts it and deploys a checkout, `status` describes it, and `down` stops it.

It keeps running when the process that started it ends. Each local AWS has its own directory for all its state.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from localaws import emulator, local_http, sidecar
from localaws.account import Account
from localaws.counters import Counters
from localaws.deployment import Deployment, Progress
from localaws.errors import LocalAwsError
from localaws.state import Ports, State, StateDirectory

if TYPE_CHECKING:
    from localaws.fault_proxy import FaultProxy
    from localaws.session import LocalSession

CHECKOUT = Path(__file__).parents[1]
DIRECTORY = CHECKOUT / ".localaws"
STACK_NAME = "bedrock-quota-monitor"
REGION = "us-east-1"

_DRAIN_SECONDS = 60.0
_POLL_SECONDS = 0.05


class Instance(msgspec.Struct, frozen=True):
    """A running local AWS with its stack."""

    directory: Path
    account: Account
    stack_name: str
    outputs: dict[str, str]
    preview_url: str
    left_out: dict[str, str] = {}

    @property
    def endpoint_url(self) -> str:
        """Return the endpoint of every service except Service Quotas."""
        return self.account.endpoint_url

    @property
    def cli_config(self) -> Path:
        """Return the path of an AWS configuration file. Its profile `local` is this account."""
        return StateDirectory(self.directory).cli_config

    def session(self) -> LocalSession:
        """Return a boto3 session for this account."""
        return self.account.session()

    def counters(self) -> Counters:
        """Return the sidecar's counts so far."""
        return _counters(self.account, "GET", "/health")

    def drain(
        self, invocations: Mapping[str, int] | None = None, *, timeout_seconds: float = _DRAIN_SECONDS
    ) -> Counters:
        """Wait until every metric line logged so far is a metric.

        `invocations` are the runs to wait for, per log group and since the start. Deliveries run in the background, so
        count them first: `before = instance.counters().invocations`.
        """
        wanted = invocations or {}
        deadline = time.monotonic() + timeout_seconds
        while True:
            counters = _counters(self.account, "POST", "/drain", timeout_seconds=timeout_seconds)
            missing = {group: n for group, n in wanted.items() if counters.invocations.get(group, 0) < n}
            if not missing:
                return counters
            if time.monotonic() > deadline:
                raise LocalAwsError(f"these invocations did not finish within {timeout_seconds:.0f} s: {missing}")
            time.sleep(_POLL_SECONDS)


class Status(msgspec.Struct, frozen=True):
    """The state of a local AWS. `instance` is set if all parts answer. `trouble` names the parts that do not."""

    instance: Instance | None = None
    stack_status: str = ""
    counters: Counters | None = None
    trouble: tuple[str, ...] = ()


def up(
    checkout: Path = CHECKOUT,
    directory: Path = DIRECTORY,
    *,
    region: str = REGION,
    stack_name: str = STACK_NAME,
    parameters: Mapping[str, str] | None = None,
    proxy: FaultProxy | None = None,
    progress: Progress = lambda _stage, _done, _total: None,
) -> Instance:
    """Start a local AWS unless one is running, and deploy the checkout on it.

    A local AWS that runs with another Region, stack name or interpreter is stopped first. If there is a `proxy`, the
    functions reach AWS through it.
    """
    home = StateDirectory(directory.resolve())
    with home.locked():
        progress("starting", 0, 1)
        state = _running(home, region, stack_name) or _start(home, region, stack_name)
        account = state.account()
        if proxy is not None:
            proxy.forward_to(account)
        proxy_url = None if proxy is None else proxy.url
        deployment = Deployment(checkout.resolve(), account, stack_name, home, parameters or {}, proxy_url=proxy_url)
        left_out = deployment.build(progress)  # while the emulator starts
        home.write(msgspec.structs.replace(state, left_out=left_out))
        _wait_until_ready(home, state)
        progress("starting", 1, 1)
        deployment.deploy(progress)
        outputs, _ = _stack(account, stack_name)
        return Instance(home.path, account, stack_name, outputs, state.preview_url, left_out)


def status(directory: Path = DIRECTORY) -> Status:
    """Return the status without changing anything."""
    home = StateDirectory(directory.resolve())
    state = home.find()
    if state is None or not state.processes():
        return Status()
    trouble = tuple(
        f"The {name} is not running. Its log is {log}."
        for name, running, log in (
            ("emulator", state.emulator, home.emulator_log),
            ("sidecar", state.sidecar, home.sidecar_log),
        )
        if running is None or not running.alive()
    )
    if trouble:
        return Status(trouble=trouble)
    account = state.account()
    try:
        outputs, stack_status = _stack(account, state.stack_name)
        counters = _counters(account, "GET", "/health")
    except (LocalAwsError, BotoCoreError, ClientError) as error:
        if isinstance(error, ClientError) and error.response["Error"].get("Code") == "ValidationError":
            return Status(trouble=(f"The emulator is running, but the stack {state.stack_name} is not deployed.",))
        return Status(trouble=(str(error),))
    found = Instance(home.path, account, state.stack_name, outputs, state.preview_url, state.left_out)
    return Status(found, stack_status, counters)


def down(directory: Path = DIRECTORY) -> bool:
    """Stop the local AWS and delete its data, but keep the build. Return True if anything was running."""
    home = StateDirectory(directory.resolve())
    state = home.find()
    if state is None:
        return False
    with home.locked():
        ran = any(running.alive() for running in state.processes())
        _stop(home, state)
        return ran


def _running(home: StateDirectory, region: str, stack_name: str) -> State | None:
    """Return the state of this directory's local AWS if all of it runs with the wanted settings. Otherwise stop it."""
    state = home.find()
    if state is None or len(state.processes()) < len(("emulator", "sidecar")):
        return None
    wanted = State(region=region, stack_name=stack_name, ports=state.ports)
    same = (state.region, state.stack_name, state.python) == (wanted.region, wanted.stack_name, wanted.python)
    if same and all(running.alive() for running in state.processes()) and emulator.is_ready(state.account()):
        return state
    _stop(home, state)
    return None


def _start(home: StateDirectory, region: str, stack_name: str) -> State:
    before = home.find()
    ports = before.ports if before is not None and before.ports.are_free() else Ports.free()
    state = State(region=region, stack_name=stack_name, ports=ports)
    account = state.account()
    home.clear_scratch()
    home.write(state)
    home.cli_config.write_text(account.cli_config(), encoding="utf-8")
    running = emulator.start(account, ports.emulator, scratch=home.scratch, log=home.emulator_log)
    state = msgspec.structs.replace(state, emulator=running)
    home.write(state)  # at once, so that `down` finds it even if the next step fails
    state = msgspec.structs.replace(state, sidecar=sidecar.start(account, home))
    home.write(state)
    return state


def _wait_until_ready(home: StateDirectory, state: State) -> None:
    if state.emulator is None or state.sidecar is None:
        raise RuntimeError("nothing was started")
    account = state.account()
    emulator.wait_until_ready(state.emulator, account, home.emulator_log)
    sidecar.wait_until_ready(state.sidecar, account, home.sidecar_log)


def _stop(home: StateDirectory, state: State) -> None:
    for running in state.processes():
        running.stop()
    home.clear_scratch()
    home.write(msgspec.structs.replace(state, emulator=None, sidecar=None))


def _counters(account: Account, method: str, path: str, *, timeout_seconds: float = 5.0) -> Counters:
    body = local_http.request(method, account.service_quotas_url + path, timeout_seconds=timeout_seconds)
    return msgspec.json.decode(body, type=Counters)


def _stack(account: Account, stack_name: str) -> tuple[dict[str, str], str]:
    stack = account.session().client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    return outputs, stack["StackStatus"]
