"""Hostile input: whatever one record holds has an outcome, and never costs the others in its delivery."""

import copy
import gc
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from invariants import SECRET, TAG, both_ways_agree, delivery_is_processed, utf8
from metric_lines import strictly_read
from processed import Processed, process_delivery, read_record
from records import (
    ACCOUNT,
    MINUTE,
    NOVA,
    SONNET,
    TITAN,
    Process,
    ReadLine,
    converse,
    envelope,
    event_around,
    failed,
    invoke,
    message,
    metadata_only,
)

from bedrock_quota.errors import DeliveryError
from bedrock_quota.model_ids import OutOfScope
from bedrock_quota.processor.delivery import MAX_LOG_EVENTS, MAX_MESSAGE_BYTES, decode_delivery
from bedrock_quota.processor.records import parse_timestamp
from bedrock_quota.processor.usage import UsageCalculator
from bedrock_quota.registry.models import Registry

from records import NOW  # isort: skip

GOOD = message(converse(NOVA, input_tokens=10, output_tokens=2, max_tokens=100))  # reserves 110, consumes 12
DEPTH = 20_000


def put(path: str, written: str) -> str:
    """Return a good record with this piece of JSON, as it is written, at a path."""
    entry: Any = converse(requestMetadata={TAG: "search"}, performanceConfig={"latency": "standard"})
    *parents, last = path.split(".")
    holder = entry
    for parent in parents:
        holder = holder.setdefault(parent, {})
    holder[last] = "@@"
    return message(entry).replace('"@@"', written)


@pytest.fixture
def tagging(registry: Registry) -> UsageCalculator:
    return UsageCalculator(registry, lambda _profile: OutOfScope("unresolved_profile"), (TAG,))


@pytest.fixture
def among_good_ones(process: Process, read_line: ReadLine, tagging: UsageCalculator) -> Callable[[str], Processed]:
    """Process a message between two good records, of which nothing may be lost."""

    def run(text: str) -> Processed:
        outcome = process([GOOD, text, GOOD], by=tagging)
        lines = [read_line(line) for line in outcome.lines]
        whole = [line for line in lines if line.get("ModelId") == NOVA]
        assert [(line["requests"], line["ReservedTokens"], line["ConsumedTokens"]) for line in whole] == [
            (2, [110, 110], [12, 12])
        ]
        return outcome

    return run


