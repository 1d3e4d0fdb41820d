"""A caller's `modelId`, in every form Bedrock takes, and the pool it names."""

import pytest
from records import ACCOUNT, PROFILE_ARN

from bedrock_quota import model_ids
from bedrock_quota.model_ids import ApplicationProfile, OutOfScope, Reference
from bedrock_quota.pools import EndpointType

REGIONAL, CROSS, GLOBAL = EndpointType.REGIONAL, EndpointType.CROSS_REGION, EndpointType.GLOBAL_CROSS_REGION
PROVIDERS = frozenset({"anthropic", "amazon", "deepseek", "meta", "*"})
HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"


@pytest.mark.parametrize(
    ("model_id", "bare"),
    [
        (HAIKU, HAIKU),
        ("anthropic.claude-opus-5", "anthropic.claude-opus-5"),
        ("amazon.titan-text-express-v1:0:8k", "amazon.titan-text-express-v1:0:8k"),
        ("deepseek.v3.2", "deepseek.v3.2"),  # a second dot is not a prefix
        ("acme.rocket.v2", "acme.rocket.v2"),  # nor where the provider is unknown
        ("newcomer.model-1", "newcomer.model-1"),
        ("amazon.meta.mixed-v1:0", "amazon.meta.mixed-v1:0"),  # a provider is never taken for a geography
    ],
)
def test_bare_id_is_regional(model_id: str, bare: str) -> None:
    assert model_ids.parse_model_id(model_id, PROVIDERS) == Reference(bare, REGIONAL)


@pytest.mark.parametrize("prefix", ["us", "eu", "apac", "jp", "au", "ca", "in", "us-gov"])
def test_geo_prefix_is_cross_region_and_dropped(prefix: str) -> None:
    assert model_ids.parse_model_id(f"{prefix}.{HAIKU}", PROVIDERS) == Reference(HAIKU, CROSS)
    # … and with a provider nobody has heard of
    assert model_ids.parse_model_id(f"{prefix}.newcomer.model-1", PROVIDERS) == Reference("newcomer.model-1", CROSS)


def test_global_prefix_is_global_cross_region() -> None:
    assert model_ids.parse_model_id(f"global.{HAIKU}", PROVIDERS) == Reference(HAIKU, GLOBAL)


def test_new_geo_prefix_is_told_by_the_known_provider_behind_it() -> None:
    assert model_ids.parse_model_id(f"latam.{HAIKU}", PROVIDERS) == Reference(HAIKU, CROSS)


def test_prefix_before_a_model_whose_name_has_a_dot() -> None:
    assert model_ids.parse_model_id("us.deepseek.v3.2", PROVIDERS) == Reference("deepseek.v3.2", CROSS)


@pytest.mark.parametrize(
    ("partition", "region"), [("aws", "us-east-1"), ("aws-cn", "cn-north-1"), ("aws-us-gov", "us-gov-west-1")]
)
class TestArns:
    def test_foundation_model_is_regional(self, partition: str, region: str) -> None:
        arn = f"arn:{partition}:bedrock:{region}::foundation-model/{HAIKU}"

        assert model_ids.parse_model_id(arn, PROVIDERS) == Reference(HAIKU, REGIONAL)

    @pytest.mark.parametrize(("prefix", "expected"), [("us", CROSS), ("us-gov", CROSS), ("global", GLOBAL)])
    def test_inference_profile_is_read_by_its_prefix(
        self, partition: str, region: str, prefix: str, expected: EndpointType
    ) -> None:
        arn = f"arn:{partition}:bedrock:{region}:{ACCOUNT}:inference-profile/{prefix}.{HAIKU}"

        assert model_ids.parse_model_id(arn, PROVIDERS) == Reference(HAIKU, expected)

    def test_application_inference_profile_is_left_to_bedrock(self, partition: str, region: str) -> None:
        arn = f"arn:{partition}:bedrock:{region}:{ACCOUNT}:application-inference-profile/a1b2c3"

        assert model_ids.parse_model_id(arn, PROVIDERS) == ApplicationProfile(arn, "a1b2c3")

    @pytest.mark.parametrize(
        ("resource", "reason"),
        [
            ("provisioned-model/abc123", "provisioned_model"),
            ("custom-model/amazon.titan-text-express-v1/abc123", "custom_model"),
            ("custom-model-deployment/abc123", "custom_model"),
            ("imported-model/abc123", "imported_model"),
            ("prompt/ABC123:1", "prompt"),
            ("prompt-router/abc123", "prompt_router"),
            ("default-prompt-router/anthropic.claude:1", "prompt_router"),
            ("something-new/abc123", "unreadable_model_id"),
        ],
    )
    def test_what_has_no_pool_is_out_of_scope(self, partition: str, region: str, resource: str, reason: str) -> None:
        arn = f"arn:{partition}:bedrock:{region}:{ACCOUNT}:{resource}"

        assert model_ids.parse_model_id(arn, PROVIDERS) == OutOfScope(reason)

    def test_marketplace_endpoint_is_out_of_scope(self, partition: str, region: str) -> None:
        arn = f"arn:{partition}:sagemaker:{region}:{ACCOUNT}:endpoint/mine"

        assert model_ids.parse_model_id(arn, PROVIDERS) == OutOfScope("marketplace_endpoint")

    def test_another_service_is_unreadable(self, partition: str, region: str) -> None:
        arn = f"arn:{partition}:lambda:{region}:{ACCOUNT}:function/mine"

        assert model_ids.parse_model_id(arn, PROVIDERS) == OutOfScope("unreadable_model_id")


