"""A body over 100 KB: it is not in the log but in S3, gzipped, and of it we want one number.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html (read 2026-11-23): request and
response bodies of up to 100 KB are in the log; larger ones go to `largeDataDeliveryS3Config`'s bucket, if it is set.
"""

from __future__ import annotations

import logging
import math
import time
import zlib
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from typing import TYPE_CHECKING

from bedrock_quota import clients, records
from bedrock_quota.errors import BodyError, RecordError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from bedrock_quota.records import RequestBody

_logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Inflated size up to which a body is read: a context of a million tokens is some 4 MB of text."""

AT_A_TIME = 4
"""Bodies read side by side: with `MAX_BODY_BYTES`, at most 32 MB are in memory."""

SECONDS = 5.0
"""How long the bodies of one delivery may take together; those not there by then are unknown."""

_CHUNK_BYTES = 64 * 1024


def fetch(paths: Collection[str], bucket: str) -> Mapping[str, RequestBody]:
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
    pool = ThreadPoolExecutor(max_workers=AT_A_TIME)
    deadline = time.monotonic() + SECONDS
    reads = {path: pool.submit(read, path, bucket, client, deadline) for path in paths}
    wait(reads.values(), timeout=SECONDS)
    pool.shutdown(wait=False, cancel_futures=True)
    found = {}
    missing: dict[str, int] = {}
    for path, body in reads.items():
        if not body.done() or body.cancelled():
            missing["too_slow"] = missing.get("too_slow", 0) + 1
        elif error := body.exception():
            reason = error.reason if isinstance(error, BodyError) else type(error).__name__
            missing[reason] = missing.get(reason, 0) + 1
        else:
            found[path] = body.result()
    if missing:
        _logger.warning("large request bodies could not be read", extra={"reasons": missing})
    return found


def read(path: str, bucket: str, client: S3Client, deadline: float = math.inf) -> RequestBody:
    """Read one body, gunzipping as it comes, until `deadline` on the monotonic clock: nothing goes on behind it.

    Raises `BodyError` for another bucket, for what is no gzip or no JSON object, for one that inflates to more than
    `MAX_BODY_BYTES`, and for one that is too slow; and what botocore raises.
    """
    named, _, key = path.removeprefix("s3://").partition("/")
    if named != bucket or not key or not path.startswith("s3://"):
        raise BodyError("another_bucket")
    inflater = zlib.decompressobj(wbits=31)
    inflated = bytearray()
    with closing(client.get_object(Bucket=bucket, Key=key)["Body"]) as stream:
        for chunk in stream.iter_chunks(_CHUNK_BYTES):
            if time.monotonic() > deadline:
                raise BodyError("too_slow")
            try:
                inflated += inflater.decompress(chunk, MAX_BODY_BYTES + 1 - len(inflated))
            except zlib.error as error:
                raise BodyError("not_gzip") from error
            if len(inflated) > MAX_BODY_BYTES:
                raise BodyError("too_large")
    if not inflater.eof:
        raise BodyError("cut_short")
    try:
        return records.read_body(bytes(inflated))
    except RecordError as error:
        raise BodyError(error.reason) from None
