"""`quota-monitor deploy`: its options, and the progress of a Region from the output of `sam deploy`."""

import itertools

import click
import pytest
from click.testing import CliRunner

from localaws import instance, sam
from quota_monitor.deployment import checkout, deploy, regions
from quota_monitor.deployment.regions import RegionProgress, State
from quota_monitor.main import main
from quota_monitor.places import parse_regions


def told(*documents):
    return list(itertools.accumulate(documents, regions.apply_document, initial=RegionProgress()))


def event(logical_id, status, reason="", resource_type="AWS::Kinesis::Stream"):
    given = {"resource_type": resource_type, "status": status, "reason": reason}
    return {"type": "event", "logical_id": logical_id, **given}


def test_a_region_goes_from_preparing_to_deployed_with_its_outputs():
    steps = told(
        {"type": "info", "managed_s3_bucket": "b"},
        {"type": "changeset", "action": "Add", "logical_id": "StateTable"},
        event("StateTable", "CREATE_IN_PROGRESS"),
        {"type": "outputs", "stack_outputs": [{"key": "DashboardURL", "value": "https://x", "description": ""}]},
        {"type": "result", "status": "success"},
    )
    assert [(each.state, each.current) for each in steps] == [
        (State.PREPARING, ""),
        (State.PREPARING, ""),
        (State.DEPLOYING, "to change: StateTable"),
        (State.DEPLOYING, "StateTable CREATE_IN_PROGRESS"),
        (State.DEPLOYING, "StateTable CREATE_IN_PROGRESS"),
        (State.DEPLOYED, ""),
    ]
    assert steps[-1].outputs == {"DashboardURL": "https://x"}


def test_the_reason_of_a_failure_is_the_first_one_that_is_no_consequence():
    *_, last = told(
        event("Other", "CREATE_FAILED", "Resource creation cancelled"),
        event("StateTable", "CREATE_FAILED", "no more tables"),
        event("stack", "ROLLBACK_IN_PROGRESS", "The following resource(s) failed to create: [StateTable]."),
        event("Topic", "DELETE_FAILED", "in use"),
        {"type": "result", "status": "failure", "error": {"type": "E", "message": "Failed to create the stack"}},
    )
    assert (last.state, last.reason) == (State.FAILED, "StateTable: no more tables")


@pytest.mark.parametrize(
    "said",
    [
        pytest.param("Resource limit exceeded. (Service: CloudWatchLogs)", id="in words"),
        pytest.param("LimitExceededException: no more", id="as an exception"),
    ],
)
def test_a_log_group_without_room_for_a_filter_is_explained(said):
    last = told(event("InvocationLogSubscription", "CREATE_FAILED", said))[-1]
    assert last.reason.startswith(f"InvocationLogSubscription: {said}\n  This means that the log group has no room for")


@pytest.mark.parametrize(
    ("logical_id", "said"),
    [
        pytest.param("StateTable", "LimitExceededException: no more", id="another resource"),
        pytest.param("InvocationLogSubscription", "ResourceNotFoundException", id="another reason"),
    ],
)
def test_no_other_failure_is_explained_as_a_full_log_group(logical_id, said):
    assert told(event(logical_id, "CREATE_FAILED", said))[-1].reason == f"{logical_id}: {said}"


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(
            "CloudFormation did not receive a response from your Custom Resource. Please check your logs for "
            "requestId [x]. If you are using the Python cfn-response module, you may need to update your code.",
            id="as now",
        ),
        pytest.param("Custom Resource failed to stabilize in expected time.", id="as before"),
    ],
)
@pytest.mark.parametrize("logical_id", ["InvocationLogSetup", "FirstQuotaFetch", "EmptyLargeBodiesBucket"])
def test_a_custom_resource_without_a_response_is_explained(logical_id, said):
    last = told(event(logical_id, "CREATE_FAILED", said, "Custom::EmptiedBucket"))[-1]
    assert last.reason.startswith(f"{logical_id}: {said}\n  Lambda did not run the function within 15 minutes")
    assert "concurrent executions of the account (10 in a new account)" in last.reason


def test_another_resource_that_does_not_stabilize_is_not_explained_as_a_custom_resource():
    said = "Resource failed to stabilize in expected time"
    assert told(event("InvocationLogStream", "CREATE_FAILED", said))[-1].reason == f"InvocationLogStream: {said}"


