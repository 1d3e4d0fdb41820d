"""Setting invocation logging up, and leaving, on stacks of this very template: each in a Region of its own."""

import contextlib
import json
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from botocore.exceptions import WaiterError
from held_update import Tree, deployed_template, held_update

from bedrock_quota.deployment import logging_configuration
from bedrock_quota.deployment.log_groups import MADE_BY
from localaws import emulator, template
from localaws.account import ACCOUNT_ID
from localaws.deployment import ARTIFACTS_BUCKET
from localaws.fault_proxy import Fault, FaultProxy
from localaws.instance import Instance
from localaws.state import StateDirectory

GROUP = "/aws/bedrock/modelinvocations"
TEXTS = {"textDataDeliveryEnabled": True}
KINDS_OF_DATA = ("text", "image", "embedding", "video", "audio")
THEIRS = TEXTS | {
    "cloudWatchConfig": {"logGroupName": "/theirs", "roleArn": f"arn:aws:iam::{ACCOUNT_ID}:role/theirs"},
}
UNKNOWN = {
    "smellDataDeliveryEnabled": True,
    "Retention": {"Days": 30, "exact": 1.0, "most": 12345678901234567890, "note": "é \U0001f600"},
}
"""Members that no SDK has yet."""
S3_PLACE = {"s3Config": {"bucketName": "theirs", "keyPrefix": "logs"}}
S3_ONLY = TEXTS | S3_PLACE | {"imageDataDeliveryEnabled": True}
FLAGS = {"textDataDeliveryEnabled": False, "imageDataDeliveryEnabled": False}
"""A configuration that delivers nowhere, and keeps prompts from being stored."""
AT_THE_END = "InvocationLogSubscription"
"""What needs the whole set-up: it, and all that it depends on, are a stack of their own in most tests here."""


class Region:
    """One Region of the emulated account, with nothing in it, and what tests do there."""

    def __init__(self, local: Instance, proxy: FaultProxy, name: str, whole: Tree) -> None:
        self.name = name
        self.session = msgspec.structs.replace(local.account, region=name).session()
        self.stacks, self.bedrock = self.session.client("cloudformation"), self.session.client("bedrock")
        self.logs, self.s3 = self.session.client("logs"), self.session.client("s3")
        self.proxy, self.function = proxy, f"{name}-LoggingSetupFunction"
        text = json.dumps(whole).replace(f"{proxy.url}/", f"{proxy.url}/{name}-")
        home, self.artifacts = (ARTIFACTS_BUCKET.format(region=each) for each in (local.account.region, name))
        self._copy_artifacts(local, home)
        self.whole: Tree = json.loads(text.replace(f'"s3://{home}/', f'"s3://{self.artifacts}/'))
        self.small = only(self.whole, AT_THE_END)

    def _copy_artifacts(self, local: Instance, home: str) -> None:
        """Bring the code into a bucket of this Region: CloudFormation takes it from no other."""
        there, constraint = local.session().client("s3"), {"LocationConstraint": self.name}
        self.s3.create_bucket(Bucket=self.artifacts, CreateBucketConfiguration=constraint)  # type: ignore[arg-type]
        for each in there.list_objects_v2(Bucket=home)["Contents"]:
            code = there.get_object(Bucket=home, Key=each["Key"])["Body"].read()
            self.s3.put_object(Bucket=self.artifacts, Key=each["Key"], Body=code)

    def start(self, stack: str, body: Tree, *, update: bool = False, **parameters: str) -> None:
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
        ask: Any = self.stacks.update_stack if update else self.stacks.create_stack
        template = {"Bucket": self.artifacts, "Key": f"{stack}.json"}
        self.s3.put_object(**template, Body=json.dumps(body).encode())
        ask(
            StackName=stack,
            TemplateURL=f"https://s3.{self.name}.amazonaws.com/{template['Bucket']}/{template['Key']}",
            Parameters=given,
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        self.s3.delete_object(**template)

    def wait(self, stack: str, done: str) -> str:
        """Wait for the end, good or bad, and return the stack's status."""
        waiter: Any = self.stacks.get_waiter(f"stack_{done}_complete")
        try:
            waiter.wait(StackName=stack, WaiterConfig={"Delay": 0.25, "MaxAttempts": 480})
        except WaiterError:
            return self.stacks.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
        return f"{done.upper()}_COMPLETE"

    def create(self, stack: str, body: Tree | None = None, **parameters: str) -> str:
        self.start(stack, body or self.small, **parameters)
        return self.wait(stack, "create")

    def update(self, stack: str, body: Tree | None = None, **parameters: str) -> str:
        self.start(stack, body or self.small, update=True, **parameters)
        return self.wait(stack, "update")

    def updating(self, stack: str) -> contextlib.AbstractContextManager[None]:
        """Keep a stack in the middle of an update while a block runs."""
        return held_update(self.stacks, stack, self.small, lambda body: self.start(stack, body, update=True))

    def delete(self, stack: str) -> str:
        self.stacks.delete_stack(StackName=stack)
        return self.wait(stack, "delete")

    def outputs(self, stack: str) -> dict[str, str]:
        found = self.stacks.describe_stacks(StackName=stack)["Stacks"][0].get("Outputs", [])
        return {each["OutputKey"]: each["OutputValue"] for each in found}

    def resource(self, stack: str, logical_id: str) -> str:
        found = self.stacks.describe_stack_resource(StackName=stack, LogicalResourceId=logical_id)
        return str(found["StackResourceDetail"]["PhysicalResourceId"])

    def reasons(self, stack: str) -> str:
        events = self.stacks.describe_stack_events(StackName=stack)["StackEvents"]
        return "\n".join(each.get("ResourceStatusReason", "") for each in events)

    def configure(self, configuration: Any) -> None:
        raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in configuration.items()}
        logging_configuration.put_configuration(self.bedrock, raw)

    def configuration(self) -> Any:
        found = self.raw_configuration().get("loggingConfig")
        return found or None

    def raw_configuration(self) -> Any:
        return json.loads(self.configuration_bytes())

    def configuration_bytes(self) -> bytes:
        """The bytes that Bedrock answers, which no SDK has touched."""
        answers: list[bytes] = []

        def keep(http_response: Any, **_call: object) -> None:
            answers.append(http_response.content)

        event = "after-call.bedrock.GetModelInvocationLoggingConfiguration"
        self.bedrock.meta.events.register(event, keep)
        self.bedrock.get_model_invocation_logging_configuration()
        self.bedrock.meta.events.unregister(event, keep)
        return answers[0]

    def delivers_to(self) -> str | None:
        return (self.configuration() or {}).get("cloudWatchConfig", {}).get("logGroupName")

    def groups(self) -> list[str]:
        """The log groups, but for those of functions."""
        found = self.logs.describe_log_groups()["logGroups"]
        return [each["logGroupName"] for each in found if not each["logGroupName"].startswith("/aws/lambda/")]

    def filters(self, group: str = GROUP) -> list[str]:
        found = self.logs.describe_subscription_filters(logGroupName=group)["subscriptionFilters"]
        return sorted(each["filterName"] for each in found)


