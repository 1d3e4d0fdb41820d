"""Invocation logs in S3: the folders of an account and Region, and the records in their objects.

Layout: `[keyPrefix/]AWSLogs/<account>/BedrockModelInvocationLogs/<Region>/YYYY/MM/DD/HH/<time>_<id>.json.gz`. An object
is gzipped and has one record per line. Bodies over 100 KB lie in `data/` below the hour. AWS documents the first three
folders (Bedrock User Guide, "Monitor model invocation", read 2026-11-28). The rest is from public samples.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from bedrock_quota.errors import LogSourceError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LOGS_FOLDER = "BedrockModelInvocationLogs"

MAX_LINE_BYTES = 8 * 1024 * 1024
"""Longest line. A record has at most 1 MB in a log group."""

MAX_FOLDERS = 2_000
"""Folders that are looked at to find those of accounts and Regions."""

LATE = timedelta(hours=1)
"""An object is named and filed by the time it was written, up to some minutes after its records (two public samples: 29
and 59 s). So the hour after the last one is read, too."""

PERMISSION_CHECK = "amazon-bedrock-logs-permission-check"
"""Name of the object that Bedrock writes when logging is set up. It has no record."""

_HOUR = timedelta(hours=1)

_CHUNK_BYTES = 256 * 1024

_GZIP = b"\x1f\x8b"


class LogFolder(msgspec.Struct, frozen=True, order=True):
    """The logs of one account and Region: `prefix` is everything before the year."""

    account: str
    region: str
    bucket: str
    prefix: str


class LogObject(msgspec.Struct, frozen=True):
    """An object with records. `size` is in bytes, compressed."""

    bucket: str
    key: str
    size: int


def find_folders(client: S3Client, bucket: str, prefix: str = "") -> list[LogFolder]:
    """Return the folders of accounts and Regions at or below a prefix, sorted.

    The prefix may be a `keyPrefix`, or lead to the logs of an account, a Region or an hour. Raises `LogSourceError` if
    there are more than `MAX_FOLDERS` folders. Propagates botocore errors.
    """
    known = parse_folder(bucket, prefix)
    if known is not None:
        return [known]
    found: list[LogFolder] = []
    pending = [prefix if not prefix or prefix.endswith("/") else f"{prefix}/"]
    seen = 0
    while pending:
        place = pending.pop()
        for folder in _list_folders(client, bucket, place):
            seen += 1
            if seen > MAX_FOLDERS:
                raise LogSourceError(f"s3://{bucket}/{prefix} has too many folders. Name the one with AWSLogs/ in it.")
            known = parse_folder(bucket, folder)
            if known is not None:
                found.append(known)
            elif _may_lead_to_logs(folder):
                pending.append(folder)
    return sorted(found)


def parse_folder(bucket: str, prefix: str) -> LogFolder | None:
    """Return the account and Region whose logs a prefix belongs to, or None if it does not lead so far."""
    parts = prefix.split("/")
    for index in range(2, len(parts) - 1):
        if parts[index] == LOGS_FOLDER and parts[index - 2] == "AWSLogs" and parts[index + 1]:
            return LogFolder(parts[index - 1], parts[index + 1], bucket, "/".join(parts[: index + 2]) + "/")
    return None


def list_objects(client: S3Client, folder: LogFolder, start: datetime, end: datetime) -> Iterator[LogObject]:
    """Yield the objects that may have records from `start` to just before `end`, in order. Propagates botocore errors.

    Objects are listed hour by hour, without the bodies.
    """
    hour = start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    while hour < end + LATE:
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=folder.bucket, Prefix=f"{folder.prefix}{hour:%Y/%m/%d/%H}/", Delimiter="/"
        )
        for page in pages:
            for each in page.get("Contents", []):
                key = each["Key"]
                if each["Size"] and not key.endswith(("/", PERMISSION_CHECK)):
                    yield LogObject(folder.bucket, key, each["Size"])
        hour += _HOUR


def read_messages(client: S3Client, item: LogObject) -> Iterator[bytes]:
    """Yield the record of each line of an object, piece by piece.

    Raises `LogSourceError` if the object is damaged. Propagates botocore errors.
    """
    body = client.get_object(Bucket=item.bucket, Key=item.key)["Body"]
    try:
        yield from decode_messages(body.iter_chunks(_CHUNK_BYTES), item)
    finally:
        body.close()


def decode_messages(chunks: Iterable[bytes], item: LogObject) -> Iterator[bytes]:
    """Yield the record of each line of an object's content. Raises `LogSourceError` if it is damaged."""
    try:
        yield from split_lines(_inflate(chunks))
    except zlib.error as error:
        raise LogSourceError(f"s3://{item.bucket}/{item.key} is damaged: {error}") from error
    except EOFError:
        raise LogSourceError(f"s3://{item.bucket}/{item.key} is cut short") from None
    except LogSourceError as error:
        raise LogSourceError(f"s3://{item.bucket}/{item.key}: {error}") from None


def split_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield each line that is not blank. Raises `LogSourceError` for one above `MAX_LINE_BYTES`."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line for line in lines if line.strip())
        if len(rest) > MAX_LINE_BYTES:
            raise LogSourceError(f"a line has more than {MAX_LINE_BYTES:,} bytes")
    if rest.strip():
        yield rest


def _inflate(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the content of an object in pieces of a bounded size, gunzipped if it is gzip."""
    inflater: zlib._Decompress | None = None
    coming, ended, first = iter(chunks), True, b""
    while len(first) < len(_GZIP) and (chunk := next(coming, b"")):
        first += chunk
    if not first.startswith(_GZIP):
        yield first
        yield from coming
        return
    for chunk in itertools.chain([first], coming):
        rest = chunk
        while rest:
            if inflater is None:
                inflater, ended = zlib.decompressobj(wbits=31), False
            yield inflater.decompress(rest, _CHUNK_BYTES * 4)
            while inflater.unconsumed_tail:
                yield inflater.decompress(inflater.unconsumed_tail, _CHUNK_BYTES * 4)
            rest = b""
            if inflater.eof:
                rest, inflater, ended = inflater.unused_data, None, True
    if not ended:
        raise EOFError


def _list_folders(client: S3Client, bucket: str, prefix: str) -> Iterator[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
    for page in pages:
        for each in page.get("CommonPrefixes", []):
            yield each["Prefix"]


def _may_lead_to_logs(folder: str) -> bool:
    """Return False for a folder of another service's logs, because there can be very many."""
    parts = folder.rstrip("/").split("/")
    if "AWSLogs" not in parts:
        return True
    below = parts[parts.index("AWSLogs") + 1 :]
    return len(below) < 2 or below[1] == LOGS_FOLDER
