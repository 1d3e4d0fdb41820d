"""Tier, latency and model that served a call, and answers that were cut: from wherever a record tells them."""

import json
import tracemalloc
from typing import Any

import pytest
from processed import read_record, read_slowly
from records import NOVA, NOW, SONNET, Entry, Process, ReadLine, converse, failed, invoke, message

from bedrock_quota.model_ids import OutOfScope
from bedrock_quota.pools import QuotaPool
from bedrock_quota.processor import reading
from bedrock_quota.processor.records import Record, safe_tier
from bedrock_quota.processor.serving import MAX_CHUNKS, NOTHING_NAMED, Serving, find_serving
from bedrock_quota.processor.usage import MAX_NAMED, ReservedTierCall, UsageCalculator
from bedrock_quota.registry.models import Registry

NOVA_PRO = "us.amazon.nova-pro-v1:0"
ROUTER = "arn:aws:bedrock:us-east-1:111122223333:default-prompt-router/anthropic.claude:1"
NONSENSE = [5, 1.5, True, [], {}, [{"type": "reserved"}], "", " ", "x" * 70, {"type": 5}, {"type": []}, None]


def asked(entry: Entry, **words: Any) -> Entry:
    """Add members to a request body."""
    given = entry["input"]
    return entry | {"input": given | {"inputBodyJson": given["inputBodyJson"] | words}}


def answered(entry: Entry, answer: Any) -> Entry:
    """Replace the answer, or add members to it if they are given as a dictionary."""
    output = entry["output"]
    whole = output["outputBodyJson"] | answer if isinstance(answer, dict) else answer
    return entry | {"output": output | {"outputBodyJson": whole}}


def tier_of(line: Entry) -> str:
    return str(line.get("service_tier", ""))


@pytest.fixture(params=["fast", "slow"])
def way(request: pytest.FixtureRequest) -> Any:
    """Return a change of a record after which only the tolerant reader can read it, or none."""
    extra = {} if request.param == "fast" else {"requestMetadata": {"count": 5}}
    return lambda entry: entry | extra


RESERVED = {"type": "reserved"}


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(answered(converse(), {"serviceTier": RESERVED}), id="answer of Converse"),
        pytest.param(answered(converse(), {"serviceTier": {"type": "Reserved"}}), id="another case"),
        pytest.param(answered(converse(), {"service_tier": "reserved"}), id="answer of Chat Completions"),
        pytest.param(answered(converse(), {"service_tier": RESERVED}), id="object in the place of a word"),
        pytest.param(answered(converse(), {"serviceTier": "RESERVED"}), id="word in the place of an object"),
        pytest.param(answered(converse(), {"metadata": {"serviceTier": RESERVED}}), id="metadata event"),
        pytest.param(
            answered(converse(), [{"messageStop": {}}, {"metadata": {"serviceTier": RESERVED}}]), id="list of events"
        ),
        pytest.param(answered(converse(), [{"service_tier": "reserved"}, {"choices": []}]), id="list of chunks"),
        pytest.param(
            answered(converse(), [{"type": "response.completed", "response": {"service_tier": "reserved"}}]),
            id="last event of Responses",
        ),
        pytest.param(
            asked(answered(converse(), {"serviceTier": RESERVED}), serviceTier={"type": "default"}),
            id="answer before request",
        ),
        pytest.param(
            asked(answered(converse(), [{"metadata": {"serviceTier": RESERVED}}]), performanceConfig={"latency": {}}),
            id="list of events, and a wrong type in the request",
        ),
        pytest.param(asked(converse(), serviceTier=RESERVED), id="request of Converse"),
        pytest.param(asked(converse(), service_tier="reserved"), id="request of Chat Completions"),
        pytest.param(
            answered(converse(), {"serviceTier": RESERVED, "stopReason": 5, "trace": "ENABLED"}),
            id="other words of wrong types",
        ),
        *(
            pytest.param(
                asked(answered(converse(), {"serviceTier": each}), serviceTier=RESERVED), id=f"answer names {each!r}"
            )
            for each in NONSENSE
        ),
    ],
)
def test_a_call_of_the_reserved_tier_draws_on_no_pool(
    process: Process, read_line: ReadLine, way: Any, entry: Entry
) -> None:
    outcome = process([way(entry)])

    line, health = map(read_line, outcome.lines)
    assert line == {
        "event": "reserved_tier_calls", "minute": 1_795_435_200_000, "ModelId": SONNET, "EndpointType": "regional",
        "caller": "ReportWriter", "operation": "Converse", "reserved_tier_calls": 1, "reserved_tier_input_tokens": 100,
        "reserved_tier_cache_read_tokens": 0, "reserved_tier_cache_write_tokens": 0, "reserved_tier_output_tokens": 20,
    }  # fmt: skip
    assert (health["RecordsOutOfScope"], health["RecordsProcessed"]) == (1, 0)
    assert health["out_of_scope_reasons"] == {"reserved_tier": 1}


