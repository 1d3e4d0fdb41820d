"""`quota-monitor deploy`: the tags of each Region's stack, as SAM CLI takes them."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import boto3
import click
import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.stub import Stubber
from click.testing import CliRunner
from samcli.cli.types import CfnTags
from samcli.lib.config.exceptions import SamConfigFileReadException, SamConfigVersionException
from samcli.lib.config.samconfig import SamConfig

from quota_monitor.deployment import deploy, tags, targets
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
def test_a_stack_that_does_not_exist_has_no_tags(session, monkeypatch):
    message = "Stack with id monitor does not exist"
    found = stubbed(
        session, monkeypatch, lambda stub: stub.add_client_error("describe_stacks", "ValidationError", message)
    )
    assert tags.read_tags(found, "monitor") == {}


@pytest.mark.usefixtures("no_aws")
@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        pytest.param("Throttling", "Rate exceeded", "Rate exceeded", id="throttled"),
        pytest.param(
            "AccessDenied", "it does not exist", "may not call DescribeStacks. .*: it does not exist", id="denied"
        ),
        pytest.param("ValidationError", "1 validation error", "1 validation error", id="another validation error"),
        pytest.param(
            "ExpiredToken", "The security token is expired", "session has expired.*", id="expired credentials"
        ),
    ],
)
def test_a_stack_that_cannot_be_read_stops_the_deployment(session, monkeypatch, code, message, said):
    found = stubbed(session, monkeypatch, lambda stub: stub.add_client_error("describe_stacks", code, message))
    with pytest.raises(
        click.ClickException, match=rf"{said}\nNothing was deployed to eu-west-1 .* of monitor,"
    ) as raised:
        tags.read_tags(found, "monitor")
    assert raised.value.exit_code == 3


def test_a_timeout_stops_the_deployment(session, monkeypatch):
    def time_out(**_given):
        raise ReadTimeoutError(endpoint_url="https://cloudformation")

    monkeypatch.setattr(
        session, "client", lambda _name, **_options: type("", (), {"describe_stacks": staticmethod(time_out)})
    )
    with pytest.raises(click.ClickException, match="Read timeout"):
        tags.read_tags(session, "monitor")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param("", {}, id="none"),
        pytest.param('[default.deploy.parameters]\ntags = "team=ours a=b"', {"team": "ours", "a": "b"}, id="text"),
        pytest.param(
            '[default.deploy.parameters]\ntags = ["team=ours", "a=b c"]', {"team": "ours", "a": "b c"}, id="list"
        ),
        pytest.param('[default.global.parameters]\ntags = "team=ours"', {"team": "ours"}, id="of all commands"),
        pytest.param('[prod.deploy.parameters]\ntags = "team=ours"', {}, id="of another environment"),
    ],
)
def test_tags_of_samconfig_are_those_that_sam_reads(monkeypatch, lines, expected):
    read = {"version": 0.1, **tomllib.loads(lines)}
    monkeypatch.setattr(SamConfig, "exists", lambda _self: True)
    monkeypatch.setattr(SamConfig, "_read", lambda _self: read)
    assert tags.configured_tags(Path("/checkout")) == expected


@pytest.mark.parametrize("kind", [SamConfigFileReadException, SamConfigVersionException])
def test_a_samconfig_that_cannot_be_read_is_named(monkeypatch, kind):
    def fail(_self):
        raise kind("not TOML")

    monkeypatch.setattr(SamConfig, "exists", lambda _self: True)
    monkeypatch.setattr(SamConfig, "_read", fail)
    with pytest.raises(click.ClickException, match="samconfig file in /checkout cannot be read: not TOML"):
        tags.configured_tags(Path("/checkout"))


def test_given_tags_replace_those_of_each_regions_stack(monkeypatch):
    present = {"eu-west-1": {"team": "former", "owner": "x", "cost": "former"}, "us-east-1": {}}
    started = {}

    class Started:
        progress, began, seconds = RegionProgress(State.DEPLOYED), 0.0, 0

        def __init__(self, place, name, options, _slots, _endpoint):
            self.place, self.name = place, name
            started[name] = options[options.index("--tags") :]

        def wait(self):
            pass

    monkeypatch.setattr(targets, "open_session", lambda _profile, region, _credentials: region)
    monkeypatch.setattr(targets, "find_local_endpoint", lambda _session: "")
    monkeypatch.setattr(targets, "read_tags", lambda region, _stack: present[region])
    monkeypatch.setattr(deploy, "configured_tags", lambda _checkout: {"cost": "of the file", "team": "of the file"})
    monkeypatch.setattr(deploy, "build", lambda _parameters: None)
    monkeypatch.setattr(deploy, "Deployment", Started)
    arguments = ["deploy", "--regions", "eu-west-1,us-east-1", "--tag", "team=ours", "--tag", "a=b c"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert started == {
        "eu-west-1": ["--tags", "team=ours", "owner=x", "cost=of the file", "a=b c"],
        "us-east-1": ["--tags", "cost=of the file", "team=ours", "a=b c"],
    }
