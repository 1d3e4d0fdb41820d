"""Names of AWS Regions: which exist, and the nearest one to a name that does not."""

from __future__ import annotations

import difflib
import functools
import os
import re
import socket
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

if TYPE_CHECKING:
    from botocore.session import Session

NAME = re.compile(r"[a-z]+(-[a-z]+)+-\d+")
"""Matches any name that a Region may have, such as `eusc-de-east-1`."""


def check_region(name: str) -> None:
    """Raise `click.UsageError` for a Region that does not exist, with the nearest one that does.

    boto3 does not know Regions that are newer than it is. So a name that looks like one is refused only if AWS has no
    address for it. Behind a proxy, which resolves addresses itself, AWS decides.
    """
    known = list_regions()
    if name in known or (NAME.fullmatch(name) and _has_address(name)):
        return
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.7)
    near.sort(key=lambda each: sorted(each) != sorted(name))  # letters in another order are the likeliest mistake
    hint = f" Did you mean {near[0]}?" if near else ""
    raise click.UsageError(f"{name!r} is no AWS Region.{hint}")


@functools.cache
def list_regions() -> frozenset[str]:
    """Return the Regions of all partitions that boto3 knows."""
    session = _make_session()
    partitions = session.get_available_partitions()
    return frozenset(name for each in partitions for name in session.get_available_regions("cloudformation", each))


def _has_address(name: str) -> bool:
    """Return True if the endpoint of CloudFormation in a Region has an address, or if only a proxy would know."""
    if "https" in urllib.request.getproxies():
        return True
    endpoint = _make_session().create_client("cloudformation", region_name=name).meta.endpoint_url
    try:
        return bool(socket.getaddrinfo(urlsplit(endpoint).hostname, 443))
    except OSError:
        return False


def _make_session() -> Session:
    """Return a session without the user's settings: AWS_PROFILE may name a profile that does not exist."""
    from botocore.session import Session  # noqa: PLC0415 - half a second of CPU, which `--help` does not need

    nothing = {"profile": None, "config_file": os.devnull, "credentials_file": os.devnull}
    return Session(session_vars={name: (None, None, value, None) for name, value in nothing.items()})
