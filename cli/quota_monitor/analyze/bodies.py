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

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PARALLEL_READS = 16

MAX_REFUSALS = 32
"""Bodies that may be refused in a row. Then no further one is asked for."""


def make_fetch(client: S3Client) -> FetchBodies:
    """Return a function that reads bodies, and stops to ask after `MAX_REFUSALS` refusals in a row."""
    refusals = 0

    def attempt(path: str) -> RequestBody | MissingBody:
        bucket = path.removeprefix("s3://").partition("/")[0]
        try:
            return read_body(path, bucket, client)
        except ClientError as error:
            return MissingBody(str(error.response["Error"].get("Code")))
        except BodyError as error:
            return MissingBody(error.reason, may_come=False)
        except BotoCoreError as error:
            return MissingBody(type(error).__name__)

    def fetch(paths: Collection[str]) -> FetchedBodies:
        nonlocal refusals
        if refusals >= MAX_REFUSALS:
            return FetchedBodies(missing=dict.fromkeys(paths, MissingBody("AccessDenied")))
        found: dict[str, RequestBody] = {}
        missing: dict[str, MissingBody] = {}
        with ThreadPoolExecutor(PARALLEL_READS) as pool:
            for path, body in zip(paths, pool.map(attempt, paths), strict=True):
                if isinstance(body, RequestBody):
                    found[path], refusals = body, 0
                else:
                    missing[path] = body
                    refusals += 1
        return FetchedBodies(found, missing)

    return fetch
