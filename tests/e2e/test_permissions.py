"""Least privilege, proven: every call that the functions make, judged by the policies of that moment.

The calls are recorded while the end-to-end tests run, and `@cloud-copilot/iam-simulate` judges them: tests/iam. The
policies are read from the deployed stacks, where SAM has transformed them and CloudFormation has filled in all names.
"""

import contextlib
import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from held_update import Tree, deployed_template, held_update
from iam.authorization import Authorization, access_level, any_resource, read_action
from iam.evaluator import ALLOWED, DENIED, Request, evaluate
from iam.recorder import Recorder, calls_recorded, request_of, role_name
from iam.stack_requests import FUNCTIONS, Names, arn, asked_by_aws, never_asked
from moto.iam.aws_managed_policies import aws_managed_policies_data
from test_stack import Deliver, converse, record

from bedrock_quota.pools import PoolQuota
from bedrock_quota.state.table import read_stored_snapshot, write_snapshot
from localaws.account import ACCOUNT_ID
from localaws.fault_proxy import Call, FaultProxy
from localaws.instance import Instance
from quota_monitor.main import main

STRANGER = "444455556666"
"""Another account. AWS keeps the number for documentation."""

NO_TEST_CALLS = {
    # Forgets a delivery whose processing itself fails, so that Lambda's retry is not refused. No record known does that
    # to it; tests/unit/test_duplicates.py breaks it from within.
    "MetricProcessorRole": {"dynamodb:DeleteItem"},
}
"""Granted to a role, and called by no test on the emulator, with the reason."""


@pytest.fixture(scope="module")
def names(local: Instance, resource: Callable[[str], str]) -> Names:
    functions = {name: resource(name) for name in FUNCTIONS}
    logs = {name: f"{name.removesuffix('Function')}LogGroup" for name in FUNCTIONS}
    roles = {*FUNCTIONS.values(), "InvocationLoggingRole", "QuotaFetcherFunctionScheduleRole"}
    return Names(
        invocation_log=arn("logs", f"log-group:{local.outputs['InvocationLogGroupName']}"),
        large_bodies=f"arn:aws:s3:::{resource('LargeBodiesBucket')}",
        failed_deliveries=f"arn:aws:s3:::{resource('FailedDeliveriesBucket')}",
        table=arn("dynamodb", f"table/{resource('StateTable')}"),
        queue=arn("sqs", resource("LateBodiesQueue").rpartition("/")[2]),
        topic=local.outputs["AlarmTopicArn"],
        stack=stack_id(local),
        overrides=arn("ssm", f"parameter{local.outputs['RegistryOverridesParameter']}"),
        functions={name: arn("lambda", f"function:{function}") for name, function in functions.items()},
        roles={name: f"arn:aws:iam::{ACCOUNT_ID}:role/{resource(name)}" for name in roles},
        logs={name: arn("logs", f"log-group:{resource(group)}") for name, group in logs.items()},
    )


