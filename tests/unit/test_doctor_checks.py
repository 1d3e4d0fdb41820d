"""The doctor's checks: every finding, made to happen from a stack without any."""

import importlib
import json
import pkgutil
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import commands
import msgspec
import pytest
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.stub import Stubber
from click.testing import CliRunner
from rich.console import Console
from samcli.yamlhelper import yaml_parse

from bedrock_quota.deployment import invocation_logging
from bedrock_quota.deployment.invocation_logging import BUCKET_REFUSED
from bedrock_quota.deployment.log_groups import LogGroup
from bedrock_quota.deployment.logging_configuration import LargeBodies
from bedrock_quota.fetcher.fetch import DAILY_ZERO, DRIFT, END_OF_LIFE, UNREAD, ZERO
from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool
from bedrock_quota.state.snapshot import Snapshot
from quota_monitor.aws_session import Stack
from quota_monitor.doctor import alarms, collect, command, logging_owner, traffic
from quota_monitor.doctor import checks as checks_package
from quota_monitor.doctor.checks import CHECKS, run_checks
from quota_monitor.doctor.findings import Finding, Status
from quota_monitor.doctor.observed import (
    Access,
    Alarm,
    Filter,
    Function,
    InvocationLogging,
    Kept,
    Key,
    LoggingChange,
    Observed,
    Parts,
    Permission,
    Reader,
    Role,
    Stream,
    Traffic,
    Unread,
)
from quota_monitor.doctor.remedies import list_commands
from quota_monitor.main import main

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
GROUP = "/aws/bedrock/modelinvocations"
ACCOUNT = "111122223333"
SOURCE = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{GROUP}:*"
PROCESSOR = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:processor"
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:topic"
RESERVED = "monitor tokens reserved near the quota"  # the names of three alarms have spaces
STACK = Stack(
    name="monitor",
    arn=f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/monitor/1",
    status="UPDATE_COMPLETE",
    parameters={"MetricsNamespace": "Bedrock/Quotas", "AlarmEmail": ""},
    outputs={"InvocationLogGroupName": GROUP},
    resources={
        "MetricProcessorFunction": "processor",
        "QuotaFetcherFunction": "fetcher",
        "QuotaFetcherFunctionSchedule": "schedule",
        "QuotaFetcherFunctionOverridesChanged": "rule",
        "FailedDeliveriesBucket": "failed",
        "MetricProcessorRole": "processing",
        "InvocationLoggingRole": "logging",
        "StateTable": "state",
        "AlarmTopic": TOPIC,
        "NoRecordsAlarm": "monitor-silence-1",
        "ReservedQuotaAlarm": RESERVED,
        "TestAlarm": "monitor-test-1",
    },
    types={
        "NoRecordsAlarm": "AWS::CloudWatch::Alarm",
        "ReservedQuotaAlarm": "AWS::CloudWatch::Alarm",
        "TestAlarm": "AWS::CloudWatch::Alarm",
    },
)
FUNCTION = Function("processor", PROCESSOR, "Active", "Successful", {"LARGE_BODIES_BUCKET": "large"})
FILTER = Filter("monitor-metric-processor", "", PROCESSOR, "Bedrock/Quotas")
LOG_GROUP = LogGroup(GROUP, f"arn:aws:logs:us-east-1:111122223333:log-group:{GROUP}")
LOGGING_ROLE = f"arn:aws:iam::{ACCOUNT}:role/logging"
LOGGING = InvocationLogging(text=True, log_group=GROUP, large_bodies=LargeBodies("large", "bodies/"), role=LOGGING_ROLE)
NO_TEXT = msgspec.structs.replace(LOGGING, text=False)
TRUST = Permission("bedrock.amazonaws.com", f"arn:aws:bedrock:us-east-1:{ACCOUNT}:*", ACCOUNT)
ALARMS = (
    Alarm("monitor-silence-1", "OK", armed=True, actions=(TOPIC,), description="No records."),
    Alarm(RESERVED, "OK", armed=True, actions=(TOPIC,), description="A bucket is nearly full."),
    Alarm("monitor-test-1", "OK", armed=True, actions=(TOPIC,)),
)
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/theirs"
QUOTAS = ((QuotaPool("amazon.nova-pro-v1:0", EndpointType.CROSS_REGION), PoolQuota(tokens_per_minute=1)),)


def ago(**since: float) -> datetime:
    return NOW - timedelta(**since)


WELL = Observed(
    at=NOW,
    stack=STACK,
    parts=Parts(),
    invocation_logging=LOGGING,
    logging_change=None,
    logging_role=Role(LOGGING_ROLE, trusts=(TRUST,)),
    log_group=LOG_GROUP,
    log_group_key=None,
    filters=(FILTER,),
    permissions=(Permission("logs.amazonaws.com", SOURCE, ACCOUNT),),
    stream=None,
    processor=FUNCTION,
    on_failure="arn:aws:s3:::failed",
    own_log_groups={"/aws/lambda/processor": True},
    traffic=Traffic(calls=(ago(minutes=5),), records=(ago(minutes=5),), processed=10),
    large_bodies=Access(writers=(TRUST,)),
    late_calls=Reader("7c1b", "Enabled"),
    kept=Kept(0),
    processor_role=Role(f"arn:aws:iam::{ACCOUNT}:role/processing"),
    reserved_models=(),
    snapshot=Snapshot(ago(minutes=100), QUOTAS),
    fetcher=msgspec.structs.replace(FUNCTION, name="fetcher"),
    fetch_error=None,
    schedule="ENABLED",
    overrides_rule="ENABLED",
    alarms=ALARMS,
    subscribers={"confirmed": 1, "pending": 0},
    sinks=(),
)


READ_AGAIN = (
    "Deploy again with a new value of CheckLoggingAgain, so that the stack checks the invocation logging again:",
    "  quota-monitor deploy --regions us-east-1 --stack-name monitor --parameter CheckLoggingAgain=$(date +%s)",
)


def unwell(**signs: Any) -> list[Finding]:
    """The findings that are not ok, where these signs are not those of a stack that is well."""
    found = run_checks(msgspec.structs.replace(WELL, **signs))
    for each in found:
        for advised in commands.in_advice(each.do):
            commands.check(advised)
            assert "--region us-" in advised or "--region cn-" in advised or "--regions us-" in advised
        assert list_commands(each.do) == commands.in_advice(each.do)
    return [each for each in found if each.status is not Status.OK]


def only(**signs: Any) -> tuple[str, str, str]:
    """Status, where and what of the one finding that these signs give; what to do is never left out."""
    (found,) = unwell(**signs)
    assert found.do
    return str(found.status), found.where, found.what


def change(value: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(value, **changes)


def test_every_place_that_is_looked_at_stands_in_the_docs() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "health-check.md").read_text(encoding="utf-8")
    rows = page.partition("| where | a problem (or warning) is |\n|---|---|\n")[2].partition("\n\n")[0].splitlines()

    documented = {where for row in rows for where in row.split(" | ")[0].strip("| ").split(", ")}

    streaming = msgspec.structs.replace(WELL, **STREAMING)  # type: ignore[arg-type]
    assert documented == {finding.where for signs in (WELL, streaming) for finding in run_checks(signs)}


def test_a_stack_that_is_well_is_all_ok() -> None:
    found = run_checks(WELL)

    assert {each.status for each in found} == {Status.OK}
    assert len(found) == 21
    assert [each.where for each in found][:7] == [
        "stack",
        "resources",
        "invocation logging",
        "logging role",
        "log group",
        "subscription",
        "permission",
    ]


STREAM = f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/logs"
READER = Reader("9d2a0f3e", "Enabled", "arn:aws:s3:::failed", "No records processed")
THROUGH = Stream(STREAM, "ACTIVE", Role(f"arn:aws:iam::{ACCOUNT}:role/puts"), READER)
STREAMING = {"stream": THROUGH, "filters": (msgspec.structs.replace(FILTER, destination=STREAM),)}


LATE = "Late calls are missing from all metrics, and after 14 days they are lost."


SINK = f"arn:aws:oam:us-east-1:{ACCOUNT}:sink/1"


def in_alarm(*pools: dict[str, str]) -> Alarm:
    """The alarm on reserved tokens, in ALARM for these pools."""
    found: Alarm = change(ALARMS[1], state="ALARM", contributors=pools)
    return found


@pytest.mark.parametrize(
    ("late_calls", "what"),
    [
        pytest.param(None, f"Nothing reads the queue of late calls. {LATE}", id="mapping deleted"),
        pytest.param(
            Reader("7c1b", "Disabled"),
            f"The processor does not read the queue of late calls: its event source mapping is Disabled. {LATE}",
            id="mapping disabled",
        ),
        pytest.param(
            Reader("7c1b", "Enabled", in_part=False),
            "The event source mapping of late calls does not report partial batch failures. Late calls are lost if the "
            "processor fails.",
            id="no partial failures",
        ),
    ],
)
def test_late_calls_that_nobody_takes_back_are_a_problem(late_calls: Reader | None, what: str) -> None:
    assert only(late_calls=late_calls) == ("problem", "large bodies", what)


def test_a_queue_that_is_deleted_is_found_once() -> None:
    assert only(late_calls=None, parts=Parts(frozenset({"LateBodiesQueue"}))) == (
        "problem",
        "resources",
        "Deleted: LateBodiesQueue (max_tokens of calls over 100 KB is unknown if their body is late).",
    )


def test_a_stack_that_reads_a_stream_is_all_ok_and_needs_no_permission() -> None:
    signs = msgspec.structs.replace(WELL, **STREAMING, permissions=())  # type: ignore[arg-type]

    found = run_checks(signs)

    assert {each.status for each in found} == {Status.OK}
    assert [each.where for each in found][5:7] == ["subscription", "stream"]
    assert found[5].what.startswith("monitor-metric-processor delivers to the stream of processor.")
    assert found[6].what == "logs is ACTIVE, and the processor reads it."


