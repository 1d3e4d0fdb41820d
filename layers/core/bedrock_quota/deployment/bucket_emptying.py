"""Bucket emptying: every version, every delete marker and every incomplete upload."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from bedrock_quota.errors import QuotaMonitorError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

RESERVED_SECONDS = 60
"""Time reserved for a slow last page of deletions and for the response."""


class EmptyingError(QuotaMonitorError):
    """A bucket is not empty yet. The message has the progress and the next step."""


def empty_bucket(client: S3Client, bucket: str, seconds_left: Callable[[], float]) -> int:
    """Delete everything in a bucket, 1,000 objects at a time, and return the number of deleted objects.

    Raises `EmptyingError` if S3 keeps an object or the time is up. Propagates botocore errors. A bucket that does not
    exist is empty.
    """
    removed = 0
    with contextlib.suppress(client.exceptions.NoSuchBucket):
        for page in _list_pages(client, bucket):
            _check_time(bucket, removed, seconds_left)
            answer = client.delete_objects(Bucket=bucket, Delete={"Objects": page, "Quiet": True})
            kept = answer.get("Errors", [])
            if kept:
                raise EmptyingError(
                    f"S3 did not delete {len(kept):,} objects of {bucket} (first error: {kept[0].get('Code')}). "
                    "Check the bucket's policy and object locks, and delete the stack again."
                )
            removed += len(page)
        for key, upload in _list_uploads(client, bucket):
            _check_time(bucket, removed, seconds_left)
            with contextlib.suppress(client.exceptions.NoSuchUpload):  # completed or aborted meanwhile
                client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
            removed += 1
    return removed


def _check_time(bucket: str, removed: int, seconds_left: Callable[[], float]) -> None:
    if seconds_left() < RESERVED_SECONDS:
        raise EmptyingError(
            f"Deleted {removed:,} objects from {bucket}, but it has more. Delete the stack again to continue."
        )


def _list_pages(client: S3Client, bucket: str) -> Iterator[list[ObjectIdentifierTypeDef]]:
    """Yield pages of objects until there are none. The caller deletes each page before the next."""
    while True:
        page = client.list_object_versions(Bucket=bucket)
        found = (*page.get("Versions", []), *page.get("DeleteMarkers", []))
        if not found:
            return
        yield [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]


def _list_uploads(client: S3Client, bucket: str) -> Iterator[tuple[str, str]]:
    for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for each in page.get("Uploads", []):
            yield each["Key"], each["UploadId"]
