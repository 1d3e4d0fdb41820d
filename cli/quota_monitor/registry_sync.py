"""`quota-monitor registry sync`: what AWS has, against what the registry says."""

from pathlib import Path

import boto3
import click
from botocore.exceptions import BotoCoreError, ProfileNotFound
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bedrock_quota.registry.models import Registry
from quota_monitor import comparison, drafts, listing
from quota_monitor.comparison import Comparison, Gone, NewModel, UnknownSpelling
from quota_monitor.listing import Listing, ListingError

WIDTH_IN_A_FILE = 132


def obtain(profile: str | None, region: str | None, saved: Path | None) -> Listing:
    """Return a listing from a file, or from the account of a profile; show progress. Raises `ListingError`."""
    if saved is not None:
        return listing.read(saved)
    try:
        session = boto3.Session(profile_name=profile, region_name=region)
    except ProfileNotFound as error:
        raise ListingError(f"{error}; `aws configure list-profiles` names those there are.") from error
    except BotoCoreError as error:
        raise ListingError(str(error)) from error
    with Console(stderr=True).status("Listing") as status:
        return listing.fetch(session, status.update)


def run(
    known: Registry,
    *,
    profile: str | None,
    region: str | None,
    saved: Path | None,
    save: Path | None,
    output: Path | None,
) -> None:
    """Compare, print, and write what was asked for; raises `ListingError`."""
    found = obtain(profile, region, saved)
    if save is not None:
        listing.save(found, save)
    compared = comparison.compare(known, found)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH_IN_A_FILE)
    show(console, compared, found)
    made = drafts.of(compared.new, known, found)
    if output is not None:
        try:
            output.write_text(drafts.render(made), encoding="utf-8")
        except OSError as error:
            raise ListingError(f"{output}: {error.strerror}") from error
        click.echo(f"\nTables for {len(compared.new)} new models are in {output}; review them before you paste them.")
    elif made:
        click.echo("\nTables for the new models, to review and paste:\n")
        click.echo(drafts.render(made), nl=False)


def show(console: Console, compared: Comparison, found: Listing) -> None:
    """Print what a person should look at, and what needs no look as counts."""
    console.print(
        Text(
            f"{found.region} on {found.day}: {len(found.models)} models, {len(found.profiles)} inference profiles and "
            f"{len(found.quotas):,} quotas."
        )
    )
    refused = ", ".join(f"{count:,} {reason}" for reason, count in sorted(compared.refused.items()))
    console.print(Text(f"Quota names: {compared.matched:,} lead to a bucket; refused: {refused or 'none'}."))
    _title(console, "New", len(compared.new), "AWS has these models, the registry has not")
    if compared.new:
        console.print(_new(compared.new))
    if compared.provisioned_only:
        console.print(Text(f"Left out, for provisioned throughput alone: {', '.join(compared.provisioned_only)}"))
    _title(console, "Gone", len(compared.gone), "AWS calls these legacy, or has them not in this Region")
    if compared.gone:
        console.print(_gone(compared.gone))
    _title(console, "Different", len(compared.different), "registry and AWS disagree")
    for sentence in compared.different:
        console.print(Text(f"  {sentence}"), soft_wrap=True)
    _title(console, "Unknown spellings", len(compared.unknown_spellings), "models in quota names by no name we know")
    if compared.unknown_spellings:
        console.print(_spellings(compared.unknown_spellings))
    _title(console, "Unread names", len(compared.unread), "limits of tokens or requests that no rule reads")
    for name in compared.unread:
        console.print(Text(f"  {name}"), soft_wrap=True)


def _title(console: Console, title: str, count: int, about: str) -> None:
    console.print()
    console.print(Text.assemble((f"{title}: {count}", "bold"), f"  ({about})" if count else ""))


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _new(models: tuple[NewModel, ...]) -> Table:
    table = _table("Id", "Name", "Kind", "Reached", "Quota names", "Perhaps")
    for each in models:
        cells = (each.listed.id, each.listed.name, each.kind, ", ".join(each.reached) or "–")
        names = ("\n".join(each.spellings) or "–", "\n".join(each.similar) or "–")
        table.add_row(*map(Text, (*cells, *names)))
    return table


def _gone(models: tuple[Gone, ...]) -> Table:
    table = _table("Id", "Name", "")
    for each in models:
        table.add_row(*map(Text, (each.model.id, each.model.name, each.absence)))
    return table


def _spellings(spellings: tuple[UnknownSpelling, ...]) -> Table:
    table = _table("Spelling", "Quotas", "Exactly the name of")
    for each in spellings:
        table.add_row(*map(Text, (each.spelling, f"{len(each.names)}", "\n".join(each.exactly) or "–")))
    return table
