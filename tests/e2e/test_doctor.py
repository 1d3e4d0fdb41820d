"""The doctor on the deployed stack, where each fault is really made and then mended; and its test of the alarms."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import commands
import pytest
from click.testing import CliRunner, Result
from iam.recorder import calls_recorded

from bedrock_quota import model_ids
from localaws.fault_proxy import Call
from localaws.instance import Instance
from quota_monitor.doctor import alarm_test
from quota_monitor.main import main

Resource = Callable[[str], str]
Doctor = Callable[..., Result]
Fault = Callable[[Instance, Resource], AbstractContextManager[None]]


@pytest.fixture
def doctor(local: Instance, doctor_calls: list[Call], monkeypatch: pytest.MonkeyPatch) -> Doctor:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(local.cli_config))

    def run(*options: str) -> Result:
        arguments = ["doctor", "--profile", "local", "--stack-name", local.stack_name, *options]
        with calls_recorded(doctor_calls if "--test-alarm" not in options else []):
            return CliRunner(env={"COLUMNS": "1000"}).invoke(main, arguments)

    return run


@contextmanager
def no_filter(local: Instance, _resource: Resource) -> Iterator[None]:
    logs, group = local.session().client("logs"), local.outputs["InvocationLogGroupName"]
    (found,) = logs.describe_subscription_filters(logGroupName=group)["subscriptionFilters"]
    logs.delete_subscription_filter(logGroupName=group, filterName=found["filterName"])
    try:
        yield
    finally:
        logs.put_subscription_filter(
            logGroupName=group,
            filterName=found["filterName"],
            filterPattern=found["filterPattern"],
            destinationArn=found["destinationArn"],
        )


@contextmanager
def no_permission(local: Instance, resource: Resource) -> Iterator[None]:
    functions, name = local.session().client("lambda"), resource("MetricProcessorFunction")
    (statement,) = json.loads(functions.get_policy(FunctionName=name)["Policy"])["Statement"]
    functions.remove_permission(FunctionName=name, StatementId=statement["Sid"])
    try:
        yield
    finally:
        functions.add_permission(
            FunctionName=name,
            StatementId=statement["Sid"],
            Action=statement["Action"],
            Principal=statement["Principal"]["Service"],
            SourceArn=statement["Condition"]["ArnLike"]["AWS:SourceArn"],
            SourceAccount=statement["Condition"]["StringEquals"]["AWS:SourceAccount"],
        )


@contextmanager
def logging_changed(local: Instance, change: dict[str, Any] | None) -> Iterator[None]:
    bedrock = local.session().client("bedrock")
    before: Any = bedrock.get_model_invocation_logging_configuration()["loggingConfig"]
    if change is None:
        bedrock.delete_model_invocation_logging_configuration()
    else:
        after: Any = before | change
        bedrock.put_model_invocation_logging_configuration(loggingConfig=after)
    try:
        yield
    finally:
        bedrock.put_model_invocation_logging_configuration(loggingConfig=before)


def no_logging(local: Instance, _resource: Resource) -> AbstractContextManager[None]:
    return logging_changed(local, None)


def no_text(local: Instance, _resource: Resource) -> AbstractContextManager[None]:
    """Somebody has text left out, and a call has not declared its limit."""
    local.session().client("cloudwatch").put_metric_data(
        Namespace="Bedrock/Quotas",
        MetricData=[
            # 20 hours ago, where no other test looks
            {"MetricName": "MaxTokensUnknown", "Timestamp": datetime.now(UTC) - timedelta(hours=20), "Value": 1}
        ],
    )
    return logging_changed(local, {"textDataDeliveryEnabled": False})


@contextmanager
def another_group(local: Instance, resource: Resource) -> Iterator[None]:
    """Somebody has Bedrock deliver to a group of their own, by a role of their own."""
    iam, ours = local.session().client("iam"), resource("InvocationLoggingRole")
    trust = iam.get_role(RoleName=ours)["Role"]["AssumeRolePolicyDocument"]
    write: Any = iam.get_role_policy(RoleName=ours, PolicyName="write-invocation-logs")["PolicyDocument"]
    statement = json.dumps(write).replace(local.outputs["InvocationLogGroupName"], "/somewhere/else")
    role = iam.create_role(RoleName="else", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName="else", PolicyName="write", PolicyDocument=statement)
    try:
        elsewhere = {"logGroupName": "/somewhere/else", "roleArn": role}
        with logging_changed(local, {"cloudWatchConfig": elsewhere}):
            yield
    finally:
        iam.delete_role_policy(RoleName="else", PolicyName="write")
        iam.delete_role(RoleName="else")


@contextmanager
def no_concurrency(local: Instance, resource: Resource) -> Iterator[None]:
    functions, name = local.session().client("lambda"), resource("MetricProcessorFunction")
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    try:
        yield
    finally:
        functions.delete_function_concurrency(FunctionName=name)


@contextmanager
def no_snapshot(local: Instance, resource: Resource) -> Iterator[None]:
    tables, key = local.session().client("dynamodb"), {"id": {"S": "quotas"}}
    item = tables.get_item(TableName=resource("StateTable"), Key=key)["Item"]
    tables.delete_item(TableName=resource("StateTable"), Key=key)
    try:
        yield
    finally:
        tables.put_item(TableName=resource("StateTable"), Item=item)


@contextmanager
def failed_delivery(local: Instance, resource: Resource) -> Iterator[None]:
    s3, bucket = local.session().client("s3"), resource("FailedDeliveriesBucket")
    s3.put_object(Bucket=bucket, Key="aws/lambda/async/doctor", Body=b"{}")
    try:
        yield
    finally:
        s3.delete_object(Bucket=bucket, Key="aws/lambda/async/doctor")


@contextmanager
def muted_alarm(local: Instance, resource: Resource) -> Iterator[None]:
    cloudwatch, name = local.session().client("cloudwatch"), resource("RecordsRejectedAlarm")
    cloudwatch.disable_alarm_actions(AlarmNames=[name])
    try:
        yield
    finally:
        cloudwatch.enable_alarm_actions(AlarmNames=[name])


@contextmanager
def schedule_off(local: Instance, resource: Resource) -> Iterator[None]:
    scheduler: Any = local.session().client("scheduler")
    found = scheduler.get_schedule(Name=resource("QuotaFetcherFunctionSchedule"))
    kept = {key: found[key] for key in ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")}
    scheduler.update_schedule(**kept, State="DISABLED")
    try:
        yield
    finally:
        scheduler.update_schedule(**kept, State="ENABLED")


@contextmanager
def linked_accounts(local: Instance, _resource: Resource) -> Iterator[None]:
    """Somebody has made the account a monitoring account."""
    access: Any = local.session().client("oam")
    sink = access.create_sink(Name="central")["Arn"]
    try:
        yield
    finally:
        access.delete_sink(Identifier=sink)


@contextmanager
def no_bucket(local: Instance, resource: Resource) -> Iterator[None]:
    s3, bucket = local.session().client("s3"), resource("FailedDeliveriesBucket")
    policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    encryption: Any = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    kept = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
    bodies = {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in kept}
    for key in bodies:
        s3.delete_object(Bucket=bucket, Key=key)
    s3.delete_bucket(Bucket=bucket)
    try:
        yield
    finally:
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_policy(Bucket=bucket, Policy=policy)
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=encryption)
        for key, body in bodies.items():
            s3.put_object(Bucket=bucket, Key=key, Body=body)


@contextmanager
def no_table(local: Instance, resource: Resource) -> Iterator[None]:
    tables, name = local.session().client("dynamodb"), resource("StateTable")
    found: Any = tables.describe_table(TableName=name)["Table"]
    items = [item for page in tables.get_paginator("scan").paginate(TableName=name) for item in page["Items"]]
    tables.delete_table(TableName=name)
    try:
        yield
    finally:
        tables.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=found["AttributeDefinitions"],
            KeySchema=found["KeySchema"],
        )
        tables.update_time_to_live(
            TableName=name, TimeToLiveSpecification={"AttributeName": "expiration", "Enabled": True}
        )
        for item in items:
            tables.put_item(TableName=name, Item=item)


@contextmanager
def no_topic(local: Instance, resource: Resource) -> Iterator[None]:
    sns, topic = local.session().client("sns"), resource("AlarmTopic")
    policy = sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"]
    sns.delete_topic(TopicArn=topic)
    try:
        yield
    finally:
        assert sns.create_topic(Name=topic.rpartition(":")[2])["TopicArn"] == topic
        sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)


def no_role(logical_id: str) -> Fault:
    @contextmanager
    def fault(local: Instance, resource: Resource) -> Iterator[None]:
        iam, name = local.session().client("iam"), resource(logical_id)
        trust = json.dumps(iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"])
        names = iam.list_role_policies(RoleName=name)["PolicyNames"]
        policies = {each: iam.get_role_policy(RoleName=name, PolicyName=each)["PolicyDocument"] for each in names}
        for each in names:
            iam.delete_role_policy(RoleName=name, PolicyName=each)
        iam.delete_role(RoleName=name)
        try:
            yield
        finally:
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
            for each, document in policies.items():
                iam.put_role_policy(RoleName=name, PolicyName=each, PolicyDocument=json.dumps(document))

    return fault


@contextmanager
def no_alarm(local: Instance, resource: Resource) -> Iterator[None]:
    cloudwatch: Any = local.session().client("cloudwatch")
    (found,) = cloudwatch.describe_alarms(AlarmNames=[resource("RecordsRejectedAlarm")])["MetricAlarms"]
    taken = cloudwatch.meta.service_model.operation_model("PutMetricAlarm").input_shape.members
    cloudwatch.delete_alarms(AlarmNames=[found["AlarmName"]])
    try:
        yield
    finally:
        cloudwatch.put_metric_alarm(**{key: value for key, value in found.items() if key in taken and value})


@contextmanager
def no_dashboard(local: Instance, resource: Resource) -> Iterator[None]:
    cloudwatch, name = local.session().client("cloudwatch"), resource("QuotaDashboard")
    body = cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"]
    cloudwatch.delete_dashboards(DashboardNames=[name])
    try:
        yield
    finally:
        cloudwatch.put_dashboard(DashboardName=name, DashboardBody=body)


@contextmanager
def no_schedule(local: Instance, resource: Resource) -> Iterator[None]:
    scheduler: Any = local.session().client("scheduler")
    found = scheduler.get_schedule(Name=resource("QuotaFetcherFunctionSchedule"))
    taken = scheduler.meta.service_model.operation_model("CreateSchedule").input_shape.members
    scheduler.delete_schedule(Name=found["Name"])
    try:
        yield
    finally:
        scheduler.create_schedule(**{key: value for key, value in found.items() if key in taken and value})


@contextmanager
def no_rule(local: Instance, resource: Resource) -> Iterator[None]:
    events, name = local.session().client("events"), resource("QuotaFetcherFunctionOverridesChanged")
    found = events.describe_rule(Name=name)
    targets: Any = events.list_targets_by_rule(Rule=name)["Targets"]
    events.remove_targets(Rule=name, Ids=[each["Id"] for each in targets])
    events.delete_rule(Name=name)
    try:
        yield
    finally:
        events.put_rule(Name=name, EventPattern=found["EventPattern"], State="ENABLED")
        events.put_targets(Rule=name, Targets=targets)


SIGNS: dict[Fault, tuple[str, str]] = {
    # what the doctor says of each fault, and what to do
    no_filter: ("No filter of /aws/bedrock/modelinvocations delivers to", "aws logs put-subscription-filter"),
    no_permission: ("CloudWatch Logs is not allowed to invoke", "aws lambda add-permission"),
    no_logging: (
        "Invocation logging is off. Bedrock logs no calls. The configuration that the stack wrote",
        "eploy again",
    ),
    no_text: ("The logs leave out the text", "Switch on Text"),
    another_group: (
        "Bedrock logs to /somewhere/else, but the stack reads /aws/bedrock/modelinvocations",
        "eploy again",
    ),
    no_concurrency: ("its reserved concurrency is 0", "aws lambda delete-function-concurrency"),
    no_snapshot: ("Quotas were never fetched", "aws lambda invoke"),
    failed_delivery: ("Failed deliveries in s3://", "quota-monitor failed replay"),
    muted_alarm: ("RecordsRejectedAlarm: actions are disabled", "aws cloudwatch enable-alarm-actions"),
    schedule_off: ("is disabled. Quotas are no longer updated.", "Enable it"),
    linked_accounts: ("This account is a CloudWatch monitoring account", "Deploy with MonitoringAccount=yes"),
}


@pytest.mark.usefixtures("queue")
@pytest.mark.parametrize(
    "faults",
    [
        pytest.param((no_logging,), id="invocation logging"),
        pytest.param((another_group, no_filter), id="another log group"),
        pytest.param((no_text, no_permission, no_snapshot, failed_delivery), id="on the way"),
        pytest.param((no_concurrency, muted_alarm, schedule_off), id="switched off"),
        pytest.param((linked_accounts,), id="monitoring account"),
    ],
)
def test_faults_are_named_until_they_are_mended(
    local: Instance, resource: Resource, doctor: Doctor, faults: tuple[Fault, ...]
) -> None:
    # given a stack with these faults
    with ExitStack() as made:
        for fault in faults:
            made.enter_context(fault(local, resource))
        # when
        ill = doctor()
    well = doctor()
    # then they are the problems, each with what to do about it, and there is none when they are mended
    problems = [line for line in ill.output.splitlines() if line.startswith(" problem")]
    assert ill.exit_code == 1
    assert len(problems) == len(faults), ill.output
    for found, advice in (SIGNS[fault] for fault in faults):
        assert [line for line in problems if found in line] != [], found
        assert advice in ill.output
    assert " problem" not in well.output
    assert well.exit_code == 0


def test_every_part_that_is_gone_is_said_to_be_until_it_is_back(
    local: Instance, resource: Resource, doctor: Doctor
) -> None:
    # given a stack of which somebody has deleted one of each kind
    faults = [
        no_bucket,
        no_table,
        no_topic,
        no_alarm,
        no_schedule,
        no_rule,
        no_dashboard,
        *map(no_role, ("InvocationLoggingRole", "MetricProcessorRole", "QuotaFetcherRole")),
    ]
    with ExitStack() as made:
        for fault in faults:
            made.enter_context(fault(local, resource))
        # when
        ill = doctor()
    well = doctor()
    # then it is not a matter of credentials, each is named with what follows, and nothing that follows from it is
    assert ill.exit_code == 1
    assert "Could not check" not in ill.output
    assert len([line for line in ill.output.splitlines() if line.startswith(" problem")]) == 1
    assert [line.strip() for line in ill.output.splitlines() if line.startswith("▸ resources: ")] == [
        "▸ resources: Deleted: AlarmTopic (alarms reach nobody), "
        "FailedDeliveriesBucket (failed deliveries are lost), "
        "InvocationLoggingRole (Bedrock cannot write logs), "
        "MetricProcessorRole (the processor cannot run), "
        "QuotaFetcherFunctionSchedule (quotas are no longer updated), "
        "QuotaFetcherRole (quotas are no longer updated), "
        "RecordsRejectedAlarm (it cannot fire), "
        "StateTable (no percentages, and duplicate deliveries count twice).",
        "▸ resources: Deleted: QuotaDashboard, QuotaFetcherFunctionOverridesChanged.",
    ]
    assert f"aws cloudformation create-change-set --stack-name {local.stack_name} " in ill.output
    # and all are there again
    assert "Deleted: " not in well.output
    assert "Could not check" not in well.output


def command_of(result: Result, beginning: str) -> dict[str, list[str]]:
    """The options of the one command in the doctor's advice that begins so."""
    (found,) = [
        command
        for line in result.output.splitlines()
        for command in commands.in_advice(line)
        if command.startswith(beginning)
    ]
    return commands.options_of(found)


