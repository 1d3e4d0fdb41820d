"""QuotaFetcherFunction: from Service Quotas to quota metrics and the processor's snapshot, on a schedule."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from aws_lambda_powertools import Logger

from bedrock_quota import custom_resource
from bedrock_quota.errors import QuotaFetchError

with custom_resource.report_import_failure():
    from bedrock_quota import clients, emf
    from bedrock_quota.access_denied import make_waits, retry_while_denied
    from bedrock_quota.fetcher import aws_sources, burndown_drift
    from bedrock_quota.fetcher.fetch import Sources
    from bedrock_quota.fetcher.news import make_message
    from bedrock_quota.fetcher.quota_lines import lines_for_quotas
    from bedrock_quota.fetcher.refresh import SnapshotStore, refresh_snapshot
    from bedrock_quota.registry.models import COMPILED_REGISTRY, Registry, load_registry
    from bedrock_quota.settings import Settings, read_settings
    from bedrock_quota.state.snapshot import StoredSnapshot
    from bedrock_quota.state.table import read_stored_snapshot, write_snapshot

logger = Logger(service="bedrock_quota")

Value = TypeVar("Value")


def handler(event: dict[str, Any], _context: object) -> dict[str, int] | None:
    """Fetch on schedule and when the overrides change, and raise the failures. Fetch once for CloudFormation."""
    if custom_resource.is_request(event):
        custom_resource.handle_request(event, physical_id="first-quota-fetch", act=_fetch_first)
        return None
    return _fetch(waits=iter(()))


def _fetch_first(event: Mapping[str, Any]) -> Mapping[str, str]:
    """Fetch at deployment. A failure does not stop the deployment: the stack's output shows it.

    The role's policy may be too new to be known everywhere. All calls together wait for that. A request for which the
    stack no longer waits fetches nothing.
    """
    if event["RequestType"] == "Delete":
        return {}
    try:
        waits = make_waits()
        status = retry_while_denied(lambda: custom_resource.stack_status(event, clients.cloudformation()), waits=waits)
        if custom_resource.is_too_late(event, status):
            return {"Result": f"skipped: the stack is already {status}"}
        counts = _fetch(waits)
    except Exception as error:
        logger.exception("first quota fetch failed")
        return {"Result": f"failed, will be retried on schedule: {error}"[:500]}
    return {"Result": f"{counts['listed']} quotas listed, {counts['pools']} pools have a quota"}


def _fetch(waits: Iterator[float]) -> dict[str, int]:
    """Fetch, store, publish and notify. Raises `QuotaFetchError` at the end if any part failed.

    `waits` are the seconds to wait after each call that is denied. Without one, the call has failed.
    """
    given = read_settings(os.environ)
    known = load_registry(COMPILED_REGISTRY.read_bytes())
    now = datetime.now(UTC)
    fetched = refresh_snapshot(
        _make_sources(given, known, now, waits),
        known,
        given.always_published,
        now,
        store=_make_store(given, waits),
        notify=_make_notify(given, waits),
    )
    written = lines_for_quotas(
        given.namespace,
        now.timestamp(),
        fetched.quotas,
        fetched.changes,
        account_tokens_per_day=fetched.account_tokens_per_day,
        throttled_by_day=fetched.throttled_by_day,
        ends_of_life=fetched.ends_of_life,
    )
    emf.write_lines(tuple(written), sys.stdout)
    for sentence in (*fetched.notices, *fetched.remarks):
        logger.warning(sentence)
    for problem in fetched.problems:
        logger.error(problem)
    counts = {
        "listed": fetched.listed,
        "pools": len(fetched.snapshot.quotas),
        "published": len(fetched.quotas),
        "problems": len(fetched.problems),
    }
    logger.info("quotas fetched", extra=counts)
    if fetched.problems:
        raise QuotaFetchError("; ".join(fetched.problems))
    return counts


def _make_sources(given: Settings, known: Registry, now: datetime, waits: Iterator[float]) -> Sources:
    def patient(call: Callable[[], Value]) -> Callable[[], Value]:
        return lambda: retry_while_denied(call, waits=waits)

    return Sources(
        overrides=patient(lambda: aws_sources.read_overrides_parameter(given.overrides_parameter, clients.ssm())),
        quotas=patient(lambda: aws_sources.list_quotas(clients.service_quotas())),
        in_use=patient(
            lambda: (
                aws_sources.list_pools_called(clients.cloudwatch(), given.namespace)
                | aws_sources.list_pools_refused(clients.cloudwatch(), known)
            )
        ),
        profiles=patient(lambda: aws_sources.list_application_profiles(clients.bedrock_settings())),
        applied=patient(lambda: burndown_drift.read_token_sums(clients.cloudwatch(), known.id_prefixes, now)),
        throttled=lambda pools: retry_while_denied(
            lambda: aws_sources.list_pools_throttled(clients.cloudwatch(), known, pools, now), waits=waits
        ),
    )


def _make_store(given: Settings, waits: Iterator[float]) -> SnapshotStore:
    table = given.state_table
    if table is None:
        return SnapshotStore(read=StoredSnapshot, write=lambda _snapshot, _version: None)
    return SnapshotStore(
        read=lambda: retry_while_denied(lambda: read_stored_snapshot(table, clients.state()), waits=waits),
        write=lambda snapshot, version: retry_while_denied(
            lambda: write_snapshot(table, clients.state(), snapshot, version), waits=waits
        ),
    )


def _make_notify(given: Settings, waits: Iterator[float]) -> Callable[[tuple[str, ...]], None]:
    """Return the function that sends notices to the topic. Without a topic they are only in the log."""

    def notify(notices: tuple[str, ...]) -> None:
        if given.topic_arn:
            topic = given.topic_arn
            retry_while_denied(lambda: clients.sns().publish(**make_message(topic, notices)), waits=waits)

    return notify
