"""Setting up an account's invocation logging, and taking just that out, checked against the service models."""

from collections.abc import Iterator
from typing import Any

import boto3
import msgspec
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from bedrock_quota import invocation_logging
from bedrock_quota.invocation_logging import InvocationLoggingError, LargeBodies, SetUp, Wanted

pytestmark = pytest.mark.usefixtures("no_aws")

ROLE = "arn:aws:iam::111122223333:role/write-invocation-logs"
WANTED = Wanted(
    log_group="/aws/bedrock/modelinvocations",
    role_arn=ROLE,
    retention_days=30,
    large_bodies_bucket="our-large-bodies",
    own_log_groups=("/aws/lambda/stack-metric-processor", "/aws/lambda/stack-quota-fetcher"),
)
CLOUDWATCH = {
    "logGroupName": "/aws/bedrock/modelinvocations",
    "roleArn": ROLE,
    "largeDataDeliveryS3Config": {"bucketName": "our-large-bodies"},
}
LARGE = LargeBodies("our-large-bodies")
S3_ONLY = {
    "s3Config": {"bucketName": "somebodys-bucket", "keyPrefix": "logs"},
    "textDataDeliveryEnabled": True,
    "imageDataDeliveryEnabled": True,
}
THEIRS = {
    "cloudWatchConfig": {"logGroupName": "/theirs", "roleArn": "arn:aws:iam::111122223333:role/theirs"},
    "textDataDeliveryEnabled": True,
}
OURS = {
    "cloudWatchConfig": CLOUDWATCH,
    "textDataDeliveryEnabled": True,
    "imageDataDeliveryEnabled": False,
    "embeddingDataDeliveryEnabled": False,
    "videoDataDeliveryEnabled": False,
}
"""What this stack makes where there was nothing."""
OURS_AND_S3 = S3_ONLY | {"cloudWatchConfig": CLOUDWATCH}
GET, PUT = "get_model_invocation_logging_configuration", "put_model_invocation_logging_configuration"
DELETE = "delete_model_invocation_logging_configuration"


class Services:
    def __init__(self) -> None:
        self.bedrock: Any = boto3.client("bedrock")
        self.logs: Any = boto3.client("logs")
        self.to_bedrock, self.to_logs = Stubber(self.bedrock), Stubber(self.logs)
        self.slept: list[float] = []

    def configured(self, configuration: dict[str, Any] | None) -> None:
        answer = {} if configuration is None else {"loggingConfig": configuration}
        self.to_bedrock.add_response(GET, answer, {})

    def group_can_be_made(self, name: str = WANTED.log_group) -> None:
        self.to_logs.add_response("create_log_group", {}, {"logGroupName": name})
        self.to_logs.add_response("put_retention_policy", {}, {"logGroupName": name, "retentionInDays": 30})

    def put(self, configuration: dict[str, Any]) -> None:
        self.to_bedrock.add_response(PUT, {}, {"loggingConfig": configuration})

    def put_is_refused(self, message: str, code: str = "ValidationException") -> None:
        self.to_bedrock.add_client_error(PUT, code, message)

    def set_up(self, wanted: Wanted = WANTED) -> SetUp:
        return invocation_logging.set_up(self.bedrock, self.logs, wanted, self.slept.append)

    def take_out(self) -> str:
        return invocation_logging.take_out(self.bedrock, ROLE)


@pytest.fixture
def services() -> Iterator[Services]:
    made = Services()
    with made.to_bedrock, made.to_logs:
        yield made
        made.to_bedrock.assert_no_pending_responses()
        made.to_logs.assert_no_pending_responses()


def moved(configuration: dict[str, Any], group: str) -> dict[str, Any]:
    return configuration | {"cloudWatchConfig": CLOUDWATCH | {"logGroupName": group}}


# Setting up. What the stubs were not told of, they refuse.


def test_existing_logs_in_cloudwatch_are_adopted_untouched(services: Services) -> None:
    large = {"bucketName": "their-large-bodies", "keyPrefix": "bedrock"}
    delivery: Any = THEIRS["cloudWatchConfig"]
    services.configured(THEIRS | {"cloudWatchConfig": delivery | {"largeDataDeliveryS3Config": large}})

    assert services.set_up() == SetUp(
        "/theirs", "adopted the existing invocation logging", LargeBodies("their-large-bodies", "bedrock")
    )


def test_adopting_logs_without_large_bodies_warns(services: Services) -> None:
    services.configured(THEIRS)

    found = services.set_up()

    assert (found.log_group, found.large_bodies) == ("/theirs", None)
    assert found.done.startswith("adopted the existing invocation logging; bodies over 100 KB are delivered nowhere")