@pytest.mark.usefixtures("queue")
def test_a_logging_role_that_bedrock_cannot_use_is_mended_by_the_advice(
    local: Instance, resource: Resource, doctor: Doctor
) -> None:
    # given a role that trusts somebody else, and whose policy is gone
    iam, name = local.session().client("iam"), resource("InvocationLoggingRole")
    trust = json.dumps(iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"])
    policy = json.dumps(iam.get_role_policy(RoleName=name, PolicyName="write-invocation-logs")["PolicyDocument"])
    try:
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust.replace("bedrock.", "lambda."))
        iam.delete_role_policy(RoleName=name, PolicyName="write-invocation-logs")
        ill = doctor()
        # when what the doctor says is done
        trusting = command_of(ill, "aws iam update-assume-role-policy")
        writing = command_of(ill, "aws iam put-role-policy")
        iam.update_assume_role_policy(
            RoleName=trusting["--role-name"][0], PolicyDocument=trusting["--policy-document"][0]
        )
        iam.put_role_policy(
            RoleName=writing["--role-name"][0],
            PolicyName=writing["--policy-name"][0],
            PolicyDocument=writing["--policy-document"][0],
        )
        well = doctor()
    finally:
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust)
        iam.put_role_policy(RoleName=name, PolicyName="write-invocation-logs", PolicyDocument=policy)
    # then
    assert ill.exit_code == 1
    assert f"{name} does not allow Bedrock to assume it" in ill.output
    assert f"{name} lacks permission for logs:CreateLogStream and logs:PutLogEvents" in ill.output
    assert well.exit_code == 0, well.output


