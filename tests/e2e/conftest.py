"""The stack of this checkout, deployed once on an emulator of the tests' own."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from iam.recorder import Recorder

from localaws import instance
from localaws.fault_proxy import Call, FaultProxy
from localaws.instance import Instance
from quota_monitor.aws_session import physical_id

LOG_STREAM = "aws/bedrock/modelinvocations"
PROCESSOR_LOG = "/aws/lambda/quota-e2e-metric-processor"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Order all end-to-end tests, which share an emulator and its stack, or two of them: tests/conftest.py.

    First the doctor, who must find nothing wrong before anything was, and the first-day check; late what changes the
    stack over; last what looks back at all others.
    """
    yield
    order = {"test_doctor.py": 0, "test_first_day.py": 1, "test_kinesis.py": 3, "test_permissions.py": 4}
    very_last = "test_functions_use_what_they_are_granted_and_nothing_else"  # it deletes the stack
    items.sort(key=lambda item: (order.get(item.path.name, 2), item.name == very_last))  # after pytest-randomly


DIRECTORY = pytest.StashKey[Path]()
"""Where the local AWS of this worker has its state."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Stop the local AWS after the last end-to-end test, because it takes processor time from all tests that follow."""
    yield
    directory = item.config.stash.get(DIRECTORY, None)
    if directory is not None and (nextitem is None or nextitem.path.parent != item.path.parent):
        instance.down(directory)


@pytest.fixture(scope="session")
def recorder() -> Iterator[Recorder]:
    """What IAM would have been asked since before the deployment."""
    with FaultProxy().open() as opened:
        yield Recorder(opened)


@pytest.fixture(scope="session")
def doctor_calls() -> list[Call]:
    """What the doctor has asked of AWS in all tests so far."""
    return []


@pytest.fixture(scope="session")
def proxy(recorder: Recorder) -> FaultProxy:
    """What lies between the deployed functions and AWS: it has noted every call since before the deployment."""
    return recorder.proxy


@pytest.fixture(scope="session")
def local(
    tmp_path_factory: pytest.TempPathFactory, proxy: FaultProxy, pytestconfig: pytest.Config
) -> Iterator[Instance]:
    directory = pytestconfig.stash[DIRECTORY] = tmp_path_factory.mktemp("localaws")
    try:
        yield instance.up(
            directory=directory,
            stack_name="quota-e2e",
            parameters={"RequestMetadataKeys": "team,environment"},
            proxy=proxy,
        )
    finally:
        instance.down(directory)


@pytest.fixture(scope="session")
def resource(local: Instance) -> Callable[[str], str]:
    return lambda logical_id: physical_id(local.session(), local.stack_name, logical_id)


@pytest.fixture
def queue(local: Instance, resource: Callable[[str], str]) -> Iterator[str]:
    """A queue that subscribes to the topic of the stack."""
    sqs, sns = local.session().client("sqs"), local.session().client("sns")
    url = sqs.create_queue(QueueName="subscriber")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    subscription = sns.subscribe(
        TopicArn=resource("AlarmTopic"), Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True
    )["SubscriptionArn"]
    yield url
    sns.unsubscribe(SubscriptionArn=subscription)
    sqs.delete_queue(QueueUrl=url)


@pytest.fixture(scope="session")
def large_bodies(resource: Callable[[str], str]) -> str:
    """The bucket that Bedrock delivers large bodies to."""
    return resource("LargeBodiesBucket")


@pytest.fixture(scope="session")
def deliver(local: Instance) -> Callable[[Sequence[dict[str, Any] | str]], None]:
    """Write records into the invocation log as Bedrock does, and wait until their metrics are there."""
    logs = local.session().client("logs")
    group = local.outputs["InvocationLogGroupName"]
    if not logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=LOG_STREAM)["logStreams"]:
        logs.create_log_stream(logGroupName=group, logStreamName=LOG_STREAM)

    def put(records: Sequence[dict[str, Any] | str]) -> None:
        before = local.drain().invocations.get(PROCESSOR_LOG, 0)
        now = int(datetime.now(UTC).timestamp() * 1000)
        logs.put_log_events(
            logGroupName=group,
            logStreamName=LOG_STREAM,
            logEvents=[
                {"timestamp": now, "message": each if isinstance(each, str) else json.dumps(each)} for each in records
            ],
        )
        local.drain({PROCESSOR_LOG: before + 1})

    return put


@pytest.fixture(scope="session")
def minute() -> datetime:
    """A whole minute, the same for all tests, before any hour that the demo's traffic takes: one or two of the last."""
    return datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=13)


@pytest.fixture(scope="session")
def metric(local: Instance, minute: datetime) -> Callable[..., dict[datetime, float]]:
    """Read a metric back, by minute: of the hour after `since`, or of the last one if it is stamped now."""
    cloudwatch = local.session().client("cloudwatch")

    def read(
        name: str, model_id: str = "", endpoint_type: str = "", stat: str = "Sum", since: datetime = minute
    ) -> dict[datetime, float]:
        dimensions = [("ModelId", model_id), ("EndpointType", endpoint_type)] if model_id else []
        start = since if model_id and not name.endswith("TokenQuota") else datetime.now(UTC) - timedelta(hours=1)
        answer = cloudwatch.get_metric_data(
            StartTime=start,
            EndTime=start + timedelta(minutes=65),
            MetricDataQueries=[
                {
                    "Id": "wanted",
                    "MetricStat": {
                        "Metric": {
                            "Namespace": "Bedrock/Quotas",
                            "MetricName": name,
                            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions],
                        },
                        "Period": 60,
                        "Stat": stat,
                    },
                }
            ],
        )
        (found,) = answer["MetricDataResults"]
        return dict(zip(found["Timestamps"], found["Values"], strict=True))

    return read