def test_somebody_elses_logs_in_the_wanted_group_are_adopted_too(services: Services) -> None:
    services.configured({"cloudWatchConfig": CLOUDWATCH | {"roleArn": "arn:aws:iam::111122223333:role/theirs"}})

    assert services.set_up() == SetUp(WANTED.log_group, "adopted the existing invocation logging", LARGE)


def test_adopting_logs_without_text_warns(services: Services) -> None:
    services.configured(THEIRS | {"textDataDeliveryEnabled": False})

    found = services.set_up()

    assert found.log_group == "/theirs"
    assert found.done.startswith("adopted")
    assert "max_tokens stays unknown" in found.done


def test_cloudwatch_is_added_to_logs_that_go_to_s3_and_nothing_of_theirs_is_lost(services: Services) -> None:
    services.configured(S3_ONLY)
    services.group_can_be_made()
    services.put(OURS_AND_S3)

    assert services.set_up() == SetUp(WANTED.log_group, "added CloudWatch to the existing invocation logging", LARGE)


def test_without_any_configuration_text_alone_is_switched_on(services: Services) -> None:
    services.configured(None)
    services.group_can_be_made()
    services.put(OURS)

    assert services.set_up() == SetUp(WANTED.log_group, "switched invocation logging on", LARGE)


@pytest.mark.parametrize("before", [OURS, OURS_AND_S3])
def test_what_this_stack_set_up_is_kept_on_an_update(services: Services, before: dict[str, Any]) -> None:
    services.configured(before)

    assert services.set_up() == SetUp(WANTED.log_group, "kept the invocation logging that this stack set up", LARGE)


@pytest.mark.parametrize("before", [OURS, OURS_AND_S3])
def test_what_this_stack_set_up_moves_with_the_groups_name_and_back_on_rollback(
    services: Services, before: dict[str, Any]
) -> None:
    renamed = msgspec.structs.replace(WANTED, log_group="/elsewhere")
    services.configured(before)
    services.group_can_be_made("/elsewhere")
    services.put(moved(before, "/elsewhere"))
    changed = "changed the invocation logging that this stack set up"
    assert services.set_up(renamed) == SetUp("/elsewhere", changed, LARGE)

    services.configured(moved(before, "/elsewhere"))
    services.to_logs.add_client_error("create_log_group", "ResourceAlreadyExistsException")
    services.put(before)
    assert services.set_up() == SetUp(WANTED.log_group, changed, LARGE)


def test_an_update_names_the_bucket_for_large_bodies_where_an_older_version_named_none(services: Services) -> None:
    services.configured(OURS | {"cloudWatchConfig": {"logGroupName": WANTED.log_group, "roleArn": ROLE}})
    services.put(OURS)

    assert services.set_up().large_bodies == LARGE


def test_what_somebody_changed_in_the_stacks_own_configuration_is_kept_and_warned_of(services: Services) -> None:
    elsewhere = CLOUDWATCH | {"largeDataDeliveryS3Config": {"bucketName": "elsewhere", "keyPrefix": "large"}}
    services.configured(OURS | {"cloudWatchConfig": elsewhere, "textDataDeliveryEnabled": False})

    found = services.set_up()

    assert found.large_bodies == LargeBodies("elsewhere", "large")
    assert found.done.startswith("kept the invocation logging that this stack set up; text delivery is off")


def test_adopted_logs_stay_where_they_are_when_the_groups_name_changes(services: Services) -> None:
    services.configured(THEIRS)

    assert services.set_up(msgspec.structs.replace(WANTED, log_group="/elsewhere")).log_group == "/theirs"


def test_log_group_that_is_there_keeps_its_retention(services: Services) -> None:
    services.configured(S3_ONLY)
    services.to_logs.add_client_error("create_log_group", "ResourceAlreadyExistsException")
    services.put(OURS_AND_S3)

    assert services.set_up().log_group == WANTED.log_group


def test_log_group_that_cannot_be_made_changes_nothing(services: Services) -> None:
    services.configured(S3_ONLY)
    services.to_logs.add_client_error("create_log_group", "LimitExceededException")

    with pytest.raises(ClientError, match="LimitExceeded"):
        services.set_up()


@pytest.mark.parametrize("own", WANTED.own_log_groups)
def test_logs_that_go_to_a_group_of_this_stack_are_refused(services: Services, own: str) -> None:
    services.configured({"cloudWatchConfig": THEIRS["cloudWatchConfig"] | {"logGroupName": own}})  # type: ignore[operator]

    with pytest.raises(InvocationLoggingError, match="log group of this stack") as caught:
        services.set_up()
    assert own in str(caught.value)


