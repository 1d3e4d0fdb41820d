"""The SAM CLI of this environment: how it is called, what it sees, and the JSON documents that `deploy` prints."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_OF_MAKE = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"}  # of the `make` that may have started this


def command(name: str, *options: str) -> list[str]:
    """`sam name options` with this very interpreter."""
    return [sys.executable, "-m", "samcli", name, *options]


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """What it, and the makefiles it runs, see: `inherited`, with this interpreter in front."""
    kept = {name: value for name, value in inherited.items() if name not in _OF_MAKE}
    return {
        **kept,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]),
        "PYTHON": sys.executable,
    }


def overrides(parameters: Mapping[str, str]) -> list[str]:
    """The values of `--parameter-overrides`, whatever characters are in them."""
    return [f"{name}={_quoted(value)}" for name, value in parameters.items()]


def document(line: str) -> dict[str, Any]:
    """One of the JSON documents among the lines of `sam deploy --output json`; empty for any other line."""
    if not line.startswith("{"):
        return {}
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
