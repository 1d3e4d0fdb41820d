"""The alarms: that they watch metrics there are, tell somebody what to do, and stay quiet where nothing is wrong."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from alarm_states import FARTHER, FILLS_EMPTY, Held, contributors, history, state, states
from ingestion import WAYS, template_of
from processed import Processed
from records import NOVA, SONNET, Process, converse, record
from resolved import NAMESPACE as OURS
from resolved import VALUES, Resolver

from bedrock_quota import model_ids
from localaws.preview import math_evaluation, metric_math, metrics_insights
from localaws.preview.series import Metric

ROOT = Path(__file__).parents[2]
Tree = dict[str, Any]
NAMESPACE = {"Ref": "MetricsNamespace"}
TOPIC = {"Ref": "AlarmTopic"}

LAMBDA = "https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html"
LOGS = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html"
SQS = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html"
BEDROCK = "https://docs.aws.amazon.com/bedrock/latest/userguide/monitoring-runtime-metrics.html"
DOCUMENTED: dict[tuple[str, str], tuple[set[str], str]] = {
    # metric: dimensions it is documented with, and where that was read (2026-11-23)
    ("AWS/Lambda", "Invocations"): ({"FunctionName"}, LAMBDA),
    ("AWS/Lambda", "Errors"): ({"FunctionName"}, LAMBDA),
    ("AWS/Lambda", "Throttles"): ({"FunctionName"}, LAMBDA),
    ("AWS/Lambda", "AsyncEventsDropped"): ({"FunctionName"}, LAMBDA),
    ("AWS/Lambda", "IteratorAge"): ({"FunctionName"}, LAMBDA),
    ("AWS/Lambda", "OnFailureDestinationDeliveredEventCount"): ({"EventSourceMappingUUID"}, LAMBDA),
    ("AWS/Lambda", "DestinationDeliveryFailures"): ({"FunctionName"}, LAMBDA),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): ({"QueueName"}, SQS),  # read 2026-11-28
    ("AWS/Logs", "DeliveryErrors"): ({"LogGroupName", "DestinationType", "FilterName", "PolicyLevel"}, LOGS),
    ("AWS/Logs", "DeliveryThrottling"): ({"LogGroupName", "DestinationType", "FilterName", "PolicyLevel"}, LOGS),
    ("AWS/Logs", "EMFParsingErrors"): ({"LogGroupName"}, LOGS),
    ("AWS/Logs", "EMFValidationErrors"): ({"LogGroupName"}, LOGS),
    ("AWS/Bedrock", "InvocationLatency"): ({"ModelId"}, BEDROCK),  # "all metrics", read 2026-11-28
    # "Across all model IDs", which may be no dimension or one of that value: the alarms' queries take either
    ("AWS/Bedrock", "ModelInvocationLogsCloudWatchDeliveryFailure"): (set(), BEDROCK),
    ("AWS/Bedrock", "ModelInvocationLargeDataS3DeliveryFailure"): (set(), BEDROCK),
}


@pytest.fixture(scope="module", params=WAYS)
def template(request: pytest.FixtureRequest) -> Tree:
    """The template of a stack, for each way of ingestion."""
    found: Tree = template_of((ROOT / "template.yaml").read_text(encoding="utf-8"), request.param)
    return found


@pytest.fixture(scope="module")
def all_alarms(template: Tree) -> dict[str, Tree]:
    return {
        name: resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    }


@pytest.fixture(scope="module")
def streaming(all_alarms: dict[str, Tree]) -> bool:
    """Whether they are those of a stack whose logs come through a stream."""
    return "StreamLagAlarm" in all_alarms


@pytest.fixture(scope="module")
def alarms(all_alarms: dict[str, Tree]) -> dict[str, Tree]:
    """All but those on quotas, of which test_dashboard.py tells."""
    return {name: alarm for name, alarm in all_alarms.items() if "GROUP BY" not in str(alarm.get("Metrics"))}


def text(value: Any) -> str:
    """A string of the template as it stands there, in no monitoring account."""
    found = value["Fn::Sub"] if isinstance(value, dict) else value
    if isinstance(found, list):
        found = found[0].replace("${OwnAccount}", "")
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
            yield (
                found.namespace,
                found.metric,
                {*(found.dimensions or ()), *(each.dimension for each in found.conditions)},
            )


DIRECT = {("AWS/Lambda", "AsyncEventsDropped")}
STREAMING = {("AWS/Lambda", "IteratorAge"), ("AWS/Lambda", "OnFailureDestinationDeliveredEventCount")}


@pytest.fixture(scope="module")
def deployed(template: Tree) -> dict[str, Tree]:
    """All alarms as CloudFormation would make them."""
    return resolve_alarms(template)


@pytest.fixture(scope="module")
def of_monitoring_account(template: Tree) -> dict[str, Tree]:
    """All alarms as CloudFormation would make them with MonitoringAccount=yes."""
    return resolve_alarms(template, MonitoringAccount="yes")


def resolve_alarms(template: Tree, **parameters: str) -> dict[str, Tree]:
    """Return the alarms of a stack with these parameters. Physical ids of other resources are their logical ids."""
    names = {name: name for name in template["Resources"]}
    resolve = Resolver(names | VALUES | {"LateBodiesQueue.QueueName": "late"} | parameters, template)
    return {
        name: resolve({key: value for key, value in each["Properties"].items() if key not in NOT_READ})
        for name, each in template["Resources"].items()
        if each["Type"] == "AWS::CloudWatch::Alarm"
    }


NOT_READ = {"AlarmActions", "OKActions", "InsufficientDataActions"}


def test_every_seam_is_watched(alarms: dict[str, Tree], streaming: bool) -> None:
    seen = {(space, name) for alarm in alarms.values() for space, name, _ in watched(alarm) if isinstance(space, str)}

    assert seen == DOCUMENTED.keys() - (DIRECT if streaming else STREAMING)


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
    outcome: Processed = process([converse(), record(model_ids.ALARM_TEST)])
    (directive,) = read_line(outcome.lines[-1])["_aws"]["CloudWatchMetrics"]
    published = {metric["Name"] for metric in directive["Metrics"]}

    ours = {
        (metric, *dimensions)
        for alarm in alarms.values()
        for space, metric, dimensions in watched(alarm)
        if space == NAMESPACE
    }

    assert directive["Dimensions"] == [[]]
    assert ours >= {("RecordsRejected",), ("MaxTokensUnknown",), ("QuotasUnknown",), ("AlarmTests",)}
    assert {name for (name,) in ours} <= published


def test_somebody_is_told(all_alarms: dict[str, Tree]) -> None:
    for name, alarm in all_alarms.items():
        assert alarm["AlarmActions"] == [TOPIC], name
        assert alarm.get("OKActions", [TOPIC]) == [TOPIC], name
        assert alarm.get("ActionsEnabled", True) is True, name


def test_it_is_said_what_it_means_and_what_to_do(alarms: dict[str, Tree]) -> None:
    for name, alarm in alarms.items():
        said = alarm["AlarmDescription"]
        assert 80 <= len(said) <= 1_024, name  # CloudWatch's limit
        assert said.endswith("."), name
        assert said.count(". ") >= 1, name  # what it is, and what then


def test_only_what_proves_it_tells_that_it_is_over(all_alarms: dict[str, Tree]) -> None:
    telling = {name for name, alarm in all_alarms.items() if "OKActions" in alarm}

    # calls far below their quota, a fetch, and one without an error; elsewhere no failure may mean no traffic
    of_quotas = {"ReservedQuotaAlarm", "ConsumedQuotaAlarm", "RequestQuotaAlarm"}
    assert telling == of_quotas | {"QuotaFetcherErrorsAlarm", "QuotaFetcherSilentAlarm"}


def test_ranges_are_those_that_cloudwatch_takes(all_alarms: dict[str, Tree]) -> None:
    # PutMetricAlarm (API reference, read 2026-11-24): seven days in all, one where periods are under an hour; and
    # "Limits" (User Guide): a Metrics Insights query sees three hours.
    for name, alarm in all_alarms.items():
        queries = alarm.get("Metrics", [])
        stats = [query["MetricStat"]["Period"] for query in queries if "MetricStat" in query]
        (period,) = {*stats, *(query["Period"] for query in queries if "Period" in query)} or {alarm["Period"]}
        longest = 604_800 if period >= 3_600 else 86_400
        if any("SELECT" in str(query.get("Expression")) for query in queries):
            longest = 10_800
        assert period % 60 == 0, name
        assert period * alarm["EvaluationPeriods"] <= longest, name


def test_nothing_rings_for_want_of_data(alarms: dict[str, Tree]) -> None:
    assert len(alarms) > 10
    treated = {name: alarm["TreatMissingData"] for name, alarm in alarms.items()}
    assert treated == dict.fromkeys(alarms, "notBreaching") | {"QuotaFetcherSilentAlarm": "missing"}
    told = {
        name: alarm["InsufficientDataActions"] for name, alarm in alarms.items() if "InsufficientDataActions" in alarm
    }
    assert told == {"QuotaFetcherSilentAlarm": [TOPIC]}


def test_alarms_ring_above_their_threshold(alarms: dict[str, Tree], streaming: bool) -> None:
    comparisons = {name: alarm["ComparisonOperator"] for name, alarm in alarms.items()}
    assert comparisons.pop("QuotaFetcherSilentAlarm") == "LessThanThreshold"
    assert set(comparisons.values()) == {"GreaterThanThreshold"}
    assert {name: alarm["Threshold"] for name, alarm in alarms.items() if alarm["Threshold"] != 0} == {
        "CoverageAlarm": 20,
        "LateBodiesAlarm": 15 * 60,
        "LateRecordsAlarm": 600,
        "QuotaFetcherSilentAlarm": 1,
        **({"StreamLagAlarm": 15 * 60 * 1000} if streaming else {}),
    }


def test_expressions_use_ids_there_are_and_one_of_them_is_the_alarms(alarms: dict[str, Tree]) -> None:
    for name, alarm in alarms.items():
        queries = alarm.get("Metrics", [])
        returned = [query for query in queries if query.get("ReturnData", True)]
        assert len(returned) == (1 if queries else 0), name
        for query in returned:
            if "SELECT" not in text(query["Expression"]):
                used = set(math_evaluation.names(metric_math.parse(query["Expression"])))
                assert used == {each["Id"] for each in queries} - {query["Id"]}, name
                # CloudWatch wants one period for all
                assert len({each.get("MetricStat", each)["Period"] for each in queries if each is not query}) == 1, name
            else:
                assert query["Period"] == 300, name


@pytest.mark.parametrize(
    ("points", "of_three", "breaching", "not_breaching"),
    [
        pytest.param("0-X-X", 3, "OK", "OK", id="a point in every other period, 3 of 3"),
        pytest.param("0----", 3, "OK", "OK", id="the oldest point alone, in bounds, 3 of 3"),
        pytest.param("-----", 3, "ALARM", "OK", id="no point, 3 of 3"),
        pytest.param("0XX-X", 3, "ALARM", "ALARM", id="three points out of bounds, 3 of 3"),
        pytest.param("----X", 3, "ALARM", "OK", id="the newest point alone, out of bounds, 3 of 3"),
        pytest.param("X----", 3, "ALARM", "OK", id="the oldest point alone, out of bounds, 3 of 3"),
        pytest.param("0-X-X", 2, "ALARM", "ALARM", id="a point in every other period, 2 of 3"),
        pytest.param("00X0X", 2, "ALARM", "ALARM", id="points in every period, 2 of 3"),
        pytest.param("0-X--", 2, "ALARM", "OK", id="two missing at the end, 2 of 3"),
        pytest.param("----0", 2, "ALARM", "OK", id="the newest point alone, in bounds, 2 of 3"),
        pytest.param("----X", 2, "ALARM", "OK", id="the newest point alone, out of bounds, 2 of 3"),
    ],
)
def test_states_are_those_of_cloudwatchs_own_tables(
    points: str, of_three: int, breaching: str, not_breaching: str
) -> None:
    alarm = {"EvaluationPeriods": 3, "DatapointsToAlarm": of_three, "Threshold": 0}
    alarm |= {"ComparisonOperator": "GreaterThanThreshold"}
    values = [{"0": 0.0, "X": 1.0, "-": None}[each] for each in points]

    found = [state(alarm | {"TreatMissingData": treat}, values) for treat in ("breaching", "notBreaching")]

    assert found == [breaching, not_breaching]


class TestQuotas:
    """A call counts in the minute in which it began, and its record comes when it has ended."""

    @staticmethod
    def state_at(alarm: Tree, now: int, busy: set[int], took: int) -> set[str]:
        """The state at a minute. Short calls use 1% of the quota every minute, longer ones 90% of the busy minutes."""
        n = alarm["EvaluationPeriods"]
        found = set()
        for farther in FARTHER:
            minutes = range(now - n - farther, now)  # those that are over
            points = [1.0 + (90.0 if began in busy and began + took < now else 0.0) for began in minutes]
            found.add(state(alarm | {"Threshold": 80}, list(points)))
        return found

    @pytest.mark.parametrize("logical_id", ["ReservedQuotaAlarm", "ConsumedQuotaAlarm", "RequestQuotaAlarm"])
    @pytest.mark.parametrize(
        ("took", "seen"),
        [
            pytest.param(0, True, id="calls of seconds"),
            pytest.param(5, True, id="calls of 5 minutes"),
            pytest.param(13, True, id="calls of 13 minutes"),
            pytest.param(14, False, id="calls of 14 minutes, as in docs/limits.md"),
        ],
    )
    def test_long_calls_are_seen(self, all_alarms: dict[str, Tree], logical_id: str, took: int, seen: bool) -> None:
        found = [self.state_at(all_alarms[logical_id], now, {100, 101}, took) for now in range(90, 140)]

        assert ({"ALARM"} in found) is seen

    def test_a_quarter_of_an_hour_after_the_last_but_one_it_is_over(self, all_alarms: dict[str, Tree]) -> None:
        alarm = all_alarms["ReservedQuotaAlarm"]
        ringing = [now for now in range(90, 140) if self.state_at(alarm, now, {100, 101, 102}, 0) == {"ALARM"}]

        assert ringing == list(range(102, 117))

    def test_one_busy_minute_is_not_enough(self, all_alarms: dict[str, Tree]) -> None:
        alarm = all_alarms["ReservedQuotaAlarm"]

        assert all(self.state_at(alarm, now, {100, 120}, 2) == {"OK"} for now in range(90, 140))


class TestFetcherErrors:
    """The fetcher runs every so many minutes, and CloudWatch looks every minute at what the period before it holds."""

    @staticmethod
    def states_at(template: Tree, fails: Sequence[bool], until: int) -> list[str]:
        resources = template["Resources"]
        alarm = resources["QuotaFetcherErrorsAlarm"]["Properties"]
        schedule = resources["QuotaFetcherFunction"]["Properties"]["Events"]["Schedule"]["Properties"]
        (every,) = map(int, re.fullmatch(r"rate\((\d+) minutes\)", schedule["ScheduleExpression"]).groups())  # type: ignore[union-attr]
        errors = {
            number * every: 3.0 if failed else 0.0 for number, failed in enumerate(fails)
        }  # with Lambda's retries
        period = alarm["Period"] // 60
        sums = [
            [value for minute, value in errors.items() if now - period <= minute < now] for now in range(1, until + 1)
        ]
        return [state(alarm, [sum(each) if each else None]) for each in sums]

    def test_a_lasting_fault_rings_once(self, template: Tree) -> None:
        assert set(self.states_at(template, [True] * 8, 8 * 174)) == {"ALARM"}

    def test_it_is_over_when_a_fetch_has_succeeded(self, template: Tree) -> None:
        found = self.states_at(template, [True, False, False], 3 * 174)

        assert (found.index("OK") + 1, found.count("OK")) == (181, 3 * 174 - 180)  # the fetch was at minute 174


class TestFetcherSilence:
    """A fetch falls into every third hour, and into no more than three between."""

    def test_a_new_stack_and_a_running_fetcher_are_quiet(self, alarms: dict[str, Tree]) -> None:
        # as every alarm begins: it tells nobody, for that is no change
        assert state(alarms["QuotaFetcherSilentAlarm"], [None] * 9) == "INSUFFICIENT_DATA"
        assert set(states(alarms["QuotaFetcherSilentAlarm"], [1, None, None, 2, None, None, 1, None, None])) == {"OK"}

    @pytest.mark.parametrize("farther", FARTHER, ids="{} periods farther back".format)
    def test_six_hours_without_a_fetch_are_told(self, alarms: dict[str, Tree], farther: int) -> None:
        hours = [1.0, *[None] * 12]
        found = [
            state(alarms["QuotaFetcherSilentAlarm"], hours[max(0, end - 6 - farther) : end])  # six, and those before
            for end in range(1, len(hours) + 1)
        ]

        assert found == ["OK"] * (6 + farther) + ["INSUFFICIENT_DATA"] * (7 - farther)


class TestQuotasUnknown:
    """Calls without quotas, of ten minutes each; nothing where all have theirs."""

    @pytest.mark.parametrize(
        ("calls", "rung"),
        [
            pytest.param([40, 40, 40], True, id="half an hour"),
            pytest.param([1, None, 1, None, 1], True, id="rare calls"),
            pytest.param([900, 900, *[None] * 10], False, id="a new stack, before the first fetch"),
            pytest.param([None, None, 5, None, None, None, None, 5, None], False, id="a table that hiccups"),
        ],
    )
    def test_rings_where_it_lasts(self, alarms: dict[str, Tree], calls: list[float | None], rung: bool) -> None:
        assert ("ALARM" in states(alarms["QuotasUnknownAlarm"], calls)) is rung


class TestLateRecords:
    """Of each period, the least of the deliveries' ages."""

    @pytest.mark.parametrize(
        ("ages", "rung"),
        [
            pytest.param([5, 8, 600, 600, 600], False, id="ten minutes"),
            pytest.param([5, 700, 700, 5, 700, 700], False, id="twenty minutes late"),
            pytest.param([5, 700, 1_000, 1_300], True, id="half an hour late"),
            pytest.param([None] * 6, False, id="idle"),
            pytest.param([5, None, None, None, 900, None, None, None], False, id="one long call of an idle account"),
        ],
    )
    def test_half_an_hour_of_them_rings(self, alarms: dict[str, Tree], ages: list[float | None], rung: bool) -> None:
        assert ("ALARM" in states(alarms["LateRecordsAlarm"], ages)) is rung

    def test_one_long_call_among_others_is_no_lag(self, alarms: dict[str, Tree]) -> None:
        assert alarms["LateRecordsAlarm"]["Statistic"] == "Minimum"