@pytest.mark.parametrize(
    ("entry", "tier"),
    [
        pytest.param(converse(), "", id="no tier"),
        pytest.param(answered(converse(), {"serviceTier": {"type": "priority"}}), "priority", id="priority"),
        pytest.param(answered(converse(), {"serviceTier": {"type": "flex"}}), "flex", id="flex"),
        pytest.param(answered(converse(), {"metadata": {"serviceTier": "reserved"}}), "", id="a caller's metadata"),
        pytest.param(
            asked(answered(converse(), {"serviceTier": {"type": "default"}}), serviceTier=RESERVED),
            "default",
            id="overflow of the reserved tier",
        ),
        pytest.param(answered(converse(), {"service_tier": "ultrafast"}), "ultrafast", id="unknown tier"),
        pytest.param(asked(converse(), service_tier="auto"), "", id="OpenAI's auto"),
        pytest.param(asked(converse(), service_tier=" Auto "), "", id="auto with blanks"),
        pytest.param(
            asked(answered(converse(), {"service_tier": " auto "}), service_tier="flex"), "flex", id="answered auto"
        ),
        pytest.param(asked(converse(), service_tier="standard_only"), "", id="Anthropic's standard_only"),
        pytest.param(
            asked(answered(converse(), {"service_tier": "flex"}), service_tier="auto"), "flex", id="auto, answered flex"
        ),
        pytest.param(answered(converse(), {"service_tier": "my secret prompt"}), "other", id="text that is no word"),
        *(
            pytest.param(answered(converse(), {"serviceTier": each, "service_tier": each}), "", id=f"answer {each!r}")
            for each in NONSENSE
        ),
        *(
            pytest.param(asked(converse(), serviceTier=each, service_tier=each), "", id=f"request {each!r}")
            for each in NONSENSE
        ),
    ],
)
def test_all_other_tiers_count_in_the_pool(
    process: Process, read_line: ReadLine, way: Any, entry: Entry, tier: str
) -> None:
    outcome = process([way(entry)])

    line, _health = map(read_line, outcome.lines)
    assert (line["consumed_tokens"], line["reserved_tokens"], tier_of(line)) == (200, 600, tier)
    assert outcome.outcome.unknown_tiers == ((tier,) if tier in {"ultrafast", "other"} else ())


def test_calls_of_the_reserved_tier_are_grouped_and_add_nothing_to_their_pool(
    process: Process, read_line: ReadLine
) -> None:
    reserved = answered(converse(cache_read=7, cache_write=3), {"serviceTier": RESERVED})

    outcome = process([reserved, converse(), reserved, failed(), "no record"])

    pool, tier, _failed, health = map(read_line, outcome.lines)
    assert pool["requests"] == 1
    assert (tier["reserved_tier_calls"], tier["reserved_tier_input_tokens"]) == (2, 200)
    assert (tier["reserved_tier_cache_read_tokens"], tier["reserved_tier_cache_write_tokens"]) == (14, 6)
    assert tier["reserved_tier_output_tokens"] == 40
    names = ("RecordsProcessed", "RecordsRejected", "RecordsOutOfScope", "RequestsFailed", "received")
    assert [health[name] for name in names] == [1, 1, 2, 1, 5]


def test_a_failed_call_stays_failed_whatever_tier_it_asked_for(process: Process, read_line: ReadLine) -> None:
    entry = failed(input={"inputBodyJson": {"serviceTier": RESERVED}})

    *_lines, health = map(read_line, process([entry]).lines)

    assert (health["RequestsFailed"], health["RecordsOutOfScope"]) == (1, 0)


