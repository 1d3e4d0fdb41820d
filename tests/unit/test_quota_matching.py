"""Quotas found by their names, with the traps other tools fell into."""

import pytest

from bedrock_quota.pools import EndpointType, PoolQuota, QuotaKey, QuotaPool, Unit
from bedrock_quota.registry.models import Model, Registry
from bedrock_quota.registry.quota_names import (
    ListedQuota,
    QuotaName,
    UnmatchedQuota,
    match_quota_name,
    models_by_quota_name,
    parse_quota_name,
    quotas_by_pool,
    quotas_without_value,
)

REGIONAL, CROSS, GLOBAL = EndpointType.REGIONAL, EndpointType.CROSS_REGION, EndpointType.GLOBAL_CROSS_REGION
OPTIMIZED = EndpointType.LATENCY_OPTIMIZED
TPM, RPM, TPD = Unit.TOKENS_PER_MINUTE, Unit.REQUESTS_PER_MINUTE, Unit.TOKENS_PER_DAY

SONNET_4 = "anthropic.claude-sonnet-4-20250514-v1:0"
SONNET_45 = "anthropic.claude-sonnet-4-5-20250929-v1:0"
SONNET_35 = "anthropic.claude-3-5-sonnet-20240620-v1:0"
SONNET_35_V2 = "anthropic.claude-3-5-sonnet-20241022-v2:0"
HAIKU_35 = "anthropic.claude-3-5-haiku-20241022-v1:0"
NOVA_LITE, NOVA_2_LITE = "amazon.nova-lite-v1:0", "amazon.nova-2-lite-v1:0"


@pytest.fixture(scope="module")
def models(registry: Registry) -> dict[str, Model]:
    return models_by_quota_name(registry)


