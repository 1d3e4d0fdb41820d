"""The stack as CloudFormation gets it: template.yaml after SAM's own transform."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ingestion import WAYS, template_of
from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

from bedrock_quota.access_denied import PROPAGATION_SECONDS
from bedrock_quota.deployment import log_groups
from bedrock_quota.processor import large_bodies, late_bodies
from bedrock_quota.processor.batch import MIN_MILLISECONDS_TO_RECORD, MIN_MILLISECONDS_TO_START
from bedrock_quota.settings import DEFAULT_NAMESPACE, LATE_BODIES_DELAY, LATE_BODIES_SECONDS, MAX_DELAY

OVERRIDES = "/bedrock-quota-monitor/${AWS::StackName}/registry-overrides"
TEMPLATE = Path(__file__).parents[2] / "template.yaml"
BOUNDARY = "arn:aws:iam::111122223333:policy/boundary"
Tree = dict[str, Any]


class NoManagedPolicies:
    def load(self) -> dict[str, str]:
        return {}


@pytest.fixture(scope="module")
def source() -> Tree:
    found: Tree = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def stack() -> Iterator[Tree]:
    """Every resource and output as transformed, with references written as text: `${Name}` and `${Name.Attribute}`."""
    yield from transformed("direct")


@pytest.fixture(scope="module")
def streaming() -> Iterator[Tree]:
    """The same of a stack whose logs come through a stream."""
    yield from transformed("kinesis")


def transformed(way: str) -> Iterator[Tree]:
    given = template_of(TEMPLATE.read_text(encoding="utf-8"), way)
    for resource in given["Resources"].values():
        for key in {"CodeUri", "ContentUri"} & resource.get("Properties", {}).keys():
            resource["Properties"][key] = "s3://bucket/key"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield as_text(transform(given, {}, NoManagedPolicies()))


def as_text(node: Any) -> Any:
    if isinstance(node, list):
        return [as_text(each) for each in node]
    if not isinstance(node, dict):
        return node
    if len(node) == 1:
        ((function, argument),) = node.items()
        if function in WRITTEN:
            return WRITTEN[function](argument)
    return {key: as_text(value) for key, value in node.items()}


WRITTEN: dict[str, Callable[[Any], Any]] = {
    "Ref": lambda name: f"${{{name}}}",
    "Fn::GetAtt": lambda path: f"${{{'.'.join(listed(path))}}}",
    "Fn::Sub": lambda given: given if isinstance(given, str) else f"{given[0]} with {as_text(given[1])}",
    "Fn::FindInMap": lambda path: f"map {as_text(path)}",
}


def properties(stack: Tree, logical_id: str) -> Tree:
    found: Tree = stack["Resources"][logical_id]["Properties"]
    return found


def find_resources(stack: Tree, resource_type: str) -> dict[str, Tree]:
    return {
        logical_id: resource.get("Properties", {})
        for logical_id, resource in stack["Resources"].items()
        if resource["Type"] == resource_type
    }


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


# The contract


def test_logical_ids_and_outputs_that_others_rely_on(stack: Tree) -> None:
    types = {
        "MetricProcessorFunction": "AWS::Lambda::Function",
        "QuotaFetcherFunction": "AWS::Lambda::Function",
        "LoggingSetupFunction": "AWS::Lambda::Function",
        "QuotaDashboard": "AWS::CloudWatch::Dashboard",
        "StateTable": "AWS::DynamoDB::Table",
        "FailedDeliveriesBucket": "AWS::S3::Bucket",
        "AlarmTopic": "AWS::SNS::Topic",
    }
    assert {logical_id: stack["Resources"][logical_id]["Type"] for logical_id in types} == types
    outputs = {name: output["Value"] for name, output in stack["Outputs"].items()}
    assert outputs["DashboardName"] == "${QuotaDashboard}"
    assert outputs["InvocationLogGroupName"] == "${InvocationLogSetup.LogGroupName}"
    assert outputs["AlarmTopicArn"] == "${AlarmTopic}"
    assert "#dashboards/dashboard/${QuotaDashboard}" in outputs["DashboardURL"]
    assert all(output["Description"] for output in stack["Outputs"].values())


def test_every_parameter_is_described_has_a_default_and_is_bounded(source: Tree) -> None:
    assert source["Parameters"]
    for name, parameter in source["Parameters"].items():
        assert parameter["Description"].strip(), name
        assert "Default" in parameter, name
        if "AllowedValues" in parameter:
            assert parameter["Default"] in parameter["AllowedValues"], name
        elif parameter["Type"] == "Number":
            assert parameter["MinValue"] <= parameter["Default"] <= parameter["MaxValue"], name
        else:
            assert re.fullmatch(parameter["AllowedPattern"], str(parameter["Default"])), name


def test_every_parameter_has_its_place_in_the_console(source: Tree) -> None:
    groups = source["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]

    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(source["Parameters"])


@pytest.mark.parametrize(
    ("parameter", "accepted", "refused"),
    [
        pytest.param(
            "MetricsNamespace",
            ["Bedrock/Quotas", "a", "x" * 255, "a:b", "a:", "aws/bedrock", "AWS"],
            ["", "AWS/Bedrock", "a b", "x" * 256, "é", ":", ":a", "::a"],  # CloudWatch's own pattern is [^:].*
            id="namespace",
        ),
        pytest.param(
            "RequestMetadataKeys",
            ["", "team", "team,application", ",".join(["k"] * 16)],
            ["team,", ",".join(["k"] * 17), "k" * 257, "tëam", "a\nb"],
            id="keys of requestMetadata",
        ),
        pytest.param(
            "InvocationLogGroupName",
            ["/aws/bedrock/modelinvocations", "x", "aws", "awsx/y", "x/aws/y", "AWS/x"],
            ["", "a b", "a:*", "x" * 513, "aws/", "aws/bedrock"],  # CloudWatch Logs refuses the beginning aws/
            id="log group",
        ),
        pytest.param(
            "PermissionsBoundaryArn",
            [
                "",
                BOUNDARY,
                "arn:aws:iam::aws:policy/PowerUserAccess",
                "arn:aws:iam::aws:policy/job-function/Billing",
                "arn:aws-us-gov:iam::111122223333:policy/a/path/of_it/boundary",
                "arn:aws-cn:iam::111122223333:policy/boundary",
                "arn:aws-iso-b:iam::111122223333:policy/boundary",
                "arn:aws:iam::111122223333:policy/org+a,b=c@d.e-f/g+h,i=j@k.l-m_n",
                f"arn:aws:iam::111122223333:policy/{'x' * 128}",
            ],
            [
                "boundary",
                " ",
                f" {BOUNDARY}",
                f"{BOUNDARY},{BOUNDARY}",
                "arn:aws:iam::111122223333:role/boundary",
                "arn:aws:iam::11112222333:policy/boundary",
                "arn:aws:iam::111122223333:policy/",
                "arn:aws:iam::111122223333:policy//boundary",
                "arn:aws:iam::111122223333:policy/path/",
                "arn:aws:iam::111122223333:policy/*",
                "arn:aws:iam:us-east-1:111122223333:policy/boundary",
                "arn:amazon:iam::111122223333:policy/boundary",
                f"arn:aws:iam::111122223333:policy/{'x' * 129}",
            ],
            id="permissions boundary",
        ),
        pytest.param(
            "AlarmThresholdPercent",
            ["1", "80", "87.5", "99.999", "100", "100.0"],
            ["", "0", "080", "8e1", "+80", " 80", "80%", "100.5", "101", "1000", "80.", ".5", "NaN"],
            id="threshold",
        ),
    ],
)
def test_pattern_takes_what_the_code_takes(
    source: Tree, parameter: str, accepted: list[str], refused: list[str]
) -> None:
    pattern = source["Parameters"][parameter]["AllowedPattern"]

    assert [text for text in accepted if not re.fullmatch(pattern, text)] == []
    assert [text for text in refused if re.fullmatch(pattern, text)] == []
    assert [text for text in refused if re.search(f"^{pattern}$", text)] == []  # anchors hold for each alternative


def test_defaults_are_those_of_the_code(source: Tree) -> None:
    assert source["Parameters"]["MetricsNamespace"]["Default"] == DEFAULT_NAMESPACE


# Functions


FUNCTIONS = ["BucketEmptyingFunction", "LoggingSetupFunction", "MetricProcessorFunction", "QuotaFetcherFunction"]


def test_functions_run_on_python_3_13_and_arm64(source: Tree, stack: Tree) -> None:
    functions = find_resources(stack, "AWS::Lambda::Function")
    assert sorted(functions) == FUNCTIONS
    for function in functions.values():
        assert (function["Runtime"], function["Handler"]) == ("python3.13", "app.handler")
        assert function["Architectures"] == ["${Architecture}"]
        assert len(function["Layers"]) == 2
        assert 1 <= function["Timeout"] <= 600
        assert 128 <= function["MemorySize"] <= 512
    assert source["Parameters"]["Architecture"]["Default"] == "arm64"
    for layer in find_resources(stack, "AWS::Lambda::LayerVersion").values():
        assert layer["CompatibleRuntimes"] == ["python3.13"]


def test_layers_are_compiled_by_the_python_that_functions_run_on_and_a_release_has_one(source: Tree) -> None:
    version = source["Globals"]["Function"]["Runtime"].removeprefix("python")

    assert f"LAMBDA_PYTHON_VERSION ?= {version}\n" in (TEMPLATE.parent / "layers" / "python.mk").read_text()
    for name in ("ci", "release"):
        workflow = yaml_parse((TEMPLATE.parent / ".github" / "workflows" / f"{name}.yml").read_text())
        (set_up,) = [
            step["with"]["python-version"].split()
            for job in workflow["jobs"].values()
            if {"run": ".ci/run"} in job["steps"]
            for step in job["steps"]
            if step.get("uses", "").startswith("actions/setup-python@")
        ]
        assert version in set_up
        assert set_up[-1] == "3.11"  # the last is `python3`: the oldest that all else must work with


def test_functions_get_the_settings_they_read(stack: Tree) -> None:
    everywhere = {"METRICS_NAMESPACE": "${MetricsNamespace}", "STATE_TABLE": "${StateTable}"}
    for name in FUNCTIONS:
        variables = properties(stack, name)["Environment"]["Variables"]
        assert everywhere.items() <= variables.items()
        assert variables["POWERTOOLS_LOG_LEVEL"] == "INFO"
    variables = properties(stack, "MetricProcessorFunction")["Environment"]["Variables"]
    assert variables["REQUEST_METADATA_KEYS"] == "${RequestMetadataKeys}"
    assert variables["CALLER_DETAIL"] == "${CallerDetail}"


def test_function_has_its_code(source: Tree) -> None:
    for name in FUNCTIONS:
        code = TEMPLATE.parent / source["Resources"][name]["Properties"]["CodeUri"]
        assert (code / "app.py").is_file()


def test_no_resource_has_a_fixed_name_that_a_second_stack_would_want_too(stack: Tree) -> None:
    naming = ("Name", "FunctionName", "RoleName", "TableName", "BucketName", "TopicName", "AlarmName", "LayerName")
    named = {
        (logical_id, key): value
        for logical_id, resource in stack["Resources"].items()
        for key in (*naming, "DashboardName", "LogGroupName", "FilterName")
        if isinstance(value := resource.get("Properties", {}).get(key), str)
        if resource["Type"]
        not in {"AWS::Lambda::LayerVersion", "AWS::Lambda::Permission", "AWS::Lambda::EventInvokeConfig"}
        if not resource["Type"].startswith("Custom::")
    }

    assert named  # log groups and the dashboard at least
    assert {where: name for where, name in named.items() if "${" not in name} == {}


# Who may do what

ACCOUNT = "${AWS::Region}:${AWS::AccountId}"
OWN_STREAMS = {"logs:CreateLogStream", "logs:PutLogEvents"}
STATE = ["${StateTable.Arn}"]
Grants = dict[str, tuple[set[str], list[str]]]

GRANTED: dict[str, Grants] = {
    "MetricProcessorRole": {
        "State": ({"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}, STATE),
        "ReadLargeBodies": (
            {"s3:GetObject"},
            ["arn:${AWS::Partition}:s3:::${InvocationLogSetup.LargeBodies}*"],
        ),
        "ResolveApplicationProfiles": (
            {"bedrock:GetInferenceProfile"},
            [f"arn:${{AWS::Partition}}:bedrock:{ACCOUNT}:application-inference-profile/*"],
        ),
        "SetLateCallsAside": (
            {"sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"},
            ["${LateBodiesQueue.Arn}"],
        ),
        "KeepFailedDeliveries": ({"s3:PutObject"}, ["${FailedDeliveriesBucket.Arn}/*"]),
        "ListFailedDeliveries": ({"s3:ListBucket"}, ["${FailedDeliveriesBucket.Arn}"]),
        "OwnLog": (OWN_STREAMS, ["${MetricProcessorLogGroup.Arn}"]),
    },
    "QuotaFetcherRole": {
        "ListQuotas": ({"servicequotas:ListServiceQuotas", "servicequotas:ListAWSDefaultServiceQuotas"}, ["*"]),
        "ReadUsedPoolsAndAppliedRates": ({"cloudwatch:ListMetrics", "cloudwatch:GetMetricData"}, ["*"]),
        "ListApplicationProfiles": ({"bedrock:ListInferenceProfiles"}, ["*"]),
        "ReadOverrides": (
            {"ssm:GetParameter"},
            [
                f"arn:${{AWS::Partition}}:ssm:{ACCOUNT}:parameter/bedrock-quota-monitor/${{AWS::StackName}}/registry-overrides"
            ],
        ),
        "ReadAndStoreSnapshot": ({"dynamodb:GetItem", "dynamodb:PutItem"}, STATE),
        "NotifySubscribers": ({"sns:Publish"}, ["${AlarmTopic}"]),
        "DescribeOwnStack": ({"cloudformation:DescribeStacks"}, ["${AWS::StackId}"]),
        "OwnLog": (OWN_STREAMS, ["${QuotaFetcherLogGroup.Arn}"]),
    },
    "LoggingSetupRole": {
        "InvocationLogging": (
            {
                "bedrock:GetModelInvocationLoggingConfiguration",
                "bedrock:PutModelInvocationLoggingConfiguration",
                "bedrock:DeleteModelInvocationLoggingConfiguration",
            },
            ["*"],
        ),
        "PassRoleToBedrock": ({"iam:PassRole"}, ["${InvocationLoggingRole.Arn}"]),
        "CreateLogGroup": (
            {"logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:TagResource"},
            [
                f"arn:${{AWS::Partition}}:logs:{ACCOUNT}:log-group:${{InvocationLogGroupName}}",
                f"arn:${{AWS::Partition}}:logs:{ACCOUNT}:log-group:${{InvocationLogGroupName}}:*",
            ],
        ),
        "DescribeLogGroups": ({"logs:DescribeLogGroups"}, ["*"]),
        "ReadLogGroups": (
            {"logs:DescribeSubscriptionFilters", "logs:ListTagsForResource"},
            [f"arn:${{AWS::Partition}}:logs:{ACCOUNT}:log-group:*"],
        ),
        "DeleteOwnLogGroups": (
            {"logs:DeleteLogGroup"},
            [f"arn:${{AWS::Partition}}:logs:{ACCOUNT}:log-group:*"],
        ),
        "DescribeLogGroupKey": ({"kms:DescribeKey"}, [f"arn:${{AWS::Partition}}:kms:{ACCOUNT}:key/*"]),
        "StoreFormerLogGroups": ({"dynamodb:GetItem", "dynamodb:UpdateItem"}, ["${StateTable.Arn}"]),
        "DescribeOwnStack": ({"cloudformation:DescribeStacks"}, ["${AWS::StackId}"]),
        "OwnLog": (OWN_STREAMS, ["${LoggingSetupLogGroup.Arn}"]),
    },
    "BucketEmptyingRole": {
        "ListBucketContents": (
            {"s3:ListBucketVersions", "s3:ListBucketMultipartUploads"},
            ["${LargeBodiesBucket.Arn}", "${FailedDeliveriesBucket.Arn}"],
        ),
        "EmptyBuckets": (
            {"s3:DeleteObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload"},
            ["${LargeBodiesBucket.Arn}/*", "${FailedDeliveriesBucket.Arn}/*"],
        ),
        "DescribeOwnStack": ({"cloudformation:DescribeStacks"}, ["${AWS::StackId}"]),
        "OwnLog": (OWN_STREAMS, ["${BucketEmptyingLogGroup.Arn}"]),
    },
    "InvocationLoggingRole": {
        "": (
            OWN_STREAMS,
            [
                f"arn:${{AWS::Partition}}:logs:{ACCOUNT}:log-group:${{InvocationLogGroupName}}"
                ":log-stream:aws/bedrock/modelinvocations"
            ],
        )
    },
    "QuotaFetcherFunctionScheduleRole": {"": ({"lambda:InvokeFunction"}, ["${QuotaFetcherFunction.Arn}"])},
}

WILDCARDS = {
    # The account's one logging configuration in a Region is no resource that a policy could name.
    ("LoggingSetupRole", "InvocationLogging"),
    # A listing of log groups is of no single one.
    ("LoggingSetupRole", "DescribeLogGroups"),
    # ListServiceQuotas and ListAWSDefaultServiceQuotas take no resource.
    ("QuotaFetcherRole", "ListQuotas"),
    # Nor do ListMetrics and GetMetricData.
    ("QuotaFetcherRole", "ReadUsedPoolsAndAppliedRates"),
    # A listing of profiles is of no single one.
    ("QuotaFetcherRole", "ListApplicationProfiles"),
}


def granted(role: Tree) -> Grants:
    found: Grants = {}
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            sid = statement.get("Sid", "")
            assert sid not in found
            found[sid] = (set(listed(statement["Action"])), listed(statement["Resource"]))
    return found


def test_every_role_may_do_exactly_this(stack: Tree) -> None:
    roles = find_resources(stack, "AWS::IAM::Role")

    assert {name: granted(role) for name, role in roles.items()} == GRANTED
    assert all("ManagedPolicyArns" not in role for role in roles.values())
    assert not find_resources(stack, "AWS::IAM::Policy")
    assert not find_resources(stack, "AWS::IAM::ManagedPolicy")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param("", "${AWS::NoValue}", id="none given"),
        pytest.param(BOUNDARY, "${PermissionsBoundaryArn}", id="given"),
    ],
)
@pytest.mark.parametrize("way", WAYS)
def test_every_role_has_the_boundary_that_is_given_and_those_of_sam_have_it_too(
    source: Tree, way: str, given: str, expected: str
) -> None:
    (whole,) = transformed(way)
    roles = find_resources(whole, "AWS::IAM::Role")
    assert source["Conditions"]["HasPermissionsBoundary"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "PermissionsBoundaryArn"}, ""]}]
    }

    def value(condition: str, if_true: str, if_false: str) -> str:
        assert condition == "HasPermissionsBoundary"
        return if_true if given else if_false

    assert "QuotaFetcherFunctionScheduleRole" in roles  # which SAM makes
    assert len(roles) == (7 if way == "kinesis" else 6)
    assert {name: value(*role["PermissionsBoundary"]["Fn::If"]) for name, role in roles.items()} == dict.fromkeys(
        roles, expected
    )


def test_no_action_is_a_wildcard_and_no_resource_but_the_argued_ones(stack: Tree) -> None:
    statements = [
        (name, sid, actions, resources)
        for name, role in find_resources(stack, "AWS::IAM::Role").items()
        for sid, (actions, resources) in granted(role).items()
    ]

    assert {(name, sid) for name, sid, _, resources in statements if "*" in resources} == WILDCARDS
    assert [actions for _, _, actions, _ in statements if any("*" in action for action in actions)] == []


def test_roles_are_for_one_service_each(stack: Tree) -> None:
    services = {
        "MetricProcessorRole": "lambda.amazonaws.com",
        "QuotaFetcherRole": "lambda.amazonaws.com",
        "LoggingSetupRole": "lambda.amazonaws.com",
        "BucketEmptyingRole": "lambda.amazonaws.com",
        "InvocationLoggingRole": "bedrock.amazonaws.com",
        "QuotaFetcherFunctionScheduleRole": "scheduler.amazonaws.com",
    }
    for name, role in find_resources(stack, "AWS::IAM::Role").items():
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert listed(statement["Principal"]["Service"]) == [services[name]]
        assert listed(statement["Action"]) == ["sts:AssumeRole"]


def test_bedrock_may_take_its_role_for_this_account_only(stack: Tree) -> None:
    (statement,) = properties(stack, "InvocationLoggingRole")["AssumeRolePolicyDocument"]["Statement"]

    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "${AWS::AccountId}"},
        "ArnLike": {"aws:SourceArn": f"arn:${{AWS::Partition}}:bedrock:{ACCOUNT}:*"},
    }


def test_only_bedrock_is_handed_the_role(stack: Tree) -> None:
    (policy,) = properties(stack, "LoggingSetupRole")["Policies"]
    (statement,) = [each for each in policy["PolicyDocument"]["Statement"] if each["Sid"] == "PassRoleToBedrock"]

    assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}}


def test_functions_use_their_own_role_and_log_group(stack: Tree) -> None:
    for name in FUNCTIONS:
        stem = name.removesuffix("Function")
        assert properties(stack, name)["Role"] == f"${{{stem}Role.Arn}}"
        assert properties(stack, name)["LoggingConfig"] == {"LogGroup": f"${{{stem}LogGroup}}"}


# Invocation logs to the processor


def test_subscription_waits_for_the_permission(stack: Tree) -> None:
    subscription = stack["Resources"]["InvocationLogSubscription"]

    assert listed(subscription["DependsOn"]) == ["InvocationLogPermission"]
    assert subscription["Metadata"]["After"] == "${LateBodiesMapping}"  # CloudWatch Logs invokes the function at once
    assert stack["Resources"]["LateBodiesMapping"]["DependsOn"] == "InvocationLogPermission"
    assert subscription["Properties"] == {
        "LogGroupName": "${InvocationLogSetup.LogGroupName}",
        "FilterName": "${AWS::StackName}-metric-processor",
        "FilterPattern": "",
        "DestinationArn": "${MetricProcessorFunction.Arn}",
    }


STREAM = "${InvocationLogStream.Arn}"


def test_a_stream_is_all_that_the_other_way_adds(stack: Tree, streaming: Tree) -> None:
    assert streaming["Resources"].keys() - stack["Resources"].keys() == {
        "InvocationLogStream",
        "InvocationLogStreamRole",
        "InvocationLogStreamPolicy",
        "InvocationLogStreamMapping",
        "StreamLagAlarm",
    }
    assert streaming["Outputs"].keys() - stack["Outputs"].keys() == {"InvocationLogStreamArn"}
    changed = {name for name, each in stack["Resources"].items() if each != streaming["Resources"][name]}
    assert changed == {
        "InvocationLogSubscription",
        "RetriesExhaustedAlarm",
    }  # and so nothing that the filter waits for
    assert "kinesis" not in json.dumps(stack["Resources"])


def test_the_same_filter_fills_the_stream_and_waits_for_what_reads_it(stack: Tree, streaming: Tree) -> None:
    subscription = streaming["Resources"]["InvocationLogSubscription"]

    assert subscription["Metadata"]["After"] == "${InvocationLogStreamMapping}"
    assert subscription["Properties"] == properties(stack, "InvocationLogSubscription") | {
        "DestinationArn": STREAM,
        "RoleArn": "${InvocationLogStreamRole.Arn}",
        "Distribution": "Random",
    }


def test_the_stream_is_encrypted_and_grows_by_itself(streaming: Tree) -> None:
    assert properties(streaming, "InvocationLogStream") == {
        "StreamModeDetails": {"StreamMode": "ON_DEMAND"},
        "RetentionPeriodHours": 24,
        "StreamEncryption": {"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"},
    }


def test_only_cloudwatch_logs_of_this_account_puts_into_the_stream(streaming: Tree) -> None:
    role = properties(streaming, "InvocationLogStreamRole")
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]

    assert statement["Principal"] == {"Service": "logs.amazonaws.com"}
    assert statement["Condition"] == {"ArnLike": {"aws:SourceArn": f"arn:${{AWS::Partition}}:logs:{ACCOUNT}:*"}}
    assert granted(role) == {"": ({"kinesis:PutRecord"}, [STREAM])}


def test_the_processor_may_read_the_stream_for_as_long_as_it_is_read(streaming: Tree) -> None:
    """What is not in a template any more goes in the end, in reverse order: the filter, then the mapping, then this."""
    policy = properties(streaming, "InvocationLogStreamPolicy")

    assert policy["Roles"] == ["${MetricProcessorRole}"]
    assert granted({"Policies": [policy]}) == {
        "ReadStream": (
            {
                "kinesis:DescribeStream",
                "kinesis:DescribeStreamSummary",
                "kinesis:GetRecords",
                "kinesis:GetShardIterator",
                "kinesis:ListShards",
            },
            [STREAM],
        )
    }
    assert streaming["Resources"]["InvocationLogStreamMapping"]["DependsOn"] == "InvocationLogStreamPolicy"


def test_what_fails_is_alone_in_the_end_and_kept_in_the_same_bucket(streaming: Tree) -> None:
    mapping = properties(streaming, "InvocationLogStreamMapping")

    assert mapping == {
        "EventSourceArn": STREAM,
        "FunctionName": "${MetricProcessorFunction.Arn}",
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 200,
        "MaximumBatchingWindowInSeconds": 30,
        "ParallelizationFactor": 1,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "BisectBatchOnFunctionError": True,
        "MaximumRetryAttempts": 10,
        "MaximumRecordAgeInSeconds": 6 * 3600,
        "DestinationConfig": {"OnFailure": {"Destination": "${FailedDeliveriesBucket.Arn}"}},
        "MetricsConfig": {"Metrics": ["EventCount"]},  # RetriesExhaustedAlarm watches one of these
    }
    assert (
        mapping["MaximumRecordAgeInSeconds"]
        < properties(streaming, "InvocationLogStream")["RetentionPeriodHours"] * 3600
    )


def test_a_run_has_26_seconds_to_begin_deliveries_in_and_time_to_end(stack: Tree) -> None:
    seconds = properties(stack, "MetricProcessorFunction")["Timeout"]

    assert seconds - MIN_MILLISECONDS_TO_START / 1000 >= 26  # docs/limits.md
    assert MIN_MILLISECONDS_TO_RECORD < MIN_MILLISECONDS_TO_START


def test_only_that_log_group_of_this_account_may_invoke_the_processor(stack: Tree) -> None:
    assert {
        name: permission
        for name, permission in find_resources(stack, "AWS::Lambda::Permission").items()
        if permission["FunctionName"] != "${QuotaFetcherFunction}"
    } == {
        "InvocationLogPermission": {
            "Action": "lambda:InvokeFunction",
            "FunctionName": "${MetricProcessorFunction.Arn}",
            "Principal": "logs.amazonaws.com",
            "SourceAccount": "${AWS::AccountId}",
            "SourceArn": f"arn:${{AWS::Partition}}:logs:{ACCOUNT}:log-group:${{InvocationLogSetup.LogGroupName}}:*",
        }
    }


def test_setup_is_told_every_log_group_of_this_stack(stack: Tree) -> None:
    groups = sorted(f"${{{name}}}" for name in find_resources(stack, "AWS::Logs::LogGroup"))

    assert sorted(properties(stack, "InvocationLogSetup")["OwnLogGroups"]) == groups


def test_no_functions_log_group_is_the_one_for_invocation_logs(source: Tree, stack: Tree) -> None:
    default = source["Parameters"]["InvocationLogGroupName"]["Default"]
    names = [group["LogGroupName"] for group in find_resources(stack, "AWS::Logs::LogGroup").values()]

    assert len(names) == len(set(names)) == 4
    assert default not in names
    assert all(name.startswith("/aws/lambda/${AWS::StackName}-") for name in names)


def test_every_log_group_has_a_retention_and_goes_with_the_stack(stack: Tree) -> None:
    for name in find_resources(stack, "AWS::Logs::LogGroup"):
        resource = stack["Resources"][name]
        assert resource["Properties"]["RetentionInDays"] == "${LogRetentionDays}"
        assert resource["DeletionPolicy"] == "Delete"
        # EMF needs a Standard-class group, which is what one without a class is.
        assert resource["Properties"].get("LogGroupClass", "STANDARD") == "STANDARD"


def test_deployment_waits_for_a_custom_resource_a_little_longer_than_its_function_runs(stack: Tree) -> None:
    custom = {
        logical_id: resource["Properties"]
        for logical_id, resource in stack["Resources"].items()
        if resource["Type"].startswith("Custom::")
    }

    assert custom.keys() == {
        "InvocationLogSetup",
        "FirstQuotaFetch",
        "EmptyLargeBodiesBucket",
        "EmptyFailedDeliveriesBucket",
    }
    for given in custom.values():
        function = given["ServiceToken"].removeprefix("${").removesuffix(".Arn}")
        timeout = properties(stack, function)["Timeout"]
        assert timeout < int(given["ServiceTimeout"]) <= 1_800  # CloudFormation's own is an hour


def test_setup_outlasts_the_time_a_new_role_needs(stack: Tree) -> None:
    # 90 s of waiting, and 19 times the two requests of a second or two that Bedrock takes to answer
    assert properties(stack, "LoggingSetupFunction")["Timeout"] >= PROPAGATION_SECONDS + 19 * 4


def test_what_a_rollback_undoes_is_not_done_after_it(stack: Tree) -> None:
    # A request that waited, then ran, has ended when CloudFormation gives up on it. None that changes settings or data
    # is run again. The fetcher's are, because its schedule is, too: within the same age, and only if the stack waits.
    for name, resource, retries in (
        ("LoggingSetup", "InvocationLogSetup", 0),
        ("BucketEmptying", "EmptyLargeBodiesBucket", 0),
        ("BucketEmptying", "EmptyFailedDeliveriesBucket", 0),
        ("QuotaFetcher", "FirstQuotaFetch", 2),
    ):
        assert f"{name}FunctionEventInvokeConfig" in listed(stack["Resources"][resource]["DependsOn"])
        config = properties(stack, f"{name}FunctionEventInvokeConfig")
        assert config["MaximumRetryAttempts"] == retries
        assert config["MaximumEventAgeInSeconds"] == 15 * 60  # custom_resource.NO_RESPONSE names it
        latest = config["MaximumEventAgeInSeconds"] + properties(stack, f"{name}Function")["Timeout"]
        assert latest < properties(stack, resource)["ServiceTimeout"]


def test_retention_is_what_cloudwatch_logs_accepts(source: Tree) -> None:
    # no list here, because CloudWatch Logs has one, up to ten years, and may extend it
    pattern = re.compile(source["Parameters"]["LogRetentionDays"]["AllowedPattern"])
    assert all(pattern.fullmatch(str(days)) for days in (1, 30, 365, 400, 2557, 3653, 36500))
    assert not any(pattern.fullmatch(text) for text in ("", "0", "030", "-1", "1.5", "forever"))


def test_first_fetch_is_between_the_processors_role_and_its_failure_destination(stack: Tree) -> None:
    # Lambda checks the role's policy when it is told the destination, and a new policy takes a while to propagate
    assert "MetricProcessorRole" in listed(stack["Resources"]["FirstQuotaFetch"]["DependsOn"])
    assert "FirstQuotaFetch" in listed(stack["Resources"]["MetricProcessorFunction"]["DependsOn"])


def test_what_is_made_can_be_removed_by_its_tag_alone(stack: Tree) -> None:
    (policy,) = properties(stack, "LoggingSetupRole")["Policies"]
    (statement,) = [each for each in policy["PolicyDocument"]["Statement"] if "logs:DeleteLogGroup" in each["Action"]]
    assert statement["Condition"] == {"Null": {f"aws:ResourceTag/{log_groups.MADE_BY}": "false"}}


# Leaving


@pytest.mark.parametrize("bucket", ["LargeBodies", "FailedDeliveries"])
def test_bucket_goes_with_the_stack_and_stays_when_an_update_replaces_it(stack: Tree, bucket: str) -> None:
    resource = stack["Resources"][f"{bucket}Bucket"]
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Delete", "Retain")
    assert properties(stack, f"Empty{bucket}Bucket")["Bucket"] == f"${{{bucket}Bucket}}"


def test_nothing_writes_into_a_bucket_any_more_when_it_is_emptied(stack: Tree) -> None:
    # CloudFormation deletes what depends on something first
    def depends(of: str, on: str) -> bool:
        resource = stack["Resources"][of]
        named = set(re.findall(r"\$\{([A-Za-z]+)", json.dumps(resource["Properties"])))
        direct = (named | set(listed(resource.get("DependsOn", [])))) & stack["Resources"].keys()
        return on in direct or any(depends(each, on) for each in direct)

    assert depends("LargeBodiesBucketPolicy", "EmptyLargeBodiesBucket")  # without it Bedrock may not write
    assert depends("InvocationLogSetup", "EmptyLargeBodiesBucket")
    assert depends("MetricProcessorFunction", "EmptyFailedDeliveriesBucket")
    assert depends("InvocationLogSubscription", "InvocationLogSetup")  # its filter is no reason to keep the log group


# Failure


def test_failed_deliveries_are_kept(stack: Tree) -> None:
    config = properties(stack, "MetricProcessorFunctionEventInvokeConfig")

    assert config["DestinationConfig"] == {"OnFailure": {"Destination": "${FailedDeliveriesBucket.Arn}"}}
    assert config["FunctionName"] == "${MetricProcessorFunction}"


def test_retries_are_few(stack: Tree) -> None:
    configs = find_resources(stack, "AWS::Lambda::EventInvokeConfig")
    assert len(configs) == 4
    for config in configs.values():
        assert 0 <= config["MaximumRetryAttempts"] <= 2
        assert 60 <= config["MaximumEventAgeInSeconds"] <= 21_600


@pytest.mark.parametrize(
    ("bucket_id", "days"),
    [
        pytest.param("FailedDeliveriesBucket", 14, id="failed deliveries"),
        pytest.param("LargeBodiesBucket", "${LogRetentionDays}", id="large bodies"),
    ],
)
def test_bucket_is_encrypted_private_and_forgets(stack: Tree, bucket_id: str, days: object) -> None:
    bucket = properties(stack, bucket_id)

    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] in {"AES256", "aws:kms"}
    assert bucket["PublicAccessBlockConfiguration"] == dict.fromkeys(
        ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"], True
    )
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    expiring = [each for each in bucket["LifecycleConfiguration"]["Rules"] if "ExpirationInDays" in each]
    assert [(each["Status"], each["ExpirationInDays"]) for each in expiring] == [("Enabled", days)]
    assert not {"Prefix", "Filter", "TagFilters"} & expiring[0].keys()  # all of it


@pytest.mark.parametrize("bucket_id", ["FailedDeliveriesBucket", "LargeBodiesBucket"])
def test_bucket_is_reached_over_tls_alone(stack: Tree, bucket_id: str) -> None:
    policy = properties(stack, f"{bucket_id}Policy")

    assert policy["Bucket"] == f"${{{bucket_id}}}"
    (statement,) = [each for each in policy["PolicyDocument"]["Statement"] if each["Sid"] == "TlsOnly"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Resource"] == [f"${{{bucket_id}.Arn}}", f"${{{bucket_id}.Arn}}/*"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_bedrock_alone_writes_large_bodies_for_this_account_alone_before_it_is_told_to(stack: Tree) -> None:
    policy = properties(stack, "LargeBodiesBucketPolicy")

    (statement,) = [each for each in policy["PolicyDocument"]["Statement"] if each["Effect"] == "Allow"]
    assert (statement["Principal"], statement["Action"]) == ({"Service": "bedrock.amazonaws.com"}, "s3:PutObject")
    assert statement["Resource"] == "${LargeBodiesBucket.Arn}/AWSLogs/${AWS::AccountId}/BedrockModelInvocationLogs/*"
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": "${AWS::AccountId}"}
    assert "LargeBodiesBucketPolicy" in listed(stack["Resources"]["InvocationLogSetup"]["DependsOn"])


def test_state_table_has_the_key_and_expiry_the_code_uses(stack: Tree) -> None:
    table = properties(stack, "StateTable")

    assert table["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    assert table["AttributeDefinitions"] == [{"AttributeName": "id", "AttributeType": "S"}]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expiration", "Enabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_topic_has_no_key_that_cloudwatch_could_not_use(stack: Tree) -> None:
    # field case 32: under alias/aws/sns, CloudWatch cannot publish and alarms notify nobody
    assert "KmsMasterKeyId" not in properties(stack, "AlarmTopic")


def test_only_cloudwatch_of_this_account_publishes_to_the_topic(stack: Tree) -> None:
    policy = properties(stack, "AlarmTopicPolicy")

    assert policy["Topics"] == ["${AlarmTopic}"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert statement["Action"] == "sns:Publish"
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "${AWS::AccountId}"}}


# Quotas


def test_quotas_are_fetched_every_174_minutes_and_once_at_deployment(stack: Tree) -> None:
    schedule = properties(stack, "QuotaFetcherFunctionSchedule")

    assert schedule["ScheduleExpression"] == "rate(174 minutes)"
    assert schedule.get("State", "ENABLED") == "ENABLED"
    assert schedule["Target"]["Arn"] == "${QuotaFetcherFunction.Arn}"
    assert schedule["Target"]["RetryPolicy"]["MaximumRetryAttempts"] <= 2
    first = properties(stack, "FirstQuotaFetch")
    assert first["ServiceToken"] == "${QuotaFetcherFunction.Arn}"
    assert re.fullmatch(r"\$\{CoreLayer[0-9a-f]+\}", first["Code"])  # a new layer means a new fetch
    assert first["Namespace"] == "${MetricsNamespace}"  # and so does another namespace


def test_schedule_gets_a_name_of_its_own_from_cloudformation(source: Tree, stack: Tree) -> None:
    event = source["Resources"]["QuotaFetcherFunction"]["Properties"]["Events"]["Schedule"]

    assert event["Properties"]["OmitName"] is True
    assert "Name" not in properties(stack, "QuotaFetcherFunctionSchedule")


def test_every_reference_is_to_something_there_is(stack: Tree) -> None:
    text = json.dumps({"Resources": stack["Resources"], "Outputs": stack["Outputs"]})
    names = set(re.findall(r"\$\{([A-Za-z0-9:]+)", text))

    of_links = {"CallerFieldsInLink", "MetricProcessorLogGroupInLink"}
    of_fn_sub_and_labels = {"CallerFields", "Console", "FirstKeyField", "FirstKeyTitle", "Key", "OwnAccount", *of_links}
    known = stack["Resources"].keys() | stack["Parameters"].keys() | of_fn_sub_and_labels
    assert {name for name in names if not name.startswith("AWS::")} <= known
    assert names & {"StateTable", "MetricsNamespace"}


def test_console_is_known_in_every_partition(source: Tree) -> None:
    hosts: Mapping[str, Mapping[str, str]] = source["Mappings"]["Consoles"]

    assert hosts.keys() == {"aws", "aws-cn", "aws-us-gov"}


# A change of the overrides starts the fetcher


def test_only_that_rule_may_invoke_the_fetcher(stack: Tree) -> None:
    (rule,) = find_resources(stack, "AWS::Events::Rule")
    (permission,) = [
        each
        for each in find_resources(stack, "AWS::Lambda::Permission").values()
        if each["FunctionName"] == "${QuotaFetcherFunction}"
    ]
    assert permission == {
        "Action": "lambda:InvokeFunction",
        "FunctionName": "${QuotaFetcherFunction}",
        "Principal": "events.amazonaws.com",
        "SourceArn": f"${{{rule}.Arn}}",
    }


def test_the_rule_is_about_this_stacks_overrides_alone(stack: Tree) -> None:
    (rule,) = find_resources(stack, "AWS::Events::Rule").values()
    assert rule["EventPattern"] == {
        "source": ["aws.ssm"],
        "detail-type": ["Parameter Store Change"],
        "detail": {"name": [OVERRIDES], "operation": ["Create", "Update", "Delete"]},
    }
    fetcher = properties(stack, "QuotaFetcherFunction")["Environment"]["Variables"]
    assert fetcher["REGISTRY_OVERRIDES"] == OVERRIDES
    assert stack["Outputs"]["RegistryOverridesParameter"]["Value"] == OVERRIDES
    # SSM refuses names that begin with aws or ssm (API reference, PutParameter, read 2026-11-28), as a stack's may
    assert not OVERRIDES.lower().startswith(("/aws", "/ssm", "/$"))


def test_the_overrides_are_the_users_and_no_update_of_the_stack_takes_them_away(stack: Tree) -> None:
    assert find_resources(stack, "AWS::SSM::Parameter") == {}


# What the linters are told


def test_every_rule_that_is_skipped_is_skipped_for_a_reason(source: Tree) -> None:
    skipped = {
        (name, skip["id"]): skip.get("comment", "")
        for name, resource in source["Resources"].items()
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", [])
    }

    assert skipped
    assert {where for where, reason in skipped.items() if len(reason.split()) < 5} == set()


# How it is written


def test_no_value_of_a_parameter_is_written_into_the_processed_template(source: Tree) -> None:
    """An update may use the existing template, which CloudFormation has processed, and change any parameter.

    AWS::LanguageExtensions wrote values into it (its reference, Remarks, read 2026-11-28).
    """
    parameters = source["Parameters"]
    defaults = {name: str(each["Default"]) for name, each in parameters.items()}
    others = {name: each["AllowedValues"][-1] if "AllowedValues" in each else "x" for name, each in parameters.items()}

    assert defaults.keys() == others.keys()
    assert processed(defaults) == processed(others)


def processed(parameters: Mapping[str, Any]) -> Tree:
    given: Tree = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))
    for resource in given["Resources"].values():
        for key in {"CodeUri", "ContentUri"} & resource.get("Properties", {}).keys():
            resource["Properties"][key] = "s3://bucket/key"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        found: Tree = transform(given, parameters, NoManagedPolicies())
    return found


def test_the_serverless_transform_is_the_only_macro(source: Tree) -> None:
    assert source["Transform"] == "AWS::Serverless-2016-10-31"
    functions = set(re.findall(r'"(Fn::[\w:]+)"', json.dumps(source)))
    assert functions == {
        "Fn::Equals",
        "Fn::FindInMap",
        "Fn::GetAtt",
        "Fn::If",
        "Fn::Join",
        "Fn::Not",
        "Fn::Select",
        "Fn::Split",
        "Fn::Sub",
    }


@pytest.mark.parametrize("file", ["template.yaml", "dashboard/dashboard.yaml"])
def test_no_text_is_cut_by_a_comment(file: str) -> None:
    cut = list(find_comments(yaml.compose((TEMPLATE.parent / file).read_text(encoding="utf-8"), yaml.SafeLoader)))

    assert [where for where, spaces in cut if spaces < 2] == []  # two spaces say that the comment is meant
    assert [where for where, _ in cut if where in TEXTS] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("Description: a _ / # : - and b", [("Description", 1)], id="cut text"),
        pytest.param("Description: a  # b", [("Description", 2)], id="comment after a text"),
        pytest.param("a: {Description: b # c\n}", [("Description", 1)], id="inside a flow mapping"),
        pytest.param("a: [b, c] # d", [], id="behind a list"),
        pytest.param('Description: "a # b"', [], id="quoted"),
        pytest.param("Description: >-\n  a # b\n", [], id="folded"),
        pytest.param("Description: a#b", [], id="no space before it"),
    ],
)
def test_a_text_that_a_comment_cuts_is_found(text: str, found: list[tuple[str, int]]) -> None:
    assert list(find_comments(yaml.compose(text, yaml.SafeLoader))) == found


TEXTS = {"AlarmDescription", "ConstraintDescription", "Description", "DisplayName", "label", "markdown", "title"}


def find_comments(node: yaml.Node, key: str = "") -> Iterator[tuple[str, int]]:
    """The keys of plain scalars that a comment follows on their line, with the number of spaces before the comment."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            yield from find_comments(value, str(name.value))
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from find_comments(each, key)
    elif isinstance(node, yaml.ScalarNode) and node.style is None:
        rest = node.end_mark.buffer[node.end_mark.pointer :].partition("\n")[0]
        if comment := re.match(r"( +)#", rest):
            yield key, len(comment[1])


