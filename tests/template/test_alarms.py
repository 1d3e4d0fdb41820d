"""The alarms: that they watch metrics there are, tell somebody what to do, and stay quiet where nothing is wrong."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from records import Process, converse, record
from samcli.yamlhelper import yaml_parse

from bedrock_quota import model_ids
from bedrock_quota.processing import Outcome
from localaws.preview import metrics_insights

ROOT = Path(__file__).parents[2]
Tree = dict[str, Any]
NAMESPACE = {"Ref": "MetricsNamespace"}
TOPIC = {"Ref": "AlarmTopic"}

LAMBDA = "https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html"
LOGS = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html"
BEDROCK = "https://docs.aws.amazon.com/bedrock/latest/userguide/monitoring-runtime-metrics.html"
DOCUMENTED: dict[tuple[str, str], tuple[set[str], str]] = {
    # metric: dimensions it is documented with, and where that was read (2026-11-23)
    ("AWS/Lambda", "Errors"): ({"FunctionName"}, LAMBDA),
    ("AWS/Lambda", "Throttles"): ({"FunctionName"}, LAMBDA),
    ("AWS/Lambda", "AsyncEventsDropped"): ({"FunctionName"}, LAMBDA),
    ("AWS/Lambda", "DestinationDeliveryFailures"): ({"FunctionName"}, LAMBDA),
    ("AWS/Logs", "DeliveryErrors"): ({"LogGroupName", "DestinationType", "FilterName", "PolicyLevel"}, LOGS),
    ("AWS/Logs", "DeliveryThrottling"): ({"LogGroupName", "DestinationType", "FilterName", "PolicyLevel"}, LOGS),
    ("AWS/Logs", "EMFParsingErrors"): ({"LogGroupName"}, LOGS),
    ("AWS/Logs", "EMFValidationErrors"): ({"LogGroupName"}, LOGS),
    # "Across all model IDs", which the console calls metrics without a dimension
    ("AWS/Bedrock", "Invocations"): (set(), BEDROCK),
    ("AWS/Bedrock", "ModelInvocationLogsCloudWatchDeliveryFailure"): (set(), BEDROCK),
    ("AWS/Bedrock", "ModelInvocationLargeDataS3DeliveryFailure"): (set(), BEDROCK),
}


@pytest.fixture(scope="module")
def all_alarms() -> dict[str, Tree]:
    template: Tree = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
    return {
        name: resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    }


@pytest.fixture(scope="module")
def alarms(all_alarms: dict[str, Tree]) -> dict[str, Tree]:
    """All but those on quotas, of which test_dashboard.py tells."""
    return {name: alarm for name, alarm in all_alarms.items() if "GROUP BY" not in str(alarm.get("Metrics"))}


def text(value: Any) -> str:
    """A string of the template, with what is substituted in it as it stands there."""
    found = value["Fn::Sub"] if isinstance(value, dict) else value
    assert isinstance(found, str)
    return found


def watched(alarm: Tree) -> Iterator[tuple[Any, str, set[str]]]:
    """Namespace, name and dimensions of every metric that an alarm looks at."""
    stated = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query]
    for metric in [alarm] if "MetricName" in alarm else stated:
        yield metric["Namespace"], metric["MetricName"], {each["Name"] for each in metric.get("Dimensions", [])}
    for query in alarm.get("Metrics", []):
        if "SELECT" in text(query.get("Expression", "")):
            found = metrics_insights.parse(text(query["Expression"]))
            assert found.function == "SUM"
            yield found.namespace, found.metric, {each.dimension for each in found.conditions}


def test_every_seam_is_watched(alarms: dict[str, Tree]) -> None:
    seen = {(space, name) for alarm in alarms.values() for space, name, _ in watched(alarm) if isinstance(space, str)}

    assert seen == DOCUMENTED.keys()


def test_metrics_of_aws_have_the_dimensions_they_are_documented_with(alarms: dict[str, Tree]) -> None:
    for name, alarm in alarms.items():
        for namespace, metric, dimensions in watched(alarm):
            if namespace == NAMESPACE:
                continue
            documented, page = DOCUMENTED[namespace, metric]
            # a query finds what has at least these; a single metric is named by exactly all of them
            queried = "Metrics" in alarm and "MetricStat" not in alarm["Metrics"][0] and len(alarm["Metrics"]) == 1
            assert dimensions <= documented if queried else dimensions == documented, (name, page)


def test_metrics_of_our_own_are_published(alarms: dict[str, Tree], process: Process, read_line: Any) -> None:
    outcome: Outcome = process([converse(), record(model_ids.ALARM_TEST)])
    (directive,) = read_line(outcome.lines[-1])["_aws"]["CloudWatchMetrics"]
    published = {metric["Name"] for metric in directive["Metrics"]}

    ours = {
        (metric, *dimensions)
        for alarm in alarms.values()
        for space, metric, dimensions in watched(alarm)
        if space == NAMESPACE
    }

    assert directive["Dimensions"] == [[]]
    assert ours >= {("RecordsRejected",), ("MaxTokensUnknown",), ("AlarmTests",)}
    assert {name for (name,) in ours} <= published


def test_somebody_is_told_what_it_means_and_what_to_do(alarms: dict[str, Tree]) -> None:
    for name, alarm in alarms.items():
        said = alarm["AlarmDescription"]
        assert alarm["AlarmActions"] == [TOPIC], name
        assert alarm.get("OKActions", [TOPIC]) == [TOPIC], name
        assert alarm.get("ActionsEnabled", True) is True, name
        assert 80 <= len(said) <= 1_024, name  # CloudWatch's limit
        assert said.endswith("."), name
        assert said.count(". ") + said.count("; ") >= 1, name  # what it is, and what then


def test_nothing_rings_for_want_of_data(alarms: dict[str, Tree]) -> None:
    assert len(alarms) > 10
    assert {name for name, alarm in alarms.items() if alarm["TreatMissingData"] != "notBreaching"} == set()


def test_alarms_ring_above_their_threshold(alarms: dict[str, Tree]) -> None:
    assert {alarm["ComparisonOperator"] for alarm in alarms.values()} == {"GreaterThanThreshold"}
    assert {name: alarm["Threshold"] for name, alarm in alarms.items() if alarm["Threshold"] != 0} == {
        "CoverageAlarm": 20
    }


def test_expressions_use_ids_there_are_and_one_of_them_is_the_alarms(alarms: dict[str, Tree]) -> None:
    for name, alarm in alarms.items():
        queries = alarm.get("Metrics", [])
        returned = [query for query in queries if query.get("ReturnData", True)]
        assert len(returned) == (1 if queries else 0), name
        for query in returned:
            if "SELECT" not in text(query["Expression"]):
                used = set(re.findall(r"\b[a-z_]+\b", query["Expression"]))
                assert used <= {each["Id"] for each in queries}, name
                # CloudWatch wants one period for all
                assert len({each["MetricStat"]["Period"] for each in queries if each is not query}) == 1, name
            else:
                assert query["Period"] == 300, name


def value_of(alarm: Tree, **values: float | None) -> float | None:
    """What an alarm's expression comes to in one period; None where it has no value."""
    expression = alarm["Metrics"][0]["Expression"].replace("AND", "and")
    if any(
        values[each] is None
        for each in set(re.findall(r"\b[a-z_]+\b", re.sub(r"FILL\(.*?\)", "", expression))) - {"and"}
    ):
        return None
    known = {
        "IF": lambda condition, then, otherwise: then if condition else otherwise,
        "FILL": lambda series, instead: instead if series is None else series,
    }
    return float(eval(expression, {**known, **values}))  # noqa: S307 - an expression of our own template