@pytest.mark.parametrize(
    ("name", "model_id", "endpoint_type", "unit"),
    [
        pytest.param(
            "On-demand model inference tokens per minute for Amazon Nova Lite",
            NOVA_LITE,
            REGIONAL,
            TPM,
            id="on-demand tokens",
        ),
        pytest.param(
            "On-demand model inference requests per minute for Amazon Nova Lite",
            NOVA_LITE,
            REGIONAL,
            RPM,
            id="on-demand requests",
        ),
        pytest.param(
            "Cross-region model inference tokens per minute for Amazon Nova Lite",
            NOVA_LITE,
            CROSS,
            TPM,
            id="cross-region tokens",
        ),
        pytest.param(
            "Cross-region model inference tokens per minute for Amazon Nova 2 Lite",
            NOVA_2_LITE,
            CROSS,
            TPM,
            id="second generation",
        ),
        pytest.param(
            "Global cross-region model inference tokens per minute for Amazon Nova 2 Lite",
            NOVA_2_LITE,
            GLOBAL,
            TPM,
            id="global tokens",
        ),
        pytest.param(
            "Global cross-region model inference tokens per day for Amazon Nova 2 Lite",
            NOVA_2_LITE,
            GLOBAL,
            TPD,
            id="global tokens per day",
        ),
        pytest.param(
            "On-demand model inference tokens per minute for Anthropic Claude 3.5 Sonnet",
            SONNET_35,
            REGIONAL,
            TPM,
            id="first version",
        ),
        pytest.param(
            "On-demand model inference tokens per minute for Anthropic Claude 3.5 Sonnet V2",
            SONNET_35_V2,
            REGIONAL,
            TPM,
            id="version 2",
        ),
        pytest.param(
            "Cross-region model inference tokens per minute for Anthropic Claude Sonnet 4 V1",
            SONNET_4,
            CROSS,
            TPM,
            id="cross-region tokens of V1",
        ),
        pytest.param(
            "Cross-Region model inference requests per minute for Anthropic Claude Sonnet 4 V1",
            SONNET_4,
            CROSS,
            RPM,
            id="Region with a capital",
        ),
        pytest.param(
            "Cross-region model inference tokens per minute for Anthropic Claude Sonnet 4 V1 1M Context Length",
            f"{SONNET_4}:1m",
            CROSS,
            TPM,
            id="1M context length",
        ),
        pytest.param(
            "Global cross-region model inference requests per minute for "
            "Anthropic Claude Sonnet 4.5 V1 1M Context Length",
            f"{SONNET_45}:1m",
            GLOBAL,
            RPM,
            id="1M context length of the global pool",
        ),
        pytest.param(
            "Cross-region model inference tokens per minute for Anthropic Claude Sonnet 4.5 V1, 1M Context",
            f"{SONNET_45}:1m",
            CROSS,
            TPM,
            id="1M context in other words",
        ),
        pytest.param(
            "On-demand, latency-optimized model inference tokens per minute for Anthropic Claude 3.5 Haiku",
            HAIKU_35,
            OPTIMIZED,
            TPM,
            id="latency-optimized tokens",
        ),
        pytest.param(
            "On-demand, latency-optimized model inference requests per minute for Amazon Nova Pro V1",
            "amazon.nova-pro-v1:0",
            OPTIMIZED,
            RPM,
            id="latency-optimized requests",
        ),
        pytest.param(
            "Model invocation max tokens per day for Anthropic Claude Sonnet 4 V1 (doubled for cross-region calls)",
            SONNET_4,
            REGIONAL,
            TPD,
            id="tokens per day, doubled",
        ),
        pytest.param(
            "Model invocation max tokens per day for Amazon Nova Lite", NOVA_LITE, REGIONAL, TPD, id="tokens per day"
        ),
        pytest.param(
            "On-demand model inference tokens per minute for Amazon Titan Text Embeddings V2",
            "amazon.titan-embed-text-v2:0",
            REGIONAL,
            TPM,
            id="embeddings",
        ),
        pytest.param(
            "On-demand InvokeModel requests per minute for Amazon Nova Lite",
            NOVA_LITE,
            REGIONAL,
            RPM,
            id="InvokeModel requests",
        ),
        pytest.param(
            "Cross-region InvokeModel tokens per minute for Amazon Nova 2 Lite",
            NOVA_2_LITE,
            CROSS,
            TPM,
            id="InvokeModel tokens",
        ),
        pytest.param(
            "ON-DEMAND MODEL INFERENCE TOKENS PER MINUTE FOR AMAZON NOVA LITE", NOVA_LITE, REGIONAL, TPM, id="capitals"
        ),
    ],
)
def test_name_of_a_pools_quota(
    models: dict[str, Model], name: str, model_id: str, endpoint_type: EndpointType, unit: Unit
) -> None:
    assert match_quota_name(name, models) == QuotaKey(QuotaPool(model_id, endpoint_type), unit)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("[bedrock-mantle endpoint] Model inference input tokens per minute for Amazon Nova Lite", "mantle_endpoint"),
        ("On-demand model inference tokens per minute for Amazon Nova Lite custom model deployments", "custom_model"),
        (
            "(Custom model deployments) On-demand model inference requests per minute for Amazon Nova Lite",
            "custom_model",
        ),
        ("Number of custom models per account", "custom_model"),
        # Variants of which the registry does not say which calls use them: no record would reach such a pool.
        ("Cross-region model inference tokens per minute for Amazon Nova Lite 1M Context Length", "unreached_variant"),
        ("On-demand, latency-optimized model inference tokens per minute for Amazon Nova Lite", "unreached_variant"),
        ("On-demand model inference concurrent requests for Amazon Nova 2 Sonic", "concurrency"),
        ("Records per batch inference job for Amazon Nova Lite", "batch"),
        ("On-demand model inference tokens per minute for Anthropic Claude Sonnet 99", "unlisted_model"),
        ("On-demand model inference tokens per minute for Amazon Nova", "unlisted_model"),  # a part of a name
        ("On-demand model inference tokens per minute for Nova Lite", "unlisted_model"),
        ("On-demand model inference tokens per minute for Amazon Nova Lite and more", "unlisted_model"),
        ("On-demand model inference tokens per minute for 1M Context Length", "unlisted_model"),
        ("Model units per provisioned model for Amazon Nova Lite", "other_quota"),
        ("On-demand model inference tokens per hour for Amazon Nova Lite", "other_quota"),
        ("Guardrails per account", "other_quota"),
        ("(Guardrails) On-demand ApplyGuardrail requests per minute", "other_quota"),
        ("[Agents] Tokens per minute", "other_quota"),
        ("Cross-Model Account-Level Tokens Per Day", "account_wide"),
        ("Cross-Model Account-Level Requests Per Minute", "account_wide"),
        # Limits on tokens or requests that no rule reads: somebody should look at them.
        ("Galactic cross-region model inference tokens per minute for Amazon Nova Lite", "unread_name"),
        ("Model invocation max requests per day for Amazon Nova Lite", "unread_name"),
        ("On-demand InvokeModelFast tokens per minute for Amazon Nova Lite", "unread_name"),
        ("", "other_quota"),
    ],
)
def test_name_of_another_quota_is_refused(models: dict[str, Model], name: str, reason: str) -> None:
    assert match_quota_name(name, models) == UnmatchedQuota(reason)


