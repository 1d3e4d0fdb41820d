"""What the doctor makes of a stack's signs: every finding made to happen, from a stack where all is well."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import commands
import msgspec
import pytest
from botocore.exceptions import ClientError
from rich.console import Console

from bedrock_quota.buckets import Bucket, EndpointType
from bedrock_quota.fetching import DRIFT, UNREAD, ZERO
from bedrock_quota.invocation_logging import LargeBodies
from bedrock_quota.log_groups import LogGroup
from bedrock_quota.quotas import BucketQuota
from bedrock_quota.snapshots import Snapshot
from quota_monitor import doctor, examination, findings
from quota_monitor.findings import Finding, Status
from quota_monitor.signs import (
    Access,
    Alarm,
    Filter,
    Function,
    InvocationLogging,
    Kept,
    Permission,
    Reader,
    Signs,
    Stream,
    Traffic,
    Unread,
)
from quota_monitor.stacks import Stack

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
GROUP = "/aws/bedrock/modelinvocations"
ACCOUNT = "111122223333"
SOURCE = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{GROUP}:*"
PROCESSOR = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:processor"
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:topic"
STACK = Stack(
    name="monitor",
    arn=f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/monitor/1",
    status="UPDATE_COMPLETE",
    parameters={"MetricsNamespace": "Bedrock/Quotas"},
    outputs={"InvocationLogGroupName": GROUP},
    resources={
        "MetricProcessorFunction": "processor",
        "QuotaFetcherFunction": "fetcher",
        "QuotaFetcherFunctionSchedule": "schedule",
        "QuotaFetcherFunctionOverridesChanged": "rule",
        "FailedDeliveriesBucket": "failed",
        "AlarmTopic": TOPIC,
        "SilenceAlarm": "monitor-silence-1",
        "TestAlarm": "monitor-test-1",
    },
    alarms=("SilenceAlarm", "TestAlarm"),
)
FUNCTION = Function("processor", PROCESSOR, "Active", "Successful", {"LARGE_BODIES_BUCKET": "large"})
FILTER = Filter("monitor-metric-processor", "", PROCESSOR, "Bedrock/Quotas")
LOG_GROUP = LogGroup(GROUP, f"arn:aws:logs:us-east-1:111122223333:log-group:{GROUP}")
LOGGING = InvocationLogging(text=True, log_group=GROUP, large_bodies=LargeBodies("large", "bodies/"))
ALARMS = (
    Alarm("monitor-silence-1", "OK", armed=True, actions=(TOPIC,), description="No records."),
    Alarm("monitor-test-1", "OK", armed=True, actions=(TOPIC,)),
)
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/theirs"
QUOTAS = ((Bucket("amazon.nova-pro-v1:0", EndpointType.CROSS_REGION), BucketQuota(tokens_per_minute=1)),)


def ago(**since: float) -> datetime:
    return NOW - timedelta(**since)


WELL = Signs(
    stack=STACK,
    invocation_logging=LOGGING,
    log_group=LOG_GROUP,
    filters=(FILTER,),
    permissions=(Permission("logs.amazonaws.com", SOURCE, ACCOUNT),),
    stream=None,
    processor=FUNCTION,
    on_failure="arn:aws:s3:::failed",
    own_log_groups={"/aws/lambda/processor": True},
    traffic=Traffic(calls=(ago(minutes=5),), records=(ago(minutes=5),), processed=10),
    large_bodies=Access(("arn:aws:s3:::large/bodies/*",)),
    kept=Kept(0),
    snapshot=Snapshot(ago(minutes=100), QUOTAS),
    fetcher=msgspec.structs.replace(FUNCTION, name="fetcher"),
    schedule="ENABLED",
    overrides_rule="ENABLED",
    alarms=ALARMS,
    subscribers={"confirmed": 1, "pending": 0},
)


def unwell(**signs: Any) -> list[Finding]:
    """The findings that are not ok, where these signs are not those of a stack that is well."""
    found = findings.of(msgspec.structs.replace(WELL, **signs), NOW)
    for each in found:
        for command in commands.in_advice(each.do):
            commands.check(command)
    return [each for each in found if each.status is not Status.OK]


def only(**signs: Any) -> tuple[str, str, str]:
    """Status, where and what of the one finding that these signs give; what to do is never left out."""
    (found,) = unwell(**signs)
    assert found.do
    return str(found.status), found.where, found.what


def change(value: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(value, **changes)


def test_every_place_that_is_looked_at_stands_in_the_docs() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "operations.md").read_text(encoding="utf-8")
    rows = page.partition("| where | a problem (or warning) is |\n|---|---|\n")[2].partition("\n\n")[0].splitlines()

    documented = {where for row in rows for where in row.split(" | ")[0].strip("| ").split(", ")}

    streaming = msgspec.structs.replace(WELL, **STREAMING)  # type: ignore[arg-type]
    assert documented == {finding.where for signs in (WELL, streaming) for finding in findings.of(signs, NOW)}


def test_a_stack_that_is_well_is_all_ok() -> None:
    found = findings.of(WELL, NOW)

    assert {each.status for each in found} == {Status.OK}
    assert len(found) == 16
    assert [each.where for each in found][:5] == [
        "stack",
        "invocation logging",
        "log group",
        "subscription",
        "permission",
    ]


STREAM = f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/logs"
READER = Reader("9d2a0f3e", "Enabled", "arn:aws:s3:::failed")
THROUGH = Stream(STREAM, "ACTIVE", f"arn:aws:iam::{ACCOUNT}:role/puts", READER)
STREAMING = {"stream": THROUGH, "filters": (msgspec.structs.replace(FILTER, destination=STREAM),)}


def test_a_stack_that_reads_a_stream_is_all_ok_and_needs_no_permission() -> None:
    signs = msgspec.structs.replace(WELL, **STREAMING, permissions=())  # type: ignore[arg-type]

    found = findings.of(signs, NOW)

    assert {each.status for each in found} == {Status.OK}
    assert [each.where for each in found][3:5] == ["subscription", "stream"]
    assert found[3].what.startswith("monitor-metric-processor delivers to the stream of processor")
    assert found[4].what == "logs is ACTIVE, and the processor reads it"


@pytest.mark.parametrize(
    ("changes", "what", "do"),
    [
        ({"status": None}, "logs is gone: every record is lost at once", "deploy with Ingestion=direct"),
        ({"role": None}, "CloudWatch Logs may not put records into it", "deploy with Ingestion=direct"),
        ({"reader": None}, "nothing reads logs: records are lost after 24 hours", "deploy with Ingestion=direct"),
        (
            {"reader": change(READER, state="Disabled")},
            "the processor does not read logs: its event source mapping is Disabled",
            "aws lambda update-event-source-mapping --uuid 9d2a0f3e --enabled",
        ),
        (
            {"reader": change(READER, on_failure=None)},
            "what the processor fails at is not kept",
            "--destination-config OnFailure={Destination=arn:aws:s3:::failed}",
        ),
    ],
)
def test_what_is_wrong_with_a_stream_is_a_problem(changes: dict[str, Any], what: str, do: str) -> None:
    (found,) = unwell(**STREAMING | {"stream": change(THROUGH, **changes)})

    assert (found.status, found.where) == (Status.PROBLEM, "stream")
    assert found.what.startswith(what)
    assert do in found.do


def test_a_filter_that_still_delivers_to_the_function_is_none_to_the_stream() -> None:
    (found,) = unwell(stream=THROUGH)

    assert found.what == f"no filter of {GROUP} delivers to the stream of processor"
    assert found.do.endswith(f"--destination-arn {STREAM} --role-arn {THROUGH.role} --distribution Random")


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        # the stack, and what comes into it
        ({"stack": change(STACK, status="ROLLBACK_COMPLETE")}, ("problem", "stack", "monitor is ROLLBACK_COMPLETE")),
        ({"stack": change(STACK, status="UPDATE_ROLLBACK_COMPLETE")}, ("warning", "stack", "the last update failed")),
        ({"stack": change(STACK, status="UPDATE_IN_PROGRESS")}, ("warning", "stack", "monitor is UPDATE_IN_PROGRESS")),
        ({"invocation_logging": None}, ("problem", "invocation logging", "is switched off")),
        (
            {
                "invocation_logging": None,
                "stack": change(STACK, parameters={**STACK.parameters, "InvocationLogging": "adopt-only"}),
            },
            ("problem", "invocation logging", "is switched off"),
        ),
        (
            {"invocation_logging": InvocationLogging(text=True, log_group=None)},
            ("problem", "invocation logging", "does not deliver to CloudWatch Logs"),
        ),
        (
            {"invocation_logging": InvocationLogging(text=True, log_group="/other")},
            ("problem", "invocation logging", f"delivers to /other, and the stack reads {GROUP}"),
        ),
        ({"invocation_logging": change(LOGGING, text=False)}, ("problem", "invocation logging", "leaves the text out")),
        ({"log_group": None}, ("problem", "log group", f"{GROUP} is gone")),
        (
            {"log_group": change(LOG_GROUP, log_class="INFREQUENT_ACCESS")},
            ("problem", "log group", f"{GROUP} is of the class INFREQUENT_ACCESS"),
        ),
        ({"filters": ()}, ("problem", "subscription", f"no filter of {GROUP} delivers to processor")),
        (
            {"filters": (change(FILTER, destination="arn:aws:lambda:us-east-1:1:function:other", namespace=None),)},
            ("problem", "subscription", f"no filter of {GROUP}"),
        ),
        (
            {"filters": (change(FILTER, pattern="ERROR"),)},
            ("problem", "subscription", "monitor-metric-processor lets only"),
        ),
        (
            {"filters": (FILTER, Filter("second", "", "arn:aws:lambda:us-east-1:1:function:b", "Bedrock/Quotas"))},
            ("problem", "subscription", "second feeds another monitor that publishes to Bedrock/Quotas, too"),
        ),
        ({"permissions": ()}, ("problem", "permission", "CloudWatch Logs may not invoke processor")),
        (
            {"permissions": (Permission("events.amazonaws.com", SOURCE, ACCOUNT),)},
            ("problem", "permission", "CloudWatch Logs may not invoke"),
        ),
        (
            {"permissions": (Permission("logs.amazonaws.com", SOURCE.replace(GROUP, "/other"), ACCOUNT),)},
            ("problem", "permission", "CloudWatch Logs may not invoke"),
        ),
        (
            {"permissions": (Permission("logs.amazonaws.com", SOURCE, "444455556666"),)},
            ("problem", "permission", "CloudWatch Logs may not invoke"),
        ),
        # records to metrics
        ({"processor": change(FUNCTION, reserved=0)}, ("problem", "processor", "processor is switched off")),
        ({"processor": change(FUNCTION, state="Failed")}, ("problem", "processor", "processor is Failed")),
        (
            {"processor": change(FUNCTION, last_update="Failed")},
            ("problem", "processor", "the last update of processor"),
        ),
        ({"processor": None}, ("problem", "processor", "processor is gone")),
        ({"on_failure": None}, ("problem", "failed deliveries", "are not kept: processor has no failure destination")),
        ({"on_failure": "arn:aws:s3:::other"}, ("problem", "failed deliveries", "are not kept")),
        (
            {"kept": Kept(1_234, datetime(2026, 11, 20, 9, 17, tzinfo=UTC))},
            ("problem", "failed deliveries", "1,234 wait in s3://failed, the oldest since 2026-11-20 09:17 UTC"),
        ),
        ({"own_log_groups": {"/a": True, "/b": False}}, ("problem", "metric lines", "/b is gone")),
        (
            {"traffic": Traffic(calls=(ago(minutes=30),))},
            ("problem", "records", "Bedrock was called 30 minutes ago, and no record came"),
        ),
        (
            {"traffic": Traffic(calls=(ago(minutes=20),), records=(ago(hours=5),))},
            ("problem", "records", "Bedrock was called 20 minutes ago, and the last record came 5 hours ago"),
        ),
        (
            # calls all the time, and none seen since an hour and a half: the last one alone would not show it
            {"traffic": Traffic(calls=tuple(ago(minutes=5 * n) for n in range(40)), records=(ago(minutes=90),))},
            ("problem", "records", "Bedrock was called 85 minutes ago, and the last record came 90 minutes ago"),
        ),
        (
            {"traffic": Traffic(records=(ago(minutes=5),), processed=10, rejected=2)},
            ("warning", "records", "2 were rejected in 24 hours"),
        ),
        (
            {"traffic": Traffic(records=(ago(minutes=5),), processed=100, unknown=21)},
            ("warning", "records", "for 21% of them max_tokens is unknown"),
        ),
        ({"large_bodies": Access((), bucket_there=False)}, ("problem", "large bodies", "the bucket large is gone")),
        (
            {"processor": change(FUNCTION, environment={"LARGE_BODIES_BUCKET": ""})},
            ("problem", "large bodies", "go to large, of which the processor was told nothing"),
        ),
        (
            {"large_bodies": Access(("arn:aws:s3:::large/other/*",))},
            ("problem", "large bodies", "the processor may not read s3://large/bodies/"),
        ),
        (
            {"large_bodies": change(WELL.large_bodies, key=KEY, decrypts=False)},
            (
                "problem",
                "large bodies",
                f"s3://large is encrypted with {KEY}, which the processor may not use: "
                "max_tokens of calls over 100 KB stays unknown",
            ),
        ),
        # quotas
        ({"snapshot": None}, ("problem", "quotas", "were never fetched")),
        ({"snapshot": Snapshot(NOW)}, ("problem", "quotas", "were never fetched")),
        ({"snapshot": Snapshot(ago(hours=7), QUOTAS)}, ("problem", "quotas", "were last fetched 7 hours ago")),
        (
            {"traffic": Traffic(last_failed_fetch=ago(minutes=10))},
            ("warning", "quotas", "a fetch failed 10 minutes ago, in whole or in part"),
        ),
        (
            {"snapshot": Snapshot(NOW, QUOTAS, standing={ZERO: ("quota is 0: x",), UNREAD: ("unread",)})},
            ("warning", "quotas", "quota is 0: x"),
        ),
        ({"snapshot": Snapshot(NOW, QUOTAS, standing={DRIFT: ("rate of y",)})}, ("warning", "quotas", "rate of y")),
        ({"fetcher": None}, ("problem", "fetcher", "fetcher is gone")),
        ({"schedule": "DISABLED"}, ("problem", "schedule", "schedule is switched off: quotas grow old")),
        ({"schedule": None}, ("problem", "schedule", "schedule is gone: quotas grow old")),
        ({"overrides_rule": "DISABLED"}, ("warning", "overrides", "the rule rule is switched off")),
        ({"overrides_rule": None}, ("warning", "overrides", "the rule rule is gone")),
        # alarms
        ({"alarms": ALARMS[:1]}, ("problem", "alarms", "TestAlarm is gone")),
        (
            {"alarms": (change(ALARMS[0], armed=False), ALARMS[1])},
            ("problem", "alarms", "SilenceAlarm: actions are switched off"),
        ),
        (
            {"alarms": (change(ALARMS[0], actions=("arn:other",)), ALARMS[1])},
            ("problem", "alarms", f"SilenceAlarm no longer reports to {TOPIC}"),
        ),
        ({"alarms": (change(ALARMS[0], state="ALARM"), ALARMS[1])}, ("warning", "alarms", "SilenceAlarm rings")),
        (
            {"subscribers": {"confirmed": 0, "pending": 2}},
            ("problem", "topic", "nobody is subscribed, no alarm is heard; 2 have not confirmed"),
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
        {"traffic": Traffic()},
        {"traffic": Traffic(calls=(ago(minutes=19),))},
        {"traffic": Traffic(records=(ago(minutes=50),))},
        # coverage of a fifth unknown, and no more
        {"traffic": Traffic(records=(NOW,), processed=100, unknown=20)},
        # a failed fetch that is long over
        {"traffic": Traffic(last_failed_fetch=ago(hours=7))},
        # no bucket for large bodies, none wanted
        {"invocation_logging": change(LOGGING, large_bodies=None), "large_bodies": Access(())},
        # a permission without conditions, or of the Region's own principal; another subscriber that is no monitor
        {"permissions": (Permission("logs.us-east-1.amazonaws.com", None, None),)},
        {"filters": (FILTER, Filter("firehose", "", "arn:aws:firehose:us-east-1:1:deliverystream/x"))},
        {"filters": (FILTER, Filter("second", "", "arn:aws:lambda:us-east-1:1:function:b", "Bedrock/Second"))},
        # the alarm of a test is no alarm
        {"alarms": (ALARMS[0], change(ALARMS[1], state="ALARM"))},
        {"processor": change(FUNCTION, reserved=5)},
    ],
)
def test_what_is_no_fault_is_not_found(signs: dict[str, Any]) -> None:
    assert unwell(**signs) == []


def test_what_follows_from_a_fault_is_not_found_twice() -> None:
    assert [each.where for each in unwell(log_group=None, filters=None)] == ["log group"]


def test_two_others_filters_leave_no_room() -> None:
    others = tuple(Filter(name, "", f"arn:aws:lambda:us-east-1:1:function:{name}") for name in ("a", "b"))

    (found,) = unwell(filters=others)

    assert found.do.startswith("take one of a, b away, for a group has room for 2, and put it back: aws logs put-")


def test_commands_name_what_they_are_for() -> None:
    (gone,) = unwell(filters=())
    (forbidden,) = unwell(permissions=())

    assert gone.do.endswith(
        f"--log-group-name {GROUP} --filter-name monitor-metric-processor "
        f"--filter-pattern '' --destination-arn {PROCESSOR}"
    )
    assert forbidden.do.endswith(f"--principal logs.amazonaws.com --source-account {ACCOUNT} --source-arn '{SOURCE}'")


@pytest.mark.parametrize("field", [each for each in Signs.__struct_fields__ if each != "stack"])
def test_what_could_not_be_read_is_a_warning_with_the_reason(field: str) -> None:
    found = unwell(**{field: Unread("User is not authorized to perform: x:Y")})

    assert found
    assert {each.status for each in found} == {Status.WARNING}
    assert {each.what for each in found} == {"could not check: User is not authorized to perform: x:Y"}


def test_the_table_shows_all_and_the_advice_stays_in_one_piece() -> None:
    found = [
        Finding(Status.OK, "stack", "is fine"),
        Finding(Status.WARNING, "records", "2 were rejected [at noon]", "read the log"),
        Finding(Status.PROBLEM, "permission", "is gone", "aws lambda add-permission " + "--option value " * 20),
    ]
    console = Console(file=StringIO(), width=60)
    console.print(doctor.render(found), soft_wrap=True)
    written = console.file.getvalue()  # type: ignore[attr-defined]

    assert "2 were rejected [at noon]" in written
    assert found[2].do in written
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
        kinds = {name: "AWS::CloudWatch::Alarm" if name in STACK.alarms else "Other" for name in STACK.resources}
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

    signs = examination.examine(session, "monitor", NOW)

    unread = {name for name in Signs.__struct_fields__ if isinstance(getattr(signs, name), Unread)}
    assert unread == {*Signs.__struct_fields__} - {"stack", "own_log_groups"}
    assert signs.stack.alarms == ("SilenceAlarm", "TestAlarm")
    assert "Gone" not in signs.stack.resources
    statuses = [each.status for each in findings.of(signs, NOW)]
    assert Status.PROBLEM not in statuses
    assert statuses.count(Status.WARNING) >= 14