@pytest.mark.parametrize(
    ("changes", "what", "do"),
    [
        pytest.param(
            {"status": None},
            "logs does not exist. Every record is lost.",
            "\n  aws cloudformation create-change-set ",
            id="stream deleted",
        ),
        pytest.param(
            {"status": "DELETING"},
            "logs is DELETING. Every record is lost.",
            "\n  aws cloudformation create-change-set ",
            id="stream being deleted",
        ),
        pytest.param(
            {"role": None},
            "CloudWatch Logs is not allowed to write to logs. Records are lost.",
            "\n  aws cloudformation create-change-set ",
            id="role deleted",
        ),
        pytest.param(
            {"role": change(THROUGH.role, refused=("kinesis:PutRecord",))},
            "CloudWatch Logs is not allowed to write to logs. Records are lost.",
            "\n  aws cloudformation create-change-set ",
            id="role may not write",
        ),
        pytest.param(
            {"reader": None},
            "Nothing reads logs. Records are lost after 24 hours.",
            "\n  aws cloudformation create-change-set ",
            id="mapping deleted",
        ),
        pytest.param(
            {"reader": change(READER, state="Disabled")},
            "The processor does not read logs: its event source mapping is Disabled.",
            "aws lambda update-event-source-mapping --uuid 9d2a0f3e --enabled",
            id="mapping disabled",
        ),
        pytest.param(
            {"reader": change(READER, state="Disabling")},
            "The processor does not read logs: its event source mapping is Disabling.",
            "aws lambda update-event-source-mapping --uuid 9d2a0f3e --enabled",
            id="mapping being disabled",
        ),
        pytest.param(
            {"reader": change(READER, last_result="PROBLEM: Function call failed")},
            "Lambda could not process the last batch of logs: PROBLEM: Function call failed",
            "If the processor failed, its log has the reason.",
            id="last batch failed",
        ),
        pytest.param(
            {"reader": change(READER, in_part=False)},
            "The event source mapping does not report partial batch failures.",
            "update-event-source-mapping --uuid 9d2a0f3e --function-response-types ReportBatchItemFailures",
            id="no partial failures",
        ),
        pytest.param(
            {"reader": change(READER, on_failure=None)},
            "Failed deliveries of the stream are not kept.",
            "--destination-config 'OnFailure={Destination=arn:aws:s3:::failed}'",
            id="no failure destination",
        ),
    ],
)
def test_what_is_wrong_with_a_stream_is_a_problem(changes: dict[str, Any], what: str, do: str) -> None:
    (found,) = unwell(**STREAMING | {"stream": change(THROUGH, **changes)})

    assert (found.status, found.where) == (Status.PROBLEM, "stream")
    assert found.what.startswith(what)
    assert do in found.do


@pytest.mark.parametrize("state", ["Creating", "Enabling", "Enabled", "Updating"])
def test_a_stream_that_is_about_to_be_read_is_no_problem(state: str) -> None:
    assert unwell(**STREAMING | {"stream": change(THROUGH, reader=change(READER, state=state, last_result="OK"))}) == []


def test_a_reader_that_is_switched_off_is_not_blamed_for_its_last_batch() -> None:
    reader = change(READER, state="Disabled", last_result="PROBLEM: Function call failed", on_failure=None)

    found = unwell(**STREAMING | {"stream": change(THROUGH, reader=reader)})

    assert [each.what for each in found] == [
        "The processor does not read logs: its event source mapping is Disabled.",
        "Failed deliveries of the stream are not kept.",
    ]


def test_a_role_of_the_stream_that_is_gone_is_found_once() -> None:
    gone = Parts(frozenset({"InvocationLogStreamRole"}))

    (found,) = unwell(**STREAMING | {"stream": change(THROUGH, role=None), "parts": gone})

    assert found.what == (
        "Deleted: InvocationLogStreamRole (CloudWatch Logs cannot write to the stream, and records are lost)."
    )


def test_a_filter_that_still_delivers_to_the_function_is_none_to_the_stream() -> None:
    (found,) = unwell(stream=THROUGH)

    assert found.what == f"No filter of {GROUP} delivers to the stream of processor."
    assert found.do.endswith(
        f"--destination-arn {STREAM} --role-arn {THROUGH.role.arn} --distribution Random --region us-east-1"
    )


@pytest.mark.parametrize(
    ("start", "said"),
    [
        pytest.param(ago(seconds=10), "within the last 1 minute", id="period of ten seconds"),
        pytest.param(ago(seconds=61), "within the last 2 minutes", id="period that began a minute ago"),
        pytest.param(ago(minutes=5), "within the last 5 minutes", id="period that ends now"),
        pytest.param(ago(minutes=5, seconds=1), "within the last 6 minutes", id="period that has just ended"),
        pytest.param(ago(minutes=10, seconds=30), "5 to 11 minutes ago", id="half a minute over ten minutes"),
        pytest.param(ago(minutes=124), "119 to 124 minutes ago", id="two hours"),
        pytest.param(ago(minutes=125), "2 hours ago", id="over two hours"),
        pytest.param(ago(hours=5), "5 hours ago", id="five hours"),
    ],
)
def test_time_since_a_period_is_told_from_its_start_to_its_end(start: datetime, said: str) -> None:
    found = run_checks(change(WELL, traffic=Traffic(records=(start,), processed=1)))

    assert f"The last record arrived {said}. Processed in 24 hours: 1." in [each.what for each in found]


def test_no_reserved_capacity_is_what_metrics_of_two_weeks_show() -> None:
    (found,) = (each.what for each in run_checks(WELL) if each.where == "service tiers")

    assert found == "AWS's metrics of the last two weeks show no reserved capacity."


def test_text_may_be_left_out_if_no_limit_is_unknown() -> None:
    found = run_checks(change(WELL, invocation_logging=NO_TEXT))

    assert {each.status for each in found} == {Status.OK}
    assert [each.what for each in found if each.where == "invocation logging"] == [
        f"Bedrock logs to {GROUP}.",
        "The logs leave out the text. Calls declare their limits or need none: max_tokens is known for all calls of "
        "24 hours.",
    ]


WRITTEN = {
    "stack": change(
        STACK,
        outputs={**STACK.outputs, "InvocationLogging": "added CloudWatch to the existing invocation logging"},
        resources={**STACK.resources, "LargeBodiesBucket": "ours-large", "LoggingSetupRole": "setting-up"},
    )
}
TERRAFORM = LoggingChange(ago(hours=1, minutes=5), f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/run-7", "Terraform")
REPLACED = "The configuration that the stack wrote was replaced or deleted"


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        pytest.param(
            TERRAFORM,
            f"{REPLACED}. {TERRAFORM.who} last replaced it with Terraform, on 2026-11-23 at 10:55 UTC.",
            id="Terraform",
        ),
        pytest.param(
            change(TERRAFORM, tool="", deleted=True),
            f"{REPLACED}. {TERRAFORM.who} last deleted it, on 2026-11-23 at 10:55 UTC.",
            id="unknown tool deleted it",
        ),
        pytest.param(
            None,
            f"{REPLACED}. CloudTrail has no such call by others in the last 90 days, or does not have it yet.",
            id="nothing in CloudTrail",
        ),
        pytest.param(
            Unread("AccessDenied"),
            f"{REPLACED}. CloudTrail, which knows by whom, could not be read: AccessDenied",
            id="CloudTrail denied",
        ),
    ],
)
@pytest.mark.parametrize(
    ("present", "first"),
    [
        pytest.param(None, "Invocation logging is off. Bedrock logs no calls.", id="off"),
        pytest.param(
            InvocationLogging(text=True, log_group=None),
            "Invocation logging no longer delivers to CloudWatch Logs.",
            id="S3 only",
        ),
        pytest.param(
            InvocationLogging(text=True, log_group="/other"),
            f"Bedrock logs to /other, but the stack reads {GROUP}.",
            id="another log group",
        ),
    ],
)
def test_logging_that_an_owner_put_back_is_recognized_and_says_what_to_add_there(
    present: InvocationLogging | None, first: str, seen: LoggingChange | Unread | None, said: str
) -> None:
    found = unwell(**WRITTEN, invocation_logging=present, logging_change=seen)

    (told,) = [each for each in found if each.where == "invocation logging"]
    assert told.what == f"{first} {said}"
    lines = told.do.splitlines()
    assert "Terraform" in lines[0]
    assert lines[1:4] == [f"  log group {GROUP}", f"  role {LOGGING_ROLE}", "  bucket for large data ours-large"]
    assert lines[4:] == ["Otherwise let the stack add its part again:", *READ_AGAIN]


@pytest.mark.parametrize(
    "output",
    [
        pytest.param("adopted the existing invocation logging; bodies over 100 KB …", id="adopted"),
        pytest.param("did not change invocation logging, because an update was rolled back; x", id="rolled back"),
        pytest.param("", id="no output"),
    ],
)
def test_logging_that_the_stack_never_wrote_was_not_put_back(output: str) -> None:
    stack = change(STACK, outputs={**STACK.outputs, "InvocationLogging": output})

    assert not logging_owner.is_replaced(stack, None)
    (told,) = [each for each in unwell(stack=stack, invocation_logging=None) if each.where == "invocation logging"]
    assert told.what == "Invocation logging is off. Bedrock logs no calls."


@pytest.mark.parametrize("before", [None, {"s3Config": {}}], ids=["no configuration", "S3 only"])
@pytest.mark.parametrize(("changed", "ours"), [(True, False), (True, True), (False, True)])
def test_what_the_set_up_says_it_wrote_is_recognized(before: Any, changed: bool, ours: bool) -> None:
    said = invocation_logging._describe_change(before, changed=changed, ours=ours)
    stack = change(STACK, outputs={**STACK.outputs, "InvocationLogging": said})

    assert logging_owner.is_replaced(stack, None)
    assert not logging_owner.is_replaced(stack, LOGGING)


def trail_event(name: str = "PutModelInvocationLoggingConfiguration", **record: Any) -> dict[str, Any]:
    identity = {"userIdentity": {"arn": TERRAFORM.who}}
    return {"EventName": name, "EventTime": TERRAFORM.at, "CloudTrailEvent": json.dumps(identity | record)}


HASHICORP = "APN/1.0 HashiCorp/1.0 Terraform/1.9.8 (+https://www.terraform.io) terraform-provider-aws/5.7.0"