def at(minutes: Iterable[int], *values: float) -> dict[int, tuple[float, ...]]:
    """The same values in each of these minutes."""
    return dict.fromkeys((minute * 60 for minute in minutes), values)


COMPLETED = Metric("AWS/Bedrock", "InvocationLatency", (("ModelId", f"us.{SONNET}"),))
ALSO_COMPLETED = Metric("AWS/Bedrock", "InvocationLatency", (("ModelId", NOVA),))
INVOCATIONS = Metric("AWS/Bedrock", "Invocations", (("ModelId", f"us.{SONNET}"),))
CLIENT_ERRORS = Metric("AWS/Bedrock", "InvocationClientErrors", (("ModelId", f"us.{SONNET}"),))
RECORDS = Metric(OURS, "RecordsProcessed")


@pytest.mark.parametrize("fills_empty", FILLS_EMPTY, ids=["FILL gives zeros", "FILL gives nothing"])
class TestSilence:
    """Minute by minute, for two hours."""

    @pytest.mark.parametrize(
        "held",
        [
            pytest.param({}, id="new and idle"),
            pytest.param({RECORDS: at([0], 3)}, id="idle since the first record"),
            pytest.param({COMPLETED: at(range(120), 900), RECORDS: at(range(120), 3)}, id="busy"),
            pytest.param({RECORDS: at(range(120), 0)}, id="records of failed calls alone"),
            pytest.param(
                {COMPLETED: at(range(0, 120, 9), 900), RECORDS: at(range(120), 0)}, id="rejected records alone"
            ),
            # a page counts failed calls in Invocations, another does not; whether they are logged is not known either
            pytest.param(
                {INVOCATIONS: at(range(120), 1), CLIENT_ERRORS: at(range(120), 1)},
                id="failed calls that Invocations counts",
            ),
            pytest.param({CLIENT_ERRORS: at(range(120), 1)}, id="failed calls that Invocations does not count"),
            pytest.param(
                {COMPLETED: at(range(0, 120, 15), 900), RECORDS: at(range(14, 134, 15), 1)}, id="late records"
            ),
            pytest.param(
                {COMPLETED: at(range(0, 120, 30), 900), RECORDS: at(range(14, 134, 30), 1)},
                id="late records of rare calls",
            ),
            pytest.param({COMPLETED: at([0, 50], 900), RECORDS: at([3], 1)}, id="calls far apart"),
            pytest.param({COMPLETED: at([0, 50], 900)}, id="calls far apart without records"),
        ],
    )
    def test_is_not_what_late_records_or_no_calls_are(
        self, deployed: dict[str, Tree], held: Held, fills_empty: bool
    ) -> None:
        found = history(deployed["NoRecordsAlarm"], held, range(60, 121 * 60, 60), fills_empty=fills_empty)

        assert set(found) == {"OK"}

    @pytest.mark.parametrize(
        ("held", "first"),
        [
            # 15 minutes with a call before the last 15, which have one, too: from the 16th minute on
            pytest.param({COMPLETED: at(range(120), 900)}, 16, id="no record ever"),
            pytest.param({ALSO_COMPLETED: at(range(0, 120, 5), 900)}, 16, id="no record ever, another model"),
            pytest.param(
                {
                    COMPLETED: at(range(0, 120, 5), 900),
                    CLIENT_ERRORS: at(range(120), 1),
                    INVOCATIONS: at(range(120), 1),
                },
                16,
                id="more failed calls than completed ones, which Invocations counts",
            ),
            pytest.param(
                {COMPLETED: at(range(0, 120, 5), 900), CLIENT_ERRORS: at(range(120), 1)},
                16,
                id="more failed calls than completed ones, which Invocations does not count",
            ),
            # 30 minutes after the last record, which was in the 40th: none in either period
            pytest.param({COMPLETED: at(range(120), 900), RECORDS: at(range(40), 1)}, 70, id="no record any more"),
        ],
    )
    def test_is_half_an_hour_of_calls_without_records(
        self, deployed: dict[str, Tree], held: Held, first: int, fills_empty: bool
    ) -> None:
        found = history(deployed["NoRecordsAlarm"], held, range(60, 121 * 60, 60), fills_empty=fills_empty)

        assert found == ["OK"] * (first - 1) + ["ALARM"] * (121 - first)


