"""Whatever arrives: what is no delivery or no record is refused by the one error meant for it, and never otherwise."""

import base64
import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from invariants import (
    account_or_reason,
    body_is_read_or_refused,
    both_ways_agree,
    delivery_is_decoded_or_refused,
    delivery_is_processed,
    model_id_is_parsed,
    record_is_read_or_refused,
    utf8,
    work_is_within_the_steps,
)
from processed import read_record
from records import ACCOUNT, Process, ReadLine, converse, event_around, failed, message, metadata_only

from bedrock_quota.errors import DeliveryError, RecordError
from bedrock_quota.model_ids import OutOfScope
from bedrock_quota.processor.callers import MAX_LABEL, parse_caller, parse_project, parse_session, safe_label
from bedrock_quota.processor.delivery import decode_delivery
from bedrock_quota.processor.max_tokens import Source, find_defaults, resolve_max_tokens
from bedrock_quota.processor.records import MAX_COUNT
from bedrock_quota.processor.usage import CallUsage, FailedCall, UsageCalculator
from bedrock_quota.registry.models import Model, Provider, Registry
from benchmarks import cpu

texts = st.text(st.characters(codec=None), max_size=12)  # lone surrogates, too
numbers = (
    st.integers(-(10**30), 10**30)
    | st.integers(-3, 10**9)
    | st.floats()
    | st.from_regex(r"[-+]{0,2}[0-9]{0,3}(\.0|e3|_0)?", fullmatch=True)
    | st.sampled_from([" 5", "\u0665", "9" * 40, 10**400])
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def keyed(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with any of these keys, each of them mostly as it should be."""
    return st.fixed_dictionaries({}, optional={key: part | values for key, part in parts.items()})


LIMITS = (
    "max_tokens max_completion_tokens max_output_tokens max_tokens_to_sample max_gen_len max_new_tokens maxTokens "
    "maxOutputTokens n"
)
bodies = keyed(
    inferenceConfig=keyed(maxTokens=numbers, max_new_tokens=numbers),
    textGenerationConfig=keyed(maxTokenCount=numbers),
    messages=values,
    projectIdentifier=texts,
    **dict.fromkeys(LIMITS.split(), numbers),
)
answers = st.lists(
    keyed(
        usage=keyed(inputTokens=numbers, prompt_tokens=numbers, outputTokens=numbers, output_tokens=numbers),
        totalOutputTextTokenCount=numbers,
        stopReason=st.sampled_from(["end_turn", "guardrail_intervened"]),
        **{
            "amazon-bedrock-invocationMetrics": keyed(inputTokenCount=numbers, outputTokenCount=numbers),
            "amazon-bedrock-guardrailAction": st.sampled_from(["NONE", "INTERVENED"]),
        },
    ),
    max_size=2,
)
model_texts = st.sampled_from(
    [
        "anthropic.claude-sonnet-4-20250514-v1:0",
        "us.anthropic.claude-opus-5",
        "global.amazon.nova-lite-v1:0",
        "amazon.titan-embed-text-v2:0",
        "newcomer.model-1",
        f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/abc",
        f"arn:aws:bedrock:us-east-1:{ACCOUNT}:imported-model/abc",
    ]
) | st.from_regex(r"(arn:aws[a-z-]*:bedrock:[a-z0-9-]*:\d*:[a-z-]+/)?([a-z]{2,4}\.)?[a-z]+\.[\w.:/-]+", fullmatch=True)
moments = st.sampled_from(
    ["2026-11-23T12:00:05Z", "2026-11-20T00:00:00.5Z", "2020-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"]
) | st.datetimes().map(str)
entries = (
    keyed(
        schemaType=st.just("ModelInvocationLog"),
        timestamp=moments,
        modelId=model_texts,
        operation=st.sampled_from(["Converse", "InvokeModel"]) | texts,
        requestId=texts,
        errorCode=texts,
        identity=keyed(arn=texts | st.just("arn:aws:iam::111122223333:user/jane")),
        requestMetadata=st.dictionaries(st.just("team"), texts),
        performanceConfig=keyed(latency=texts | st.just("optimized")),
        input=keyed(
            inputTokenCount=numbers,
            cacheReadInputTokenCount=numbers,
            cacheWriteInputTokenCount=numbers,
            inputBodyJson=bodies,
            inputBodyS3Path=texts,
        ),
        output=keyed(outputTokenCount=numbers, outputBodyJson=answers),
    )
    | values
)


@st.composite
def nearly_right(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a good record with one member of it, however deep, replaced."""
    entry: Any = draw(st.sampled_from([converse, metadata_only, failed]))()
    holder, key = entry, draw(st.sampled_from(sorted(entry)))
    while isinstance(holder[key], dict) and holder[key] and draw(st.booleans()):
        holder = holder[key]
        key = draw(st.sampled_from(sorted(holder)))
    holder[key] = draw(values | numbers | model_texts | moments)
    if draw(st.booleans()):
        entry["input"] = {} if not isinstance(entry["input"], dict) else entry["input"]
        entry["input"]["inputTokenCount"] = draw(numbers)  # sends the whole record the slow way
    return entry


entries |= nearly_right()
messages = (entries.map(json.dumps) | entries.map(lambda entry: json.dumps(entry, ensure_ascii=False))) | texts


LookUp = Callable[[str], tuple[Model | None, Provider]]


@pytest.fixture(scope="session")
def look_up(registry: Registry) -> LookUp:
    """The registry as a function, for Hypothesis writes out every argument and a registry is long."""
    return lambda model_id: (registry.find(model_id), registry.find_provider(model_id))


@pytest.fixture(scope="session")
def parse_model_id(registry: Registry) -> Callable[[str], None]:
    return lambda model_id: model_id_is_parsed(model_id, registry)


@given(st.binary())
def test_any_bytes_as_a_delivery(data: bytes) -> None:
    delivery_is_decoded_or_refused({"awslogs": {"data": data}})
    delivery_is_decoded_or_refused({"awslogs": {"data": base64.b64encode(data).decode()}})
    delivery_is_decoded_or_refused(event_around(data))


@given(values | keyed(awslogs=keyed(data=texts)))
def test_any_json_as_an_event(event: Any) -> None:
    delivery_is_decoded_or_refused(event)


@given(
    keyed(
        messageType=texts,
        logGroup=texts,
        logEvents=st.lists(keyed(id=texts, timestamp=numbers, message=texts), max_size=3),
    ),
    st.booleans(),
)
def test_any_json_as_a_delivery(payload: Any, ascii_only: bool) -> None:
    text = json.dumps(payload, ensure_ascii=ascii_only)
    delivery_is_decoded_or_refused(event_around(text.encode(errors="surrogatepass")))


@given(st.data())
def test_any_damage_to_a_delivery(data: st.DataObject) -> None:
    whole = gzip.compress(json.dumps({"messageType": "DATA_MESSAGE", "logEvents": []}).encode(), mtime=0)
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:place] + data.draw(st.binary(max_size=3)) + whole[place + data.draw(st.integers(0, 3)) :]

    delivery_is_decoded_or_refused({"awslogs": {"data": base64.b64encode(damaged).decode()}})


@given(st.integers(0, 5_000), st.integers(1, 5_000))
def test_nothing_over_the_bound_is_ever_decoded(size: int, bound: int) -> None:
    payload = json.dumps({"messageType": "x" * size}).encode()

    if len(payload) <= bound:
        assert decode_delivery(event_around(payload), bound).message_type == "x" * size
    else:
        with pytest.raises(DeliveryError, match="more than"):
            decode_delivery(event_around(payload), bound)


@given(messages)
@example("[" * 20_000)
@example('{"timestamp": ' + "9" * 5_000 + "}")
def test_any_message_is_a_record_or_refused(text: str) -> None:
    record_is_read_or_refused(text)


parts = st.sampled_from(list(cpu.CHUNKS.values()))
crowded = st.builds(
    lambda place, inner, count, last: cpu.write_record(0, place, "zeros").replace(
        "[]", f"[{','.join([*inner * count, last])}]"
    ),
    st.sampled_from(list(cpu.PLACES)),
    st.lists(parts, min_size=1, max_size=3),
    st.sampled_from([1, 5, 200, 70_000]),
    parts,
)
"""Records with very many values at one place."""


@given(messages)
def test_work_on_any_record_is_within_its_steps(text: str) -> None:
    work_is_within_the_steps(text)


@settings(max_examples=40)
@given(crowded)
def test_work_on_any_crowded_record_is_within_its_steps_or_refused(text: str) -> None:
    refused = work_is_within_the_steps(text)

    if refused is not None:
        reasons = {"too_costly", "too_large", "wrong_type", "missing_input_count", "missing_output_count"}
        assert refused.reason in reasons


@settings(max_examples=25)
@given(st.lists(crowded | messages, max_size=4))
def test_any_delivery_with_crowded_records_is_processed_whole(accounts: UsageCalculator, texts: list[str]) -> None:
    delivery_is_processed(texts, accounts)


@given(messages)
def test_any_record_is_an_account_a_failed_call_out_of_scope_or_refused(accounts: UsageCalculator, text: str) -> None:
    found = record_is_read_or_refused(text)
    if found is None:
        return
    entry = account_or_reason(found, accounts)
    if isinstance(entry, CallUsage):
        assert entry.consumed_tokens >= 0
        assert (entry.reserved_tokens is None) is (entry.group.source is Source.UNKNOWN)
        assert entry.reserved_tokens is None or entry.reserved_tokens >= 0
        assert not entry.group.blocked or entry.consumed_tokens == entry.reserved_tokens == 0
    else:
        assert isinstance(entry, FailedCall | OutOfScope | str)


@given(messages)
@example(message(converse(timestamp="9999-12-31T23:59:59-14:00")))
@example(message(converse(timestamp="0001-01-01T00:00:00+14:00")))
@example(message(converse(timestamp="2026-11-23T12:00:59.9999999Z")))
def test_the_fast_and_the_slow_way_agree(accounts: UsageCalculator, text: str) -> None:
    both_ways_agree(text, accounts)


@given(st.lists(messages, max_size=8))
def test_any_delivery_is_processed_whole(accounts: UsageCalculator, texts: list[str]) -> None:
    delivery_is_processed(texts, accounts)


@given(st.lists(messages, max_size=8), st.sampled_from(["DATA_MESSAGE", "CONTROL_MESSAGE"]))
def test_counts_always_add_up_to_what_was_received(
    process: Process, read_line: ReadLine, texts: list[str], message_type: str
) -> None:
    outcome = process([message(converse()), *texts], message_type=message_type)

    out_of_scope = sum(outcome.out_of_scope.values())
    parts = outcome.processed + len(outcome.rejected) + out_of_scope + outcome.failed + outcome.ignored
    assert parts == outcome.received == len(texts) + 1
    assert outcome.ignored == outcome.received if message_type == "CONTROL_MESSAGE" else outcome.processed >= 1
    health = [read_line(line) for line in outcome.lines][-1]
    assert health["RecordsProcessed"] == outcome.processed
    assert health["RecordsRejected"] == len(outcome.rejected)
    assert health["RecordsOutOfScope"] == out_of_scope
    assert health["RequestsFailed"] == outcome.failed


@given(bodies.map(json.dumps) | texts)
def test_any_body_is_read_or_refused(text: str) -> None:
    body_is_read_or_refused(utf8(text))


@given(bodies, st.sampled_from(["Converse", "InvokeModel"]), model_texts)
def test_max_tokens_of_a_body_is_known_and_neither_negative_nor_absurd(
    look_up: LookUp, body: dict[str, Any], operation: str, model_id: str
) -> None:
    text = json.dumps(
        {
            "timestamp": "2026-11-23T12:00:05Z",
            "modelId": model_id,
            "operation": operation,
            "input": {"inputBodyJson": body},
        }
    )

    record = read_record(text)
    assert record.input.body is not None
    defaults = find_defaults(model_id, operation, *look_up(model_id))
    if (record.input.body.choices or 1) > 1:  # n answers can be more than any model gives
        try:
            limit, source = resolve_max_tokens(record, defaults)
        except RecordError as error:
            assert error.reason == "absurd_count"
            return
    else:
        limit, source = resolve_max_tokens(record, defaults)
    assert source in {Source.EXPLICIT, Source.DEFAULT, Source.NONE}
    assert limit is not None
    assert 0 <= limit <= MAX_COUNT


@given(texts | model_texts | st.text(max_size=400))
@example("global.")
@example("global..")
@example("arn:aws:bedrock:::foundation-model/a.b/" + "c" * 2_000)
def test_any_model_id_is_parsed(parse_model_id: Callable[[str], None], model_id: str) -> None:
    parse_model_id(model_id)


@given(st.text(st.characters(codec=None)) | st.text(max_size=2_000).map(lambda text: text * 3))
def test_label_is_always_printable_ascii_and_short(text: str) -> None:
    label = safe_label(text)

    assert label.isascii()
    assert label.isprintable()
    assert len(label) <= MAX_LABEL
    if text.isascii() and text.isprintable() and len(text) <= MAX_LABEL:
        assert label == text


@given(
    texts | st.from_regex(r"arn:aws:(iam|sts)::\d{12}:(user|role|assumed-role|federated-user)/[^\n]*", fullmatch=True)
)
def test_any_arn_has_names_that_can_be_printed(arn: str) -> None:
    for name in (parse_caller(arn), parse_session(arn), parse_project(arn)):
        assert name.isascii()
        assert name.isprintable()
        assert len(name) <= MAX_LABEL