def only(whole: Tree, wanted: str) -> Tree:
    """The template with one resource and all that it needs, and the outputs that can still be given."""
    needed: set[str] = set()

    def need(name: str) -> None:
        if name in whole["Resources"] and name not in needed:
            needed.add(name)
            for each in template.references(whole["Resources"][name]):
                need(each)
            for each in template.references(whole["Globals"]):
                need(each)

    need(wanted)
    dropped = whole["Resources"].keys() - needed
    outputs = {name: each for name, each in whole["Outputs"].items() if dropped.isdisjoint(template.references(each))}
    return {**whole, "Resources": {name: whole["Resources"][name] for name in sorted(needed)}, "Outputs": outputs}


def broken(body: Tree, after: str) -> Tree:
    """The template with something more that cannot be made, when `after` is made."""
    nobody = {"ServiceToken": f"arn:aws:lambda:us-east-1:{ACCOUNT_ID}:function:nobody"}
    cannot = {"Type": "Custom::Broken", "DependsOn": after, "Properties": nobody}
    return {**body, "Resources": {**body["Resources"], "Broken": cannot}}


@pytest.fixture(scope="module")
def whole(local: Instance) -> Tree:
    """The template as it was deployed, its code already uploaded."""
    return deployed_template(local.session().client("cloudformation"), local.stack_name)


@pytest.fixture
def region(local: Instance, proxy: FaultProxy, whole: Tree, request: pytest.FixtureRequest) -> Region:
    """A Region of this test's own."""
    return Region(local, proxy, f"test-{zlib.crc32(request.node.name.encode()) % 10_000}-1", whole)


# Leaving


