"""The checkout that commands build and deploy: the one that holds this module, or the one around the current folder."""

import importlib.util
import os
import subprocess
from pathlib import Path

import click

from localaws import sam
from quota_monitor.data_files import CHECKOUT

ROOT = CHECKOUT
"""The folder with template.yaml in it, if this module belongs to a checkout."""


class NotHereError(click.ClickException):
    """The command cannot work where it was called. The message says what it needs."""

    exit_code = click.UsageError.exit_code


def locate_checkout() -> Path | None:
    """Return the folder of the checkout, or None outside of one."""
    try:
        here = [Path.cwd()]
    except FileNotFoundError:  # the current folder is deleted
        here = []
    for folder in (ROOT, *here, *(parent for each in here for parent in each.parents)):
        if (folder / "template.yaml").is_file() and (folder / "layers" / "core" / "bedrock_quota").is_dir():
            return folder
    return None


def find_checkout() -> Path:
    """Return the folder of the checkout. Raises `NotHereError` outside of one."""
    found = locate_checkout()
    if found is not None:
        return found
    raise NotHereError("This command needs the source code. Run it in a checkout of Bedrock Quota Monitor.")


def require_local_extra() -> None:
    """Raise `NotHereError` if the packages of the extra `local` are not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("samcli", "ministack")):
        raise NotHereError("This command needs more packages: pip install 'bedrock-quota-monitor[local]'")


def run_sam(name: str, *options: str, profile: str | None = None, **environment: str) -> None:
    """Run a command of the SAM CLI in the checkout. Raises `click.ClickException` with its output if it fails."""
    ran = subprocess.run(  # noqa: S603 - our own interpreter and arguments
        sam.command(name, *options, *profile_option(profile)),
        cwd=find_checkout(),
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
