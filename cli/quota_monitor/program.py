"""This program: its version, and its command lines as the user can paste them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from quota_monitor.data_files import CHECKOUT, IS_CHECKOUT

PACKAGE = "bedrock-quota-monitor"
NAME = "quota-monitor"
SCRIPTS = (NAME, PACKAGE)
"""Names under which the program is installed."""

_SELECTING = ("profile", "profiles", "region", "regions", "stack_name", "log_group", "bucket", "files", "directory")
"""Parameters that select the account, the Region, the stack, the logs or the local stack."""

_SAME = {"profile": "profiles", "profiles": "profile", "region": "regions", "regions": "region"}
"""Some commands take one profile and Region, others several, and some both."""

_PLURAL = ("profiles", "regions")

_EXTRAS = {"local": "samcli", "prices": "genai_prices"}
"""A package of each extra, by which it is recognized. An installed package does not list the extras it came with."""

_SHORT_COMMIT = 9


def own_command(*words: str) -> str:
    """Return a command line of this program, such as `quota-monitor local down`, with its words quoted.

    It names the program as the user did, and repeats the options that select where the running command looks, if the
    named command has them and `words` do not.
    """
    return " ".join((describe_program(), shlex.join((*words, *_repeat_options(words)))))


def describe_program() -> str:
    """Return how to start this program: its name if that is on the PATH, or else the way it was started."""
    started = Path(sys.argv[0])
    if started.name not in SCRIPTS:
        return NAME  # a test, or another program that imports this one
    if "archive-v0" in started.parts:  # uvx: an environment in uv's cache, which is on the PATH only while this runs
        return " ".join(("uvx", *_uvx_source(), started.name))
    found = shutil.which(started.name)
    if found is not None and started.exists() and Path(found).samefile(started):
        return started.name
    return shlex.quote(str(started))


def _uvx_source() -> tuple[str, ...]:
    source, extras = _direct_url(), _list_extras()
    url, vcs = source.get("url"), source.get("vcs_info", {})
    if url is None:
        return ("--from", shlex.quote(PACKAGE + extras))
    place = f"{vcs['vcs']}+{url}" if "vcs" in vcs else url
    revision = f"@{vcs['requested_revision']}" if "requested_revision" in vcs else ""
    named = f"{PACKAGE}{extras} @ " if extras else ""
    return ("--from", shlex.quote(named + place + revision))


def _list_extras() -> str:
    """Return the extras whose packages are installed, such as `[local]`, or nothing."""
    found = [name for name, module in _EXTRAS.items() if importlib.util.find_spec(module) is not None]
    return f"[{','.join(found)}]" if found else ""


def _repeat_options(words: tuple[str, ...]) -> Iterator[str]:
    """Yield the options of the running command that the command in `words` needs, too."""
    context = click.get_current_context(silent=True)
    target = None if context is None else _find_command(context, words)
    if context is None or target is None:
        return
    options = {parameter.name: parameter for parameter in target.params if isinstance(parameter, click.Option)}
    for name in _SELECTING:
        parameter = options.get(name)
        if parameter is None or parameter.opts[0] in words or (name in _PLURAL and _SAME[name] in options):
            continue
        value = context.params.get(name) or context.params.get(_SAME.get(name, "")) or None
        if parameter.multiple:
            yield from (word for each in value or () for word in (parameter.opts[0], str(each)))
            continue
        if isinstance(value, tuple):
            value = ",".join(value)
        if value is None or (name in {"profile", "region"} and "," in str(value)):
            continue
        given = str(value.resolve() if isinstance(value, Path) else value)
        if given != _default(parameter):
            yield from (parameter.opts[0], given)


def _default(option: click.Option) -> str | None:
    try:
        default = option.default() if callable(option.default) else option.default
    except click.ClickException:  # outside of a checkout, there is no default
        return None
    return None if default is None else str(default)


def _find_command(context: click.Context, words: tuple[str, ...]) -> click.Command | None:
    from quota_monitor.main import main  # noqa: PLC0415 - which imports this

    command: click.Command | None = main
    for word in words:
        if not isinstance(command, click.Group):
            break
        command = command.get_command(context, word)
    return command


def describe_version() -> str:
    """Return the version, with the commit if this is a checkout or was installed from one."""
    commit = _read_commit()
    return importlib.metadata.version(PACKAGE) + (f" (commit {commit[:_SHORT_COMMIT]})" if commit else "")


def _read_commit() -> str:
    if not IS_CHECKOUT:
        return str(_direct_url().get("vcs_info", {}).get("commit_id", ""))
    git = shutil.which("git")
    if git is None:
        return ""
    ran = subprocess.run(  # noqa: S603 - the user's git, with our own arguments
        [git, "-C", CHECKOUT, "rev-parse", "--show-toplevel", "HEAD"], capture_output=True, text=True, check=False
    )
    if ran.returncode != 0:
        return ""
    folder, commit = ran.stdout.splitlines()
    return commit if Path(folder).resolve() == CHECKOUT else ""  # or else the folder lies in another repository


def _direct_url() -> Mapping[str, Any]:
    """Return where the package was installed from (PEP 610), or nothing for a package index."""
    text = importlib.metadata.distribution(PACKAGE).read_text("direct_url.json")
    return json.loads(text) if text else {}