SITUATIONS: Mapping[str, tuple[Any, dict[str, str], str]] = {
    "no-logging-1": (None, {}, "enabled invocation logging"),
    "cloudwatch-1": (THEIRS | UNKNOWN, {}, "adopted the existing invocation logging"),
    "s3-only-1": (S3_ONLY | UNKNOWN, {}, "added CloudWatch to the existing invocation logging"),
    "flags-only-1": (FLAGS, {}, "added CloudWatch to the existing invocation logging; text delivery is off"),
    "unknown-list-1": (TEXTS | {"streams": [{"to": None}]}, {}, "added CloudWatch to the existing invocation logging"),
    "empty-delivery-1": (
        {"textDataDeliveryEnabled": False, "cloudWatchConfig": {}} | S3_PLACE,
        {},
        "added CloudWatch to the existing invocation logging; text delivery is off",
    ),
    "adopt-only-1": (THEIRS, {"InvocationLogging": "adopt-only"}, "adopted the existing invocation logging"),
}


class Left(msgspec.Struct):
    """The set-up's outputs, the configurations found and left, and all that the emulator held before and after."""

    said: dict[str, str]
    configurations: dict[str, tuple[bytes, bytes]]
    before: Tree
    after: Tree


@pytest.fixture(scope="module")
def left(local: Instance, proxy: FaultProxy, whole: Tree) -> Left:
    """The stack, made and deleted again in each situation, and all that the emulator holds before and after."""
    home = StateDirectory(local.directory)
    state = home.find()
    assert state is not None
    assert state.emulator is not None
    regions = {name: Region(local, proxy, name, whole) for name in SITUATIONS}
    for name, (configuration, _, _) in SITUATIONS.items():
        regions[name].logs.create_log_group(logGroupName="/theirs")
        if configuration:
            regions[name].configure(configuration)
    before = emulator.dump_state(state.emulator, home.scratch)

    stack = local.session().client("cloudformation").describe_stacks(StackName=local.stack_name)["Stacks"][0]
    given = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}

    def make_and_delete(name: str) -> tuple[str, tuple[bytes, bytes]]:
        """Return the set-up's output, and the configurations before and after."""
        configuration, parameters, _ = SITUATIONS[name]
        here = regions[name]
        as_found = here.configuration_bytes()
        here.start(name, here.whole, Architecture=given["Architecture"], **parameters)
        assert here.wait(name, "create") == "CREATE_COMPLETE", here.reasons(name)
        said = here.outputs(name)["InvocationLogging"]
        during = here.configuration() or {}
        kept = {key: value for key, value in (configuration or {}).items() if value != {}}
        assert {key: during.get(key) for key in kept} == kept
        for bucket in ("LargeBodiesBucket", "FailedDeliveriesBucket"):
            for key in ("AWSLogs/a", "b"):
                here.s3.put_object(Bucket=here.resource(name, bucket), Key=key, Body=b"a prompt")
            here.s3.create_multipart_upload(Bucket=here.resource(name, bucket), Key="never-completed")
        assert here.delete(name) == "DELETE_COMPLETE", here.reasons(name)
        return said, (as_found, here.configuration_bytes())

    with ThreadPoolExecutor(max_workers=len(SITUATIONS)) as pool:  # each waits most of its time
        done = dict(zip(SITUATIONS, pool.map(make_and_delete, SITUATIONS), strict=True))
    said = {name: each for name, (each, _) in done.items()}
    configurations = {name: each for name, (_, each) in done.items()}
    return Left(said, configurations, before, emulator.dump_state(state.emulator, home.scratch))


@pytest.mark.parametrize("situation", SITUATIONS)
def test_it_works_in_every_situation(left: Left, situation: str) -> None:
    assert left.said[situation].startswith(SITUATIONS[situation][2])


@pytest.mark.parametrize("situation", SITUATIONS)
def test_leaving_leaves_the_configuration_byte_for_byte_as_it_was(left: Left, situation: str) -> None:
    before, after = left.configurations[situation]

    assert after == before
    assert (before == b"{}") is (SITUATIONS[situation][0] is None)


def test_leaving_leaves_everything_as_it_was(local: Instance, left: Left) -> None:
    found = differences(left.before, left.after)
    assert found == [], "\n".join(found)
    for name in SITUATIONS:
        functions = msgspec.structs.replace(local.account, region=name).session().client("lambda")
        assert functions.list_layers()["Layers"] == []


KEPT = {
    "/cloudformation/stacks": "AWS lists a deleted stack for 90 days",
    "/cloudformation/stack_events": "and tells what became of it",
    "/cloudwatch/alarm_history": "AWS keeps an alarm's history when the alarm has gone",
    "/lambda/layers": "the number of a layer's version is never given again; that no layer is left is asked of Lambda",
    "/scheduler/schedule_groups": "every Region has a default group, which the emulator makes when it is first asked",
    "/dynamodb/tags": "the emulator keeps the tags of a table that has gone; that no table is left is seen",
}
"""What may differ, and why: nobody can delete it."""