def bomb(opening: str, closing: str = "") -> str:
    return opening * DEPTH + closing * DEPTH


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        # nested
        pytest.param(bomb("["), "too_deep", id="open brackets"),
        pytest.param(bomb("[", "]"), "too_deep", id="nested lists"),
        pytest.param(bomb('{"a":'), "too_deep", id="open objects"),
        pytest.param(put("input.inputBodyJson", bomb("[", "]")), "too_deep", id="nested lists as the body"),
        pytest.param(
            put("input.inputBodyJson", bomb('{"a":') + "1" + "}" * DEPTH), "too_deep", id="nested objects as the body"
        ),
        pytest.param(
            put("input.inputBodyJson.inferenceConfig", bomb("[", "]")), "too_deep", id="nested lists as inferenceConfig"
        ),
        pytest.param(
            put("output.outputBodyJson", bomb('[{"a":') + "1" + "}]" * DEPTH),
            "too_deep",
            id="nested objects in the answer",
        ),
        pytest.param(put("requestMetadata.deep", bomb("[", "]")), "too_deep", id="nested lists in the metadata"),
        # numbers
        pytest.param(
            put("input.inputTokenCount", "9" * 1_000_000), "not_json", id="count of a million digits"
        ),  # Python reads 4,300 digits
        pytest.param(put("input.inputTokenCount", "9" * 4_000), "absurd_count", id="count of 4,000 digits"),
        pytest.param(put("input.inputTokenCount", "1e400"), "wrong_type", id="count beyond a float"),
        pytest.param(put("input.inputTokenCount", "-1e400"), "wrong_type", id="count below a float"),
        pytest.param(put("input.inputTokenCount", "1e300"), "absurd_count", id="count of 1e300"),
        pytest.param(put("input.inputTokenCount", "NaN"), "wrong_type", id="count NaN"),
        pytest.param(put("input.inputTokenCount", "Infinity"), "wrong_type", id="count Infinity"),
        pytest.param(put("input.inputTokenCount", "0." + "1" * 900_000), "wrong_type", id="fraction of 900,000 digits"),
        pytest.param(put("input.inputTokenCount", "true"), "wrong_type", id="count true"),
        pytest.param(put("output.outputTokenCount", "false"), "wrong_type", id="count false"),
        pytest.param(put("output.outputTokenCount", "[]"), "wrong_type", id="count is a list"),
        pytest.param(put("output.outputTokenCount", "100000001"), "absurd_count", id="count over the limit"),
        pytest.param(put("output.outputTokenCount", '"-0x1"'), "wrong_type", id="hexadecimal count"),
        pytest.param(
            put("input.cacheReadInputTokenCount", "18446744073709551616"), "absurd_count", id="count beyond 64 bits"
        ),
        pytest.param(
            put("input.cacheWriteInputTokenCount", "-9223372036854775809"), "negative_count", id="count below 64 bits"
        ),
        # bytes that are no JSON
        pytest.param("\x00" + GOOD, "not_json", id="null byte in front"),
        pytest.param("\ufeff" + GOOD, "not_json", id="byte order mark in front"),
        pytest.param(GOOD.replace("Converse", "Con\x00verse"), "not_json", id="null byte within"),
        pytest.param(GOOD[:-1], "not_json", id="last byte missing"),
        pytest.param(
            "".join(f"{character}\x00" for character in GOOD), "not_json", id="UTF-16"
        ),  # not taken for UTF-16
        # moments
        pytest.param(put("timestamp", "1795435205"), "bad_timestamp", id="time is a number"),
        pytest.param(put("timestamp", "1795435205.5"), "bad_timestamp", id="time is a fraction"),
        pytest.param(put("timestamp", "1e400"), "bad_timestamp", id="time beyond a float"),
        pytest.param(put("timestamp", "true"), "bad_timestamp", id="time true"),
        pytest.param(put("timestamp", "{}"), "bad_timestamp", id="time is an object"),
        pytest.param(put("timestamp", "null"), "missing_timestamp", id="time null"),
        pytest.param(put("timestamp", '""'), "bad_timestamp", id="time empty"),
        pytest.param(put("timestamp", '"1795435205"'), "bad_timestamp", id="time is a number in quotes"),
        pytest.param(put("timestamp", '"2026-11-23"'), "bad_timestamp", id="date alone"),
        pytest.param(put("timestamp", '"2026-11-23T12:00:05"'), "bad_timestamp", id="time without a zone"),
        pytest.param(
            put("timestamp", '"2026-11-23T12:00:60Z"'), "bad_timestamp", id="leap second"
        ),  # a leap second, of which there is none
        pytest.param(put("timestamp", '"2026-11-23T24:00:00Z"'), "bad_timestamp", id="hour 24"),
        pytest.param(put("timestamp", '"2026-02-29T12:00:00Z"'), "bad_timestamp", id="29th of February 2026"),
        pytest.param(put("timestamp", '"2026-11-23T12:00:05+24:00"'), "bad_timestamp", id="zone of 24 hours"),
        pytest.param(put("timestamp", '"0000-01-01T00:00:00Z"'), "bad_timestamp", id="year 0"),
        pytest.param(put("timestamp", '"10000-01-01T00:00:00Z"'), "bad_timestamp", id="year 10000"),
        pytest.param(put("timestamp", '"-2026-11-23T12:00:05Z"'), "bad_timestamp", id="negative year"),
        pytest.param(
            put("timestamp", '"\\uff12\\uff1026-11-23T12:00:05Z"'), "bad_timestamp", id="wide digits"
        ),  # wide digits
        pytest.param(put("timestamp", '"2026-11-23T12:00:0\\u0665Z"'), "bad_timestamp", id="an Arabic digit"),
        pytest.param(
            put("timestamp", '"2026-11-23T12:00:05Z\\u0000"'), "bad_timestamp", id="null character after the time"
        ),
        pytest.param(put("timestamp", '"\\ud800"'), "bad_timestamp", id="time is a lone surrogate"),
        pytest.param(
            put("timestamp", json.dumps("2026-11-23T12:00:05Z" * 10_000)),
            "bad_timestamp",
            id="time of 200,000 characters",
        ),
        pytest.param(put("timestamp", '"0001-01-01T00:00:00Z"'), "too_old", id="the first year"),
        pytest.param(
            put("timestamp", '"0001-01-01T00:00:00+14:00"'), "too_old", id="before the first year"
        ),  # before the first year there is
        pytest.param(put("timestamp", '"1969-12-31T23:59:59Z"'), "too_old", id="before 1970"),
        pytest.param(put("timestamp", '"9999-12-31T23:59:59Z"'), "too_far_ahead", id="the last year"),
        pytest.param(put("timestamp", '"9999-12-31T23:59:59-14:00"'), "too_far_ahead", id="after the last year"),
        # wrong types
        pytest.param(put("modelId", "5"), "wrong_type", id="model id is a number"),
        pytest.param(put("modelId", "{}"), "wrong_type", id="model id is an object"),
        pytest.param(put("modelId", "null"), "missing_model_id", id="model id null"),
        pytest.param(put("requestMetadata", "[]"), "wrong_type", id="metadata is a list"),
        pytest.param(put("requestMetadata", '"text"'), "wrong_type", id="metadata is text"),
        pytest.param(put("identity.arn", "[]"), "wrong_type", id="ARN is a list"),
        pytest.param(put("operation", "{}"), "wrong_type", id="operation is an object"),
        pytest.param(put("errorCode", "true"), "wrong_type", id="error code true"),
        pytest.param(
            put("schemaType", '"ModelInvocationLog\\u0000"'), "wrong_schema", id="schema with a null character"
        ),
    ],
)
def test_record_that_is_refused_with_a_reason(
    among_good_ones: Callable[[str], Processed], tagging: UsageCalculator, text: str, reason: str
) -> None:
    outcome = among_good_ones(text)

    assert [rejected.reason for rejected in outcome.rejected] == [reason]
    if reason != "too_deep":  # how deep is too deep is each parser's own
        both_ways_agree(text, tagging)


