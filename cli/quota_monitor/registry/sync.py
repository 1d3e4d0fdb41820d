"""`quota-monitor registry sync`: compare the registry with AWS."""

from pathlib import Path
from typing import Any

import click
from botocore.exceptions import BotoCoreError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bedrock_quota.registry.models import Registry
from quota_monitor.aws_session import explain_aws_error, open_session
from quota_monitor.json_output import format_json
from quota_monitor.registry import aws_listing, diff, toml_drafts
from quota_monitor.registry.aws_listing import Listing, ListingError
from quota_monitor.registry.diff import Absence, Comparison, Gone, NewModel, UnknownSpelling
from quota_monitor.terminal import make_console


def obtain(profile: str | None, region: str | None, saved: Path | None) -> Listing:
    """Return a listing from a file or from AWS, and show the progress. Raises `ListingError`."""
    if saved is not None:
        return aws_listing.read(saved)
    try:
        session = open_session(profile, region)
    except BotoCoreError as error:
        raise ListingError(explain_aws_error(error)) from error
    with Console(stderr=True).status("Listing") as status:
        return aws_listing.fetch(session, status.update)


def sync_registry(
    known: Registry, found: Listing, *, save: Path | None, output: Path | None, list_all: bool, as_json: bool
) -> None:
    """Compare, print the result, and write the requested files. Raises `ListingError`."""
    if save is not None:
        aws_listing.save(found, save)
    compared = diff.compare(known, found)
    drafts = toml_drafts.render(toml_drafts.draft_models(compared.new, known, found)) if compared.new else ""
    if as_json:
        click.echo(format_json(to_data(compared, found) | {"tables": drafts}))
    else:
        show(make_console(), compared, found, list_all=list_all)
    if output is not None:
        try:
            output.write_text(drafts, encoding="utf-8")
        except OSError as error:
            raise ListingError(f"{output}: {error.strerror}") from error
        written = f"Tables for {len(compared.new)} new models are in {output}. Review them before you paste them."
        click.echo(f"\n{written}", err=as_json)
    elif drafts and not as_json:
        click.echo("\nTables for the new models, to review and paste:\n")
        click.echo(drafts, nl=False)


def to_data(compared: Comparison, found: Listing) -> dict[str, Any]:
    """Return the differences as data for JSON."""
    return {
        "region": found.region,
        "day": found.day.isoformat(),
        "listed": {"models": len(found.models), "profiles": len(found.profiles), "quotas": len(found.quotas)},
        "quota_names_matched": compared.matched,
        "quota_names_unmatched": {str(reason): count for reason, count in compared.refused.items()},
        "new": [
            {
                "id": each.listed.id,
                "name": each.listed.name,
                "kind": str(each.kind),
                "called_as": list(each.reached),
                "quota_names": list(each.spellings),
                "possible_quota_names": list(each.similar),
            }
            for each in compared.new
        ],
        "provisioned_only": list(compared.provisioned_only),
        "gone": [{"id": each.model.id, "name": each.model.name, "reason": str(each.absence)} for each in compared.gone],
        "different": list(compared.different),
        "unknown_spellings": [
            {"spelling": each.spelling, "quotas": len(each.names), "exact_name_of": list(each.exactly)}
            for each in compared.unknown_spellings
        ],
        "unread_names": list(compared.unread),
    }


def show(console: Console, compared: Comparison, found: Listing, *, list_all: bool = False) -> None:
    """Print the differences for a person to review, and the rest as counts."""
    console.print(
        Text(
            f"{found.region} on {found.day}: {len(found.models)} models, {len(found.profiles)} inference profiles and "
            f"{len(found.quotas):,} quotas."
        )
    )
    refused = ", ".join(f"{count:,} {reason}" for reason, count in sorted(compared.refused.items()))
    console.print(Text(f"Quota names: {compared.matched:,} belong to a quota pool. Others: {refused or 'none'}."))
    _title(console, "New", len(compared.new), "listed by AWS, not in the registry")
    if compared.new:
        console.print(_new(compared.new))
    if compared.provisioned_only:
        console.print(Text(f"Left out, for provisioned throughput only: {', '.join(compared.provisioned_only)}"))
    _title(console, "Gone", len(compared.gone), "marked LEGACY by AWS, or not available in this Region")
    legacy = tuple(each for each in compared.gone if each.absence is Absence.LEGACY)
    listed = compared.gone if list_all else legacy
    if listed:
        console.print(_gone(listed))
    absent = len(compared.gone) - len(legacy)
    if absent:
        more = "" if list_all else " To list them, use --all."
        console.print(Text(f"  LEGACY: {len(legacy)}. Not available in {found.region}: {absent}.{more}"))
    _title(console, "Different", len(compared.different), "registry and AWS disagree")
    for sentence in compared.different:
        console.print(Text(f"  {sentence}"), soft_wrap=True)
    _title(
        console,
        "Unknown spellings",
        len(compared.unknown_spellings),
        "models in quota names, not in the registry",
    )
    if compared.unknown_spellings:
        console.print(_spellings(compared.unknown_spellings))
    _title(console, "Unread names", len(compared.unread), "limits of tokens or requests that no rule matches")
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
    table = _table("Id", "Name", "Kind", "Called as", "Quota names", "Possibly")
    for each in models:
        cells = (each.listed.id, each.listed.name, each.kind, ", ".join(each.reached) or "–")
        names = ("\n".join(each.spellings) or "–", "\n".join(each.similar) or "–")
        table.add_row(*map(Text, (*cells, *names)))
    return table


def _gone(models: tuple[Gone, ...]) -> Table:
    table = _table("Id", "Name", "Reason")
    for each in models:
        table.add_row(*map(Text, (each.model.id, each.model.name, each.absence)))
    return table


def _spellings(spellings: tuple[UnknownSpelling, ...]) -> Table:
    table = _table("Spelling", "Quotas", "Exact name of")
    for each in spellings:
        table.add_row(*map(Text, (each.spelling, f"{len(each.names)}", "\n".join(each.exactly) or "–")))
    return table
