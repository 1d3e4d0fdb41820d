"""Setting up an account's invocation logging, and taking just that back, checked against the service models."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from bedrock_quota import invocation_logging
from bedrock_quota.invocation_logging import Change, InvocationLoggingError, Wanted

pytestmark = pytest.mark.usefixtures("no_aws")

ROLE = "arn:aws:iam::111122223333:role/write-invocation-logs"
WANTED = Wanted(
    log_group="/aws/bedrock/modelinvocations",
    role_arn=ROLE,
    retention_days=30,
    own_log_groups=("/aws/lambda/stack-metric-processor", "/aws/lambda/stack-quota-fetcher"),
)
CLOUDWATCH = {"logGroupName": "/aws/bedrock/modelinvocations", "roleArn": ROLE}
S3_ONLY = {
    "s3Config": {"bucketName": "somebodys-bucket", "keyPrefix": "logs"},
    "textDataDeliveryEnabled": True,
    "imageDataDeliveryEnabled": True,
}
THEIRS = {
    "cloudWatchConfig": {"logGroupName": "/theirs", "roleArn": "arn:aws:iam::111122223333:role/theirs"},
    "textDataDeliveryEnabled": True,
}
GET, PUT = "get_model_invocation_logging_configuration", "put_model_invocation_logging_configuration"
DELETE = "delete_model_invocation_logging_configuration"


class Services:
    def __init__(self) -> None:
        self.bedrock: Any = boto3.client("bedrock")
        self.logs: Any = boto3.client("logs")
        self.to_bedrock, self.to_logs = Stubber(self.bedrock), Stubber(self.logs)

    def configured(self, configuration: dict[str, Any] | None) -> None:
        answer = {} if configuration is None else {"loggingConfig": configuration}
        self.to_bedrock.add_response(GET, answer, {})

    def group_can_be_made(self) -> None:
        self.to_logs.add_response("create_log_group", {}, {"logGroupName": WANTED.log_group})
        self.to_logs.add_response("put_retention_policy", {}, {"logGroupName": WANTED.log_group, "retentionInDays": 30})

    def set_up(self, wanted: Wanted = WANTED) -> tuple[str, str, Change | None]:
        return invocation_logging.set_up(self.bedrock, self.logs, wanted)


@pytest.fixture
def services() -> Iterator[Services]:
    made = Services()
    with made.to_bedrock, made.to_logs:
        yield made
        made.to_bedrock.assert_no_pending_responses()
        made.to_logs.assert_no_pending_responses()


# Setting up. What the stubs were not told of, they refuse.


def test_existing_logs_in_cloudwatch_are_adopted_untouched(services: Services) -> None:
    services.configured(THEIRS)

    assert services.set_up() == ("/theirs", "adopted the existing invocation logging", None)


def test_adopting_logs_without_text_warns(services: Services) -> None:
    services.configured(THEIRS | {"textDataDeliveryEnabled": False})

    group, done, change = services.set_up()

    assert (group, change) == ("/theirs", None)
    assert "max_tokens stays unknown" in done


def test_cloudwatch_is_added_to_logs_that_go_to_s3_and_nothing_of_theirs_is_lost(services: Services) -> None:
    after = S3_ONLY | {"cloudWatchConfig": CLOUDWATCH}
    services.configured(S3_ONLY)
    services.group_can_be_made()
    services.to_bedrock.add_response(PUT, {}, {"loggingConfig": after})

    assert services.set_up() == (
        "/aws/bedrock/modelinvocations",
        "added CloudWatch to the existing invocation logging",
        Change(S3_ONLY, after),
    )


def test_without_any_configuration_text_alone_is_switched_on(services: Services) -> None:
    after = {
        "textDataDeliveryEnabled": True,
        "imageDataDeliveryEnabled": False,
        "embeddingDataDeliveryEnabled": False,
        "videoDataDeliveryEnabled": False,
        "cloudWatchConfig": CLOUDWATCH,
    }
    services.configured(None)
    services.group_can_be_made()
    services.to_bedrock.add_response(PUT, {}, {"loggingConfig": after})

    assert services.set_up() == (
        "/aws/bedrock/modelinvocations",
        "switched invocation logging on",
        Change(None, after),
    )


def test_log_group_that_is_there_keeps_its_retention(services: Services) -> None:
    services.configured(S3_ONLY)
    services.to_logs.add_client_error("create_log_group", "ResourceAlreadyExistsException")
    services.to_bedrock.add_response(PUT, {}, {"loggingConfig": S3_ONLY | {"cloudWatchConfig": CLOUDWATCH}})

    assert services.set_up()[0] == "/aws/bedrock/modelinvocations"


def test_log_group_that_cannot_be_made_changes_nothing(services: Services) -> None:
    services.configured(S3_ONLY)
    services.to_logs.add_client_error("create_log_group", "LimitExceededException")

    with pytest.raises(ClientError, match="LimitExceeded"):
        services.set_up()


@pytest.mark.parametrize("own", WANTED.own_log_groups)
def test_logs_that_go_to_a_group_of_this_stack_are_refused(services: Services, own: str) -> None:
    services.configured(THEIRS | {"cloudWatchConfig": {"logGroupName": own, "roleArn": ROLE}})

    with pytest.raises(InvocationLoggingError, match="log group of this stack") as caught:
        services.set_up()
    assert own in str(caught.value)


@pytest.mark.parametrize("before", [None, S3_ONLY])
def test_group_of_this_stack_is_refused_as_one_to_make(services: Services, before: dict[str, Any] | None) -> None:
    services.configured(before)
    own = WANTED.own_log_groups[0]

    with pytest.raises(InvocationLoggingError, match="log group of this stack"):
        services.set_up(Wanted(own, ROLE, 30, WANTED.own_log_groups))


# Undoing


AFTER_S3 = S3_ONLY | {"cloudWatchConfig": CLOUDWATCH}
AFTER_NOTHING = {"textDataDeliveryEnabled": True, "cloudWatchConfig": CLOUDWATCH}


def test_undo_restores_what_was_there(services: Services) -> None:
    services.configured(AFTER_S3)
    services.to_bedrock.add_response(PUT, {}, {"loggingConfig": S3_ONLY})

    assert invocation_logging.undo(services.bedrock, Change(S3_ONLY, AFTER_S3)).startswith("restored")


def test_undo_switches_off_what_was_off(services: Services) -> None:
    services.configured(AFTER_NOTHING)
    services.to_bedrock.add_response(DELETE, {}, {})

    assert invocation_logging.undo(services.bedrock, Change(None, AFTER_NOTHING)).startswith("switched")


@pytest.mark.parametrize("now", [None, THEIRS, AFTER_S3 | {"imageDataDeliveryEnabled": False}])
def test_undo_leaves_what_somebody_changed_since(services: Services, now: dict[str, Any] | None) -> None:
    services.configured(now)

    assert invocation_logging.undo(services.bedrock, Change(S3_ONLY, AFTER_S3)).startswith("left")


# Remembering


@pytest.mark.parametrize("change", [Change(None, AFTER_NOTHING), Change(S3_ONLY, AFTER_S3)])
def test_change_is_remembered(change: Change) -> None:
    client: Any = boto3.client("dynamodb")
    kept: list[dict[str, Any]] = []

    class Table:
        def put_item(self, *, TableName: str, Item: dict[str, Any]) -> None:  # noqa: N803
            assert TableName == "state"
            kept.append(Item)

    invocation_logging.remember("state", Table(), change)  # type: ignore[arg-type]
    with Stubber(client) as stubber:
        stubber.add_response("put_item", {}, {"TableName": "state", "Item": kept[0]})
        stubber.add_response(
            "get_item", {"Item": kept[0]}, {"TableName": "state", "Key": {"id": {"S": "invocation-logging"}}}
        )
        invocation_logging.remember("state", client, change)

        assert invocation_logging.recall("state", client) == change


def test_nothing_remembered_is_none() -> None:
    client: Any = boto3.client("dynamodb")
    with Stubber(client) as stubber:
        stubber.add_response("get_item", {})

        assert invocation_logging.recall("state", client) is None


@pytest.mark.parametrize(
    ("configuration", "group"),
    [
        (None, None),
        ({}, None),
        (S3_ONLY, None),
        ({"cloudWatchConfig": {}}, None),
        ({"cloudWatchConfig": {"logGroupName": ""}}, None),
        (THEIRS, "/theirs"),
    ],
)
def test_log_group_of_a_configuration(configuration: dict[str, Any] | None, group: str | None) -> None:
    assert invocation_logging.log_group_of(configuration) == group
