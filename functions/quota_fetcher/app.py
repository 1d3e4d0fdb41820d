"""QuotaFetcherFunction: Service Quotas in, quota metrics and the processor's snapshot out; on a schedule."""

import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parameters import SSMProvider

from bedrock_quota import clients, custom_resources, drift, fetching, lines, registry, settings, state
from bedrock_quota.errors import QuotaFetchError
from bedrock_quota.fetching import Fetch, Sources
from bedrock_quota.settings import Settings

logger = Logger(service="bedrock_quota")

NO_OVERRIDES = "{}"


def handler(event: dict[str, Any], _context: object) -> dict[str, int] | None:
    """Fetch on schedule and when the overrides change, raising what failed; and once for CloudFormation."""
    if custom_resources.is_request(event):
        custom_resources.serve(event, physical_id="first-quota-fetch", act=_first_fetch)
        return None
    return _fetch()


def _first_fetch(event: Mapping[str, Any]) -> Mapping[str, str]:
    """Fetch at deployment. What cannot be read then does not stop it: the stack's output says so."""
    if event["RequestType"] == "Delete":
        return {}
    try:
        counts = _fetch()
    except Exception as error:
        logger.exception("first quota fetch failed")
        return {"Result": f"failed, will be tried again on schedule: {error}"[:500]}
    return {"Result": f"{counts['listed']} quotas listed, {counts['buckets']} buckets have one"}


def _fetch() -> dict[str, int]:
    """Fetch, store, publish and tell. Raises `QuotaFetchError` at the end if any of it could not be done."""
    given = settings.from_environment(os.environ)
    known = registry.load(registry.COMPILED.read_bytes())
    now = datetime.now(UTC)
    before = state.read_snapshot(given.state_table, clients.state()) if given.state_table else None
    fetched = fetching.fetch(_sources(given, list(known.provider_by_id), now), known, before, given.always, now)
    if given.state_table:
        state.write_snapshot(given.state_table, clients.state(), fetched.snapshot)
    written = lines.of_quotas(given.namespace, now.timestamp(), fetched.quotas, fetched.changes)
    sys.stdout.write(b"".join(line + b"\n" for line in written).decode())
    sys.stdout.flush()
    _tell(fetched, given.topic_arn)
    counts = {
        "listed": fetched.listed,
        "buckets": len(fetched.snapshot.quotas),
        "published": len(fetched.quotas),
        "problems": len(fetched.problems),
    }
    logger.info("quotas fetched", extra=counts)
    if fetched.problems:
        raise QuotaFetchError("; ".join(fetched.problems))
    return counts


def _sources(given: Settings, providers: list[str], now: datetime) -> Sources:
    def overrides() -> str:
        if given.overrides_parameter is None:
            return NO_OVERRIDES
        provider = SSMProvider(boto3_client=clients.parameters())
        return str(provider.get(given.overrides_parameter, force_fetch=True) or NO_OVERRIDES)

    return Sources(
        overrides=overrides,
        quotas=lambda: fetching.list_quotas(clients.service_quotas()),
        in_use=lambda: fetching.buckets_in_use(clients.cloudwatch(), given.namespace),
        profiles=lambda: fetching.application_profiles(clients.bedrock_settings()),
        applied=lambda: drift.measured(clients.cloudwatch(), providers, now),
    )


def _tell(fetched: Fetch, topic_arn: str | None) -> None:
    """Write what is new into the log, and to the topic what somebody may have to act on."""
    for sentence in (*fetched.notices, *fetched.remarks):
        logger.warning(sentence)
    for problem in fetched.problems:
        logger.error(problem)
    if fetched.notices and topic_arn:
        count = len(fetched.notices)
        clients.notifications().publish(
            TopicArn=topic_arn,
            Subject=f"Bedrock quotas: {count} change{'s' if count > 1 else ''}",
            Message="\n".join(fetched.notices)[:200_000],
        )