@pytest.mark.parametrize(
    ("puts", "deletions", "expected"),
    [
        pytest.param([], [], None, id="none"),
        pytest.param([trail_event(userAgent=HASHICORP)], [], TERRAFORM, id="Terraform"),
        pytest.param(
            [trail_event(userAgent="Boto3/1.43.1 md/Botocore#1.43.1")], [], change(TERRAFORM, tool="Boto3"), id="Boto3"
        ),
        pytest.param(
            [trail_event(userIdentity={"invokedBy": "cloudformation.amazonaws.com"})],
            [],
            LoggingChange(TERRAFORM.at, "cloudformation.amazonaws.com", "CloudFormation"),
            id="another stack",
        ),
        pytest.param(
            [trail_event(userAgent="Mozilla/5.0 (X11)")], [], change(TERRAFORM, tool="the console"), id="console"
        ),
        pytest.param(
            [trail_event(userAgent=HASHICORP)],
            [trail_event("DeleteModelInvocationLoggingConfiguration") | {"EventTime": ago(minutes=1)}],
            LoggingChange(ago(minutes=1), TERRAFORM.who, deleted=True),
            id="deleted last",
        ),
        pytest.param(
            [trail_event(userAgent=HASHICORP), trail_event() | {"EventTime": ago(days=1)}], [], TERRAFORM, id="newest"
        ),
        pytest.param(
            [
                trail_event(userIdentity={"arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/setting-up/x"})
                | {"EventTime": ago(minutes=1)},
                trail_event(userAgent=HASHICORP),
            ],
            [],
            TERRAFORM,
            id="the stack itself came later",
        ),
        pytest.param([trail_event(errorCode="AccessDenied")], [], None, id="denied call"),
        pytest.param(
            [trail_event() | {"CloudTrailEvent": "no JSON", "Username": "somebody"}],
            [],
            LoggingChange(TERRAFORM.at, "somebody"),
            id="record that is no JSON",
        ),
        pytest.param([trail_event() | {"CloudTrailEvent": "[1]"}], [], None, id="record that is a list"),
        pytest.param(
            [trail_event(userIdentity="x", userAgent=7)], [], LoggingChange(TERRAFORM.at, "unknown"), id="wrong types"
        ),
        pytest.param(
            [trail_event(userIdentity={"arn": "a\x1b[31m\n" + "é" * 500})],
            [],
            LoggingChange(TERRAFORM.at, "a?[31m?" + "?" * 193),
            id="name with control characters",
        ),
    ],
)
@pytest.mark.usefixtures("no_aws")
def test_the_last_change_by_others_is_found_in_cloudtrail(
    monkeypatch: pytest.MonkeyPatch,
    puts: list[dict[str, Any]],
    deletions: list[dict[str, Any]],
    expected: LoggingChange | None,
) -> None:
    session = boto3.Session()
    client = session.client("cloudtrail")
    monkeypatch.setattr(session, "client", lambda name: {"cloudtrail": client}[name])
    with Stubber(client) as stubber:
        for name, events in zip(("Put", "Delete"), (puts, deletions), strict=True):
            asked = {"AttributeKey": "EventName", "AttributeValue": f"{name}ModelInvocationLoggingConfiguration"}
            stubber.add_response("lookup_events", {"Events": events}, {"LookupAttributes": [asked], "MaxResults": 50})

        assert logging_owner.read_last_change(session, WRITTEN["stack"]) == expected
        stubber.assert_no_pending_responses()


