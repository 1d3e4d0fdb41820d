"""Bodies over 100 KB: they are not in the log but gzipped in S3. Only their output limit is needed.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html (read 2026-11-23): request and
response bodies of up to 100 KB are in the log. Larger ones go to the bucket of `largeDataDeliveryS3Config`, if set.
"""

from __future__ import annotations

import itertools
import logging
import math
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from typing import TYPE_CHECKING

from bedrock_quota import clients
from bedrock_quota.errors import BodyError, RecordError
from bedrock_quota.processor.look_up import FetchedBodies, MissingBody
from bedrock_quota.processor.reading import read_request_body
from bedrock_quota.processor.records import RequestBody

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from bedrock_quota.interruption import Interruption

_logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Largest inflated size of a body: a context of a million tokens is about 4 MB of text."""

PARALLEL_READS = 2
"""Bodies read in parallel. They use at most about 20 MB with `MAX_BODY_BYTES`, because a buffer grows in steps.
A function with 256 MB has a seventh of a vCPU. Two reads use all of it, so more would not be faster."""

MAX_BODIES = 1_000
"""Most bodies of one delivery: more than can be read in its time, and a bound on the queue."""

SECONDS_PER_DELIVERY = 5.0
"""Time for all bodies of one delivery. Bodies that arrive later are read again with the late ones."""

SECONDS_PER_BODY = 1.5
"""Time for one body, so that slow ones leave time for the others. One that takes longer is read again later too.
A function of 256 MB needs up to 0.83 s for one of 8 MB, two at a time (measured 2026-11-28)."""

SECONDS_TO_END = 2.5
"""Time for reads to end after that. A wait for S3 ends at once, and one for a new connection after 2 s per address."""

_TOO_SLOW, _TOO_MANY = MissingBody("too_slow"), MissingBody("too_many")

_CHUNK_BYTES = 64 * 1024


def fetch_bodies(paths: Collection[str], bucket: str) -> FetchedBodies:
    """Return the bodies at these `s3://` paths that could be read in time, and the reason for each other one.

    Only `bucket` is read, because a path in a log does not justify reading any other bucket. Never raises.

    Any answer of S3 may change. For an object that does not exist, S3 answers 403 to a caller without `s3:ListBucket`
    (https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html, read 2026-11-28). The processor may only read
    objects, because in an account that logs to a bucket of its own, listing would show everything else in it.
    """
    if not paths:
        return FetchedBodies()
    deadline = time.monotonic() + SECONDS_PER_DELIVERY
    try:
        client = clients.large_bodies()
    except Exception as error:  # noqa: BLE001 - metrics must flow after any error; shown by MaxTokensUnknown
        _logger.warning(
            "could not create the S3 client for large request bodies", extra={"error": type(error).__name__}
        )
        return FetchedBodies(missing=dict.fromkeys(paths, MissingBody(type(error).__name__)))
    pool = ThreadPoolExecutor(max_workers=PARALLEL_READS)
    active: dict[Interruption, float] = {}
    reads = {
        path: pool.submit(_attempt, path, bucket, client, deadline, active)
        for path in itertools.islice(paths, MAX_BODIES)
    }
    _end_slow_reads(reads.values(), active, deadline)
    pool.shutdown(wait=False, cancel_futures=True)
    for interruption in tuple(active):
        interruption.end()
    running = [body for body in reads.values() if body.running()]
    if not wait(running, timeout=SECONDS_TO_END).not_done:
        pool.shutdown()
    missing = dict.fromkeys(paths, _TOO_MANY) | dict.fromkeys(reads, _TOO_SLOW)
    found: dict[str, RequestBody] = {}
    for path, read in reads.items():
        if read.done() and not read.cancelled():
            body = read.result()
            if isinstance(body, RequestBody):
                found[path] = body
            else:
                missing[path] = body
    return FetchedBodies(found, {path: reason for path, reason in missing.items() if path not in found})


def _end_slow_reads(
    reads: Iterable[Future[RequestBody | MissingBody]], active: Mapping[Interruption, float], deadline: float
) -> None:
    """Wait for the reads until `deadline`, and end each that reaches the time in `active`."""
    pending = set(reads)
    while pending and (now := time.monotonic()) < deadline:
        ends = dict(active)
        for interruption, end in ends.items():
            if end <= now:
                interruption.end()
        next_end = min((end for end in ends.values() if end > now), default=now + SECONDS_PER_BODY)
        _, pending = wait(pending, timeout=min(next_end, deadline) - now)


def _attempt(
    path: str, bucket: str, client: S3Client, deadline: float, active: dict[Interruption, float]
) -> RequestBody | MissingBody:
    """Return a body, or the reason why it could not be read: an error itself would keep all that was read of it."""
    from bedrock_quota.interruption import Interruption  # noqa: PLC0415 - see that module's docstring

    with Interruption() as interruption:
        began = time.monotonic()
        end = active[interruption] = min(began + SECONDS_PER_BODY, deadline)
        try:
            # after it is in `active`: either this or an interruption ends the read
            return read_body(path, bucket, client, end) if time.monotonic() < deadline else _TOO_SLOW
        except client.exceptions.ClientError as error:
            return MissingBody(str(error.response["Error"].get("Code")))
        except Exception as error:  # noqa: BLE001 - metrics must flow after any error; named in the log
            if interruption.is_over:
                return _TOO_SLOW
            if isinstance(error, BodyError):
                return _TOO_SLOW if error.reason == _TOO_SLOW.reason else MissingBody(error.reason, may_come=False)
            return MissingBody(type(error).__name__)
        finally:
            del active[interruption]


def read_body(path: str, bucket: str, client: S3Client, deadline: float = math.inf) -> RequestBody:
    """Read one body and gunzip it piece by piece, until `deadline` on the monotonic clock.

    Raises `BodyError` if the path is in another bucket, or the body is not gzip, not a JSON object, too large
    (`MAX_BODY_BYTES` inflated) or too slow. Propagates botocore errors.
    """
    named, _, key = path.removeprefix("s3://").partition("/")
    if named != bucket or not key or not path.startswith("s3://"):
        raise BodyError("another_bucket")
    inflated = bytearray()
    with closing(client.get_object(Bucket=bucket, Key=key)["Body"]) as stream:
        for piece in _inflate(stream.iter_chunks(_CHUNK_BYTES)):
            inflated += piece
            if len(inflated) > MAX_BODY_BYTES:
                raise BodyError("too_large")
            if time.monotonic() > deadline:
                raise BodyError(_TOO_SLOW.reason)
    try:
        return read_request_body(inflated)
    except RecordError as error:
        raise BodyError(error.reason) from None


def _inflate(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Gunzip chunks in pieces of at most `_CHUNK_BYTES`, because a chunk can inflate to a thousand times its size.

    Each chunk yields at least one piece, possibly an empty one. Data after the end of the gzip is not read.
    """
    inflater = zlib.decompressobj(wbits=31)
    try:
        for chunk in chunks:
            yield inflater.decompress(chunk, _CHUNK_BYTES)
            while not inflater.eof and (piece := inflater.decompress(inflater.unconsumed_tail, _CHUNK_BYTES)):
                yield piece
            if inflater.eof:
                return
    except zlib.error as error:
        raise BodyError("not_gzip") from error
    raise BodyError("cut_short")
