"""Run `sam build` and `sam deploy` of a checkout's template on the emulator, as a user does in an account."""

import contextlib
import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from localaws import process, sam, template
from localaws.account import Account
from localaws.errors import LocalAwsError
from localaws.state import StateDirectory

Progress: TypeAlias = Callable[[str, int, int], None]
"""Takes the name of the stage, the number of steps done, and their total."""

ENDPOINT_SETTINGS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SERVICE_QUOTAS")
"""The variables that set boto3's endpoints."""

TEMPLATE_NAME = "template.yaml"
_LOCAL_TEMPLATE_NAME = "template.local.json"  # JSON is YAML
ARTIFACTS_BUCKET = "localaws-artifacts-{region}"  # Lambda reads code only from its own Region
_REGION_WITHOUT_CONSTRAINT = "us-east-1"  # CreateBucket takes no LocationConstraint for this Region
_CAPABILITY = "CAPABILITY_IAM"  # all that a change set needs, macros included (API reference, CreateChangeSet)
_POLL_SECONDS = "0.1"
_FUNCTION = "AWS::Serverless::Function"
_BUILT_TYPES = {_FUNCTION, "AWS::Serverless::LayerVersion"}
_X86 = {"x86_64", "amd64"}
_ARM = {"arm64", "aarch64"}


def choose_architecture(processor: str) -> str:
    """Return Lambda's name for a processor architecture. Raises `LocalAwsError` if Lambda has no such architecture."""
    if processor.lower() in _X86:
        return "x86_64"
    if processor.lower() in _ARM:
        return "arm64"
    raise LocalAwsError(f"Lambda does not support this machine's processor architecture, {processor}")


class Deployment(msgspec.Struct, frozen=True):
    """One checkout, deployed as one stack of one account."""

    checkout: Path
    account: Account
    stack_name: str
    directory: StateDirectory
    parameters: Mapping[str, str] = {}
    processor: str = platform.machine()
    proxy_url: str | None = None
    """URL of the fault proxy, if functions reach AWS through one. Each function appends its logical id to the URL."""

    def build(self, progress: Progress) -> dict[str, str]:
        """Build, remove the resources that the emulator cannot create, and return the reasons by logical id."""
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
        if self.proxy_url is not None:
            _use_proxy(self.proxy_url, kept)
        (self.directory.build / _LOCAL_TEMPLATE_NAME).write_text(json.dumps(kept), encoding="utf-8")
        progress("building", total, total)
        return left_out

    def deploy(self, progress: Progress) -> None:
        """Deploy the build. The stack is complete when this returns."""
        self._make_bucket()
        changes: set[str] = set()
        complete: set[str] = set()
        progress("deploying", 0, 1)
        for line in self._sam(
            "deploy",
            *("--template-file", str(self.directory.build / _LOCAL_TEMPLATE_NAME), "--output", "json"),
            *("--stack-name", self.stack_name, "--s3-bucket", self._bucket, "--capabilities", _CAPABILITY),
            *("--no-confirm-changeset", "--no-fail-on-empty-changeset"),
        ):
            event = sam.document(line)
            if event.get("type") == "changeset":
                changes.add(event["logical_id"])
            elif event.get("type") == "event" and event["status"].endswith("_COMPLETE"):
                complete.add(event["logical_id"])
            progress("deploying", len(complete & changes), len(changes) or 1)
        progress("deploying", 1, 1)

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of the SAM CLI and of the makefiles that it runs."""
        return {
            **self.account.environment(sam.environment(inherited)),
            "LAMBDA_PLATFORM": "native",  # the emulator runs functions with this very interpreter
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": _POLL_SECONDS,
            "__SAM_CLI_APP_DIR": str(self.directory.path / "sam"),  # the user's ~/.aws-sam stays as it is
        }

    def overrides(self) -> list[str]:
        """Return the stack's parameters. The given values replace those for this machine."""
        return sam.overrides({"Architecture": choose_architecture(self.processor), **self.parameters})

    @property
    def _bucket(self) -> str:
        return ARTIFACTS_BUCKET.format(region=self.account.region)

    def _make_bucket(self) -> None:
        """Make a bucket for the artifacts. `--resolve-s3` would first deploy a stack for it, which takes 8 seconds."""
        s3 = self.account.session().client("s3")
        if self.account.region == _REGION_WITHOUT_CONSTRAINT:
            s3.create_bucket(Bucket=self._bucket)
            return
        with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
            # the type checker knows only a list of Regions
            constraint: Any = {"LocationConstraint": self.account.region}
            s3.create_bucket(Bucket=self._bucket, CreateBucketConfiguration=constraint)

    def _sam(self, command: str, *options: str) -> Iterator[str]:
        """Run the SAM CLI and yield its output line by line.

        Raises `LocalAwsError` with CloudFormation's first reason, or with the end of the output if there is none.
        """
        settings = self.directory.path / "samconfig.toml"  # the checkout's own samconfig.toml is for real accounts
        settings.write_text("version = 0.1\n", encoding="utf-8")
        arguments = [*sam.command(command, *options), "--config-file", str(settings)]
        arguments += ["--region", self.account.region, "--parameter-overrides", *self.overrides()]
        reason = ""
        with self.directory.sam_log.open("w", encoding="utf-8") as log:
            running = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
                arguments,
                cwd=self.checkout,
                env=self.environment(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            with running:
                for line in _lines(running):
                    log.write(line)
                    log.flush()
                    reason = reason or sam.read_failure(sam.document(line))
                    yield line.strip()
        if running.returncode != 0:
            if reason:
                raise LocalAwsError(
                    f"sam {command} failed. {reason}\nAll of its output is in {self.directory.sam_log}."
                )
            end = process.read_tail(self.directory.sam_log)
            raise LocalAwsError(f"sam {command} failed. The end of {self.directory.sam_log}:\n{end}")


def _lines(running: "subprocess.Popen[str]") -> Iterator[str]:
    if running.stdout is None:
        raise RuntimeError("sam was started without a pipe")
    try:
        yield from running.stdout
    except BaseException:  # including Ctrl-C: sam must not continue alone
        running.terminate()
        raise


def _parse(path: Path) -> dict[str, Any]:
    """Return a template as the SAM CLI reads it, with short forms such as !Ref written out."""
    from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]  # noqa: PLC0415 - of the extra `local`

    try:
        parsed = yaml_parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LocalAwsError(f"{path} does not exist") from error
    if not isinstance(parsed, dict):
        raise LocalAwsError(f"{path} is not a template: it holds no mapping")
    return json.loads(json.dumps(parsed, default=str))  # type: ignore[no-any-return]


def _use_proxy(proxy_url: str, parsed: Mapping[str, Any]) -> None:
    """Give every function its own endpoint at the proxy."""
    for name, resource in parsed["Resources"].items():
        if resource.get("Type") == _FUNCTION:
            variables = resource["Properties"].setdefault("Environment", {}).setdefault("Variables", {})
            variables |= dict.fromkeys(ENDPOINT_SETTINGS, f"{proxy_url}/{name}")


def _built(parsed: Mapping[str, Any]) -> Iterator[str]:
    for name, resource in parsed.get("Resources", {}).items():
        if not isinstance(resource, dict) or resource.get("Type") not in _BUILT_TYPES:
            continue
        if not resource.get("Metadata", {}).get("SkipBuild"):
            yield name