@pytest.fixture
def everything_used(
    local: Instance, deliver: Deliver, minute: datetime, resource: Callable[[str], str], large_bodies: str
) -> None:
    """Each function has done at least once all that it does."""
    session = local.session()
    # the processor: a profile nobody knows, a large body, and one that is late
    source = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0"
    profile = session.client("bedrock").create_inference_profile(
        inferenceProfileName="permissions", modelSource={"copyFrom": source}
    )["inferenceProfileArn"]
    session.client("s3").put_object(
        Bucket=large_bodies, Key="AWSLogs/permissions.json.gz", Body=gzip.compress(json.dumps(converse(5)).encode())
    )
    late = minute + timedelta(minutes=60)
    large = record(late, "amazon.nova-micro-v1:0", tokens=(1, 1))
    large["input"]["inputBodyS3Path"] = f"s3://{large_bodies}/AWSLogs/permissions.json.gz"
    missing = record(late, "amazon.nova-micro-v1:0", tokens=(1, 1))
    missing["input"]["inputBodyS3Path"] = f"s3://{large_bodies}/AWSLogs/never.json.gz"
    deliver([record(late, profile, body=converse(1), tokens=(1, 1)), large, missing])
    # the fetcher: AWS's own metrics, for the rate it applies
    session.client("cloudwatch").put_metric_data(
        Namespace="AWS/Bedrock",
        MetricData=[
            {
                "MetricName": "EstimatedTPMQuotaUsage",
                "Dimensions": [{"Name": "ModelId", "Value": "us.amazon.nova-micro-v1:0"}],
                "Value": 1,
            }
        ],
    )
    # and a quota in use that has changed, which people are told of
    table, client = resource("StateTable"), session.client("dynamodb")
    stored = read_stored_snapshot(table, client)
    snapshot = stored.snapshot
    assert snapshot is not None
    (changed,) = [bucket for bucket in snapshot.quotas_by_pool() if str(bucket) == "amazon.nova-micro-v1:0 (regional)"]
    before = {**snapshot.quotas_by_pool(), changed: PoolQuota(tokens_per_minute=111)}
    write_snapshot(table, client, msgspec.structs.replace(snapshot, quotas=tuple(before.items())), stored.version)
    invoke(local, resource("QuotaFetcherFunction"), {})
    with updating(local, large_bodies):
        set_up_again(local, resource, large_bodies)
    # and the buckets, for the end
    for bucket in (large_bodies, resource("FailedDeliveriesBucket")):
        session.client("s3").put_object(Bucket=bucket, Key="left", Body=b"x")
        session.client("s3").create_multipart_upload(Bucket=bucket, Key="never-completed")


def updating(local: Instance, bucket: str) -> contextlib.AbstractContextManager[None]:
    """Keep the stack in the middle of an update that changes nothing of it."""
    session = local.session()
    stacks = session.client("cloudformation")
    key = "permissions-template.json"
    (stack,) = stacks.describe_stacks(StackName=local.stack_name)["Stacks"]

    def start(body: Tree) -> None:
        session.client("s3").put_object(Bucket=bucket, Key=key, Body=json.dumps(body))
        stacks.update_stack(
            StackName=local.stack_name,
            TemplateURL=f"https://s3.{session.region_name}.amazonaws.com/{bucket}/{key}",
            Parameters=[
                {"ParameterKey": each["ParameterKey"], "UsePreviousValue": True} for each in stack["Parameters"]
            ],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )

    return held_update(stacks, local.stack_name, deployed_template(stacks, local.stack_name), start)


def set_up_again(local: Instance, resource: Callable[[str], str], large_bodies: str) -> None:
    """A group that is gone, a name that changes, and logs that are adopted, under a key."""
    session = local.session()
    bedrock, logs = session.client("bedrock"), session.client("logs")
    present = bedrock.get_model_invocation_logging_configuration()["loggingConfig"]
    logs.delete_log_group(logGroupName=local.outputs["InvocationLogGroupName"])
    asked = request(local, "Update", resource, large_bodies)
    before = {**asked["ResourceProperties"], "LogGroupName": "/former", "RetentionDays": "1"}
    invoke(local, resource("LoggingSetupFunction"), {**asked, "OldResourceProperties": before})
    bedrock.delete_model_invocation_logging_configuration()
    invoke(local, resource("LoggingSetupFunction"), request(local, "Create", resource, large_bodies))
    key = session.client("kms").create_key()["KeyMetadata"]["Arn"]
    logs.create_log_group(logGroupName="/encrypted", kmsKeyId=key)
    theirs = {"logGroupName": "/encrypted", "roleArn": f"arn:aws:iam::{ACCOUNT_ID}:role/theirs"}
    bedrock.put_model_invocation_logging_configuration(loggingConfig={"cloudWatchConfig": theirs})
    invoke(local, resource("LoggingSetupFunction"), request(local, "Create", resource, large_bodies))
    bedrock.put_model_invocation_logging_configuration(loggingConfig=present)


