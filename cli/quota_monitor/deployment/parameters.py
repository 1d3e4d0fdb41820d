"""The option `--parameter NAME=VALUE`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import click

from quota_monitor.deployment.checkout import find_deployable
from quota_monitor.template import read_template


def parse_assignments(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Return the values of an option `NAME=VALUE` by name. Raises `click.BadParameter` for another form."""
    named: dict[str, str] = {}
    for each in given:
        name, separator, value = each.partition("=")
        if not name or not separator:
            raise click.BadParameter(f"{each!r} is not NAME=VALUE")
        named[name] = value
    return named


parameters_option = click.option(
    "--parameter",
    "parameters",
    metavar="NAME=VALUE",
    multiple=True,
    callback=parse_assignments,
    help="Set a parameter of the template. Parameters that you leave out keep their current or default value.",
)
"""The option as a mapping of names to values. It can be given several times. `click.BadParameter` for another form."""


def check_parameters(given: Mapping[str, str]) -> None:
    """Refuse what the template does not accept, before anything is built.

    SAM CLI ignores unknown names without a warning, and CloudFormation refuses values after the build. Raises
    `click.UsageError`, and `NotHereError` if there is no template to deploy.
    """
    known = read_template(find_deployable() / "template.yaml").get("Parameters", {})
    for name, value in given.items():
        if name not in known:
            hint = _suggest(name, known)
            raise click.UsageError(f"The template has no parameter {name}.{hint} It has: {', '.join(sorted(known))}.")
        _check_value(name, value, known[name])


def _check_value(name: str, value: str, parameter: Mapping[str, Any]) -> None:
    allowed = [str(each) for each in parameter.get("AllowedValues", ())]
    if allowed and value not in allowed:
        raise click.UsageError(f"{name} is {' or '.join(allowed)}, not {value!r}.{_suggest(value, allowed)}")
    pattern = parameter.get("AllowedPattern")
    if pattern is not None and re.fullmatch(pattern, value) is None:
        what = parameter.get("ConstraintDescription", f"text that matches {pattern}")
        raise click.UsageError(f"{name} takes {what}, not {value!r}.")


def _suggest(name: str, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {nearest[0]}?" if nearest else ""
