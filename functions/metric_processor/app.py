"""MetricProcessorFunction: one delivery of Bedrock's invocation logs in, metric lines out."""

import functools
import os
import sys
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from bedrock_quota import clients, delivery, lines, processing, registry, settings, state
from bedrock_quota.delivery import Delivery
from bedrock_quota.knowledge import Container
from bedrock_quota.snapshots import Snapshot

logger = Logger(service="bedrock_quota")


@functools.cache
def container() -> Container:
    """Make what this container keeps, from the environment."""
    given = settings.from_environment(os.environ)

    def read_snapshot() -> Snapshot | None:
        return state.read_snapshot(given.state_table, clients.state()) if given.state_table else None

    return Container(given, registry.load(registry.COMPILED.read_bytes()), read_snapshot)


def _now(received: Delivery) -> datetime:
    """Return the time that records are judged by: with `sam local invoke` that of the recorded delivery itself.

    Else a ready event would be too old two weeks after it was made.
    """
    if os.environ.get("AWS_SAM_LOCAL") == "true" and received.log_events:
        return datetime.fromtimestamp(received.log_events[-1].timestamp / 1000, UTC)
    return datetime.now(UTC)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Process one delivery, once. A delivery that cannot be read, or that another container works on, fails loudly."""
    kept = container()
    received = delivery.decode(event)
    now = _now(received)
    if kept.deliveries is None or received.is_control:  # every control message is like every other
        return _process(kept, received, now, checked=True)
    once = kept.deliveries.once(received, context, lambda checked: _process(kept, received, now, checked=checked))
    if once.duplicate:
        lines.write([processing.duplicate(received, kept.settings.namespace, now)], sys.stdout)
    return once.result


def _process(kept: Container, received: Delivery, now: datetime, *, checked: bool) -> dict[str, int]:
    """Compute all of a delivery, then write once."""
    known = kept.knowledge()
    outcome = processing.process(
        received,
        known.accounts,
        quotas=known.quotas,
        namespace=kept.settings.namespace,
        now=now,
        quota_age_seconds=known.age_seconds(now),
        seen=kept.seen,
        checked=checked,
        fetch_bodies=kept.fetch_bodies,
    )
    for rejected in outcome.rejected[: processing.MAX_NAMED]:
        logger.warning("record rejected", reason=rejected.reason, request_id=rejected.request_id)
    for model_id in kept.first_seen(outcome.unlisted):
        logger.warning(
            "model is not in the registry: its burndown rate and default max_tokens are its provider's; "
            "add it to registry/models or to the SSM parameter of overrides, as docs/adding-models.md says",
            model_id=model_id,
        )
    lines.write(outcome.lines, sys.stdout)
    kept.seen.remember(received)
    counts = {"received": outcome.received, "processed": outcome.processed}
    return {**counts, "rejected": len(outcome.rejected)} if outcome.rejected else counts
