"""The max_tokens of a call: every request shape, and how its value is known."""

import pytest
from processed import read_record
from records import EMBEDDING, NOVA, SONNET, TITAN, Entry, converse, invoke, message, metadata_only

from bedrock_quota.errors import RecordError
from bedrock_quota.processor.max_tokens import MaxTokens, Source, find_defaults, resolve_max_tokens
from bedrock_quota.registry.models import ModelKind, Registry

LLAMA = "meta.llama3-1-8b-instruct-v1:0"
MISTRAL_7B = "mistral.mistral-7b-instruct-v0:2"
MIXTRAL = "mistral.mixtral-8x7b-instruct-v0:1"
MISTRAL_LARGE = "mistral.mistral-large-2402-v1:0"
JAMBA = "ai21.jamba-1-5-large-v1:0"
JURASSIC = "ai21.j2-mid-v1"
GPT_OSS = "openai.gpt-oss-120b-1:0"
TEXT = {"messages": [{"role": "user", "content": "Say something invented."}]}


def read_max_tokens(entry: Entry, registry: Registry) -> MaxTokens:
    model_id = entry["modelId"]
    record, model, provider = read_record(message(entry)), registry.find(model_id), registry.find_provider(model_id)
    return resolve_max_tokens(record, find_defaults(model_id, record.operation, model, provider))


@pytest.mark.parametrize(
    ("model_id", "body", "limit"),
    [
        pytest.param(
            SONNET, {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 2000, **TEXT}, 2000, id="Claude"
        ),
        pytest.param("anthropic.claude-v2:1", {"prompt": "…", "max_tokens_to_sample": 300}, 300, id="Claude 2"),
        pytest.param(NOVA, {"inferenceConfig": {"maxTokens": 700}, **TEXT}, 700, id="Nova maxTokens"),
        pytest.param(NOVA, {"inferenceConfig": {"max_new_tokens": 800}, **TEXT}, 800, id="Nova max_new_tokens"),
        pytest.param("amazon.nova-2-lite-v1:0", {"inferenceConfig": {"max_new_tokens": 900}, **TEXT}, 900, id="Nova 2"),
        pytest.param(TITAN, {"inputText": "…", "textGenerationConfig": {"maxTokenCount": 2048}}, 2048, id="Titan"),
        pytest.param(LLAMA, {"prompt": "…", "max_gen_len": 256}, 256, id="Llama"),
        pytest.param(MISTRAL_7B, {"prompt": "…", "max_tokens": 400}, 400, id="Mistral 7B"),
        pytest.param("mistral.pixtral-large-2502-v1:0", {"max_tokens": 401, **TEXT}, 401, id="Pixtral"),
        pytest.param("mistral.magistral-small-2509", {"max_tokens": 402, **TEXT}, 402, id="Magistral"),
        pytest.param("mistral.ministral-3-8b-instruct", {"max_tokens": 403, **TEXT}, 403, id="Ministral"),
        pytest.param("mistral.devstral-2-123b", {"max_tokens": 404, **TEXT}, 404, id="Devstral"),
        pytest.param("mistral.voxtral-mini-3b-2507", {"max_tokens": 405, **TEXT}, 405, id="Voxtral"),
        pytest.param("cohere.command-r-v1:0", {"message": "…", "max_tokens": 350}, 350, id="Command R"),
        pytest.param(JAMBA, {"max_tokens": 300, **TEXT}, 300, id="Jamba"),
        pytest.param(
            JAMBA, {"max_tokens": 300, "n": 4, **TEXT}, 1200, id="Jamba with 4 answers"
        ),  # 4 answers of up to 300 tokens each
        pytest.param(JAMBA, {"max_tokens": 300, "n": 0, **TEXT}, 300, id="Jamba with 0 answers"),  # there is always one
        pytest.param(JURASSIC, {"prompt": "…", "maxTokens": 120}, 120, id="Jurassic"),
        pytest.param("deepseek.r1-v1:0", {"prompt": "…", "max_tokens": 32768}, 32768, id="DeepSeek"),
        pytest.param(GPT_OSS, {"max_completion_tokens": 1500, **TEXT}, 1500, id="gpt-oss max_completion_tokens"),
        pytest.param(GPT_OSS, {"max_tokens": 1501, **TEXT}, 1501, id="gpt-oss max_tokens"),
        pytest.param(
            GPT_OSS, {"max_completion_tokens": 1500, "max_tokens": 9, **TEXT}, 1500, id="gpt-oss with both"
        ),  # the newer name decides
        pytest.param("twelvelabs.pegasus-1-2-v1:0", {"inputPrompt": "…", "maxOutputTokens": 512}, 512, id="Pegasus"),
        pytest.param(SONNET, {"max_tokens": 0, **TEXT}, 0, id="limit of 0"),  # a limit of nothing is a limit
    ],
)
def test_invoke_model_sets_its_limit_where_its_provider_puts_it(
    registry: Registry, model_id: str, body: Entry, limit: int
) -> None:
    assert read_max_tokens(invoke(model_id, body), registry) == (limit, Source.EXPLICIT)
    streamed = invoke(model_id, body, operation="InvokeModelWithResponseStream", answer=[{"chunk": 1}])
    assert read_max_tokens(streamed, registry) == (limit, Source.EXPLICIT)


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize(
    "model_id",
    [
        "qwen.qwen3-32b-v1:0",
        "google.gemma-3-12b-it",
        "nvidia.nemotron-nano-9b-v2",
        "minimax.minimax-m2",
        "moonshotai.kimi-k2.5",
        "zai.glm-5",
        "xai.grok-4.7",
        "writer.palmyra-x5-v1:0",
    ],
)
def test_openai_style_models_take_either_name(registry: Registry, model_id: str, field: str) -> None:
    assert read_max_tokens(invoke(model_id, {field: 777, **TEXT}), registry) == (777, Source.EXPLICIT)