@pytest.mark.parametrize(
    ("text", "reserved", "consumed"),
    [
        # SONNET burns 5x: 100 + 500 reserved, 100 + 5 × 20 consumed where nothing below changes it
        pytest.param(put("input.inputTokenCount", "-0"), 500, 100, id="count -0"),
        pytest.param(put("input.inputTokenCount", "-0.0"), 500, 100, id="count -0.0"),
        pytest.param(put("input.inputTokenCount", "1E2"), 600, 200, id="count 1E2"),
        pytest.param(put("input.inputTokenCount", "100.0"), 600, 200, id="count 100.0"),
        pytest.param(put("input.inputTokenCount", '"0100"'), 600, 200, id="count in quotes"),
        pytest.param(put("input.inputTokenCount", "100000000"), 100_000_500, 100_000_100, id="the largest count"),
        # in a body it is skipped, however large
        pytest.param(
            put("input.inputBodyJson.temperature", "9" * 900_000), 600, 200, id="number of 900,000 digits in the body"
        ),
        pytest.param(
            put("input.inputBodyJson.temperature", "0." + "1" * 900_000),
            600,
            200,
            id="fraction of 900,000 digits in the body",
        ),
        pytest.param(put("input.inputBodyJson.temperature", "1e400"), 600, 200, id="1e400 in the body"),
        pytest.param(put("input.inputBodyJson.temperature", "NaN"), 600, 200, id="NaN in the body"),
        pytest.param(
            put("input.inputBodyJson.messages", json.dumps(bomb("[", "]"))), 600, 200, id="nested lists within a text"
        ),  # nested JSON in a text is a text
        pytest.param(
            put("input.inputBodyJson.messages", json.dumps(bomb('{"a":'))), 600, 200, id="nested objects within a text"
        ),
        pytest.param(
            put("input.inputBodyJson.messages", '"\\ud800 \\udfff \\u0000 \\ufeff"'),
            600,
            200,
            id="surrogates and null characters in a text",
        ),
        pytest.param(
            put("input.inputBodyJson.messages", json.dumps("\U0001f600" * 100_000, ensure_ascii=False)),
            600,
            200,
            id="100,000 emoji",
        ),
        pytest.param(put("requestMetadata.other", "5"), 600, 200, id="metadata value is a number"),
        pytest.param(put("requestMetadata.other", "[[]]"), 600, 200, id="metadata value is a list"),
        pytest.param(put("requestMetadata.other", "null"), 600, 200, id="metadata value null"),
        pytest.param(put("requestMetadata", "null"), 600, 200, id="metadata null"),
        pytest.param(
            put("requestMetadata", json.dumps({f"key{number}": "" for number in range(60_000)})),
            600,
            200,
            id="60,000 metadata keys",
        ),
        # a moment in another spelling
        pytest.param(put("timestamp", '"2026-11-23T12:00:05.999999999Z"'), 600, 200, id="nanoseconds"),
        pytest.param(put("timestamp", '"2026-11-23T13:00:05+01:00"'), 600, 200, id="another zone"),
        pytest.param(put("timestamp", '"2026-11-22T12:01:05-23:59"'), 600, 200, id="a zone nearly a day behind"),
        pytest.param(put("timestamp", '"20261123T120005Z"'), 600, 200, id="time in basic format"),
        # a limit that is none: the model's maximum, 64,000
        pytest.param(put("input.inputBodyJson.inferenceConfig.maxTokens", "true"), 64_100, 200, id="limit true"),
        pytest.param(put("input.inputBodyJson.inferenceConfig.maxTokens", "-5"), 64_100, 200, id="limit negative"),
        pytest.param(
            put("input.inputBodyJson.inferenceConfig.maxTokens", "1e400"), 64_100, 200, id="limit beyond a float"
        ),
        pytest.param(
            put("input.inputBodyJson.inferenceConfig.maxTokens", "9" * 4_000), 64_100, 200, id="limit of 4,000 digits"
        ),
        pytest.param(put("input.inputBodyJson.inferenceConfig.maxTokens", '"many"'), 64_100, 200, id="limit is a word"),
        pytest.param(put("input.inputBodyJson.inferenceConfig", "[]"), 64_100, 200, id="inferenceConfig is a list"),
        # a limit that is none among the fields for the model
        *(
            pytest.param(
                put("input.inputBodyJson.additionalModelRequestFields", f'{{"max_tokens": {limit}, "top_k": 5}}'),
                600,
                200,
                id=f"further limit {name}",
            )
            for name, limit in {
                "beyond a float": "1e400",
                "below a float": "-1e400",
                "in a list with one beyond a float": "[5, 1e999]",
                "in an object with one beyond a float": '{"a": 1e999}',
                "is a list": "[5]",
                "of 4,000 digits": "9" * 4_000,
            }.items()
        ),
        # of two equal keys the last counts
        pytest.param(put("input.inputTokenCount", '7, "inputTokenCount": 100'), 600, 200, id="count given twice"),
        pytest.param(put("input.inputTokenCount", '"7", "inputTokenCount": 100'), 600, 200, id="text and a count"),
        pytest.param(put("input.inputTokenCount", '{}, "inputTokenCount": 100'), 600, 200, id="object and a count"),
        pytest.param(
            put(
                "input", '{"inputTokenCount": 7}, "input": {"inputTokenCount": 100, "inputBodyJson": {"max_tokens": 1}}'
            ),
            101,
            200,
            id="input given twice",
        ),
        pytest.param(
            put("input.inputBodyJson.inferenceConfig.maxTokens", '7, "maxTokens": 500'),
            600,
            200,
            id="limit given twice",
        ),
    ],
)
def test_record_that_is_odd_and_counts_all_the_same(
    among_good_ones: Callable[[str], Processed], tagging: UsageCalculator, text: str, reserved: int, consumed: int
) -> None:
    outcome = among_good_ones(text)

    (line,) = [line for line in map(strictly_read, outcome.lines) if line.get("ModelId", NOVA) != NOVA]
    assert (line["ReservedTokens"], line["ConsumedTokens"]) == ([reserved], [consumed])
    both_ways_agree(text, tagging)


