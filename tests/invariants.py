"""What holds whatever arrives: checked by the property tests and by the fuzzer alike."""

import json
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from executed_lines import count_lines
from metric_lines import strictly_read
from processed import Processed, price, process_delivery, read_record, read_slowly
from records import NOW, SONNET, converse, log_event, message

from bedrock_quota import model_ids
from bedrock_quota.errors import DeliveryError, RecordError, RegistryError
from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaKey, QuotaPool
from bedrock_quota.processor import tolerant_reading
from bedrock_quota.processor.callers import MAX_LABEL, parse_caller, parse_project, parse_session, safe_label
from bedrock_quota.processor.delivery import Delivery, decode_delivery
from bedrock_quota.processor.max_tokens import find_output_limit
from bedrock_quota.processor.reading import read_request_body
from bedrock_quota.processor.records import MAX_COUNT, Record, parse_timestamp, safe_request_id
from bedrock_quota.processor.step_budget import MAX_STEPS_PER_DELIVERY, MAX_STEPS_PER_RECORD, StepBudget
from bedrock_quota.processor.usage import Entry, UsageCalculator
from bedrock_quota.registry.models import Model, Registry
from bedrock_quota.registry.overrides import apply_overrides, read_overrides
from bedrock_quota.registry.quota_names import UnmatchedQuota, match_quota_name, parse_quota_name

SECRET = "the treasure lies under the oak"
"""Stands where prompts and answers stand; must never come out."""

TAG = "team"
"""The one key of `requestMetadata` that is asked for."""

QUOTAS = {
    QuotaPool(SONNET, EndpointType.REGIONAL): PoolQuota(200_000, 100, 0),
    QuotaPool(SONNET, EndpointType.CROSS_REGION): PoolQuota(0, 0, None),
}


def said_by(error: BaseException) -> str:
    """Return all that an error says where it is printed, its causes and context included."""
    return "".join(traceback.format_exception(error))


def utf8(text: str) -> bytes:
    """Return a text as a log event has it, lone surrogates included."""
    return text.encode(errors="surrogatepass")


def delivery_is_decoded_or_refused(event: Any, bound: int = 1_000_000) -> Delivery | None:
    try:
        found = decode_delivery(event, bound)
    except DeliveryError as error:
        assert SECRET not in said_by(error)
        return None
    assert all(isinstance(each.message, str | bytes) for each in found.log_events)
    assert sum(len(each.message) for each in found.log_events) <= bound
    return found


def record_is_read_or_refused(text: str) -> Record | None:
    try:
        found = read_record(utf8(text))
        parse_timestamp(found.started_at)
    except RecordError as error:
        _is_safe(error)
        return None
    given = found.input
    counts = (given.input_tokens, given.cache_read_tokens, given.cache_write_tokens, found.output.output_tokens)
    for count in counts:
        assert count is None or (type(count) is int and 0 <= count <= MAX_COUNT)
    return found


def _is_safe(error: RecordError) -> None:
    assert error.reason.isidentifier()
    assert error.request_id is None or safe_request_id(error.request_id)
    assert SECRET not in said_by(error)


def account_or_reason(record: Record, accounts: UsageCalculator) -> Entry | str:
    try:
        return price(accounts, record, NOW)
    except RecordError as error:
        assert SECRET not in said_by(error)
        return error.reason


LINES_PER_RECORD, LINES_PER_STEP = 600, 9
"""Lines of Python that may run for a record: some, and so many more for each step that was taken."""

LINES_FOR_WORDS = 10_000
"""Lines that may run besides for words of wrong types, of which each byte costs one line at most. The fast reader reads
each by itself, in the request and in the last chunks of the answer. With all of them wrong, it takes 9,203 lines."""


def work_is_within_the_steps(text: str) -> RecordError | None:
    """Reading a message takes no more work than the steps it is charged, and never more than a record may have."""
    lines, taken, refused = _count_work(text)
    assert 0 <= taken <= MAX_STEPS_PER_RECORD
    assert taken <= 2.5 * len(text)
    allowed = LINES_PER_RECORD + (LINES_PER_STEP * taken or min(len(text), LINES_FOR_WORDS))
    if lines > allowed:
        lines, taken, refused = _count_work(text)  # the first time includes decoders, which each process makes once
    assert lines <= allowed
    return refused


def _count_work(text: str) -> tuple[int, int, RecordError | None]:
    """Return the lines that run to read a message, the steps that it is charged, and the error if it is refused."""
    budget, refused = StepBudget(), None

    def read() -> None:
        nonlocal refused
        try:
            read_record(utf8(text), budget)
        except RecordError as error:
            refused = error

    return count_lines(read), MAX_STEPS_PER_DELIVERY - budget.left, refused