@pytest.mark.parametrize(
    ("operation", "body", "limit"),
    [
        pytest.param(
            "ChatCompletions", {"max_completion_tokens": 640, **TEXT}, 640, id="chat with max_completion_tokens"
        ),
        pytest.param("ChatCompletions", {"max_tokens": 641, **TEXT}, 641, id="chat with max_tokens"),
        pytest.param("Responses", {"input": "…", "max_output_tokens": 642}, 642, id="responses"),
    ],
)
def test_openai_operations(registry: Registry, operation: str, body: Entry, limit: int) -> None:
    assert read_max_tokens(invoke(GPT_OSS, body, operation=operation), registry) == (limit, Source.EXPLICIT)


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        pytest.param({"max_tokens": 1, "max_output_tokens": 2}, 2, id="max_output_tokens before max_tokens"),
        pytest.param(
            {"max_tokens": 1, "max_output_tokens": 2, "max_completion_tokens": 3},
            3,
            id="max_completion_tokens before both",
        ),
        pytest.param(
            {"max_tokens": 1, "max_completion_tokens": 3, "textGenerationConfig": {"maxTokenCount": 4}},
            4,
            id="Titan's before max_completion_tokens",
        ),
        pytest.param(
            {"max_tokens": 1, "textGenerationConfig": {"maxTokenCount": 4}}, 4, id="Titan's before max_tokens"
        ),
        pytest.param({"max_tokens": 1, "textGenerationConfig": {}}, 1, id="an empty textGenerationConfig"),
        pytest.param(
            {"max_tokens": 1, "inferenceConfig": {"max_new_tokens": 5}}, 5, id="max_new_tokens before max_tokens"
        ),
        pytest.param(
            {"max_output_tokens": 2, "inferenceConfig": {"maxTokens": 6, "max_new_tokens": 5}},
            6,
            id="maxTokens before max_new_tokens",
        ),
        pytest.param({"max_tokens": 1, "inferenceConfig": {}}, 1, id="an empty inferenceConfig"),
        pytest.param(
            {"max_tokens": 1, "maxTokens": 7, "max_gen_len": 8}, 1, id="max_tokens before maxTokens and max_gen_len"
        ),
    ],
)
def test_of_several_limits_the_first_in_the_documented_order_counts(
    registry: Registry, body: Entry, limit: int
) -> None:
    assert read_max_tokens(invoke(GPT_OSS, body), registry) == (limit, Source.EXPLICIT)


