"""`quota-monitor cost --from-account`: every number is worked out by hand from the account's metrics and logs."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fake_aws import EXPIRED, GROUP, Answer, AwsError, FakeAws, Handler, denied
from records import SONNET

from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.sources import read_sources
from localaws import log_queries
from quota_monitor import aws_regions
from quota_monitor.cost import command
from quota_monitor.cost.account import DELIVERIES, AccountUse, measure_account
from quota_monitor.cost.estimate import Given, make_estimate
from quota_monitor.cost.prices import read_prices
from quota_monitor.data_files import MODELS
from quota_monitor.main import main

pytestmark = pytest.mark.usefixtures("no_aws")

NOW = datetime(2026, 11, 29, 12, 34, tzinfo=UTC)
STACK = "bedrock-quota-monitor"
PROFILE = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abcd1234"
CALLS = {SONNET: 700_000.0, f"us.{SONNET}": 200_000.0, "abcd1234": 99_000.0, "zyxw9876": 1_000.0}
NO_STACK = AwsError("ValidationError", f"Stack with id {STACK} does not exist")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return read_sources(MODELS)


def metrics(series: Mapping[tuple[str, str], float]) -> Handler:
    """Answer GetMetricData: each metric, by its name and the value of its first dimension, in two equal parts."""

    def answer(given: Mapping[str, Any]) -> Answer:
        results = []
        for query in given["MetricDataQueries"]:
            metric = query["MetricStat"]["Metric"]
            key = (metric["MetricName"], metric["Dimensions"][0]["Value"] if metric["Dimensions"] else "")
            half = series.get(key, 0.0) / 2
            times = [given["StartTime"], given["EndTime"]]
            results.append({"Id": query["Id"], "Timestamps": times, "Values": [half, half]})
        return {"MetricDataResults": results}

    return answer


def list_metrics(given: Mapping[str, Any]) -> Answer:
    if given["Namespace"] == "AWS/Bedrock":
        found = [[{"Name": "ModelId", "Value": name}] for name in CALLS]
        found.append([{"Name": "ServiceTier", "Value": "flex"}, {"Name": "ModelId", "Value": SONNET}])
    else:
        found = [
            [{"Name": "ModelId", "Value": SONNET}, {"Name": "EndpointType", "Value": kind}]
            for kind in ("regional", "cross-region", "global-cross-region")
        ]
    return {"Metrics": [{"MetricName": given["MetricName"], "Dimensions": each} for each in found]}


SERIES = {
    **{("Invocations", name): calls for name, calls in CALLS.items()},
    ("Invocations", "flex"): 5_000.0,  # the same calls by tier, which must not count again
    ("InputTokenCount", SONNET): 500e6,
    ("OutputTokenCount", SONNET): 200e6,
    ("CacheReadInputTokenCount", f"us.{SONNET}"): 30e6,
    ("CacheWriteInputTokenCount", f"us.{SONNET}"): 20e6,
    ("IncomingBytes", GROUP): 12e9,
    ("RecordsProcessed", ""): 290_000.0,
    ("RequestsFailed", ""): 10_000.0,
}

BEFORE: Mapping[str, Answer | Handler] = {
    "GetCallerIdentity": {"Account": "111122223333", "Arn": "arn:aws:iam::111122223333:user/jane", "UserId": "A"},
    "DescribeStacks": NO_STACK,
    "ListMetrics": list_metrics,
    "GetMetricData": metrics(SERIES),
    "ListInferenceProfiles": {
        "inferenceProfileSummaries": [
            {
                "inferenceProfileArn": PROFILE,
                "models": [{"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET}"}],
            }
        ]
    },
    "GetModelInvocationLoggingConfiguration": {
        "loggingConfig": {"cloudWatchConfig": {"logGroupName": GROUP, "roleArn": "arn:aws:iam::111122223333:role/r"}}
    },
}
"""An account without the stack, which logs."""


def deployed(created: datetime, **parameters: str) -> dict[str, Answer | Handler]:
    """Return the answers of an account with a stack since that time, whose deliveries had 30,000 calls in 4,000."""
    values = {"MetricsNamespace": "Mine", "DuplicateDetection": "on", "Ingestion": "direct"} | parameters
    stack = {
        "StackName": STACK,
        "StackId": f"arn:aws:cloudformation:us-east-1:111122223333:stack/{STACK}/1",
        "StackStatus": "CREATE_COMPLETE",
        "CreationTime": created,
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
        "Outputs": [{"OutputKey": "InvocationLogGroupName", "OutputValue": GROUP}],
    }
    log_group = {
        "LogicalResourceId": "MetricProcessorLogGroup",
        "PhysicalResourceId": "/aws/lambda/p",
        "ResourceType": "AWS::Logs::LogGroup",
        "ResourceStatus": "CREATE_COMPLETE",
        "LastUpdatedTimestamp": created,
    }
    rows = [[{"field": "received", "value": "30000"}, {"field": "deliveries", "value": "4000"}]]
    return {
        **BEFORE,
        "DescribeStacks": {"Stacks": [stack]},
        "ListStackResources": {"StackResourceSummaries": [log_group]},
        "StartQuery": {"queryId": "1"},
        "GetQueryResults": {"status": "Complete", "results": rows, "statistics": {}},
    }


def measure(answers: Mapping[str, Answer | Handler], registry: Registry) -> AccountUse:
    return measure_account(FakeAws(answers).session, STACK, registry, NOW)


def test_before_a_deployment_pools_and_calls_are_those_of_bedrocks_metrics(registry: Registry) -> None:
    aws = FakeAws(BEFORE)
    found = measure_account(aws.session, STACK, registry, NOW)

    # the application profile's model is called without a profile, too, and nothing is known of the last id
    assert (found.pools, found.calls, found.calls_per_delivery) == (2, 1_000_000, None)
    assert (found.log_group, found.log_gigabytes, found.tokens) == (GROUP, 12, None)
    assert str(found.window) == "2026-10-30 12:00 to 2026-11-29 12:00 UTC"
    assert found.measured == (
        "1,000,000 calls in 2 quota pools in the last 30 days, from Bedrock's metric Invocations. Models without a "
        "call in the last two weeks are left out.",
        f"12.0 GB in 720 hours in the log group {GROUP}, from IncomingBytes.",
    )
    assert found.assumed == (
        "1,000 calls went to ids of no known quota pool: zyxw9876. They are counted as calls only.",
    )
    changing = [name for name in aws.operations() if not name.split(":")[1].startswith(("Get", "List", "Describe"))]
    assert changing == []
    # by the hour, because CloudWatch keeps single minutes for 15 days only
    assert [aws.operations().count(name) for name in ("cloudformation:DescribeStacks", "sts:GetCallerIdentity")] == [
        1,
        1,
    ]
    queries = [query for given in aws.parameters("monitoring:GetMetricData") for query in given["MetricDataQueries"]]
    assert {query["MetricStat"]["Period"] for query in queries} == {3_600}


def test_an_account_without_a_log_has_its_size_from_tokens(registry: Registry) -> None:
    found = measure({**BEFORE, "GetModelInvocationLoggingConfiguration": {}}, registry)
    estimate = make_estimate(Given(), read_prices(), found)

    # 750 million tokens of 4 bytes, and a million records of 1,000 more, at $0.50 per GB
    assert (found.log_group, found.log_gigabytes, found.tokens) == (None, None, 750e6)
    assert estimate.log is not None
    assert (estimate.log.gigabytes, estimate.log.dollars) == (4.0, 2.0)
    assert "A record of the invocation log has 4 bytes per token and 1,000 more." in estimate.assumed[-1]


def test_a_log_group_that_got_nothing_yet_has_its_size_from_tokens(registry: Registry) -> None:
    series = {key: value for key, value in SERIES.items() if key[0] != "IncomingBytes"}
    found = measure({**BEFORE, "GetMetricData": metrics(series)}, registry)

    assert (found.log_group, found.log_gigabytes, found.tokens) == (GROUP, None, 750e6)


def logged_since(hours: int) -> Handler:
    """Answer GetMetricData: 1.2 GB of the log in each of the last hours."""

    def answer(given: Mapping[str, Any]) -> Answer:
        (*_, query) = given["MetricDataQueries"]
        if query["MetricStat"]["Metric"]["MetricName"] != "IncomingBytes":
            return metrics(SERIES)(given)
        times = [given["EndTime"] - timedelta(hours=each) for each in range(1, hours + 1)]
        return {"MetricDataResults": [{"Id": "q0", "Timestamps": times, "Values": [1.2e9] * hours}]}

    return answer


def test_a_log_group_that_got_data_only_lately_is_scaled_from_its_first_hour(registry: Registry) -> None:
    found = measure({**BEFORE, "GetMetricData": logged_since(48)}, registry)

    # 1.2 GB in each of 720 hours
    assert found.log_gigabytes == pytest.approx(864)
    assert found.measured[-1] == (
        f"57.6 GB in 48 hours in the log group {GROUP}, from IncomingBytes, since its first data, scaled to 30 days."
    )


def test_a_log_group_with_less_than_a_day_of_data_has_its_size_from_tokens(registry: Registry) -> None:
    found = measure({**BEFORE, "GetMetricData": logged_since(23)}, registry)

    assert (found.log_group, found.log_gigabytes, found.tokens) == (GROUP, None, 750e6)
    assert found.measured[1] == f"The log group {GROUP} has data since 23 hours only. Its size is not used."


def test_a_size_per_call_that_is_given_overrules_the_tokens(registry: Registry) -> None:
    found = measure({**BEFORE, "GetModelInvocationLoggingConfiguration": {}}, registry)
    estimate = make_estimate(Given(kilobytes_per_call=20), read_prices(), found)

    assert estimate.log is not None
    assert (estimate.log.gigabytes, estimate.log.dollars) == (20.0, 10.0)
    assert estimate.assumed[-1] == "20 KB per call in the invocation log, as --kb-per-call says."


def test_a_deployed_stack_has_its_own_pools_records_and_deliveries(registry: Registry) -> None:
    found = measure(deployed(datetime(2026, 9, 1, tzinfo=UTC), Ingestion="kinesis", CallerDetail="session"), registry)
    estimate = make_estimate(Given(), read_prices(), found)

    assert (found.pools, found.calls, found.calls_per_delivery) == (3, 300_000, 7.5)
    assert (estimate.use.through_stream, estimate.use.with_sessions, estimate.use.duplicate_detection) == (
        True,
        True,
        True,
    )
    assert (
        found.measured[1] == "7.5 calls per delivery, from 4,000 deliveries in the processor's log of the last 7 days."
    )


def test_deliveries_of_a_stream_that_were_written_together_count_one_by_one() -> None:
    lines = [{"event": "delivery", "received": 8}, {"event": "delivery", "received": 40, "deliveries": 5}]
    others = [{"event": "duplicate_delivery", "received": 8}, {"caller": "One", "requests": 8}]
    events = [{"timestamp": 1_000, "message": json.dumps(line)} for line in (*lines, *others)]

    (row,) = log_queries.run_query(events, DELIVERIES).results

    assert {cell["field"]: float(cell["value"]) for cell in row} == {"received": 48, "deliveries": 6}


def test_the_page_on_costs_has_the_query() -> None:
    page = (Path(__file__).parents[2] / "docs" / "costs.md").read_text(encoding="utf-8")

    assert DELIVERIES in " ".join(page.split())


def test_what_is_given_overrules_what_is_measured(registry: Registry) -> None:
    found = measure(deployed(datetime(2026, 9, 1, tzinfo=UTC), Ingestion="kinesis"), registry)
    given = Given(9, 5_000_000, 3.0, duplicate_detection=False, through_stream=False, with_sessions=True)
    use = make_estimate(given, read_prices(), found).use

    assert (use.pools, use.calls, use.calls_per_delivery) == (9, 5_000_000, 3.0)
    assert (use.duplicate_detection, use.through_stream, use.with_sessions) == (False, False, True)


def test_a_younger_stack_is_scaled_to_a_month(registry: Registry) -> None:
    # created 10 days before the last full hour: three times as many records and bytes per month
    found = measure(deployed(datetime(2026, 11, 19, 11, 30, tzinfo=UTC)), registry)

    assert (found.calls, found.log_gigabytes) == (900_000, 36)
    assert "in the last 240 hours, from the stack's own metrics, since the stack" in found.measured[0]


def test_a_stack_of_today_is_estimated_as_before_its_deployment(registry: Registry) -> None:
    found = measure(deployed(datetime(2026, 11, 29, 3, tzinfo=UTC)), registry)

    assert (found.pools, found.calls, found.calls_per_delivery) == (2, 1_000_000, None)
    assert (found.log_group, found.log_gigabytes, found.tokens) == (GROUP, None, 750e6)
    assert found.measured[0] == f"The stack {STACK} is younger than 24 hours. Its metrics are not used."


def test_a_stack_of_another_kind_is_not_used(registry: Registry) -> None:
    answers = deployed(datetime(2026, 9, 1, tzinfo=UTC))
    (stack,) = answers["DescribeStacks"]["Stacks"]  # type: ignore[call-overload,index]
    found = measure({**answers, "DescribeStacks": {"Stacks": [{**stack, "Parameters": []}]}}, registry)

    assert (found.pools, found.calls, dict(found.parameters)) == (2, 1_000_000, {})
    assert found.assumed[0].startswith(f"The stack {STACK} is not a stack of this monitor.")


@pytest.mark.parametrize(
    ("operation", "right", "pools", "calls"),
    [
        pytest.param("ListMetrics", "cloudwatch:ListMetrics", None, None, id="list of metrics"),
        pytest.param("GetMetricData", "cloudwatch:GetMetricData", None, None, id="values of metrics"),
        pytest.param("DescribeStacks", "cloudformation:DescribeStacks", 2, 1_000_000, id="stack"),
        pytest.param("ListInferenceProfiles", "bedrock:ListInferenceProfiles", 2, 1_000_000, id="profiles"),
        pytest.param(
            "GetModelInvocationLoggingConfiguration",
            "bedrock:GetModelInvocationLoggingConfiguration",
            2,
            1_000_000,
            id="logging configuration",
        ),
    ],
)
def test_a_missing_right_is_named_and_the_estimate_goes_on(
    operation: str, right: str, pools: int | None, calls: int | None, registry: Registry
) -> None:
    found = measure({**BEFORE, operation: denied(right)}, registry)
    estimate = make_estimate(Given(), read_prices(), found)

    assert (found.pools, found.calls) == (pools, calls)
    assert right in " ".join(found.assumed)
    assert (estimate.use.pools, estimate.use.calls) == (pools or 5, calls or 1_000_000)
    assert ("5 quota pools. --pools sets another number." in estimate.assumed) is (pools is None)


def test_without_the_right_to_query_the_calls_per_delivery_are_assumed(registry: Registry) -> None:
    found = measure({**deployed(datetime(2026, 9, 1, tzinfo=UTC)), "StartQuery": denied("logs:StartQuery")}, registry)
    estimate = make_estimate(Given(), read_prices(), found)

    assert estimate.use.calls_per_delivery == 10
    assert "logs:StartQuery" in estimate.assumed[0]
    assert estimate.assumed[1].startswith("10 calls per delivery.")


def run(monkeypatch: pytest.MonkeyPatch, answers: Mapping[str, Any], *arguments: str) -> Any:
    """Run the command. Each Region has answers of its own."""

    def open_session(_profile: str | None, region: str | None) -> Any:
        name = region or "us-east-1"
        return FakeAws(answers[name], name).session

    monkeypatch.setattr(command, "open_session", open_session)
    return CliRunner(env={"COLUMNS": "200"}).invoke(main, ["cost", "--from-account", *arguments])


def test_the_command_says_what_it_measured_and_what_another_region_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run(monkeypatch, {"us-east-1": BEFORE})

    assert ran.exit_code == 0
    assert ran.output.startswith("Account 111122223333, us-east-1, ")
    assert "\nMeasured:\n  1,000,000 calls in 2 quota pools" in ran.output
    assert "\nAssumed:\n  1,000 calls went to ids of no known quota pool" in ran.output
    assert "The invocation log exists: 12.0 GB per month, $6.00. You pay for it already" in ran.output
    # 10 metrics of $0.30, 22 alarms of $0.10, $3 and 657,000 polls at $0.40 per million; 9 × $0.30 + 4 × $0.10
    assert "Another Region or account adds $8.46 for the monitor and $3.10 per quota pool in use there" in ran.output


def test_json_has_one_estimate_per_region(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = {**BEFORE, "ListMetrics": {"Metrics": []}, "GetModelInvocationLoggingConfiguration": {}}
    ran = run(monkeypatch, {"us-east-1": BEFORE, "eu-west-1": quiet}, "--regions", "us-east-1,eu-west-1", "--json")
    content = json.loads(ran.output)

    assert ran.exit_code == 0
    assert [(each["region"], each["quota_pools"], each["calls_per_month"]) for each in content["estimates"]] == [
        ("us-east-1", 2, 1_000_000),
        ("eu-west-1", 0, 0),
    ]
    first, second = content["estimates"]
    assert first["invocation_log"] == {"log_group": GROUP, "gigabytes_per_month": 12.0, "usd_per_month": 6.0}
    assert second["invocation_log"] == {"log_group": None, "gigabytes_per_month": 0.0, "usd_per_month": 0.0}
    # without pools and calls only the monitor is left
    assert second["usd_per_month"] == content["another_region"]["monitor_usd_per_month"] == 8.4628
    assert content["another_region"]["quota_pool_usd_per_month"] == 3.1
    assert first["usd_per_month"] == pytest.approx(sum(item["usd_per_month"] for item in first["items"]), abs=0.001)


def test_a_region_that_cannot_be_read_is_named_and_the_others_are_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"us-east-1": {"GetCallerIdentity": EXPIRED}, "eu-west-1": BEFORE}
    ran = run(monkeypatch, answers, "--regions", "us-east-1,eu-west-1")

    assert ran.exit_code == 3
    assert "Error: us-east-1: The AWS session has expired." in ran.output
    assert "Account 111122223333, eu-west-1" in ran.output


def test_an_expired_session_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run(monkeypatch, {"us-east-1": {"GetCallerIdentity": EXPIRED}})

    assert ran.exit_code == 3
    assert ran.output.startswith("Error: The AWS session has expired. Sign in")


@pytest.mark.parametrize(
    "arguments",
    [pytest.param(["--regions", "us-east-1"], id="regions"), pytest.param(["--profiles", "a"], id="profiles")],
)
def test_regions_and_profiles_need_an_account(arguments: Sequence[str]) -> None:
    ran = CliRunner().invoke(main, ["cost", *arguments])

    assert ran.exit_code == 2
    assert "--regions and --profiles need --from-account." in ran.output


def test_a_region_that_does_not_exist_is_refused_before_any_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_regions, "_has_address", lambda _name: False)
    ran = run(monkeypatch, {}, "--regions", "us-east-1,us-esat-1")

    assert ran.exit_code == 2
    assert "'us-esat-1' is no AWS Region. Did you mean us-east-1?" in ran.output


def test_a_region_that_is_named_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run(monkeypatch, {"us-east-1": BEFORE}, "--regions", "us-east-1, us-east-1", "--json")

    assert ran.exit_code == 2
    assert "Invalid value for '--regions': us-east-1 is named twice" in ran.output


def test_more_late_calls_than_calls_are_refused_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run(monkeypatch, {}, "--calls", "10", "--late-calls", "11")

    assert ran.exit_code == 2
    assert "--late-calls is 11, but there are only 10 calls per month (--calls)." in ran.output


def test_more_late_calls_than_an_account_has_calls_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run(monkeypatch, {"us-east-1": BEFORE}, "--late-calls", "1000001")

    assert ran.exit_code == 2
    assert "--late-calls is 1,000,001, but there are only 1,000,000 calls per month (--calls)." in ran.output


@pytest.mark.parametrize("option", ["--calls-per-delivery", "--kb-per-call"])
def test_what_is_not_a_number_is_wrong_usage(option: str) -> None:
    ran = CliRunner().invoke(main, ["cost", option, "nan"])

    assert ran.exit_code == 2
    assert f"{option} takes a number, not nan." in ran.output


def test_a_size_per_call_adds_the_log_to_an_estimate_without_an_account() -> None:
    ran = CliRunner().invoke(main, ["cost", "--calls", "2000000", "--kb-per-call", "6"])

    # 12 GB at $0.50
    assert "If invocation logging is off today, its log adds 12.0 GB per month, $6.00." in ran.output


def test_the_page_on_costs_shows_what_the_command_prints_for_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "costs.md").read_text(encoding="utf-8")
    shown = re.findall(r"^> (.+)$", page, re.MULTILINE)

    ran = run(monkeypatch, {"us-east-1": {**BEFORE, "GetModelInvocationLoggingConfiguration": {}}})

    assert len(shown) == 6
    assert [line for line in shown if line not in ran.output] == []


def test_the_page_on_costs_has_every_member_of_the_json(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "costs.md").read_text(encoding="utf-8").partition("## JSON")[2]
    content = json.loads(run(monkeypatch, {"us-east-1": BEFORE}, "--json").output)
    (estimate,) = content["estimates"]
    members = {*content, *estimate, *content["another_region"], *estimate["invocation_log"], *estimate["items"][0]}

    assert members - set(re.findall(r"`(\w+)`", page)) == set()
