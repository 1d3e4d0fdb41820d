"""Duplicates: CloudWatch Logs and Lambda deliver at least once; what they deliver twice is processed once.

A whole delivery is known again by its event ids, in the state table, by Powertools Idempotency, whose import costs more
than all the rest: import this module only where duplicates are to be detected.
"""

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
from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyPersistenceLayerError

from bedrock_quota.delivery import Delivery, LogEvent

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_dynamodb import DynamoDBClient

_logger = logging.getLogger(__name__)

REMEMBERED_SECONDS = 26 * 3600
"""CloudWatch Logs tries a delivery again for up to 24 hours; two more for the clocks."""

Result = dict[str, Any]

Work = Callable[[bool], Result]
"""Processes the delivery; told whether duplicates could be looked for."""


class Once(msgspec.Struct, frozen=True):
    """What became of a delivery: its result, and whether it had been processed before."""

    result: Result
    duplicate: bool


class ProcessedDeliveries:
    """The deliveries processed so far, in the state table."""

    def __init__(self, table: str, client: "DynamoDBClient") -> None:
        self._store = DynamoDBPersistenceLayer(table_name=table, key_attr="id", boto3_client=client)
        self._config = IdempotencyConfig(expires_after_seconds=REMEMBERED_SECONDS, hash_function="sha256")

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

        self._config.register_lambda_context(context)
        guarded = idempotent_function(
            run,
            data_keyword_argument="delivery",
            persistence_store=self._store,
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
    return hashlib.sha256("\n".join(event.id for event in events).encode()).hexdigest()