@pytest.mark.parametrize(
    "traffic",
    [
        pytest.param(Traffic(records=(ago(minutes=5),), processed=10, unknown=10), id="nothing declared"),
        pytest.param(Unread("denied"), id="traffic cannot be read"),
    ],
)
def test_text_left_out_can_be_made_up_for_in_two_ways(traffic: Traffic | Unread) -> None:
    problems = [each for each in unwell(invocation_logging=NO_TEXT, traffic=traffic) if each.status is Status.PROBLEM]

    assert [each.do for each in problems] == [
        "Switch on Text in the Bedrock console, under Settings, Model invocation logging, or declare the limits: see "
        "docs/invocation-logging.md#accounts-that-may-not-log-prompts."
    ]


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        # the stack, and what comes into it
        pytest.param(
            {"stack": change(STACK, status="ROLLBACK_COMPLETE")},
            ("problem", "stack", "monitor is ROLLBACK_COMPLETE"),
            id="creation failed",
        ),
        pytest.param(
            {"stack": change(STACK, status="UPDATE_ROLLBACK_COMPLETE")},
            ("warning", "stack", "The last update failed."),
            id="update failed",
        ),
        pytest.param(
            {"stack": change(STACK, status="UPDATE_IN_PROGRESS")},
            ("warning", "stack", "monitor is UPDATE_IN_PROGRESS"),
            id="update running",
        ),
        pytest.param(
            {"invocation_logging": None},
            ("problem", "invocation logging", "Invocation logging is off."),
            id="logging off",
        ),
        pytest.param(
            {
                "invocation_logging": None,
                "stack": change(STACK, parameters={**STACK.parameters, "InvocationLogging": "adopt-only"}),
            },
            ("problem", "invocation logging", "Invocation logging is off."),
            id="logging off, adopt-only",
        ),
        pytest.param(
            {"invocation_logging": InvocationLogging(text=True, log_group=None)},
            ("problem", "invocation logging", "Invocation logging no longer delivers to CloudWatch Logs."),
            id="no log group",
        ),
        pytest.param(
            {"invocation_logging": InvocationLogging(text=True, log_group="/other")},
            ("problem", "invocation logging", f"Bedrock logs to /other, but the stack reads {GROUP}."),
            id="another log group",
        ),
        pytest.param(
            {"invocation_logging": NO_TEXT, "traffic": Traffic(records=(ago(minutes=5),), processed=100, unknown=1)},
            ("problem", "invocation logging", "The logs leave out the text, so max_tokens is unknown for calls that"),
            id="text left out, one call of a hundred without its limit",
        ),
        pytest.param(
            {"invocation_logging": NO_TEXT, "traffic": Traffic()},
            ("problem", "invocation logging", "The logs leave out the text"),
            id="text left out, no calls",
        ),
        pytest.param({"log_group": None}, ("problem", "log group", f"{GROUP} does not exist"), id="log group deleted"),
        pytest.param(
            {"log_group": change(LOG_GROUP, log_class="INFREQUENT_ACCESS")},
            ("problem", "log group", f"{GROUP} has the class INFREQUENT_ACCESS"),
            id="log class",
        ),
        pytest.param(
            {"log_group": change(LOG_GROUP, key=KEY), "log_group_key": Key(KEY, "Disabled")},
            ("problem", "log group", f"{GROUP} is encrypted with {KEY}, which is Disabled"),
            id="log group key disabled",
        ),
        pytest.param(
            {"log_group": change(LOG_GROUP, key=KEY), "log_group_key": Key(KEY, "deleted")},
            ("problem", "log group", f"{GROUP} is encrypted with {KEY}, which is deleted"),
            id="log group key deleted",
        ),
        pytest.param(
            {"filters": ()}, ("problem", "subscription", f"No filter of {GROUP} delivers to processor."), id="no filter"
        ),
        pytest.param(
            {"filters": (change(FILTER, destination="arn:aws:lambda:us-east-1:1:function:other", namespace=None),)},
            ("problem", "subscription", f"No filter of {GROUP}"),
            id="only another function's filter",
        ),
        pytest.param(
            {"filters": (change(FILTER, pattern="ERROR"),)},
            ("problem", "subscription", "monitor-metric-processor passes only records that match 'ERROR'."),
            id="filter pattern",
        ),
        pytest.param(
            {"filters": (FILTER, Filter("second", "", "arn:aws:lambda:us-east-1:1:function:b", "Bedrock/Quotas"))},
            (
                "problem",
                "subscription",
                "second feeds another monitor that also publishes to Bedrock/Quotas. Calls count twice.",
            ),
            id="second monitor",
        ),
        pytest.param(
            {"permissions": ()},
            ("problem", "permission", "CloudWatch Logs is not allowed to invoke processor. Every record is lost."),
            id="no permission",
        ),
        pytest.param(
            {"permissions": (Permission("events.amazonaws.com", SOURCE, ACCOUNT),)},
            ("problem", "permission", "CloudWatch Logs is not allowed to invoke processor"),
            id="permission of another service",
        ),
        pytest.param(
            {"permissions": (Permission("logs.amazonaws.com", SOURCE.replace(GROUP, "/other"), ACCOUNT),)},
            ("problem", "permission", "CloudWatch Logs is not allowed to invoke processor"),
            id="permission of another group",
        ),
        pytest.param(
            {"permissions": (Permission("logs.amazonaws.com", SOURCE, "444455556666"),)},
            ("problem", "permission", "CloudWatch Logs is not allowed to invoke processor"),
            id="permission of another account",
        ),
        # the role by which Bedrock writes
        pytest.param(
            {"parts": Parts(frozenset({"InvocationLoggingRole"})), "logging_role": None},
            ("problem", "resources", "Deleted: InvocationLoggingRole (Bedrock cannot write logs)."),
            id="logging role of the stack deleted",
        ),
        pytest.param(
            {"logging_role": None, "invocation_logging": change(LOGGING, role=LOGGING_ROLE + "-of-theirs")},
            ("problem", "logging role", "logging-of-theirs does not exist. Bedrock cannot write logs."),
            id="another logging role deleted",
        ),
        pytest.param(
            {"logging_role": Role(LOGGING_ROLE, trusts=())},
            ("problem", "logging role", "logging does not allow Bedrock to assume it. Bedrock cannot write logs."),
            id="role trusts nobody",
        ),
        pytest.param(
            {"logging_role": Role(LOGGING_ROLE, trusts=(change(TRUST, service="lambda.amazonaws.com"),))},
            ("problem", "logging role", "logging does not allow Bedrock to assume it. Bedrock cannot write logs."),
            id="role trusts another service",
        ),
        pytest.param(
            {"logging_role": Role(LOGGING_ROLE, trusts=(change(TRUST, source_account="444455556666"),))},
            ("problem", "logging role", "logging does not allow Bedrock to assume it. Bedrock cannot write logs."),
            id="role trusts another account",
        ),
        pytest.param(
            # a role copied from another Region
            {"logging_role": Role(LOGGING_ROLE, (change(TRUST, source_arn=f"arn:aws:bedrock:eu-west-1:{ACCOUNT}:*"),))},
            ("problem", "logging role", "logging does not allow Bedrock to assume it. Bedrock cannot write logs."),
            id="role trusts another Region",
        ),
        pytest.param(
            {"logging_role": change(WELL.logging_role, refused=("logs:CreateLogStream", "logs:PutLogEvents"))},
            ("problem", "logging role", "logging lacks permission for logs:CreateLogStream and logs:PutLogEvents."),
            id="role may not write logs",
        ),
        # records to metrics
        pytest.param(
            {"processor": change(FUNCTION, reserved=0)},
            ("problem", "processor", "processor is switched off"),
            id="concurrency 0",
        ),
        pytest.param(
            {"processor": change(FUNCTION, state="Failed")},
            ("problem", "processor", "processor is Failed"),
            id="function failed",
        ),
        pytest.param(
            {"processor": change(FUNCTION, last_update="Failed")},
            ("problem", "processor", "The last update of processor failed."),
            id="function update failed",
        ),
        pytest.param(
            {"parts": Parts(frozenset({"MetricProcessorFunction"})), "processor": None, "on_failure": None},
            ("problem", "resources", "Deleted: MetricProcessorFunction (every record is lost)."),
            id="processor deleted",
        ),
        pytest.param(
            # whether IAM's simulator knows a role that is gone or not
            {
                "parts": Parts(frozenset({"MetricProcessorRole"})),
                "processor_role": Role("arn:gone", refused=("s3:PutObject",)),
                "large_bodies": Access(reads=False, writers=(TRUST,)),
            },
            ("problem", "resources", "Deleted: MetricProcessorRole (the processor cannot run)."),
            id="processor role deleted, denied",
        ),
        pytest.param(
            {
                "parts": Parts(frozenset({"MetricProcessorRole"})),
                "processor_role": None,
                "large_bodies": None,
            },
            ("problem", "resources", "Deleted: MetricProcessorRole (the processor cannot run)."),
            id="processor role deleted, unknown",
        ),
        pytest.param(
            {"on_failure": None},
            ("problem", "failed deliveries", "Failed deliveries are not kept: processor does not send them to failed."),
            id="no failure destination",
        ),
        pytest.param(
            {"on_failure": "arn:aws:s3:::other"},
            ("problem", "failed deliveries", "Failed deliveries are not kept"),
            id="another failure destination",
        ),
        pytest.param(
            {"processor_role": Role(f"arn:aws:iam::{ACCOUNT}:role/processing", refused=("s3:PutObject",))},
            (
                "problem",
                "failed deliveries",
                "Failed deliveries cannot be kept: processing lacks permission for s3:PutObject in failed.",
            ),
            id="role may not keep deliveries",
        ),
        pytest.param(
            {"kept": Kept(0, closed=True)},
            ("problem", "failed deliveries", "Failed deliveries cannot be kept: the policy of failed denies access"),
            id="bucket policy denies",
        ),
        pytest.param(
            {"parts": Parts(frozenset({"FailedDeliveriesBucket"})), "kept": None},
            ("problem", "resources", "Deleted: FailedDeliveriesBucket (failed deliveries are lost)."),
            id="failed deliveries bucket deleted",
        ),
        pytest.param(
            {"kept": Kept(1_234, datetime(2026, 11, 20, 9, 17, tzinfo=UTC))},
            (
                "problem",
                "failed deliveries",
                "Failed deliveries in s3://failed: 1,234, the oldest since 2026-11-20 09:17 UTC.",
            ),
            id="failed deliveries wait",
        ),
        pytest.param(
            {"own_log_groups": {"/a": True, "/b": False}},
            ("problem", "metric lines", "/b does not exist. All metrics written there are lost."),
            id="own log group deleted",
        ),
        pytest.param(
            {"traffic": Traffic(calls=(ago(minutes=30),))},
            ("problem", "records", "Bedrock was called 25 to 30 minutes ago, but no record arrived."),
            id="no record for 30 minutes",
        ),
        pytest.param(
            {"traffic": Traffic(calls=(ago(minutes=20),), records=(ago(hours=5),))},
            ("problem", "records", "Bedrock was called 15 to 20 minutes ago, but the last record arrived 5 hours ago."),
            id="no record for 5 hours",
        ),
        pytest.param(
            # calls all the time, and none seen since an hour and a half: the last one alone would not show it
            {"traffic": Traffic(calls=tuple(ago(minutes=5 * n) for n in range(40)), records=(ago(minutes=90),))},
            (
                "problem",
                "records",
                "Bedrock was called 80 to 85 minutes ago, but the last record arrived 85 to 90 minutes ago.",
            ),
            id="no record among many calls",
        ),
        pytest.param(
            {"traffic": Traffic(records=(ago(minutes=5),), processed=10, rejected=2)},
            ("warning", "records", "Records rejected in 24 hours: 2."),
            id="records rejected",
        ),
        pytest.param(
            {"traffic": Traffic(records=(ago(minutes=5),), processed=100, unknown=21)},
            ("warning", "records", "max_tokens is unknown for 21% of the records"),
            id="coverage low",
        ),
        pytest.param(
            {
                "stack": change(
                    STACK,
                    outputs=STACK.outputs
                    | {"InvocationLogging": f"enabled invocation logging; {BUCKET_REFUSED} (own)"},
                    resources=STACK.resources | {"LargeBodiesBucket": "own"},
                ),
                "invocation_logging": change(LOGGING, large_bodies=None),
                "large_bodies": Access(),
            },
            (
                "problem",
                "large bodies",
                "Bodies over 100 KB are not logged, because Bedrock could not write to own at the last deployment.",
            ),
            id="deployed without the bucket for large bodies",
        ),
        pytest.param(
            {"large_bodies": Access(bucket_there=False)},
            ("problem", "large bodies", "The bucket large does not exist."),
            id="large bodies bucket deleted",
        ),
        pytest.param(
            {"processor": change(FUNCTION, environment={"LARGE_BODIES_BUCKET": ""})},
            ("problem", "large bodies", "Large bodies go to large, but the processor does not know that bucket."),
            id="processor does not know the bucket",
        ),
        pytest.param(
            {"large_bodies": Access(reads=False, writers=(TRUST,))},
            ("problem", "large bodies", "The processor is not allowed to read s3://large/bodies/."),
            id="processor may not read",
        ),
        pytest.param(
            {"large_bodies": change(WELL.large_bodies, writers=(change(TRUST, source_account="444455556666"),))},
            ("problem", "large bodies", "Bedrock is not allowed to write to s3://large/bodies/. max_tokens"),
            id="Bedrock may not write",
        ),
        pytest.param(
            {"large_bodies": change(WELL.large_bodies, key=Key(KEY, "deleted"), decrypts=False)},
            ("problem", "large bodies", f"s3://large is encrypted with {KEY}, which is deleted"),
            id="large bodies key deleted",
        ),
        pytest.param(
            {"parts": Parts(frozenset({"LargeBodiesBucket"})), "large_bodies": Access(bucket_there=False)},
            ("problem", "resources", "Deleted: LargeBodiesBucket (max_tokens of calls over 100 KB is unknown)."),
            id="large bodies bucket of the stack deleted",
        ),
        pytest.param(
            {"large_bodies": change(WELL.large_bodies, key=Key(KEY), decrypts=False)},
            (
                "problem",
                "large bodies",
                f"s3://large is encrypted with {KEY}, which the processor is not allowed to use. "
                "max_tokens of calls over 100 KB is unknown.",
            ),
            id="large bodies key denies",
        ),
        # quotas
        pytest.param({"snapshot": None}, ("problem", "quotas", "Quotas were never fetched"), id="no snapshot"),
        pytest.param(
            {"snapshot": Snapshot(NOW)},
            ("problem", "quotas", "Quotas were never fetched"),
            id="snapshot without quotas",
        ),
        pytest.param(
            {"snapshot": Snapshot(ago(hours=7), QUOTAS)},
            ("problem", "quotas", "Quotas were last fetched 7 hours ago."),
            id="quotas old",
        ),
        pytest.param(
            {"traffic": Traffic(last_failed_fetch=ago(minutes=10))},
            ("warning", "quotas", "A fetch failed 5 to 10 minutes ago, in whole or in part."),
            id="fetch failed",
        ),
        pytest.param(
            {"snapshot": Snapshot(NOW, QUOTAS, active_notices={ZERO: ("quota is 0: x",), UNREAD: ("unread",)})},
            ("warning", "quotas", "quota is 0: x"),
            id="quota of 0",
        ),
        pytest.param(
            {"snapshot": Snapshot(NOW, QUOTAS, active_notices={DRIFT: ("rate of y",)})},
            ("warning", "quotas", "rate of y"),
            id="burndown drift",
        ),
        pytest.param(
            {"snapshot": Snapshot(NOW, QUOTAS, active_notices={DAILY_ZERO: ("daily quota is 0: z",)})},
            ("warning", "quotas", "daily quota is 0: z"),
            id="daily quota of 0 that throttles",
        ),
        pytest.param(
            {"snapshot": Snapshot(NOW, QUOTAS, active_notices={END_OF_LIFE: ("end of life of m",)})},
            ("warning", "quotas", "end of life of m"),
            id="model that ends",
        ),
        pytest.param(
            {"reserved_models": ("us.anthropic.claude-opus-4-6-v1",)},
            (
                "warning",
                "service tiers",
                "Reserved capacity served us.anthropic.claude-opus-4-6-v1 in the last two weeks. Their InvokeModel "
                "calls are in the on-demand figures, because their tier is in a header that the log lacks.",
            ),
            id="reserved capacity",
        ),
        pytest.param(
            {"reserved_models": tuple(f"m{number:02}" for number in range(12))},
            (
                "warning",
                "service tiers",
                "Reserved capacity served m00, m01, m02, m03, m04, m05, m06, m07, m08, m09 and 2 more in the last",
            ),
            id="reserved capacity for many models",
        ),
        pytest.param(
            {"parts": Parts(frozenset({"StateTable"})), "snapshot": None},
            (
                "problem",
                "resources",
                "Deleted: StateTable (no percentages, and duplicate deliveries count twice).",
            ),
            id="state table deleted",
        ),
        pytest.param(
            {"parts": Parts(frozenset({"QuotaFetcherFunction"})), "fetcher": None},
            ("problem", "resources", "Deleted: QuotaFetcherFunction (quotas are no longer updated)."),
            id="fetcher deleted",
        ),
        pytest.param(
            {"schedule": "DISABLED"},
            ("problem", "schedule", "schedule is disabled. Quotas are no longer updated."),
            id="schedule disabled",
        ),
        pytest.param(
            {"parts": Parts(frozenset({"QuotaFetcherFunctionSchedule"})), "schedule": None},
            ("problem", "resources", "Deleted: QuotaFetcherFunctionSchedule (quotas are no longer updated)."),
            id="schedule deleted",
        ),
        pytest.param(
            {"overrides_rule": "DISABLED"}, ("warning", "overrides", "The rule rule is disabled."), id="rule disabled"
        ),
        pytest.param(
            {"parts": Parts(frozenset({"QuotaFetcherFunctionOverridesChanged"})), "overrides_rule": None},
            ("warning", "resources", "Deleted: QuotaFetcherFunctionOverridesChanged."),
            id="rule deleted",
        ),
        pytest.param(
            {"parts": Parts(frozenset({"QuotaDashboard", "LoggingSetupFunction"}))},
            ("warning", "resources", "Deleted: LoggingSetupFunction, QuotaDashboard."),
            id="dashboard deleted",
        ),
        pytest.param(
            {"parts": Parts(unread=(Unread("User is not authorized to perform: iam:GetRole"),))},
            ("warning", "resources", "Could not check: User is not authorized to perform: iam:GetRole"),
            id="role cannot be read",
        ),
        # alarms
        pytest.param(
            {"parts": Parts(frozenset({"TestAlarm"})), "alarms": ALARMS[:2]},
            ("problem", "resources", "Deleted: TestAlarm (it cannot fire)."),
            id="alarm deleted",
        ),
        pytest.param(
            {"alarms": (change(ALARMS[0], armed=False), *ALARMS[1:])},
            ("problem", "alarms", "NoRecordsAlarm: actions are disabled, so nobody is notified."),
            id="alarm actions disabled",
        ),
        pytest.param(
            {"alarms": (change(ALARMS[0], actions=("arn:other",)), *ALARMS[1:])},
            ("problem", "alarms", f"NoRecordsAlarm: no action notifies {TOPIC}."),
            id="alarm without the topic",
        ),
        pytest.param(
            {"alarms": (change(ALARMS[0], state="ALARM"), *ALARMS[1:])},
            ("warning", "alarms", "NoRecordsAlarm is in ALARM."),
            id="alarm in ALARM",
        ),
        pytest.param(
            {"alarms": (in_alarm({"EndpointType": "regional", "ModelId": "b"}, {"ModelId": "a"}),)},
            ("warning", "alarms", "ReservedQuotaAlarm is in ALARM for a, b regional."),
            id="quota alarm in ALARM",
        ),
        pytest.param(
            {"alarms": (in_alarm(*({"ModelId": f"m{number:02}"} for number in range(12))),)},
            (
                "warning",
                "alarms",
                "ReservedQuotaAlarm is in ALARM for m00, m01, m02, m03, m04, m05, m06, m07, m08, m09 and 2 more.",
            ),
            id="quota alarm in ALARM for many pools",
        ),
        pytest.param(
            {"alarms": (in_alarm(),)},
            ("warning", "alarms", "ReservedQuotaAlarm is in ALARM."),
            id="quota alarm in ALARM, pools over before they were listed",
        ),
        pytest.param(
            {"alarms": (change(in_alarm(), contributors=Unread("may not")),)},
            ("warning", "alarms", "ReservedQuotaAlarm is in ALARM."),
            id="quota alarm in ALARM, pools cannot be read",
        ),
        # monitoring account
        pytest.param(
            {"sinks": (SINK,)},
            (
                "problem",
                "monitoring account",
                f"This account is a CloudWatch monitoring account ({SINK}). Alarms add up the percentages of all "
                "linked accounts, and the dashboard shows their pools.",
            ),
            id="sink of which the stack does not know",
        ),
        pytest.param(
            {"stack": change(STACK, parameters={"MonitoringAccount": "yes"})},
            (
                "problem",
                "monitoring account",
                "MonitoringAccount is yes, but this account has no sink in this Region. Queries of alarms may be "
                "invalid.",
            ),
            id="no sink, and the stack expects one",
        ),
        pytest.param(
            {"parts": Parts(frozenset({"AlarmTopic"})), "subscribers": None},
            ("problem", "resources", "Deleted: AlarmTopic (alarms reach nobody)."),
            id="topic deleted",
        ),
        pytest.param(
            {"subscribers": {"confirmed": 0, "pending": 2}},
            ("warning", "topic", "Nobody is subscribed, so alarms reach nobody. Subscriptions not yet confirmed: 2."),
            id="nobody subscribed",
        ),
    ],
)
def test_every_fault_is_one_finding_with_something_to_do(signs: dict[str, Any], expected: tuple[str, str, str]) -> None:
    status, where, what = only(**signs)

    assert (status, where) == expected[:2]
    assert what.startswith(expected[2])