def invoke(local: Instance, function: str, event: object) -> None:
    answer = local.session().client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
    assert "FunctionError" not in answer, answer["Payload"].read()


def stack_id(local: Instance) -> str:
    return local.session().client("cloudformation").describe_stacks(StackName=local.stack_name)["Stacks"][0]["StackId"]


def request(
    local: Instance, kind: str, resource: Callable[[str], str], bucket: str, own_log_groups: tuple[str, ...] = ()
) -> dict[str, Any]:
    """What CloudFormation asks of the set-up; answered into a bucket."""
    key = {"Bucket": bucket, "Key": f"answers/{kind}"}
    return {
        "RequestType": kind,
        "ResponseURL": local.session().client("s3").generate_presigned_url("put_object", Params=key),
        "StackId": stack_id(local),
        "RequestId": kind,
        "LogicalResourceId": "InvocationLogSetup",
        "ResourceProperties": {
            "LogGroupName": local.outputs["InvocationLogGroupName"],
            "RoleArn": f"arn:aws:iam::{ACCOUNT_ID}:role/{resource('InvocationLoggingRole')}",
            "LargeBodiesBucket": resource("LargeBodiesBucket"),
            "RetentionDays": "60",
            "OwnLogGroups": own_log_groups,
            "SubscriptionFilter": f"{local.stack_name}-metric-processor",
            "Mode": "set-up",
        },
    }


@pytest.fixture(scope="module")
def resource_policies(local: Instance, resource: Callable[[str], str], names: Names) -> dict[str, Any]:
    """The policies of the stack's own resources, by ARN."""
    s3, sqs, sns = (local.session().client(each) for each in ("s3", "sqs", "sns"))
    queue = sqs.get_queue_attributes(QueueUrl=resource("LateBodiesQueue"), AttributeNames=["Policy"])
    topic = sns.get_topic_attributes(TopicArn=names.topic)
    buckets = (names.large_bodies, names.failed_deliveries)
    found = {
        **{each: s3.get_bucket_policy(Bucket=each.rpartition(":")[2])["Policy"] for each in buckets},
        names.queue: queue["Attributes"]["Policy"],
        names.topic: topic["Attributes"]["Policy"],
    }
    functions = local.session().client("lambda")
    for function in ("MetricProcessorFunction", "QuotaFetcherFunction"):
        found[names.functions[function]] = functions.get_policy(FunctionName=names.functions[function])["Policy"]
    return {name: json.loads(policy) for name, policy in found.items()}


def test_other_services_reach_the_stack_for_this_account_alone(
    local: Instance, names: Names, resource_policies: Mapping[str, Any]
) -> None:
    # given what AWS's services ask of the stack's resources, for whom, and from where
    iam = local.session().client("iam")
    trust = {
        arn: iam.get_role(RoleName=role_name(arn))["Role"]["AssumeRolePolicyDocument"] for arn in names.roles.values()
    }
    policies = {**resource_policies, **trust}
    rules = local.session().client("events").list_rules()["Rules"]
    (rule,) = [each["Arn"] for each in rules if local.stack_name in each["Name"]]
    large, here = f"{names.large_bodies}/AWSLogs/{ACCOUNT_ID}/BedrockModelInvocationLogs/x", arn("bedrock", "x")
    processor, fetcher = (names.functions[each] for each in ("MetricProcessorFunction", "QuotaFetcherFunction"))
    asked = [
        ("bedrock", "sts:AssumeRole", names.roles["InvocationLoggingRole"], here),
        ("bedrock", "s3:PutObject", large, here),
        ("cloudwatch", "sns:Publish", names.topic, arn("cloudwatch", "alarm:x")),
        ("logs", "lambda:InvokeFunction", processor, f"{names.invocation_log}:*"),
        ("events", "lambda:InvokeFunction", fetcher, rule),
    ]

    def of(service: str, action: str, on: str, source: str, account: str = ACCOUNT_ID) -> Request:
        return Request(
            principal=f"{service}.amazonaws.com",
            account=ACCOUNT_ID,
            action=action,
            resource=on,
            context={"aws:SourceAccount": account, "aws:SourceArn": source, "aws:SecureTransport": "true"},
            resource_policy=next(policy for name, policy in policies.items() if on.startswith(name)),
        )

    # when the right service asks, another one, and the right one for another account
    right = [of(*each) for each in asked]
    wrong = [msgspec.structs.replace(each, principal="ec2.amazonaws.com") for each in right]
    strange = [of(*each[:3], each[3].replace(ACCOUNT_ID, STRANGER), STRANGER) for each in asked]
    lambdas = [of("lambda", "sts:AssumeRole", names.roles[role], processor) for role in FUNCTIONS.values()]
    found = [{each.result for each in evaluate(some)} for some in (right + lambdas, wrong + strange)]
    # then
    assert found == [{ALLOWED}, {"ImplicitlyDenied"}]


