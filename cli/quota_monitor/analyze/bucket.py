"""Invocation logs in S3, as a source."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from bedrock_quota.errors import LogSourceError
from bedrock_quota.log_sources import s3
from bedrock_quota.log_sources.s3 import LogFolder, LogObject
from bedrock_quota.registry.models import Registry
from quota_monitor.analyze.account import Account, Profiles, read_account
from quota_monitor.analyze.bodies import make_fetch
from quota_monitor.analyze.reader import RecordReader
from quota_monitor.analyze.scope import Scope
from quota_monitor.analyze.source import Source
from quota_monitor.answers.numbers import count
from quota_monitor.progress import Progress

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_s3 import S3Client

READ_AHEAD = 8
"""Objects that are fetched while others are read."""

MAX_READ_AHEAD_BYTES = 8 * 1024 * 1024
"""Larger objects are not fetched ahead, but read piece by piece."""


MAX_NAMED = 20
"""Objects that the notes name. More are counted."""


def open_bucket(
    session: boto3.Session, place: str, registry: Registry, regions: Collection[str] = ()
) -> Iterator[Source]:
    """Yield a source for each account and Region whose logs are at or below a place in S3.

    `regions` are those to read, or empty for all.

    Raises `click.UsageError` and `LogSourceError`. Propagates botocore errors.
    """
    bucket, prefix = check_place(place)
    client = session.client("s3")
    try:
        found = s3.find_folders(client, bucket, prefix)
    except client.exceptions.NoSuchBucket:
        raise LogSourceError(f"There is no bucket {bucket}.") from None
    if not found:
        raise LogSourceError(
            f"There are no invocation logs at {place}. Bedrock writes them below "
            f"[prefix/]AWSLogs/ACCOUNT/{s3.LOGS_FOLDER}/REGION/."
        )
    folders = [folder for folder in found if not regions or folder.region in regions]
    if not folders:
        known = ", ".join(sorted({folder.region for folder in found}))
        raise LogSourceError(f"There are no logs of {', '.join(regions)} at {place}. It has those of {known}.")
    own = session.client("sts").get_caller_identity()["Account"]
    for folder in folders:
        yield _open_folder(session, client, folder, registry, is_own=folder.account == own)


def check_place(place: str) -> tuple[str, str]:
    """Return the bucket and the prefix of a place in S3. Raises `click.UsageError`."""
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    if not place.startswith("s3://") or not bucket:
        raise click.UsageError(f"--s3 takes s3://BUCKET or s3://BUCKET/PREFIX, not {place!r}.")
    return bucket, prefix


def _open_folder(
    session: boto3.Session, client: S3Client, folder: LogFolder, registry: Registry, *, is_own: bool
) -> Source:
    if is_own:
        account = read_account(session, registry, folder.region)
        resolve = Profiles(account.profiles, session.client("bedrock", region_name=folder.region)).resolve
    else:
        note = f"There are no percentages, because these credentials do not belong to account {folder.account}."
        account = Account(folder.account, folder.region, notes=(note,))
        resolve = Profiles({}, None).resolve

    def read(reader: RecordReader, scope: Scope, progress: Progress) -> Sequence[str]:
        return _read_objects(client, folder, reader, scope, progress)

    return Source(f"s3://{folder.bucket}/{folder.prefix}", account, resolve, read, make_fetch(client), may_repeat=True)


def _read_objects(
    client: S3Client, folder: LogFolder, reader: RecordReader, scope: Scope, progress: Progress
) -> Sequence[str]:
    """Read all objects of the window. One that is damaged is named in the notes, and the others are read."""
    start, end = (datetime.fromtimestamp(second, UTC) for second in (scope.window.start, scope.window.end))
    objects = list(s3.list_objects(client, folder, start, min(end, datetime.now(UTC))))
    total, done = sum(item.size for item in objects) or 1, 0
    notes: list[str] = []
    with ThreadPoolExecutor(READ_AHEAD) as pool:
        for item, content in _fetch_ahead(client, objects, pool):
            try:
                messages = s3.read_messages(client, item) if content is None else s3.decode_messages([content()], item)
                reader.add_all(messages)
            except client.exceptions.NoSuchKey:
                notes.append(f"s3://{item.bucket}/{item.key} was deleted before it was read.")
            except LogSourceError as error:
                notes.append(f"{error}. The records before that are counted.")
            done += item.size
            progress(done / total)
    if len(notes) > MAX_NAMED:
        notes[MAX_NAMED:] = [f"{count(len(notes) - MAX_NAMED, 'more object')} could not be read to the end."]
    return notes


def _fetch_ahead(
    client: S3Client, objects: Sequence[LogObject], pool: ThreadPoolExecutor
) -> Iterator[tuple[LogObject, Callable[[], bytes] | None]]:
    """Yield each object with a function that returns its content, or with None if it is too large to be held."""
    pending: deque[tuple[LogObject, Future[bytes] | None]] = deque()
    coming = iter(objects)
    while True:
        while len(pending) < READ_AHEAD and (item := next(coming, None)) is not None:
            small = item.size <= MAX_READ_AHEAD_BYTES
            pending.append((item, pool.submit(_fetch, client, item) if small else None))
        if not pending:
            return
        item, future = pending.popleft()
        yield item, None if future is None else future.result


def _fetch(client: S3Client, item: LogObject) -> bytes:
    return client.get_object(Bucket=item.bucket, Key=item.key)["Body"].read()
