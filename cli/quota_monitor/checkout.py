"""The checkout this command line belongs to: it builds, deploys and shows this very tree."""

import os
import subprocess
from pathlib import Path

import click

from localaws import sam

ROOT = Path(__file__).resolve().parents[2]
"""The folder with template.yaml in it."""


def run_sam(name: str, *options: str, profile: str | None = None, **environment: str) -> None:
    """Run a command of the SAM CLI here; raises `click.ClickException` with what it printed if it fails."""
    ran = subprocess.run(  # noqa: S603 - our own interpreter and arguments
        sam.command(name, *options, *profile_option(profile)),
        cwd=ROOT,
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
    """How the SAM CLI is told of an AWS profile, if there is one."""
    return [] if profile is None else ["--profile", profile]
