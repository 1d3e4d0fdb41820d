"""Duplicates: CloudWatch Logs and Lambda deliver at least once; what they deliver twice is processed once.

A whole delivery is known again by its event ids, in the state table, by Powertools Idempotency, whose import costs more
than all the rest: import this module only where duplicates are to be detected.
"""

import functools
import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyItemAlreadyExistsError,
    IdempotencyPersistenceLayerError,
)
from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import DataRecord

from bedrock_quota.delivery import Delivery, LogEvent, Message

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_dynamodb import DynamoDBClient

_logger = logging.getLogger(__name__)

REMEMBERED_SECONDS = 15 * 24 * 3600
"""CloudWatch Logs tries a delivery again for up to 24 hours; failed ones are kept, and may be replayed, for 14 days."""

Result = dict[str, Any]

Work = Callable[[bool], Result]
"""Processes the delivery; told whether duplicates could be looked for."""


class Once(msgspec.Struct, frozen=True):
    """What became of a delivery: its result, and whether it had been processed before."""

    result: Result
    duplicate: bool


class _Store(DynamoDBPersistenceLayer):
    """Powertools' store, which knows its own record again.

    Where the answer to the first attempt at writing it is lost, boto3's second attempt finds the delivery in progress:
    by this very invocation. To refuse it would be to fail a delivery because the state table is slow.
    """

    def _put_record(self, data_record: DataRecord) -> None:
        try:
            super()._put_record(data_record)
        except IdempotencyItemAlreadyExistsError as error:
            retried = getattr(error.__cause__, "response", {}).get("ResponseMetadata", {}).get("RetryAttempts", 0) > 0
            found = error.old_data_record
            if (
                retried
                and found is not None
                and found.status == data_record.status
                and found.in_progress_expiry_timestamp == data_record.in_progress_expiry_timestamp
            ):
                return
            raise


class ProcessedDeliveries:
    """The deliveries processed so far, in the state table; its client is made when it is first asked."""

    def __init__(self, table: str, connect: "Callable[[], DynamoDBClient]") -> None:
        self._table, self._connect = table, connect
        self._config = IdempotencyConfig(expires_after_seconds=REMEMBERED_SECONDS, hash_function="sha256")

    @functools.cached_property
    def _store(self) -> _Store:
        """Made once: each store adds a handler of its own to the client. What could not be made is tried again."""
        return _Store(table_name=self._table, key_attr="id", boto3_client=self._connect())

    def once(self, received: Delivery, context: "LambdaContext", work: Work) -> Once:
        """Process a delivery unless it was processed before.

        A delivery that another container is working on raises, so that Lambda comes back to it: by then it is done,
        or was given up. Without the state table it is processed all the same, unchecked: metrics must flow.
        """
        done: list[Result] = []
        failed: list[Exception] = []

        def run(*, delivery: str) -> Result:  # noqa: ARG001 - Powertools reads it by name
            try:
                done.append(work(True))
            except Exception as error:
                failed.append(error)
                raise
            return done[0]

        try:
            store = self._store
        except Exception as error:  # noqa: BLE001 - whatever it is, metrics must flow; counted as unchecked
            _logger.warning("there is no state table to ask about duplicates", extra={"error": type(error).__name__})
            return Once(work(False), duplicate=False)
        self._config.register_lambda_context(context)
        guarded = idempotent_function(
            run,
            data_keyword_argument="delivery",
            persistence_store=store,
            config=self._config,
            key_prefix="delivery",
        )
        try:
            result: Result = guarded(delivery=_digest(received.log_events))
        except IdempotencyPersistenceLayerError as error:
            if failed:
                raise failed[0] from error
            _logger.warning("the state table could not be asked about duplicates", extra={"error": str(error)})
            return Once(done[0] if done else work(False), duplicate=False)
        return Once(result, duplicate=not done)


def _digest(events: Sequence[LogEvent]) -> str:
    """Return what a delivery is known by: the ids of its events, or the text of one that has none."""
    digest = hashlib.sha256()
    for event in events:
        digest.update(event.id.encode() if event.id else hashlib.sha256(_utf8(event.message)).digest())
        digest.update(b"\n")
    return digest.hexdigest()


def _utf8(message: Message) -> bytes:
    return message if isinstance(message, bytes) else message.encode()