class TestCoverage:
    @pytest.mark.parametrize(
        ("processed", "unknown", "falls"),
        [
            pytest.param(100, 20, False, id="a fifth"),
            pytest.param(100, 21, True, id="over a fifth"),
            pytest.param(19, 19, False, id="too few calls"),
            pytest.param(20, 5, True, id="just enough calls, over a fifth"),
            pytest.param(20, 4, False, id="just enough calls, a fifth"),
            pytest.param(None, None, False, id="no calls"),
        ],
    )
    def test_falls_where_over_a_fifth_of_enough_calls_is_unknown(
        self, deployed: dict[str, Tree], processed: float | None, unknown: float | None, falls: bool
    ) -> None:
        periods = [] if processed is None or unknown is None else [(processed, unknown)] * 4

        assert ("ALARM" in self.states(deployed, periods)) is falls

    def test_one_bad_half_hour_is_not_enough(self, deployed: dict[str, Tree]) -> None:
        good, bad = (50, 0), (50, 50)

        assert "ALARM" not in self.states(deployed, [good, bad, bad, good, good, bad, bad, good])
        assert "ALARM" in self.states(deployed, [bad, good, bad, bad])

    @staticmethod
    def states(deployed: dict[str, Tree], periods: Sequence[tuple[float, float]]) -> list[str]:
        """The states at the end of each quarter of an hour, with processed and unknown calls in it."""
        held = {
            Metric(OURS, name): {number * 900: (pair[which],) for number, pair in enumerate(periods)}
            for which, name in enumerate(("RecordsProcessed", "MaxTokensUnknown"))
        }
        ends = range(900, 900 * (len(periods) + 1), 900)
        return history(deployed["CoverageAlarm"], held, ends, fills_empty=True)