@pytest.mark.parametrize(
    "signs",
    [
        # an idle account, a call whose record may still come, calls that Bedrock refused alone
        pytest.param({"traffic": Traffic()}, id="idle"),
        pytest.param({"traffic": Traffic(calls=(ago(minutes=19),))}, id="record may still come"),
        pytest.param({"traffic": Traffic(records=(ago(minutes=50),))}, id="calls refused"),
        # coverage of a fifth unknown, and no more
        pytest.param({"traffic": Traffic(records=(NOW,), processed=100, unknown=20)}, id="coverage of 80%"),
        # a failed fetch that is long over
        pytest.param({"traffic": Traffic(last_failed_fetch=ago(hours=7))}, id="old failed fetch"),
        # no bucket for large bodies, none wanted
        pytest.param(
            {"invocation_logging": change(LOGGING, large_bodies=None), "large_bodies": Access()},
            id="no bucket for large bodies",
        ),
        # a permission without conditions, or of the Region's own principal; another subscriber that is no monitor
        pytest.param(
            {"permissions": (Permission("logs.us-east-1.amazonaws.com", None, None),)}, id="Region's own principal"
        ),
        pytest.param(
            {"filters": (FILTER, Filter("firehose", "", "arn:aws:firehose:us-east-1:1:deliverystream/x"))},
            id="Firehose filter",
        ),
        pytest.param(
            {"filters": (FILTER, Filter("second", "", "arn:aws:lambda:us-east-1:1:function:b", "Bedrock/Second"))},
            id="another namespace",
        ),
        # a key whose primary Region changes, and a class that is not known: AWS decides about both
        pytest.param(
            {"log_group": change(LOG_GROUP, key=KEY), "log_group_key": Key(KEY, "Updating")}, id="key in Updating"
        ),
        pytest.param(
            {"large_bodies": change(WELL.large_bodies, key=Key(KEY, "Updating"))}, id="key of the bucket in Updating"
        ),
        pytest.param({"log_group": change(LOG_GROUP, log_class="EXPRESS")}, id="unknown class"),
        # the alarm of a test is no alarm
        pytest.param({"alarms": (*ALARMS[:2], change(ALARMS[2], state="ALARM"))}, id="test alarm in ALARM"),
        # an account that logs to S3 only by no role; trust without conditions, or for one thing of the account
        pytest.param(
            {"logging_role": Role(LOGGING_ROLE, trusts=(Permission("bedrock.amazonaws.com", None, None),))},
            id="trust without conditions",
        ),
        pytest.param(
            {
                "logging_role": Role(
                    LOGGING_ROLE, (change(TRUST, source_arn=f"arn:aws:bedrock:us-east-1:{ACCOUNT}:x/y"),)
                )
            },
            id="trust for one resource",
        ),
        pytest.param({"processor": change(FUNCTION, reserved=5)}, id="concurrency of 5"),
        pytest.param(
            {"sinks": (SINK,), "stack": change(STACK, parameters={"MonitoringAccount": "yes"})}, id="monitoring account"
        ),
        pytest.param({"log_group": change(LOG_GROUP, key=KEY), "log_group_key": Key(KEY)}, id="key enabled"),
    ],
)
def test_what_is_no_fault_is_not_found(signs: dict[str, Any]) -> None:
    assert unwell(**signs) == []


def test_what_follows_from_a_fault_is_not_found_twice() -> None:
    assert [each.where for each in unwell(log_group=None, filters=None)] == ["log group"]


def test_a_stack_that_cannot_be_updated_is_readied_first() -> None:
    def advised(status: str) -> list[str]:
        (found,) = unwell(stack=change(STACK, status=status))
        return commands.in_advice(found.do)

    there = "--stack-name monitor --region us-east-1"
    events = f"aws cloudformation describe-stack-events {there}"
    assert advised("UPDATE_ROLLBACK_COMPLETE") == [events]
    assert advised("ROLLBACK_COMPLETE") == [events, f"aws cloudformation delete-stack {there}"]
    assert advised("UPDATE_ROLLBACK_FAILED") == [
        events,
        f"aws cloudformation continue-update-rollback {there}",
    ]


def test_what_is_gone_is_one_finding_with_one_way_to_bring_it_back() -> None:
    gone = Parts(frozenset({"StateTable", "AlarmTopic"}))

    (found,) = unwell(parts=gone, snapshot=None, subscribers=None)

    assert found.what == (
        "Deleted: AlarmTopic (alarms reach nobody), StateTable (no percentages, and duplicate deliveries count twice)."
    )


def test_what_is_gone_is_brought_back_with_the_parameters_there_are() -> None:
    (found,) = unwell(parts=Parts(frozenset({"QuotaDashboard"})))

    create, describe, execute = commands.in_advice(found.do)

    named = {"--stack-name": ["monitor"], "--change-set-name": ["bring-back"], "--region": ["us-east-1"]}
    assert commands.options_of(create) == {
        **named,
        "--use-previous-template": [],
        "--deployment-mode": ["REVERT_DRIFT"],
        "--capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        "--parameters": [
            "ParameterKey=MetricsNamespace,UsePreviousValue=true",
            "ParameterKey=AlarmEmail,UsePreviousValue=true",
        ],
    }
    assert commands.options_of(describe).items() >= named.items()
    assert commands.options_of(execute) == named