def test_units_of_one_pool_are_merged_and_pools_kept_apart(registry: Registry) -> None:
    listed = [
        ListedQuota("L-1", "Cross-region model inference tokens per minute for Anthropic Claude Sonnet 4 V1", 200_000),
        ListedQuota("L-2", "Cross-Region model inference requests per minute for Anthropic Claude Sonnet 4 V1", 200),
        ListedQuota(
            "L-3",
            "Cross-region model inference tokens per minute for Anthropic Claude Sonnet 4 V1 1M Context Length",
            1_000_000,
        ),
        ListedQuota("L-4", "Model invocation max tokens per day for Amazon Nova Lite", 5_000_000),
        ListedQuota("L-5", "On-demand model inference tokens per minute for Amazon Nova Lite", 0),
        ListedQuota("L-6", "Guardrails per account", 100),
    ]

    assert quotas_by_pool(listed, registry) == {
        QuotaPool(SONNET_4, CROSS): PoolQuota(tokens_per_minute=200_000, requests_per_minute=200),
        QuotaPool(f"{SONNET_4}:1m", CROSS): PoolQuota(tokens_per_minute=1_000_000),
        QuotaPool(NOVA_LITE, REGIONAL): PoolQuota(tokens_per_minute=0, tokens_per_day=5_000_000),  # 0 is not None
    }


def test_quota_without_a_value_is_named_and_not_guessed(registry: Registry) -> None:
    listed = [
        ListedQuota("L-1", "On-demand model inference tokens per minute for Amazon Nova Lite", None),
        ListedQuota("L-2", "On-demand  model inference requests per  minute for Amazon Nova Lite", 7),
        ListedQuota("L-3", "Guardrails per account", None),
    ]

    assert quotas_by_pool(listed, registry) == {QuotaPool(NOVA_LITE, REGIONAL): PoolQuota(requests_per_minute=7)}
    assert quotas_without_value(listed, registry) == [QuotaKey(QuotaPool(NOVA_LITE, REGIONAL), TPM)]


def test_order_of_the_listing_does_not_matter(registry: Registry) -> None:
    listed = [
        ListedQuota("L-1", "On-demand model inference tokens per minute for Amazon Nova Lite", 1),
        ListedQuota("L-2", "On-demand model inference requests per minute for Amazon Nova Lite", 2),
        ListedQuota("L-3", "On-demand model inference tokens per minute for Amazon Nova Micro", 3),
    ]

    assert quotas_by_pool(listed, registry) == quotas_by_pool(reversed(listed), registry)


def test_every_spelling_of_the_registry_is_found(registry: Registry, models: dict[str, Model]) -> None:
    for model in registry.models:
        for spelling in model.quota_names:
            name = f"On-demand model inference tokens per minute for {spelling}"
            assert match_quota_name(name, models) == QuotaKey(QuotaPool(model.id, REGIONAL), TPM)