@pytest.mark.parametrize("operation", ["Converse", "ConverseStream"])
@pytest.mark.parametrize("model_id", [SONNET, NOVA, TITAN, LLAMA, JAMBA, MISTRAL_LARGE, GPT_OSS])
def test_converse_sets_its_limit_in_one_place_for_all_models(registry: Registry, model_id: str, operation: str) -> None:
    assert read_max_tokens(converse(model_id, max_tokens=333, operation=operation), registry) == (333, Source.EXPLICIT)


@pytest.mark.parametrize(
    ("model_id", "invoke_model", "on_converse"),
    [
        # InvokeModel: the default that the model's own page documents. Converse: the model's maximum.
        (TITAN, 512, 8_000),
        (LLAMA, 512, 4_096),
        (MISTRAL_7B, 512, 4_096),
        (MIXTRAL, 512, 4_096),
        (JURASSIC, 200, 8_191),
        # no default documented apart from the maximum
        (MISTRAL_LARGE, 8_192, 8_192),
        (JAMBA, 4_096, 4_096),
        (NOVA, 5_120, 5_120),
    ],
)
def test_without_a_limit_the_default_depends_on_the_operation(
    registry: Registry, model_id: str, invoke_model: int, on_converse: int
) -> None:
    assert read_max_tokens(invoke(model_id, {"prompt": "…"}), registry) == (invoke_model, Source.DEFAULT)
    assert read_max_tokens(converse(model_id, max_tokens=None), registry) == (on_converse, Source.DEFAULT)
    streamed = converse(model_id, max_tokens=None, operation="ConverseStream")
    assert read_max_tokens(streamed, registry) == (on_converse, Source.DEFAULT)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        pytest.param(invoke(JAMBA, {"n": 4, **TEXT}), 16_384, id="4 answers"),  # 4 answers of up to 4,096 tokens each
        pytest.param(invoke(JAMBA, {"n": 1, **TEXT}), 4_096, id="1 answer"),
        pytest.param(invoke(JAMBA, {"n": 0, **TEXT}), 4_096, id="0 answers"),
        pytest.param(invoke(LLAMA, {"n": 3, "prompt": "…"}), 1_536, id="another model"),  # 3 × the 512 of InvokeModel
        pytest.param(invoke("newcomer.model-1", {"n": 2, **TEXT}), 262_144, id="unlisted model"),  # 2 × 131,072
    ],
)
def test_n_answers_reserve_n_times_the_default(registry: Registry, entry: Entry, value: int) -> None:
    assert registry.provider_by_id["*"].max_output_tokens == 131_072
    assert read_max_tokens(entry, registry) == (value, Source.DEFAULT)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        pytest.param({"max_tokens": 50_000_000, "n": 2}, (100_000_000, Source.EXPLICIT), id="two at the limit"),
        pytest.param({"max_tokens": 100_000_000}, (100_000_000, Source.EXPLICIT), id="one at the limit"),
        pytest.param({"n": 24_414}, (99_999_744, Source.DEFAULT), id="defaults just within"),  # × 4,096
        pytest.param({"max_tokens": 33_333_334, "n": 3}, None, id="three just beyond"),  # 100,000,002
        pytest.param({"max_tokens": 100_000_000, "n": 100_000_000}, None, id="absurd times absurd"),
        pytest.param({"n": 24_415}, None, id="defaults just beyond"),  # 100,003,840
    ],
)
def test_more_answers_than_any_model_gives_are_absurd(registry: Registry, body: Entry, found: MaxTokens | None) -> None:
    entry = invoke(JAMBA, body)
    if found is not None:
        assert read_max_tokens(entry, registry) == found
        return
    with pytest.raises(RecordError) as caught:
        read_max_tokens(entry, registry)
    assert (caught.value.reason, caught.value.request_id) == ("absurd_count", entry["requestId"])


# Limits that Converse passes on to the model