def test_names_with_spaces_reach_the_command_whole() -> None:
    muted = tuple(change(each, armed=False) for each in ALARMS[:2])

    (found,) = unwell(alarms=(*muted, ALARMS[2]))

    (advised,) = commands.in_advice(found.do)
    assert commands.options_of(advised) == {
        "--alarm-names": ["monitor-silence-1", RESERVED],
        "--region": ["us-east-1"],
    }


def test_a_failure_destination_is_put_whole_for_its_configuration_may_be_gone() -> None:
    template = yaml_parse(Path(__file__).parents[2].joinpath("template.yaml").read_text(encoding="utf-8"))
    wanted = template["Resources"]["MetricProcessorFunction"]["Properties"]["EventInvokeConfig"]

    (found,) = unwell(on_failure=None)

    (advised,) = commands.in_advice(found.do)
    assert advised.startswith("aws lambda put-function-event-invoke-config ")
    assert commands.options_of(advised) == {
        "--function-name": ["processor"],
        "--region": ["us-east-1"],
        "--qualifier": ["$LATEST"],
        "--maximum-retry-attempts": [str(wanted["MaximumRetryAttempts"])],
        "--maximum-event-age-in-seconds": [str(wanted["MaximumEventAgeInSeconds"])],
        "--destination-config": ["OnFailure={Destination=arn:aws:s3:::failed}"],
    }


def test_the_logging_role_is_mended_for_this_account_and_stream_alone() -> None:
    (trust,) = unwell(logging_role=Role(LOGGING_ROLE))
    (write,) = unwell(logging_role=change(WELL.logging_role, refused=("logs:PutLogEvents",)))

    options = [commands.options_of(advised) for each in (trust, write) for advised in commands.in_advice(each.do)]

    assert [each["--role-name"] for each in options] == [["logging"], ["logging"]]
    trusting, writing = (json.loads(each["--policy-document"][0])["Statement"][0] for each in options)
    assert trusting["Principal"] == {"Service": "bedrock.amazonaws.com"}
    assert trusting["Condition"]["ArnLike"] == {"aws:SourceArn": f"arn:aws:bedrock:us-east-1:{ACCOUNT}:*"}
    assert writing["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]
    assert writing["Resource"] == (
        f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{GROUP}:log-stream:aws/bedrock/modelinvocations"
    )


def test_the_statement_for_large_bodies_is_that_of_the_template() -> None:
    (found,) = unwell(large_bodies=change(WELL.large_bodies, writers=()))

    assert json.loads(found.do.partition(":\n")[2]) == {
        "Effect": "Allow",
        "Principal": {"Service": "bedrock.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::large/bodies/AWSLogs/{ACCOUNT}/BedrockModelInvocationLogs/*",
        "Condition": {
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
            "ArnLike": {"aws:SourceArn": f"arn:aws:bedrock:us-east-1:{ACCOUNT}:*"},
        },
    }


def test_a_key_is_enabled_and_kept_from_deletion_first() -> None:
    key = {"log_group": change(LOG_GROUP, key=KEY), "log_group_key": Key(KEY, "PendingDeletion")}

    (log_group,) = unwell(**key)
    (bodies,) = unwell(large_bodies=change(WELL.large_bodies, key=Key(KEY, "PendingDeletion")))

    for found in (log_group, bodies):
        assert [advised.split()[:3] for advised in commands.in_advice(found.do)] == [
            ["aws", "kms", "cancel-key-deletion"],
            ["aws", "kms", "enable-key"],
        ]


def test_a_filter_with_a_pattern_is_replaced_under_its_own_name() -> None:
    (found,) = unwell(filters=(change(FILTER, name="theirs", pattern="ERROR"),))

    assert found.do.startswith("Replace it:\n  aws logs put-subscription-filter ")
    assert " --filter-name theirs --filter-pattern '' " in found.do


def test_commands_name_what_they_are_for() -> None:
    (gone,) = unwell(filters=())
    (forbidden,) = unwell(permissions=())

    assert gone.do.endswith(
        f"--log-group-name {GROUP} --filter-name monitor-metric-processor "
        f"--filter-pattern '' --destination-arn {PROCESSOR} --region us-east-1"
    )
    assert forbidden.do.endswith(
        f"--principal logs.amazonaws.com --source-account {ACCOUNT} --source-arn '{SOURCE}' --region us-east-1"
    )


@pytest.mark.parametrize(("partition", "region"), [("aws-us-gov", "us-gov-west-1"), ("aws-cn", "cn-north-1")])
def test_advice_is_for_the_partition_of_the_stack(partition: str, region: str) -> None:
    def there(arn: str) -> str:
        return arn.replace("arn:aws:", f"arn:{partition}:").replace("us-east-1", region)

    stack = change(STACK, arn=there(STACK.arn), resources={name: there(each) for name, each in STACK.resources.items()})
    # given a stack elsewhere, of which all that names an ARN is wrong
    signs = {
        "permissions": (),
        "on_failure": None,
        "processor": change(FUNCTION, arn=there(PROCESSOR)),
        "filters": (),
        "logging_role": Role(there(LOGGING_ROLE), refused=("logs:PutLogEvents",)),
        "large_bodies": Access(),
        "subscribers": {"confirmed": 0, "pending": 0},
    }

    found = unwell(stack=stack, **signs)

    # then every command is for there
    assert [each.where for each in found] == [
        "logging role",
        "logging role",
        "subscription",
        "permission",
        "failed deliveries",
        "large bodies",
        "alarms",
        "topic",
    ]
    for each in found:
        assert "arn:aws:" not in each.do
        assert "us-east-1" not in each.do


@pytest.mark.parametrize(
    "field",
    # the last change is read only if there is a problem, which then says why it could not be read
    [each for each in Observed.__struct_fields__ if each not in {"at", "stack", "logging_change", "fetch_error"}],
)
def test_what_could_not_be_read_is_a_warning_with_the_reason(field: str) -> None:
    found = unwell(**{field: Unread("User is not authorized to perform: x:Y")})

    assert found
    assert {each.status for each in found} == {Status.WARNING}
    assert {each.what for each in found} == {"Could not check: User is not authorized to perform: x:Y"}


def test_the_table_shows_all_and_the_advice_stays_in_one_piece() -> None:
    found = [
        Finding(Status.OK, "stack", "is fine"),
        Finding(Status.WARNING, "records", "2 were rejected [at noon]", "read the log"),
        Finding(
            Status.PROBLEM, "permission", "is gone", "Allow it:\n  aws lambda add-permission " + "--option value " * 20
        ),
    ]
    console = Console(file=StringIO(), width=60)
    console.print(command.render(found, 60), soft_wrap=True)
    written = console.file.getvalue()  # type: ignore[attr-defined]

    assert "2 were rejected [at noon]" in written
    assert found[2].do.partition("\n")[2] in written
    assert written.index("▸ permission") < written.index("▸ records")
    assert "▸ stack" not in written


# ---------------------------------------------------------------- what is read of AWS's answers


def denied(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "AccessDeniedException", "Message": f"may not {operation}"}}, operation)


class Refusing:
    """A session that may read its stack, and nothing else."""

    def client(self, service: str) -> Any:
        return _Stacks() if service == "cloudformation" else _Refusal()


class _Stacks:
    def describe_stacks(self, StackName: str) -> Any:  # noqa: N803 - AWS's name
        stack = {
            "StackName": StackName,
            "StackId": STACK.arn,
            "StackStatus": "CREATE_COMPLETE",
            "Outputs": [{"OutputKey": "InvocationLogStreamArn", "OutputValue": STREAM}],
        }
        return {"Stacks": [stack]}

    def get_paginator(self, _operation: str) -> Any:
        kinds = {**dict.fromkeys(STACK.resources, "Other"), **STACK.types, "AlarmTopic": "AWS::SNS::Topic"}
        resources = [
            {
                "LogicalResourceId": name,
                "PhysicalResourceId": physical,
                "ResourceType": kinds[name],
                "ResourceStatus": "CREATE_COMPLETE",
            }
            for name, physical in STACK.resources.items()
        ]
        gone = {**resources[0], "LogicalResourceId": "Gone", "ResourceStatus": "DELETE_COMPLETE"}
        return _Pages([{"StackResourceSummaries": [*resources, gone]}])


class _Pages:
    def __init__(self, pages: list[Any]) -> None:
        self._pages = pages

    def paginate(self, **_arguments: Any) -> list[Any]:
        return self._pages


class _Refusal:
    def __getattr__(self, operation: str) -> Any:
        def refuse(*_given: Any, **_arguments: Any) -> Any:
            raise denied(operation)

        return refuse


def test_credentials_that_may_see_nothing_give_warnings_and_no_crash() -> None:
    session: Any = Refusing()

    signs = collect.collect(session, "monitor", NOW)

    unread = {name for name in Observed.__struct_fields__ if isinstance(getattr(signs, name), Unread)}
    assert unread == {*Observed.__struct_fields__} - {
        "at",
        "stack",
        "own_log_groups",
        "parts",
        "logging_change",
        "fetch_error",
        "logging_role",
        "large_bodies",
        "log_group_key",
    }
    assert signs.parts == Parts(
        unread=(
            Unread(
                "These credentials may not call get_topic_attributes. Ask for that right. AWS returned: may not "
                "get_topic_attributes"
            ),
        )
    )
    assert signs.stack.logical_ids("AWS::CloudWatch::Alarm") == ("NoRecordsAlarm", "ReservedQuotaAlarm", "TestAlarm")
    assert "Gone" not in signs.stack.resources
    statuses = [each.status for each in run_checks(signs)]
    assert Status.PROBLEM not in statuses
    assert statuses.count(Status.WARNING) >= 14