def differences(before: Any, after: Any, path: str = "") -> list[str]:
    if before == after or path in KEPT:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted(before.keys() | after.keys())
        return [each for key in keys for each in differences(before.get(key), after.get(key), f"{path}/{key}")]
    return [f"{path}: {str(before)[:300]} -> {str(after)[:300]}"]


# Rollbacks, names, second stacks


def test_a_creation_that_fails_leaves_nothing(region: Region) -> None:
    # given something that cannot be made, after logging has been set up
    status = region.create("failing", broken(region.small, after=AT_THE_END))
    # then
    assert status == "ROLLBACK_COMPLETE"
    assert (region.configuration(), region.groups()) == (None, [])


def test_adopt_only_without_logging_stops_and_says_what_is_missing(region: Region) -> None:
    region.configure(S3_ONLY)

    assert region.create("adopting", InvocationLogging="adopt-only") == "ROLLBACK_COMPLETE"

    assert "delivers its invocation logs only to S3, and InvocationLogging=adopt-only" in region.reasons("adopting")
    assert (region.configuration(), region.groups()) == (S3_ONLY, [])


def test_the_log_groups_name_changes_fails_to_change_and_goes_with_all_its_groups(region: Region) -> None:
    assert region.create("renaming") == "CREATE_COMPLETE"
    # when an update to another name fails later on
    failing = broken(region.small, after=AT_THE_END)
    assert region.update("renaming", failing, InvocationLogGroupName="/second") == "UPDATE_ROLLBACK_COMPLETE"
    # then all is as before
    assert region.delivers_to() == GROUP
    assert region.filters() == ["renaming-metric-processor"]
    # when it succeeds
    assert region.update("renaming", InvocationLogGroupName="/third") == "UPDATE_COMPLETE"
    # then the delivery has moved, and no log is lost by that
    assert region.delivers_to() == "/third"
    assert (region.filters("/third"), region.filters()) == (["renaming-metric-processor"], [])
    assert GROUP in region.groups()
    # which another stack with that name for its own does not take, be it that its creation fails
    assert region.create("another", broken(region.small, after=AT_THE_END)) == "ROLLBACK_COMPLETE"
    assert GROUP in region.groups()
    # or that it leaves, even without its table
    assert region.create("other") == "CREATE_COMPLETE"
    region.session.client("dynamodb").delete_table(TableName=region.resource("other", "StateTable"))
    assert region.delete("other") == "DELETE_COMPLETE"
    assert (region.delivers_to(), GROUP in region.groups()) == ("/third", True)
    # when the stack goes, so do all its groups
    assert region.delete("renaming") == "DELETE_COMPLETE"
    assert (region.configuration(), region.groups()) == (None, [])


def test_a_second_stack_outlives_the_first_that_set_logging_up(region: Region) -> None:
    assert region.create("first") == "CREATE_COMPLETE"
    # field case 22: a new configuration delivers texts, and names every other kind of data to switch it off
    kinds = {key: value for key, value in region.configuration().items() if key.endswith("DataDeliveryEnabled")}
    assert kinds == {f"{kind}DataDeliveryEnabled": kind == "text" for kind in KINDS_OF_DATA}
    assert region.create("second") == "CREATE_COMPLETE"
    assert region.outputs("second")["InvocationLogging"].startswith("adopted")
    # when the first goes
    assert region.delete("first") == "DELETE_COMPLETE"
    # then nothing bears its role any more, and the second keeps its group
    assert (region.configuration(), region.filters()) == (None, ["second-metric-processor"])
    # when the second looks anew, it sets logging up itself
    assert region.update("second", LogRetentionDays="60") == "UPDATE_COMPLETE"
    assert region.configuration()["cloudWatchConfig"]["roleArn"].endswith(
        region.resource("second", "InvocationLoggingRole")
    )
    # and when it goes, the last of them, nothing is left
    assert region.delete("second") == "DELETE_COMPLETE"
    assert (region.configuration(), region.groups()) == (None, [])


