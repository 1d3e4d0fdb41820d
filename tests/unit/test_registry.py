"""The registry: the real sources, what the validator refuses, and the look-ups."""

from datetime import date
from pathlib import Path

import msgspec
import pytest

from bedrock_quota.errors import RegistryError
from bedrock_quota.pools import EndpointType
from bedrock_quota.registry.__main__ import main
from bedrock_quota.registry.models import ANY_PROVIDER, Model, ModelKind, RateStatus, Registry, load_registry
from bedrock_quota.registry.sources import read_sources

SOURCES = Path(__file__).parents[2] / "registry" / "models"

OTHER = """
[provider]
id = "*"
name = "Any other provider"
max_output_tokens = 1_000
burndown = [{ rate = 1.0, since = 2024-01-01, status = "listed", source = "a page" }]
"""

ACME = """
[provider]
id = "acme"
name = "Acme"
max_output_tokens = 9_000
burndown = [{ rate = 7.0, since = 2024-01-01, status = "listed", source = "a page" }]
"""

ROCKET = """
[[models]]
id = "acme.rocket-v1:0"
name = "Rocket"
kind = "text"
max_output_tokens = 4_000
source = "a page"
"""

ROCKET_HISTORY = """burndown = [
  { rate = 1.0, since = 2025-03-01, status = "listed", source = "first page" },
  { rate = 5.0, since = 2025-09-15, status = "ambiguous", source = "second page" },
  { rate = 10.0, since = 2026-06-01, status = "listed", source = "third page" },
]
"""


@pytest.fixture(scope="module")
def real() -> Registry:
    return read_sources(SOURCES)


def write_sources(directory: Path, **files: str) -> Path:
    for stem, text in ({"other": OTHER} | files).items():
        (directory / f"{stem}.toml").write_text(text, encoding="utf-8")
    return directory


def invented(directory: Path, **files: str) -> Registry:
    return read_sources(write_sources(directory, **files))


def model(registry: Registry, model_id: str) -> Model:
    found = registry.find(model_id)
    assert found is not None, f"{model_id} is not in the registry"
    return found


# The real sources


def test_real_sources_are_valid_and_have_every_provider(real: Registry) -> None:
    providers = set(real.provider_by_id)

    assert providers == {
        "ai21", "amazon", "anthropic", "cohere", "deepseek", "google", "luma", "meta", "minimax", "mistral",
        "moonshot", "moonshotai", "nvidia", "openai", "qwen", "stability", "twelvelabs", "writer", "xai", "zai",
        ANY_PROVIDER,
    }  # fmt: skip


def test_each_real_file_is_named_after_its_provider() -> None:
    for path in SOURCES.glob("*.toml"):
        provider = msgspec.toml.decode(path.read_bytes())["provider"]["id"]

        assert path.stem == ("other" if provider == ANY_PROVIDER else provider)


def test_real_provider_assumes_no_less_output_than_any_model_it_has(real: Registry) -> None:
    for listed in real.models:
        assumed = real.find_provider(listed.id).max_output_tokens

        assert assumed >= (listed.max_output_tokens or 0), listed.id


def test_real_default_is_below_the_maximum_it_differs_from(real: Registry) -> None:
    with_default = [listed for listed in real.models if listed.default_max_tokens is not None]

    assert with_default
    for listed in with_default:
        assert listed.max_output_tokens is not None, listed.id
        assert listed.default_max_tokens is not None
        assert listed.default_max_tokens < listed.max_output_tokens, listed.id


def test_real_models_without_text_output_have_no_output_limit(real: Registry) -> None:
    silent = [listed for listed in real.models if listed.kind is not ModelKind.TEXT]

    assert silent
    for listed in silent:
        assert (listed.max_output_tokens, listed.default_max_tokens) == (None, None), listed.id


def test_real_ids_carry_no_throughput_suffix(real: Registry) -> None:
    for listed in real.models:
        assert listed.id.count(":") <= 1, listed.id


def test_real_latency_optimized_inference_is_on_these_models_alone(real: Registry) -> None:
    assert sorted(model.id for model in real.models if model.latency_optimized) == [
        "amazon.nova-pro-v1:0",
        "anthropic.claude-3-5-haiku-20241022-v1:0",
        "meta.llama3-1-405b-instruct-v1:0",
        "meta.llama3-1-70b-instruct-v1:0",
    ]


