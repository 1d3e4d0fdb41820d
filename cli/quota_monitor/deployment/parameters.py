"""The option `--parameter NAME=VALUE`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

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


def check_names(given: Iterable[str]) -> None:
    """Refuse names that the template does not have, because SAM CLI ignores them without a warning.

    Raises `click.UsageError` for such a name, and `click.ClickException` where there is no template to deploy.
    """
    known = read_template(find_deployable() / "template.yaml").get("Parameters", {})
    for name in given:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f" Did you mean {nearest[0]}?" if nearest else ""
            raise click.UsageError(f"The template has no parameter {name}.{hint} It has: {', '.join(sorted(known))}.")
