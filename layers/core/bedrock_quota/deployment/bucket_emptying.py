"""A bucket, emptied: every version, every delete marker and every upload that was never completed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from bedrock_quota.errors import QuotaMonitorError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

RESERVED_SECONDS = 60
"""Time to keep for a last page of deletions that is slow, and for the answer."""


class EmptyingError(QuotaMonitorError):
    """A bucket is not empty yet; the message says how far it came and what to do."""


def empty_bucket(client: S3Client, bucket: str, seconds_left: Callable[[], float]) -> int:
    """Remove all there is in a bucket, a page of 1,000 at a time; return how many things that were.

    Raises `EmptyingError` where S3 keeps an object or the time is up, and what botocore raises. A bucket that is
    gone is empty.
    """
    removed = 0
    with contextlib.suppress(client.exceptions.NoSuchBucket):
        for page in _pages(client, bucket):
            _stop_in_time(bucket, removed, seconds_left)
            answer = client.delete_objects(Bucket=bucket, Delete={"Objects": page, "Quiet": True})
            kept = answer.get("Errors", [])
            if kept:
                raise EmptyingError(
                    f"S3 keeps {len(kept):,} objects of {bucket}, the first for {kept[0].get('Code')}: "
                    "look at the bucket's policy and object locks, and delete the stack again"
                )
            removed += len(page)
        for key, upload in _uploads(client, bucket):
            _stop_in_time(bucket, removed, seconds_left)
            with contextlib.suppress(client.exceptions.NoSuchUpload):  # completed or aborted meanwhile
                client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
            removed += 1
    return removed


def _stop_in_time(bucket: str, removed: int, seconds_left: Callable[[], float]) -> None:
    if seconds_left() < RESERVED_SECONDS:
        raise EmptyingError(
            f"removed {removed:,} objects from {bucket}, and there are more: delete the stack again, "
            "and it goes on from here"
        )


def _pages(client: S3Client, bucket: str) -> Iterator[list[ObjectIdentifierTypeDef]]:
    """Give what is there, until nothing is; each page is to be removed before the next."""
    while True:
        page = client.list_object_versions(Bucket=bucket)
        found = (*page.get("Versions", []), *page.get("DeleteMarkers", []))
        if not found:
            return
        yield [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]


def _uploads(client: S3Client, bucket: str) -> Iterator[tuple[str, str]]:
    for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for each in page.get("Uploads", []):
            yield each["Key"], each["UploadId"]