@pytest.mark.parametrize(
    ("additional", "found"),
    [
        *(
            pytest.param({name: 900}, (900, Source.EXPLICIT), id=name)
            for name in (
                "max_tokens",
                "max_completion_tokens",
                "max_output_tokens",
                "max_tokens_to_sample",
                "max_gen_len",
                "max_new_tokens",
                "maxTokens",
                "maxOutputTokens",
                "maxTokenCount",
            )
        ),
        pytest.param({"inferenceConfig": {"maxTokens": 900}}, (900, Source.EXPLICIT), id="inferenceConfig in it"),
        pytest.param({"inferenceConfig": {"max_new_tokens": 900}}, (900, Source.EXPLICIT), id="Nova's own name"),
        pytest.param({"textGenerationConfig": {"maxTokenCount": 900}}, (900, Source.EXPLICIT), id="Titan's own"),
        pytest.param({"max_tokens": 300, "n": 3}, (900, Source.EXPLICIT), id="3 answers"),
        pytest.param({"max_tokens": "900"}, (900, Source.EXPLICIT), id="count as text"),
        pytest.param({"max_tokens": 900.0}, (900, Source.EXPLICIT), id="count as a fraction"),
        pytest.param({"max_tokens": 900, "thinking": {"budget_tokens": 5}}, (900, Source.EXPLICIT), id="other fields"),
        pytest.param({"max_tokens": 900, "maxTokens": "many"}, (900, Source.EXPLICIT), id="another of a wrong type"),
        *(
            pytest.param(each, (64_000, Source.DEFAULT), id=f"fields {each!r}")
            for each in ({}, None, [], 5, "max_tokens", {"max_tokens": None}, {"max_tokens": -1}, {"max_tokens": [9]})
        ),
        pytest.param({"inferenceConfig": [900]}, (64_000, Source.DEFAULT), id="inferenceConfig of a wrong type"),
    ],
)
@pytest.mark.parametrize(
    "metadata", [pytest.param({}, id="fast"), pytest.param({"requestMetadata": {"count": 5}}, id="slow")]
)
def test_additional_fields_limit_a_converse_call_without_a_limit(
    registry: Registry, additional: object, found: MaxTokens, metadata: Entry
) -> None:
    entry = converse(SONNET, max_tokens=None) | metadata
    entry["input"]["inputBodyJson"]["additionalModelRequestFields"] = additional

    assert read_max_tokens(entry, registry) == found


def test_a_limit_of_converse_comes_before_additional_fields(registry: Registry) -> None:
    entry = converse(SONNET, max_tokens=500)
    entry["input"]["inputBodyJson"]["additionalModelRequestFields"] = {"max_tokens": 900}

    assert read_max_tokens(entry, registry) == (500, Source.EXPLICIT)


# A default is never less than the output


@pytest.mark.parametrize(
    ("output", "value"),
    [
        pytest.param(64_000, 64_000, id="as much as the default"),
        pytest.param(64_001, 64_001, id="more than the default"),
        pytest.param(100_000, 100_000, id="high effort"),
    ],
)
def test_a_default_is_at_least_the_output(registry: Registry, output: int, value: int) -> None:
    entry = converse(SONNET, max_tokens=None, output_tokens=output)

    assert read_max_tokens(entry, registry) == (value, Source.DEFAULT)


def test_an_explicit_limit_stays_whatever_came(registry: Registry) -> None:
    assert read_max_tokens(converse(max_tokens=5, output_tokens=9), registry) == (5, Source.EXPLICIT)


# Declared limits


def declared(text: object, entry: Entry) -> Entry:
    return entry | {"requestMetadata": {"team": "a", "max_tokens": text}}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("2000", (2_000, Source.DECLARED), id="digits"),
        pytest.param("1", (1, Source.DECLARED), id="least"),
        pytest.param("0100", (100, Source.DECLARED), id="leading zero"),
        pytest.param("100000000", (100_000_000, Source.DECLARED), id="most"),
        *(
            pytest.param(each, (None, Source.UNKNOWN), id=f"declares {each!r}")
            for each in (
                "0", "100000001", "9" * 250, "", " 5", "5 ", "5.0", "-5", "+5", "1e3", "1,000", "many", "٣", 5, None
            )
        ),
    ],
)  # fmt: skip
def test_a_declared_limit_is_a_count_in_digits(registry: Registry, text: object, found: MaxTokens) -> None:
    assert read_max_tokens(declared(text, metadata_only(output_tokens=1)), registry) == found