def rings(alarm: Tree, periods: list[dict[str, float | None]]) -> bool:
    """Whether M of any N periods in a row are above the threshold."""
    over = [(value_of(alarm, **values) or 0) > alarm["Threshold"] for values in periods]
    n = alarm["EvaluationPeriods"]
    return any(
        sum(over[start : start + n]) >= alarm.get("DatapointsToAlarm", n) for start in range(max(1, len(over) - n + 1))
    )


class TestSilence:
    @pytest.mark.parametrize(
        "periods",
        [
            pytest.param([{"calls": None, "deliveries": None}] * 4, id="idle"),
            pytest.param([{"calls": 9.0, "deliveries": 2.0}] * 4, id="busy"),
            pytest.param([{"calls": None, "deliveries": 1.0}] * 4, id="failed calls alone"),
            pytest.param(
                # a call at the end of every quarter of an hour, its record at the beginning of the next
                [
                    {"calls": 1.0, "deliveries": None},
                    *[{"calls": 1.0, "deliveries": 1.0}] * 3,
                    {"calls": None, "deliveries": 1.0},
                ],
                id="late records",
            ),
            pytest.param(
                [{"calls": 1.0, "deliveries": None}, {"calls": None, "deliveries": 1.0}] * 3,
                id="late records of rare calls",
            ),
        ],
    )
    def test_is_not_what_late_records_or_no_calls_are(self, alarms: dict[str, Tree], periods: list[Any]) -> None:
        assert not rings(alarms["SilenceAlarm"], periods)

    def test_is_half_an_hour_of_calls_without_records(self, alarms: dict[str, Tree]) -> None:
        silent: dict[str, float | None] = {"calls": 3.0, "deliveries": None}

        assert rings(alarms["SilenceAlarm"], [{"calls": 3.0, "deliveries": 1.0}, silent, silent])
        assert {query["MetricStat"]["Period"] for query in alarms["SilenceAlarm"]["Metrics"][1:]} == {900}

    def test_deliveries_are_counted_and_not_their_records(self, alarms: dict[str, Tree]) -> None:
        # a delivery of rejected records alone gives RecordsProcessed a value of 0: its sum would say silence
        (stat,) = [
            each["MetricStat"]["Stat"] for each in alarms["SilenceAlarm"]["Metrics"] if each["Id"] == "deliveries"
        ]

        assert stat == "SampleCount"


