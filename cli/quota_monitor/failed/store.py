"""Failed deliveries: objects that Lambda wrote to the stack's bucket after all retries failed.

A replay never writes such an object, so that the bucket's lifecycle deletes it 14 days after Lambda wrote it. It writes
its progress beside the object, and deletes both when all of the delivery is processed.
"""

from __future__ import annotations

import base64
import binascii
import functools
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    SSLError,
)

from bedrock_quota.errors import DeliveryError
from quota_monitor.aws_session import physical_id
from quota_monitor.failed.payload import Payload, decode_failure, decode_payload, locate_records
from quota_monitor.failed.progress import (
    PROGRESS_PREFIX,
    Journal,
    Part,
    Progress,
    ProgressError,
    describe_rejected,
    read_object,
    read_progress,
)

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import InvocationResponseTypeDef
    from mypy_boto3_s3 import S3Client


class FailedDelivery(msgspec.Struct, frozen=True):
    """One object of the bucket that Lambda wrote, and the progress of its replays."""

    key: str
    size: int
    kept_at: datetime
    progress: Progress = Progress()

    @property
    def is_rejected(self) -> bool:
        """True if all that is left of it are rejected records."""
        return self.key.startswith(REJECTED_PREFIX) or (self.progress.is_complete and bool(self.progress.rejected))


class Store(msgspec.Struct, frozen=True):
    """Bucket in which a stack keeps failed deliveries, and the function that processes them."""

    bucket: str
    function: str


class Replayed(msgspec.Struct, frozen=True):
    """Result for one object. `problem` is None if all of it was processed and the object was deleted.

    `failed` is True if something of it can be replayed again.
    """

    key: str
    problem: str | None = None
    failed: bool = False


Send = Callable[..., "InvocationResponseTypeDef"]
"""Invokes the processor with a `Payload`."""

OnProgress = Callable[[Progress], None]
"""Gets the progress of a delivery after each of its invocations."""

REJECTED_PREFIX = "refused/"
"""Prefix of the keys under which version 0.1.0 kept copies of deliveries with rejected records. Nothing writes there
now. A copy is not replayed with the others, because version 0.1.0 has counted what could be counted."""

MAX_STOPPED = 50
"""Invocations of one delivery that are stopped, mostly after a minute, before its replay ends. The next goes on there.

One replay of a delivery makes at most one invocation per part that it starts with, and two per part that it halves. It
halves each part that is stopped. Without an invocation it halves a part that is too large, and a delivery that Lambda
recorded as stopped.
"""


def find_store(session: boto3.Session, stack_name: str) -> Store:
    """Return where a deployed stack keeps failed deliveries. Propagates botocore errors."""
    return Store(
        physical_id(session, stack_name, "FailedDeliveriesBucket"),
        physical_id(session, stack_name, "MetricProcessorFunction"),
    )


def list_failed(session: boto3.Session, bucket: str) -> list[FailedDelivery]:
    """Return the failed deliveries, the oldest first. Propagates botocore errors."""
    return [each for each in list_all(session, bucket) if not each.is_rejected]


def list_all(session: boto3.Session, bucket: str) -> list[FailedDelivery]:
    """Return the failed deliveries and those with only rejected records left. Propagates botocore errors."""
    s3 = session.client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    objects = {each["Key"]: each for page in pages for each in page.get("Contents", [])}
    return sorted(
        (
            FailedDelivery(
                key,
                each["Size"],
                each["LastModified"],
                _read_progress(s3, bucket, key) if PROGRESS_PREFIX + key in objects else Progress(),
            )
            for key, each in objects.items()
            if not key.startswith(PROGRESS_PREFIX)
        ),
        key=lambda each: (each.kept_at, each.key),
    )


def _read_progress(s3: S3Client, bucket: str, key: str) -> Progress:
    try:
        return read_progress(s3, bucket, key)[0]
    except ProgressError:  # its replay reports it
        return Progress()


