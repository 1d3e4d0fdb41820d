"""QuotaFetcherFunction: Service Quotas in, quota metrics and the processor's snapshot out; on a schedule."""

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parameters import SSMProvider
from botocore.exceptions import BotoCoreError, ClientError

from bedrock_quota import clients, custom_resources, drift, fetching, lines, registry, settings, state
from bedrock_quota.errors import QuotaFetchError
from bedrock_quota.fetching import Fetch, Sources
from bedrock_quota.settings import Settings
from bedrock_quota.snapshots import Snapshot

logger = Logger(service="bedrock_quota")

NO_OVERRIDES = "{}"

MAX_UNTOLD = 500
"""Sentences kept for the next time where people could not be told: the snapshot must fit one item."""


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
    """Fetch, publish, tell and store. Raises `QuotaFetchError` at the end if any of it could not be done."""
    given = settings.from_environment(os.environ)
    known = registry.load(registry.COMPILED.read_bytes())
    now = datetime.now(UTC)
    problems: list[str] = []
    before, answers = None, True
    if given.state_table:
        try:
            before = state.read_snapshot(given.state_table, clients.state())
        except Exception as error:  # noqa: BLE001 - whatever it is, quotas are published; raised in the end
            problems.append(f"the last snapshot could not be read: {type(error).__name__}: {error}")
            answers = not isinstance(error, (BotoCoreError, ClientError))
    fetched = fetching.fetch(_sources(given, list(known.provider_by_id), now), known, before, given.always, now)
    problems += fetched.problems
    written = lines.of_quotas(given.namespace, now.timestamp(), fetched.quotas, fetched.changes)
    sys.stdout.write(b"".join(line + b"\n" for line in written).decode())
    sys.stdout.flush()
    if answers:  # else a snapshot is there of which nobody knows what was told, and what it holds that cannot be read
        _tell_and_store(fetched, before, given, problems)
    counts = {
        "listed": fetched.listed,
        "buckets": len(fetched.snapshot.quotas),
        "published": len(fetched.quotas),
        "problems": len(problems),
    }
    logger.info("quotas fetched", extra=counts)
    for problem in problems:
        logger.error(problem)
    if problems:
        raise QuotaFetchError("; ".join(problems))
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
        profiles=lambda: fetching.application_profiles(clients.bedrock()),
        applied=lambda: drift.measured(clients.cloudwatch(), providers, now),
    )


def _tell_and_store(fetched: Fetch, before: Snapshot | None, given: Settings, problems: list[str]) -> None:
    """Tell what is new, and store the snapshot, with what could not be told: it is told the next time."""
    untold = before.untold if before else ()
    notices = (*untold, *(notice for notice in fetched.notices if notice not in untold))
    for sentence in (*fetched.notices, *fetched.remarks):
        logger.warning(sentence)
    snapshot = fetched.snapshot
    if notices and given.topic_arn:
        try:
            _publish(notices, given.topic_arn)
        except Exception as error:  # noqa: BLE001 - whatever it is, the processor gets its quotas; raised in the end
            problems.append(f"people were not told of {len(notices)} changes: {type(error).__name__}: {error}")
            snapshot = msgspec.structs.replace(snapshot, untold=notices[:MAX_UNTOLD])
    if given.state_table:
        try:
            state.write_snapshot(given.state_table, clients.state(), snapshot)
        except Exception as error:  # noqa: BLE001 - as above
            problems.append(f"the snapshot was not stored: {type(error).__name__}: {error}")


def _publish(notices: Sequence[str], topic_arn: str) -> None:
    count = len(notices)
    clients.notifications().publish(
        TopicArn=topic_arn,
        Subject=f"Bedrock quotas: {count} change{'s' if count > 1 else ''}",
        Message="\n".join(notices)[:200_000],
    )