@pytest.mark.parametrize(
    "model_id",
    [
        *("", " ", "x", ".", "..", "us.", "us..", "global.", "global..", "a.b\n", "a.\u00fc", "a.\x00", "\ud800.x"),
        *("arn:", "arn:aws:bedrock:::", SECRET),
        pytest.param("a." + "b" * 10_000, id="10,000 characters"),
        pytest.param("arn:aws:bedrock:" + "x" * 3_000 + "::prompt/a", id="ARN with a Region of 3,000 characters"),
    ],
)
def test_model_id_that_names_no_model_is_out_of_scope(
    among_good_ones: Callable[[str], Processed], model_id: str
) -> None:
    outcome = among_good_ones(message(converse(model_id)))

    assert outcome.out_of_scope == {"unreadable_model_id": 1}
    assert not outcome.rejected


LONG = "x" * 10_000
LABELS = [
    pytest.param("two\nlines\x00\x7f\u2028", "two?lines???", id="control characters"),
    pytest.param("zw\u00f6lf \U0001f600", "zw?lf ?", id="umlaut and emoji"),
    pytest.param("\ud800", "?", id="lone surrogate"),
    pytest.param("\ufeff", "?", id="byte order mark"),
    pytest.param(LONG, "x" * 253 + "...", id="10,000 characters"),
    pytest.param("\u00fc" * 10_000, "?" * 253 + "...", id="10,000 umlauts"),
    pytest.param("{$}\"'\\", "{$}\"'\\", id="quotes and braces"),
]