def replay(
    session: boto3.Session,
    where: Store,
    deliveries: list[FailedDelivery],
    *,
    discard: bool = False,
    on_progress: OnProgress = lambda _progress: None,
) -> Iterator[Replayed]:
    """Invoke the processor with these deliveries, one after the other. Delete each object when all of it is processed.

    A delivery that fails again stays, and so does one with rejected records, unless `discard` is true. Its processed
    parts are not sent again. A delivery that is too large, times out or takes too much memory is halved. A replay can
    be interrupted and started again: with duplicate detection, a part that was processed but not noted counts as a
    duplicate. A replay that an error ends gives up its claim, unless the processor may still run.
    """
    from botocore.config import Config  # noqa: PLC0415 - see `aws_session.open_session`

    s3 = session.client("s3")
    # The timeout covers the function's own. There is no retry, because the second call would be a duplicate.
    config = Config(connect_timeout=30, read_timeout=90, retries={"total_max_attempts": 1})
    client = session.client("lambda", config=config)
    for each in deliveries:
        journal = Journal(s3, where.bucket, each.key)
        try:
            yield _replay(s3, client, where, each.key, journal, discard=discard, on_progress=on_progress)
        except ProgressError as error:
            yield Replayed(each.key, str(error), failed=True)
        except _UnansweredError as error:
            yield Replayed(each.key, f"could not be replayed: {error}", failed=True)
        except (BotoCoreError, ClientError) as error:
            journal.release()
            yield Replayed(each.key, f"could not be replayed: {error}", failed=True)


def _replay(
    s3: S3Client,
    client: LambdaClient,
    where: Store,
    key: str,
    journal: Journal,
    *,
    discard: bool,
    on_progress: OnProgress,
) -> Replayed:
    if discard and key.startswith(REJECTED_PREFIX):
        s3.delete_object(Bucket=where.bucket, Key=key)
        journal.delete()
        return Replayed(key, "was discarded with its rejected records")
    progress = journal.claim()
    found = read_object(s3, where.bucket, key)
    if found is None:
        journal.delete()
        return Replayed(key, "is gone: another replay processed it, or it expired")
    try:
        payload = decode_payload(found.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, DeliveryError):
        journal.delete()
        return Replayed(key, locate_records(found.body) or "is not the record of an invocation", failed=True)
    parts = progress.parts or tuple(map(Part, range(len(payload.events))))
    if not all(map(payload.has_part, parts)):
        raise ProgressError(f"its progress is of another delivery: delete {PROGRESS_PREFIX}{key} and replay again")
    send = functools.partial(client.invoke, FunctionName=where.function, LogType="Tail")
    progress, problem = _process_parts(send, payload, Progress(parts), journal, on_progress)
    if problem is not None:
        journal.save(progress, release=True)
        return Replayed(key, problem, failed=True)
    if progress.rejected and not discard:
        journal.save(progress, release=True)
        return Replayed(key, f"was processed, but {_say_rejected(progress)}: it stays until it expires or is discarded")
    s3.delete_object(Bucket=where.bucket, Key=key)  # first, because without its progress all of it would be sent again
    journal.delete()
    return Replayed(
        key, f"was processed and discarded, though {_say_rejected(progress)}" if progress.rejected else None
    )


def _say_rejected(progress: Progress) -> str:
    return f"records of it were rejected: {describe_rejected(progress.rejected)}"