LINES = [
    Metric("AWS/Logs", name, (("LogGroupName", VALUES[group]),))
    for name in ("EMFParsingErrors", "EMFValidationErrors")
    for group in ("MetricProcessorLogGroup", "QuotaFetcherLogGroup")
]
"""What CloudWatch publishes of refused lines, if there are any."""


@pytest.mark.parametrize("fills_empty", FILLS_EMPTY, ids=["FILL gives zeros", "FILL gives nothing"])
class TestRefusedLines:
    @pytest.mark.parametrize("metric", LINES, ids=lambda metric: f"{metric.name} of {metric.dimensions[0][1]}")
    def test_one_refused_line_is_told_though_the_other_three_metrics_never_were(
        self, deployed: dict[str, Tree], metric: Metric, fills_empty: bool
    ) -> None:
        held = {metric: at([100], 1)}

        found = history(deployed["MetricLinesAlarm"], held, range(101 * 60, 116 * 60, 60), fills_empty=fills_empty)

        # also where CloudWatch publishes it up to ten minutes late: in each of the three periods of five minutes
        assert found == ["ALARM"] * 15

    def test_none_is_no_alarm(self, deployed: dict[str, Tree], fills_empty: bool) -> None:
        assert history(deployed["MetricLinesAlarm"], {}, [6_000], fills_empty=fills_empty) == ["OK"]

    def test_lines_of_other_functions_are_no_alarm(self, deployed: dict[str, Tree], fills_empty: bool) -> None:
        held = {Metric("AWS/Logs", LINES[0].name, (("LogGroupName", "/aws/lambda/else"),)): at([100], 9)}

        assert history(deployed["MetricLinesAlarm"], held, [101 * 60], fills_empty=fills_empty) == ["OK"]