def test_two_deployments_at_once_agree_on_one_configuration(region: Region) -> None:
    names = {"left": "/left", "right": "/right"}
    for stack, group in names.items():
        region.start(stack, region.small, InvocationLogGroupName=group)
    assert [region.wait(stack, "create") for stack in names] == ["CREATE_COMPLETE"] * 2
    # then both read the group that Bedrock delivers to
    group = region.delivers_to()
    assert group in names.values()
    assert {region.outputs(stack)["InvocationLogGroupName"] for stack in names} == {group}
    # and both leave nothing
    assert [region.delete(stack) for stack in names] == ["DELETE_COMPLETE"] * 2
    assert (region.configuration(), region.groups()) == (None, [])


# A call that fails


FAILING = [
    (Fault.ERROR, "bedrock", "GetModelInvocationLoggingConfiguration"),
    (Fault.THROTTLED, "logs", "DescribeLogGroups"),
    (Fault.LOST_ANSWER, "logs", "CreateLogGroup"),
    (Fault.ERROR, "logs", "PutRetentionPolicy"),
    (Fault.LOST_ANSWER, "bedrock", "PutModelInvocationLoggingConfiguration"),
]
"""A failure of each kind of call, and the worse one for those that change something: carried out, and not answered."""


def test_calls_that_fail_leave_nothing_that_is_not_known_as_the_stacks_own(
    region: Region, setup_event: Callable[..., Tree]
) -> None:
    # given a stack, whose logging is taken away behind its back
    assert region.create("faulty") == "CREATE_COMPLETE"
    role = region.resource("faulty", "InvocationLoggingRole")
    with region.updating("faulty"):
        for fault, service, operation in FAILING:
            region.bedrock.delete_model_invocation_logging_configuration()
            for group in region.groups():
                region.logs.delete_log_group(logGroupName=group)
            # when a call fails, as often as it is tried
            with region.proxy.failing(fault, service, operation=operation, function=region.function):
                setup_event(region, "faulty")
            # then what there is bears the stack's mark
            found = (region.configuration() or {}).get("cloudWatchConfig", {})
            assert found.get("roleArn", role).endswith(role), operation
            for group in region.groups():
                assert region.logs.list_tags_log_group(logGroupName=group)["tags"] == {MADE_BY: "faulty"}, operation
    # and all of it goes, though the first calls fail
    with region.proxy.failing(Fault.THROTTLED, "bedrock", function=region.function, times=2):
        assert region.delete("faulty") == "DELETE_COMPLETE"
    assert (region.configuration(), region.groups()) == (None, [])


def test_a_creation_whose_last_call_has_no_answer_is_rolled_back_without_a_trace(region: Region) -> None:
    # given that Bedrock switches logging on, and nobody hears of it
    lost = ("bedrock", "PutModelInvocationLoggingConfiguration")
    with region.proxy.failing(Fault.LOST_ANSWER, lost[0], operation=lost[1], function=region.function):
        assert region.create("unheard") == "ROLLBACK_COMPLETE"

    assert (region.configuration(), region.groups()) == (None, [])


def test_a_creation_that_cannot_ask_bedrock_is_rolled_back_and_deleted(region: Region) -> None:
    with region.proxy.failing(Fault.ERROR, "bedrock", function=region.function):
        assert region.create("unasked") == "ROLLBACK_COMPLETE"
        assert "Bedrock's invocation logging could not be read" in region.reasons("unasked")
        assert region.delete("unasked") == "DELETE_COMPLETE"
    assert (region.configuration(), region.groups()) == (None, [])


def test_an_update_that_is_refused_is_rolled_back(region: Region) -> None:
    # given an adopted log group, in place of which Bedrock delivers to one that cannot be subscribed
    region.logs.create_log_group(logGroupName="/theirs")
    region.configure(THEIRS)
    assert region.create("refused") == "CREATE_COMPLETE"
    region.logs.create_log_group(logGroupName="/rare", logGroupClass="INFREQUENT_ACCESS")
    region.configure({"cloudWatchConfig": THEIRS["cloudWatchConfig"] | {"logGroupName": "/rare"}})  # type: ignore[operator]
    # when the stack is updated
    assert region.update("refused", LogRetentionDays="60") == "UPDATE_ROLLBACK_COMPLETE"
    # then it says why, and stays subscribed to what it has read
    assert "class INFREQUENT_ACCESS, which cannot be subscribed" in region.reasons("refused")
    assert region.filters("/theirs") == ["refused-metric-processor"]


