"""The state of one local AWS: a directory that says what runs, where, and since when."""

import fcntl
import platform
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from localaws.account import LOOPBACK, Account
from localaws.errors import LocalAwsError
from localaws.process import Process


class Ports(msgspec.Struct, frozen=True):
    """Where the processes listen, kept from one run to the next; the sidecar also serves the preview of dashboards."""

    emulator: int
    sidecar: int
    preview: int

    @classmethod
    def free(cls) -> "Ports":
        """Ports that nobody listens on."""
        with ExitStack() as stack:
            probes = [stack.enter_context(socket.socket()) for _ in cls.__struct_fields__]
            for probe in probes:
                probe.bind((LOOPBACK, 0))
            return cls(*(probe.getsockname()[1] for probe in probes))

    def are_free(self) -> bool:
        """Whether nobody listens on any of them."""
        for port in (self.emulator, self.sidecar, self.preview):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a connection may linger
                try:
                    probe.bind((LOOPBACK, port))
                except OSError:
                    return False
        return True


class State(msgspec.Struct, frozen=True):
    """One local AWS; without processes it is down."""

    region: str
    stack_name: str
    ports: Ports
    python: str = platform.python_version()
    emulator: Process | None = None
    sidecar: Process | None = None
    left_out: dict[str, str] = {}

    def account(self) -> Account:
        """The account that it pretends to be."""
        return Account(
            endpoint_url=f"http://{LOOPBACK}:{self.ports.emulator}",
            service_quotas_url=f"http://{LOOPBACK}:{self.ports.sidecar}",
            region=self.region,
        )

    @property
    def preview_url(self) -> str:
        """Where the account's dashboards are drawn."""
        return f"http://{LOOPBACK}:{self.ports.preview}"

    def processes(self) -> list[Process]:
        """What was started, whether or not it still runs."""
        return [process for process in (self.sidecar, self.emulator) if process is not None]


class StateDirectory(msgspec.Struct, frozen=True):
    """The directory itself; two of them are two local AWS, side by side."""

    path: Path

    @property
    def emulator_log(self) -> Path:
        """What the emulator printed."""
        return self.path / "emulator.log"

    @property
    def sidecar_log(self) -> Path:
        """What the sidecar printed."""
        return self.path / "sidecar.log"

    @property
    def sam_log(self) -> Path:
        """What the SAM CLI printed, the last time."""
        return self.path / "sam.log"

    @property
    def build(self) -> Path:
        """What `sam build` made."""
        return self.path / "build"

    @property
    def scratch(self) -> Path:
        """What the running emulator keeps on disk; gone when it is down."""
        return self.path / "scratch"

    @property
    def cli_config(self) -> Path:
        """A configuration file for the AWS CLI."""
        return self.path / "aws-config"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep any other command off this directory for a while."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LocalAwsError(f"another command is at work on {self.path}") from error
            yield

    def find(self) -> State | None:
        """What was written last, if anything was."""
        return self.read() if self._file.exists() else None

    def read(self) -> State:
        """What was written last."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=State)
        except FileNotFoundError as error:
            raise LocalAwsError(f"no local AWS has run in {self.path}") from error
        except msgspec.DecodeError as error:
            raise LocalAwsError(f"{self._file} is not a state of this version ({error}); remove it") from error

    def write(self, state: State) -> None:
        """Replace the state at once: no reader sees half of it."""
        self.path.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(".new")
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
        fresh.replace(self._file)

    def clear_scratch(self) -> None:
        """An empty scratch directory."""
        if self.scratch.exists():
            shutil.rmtree(self.scratch)
        self.scratch.mkdir(parents=True)

    @property
    def _file(self) -> Path:
        return self.path / "state.json"