def test_a_thousand_tiers_make_no_more_lines_than_groups_may(process: Process, read_line: ReadLine) -> None:
    # given 1,500 names for a tier in one pool and minute
    entries = [answered(converse(), {"service_tier": f"tier-{number}"}) for number in range(1_500)]

    outcome = process(entries)

    *lines, _health = map(read_line, outcome.lines)
    groups = {tier_of(line) for line in lines}
    assert len(groups) == 1_001  # and the shared one
    assert sum(line["requests"] for line in lines) == 1_500
    assert len(outcome.outcome.unknown_tiers) == 20


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(" Reserved ", "reserved", id="case and blanks"),
        pytest.param("scale-2_x", "scale-2_x", id="short word"),
        pytest.param("x" * 33, "other", id="long word"),
        pytest.param("tell me a secret", "other", id="sentence"),
        pytest.param("größe", "other", id="other letters"),
    ],
)
def test_a_tier_is_named_only_as_a_short_word(given: str, expected: str) -> None:
    assert safe_tier(given) == expected


# Latency


def performance(latency: object) -> Entry:
    return {"performanceConfig": {"latency": latency}}


@pytest.mark.parametrize(
    ("entry", "endpoint"),
    [
        pytest.param(converse(NOVA_PRO), "cross-region", id="nothing said"),
        pytest.param(answered(converse(NOVA_PRO), performance("optimized")), "latency-optimized", id="answer"),
        pytest.param(answered(converse(NOVA_PRO), performance("OPTIMIZED")), "latency-optimized", id="another case"),
        pytest.param(answered(converse(NOVA_PRO), performance(" optimized ")), "latency-optimized", id="blanks"),
        pytest.param(asked(converse(NOVA_PRO), **performance("optimized")), "latency-optimized", id="request"),
        pytest.param(converse(NOVA_PRO, **performance("optimized")), "latency-optimized", id="beside the bodies"),
        pytest.param(
            asked(answered(converse(NOVA_PRO), performance("standard")), **performance("optimized")),
            "cross-region",
            id="asked optimized, answered standard",
        ),
        pytest.param(
            asked(converse(NOVA_PRO, **performance("optimized")), **performance("standard")),
            "cross-region",
            id="request before the field beside the bodies",
        ),
        pytest.param(
            answered(converse(NOVA_PRO), [{"metadata": performance("optimized")}]), "latency-optimized", id="stream"
        ),
        pytest.param(
            asked(answered(converse(NOVA_PRO), performance(5)), **performance("optimized")),
            "latency-optimized",
            id="answer of a wrong type",
        ),
        pytest.param(asked(converse(NOVA_PRO), performanceConfig="optimized"), "cross-region", id="text as object"),
        pytest.param(asked(converse(NOVA_PRO), **performance(["optimized"])), "cross-region", id="list as text"),
        pytest.param(converse(f"{NOVA_PRO}+latency-optimized"), "latency-optimized", id="model id"),
        pytest.param(
            answered(converse(f"{NOVA_PRO}+latency-optimized"), performance("standard")),
            "cross-region",
            id="model id, answered standard",
        ),
        pytest.param(
            converse("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0+latency-optimized"),
            "latency-optimized",
            id="model ARN",
        ),
        pytest.param(
            converse(f"arn:aws:bedrock:us-east-1:111122223333:inference-profile/{NOVA_PRO}+latency-optimized"),
            "latency-optimized",
            id="profile ARN",
        ),
    ],
)
def test_latency_of_the_answer_decides_then_of_the_request(
    process: Process, read_line: ReadLine, way: Any, entry: Entry, endpoint: str
) -> None:
    line, _health = map(read_line, process([way(entry)]).lines)

    assert (line["ModelId"], line["EndpointType"]) == ("amazon.nova-pro-v1:0", endpoint)
    assert (line["reserved_tokens"], line["consumed_tokens"]) == (600, 120)


def test_a_model_without_an_optimized_quota_keeps_its_pool(process: Process, read_line: ReadLine) -> None:
    line, _health = map(read_line, process([converse(f"us.{NOVA}+latency-optimized")]).lines)

    assert (line["ModelId"], line["EndpointType"]) == (NOVA, "cross-region")


# Prompt routers