@pytest.mark.usefixtures("queue")
def test_a_bucket_that_bedrock_may_not_write_to_is_a_problem_until_its_policy_says_so(
    local: Instance, doctor: Doctor, large_bodies: str
) -> None:
    # given a bucket for large bodies whose policy is gone
    s3 = local.session().client("s3")
    policy = s3.get_bucket_policy(Bucket=large_bodies)["Policy"]
    try:
        s3.delete_bucket_policy(Bucket=large_bodies)
        ill = doctor()
        # when the statement that the doctor gives is put there
        advice = ill.output.partition("Add this statement to the policy of that bucket:\n")[2].splitlines()[0]
        statement = json.loads(advice)
        s3.put_bucket_policy(
            Bucket=large_bodies, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        )
        well = doctor()
    finally:
        s3.put_bucket_policy(Bucket=large_bodies, Policy=policy)
    # then it is the one that the template has
    assert ill.exit_code == 1
    assert f"Bedrock is not allowed to write to s3://{large_bodies}/" in ill.output
    ours = next(each for each in json.loads(policy)["Statement"] if each["Sid"] == "BedrockWritesLargeBodies")
    assert {key: value for key, value in ours.items() if key != "Sid"} == statement
    assert well.exit_code == 0, well.output


@pytest.mark.usefixtures("queue")
def test_failed_deliveries_that_could_not_be_kept_are_a_problem(
    local: Instance, resource: Resource, doctor: Doctor
) -> None:
    # given a processor without a destination, whose role may not write there, and a bucket that lets nobody
    functions, iam, s3 = (local.session().client(each) for each in ("lambda", "iam", "s3"))
    function, role, bucket = map(resource, ("MetricProcessorFunction", "MetricProcessorRole", "FailedDeliveriesBucket"))
    config: Any = functions.get_function_event_invoke_config(FunctionName=function, Qualifier="$LATEST")
    granted: Any = iam.get_role_policy(RoleName=role, PolicyName="process-deliveries")["PolicyDocument"]
    closed = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    policy = json.dumps(closed)
    closed["Statement"].append({"Effect": "Deny", "Principal": "*", "Action": "s3:Put*", "Resource": "*"})
    left = [each for each in granted["Statement"] if not each["Sid"].endswith("FailedDeliveries")]
    try:
        functions.delete_function_event_invoke_config(FunctionName=function, Qualifier="$LATEST")
        iam.put_role_policy(
            RoleName=role,
            PolicyName="process-deliveries",
            PolicyDocument=json.dumps({**granted, "Statement": left}),
        )
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(closed))
        # when
        ill = doctor()
    finally:
        s3.put_bucket_policy(Bucket=bucket, Policy=policy)
        iam.put_role_policy(RoleName=role, PolicyName="process-deliveries", PolicyDocument=json.dumps(granted))
        put = command_of(ill, "aws lambda put-function-event-invoke-config")
        functions.put_function_event_invoke_config(
            FunctionName=put["--function-name"][0],
            Qualifier=put["--qualifier"][0],
            MaximumRetryAttempts=int(put["--maximum-retry-attempts"][0]),
            MaximumEventAgeInSeconds=int(put["--maximum-event-age-in-seconds"][0]),
            DestinationConfig=config["DestinationConfig"],
        )
    after: Any = functions.get_function_event_invoke_config(FunctionName=function, Qualifier="$LATEST")
    well = doctor()
    # then all three are said, and the advice gives back what was there
    assert f"are not kept: {function} does not send them to {bucket}" in ill.output
    assert f"cannot be kept: {role} lacks permission for s3:PutObject and s3:ListBucket in {bucket}" in ill.output
    assert f"cannot be kept: the policy of {bucket} denies access" in ill.output
    destination = config["DestinationConfig"]["OnFailure"]["Destination"]
    assert put["--destination-config"] == [f"OnFailure={{Destination={destination}}}"]
    kept = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")
    assert [after[each] for each in kept] == [config[each] for each in kept]
    assert well.exit_code == 0, well.output


