"""`quota-monitor deploy` after a failure: the first reason, and where the other events are."""

import functools
import shlex

import pytest

from quota_monitor.deployment import deploy, regions
from quota_monitor.deployment.regions import RegionProgress, State
from quota_monitor.places import Place


def told(*documents):
    return functools.reduce(regions.apply_document, documents, RegionProgress())


def event(logical_id, status, reason):
    return {"type": "event", "logical_id": logical_id, "status": status, "reason": reason}


NO_ANSWER = (
    "CloudFormation did not receive a response from your Custom Resource. Please check your logs for requestId [1]. If "
    "you are using the Python cfn-response module, you may need to update your Lambda function code"
)


@pytest.mark.parametrize("kind", ["creation", "update", "deletion"])
def test_what_another_failure_cancelled_is_no_reason(kind):
    last = told(
        event("Other", "UPDATE_FAILED", f"Resource {kind} cancelled"),
        event("StateTable", "UPDATE_FAILED", "no more tables"),
    )
    assert last.reason == "StateTable: no more tables"


def test_the_first_reason_is_kept_to_the_end_of_the_deletion():
    last = told(
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

    def __init__(self, progress, profile=None):
        self.place, self.name, self.progress = Place(profile, "eu-west-1"), "eu-west-1", progress


def test_a_failure_says_how_to_find_all_events_of_a_stack_that_is_deleted():
    progress = RegionProgress(State.FAILED, reason="StateTable: no more tables", started=True)
    said = str(deploy._endings([Ended(progress)], "monitor"))
    assert "  Failed: StateTable: no more tables\n  All events, for 90 days after" in said
    find, show = [shlex.split(line) for line in said.splitlines() if line.strip().startswith("aws ")]
    assert find[:5] == ["aws", "cloudformation", "list-stacks", "--region", "eu-west-1"]
    assert "StackSummaries[?StackName=='monitor']" in find[6]
    assert show[:5] == ["aws", "cloudformation", "describe-stack-events", "--region", "eu-west-1"]
    assert show[-2:] == ["--stack-name", "ARN"]


def test_the_events_of_a_profile_are_found_with_it():
    said = str(deploy._endings([Ended(RegionProgress(State.FAILED, reason="no", started=True), "prod")], "monitor"))
    commands = [shlex.split(line) for line in said.splitlines() if line.strip().startswith("aws ")]
    assert [each[3:7] for each in commands] == [["--region", "eu-west-1", "--profile", "prod"]] * 2


def test_a_failure_before_any_change_has_no_events_to_look_for():
    said = str(deploy._endings([Ended(RegionProgress(State.FAILED, reason="no credentials"))], "monitor"))
    assert said.strip().splitlines() == ["eu-west-1", "  Failed: no credentials"]


UNRECOGNIZED = "Template format error: Unrecognized resource types: [AWS::Logs::QueryDefinition]"
LOCAL = "http://127.0.0.1:4566"


@pytest.mark.parametrize(
    ("reason", "endpoint", "is_explained"),
    [
        pytest.param(UNRECOGNIZED, LOCAL, True, id="local account"),
        pytest.param(UNRECOGNIZED, "", False, id="AWS"),
        pytest.param("no more tables", LOCAL, False, id="another reason"),
    ],
)
def test_what_the_local_account_lacks_is_explained(reason, endpoint, is_explained):
    found = regions.explain_local(RegionProgress(State.FAILED, reason=reason), endpoint)

    more = (
        f"\n  The local account at {LOCAL} does not have these resources, so deploy there with `quota-monitor local "
        "up`, which leaves them out."
    )
    assert found.reason == reason + (more if is_explained else "")
