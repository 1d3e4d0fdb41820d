"""The sources of records that the options select: local files, a bucket, or a log group, in one or several accounts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click
import msgspec

from bedrock_quota.errors import LogSourceError
from bedrock_quota.registry.models import Registry
from quota_monitor.analyze import files as local_files
from quota_monitor.analyze.account import Account, Profiles, read_account
from quota_monitor.analyze.bodies import make_fetch
from quota_monitor.analyze.bucket import check_place, open_bucket
from quota_monitor.analyze.log_group import open_log_group
from quota_monitor.analyze.reader import RecordReader
from quota_monitor.analyze.scope import Scope
from quota_monitor.analyze.source import Source
from quota_monitor.answers.numbers import count
from quota_monitor.aws_session import open_session
from quota_monitor.places import Place, list_places, several_options
from quota_monitor.progress import Progress


def source_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select the records."""
    command = several_options(
        command,
        regions_help="Regions. Default: that of the profile.",
        profiles_use="One account each. They are never added up.",
    )
    for option in (
        click.option("--log-group", metavar="NAME", help="Log group. Default: the one that Bedrock logs to."),
        click.option(
            "--whole-records",
            is_flag=True,
            help="Fetch whole records from the log group, prompts included. Slower, and nothing is unknown.",
        ),
        click.option("--s3", "bucket", metavar="s3://BUCKET/PREFIX", help="Read the logs that Bedrock writes to S3."),
        click.option(
            "--files", multiple=True, metavar="PATH", help="Read files or folders. - is standard input. Repeatable."
        ),
    ):
        command = option(command)
    return command


NO_ACCOUNT = (
    "Files say nothing of quotas and application profiles. To read them from AWS, add --regions with the Region of the "
    "records."
)


class Opening(msgspec.Struct, frozen=True):
    """A source, or the sources of one bucket, before anything is read. `name` says whose they are."""

    name: str
    open: Callable[[], Iterator[Source]]


def open_sources(given: Mapping[str, Any], registry: Registry) -> Iterator[Source]:
    """Yield the sources that options select, one per account and Region.

    Raises `click.UsageError` and `LogSourceError`. Propagates botocore errors.
    """
    for opening in list_openings(given, registry):
        yield from opening.open()


def list_openings(given: Mapping[str, Any], registry: Registry) -> list[Opening]:
    """Return what options select, one per profile and Region, so that each can fail by itself.

    Raises `click.UsageError` for options that exclude each other.
    """
    if sum(map(bool, (given["files"], given["bucket"], given["log_group"]))) > 1:
        raise click.UsageError("Use one of --log-group, --s3 and --files.")
    if given["whole_records"] and (given["files"] or given["bucket"]):
        raise click.UsageError("--whole-records is for a log group. Files and objects in S3 have whole records.")
    if given["files"]:
        return [Opening("files", lambda: iter([_open_files(given, registry)]))]
    if given["bucket"]:
        return [_open_bucket(given, registry)]

    def open_one(place: Place) -> Iterator[Source]:
        yield open_log_group(
            open_session(place.profile, place.region),
            given["log_group"],
            registry,
            whole_records=given["whole_records"],
        )

    return [
        Opening(place.name(), functools.partial(open_one, place))
        for place in list_places(None, None, given["profiles"], given["regions"])
    ]


def _open_bucket(given: Mapping[str, Any], registry: Registry) -> Opening:
    """Return the sources of a bucket. A bucket can have the logs of many Regions, so --regions selects among them."""
    place, profiles, regions = given["bucket"], given["profiles"], given["regions"]
    check_place(place)
    if len(profiles) > 1:
        raise click.UsageError("--s3 takes one profile, because each would read the same bucket.")

    def open_it() -> Iterator[Source]:
        session = open_session(next(iter(profiles), None), next(iter(regions), None))
        yield from open_bucket(session, place, registry, regions)

    return Opening(place, open_it)


def _open_files(given: Mapping[str, Any], registry: Registry) -> Source:
    """Return a source of local files. Quotas, profiles and bodies in S3 are read only if an option names an account."""
    named = given["profiles"] or given["regions"]
    wanted = list_places(None, None, given["profiles"], given["regions"]) if named else ()
    if len(wanted) > 1:
        raise click.UsageError("--files takes one profile and one Region, because files do not say whose they are.")
    sessions = [open_session(each.profile, each.region) for each in wanted]
    account = read_account(sessions[0], registry) if sessions else Account()
    paths = local_files.find_files(given["files"])
    name = count(len(paths), "file")

    def read(reader: RecordReader, _scope: Scope, progress: Progress) -> list[str]:
        notes = []
        for number, path in enumerate(paths, start=1):
            try:
                reader.add_all(local_files.read_file(path))
            except LogSourceError as error:
                notes.append(f"{error}. The records before that are counted.")
            progress(number / len(paths))
        reader.finish()
        if not reader.counts.has_records:
            raise LogSourceError(
                f"There is no invocation record in {name}, although there are {reader.counts.received:,} lines or "
                "elements. Bedrock's records have a modelId and a timestamp."
            )
        return notes

    if not sessions:
        account = Account(notes=(NO_ACCOUNT,))
        return Source(name, account, Profiles({}, None).resolve, read, may_repeat=True)
    resolve = Profiles(account.profiles, sessions[0].client("bedrock")).resolve
    return Source(name, account, resolve, read, make_fetch(sessions[0].client("s3")), may_repeat=True)