def test_real_long_context_quota_is_on_sonnet_4_and_4_5_alone(real: Registry) -> None:
    above = {listed.id: listed.long_context_above for listed in real.models if listed.long_context_above}

    assert above == {
        "anthropic.claude-sonnet-4-20250514-v1:0": 200_000,
        "anthropic.claude-sonnet-4-5-20250929-v1:0": 200_000,
    }


@pytest.mark.parametrize(
    ("model_id", "rate", "status"),
    [
        ("anthropic.claude-opus-4-8", 15.0, "listed"),
        ("anthropic.claude-opus-5", 10.0, "listed"),
        ("anthropic.claude-opus-5-5", 10.0, "listed"),
        ("anthropic.claude-sonnet-5", 10.0, "listed"),
        ("anthropic.claude-fable-5-1", 10.0, "listed"),
        ("anthropic.claude-sonnet-4-6", 5.0, "listed"),
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", 5.0, "listed"),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", 5.0, "ambiguous"),
        ("anthropic.claude-v2:1", 5.0, "ambiguous"),
        ("anthropic.claude-sonnet-5-5", 10.0, "unlisted"),
        ("anthropic.claude-mythos-5", 10.0, "unlisted"),
        ("anthropic.claude-never-heard-of", 15.0, "unlisted"),
        ("openai.gpt-5.6-sol", 10.0, "listed"),
        ("openai.gpt-6-sol", 10.0, "listed"),
        ("openai.gpt-6-astra", 10.0, "listed"),
        ("openai.gpt-6-luna", 10.0, "listed"),
        ("openai.gpt-6.1-sol", 10.0, "unlisted"),
        ("moonshotai.kimi-k3.1", 1.0, "listed"),
        ("openai.gpt-oss-120b-1:0", 1.0, "listed"),
        ("openai.gpt-never-heard-of", 10.0, "unlisted"),
        ("amazon.nova-pro-v1:0", 1.0, "listed"),
        ("nobody.never-heard-of", 1.0, "unlisted"),
    ],
)
def test_real_burndown_rate(real: Registry, model_id: str, rate: float, status: str) -> None:
    burndown = real.find_burndown(model_id, date(2026, 11, 23))

    assert (burndown.rate, burndown.status) == (rate, status)


@pytest.mark.parametrize(
    ("model_id", "maximum", "default"),
    [
        ("amazon.titan-text-express-v1", 8_000, 512),
        ("meta.llama4-scout-17b-instruct-v1:0", 8_192, 512),
        ("mistral.mistral-7b-instruct-v0:2", 4_096, 512),
        ("mistral.mixtral-8x7b-instruct-v0:1", 4_096, 512),
        ("mistral.mistral-large-2402-v1:0", 8_192, None),
        ("ai21.j2-ultra-v1", 8_191, 200),
        ("ai21.jamba-1-5-large-v1:0", 4_096, None),
        ("deepseek.r1-v1:0", 8_192, None),
        ("deepseek.v3.2", 8_192, None),
        ("amazon.nova-pro-v1:0", 5_120, None),
        ("amazon.nova-lite-v1:0", 5_120, None),
        ("amazon.nova-micro-v1:0", 5_120, None),
        ("amazon.nova-premier-v1:0", 25_000, None),
        ("amazon.nova-2-lite-omni-v1:0", 64_000, None),  # its id may end in `:0` or not
        ("moonshotai.kimi-k3.1", 131_072, None),
        ("anthropic.claude-opus-4-8", 128_000, None),
    ],
)
def test_real_output_limits(real: Registry, model_id: str, maximum: int, default: int | None) -> None:
    listed = model(real, model_id)

    assert (listed.max_output_tokens, listed.default_max_tokens) == (maximum, default)


def test_real_limit_of_an_unlisted_deepseek_is_the_largest_that_aws_accepts_from_one(real: Registry) -> None:
    assert real.find_provider("deepseek.v9").max_output_tokens == 32_768


