"""The doctor on the deployed stack, where each fault is really made and then mended; and its test of the alarms."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bedrock_quota import model_ids
from localaws.instance import Instance
from quota_monitor import alarm_test
from quota_monitor.main import main

Resource = Callable[[str], str]
Doctor = Callable[..., Result]
Fault = Callable[[Instance, Resource], AbstractContextManager[None]]


@pytest.fixture
def doctor(local: Instance, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(local.cli_config))

    def run(*options: str) -> Result:
        arguments = ["doctor", "--profile", "local", "--stack-name", local.stack_name, *options]
        return CliRunner(env={"COLUMNS": "250"}).invoke(main, arguments)

    return run


@pytest.fixture
def queue(local: Instance, resource: Resource) -> Iterator[str]:
    """A queue that hears what the alarms tell."""
    sqs, sns = local.session().client("sqs"), local.session().client("sns")
    url = sqs.create_queue(QueueName="hears-alarms")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    subscription = sns.subscribe(
        TopicArn=resource("AlarmTopic"), Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True
    )["SubscriptionArn"]
    yield url
    sns.unsubscribe(SubscriptionArn=subscription)
    sqs.delete_queue(QueueUrl=url)


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
    return logging_changed(local, {"textDataDeliveryEnabled": False})


def another_group(local: Instance, _resource: Resource) -> AbstractContextManager[None]:
    elsewhere = {"logGroupName": "/somewhere/else", "roleArn": f"arn:aws:iam::{local.account.id}:role/else"}
    return logging_changed(local, {"cloudWatchConfig": elsewhere})


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


SIGNS: dict[Fault, tuple[str, str]] = {
    # what the doctor says of each fault, and what to do
    no_filter: ("no filter of /aws/bedrock/modelinvocations delivers to", "aws logs put-subscription-filter"),
    no_permission: ("CloudWatch Logs may not invoke", "aws lambda add-permission"),
    no_logging: ("is switched off: Bedrock logs no call", "deploy again"),
    no_text: ("leaves the text out", "switch on Text"),
    another_group: (
        "delivers to /somewhere/else, and the stack reads /aws/bedrock/modelinvocations",
        "deploy again",
    ),
    no_concurrency: ("its reserved concurrency is 0", "aws lambda delete-function-concurrency"),
    no_snapshot: ("were never fetched", "aws lambda invoke"),
    failed_delivery: ("1 wait in s3://", "quota-monitor failed replay"),
    muted_alarm: ("RecordsRejectedAlarm: actions are switched off", "aws cloudwatch enable-alarm-actions"),
    schedule_off: ("is switched off: quotas grow old", "switch it on"),
}


@pytest.mark.usefixtures("queue")
@pytest.mark.parametrize(
    "faults",
    [
        pytest.param((no_logging,), id="invocation logging"),
        pytest.param((another_group, no_filter), id="another log group"),
        pytest.param((no_text, no_permission, no_snapshot, failed_delivery), id="on the way"),
        pytest.param((no_concurrency, muted_alarm, schedule_off), id="switched off"),
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
        (advice,) = [line for line in ill.output.splitlines() if "add to the policy of that key: " in line]
        policy = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
        policy["Statement"].append(json.loads(advice.partition("that key: ")[2]))
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))
        well = doctor()
    finally:
        s3.put_bucket_encryption(Bucket=large_bodies, ServerSideEncryptionConfiguration=before)
    # then
    assert ill.exit_code == 1
    assert "is encrypted with alias/theirs, which the processor may not use" in ill.output
    assert resource("MetricProcessorRole") in advice
    assert well.exit_code == 0, well.output


def test_a_topic_that_nobody_hears_is_a_problem(doctor: Doctor) -> None:
    result = doctor()

    assert result.exit_code == 1
    assert "nobody is subscribed" in result.output


def test_no_such_stack_is_said_in_a_sentence(local: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(local.cli_config))

    result = CliRunner().invoke(main, ["doctor", "--profile", "local", "--stack-name", "nobody-made-this"])

    assert result.exit_code == 1
    assert "nobody-made-this does not exist" in result.output


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
    assert again.exit_code == 1
    assert "still rings from the last test" in again.output


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
    assert "Go on? [y/N]" in result.output
    assert stored() == before