@pytest.mark.parametrize(
    ("parameters", "advice"),
    [
        pytest.param({}, "If it is a CloudWatch monitoring account:\n  {}", id="not told"),
        pytest.param({"MonitoringAccount": "no"}, "If it is a CloudWatch monitoring account:\n  {}", id="told no"),
        pytest.param(
            {"MonitoringAccount": "yes"}, "If it is no longer a CloudWatch monitoring account:\n  {}", id="told yes"
        ),
    ],
)
def test_sinks_that_may_not_be_listed_still_give_advice(parameters: dict[str, str], advice: str) -> None:
    other = "no" if parameters.get("MonitoringAccount") == "yes" else "yes"
    deploy = f"quota-monitor deploy --parameter MonitoringAccount={other} --regions us-east-1 --stack-name monitor"
    (found,) = unwell(sinks=Unread("no oam:ListSinks"), stack=change(STACK, parameters=parameters))

    assert (found.status, found.what) == (Status.WARNING, "Could not check: no oam:ListSinks")
    assert found.do == f"Run the doctor again with credentials that allow it (--profile).\n{advice.format(deploy)}"


@pytest.mark.parametrize(
    ("value", "sinks"), [pytest.param("no", (SINK,), id="sink"), pytest.param("yes", (), id="no sink")]
)
def test_a_wrong_monitoring_account_gets_a_command_to_paste(value: str, sinks: tuple[str, ...]) -> None:
    (found,) = unwell(sinks=sinks, stack=change(STACK, parameters={"MonitoringAccount": value}))

    other = {"no": "yes", "yes": "no"}[value]
    assert found.do == (
        f"Deploy with MonitoringAccount={other}:\n"
        f"  quota-monitor deploy --parameter MonitoringAccount={other} --regions us-east-1 --stack-name monitor"
    )


@pytest.mark.parametrize(
    ("alarms", "status"),
    [
        pytest.param(ALARMS, Status.WARNING, id="no alarm in ALARM"),
        pytest.param((change(ALARMS[0], state="ALARM"), *ALARMS[1:]), Status.PROBLEM, id="alarm in ALARM"),
        pytest.param((*ALARMS[:2], change(ALARMS[2], state="ALARM")), Status.WARNING, id="test alarm in ALARM"),
        pytest.param(
            (change(ALARMS[0], state="INSUFFICIENT_DATA"), *ALARMS[1:]), Status.WARNING, id="alarm without data"
        ),
        pytest.param(Unread("no cloudwatch:DescribeAlarms"), Status.WARNING, id="alarms unread"),
    ],
)
def test_a_topic_without_a_subscriber_is_a_problem_only_while_an_alarm_is_on(alarms: Any, status: Status) -> None:
    found = unwell(alarms=alarms, subscribers={"confirmed": 0, "pending": 0})

    assert [each.status for each in found if each.where == "topic"] == [status]


def test_a_stack_that_cannot_be_read_is_exit_code_3(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_given: Any) -> None:
        raise NoCredentialsError

    monkeypatch.setattr(command, "open_session", lambda _profile, _region: None)
    monkeypatch.setattr(command, "collect", fail)

    result = CliRunner().invoke(main, ["doctor"])

    assert (result.exit_code, result.output) == (
        3,
        "Error: There are no AWS credentials. Sign in, for example with `aws sso login`, and run the command again. "
        "Or name a profile that has some with --profile.\n",
    )


def alarm_answer(name: str, state: str, *, pools: bool) -> dict[str, Any]:
    query = 'SELECT SUM(x) FROM "y" GROUP BY z ORDER BY SUM() DESC' if pools else 'SELECT SUM(x) FROM "y"'
    return {
        "AlarmName": name,
        "StateValue": state,
        "ActionsEnabled": True,
        "Metrics": [{"Id": "q", "Expression": query, "Period": 60}, {"Id": "m"}],
    }


@pytest.mark.usefixtures("no_aws")
def test_contributors_are_read_of_quota_alarms_in_alarm_only_and_on_every_page() -> None:
    client = boto3.client("cloudwatch")
    answers = [
        alarm_answer("quota", "ALARM", pools=True),
        alarm_answer("quiet quota", "OK", pools=True),
        alarm_answer("other", "ALARM", pools=False),  # CloudWatch refuses to list contributors of these
        {"AlarmName": "plain", "StateValue": "ALARM", "ActionsEnabled": True},
    ]
    pages = [{"EndpointType": "regional", "ModelId": "a"}, {"EndpointType": "regional", "ModelId": "b"}]
    contributors = [
        [{"ContributorId": str(number), "ContributorAttributes": each, "StateReason": "x"}]
        for number, each in enumerate(pages)
    ]
    with Stubber(client) as stubber:
        stubber.add_response("describe_alarms", {"MetricAlarms": answers})
        stubber.add_response(
            "describe_alarm_contributors",
            {"AlarmContributors": contributors[0], "NextToken": "n"},
            {"AlarmName": "quota"},
        )
        stubber.add_response(
            "describe_alarm_contributors",
            {"AlarmContributors": contributors[1]},
            {"AlarmName": "quota", "NextToken": "n"},
        )

        found = alarms.collect_alarms(client, STACK)

        stubber.assert_no_pending_responses()
    assert {each.name: each.contributors for each in found} == {
        "quota": tuple(pages),
        "quiet quota": (),
        "other": (),
        "plain": (),
    }


@pytest.mark.usefixtures("no_aws")
def test_contributors_that_may_not_be_read_leave_the_alarm() -> None:
    client = boto3.client("cloudwatch")
    with Stubber(client) as stubber:
        stubber.add_response("describe_alarms", {"MetricAlarms": [alarm_answer("quota", "ALARM", pools=True)]})
        stubber.add_client_error("describe_alarm_contributors", "AccessDenied", "may not")

        (found,) = alarms.collect_alarms(client, STACK)

    assert isinstance(found.contributors, Unread)
    assert "may not" in found.contributors.reason


def test_an_sdk_without_the_operation_gives_no_contributors() -> None:
    client: Any = _Answers(describe_alarms={"MetricAlarms": [alarm_answer("quota", "ALARM", pools=True)]})
    older: Any = SimpleNamespace(describe_alarms=client.describe_alarms)

    (found,) = alarms.collect_alarms(older, STACK)

    assert found.contributors == ()


@pytest.mark.usefixtures("no_aws")
def test_number_of_contributors_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms, "_MAX_CONTRIBUTORS", 3)
    page = [{"ContributorId": "1", "ContributorAttributes": {"ModelId": "a"}, "StateReason": "x"}] * 2
    client = boto3.client("cloudwatch")
    with Stubber(client) as stubber:
        for _ in range(2):
            stubber.add_response("describe_alarm_contributors", {"AlarmContributors": page, "NextToken": "n"})

        assert len(alarms.list_contributors(client, "quota")) == 3
        stubber.assert_no_pending_responses()


def called(*ids: str, **others: str) -> dict[str, Any]:
    """A metric of Bedrock of the model that was called by this id."""
    dimensions = [{"Name": "ModelId", "Value": each} for each in ids]
    dimensions += [{"Name": name, "Value": value} for name, value in others.items()]
    return {"Namespace": "AWS/Bedrock", "MetricName": "InvocationLatency", "Dimensions": dimensions}


@pytest.mark.usefixtures("no_aws")
def test_calls_are_those_of_every_model_id_and_fall_into_the_period_of_either() -> None:
    client = boto3.client("cloudwatch")
    listed = [called("b"), called("a"), called("a", ServiceTier="default", ResolvedServiceTier="default")]
    times = [ago(minutes=10), ago(minutes=5)]
    results = [
        {"Id": "calls0", "Timestamps": [times[0]], "Values": [2.0]},
        {"Id": "calls1", "Timestamps": times, "Values": [1.0, 0.0]},
        {"Id": "recordsprocessed", "Timestamps": [times[1]], "Values": [7.0]},
    ]
    with Stubber(client) as stubber:
        stubber.add_response(
            "list_metrics",
            {"Metrics": listed},
            {
                "Namespace": "AWS/Bedrock",
                "MetricName": "InvocationLatency",
                "Dimensions": [{"Name": "ModelId"}],
            },
        )
        stubber.add_response("get_metric_data", {"MetricDataResults": results})

        found = traffic.collect_traffic(client, STACK, NOW)

    assert found.calls == (times[0],)
    assert (found.records, found.processed) == ((times[1],), 7)


@pytest.mark.usefixtures("no_aws")
def test_models_whose_calls_are_read_fit_into_one_request() -> None:
    client = boto3.client("cloudwatch")
    asked: list[Any] = []
    client.meta.events.register(
        "provide-client-params.cloudwatch.GetMetricData", lambda params, **_: asked.append(params)
    )
    with Stubber(client) as stubber:
        stubber.add_response("list_metrics", {"Metrics": [called(f"m{number}") for number in range(900)]})
        stubber.add_response("get_metric_data", {"MetricDataResults": []})

        traffic.collect_traffic(client, STACK, NOW)

    assert 400 < len(asked[0]["MetricDataQueries"]) <= 500


