"""Trim a record that must wait: keep only what decides about its metrics, so that no record takes much memory."""

from collections.abc import Iterable

import msgspec

from bedrock_quota.model_ids import is_prompt_router
from bedrock_quota.processor.callers import MAX_LABEL, parse_caller, parse_project, parse_session
from bedrock_quota.processor.max_tokens import DECLARED_LIMIT_KEY, read_declared_limit
from bedrock_quota.processor.records import (
    Answer,
    Identity,
    Latency,
    PerformanceConfig,
    PromptRouterTrace,
    Record,
    RecordInput,
    RecordOutput,
    RequestBody,
    Trace,
    safe_request_id,
    safe_tier,
    safe_word,
)
from bedrock_quota.processor.serving import NOTHING_NAMED, Serving, find_serving

CUT_REASON = "max_tokens"
"""The reason that stands for all of `serving.CUT_REASONS`."""

MAX_TAG = MAX_LABEL + 1
"""Characters that are kept of a tag: one more than a label has, because a longer one ends in dots."""

MAX_PATH = 2_048
"""Longest path of a body in S3 that is read. A bucket and a key have at most 63 and 1,024 bytes."""


def trim_record(record: Record, metadata_keys: Iterable[str], *, with_session: bool) -> Record:
    """Return a record that comes to the same usage, without the tags that are not in `metadata_keys`.

    Its ARN is a short one of the same caller, and of the same session only if `with_session`.
    All texts that the fast reader takes at any length are cut. A model id is short, or does not wait. Of the words in
    bodies only the tier, the latency and a cut end are kept, in words of this application.
    """
    tags = record.request_metadata
    kept = metadata_keys if read_declared_limit(tags) is None else (*metadata_keys, DECLARED_LIMIT_KEY)
    return msgspec.structs.replace(
        record,
        operation=safe_word(record.operation),
        request_id=safe_request_id(record.request_id) or "",
        error_code=None if record.error_code is None else safe_word(record.error_code),
        identity=_trim_identity(record.identity, with_session=with_session),
        request_metadata={key: tags[key][:MAX_TAG] for key in kept if key in tags} if tags else None,
        performance_config=_trim_performance_config(record.performance_config),
        input=_trim_input(record.input),
        output=_trim_output(record.output, record.model_id),
    )


def _trim_identity(identity: Identity | None, *, with_session: bool) -> Identity | None:
    """Return the same caller, and the same session if `with_session`, without an account and path."""
    if identity is None or identity.arn is None:
        return identity
    caller, session = parse_caller(identity.arn), parse_session(identity.arn) if with_session else ""
    return Identity(f"arn:aws:sts:::assumed-role/{caller}" + (f"/{session}" if session else ""))


def _trim_performance_config(config: PerformanceConfig | None) -> PerformanceConfig | None:
    if config is None:
        return None
    word = _name_latency(find_serving(None, None, config))
    return None if word is None else PerformanceConfig(word)


def _trim_input(given: RecordInput) -> RecordInput:
    path = given.body_s3_path
    if path is not None and len(path) > MAX_PATH:
        path = None
    return msgspec.structs.replace(given, body=_trim_body(given.body), body_s3_path=path)


def _trim_body(body: RequestBody | None) -> RequestBody | None:
    asked = None if body is None else find_serving(None, body, None)
    if body is None or (asked is None and body.project_identifier is None):
        return body
    project, word = body.project_identifier, _name_latency(asked)
    return msgspec.structs.replace(
        body,
        service_tier=_name_tier(asked),
        service_tier_word=None,
        performance_config=None if word is None else Latency(word),
        project_identifier=None if project is None else parse_project(project),
    )


def _trim_output(output: RecordOutput, model_id: str) -> RecordOutput:
    # an answer is a list only while it is read
    served = find_serving(output.answer, None, None) if isinstance(output.answer, Answer) else None
    if served is None or served == NOTHING_NAMED:
        return RecordOutput(output.output_tokens)
    word, invoked = _name_latency(served), served.invoked_model_id if is_prompt_router(model_id) else None
    answer = Answer(
        stop_reason_camel=CUT_REASON if served.truncated else None,
        service_tier=_name_tier(served),
        performance_config=None if word is None else Latency(word),
        trace=None if invoked is None else Trace(PromptRouterTrace(invoked)),
    )
    return RecordOutput(output.output_tokens, answer)


def _name_tier(served: Serving | None) -> str | None:
    return None if served is None or served.tier is None else safe_tier(served.tier)


def _name_latency(served: Serving | None) -> str | None:
    if served is None or served.is_optimized is None:
        return None
    return "optimized" if served.is_optimized else "standard"