@pytest.mark.parametrize(("text", "label"), LABELS)
def test_caller_and_tag_become_labels(
    among_good_ones: Callable[[str], Processed], read_line: ReadLine, text: str, label: str
) -> None:
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{text}/session"

    outcome = among_good_ones(message(converse(identity={"arn": arn}, requestMetadata={TAG: text, "other": SECRET})))

    (line,) = [line for line in map(read_line, outcome.lines) if line.get("ModelId") == SONNET]
    assert (line["caller"], line["request_metadata"]) == (label, {TAG: label})
    assert SECRET not in b"".join(outcome.lines).decode()


def test_tag_that_is_empty_or_no_text(among_good_ones: Callable[[str], Processed], read_line: ReadLine) -> None:
    def tags_of(value: object) -> object:
        outcome = among_good_ones(message(converse(requestMetadata={TAG: value})))
        (line,) = [line for line in map(read_line, outcome.lines) if line.get("ModelId") == SONNET]
        return line.get("request_metadata")

    assert tags_of("") == {TAG: ""}
    assert [tags_of(value) for value in (5, None, [], {"a": 1}, True)] == [None] * 5


WRONG = (None, True, 5, -1, 1.5, 1e300, "", "text", "\ud800", [], [[]], {}, {"a": 1}, LONG)


def paths(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in node.items() if isinstance(node, dict) else ():
        yield (*path, key)
        yield from paths(value, (*path, key))


def test_any_wrong_type_at_any_field(tagging: UsageCalculator) -> None:
    """Put everything everywhere: the counts add up, every line can be read, and the good record is never lost."""
    streamed = [{"usage": {"input_tokens": 3, "output_tokens": 4}}]
    entries = (
        converse(requestMetadata={TAG: "search"}, performanceConfig={"latency": "optimized"}, cache_read=1),
        invoke(TITAN, {"textGenerationConfig": {"maxTokenCount": 5}, "n": 2}, answer=streamed, output_tokens=None),
        metadata_only(),
        failed(),
    )
    texts = []
    for entry in entries:
        for path in paths(entry):
            for wrong in WRONG:
                changed = copy.deepcopy(entry)
                holder = changed
                for key in path[:-1]:
                    holder = holder[key]
                holder[path[-1]] = wrong
                texts.append(message(changed))
    assert len(texts) > 1_000

    outcome = delivery_is_processed(texts, tagging)

    assert outcome.received == len(texts) + 1
    for text in texts:
        both_ways_agree(text, tagging)


# What only the delivery can be


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: put("input.inputTokenCount", "9" * 16_000_000), id="number"),
        pytest.param(
            lambda: put(
                "requestMetadata", json.dumps({f"{number}": "" for number in range(1_000_000)}, separators=(",", ":"))
            ),
            id="metadata",
        ),
        pytest.param(
            lambda: put("input.inputBodyJson.messages", '"' + "x" * 12_000_000 + "\U0001f600" + '"'), id="text"
        ),
        pytest.param(lambda: "[" * 16_000_000, id="brackets"),
        pytest.param(  # just more than a log event can be
            lambda: message(converse(text="x" * MAX_MESSAGE_BYTES)), id="one_mb"
        ),
    ],
)
def test_record_larger_than_any_log_event_is_refused_alone(accounts: UsageCalculator, make: Callable[[], str]) -> None:
    event = event_around(json.dumps(envelope([GOOD, make(), GOOD]), ensure_ascii=False).encode())

    decoded = decode_delivery(event)
    outcome = process_delivery(decoded, accounts, quotas=None, namespace="N", now=NOW)

    assert [rejected.reason for rejected in outcome.rejected] == ["too_large"]
    assert (outcome.received, outcome.processed) == (3, 2)


