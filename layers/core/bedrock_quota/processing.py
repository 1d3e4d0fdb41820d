"""The processing of one delivery: `delivery → records → accounts → minutes → metric lines`, written by the caller."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

import msgspec

from bedrock_quota import lines, minutes, records
from bedrock_quota.accounts import Account, Accounts, FailedCall
from bedrock_quota.buckets import Bucket
from bedrock_quota.delivery import Delivery
from bedrock_quota.errors import RecordError
from bedrock_quota.max_tokens import Source
from bedrock_quota.quotas import BucketQuota

MAX_NAMED = 20
"""Request ids and model ids named by one delivery; the rest is only counted."""


class Rejected(msgspec.Struct, frozen=True):
    """A record that could not be used: why, and which, if it says so in a form that is safe to log."""

    reason: str
    request_id: str | None


class Outcome(msgspec.Struct, frozen=True):
    """All that one delivery came to. `lines` are ready to be written; the rest is for the log.

    `received` = processed + rejected + out of scope + failed + ignored.
    """

    lines: tuple[bytes, ...]
    received: int
    processed: int
    failed: int
    ignored: int
    rejected: tuple[Rejected, ...]
    out_of_scope: Mapping[str, int]
    unlisted: tuple[str, ...]


def process(
    delivery: Delivery,
    accounts: Accounts,
    *,
    quotas: Mapping[Bucket, BucketQuota] | None,
    namespace: str,
    now: datetime,
    quota_age_seconds: float | None = None,
) -> Outcome:
    """Turn one delivery into metric lines.

    A bad record is counted with its reason and the others go on. `quotas` is None where they could not be read:
    the percent metrics are then left out, and the health line says so by its missing `quota_age_seconds`.
    """
    opened: list[Account] = []
    failed: list[FailedCall] = []
    rejected: list[Rejected] = []
    out_of_scope: Counter[str] = Counter()
    ignored = 0
    for event in delivery.log_events:
        if delivery.is_control or records.is_permissions_line(event.message):
            ignored += 1
            continue
        try:
            entry = accounts.of(records.read(event.message), now)
        except RecordError as error:
            rejected.append(Rejected(error.reason, records.request_id_of(error.request_id)))
            continue
        if isinstance(entry, Account):
            opened.append(entry)
        elif isinstance(entry, FailedCall):
            failed.append(entry)
        else:
            out_of_scope[entry.reason] += 1
    sources = Counter(account.source for account in opened)
    unlisted = Counter(account.bucket.model_id for account in opened if not account.listed)
    health: dict[str, float] = {
        "RecordsProcessed": len(opened),
        "RecordsRejected": len(rejected),
        "RecordsOutOfScope": out_of_scope.total(),
        "RequestsFailed": len(failed),
        "MaxTokensUnknown": sources[Source.UNKNOWN],
        "UnlistedModels": unlisted.total(),
    }
    if opened:
        health["RecordLagSeconds"] = max(0.0, now.timestamp() - min(account.started for account in opened))
    properties: dict[str, object] = {
        "event": "delivery",
        "received": len(delivery.log_events),
        "ignored": ignored,
        "control": delivery.is_control,
        "max_tokens_explicit": sources[Source.EXPLICIT],
        "max_tokens_default": sources[Source.DEFAULT],
        "max_tokens_none": sources[Source.NONE],
    }
    if quotas is not None and quota_age_seconds is not None:
        properties["quota_age_seconds"] = round(quota_age_seconds)
    if rejected:
        properties["rejected_reasons"] = dict(Counter(each.reason for each in rejected))
    if out_of_scope:
        properties["out_of_scope_reasons"] = dict(out_of_scope)
    if failed:
        properties["error_codes"] = dict(Counter(call.error_code for call in failed).most_common(MAX_NAMED))
    health_line = lines.of_health(namespace, now.timestamp(), health, {"RecordLagSeconds": "Seconds"}, properties)
    return Outcome(
        lines=(
            *lines.of_minutes(minutes.group(opened), namespace, quotas or {}),
            *lines.of_failed_calls(failed, namespace, quotas or {}),
            health_line,
        ),
        received=len(delivery.log_events),
        processed=len(opened),
        failed=len(failed),
        ignored=ignored,
        rejected=tuple(rejected),
        out_of_scope=dict(out_of_scope),
        unlisted=tuple(unlisted)[:MAX_NAMED],
    )
