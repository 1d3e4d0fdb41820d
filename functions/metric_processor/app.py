"""MetricProcessorFunction: turns deliveries of Bedrock's invocation logs into metric lines."""

import functools
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from bedrock_quota import clients, emf
from bedrock_quota.processor.batch import process_batch
from bedrock_quota.processor.container import Container
from bedrock_quota.processor.delivery import Delivery
from bedrock_quota.processor.event import batch_response, split_event
from bedrock_quota.processor.pipeline import Outcome
from bedrock_quota.processor.usage import MAX_NAMED
from bedrock_quota.registry.models import COMPILED_REGISTRY, load_registry
from bedrock_quota.settings import read_settings
from bedrock_quota.state import table
from bedrock_quota.state.snapshot import Snapshot

logger = Logger(service="bedrock_quota")


@functools.cache
def container() -> Container:
    """Make the container's values from the environment, once."""
    given = read_settings(os.environ)

    def read_snapshot() -> Snapshot | None:
        return table.read_snapshot(given.state_table, clients.state()) if given.state_table else None

    return Container(given, load_registry(COMPILED_REGISTRY.read_bytes()), read_snapshot)


def _choose_time(received: Delivery) -> datetime:
    """Return the time that records are compared with.

    With `sam local invoke` it is the recorded delivery's own, because a ready event is too old after two weeks. Calls
    from the queue have no such time.
    """
    recorded = received.log_events[-1].timestamp if received.log_events else 0
    if recorded and container().settings.invoked_by_sam:
        return datetime.fromtimestamp(recorded / 1000, UTC)
    return datetime.now(UTC)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Process the deliveries of an event, each once. Raises for a delivery that cannot be read."""
    sent = split_event(event)
    return batch_response(sent, process_batch(sent, container(), context, _choose_time, _publish))


def _publish(outcome: Outcome | None, duplicate_lines: Sequence[bytes]) -> None:
    """Write the lines, now that all of them are computed, after the warnings for people."""
    if outcome is not None and (outcome.rejected or outcome.unlisted or outcome.unknown_tiers):
        _warn(outcome)
    emf.write_lines(chain(outcome.lines if outcome is not None else (), duplicate_lines), sys.stdout)


def _warn(outcome: Outcome) -> None:
    """Name the rejected records in the log, and the unknown models and service tiers that it has not named yet."""
    for rejected in outcome.rejected[:MAX_NAMED]:
        logger.warning("record rejected", reason=rejected.reason, request_id=rejected.request_id)
    for model_id in container().select_unnamed(outcome.unlisted):
        logger.warning(
            "model is not in the registry, so the burndown rate and default max_tokens of its provider apply: "
            "add it to registry/models or to the SSM parameter of overrides, see docs/adding-models.md",
            model_id=model_id,
        )
    for tier in container().select_unnamed_tiers(outcome.unknown_tiers):
        logger.warning(
            "service tier is not known, so its calls count against the on-demand quota: if AWS gives it a quota of "
            "its own, look for a newer version of this application",
            service_tier=tier,
        )
