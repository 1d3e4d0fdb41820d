"""JSON of all commands: one option, and one form. docs/command-line.md describes the documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

SCHEMA_VERSION = 1
"""Raised when a member of a document is removed or changes its meaning. New members may come at any time."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON. docs/command-line.md has its members.")


def format_json(content: Mapping[str, Any]) -> str:
    """Return a document as indented JSON, with the version of its schema first."""
    import msgspec  # noqa: PLC0415 - `--help` does not need it

    return msgspec.json.format(msgspec.json.encode(add_version(content)), indent=2).decode()


def add_version(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with the version of its schema first."""
    return {"schema_version": SCHEMA_VERSION, **content}