@pytest.mark.usefixtures("queue")
def test_a_key_that_the_processor_may_not_use_is_a_problem_until_its_policy_says_so(
    local: Instance, resource: Resource, doctor: Doctor, large_bodies: str
) -> None:
    # given a bucket for large bodies under a key of its owner's, found by its alias
    s3, kms = local.session().client("s3"), local.session().client("kms")
    before: Any = s3.get_bucket_encryption(Bucket=large_bodies)["ServerSideEncryptionConfiguration"]
    key = kms.create_key()["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName="alias/theirs", TargetKeyId=key)
    default: Any = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/theirs"}
    s3.put_bucket_encryption(
        Bucket=large_bodies,
        ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": default}]},
    )
    try:
        # when its policy knows the account alone, and when the statement that the doctor gives is added
        ill = doctor()
        advice = ill.output.partition("Add this statement to the policy of that key:\n")[2].splitlines()[0]
        policy = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
        policy["Statement"].append(json.loads(advice))
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))
        well = doctor()
        # and when somebody wants it deleted
        kms.schedule_key_deletion(KeyId=key)
        lost = doctor()
    finally:
        s3.put_bucket_encryption(Bucket=large_bodies, ServerSideEncryptionConfiguration=before)
    # then
    assert ill.exit_code == 1
    assert f"is encrypted with {key}, which the processor is not allowed to use" in ill.output
    assert resource("MetricProcessorRole") in advice
    assert lost.exit_code == 1
    assert f"is encrypted with {key}, which is PendingDeletion" in lost.output
    assert command_of(lost, "aws kms cancel-key-deletion") == {
        "--key-id": [key],
        "--region": ["us-east-1"],
        "--profile": ["local"],
    }
    assert well.exit_code == 0, well.output


