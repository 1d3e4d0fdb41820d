"""Trim a record that must wait: keep only what decides about its metrics, so that no record takes much memory."""

from collections.abc import Iterable

import msgspec

from bedrock_quota.processor.callers import MAX_LABEL, MAX_REMEMBERED_ARN, parse_caller, parse_session
from bedrock_quota.processor.max_tokens import DECLARED_LIMIT_KEY
from bedrock_quota.processor.records import Identity, Record, safe_request_id

MAX_WORD = 65
"""Characters that are kept of a word: one more than the longest that counts as a word."""

MAX_TAG = MAX_LABEL + 1
"""Characters that are kept of a tag: one more than a label has, because a longer one ends in dots."""


def trim_record(record: Record, metadata_keys: Iterable[str]) -> Record:
    """Return a record that comes to the same usage, without the tags that are not in `metadata_keys`.

    All texts that the fast reader takes at any length are cut. A model id and a path are short, or do not wait.
    """
    tags, performance = record.request_metadata, record.performance_config
    if performance is not None and performance.latency is not None:
        performance = msgspec.structs.replace(performance, latency=performance.latency[:MAX_WORD])
    return msgspec.structs.replace(
        record,
        operation=record.operation[:MAX_WORD],
        request_id=safe_request_id(record.request_id) or "",
        error_code=None if record.error_code is None else record.error_code[:MAX_WORD],
        identity=_trim_identity(record.identity),
        request_metadata={key: tags[key][:MAX_TAG] for key in (*metadata_keys, DECLARED_LIMIT_KEY) if key in tags}
        if tags
        else None,
        performance_config=performance,
    )


def _trim_identity(identity: Identity | None) -> Identity | None:
    """Return the identity. An ARN that is longer than AWS allows becomes a short one of the same caller and session."""
    if identity is None or identity.arn is None or len(identity.arn) <= MAX_REMEMBERED_ARN:
        return identity
    caller, session = parse_caller(identity.arn), parse_session(identity.arn)
    return Identity(f"arn:aws:sts:::assumed-role/{caller}" + (f"/{session}" if session else ""))
