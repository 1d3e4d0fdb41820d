"""QuotaFetcherFunction: Service Quotas in, quota metrics and the processor's snapshot out; on a schedule."""

import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools import Logger

from bedrock_quota import clients, custom_resources, fetching, lines, registry, settings, state
from bedrock_quota.errors import QuotaFetchError

logger = Logger(service="bedrock_quota")


def handler(event: dict[str, Any], _context: object) -> dict[str, int] | None:
    """Fetch the quotas: on schedule, where a failure is raised, and once for CloudFormation at deployment."""
    if custom_resources.is_request(event):
        custom_resources.serve(event, physical_id="first-quota-fetch", act=_first_fetch)
        return None
    return _fetch()


def _first_fetch(event: Mapping[str, Any]) -> Mapping[str, str]:
    """Fetch at deployment. Quotas that cannot be read do not stop it: the stack's output says so."""
    if event["RequestType"] == "Delete":
        return {}
    try:
        counts = _fetch()
    except QuotaFetchError as error:
        logger.exception("first quota fetch failed")
        return {"Result": f"failed, will be tried again on schedule: {error}"[:500]}
    return {"Result": f"{counts['listed']} quotas listed, {counts['buckets']} buckets have one"}


def _fetch() -> dict[str, int]:
    """Fetch the quotas, store them, publish those of the buckets in use. Raises if any of it could not be done."""
    given = settings.from_environment(os.environ)
    known = registry.load(registry.COMPILED.read_bytes())
    now = datetime.now(UTC)
    listed = fetching.list_quotas(clients.service_quotas())
    snapshot = fetching.snapshot(listed, known, now)
    if given.state_table:
        state.write_snapshot(given.state_table, clients.state(), snapshot)
    in_use = fetching.buckets_in_use(clients.cloudwatch(), given.namespace)
    published = {bucket: quota for bucket, quota in snapshot.quotas if bucket in in_use}
    counts = {"listed": len(listed), "buckets": len(snapshot.quotas), "published": len(published)}
    logger.info("quotas fetched", extra=counts)
    sys.stdout.write(
        b"".join(line + b"\n" for line in lines.of_quotas(given.namespace, now.timestamp(), published)).decode()
    )
    sys.stdout.flush()
    return counts
