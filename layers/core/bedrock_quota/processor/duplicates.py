"""Duplicates: CloudWatch Logs and Lambda deliver at least once, and the processor counts each delivery once.

Powertools Idempotency recognises a whole delivery by its event ids, in the state table. Its import costs more than all
the rest, so import this module only if duplicates are detected.
"""

import functools
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyItemAlreadyExistsError,
)
from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import STATUS_CONSTANTS, DataRecord

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_dynamodb import DynamoDBClient

_logger = logging.getLogger(__name__)

REMEMBERED_SECONDS = 15 * 24 * 3600
"""CloudWatch Logs retries a delivery for up to 24 hours. Failed ones are kept, and can be replayed, for 14 days."""

WAIT_SECONDS = 1.0
"""Time until the state table is asked again about a delivery that another invocation is processing."""

MIN_MILLISECONDS_TO_WAIT = 15_000
"""Remaining time below which an invocation does not wait for another one."""

Result = dict[str, Any]


class _Store(DynamoDBPersistenceLayer):
    """Powertools' store, which recognises its own record.

    If the response to the first attempt at writing is lost, boto3's second attempt finds the delivery in progress, by
    this very invocation. Refusing it would fail a delivery because the state table is slow.
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
    """A delivery that was started. With a `result` there is nothing to process. Without a store nobody could check.

    `is_elsewhere` is true if another invocation is processing it.
    """

    key: str
    store: _Store | None = None
    result: Result | None = None
    is_elsewhere: bool = False
    quick_store: Callable[[], _Store] | None = None

    @property
    def checked(self) -> bool:
        """True if the state table could be asked about the delivery."""
        return self.store is not None

    def complete(self, result: Result, *, quickly: bool = False) -> bool:
        """Record the delivery as processed, and return True if that worked. Never raises: its metrics are written.

        With `quickly`, DynamoDB is asked once, for a fraction of a second.
        """
        if self.store is not None:
            try:
                store = self.quick_store() if quickly and self.quick_store is not None else self.store
                store.save_success(data=self.key, result=result)  # type: ignore[arg-type]
            except Exception as error:  # noqa: BLE001 - a retry of this delivery would count twice: docs/limits.md
                _logger.warning("could not record a processed delivery in the state table", extra={"error": str(error)})
                return False
        return True

    def release(self, failure: Exception) -> None:
        """Delete the record of a failed delivery, so that a retry is processed. Never raises."""
        if self.store is not None:
            try:
                self.store.delete_record(data=self.key, exception=failure)  # type: ignore[arg-type]
            except Exception as error:  # noqa: BLE001 - retries are refused until this invocation's time is over
                _logger.warning(
                    "could not delete the record of a failed delivery from the state table", extra={"error": str(error)}
                )


class IdempotencyStore:
    """The deliveries processed so far, in the state table. The client is made at the first call."""

    def __init__(
        self,
        table: str,
        connect: "Callable[[], DynamoDBClient]",
        connect_quickly: "Callable[[], DynamoDBClient]",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._table, self._connect, self._connect_quickly, self._sleep = table, connect, connect_quickly, sleep

    @functools.cached_property
    def _store(self) -> _Store:
        """Make the store once, because each store adds a handler to the client. A failed attempt is repeated."""
        return self._make_store(self._connect())

    @functools.cached_property
    def _quick_store(self) -> _Store:
        return self._make_store(self._connect_quickly())

    def _make_store(self, client: "DynamoDBClient") -> _Store:
        store = _Store(table_name=self._table, key_attr="id", boto3_client=client)
        config = IdempotencyConfig(expires_after_seconds=REMEMBERED_SECONDS, hash_function="sha256")
        store.configure(config, key_prefix="delivery")
        return store

    def start(self, key: str, context: "LambdaContext", *, wait: bool = False) -> InProgressDelivery:
        """Record that the delivery with this key is being processed, unless it was processed before.

        If another invocation is processing it, `is_elsewhere` is true. With `wait`, that is so only after waiting for
        the other one to complete the delivery, or to fail or end, when this one processes it. Without the state table
        the delivery is processed unchecked, because metrics must flow. Once the table has said that another invocation
        is processing it, an error only prolongs the wait.
        """
        seen_elsewhere = False
        while True:
            try:
                found = self._start(key, context.get_remaining_time_in_millis())
            except Exception as error:  # noqa: BLE001 - metrics must flow after any error; counted as unchecked
                _logger.warning("could not ask the state table about duplicates", extra={"error": str(error)})
                if not seen_elsewhere:
                    return InProgressDelivery(key)
            else:
                if found is None:
                    return InProgressDelivery(key, self._store, quick_store=lambda: self._quick_store)
                if found.status == STATUS_CONSTANTS["COMPLETED"]:
                    return InProgressDelivery(key, self._store, found.response_json_as_dict() or {})
                seen_elsewhere = True
            if not wait or context.get_remaining_time_in_millis() < MIN_MILLISECONDS_TO_WAIT:
                return InProgressDelivery(key, self._store, is_elsewhere=True)
            self._sleep(WAIT_SECONDS)

    def _start(self, key: str, remaining_milliseconds: int) -> DataRecord | None:
        """Return the state table's record of a delivery, or None if this invocation has just started it."""
        store = self._store
        try:
            store.save_inprogress(data=key, remaining_time_in_millis=remaining_milliseconds)  # type: ignore[arg-type]
        except IdempotencyItemAlreadyExistsError as error:
            return error.old_data_record or store.get_record(data=key)  # type: ignore[arg-type]
        return None
