"""MetricProcessorFunction: deliveries of Bedrock's invocation logs in, metric lines out."""

import functools
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from bedrock_quota import clients, emf
from bedrock_quota.state import table
from bedrock_quota.processor.batch import process_batch
from bedrock_quota.processor.event import batch_response, split_event
from bedrock_quota.processor.pipeline import MAX_NAMED
from bedrock_quota.registry.models import COMPILED_REGISTRY, load_registry
from bedrock_quota.settings import read_settings
from bedrock_quota.processor.delivery import Delivery
from bedrock_quota.processor.container import Container
from bedrock_quota.processor.pipeline import Outcome
from bedrock_quota.state.snapshot import Snapshot

logger = Logger(service="bedrock_quota")


@functools.cache
def container() -> Container:
    """Make what this container keeps, from the environment."""
    given = read_settings(os.environ)

    def read_snapshot() -> Snapshot | None:
        return table.read_snapshot(given.state_table, clients.state()) if given.state_table else None

    return Container(given, load_registry(COMPILED_REGISTRY.read_bytes()), read_snapshot)


def _now(received: Delivery) -> datetime:
    """Return the time that records are judged by: with `sam local invoke` that of the recorded delivery itself.

    Else a ready event would be too old two weeks after it was made.
    """
    if container().settings.invoked_by_sam and received.log_events:
        return datetime.fromtimestamp(received.log_events[-1].timestamp / 1000, UTC)
    return datetime.now(UTC)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Process the deliveries of an event, each once. What cannot be read, or is being processed, fails loudly."""
    sent = split_event(event)
    return batch_response(sent, process_batch(sent, container(), context, _now, _publish))


def _publish(outcome: Outcome | None, again: Sequence[bytes]) -> None:
    """Write everything at once, now that all of it is computed; before that, what people should know."""
    if outcome is not None:
        for rejected in outcome.rejected[: MAX_NAMED]:
            logger.warning("record rejected", reason=rejected.reason, request_id=rejected.request_id)
        for model_id in container().first_seen(outcome.unlisted):
            logger.warning(
                "model is not in the registry: its burndown rate and default max_tokens are its provider's; "
                "add it to registry/models or to the SSM parameter of overrides, as docs/adding-models.md says",
                model_id=model_id,
            )
        if outcome.other_calls:
            logger.warning(
                "calls of more kinds, pools and minutes than lines are written for have no metrics: "
                'their sums are on a line with event = "other_calls"',
                calls=outcome.other_calls,
            )
    emf.write_lines([*(outcome.lines if outcome is not None else ()), *again], sys.stdout)
