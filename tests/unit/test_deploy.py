"""`quota-monitor deploy`: its options, and the progress of a Region from the output of `sam deploy`."""

import itertools
import shlex
from datetime import UTC, datetime

import boto3
import click
import pytest
from botocore.stub import Stubber
from click.testing import CliRunner
from samcli.cli.types import CfnTags

from localaws import instance, sam
from quota_monitor.deployment import checkout, deploy, regions, tags
from quota_monitor.deployment.regions import RegionProgress, State
from quota_monitor.main import main


def told(*documents):
    return list(itertools.accumulate(documents, regions.apply_document, initial=RegionProgress()))


def event(logical_id, status, reason=""):
    return {"type": "event", "logical_id": logical_id, "status": status, "reason": reason}


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


NO_ANSWER = (
    "CloudFormation did not receive a response from your Custom Resource. Please check your logs for requestId [1]. If "
    "you are using the Python cfn-response module, you may need to update your Lambda function code"
)


@pytest.mark.parametrize("kind", ["creation", "update", "deletion"])
def test_what_another_failure_cancelled_is_no_reason(kind):
    *_, last = told(
        event("Other", "UPDATE_FAILED", f"Resource {kind} cancelled"),
        event("StateTable", "UPDATE_FAILED", "no more tables"),
    )
    assert last.reason == "StateTable: no more tables"


def test_the_first_reason_is_kept_to_the_end_of_the_deletion():
    *_, last = told(
        {"type": "changeset", "action": "Add", "logical_id": "InvocationLogSetup"},
        event("InvocationLogSetup", "CREATE_FAILED", NO_ANSWER),
        event("InvocationLogSetup", "DELETE_FAILED", "CloudFormation did not receive a response either"),
        event("stack", "DELETE_FAILED", "The following resource(s) failed to delete: [InvocationLogSetup]."),
        {"type": "result", "status": "failure", "error": {"type": "E", "message": "Failed to create the stack"}},
    )
    ended = regions.finish(last, 1, "Stack monitor failed to delete properly")
    assert (ended.state, ended.started) == (State.FAILED, True)
    assert ended.reason.startswith(f"InvocationLogSetup: {NO_ANSWER}")


class Ended:
    """A deployment that has ended."""

    def __init__(self, progress):
        self.region, self.progress = "eu-west-1", progress


def test_a_failure_says_how_to_find_all_events_of_a_stack_that_is_deleted():
    progress = RegionProgress(State.FAILED, reason="StateTable: no more tables", started=True)
    said = str(deploy._endings([Ended(progress)], "monitor"))
    assert "  Failed: StateTable: no more tables\n  All events, for 90 days after" in said
    find, show = [shlex.split(line) for line in said.splitlines() if line.strip().startswith("aws ")]
    assert find[:5] == ["aws", "cloudformation", "list-stacks", "--region", "eu-west-1"]
    assert "StackSummaries[?StackName=='monitor']" in find[6]
    assert show[:5] == ["aws", "cloudformation", "describe-stack-events", "--region", "eu-west-1"]
    assert show[-2:] == ["--stack-name", "ARN"]


def test_a_failure_before_any_change_has_no_events_to_look_for():
    said = str(deploy._endings([Ended(RegionProgress(State.FAILED, reason="no credentials"))], "monitor"))
    assert said.strip().splitlines() == ["eu-west-1", "  Failed: no credentials"]


# Tags


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param({}, id="none"),
        pytest.param({"team": "ours", "cost-center": "7"}, id="words"),
        pytest.param({"Cost Center": "a b"}, id="spaces"),
        pytest.param({"team": "a=b", "other": "c"}, id="equals sign in a value"),
        pytest.param({"team": "Zoë (büro)"}, id="other letters"),
        pytest.param({"team": ""}, id="no value"),
    ],
)
def test_sam_takes_the_tags_as_they_are(wanted):
    option, *values = tags.tags_arguments(wanted) or ["--tags"]
    assert option == "--tags"
    assert CfnTags().convert(tuple(values), None, None) == wanted
    assert bool(values) is bool(wanted)  # an empty option would remove the tags of the stack


def test_tags_that_sam_would_change_are_refused():
    with pytest.raises(click.ClickException, match=r"cannot pass these tags .*: a, d\."):
        tags.tags_arguments({"a": "b=c", "d": "e f=g"})


@pytest.fixture
def session():
    return boto3.Session(region_name="eu-west-1")


def stubbed(session, monkeypatch, answer):
    client = session.client("cloudformation")
    stubber = Stubber(client)
    answer(stubber)
    stubber.activate()
    monkeypatch.setattr(session, "client", lambda _name, **_options: client)
    return session


STACK = {"StackName": "monitor", "CreationTime": datetime(2026, 11, 28, tzinfo=UTC), "StackStatus": "CREATE_COMPLETE"}


@pytest.mark.usefixtures("no_aws")
@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        pytest.param({}, {}, id="none"),
        pytest.param({"Tags": [{"Key": "team", "Value": "ours"}]}, {"team": "ours"}, id="one"),
        pytest.param({"Tags": [{"Key": "aws:servicecatalog:x", "Value": "y"}]}, {}, id="of AWS"),
    ],
)
def test_tags_of_a_stack_are_kept(session, monkeypatch, stack, expected):
    found = stubbed(
        session, monkeypatch, lambda stubber: stubber.add_response("describe_stacks", {"Stacks": [STACK | stack]})
    )
    assert tags.read_tags(found, "monitor") == expected


@pytest.mark.usefixtures("no_aws")
@pytest.mark.parametrize("code", ["ValidationError", "AccessDenied"])
def test_a_stack_that_cannot_be_read_has_no_tags_and_sam_says_why(session, monkeypatch, code):
    found = stubbed(session, monkeypatch, lambda stubber: stubber.add_client_error("describe_stacks", code))
    assert tags.read_tags(found, "monitor") == {}


def test_given_tags_replace_those_of_each_regions_stack(monkeypatch):
    present = {"eu-west-1": {"team": "former", "owner": "x"}, "us-east-1": {}}
    started = {}

    class Started(Ended):
        def __init__(self, region, options, _profile):
            super().__init__(RegionProgress(State.DEPLOYED))
            started[region] = options[options.index("--tags") :]

        def wait(self):
            pass

        seconds = 0

    monkeypatch.setattr(deploy, "open_session", lambda _profile, region: region)
    monkeypatch.setattr(deploy, "read_tags", lambda region, _stack: present[region])
    monkeypatch.setattr(deploy, "build", lambda _parameters: None)
    monkeypatch.setattr(deploy, "Deployment", Started)
    arguments = ["deploy", "--regions", "eu-west-1,us-east-1", "--tag", "team=ours", "--tag", "a=b c"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert started == {
        "eu-west-1": ["--tags", "team=ours", "owner=x", "a=b c"],
        "us-east-1": ["--tags", "team=ours", "a=b c"],
    }


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
    given = "us-east-1, eu-central-2,ap-southeast-4,us-gov-west-1,cn-northwest-1,mx-central-1"
    assert regions.parse_regions(None, None, given)[1::3] == ("eu-central-2", "cn-northwest-1")


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
        regions.parse_regions(None, None, given)


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
