"""`quota-monitor registry`: check and update the registry of models."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click

from bedrock_quota.errors import RegistryError
from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.sources import read_sources
from bedrock_quota.registry.validation import find_problems
from quota_monitor.command_groups import WholeSummaryGroup
from quota_monitor.data_files import MODELS
from quota_monitor.deployment import checkout
from quota_monitor.json_output import format_json, json_option
from quota_monitor.program import own_command
from quota_monitor.registry import models_page, schema
from quota_monitor.registry.aws_listing import ListingError
from quota_monitor.registry.sync import obtain, sync_registry
from quota_monitor.terminal import COULD_NOT_LOOK, errors_as_messages

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(cls=WholeSummaryGroup)
def registry() -> None:
    """Check the registry of models, and compare it with AWS."""


@registry.command()
@json_option
def check(as_json: bool) -> None:
    """Check registry/models/*.toml and the generated files.

    Each error names the file, the table and the reason. The exit code is 1 if there is one. Nothing is changed.
    """
    known = _read()
    wrong = find_problems(known)
    stale = _find_stale_files(known)
    if as_json:
        click.echo(format_json({**_summarize(known), "problems": wrong, "stale_files": stale}))
        sys.exit(1 if wrong or stale else 0)
    if wrong:
        raise click.ClickException("\n".join(wrong))
    _print_summary(known)
    if stale:
        raise click.ClickException(
            "\n".join(f"{name} is out of date. Run `{own_command('registry', 'write')}`." for name in stale)
        )


def _find_stale_files(known: Registry) -> list[str]:
    """Return the generated files that are out of date. An installed package has none."""
    root = checkout.locate_checkout()
    if root is None:
        return []
    return [
        path.relative_to(root).as_posix()
        for path, text in generate(known, root).items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


@registry.command()
def write() -> None:
    """Write docs/models.md and registry/schema.json.

    Both are generated from registry/models/*.toml.
    """
    root = checkout.find_checkout()
    known = _read()
    for path, text in generate(known, root).items():
        path.write_text(text, encoding="utf-8")
        click.echo(f"Written: {path.relative_to(root).as_posix()}")


@registry.command()
@click.option("--profile", metavar="NAME", help="AWS profile.")
@click.option("--region", metavar="REGION", help="Region to list. The default is the profile's Region.")
@click.option("--listing", "saved", metavar="FILE", type=_FILE, help="Read a listing from --save instead of AWS.")
@click.option(
    "--save", metavar="FILE", type=_FILE, help="Save the listing. The file has your quotas, but no account id."
)
@click.option("--output", metavar="FILE", type=_FILE, help="Write the new tables to a file instead of the terminal.")
@click.option("--all", "list_all", is_flag=True, help="Also list the models that are not available in this Region.")
@json_option
def sync(
    *,
    profile: str | None,
    region: str | None,
    saved: Path | None,
    save: Path | None,
    output: Path | None,
    list_all: bool,
    as_json: bool,
) -> None:
    """Compare the registry with AWS, and print tables for new models.

    The command lists models, inference profiles and quotas with your AWS credentials. It changes neither AWS nor the
    registry: review the tables, and paste them into registry/models/.
    """
    if saved is not None and (profile is not None or region is not None):
        raise click.UsageError("--listing cannot be combined with --profile or --region")
    with errors_as_messages(ListingError, exit_code=COULD_NOT_LOOK):
        found = obtain(profile, region, saved)
        sync_registry(_read(), found, save=save, output=output, list_all=list_all, as_json=as_json)


def generate(known: Registry, root: Path) -> dict[Path, str]:
    """Return the content of each file that is generated in a checkout, by its path."""
    return {root / "registry" / "schema.json": schema.render(), root / "docs" / "models.md": models_page.render(known)}


def _read() -> Registry:
    root = checkout.locate_checkout()
    with errors_as_messages(RegistryError):
        return read_sources(MODELS if root is None else root / "registry" / "models")


def _summarize(known: Registry) -> dict[str, Any]:
    statuses = Counter(str(models_page.history(known, model)[-1].status) for model in known.models)
    return {
        "models": len(known.models),
        "providers": len(known.providers) - 1,
        "burndown_rates": dict(statuses.most_common()),
    }


def _print_summary(known: Registry) -> None:
    found = _summarize(known)
    rates = ", ".join(f"{count} {status}" for status, count in found["burndown_rates"].items())
    click.echo(f"{found['models']} models of {found['providers']} providers are in order. Burndown rates: {rates}")
