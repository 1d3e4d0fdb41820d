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
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
    IdempotencyItemAlreadyExistsError,
)
from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import STATUS_CONSTANTS, DataRecord

from bedrock_quota.processor.delivery import Delivery, LogEvent, Message

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_dynamodb import DynamoDBClient

_logger = logging.getLogger(__name__)

REMEMBERED_SECONDS = 15 * 24 * 3600
"""CloudWatch Logs tries a delivery again for up to 24 hours; failed ones are kept, and may be replayed, for 14 days."""

Result = dict[str, Any]


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
                and found.in_progress_expiry_timestamp == data_record.in_progress_expiry_timestamp
            ):
                return
            raise


class InProgressDelivery(msgspec.Struct, frozen=True):
    """A delivery that was begun. With a `result` it had been processed before; without a store nobody could look."""

    key: str
    store: _Store | None = None
    result: Result | None = None

    @property
    def checked(self) -> bool:
        """Whether the state table could be asked about it."""
        return self.store is not None

    def finish(self, result: Result) -> bool:
        """Note that the delivery is processed; return whether that is done. Never raises: its metrics are written."""
        if self.store is not None:
            try:
                self.store.save_success(data=self.key, result=result)  # type: ignore[arg-type]
            except Exception as error:  # noqa: BLE001 - if the delivery comes again, it counts again: docs/limits.md
                _logger.warning("the state table could not be told of a delivery", extra={"error": str(error)})
                return False
        return True

    def forget(self, failure: Exception) -> None:
        """Note that the delivery failed and is to be processed when it comes again. Never raises."""
        if self.store is not None:
            try:
                self.store.delete_record(data=self.key, exception=failure)  # type: ignore[arg-type]
            except Exception as error:  # noqa: BLE001 - it is refused until this invocation's time is over
                _logger.warning("the state table could not be told of a failure", extra={"error": str(error)})


class IdempotencyStore:
    """The deliveries processed so far, in the state table; its client is made when it is first asked."""

    def __init__(self, table: str, connect: "Callable[[], DynamoDBClient]") -> None:
        self._table, self._connect = table, connect

    @functools.cached_property
    def _store(self) -> _Store:
        """Made once: each store adds a handler of its own to the client. What could not be made is tried again."""
        store = _Store(table_name=self._table, key_attr="id", boto3_client=self._connect())
        config = IdempotencyConfig(expires_after_seconds=REMEMBERED_SECONDS, hash_function="sha256")
        store.configure(config, key_prefix="delivery")
        return store

    def begin(self, received: Delivery, context: "LambdaContext") -> InProgressDelivery:
        """Note that a delivery is being processed, unless it was before.

        Raises `IdempotencyAlreadyInProgressError` for one that another container is working on, so that Lambda comes
        back to it: by then it is done, or was given up. Without the state table it is processed all the same,
        unchecked: metrics must flow.
        """
        key = _digest(received.log_events)
        try:
            found = self._begin(key, context.get_remaining_time_in_millis())
        except Exception as error:  # noqa: BLE001 - whatever it is, metrics must flow; counted as unchecked
            _logger.warning("the state table could not be asked about duplicates", extra={"error": str(error)})
            return InProgressDelivery(key)
        if found is None:
            return InProgressDelivery(key, self._store)
        if found.status != STATUS_CONSTANTS["COMPLETED"]:
            raise IdempotencyAlreadyInProgressError("another invocation is processing this delivery")
        return InProgressDelivery(key, self._store, found.response_json_as_dict() or {})

    def _begin(self, key: str, remaining_milliseconds: int) -> DataRecord | None:
        """Return what the state table holds of a delivery, or None if that it was begun is now all it holds."""
        store = self._store
        try:
            store.save_inprogress(data=key, remaining_time_in_millis=remaining_milliseconds)  # type: ignore[arg-type]
        except IdempotencyItemAlreadyExistsError as error:
            return error.old_data_record or store.get_record(data=key)  # type: ignore[arg-type]
        return None


def _digest(events: Sequence[LogEvent]) -> str:
    """Return what a delivery is known by: the ids of its events, or the text of one that has none."""
    digest = hashlib.sha256()
    for event in events:
        digest.update(event.id.encode() if event.id else hashlib.sha256(_utf8(event.message)).digest())
        digest.update(b"\n")
    return digest.hexdigest()


def _utf8(message: Message) -> bytes:
    return message if isinstance(message, bytes) else message.encode()