@pytest.mark.parametrize(
    ("model_id", "day"),
    [
        pytest.param("amazon.nova-premier-v1:0", date(2026, 9, 14), id="Nova Premier"),
        pytest.param("anthropic.claude-3-haiku-20240307-v1:0", date(2026, 9, 10), id="Claude 3 Haiku"),
        pytest.param("anthropic.claude-sonnet-4-20250514-v1:0", date(2026, 10, 14), id="Claude Sonnet 4"),
        pytest.param("anthropic.claude-opus-4-1-20250805-v1:0", date(2027, 1, 8), id="Claude Opus 4.1"),
        pytest.param("anthropic.claude-sonnet-4-5-20250929-v1:0", date(2027, 4, 8), id="Claude Sonnet 4.5"),
        pytest.param("ai21.jamba-1-5-large-v1:0", date(2026, 11, 26), id="Jamba 1.5 Large"),
        pytest.param("cohere.command-r-plus-v1:0", date(2026, 8, 19), id="Command R+"),
        pytest.param("meta.llama3-1-405b-instruct-v1:0", date(2026, 7, 7), id="Llama 3.1 405B"),
        pytest.param("meta.llama3-3-70b-instruct-v1:0", date(2027, 3, 30), id="Llama 3.3 70B"),
        pytest.param("meta.llama4-scout-17b-instruct-v1:0", date(2027, 3, 30), id="Llama 4 Scout"),
        pytest.param("twelvelabs.marengo-embed-2-7-v1:0", date(2026, 11, 30), id="Marengo 2.7"),
        pytest.param("anthropic.claude-opus-5-5", None, id="no end announced"),
    ],
)
def test_real_end_of_life(real: Registry, model_id: str, day: date | None) -> None:
    found = model(real, model_id).end_of_life

    assert (found.day if found else None) == day


def test_real_models_that_only_bedrock_mantle_serves_are_named(real: Registry) -> None:
    assert {each for provider in real.providers for each in provider.mantle_only} == {
        "anthropic.claude-mythos-5", "anthropic.claude-mythos-preview",
        "google.gemma-4-31b", "google.gemma-4-26b-a4b", "google.gemma-4-e2b",
        "openai.gpt-5.6-cyber", "openai.gpt-daybreak-blue-5.6-sol", "openai.gpt-5.5", "openai.gpt-5.4",
        "xai.grok-4.3",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("model_id", "quota_name"),
    [
        ("anthropic.claude-3-5-sonnet-20240620-v1:0", "Anthropic Claude 3.5 Sonnet"),
        ("anthropic.claude-3-5-sonnet-20240620-v1:0", "Anthropic Claude 3.5 Sonnet V1"),
        ("amazon.nova-2-lite-omni-v1", "Amazon Nova 2 Omni"),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", "Anthropic Claude 3.5 Sonnet V2"),
        ("anthropic.claude-opus-4-6-v1", "Anthropic Claude Opus 4.6 V1"),
        ("anthropic.claude-sonnet-4-20250514-v1:0", "Anthropic Claude Sonnet 4 V1"),
        ("amazon.nova-lite-v1:0", "Amazon Nova Lite"),
        ("amazon.nova-2-lite-v1:0", "Amazon Nova 2 Lite"),
        ("amazon.nova-pro-v1:0", "Amazon Nova Pro"),
        ("amazon.nova-pro-v1:0", "Amazon Nova Pro V1"),
        ("amazon.titan-embed-text-v1", "Amazon Titan Text Embeddings"),
        ("mistral.mistral-large-2402-v1:0", "Mistral Large"),
        ("mistral.mistral-large-2402-v1:0", "Mistral AI Mistral Large"),
        ("mistral.mistral-large-2407-v1:0", "Mistral Large 2407"),
        ("mistral.mixtral-8x7b-instruct-v0:1", "Mistral AI Mixtral 8X7BB Instruct"),
        ("twelvelabs.marengo-embed-2-7-v1:0", "Twelve Labs Marengo"),
        ("twelvelabs.marengo-embed-3-0-v1:0", "TwelveLabs Marengo Embed 3.0"),
        ("openai.gpt-oss-20b-1:0", "OpenAI GPT OSS 20B"),
    ],
)
def test_real_quota_name_belongs_to_its_model_alone(real: Registry, model_id: str, quota_name: str) -> None:
    owners = [listed.id for listed in real.models if quota_name in listed.quota_names]

    assert owners == [model_id]


