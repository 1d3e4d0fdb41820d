"""The burndown rate AWS applies, worked out of its own metrics."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from records import ACCOUNT, NOVA, NOW, OPUS, PROFILE_ARN, SONNET

from bedrock_quota.fetcher import burndown_drift
from bedrock_quota.fetcher.burndown_drift import CACHE_WRITE, ESTIMATED, INPUT, OLD_CACHE_WRITE, OUTPUT, Drift
from bedrock_quota.registry.models import Burndown, Model, ModelKind, Provider, RateStatus, Registry

PROVIDERS = ("amazon", "anthropic", "*")


def sums(estimated: float, *, output: float, given: float = 0, written: Mapping[str, float] = {}) -> dict[str, float]:
    return {ESTIMATED: estimated, INPUT: given, OUTPUT: output, **written}


def applied(found: Iterable[Drift]) -> dict[str, float]:
    return {each.model_id: each.applied_rate for each in found}


# The formula


def test_rate_that_fits_is_no_drift(registry: Registry) -> None:
    # 3,000 input + 1,000 cache write + 5 × 1,000 output; without the cache write it would look like 6
    written = {CACHE_WRITE: 1_000.0}

    assert (
        burndown_drift.detect_drift({SONNET: sums(9_000, given=3_000, output=1_000, written=written)}, registry, NOW)
        == []
    )


@pytest.mark.parametrize(
    ("estimated", "expected"),
    [
        # Sonnet's 5 × 100,000 output and 1,000 input; a twentieth of 5 is 0.25
        pytest.param(501_000, None, id="nearly the listed rate"),
        pytest.param(525_900, None, id="just within above"),  # 5.249
        pytest.param(476_100, None, id="just within below"),  # 4.751
        pytest.param(526_100, 5.25, id="just beyond above"),  # 5.251, said as 5.25
        pytest.param(475_900, 4.75, id="just beyond below"),  # 4.749
        pytest.param(101_000, 1, id="rate 1"),
        pytest.param(1_501_000, 15, id="rate 15"),
    ],
)
def test_difference_of_a_twentieth_is_rounding(registry: Registry, estimated: float, expected: float | None) -> None:
    found = burndown_drift.detect_drift({SONNET: sums(estimated, given=1_000, output=100_000)}, registry, NOW)

    assert applied(found) == ({} if expected is None else {SONNET: expected})


@pytest.mark.parametrize(
    ("estimated", "told"),
    [
        # 1,000,000 input and 5 × 10,000 output; a hundredth of 1,060,000 tokens is 1.06 of the rate
        (1_060_000, False),  # 6: what would look like another rate is 1% of the tokens, counted elsewhere
        (1_061_000, True),  # 6.1, and a hundredth is 1.061
    ],
)
def test_a_hundredth_of_all_tokens_may_be_counted_elsewhere(registry: Registry, estimated: float, told: bool) -> None:
    found = burndown_drift.detect_drift({SONNET: sums(estimated, given=1_000_000, output=10_000)}, registry, NOW)

    assert bool(found) is told


@pytest.mark.parametrize(
    ("rate", "said"), [(10, "10"), (9.7, "10"), (10.4, "10"), (4.7, "4.7"), (2.5, "2.5"), (14.6, "15"), (1.04, "1")]
)
def test_measured_rate_is_said_as_the_whole_number_it_may_be(rate: float, said: str) -> None:
    assert f"AWS applies {said}, the registry has 5 (listed)" in str(Drift(SONNET, 5, RateStatus.LISTED, rate))


@pytest.mark.parametrize(("output", "told"), [(999, False), (1_000, True)])
def test_too_little_output_says_nothing(registry: Registry, output: int, told: bool) -> None:
    found = burndown_drift.detect_drift({SONNET: sums(10 * output, output=output)}, registry, NOW)

    assert applied(found) == ({SONNET: 10} if told else {})


@pytest.mark.parametrize(
    "metrics",
    [
        pytest.param({}, id="no metrics"),
        pytest.param({OUTPUT: 5_000.0, INPUT: 3.0}, id="no estimate"),
        pytest.param({OUTPUT: 5_000.0, ESTIMATED: 0.0}, id="an estimate of 0"),
    ],
)
def test_without_awss_estimate_nothing_is_said(registry: Registry, metrics: dict[str, float]) -> None:
    assert burndown_drift.detect_drift({SONNET: metrics}, registry, NOW) == []


def test_registrys_rate_is_that_of_the_day() -> None:
    rates = tuple(Burndown(rate, day, RateStatus.LISTED, "a page") for rate, day in (
        (5, date(2026, 1, 1)), (10, date(2026, 11, 23))
    ))  # fmt: skip
    model = Model("acme.rocket", "Rocket", ModelKind.TEXT, "a page", max_output_tokens=10, burndown=rates)
    known = Registry((Provider("*", "Others", rates, 10),), (model,))
    at_10 = {"acme.rocket": sums(10_000, output=1_000)}

    assert burndown_drift.detect_drift(at_10, known, NOW) == []
    assert applied(burndown_drift.detect_drift(at_10, known, NOW - timedelta(days=1))) == {"acme.rocket": 10}
    # in the hours after the change, calls at either rate were measured
    at_5 = {"acme.rocket": sums(5_000, output=1_000)}
    midnight = datetime(2026, 11, 23, tzinfo=UTC)
    assert burndown_drift.detect_drift(at_5, known, midnight + timedelta(hours=3)) == []
    assert applied(burndown_drift.detect_drift(at_5, known, midnight + timedelta(hours=4))) == {"acme.rocket": 5}


def test_drifts_are_in_order_and_said_in_words(registry: Registry) -> None:
    found = burndown_drift.detect_drift(
        {
            OPUS: sums(5_000, output=1_000),
            NOVA: sums(2_500, output=1_000),
            "newcomer.model-1": sums(97_500, output=1_000),
        },
        registry,
        NOW,
    )

    unlisted = registry.find_burndown("newcomer.model-1", NOW.date())
    assert (registry.find_burndown(NOVA, NOW.date()).rate, registry.find_burndown(OPUS, NOW.date()).rate) == (1, 15)
    assert [str(each) for each in found] == [
        f"burndown rate of {NOVA}: AWS applies 2.5, the registry has 1 "
        f"({registry.find_burndown(NOVA, NOW.date()).status})",
        f"burndown rate of {OPUS}: AWS applies 5, the registry has 15 "
        f"({registry.find_burndown(OPUS, NOW.date()).status})",
        f"burndown rate of newcomer.model-1: AWS applies 98, the registry has {unlisted.rate:g} (unlisted)",
    ]


# What AWS's metrics hold


class CloudWatch:
    """CloudWatch as far as this reads it: one value a metric, given by model id and metric."""

    def __init__(self, values: Mapping[str, Mapping[str, float]], other: Iterable[dict[str, str]] = ()) -> None:
        self.values, self.other = values, other
        self.asked: list[dict[str, Any]] = []
        self.operation = ""

    def get_paginator(self, operation: str) -> "CloudWatch":
        self.operation = operation
        return self

    def paginate(self, **asked: Any) -> Iterator[dict[str, Any]]:
        if self.operation == "list_metrics":
            assert asked == {
                "Namespace": "AWS/Bedrock", "MetricName": "EstimatedTPMQuotaUsage", "RecentlyActive": "PT3H"
            }  # fmt: skip
            dimensions = [{"ModelId": name} for name in self.values] + list(self.other)
            pairs = [[{"Name": key, "Value": value} for key, value in each.items()] for each in dimensions]
            half = len(pairs) // 2
            for page in (pairs[:half], pairs[half:]):
                yield {"Metrics": [{"Namespace": "AWS/Bedrock", "Dimensions": each} for each in page]}
            return
        self.asked.append(asked)
        results = []
        for query in asked["MetricDataQueries"]:
            metric = query["MetricStat"]["Metric"]
            (dimension,) = metric["Dimensions"]
            value = self.values[dimension["Value"]].get(metric["MetricName"])
            results.append({"Id": query["Id"], "Values": [] if value is None else [value]})
        yield {"MetricDataResults": results}


def measured(client: CloudWatch) -> dict[str, dict[str, float]]:
    found = burndown_drift.read_token_sums(client, PROVIDERS, NOW)  # type: ignore[arg-type]
    return {model_id: {name: value for name, value in each.items() if value} for model_id, each in found.items()}


def test_several_ids_of_one_model_are_summed() -> None:
    client = CloudWatch(
        {
            SONNET: {ESTIMATED: 1, INPUT: 2, OUTPUT: 3, CACHE_WRITE: 4},
            f"us.{SONNET}": {ESTIMATED: 10, INPUT: 20, OUTPUT: 30, OLD_CACHE_WRITE: 40},
            f"global.{SONNET}": {ESTIMATED: 100, OUTPUT: 300, CACHE_WRITE: 400, OLD_CACHE_WRITE: 400},
            f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/eu.{SONNET}": {ESTIMATED: 1_000},
            NOVA: {ESTIMATED: 7},
            f"us.{NOVA}+latency-optimized": {ESTIMATED: 20},
        }
    )

    assert measured(client) == {
        SONNET: {ESTIMATED: 1_111, INPUT: 22, OUTPUT: 333, CACHE_WRITE: 444},
        NOVA: {ESTIMATED: 27},
    }


def test_ids_without_a_pool_are_ignored() -> None:
    client = CloudWatch(
        {
            PROFILE_ARN: {ESTIMATED: 1},
            f"arn:aws:bedrock:us-east-1:{ACCOUNT}:provisioned-model/abc": {ESTIMATED: 2},
            "gibberish": {ESTIMATED: 3},
            NOVA: {ESTIMATED: 4},
        }
    )

    assert measured(client) == {NOVA: {ESTIMATED: 4}}


def test_only_series_of_the_plain_model_id_are_read() -> None:
    # given series that count the same calls again
    again = [
        {"ModelId": SONNET, "ContextWindow": "1m"},
        {"ServiceTier": "flex", "ModelId": SONNET},
        {"Tier": SONNET},
        {},
    ]
    client = CloudWatch({NOVA: {ESTIMATED: 4}}, other=again)

    assert measured(client) == {NOVA: {ESTIMATED: 4}}


@pytest.mark.parametrize(
    ("models", "queries"),
    [
        pytest.param(0, [], id="no models"),
        pytest.param(1, [5], id="one model"),
        pytest.param(100, [500], id="100 models"),
        pytest.param(101, [500, 5], id="101 models"),
        pytest.param(250, [500, 500, 250], id="250 models"),
    ],
)
def test_no_call_asks_for_more_than_500_queries(models: int, queries: list[int]) -> None:
    client = CloudWatch({f"amazon.model-{number}": {ESTIMATED: number + 1} for number in range(models)})

    found = measured(client)

    assert [len(asked["MetricDataQueries"]) for asked in client.asked] == queries
    assert all(
        len({query["Id"] for query in asked["MetricDataQueries"]}) == len(asked["MetricDataQueries"])
        for asked in client.asked
    )
    assert found == {f"amazon.model-{number}": {ESTIMATED: number + 1} for number in range(models)}


def test_whole_minutes_are_asked_for_a_few_more_than_between_two_fetches_and_none_that_may_still_arrive() -> None:
    client = CloudWatch({NOVA: {ESTIMATED: 4}})

    burndown_drift.read_token_sums(client, PROVIDERS, datetime(2026, 11, 23, 12, 0, 59, tzinfo=UTC))  # type: ignore[arg-type]

    (asked,) = client.asked
    assert asked["EndTime"] == datetime(2026, 11, 23, 11, 50, tzinfo=UTC)
    assert timedelta(minutes=174) < asked["EndTime"] - asked["StartTime"] <= timedelta(hours=3, minutes=30)


@pytest.mark.usefixtures("no_aws")
def test_requests_are_those_cloudwatch_takes_and_pages_are_added_up() -> None:
    client = boto3.client("cloudwatch")
    now = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    series = {"Namespace": "AWS/Bedrock", "Dimensions": [{"Name": "ModelId", "Value": NOVA}]}
    asked = {
        "MetricDataQueries": [
            {
                "Id": f"m{number}",
                "MetricStat": {"Metric": {**series, "MetricName": name}, "Period": 60, "Stat": "Sum"},
            }
            for number, name in enumerate((ESTIMATED, INPUT, OUTPUT, CACHE_WRITE, OLD_CACHE_WRITE))
        ],
        "StartTime": now - timedelta(hours=3, minutes=10),
        "EndTime": now - timedelta(minutes=10),
    }
    with Stubber(client) as stubber:
        stubber.add_response("list_metrics", {"Metrics": [{**series, "MetricName": ESTIMATED}]})
        stubber.add_response(
            "get_metric_data",
            {
                "MetricDataResults": [{"Id": "m0", "Values": [1.0, 20.0]}, {"Id": "m2", "Values": [5.0]}],
                "NextToken": "x",
            },
            asked,
        )
        stubber.add_response(
            "get_metric_data", {"MetricDataResults": [{"Id": "m0", "Values": [300.0]}]}, asked | {"NextToken": "x"}
        )

        assert burndown_drift.read_token_sums(client, PROVIDERS, now) == {
            NOVA: {ESTIMATED: 321, INPUT: 0, OUTPUT: 5, CACHE_WRITE: 0}
        }
        stubber.assert_no_pending_responses()


@pytest.mark.usefixtures("no_aws")
def test_failure_of_cloudwatch_is_raised() -> None:
    client = boto3.client("cloudwatch")
    with Stubber(client) as stubber:
        stubber.add_client_error("list_metrics", "AccessDenied", "not allowed")

        with pytest.raises(Exception, match="AccessDenied"):
            burndown_drift.read_token_sums(client, PROVIDERS, NOW)