def _process_parts(
    send: Send,
    payload: Payload,
    progress: Progress,
    journal: Journal,
    on_progress: OnProgress,
) -> tuple[Progress, str | None]:
    """Process all parts that are left, and save the progress after each. Return it, and why parts are left.

    Halves are saved before they are sent. The next replay then sends the same halves, which count as duplicates.
    """
    problems: list[str] = []
    tried: set[tuple[int, tuple[int, int] | None]] = set()
    stopped = 0
    while stopped < MAX_STOPPED and (number := _choose(progress, tried)) is not None:
        part = progress.parts[number]
        halves: tuple[Part, ...] = ()
        if (payload.was_stopped and part.events is None) or payload.is_too_large(part):
            halves = payload.split(part)
        if not halves:
            tried.add((part.delivery, part.events))
            part, problem = _process(send, payload, part)
            if part.status == "stopped":
                stopped += 1
                halves = payload.split(part)
            if problem is not None and not halves:
                problems.append(problem)
        progress = progress.replace_part(number, halves or (part,))
        journal.save(progress)
        on_progress(progress)
    left = sum(not part.is_processed for part in progress.parts)
    if not left:
        return progress, None
    of_all = f"{left} of its {len(progress.parts)} {progress.noun}"
    if any(part.status == "open" for part in progress.parts):
        return progress, f"{of_all} are left after {stopped} invocations that were stopped. Replay it again to go on"
    return progress, f"{of_all} failed again, the first: {problems[0]}" if len(progress.parts) > 1 else problems[0]


def _choose(progress: Progress, tried: set[tuple[int, tuple[int, int] | None]]) -> int | None:
    """Return the next part to send: those that failed before come last, because the replay may end before them."""
    left = [
        (part.status != "open", number)
        for number, part in enumerate(progress.parts)
        if not part.is_processed and (part.delivery, part.events) not in tried
    ]
    return min(left)[1] if left else None


class _UnansweredError(Exception):
    """The processor was invoked and did not answer, so that it may still run."""


def _may_still_run(error: Exception) -> bool:
    """Return True unless the processor is certainly not running after this error of its invocation.

    Lambda has not started it if it refuses the invocation (4xx), if no connection was made, or if boto3 has not sent
    anything, as without credentials. A synchronous invocation goes on if its connection is lost.
    """
    if isinstance(error, ClientError):
        return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400) >= 500
    return isinstance(error, HTTPClientError | IncompleteReadError | SSLError)


class _Result(msgspec.Struct, frozen=True):
    received: int
    rejected: int = 0


class _Line(msgspec.Struct, frozen=True):
    rejected_reasons: dict[str, int] = {}


def _process(send: Send, payload: Payload, part: Part) -> tuple[Part, str | None]:
    """Process one part. Return it with its outcome, and the error if there was one."""
    sent = payload.read_part(part)
    try:
        answer = send(Payload=sent)
        said = answer["Payload"].read()
    except (BotoCoreError, ClientError) as error:
        if _may_still_run(error):
            raise _UnansweredError(str(error)) from error
        raise
    if answer.get("FunctionError"):
        failure = decode_failure(said)
        if not failure.is_stopped:
            return msgspec.structs.replace(part, status="failed"), str(failure)
        alone = f"log event {part.events[0]} of delivery {part.delivery} by itself: " if part.events else ""
        return msgspec.structs.replace(part, status="stopped"), f"{alone}{failure}"
    try:
        result = msgspec.json.decode(said, type=_Result)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        problem = "was processed, but the answer of the processor could not be read"
        return msgspec.structs.replace(part, status="failed"), problem
    reasons = _read_reasons(answer.get("LogResult", ""), result.rejected)
    return msgspec.structs.replace(part, status="processed", rejected=reasons), None


def _read_reasons(log: str, rejected: int) -> dict[str, int]:
    """Return the rejected records by reason, from the end of the function's log. Lambda answers its last 4 KB.

    The reason is `unknown` if it is not there, as with a duplicate.
    """
    try:
        lines = base64.b64decode(log, validate=True).splitlines()
    except (binascii.Error, ValueError):
        lines = []
    for line in lines:
        try:
            found = Counter(msgspec.json.decode(line, type=_Line).rejected_reasons)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if 0 < found.total() <= rejected:
            return dict(found + Counter(unknown=rejected - found.total()))
    return {"unknown": rejected} if rejected else {}
