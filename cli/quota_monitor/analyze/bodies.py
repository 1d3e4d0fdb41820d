"""Request bodies in S3: those over 100 KB, whose max_tokens is in no log event."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from bedrock_quota.errors import BodyError
from bedrock_quota.processor.large_bodies import read_body
from bedrock_quota.processor.look_up import FetchBodies, FetchedBodies, MissingBody
from bedrock_quota.processor.records import RequestBody
from quota_monitor.aws_session import is_expired

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PARALLEL_READS = 16

MAX_REFUSALS = 32
"""Bodies that may be refused in a row, by a missing right or a missing object. Then no further one is asked for."""


def make_fetch(client: S3Client) -> FetchBodies:
    """Return a function that reads bodies, and stops to ask after `MAX_REFUSALS` refusals in a row.

    Those not asked for have the reason of the last refusal. A body that is there and cannot be used is no refusal. The
    function propagates botocore errors of expired credentials, because what it says would look complete.
    """
    refusals, last = 0, MissingBody("not_asked")

    def attempt(path: str) -> RequestBody | MissingBody:
        nonlocal refusals, last
        if refusals >= MAX_REFUSALS:
            return last
        bucket = path.removeprefix("s3://").partition("/")[0]
        try:
            body = read_body(path, bucket, client)
        except BodyError as error:
            return MissingBody(error.reason, may_come=False)
        except (ClientError, BotoCoreError) as error:
            if is_expired(error):
                raise
            code = error.response["Error"].get("Code") if isinstance(error, ClientError) else type(error).__name__
            refusals, last = refusals + 1, MissingBody(str(code))
            return last
        refusals = 0
        return body

    def fetch(paths: Collection[str]) -> FetchedBodies:
        found: dict[str, RequestBody] = {}
        missing: dict[str, MissingBody] = {}
        with ThreadPoolExecutor(PARALLEL_READS) as pool:
            for path, body in zip(paths, pool.map(attempt, paths), strict=True):
                if isinstance(body, RequestBody):
                    found[path] = body
                else:
                    missing[path] = body
        return FetchedBodies(found, missing)

    return fetch