def test_every_anchor_is_defined_at_the_top_or_where_a_function_may_be_and_used() -> None:
    # Functions are documented for properties, outputs, metadata of resources and policies, not for the template's own
    # metadata (CloudFormation User Guide, Intrinsic function reference, read 2026-11-28).
    text = TEMPLATE.read_text(encoding="utf-8")
    text = re.sub(r"(?ms)^        # Generated from .*?^        # End of", "", text)
    defined = re.findall(r"(?:: |- )&([\w-]+)", text)
    before, _, rest = text.partition("\n  AWS::ServerlessRepo::Application:")

    assert sorted(defined) == sorted(set(re.findall(r"(?:: |- )\*([\w-]+)", rest)))
    at_the_top = re.findall(r"(?:: |- )&([\w-]+)", before)
    assert at_the_top == defined[: len(at_the_top)] != []
    assert defined[len(at_the_top) :] == re.findall(r"- &([\w-]+) \{\w+: !If ", rest)


# Late calls


def test_the_queue_of_late_calls_is_encrypted_reached_over_tls_alone_and_as_patient_as_cloudwatch(stack: Tree) -> None:
    queue, policy = properties(stack, "LateBodiesQueue"), properties(stack, "LateBodiesQueuePolicy")

    assert queue["SqsManagedSseEnabled"] is True
    assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600  # CloudWatch takes no older records
    assert "QueueName" not in queue
    assert policy["Queues"] == ["${LateBodiesQueue}"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "sqs:*")
    assert statement["Resource"] == "${LateBodiesQueue.Arn}"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_processor_takes_late_calls_back(stack: Tree) -> None:
    queue, mapping = properties(stack, "LateBodiesQueue"), properties(stack, "LateBodiesMapping")
    processor = properties(stack, "MetricProcessorFunction")

    assert processor["Environment"]["Variables"]["LATE_BODIES_QUEUE"] == "${LateBodiesQueue}"
    assert queue["VisibilityTimeout"] == 6 * processor["Timeout"]  # as Lambda asks for (services-sqs-configure.html)
    assert mapping == {
        "EventSourceArn": "${LateBodiesQueue.Arn}",
        "FunctionName": "${MetricProcessorFunction.Arn}",
        "BatchSize": 3,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": 2},  # the least there is
    }
    # there is time to start the last message of a batch, however slow S3 is with the bodies of the others
    per_message = large_bodies.SECONDS_PER_DELIVERY + large_bodies.SECONDS_TO_END
    until_last = (mapping["BatchSize"] - 1) * per_message
    assert until_last <= processor["Timeout"] - MIN_MILLISECONDS_TO_START / 1000
    # Lambda's detection of loops must not stop it: the code bounds the times that a call comes back
    assert processor["RecursiveLoop"] == "Allow"
    assert LATE_BODIES_SECONDS / LATE_BODIES_DELAY < late_bodies.MAX_READS <= 20
    # the alarm is far above the delay of a message, and below the third receipt, after which SQS leaves a message out
    alarm = properties(stack, "LateBodiesAlarm")
    assert MAX_DELAY <= alarm["Threshold"] < LATE_BODIES_DELAY + 3 * queue["VisibilityTimeout"]
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": "${LateBodiesQueue.QueueName}"}]


def statements(node: Any) -> Iterator[Tree]:
    """Yield the statements of all policies below a node."""
    if isinstance(node, dict):
        yield from node.get("Statement", ())
        node = list(node.values())
    for each in node if isinstance(node, list) else ():
        yield from statements(each)


def test_the_documented_boundary_allows_what_the_roles_allow(stack: Tree, streaming: Tree) -> None:
    text = (TEMPLATE.parent / "docs" / "permissions.md").read_text(encoding="utf-8")
    section = text.partition("\n## Permissions boundary\n")[2].partition("\n## ")[0]
    documented = json.loads(section.partition("```json\n")[2].partition("```")[0])

    properties = [
        {**resource["Properties"], "AssumeRolePolicyDocument": {}}
        for way in (stack, streaming)
        for resource in way["Resources"].values()
        if resource["Type"].startswith("AWS::IAM::")
    ]
    actions = [each["Action"] for each in statements(properties) if each["Effect"] == "Allow"]
    allowed = {name for each in actions for name in ([each] if isinstance(each, str) else each)}
    assert len(allowed) > 40
    assert documented == {"Effect": "Allow", "Action": sorted(allowed), "Resource": "*"}