@pytest.mark.parametrize(
    ("output_tokens", "found"),
    [
        pytest.param(200, (200, Source.DECLARED), id="cut at it"),
        pytest.param(201, (None, Source.UNKNOWN), id="exceeds it"),
    ],
)
def test_a_declared_limit_below_the_output_declares_nothing(
    registry: Registry, output_tokens: int, found: MaxTokens
) -> None:
    assert read_max_tokens(declared("200", metadata_only(output_tokens=output_tokens)), registry) == found


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        pytest.param(converse(max_tokens=500), (500, Source.EXPLICIT), id="limit in the body"),
        pytest.param(converse(SONNET, max_tokens=None), (64_000, Source.DEFAULT), id="body without a limit"),
        pytest.param(metadata_only(EMBEDDING), (0, Source.NONE), id="model without output"),
        pytest.param(
            converse() | {"input": {"inputTokenCount": 5, "inputBodyS3Path": "s3://bucket/body.json.gz"}},
            (2_000, Source.DECLARED),
            id="body in S3",
        ),
    ],
)
def test_a_declared_limit_counts_only_without_a_body_in_the_log(
    registry: Registry, entry: Entry, found: MaxTokens
) -> None:
    assert read_max_tokens(declared("2000", entry), registry) == found


def test_empty_body_has_no_limit(registry: Registry) -> None:
    assert read_max_tokens(invoke(TITAN, {}), registry) == (512, Source.DEFAULT)


def test_null_limit_is_no_limit(registry: Registry) -> None:
    body = {"inputText": "…", "textGenerationConfig": {"maxTokenCount": None}, "max_tokens": None}

    assert read_max_tokens(invoke(TITAN, body), registry) == (512, Source.DEFAULT)


@pytest.mark.parametrize("written", ["256", 256.0])
def test_limit_written_oddly_is_still_explicit(registry: Registry, written: object) -> None:
    body = {"textGenerationConfig": {"maxTokenCount": written}}

    assert read_max_tokens(invoke(TITAN, body), registry) == (256, Source.EXPLICIT)


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(-1, id="negative"),
        pytest.param("many", id="a word"),
        pytest.param(2.5, id="a fraction"),
        pytest.param(True, id="true"),
        pytest.param([5], id="a list"),
        pytest.param({"a": 5}, id="an object"),
        pytest.param(10**12, id="absurd"),
    ],
)
def test_limit_that_is_no_count_is_no_limit(registry: Registry, written: object) -> None:
    body = {"textGenerationConfig": {"maxTokenCount": written}}

    assert read_max_tokens(invoke(TITAN, body), registry) == (512, Source.DEFAULT)


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(None, id="absent"),
        pytest.param([], id="an empty list"),
        pytest.param([1, 2], id="a list"),
        pytest.param("text", id="text"),
        pytest.param(5, id="a number"),
    ],
)
def test_without_a_body_that_can_be_read_the_limit_is_unknown(registry: Registry, written: object) -> None:
    entry = invoke(SONNET, written)

    assert read_max_tokens(entry, registry) == (None, Source.UNKNOWN)


def test_metadata_only_record_has_no_body(registry: Registry) -> None:
    assert read_max_tokens(metadata_only(), registry) == (None, Source.UNKNOWN)


def test_body_in_s3_is_unknown(registry: Registry) -> None:
    entry = invoke(SONNET, {})
    del entry["input"]["inputBodyJson"]
    entry["input"]["inputBodyS3Path"] = "s3://invented-bucket/data/0f0e_input.json.gz"

    assert read_max_tokens(entry, registry) == (None, Source.UNKNOWN)


@pytest.mark.parametrize(
    "model_id",
    [
        pytest.param(EMBEDDING, id="Titan Embeddings"),
        pytest.param("cohere.embed-english-v3", id="Cohere Embed"),
        pytest.param("cohere.rerank-v3-5:0", id="Cohere Rerank"),
        pytest.param("amazon.nova-canvas-v1:0", id="Nova Canvas"),
        pytest.param("luma.ray-v2:0", id="Luma Ray"),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(None, id="no body"),
        pytest.param({}, id="an empty body"),
        pytest.param({"max_tokens": 99}, id="a limit"),
    ],
)
def test_model_without_output_tokens_reserves_none(registry: Registry, model_id: str, body: object) -> None:
    assert read_max_tokens(invoke(model_id, body, output_tokens=None), registry) == (0, Source.NONE)