# What a name says, without any model


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param(
            "Global cross-region model inference tokens per day for Nobody 7",
            QuotaName(GLOBAL, TPD, "Nobody 7", long_context=False),
            id="global tokens per day",
        ),
        pytest.param(
            "Cross-Region InvokeModel requests per minute for Nobody 7, 1M Context",
            QuotaName(CROSS, RPM, "Nobody 7", long_context=True),
            id="1M context requests",
        ),
        pytest.param(
            "On-demand, latency-optimized model inference tokens per minute for Nobody 7 V2",
            QuotaName(OPTIMIZED, TPM, "Nobody 7 V2", long_context=False),
            id="latency-optimized tokens",
        ),
        pytest.param(
            "Model invocation max tokens per day for Nobody 7 (doubled for cross-region calls)",
            QuotaName(REGIONAL, TPD, "Nobody 7", long_context=False),
            id="tokens per day, doubled",
        ),
        pytest.param(
            "Model invocation max tokens per day for Nobody 7 1M Context Length (doubled for cross-region calls)",
            QuotaName(REGIONAL, TPD, "Nobody 7", long_context=True),
            id="1M context tokens per day",
        ),
        pytest.param("Cross-Model Account-Level Tokens Per Day", UnmatchedQuota("account_wide"), id="account-wide"),
    ],
)
def test_name_is_read_without_knowing_the_model(name: str, said: QuotaName | UnmatchedQuota) -> None:
    assert parse_quota_name(name) == said


# Tokens per day, and two values for one quota

DAILY = "Model invocation max tokens per day for Anthropic Claude Sonnet 4 V1 (doubled for cross-region calls)"
CROSS_MINUTE = "Cross-region model inference tokens per minute for Anthropic Claude Sonnet 4 V1"


def test_doubled_daily_quota_is_the_cross_region_pools_too(registry: Registry) -> None:
    listed = [ListedQuota("L-1", DAILY, 144_000_000), ListedQuota("L-2", CROSS_MINUTE, 200_000)]

    expected = {
        QuotaPool(SONNET_4, REGIONAL): PoolQuota(tokens_per_day=144_000_000),
        QuotaPool(SONNET_4, CROSS): PoolQuota(tokens_per_minute=200_000, tokens_per_day=288_000_000),
    }
    assert quotas_by_pool(listed, registry) == expected
    assert quotas_by_pool(reversed(listed), registry) == expected


def test_daily_quota_that_is_not_doubled_says_nothing_of_the_cross_region_pool(registry: Registry) -> None:
    single = DAILY.removesuffix(" (doubled for cross-region calls)")
    listed = [ListedQuota("L-1", single, 144_000_000), ListedQuota("L-2", CROSS_MINUTE, 200_000)]

    assert quotas_by_pool(listed, registry)[QuotaPool(SONNET_4, CROSS)] == PoolQuota(tokens_per_minute=200_000)


def test_doubled_daily_quota_makes_no_pool_that_the_model_has_not(registry: Registry) -> None:
    assert quotas_by_pool([ListedQuota("L-1", DAILY, 5)], registry).keys() == {QuotaPool(SONNET_4, REGIONAL)}


def test_doubled_daily_quota_gives_way_to_one_of_the_cross_region_pools_own(registry: Registry) -> None:
    own = "Cross-region model inference tokens per day for Anthropic Claude Sonnet 4 V1"
    listed = [ListedQuota("L-1", DAILY, 100), ListedQuota("L-2", own, 70)]

    for order in (listed, listed[::-1]):
        assert quotas_by_pool(order, registry)[QuotaPool(SONNET_4, CROSS)] == PoolQuota(tokens_per_day=70)


def test_smaller_of_two_values_for_one_quota_wins(registry: Registry) -> None:
    again = CROSS_MINUTE.replace("Cross-region", "Cross-Region")
    listed = [ListedQuota("L-1", CROSS_MINUTE, 200_000), ListedQuota("L-2", again, 0)]

    for order in (listed, listed[::-1]):
        assert quotas_by_pool(order, registry) == {QuotaPool(SONNET_4, CROSS): PoolQuota(tokens_per_minute=0)}


def test_smaller_of_two_daily_values_is_doubled(registry: Registry) -> None:
    listed = [
        ListedQuota("L-1", DAILY, 100),
        ListedQuota("L-2", DAILY.upper(), 300),
        ListedQuota("L-3", CROSS_MINUTE, 7),
    ]

    for order in (listed, listed[::-1]):
        assert quotas_by_pool(order, registry)[QuotaPool(SONNET_4, CROSS)].tokens_per_day == 200


def test_limit_that_begins_with_what_it_counts_is_unread(models: dict[str, Model]) -> None:
    assert match_quota_name("Tokens per minute for Amazon Nova Lite", models) == UnmatchedQuota("unread_name")
