"""Fetching quotas, with botocore's own paginators over answers that botocore checks against the service models."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from records import NOVA, PROFILE_ARN, SONNET

from bedrock_quota.errors import QuotaFetchError
from bedrock_quota.fetcher.aws_sources import (
    list_application_profiles,
    list_pools_called,
    list_pools_refused,
    list_pools_throttled,
    list_quotas,
    read_overrides_parameter,
)
from bedrock_quota.fetcher.metric_data import make_metric_query
from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool
from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.quota_names import ListedQuota, quotas_by_pool

pytestmark = pytest.mark.usefixtures("no_aws")


@pytest.fixture
def service_quotas() -> Iterator[tuple[Any, Stubber]]:
    client = boto3.client("service-quotas")
    with Stubber(client) as stubber:
        yield client, stubber


@pytest.fixture
def cloudwatch() -> Iterator[tuple[Any, Stubber]]:
    client = boto3.client("cloudwatch")
    with Stubber(client) as stubber:
        yield client, stubber


def quota(code: str, name: str, value: float) -> dict[str, Any]:
    return {"ServiceCode": "bedrock", "QuotaCode": code, "QuotaName": name, "Value": value}


def page(*listed: dict[str, Any], token: str | None = None) -> dict[str, Any]:
    return {"Quotas": list(listed)} | ({"NextToken": token} if token else {})


def asked(token: str | None = None) -> dict[str, Any]:
    return {"ServiceCode": "bedrock", "MaxResults": 100} | ({"NextToken": token} if token else {})


DEFAULTS, APPLIED = "list_aws_default_service_quotas", "list_service_quotas"


def test_all_pages_of_both_listings_are_merged_and_the_applied_value_wins(service_quotas: tuple[Any, Stubber]) -> None:
    client, stubber = service_quotas
    stubber.add_response(DEFAULTS, page(quota("L-1", "one", 100), token="more"), asked())
    stubber.add_response(DEFAULTS, page(quota("L-2", "two", 200), quota("L-3", "three", 300)), asked("more"))
    stubber.add_response(APPLIED, page(quota("L-2", "two", 0), token="rest"), asked())
    stubber.add_response(APPLIED, page(quota("L-4", "four", 400)), asked("rest"))

    found = list_quotas(client)

    stubber.assert_no_pending_responses()
    assert sorted(found, key=lambda each: each.code) == [
        ListedQuota("L-1", "one", 100),  # no applied value: the default
        ListedQuota("L-2", "two", 0),  # applied, and 0 at that
        ListedQuota("L-3", "three", 300),
        ListedQuota("L-4", "four", 400),
    ]


def test_quota_of_0_that_is_applied_wins_over_the_default(
    service_quotas: tuple[Any, Stubber], registry: Registry
) -> None:
    # field case 07: AWS's default for Sonnet 5 is 6,000,000, and the account has 0
    client, stubber = service_quotas
    name = "Global cross-region model inference tokens per minute for Anthropic Claude Sonnet 5"
    stubber.add_response(DEFAULTS, page(quota("L-1", name, 6_000_000)), asked())
    stubber.add_response(APPLIED, page(quota("L-1", name, 0)), asked())

    found = quotas_by_pool(list_quotas(client), registry)

    pool = QuotaPool("anthropic.claude-sonnet-5", EndpointType.GLOBAL_CROSS_REGION)
    assert found == {pool: PoolQuota(tokens_per_minute=0)}
    assert found[pool].metrics() == {"TokenQuota": 0}


@pytest.mark.parametrize("failing", ["defaults", "applied", "second page"])
def test_failure_of_any_page_is_raised(service_quotas: tuple[Any, Stubber], failing: str) -> None:
    client, stubber = service_quotas
    if failing == "defaults":
        stubber.add_client_error(DEFAULTS, "AccessDeniedException", "not allowed")
    else:
        stubber.add_response(DEFAULTS, page(quota("L-1", "one", 100)), asked())
        if failing == "second page":
            stubber.add_response(APPLIED, page(quota("L-1", "one", 100), token="more"), asked())
        stubber.add_client_error(APPLIED, "AccessDeniedException", "not allowed")

    with pytest.raises(QuotaFetchError, match="AccessDeniedException"):
        list_quotas(client)


def test_default_is_not_passed_off_as_an_applied_value_that_aws_could_not_say(
    service_quotas: tuple[Any, Stubber],
) -> None:
    client, stubber = service_quotas
    broken = {"ErrorReason": {"ErrorCode": "DEPENDENCY_ACCESS_DENIED_ERROR", "ErrorMessage": "not today"}}
    one = {"ServiceCode": "bedrock", "QuotaCode": "L-1", "QuotaName": "one"} | broken
    two = {"ServiceCode": "bedrock", "QuotaCode": "L-2", "QuotaName": "two"} | broken
    stubber.add_response(DEFAULTS, page(quota("L-1", "one", 100)), asked())
    stubber.add_response(APPLIED, page(one, two, quota("L-3", "three", 0)), asked())

    found = list_quotas(client)

    assert sorted(found, key=lambda each: each.code) == [
        ListedQuota("L-1", "one", None),
        ListedQuota("L-2", "two", None),
        ListedQuota("L-3", "three", 0),
    ]


def test_nothing_listed_is_raised(service_quotas: tuple[Any, Stubber]) -> None:
    client, stubber = service_quotas
    stubber.add_response(DEFAULTS, page(), asked())
    stubber.add_response(APPLIED, page(), asked())

    with pytest.raises(QuotaFetchError, match="no quotas for Bedrock"):
        list_quotas(client)


def metric(**dimensions: str) -> dict[str, Any]:
    return {
        "Namespace": "Mine",
        "MetricName": "ConsumedTokens",
        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
    }


def test_pools_called_are_those_with_the_pair_of_dimensions(cloudwatch: tuple[Any, Stubber]) -> None:
    client, stubber = cloudwatch
    wanted = {"Namespace": "Mine", "MetricName": "ConsumedTokens"}
    first = [metric(ModelId=NOVA, EndpointType="regional"), metric(ModelId=NOVA)]
    second = [
        metric(EndpointType="global-cross-region", ModelId=NOVA),
        metric(ModelId=NOVA, EndpointType="regional", Stage="x"),
        metric(),
    ]
    stubber.add_response("list_metrics", {"Metrics": first, "NextToken": "more"}, wanted)
    stubber.add_response("list_metrics", {"Metrics": second}, wanted | {"NextToken": "more"})

    assert list_pools_called(client, "Mine") == {
        QuotaPool(NOVA, EndpointType.REGIONAL),
        QuotaPool(NOVA, EndpointType.GLOBAL_CROSS_REGION),
    }
    stubber.assert_no_pending_responses()


def test_metric_of_another_tool_in_the_namespace_does_not_stop_the_fetch(cloudwatch: tuple[Any, Stubber]) -> None:
    client, stubber = cloudwatch
    found = [metric(ModelId=NOVA, EndpointType="on-demand"), metric(ModelId=NOVA, EndpointType="regional")]
    stubber.add_response("list_metrics", {"Metrics": found})

    assert list_pools_called(client, "Mine") == {QuotaPool(NOVA, EndpointType.REGIONAL)}


def test_pools_of_refused_calls_are_found_in_bedrocks_own_metrics(
    cloudwatch: tuple[Any, Stubber], registry: Registry
) -> None:
    client, stubber = cloudwatch
    shared, owner = "amazon.titan-embed-g1-text-02", "amazon.titan-embed-text-v1"
    for name, listed in (
        ("InvocationThrottles", [{"ModelId": f"us.{NOVA}"}, {"ModelId": PROFILE_ARN}, {}, {"ModelId": "gibberish"}]),
        ("InvocationClientErrors", [{"ModelId": shared}, {"ModelId": SONNET, "ContextWindow": "1m"}]),
    ):
        stubber.add_response(
            "list_metrics",
            {"Metrics": [metric(**dimensions) for dimensions in listed]},
            {"Namespace": "AWS/Bedrock", "MetricName": name},
        )

    assert list_pools_refused(client, registry) == {
        QuotaPool(NOVA, EndpointType.CROSS_REGION),
        QuotaPool(owner, EndpointType.REGIONAL),
    }
    stubber.assert_no_pending_responses()


NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def listed_throttles(*model_ids: str) -> dict[str, Any]:
    return {"Metrics": [metric(ModelId=each) for each in model_ids] + [metric(ModelId=NOVA, ServiceTier="flex")]}


def answer(**values: list[float]) -> dict[str, Any]:
    return {
        "MetricDataResults": [
            {"Id": query_id, "Timestamps": [NOON] * len(sums), "Values": sums} for query_id, sums in values.items()
        ]
    }


def test_pools_with_throttles_lately_are_found_among_those_asked_for(
    cloudwatch: tuple[Any, Stubber], registry: Registry
) -> None:
    client, stubber = cloudwatch
    nova = {each: QuotaPool(NOVA, each) for each in EndpointType}
    pools = {nova[EndpointType.REGIONAL], nova[EndpointType.CROSS_REGION], nova[EndpointType.GLOBAL_CROSS_REGION]}
    stubber.add_response(
        "list_metrics",
        listed_throttles(NOVA, f"us.{NOVA}", f"eu.{NOVA}", SONNET, "gibberish"),
        {"Namespace": "AWS/Bedrock", "MetricName": "InvocationThrottles", "RecentlyActive": "PT3H"},
    )
    # sorted by id: the on-demand pool had no throttle, one of two geographies had some; Sonnet was not asked for
    stubber.add_response(
        "get_metric_data",
        answer(m0=[0.0, 0.0], m1=[], m2=[0.0, 3.0]),
        {
            "MetricDataQueries": [
                make_metric_query(f"m{number}", "AWS/Bedrock", "InvocationThrottles", {"ModelId": name}, period=300)
                for number, name in enumerate((NOVA, f"eu.{NOVA}", f"us.{NOVA}"))
            ],
            "StartTime": NOON - timedelta(hours=3),
            "EndTime": NOON,
        },
    )

    assert list_pools_throttled(client, registry, pools, NOON) == {nova[EndpointType.CROSS_REGION]}
    stubber.assert_no_pending_responses()


def test_no_data_is_asked_for_if_none_of_the_pools_has_a_throttle(
    cloudwatch: tuple[Any, Stubber], registry: Registry
) -> None:
    client, stubber = cloudwatch
    stubber.add_response("list_metrics", listed_throttles(SONNET))

    assert list_pools_throttled(client, registry, {QuotaPool(NOVA, EndpointType.REGIONAL)}, NOON) == set()


def test_failure_to_read_throttles_is_raised(cloudwatch: tuple[Any, Stubber], registry: Registry) -> None:
    client, stubber = cloudwatch
    stubber.add_client_error("list_metrics", "AccessDenied", "not allowed")

    with pytest.raises(ClientError, match="AccessDenied"):
        list_pools_throttled(client, registry, {QuotaPool(NOVA, EndpointType.REGIONAL)}, NOON)


# Overrides


def test_overrides_are_the_parameters_value() -> None:
    client = boto3.client("ssm")
    with Stubber(client) as stubber:
        stubber.add_response("get_parameter", {"Parameter": {"Value": "any text"}}, {"Name": "/stack/overrides"})

        assert read_overrides_parameter("/stack/overrides", client) == "any text"


def test_there_are_no_overrides_where_nobody_made_the_parameter() -> None:
    client = boto3.client("ssm")
    with Stubber(client) as stubber:
        stubber.add_client_error("get_parameter", "ParameterNotFound")

        assert read_overrides_parameter("/stack/overrides", client) == "{}"
        assert read_overrides_parameter(None, client) == "{}"


def test_overrides_that_cannot_be_read_are_not_none() -> None:
    client = boto3.client("ssm")
    with Stubber(client) as stubber:
        stubber.add_client_error("get_parameter", "ThrottlingException")

        with pytest.raises(ClientError, match="Throttling"):
            read_overrides_parameter("/stack/overrides", client)


def test_failure_to_list_metrics_is_raised(cloudwatch: tuple[Any, Stubber]) -> None:
    client, stubber = cloudwatch
    stubber.add_client_error("list_metrics", "AccessDenied", "not allowed")

    with pytest.raises(Exception, match="AccessDenied"):
        list_pools_called(client, "Mine")


# Application profiles


@pytest.fixture
def bedrock() -> Iterator[tuple[Any, Stubber]]:
    client = boto3.client("bedrock")
    with Stubber(client) as stubber:
        yield client, stubber


def profile(number: int, *model_arns: str) -> dict[str, Any]:
    return {
        "inferenceProfileName": f"profile {number}",
        "inferenceProfileArn": f"{PROFILE_ARN[:-12]}{number:012x}",
        "inferenceProfileId": f"{number:012x}",
        "models": [{"modelArn": arn} for arn in model_arns],
        "status": "ACTIVE",
        "type": "APPLICATION",
    }


def foundation(region: str, model_id: str = NOVA) -> str:
    return f"arn:aws:bedrock:{region}::foundation-model/{model_id}"


def test_all_pages_of_application_profiles_are_read_by_their_models(bedrock: tuple[Any, Stubber]) -> None:
    client, stubber = bedrock
    first = [profile(1, foundation("us-east-1")), profile(2, foundation("us-east-1"), foundation("us-east-1", SONNET))]
    second = [profile(3, foundation("us-east-1"), foundation("us-west-2")), profile(4, foundation(""))]
    asked = {"typeEquals": "APPLICATION"}
    stubber.add_response("list_inference_profiles", {"inferenceProfileSummaries": first, "nextToken": "more"}, asked)
    stubber.add_response(
        "list_inference_profiles", {"inferenceProfileSummaries": second}, asked | {"nextToken": "more"}
    )

    assert list_application_profiles(client) == {
        first[0]["inferenceProfileArn"]: Reference(NOVA, EndpointType.REGIONAL),
        # the second stands for two models, and so for no pool
        second[0]["inferenceProfileArn"]: Reference(NOVA, EndpointType.CROSS_REGION),
        second[1]["inferenceProfileArn"]: Reference(NOVA, EndpointType.GLOBAL_CROSS_REGION),
    }
    stubber.assert_no_pending_responses()


def test_failure_to_list_profiles_is_raised(bedrock: tuple[Any, Stubber]) -> None:
    client, stubber = bedrock
    stubber.add_client_error("list_inference_profiles", "AccessDeniedException", "not allowed")

    with pytest.raises(Exception, match="AccessDenied"):
        list_application_profiles(client)
