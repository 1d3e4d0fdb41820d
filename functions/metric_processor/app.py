"""MetricProcessorFunction: one delivery of Bedrock's invocation logs in, metric lines out."""

import functools
import os
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec
from aws_lambda_powertools import Logger

from bedrock_quota import clients, delivery, processing, registry, settings, state
from bedrock_quota.accounts import Accounts
from bedrock_quota.delivery import Delivery
from bedrock_quota.profiles import Profiles
from bedrock_quota.quotas import Snapshot
from bedrock_quota.settings import Settings
from bedrock_quota.snapshots import Snapshots

logger = Logger(service="bedrock_quota")


class Container(msgspec.Struct, frozen=True):
    """What one container makes at its cold start and keeps."""

    settings: Settings
    accounts: Accounts
    snapshots: Snapshots
    warned_of: set[str]
    """Unlisted models that this container has named in its log."""


@functools.cache
def container() -> Container:
    """Make the container's parts from the environment."""
    given = settings.from_environment(os.environ)
    known = registry.load(registry.COMPILED.read_bytes())

    def read_snapshot() -> Snapshot | None:
        return state.read_snapshot(given.state_table, clients.state()) if given.state_table else None

    return Container(
        settings=given,
        accounts=Accounts(known, Profiles(given.state_table).resolve, given.metadata_keys),
        snapshots=Snapshots(read_snapshot),
        warned_of=set(),
    )


def _now(received: Delivery) -> datetime:
    """Return the time that records are judged by: with `sam local invoke` that of the recorded delivery itself.

    Else a ready event would be too old two weeks after it was made.
    """
    if os.environ.get("AWS_SAM_LOCAL") == "true" and received.log_events:
        return datetime.fromtimestamp(received.log_events[-1].timestamp / 1000, UTC)
    return datetime.now(UTC)


def handler(event: dict[str, Any], _context: object) -> dict[str, int]:
    """Process one delivery: compute all of it, then write once. A delivery that cannot be read fails loudly."""
    parts = container()
    received = delivery.decode(event)
    now = _now(received)
    outcome = processing.process(
        received,
        parts.accounts,
        quotas=parts.snapshots.quotas(),
        namespace=parts.settings.namespace,
        now=now,
        quota_age_seconds=parts.snapshots.age_seconds(now),
    )
    for rejected in outcome.rejected[: processing.MAX_NAMED]:
        logger.warning("record rejected", reason=rejected.reason, request_id=rejected.request_id)
    for model_id in sorted(set(outcome.unlisted) - parts.warned_of):
        parts.warned_of.add(model_id)
        logger.warning(
            "model is not in the registry: its burndown rate and default max_tokens are its provider's; "
            "add it as docs/adding-models.md says",
            model_id=model_id,
        )
    sys.stdout.write(b"".join(line + b"\n" for line in outcome.lines).decode())
    sys.stdout.flush()
    return {"received": outcome.received, "processed": outcome.processed}