@pytest.mark.parametrize(
    ("code", "model_id", "endpoint_type", "figure"),
    [
        # On-demand model inference tokens per minute for Anthropic Claude 3.5 Sonnet
        ("L-A50569E5", "anthropic.claude-3-5-sonnet-20240620-v1:0", "regional", "tokens_per_minute"),
        # Cross-region model inference tokens per minute for Anthropic Claude 3.5 Sonnet
        ("L-479B647F", "anthropic.claude-3-5-sonnet-20240620-v1:0", "cross-region", "tokens_per_minute"),
        # Cross-Region model inference tokens per minute for Anthropic Claude 3.5 Sonnet V2
        ("L-FF8B4E28", "anthropic.claude-3-5-sonnet-20241022-v2:0", "cross-region", "tokens_per_minute"),
        # Cross-region model inference requests per minute for Anthropic Claude Sonnet 4.5 V1
        ("L-4A6BFAB1", "anthropic.claude-sonnet-4-5-20250929-v1:0", "cross-region", "requests_per_minute"),
        # Global cross-region model inference tokens per minute for Anthropic Claude Sonnet 4.5 V1
        ("L-27C57EE8", "anthropic.claude-sonnet-4-5-20250929-v1:0", "global-cross-region", "tokens_per_minute"),
        # Global cross-region model inference tokens per day for Anthropic Claude Sonnet 4.5 V1
        ("L-BC182137", "anthropic.claude-sonnet-4-5-20250929-v1:0", "global-cross-region", "tokens_per_day"),
        # On-demand model inference tokens per minute for Anthropic Claude Opus 5
        ("L-2EFDF21F", "anthropic.claude-opus-5", "regional", "tokens_per_minute"),
        # Cross-region model inference tokens per minute for Anthropic Claude Opus 4.8
        ("L-DB99DCDB", "anthropic.claude-opus-4-8", "cross-region", "tokens_per_minute"),
        # Model invocation max tokens per day for Anthropic Claude Opus 4.5 (doubled for cross-region calls)
        ("L-F397ECBF", "anthropic.claude-opus-4-5-20251101-v1:0", "regional", "tokens_per_day"),
        # Cross-region model inference tokens per minute for Amazon Nova 2 Lite
        ("L-C6F5908D", "amazon.nova-2-lite-v1:0", "cross-region", "tokens_per_minute"),
        # Cross-region model inference tokens per minute for Amazon Nova Lite
        ("L-7C42E72A", "amazon.nova-lite-v1:0", "cross-region", "tokens_per_minute"),
        # On-demand model inference requests per minute for Amazon Nova Micro
        ("L-E118F160", "amazon.nova-micro-v1:0", "regional", "requests_per_minute"),
        # On-demand model inference tokens per minute for Amazon Titan Text Embeddings
        ("L-74B5B793", "amazon.titan-embed-text-v1", "regional", "tokens_per_minute"),
        # On-demand model inference requests per minute for Mistral Large
        ("L-3AF844DB", "mistral.mistral-large-2402-v1:0", "regional", "requests_per_minute"),
        # On-demand model inference tokens per minute for Mistral Large 2407
        ("L-1C28E1AB", "mistral.mistral-large-2407-v1:0", "regional", "tokens_per_minute"),
        # Global cross-region model inference tokens per minute for GPT-5.6 Sol
        ("L-4D7537CF", "openai.gpt-5.6-sol", "global-cross-region", "tokens_per_minute"),
        # Cross-region model inference tokens per minute for DeepSeek R1 V1
        ("L-06B03968", "deepseek.r1-v1:0", "cross-region", "tokens_per_minute"),
    ],
)
def test_real_quota_code_stands_in_its_pool(
    real: Registry, code: str, model_id: str, endpoint_type: str, figure: str
) -> None:
    codes = model(real, model_id).quota_codes[EndpointType(endpoint_type)]

    assert getattr(codes, figure) == code


# What the validator refuses