LINKED = "444455556666"


POOL = (NOVA, "regional")


def two_accounts(metric: str, own: float, linked: float) -> Held:
    """20 minutes in which the account and one that is linked with it use so many percent of one pool's quota."""
    dimensions = (("EndpointType", "regional"), ("ModelId", NOVA))
    return {
        Metric(OURS, metric, dimensions): at(range(20), own),
        Metric(OURS, metric, dimensions, LINKED): at(range(20), linked),
    }


FILTER = (("FilterName", "stack-metric-processor"), ("LogGroupName", VALUES["InvocationLogSetup.LogGroupName"]))
"""Dimensions of the subscription's metrics: names are the same in every account of a stack set."""


class TestMonitoringAccount:
    """CloudWatch's queries there read the metrics of linked accounts, too."""

    @pytest.mark.parametrize(
        ("alarm", "metric"),
        [
            pytest.param("ReservedQuotaAlarm", "ReservedQuotaPercent", id="reserved"),
            pytest.param("ConsumedQuotaAlarm", "ConsumedQuotaPercent", id="consumed"),
            pytest.param("RequestQuotaAlarm", "RequestQuotaPercent", id="requests"),
        ],
    )
    @pytest.mark.parametrize(
        ("percents", "found"),
        [
            pytest.param((45, 45), "OK", id="two accounts at 45%"),
            pytest.param((80, 1), "ALARM", id="own account at 80%"),
            pytest.param((1, 99), "OK", id="linked account at 99%"),
        ],
    )
    def test_percentages_of_linked_accounts_are_not_added(
        self, of_monitoring_account: dict[str, Tree], alarm: str, metric: str, percents: tuple[float, float], found: str
    ) -> None:
        assert contributors(of_monitoring_account[alarm], two_accounts(metric, *percents), 1_200) == {POOL: found}

    def test_without_the_parameter_they_are(self, deployed: dict[str, Tree]) -> None:
        held = two_accounts("ReservedQuotaPercent", 45, 45)

        assert contributors(deployed["ReservedQuotaAlarm"], held, 1_200) == {POOL: "ALARM"}

    @pytest.mark.parametrize(
        ("alarm", "metric"),
        [
            pytest.param(
                "BedrockLogDeliveryAlarm",
                Metric("AWS/Bedrock", "ModelInvocationLogsCloudWatchDeliveryFailure"),
                id="logs that Bedrock cannot write",
            ),
            pytest.param(
                "BedrockLargeBodiesAlarm",
                Metric("AWS/Bedrock", "ModelInvocationLargeDataS3DeliveryFailure", (("Across", "all"),)),
                id="large bodies that Bedrock cannot write",
            ),
            pytest.param(
                "SubscriptionErrorsAlarm", Metric("AWS/Logs", "DeliveryErrors", FILTER), id="subscription errors"
            ),
            pytest.param(
                "SubscriptionThrottlingAlarm", Metric("AWS/Logs", "DeliveryThrottling", FILTER), id="throttled filter"
            ),
            pytest.param("NoRecordsAlarm", COMPLETED, id="calls without records"),
        ],
    )
    def test_faults_of_linked_accounts_are_theirs(
        self, deployed: dict[str, Tree], of_monitoring_account: dict[str, Tree], alarm: str, metric: Metric
    ) -> None:
        linked = Metric(metric.namespace, metric.name, metric.dimensions, LINKED)
        minutes = at(range(60), 1)

        assert contributors(of_monitoring_account[alarm], {linked: minutes}, 3_600) == {(): "OK"}
        assert contributors(of_monitoring_account[alarm], {metric: minutes}, 3_600) == {(): "ALARM"}
        assert contributors(deployed[alarm], {linked: minutes}, 3_600) == {(): "ALARM"}  # why there is the parameter

    def test_every_query_is_limited(self, of_monitoring_account: dict[str, Tree], deployed: dict[str, Tree]) -> None:
        own = metrics_insights.Condition(metrics_insights.ACCOUNT, "", equal=True)
        for name, alarm in of_monitoring_account.items():
            for query in alarm.get("Metrics", []):
                if "SELECT" in query.get("Expression", ""):
                    assert metrics_insights.parse(query["Expression"]).conditions[-1] == own, name
        # elsewhere the condition is not known to be valid
        assert "CURRENT_ACCOUNT_ID" not in str(deployed)


