"""QuotaFetcherFunction: Service Quotas in, quota metrics and the processor's snapshot out; on a schedule."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools import Logger

from bedrock_quota import custom_resources
from bedrock_quota.errors import QuotaFetchError

with custom_resources.answered_if_it_fails():
    from bedrock_quota import clients, drift, fetching, lines, registry, renewal, settings, state
    from bedrock_quota.fetching import Sources
    from bedrock_quota.registry import Registry
    from bedrock_quota.renewal import Shelf
    from bedrock_quota.settings import Settings
    from bedrock_quota.snapshots import Stored

logger = Logger(service="bedrock_quota")


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
    fetched = renewal.renew(
        _sources(given, known, now), known, given.always, now, shelf=_shelf(given), tell=_tell(given)
    )
    written = lines.of_quotas(given.namespace, now.timestamp(), fetched.quotas, fetched.changes)
    lines.write(tuple(written), sys.stdout)
    for sentence in (*fetched.notices, *fetched.remarks):
        logger.warning(sentence)
    for problem in fetched.problems:
        logger.error(problem)
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


def _sources(given: Settings, known: Registry, now: datetime) -> Sources:
    return Sources(
        overrides=lambda: fetching.stored_overrides(given.overrides_parameter, clients.parameters()),
        quotas=lambda: fetching.list_quotas(clients.service_quotas()),
        in_use=lambda: (
            fetching.buckets_called(clients.cloudwatch(), given.namespace)
            | fetching.buckets_refused(clients.cloudwatch(), known)
        ),
        profiles=lambda: fetching.application_profiles(clients.bedrock()),
        applied=lambda: drift.measured(clients.cloudwatch(), known.id_prefixes, now),
    )


def _shelf(given: Settings) -> Shelf:
    table = given.state_table
    if table is None:
        return Shelf(read=Stored, write=lambda _snapshot, _version: None)
    return Shelf(
        read=lambda: state.read_stored(table, clients.state()),
        write=lambda snapshot, version: state.write_snapshot(table, clients.state(), snapshot, version),
    )


def _tell(given: Settings) -> Callable[[tuple[str, ...]], None]:
    """Return what sends notices to the topic; without one, the log has them."""

    def tell(notices: tuple[str, ...]) -> None:
        if given.topic_arn:
            clients.notifications().publish(
                TopicArn=given.topic_arn,
                Subject=f"Bedrock quotas: {len(notices)} change{'s' if len(notices) > 1 else ''}",
                Message="\n".join(notices)[:200_000],  # SNS takes 256 KB
            )

    return tell