def test_record_of_just_1_mb_is_read(process: Process) -> None:
    size = len(utf8(message(converse(text=""))))

    outcome = process([message(converse(text="x" * (MAX_MESSAGE_BYTES - size)))])

    assert (outcome.processed, outcome.rejected) == (1, ())


def test_broken_text_in_one_message_does_not_cost_the_others(accounts: UsageCalculator) -> None:
    # given bytes that are no UTF-8 and surrogates without their halves, as no JSON writer should write them
    payload = json.dumps(envelope([GOOD, "@1", "@2", "@3", GOOD])).encode()
    escaped = json.dumps(message(converse(SONNET, text="@"))).encode()
    for place, broken in ((b'"@1"', b"\xff\xfe"), (b'"@2"', rb"\ud800 \udc00\udc00"), (b'"@3"', rb"\\ud83d\\ude00")):
        payload = payload.replace(place, escaped.replace(b"@", broken))

    outcome = process_delivery(decode_delivery(event_around(payload)), accounts, quotas=None, namespace="N", now=NOW)

    assert (outcome.received, outcome.processed, outcome.rejected) == (5, 5, ())


def test_too_many_log_events_are_refused_as_a_whole() -> None:
    def decode(count: int) -> int:
        return len(decode_delivery(event_around(json.dumps(envelope([""] * count)).encode())).log_events)

    assert decode(MAX_LOG_EVENTS) == 30_000
    with pytest.raises(DeliveryError, match="more than 30000 log events"):
        decode(MAX_LOG_EVENTS + 1)


# Time: four times as much takes some four times as long; what is quadratic takes sixteen times