@pytest.mark.parametrize("before", [None, S3_ONLY, OURS])
def test_group_of_this_stack_is_refused_as_one_to_make(services: Services, before: dict[str, Any] | None) -> None:
    services.configured(before)
    own = WANTED.own_log_groups[0]

    with pytest.raises(InvocationLoggingError, match="log group of this stack"):
        services.set_up(msgspec.structs.replace(WANTED, log_group=own))


# A new role takes a while to be known


NOT_YET = "Failed to validate permissions for log group: /aws/bedrock/modelinvocations"


def test_put_is_tried_again_until_bedrock_knows_the_role(services: Services) -> None:
    services.configured(None)
    services.group_can_be_made()
    services.put_is_refused(NOT_YET)
    services.put_is_refused("The role lacks PERMISSION to write")
    services.put(OURS)

    assert services.set_up() == SetUp(WANTED.log_group, "switched invocation logging on", LARGE)
    assert services.slept == [5, 5]


def test_put_that_is_refused_for_a_minute_and_a_half_is_raised(services: Services) -> None:
    services.configured(None)
    services.group_can_be_made()
    for _ in range(19):  # at 0, 5, 10 … 90 seconds
        services.put_is_refused(NOT_YET)

    with pytest.raises(ClientError, match="Failed to validate permissions"):
        services.set_up()
    assert services.slept == [5] * 18


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ValidationException", "The log group does not exist"),
        ("AccessDeniedException", "no permission to PutModelInvocationLoggingConfiguration"),
    ],
)
def test_put_that_is_refused_for_another_reason_is_raised_at_once(services: Services, code: str, message: str) -> None:
    services.configured(None)
    services.group_can_be_made()
    services.put_is_refused(message, code)

    with pytest.raises(ClientError, match=code):
        services.set_up()
    assert services.slept == []


# Taking out


def test_taking_out_leaves_what_goes_to_s3(services: Services) -> None:
    services.configured(OURS_AND_S3)
    services.put(S3_ONLY)

    assert services.take_out() == "took CloudWatch out of the invocation logging again"


def test_taking_out_leaves_what_somebody_added_to_s3_since(services: Services) -> None:
    services.configured(OURS | {"s3Config": {"bucketName": "new-bucket"}, "imageDataDeliveryEnabled": True})
    services.put(
        {
            "s3Config": {"bucketName": "new-bucket"},
            "textDataDeliveryEnabled": True,
            "imageDataDeliveryEnabled": True,
            "embeddingDataDeliveryEnabled": False,
            "videoDataDeliveryEnabled": False,
        }
    )

    assert services.take_out().startswith("took CloudWatch out")


@pytest.mark.parametrize("present", [OURS, OURS | {"textDataDeliveryEnabled": False}, moved(OURS, "/elsewhere")])
def test_taking_out_all_there_is_switches_it_off(services: Services, present: dict[str, Any]) -> None:
    services.configured(present)
    services.to_bedrock.add_response(DELETE, {}, {})

    assert services.take_out() == "switched invocation logging off again"


@pytest.mark.parametrize("present", [None, THEIRS, S3_ONLY, THEIRS | S3_ONLY])
def test_taking_out_leaves_what_is_not_of_this_stack(services: Services, present: dict[str, Any] | None) -> None:
    services.configured(present)

    assert services.take_out() == "left invocation logging as it is: none of it is this stack's"


def test_taking_out_after_a_failed_set_up_leaves_what_was_there(services: Services) -> None:
    services.configured(S3_ONLY)
    services.group_can_be_made()
    services.put_is_refused("The log group does not exist")
    with pytest.raises(ClientError):
        services.set_up()

    services.configured(S3_ONLY)
    assert services.take_out().startswith("left")


def test_taking_out_that_fails_is_raised(services: Services) -> None:
    services.to_bedrock.add_client_error(GET, "AccessDeniedException")

    with pytest.raises(ClientError, match="AccessDenied"):
        services.take_out()


# Reading a configuration


@pytest.mark.parametrize(
    ("configuration", "ours"),
    [(None, False), ({}, False), (S3_ONLY, False), (THEIRS, False), (OURS, True), (moved(S3_ONLY, "/any"), True)],
)
def test_what_bears_the_stacks_role_is_the_stacks(configuration: dict[str, Any] | None, ours: bool) -> None:
    assert invocation_logging.is_ours(configuration, ROLE) is ours


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


@pytest.mark.parametrize(
    ("prefix", "folder"), [("", "b/AWSLogs/"), ("logs", "b/logs/AWSLogs/"), ("/logs/of/it/", "b/logs/of/it/AWSLogs/")]
)
def test_large_bodies_lie_below_the_prefix_if_there_is_one(prefix: str, folder: str) -> None:
    assert LargeBodies("b", prefix).folder == folder