def routed(model_id: object) -> Entry:
    return {"trace": {"promptRouter": {"invokedModelId": model_id}}}


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(routed(f"arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.{SONNET}"), id="profile"),
        pytest.param(routed(f"us.{SONNET}"), id="model id"),
        pytest.param({"metadata": routed(f"us.{SONNET}")}, id="metadata event"),
        pytest.param([{"metadata": routed(f"us.{SONNET}")}], id="list of events"),
    ],
)
def test_a_routed_call_counts_in_the_pool_of_the_chosen_model(
    process: Process, read_line: ReadLine, way: Any, answer: Any
) -> None:
    entry = way(answered(converse(ROUTER), answer))

    line, _health = map(read_line, process([entry]).lines)

    assert (line["ModelId"], line["EndpointType"]) == (SONNET, "cross-region")
    assert line["consumed_tokens"] == 200  # 100 + 5 × 20


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param({}, "prompt_router", id="not named"),
        pytest.param(routed(5), "prompt_router", id="wrong type"),
        pytest.param(routed(ROUTER), "prompt_router", id="another router"),
        pytest.param(routed(""), "prompt_router", id="empty"),
        pytest.param(routed(" "), "prompt_router", id="blank"),
        pytest.param(routed("x" * 3_000), "prompt_router", id="too long"),
        pytest.param(routed("tell me"), "unreadable_model_id", id="no model id"),
    ],
)
def test_a_routed_call_without_a_chosen_model_is_out_of_scope(
    process: Process, way: Any, answer: Any, reason: str
) -> None:
    assert process([way(answered(converse(ROUTER), answer))]).out_of_scope == {reason: 1}


def test_an_answer_cannot_move_another_call_to_another_model(process: Process, read_line: ReadLine) -> None:
    line, _health = map(read_line, process([answered(converse(NOVA), routed(SONNET))]).lines)

    assert line["ModelId"] == NOVA


# Answers that were cut

CUT: dict[str, Any] = {
    "Converse": {"stopReason": "max_tokens"},
    "Anthropic": {"stop_reason": "max_tokens"},
    "Chat Completions": {"choices": [{"finish_reason": "length"}]},
    "second of two choices": {"choices": [{"finish_reason": "stop"}, {"finish_reason": "length"}]},
    "Responses": {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
    "Pegasus": {"message": "x", "finishReason": "length"},
    "Titan": {"results": [{"tokenCount": 5, "completionReason": "LENGTH"}]},
    "Llama": {"generation": "x", "stop_reason": "length"},
    "Mistral": {"outputs": [{"text": "x", "stop_reason": "length"}]},
    "DeepSeek": {"choices": [{"text": "x", "stop_reason": "length"}]},
    "Cohere": {"finish_reason": "MAX_TOKENS"},
    "Cohere, generations": {"generations": [{"finish_reason": "MAX_TOKENS"}]},
    "stream of Converse": [{"messageStop": {"stopReason": "max_tokens"}}, {"metadata": {"usage": {}}}],
    "stream of Anthropic": [
        {"type": "message_start", "message": {"stop_reason": None}},
        *[{"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x"}}] * 400,
        {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}},
        {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"outputTokenCount": 5}},
    ],
    "stream of Chat Completions": [
        {"choices": [{"delta": {"content": "x"}}]},
        {"choices": [{"delta": {}, "finish_reason": "length"}]},
        {"choices": [], "usage": {"completion_tokens": 5}},
    ],
    "stream of Responses": [
        {"type": "response.output_text.delta", "delta": "x"},
        {
            "type": "response.incomplete",
            "response": {"output": ["x" * 9_000], "incomplete_details": {"reason": "max_output_tokens"}},
        },
    ],
    "stream of Titan": [{"outputText": "x", "completionReason": "LENGTH", "totalOutputTextTokenCount": 5}],
    "stream of Cohere": [{"text": "x"}, {"is_finished": True, "finish_reason": "MAX_TOKENS"}],
    "stream of Cohere v2": [{"type": "message-end", "delta": {"finish_reason": "MAX_TOKENS", "usage": {}}}],
    "reason with blanks": {"stopReason": " max_tokens "},
}


