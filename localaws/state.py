"""The state directory of one local AWS: its processes, ports, logs and files."""

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
    """The ports of the processes, kept between runs. The sidecar also serves the preview of dashboards."""

    emulator: int
    sidecar: int
    preview: int

    @classmethod
    def free(cls) -> "Ports":
        """Return ports that are free now."""
        with ExitStack() as stack:
            probes = [stack.enter_context(socket.socket()) for _ in cls.__struct_fields__]
            for probe in probes:
                probe.bind((LOOPBACK, 0))
            return cls(*(probe.getsockname()[1] for probe in probes))

    def are_free(self) -> bool:
        """Return True if all of them are free."""
        for port in (self.emulator, self.sidecar, self.preview):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closed connection may hold it
                try:
                    probe.bind((LOOPBACK, port))
                except OSError:
                    return False
        return True


class State(msgspec.Struct, frozen=True):
    """One local AWS. Without processes it is stopped."""

    region: str
    stack_name: str
    ports: Ports
    python: str = platform.python_version()
    emulator: Process | None = None
    sidecar: Process | None = None
    left_out: dict[str, str] = {}

    def account(self) -> Account:
        """Return the emulated account."""
        return Account(
            endpoint_url=f"http://{LOOPBACK}:{self.ports.emulator}",
            service_quotas_url=f"http://{LOOPBACK}:{self.ports.sidecar}",
            region=self.region,
        )

    @property
    def preview_url(self) -> str:
        """Return the address of the dashboard preview."""
        return f"http://{LOOPBACK}:{self.ports.preview}"

    def processes(self) -> list[Process]:
        """Return the processes that were started, running or not."""
        return [process for process in (self.sidecar, self.emulator) if process is not None]


class StateDirectory(msgspec.Struct, frozen=True):
    """The state directory. Each directory is a separate local AWS."""

    path: Path

    @property
    def emulator_log(self) -> Path:
        """Return the path of the emulator's output."""
        return self.path / "emulator.log"

    @property
    def sidecar_log(self) -> Path:
        """Return the path of the sidecar's output."""
        return self.path / "sidecar.log"

    @property
    def sam_log(self) -> Path:
        """Return the path of the SAM CLI's latest output."""
        return self.path / "sam.log"

    @property
    def build(self) -> Path:
        """Return the directory of the build."""
        return self.path / "build"

    @property
    def scratch(self) -> Path:
        """Return the directory of the running emulator's files. `down` deletes it."""
        return self.path / "scratch"

    @property
    def cli_config(self) -> Path:
        """Return the path of the configuration file for the AWS CLI."""
        return self.path / "aws-config"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the directory against other commands while the block runs."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LocalAwsError(f"Another command is using {self.path}. Wait until it has finished.") from error
            yield

    def find(self) -> State | None:
        """Return the stored state, or None if there is none."""
        return self.read() if self._file.exists() else None

    def read(self) -> State:
        """Return the stored state. Raises `LocalAwsError` if there is none."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=State)
        except FileNotFoundError as error:
            raise LocalAwsError(f"There is no local stack in {self.path}.") from error
        except msgspec.DecodeError as error:
            raise LocalAwsError(
                f"{self._file} is of another version ({error}). Delete the file, and try again."
            ) from error

    def write(self, state: State) -> None:
        """Replace the stored state atomically."""
        self.path.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(".new")
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
        fresh.replace(self._file)

    def clear_scratch(self) -> None:
        """Make the scratch directory empty."""
        if self.scratch.exists():
            shutil.rmtree(self.scratch)
        self.scratch.mkdir(parents=True)

    @property
    def _file(self) -> Path:
        return self.path / "state.json"