@pytest.mark.parametrize(
    "model_id",
    [
        pytest.param("", id="empty"),
        pytest.param("nodot", id="no dot"),
        pytest.param(".", id="a dot alone"),
        pytest.param("a b.c", id="a space"),
        pytest.param("anthropic.claude\n", id="a line break"),
        pytest.param("anthropic.clàude", id="an accent"),
        pytest.param("anthropic." + "x" * 300, id="too long"),
        pytest.param("arn:", id="the start of an ARN"),
        pytest.param("arn:aws", id="less than an ARN"),
    ],
)
def test_what_cannot_be_read_is_out_of_scope(model_id: str) -> None:
    assert model_ids.parse_model_id(model_id, PROVIDERS) == OutOfScope("unreadable_model_id")


def test_profile_id_in_an_arn_that_is_no_model_id_is_out_of_scope() -> None:
    arn = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/nodot"

    assert model_ids.parse_model_id(arn, PROVIDERS) == OutOfScope("unreadable_model_id")


def test_foundation_model_too_long_for_a_dimension_is_out_of_scope() -> None:
    # CloudWatch takes 1,024 characters as a dimension and drops a line with more, without a word.
    arn = "arn:aws:bedrock:us-east-1::foundation-model/anthropic." + "x" * 2000

    assert model_ids.parse_model_id(arn, PROVIDERS) == OutOfScope("unreadable_model_id")


def test_arns_nested_without_end_are_out_of_scope() -> None:
    nested = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/" * 2000 + f"us.{HAIKU}"

    assert model_ids.parse_model_id(nested, PROVIDERS) == OutOfScope("unreadable_model_id")


# Application profiles, from the ARNs of the models behind them


def foundation(region: str, model_id: str = HAIKU, partition: str = "aws") -> str:
    return f"arn:{partition}:bedrock:{region}::foundation-model/{model_id}"


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        pytest.param(["us-east-1"], REGIONAL, id="one Region"),
        pytest.param(["us-east-1", "us-east-2", "us-west-2"], CROSS, id="three Regions"),
        pytest.param(["us-east-1", "us-east-2", ""], GLOBAL, id="two Regions and none"),
        pytest.param([""], GLOBAL, id="no Region"),
        pytest.param(
            ["us-east-1", "us-east-1"], REGIONAL, id="the same Region twice"
        ),  # the same model named twice is still one Region
    ],
)
def test_profile_says_by_its_regions_how_it_reaches_the_model(regions: list[str], expected: EndpointType) -> None:
    assert model_ids.resolve_profile_models(tuple(map(foundation, regions))) == Reference(HAIKU, expected)


@pytest.mark.parametrize(
    "arns",
    [
        pytest.param((), id="no model"),
        pytest.param(
            (foundation("us-east-1"), foundation("us-east-2", "amazon.nova-lite-v1:0")), id="two models"
        ),  # two models
        pytest.param((PROFILE_ARN,), id="another profile"),
        pytest.param(("",), id="an empty ARN"),
        pytest.param(("not an arn",), id="no ARN"),
    ],
)
def test_profile_without_one_foundation_model_is_unresolved(arns: tuple[str, ...]) -> None:
    assert model_ids.resolve_profile_models(arns) == OutOfScope("unresolved_profile")


@pytest.mark.parametrize(
    "model_id",
    [
        pytest.param(HAIKU, id="model id"),
        pytest.param(f"us.{HAIKU}", id="geo prefix"),
        pytest.param(f"global.{HAIKU}", id="global prefix"),
        pytest.param(f"arn:aws:bedrock:us-east-2::foundation-model/{HAIKU}", id="model ARN"),
        pytest.param(f"arn:aws:bedrock:us-east-2:111122223333:inference-profile/us.{HAIKU}", id="profile ARN"),
    ],
)
def test_a_latency_optimized_id_is_its_model_by_that_endpoint_type(model_id: str) -> None:
    found = model_ids.parse_model_id(f"{model_id}+latency-optimized", PROVIDERS)

    assert found == Reference(HAIKU, EndpointType.LATENCY_OPTIMIZED)


@pytest.mark.parametrize(
    "model_id",
    [
        pytest.param("+latency-optimized", id="suffix alone"),
        pytest.param(f"{HAIKU}+latency-optimized+latency-optimized", id="suffix twice"),
        pytest.param(f"{HAIKU}+latency", id="part of the suffix"),
        pytest.param(f"{HAIKU}+Latency-Optimized", id="another case"),
        pytest.param("a" * 5_000 + "+latency-optimized", id="long"),
    ],
)
def test_any_other_suffix_is_unreadable(model_id: str) -> None:
    assert model_ids.parse_model_id(model_id, PROVIDERS) == OutOfScope("unreadable_model_id")


@pytest.mark.parametrize(
    ("model_id", "expected"),
    [
        pytest.param("arn:aws:bedrock:us-east-1:111122223333:prompt-router/a1b2c3", True, id="own router"),
        pytest.param("arn:aws:bedrock:us-east-1:111122223333:default-prompt-router/a.b:1", True, id="AWS's router"),
        pytest.param("arn:aws:bedrock:us-east-1:111122223333:prompt/a1b2c3", False, id="prompt"),
        pytest.param(f"us.{HAIKU}", False, id="model id"),
        pytest.param("us.x.y:prompt-router/z", False, id="no ARN"),
        pytest.param(f"arn:aws:bedrock:us-east-1:1:prompt-router/{'a' * 3_000}", False, id="too long"),
    ],
)
def test_a_prompt_router_is_known_by_its_arn(model_id: str, expected: bool) -> None:
    assert model_ids.is_prompt_router(model_id) == expected
