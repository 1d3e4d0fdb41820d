"""`quota-monitor registry`: the models the product knows."""

from collections import Counter

import click

from bedrock_quota.errors import RegistryError
from bedrock_quota.registry import Burndown, Model, Registry, read_sources
from quota_monitor.checkout import ROOT

SOURCES = ROOT / "registry" / "models"


@click.group()
def registry() -> None:
    """Look after the registry of models."""


@registry.command()
def check() -> None:
    """Check registry/models/*.toml, as `sam build` does; name file, table and reason of what is wrong."""
    try:
        known = read_sources(SOURCES)
    except RegistryError as error:
        raise click.ClickException(str(error)) from error
    statuses = Counter(_burndown(known, model).status for model in known.models)
    click.echo(
        f"{len(known.models)} models of {len(known.providers) - 1} providers are in order; burndown rates: "
        + ", ".join(f"{count} {status}" for status, count in statuses.most_common())
    )


def _burndown(known: Registry, model: Model) -> Burndown:
    return (model.burndown or known.provider_of(model.id).burndown)[-1]