def test_a_failure_without_an_event_has_the_reason_of_sam():
    *_, last = told({"type": "result", "status": "failure", "error": {"type": "E", "message": "no credentials"}})
    assert (last.state, last.reason) == (State.FAILED, "no credentials")


def test_nothing_to_change_is_no_failure():
    *_, last = told({"type": "result", "status": "no_changes", "message": "No changes to deploy."})
    assert regions.finish(last, 0, "") == RegionProgress(State.UNCHANGED)


@pytest.mark.parametrize(
    ("exit_code", "last_lines", "reason"),
    [
        pytest.param(1, "Error: no such profile", "Error: no such profile", id="error"),
        pytest.param(-9, "", "sam deploy ended with code -9", id="killed"),
        pytest.param(0, "", "sam deploy ended with code 0", id="no report of success"),
    ],
)
def test_an_end_without_a_result_is_a_failure(exit_code, last_lines, reason):
    assert regions.finish(RegionProgress(), exit_code, last_lines) == RegionProgress(State.FAILED, reason=reason)


@pytest.mark.parametrize("line", ["", "Uploading to x", "{not JSON", "[1]"], ids=["empty", "text", "not JSON", "list"])
def test_a_line_that_is_no_document_is_none(line):
    assert sam.document(line) == {}


def test_regions_of_every_partition_are_taken():
    given = "us-east-1, eu-central-2,ap-southeast-4,us-gov-west-1,cn-northwest-1,mx-central-1,eusc-de-east-1,us-east-10"
    assert parse_regions(None, None, given)[1::3] == ("eu-central-2", "cn-northwest-1", "us-east-10")


@pytest.mark.parametrize(
    "given",
    [
        pytest.param("", id="nothing"),
        pytest.param("us-east-1,", id="comma at the end"),
        pytest.param("us-east", id="no number"),
        pytest.param("US-EAST-1", id="capitals"),
        pytest.param("us-east-1,us-east-1", id="named twice"),
        pytest.param("us-east-1;rm", id="shell command"),
    ],
)
def test_what_is_no_list_of_regions_is_refused(given):
    with pytest.raises(click.BadParameter):
        parse_regions(None, None, given)


def test_a_parameter_without_a_value_is_refused_before_anything_is_built(monkeypatch):
    monkeypatch.setattr(deploy, "build", lambda _parameters: pytest.fail("built"))
    result = CliRunner().invoke(main, ["deploy", "--regions", "us-east-1", "--parameter", "AlarmEmail"])
    assert result.exit_code == 2
    assert "'AlarmEmail' is not NAME=VALUE" in result.output


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("QuotaBuckets", "Did you mean QuotaPools?", id="renamed parameter"),
        pytest.param("Nonsense", "The template has no parameter Nonsense. It has: AlarmEmail, ", id="like no other"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("deploy", "--regions", "us-east-1"), id="deploy"),
        pytest.param(("package", "--regions", "us-east-1", "--bucket-prefix", "code"), id="package"),
        pytest.param(("local", "up"), id="local up"),
    ],
)
def test_a_parameter_that_the_template_lacks_is_refused_before_anything_is_built(monkeypatch, command, name, said):
    monkeypatch.setattr(checkout, "run_sam", lambda *_given, **_named: pytest.fail("built"))
    monkeypatch.setattr(instance, "up", lambda *_given, **_named: pytest.fail("started"))
    result = CliRunner().invoke(main, [*command, "--parameter", f"{name}=x"])
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.parametrize(
    ("parameters", "options", "environment"),
    [
        pytest.param({}, (), {}, id="no parameter"),
        pytest.param({"AlarmEmail": "a@b"}, ("--parameter-overrides", 'AlarmEmail="a@b"'), {}, id="another parameter"),
        pytest.param(
            {"Architecture": "x86_64"},
            ("--parameter-overrides", 'Architecture="x86_64"'),
            {"LAMBDA_PLATFORM": "x86_64"},
            id="x86_64",
        ),
        pytest.param(
            {"Architecture": "arm64"},
            ("--parameter-overrides", 'Architecture="arm64"'),
            {"LAMBDA_PLATFORM": "aarch64"},
            id="arm64",
        ),
    ],
)
def test_wheels_are_built_for_the_processor_that_is_deployed(monkeypatch, parameters, options, environment):
    called = []
    monkeypatch.setattr(checkout, "run_sam", lambda name, *given, **named: called.append((name, given, named)))
    deploy.build(parameters)
    assert called == [("build", options, environment)]