BAD_SOURCES = {
    "not toml": (
        {"acme": "[provider\n"},
        "acme.toml: not TOML: ",
    ),
    "not utf-8": (
        {"acme": ACME.encode() + b"# \xff\n"},
        "acme.toml: not TOML: ",
    ),
    "no provider table": (
        {"acme": ROCKET},
        "acme.toml: Object missing required field `provider`",
    ),
    "provider without a rate": (
        {"acme": '[provider]\nid = "acme"\nname = "Acme"\nmax_output_tokens = 1\nburndown = []\n'},
        "acme.toml: [provider]: needs at least one burndown rate",
    ),
    "provider id in upper case": (
        {"acme": ACME.replace('"acme"', '"Acme"')},
        r"acme.toml: Expected `str` matching regex '^([a-z0-9][a-z0-9-]*|\\*)$' - at `$.provider.id`",
    ),
    "unknown field": (
        {"acme": ACME + ROCKET + "colour = 1\n"},
        "acme.toml: Object contains unknown field `colour` - at `models[acme.rocket-v1:0]`",
    ),
    "unknown kind": (
        {"acme": ACME + ROCKET.replace('"text"', '"poetry"')},
        "acme.toml: Invalid enum value 'poetry' - at `models[acme.rocket-v1:0].kind`",
    ),
    "unknown status": (
        {"acme": ACME + ROCKET + ROCKET_HISTORY.replace("ambiguous", "rumoured")},
        "acme.toml: Invalid enum value 'rumoured' - at `models[acme.rocket-v1:0].burndown[1].status`",
    ),
    "unknown endpoint type": (
        {"acme": ACME + ROCKET + 'quota_codes.lunar = { tokens_per_minute = "L-00000001" }\n'},
        "acme.toml: Invalid enum value 'lunar' - at `key` in `models[acme.rocket-v1:0].quota_codes`",
    ),
    "malformed quota code": (
        {"acme": ACME + ROCKET + 'quota_codes.regional = { tokens_per_minute = "L-123" }\n'},
        "acme.toml: Expected `str` matching regex '^L-[0-9A-F]{8}$' - at "
        "`models[acme.rocket-v1:0].quota_codes[...].tokens_per_minute`",
    ),
    "rate below one": (
        {"acme": ACME + ROCKET + ROCKET_HISTORY.replace("rate = 5.0", "rate = 0.5")},
        "acme.toml: Expected `float` >= 1.0 - at `models[acme.rocket-v1:0].burndown[1].rate`",
    ),
    "rate above a hundred": (
        {"acme": ACME + ROCKET + ROCKET_HISTORY.replace("rate = 5.0", "rate = 500.0")},
        "acme.toml: Expected `float` <= 100.0 - at `models[acme.rocket-v1:0].burndown[1].rate`",
    ),
    "negative limit": (
        {"acme": ACME + ROCKET.replace("4_000", "-1")},
        "acme.toml: Expected `int` >= 0 - at `models[acme.rocket-v1:0].max_output_tokens`",
    ),
    "missing source": (
        {"acme": ACME + ROCKET.replace('source = "a page"', "")},
        "acme.toml: Object missing required field `source` - at `models[acme.rocket-v1:0]`",
    ),
    "empty name": (
        {"acme": ACME + ROCKET.replace('"Rocket"', '""')},
        "acme.toml: Expected `str` of length >= 1 - at `models[acme.rocket-v1:0].name`",
    ),
    "model id without a provider": (
        {"acme": ACME + ROCKET.replace("acme.rocket-v1:0", "rocket")},
        "acme.toml: Expected `str` matching regex '^[a-z0-9][a-z0-9-]*\\\\.[a-z0-9.:-]+$' - at `models[rocket].id`",
    ),
    "model id of another provider": (
        {"acme": ACME + ROCKET.replace("acme.rocket-v1:0", "apex.rocket-v1:0")},
        "acme.toml: models[apex.rocket-v1:0]: id does not begin with the provider 'acme'",
    ),
    "text model without a limit": (
        {"acme": ACME + ROCKET.replace("max_output_tokens = 4_000", "")},
        "acme.toml: models[acme.rocket-v1:0]: a text model needs max_output_tokens",
    ),
    "end of life without a source": (
        {"acme": ACME + ROCKET + "end_of_life = { day = 2027-01-08 }\n"},
        "acme.toml: Object missing required field `source` - at `models[acme.rocket-v1:0].end_of_life`",
    ),
    "end of life that is no day": (
        {"acme": ACME + ROCKET + 'end_of_life = { day = "soon", source = "a page" }\n'},
        "acme.toml: Expected `date`, got `str` - at `models[acme.rocket-v1:0].end_of_life.day`",
    ),
    "model of another provider on bedrock-mantle": (
        {"acme": ACME + 'mantle_only = ["apex.rover"]\n'},
        "acme.toml: [provider]: mantle_only has 'apex.rover', which does not begin with 'acme'",
    ),
    "burndown newest first": (
        {"acme": ACME + ROCKET + ROCKET_HISTORY.replace("2025-03-01", "2026-03-01")},
        "acme.toml: models[acme.rocket-v1:0]: burndown must be oldest first, one rate per day",
    ),
    "two rates from one day": (
        {"acme": ACME + ROCKET + ROCKET_HISTORY.replace("2025-03-01", "2025-09-15")},
        "acme.toml: models[acme.rocket-v1:0]: burndown must be oldest first, one rate per day",
    ),
    "model twice": (
        {"acme": ACME + ROCKET + ROCKET},
        "acme.toml: models[acme.rocket-v1:0]: model id 'acme.rocket-v1:0' is already taken by "
        "acme.toml: models[acme.rocket-v1:0]",
    ),
    "provider twice": (
        {"acme": ACME, "zenith": ACME},
        "zenith.toml: [provider]: provider 'acme' is already taken by acme.toml: [provider]",
    ),
    "quota name of two models, in other letters": (
        {
            "acme": ACME
            + ROCKET + 'quota_names = ["Acme Rocket"]\n'
            + ROCKET.replace("rocket", "rover") + 'quota_names = ["ACME rocket"]\n'
        },
        "acme.toml: models[acme.rover-v1:0]: quota name 'acme rocket' is already taken by "
        "acme.toml: models[acme.rocket-v1:0]",
    ),
    "quota code of two models": (
        {
            "acme": ACME
            + ROCKET + 'quota_codes.regional = { tokens_per_minute = "L-00000001" }\n'
            + ROCKET.replace("rocket", "rover") + 'quota_codes.regional = { tokens_per_minute = "L-00000001" }\n'
        },
        "acme.toml: models[acme.rover-v1:0]: quota code 'L-00000001' is already taken by "
        "acme.toml: models[acme.rocket-v1:0]",
    ),
    "quota code of two pools of one model": (
        {
            "acme": ACME + ROCKET
            + 'quota_codes.regional = { tokens_per_minute = "L-00000001" }\n'
            + 'quota_codes.cross-region = { requests_per_minute = "L-00000001" }\n'
        },
        "acme.toml: models[acme.rocket-v1:0]: quota code 'L-00000001' is already taken by "
        "acme.toml: models[acme.rocket-v1:0]",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("files", "message"), BAD_SOURCES.values(), ids=BAD_SOURCES.keys())
def test_bad_source_is_refused_with_file_table_and_reason(
    tmp_path: Path, files: dict[str, str | bytes], message: str
) -> None:
    write_sources(tmp_path)
    for stem, text in files.items():
        (tmp_path / f"{stem}.toml").write_bytes(text.encode() if isinstance(text, str) else text)

    with pytest.raises(RegistryError) as refusal:
        read_sources(tmp_path)

    assert str(refusal.value).startswith(message)


def test_sources_without_a_file_for_unnamed_providers_are_refused(tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_text(ACME + ROCKET)

    with pytest.raises(RegistryError, match=r"no file has \[provider\] id = '\*'"):
        read_sources(tmp_path)


def test_a_directory_without_sources_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"contains no \*\.toml file"):
        read_sources(tmp_path)


def test_a_model_that_answers_with_no_text_needs_no_limit(tmp_path: Path) -> None:
    picture = ROCKET.replace('"text"', '"image"').replace("max_output_tokens = 4_000", "")

    registry = invented(tmp_path, acme=ACME + picture)

    assert model(registry, "acme.rocket-v1:0").max_output_tokens is None


# Look-ups


@pytest.mark.parametrize(
    ("day", "rate", "status"),
    [
        pytest.param(
            date(2024, 12, 31), 1.0, "listed", id="before the first rate"
        ),  # before the first known rate: the first
        pytest.param(date(2025, 3, 1), 1.0, "listed", id="within the first rate"),
        pytest.param(date(2025, 9, 14), 1.0, "listed", id="last day of the first rate"),
        pytest.param(date(2025, 9, 15), 5.0, "ambiguous", id="first day of the second rate"),
        pytest.param(date(2026, 5, 31), 5.0, "ambiguous", id="last day of the second rate"),
        pytest.param(date(2026, 6, 1), 10.0, "listed", id="first day of the third rate"),
        pytest.param(date(2031, 1, 1), 10.0, "listed", id="years later"),
    ],
)
def test_burndown_is_the_last_rate_begun_by_that_day(tmp_path: Path, day: date, rate: float, status: str) -> None:
    registry = invented(tmp_path, acme=ACME + ROCKET + ROCKET_HISTORY)

    burndown = registry.find_burndown("acme.rocket-v1:0", day)

    assert (burndown.rate, burndown.status) == (rate, status)


def test_listed_model_without_a_rate_of_its_own_has_its_providers(tmp_path: Path) -> None:
    registry = invented(tmp_path, acme=ACME + ROCKET)

    burndown = registry.find_burndown("acme.rocket-v1:0", date(2026, 11, 23))

    assert (burndown.rate, burndown.status) == (7.0, RateStatus.LISTED)


def test_unlisted_model_has_its_providers_rate_marked_unlisted(tmp_path: Path) -> None:
    registry = invented(tmp_path, acme=ACME + ROCKET)

    burndown = registry.find_burndown("acme.rover-v9:0", date(2026, 11, 23))

    assert (burndown.rate, burndown.status) == (7.0, RateStatus.UNLISTED)
    assert registry.find("acme.rover-v9:0") is None


def test_unlisted_model_has_the_highest_rate_and_limit_of_its_providers_models(tmp_path: Path) -> None:
    registry = invented(tmp_path, acme=ACME + ROCKET.replace("4_000", "200_000") + ROCKET_HISTORY)
    history = [registry.find_burndown("acme.rocket-v1:0", day).rate for day in (date(2026, 1, 1), date(2026, 11, 23))]
    assert max(history) > 7  # the provider's own

    for day in (date(2026, 1, 1), date(2026, 11, 23)):
        of_listed = registry.find_burndown("acme.rocket-v1:0", day).rate
        assert registry.find_burndown("acme.rover-v9:0", day).rate == max(7, of_listed)
    assert registry.find_provider("acme.rover-v9:0").max_output_tokens == 200_000


def test_unlisted_model_of_an_unnamed_provider_has_the_rate_for_all_others(tmp_path: Path) -> None:
    registry = invented(tmp_path, acme=ACME + ROCKET)

    burndown = registry.find_burndown("zenith.rover-v9:0", date(2026, 11, 23))

    assert (burndown.rate, burndown.status) == (1.0, RateStatus.UNLISTED)
    assert registry.find_provider("zenith.rover-v9:0").id == ANY_PROVIDER


@pytest.mark.parametrize("suffix", [":200k", ":24k", ":512", ":1m"])
def test_throughput_suffix_is_the_same_model(tmp_path: Path, suffix: str) -> None:
    registry = invented(tmp_path, acme=ACME + ROCKET + ROCKET_HISTORY)

    found = registry.find("acme.rocket-v1:0" + suffix)

    assert found is registry.by_id["acme.rocket-v1:0"]
    assert registry.find_burndown("acme.rocket-v1:0" + suffix, date(2026, 6, 1)).status is RateStatus.LISTED


@pytest.mark.parametrize("model_id", ["acme.rocket-v1:1", "acme.rocket-v1", "acme.rocket", "", "acme"])
def test_another_version_is_another_model(tmp_path: Path, model_id: str) -> None:
    registry = invented(tmp_path, acme=ACME + ROCKET)

    assert registry.find(model_id) is None


# Compiling


def test_compiled_registry_loads_equal_to_its_sources(tmp_path: Path, real: Registry) -> None:
    compiled = tmp_path / "registry.json"

    outcome = main([str(SOURCES), str(compiled)])

    assert outcome == 0
    assert load_registry(compiled.read_bytes()) == real


def test_compiling_bad_sources_says_why_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compiled = tmp_path / "registry.json"
    (tmp_path / "acme.toml").write_text("[provider\n")

    outcome = main([str(tmp_path), str(compiled)])

    assert outcome == 1
    assert capsys.readouterr().err.startswith("registry: acme.toml: not TOML")
    assert not compiled.exists()


@pytest.mark.parametrize(
    "damage",
    [
        "cut short",
        "not JSON",
        "another shape",
        "empty",
        "not UTF-8",
    ],
)
def test_damaged_compiled_registry_is_refused(real: Registry, damage: str) -> None:
    whole = msgspec.json.encode(real)
    damaged = {
        "cut short": whole[:-1],
        "not JSON": b"registry",
        "another shape": b'{"providers": 1, "models": []}',
        "not UTF-8": whole.replace(b"Anthropic", b"\xff\xfe", 1),
        "empty": b"",
    }[damage]

    with pytest.raises(RegistryError, match=r"^compiled registry: "):
        load_registry(damaged)