@pytest.fixture
def setup_event() -> Callable[..., Tree]:
    """Have the set-up asked once more, as CloudFormation asks it."""

    def ask(region: Region, stack: str, kind: str = "Create", **changes: str) -> Tree:
        found = region.stacks.describe_stacks(StackName=stack)["Stacks"][0]
        bucket = region.resource(stack, "LargeBodiesBucket")
        answer = {"Bucket": bucket, "Key": "answer"}
        event = {
            "RequestType": kind,
            "ResponseURL": region.s3.generate_presigned_url("put_object", Params=answer),
            "StackId": found["StackId"],
            "RequestId": "again",
            "LogicalResourceId": "InvocationLogSetup",
            "ResourceProperties": {
                "LogGroupName": GROUP,
                "RoleArn": f"arn:aws:iam::{ACCOUNT_ID}:role/{region.resource(stack, 'InvocationLoggingRole')}",
                "RetentionDays": "30",
                "LargeBodiesBucket": bucket,
                "SubscriptionFilter": f"{stack}-metric-processor",
                "OwnLogGroups": [],
            }
            | changes,
        }
        function = region.resource(stack, "LoggingSetupFunction")
        region.session.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        said: Tree = json.loads(region.s3.get_object(**answer)["Body"].read())
        return said

    return ask


# Requests that come late


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_a_request_that_comes_after_the_rollback_changes_nothing(
    region: Region, setup_event: Callable[..., Tree], kind: str
) -> None:
    # given an update that was rolled back
    region.configure(S3_ONLY | UNKNOWN)
    assert region.create("late") == "CREATE_COMPLETE"
    failing = broken(region.small, after=AT_THE_END)
    assert region.update("late", failing, InvocationLogGroupName="/second") == "UPDATE_ROLLBACK_COMPLETE"
    before, groups = region.configuration_bytes(), region.groups()
    # when its request comes at last
    answer = setup_event(region, "late", kind, LogGroupName="/second")
    # then
    assert answer["Status"] == "FAILED"
    assert "already UPDATE_ROLLBACK_COMPLETE, so nothing is set up" in answer["Reason"]
    assert (region.configuration_bytes(), region.groups()) == (before, groups)
    assert region.delete("late") == "DELETE_COMPLETE"
    assert region.configuration() == S3_ONLY | UNKNOWN


# What stops a deployment


def test_a_group_that_cannot_be_read_stops_the_deployment_and_says_what_to_do(
    region: Region, setup_event: Callable[..., Tree]
) -> None:
    assert region.create("refusing") == "CREATE_COMPLETE"
    key = region.session.client("kms").create_key()["KeyMetadata"]
    region.session.client("kms").disable_key(KeyId=key["KeyId"])
    region.logs.create_log_group(logGroupName="/rare", logGroupClass="INFREQUENT_ACCESS")
    region.logs.create_log_group(logGroupName="/locked", kmsKeyId=key["Arn"])
    said = {}
    with region.updating("refusing"):
        for group in ("/rare", "/locked", "/gone"):
            theirs = {"logGroupName": group, "roleArn": f"arn:aws:iam::{ACCOUNT_ID}:role/theirs"}
            region.configure({"cloudWatchConfig": theirs})
            answer = setup_event(region, "refusing")
            assert answer["Status"] == "FAILED", group
            said[group] = answer["Reason"]
    assert "class INFREQUENT_ACCESS, which cannot be subscribed" in said["/rare"]
    assert "which is Disabled, so nothing can be written or read" in said["/locked"]
    assert "/gone, which does not exist. Create it" in said["/gone"]


def test_a_group_with_three_filters_of_others_is_adopted(region: Region, setup_event: Callable[..., Tree]) -> None:
    # field case 09: AWS allows five filters per log group since 2026-09
    assert region.create("fourth") == "CREATE_COMPLETE"
    region.logs.create_log_group(logGroupName="/busy")
    for name in ("siem-forwarder", "cost-exporter", "audit-archive"):
        region.logs.put_subscription_filter(
            logGroupName="/busy",
            filterName=name,
            filterPattern="",
            destinationArn=f"arn:aws:lambda:{region.name}:{ACCOUNT_ID}:function:x",
        )
    region.configure(
        {"cloudWatchConfig": {"logGroupName": "/busy", "roleArn": f"arn:aws:iam::{ACCOUNT_ID}:role/theirs"}}
    )

    with region.updating("fourth"):
        answer = setup_event(region, "fourth")

    assert answer["Status"] == "SUCCESS", answer
    assert answer["Data"]["LogGroupName"] == "/busy"
    assert answer["Data"]["Done"].startswith("adopted the existing invocation logging")
    assert region.filters("/busy") == ["audit-archive", "cost-exporter", "siem-forwarder"]
