"""The sources of records that the options select: local files, a bucket, or a log group, in one or several accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from bedrock_quota.errors import LogSourceError
from bedrock_quota.registry.models import Registry
from quota_monitor.analyze import files as local_files
from quota_monitor.analyze.account import Account, Profiles, read_account
from quota_monitor.analyze.bucket import open_bucket
from quota_monitor.analyze.log_group import open_log_group
from quota_monitor.analyze.reader import RecordReader
from quota_monitor.analyze.scope import Scope
from quota_monitor.analyze.source import Progress, Source
from quota_monitor.answers.numbers import count
from quota_monitor.aws_session import open_session

if TYPE_CHECKING:
    import boto3


def source_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select the records."""
    for option in (
        click.option("--regions", metavar="A,B", help="Regions. Default: that of the profile."),
        click.option("--profiles", metavar="A,B", help="AWS profiles, one account each. They are never added up."),
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


def open_sources(given: Mapping[str, Any], registry: Registry) -> Iterator[Source]:
    """Yield the sources that options select, one per account and Region.

    Raises `click.UsageError` and `LogSourceError`. Propagates botocore errors.
    """
    if sum(map(bool, (given["files"], given["bucket"], given["log_group"]))) > 1:
        raise click.UsageError("Use one of --log-group, --s3 and --files.")
    if given["files"]:
        yield _open_files(given, registry)
        return
    for session in _open_sessions(given):
        if given["bucket"]:
            yield from open_bucket(session, given["bucket"], registry)
        else:
            yield open_log_group(session, given["log_group"], registry, whole_records=given["whole_records"])


def _open_sessions(given: Mapping[str, Any]) -> Iterator[boto3.Session]:
    profiles: Sequence[str | None] = [name.strip() for name in (given["profiles"] or "").split(",") if name.strip()]
    regions: Sequence[str | None] = [name.strip() for name in (given["regions"] or "").split(",") if name.strip()]
    for profile in profiles or [None]:
        for region in regions or [None]:
            yield open_session(profile, region)


def _open_files(given: Mapping[str, Any], registry: Registry) -> Source:
    """Return a source of local files. Quotas and profiles are read only if an option names an account."""
    sessions = list(_open_sessions(given)) if given["profiles"] or given["regions"] else []
    if len(sessions) > 1:
        raise click.UsageError("--files takes one profile and one Region, because files do not say whose they are.")
    account = read_account(sessions[0], registry) if sessions else Account()
    paths = local_files.find_files(given["files"])

    def read(reader: RecordReader, _scope: Scope, progress: Progress) -> list[str]:
        notes = []
        for number, path in enumerate(paths, start=1):
            try:
                reader.add_all(local_files.read_file(path))
            except LogSourceError as error:
                notes.append(str(error))
            progress(number / len(paths))
        return notes

    client = sessions[0].client("bedrock") if sessions else None
    return Source(count(len(paths), "file"), account, Profiles(account.profiles, client).resolve, read)
