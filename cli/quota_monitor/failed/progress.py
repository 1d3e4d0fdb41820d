"""Progress of a replay: a small object beside a failed delivery, which itself is never rewritten.

It names parts of the delivery by number, with counts and the processor's own words. It holds nothing of a payload. One
replay at a time holds the claim to it. S3 writes the object only if no other replay has written it since the last read
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html, read 2026-11-28).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PROGRESS_PREFIX = "progress/"
"""Prefix of the keys of progress objects."""

CLAIM = timedelta(seconds=150)
"""Time for which a replay claims a delivery before each invocation: more than the function and the client wait."""

_NOT_WRITTEN = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"})
"""Error codes of S3 for a write whose condition does not hold."""


class ProgressError(Exception):
    """The progress cannot be used: another replay holds it, or it is damaged."""


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """Log events of one delivery that the processor gets in one invocation: all of them, or those in `events`.

    `rejected` counts rejected records by reason.
    """

    delivery: int
    events: tuple[int, int] | None = None
    status: Literal["open", "processed", "stopped", "failed"] = "open"
    rejected: dict[str, int] = {}

    @property
    def is_processed(self) -> bool:
        """True if this part must not be sent again."""
        return self.status == "processed"


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """All parts of a failed delivery in order, none before its first replay. A replay runs until `claimed_until`."""

    parts: tuple[Part, ...] = ()
    claimed_until: datetime | None = None

    @property
    def is_complete(self) -> bool:
        """True if all parts are processed."""
        return bool(self.parts) and all(part.is_processed for part in self.parts)

    @property
    def rejected(self) -> Counter[str]:
        """Count the rejected records by reason."""
        return sum((Counter(part.rejected) for part in self.parts), Counter())

    def replace_part(self, number: int, parts: Sequence[Part]) -> Progress:
        """Return the progress with other parts in the place of one."""
        return Progress((*self.parts[:number], *parts, *self.parts[number + 1 :]))

    def describe(self) -> str:
        """Return how much is processed, rejected and left, in words."""
        processed = sum(part.is_processed for part in self.parts)
        found = [f"processed: {processed} of {len(self.parts)} {self.noun}"]
        if self.rejected:
            found.append(f"records rejected: {describe_rejected(self.rejected)}")
        if stopped := sum(part.status == "stopped" for part in self.parts):
            found.append(f"timed out or out of memory: {stopped}")
        return "; ".join(found)

    @property
    def noun(self) -> str:
        """The word for the parts: deliveries, unless one of them is split."""
        return "parts" if any(part.events is not None for part in self.parts) else "deliveries"


def describe_rejected(rejected: Counter[str]) -> str:
    """Return the number of rejected records with their reasons, such as `3 (too_old: 2, unknown: 1)`."""
    reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(rejected.items()))
    return f"{rejected.total()} ({reasons})"


class StoredObject(msgspec.Struct, frozen=True):
    """An object in S3 with its ETag."""

    body: bytes
    etag: str


def read_object(s3: S3Client, bucket: str, key: str) -> StoredObject | None:
    """Return an object, or None if there is none. Propagates botocore errors."""
    try:
        found = s3.get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"].get("Code") == "NoSuchKey":
            return None
        raise
    return StoredObject(found["Body"].read(), found["ETag"])


def read_progress(s3: S3Client, bucket: str, key: str) -> tuple[Progress, str | None]:
    """Return the progress of a failed delivery and its ETag. Before its first replay there is none.

    Raises `ProgressError` if it is damaged. Propagates botocore errors.
    """
    found = read_object(s3, bucket, PROGRESS_PREFIX + key)
    if found is None:
        return Progress(), None
    try:
        return msgspec.json.decode(found.body, type=Progress), found.etag
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProgressError(f"its progress cannot be read: delete {PROGRESS_PREFIX}{key} and replay again") from error


class Journal:
    """The progress of one failed delivery in S3, with the ETag that the next write must find."""

    def __init__(self, s3: S3Client, bucket: str, key: str) -> None:
        self._s3, self._bucket, self._key = s3, bucket, key
        self._etag: str | None = None
        self._saved: Progress | None = None

    def claim(self) -> Progress:
        """Claim the delivery for this replay, and return its progress.

        Raises `ProgressError` if another replay holds it. Propagates botocore errors.
        """
        found, self._etag = read_progress(self._s3, self._bucket, self._key)
        if found.claimed_until is not None and datetime.now(UTC) < found.claimed_until:
            raise ProgressError(
                f"another replay is at it, or was stopped: replay again after {found.claimed_until:%H:%M:%S} UTC"
            )
        self.save(found)
        return found

    def save(self, progress: Progress, *, release: bool = False) -> None:
        """Write the progress, and keep the claim unless `release` is true.

        Raises `ProgressError` if another replay has written it since. Propagates botocore errors.
        """
        until = None if release else datetime.now(UTC) + CLAIM
        body = msgspec.json.encode(msgspec.structs.replace(progress, claimed_until=until))
        key = PROGRESS_PREFIX + self._key
        try:
            if self._etag is None:
                written = self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*")
            else:
                written = self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, IfMatch=self._etag)
            self._etag, self._saved = written["ETag"], progress
        except ClientError as error:
            if error.response["Error"].get("Code") not in _NOT_WRITTEN:
                raise
            # boto3 tries again if the response to a write is lost, and then finds its own write in the way
            found = read_object(self._s3, self._bucket, key)
            if found is None or found.body != body:
                raise ProgressError("another replay is at it") from error
            self._etag, self._saved = found.etag, progress

    def release(self) -> None:
        """Give up the claim, if this replay has it, and keep the progress that was saved last. Never raises."""
        if self._saved is not None:
            with suppress(ProgressError, BotoCoreError, ClientError):  # the claim then ends by itself
                self.save(self._saved, release=True)

    def delete(self) -> None:
        """Delete the progress. Propagates botocore errors."""
        self._saved = None
        self._s3.delete_object(Bucket=self._bucket, Key=PROGRESS_PREFIX + self._key)