class TestCoverage:
    @pytest.mark.parametrize(
        ("processed", "unknown", "falls"),
        [(100, 20, False), (100, 21, True), (19, 19, False), (20, 5, True), (20, 4, False), (None, None, False)],
    )
    def test_falls_where_over_a_fifth_of_enough_calls_is_unknown(
        self, alarms: dict[str, Tree], processed: float | None, unknown: float | None, falls: bool
    ) -> None:
        assert rings(alarms["CoverageAlarm"], [{"processed": processed, "unknown": unknown}] * 4) is falls

    def test_one_bad_half_hour_is_not_enough(self, alarms: dict[str, Tree]) -> None:
        good, bad = {"processed": 50.0, "unknown": 0.0}, {"processed": 50.0, "unknown": 50.0}

        assert not rings(alarms["CoverageAlarm"], [good, bad, bad, good, good, bad, bad, good])
        assert rings(alarms["CoverageAlarm"], [bad, good, bad, bad])


def test_refused_lines_of_both_functions_are_added_up(alarms: dict[str, Tree]) -> None:
    first, *stated = alarms["MetricLinesAlarm"]["Metrics"]
    groups = [
        (each["MetricStat"]["Metric"]["MetricName"], each["MetricStat"]["Metric"]["Dimensions"][0]["Value"]["Ref"])
        for each in stated
    ]

    assert first["Expression"] == "SUM(METRICS())"
    assert sorted(groups) == [
        (metric, group)
        for metric in ("EMFParsingErrors", "EMFValidationErrors")
        for group in ("MetricProcessorLogGroup", "QuotaFetcherLogGroup")
    ]


def test_the_subscriptions_queries_are_about_this_stacks_filter(alarms: dict[str, Tree]) -> None:
    group, name = "${InvocationLogSetup.LogGroupName}", "${AWS::StackName}-metric-processor"
    conditions = f"WHERE LogGroupName = '{group}' AND FilterName = '{name}'"
    for alarm in ("SubscriptionErrorsAlarm", "SubscriptionThrottlingAlarm"):
        assert text(alarms[alarm]["Metrics"][0]["Expression"]).endswith(conditions)


def test_functions_alarms_are_about_the_right_function(alarms: dict[str, Tree]) -> None:
    functions = {
        name: alarm["Dimensions"][0]["Value"]["Ref"]
        for name, alarm in alarms.items()
        if alarm.get("Namespace") == "AWS/Lambda"
    }
    fetcher = {"QuotaFetcherErrorsAlarm": "QuotaFetcherFunction"}
    processor = dict.fromkeys(
        (
            "MetricProcessorErrorsAlarm",
            "MetricProcessorThrottlesAlarm",
            "DeliveriesGivenUpAlarm",
            "FailedDeliveriesAlarm",
        ),
        "MetricProcessorFunction",
    )
    assert functions == fetcher | processor


def test_operations_explains_every_alarm_in_the_order_of_the_template(all_alarms: dict[str, Tree]) -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    explained = re.findall(r"^\| `(\w+Alarm)` \|", page, re.MULTILINE)

    assert len(explained) > 15
    assert explained == list(all_alarms)
