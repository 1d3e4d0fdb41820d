"""The first-day check: every answer made to happen, and no answer with anything that is secret."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from botocore.exceptions import ClientError, EndpointConnectionError
from click.testing import CliRunner, Result

from bedrock_quota.errors import DeliveryError
from bedrock_quota.pools import EndpointType, QuotaPool
from bedrock_quota.processor.delivery import decode_delivery
from bedrock_quota.processor.event import split_event
from quota_monitor.aws_session import Stack
from quota_monitor.doctor import command as doctor_command
from quota_monitor.doctor.first_day import (
    answers,
    collect,
    collect_alarms,
    collect_logs,
    collect_metrics,
    failure_test,
)
from quota_monitor.doctor.first_day.answers import Verdict, redact
from quota_monitor.doctor.first_day.command import check_first_day
from quota_monitor.doctor.first_day.dashboard_body import compare_bodies, find_body
from quota_monitor.doctor.first_day.evidence import (
    Actions,
    AlarmState,
    Bodies,
    Contributors,
    Counts,
    Dimensions,
    Evidence,
    FailurePath,
    MetricLines,
    MetricValues,
    Sdk,
    Total,
    Unreadable,
)
from quota_monitor.doctor.first_day.metric_lines import Difference, LogEvent, add_up
from quota_monitor.doctor.first_day.metric_lines import compare as compare_lines
from quota_monitor.doctor.first_day.questions import QUESTIONS, ask_all
from quota_monitor.doctor.first_day.questions.metrics import EXPECTED_DIMENSIONS
from quota_monitor.main import main

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
MINUTE = datetime(2026, 11, 28, 11, 0, tzinfo=UTC)
NOVA = QuotaPool("amazon.nova-pro-v1:0", EndpointType.CROSS_REGION)
SEEN, WRONG, NOT_YET, REFUSED = (
    Verdict.SEEN,
    Verdict.NOT_AS_ASSUMED,
    Verdict.NOT_SEEN_YET,
    Verdict.COULD_NOT_LOOK,
)

LINES = MetricLines(
    processed={MINUTE: Total(3, 1)},
    consumed={NOVA: {MINUTE: Total(300, 3)}},
    lags=(5.0, 9.0),
    operations=frozenset({"Converse"}),
    fields=frozenset({"service_tier", "project_identifier"}),
    throttled=1,
)
MATH = AlarmState("NoRecordsAlarm", "math", "OK", datapoints=2, fills=True, periods=12, values=12, measured=4)
QUERY = AlarmState("ReservedQuotaAlarm", "query", "OK", treated_missing=True, by_pool=True, periods=180)
ALL_DIMENSIONS = {name: tuple(map(tuple, expected)) for name, expected in EXPECTED_DIMENSIONS.items()}

GOOD = Evidence(
    lines=LINES,
    values=MetricValues(LINES.processed, LINES.consumed),
    refused=0,
    dashboard=(),
    alarms=(MATH, QUERY),
    contributors=Contributors({"ReservedQuotaAlarm": (("ModelId", "EndpointType"),)}),
    actions=Actions(tested=(True,)),
    failure_path=FailurePath(kept=True),
    dimensions=Dimensions(ALL_DIMENSIONS, frozenset({"RESERVED"})),
    delays=(3.5, 14.6),
    bodies=Bodies((-1.0, 42.0)),
    sdk=Sdk(
        "1.40.4",
        frozenset({"s3Config"}),
        frozenset({"s3Config"}),
        {"textDataDeliveryEnabled": True},
        made_by_stack=True,
        large_bodies=True,
    ),
    counts=Counts(invocations=1_000, errors=100, answered=1_000),
    throttles=5,
    overrides=1,
)


def ask(name: str, **changes: Any) -> answers.Answer:
    """The answer to one question, where evidence is changed from that in which all is seen."""
    (found,) = [each for each in ask_all(msgspec.structs.replace(GOOD, **changes)) if each.name == name]
    return found


def test_everything_can_be_seen() -> None:
    found = ask_all(GOOD)

    assert {each.name: each.verdict for each in found} == {each.name: SEEN for each in found}
    assert len(found) == len(QUESTIONS) == len({each.name for each in found}) == 15


def lines(**changes: Any) -> MetricLines:
    return msgspec.structs.replace(LINES, **changes)


def values(processed: Total, consumed: Total) -> MetricValues:
    return MetricValues({MINUTE: processed}, {NOVA: {MINUTE: consumed}})


@pytest.mark.parametrize(
    ("name", "changes", "verdict", "says"),
    [
        pytest.param("lines", {}, SEEN, "The metrics have everything that the lines have.", id="equal"),
        pytest.param("lines", {"lines": MetricLines()}, NOT_YET, "no metric line older than 15 minutes", id="no lines"),
        pytest.param("lines", {"values": MetricValues()}, WRONG, "have less than the lines: 2.", id="no metrics"),
        pytest.param("lines", {"values": values(Total(3, 1), Total(200, 2))}, WRONG, "the lines: 1.", id="value lost"),
        pytest.param("lines", {"values": values(Total(3, 1), Total(299, 3))}, WRONG, "the lines: 1.", id="sum too low"),
        pytest.param("lines", {"values": values(Total(6, 2), Total(300, 3))}, SEEN, "at-least-once", id="value twice"),
        pytest.param(
            "lines",
            {"values": values(Total(6, 2), Total(300, 3)), "lines": lines(whole=False)},
            SEEN,
            "more lines than this command reads",
            id="more than was read",
        ),
        pytest.param(
            "lines",
            {"lines": lines(consumed={}), "values": MetricValues(LINES.processed)},
            NOT_YET,
            "No line with the tokens of a call",
            id="only the test of the alarms",
        ),
        pytest.param("lines", {"refused": 2.0}, WRONG, "Lines that CloudWatch refused: 2.", id="line refused"),
        pytest.param("lines", {"lines": lines(broken=1)}, WRONG, "Broken lines in the log: 1.", id="line broken"),
        pytest.param("dashboard", {"dashboard": ("body/start",)}, WRONG, "The first: body/start.", id="body differs"),
        pytest.param("dashboard", {"dashboard": None}, NOT_YET, "no dashboard body", id="body of an older version"),
        pytest.param(
            "expressions",
            {"alarms": (msgspec.structs.replace(MATH, values=0, measured=0),)},
            SEEN,
            "FILL gives no value where no metric of an expression has one.",
            id="fill without values",
        ),
        pytest.param(
            "expressions",
            {"alarms": (msgspec.structs.replace(MATH, measured=0),)},
            SEEN,
            "FILL gives values (NoRecordsAlarm) where no metric of an expression has one.",
            id="fill with values",
        ),
        pytest.param(
            "expressions",
            {"alarms": (msgspec.structs.replace(MATH, values=11, lost=1),)},
            SEEN,
            "values in 11 of 12 periods",
            id="newest period without a value yet",
        ),
        pytest.param(
            "expressions",
            {"alarms": (msgspec.structs.replace(QUERY, evaluation="EVALUATION_ERROR"),)},
            WRONG,
            "CloudWatch cannot evaluate ReservedQuotaAlarm.",
            id="evaluation error",
        ),
        pytest.param(
            "expressions",
            {"alarms": (msgspec.structs.replace(QUERY, state="INSUFFICIENT_DATA"),)},
            NOT_YET,
            "INSUFFICIENT_DATA: ReservedQuotaAlarm.",
            id="new alarm",
        ),
        pytest.param(
            "expressions",
            {"alarms": (msgspec.structs.replace(QUERY, name="MetricLinesAlarm", lost=2),)},
            WRONG,
            "although a metric of the expression has one: MetricLinesAlarm.",
            id="sum over absent metrics",
        ),
        pytest.param("expressions", {"alarms": ()}, NOT_YET, "no alarm on an expression", id="no expression"),
        pytest.param("contributors", {"contributors": Contributors({})}, NOT_YET, "No quota alarm", id="none in alarm"),
        pytest.param(
            "contributors", {"contributors": Contributors(supported=False)}, REFUSED, "boto3 has no", id="older SDK"
        ),
        pytest.param(
            "contributors",
            {"contributors": Contributors({"ReservedQuotaAlarm": (("ModelId",),)})},
            WRONG,
            "Their attributes: ModelId.",
            id="attribute missing",
        ),
        pytest.param(
            "contributors",
            {"contributors": Contributors({}), "alarms": (msgspec.structs.replace(QUERY, state="ALARM"),)},
            WRONG,
            "without a contributor: ReservedQuotaAlarm.",
            id="alarm without a contributor",
        ),
        pytest.param("actions", {"actions": Actions()}, NOT_YET, "TestAlarm has no action", id="alarm never tested"),
        pytest.param("actions", {"actions": Actions((False,))}, WRONG, "of them successful: 0", id="topic refuses"),
        pytest.param(
            "actions", {"actions": Actions((True,), unasked=1)}, WRONG, "its state: 1", id="message of a new alarm"
        ),
        pytest.param("failures", {"failure_path": FailurePath()}, NOT_YET, "No delivery has failed", id="no failure"),
        pytest.param(
            "failures", {"failure_path": FailurePath(dropped=2)}, SEEN, "gave up on 2 events", id="replayed since"
        ),
        pytest.param(
            "failures", {"failure_path": FailurePath(kept=True, failures=1)}, WRONG, "not be kept", id="not kept"
        ),
        pytest.param("failures", {"failure_path": FailurePath(is_bucket=False)}, WRONG, "no S3 bucket", id="no bucket"),
        pytest.param("failures", {"kept_test": True}, SEEN, "--test-failure was kept", id="test kept"),
        pytest.param("failures", {"kept_test": False}, WRONG, "was not kept within", id="test not kept"),
        pytest.param(
            "dimensions",
            {"dimensions": Dimensions(ALL_DIMENSIONS | {"AWS/Bedrock Invocations": ((), ("ModelId", "Tier"))})},
            WRONG,
            "AWS/Bedrock Invocations lacks ModelId.",
            id="no series by model alone",
        ),
        pytest.param(
            "dimensions",
            {"dimensions": Dimensions({"AWS/Bedrock Invocations": ((), ("ModelId",), ("ModelId", "X"))})},
            SEEN,
            "AWS/Bedrock Invocations: ModelId; ModelId, X; no dimension.",
            id="more combinations than assumed",
        ),
        pytest.param(
            "dimensions",
            {
                "dimensions": Dimensions(
                    {
                        "AWS/Bedrock Invocations": (("ModelId",),),
                        "AWS/Bedrock ModelInvocationLogsCloudWatchDeliverySuccess": (("ModelId",),),
                        "AWS/Logs DeliveryErrors": (("FilterName", "LogGroupName"),),
                        "AWS/Logs ForwardedLogEvents": (("LogGroupName",),),
                    }
                )
            },
            SEEN,
            "CloudWatchDeliverySuccess: ModelId. AWS/Logs ForwardedLogEvents: LogGroupName. AWS/Logs DeliveryErrors: "
            "FilterName, LogGroupName.",
            id="combinations that a query without dimensions matches",
        ),
        pytest.param(
            "dimensions",
            {
                "dimensions": Dimensions(
                    {"AWS/Bedrock Invocations": (("ModelId",),), "AWS/Logs DeliveryErrors": (("LogGroupName",),)}
                )
            },
            WRONG,
            "AWS/Logs DeliveryErrors lacks FilterName, LogGroupName.",
            id="no dimension of a query's condition",
        ),
        pytest.param("dimensions", {"dimensions": Dimensions()}, NOT_YET, "Not listed yet: AWS/Bedrock", id="no calls"),
        pytest.param("log-delay", {}, SEEN, "3.5 to 14.6 s, median 9.1 s.", id="delays"),
        pytest.param("log-delay", {"lines": lines(lags=(601.0,))}, WRONG, "601.0", id="late at the processor"),
        pytest.param(
            "log-delay",
            {"lines": lines(lags=(600.0,)), "is_local": True},
            SEEN,
            "600.0",
            id="in time, local",
        ),
        pytest.param(
            "log-delay",
            {"lines": lines(lags=(601.0,)), "is_local": True},
            NOT_YET,
            "This cannot be judged in the local account",
            id="the hour of the demo in a local account",
        ),
        pytest.param("log-delay", {"lines": lines(lags=())}, NOT_YET, "CloudWatch Logs: 3.5", id="none processed"),
        pytest.param("log-delay", {"lines": MetricLines(), "delays": ()}, NOT_YET, "No delivery", id="no record"),
        pytest.param(
            "log-delay", {"delays": Unreadable("StartQuery", "Denied")}, SEEN, "AWS answered Denied", id="query denied"
        ),
        pytest.param("body-delay", {}, SEEN, "-1.0 to 42.0 s", id="body before its record"),
        pytest.param("body-delay", {"bodies": Bodies()}, NOT_YET, "names a body", id="no body"),
        pytest.param("body-delay", {"bodies": Bodies((301.0,))}, WRONG, "301.0", id="late body"),
        pytest.param(
            "body-delay", {"bodies": Bodies((1.0, 2.0, 3.0), missing=1)}, WRONG, "not in S3: 25.0%", id="missing body"
        ),
        pytest.param(
            "body-delay", {"lines": lines(set_aside=4711, received=94220)}, SEEN, "body: 5.0%.", id="share that waited"
        ),
        pytest.param("sdk", {}, SEEN, "botocore 1.40.4 knows s3Config.", id="SDK knows all"),
        pytest.param("sdk", {"sdk": Sdk()}, NOT_YET, "does not name its SDK", id="no report"),
        pytest.param(
            "sdk",
            {"sdk": Sdk("1.40.4", frozenset({"s3Config"}), frozenset({"s3Config", "newKind"}))},
            SEEN,
            "unknown to it: newKind.",
            id="member that the SDK lacks",
        ),
        pytest.param(
            "sdk",
            {"sdk": Sdk("1.40.4", flags={"audioDataDeliveryEnabled": True}, made_by_stack=True)},
            WRONG,
            "it delivers audioDataDeliveryEnabled.",
            id="kind that was switched on",
        ),
        pytest.param("large-bodies", {}, SEEN, "names a bucket", id="bucket accepted"),
        pytest.param("large-bodies", {"sdk": Sdk(made_by_stack=True)}, WRONG, "names no bucket", id="no bucket set up"),
        pytest.param("large-bodies", {"sdk": Sdk(large_bodies=True)}, NOT_YET, "has not enabled", id="logging adopted"),
        pytest.param("failed-calls", {}, SEEN, "leaves out calls that failed", id="failed calls left out"),
        pytest.param(
            "failed-calls",
            {"counts": Counts(invocations=1_000, errors=100, answered=905)},
            SEEN,
            "counts calls that failed",
            id="both counted",
        ),
        pytest.param(
            "failed-calls",
            {"counts": Counts(invocations=1_000, errors=100, answered=500)},
            WRONG,
            "neither",
            id="neither reading",
        ),
        pytest.param(
            "failed-calls",
            {"counts": Counts(invocations=1_000, errors=20, answered=980)},
            NOT_YET,
            "Too few",
            id="few failed",
        ),
        pytest.param("failed-calls", {"counts": Counts(whole=False)}, NOT_YET, "too new", id="new stack"),
        pytest.param("failed-calls", {"counts": Counts()}, NOT_YET, "no call", id="not called"),
        pytest.param("throttled-calls", {}, SEEN, "are in the log", id="throttled calls logged"),
        pytest.param("throttled-calls", {"lines": lines(throttled=0)}, SEEN, "none of them", id="not logged"),
        pytest.param(
            "throttled-calls", {"lines": lines(throttled=0), "throttles": 0}, NOT_YET, "no call", id="no throttle"
        ),
        pytest.param(
            "throttled-calls",
            {"lines": lines(throttled=0, whole=False)},
            NOT_YET,
            "more lines than this command reads",
            id="log not read whole",
        ),
        pytest.param(
            "throttled-calls", {"lines": lines(whole=False)}, SEEN, "are in the log", id="seen in a part of the log"
        ),
        pytest.param("fields", {"lines": lines(fields=frozenset())}, NOT_YET, "Fields: none.", id="no optional field"),
        pytest.param("fields", {"lines": MetricLines()}, NOT_YET, "no line of a call", id="no call"),
        pytest.param("overrides", {"overrides": 0.0}, NOT_YET, "has not started", id="no change"),
    ],
)
def test_answer(name: str, changes: dict[str, Any], verdict: Verdict, says: str) -> None:
    found = ask(name, **changes)

    assert (found.verdict, says in " ".join(found.what)) == (verdict, True), found
    assert (found.next == "") == (verdict is SEEN)


def test_evidence_that_aws_refuses_is_named_by_operation_and_code() -> None:
    refused = Unreadable("FilterLogEvents", "AccessDeniedException")

    found = ask("lines", lines=refused, values=refused)

    assert found.verdict is REFUSED
    assert found.what == ("AWS answered AccessDeniedException to FilterLogEvents.",)


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        pytest.param((SEEN, NOT_YET), 0, id="nothing wrong"),
        pytest.param((SEEN, REFUSED, WRONG), 1, id="an assumption is wrong"),
        pytest.param((SEEN, REFUSED), 3, id="a question was refused"),
    ],
)
def test_exit_code(verdicts: tuple[Verdict, ...], code: int) -> None:
    assert answers.exit_code([answers.Answer(each, ()) for each in verdicts]) == code


# Lines


def line(**members: Any) -> str:
    return json.dumps(
        {"_aws": {"Timestamp": int(MINUTE.timestamp() * 1000) + 59_999}, **members}, separators=(",", ":")
    )


def at_age(message: str, **age: float) -> LogEvent:
    return LogEvent(NOW - timedelta(**age), message)


CALLS = {"ModelId": NOVA.model_id, "EndpointType": "cross-region", "operation": "Converse"}
SINCE, UNTIL = NOW - timedelta(hours=2), NOW - timedelta(minutes=15)


def test_lines_of_a_minute_are_added_up() -> None:
    properties_first = json.dumps(
        {**CALLS, "_aws": {"Timestamp": int(MINUTE.timestamp() * 1000)}, "ConsumedTokens": [1.5, 100]},
        separators=(",", ":"),
    )
    events = [
        at_age(line(event="delivery", RecordsProcessed=2, RecordLagSeconds=7.5, set_aside=1), minutes=59),
        at_age(line(event="delivery", RecordsProcessed=1, RecordLagSeconds=[8, 9]), minutes=58),
        at_age(line(**CALLS, ConsumedTokens=[10, 20], service_tier="flex"), minutes=58),
        at_age(properties_first, minutes=58),
        at_age("REPORT RequestId: 1", minutes=58),
        at_age('{"level":"WARNING","message":"record rejected"}', minutes=58),
    ]

    found = add_up(events, SINCE, UNTIL)

    assert found.processed == {MINUTE: Total(3, 2)}
    assert found.consumed == {NOVA: {MINUTE: Total(131.5, 4)}}  # 10 + 20 + 1.5 + 100
    assert (found.lags, found.set_aside, found.broken) == ((7.5, 8, 9), 1, 0)
    assert (found.operations, found.fields) == ({"Converse"}, {"service_tier"})


def test_records_that_waited_are_counted_with_all_that_came() -> None:
    lines_of_deliveries = [line(event="delivery", received=10), line(event="delivery", received=30, set_aside=2)]

    found = add_up([at_age(each, minutes=20) for each in lines_of_deliveries], SINCE, UNTIL)

    assert (found.received, found.set_aside, found.since) == (40, 2, SINCE)


def test_a_minute_that_a_recent_line_adds_to_is_left_out() -> None:
    events = [
        at_age(line(**CALLS, ConsumedTokens=[10]), minutes=50),
        at_age(line(**CALLS, ConsumedTokens=[20]), minutes=1),  # its metric may not be there yet
        at_age(line(RecordsProcessed=1), minutes=50),
    ]

    found = add_up(events, SINCE, UNTIL)

    assert (found.processed, found.consumed) == ({MINUTE: Total(1, 1)}, {})


def test_a_minute_before_the_lines_that_were_read_is_left_out() -> None:
    assert add_up([at_age(line(RecordsProcessed=1), minutes=50)], MINUTE + timedelta(minutes=1), UNTIL).processed == {}


@pytest.mark.parametrize(
    "message",
    [
        pytest.param('{"_aws":{"Timestamp":1', id="cut off"),
        pytest.param('{"_aws":{"Timestamp":"soon"}}', id="time of a wrong type"),
        pytest.param('{"_aws":{"Timestamp":1e300}}', id="time that is no integer"),
        pytest.param('{"_aws":{"Timestamp":999999999999999999}}', id="time beyond every calendar"),
        pytest.param(line(RecordsProcessed="many"), id="value of a wrong type"),
        pytest.param(line(ModelId="m", EndpointType="by-post"), id="unknown endpoint type"),
        pytest.param('{"_aws":' + "[" * 100_000, id="deep"),
    ],
)
def test_a_broken_line_is_counted_and_stops_no_other(message: str) -> None:
    found = add_up([at_age(message, minutes=50), at_age(line(RecordsProcessed=1), minutes=50)], SINCE, UNTIL)

    assert (found.broken, found.processed) == (1, {MINUTE: Total(1, 1)})


def test_rounding_is_no_difference_and_a_missing_token_is_one() -> None:
    of_lines = lines(processed={MINUTE: Total(1e9, 1)}, consumed={})

    def compared(total: float) -> Difference:
        return compare_lines(of_lines, MetricValues({MINUTE: Total(total, 1)}))

    assert compared(1e9 + 0.01) == Difference(equal=1)
    assert compared(1e9 - 10_000) == Difference(less=1)


# The dashboard

BODY = '{"start":"-PT3H","widgets":[{"x":0,"properties":{"title":"in ${AWS::Region} of ${Other}","stacked":true}}]}'
DEPLOYED = '{"widgets": [{"properties": {"stacked": true, "title": "in us-east-1 of x"}, "x": 0}], "start": "-PT3H"}'


@pytest.mark.parametrize(
    ("deployed", "expected"),
    [
        pytest.param(DEPLOYED, (), id="another order and other spaces"),
        pytest.param(
            DEPLOYED.replace("us-east-1", "eu-west-1"), ("body/widgets/0/properties/title",), id="placeholder"
        ),
        pytest.param(DEPLOYED.replace('"x": 0', '"x": 1'), ("body/widgets/0/x",), id="number"),
        pytest.param(DEPLOYED.replace('"x": 0', '"x": false'), ("body/widgets/0/x",), id="another type"),
        pytest.param(DEPLOYED.replace("-PT3H", "-PT6H"), ("body/start",), id="text"),
        pytest.param(DEPLOYED[:-1] + ', "a secret": 1}', ("body/?",), id="key of somebody"),
        pytest.param('{"start": "-PT3H", "widgets": []}', ("body/widgets (length)",), id="no widget"),
        pytest.param("[]", ("body",), id="no body"),
    ],
)
def test_bodies_are_compared_as_json(deployed: str, expected: tuple[str, ...]) -> None:
    assert compare_bodies(BODY, deployed, {"AWS::Region": "us-east-1"}) == expected


def test_a_literal_placeholder_is_no_placeholder() -> None:
    assert compare_bodies('{"t":"${!x} ${y}"}', '{"t":"${x} 1"}', {"y": "1"}) == ()


def test_the_body_of_this_template_is_found_and_equals_itself() -> None:
    body = find_body(collect.parse_template((ROOT / "template.yaml").read_text()))

    assert body is not None
    assert compare_bodies(body, body, {}) == ()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(None, id="absent"),
        pytest.param("{}", id="text without placeholders"),
        pytest.param({"Fn::ToJsonString": {}}, id="of a macro"),
        pytest.param({"Fn::Sub": []}, id="empty list"),
        pytest.param({"Fn::Sub": [1]}, id="no text"),
    ],
)
def test_a_body_that_cannot_be_compared_is_none(body: Any) -> None:
    assert find_body({"Resources": {"QuotaDashboard": {"Properties": {"DashboardBody": body}}}}) is None


# The account

ACCOUNT = "111122223333"
STACK = Stack(
    name="acme-payroll",
    arn=f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/acme-payroll/1",
    status="CREATE_COMPLETE",
    parameters={"MetricsNamespace": "Acme/Secret", "Ingestion": "direct", "AlarmEmail": "jane.doe@example.com"},
    outputs={
        "InvocationLogGroupName": "/acme/prompts",
        "InvocationLogging": "enabled invocation logging in /acme/prompts",
    },
    resources={
        "MetricProcessorFunction": "acme-processor",
        "MetricProcessorLogGroup": "/acme/processor",
        "QuotaFetcherLogGroup": "/acme/fetcher",
        "LoggingSetupLogGroup": "/acme/setup",
        "FailedDeliveriesBucket": "acme-failed",
        "QuotaDashboard": "acme-dashboard",
        "QuotaFetcherFunctionOverridesChanged": "acme-rule",
        "ReservedQuotaAlarm": "acme reserved",
        "NoRecordsAlarm": "acme silence",
        "TestAlarm": "acme test",
        "QuotaFetcherSilentAlarm": "acme fetcher",
    },
    types=dict.fromkeys(
        ("ReservedQuotaAlarm", "NoRecordsAlarm", "TestAlarm", "QuotaFetcherSilentAlarm"), "AWS::CloudWatch::Alarm"
    ),
)
SECRETS = (
    ACCOUNT,
    "arn:aws:iam",
    "acme",
    "jane",
    "Jane",
    "example.com",
    "launch code",
    "7 pears",
    "AKIAIOSFODNN7EXAMPLE",
    "0f0e0d0c-0b0a-4908-8706-05040302ffff",
)
HOSTILE = (
    f"Jane Doe (jane.doe@example.com) of arn:aws:iam::{ACCOUNT}:role/acme-admin in {ACCOUNT}: the launch code is "
    "7 pears, AKIAIOSFODNN7EXAMPLE, 0f0e0d0c-0b0a-4908-8706-05040302ffff, s3://acme-bodies/key"
)


def denied(operation: str) -> ClientError:
    message = f"User: arn:aws:sts::{ACCOUNT}:assumed-role/acme/jane is not authorized. {HOSTILE}"
    return ClientError({"Error": {"Code": "AccessDeniedException", "Message": message}}, operation)


class Account:
    """A session whose clients answer what a test sets: values or functions by operation. All else is denied."""

    def __init__(self, given: dict[str, Any], lacking: tuple[str, ...] = ()) -> None:
        self.given, self.lacking = given, lacking
        self.called: list[tuple[str, dict[str, Any]]] = []
        self.endpoint_url = "https://cloudformation.us-east-1.amazonaws.com"

    def client(self, _service: str) -> Any:
        return Client(self)


class Client:
    def __init__(self, account: Account) -> None:
        self.account = account
        self.hooks: list[Callable[..., None]] = []
        self.meta = self.events = self
        self.endpoint_url = account.endpoint_url

    def register(self, _event: str, hook: Callable[..., None]) -> None:
        self.hooks.append(hook)

    def __getattr__(self, operation: str) -> Any:
        if operation in self.account.lacking:
            raise AttributeError(operation)

        def call(**given: Any) -> Any:
            self.account.called.append((operation, given))
            answer = self.account.given.get(operation)
            if answer is None:
                raise denied(operation.title().replace("_", ""))
            found = answer(**given) if callable(answer) else answer
            for hook in self.hooks:
                hook(http_response=type("", (), {"content": json.dumps(found).encode()}))
            return found

        return call

    def get_paginator(self, operation: str) -> Any:
        return type("", (), {"paginate": lambda _self, **given: [getattr(self, operation)(**given)]})()


def logged(logGroupName: str, **_given: Any) -> Any:  # noqa: N803 - boto3's name
    messages = {
        "/acme/processor": [
            line(event="delivery", RecordsProcessed=1, RecordLagSeconds=6, error_codes={HOSTILE: 1}),
            line(**CALLS | {"operation": HOSTILE, "caller": "jane"}, ConsumedTokens=[5], service_tier=HOSTILE),
            line(**CALLS | {"ModelId": f"acme.{HOSTILE}"}, ConsumedTokens=[5], session="Jane Doe"),
            '{"_aws":{"Timestamp":1},"caller":"jane',
            HOSTILE,
        ],
        "/acme/setup": [
            HOSTILE,
            "{}",
            json.dumps({"message": "runtime SDK", "botocore": HOSTILE, "logging_members": [HOSTILE, "s3Config"]}),
        ],
    }[logGroupName]
    at = int((NOW - timedelta(minutes=40)).timestamp() * 1000)
    return {"events": [{"timestamp": at, "message": message} for message in messages]}


def valued(MetricDataQueries: list[Any], **_given: Any) -> Any:  # noqa: N803
    return {
        "MetricDataResults": [
            {"Id": query["Id"], "Label": HOSTILE, "Timestamps": [MINUTE], "Values": [7.0]}
            for query in MetricDataQueries
        ]
    }


ALARMS = [
    {
        "AlarmName": "acme reserved",
        "StateValue": "ALARM",
        "StateReason": HOSTILE,
        "StateReasonData": "not JSON",
        "EvaluationState": HOSTILE,
        "Metrics": [{"Id": "q", "Expression": "SELECT SUM(x) FROM y GROUP BY z", "Period": 60, "ReturnData": True}],
    },
    {
        "AlarmName": "acme silence",
        "StateValue": HOSTILE,
        "StateReason": f"no datapoints were received for {ACCOUNT}",
        "StateReasonData": '{"recentDatapoints":[0.0,null]}',
        "Metrics": [
            {"Id": "e", "Expression": "FILL(m, 0)"},
            {"Id": "m", "MetricStat": {"Metric": {}, "Stat": "Sum", "Period": 900}, "ReturnData": False},
        ],
    },
    {
        "AlarmName": "acme test",
        "StateValue": "OK",
        "StateReason": "",
    },
    {
        "AlarmName": "acme fetcher",
        "StateValue": "OK",
    },
]

ANSWERS: dict[str, Any] = {
    "get_template": {
        "TemplateBody": {
            "Metadata": {"AWS::ServerlessRepo::Application": {"SemanticVersion": HOSTILE}},
            "Parameters": {"Ingestion": {"AllowedValues": ["direct"]}, "AlarmEmail": {}},
            "Resources": {"QuotaDashboard": {"Properties": {"DashboardBody": {"Fn::Sub": BODY}}}},
        }
    },
    "get_dashboard": {"DashboardBody": json.dumps({HOSTILE: HOSTILE, "start": HOSTILE, "widgets": [HOSTILE]})},
    "filter_log_events": logged,
    "get_metric_data": valued,
    "describe_alarms": {"MetricAlarms": ALARMS},
    "describe_alarm_contributors": {
        "AlarmContributors": [{"ContributorAttributes": {HOSTILE: HOSTILE, "ModelId": HOSTILE}, "StateReason": HOSTILE}]
    },
    "describe_alarm_history": {
        "AlarmHistoryItems": [
            {"HistorySummary": f"Successfully executed action {HOSTILE}", "HistoryItemType": "Action"}
        ]
    },
    "get_function_event_invoke_config": {"DestinationConfig": {"OnFailure": {"Destination": HOSTILE}}},
    "list_objects_v2": {"Contents": [{"Key": HOSTILE, "Size": 1, "LastModified": NOW}]},
    "list_metrics": {
        "Metrics": [
            {"Dimensions": [{"Name": HOSTILE, "Value": HOSTILE}, {"Name": "ModelId", "Value": HOSTILE}]},
            {"Dimensions": [{"Name": "ResolvedServiceTier", "Value": HOSTILE}]},
        ]
    },
    "start_query": {"queryId": "1"},
    "get_query_results": {
        "status": "Complete",
        "results": [
            [
                {"field": "@ingestionTime", "value": "2026-11-28 11:00:09.500"},
                {"field": "recorded", "value": "2026-11-28T11:00:00Z"},
                {"field": "body", "value": "s3://acme-bodies/launch code"},
                {"field": "@ptr", "value": HOSTILE},
            ],
            [{"field": "recorded", "value": HOSTILE}, {"field": "body", "value": HOSTILE}],
        ],
    },
    "get_model_invocation_logging_configuration": {
        "loggingConfig": {
            "cloudWatchConfig": HOSTILE,
            HOSTILE: HOSTILE,
            "textDataDeliveryEnabled": True,
            f"{HOSTILE}DataDeliveryEnabled": True,
        }
    },
}


def report(account: Account, stack: Stack = STACK, **options: Any) -> answers.Report:
    session: Any = account
    return check_first_day(session, stack, NOW, **options)


def verdicts(found: answers.Report) -> dict[str, Verdict]:
    return {each.name: each.verdict for each in found.answers}


@pytest.mark.parametrize("form", ["Markdown", "JSON"])
@pytest.mark.parametrize(
    "given",
    [
        pytest.param(ANSWERS, id="hostile answers"),
        pytest.param({}, id="everything denied"),
        pytest.param({name: ANSWERS[name] for name in ("get_template", "filter_log_events")}, id="half denied"),
    ],
)
def test_nothing_secret_is_in_the_output(given: dict[str, Any], form: str) -> None:
    found = report(Account(given))

    text = answers.render(found) if form == "Markdown" else msgspec.json.encode(found).decode()

    assert [secret for secret in SECRETS if secret in text] == []
    assert len(found.answers) == len(QUESTIONS)
    assert "\n\n\n" not in text


def test_a_hostile_value_is_read_so_the_test_above_can_fail() -> None:
    found = verdicts(report(Account(ANSWERS)))

    assert REFUSED not in found.values()
    assert verdicts(report(Account({}))) == dict.fromkeys(found, REFUSED)


def test_only_parameters_with_listed_values_are_in_the_report() -> None:
    found = report(Account(ANSWERS))

    assert (found.region, found.stack_version, found.settings) == ("us-east-1", "unknown", {"Ingestion": "direct"})


def test_the_check_only_reads_and_never_asks_for_a_prompt() -> None:
    account = Account(ANSWERS)

    report(account)

    operations = {name for name, _ in account.called}
    assert all(name.startswith(("get_", "list_", "describe_", "filter_", "start_query")) for name in operations)
    assert "get_object" not in operations
    groups = [given["logGroupName"] for name, given in account.called if name == "filter_log_events"]
    assert set(groups) == {"/acme/processor", "/acme/setup"}  # the prompts are in /acme/prompts
    queries = [given["queryString"] for name, given in account.called if name == "start_query"]
    assert len(queries) == 2
    assert not any(re.search(r"@message|BodyJson|\*", query) for query in queries)


def test_delays_are_worked_out_from_times_alone() -> None:
    session: Any = Account(ANSWERS)

    assert collect_logs.read_delays(session.client("logs"), STACK, NOW) == (9.5,)  # 11:00:09.5 after 11:00:00
    assert collect_logs.read_bodies(session, STACK, NOW) == Bodies((3_590.5,))  # 12:00:00 after 11:00:09.5
    asked = [given for name, given in session.called if name == "start_query"]
    assert [datetime.fromtimestamp(each["endTime"], UTC) for each in asked] == [NOW, NOW - timedelta(minutes=15)]


def test_a_body_that_is_not_listed_is_missing() -> None:
    session: Any = Account(ANSWERS | {"list_objects_v2": {}})

    assert collect_logs.read_bodies(session, STACK, NOW).missing == 1


@pytest.mark.parametrize(
    "status",
    [pytest.param("Failed", id="query failed"), pytest.param("Running", id="query that never ends")],
)
def test_a_query_that_does_not_complete_is_named(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    monkeypatch.setattr(collect_logs, "QUERY_SECONDS", 0.0)

    found = report(Account(ANSWERS | {"get_query_results": {"status": status, "results": []}}))

    (answer,) = [each for each in found.answers if each.name == "body-delay"]
    assert answer.what == ("AWS answered QueryIncomplete to GetQueryResults.",)


def test_a_log_is_read_up_to_a_bound() -> None:
    endless: Any = Account({"filter_log_events": lambda **_given: {"events": [], "nextToken": "more"}})

    events, whole = collect_logs._read_log(endless.client("logs"), "group", NOW)

    assert (events, whole, len(endless.called)) == ([], False, collect_logs.MAX_PAGES)


def test_a_day_of_lines_is_read_only_if_the_last_hour_has_none() -> None:
    quiet = Account({"filter_log_events": {"events": []}})

    session: Any = quiet
    collect_logs.read_lines(session.client("logs"), STACK, NOW)

    starts = [datetime.fromtimestamp(given["startTime"] / 1000, UTC) for _, given in quiet.called]
    assert starts == [datetime(2026, 11, 28, 10, 45, tzinfo=UTC), datetime(2026, 11, 27, 11, 45, tzinfo=UTC)]


def test_alarms_are_evaluated_again_with_their_own_queries() -> None:
    def evaluated(**_given: Any) -> Any:
        first, second = MINUTE, MINUTE + timedelta(minutes=15)
        return {"MetricDataResults": [{"Id": "e", "Timestamps": [first]}, {"Id": "m", "Timestamps": [first, second]}]}

    account: Any = Account({"get_metric_data": evaluated})

    found = collect_alarms.read_alarm(account.client("cloudwatch"), STACK, ALARMS[1], NOW)

    # 3 hours have 12 periods of 15 minutes, the expression has a value in one of them, and its metric in two
    assert found == AlarmState(
        "NoRecordsAlarm",
        "math",
        HOSTILE,
        datapoints=1,
        treated_missing=True,
        fills=True,
        periods=12,
        values=1,
        measured=2,
        lost=1,
    )
    ((_, asked),) = account.called
    queries = [{**each, "ReturnData": True} for each in ALARMS[1]["Metrics"]]
    assert asked == {"MetricDataQueries": queries, "StartTime": NOW - timedelta(hours=3), "EndTime": NOW}


@pytest.mark.parametrize(
    ("parameters", "own"),
    [
        pytest.param({"MonitoringAccount": "yes"}, ' :aws.AccountId="LOCAL"', id="monitoring account"),
        pytest.param({"MonitoringAccount": "no"}, "", id="other account"),
        pytest.param({}, "", id="version without the parameter"),
    ],
)
def test_counts_are_those_of_the_own_account(parameters: dict[str, str], own: str) -> None:
    account: Any = Account(ANSWERS)

    found = collect_metrics.read_counts(
        account.client("cloudwatch"), msgspec.structs.replace(STACK, parameters=parameters), NOW
    )

    assert found == Counts(invocations=7, errors=14, answered=7)  # each query has 7: 7 + 7 - 7 answered
    ((_, asked),) = account.called
    searches = [query["Expression"] for query in asked["MetricDataQueries"] if "Expression" in query]
    assert searches[0] == f"SUM(SEARCH('{{AWS/Bedrock,ModelId}} MetricName=\"Invocations\"{own}', 'Sum', 300))"
    assert len(searches) == 3


def test_throttles_are_those_of_the_own_account() -> None:
    account: Any = Account(ANSWERS)
    stack = msgspec.structs.replace(STACK, parameters={"MonitoringAccount": "yes"})

    found = collect_metrics.read_throttles(account.client("cloudwatch"), stack, lines(since=SINCE), NOW)

    ((_, asked),) = account.called
    assert found == 7
    assert [each["Expression"] for each in asked["MetricDataQueries"]] == [
        "SUM(SEARCH('{AWS/Bedrock,ModelId} MetricName=\"InvocationThrottles\" :aws.AccountId=\"LOCAL\"', 'Sum', 300))"
    ]


@pytest.mark.parametrize(
    ("created", "start"),
    [
        pytest.param(None, timedelta(hours=24), id="unknown"),
        pytest.param(timedelta(days=9), timedelta(hours=24), id="last week"),
        pytest.param(timedelta(hours=3), timedelta(hours=2, minutes=30), id="three hours ago"),
        pytest.param(timedelta(hours=2, minutes=58), timedelta(hours=2, minutes=25), id="within a period"),
        pytest.param(timedelta(hours=1, minutes=5), timedelta(minutes=35), id="one period of counts ago"),
        pytest.param(timedelta(hours=1), None, id="an hour ago"),
        pytest.param(timedelta(minutes=2), None, id="just now"),
    ],
)
def test_counts_begin_when_the_stack_logs_every_call(created: timedelta | None, start: timedelta | None) -> None:
    account: Any = Account(ANSWERS)
    stack = msgspec.structs.replace(STACK, created=None if created is None else NOW - created)

    found = collect_metrics.read_counts(account.client("cloudwatch"), stack, NOW)

    assert found.whole is (start is not None)
    asked = [(given["StartTime"], given["EndTime"]) for _, given in account.called]
    assert asked == ([(NOW - start, NOW - timedelta(minutes=30))] if start is not None else [])


@pytest.mark.parametrize(
    ("since", "created", "start"),
    [
        pytest.param(timedelta(minutes=75), timedelta(days=1), timedelta(minutes=75), id="an hour of lines"),
        pytest.param(timedelta(hours=24, minutes=13), None, timedelta(hours=24, minutes=10), id="a day of lines"),
        pytest.param(timedelta(minutes=75), timedelta(minutes=90), timedelta(minutes=60), id="new stack"),
        pytest.param(timedelta(minutes=75), timedelta(minutes=10), None, id="stack that is too new"),
        pytest.param(None, None, None, id="no lines"),
    ],
)
def test_throttles_are_those_of_the_time_of_the_lines(
    since: timedelta | None, created: timedelta | None, start: timedelta | None
) -> None:
    account: Any = Account(ANSWERS)
    stack = msgspec.structs.replace(STACK, created=None if created is None else NOW - created)
    of_lines = lines(since=None if since is None else NOW - since)

    found = collect_metrics.read_throttles(account.client("cloudwatch"), stack, of_lines, NOW)

    assert found == (0 if start is None else 7)
    asked = [(given["StartTime"], given["EndTime"]) for _, given in account.called]
    assert asked == ([(NOW - start, NOW - timedelta(minutes=30))] if start is not None else [])


def test_an_sdk_without_the_api_of_contributors_is_named() -> None:
    found = report(Account(ANSWERS, lacking=("describe_alarm_contributors",)))

    assert verdicts(found)["contributors"] is REFUSED


@pytest.mark.parametrize(
    ("kinds", "unasked"),
    [
        pytest.param(("ConfigurationUpdate",), 0, id="new alarm"),
        pytest.param(("Action", "StateUpdate", "ConfigurationUpdate"), 0, id="first evaluation"),
        pytest.param(("Action", "ConfigurationUpdate"), 1, id="message without a change"),
        pytest.param(("Action",) * 100, 0, id="history that begins before"),
    ],
)
def test_each_message_belongs_to_a_change_of_state(kinds: tuple[str, ...], unasked: int) -> None:
    items = [{"HistorySummary": "Successfully executed action x", "HistoryItemType": kind} for kind in kinds]
    account: Any = Account({"describe_alarm_history": {"AlarmHistoryItems": items}})

    found = collect_alarms.read_actions(account.client("cloudwatch"), STACK, ALARMS)

    assert found == Actions(tested=(True,) * kinds.count("Action"), unasked=unasked)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(denied("ListMetrics"), Unreadable("ListMetrics", "AccessDeniedException"), id="denied"),
        pytest.param(ClientError({}, "ListMetrics"), Unreadable("ListMetrics", "None"), id="no code"),
        pytest.param(
            EndpointConnectionError(endpoint_url=f"https://{HOSTILE}"),
            Unreadable("AWS", "EndpointConnectionError"),
            id="no connection",
        ),
        pytest.param(
            KeyError("LoggingSetupLogGroup"), Unreadable("DescribeStackResources", "NotInThisStack"), id="older stack"
        ),
        pytest.param(msgspec.DecodeError(HOSTILE), Unreadable("decode", "DecodeError"), id="no JSON"),
    ],
)
def test_an_error_leaves_its_operation_and_its_code(error: Exception, expected: Unreadable) -> None:
    def fail() -> None:
        raise error

    assert collect.attempt(fail) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("of arn:aws-us-gov:s3:::bucket/key, then", "of ARN, then", id="ARN"),
        pytest.param(f"in {ACCOUNT}.", "in ACCOUNT.", id="account id"),
        pytest.param("x1111222233334", "x1111222233334", id="13 digits"),
        pytest.param("mail to Jane.Doe+x@example.co.uk!", "mail to EMAIL!", id="address"),
        pytest.param("0F0E0D0C-0b0a-4908-8706-05040302ffff", "UUID", id="UUID"),
        pytest.param("s3://bucket/key of it", "S3-PATH of it", id="path in S3"),
        pytest.param("ASIAIOSFODNN7EXAMPLE", "ACCESS-KEY", id="access key"),
        pytest.param("- [x] one\n## two", "- [x] one ## two", id="lines of Markdown"),
    ],
)
def test_redaction(text: str, expected: str) -> None:
    assert redact(text) == expected


# The test of the failure destination


class Bucket:
    """Lambda and S3 of an account in which Lambda keeps a failed event, or does not."""

    def __init__(self, *, keeps: bool) -> None:
        self.keeps, self.objects = keeps, {"aws/lambda/async/theirs": b'{"requestPayload":{"awslogs":{"data":"x"}}}'}
        self.read: list[str] = []
        self.objects["aws/lambda/async/large"] = b" " * (failure_test.MAX_BYTES + 1)
        self.objects["aws/lambda/async/text"] = b"no JSON"

    def client(self, _service: str) -> Any:
        return self

    def invoke(self, **given: Any) -> None:
        assert given["InvocationType"] == "Event"
        if self.keeps:
            self.objects["aws/lambda/async/ours"] = b'{"version":"1.0","requestPayload":%b}' % given["Payload"]

    def get_paginator(self, _operation: str) -> Any:
        return self

    def paginate(self, **_given: Any) -> Any:
        old = {"Key": "aws/lambda/async/old", "Size": 1, "LastModified": datetime(2026, 1, 1, tzinfo=UTC)}
        new = [{"Key": key, "Size": len(body), "LastModified": datetime.now(UTC)} for key, body in self.objects.items()]
        return [{"Contents": [old, *new]}, {}]

    def get_object(self, Key: str, **_given: Any) -> Any:  # noqa: N803
        self.read.append(Key)
        body = self.objects[Key]
        return {"Body": type("", (), {"read": lambda _self: body})()}

    def delete_object(self, Key: str, **_given: Any) -> None:  # noqa: N803
        del self.objects[Key]


@pytest.mark.parametrize("keeps", [pytest.param(True, id="kept"), pytest.param(False, id="not kept")])
def test_the_failed_event_is_found_and_deleted(monkeypatch: pytest.MonkeyPatch, keeps: bool) -> None:
    monkeypatch.setattr(failure_test, "SECONDS", 0.0)
    bucket: Any = Bucket(keeps=keeps)
    before = set(bucket.objects)

    assert failure_test.run_failure_test(bucket, STACK) is keeps

    assert set(bucket.objects) == before  # nobody else's object was deleted
    assert {"aws/lambda/async/large", "aws/lambda/async/old"} & set(bucket.read) == set()


def test_the_event_is_one_that_the_processor_cannot_read() -> None:
    (sent,) = split_event(json.loads(failure_test.make_event("1")))

    with pytest.raises(DeliveryError):
        decode_delivery(sent.event)


def test_a_test_of_failures_that_is_denied_is_an_answer() -> None:
    found = report(Account(ANSWERS), test_failure=True)

    (answer,) = [each for each in found.answers if each.name == "failures"]
    assert answer.what == ("AWS answered AccessDeniedException to Invoke.",)


# The command


def run(*options: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *options])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param(("--test-failure",), "needs --first-day", id="test without the check"),
        pytest.param(("--test-alarm", "--first-day"), "cannot be combined", id="two modes"),
        pytest.param(("--test-alarm", "--json"), "cannot be combined", id="test as JSON"),
    ],
)
def test_options_that_do_not_fit_are_wrong_usage(options: tuple[str, ...], says: str) -> None:
    ran = run(*options)

    assert (ran.exit_code, says in ran.output) == (2, True)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    made = Account(ANSWERS)
    monkeypatch.setattr(doctor_command, "open_session", lambda _profile, _region: made)
    monkeypatch.setattr(doctor_command, "read_stack", lambda _session, _name: STACK)
    return made


@pytest.mark.usefixtures("account")
def test_the_checklist_is_printed_with_its_exit_code() -> None:
    ran = run("--first-day")

    assert ran.exit_code == 1  # hostile evidence fits no assumption
    assert ran.stdout.startswith("### First-day check\n")
    assert ran.stdout.count("\n- [") == len(QUESTIONS)
    assert [secret for secret in SECRETS if secret in ran.stdout] == []


def report_of(*verdicts: Verdict, is_local: bool = False) -> answers.Report:
    found = tuple(answers.Answer(verdict, (), name=f"q{number}") for number, verdict in enumerate(verdicts))
    return answers.Report("", "us-east-1", "1", "1", {}, found, is_local)


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        pytest.param((SEEN, SEEN), "2 of 2 assumptions are seen.", id="all"),
        pytest.param(
            (SEEN, NOT_YET, WRONG, NOT_YET, REFUSED, WRONG),
            "1 of 6 assumptions are seen, 2 not as assumed (q2, q5), 1 could not be looked at (q4), 2 could not be "
            "seen yet.",
            id="each verdict",
        ),
    ],
)
def test_the_summary_is_the_first_line(verdicts: tuple[Verdict, ...], said: str) -> None:
    assert answers.render(report_of(*verdicts)).splitlines()[:4] == ["### First-day check", "", f"**{said}**", ""]


def test_a_local_account_is_named_at_the_top() -> None:
    lines_at_the_top = answers.render(report_of(SEEN, is_local=True)).splitlines()[2:4]

    assert lines_at_the_top[1] == "This is the local account of an emulator, which shows little of AWS."


@pytest.mark.parametrize(
    ("endpoint", "is_local"),
    [
        pytest.param("http://127.0.0.1:4566", True, id="this machine"),
        pytest.param("http://localhost:4566", True, id="this machine by name"),
        pytest.param("https://cloudformation.us-east-1.amazonaws.com", False, id="AWS"),
    ],
)
def test_a_local_account_is_known_by_its_endpoint(account: Account, endpoint: str, is_local: bool) -> None:
    account.endpoint_url = endpoint

    assert json.loads(run("--first-day", "--json").stdout)["is_local"] is is_local


@pytest.mark.usefixtures("account")
def test_the_report_as_json_has_the_same_answers() -> None:
    ran = run("--first-day", "--json")

    assert [each["name"] for each in json.loads(ran.stdout)["answers"]] == [each.name for each in ask_all(GOOD)]


def test_a_stack_that_cannot_be_read_is_exit_code_3(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_session: object, _name: str) -> None:
        raise denied("DescribeStacks")

    monkeypatch.setattr(doctor_command, "read_stack", refuse)

    ran = run("--first-day")

    assert (ran.exit_code, "First-day check" in ran.output, account.called) == (3, False, [])


def test_the_test_of_failures_asks_first_and_nothing_is_sent_without_a_yes(account: Account) -> None:
    ran = CliRunner().invoke(main, ["doctor", "--first-day", "--test-failure"], input="n\n")

    assert ran.exit_code == 1
    assert "MetricProcessorErrorsAlarm and RetriesExhaustedAlarm go into ALARM" in ran.output
    assert account.called == []


# Texts around it


def test_the_docs_list_each_question_with_its_assumption() -> None:
    text = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    section = text.partition("\n### First-day check\n")[2].partition("\n## ")[0]

    rows = re.findall(r"^\| `([\w-]+)` \| (.+?) \|", section, re.MULTILINE)

    assert rows == [(each.name, each.assumption) for each in ask_all(GOOD)]


def test_the_issue_form_takes_the_output() -> None:
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "first-day.yml").read_text(encoding="utf-8"))

    fields = {each["id"]: each for each in form["body"] if "id" in each}
    required = {name for name, each in fields.items() if each.get("validations", {}).get("required")}
    assert required == {"region", "version", "deployed", "output"}
    assert [each["required"] for each in fields["secrets"]["attributes"]["options"]] == [True]


def test_the_alarms_that_the_test_of_failures_sets_off_exist() -> None:
    template = collect.parse_template((ROOT / "template.yaml").read_text())

    assert {template["Resources"][name]["Type"] for name in failure_test.ALARMS} == {"AWS::CloudWatch::Alarm"}
