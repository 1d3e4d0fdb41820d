"""The option `--parameter NAME=VALUE`."""

from __future__ import annotations

import click


def _parse(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
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
    callback=_parse,
    help="Set a parameter of the template. Parameters that you leave out keep their current or default value.",
)
"""`--parameter NAME=VALUE`, any number of times, as a mapping. Other forms are refused."""