def test_nothing_is_reached_without_tls(recorder: Recorder, names: Names, resource_policies: Mapping[str, Any]) -> None:
    # given what the processor may do
    role = names.roles["MetricProcessorRole"]
    asked = (
        (names.large_bodies, "s3:GetObject", "/AWSLogs/x"),
        (names.failed_deliveries, "s3:PutObject", "/x"),
        (names.queue, "sqs:SendMessage", ""),
    )

    def results(secure: str) -> list[str]:
        requests = [
            msgspec.structs.replace(
                request_of(
                    role,
                    Authorization(action, f"{on}{key}", (("aws:SecureTransport", secure),)),
                    recorder.policies(role_name(role)),
                ),
                resource_policy=resource_policies[on],
            )
            for on, action, key in asked
        ]
        return [each.result for each in evaluate(requests)]

    # then it may do so with TLS alone
    assert results("true") == [ALLOWED] * 3
    assert results("false") == ["ExplicitlyDenied"] * 3


def test_no_role_may_do_what_it_never_does(recorder: Recorder, names: Names) -> None:
    # given what no role does, what only another role does, and rights that hold under conditions alone
    by_aws = asked_by_aws(names)  # one role is for the fetcher's invocation
    never = [(role, *each) for each in never_asked(names) for role in names.roles if each not in by_aws[role]]
    large = f"{names.large_bodies}/AWSLogs/x"
    never += [(role, "s3:GetObject", large) for role in names.roles if role != "MetricProcessorRole"]
    never += [(role, f"s3:{action}", large) for role in names.roles for action in ("PutObject", "GetObjectVersion")]
    setup = "LoggingSetupRole"
    found = {role: recorder.policies(role_name(arn)) for role, arn in names.roles.items()}
    asked = [request_of(names.roles[role], Authorization(*each), found[role]) for role, *each in never]
    passed = [
        *((role, "bedrock.amazonaws.com") for role in names.roles if role != "InvocationLoggingRole"),
        ("InvocationLoggingRole", "lambda.amazonaws.com"),
    ]
    asked += [
        request_of(
            names.roles[setup],
            Authorization("iam:PassRole", names.roles[role], (("iam:PassedToService", service),)),
            found[setup],
        )
        for role, service in passed
    ]
    # when
    verdicts = evaluate(asked)
    # then
    assert len(asked) > 500
    allowed = [
        (each.principal, each.action, each.resource)
        for each, verdict in zip(asked, verdicts, strict=True)
        if verdict.result not in DENIED
    ]
    assert allowed == []


