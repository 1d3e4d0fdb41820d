"""A body over 100 KB: it is not in the log but in S3, gzipped, and of it we want one number.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html (read 2026-11-23): request and
response bodies of up to 100 KB are in the log; larger ones go to `largeDataDeliveryS3Config`'s bucket, if it is set.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import time
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from typing import TYPE_CHECKING

from bedrock_quota import clients
from bedrock_quota.errors import BodyError, RecordError
from bedrock_quota.processor.reading import read_request_body

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

    from bedrock_quota.processor.records import RequestBody

_logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Inflated size up to which a body is read: a context of a million tokens is some 4 MB of text."""

PARALLEL_READS = 2
"""Bodies read side by side: with `MAX_BODY_BYTES` some 20 MB are in memory at most, for a buffer grows in steps. With a
seventh of a processor, which 256 MB come with, two keep it busy: more would not come sooner."""

MAX_BODIES = 1_000
"""Bodies read for one delivery: more than come in its time, and a bound on what waits."""

SECONDS_PER_DELIVERY = 5.0
"""How long the bodies of one delivery may take together; those not there by then are unknown."""

SECONDS_TO_END = 2.5
"""How long reads may take to end after that: a wait for S3 that has begun lasts up to 2 s."""

_AT_ONCE_SECONDS = 0.001

_CHUNK_BYTES = 64 * 1024


def fetch_bodies(paths: Collection[str], bucket: str) -> Mapping[str, RequestBody]:
    """Return the bodies at these `s3://` paths, as far as they could be read in time.

    Only `bucket` is read: a path is what a log says, and no reason to read anything else. What is missing is logged
    with its reason, and its source stays `unknown`. Never raises.
    """
    if not paths:
        return {}
    try:
        client = clients.large_bodies()
    except Exception as unmade:  # noqa: BLE001 - whatever it is, metrics must flow; shown by MaxTokensUnknown
        _logger.warning("there is no S3 to read large request bodies from", extra={"error": type(unmade).__name__})
        return {}
    pool = ThreadPoolExecutor(max_workers=PARALLEL_READS)
    deadline = time.monotonic() + SECONDS_PER_DELIVERY
    opened: list[StreamingBody] = []
    reads = {
        path: pool.submit(_attempt, path, bucket, client, deadline, opened)
        for path in itertools.islice(paths, MAX_BODIES)
    }
    wait(reads.values(), timeout=SECONDS_PER_DELIVERY)
    pool.shutdown(wait=False, cancel_futures=True)
    running = [body for body in reads.values() if body.running()]
    if running:
        _interrupt(opened)
        wait(running, timeout=SECONDS_TO_END)
    done = {path: body.result() for path, body in reads.items() if body.done() and not body.cancelled()}
    found = {path: body for path, body in done.items() if not isinstance(body, str)}
    missing = Counter(reason for reason in done.values() if isinstance(reason, str))
    missing["too_slow"] += len(reads) - len(done)
    missing["too_many"] += len(paths) - len(reads)
    if +missing:
        _logger.warning("large request bodies could not be read", extra={"reasons": dict(+missing)})
    return found


def _interrupt(opened: Iterable[StreamingBody]) -> None:
    """End the reads that still wait: their next wait for S3 is over at once."""
    for stream in opened:
        with contextlib.suppress(AttributeError):  # closed by now
            stream.set_socket_timeout(_AT_ONCE_SECONDS)


def _attempt(
    path: str, bucket: str, client: S3Client, deadline: float, opened: list[StreamingBody]
) -> RequestBody | str:
    """Return a body, or the reason why it could not be read: an error itself would keep all that was read of it."""
    try:
        return read_body(path, bucket, client, deadline, opened.append)
    except BodyError as error:
        return error.reason
    except client.exceptions.ClientError as error:
        return str(error.response["Error"].get("Code"))
    except Exception as error:  # noqa: BLE001 - whatever it is, metrics must flow; named in the log
        return type(error).__name__


def read_body(
    path: str,
    bucket: str,
    client: S3Client,
    deadline: float = math.inf,
    on_open: Callable[[StreamingBody], None] = lambda _stream: None,
) -> RequestBody:
    """Read one body and gunzip it piece by piece, until `deadline` on the monotonic clock.

    Raises `BodyError` for another bucket, for what is no gzip or no JSON object, for one that inflates to more than
    `MAX_BODY_BYTES`, and for one that is too slow; and what botocore raises.
    """
    named, _, key = path.removeprefix("s3://").partition("/")
    if named != bucket or not key or not path.startswith("s3://"):
        raise BodyError("another_bucket")
    inflated = bytearray()
    with closing(client.get_object(Bucket=bucket, Key=key)["Body"]) as stream:
        on_open(stream)
        for piece in _inflate(stream.iter_chunks(_CHUNK_BYTES)):
            inflated += piece
            if len(inflated) > MAX_BODY_BYTES:
                raise BodyError("too_large")
            if time.monotonic() > deadline:
                raise BodyError("too_slow")
    try:
        return read_request_body(inflated)
    except RecordError as error:
        raise BodyError(error.reason) from None


def _inflate(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Gunzip as it comes, in pieces of at most `_CHUNK_BYTES`: a chunk can hold a thousand times its size.

    One piece at least is yielded for each chunk, be it empty; what comes after the end of the gzip is not read.
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
