"""`quota-monitor deploy`: the tags of each Region's stack, as SAM CLI takes them."""

from datetime import UTC, datetime

import boto3
import click
import pytest
from botocore.stub import Stubber
from click.testing import CliRunner
from samcli.cli.types import CfnTags

from quota_monitor.deployment import deploy, tags
from quota_monitor.deployment.regions import RegionProgress, State
from quota_monitor.main import main


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

    class Started:
        progress, seconds = RegionProgress(State.DEPLOYED), 0

        def __init__(self, region, options, _profile):
            self.region = region
            started[region] = options[options.index("--tags") :]

        def wait(self):
            pass

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
