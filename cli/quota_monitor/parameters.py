"""The template's parameters, as a command takes them."""

from __future__ import annotations

import click


def _read(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    named: dict[str, str] = {}
    for each in given:
        name, separator, value = each.partition("=")
        if not name or not separator:
            raise click.BadParameter(f"{each!r} is not NAME=VALUE")
        named[name] = value
    return named


option = click.option(
    "--parameter",
    "parameters",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_read,
    help="A parameter of the template; those not named keep their default, or what an earlier deployment gave them.",
)
"""`--parameter NAME=VALUE`, any number of times: a mapping. What is not of that form is refused."""