@pytest.mark.parametrize("answer", [pytest.param(answer, id=name) for name, answer in CUT.items()])
@pytest.mark.parametrize("operation", ["InvokeModel", "InvokeModelWithResponseStream"])
def test_an_answer_that_was_cut_is_told(process: Process, way: Any, answer: Any, operation: str) -> None:
    entry = way(invoke(SONNET, {"max_tokens": 20}, answer=answer, operation=operation))

    assert truncated(process, entry)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"stopReason": "end_turn"}, id="ended by itself"),
        pytest.param({"stopReason": "model_context_window_exceeded"}, id="full context window of Converse"),
        pytest.param({"outputs": [{"stop_reason": "model_length"}]}, id="full context window of Mistral"),
        pytest.param({"completion": "max_tokens", "output": {"stopReason": "max_tokens"}}, id="words elsewhere"),
        pytest.param({"stopReason": 5, "choices": "length"}, id="wrong types"),
        pytest.param("max_tokens", id="text"),
        pytest.param([], id="empty stream"),
        pytest.param([5, None, [], "max_tokens"], id="chunks of wrong types"),
        pytest.param([{"delta": "max_tokens"}], id="text of a chunk"),
        pytest.param([{"stop_reason": "max_tokens"}, *[{"delta": {"text": "x"}}] * MAX_CHUNKS], id="not at the end"),
        pytest.param([{"text": '"},{"stop_reason":"max_tokens"},{"a":"'}], id="JSON within a text"),
        pytest.param([{"a": [{"x": 1}, {"stop_reason": "max_tokens"}]}], id="within a chunk"),
    ],
)
def test_any_other_answer_is_not_cut(process: Process, way: Any, answer: Any) -> None:
    assert not truncated(process, way(invoke(SONNET, {"max_tokens": 20}, answer=answer)))


def truncated(process: Process, entry: Entry) -> bool:
    (usage,) = process([entry]).calls.usages
    return usage.truncated


# Wrong types


@pytest.mark.parametrize(
    "words",
    [
        pytest.param({"stopReason": {"deep": [[[]]]}, "serviceTier": [1, 2]}, id="answer"),
        pytest.param([{"delta": {"stop_reason": 5}}, {"metadata": [], "response": 7}] * 40, id="chunks"),
        pytest.param("text", id="answer as text"),
    ],
)
def test_a_wrong_type_takes_no_steps(words: Any) -> None:
    # given a record with counts
    text = message(answered(converse(), words))
    # when it is read
    found = reading.read_usual_record(text)
    # then the tolerant reader has nothing to do, and would say the same
    assert found is not None
    slow = read_slowly(text)
    assert serving_of(found) == serving_of(slow)


def serving_of(record: Record) -> Serving:
    assert not isinstance(record.output.answer, list)
    return find_serving(record.output.answer, record.input.body, record.performance_config) or NOTHING_NAMED


def test_a_nested_answer_of_wrong_types_is_read_fast() -> None:
    # given an answer that the tolerant reader refuses as too deep
    nested: Any = 5
    for _ in range(150):
        nested = [nested]
    text = message(answered(converse(), {"stopReason": nested, "serviceTier": RESERVED}))

    assert json.loads(text)
    assert read_record(text).output.output_tokens == 20


def test_a_stream_larger_than_bedrock_logs_is_not_split_into_chunks() -> None:
    # given chunks of 2 bytes, each of which would be an object of 48
    text = message(answered(converse(), [])).replace(
        '"outputBodyJson": []', f'"outputBodyJson": [{",".join(["0"] * 200_000)}, {{"stopReason": "max_tokens"}}]'
    )
    tracemalloc.start()
    try:
        found = read_record(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (found.output.output_tokens, found.output.answer) == (20, None)
    assert peak < 2 * len(text)


def test_unlisted_models_of_the_reserved_tier_are_named_and_take_no_place_among_pools(registry: Registry) -> None:
    # given a calculator that may admit no pool, and more models than the log names
    def admit(pool: QuotaPool) -> QuotaPool:
        raise AssertionError(pool)

    calculator = UsageCalculator(registry, lambda _profile: OutOfScope("unresolved_profile"), admit_pool=admit)

    calculator.begin(NOW)
    records = [
        read_record(message(answered(converse(f"newcomer.model-{number}"), {"serviceTier": RESERVED})))
        for number in range(MAX_NAMED + 2)
    ]
    pools = [
        entry.usage.group.pool.model_id
        for entry in map(calculator.price, records)
        if isinstance(entry, ReservedTierCall)
    ]

    # then those beyond share their lines
    named = [f"newcomer.model-{number}" for number in range(MAX_NAMED)]
    assert pools == [*named, "unlisted", "unlisted"]
    assert list(calculator.unlisted_models) == named
