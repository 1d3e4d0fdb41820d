"""The folder that commands build and deploy: a checkout, or an unpacked release, which is already built.

It is the checkout that holds this module, or else the folder around the current one.
"""

import importlib.util
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click

from localaws import sam
from quota_monitor.data_files import CHECKOUT

ROOT = CHECKOUT
"""The folder with template.yaml in it, if this module belongs to a checkout."""


def is_checkout(folder: Path) -> bool:
    """Return True if a folder has the source code."""
    return (folder / "template.yaml").is_file() and (folder / "layers" / "core" / "bedrock_quota").is_dir()


def is_release(folder: Path) -> bool:
    """Return True if a folder is an unpacked release: it has what `sam build` makes, and not the source code."""
    return (folder / ".aws-sam" / "build" / "template.yaml").is_file() and not is_checkout(folder)


class NotHereError(click.ClickException):
    """The command cannot work where it was called. The message says what it needs."""

    exit_code = click.UsageError.exit_code


def locate_checkout() -> Path | None:
    """Return the folder of the checkout, or None outside of one."""
    return _locate(is_checkout)


def find_checkout() -> Path:
    """Return the folder of the checkout. Raises `NotHereError` outside of one."""
    found = locate_checkout()
    if found is not None:
        return found
    raise NotHereError("This command needs the source code. Clone the repository, and run the command in its folder.")


def find_deployable() -> Path:
    """Return the folder of the checkout, or of an unpacked release. Raises `click.ClickException` outside of both."""
    found = _locate(lambda folder: is_checkout(folder) or is_release(folder))
    if found is not None:
        return found
    raise NotHereError(
        "This command needs a clone of the repository, or an unpacked release zip. "
        "Run it in that folder, the one with template.yaml."
    )


def require_local_extra() -> None:
    """Raise `click.ClickException` if the packages of the extra `local` are not installed."""
    if all(importlib.util.find_spec(name) is not None for name in ("samcli", "ministack")):
        return
    arguments = shlex.join(sys.argv[1:])
    if (folder := locate_checkout()) is not None:
        place = shlex.quote(str(folder))
        raise NotHereError(
            "This command needs the AWS SAM CLI and the emulator, which `make setup` installs. "
            f"Run: make -C {place} setup && {place}/.venv/bin/quota-monitor {arguments}"
        )
    raise NotHereError(
        "This command needs the AWS SAM CLI, which the extra `local` has. "
        f"Run, with the .whl file of the release: uvx --from 'FILE.whl[local]' quota-monitor {arguments}"
    )


def _locate(wanted: Callable[[Path], bool]) -> Path | None:
    try:
        here = [Path.cwd()]
    except FileNotFoundError:  # the current folder is deleted
        here = []
    around = (ROOT, *here, *(parent for each in here for parent in each.parents))
    return next((folder for folder in around if wanted(folder)), None)


def run_sam(name: str, *options: str, profile: str | None = None, **environment: str) -> None:
    """Run a command of the SAM CLI in that folder. Raises `click.ClickException` with its output if it fails."""
    ran = subprocess.run(  # noqa: S603 - our own interpreter and arguments
        sam.command(name, *options, *profile_option(profile)),
        cwd=find_deployable(),
        env={**environment, **sam.environment(os.environ)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        raise click.ClickException(f"sam {name} failed:\n{ran.stdout.strip()}")


def profile_option(profile: str | None) -> list[str]:
    """Return the SAM CLI's option for an AWS profile, or nothing without one."""
    return [] if profile is None else ["--profile", profile]
