"""Sending deliveries to the processor, hour by hour."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from bedrock_quota.errors import LogSourceError
from bedrock_quota.processor.delivery import MAX_LOG_GROUP, LogEvent
from quota_monitor.analyze.publish.deliveries import encode_delivery, pack_events
from quota_monitor.analyze.publish.errors import PublishError, explain_failure
from quota_monitor.analyze.publish.progress import describe_time
from quota_monitor.analyze.publish.records import Records
from quota_monitor.answers.numbers import count
from quota_monitor.aws_session import Stack
from quota_monitor.failed.payload import decode_failure
from quota_monitor.progress import Progress

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

PARALLEL_INVOCATIONS = 3
"""Invocations at a time. A new account has a concurrency of 10, which the subscription needs too."""

INVOKE_OPTIONS: Mapping[str, Any] = {
    "connect_timeout": 30,
    "read_timeout": 90,
    "retries": {"mode": "standard", "total_max_attempts": 6},
}
"""The time-out covers the function's own. A second attempt is a duplicate, which the processor drops."""


class Sent(msgspec.Struct):
    """The outcome of all deliveries: records received, processed and rejected."""

    received: int = 0
    processed: int = 0
    rejected: int = 0

    def add(self, other: Sent) -> None:
        """Add another outcome."""
        self.received += other.received
        self.processed += other.processed
        self.rejected += other.rejected


class _Answer(msgspec.Struct, frozen=True):
    received: int
    processed: int
    rejected: int = 0
    published: int = 0


Invoke = Callable[[Sequence[msgspec.Raw]], Sent]
"""Sends the encoded events of a delivery to the processor. Raises `PublishError`. Propagates botocore errors."""


def make_invoke(client: LambdaClient, stack: Stack, source: str) -> Invoke:
    """Return a function that sends deliveries of a source to a stack."""
    function = stack.resources["MetricProcessorFunction"]

    def invoke(events: Sequence[msgspec.Raw]) -> Sent:
        payload = encode_delivery(events, stack.account, source[:MAX_LOG_GROUP])
        answer = client.invoke(FunctionName=function, Payload=payload)
        said = answer["Payload"].read()
        if answer.get("FunctionError"):
            raise PublishError(f"The processor failed with {decode_failure(said)}")
        try:
            found = msgspec.json.decode(said, type=_Answer)
        except msgspec.MsgspecError:
            raise PublishError("The answer of the processor cannot be read") from None
        if not found.published:
            raise PublishError(f"The stack {stack.name} is of a version that cannot publish. Update it first")
        return Sent(found.received, found.processed, found.rejected)

    return invoke


def send_hours(
    records: Records, hours: Sequence[int], invoke: Invoke, mark: Callable[[int], None], progress: Progress
) -> Sent:
    """Send the records of hours, the oldest first, and mark each hour when all of it is processed.

    Raises `PublishError` with the hour at which the next run goes on.
    """
    total = Sent()
    with ThreadPoolExecutor(PARALLEL_INVOCATIONS) as pool:
        for number, hour in enumerate(hours, start=1):
            try:
                sent = _send_hour(records.read(hour), invoke, pool)
                mark(hour)
            except (PublishError, BotoCoreError, ClientError, LogSourceError) as error:
                raise PublishError(
                    f"{explain_failure(error).rstrip('.')}. Sent so far: {count(total.received, 'record')}, the whole "
                    f"hours before {describe_time(hour)}. Run the command again to go on there."
                ) from error
            total.add(sent)
            progress(number / len(hours))
    return total


def _send_hour(events: Iterable[LogEvent], invoke: Invoke, pool: ThreadPoolExecutor) -> Sent:
    total = Sent()
    pending: set[Future[Sent]] = set()
    try:
        for delivery in pack_events(events):
            if len(pending) > PARALLEL_INVOCATIONS:
                ready, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in ready:
                    total.add(future.result())
            pending.add(pool.submit(invoke, delivery))
        for future in pending:
            total.add(future.result())
    finally:
        for future in pending:
            future.cancel()
    return total