def test_the_subscriptions_queries_are_about_this_stacks_filter(alarms: dict[str, Tree]) -> None:
    group, name = "${InvocationLogSetup.LogGroupName}", "${AWS::StackName}-metric-processor"
    conditions = f"WHERE LogGroupName = '{group}' AND FilterName = '{name}'"
    for alarm in ("SubscriptionErrorsAlarm", "SubscriptionThrottlingAlarm"):
        assert text(alarms[alarm]["Metrics"][0]["Expression"]).endswith(conditions)


def test_functions_alarms_are_about_the_right_function(alarms: dict[str, Tree], streaming: bool) -> None:
    functions = {
        name: alarm["Dimensions"][0]["Value"]["Ref"]
        for name, alarm in alarms.items()
        if alarm.get("Namespace") == "AWS/Lambda"
    }
    fetcher = dict.fromkeys(("QuotaFetcherErrorsAlarm", "QuotaFetcherSilentAlarm"), "QuotaFetcherFunction")
    processor = dict.fromkeys(
        (
            "MetricProcessorErrorsAlarm",
            "MetricProcessorThrottlesAlarm",
            "RetriesExhaustedAlarm",
            "FailedDeliveriesAlarm",
        ),
        "MetricProcessorFunction",
    )
    of_stream = {
        "RetriesExhaustedAlarm": "InvocationLogStreamMapping",
        "StreamLagAlarm": "MetricProcessorFunction",
    }
    assert functions == fetcher | processor | (of_stream if streaming else {})


def test_the_longest_wait_in_the_stream_is_what_rings(alarms: dict[str, Tree], streaming: bool) -> None:
    assert not streaming or alarms["StreamLagAlarm"]["Statistic"] == "Maximum"  # one shard may be behind


def test_the_page_on_alarms_explains_each_in_the_order_of_the_template(
    all_alarms: dict[str, Tree], streaming: bool
) -> None:
    page = (ROOT / "docs" / "alarms.md").read_text(encoding="utf-8")
    explained = re.findall(r"^\| `(\w+Alarm)` \|", page, re.MULTILINE)

    assert len(explained) > 15
    assert [name for name in explained if streaming or name != "StreamLagAlarm"] == list(all_alarms)
