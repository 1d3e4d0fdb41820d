"""Reading one record: the shapes Bedrock writes, odd ones that still can be read, and the reason for each refusal."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from processed import read_record, read_slowly
from records import (
    EMBEDDING,
    STARTED,
    TITAN,
    Entry,
    blocked,
    converse,
    failed,
    invoke,
    message,
    metadata_only,
    record,
    without_answer,
)

from bedrock_quota.errors import RecordError
from bedrock_quota.processor.max_tokens import find_output_limit
from bedrock_quota.processor.reading import is_permissions_line, read_usual_record
from bedrock_quota.processor.records import MAX_COUNT, Record, parse_timestamp, safe_request_id, safe_word


def read(entry: Entry) -> Record:
    return read_record(message(entry))


def reason_for(text: str) -> str:
    with pytest.raises(RecordError) as caught:
        parse_timestamp(read_record(text).started_at)
    return caught.value.reason


def began(found: Record) -> datetime:
    """When the call began, as accounts take it from the record."""
    return datetime.fromtimestamp(parse_timestamp(found.started_at)[0], UTC)


# What Bedrock writes


def test_converse_record() -> None:
    found = read(converse(input_tokens=3, output_tokens=4, cache_read=5, cache_write=6, max_tokens=7))

    assert began(found) == datetime(2026, 11, 23, 12, 0, 5, tzinfo=UTC)
    assert found.operation == "Converse"
    assert found.identity is not None
    assert (found.input.input_tokens, found.output.output_tokens) == (3, 4)
    assert (found.input.cache_read_tokens, found.input.cache_write_tokens) == (5, 6)
    assert found.input.body is not None
    assert found.input.body.inference_config is not None
    assert found.input.body.inference_config.max_tokens == 7
    assert found.error_code is None


def test_streamed_answer_is_a_list() -> None:
    chunks = [{"type": "message_start"}, {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"x": 1}}]

    found = read(invoke(TITAN, {}, answer=chunks, output_tokens=9))

    assert found.output.output_tokens == 9


def test_only_timestamp_and_model_id_are_needed() -> None:
    found = read_record(json.dumps({"timestamp": STARTED, "modelId": "a.b"}))

    assert (found.input.input_tokens, found.output.output_tokens, found.operation) == (0, 0, "")  # no answer: blocked


def test_order_of_keys_does_not_matter() -> None:
    entry = converse()

    assert read(dict(reversed(entry.items()))) == read(entry)


def test_failed_call() -> None:
    found = read(failed(code="ValidationException"))

    assert (found.error_code, found.input.input_tokens) == ("ValidationException", None)


@pytest.mark.parametrize("count", [100, "100", None])
def test_empty_error_code_is_none(count: object) -> None:
    entry = converse(errorCode="")
    entry["input"]["inputTokenCount"] = count  # 100 is read fast; the others are not

    assert read(entry).error_code is None


def test_metadata_only_record_has_no_body() -> None:
    assert read(metadata_only()).input.body is None


def test_no_text_of_a_body_is_kept() -> None:
    for entry in (
        converse(text="a secret"),
        invoke(TITAN, {"inputText": "a secret"}, answer={"results": [{"outputText": "a secret"}]}),
        # … nor by the slow way, which a count written as text needs
        converse(text="a secret", input={"inputTokenCount": "5", "inputBodyJson": {"messages": ["a secret"]}}),
    ):
        assert "secret" not in repr(read(entry))


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        pytest.param("Permissions are correctly set for Amazon Bedrock logs.", True, id="Bedrock's line"),
        pytest.param("Permissions are correctly set for Amazon Bedrock logs", True, id="without the full stop"),
        pytest.param("Permissions are wrong", False, id="another line"),
        pytest.param(
            message(converse(text="Permissions are correctly set for Amazon Bedrock logs.")),
            False,
            id="a record that quotes it",
        ),
    ],
)
def test_permissions_line(line: str, is_one: bool) -> None:
    assert is_permissions_line(line) is is_one
    assert is_permissions_line(line.encode()) is is_one


# What is odd and read all the same: a count written 5.0 or "5" sends the whole record the slow way


@pytest.mark.parametrize("count", [5.0, "5", "005"])
def test_count_written_oddly(count: object) -> None:
    entry = converse()
    entry["input"]["inputTokenCount"] = count

    assert read(entry).input.input_tokens == 5


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        pytest.param({"max_tokens": 1}, 1, id="max_tokens"),
        pytest.param({"max_completion_tokens": 2}, 2, id="max_completion_tokens"),
        pytest.param({"max_output_tokens": 3}, 3, id="max_output_tokens"),
        pytest.param({"max_tokens_to_sample": 4}, 4, id="max_tokens_to_sample"),
        pytest.param({"max_gen_len": 5}, 5, id="max_gen_len"),
        pytest.param({"max_new_tokens": 6}, 6, id="max_new_tokens"),
        pytest.param({"maxTokens": 7}, 7, id="maxTokens"),
        pytest.param({"maxOutputTokens": 8}, 8, id="maxOutputTokens"),
        pytest.param({"max_tokens": 9, "n": 3}, 27, id="max_tokens times n"),
        pytest.param({"inferenceConfig": {"maxTokens": 10}}, 10, id="inferenceConfig.maxTokens"),
        pytest.param({"inferenceConfig": {"max_new_tokens": 11}}, 11, id="inferenceConfig.max_new_tokens"),
        pytest.param({"textGenerationConfig": {"maxTokenCount": 12}}, 12, id="textGenerationConfig.maxTokenCount"),
        pytest.param({"textGenerationConfig": 5, "max_tokens": 13}, 13, id="textGenerationConfig that is a number"),
        pytest.param({"messages": []}, None, id="no limit"),
    ],
)
def test_slow_way_finds_what_the_fast_way_finds(body: Entry, limit: int | None) -> None:
    entry = invoke(TITAN, body, requestMetadata={"team": "search"}, performanceConfig={"latency": "optimized"})
    entry["input"] |= {"cacheReadInputTokenCount": 6, "cacheWriteInputTokenCount": 7}
    fast = read(entry)

    entry["input"]["inputTokenCount"] = "100"
    slow = read(entry)

    for found in (fast, slow):
        assert found.input.body is not None
        assert find_output_limit(found.input.body) == limit
    no_body = msgspec.structs.replace(fast.input, body=None)
    assert msgspec.structs.replace(slow.input, body=None) == no_body
    assert msgspec.structs.replace(slow, input=no_body) == msgspec.structs.replace(fast, input=no_body)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param([], id="an empty list"),
        pytest.param([{"a": 1}], id="a list"),
        pytest.param("text", id="text"),
        pytest.param(5, id="a number"),
        pytest.param(None, id="null"),
        pytest.param(True, id="true"),
    ],
)
def test_body_of_another_type_is_no_body(body: object) -> None:
    found = read(invoke(TITAN, body))

    assert (found.input.body, found.input.input_tokens) == (None, 100)


@pytest.mark.parametrize("key", ["input", "output", "identity", "requestMetadata", "performanceConfig"])
def test_null_in_place_of_an_object_is_as_if_it_were_missing(key: str) -> None:
    entry = converse() | {key: None}

    assert read(entry).model_id == entry["modelId"]


def test_tag_that_is_no_text_is_left_out() -> None:
    found = read(converse(requestMetadata={"team": "search", "cost": 5, "none": None}))

    assert found.request_metadata == {"team": "search"}


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_constant_that_is_no_json_may_stand_in_a_body(constant: str) -> None:
    text = message(converse(input_tokens=5)).replace('"temperature": 0.5', f'"temperature": {constant}')
    assert constant in text

    assert read_record(text).input.input_tokens == 5


def test_lone_surrogates_in_a_body() -> None:
    escaped = message(converse(text="a \ud800 b"))
    assert r"\ud800" in escaped
    raw = json.dumps(converse(text="a \ud800 b"), ensure_ascii=False)

    assert read_record(escaped).input.input_tokens == 100
    assert read_record(raw).input.input_tokens == 100


def test_last_of_two_equal_keys_counts() -> None:
    text = message(converse(input_tokens=5)).replace(
        '"inputTokenCount": 5', '"inputTokenCount": 5, "inputTokenCount": 6'
    )

    assert read_record(text).input.input_tokens == 6


def test_long_number_in_a_body_is_skipped() -> None:
    text = message(converse(input_tokens=5)).replace('"temperature": 0.5', '"temperature": ' + "9" * 5000)

    assert read_record(text).input.input_tokens == 5


@pytest.mark.parametrize(
    "moment",
    ["2026-11-23T12:00:05.250Z", "2026-11-23T12:00:05+00:00", "2026-11-23T13:00:05+01:00", "2026-11-23t12:00:05z"],
)
def test_moment_in_other_spellings(moment: str) -> None:
    found = read(converse(timestamp=moment))

    assert began(found) - datetime(2026, 11, 23, 12, 0, 5, tzinfo=UTC) < timedelta(seconds=1)


# A count is missing


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"usage": {"inputTokens": 11}}, id="Converse"),
        pytest.param({"usage": {"input_tokens": 11}}, id="Anthropic"),
        pytest.param({"usage": {"prompt_tokens": 11}}, id="OpenAI"),
        pytest.param({"usage": {"prompt_tokens": 99, "input_tokens": 98, "inputTokens": 11}}, id="three spellings"),
        pytest.param(
            {"usage": {"inputTokens": 99}, "amazon-bedrock-invocationMetrics": {"inputTokenCount": 11}},
            id="usage and metrics",
        ),
        pytest.param(
            [
                {"usage": {"input_tokens": 99}},
                {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": "11"}},
                {"type": "later", "usage": {"output_tokens": 5}},
            ],
            id="the last event of a stream",
        ),
    ],
)
@pytest.mark.parametrize(
    "output_tokens", [pytest.param(3, id="with an output count"), pytest.param(None, id="without an output count")]
)
def test_input_count_is_found_in_the_answer(answer: object, output_tokens: int | None) -> None:
    found = read(invoke(TITAN, {}, answer=answer, input_tokens=None, output_tokens=output_tokens))

    assert found.input.input_tokens == 11
    assert found.output.output_tokens != 0


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(
            {"usage": {"input_tokens": 1_000, "input_tokens_details": {"cached_tokens": 800}, "output_tokens": 50}},
            (200, 800, None, 50),
            id="Responses, read from the cache",
        ),
        pytest.param(
            {
                "usage": {
                    "input_tokens": 1_000,
                    "input_tokens_details": {"cached_tokens": 500, "cache_write_tokens": 300},
                    "output_tokens": 50,
                }
            },
            (200, 500, 300, 50),
            id="Responses, read from and written to the cache",
        ),
        pytest.param(
            [
                {"type": "response.output_text.delta", "delta": "x"},
                {
                    "type": "response.completed",
                    "response": {
                        "usage": {
                            "input_tokens": 1_000,
                            "input_tokens_details": {"cached_tokens": 800, "cache_write_tokens": 0},
                            "output_tokens": 50,
                        }
                    },
                },
            ],
            (200, 800, 0, 50),
            id="Responses, streamed",
        ),
        pytest.param(
            {
                "usage": {
                    "prompt_tokens": 1_000,
                    "prompt_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 100},
                    "completion_tokens": 50,
                }
            },
            (300, 600, 100, 50),
            id="Chat Completions",
        ),
        pytest.param(
            [{"choices": []}, {"choices": [], "usage": {"prompt_tokens": 70, "completion_tokens": 50}}],
            (70, None, None, 50),
            id="Chat Completions, streamed, no details",
        ),
        pytest.param(
            {"usage": {"prompt_tokens": 70, "prompt_tokens_details": None, "completion_tokens": 50}},
            (70, None, None, 50),
            id="Chat Completions, details of null",
        ),
        pytest.param(
            {"usage": {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 800}, "output_tokens": 50}},
            (0, 800, None, 50),
            id="more cached than there are",
        ),
        pytest.param(
            {
                "usage": {
                    "input_tokens": 100,
                    "cache_read_input_tokens": 800,
                    "cache_creation_input_tokens": 30,
                    "output_tokens": 50,
                }
            },
            (100, 800, 30, 50),
            id="Messages",
        ),
        pytest.param(
            [
                {"type": "message_start", "message": {"usage": {"input_tokens": 100, "output_tokens": 1}}},
                {"type": "message_delta", "usage": {"output_tokens": 50}},
            ],
            (100, None, None, 50),
            id="Messages, streamed",
        ),
        pytest.param(
            [{"type": "message_start", "message": {"usage": {"input_tokens": 100, "output_tokens": 1}}}],
            (100, None, None, None),
            id="Messages, interrupted at once",
        ),
        pytest.param(
            {
                "usage": {
                    "inputTokens": 100,
                    "outputTokens": 50,
                    "cacheReadInputTokenCount": 7,
                    "cacheWriteInputTokenCount": 9,
                }
            },
            (100, 7, 9, 50),
            id="Nova",
        ),
        pytest.param(
            [
                {"messageStop": {"stopReason": "end_turn"}},
                {
                    "metadata": {
                        "usage": {
                            "inputTokens": 100,
                            "outputTokens": 50,
                            "cacheReadInputTokenCount": 7,
                            "cacheWriteInputTokenCount": 9,
                        }
                    }
                },
            ],
            (100, 7, 9, 50),
            id="Nova, streamed",
        ),
        pytest.param(
            {"inputTextTokenCount": 100, "results": [{"tokenCount": 30}, {"tokenCount": 20}]},
            (100, None, None, 50),
            id="Titan",
        ),
        pytest.param(
            {"inputTextTokenCount": 100, "results": [{"tokenCount": 3}] * 100},
            (100, None, None, 300),
            id="Titan, 100 texts",
        ),
        pytest.param(
            [
                {"outputText": "a", "index": 0, "inputTextTokenCount": 100, "totalOutputTextTokenCount": None},
                {"outputText": "b", "index": 0, "inputTextTokenCount": None, "totalOutputTextTokenCount": 50},
            ],
            (100, None, None, 50),
            id="Titan, streamed",
        ),
    ],
)
def test_all_counts_are_found_with_cached_parts_apart(
    answer: object, expected: tuple[int | None, int | None, int | None, int | None]
) -> None:
    found = read(invoke(TITAN, {}, answer=answer, input_tokens=None, output_tokens=None))

    given = found.input
    counts = (given.input_tokens, given.cache_read_tokens, given.cache_write_tokens, found.output.output_tokens)
    assert counts == expected


def test_both_counts_are_found_in_the_answer() -> None:
    answer = [
        {"outputText": "…"},
        {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 7, "outputTokenCount": 8}},
    ]

    found = read(invoke(TITAN, {}, answer=answer, input_tokens=None, output_tokens=None))

    assert (found.input.input_tokens, found.output.output_tokens) == (7, 8)


def test_input_count_of_the_record_comes_before_the_answer() -> None:
    answer = {"usage": {"inputTokens": 99, "outputTokens": 5}}

    found = read(invoke(TITAN, {}, answer=answer, input_tokens=11, output_tokens=None))

    assert (found.input.input_tokens, found.output.output_tokens) == (11, 5)


def test_count_of_output_is_not_one_of_input() -> None:
    found = read(invoke(TITAN, {}, answer={"totalOutputTextTokenCount": 9}, input_tokens=None, output_tokens=None))

    assert (found.input.input_tokens, found.output.output_tokens) == (None, 9)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param([{"outputText": " Hello", "index": 0, "totalOutputTextTokenCount": 11}], id="Titan's stream"),
        pytest.param(
            [
                {"type": "message_start", "message": {"usage": {"output_tokens": 1}}},
                {"type": "message_delta", "usage": {"output_tokens": 4}},
                {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"outputTokenCount": 11}},
            ],
            id="usage and metrics in a stream",
        ),
        pytest.param([{"usage": {"output_tokens": 11}}, {"type": "message_stop"}], id="usage in a stream"),
        pytest.param({"usage": {"outputTokens": 11}}, id="Converse"),
        pytest.param({"usage": {"completion_tokens": 11}}, id="OpenAI"),
        pytest.param({"amazon-bedrock-invocationMetrics": {"outputTokenCount": "11"}}, id="metrics alone"),
        pytest.param([None, "odd", {"usage": None}, {"usage": {"output_tokens": 11}}, 5], id="odd events in a stream"),
    ],
)
def test_output_count_is_found_in_the_answer(answer: object) -> None:
    assert read(invoke(TITAN, {}, answer=answer, output_tokens=None)).output.output_tokens == 11


def test_output_count_of_the_record_comes_before_the_answer() -> None:
    answer = {"usage": {"outputTokens": 99}}

    assert read(invoke(TITAN, {}, answer=answer, output_tokens=11)).output.output_tokens == 11


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({}, id="empty"),
        pytest.param([], id="an empty stream"),
        pytest.param("text", id="text"),
        pytest.param([{"usage": {"output_tokens": None}}], id="a count that is null"),
    ],
)
def test_answer_without_a_count(answer: object) -> None:
    assert read(invoke(TITAN, {}, answer=answer, output_tokens=None)).output.output_tokens is None


# A guardrail's answer


def counts_of(found: Record) -> tuple[int | None, int | None]:
    return found.input.input_tokens, found.output.output_tokens


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(blocked(), id="guardrail action"),
        pytest.param(blocked(answer={"stopReason": "guardrail_intervened"}), id="stop reason"),
        pytest.param(
            blocked(answer=[{"chunk": 1}, {"amazon-bedrock-guardrailAction": "INTERVENED"}, {"chunk": 2}]),
            id="guardrail action in a stream",
        ),
        pytest.param(without_answer(blocked()), id="no answer"),
        pytest.param(blocked(output={}), id="empty output"),
        pytest.param(blocked(output=None), id="no output"),
    ],
)
def test_without_counts_a_guardrails_answer_or_none_is_a_blocked_call(entry: Entry) -> None:
    found = read(entry)

    assert counts_of(found) == (0, 0)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({}, id="empty"),
        pytest.param([], id="an empty stream"),
        pytest.param("text", id="text"),
        pytest.param(5, id="a number"),
        pytest.param({"amazon-bedrock-guardrailAction": "NONE", "stopReason": "end_turn"}, id="no action"),
        pytest.param([{"amazon-bedrock-guardrailAction": ["INTERVENED"]}], id="an action that is a list"),
        pytest.param(
            {"outputText": "guardrail_intervened", "message": {"stopReason": "guardrail_intervened"}},
            id="the words elsewhere",
        ),
    ],
)
def test_without_counts_another_answer_is_no_blocked_call(answer: object) -> None:
    assert counts_of(read(blocked(answer=answer))) == (None, None)


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(invoke(TITAN, {}, answer={"stopReason": "guardrail_intervened"}), id="both counts"),
        pytest.param(
            invoke(TITAN, {}, answer={"stopReason": "guardrail_intervened"}, input_tokens=None), id="output count"
        ),
        pytest.param(
            invoke(TITAN, {}, answer={"stopReason": "guardrail_intervened"}, output_tokens=None), id="input count"
        ),
        pytest.param(
            blocked(answer={"stopReason": "guardrail_intervened", "usage": {"inputTokens": 0}}),
            id="input count in the answer",
        ),
        pytest.param(without_answer(invoke(TITAN, {}, output_tokens=None)), id="no answer in the log"),
        pytest.param(metadata_only(), id="metadata only"),
    ],
)
def test_call_with_a_count_is_not_told_to_be_blocked(entry: Entry) -> None:
    assert counts_of(read(entry)) != (0, 0)


# What is refused


def changed(path: str, value: object) -> str:
    entry: Any = converse()
    *parents, last = path.split(".")
    holder = entry
    for parent in parents:
        holder = holder[parent]
    holder[last] = value
    return message(entry)


def without(key: str) -> str:
    return message({name: value for name, value in converse().items() if name != key})


BAD = [
    pytest.param("", "not_json", id="empty"),
    pytest.param("plain text", "not_json", id="plain text"),
    pytest.param('{"timestamp": "2026', "not_json", id="cut short"),
    pytest.param(message(converse()) + " and more", "not_json", id="text after the end"),
    pytest.param("[]", "not_an_object", id="a list"),
    pytest.param("5", "not_an_object", id="a number"),
    pytest.param("null", "not_an_object", id="null"),
    pytest.param('"text"', "not_an_object", id="text in quotes"),
    pytest.param("NaN", "not_an_object", id="NaN"),
    pytest.param("[" * 100_000, "too_deep", id="open brackets"),
    pytest.param(
        message(converse()).replace('"temperature": 0.5', '"temperature": ' + "[" * 50_000),
        "too_deep",
        id="open brackets within the body",
    ),
    pytest.param(changed("schemaType", "SomethingElse"), "wrong_schema", id="another schema"),
    pytest.param(changed("schemaType", None), "wrong_schema", id="schema null"),
    pytest.param(without("timestamp"), "missing_timestamp", id="no time"),
    pytest.param(changed("timestamp", None), "missing_timestamp", id="time null"),
    pytest.param(changed("timestamp", 1795435205), "bad_timestamp", id="time is a number"),
    pytest.param(changed("timestamp", "yesterday"), "bad_timestamp", id="time is a word"),
    pytest.param(
        changed("timestamp", "2026-11-23T12:00:05"), "bad_timestamp", id="time without a zone"
    ),  # of no zone: could be any hour
    pytest.param(changed("timestamp", "2026-13-45T12:00:05Z"), "bad_timestamp", id="a month of 13"),
    pytest.param(without("modelId"), "missing_model_id", id="no model id"),
    pytest.param(changed("modelId", None), "missing_model_id", id="model id null"),
    pytest.param(changed("modelId", 5), "wrong_type", id="model id is a number"),
    pytest.param(changed("operation", ["Converse"]), "wrong_type", id="operation is a list"),
    pytest.param(changed("errorCode", 500), "wrong_type", id="error code is a number"),
    pytest.param(changed("identity", "arn"), "wrong_type", id="identity is text"),
    pytest.param(changed("identity", {"arn": 5}), "wrong_type", id="ARN is a number"),
    pytest.param(changed("requestMetadata", ["team"]), "wrong_type", id="metadata is a list"),
    pytest.param(changed("input", []), "wrong_type", id="input is a list"),
    pytest.param(changed("output", "text"), "wrong_type", id="output is text"),
    pytest.param(changed("input.inputTokenCount", "five"), "wrong_type", id="count is a word"),
    pytest.param(changed("input.inputTokenCount", ""), "wrong_type", id="count is empty"),
    pytest.param(changed("input.inputTokenCount", "-"), "wrong_type", id="count is a dash"),
    pytest.param(changed("input.inputTokenCount", "\u0665"), "wrong_type", id="count is an Arabic digit"),
    pytest.param(changed("input.inputTokenCount", 5.5), "wrong_type", id="count is a fraction"),
    pytest.param(changed("input.inputTokenCount", True), "wrong_type", id="count true"),
    pytest.param(changed("input.inputTokenCount", [5]), "wrong_type", id="count is a list"),
    pytest.param(changed("input.inputTokenCount", float("nan")), "wrong_type", id="count NaN"),
    pytest.param(changed("input.inputTokenCount", float("inf")), "wrong_type", id="count infinite"),
    pytest.param(changed("input.inputTokenCount", -1), "negative_count", id="count negative"),
    pytest.param(changed("input.inputTokenCount", "-1"), "negative_count", id="count negative in quotes"),
    pytest.param(changed("input.cacheReadInputTokenCount", -1), "negative_count", id="cache read negative"),
    pytest.param(changed("input.cacheWriteInputTokenCount", -1), "negative_count", id="cache write negative"),
    pytest.param(changed("output.outputTokenCount", -1), "negative_count", id="output count negative"),
    pytest.param(changed("input.inputTokenCount", MAX_COUNT + 1), "absurd_count", id="count over the limit"),
    pytest.param(changed("output.outputTokenCount", 10**400), "absurd_count", id="output count of 400 digits"),
    pytest.param(
        message(converse()).replace('"inputTokenCount": 100', '"inputTokenCount": ' + "9" * 5000),
        "not_json",
        id="count of 5,000 digits",
    ),
    pytest.param(
        message(invoke(TITAN, {}, answer={"usage": {"outputTokens": -3}}, output_tokens=None)),
        "negative_count",
        id="output count in the answer negative",
    ),
    pytest.param(
        message(invoke(TITAN, {}, answer={"usage": {"inputTokens": -3}}, input_tokens=None)),
        "negative_count",
        id="input count in the answer negative",
    ),
    pytest.param(
        message(invoke(TITAN, {}, answer={"usage": {"inputTokens": "few"}}, input_tokens=None)),
        "wrong_type",
        id="input count in the answer is a word",
    ),
    pytest.param(message(blocked(schemaType="SomethingElse")), "wrong_schema", id="another schema of a blocked call"),
]


@pytest.mark.parametrize(("text", "reason"), BAD)
def test_refusal_has_a_reason(text: str, reason: str) -> None:
    assert reason_for(text) == reason


def test_count_with_two_signs_is_refused() -> None:
    assert reason_for(changed("input.inputTokenCount", "--5")) == "wrong_type"


def test_largest_count_is_taken() -> None:
    assert read(converse(input_tokens=MAX_COUNT)).input.input_tokens == MAX_COUNT


def test_refusal_names_the_request() -> None:
    with pytest.raises(RecordError) as caught:
        read(converse(output_tokens=-1, requestId="0f0e0d0c-0b0a-4908-8706-05040302ffff"))

    assert caught.value.request_id == "0f0e0d0c-0b0a-4908-8706-05040302ffff"


def test_refusal_by_its_schema_alone_names_the_request() -> None:
    with pytest.raises(RecordError) as caught:
        read(converse(schemaType="SomethingElse"))

    assert caught.value.request_id == "0f0e0d0c-0b0a-4908-8706-050403020100"


@pytest.mark.parametrize(
    "request_id",
    [
        pytest.param("a prompt in disguise", id="words"),
        pytest.param("", id="empty"),
        pytest.param("req-1", id="short"),
        pytest.param("my-secret-is-short", id="words with dashes"),
        pytest.param("0f0e0d0c0b0a49088706050403020100", id="no dashes"),
        pytest.param("0f0e0d0-0b0a-4908-8706-050403020100", id="a character too few in front"),
        pytest.param("0f0e0d0c-0b0a-4908-8706-05040302010", id="a character too few at the end"),
        pytest.param("0F0E0D0C-0B0A-4908-8706-050403020100", id="capitals"),
        pytest.param("0f0e0d0c-0b0a-4908-8706-0504030201000", id="a character too many"),
        pytest.param("0f0e0d0c-0b0a-4908-8706-050403020100\n", id="a line break after it"),
        pytest.param(" 0f0e0d0c-0b0a-4908-8706-050403020100", id="a space before it"),
        pytest.param("x" * 129, id="too long"),
        pytest.param("zwölf", id="an umlaut"),
        pytest.param("a\nb", id="a line break within"),
        pytest.param(5, id="a number"),
        pytest.param(None, id="null"),
        pytest.param(["x"], id="a list"),
    ],
)
def test_request_id_that_does_not_look_like_one_is_not_named(request_id: object) -> None:
    assert safe_request_id(request_id) is None
    with pytest.raises(RecordError) as caught:
        read(record(requestId=request_id, input=[]))
    assert caught.value.request_id is None


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("Converse", "Converse"),
        ("InvokeModelWithBidirectionalStream", "InvokeModelWithBidirectionalStream"),
        ("ThrottlingException", "ThrottlingException"),
        ("x" * 64, "x" * 64),
        ("x" * 65, "other"),
        ("a prompt in disguise", "other"),
        ("Throttling-Exception", "other"),
        ("Converse\n", "other"),
        ("zwölf", "other"),
        ("500", "other"),
        ("", "other"),
        (None, "other"),
    ],
)
def test_operation_or_error_code_that_is_no_word_is_not_named(value: str | None, word: str) -> None:
    assert safe_word(value) == word


def test_refusal_holds_no_text() -> None:
    with pytest.raises(RecordError) as caught:
        read(converse(text="a secret", output_tokens=-1))

    assert "secret" not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize(
    ("answer", "is_usual", "output_tokens"),
    [
        pytest.param({"embedding": [0.5, -1e-3], "inputTextTokenCount": 9}, True, None, id="Titan's embedding"),
        pytest.param({"embeddings": [[1, 2]], "id": "a", "texts": ["plum"]}, True, None, id="Cohere's embeddings"),
        pytest.param({}, True, None, id="empty"),
        pytest.param({"usage": {"outputTokens": 4}}, False, 4, id="a usage"),
        pytest.param({"results": [{"tokenCount": 5}]}, False, 5, id="Titan's text"),
        pytest.param([{"totalOutputTextTokenCount": 6}], False, 6, id="a stream"),
        pytest.param("text", False, None, id="no object"),
    ],
)
def test_only_an_answer_that_may_count_its_output_is_read_slowly(
    answer: object, is_usual: bool, output_tokens: int | None
) -> None:
    # given a record whose input is counted, and whose output is not
    text = message(converse(EMBEDDING, input={"inputTokenCount": 8}, output={"outputBodyJson": answer}))
    # then
    assert (read_usual_record(text) is not None) is is_usual
    found = read_record(text)
    assert (found.input.input_tokens, found.output.output_tokens) == (8, output_tokens)
    slow = read_slowly(text)
    assert (found.input, found.output) == (slow.input, slow.output)


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        pytest.param(
            {"generation": "x", "prompt_token_count": 25, "generation_token_count": 7}, (25, None, 7), id="Llama"
        ),
        pytest.param(
            [{"generation": "x", "prompt_token_count": 25}, {"generation": "y", "generation_token_count": 7}],
            (25, None, 7),
            id="Llama, streamed",
        ),
        pytest.param(
            {"usage": {"billed_units": {"input_tokens": 3}, "tokens": {"input_tokens": 70, "output_tokens": 9}}},
            (70, None, 9),
            id="Cohere",
        ),
        pytest.param(
            {"text": "x", "meta": {"billed_units": {"input_tokens": 8, "output_tokens": 4}}},
            (8, None, 4),
            id="Cohere, billed units",
        ),
        pytest.param(
            [
                {"event_type": "text-generation", "text": "x"},
                {
                    "event_type": "stream-end",
                    "finish_reason": "COMPLETE",
                    "response": {
                        "text": "x",
                        "meta": {
                            "billed_units": {"input_tokens": 3, "output_tokens": 9},
                            "tokens": {"input_tokens": 70, "output_tokens": 9},
                        },
                    },
                },
            ],
            (70, None, 9),
            id="Cohere, streamed",
        ),
        pytest.param(
            [
                {"type": "content-delta", "delta": {"message": {"content": {"text": "x"}}}},
                {
                    "type": "message-end",
                    "delta": {
                        "finish_reason": "COMPLETE",
                        "usage": {
                            "billed_units": {"input_tokens": 3, "output_tokens": 9},
                            "tokens": {"input_tokens": 70, "output_tokens": 9},
                        },
                    },
                },
            ],
            (70, None, 9),
            id="Cohere v2, streamed",
        ),
        pytest.param(
            [{"type": "message-end", "delta": {"usage": {"billed_units": {"input_tokens": 3, "output_tokens": 9}}}}],
            (3, None, 9),
            id="Cohere v2, billed units",
        ),
        pytest.param(
            [
                {"usage": {"prompt_tokens": 1_000, "prompt_tokens_details": {"cached_tokens": 800}}},
                {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 1_000, "outputTokenCount": 6}},
            ],
            (200, 800, 6),
            id="metrics that include cached tokens",
        ),
        pytest.param(
            [
                {"usage": {"prompt_tokens": 1_000, "prompt_tokens_details": {"cached_tokens": 800}}},
                {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 200, "outputTokenCount": 6}},
            ],
            (200, 800, 6),
            id="metrics that exclude cached tokens",
        ),
    ],
)
def test_counts_in_an_answer_under_each_providers_names(
    answer: object, counts: tuple[int | None, int | None, int | None]
) -> None:
    found = read(converse(operation="InvokeModel", input={}, output={"outputBodyJson": answer}))

    assert (found.input.input_tokens, found.input.cache_read_tokens, found.output.output_tokens) == counts


def test_a_stream_that_a_guardrail_stopped_has_no_tokens() -> None:
    answer = [{"messageStart": {"role": "assistant"}}, {"messageStop": {"stopReason": "guardrail_intervened"}}]

    found = read(converse(operation="ConverseStream", input={}, output={"outputBodyJson": answer}))

    assert (found.input.input_tokens, found.output.output_tokens) == (0, 0)


@pytest.mark.parametrize("config", [pytest.param("optimized", id="text"), pytest.param({"latency": 5}, id="number")])
def test_an_odd_performance_config_tells_nothing(config: object) -> None:
    found = read(converse(performanceConfig=config))

    assert found.output.output_tokens == 20
    assert found.performance_config is None or found.performance_config.latency is None