def test_a_topic_without_a_subscriber_is_a_problem_only_while_an_alarm_is_on(doctor: Doctor) -> None:
    result = doctor()

    assert result.exit_code == (1 if "is in ALARM" in result.output else 0), result.output
    assert "Nobody is subscribed" in result.output


def test_no_such_stack_is_said_in_a_sentence(local: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(local.cli_config))

    result = CliRunner().invoke(main, ["doctor", "--profile", "local", "--stack-name", "nobody-made-this"])

    assert result.exit_code == 3
    assert result.output.startswith("Error: There is no stack nobody-made-this in us-east-1 of account 111122223333. ")
    assert f"These look like the monitor: {local.stack_name}. Name one with --stack-name." in result.output


def ringing(cloudwatch: Any) -> set[str]:
    return {alarm["AlarmName"] for alarm in cloudwatch.describe_alarms(StateValue="ALARM")["MetricAlarms"]}


def test_test_of_the_alarms_reaches_a_subscriber_and_touches_nothing_else(
    local: Instance, resource: Resource, doctor: Doctor, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a subscriber of the topic, and what was there before
    monkeypatch.setattr(alarm_test, "_POLL_SECONDS", 0.2)
    monkeypatch.setattr(alarm_test, "PUBLISHED_SECONDS", 0.5)  # the emulator keeps no history of actions
    cloudwatch, sqs = local.session().client("cloudwatch"), local.session().client("sqs")
    # the emulator looks at its alarms when a metric comes: other tests' faults must not ring during this one
    cloudwatch.put_metric_data(Namespace="e2e", MetricData=[{"MetricName": "Settled", "Value": 1}])
    sqs.purge_queue(QueueUrl=queue)
    before = ringing(cloudwatch)
    test = resource("TestAlarm")
    # when
    result = doctor("--test-alarm", "--yes")
    again = doctor("--test-alarm", "--yes")
    after = ringing(cloudwatch)
    cloudwatch.set_alarm_state(AlarmName=test, StateValue="OK", StateReason="the end of the test")
    # then each step was reached, by CloudWatch's own doing
    assert result.exit_code == 0, result.output
    assert [line.split()[:2] for line in result.output.splitlines() if line.startswith("ok ")] == [
        ["ok", "record:"],
        ["ok", "metric:"],
        ["ok", "alarm:"],
        ["ok", "topic:"],
    ]
    # and the message that came says that it is a test
    messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    told = [json.loads(json.loads(each["Body"])["Message"]) for each in messages]
    assert [(each["AlarmName"], each["NewStateValue"]) for each in told] == [(test, "ALARM")]
    assert told[0]["AlarmDescription"].startswith("This is a test and nothing is wrong")
    # and no other alarm rang, no bucket came to be
    assert after - before == {test}
    pages = cloudwatch.get_paginator("list_metrics").paginate(Namespace="Bedrock/Quotas")
    metrics = [metric for page in pages for metric in page["Metrics"]]
    assert [each["Dimensions"] for each in metrics if each["MetricName"] == "AlarmTests"] == [[]]
    assert model_ids.ALARM_TEST not in {each["Value"] for metric in metrics for each in metric["Dimensions"]}
    # and a second test waits for the first one's alarm to end
    assert again.exit_code == 3
    assert "is still in ALARM from the last test" in again.output


def test_nothing_is_sent_unless_somebody_agrees(local: Instance, doctor: Doctor) -> None:
    def stored() -> Any:
        streams = (
            local.session()
            .client("logs")
            .describe_log_streams(
                logGroupName=local.outputs["InvocationLogGroupName"], logStreamNamePrefix=alarm_test.LOG_STREAM
            )["logStreams"]
        )
        return [each.get("lastIngestionTime") for each in streams]

    before = stored()
    result = doctor("--test-alarm")

    assert result.exit_code == 1
    assert "says that it is a test" in result.output
    assert "Continue? [y/N]" in result.output
    assert stored() == before