def test_the_doctor_reads_and_the_policy_that_the_docs_name_lets_it(
    local: Instance, doctor_calls: list[Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given all that the doctor has ever asked
    monkeypatch.setenv("AWS_CONFIG_FILE", str(local.cli_config))
    with calls_recorded(doctor_calls):
        CliRunner().invoke(main, ["doctor", "--profile", "local", "--stack-name", local.stack_name])
    actions = sorted({read_action(call) for call in doctor_calls})
    # when somebody asks it who has AWS's policy
    policies = {"ReadOnlyAccess": json.loads(aws_managed_policies_data)["ReadOnlyAccess"]["Document"]}
    reader = f"arn:aws:iam::{ACCOUNT_ID}:role/reader"
    asked = [request_of(reader, Authorization(action, any_resource(action)), policies) for action in actions]
    refused = {each.action for each, found in zip(asked, evaluate(asked), strict=True) if found.result != ALLOWED}
    # then nothing is refused, and nothing changes anything
    assert len(actions) > 20
    assert refused == set()
    assert {access_level(action) for action in actions} <= {"Read", "List"}


def pairs(policies: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each action that policies allow, with each resource they allow it on."""
    for policy in policies.values():
        for statement in policy["Statement"]:
            assert statement["Effect"] == "Allow"
            for action in listed(statement["Action"]):
                for resource in listed(statement["Resource"]):
                    yield action, resource


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.usefixtures("everything_used")
def test_functions_use_what_they_are_granted_and_nothing_else(
    local: Instance, proxy: FaultProxy, recorder: Recorder, names: Names, resource_policies: Mapping[str, Any]
) -> None:
    """Last of all end-to-end tests: it deletes the stack, for that is what some permissions are for."""
    policies = {role: recorder.policies(role_name(found)) for role, found in names.roles.items()}
    iam = local.session().client("iam")
    for found in names.roles.values():
        assert iam.list_attached_role_policies(RoleName=role_name(found))["AttachedPolicies"] == []
    asked = [
        (names.roles[role], request_of(names.roles[role], Authorization(*each), policies[role]))
        for role, given in asked_by_aws(names).items()
        for each in given
    ]
    stacks = local.session().client("cloudformation")
    stacks.delete_stack(StackName=local.stack_name)
    stacks.get_waiter("stack_delete_complete").wait(
        StackName=local.stack_name, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )
    assert proxy.unread == []
    for role, each in recorder.requests():
        policy = next((found for name, found in resource_policies.items() if each.resource.startswith(name)), None)
        asked.append((role, msgspec.structs.replace(each, resource_policy=each.resource_policy or policy)))

    # when
    verdicts = evaluate([each for _, each in asked])

    # then nothing is used that is not granted
    judged = list(zip(asked, verdicts, strict=True))
    refused = {(role, each.action, each.resource) for (role, each), found in judged if found.result != ALLOWED}
    assert refused == set()
    # and each condition key has a meaning for its action
    assert {key for found in verdicts for key in found.unused_keys} == set()
    # and nothing is granted that is not used
    for role, given in policies.items():
        used = {grant for (by, _), found in judged for grant in found.grants if by == names.roles[role]}
        assert {action for action, _ in set(pairs(given)) - used} == NO_TEST_CALLS.get(role, set()), role


def test_a_stack_that_would_read_its_own_log_is_refused(
    local: Instance, resource: Callable[[str], str], large_bodies: str
) -> None:
    # given invocation logs in a log group of the stack's own
    group = local.outputs["InvocationLogGroupName"]
    # when the stack is deployed
    asked = request(local, "Update", resource, large_bodies, own_log_groups=(group,))
    with updating(local, large_bodies):
        invoke(local, resource("LoggingSetupFunction"), asked)
    # then the deployment fails, and says what to do
    answer = local.session().client("s3").get_object(Bucket=large_bodies, Key="answers/Update")["Body"].read()
    assert json.loads(answer)["Status"] == "FAILED"
    assert f"{group} is a log group of this stack" in json.loads(answer)["Reason"]
    assert "Deliver Bedrock's invocation logs to a separate log group" in json.loads(answer)["Reason"]