def test_unlisted_model_counts_as_the_largest_of_its_provider(registry: Registry) -> None:
    given = invoke("anthropic.claude-of-tomorrow", {"messages": []})
    stranger = invoke("newcomer.model-1", {"messages": []})

    largest = max(
        model.max_output_tokens or 0 for model in registry.models if registry.find_provider(model.id).id == "anthropic"
    )
    assert read_max_tokens(given, registry) == (largest, Source.DEFAULT)
    assert read_max_tokens(stranger, registry) == (registry.provider_by_id["*"].max_output_tokens, Source.DEFAULT)
    assert read_max_tokens(invoke("newcomer.model-1", {"max_tokens": 5}), registry) == (5, Source.EXPLICIT)


@pytest.mark.parametrize(
    ("body", "output_tokens", "found"),
    [
        pytest.param({"inputText": "…"}, None, (0, Source.NONE), id="no count"),
        pytest.param({"inputText": "…"}, 0, (0, Source.NONE), id="a count of 0"),
        pytest.param({"texts": ["…"], "n": 3}, None, (0, Source.NONE), id="n that is no limit"),
        pytest.param({"inputText": "…"}, 1, (131_072, Source.DEFAULT), id="a count of 1"),  # it did write
        pytest.param({"max_tokens": 300}, None, (300, Source.EXPLICIT), id="a limit and no count"),  # it might have
        pytest.param({"max_tokens": 300}, 0, (300, Source.EXPLICIT), id="a limit and a count of 0"),
        pytest.param(
            None, None, (0, Source.NONE), id="no body and no count"
        ),  # no text is delivered: its name says enough
        pytest.param(None, 1, (None, Source.UNKNOWN), id="no body and a count of 1"),
    ],
)
def test_unlisted_model_that_asked_for_no_output_and_got_none_has_none(
    registry: Registry, body: object, output_tokens: int | None, found: MaxTokens
) -> None:
    assert read_max_tokens(invoke("newcomer.embedding-1", body, output_tokens=output_tokens), registry) == found


@pytest.mark.parametrize("output_tokens", [None, 0])
def test_listed_model_reserved_its_default_even_if_it_wrote_nothing(
    registry: Registry, output_tokens: int | None
) -> None:
    assert read_max_tokens(invoke(TITAN, {}, output_tokens=output_tokens), registry) == (512, Source.DEFAULT)


@pytest.mark.parametrize(
    ("entry", "source"),
    [
        pytest.param(invoke("newcomer.model-1", {"prompt": "…"}, output_tokens=None), Source.DEFAULT, id="another id"),
        pytest.param(invoke("newcomer.model-1", None, output_tokens=None), Source.UNKNOWN, id="another id and no body"),
        pytest.param(
            converse("newcomer.embed-1", max_tokens=None, output_tokens=None), Source.DEFAULT, id="Converse"
        ),  # Converse gives text
        pytest.param(
            invoke("newcomer.embed-1", {}, operation="InvokeModelWithResponseStream", output_tokens=None),
            Source.DEFAULT,
            id="a stream",
        ),
        pytest.param(invoke("us.newcomer.embed-1", {}, output_tokens=None), Source.NONE, id="an embedding"),
        pytest.param(invoke("newcomer.rerank-1", {"query": "…"}, output_tokens=None), Source.NONE, id="a reranker"),
    ],
)
def test_unlisted_model_is_one_without_output_only_if_its_id_and_its_call_say_so(
    registry: Registry, entry: Entry, source: Source
) -> None:
    assert read_max_tokens(entry, registry)[1] is source


def test_ids_of_listed_models_say_whether_they_give_text(registry: Registry) -> None:
    without_output = {model.id for model in registry.models if model.kind in {ModelKind.EMBEDDING, ModelKind.RERANK}}

    assert without_output
    assert {model.id for model in registry.models if "embed" in model.id or "rerank" in model.id} == without_output