class _Answers:
    """A client that answers each operation as it is told to."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers

    def __getattr__(self, operation: str) -> Any:
        return lambda **_arguments: self._answers[operation]


def tier_metric(**dimensions: str) -> dict[str, Any]:
    return {
        "Namespace": "AWS/Bedrock",
        "MetricName": "Invocations",
        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
    }


@pytest.mark.usefixtures("no_aws")
def test_models_with_reserved_capacity_are_found_in_any_case_and_on_every_page() -> None:
    opus, haiku = "us.anthropic.claude-opus-4-6-v1", "global.anthropic.claude-haiku-4-5-20251001-v1:0"
    client = boto3.client("cloudwatch")
    asked = {"Namespace": "AWS/Bedrock", "Dimensions": [{"Name": "ResolvedServiceTier"}]}
    first = [
        tier_metric(ModelId=opus, ServiceTier="reserved", ResolvedServiceTier="Reserved"),
        tier_metric(ModelId=opus, ServiceTier="reserved", ResolvedServiceTier="default"),
        tier_metric(ModelId="overflow.only", ServiceTier="reserved", ResolvedServiceTier="default"),
        tier_metric(ResolvedServiceTier="reserved"),
    ]
    second = [tier_metric(ModelId=haiku, ResolvedServiceTier="RESERVED")]
    with Stubber(client) as stubber:
        stubber.add_response("list_metrics", {"Metrics": first, "NextToken": "more"}, asked)
        stubber.add_response("list_metrics", {"Metrics": second}, asked | {"NextToken": "more"})

        assert traffic.collect_reserved_models(client) == (haiku, opus)
        stubber.assert_no_pending_responses()


@pytest.mark.usefixtures("no_aws")
def test_search_for_reserved_capacity_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "_MAX_LISTED", 2)
    client = boto3.client("cloudwatch")
    flex = tier_metric(ModelId="m", ResolvedServiceTier="flex")
    with Stubber(client) as stubber:
        stubber.add_response("list_metrics", {"Metrics": [flex, flex, flex], "NextToken": "more"})

        assert traffic.collect_reserved_models(client) == ()


def test_quota_that_all_models_share_is_named() -> None:
    (found,) = (
        each
        for each in run_checks(change(WELL, snapshot=Snapshot(NOW, QUOTAS, account_tokens_per_day=150_000_000)))
        if "tokens per day" in each.what
    )

    assert (found.status, found.where) == (Status.OK, "quotas")
    assert found.what.startswith("All models of this account share 150,000,000 tokens per day in this Region.")


@pytest.mark.parametrize("count", [pytest.param(1, id="one"), pytest.param(3, id="three"), pytest.param(5, id="five")])
def test_filters_of_others_are_named_and_never_to_be_deleted(count: int) -> None:
    others = tuple(Filter(f"shipper-{number}", "", "arn:aws:lambda:x") for number in range(count))

    (found,) = unwell(filters=others)

    assert "If AWS refuses it with LimitExceededException, the log group has no room" in found.do
    assert f"Its filters: {', '.join(each.name for each in others)}." in found.do
    assert "delete" not in found.do.lower()


def test_who_a_role_trusts_is_read_from_every_way_to_write_it() -> None:
    statements = [
        {
            "Effect": "Allow",
            "Principal": {"Service": ["lambda.amazonaws.com", "bedrock.amazonaws.com"]},
            "Action": ["sts:TagSession", "sts:assume*"],
            "Condition": {
                "StringEquals": {"AWS:SourceAccount": [ACCOUNT, "444455556666"]},
                "ArnLike": {"aws:SourceArn": "arn:aws:bedrock:*"},
            },
        },
        {"Effect": "Deny", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sts:AssumeRole"},
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"},
    ]
    decisions = [
        {"EvalActionName": "logs:CreateLogStream", "EvalDecision": "implicitDeny"},
        {"EvalActionName": "logs:PutLogEvents", "EvalDecision": "allowed"},
        # a condition on what only Bedrock says, which may well be met
        {"EvalActionName": "logs:X", "EvalDecision": "implicitDeny", "MissingContextValues": ["aws:SourceArn"]},
    ]
    client: Any = _Answers(
        get_role={"Role": {"AssumeRolePolicyDocument": {"Statement": statements}}},
        simulate_principal_policy={"EvaluationResults": decisions},
    )

    role = collect._writing_role(client, STACK, LOGGING)

    assert role == Role(
        LOGGING_ROLE,
        trusts=tuple(
            Permission(service, "arn:aws:bedrock:*", account)
            for service in ("lambda.amazonaws.com", "bedrock.amazonaws.com")
            for account in (ACCOUNT, "444455556666")
        ),
        refused=("logs:CreateLogStream",),
    )
    assert unwell(logging_role=change(role, refused=())) == []


class _Account:
    """A session of which each service answers its operations as it is told to."""

    def __init__(self, **services: dict[str, Any]) -> None:
        self._services = services

    def client(self, service: str) -> Any:
        return _Answers(**self._services[service])


MAPPING = {
    "UUID": "9d2a0f3e",
    "State": "Enabled",
    "LastProcessingResult": "OK",
    "FunctionResponseTypes": ["ReportBatchItemFailures"],
    "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::failed"}},
}


@pytest.mark.parametrize(
    ("mapping", "reader"),
    [
        pytest.param(
            MAPPING, Reader("9d2a0f3e", "Enabled", "arn:aws:s3:::failed", "OK", in_part=True), id="as deployed"
        ),
        pytest.param(
            {"UUID": "9d2a0f3e", "State": "Enabled"},  # as it is with nothing set, before it has read anything
            Reader("9d2a0f3e", "Enabled", None, "", in_part=False),
            id="nothing set",
        ),
    ],
)
@pytest.mark.parametrize("decision", ["allowed", "implicitDeny"])
def test_a_stream_is_looked_at_with_what_fills_and_reads_it(
    mapping: dict[str, Any], reader: Reader, decision: str
) -> None:
    # given
    stack = change(
        STACK,
        outputs={"InvocationLogStreamArn": STREAM},
        resources={"InvocationLogStreamRole": "puts", "InvocationLogStreamMapping": "9d2a0f3e"},
    )
    decisions = [{"EvalActionName": "kinesis:PutRecord", "EvalDecision": decision}]
    account: Any = _Account(
        kinesis={"describe_stream_summary": {"StreamDescriptionSummary": {"StreamStatus": "UPDATING"}}},
        iam={"simulate_principal_policy": {"EvaluationResults": decisions}},
        **{"lambda": {"get_event_source_mapping": mapping}},
    )
    # when
    found = collect._stream(account, stack)
    # then
    refused = () if decision == "allowed" else ("kinesis:PutRecord",)
    assert found == Stream(STREAM, "UPDATING", Role(f"arn:aws:iam::{ACCOUNT}:role/puts", refused=refused), reader)


def test_every_check_is_run() -> None:
    modules = [
        importlib.import_module(f"{checks_package.__name__}.{each.name}")
        for each in pkgutil.iter_modules(checks_package.__path__)
    ]
    # `check` wraps the function that it decorates
    decorated = [each for module in modules for each in vars(module).values() if hasattr(each, "__wrapped__")]

    assert len(decorated) > 20
    assert set(decorated) == set(CHECKS)
    assert len(CHECKS) == len(set(CHECKS))


# ---------------------------------------------------------------- quotas


def test_a_quota_of_0_gets_the_commands_that_request_more() -> None:
    notice = "quota is 0: m (regional) may not be called by this account in this Region"
    snapshot = change(WELL.snapshot, active_notices={ZERO: (notice,)})

    (found,) = unwell(snapshot=snapshot)

    assert found.what == notice
    find, ask = commands.in_advice(found.do)
    assert find == (
        "aws service-quotas list-service-quotas --service-code bedrock --query "
        "'Quotas[?Value==`0.0`].[QuotaCode,QuotaName]' --output text --region us-east-1"
    )
    assert ask == (
        "aws service-quotas request-service-quota-increase --service-code bedrock --quota-code CODE "
        "--desired-value VALUE --region us-east-1"
    )


def test_a_quota_of_0_of_a_legacy_model_gets_no_request() -> None:
    pool = QuotaPool("anthropic.claude-opus-4-1-20250805-v1:0", EndpointType.CROSS_REGION)
    notice = f"quota is 0: {pool} may not be called by this account in this Region"
    snapshot = change(WELL.snapshot, quotas=((pool, PoolQuota(0)),), active_notices={ZERO: (notice,)})

    (found,) = unwell(snapshot=snapshot)

    assert found.do == (
        "The model ends on 2027-01-08, and AWS grants no increase for legacy models. Move its callers to another model."
    )


def test_a_failed_fetch_has_the_reason_from_the_log() -> None:
    reason = "the registry's overrides are rejected, the last valid ones stay in use: unknown field `burndwon`"

    (found,) = unwell(traffic=change(WELL.traffic, last_failed_fetch=ago(minutes=10)), fetch_error=reason)

    assert found.what.endswith(f"in whole or in part. Its log says: {reason}")


class _Log:
    """CloudWatch Logs: pages of events, as minutes after NOW and a message. It counts the pages that are read."""

    def __init__(self, *pages: list[tuple[float, str]]) -> None:
        self._pages, self.read = pages, 0

    def get_paginator(self, operation: str) -> Any:
        assert operation == "filter_log_events"
        return self

    def paginate(self, *, startTime: int, endTime: int, **_more: Any) -> Any:  # noqa: N803
        for page in self._pages:
            self.read += 1
            stamped = [(int(NOW.timestamp() * 1000 + minute * 60_000), message) for minute, message in page]
            yield {
                "events": [
                    {"timestamp": stamp, "message": message}
                    for stamp, message in stamped
                    if startTime <= stamp <= endTime
                ]
            }


@pytest.mark.parametrize(
    ("pages", "reason"),
    [
        pytest.param([[]], None, id="no error"),
        pytest.param(
            [[(1, '{"level":"ERROR","message":"first"}')], [(2, '{"level":"ERROR","message":"a\\n b"}')]],
            "a b",
            id="last of two pages",
        ),
        pytest.param([[(2, "later"), (1, "earlier")]], "later", id="not in order"),
        pytest.param([[(0, "begin")], [(4.9, "end"), (5, "next period")]], "next period", id="end of a long run"),
        pytest.param([[(n / 10, f"{n}")] for n in range(10)], "4", id="more pages than are read"),
        pytest.param([[(n, f"{n}")] for n in (0, 1, 2, 14)], "14", id="retry that timed out"),
        pytest.param([[(-1, "of the run before"), (20, "of another run")]], None, id="errors of other runs"),
        pytest.param(
            [[(0, "2026-11-28 Task timed out after 60.00 seconds\n\n")]],
            "2026-11-28 Task timed out after 60.00 seconds",
            id="timeout",
        ),
        pytest.param([[(0, '{"message":"' + "x" * 2_000 + '"}')]], "x" * 500, id="long"),
    ],
)
def test_the_last_error_of_a_log(pages: list[list[tuple[float, str]]], reason: str | None) -> None:
    log: Any = _Log(*pages)

    assert collect.read_last_error(log, "/fetcher", NOW) == reason


def test_few_pages_of_a_log_are_searched() -> None:
    log: Any = _Log(*[[]] * 100)

    assert collect.read_last_error(log, "/fetcher", NOW) is None
    assert log.read == 20  # 5 of each period


def test_an_expired_session_ends_the_doctor_at_once() -> None:
    def expire() -> None:
        raise ClientError({"Error": {"Code": "ExpiredToken", "Message": ""}}, "GetRole")

    with pytest.raises(ClientError, match="ExpiredToken"):
        collect._attempt(expire)
