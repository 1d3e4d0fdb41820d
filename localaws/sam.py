"""Call the SAM CLI of this environment, and read the JSON documents that `sam deploy` prints."""

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_CONSEQUENCE = re.compile(r"Resource \w+ cancelled")  # CloudFormation's reason if another resource failed
_OF_MAKE = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"}  # set by a `make` that started this process


def command(name: str, *options: str) -> list[str]:
    """Return the command line of `sam NAME OPTIONS` with this interpreter."""
    return [sys.executable, "-m", "samcli", name, *options]


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the SAM CLI and its makefiles: `inherited`, with this interpreter first on the PATH."""
    kept = {name: value for name, value in inherited.items() if name not in _OF_MAKE}
    return {
        **kept,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]),
        "PYTHON": sys.executable,
    }


def overrides(parameters: Mapping[str, str]) -> list[str]:
    """Return the values of `--parameter-overrides`, quoted so that they may contain any character."""
    return [f"{name}={_quoted(value)}" for name, value in parameters.items()]


def document(line: str) -> dict[str, Any]:
    """Parse a JSON document in the output of `sam deploy --output json`. Any other line gives an empty document."""
    if not line.startswith("{"):
        return {}
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def read_failure(found: Mapping[str, Any]) -> str:
    """Return the resource and the reason of a document that reports a failure of its own, and otherwise nothing."""
    match found:
        case {"type": "event", "logical_id": str(logical_id), "status": str(status)} if status.endswith("_FAILED"):
            reason = str(found.get("reason") or status)
            return "" if _CONSEQUENCE.match(reason) else f"{logical_id}: {reason}"
    return ""


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