def both_ways_agree(text: str, accounts: UsageCalculator) -> None:
    """What the fast way reads, the slow way reads alike; it may refuse what the fast one never looks into."""
    fast = record_is_read_or_refused(text)
    try:
        slow = read_slowly(utf8(text))
    except RecordError as error:
        assert fast is None or error.reason in {"too_deep", "not_json"}, error.reason
        return
    assert fast is not None
    assert account_or_reason(fast, accounts) == account_or_reason(slow, accounts)


def delivery_is_processed(texts: Sequence[str], accounts: UsageCalculator) -> Processed:
    """One good record and whatever else: the counts add up, every line can be read, nothing secret comes out."""
    good = message(converse(input_tokens=10, output_tokens=2, max_tokens=100))
    events = tuple(log_event(text, str(number)) for number, text in enumerate([good, *texts]))

    outcome = process_delivery(
        Delivery("DATA_MESSAGE", events), accounts, quotas=QUOTAS, namespace="Bedrock/Quotas", now=NOW
    )

    parts = (outcome.processed, len(outcome.rejected), sum(outcome.out_of_scope.values()), outcome.failed)
    assert sum(parts) + outcome.ignored == outcome.received == len(texts) + 1
    *calls, health = [strictly_read(line) for line in outcome.lines]
    assert (
        health["RecordsProcessed"] == outcome.processed == sum(line["requests"] for line in calls if "requests" in line)
    )
    assert (health["RecordsRejected"], health["RequestsFailed"]) == (len(outcome.rejected), outcome.failed)
    assert any(20 in line.get("ConsumedTokens", ()) for line in calls)  # the good one: 10 + 5 × 2
    if not any(_is_public(text) for text in texts):
        told = f"{outcome.rejected} {outcome.out_of_scope} {outcome.unlisted}"
        assert SECRET not in b" ".join(outcome.lines).decode() + told
    return outcome


def _is_public(text: str) -> bool:
    """Whether the secret stands where a name, not a prompt, stands: who calls a role by it tells it."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if not isinstance(record, dict):
        return False
    metadata, given = record.get("requestMetadata"), record.get("input")
    body = given.get("inputBodyJson") if isinstance(given, dict) else None
    named = (
        record.get("modelId"),
        record.get("identity"),
        metadata.get(TAG) if isinstance(metadata, dict) else None,
        body.get("projectIdentifier") if isinstance(body, dict) else None,
    )
    return SECRET in json.dumps(named)


def body_is_read_or_refused(text: bytes) -> None:
    """A body by itself: the fast and the slow way find the same limit, and it is neither negative nor absurd."""
    try:
        found = read_request_body(text)
    except RecordError as error:
        _is_safe(error)
        return
    limit = find_output_limit(found)
    assert limit is None or (type(limit) is int and 0 <= limit <= MAX_COUNT**2)
    assert SECRET not in repr(msgspec.structs.replace(found, project_identifier=None))
    try:
        slow = tolerant_reading._read_body(json.loads(text))
    except (ValueError, RecursionError):
        return
    assert slow is not None
    assert find_output_limit(slow) == limit
    assert (slow.choices or 1) == (found.choices or 1)
    assert slow.project_identifier == found.project_identifier


def model_id_is_parsed(text: str, registry: Registry) -> None:
    for found in (
        model_ids.parse_model_id(text, registry.provider_by_id.keys()),
        model_ids.resolve_profile_models((text, text)),
    ):
        if isinstance(found, Reference):
            assert found.model_id.isascii()
            assert found.model_id.isprintable()
            assert 0 < len(found.model_id) <= 1_024
            registry.find(found.model_id)
            registry.find_provider(found.model_id)


def text_becomes_a_label(text: str) -> None:
    for label in (safe_label(text), parse_caller(text), parse_session(text), parse_project(text)):
        assert label.isascii()
        assert label.isprintable()
        assert len(label) <= MAX_LABEL


def quota_name_is_matched_or_refused(name: str, models: Mapping[str, Model]) -> None:
    said, found = parse_quota_name(name), match_quota_name(name, models)
    if isinstance(found, QuotaKey):
        assert not isinstance(said, UnmatchedQuota)
        assert found.pool.endpoint_type == said.endpoint_type
        assert found.pool.model_id.removesuffix(":1m") == models[said.spelling.casefold()].id
        assert found.pool.model_id.endswith(":1m") is said.long_context
    else:
        assert found.reason.isidentifier()


def overrides_are_read_or_refused(text: str, registry: Registry) -> None:
    try:
        models = read_overrides(text, registry)
    except RegistryError as error:
        assert "models" in str(error) or "override" in str(error)
        return
    corrected = apply_overrides(registry, models)
    for model in models:
        assert corrected.find(model.id) is model
        rate = corrected.find_burndown(model.id, NOW.date()).rate
        assert 1 <= rate <= 100
    msgspec.json.encode(corrected)
