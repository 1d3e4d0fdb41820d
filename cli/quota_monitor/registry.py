"""`quota-monitor registry`: the models the product knows."""

from collections import Counter
from pathlib import Path

import click

from bedrock_quota.registry.validation import find_missing_entries
from bedrock_quota.errors import RegistryError
from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.sources import read_sources
from quota_monitor import models_page, registry_schema, registry_sync
from quota_monitor.checkout import ROOT
from quota_monitor.listing import ListingError

SOURCES = ROOT / "registry" / "models"
SCHEMA = ROOT / "registry" / "schema.json"
PAGE = ROOT / "docs" / "models.md"

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def registry() -> None:
    """Look after the registry of models."""


@registry.command()
def check() -> None:
    """Check registry/models/*.toml, and that what is written from them is current.

    Names file, table and reason of what is wrong.
    """
    known = _read()
    wrong = find_missing_entries(known)
    wrong += [
        f"{_short(path)} is not current; write it with `quota-monitor registry write`"
        for path, text in written(known).items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    if wrong:
        raise click.ClickException("\n".join(wrong))
    _say_order(known)


@registry.command()
def write() -> None:
    """Write docs/models.md and registry/schema.json anew from the registry."""
    known = _read()
    for path, text in written(known).items():
        path.write_text(text, encoding="utf-8")
        click.echo(f"wrote {_short(path)}")


@registry.command()
@click.option("--profile", metavar="NAME", help="The AWS profile whose credentials to use.")
@click.option("--region", metavar="REGION", help="The Region to list; without it, the profile's.")
@click.option("--listing", "saved", metavar="FILE", type=_FILE, help="A listing that --save wrote, instead of AWS.")
@click.option("--save", metavar="FILE", type=_FILE, help="Keep the listing; it holds no account id, but your quotas.")
@click.option("--output", metavar="FILE", type=_FILE, help="Write the new models' tables there, not to the screen.")
def sync(profile: str | None, region: str | None, saved: Path | None, save: Path | None, output: Path | None) -> None:
    """Compare the registry with AWS: what is new, gone or different, and tables for the new models.

    Reads models, inference profiles and quotas with your AWS credentials; changes nothing there or in the registry.
    """
    if saved is not None and (profile is not None or region is not None):
        raise click.UsageError("--listing is instead of AWS; it goes with neither --profile nor --region")
    try:
        registry_sync.run(_read(), profile=profile, region=region, saved=saved, save=save, output=output)
    except ListingError as error:
        raise click.ClickException(str(error)) from error


def written(known: Registry) -> dict[Path, str]:
    """Return what is written from the registry, by the file it belongs in."""
    return {SCHEMA: registry_schema.render(), PAGE: models_page.render(known)}


def _read() -> Registry:
    try:
        return read_sources(SOURCES)
    except RegistryError as error:
        raise click.ClickException(str(error)) from error


def _say_order(known: Registry) -> None:
    statuses = Counter(models_page.history(known, model)[-1].status for model in known.models)
    click.echo(
        f"{len(known.models)} models of {len(known.providers) - 1} providers are in order; burndown rates: "
        + ", ".join(f"{count} {status}" for status, count in statuses.most_common())
    )


def _short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)
