"""`sam build` and `sam deploy` of a checkout's own template on the emulator, as a user would do it in an account."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]

from localaws import process, template
from localaws.account import Account
from localaws.errors import LocalAwsError
from localaws.state import StateDirectory

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told the stage, and how much of how much of it is done."""

TEMPLATE_NAME = "template.yaml"
_LOCAL_TEMPLATE_NAME = "template.local.json"  # JSON is YAML
_ARTIFACTS_BUCKET = "localaws-artifacts"
_CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
_POLL_SECONDS = "0.1"
_BUILT_TYPES = {"AWS::Serverless::Function", "AWS::Serverless::LayerVersion"}
_X86 = {"x86_64", "amd64"}
_ARM = {"arm64", "aarch64"}
_OF_MAKE = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"}  # of the `make` that may have started this


class Machine(msgspec.Struct, frozen=True):
    """What Lambda code must be built for, to run here."""

    python_version: str
    processor: str

    @classmethod
    def this(cls) -> "Machine":
        """The one this runs on."""
        return cls(f"{sys.version_info.major}.{sys.version_info.minor}", platform.machine().lower())

    @property
    def architecture(self) -> str:
        """Its processor, in Lambda's words."""
        return self._either("x86_64", "arm64")

    @property
    def wheel_platform(self) -> str:
        """Its processor, in the words of wheels."""
        return self._either("x86_64", "aarch64")

    def _either(self, x86: str, arm: str) -> str:
        if self.processor in _X86:
            return x86
        if self.processor in _ARM:
            return arm
        raise LocalAwsError(f"Lambda has no processor like this machine's, {self.processor}")


class Deployment(msgspec.Struct, frozen=True):
    """One checkout, deployed as one stack of one account."""

    checkout: Path
    account: Account
    stack_name: str
    directory: StateDirectory
    parameters: Mapping[str, str] = {}
    machine: Machine = msgspec.field(default_factory=Machine.this)

    def build(self, progress: Progress) -> dict[str, str]:
        """Build, and leave out what the emulator cannot take: reasons by logical id."""
        source = self.checkout / TEMPLATE_NAME
        total = sum(1 for _ in _built(_parse(source)))
        progress("building", 0, total)
        done = 0
        for line in self._sam(
            "build",
            *("--template-file", str(source), "--base-dir", str(self.checkout)),
            *("--build-dir", str(self.directory.build), "--parallel"),
        ):
            if line.startswith(("Building layer", "Building codeuri")):
                done = min(done + 1, total)
                progress("building", done, total)
        kept, left_out = template.without(_parse(self.directory.build / TEMPLATE_NAME))
        (self.directory.build / _LOCAL_TEMPLATE_NAME).write_text(json.dumps(kept), encoding="utf-8")
        progress("building", total, total)
        return left_out

    def deploy(self, progress: Progress) -> None:
        """Deploy what was built; the stack is complete when this returns."""
        self.account.session().client("s3").create_bucket(Bucket=_ARTIFACTS_BUCKET)
        changes: set[str] = set()
        complete: set[str] = set()
        progress("deploying", 0, 1)
        for line in self._sam(
            "deploy",
            *("--template-file", str(self.directory.build / _LOCAL_TEMPLATE_NAME), "--output", "json"),
            *("--stack-name", self.stack_name, "--s3-bucket", _ARTIFACTS_BUCKET, "--capabilities", *_CAPABILITIES),
            *("--no-confirm-changeset", "--no-fail-on-empty-changeset"),
        ):
            event = _event(line)
            if event.get("type") == "changeset":
                changes.add(event["logical_id"])
            elif event.get("type") == "event" and event["status"].endswith("_COMPLETE"):
                complete.add(event["logical_id"])
            progress("deploying", len(complete & changes), len(changes) or 1)
        progress("deploying", 1, 1)

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """What the SAM CLI, and the makefiles it runs, see."""
        kept = {name: value for name, value in inherited.items() if name not in _OF_MAKE}
        return {
            **self.account.environment(kept),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]),
            "PYTHON": sys.executable,
            "LAMBDA_PYTHON_VERSION": self.machine.python_version,
            "LAMBDA_PLATFORM": self.machine.wheel_platform,
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": _POLL_SECONDS,
            "__SAM_CLI_APP_DIR": str(self.directory.path / "sam"),  # the user's ~/.aws-sam stays as it is
        }

    def overrides(self) -> list[str]:
        """The stack's parameters: the given ones over those of this machine."""
        parameters = {"Architecture": self.machine.architecture, **self.parameters}
        return [f"{name}={_quoted(value)}" for name, value in parameters.items()]

    def _sam(self, command: str, *options: str) -> Iterator[str]:
        """Run the SAM CLI and give what it prints, line by line; raise with the end of it if it fails."""
        settings = self.directory.path / "samconfig.toml"  # in place of the checkout's, which is for real accounts
        settings.write_text("version = 0.1\n", encoding="utf-8")
        arguments = [sys.executable, "-m", "samcli", command, *options, "--config-file", str(settings)]
        arguments += ["--region", self.account.region, "--parameter-overrides", *self.overrides()]
        with self.directory.sam_log.open("w", encoding="utf-8") as log:
            sam = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
                arguments,
                cwd=self.checkout,
                env=self.environment(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            with sam:
                for line in _lines(sam):
                    log.write(line)
                    log.flush()
                    yield line.strip()
        if sam.returncode != 0:
            end = process.tail(self.directory.sam_log)
            raise LocalAwsError(f"sam {command} failed; the end of {self.directory.sam_log}:\n{end}")


def _lines(sam: "subprocess.Popen[str]") -> Iterator[str]:
    if sam.stdout is None:
        raise RuntimeError("sam was started without a pipe")
    try:
        yield from sam.stdout
    except BaseException:  # the user's Ctrl-C among them: sam must not go on alone
        sam.terminate()
        raise


def _parse(path: Path) -> dict[str, Any]:
    """A template as the SAM CLI reads it: short forms such as !Ref written out."""
    try:
        parsed = yaml_parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LocalAwsError(f"{path} is not there") from error
    if not isinstance(parsed, dict):
        raise LocalAwsError(f"{path} is not a template")
    return json.loads(json.dumps(parsed, default=str))  # type: ignore[no-any-return]


def _built(parsed: Mapping[str, Any]) -> Iterator[str]:
    for name, resource in parsed.get("Resources", {}).items():
        if not isinstance(resource, dict) or resource.get("Type") not in _BUILT_TYPES:
            continue
        if not resource.get("Metadata", {}).get("SkipBuild"):
            yield name


def _event(line: str) -> dict[str, Any]:
    """One of the JSON documents among the lines of `sam deploy --output json`; empty for any other line."""
    if not line.startswith("{"):
        return {}
    event = json.loads(line)
    return event if isinstance(event, dict) else {}


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