def seconds_for(text: str, count: int, accounts: UsageCalculator) -> float:
    event = event_around(json.dumps(envelope([text] * count)).encode())

    def once() -> float:
        gc.disable()  # whose time depends on what other tests left behind
        started = time.process_time()
        process_delivery(decode_delivery(event), accounts, quotas=None, namespace="N", now=NOW)
        gc.enable()
        return time.process_time() - started

    return min(once() for _ in range(3))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda size: "[" * size, id="open brackets"),
        pytest.param(lambda size: put("input.inputBodyJson", "[" * size), id="open brackets as the body"),
        pytest.param(lambda size: put("input.inputTokenCount", "9" * size), id="digits of a count"),
        pytest.param(lambda size: put("input.inputTokenCount", "0." + "9" * size), id="digits of a fraction"),
        pytest.param(
            lambda size: put("input.inputTokenCount", '"' + "9" * size + '"'), id="digits of a count in quotes"
        ),
        pytest.param(lambda size: put("input.inputTokenCount", "1e" + "9" * size), id="digits of an exponent"),
        pytest.param(lambda size: put("timestamp", '"' + "2" * size + '"'), id="digits of a time"),
        pytest.param(
            lambda size: put("requestMetadata", json.dumps({f"{number:07}": 5 for number in range(size // 12)})),
            id="metadata keys",
        ),
        pytest.param(
            lambda size: put("input.inputBodyJson", json.dumps([[]] * (size // 4))).replace(": 20}", ": NaN}"),
            id="empty lists in the body and a count of NaN",
        ),
        pytest.param(
            lambda size: put("output.outputBodyJson", json.dumps([{"usage": {}}] * (size // 15))).replace(
                ": 20}", ": null}"
            ),
            id="usage objects in the answer and a count of null",
        ),
        pytest.param(lambda size: put("identity.arn", '"' + ":/" * (size // 2) + '"'), id="separators of an ARN"),
        pytest.param(lambda size: put("modelId", '"' + "a." * (size // 2) + '"'), id="dots of a model id"),
        pytest.param(lambda size: put("requestId", '"' + "0-" * (size // 2) + '"'), id="dashes of a request id"),
        pytest.param(
            lambda size: put("input.inputTokenCount", '1, "inputTokenCount":' * (size // 22) + "1"),
            id="the same key again and again",
        ),
        pytest.param(
            lambda size: put("input.inputBodyJson.messages", '"' + "\\ud800" * (size // 6) + '"'), id="lone surrogates"
        ),
    ],
)
def test_time_grows_no_faster_than_the_record(accounts: UsageCalculator, make: Callable[[int], str]) -> None:
    small, large = (seconds_for(make(size), 1, accounts) for size in (200_000, 800_000))

    assert large < max(10 * small, 0.25)


def test_time_grows_no_faster_than_the_number_of_records(accounts: UsageCalculator) -> None:
    for text in (GOOD, "[", put("input.inputTokenCount", '"5"'), put("modelId", '"newcomer.model-1"')):
        small, large = (seconds_for(text, count, accounts) for count in (1_000, 4_000))
        assert large < max(10 * small, 0.25)


def test_lone_surrogates_by_the_million_are_mended_in_time(accounts: UsageCalculator) -> None:
    payload = b'{"messageType": "DATA_MESSAGE", "logEvents": [{"message": "' + rb"\ud800" * 1_000_000 + b'"}]}'

    started = time.process_time()
    outcome = process_delivery(decode_delivery(event_around(payload)), accounts, quotas=None, namespace="N", now=NOW)

    assert [rejected.reason for rejected in outcome.rejected] == ["too_large"]
    assert time.process_time() - started < 10


# Everything at once


def test_secret_never_comes_out(tagging: UsageCalculator) -> None:
    """Put a secret wherever text of a prompt or an answer can stand, into good records and into broken ones."""
    said = {"messages": [{"text": SECRET}], "max_tokens": SECRET, SECRET: SECRET, "inferenceConfig": {SECRET: SECRET}}
    answers = ({"outputText": SECRET, "usage": {"inputTokens": SECRET}}, [{SECRET: SECRET}], SECRET, [SECRET])
    entries = [
        *(invoke(SONNET, said, answer=answer) for answer in answers),
        *(invoke(SONNET, said, answer=answer, input_tokens=None) for answer in answers),
        *(invoke(SONNET, SECRET, answer=answer, output_tokens=None) for answer in answers),
        converse(operation=SECRET),
        converse(requestId=SECRET),
        converse(errorCode=SECRET),
        converse(schemaType=SECRET),
        converse(timestamp=SECRET),
        converse(region=SECRET, accountId=SECRET, inferenceRegion=SECRET),
        converse(requestMetadata={"other": SECRET, SECRET: SECRET}),
        converse(performanceConfig={"latency": SECRET}),
        converse(identity=SECRET),
        converse(input=SECRET),
        converse(input={"inputTokenCount": SECRET, "inputBodyS3Path": SECRET}),
    ]
    texts = [message(entry) for entry in entries]

    outcome = delivery_is_processed([*texts, *(text[:-1] for text in texts), SECRET, json.dumps(SECRET)], tagging)

    assert SECRET not in repr([outcome.rejected, outcome.out_of_scope, outcome.unlisted])
    assert SECRET not in b"".join(outcome.lines).decode()


def test_minute_of_a_moment_is_the_same_both_ways() -> None:
    text = put("timestamp", '"2026-11-23T11:59:59.9999999Z"')  # to the microsecond it is noon

    for found in (read_record(text), read_record(text.replace('"inputTokenCount": 100', '"inputTokenCount": "100"'))):
        assert parse_timestamp(found.started_at)[0] == MINUTE


def test_moment_in_a_zone_of_odd_seconds_is_one_and_costs_no_other_record(process: Process) -> None:
    text = put("timestamp", '"2026-11-23T12:00:35+00:00:30"')

    for one_way in (text, text.replace('"inputTokenCount": 100', '"inputTokenCount": "100"')):
        assert parse_timestamp(read_record(one_way).started_at)[0] == MINUTE + 5
        assert process([one_way, message(converse())]).processed == 2
