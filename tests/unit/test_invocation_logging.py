"""Setting up an account's invocation logging, and taking just that out, checked against the service models."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import msgspec
import pytest
from bedrock_settings import BedrockSettings
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from bedrock_quota.deployment import invocation_logging, log_groups, logging_configuration, logging_removal
from bedrock_quota.deployment.invocation_logging import (
    BUCKET_REFUSED,
    LOOK_AGAIN,
    SetupRequest,
    SetupResult,
)
from bedrock_quota.deployment.log_groups import MADE_BY
from bedrock_quota.deployment.logging_configuration import LargeBodies
from bedrock_quota.deployment.logging_target import LoggingTarget, is_ours
from bedrock_quota.deployment.preflight import InvocationLoggingError
from bedrock_quota.state.table import LoggingMemory, LoggingOrigin

pytestmark = pytest.mark.usefixtures("no_aws")

ROLE = "arn:aws:iam::111122223333:role/write-invocation-logs"
GROUP = "/aws/bedrock/modelinvocations"
PART = LoggingTarget(log_group=GROUP, role_arn=ROLE, retention_days=30, large_bodies_bucket="our-large-bodies")
WANTED = SetupRequest(
    target=PART,
    stack_name="monitor",
    own_filter="monitor-metric-processor",
    own_log_groups=("/aws/lambda/monitor-metric-processor", "/aws/lambda/monitor-quota-fetcher"),
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
    "audioDataDeliveryEnabled": False,
}
"""What this stack makes where there was nothing."""
OURS_AND_S3 = S3_ONLY | {"cloudWatchConfig": CLOUDWATCH}


class Services:
    """Bedrock, Logs and KMS, told what they will be asked and answer. All else they refuse."""

    def __init__(self) -> None:
        self.settings = BedrockSettings()
        self.bedrock: Any = self.settings.client
        self.logs: Any = boto3.client("logs")
        self.kms: Any = boto3.client("kms")
        self.to_logs, self.to_kms = Stubber(self.logs), Stubber(self.kms)
        self.slept: list[float] = []
        self.noted: list[LoggingOrigin] = []
        self.waits: list[bool] = []  # whether CloudFormation still waits, each time it is asked; in the end it does

    def configured(self, configuration: dict[str, Any] | None) -> None:
        self.settings.expect("GET", answer={} if configuration is None else {"loggingConfig": configuration})

    def group(self, name: str = GROUP, *, there: bool = True, **more: Any) -> None:
        found = [{"logGroupName": name, "arn": f"{arn(name)}:*", **more}] if there else []
        also = {"logGroupName": f"{name}-of-others", "arn": f"{arn(name)}-of-others:*"}
        self.to_logs.add_response("describe_log_groups", {"logGroups": [also, *found]}, {"logGroupNamePrefix": name})

    def filtered(self, *names: str, name: str = GROUP) -> None:
        answer = {"subscriptionFilters": [{"filterName": each} for each in names]}
        self.to_logs.add_response("describe_subscription_filters", answer, {"logGroupName": name})

    def tagged(self, name: str = GROUP, made_by: str | None = "monitor") -> None:
        tags = {"team": "theirs"} if made_by is None else {MADE_BY: made_by}
        self.to_logs.add_response("list_tags_for_resource", {"tags": tags}, {"resourceArn": arn(name)})

    def readable(self, name: str = GROUP, **more: Any) -> None:
        self.group(name, **{"retentionInDays": 30, **more})

    def made(self, name: str = GROUP, days: int = 30, **tags: str) -> None:
        self.group(name, there=False)
        self.to_logs.add_response("create_log_group", {}, {"logGroupName": name, "tags": {MADE_BY: "monitor", **tags}})
        self.to_logs.add_response("put_retention_policy", {}, {"logGroupName": name, "retentionInDays": days})

    def removed(self, name: str = GROUP) -> None:
        self.to_logs.add_response("delete_log_group", {}, {"logGroupName": name})

    def put(self, configuration: dict[str, Any]) -> None:
        self.settings.expect("PUT", {"loggingConfig": configuration})

    def changed(self, before: dict[str, Any] | None, after: dict[str, Any]) -> None:
        """Looked at once more, changed, and looked at again."""
        self.configured(before)
        self.put(after)
        self.configured(after)

    def put_is_refused(self, message: str, code: str = "ValidationException") -> None:
        self.settings.expect("PUT", refusal=(code, message))

    def switched_off(self) -> None:
        self.settings.expect("DELETE")

    def set_up(self, wanted: SetupRequest = WANTED) -> SetupResult:
        return invocation_logging.set_up_logging(
            self.bedrock,
            self.logs,
            self.kms,
            wanted,
            self.cancelled,
            note_origin=self.noted.append,
            sleep=self.slept.append,
        )

    def cancelled(self) -> bool:
        return not (self.waits.pop(0) if self.waits else True)

    def as_found(self, wanted: SetupRequest, *read: str) -> SetupResult:
        return invocation_logging.describe_existing(self.bedrock, self.logs, wanted, read, "the group is full")

    def group_goes(self) -> None:
        self.group()
        self.tagged()
        self.filtered()
        self.removed()

    def take_out(self, *read: str, origin: LoggingOrigin | None = None) -> str:
        return logging_removal.remove_logging(self.bedrock, self.logs, PART, "monitor", read, origin=origin)


def raw(configuration: dict[str, Any] | None) -> dict[str, msgspec.Raw] | None:
    """Return a configuration as it is read."""
    if configuration is None:
        return None
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in configuration.items()}


def arn(name: str) -> str:
    return f"arn:aws:logs:us-east-1:111122223333:log-group:{name}"


@pytest.fixture
def services() -> Iterator[Services]:
    made = Services()
    with made.to_logs, made.to_kms:
        yield made
        for each in (made.settings, made.to_logs, made.to_kms):
            each.assert_no_pending_responses()


def moved(configuration: dict[str, Any], group: str) -> dict[str, Any]:
    return configuration | {"cloudWatchConfig": CLOUDWATCH | {"logGroupName": group}}


def with_large(configuration: dict[str, Any], large: dict[str, str] | None) -> dict[str, Any]:
    delivery = {name: value for name, value in CLOUDWATCH.items() if name != "largeDataDeliveryS3Config"}
    return configuration | {"cloudWatchConfig": delivery | ({"largeDataDeliveryS3Config": large} if large else {})}


def updated(former: LoggingTarget = PART, **part: Any) -> SetupRequest:
    """What an update wants, whose part differs from the former one in this."""
    return msgspec.structs.replace(WANTED, previous=former, target=msgspec.structs.replace(PART, **part))


# Adopting


def test_existing_logs_in_cloudwatch_are_adopted_untouched(services: Services) -> None:
    large = {"bucketName": "their-large-bodies", "keyPrefix": "bedrock"}
    delivery: Any = THEIRS["cloudWatchConfig"]
    services.configured(THEIRS | {"cloudWatchConfig": delivery | {"largeDataDeliveryS3Config": large}})
    services.readable("/theirs")

    assert services.set_up() == SetupResult(
        "/theirs", "adopted the existing invocation logging", LargeBodies("their-large-bodies", "bedrock")
    )


@pytest.mark.parametrize("adopt_only", [False, True])
def test_adopting_logs_without_large_bodies_warns(services: Services, adopt_only: bool) -> None:
    services.configured(THEIRS)
    services.readable("/theirs")

    found = services.set_up(msgspec.structs.replace(WANTED, adopt_only=adopt_only))

    assert (found.log_group, found.large_bodies) == ("/theirs", None)
    assert found.done.startswith("adopted the existing invocation logging; bodies over 100 KB are not delivered")
    assert found.done.endswith(f", then {LOOK_AGAIN}")  # an update that changes no property asks for no set-up


def test_somebody_elses_logs_in_the_wanted_group_are_adopted_too(services: Services) -> None:
    services.configured({"cloudWatchConfig": CLOUDWATCH | {"roleArn": "arn:aws:iam::111122223333:role/theirs"}})
    services.readable()

    assert services.set_up() == SetupResult(GROUP, "adopted the existing invocation logging", LARGE)


def test_adopting_logs_without_text_warns_and_leaves_it_off(services: Services) -> None:
    services.configured(THEIRS | {"textDataDeliveryEnabled": False})
    services.readable("/theirs")

    found = services.set_up()

    assert found.log_group == "/theirs"
    assert found.done.startswith("adopted")
    assert "max_tokens is unknown for calls that do not declare their limit" in found.done


def test_adopted_logs_stay_where_they_are_when_the_groups_name_changes(services: Services) -> None:
    services.configured(THEIRS)
    services.readable("/theirs")

    assert services.set_up(updated(log_group="/elsewhere")).log_group == "/theirs"


def test_group_that_bedrock_delivers_to_and_that_is_gone_stops_the_deployment(services: Services) -> None:
    services.configured(THEIRS)
    services.group("/theirs", there=False)

    with pytest.raises(
        InvocationLoggingError, match=r"/theirs, which does not exist. Create it .aws logs create-log-group"
    ):
        services.set_up()


# Setting up


def test_cloudwatch_is_added_to_logs_that_go_to_s3_and_nothing_of_theirs_is_lost(services: Services) -> None:
    services.configured(S3_ONLY)
    services.made()
    services.changed(S3_ONLY, OURS_AND_S3)

    assert services.set_up() == SetupResult(GROUP, "added CloudWatch to the existing invocation logging", LARGE)
    assert services.slept == [3]


def test_text_that_its_owner_has_off_stays_off_where_cloudwatch_is_added(services: Services) -> None:
    before = S3_ONLY | {"textDataDeliveryEnabled": False}
    services.configured(before)
    services.made()
    services.changed(before, before | {"cloudWatchConfig": CLOUDWATCH})

    assert "text delivery is off" in services.set_up().done


def test_without_any_configuration_text_alone_is_switched_on(services: Services) -> None:
    services.configured(None)
    services.made()
    services.changed(None, OURS)

    assert services.set_up() == SetupResult(GROUP, "enabled invocation logging", LARGE)


@pytest.fixture
def kinds_of_data(services: Services) -> dict[str, Any]:
    """The members of the logging configuration that the SDK knows."""
    known: dict[str, Any] = services.bedrock.meta.service_model._service_description["shapes"]["LoggingConfig"][
        "members"
    ]
    return known


def test_kind_of_data_that_the_sdk_lacks_is_switched_off_as_well(
    services: Services, kinds_of_data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # field case 22, with an SDK from before audio
    monkeypatch.delitem(kinds_of_data, "audioDataDeliveryEnabled")
    services.configured(None)
    services.made()
    services.changed(None, OURS)

    assert services.set_up().done == "enabled invocation logging"


def test_kind_of_data_that_is_new_in_the_sdk_is_switched_off(
    services: Services, kinds_of_data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(kinds_of_data, "smellDataDeliveryEnabled", {"shape": "Boolean"})
    services.configured(None)
    services.made()
    services.changed(None, OURS | {"smellDataDeliveryEnabled": False})

    assert services.set_up().done == "enabled invocation logging"


def test_kind_of_data_that_no_sdk_has_yet_is_switched_off_when_bedrock_returns_it(services: Services) -> None:
    services.configured(None)
    services.made()
    services.configured(None)
    services.put(OURS)
    off = {"tasteDataDeliveryEnabled": False, "touchDataDeliveryEnabled": None, "level": "all", "compressed": True}
    there = OURS | off | {"smellDataDeliveryEnabled": True, "toolDeliveryEnabled": True}
    services.configured(there)
    services.configured(there)
    services.put(there | {"smellDataDeliveryEnabled": False, "toolDeliveryEnabled": False})

    assert services.set_up() == SetupResult(GROUP, "enabled invocation logging", LARGE)


def test_kind_of_data_that_cannot_be_switched_off_is_named(services: Services) -> None:
    there = OURS | {"smellDataDeliveryEnabled": True}
    services.configured(None)
    services.made()
    services.configured(None)
    services.put(OURS)
    services.configured(there)
    services.configured(there)
    services.put_is_refused("smellDataDeliveryEnabled is read-only")

    done = services.set_up().done

    assert "nobody asked for (smellDataDeliveryEnabled)" in done
    assert done.endswith("AWS returned: smellDataDeliveryEnabled is read-only")


def test_creation_cancelled_while_it_switches_a_kind_of_data_off_takes_all_back(services: Services) -> None:
    there = OURS | {"smellDataDeliveryEnabled": True}
    services.waits = [True, False, False]
    services.configured(None)
    services.made()
    services.configured(None)
    services.put(OURS)
    services.configured(there)
    services.configured(there)
    services.switched_off()
    services.group_goes()

    with pytest.raises(InvocationLoggingError, match=CANCELLED):
        services.set_up()


def test_kind_of_data_that_bedrock_switches_on_for_the_owner_is_named_and_left(services: Services) -> None:
    services.configured(S3_ONLY)
    services.made()
    services.configured(S3_ONLY)
    services.put(OURS_AND_S3)
    services.configured(OURS_AND_S3 | {"audioDataDeliveryEnabled": True, "videoDataDeliveryEnabled": False})

    done = services.set_up().done

    assert done.startswith("added CloudWatch to the existing invocation logging; Bedrock also delivers a kind of data")
    assert "(audioDataDeliveryEnabled)" in done


def test_kinds_of_data_of_an_existing_configuration_stay_as_they_are(services: Services) -> None:
    before = S3_ONLY | {"audioDataDeliveryEnabled": True}
    services.configured(before)
    services.made()
    services.changed(before, before | {"cloudWatchConfig": CLOUDWATCH})

    assert services.set_up().done.startswith("added CloudWatch")


def test_log_group_with_three_other_filters_is_adopted(services: Services) -> None:
    # field case 09: AWS allows five since 2026-09, so nothing is asked or refused here
    services.configured(THEIRS)
    services.readable("/theirs")

    found = services.set_up()

    assert found.log_group == "/theirs"
    assert found.done.startswith("adopted the existing invocation logging")


def test_what_bedrock_reads_back_with_more_flags_is_still_what_was_put(services: Services) -> None:
    services.configured(None)
    services.made()
    services.configured(None)
    services.put(OURS)
    services.configured(OURS | {"audioDataDeliveryEnabled": True, "videoDataDeliveryEnabled": True})

    assert services.set_up().done == "enabled invocation logging"


FLAGS = {"textDataDeliveryEnabled": False, "imageDataDeliveryEnabled": False}
"""An owner's configuration without a destination, which keeps prompts from being stored."""


def test_flags_of_the_owner_without_a_destination_stay(services: Services) -> None:
    services.configured(FLAGS)
    services.made()
    services.changed(FLAGS, FLAGS | {"cloudWatchConfig": CLOUDWATCH})

    done = services.set_up().done

    assert done.startswith("added CloudWatch to the existing invocation logging; text delivery is off")


@pytest.mark.parametrize(
    ("before", "origin"),
    [
        pytest.param(None, LoggingOrigin(created=True), id="no configuration"),
        pytest.param(FLAGS, LoggingOrigin(created=False), id="flags"),
        pytest.param(S3_ONLY, LoggingOrigin(created=False), id="S3 only"),
        pytest.param(FLAGS | {"cloudWatchConfig": {}}, LoggingOrigin(created=False, delivery="{}"), id="empty"),
        pytest.param({"cloudWatchConfig": {"x": "y" * 10_000}}, LoggingOrigin(created=False), id="far too long"),
    ],
)
def test_what_is_there_before_the_stacks_part_is_noted(
    services: Services, before: dict[str, Any] | None, origin: LoggingOrigin
) -> None:
    present: Any = before or OURS
    after = present | {"cloudWatchConfig": present.get("cloudWatchConfig", {}) | CLOUDWATCH}
    services.configured(before)
    services.made()
    services.changed(before, after)

    services.set_up()

    assert services.noted == [origin]


def test_note_is_made_before_the_change_and_made_again_if_another_was_faster(services: Services) -> None:
    services.configured(None)
    services.made()
    services.configured(S3_ONLY)
    services.configured(S3_ONLY)
    services.readable()
    services.changed(S3_ONLY, OURS_AND_S3)

    services.set_up()

    assert services.noted == [LoggingOrigin(created=True), LoggingOrigin(created=False)]


def test_an_update_of_the_stacks_part_leaves_the_note(services: Services) -> None:
    services.configured(OURS)
    services.made("/elsewhere")
    services.changed(OURS, moved(OURS, "/elsewhere"))

    services.set_up(updated(log_group="/elsewhere"))

    assert services.noted == []


AUDIO = OURS | {"audioDataDeliveryEnabled": True, "smellDataDeliveryEnabled": True, "imageDataDeliveryEnabled": None}


@pytest.mark.parametrize(
    "origin", [pytest.param(None, id="older version"), pytest.param(LoggingOrigin(created=True), id="created")]
)
def test_kinds_of_data_that_the_stacks_own_configuration_delivers_are_named_at_an_update(
    services: Services, origin: LoggingOrigin | None
) -> None:
    services.configured(AUDIO)
    services.readable()

    done = services.set_up(msgspec.structs.replace(updated(), memory=LoggingMemory(origin))).done

    assert "kinds of data that this stack does not need (audioDataDeliveryEnabled, smellDataDeliveryEnabled)" in done
    assert done.startswith("kept the invocation logging")


@pytest.mark.parametrize(
    ("present", "origin"),
    [
        pytest.param(AUDIO, LoggingOrigin(created=False), id="of an owner"),
        pytest.param(AUDIO | S3_ONLY, None, id="with the owner's destination"),
        pytest.param(OURS, None, id="text alone"),
    ],
)
def test_kinds_of_data_of_an_owner_are_not_named_at_an_update(
    services: Services, present: dict[str, Any], origin: LoggingOrigin | None
) -> None:
    services.configured(present)
    services.readable()

    done = services.set_up(msgspec.structs.replace(updated(), memory=LoggingMemory(origin))).done

    assert done == "kept the invocation logging that this stack set up"


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(None, id="no configuration"),
        pytest.param(S3_ONLY, id="S3 only"),
        pytest.param(FLAGS, id="no destination"),
    ],
)
def test_adopt_only_changes_nothing_and_says_what_is_missing(services: Services, before: dict[str, Any] | None) -> None:
    services.configured(before)
    missing = "delivers its invocation logs only to S3" if before == S3_ONLY else "logs no model invocations"

    with pytest.raises(InvocationLoggingError, match=missing) as caught:
        services.set_up(msgspec.structs.replace(WANTED, adopt_only=True))
    assert "InvocationLogging=set-up" in str(caught.value)


def test_log_group_that_is_there_keeps_its_retention(services: Services) -> None:
    services.configured(S3_ONLY)
    services.readable(retentionInDays=731)
    services.changed(S3_ONLY, OURS_AND_S3)

    assert services.set_up().log_group == GROUP


def test_log_group_that_somebody_makes_at_the_same_time_is_theirs(services: Services) -> None:
    services.configured(S3_ONLY)
    services.group(there=False)
    services.to_logs.add_client_error("create_log_group", "ResourceAlreadyExistsException")
    services.group()
    services.tagged(made_by=None)
    services.changed(S3_ONLY, OURS_AND_S3)

    assert services.set_up().log_group == GROUP


def test_log_group_that_was_made_without_an_answer_expires_too(services: Services) -> None:
    # given that botocore has tried again, and finds what its first request made
    services.configured(None)
    services.group(there=False)
    services.to_logs.add_client_error("create_log_group", "ResourceAlreadyExistsException")
    services.group()
    services.tagged()
    services.to_logs.add_response("put_retention_policy", {}, {"logGroupName": GROUP, "retentionInDays": 30})
    services.changed(None, OURS)

    assert services.set_up().log_group == GROUP


def test_log_group_that_cannot_be_made_changes_nothing(services: Services) -> None:
    services.configured(S3_ONLY)
    services.group(there=False)
    services.to_logs.add_client_error("create_log_group", "LimitExceededException")

    with pytest.raises(ClientError, match="LimitExceeded"):
        services.set_up()


@pytest.mark.parametrize("own", WANTED.own_log_groups)
def test_logs_that_go_to_a_group_of_this_stack_are_refused(services: Services, own: str) -> None:
    services.configured({"cloudWatchConfig": THEIRS["cloudWatchConfig"] | {"logGroupName": own}})  # type: ignore[operator]

    with pytest.raises(InvocationLoggingError, match="log group of this stack") as caught:
        services.set_up()
    assert own in str(caught.value)


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(None, id="no configuration"),
        pytest.param(S3_ONLY, id="S3 only"),
        pytest.param(OURS, id="set up by this stack"),
    ],
)
def test_group_of_this_stack_is_refused_as_one_to_make(services: Services, before: dict[str, Any] | None) -> None:
    services.configured(before)

    with pytest.raises(InvocationLoggingError, match="log group of this stack"):
        services.set_up(updated(log_group=WANTED.own_log_groups[0]))


# Updates, and their rollbacks


@pytest.mark.parametrize(
    "before", [pytest.param(OURS, id="log group"), pytest.param(OURS_AND_S3, id="log group and S3")]
)
@pytest.mark.parametrize(
    "adopt_only", [pytest.param(False, id="create if needed"), pytest.param(True, id="adopt only")]
)
def test_what_this_stack_set_up_is_kept_on_an_update(
    services: Services, before: dict[str, Any], adopt_only: bool
) -> None:
    services.configured(before)
    services.readable()

    found = services.set_up(msgspec.structs.replace(updated(), adopt_only=adopt_only))

    assert found == SetupResult(GROUP, "kept the invocation logging that this stack set up", LARGE)


@pytest.mark.parametrize(
    "before", [pytest.param(OURS, id="log group"), pytest.param(OURS_AND_S3, id="log group and S3")]
)
def test_what_this_stack_set_up_moves_with_the_groups_name_and_back_on_rollback(
    services: Services, before: dict[str, Any]
) -> None:
    services.configured(before)
    services.made("/elsewhere")
    services.changed(before, moved(before, "/elsewhere"))
    changed = "changed the invocation logging that this stack set up"
    renamed = updated(log_group="/elsewhere")
    assert services.set_up(renamed) == SetupResult("/elsewhere", changed, LARGE)

    services.configured(moved(before, "/elsewhere"))
    services.readable()
    services.changed(moved(before, "/elsewhere"), before)
    back = msgspec.structs.replace(WANTED, previous=renamed.target)
    assert services.set_up(back) == SetupResult(GROUP, changed, LARGE)


def test_rollback_of_a_move_that_never_came_to_pass_keeps_what_is_there(services: Services) -> None:
    services.configured(OURS)
    services.readable()

    assert services.set_up(updated(msgspec.structs.replace(PART, log_group="/elsewhere"))).done.startswith("kept")


def test_new_name_is_tried_until_the_policy_that_allows_it_is_known(services: Services) -> None:
    services.configured(OURS)
    services.group("/elsewhere", there=False)
    denied = "User: arn:aws:sts::1:assumed-role/r/f is not authorized to perform: logs:CreateLogGroup on resource: x"
    services.to_logs.add_client_error("create_log_group", "AccessDeniedException", denied)
    tags = {MADE_BY: "monitor"}
    services.to_logs.add_response("create_log_group", {}, {"logGroupName": "/elsewhere", "tags": tags})
    services.to_logs.add_response("put_retention_policy", {}, {"logGroupName": "/elsewhere", "retentionInDays": 30})
    services.changed(OURS, moved(OURS, "/elsewhere"))

    assert services.set_up(updated(log_group="/elsewhere")).log_group == "/elsewhere"
    assert services.slept == [5, 3]


def test_role_that_is_replaced_takes_its_place(services: Services) -> None:
    old = "arn:aws:iam::111122223333:role/of-before"
    before = OURS | {"cloudWatchConfig": CLOUDWATCH | {"roleArn": old}}
    services.configured(before)
    services.readable()
    services.changed(before, OURS)

    assert services.set_up(updated(msgspec.structs.replace(PART, role_arn=old))).done.startswith("changed")


def test_bucket_that_is_replaced_takes_its_place(services: Services) -> None:
    before = with_large(OURS, {"bucketName": "of-before"})
    services.configured(before)
    services.readable()
    services.changed(before, OURS)

    found = services.set_up(updated(msgspec.structs.replace(PART, large_bodies_bucket="of-before")))
    assert found.large_bodies == LARGE


def test_an_update_names_the_bucket_for_large_bodies_where_an_older_version_named_none(services: Services) -> None:
    before = with_large(OURS, None)
    services.configured(before)
    services.readable()
    services.changed(before, OURS)

    assert services.set_up(updated(msgspec.structs.replace(PART, large_bodies_bucket=""))).large_bodies == LARGE


@pytest.mark.parametrize(
    "large",
    [
        pytest.param({"bucketName": "elsewhere", "keyPrefix": "x"}, id="another bucket"),
        pytest.param({"bucketName": "our-large-bodies", "keyPrefix": "x"}, id="another prefix"),
        pytest.param(None, id="nowhere"),
    ],
)
def test_where_somebody_has_sent_large_bodies_since_they_stay(services: Services, large: dict[str, str] | None) -> None:
    services.configured(with_large(OURS, large))
    services.readable()

    found = services.set_up(updated())

    assert found.large_bodies == (LargeBodies(large["bucketName"], "x") if large else None)
    assert found.done.startswith("kept the invocation logging that this stack set up")
    assert ("not delivered" in found.done) is (large is None)


def test_group_that_somebody_has_chosen_since_is_adopted(services: Services) -> None:
    services.configured(moved(OURS, "/chosen"))
    services.readable("/chosen")

    found = services.set_up(updated())

    assert (found.log_group, found.done) == ("/chosen", "adopted the existing invocation logging")


def test_group_of_ours_that_is_gone_is_made_again_and_its_subscription_asked_for(services: Services) -> None:
    services.configured(OURS)
    services.made()

    assert "created /aws/bedrock/modelinvocations again, which had been deleted" in services.set_up(updated()).done


@pytest.mark.parametrize("there", [pytest.param(30, id="another retention"), pytest.param(None, id="no retention")])
def test_retention_of_a_group_of_ours_follows_its_parameter(services: Services, there: int | None) -> None:
    services.configured(OURS)
    services.group(**({"retentionInDays": there} if there else {}))
    services.tagged()
    services.to_logs.add_response("put_retention_policy", {}, {"logGroupName": GROUP, "retentionInDays": 60})

    assert services.set_up(updated(retention_days=60)).done.startswith("kept")


@pytest.mark.parametrize(
    ("there", "made_by"),
    [
        pytest.param(731, None, id="another retention"),
        pytest.param(30, None, id="the retention that this stack would set"),
        pytest.param(30, "another-monitor", id="group of another stack"),
    ],
)
def test_retention_that_somebody_else_has_chosen_stays(services: Services, there: int, made_by: str | None) -> None:
    services.configured(OURS)
    services.group(retentionInDays=there)
    if there == PART.retention_days:
        services.tagged(made_by=made_by)

    assert services.set_up(updated(retention_days=60)).done.startswith("kept")


# Tags of the stack


TAGGED = msgspec.structs.replace(WANTED, tags={"team": "ours", "cost-center": "7"})


def test_a_new_log_group_has_the_tags_of_the_stack_from_the_start(services: Services) -> None:
    services.configured(None)
    services.made(**TAGGED.tags)
    services.changed(None, OURS)

    assert services.set_up(TAGGED).done == "enabled invocation logging"


def test_no_tag_of_the_stack_makes_a_log_group_another_stacks(services: Services) -> None:
    services.configured(None)
    services.made()
    services.changed(None, OURS)

    services.set_up(msgspec.structs.replace(WANTED, tags={MADE_BY: "somebody"}))


@pytest.mark.parametrize(
    ("present", "given"),
    [
        pytest.param({MADE_BY: "monitor"}, TAGGED.tags, id="none there"),
        pytest.param({MADE_BY: "monitor", "team": "former"}, TAGGED.tags, id="another value"),
        pytest.param({MADE_BY: "monitor", "team": "ours", "owner": "x"}, {"cost-center": "7"}, id="one is missing"),
        pytest.param({MADE_BY: "monitor", **TAGGED.tags}, {}, id="all there"),
        pytest.param({MADE_BY: "another"}, {}, id="another stack's group"),
        pytest.param({"team": "theirs"}, {}, id="group that no stack created"),
    ],
)
def test_a_log_group_of_ours_gets_the_tags_of_the_stack_that_it_lacks(
    services: Services, present: dict[str, str], given: dict[str, str]
) -> None:
    services.configured(OURS)
    services.readable()
    services.to_logs.add_response("list_tags_for_resource", {"tags": present}, {"resourceArn": arn(GROUP)})
    if given:
        services.to_logs.add_response("tag_resource", {}, {"resourceArn": arn(GROUP), "tags": given})

    assert services.set_up(msgspec.structs.replace(updated(), tags=TAGGED.tags)).done.startswith("kept")


def many_tags(count: int) -> dict[str, str]:
    return {f"key-{number:02}": "value" for number in range(count)}


@pytest.mark.parametrize(
    ("given", "kept"),
    [pytest.param(49, 49, id="all fit"), pytest.param(50, 49, id="as many as a stack can have")],
)
def test_a_new_log_group_has_at_most_fifty_tags_and_that_of_its_maker(
    services: Services, given: int, kept: int
) -> None:
    # AWS accepts 50 tags per log group, and 50 per stack
    services.configured(None)
    services.made(**many_tags(kept))
    services.changed(None, OURS)

    services.set_up(msgspec.structs.replace(WANTED, tags=many_tags(given)))


def test_an_update_gives_a_log_group_no_more_tags_than_fit_and_replaces_values(services: Services) -> None:
    # given 49 tags, one of them from AWS, so there is room for two
    present = {MADE_BY: "monitor", "aws:x": "y", **many_tags(47)}
    services.configured(OURS)
    services.readable()
    services.to_logs.add_response("list_tags_for_resource", {"tags": present}, {"resourceArn": arn(GROUP)})
    given = {"key-00": "another value", "key-47": "value", "key-48": "value"}
    services.to_logs.add_response("tag_resource", {}, {"resourceArn": arn(GROUP), "tags": given})

    services.set_up(msgspec.structs.replace(updated(), tags=many_tags(50) | {"key-00": "another value"}))


# Somebody else at the same time


def test_configuration_that_another_made_meanwhile_is_adopted(services: Services) -> None:
    # given nothing, and another deployment that is quicker
    services.configured(None)
    services.made()
    services.configured(THEIRS)
    # when that is seen just before ours is put, all begins anew
    services.configured(THEIRS)
    services.readable("/theirs")

    assert services.set_up().log_group == "/theirs"


def test_configuration_that_another_puts_over_ours_is_adopted(services: Services) -> None:
    services.configured(None)
    services.made()
    services.configured(None)
    services.put(OURS)
    services.configured(THEIRS)  # after it had settled
    services.configured(THEIRS)
    services.readable("/theirs")

    assert services.set_up().log_group == "/theirs"


def test_configuration_that_never_settles_is_given_up(services: Services) -> None:
    services.configured(None)
    services.made()
    for other in range(4):
        services.configured(S3_ONLY | {"s3Config": {"bucketName": f"bucket-{other}"}})
        if other < 3:
            services.configured(None)
            services.readable()

    with pytest.raises(InvocationLoggingError, match="Bedrock's invocation logging keeps changing"):
        services.set_up()


# A new role takes a while to be known


NOT_YET = "Failed to validate permissions for log group: /aws/bedrock/modelinvocations"


def test_put_is_tried_again_until_bedrock_knows_the_role(services: Services) -> None:
    services.configured(None)
    services.made()
    services.configured(None)
    services.put_is_refused(NOT_YET)
    services.configured(None)
    services.put_is_refused("The role lacks PERMISSION to write")
    services.changed(None, OURS)

    assert services.set_up() == SetupResult(GROUP, "enabled invocation logging", LARGE)
    assert services.slept == [5, 5, 3]


def test_another_that_comes_while_the_role_is_waited_for_is_not_overwritten(services: Services) -> None:
    services.configured(None)
    services.made()
    services.configured(None)
    services.put_is_refused(NOT_YET)
    services.configured(THEIRS)
    services.configured(THEIRS)
    services.readable("/theirs")

    assert services.set_up().log_group == "/theirs"


def test_put_that_is_refused_for_a_minute_and_a_half_is_raised(services: Services) -> None:
    services.configured(None)
    services.made()
    for _ in range(19):  # at 0, 5, 10 … 90 seconds
        services.configured(None)
        services.put_is_refused(NOT_YET)
    # and once more without the bucket
    services.configured(None)
    services.put_is_refused(NOT_YET)

    with pytest.raises(ClientError, match="Failed to validate permissions"):
        services.set_up()
    assert services.slept == [5] * 18


# Bedrock cannot write to the bucket for large bodies


REFUSALS_OF_THE_BUCKET = [
    pytest.param("ValidationException", "Failed to validate permissions for S3 bucket: our-large-bodies", id="trial"),
    pytest.param("ValidationException", "Bucket our-large-bodies is not writable", id="trial in other words"),
    pytest.param(
        "AccessDeniedException",
        "User: arn:aws:sts::1:assumed-role/r/f is not authorized to perform: s3:PutObject on resource: x",
        id="right of the caller",
    ),
]


@pytest.mark.parametrize(("code", "message"), REFUSALS_OF_THE_BUCKET)
@pytest.mark.parametrize(
    ("before", "after"),
    [pytest.param(None, OURS, id="no configuration"), pytest.param(S3_ONLY, OURS_AND_S3, id="S3 only")],
)
def test_bucket_that_bedrock_cannot_write_to_is_left_out(
    services: Services, code: str, message: str, before: dict[str, Any] | None, after: dict[str, Any]
) -> None:
    services.configured(before)
    services.made()
    for _ in range(19):
        services.configured(before)
        services.put_is_refused(message, code)
    services.changed(before, with_large(after, None))

    found = services.set_up()

    assert (found.log_group, found.large_bodies) == (GROUP, None)
    assert found.refused_bucket == "our-large-bodies"
    assert f"{BUCKET_REFUSED} (our-large-bodies)" in found.done
    assert f"AWS returned: {message}" in found.done
    assert "bodies over 100 KB are not delivered" in found.done
    assert services.slept == [*[5] * 18, 3]


def test_bucket_that_an_organization_forbids_is_left_out_at_once(services: Services) -> None:
    forbidden = (
        "User: u is not authorized to perform: s3:GetBucketAcl with an explicit deny in a service control policy"
    )
    services.configured(None)
    services.made()
    services.configured(None)
    services.put_is_refused(forbidden, "AccessDeniedException")
    services.changed(None, with_large(OURS, None))

    assert services.set_up().large_bodies is None
    assert services.slept == [3]


def test_message_about_the_bucket_is_cut(services: Services) -> None:
    services.configured(None)
    services.made()
    for _ in range(19):
        services.configured(None)
        services.put_is_refused("no permission " * 10_000)
    services.changed(None, with_large(OURS, None))

    assert len(services.set_up().done) < 1_000


def test_configuration_that_changes_while_the_bucket_is_left_out_is_not_overwritten(services: Services) -> None:
    services.configured(None)
    services.made()
    for _ in range(19):
        services.configured(None)
        services.put_is_refused(NOT_YET)
    services.configured(THEIRS)  # instead of the attempt without the bucket
    services.configured(THEIRS)
    services.readable("/theirs")

    assert services.set_up().log_group == "/theirs"


def test_creation_cancelled_after_the_bucket_was_left_out_takes_that_back(services: Services) -> None:
    services.waits = [True, True, False]
    services.configured(None)
    services.made()
    services.configured(None)
    services.put_is_refused(REFUSED_AT_ONCE, "AccessDeniedException")
    services.changed(None, with_large(OURS, None))
    services.configured(with_large(OURS, None))
    services.switched_off()
    services.group_goes()

    with pytest.raises(InvocationLoggingError, match=CANCELLED):
        services.set_up()


def test_bucket_of_the_owner_is_never_left_out(services: Services) -> None:
    # given the stack's own part, to which somebody has given another bucket since
    before = with_large(OURS, {"bucketName": "elsewhere"})
    services.configured(before)
    services.made("/elsewhere")
    services.configured(before)
    services.put_is_refused(REFUSED_AT_ONCE, "AccessDeniedException")

    with pytest.raises(ClientError, match="explicit deny"):
        services.set_up(updated(log_group="/elsewhere"))


def test_an_update_of_a_stack_without_its_bucket_keeps_it_so_and_says_what_to_do(services: Services) -> None:
    services.configured(with_large(OURS, None))
    services.readable()

    done = services.set_up(updated()).done

    assert done.startswith("kept the invocation logging that this stack set up; bodies over 100 KB are not delivered")
    assert "select a bucket for large data" in done


def offered_again(**part: Any) -> SetupRequest:
    """An update of a stack whose bucket was refused before."""
    return msgspec.structs.replace(updated(**part), memory=LoggingMemory(refused_bucket="our-large-bodies"))


def test_bucket_that_was_refused_is_offered_again_at_an_update(services: Services) -> None:
    before = with_large(OURS, None)
    services.configured(before)
    services.readable()
    services.changed(before, OURS)

    assert services.set_up(offered_again()) == SetupResult(
        GROUP, "changed the invocation logging that this stack set up", LARGE
    )


def test_bucket_that_is_refused_again_changes_nothing_and_stays_a_problem(services: Services) -> None:
    before = with_large(OURS, None)
    services.configured(before)
    services.readable()
    services.configured(before)
    services.put_is_refused(REFUSED_AT_ONCE, "AccessDeniedException")
    services.configured(before)

    found = services.set_up(offered_again())

    assert (found.large_bodies, found.refused_bucket) == (None, "our-large-bodies")
    assert found.done.startswith("kept the invocation logging that this stack set up; bodies over 100 KB")
    assert f"{BUCKET_REFUSED} (our-large-bodies)" in found.done
    assert LOOK_AGAIN in found.done


def test_bucket_that_another_has_replaced_since_it_was_refused_stays(services: Services) -> None:
    there = with_large(OURS, {"bucketName": "elsewhere"})
    services.configured(there)
    services.readable()

    found = services.set_up(offered_again())

    assert (found.large_bodies, found.refused_bucket) == (LargeBodies("elsewhere"), "")


def test_rollback_that_changes_nothing_still_names_a_bucket_that_was_refused(services: Services) -> None:
    services.configured(with_large(OURS, None))
    services.group(there=False)

    found = services.as_found(offered_again())

    assert found.refused_bucket == "our-large-bodies"
    assert f"{BUCKET_REFUSED} (our-large-bodies)" in found.done


REFUSED_AT_ONCE = "User: u is not authorized to perform: s3:PutObject with an explicit deny in an identity-based policy"
SCP = "User: u is not authorized to perform: bedrock:PutModelInvocationLoggingConfiguration with an explicit deny in a"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        pytest.param("ValidationException", "The log group does not exist", id="no such log group"),
        pytest.param("AccessDeniedException", f"{SCP} service control policy", id="service control policy"),
        pytest.param("ThrottlingException", "Rate exceeded", id="throttled"),
    ],
)
def test_put_that_is_refused_for_another_reason_is_raised_at_once(services: Services, code: str, message: str) -> None:
    services.configured(None)
    services.made()
    services.configured(None)
    services.put_is_refused(message, code)

    with pytest.raises(ClientError, match=code):
        services.set_up()
    assert services.slept == []


# Cancelled, for another resource has failed


CANCELLED = "CloudFormation has cancelled this set-up"


def test_creation_cancelled_while_the_role_is_waited_for_puts_nothing_and_removes_its_group(services: Services) -> None:
    # given that the deletion, which comes at once, may have run before the group was made
    services.waits = [True, False, False]
    services.configured(None)
    services.made()
    services.configured(None)
    services.put_is_refused(NOT_YET)
    # then, instead of another attempt
    services.configured(None)
    services.group_goes()

    with pytest.raises(InvocationLoggingError, match=CANCELLED):
        services.set_up()


@pytest.mark.parametrize("before", [pytest.param(None, id="no configuration"), pytest.param(S3_ONLY, id="S3 only")])
def test_creation_cancelled_after_its_change_takes_it_back(services: Services, before: dict[str, Any] | None) -> None:
    after = OURS if before is None else OURS_AND_S3
    services.waits = [True, False]
    services.configured(before)
    services.made()
    services.changed(before, after)
    services.configured(after)
    if before is None:
        services.switched_off()
    else:
        services.put(before)
    services.group_goes()

    with pytest.raises(InvocationLoggingError, match=CANCELLED):
        services.set_up()


@pytest.mark.parametrize(
    ("before", "now", "left"),
    [
        pytest.param(
            S3_ONLY,
            OURS_AND_S3 | {"s3Config": {"bucketName": "new-place"}, "textDataDeliveryEnabled": False},
            S3_ONLY | {"s3Config": {"bucketName": "new-place"}, "textDataDeliveryEnabled": False},
            id="S3 only, moved and switched off since",
        ),
        pytest.param(
            FLAGS | {"cloudWatchConfig": {}},
            FLAGS | {"cloudWatchConfig": CLOUDWATCH, "imageDataDeliveryEnabled": True},
            FLAGS | {"cloudWatchConfig": {}, "imageDataDeliveryEnabled": True},
            id="empty delivery, image on since",
        ),
        pytest.param(
            None,
            OURS | {"textDataDeliveryEnabled": False},
            {name: value for name, value in OURS.items() if name != "cloudWatchConfig"}
            | {"textDataDeliveryEnabled": False},
            id="no configuration, text off since",
        ),
    ],
)
def test_cancelled_creation_leaves_what_the_owner_has_changed_since(
    services: Services, before: dict[str, Any] | None, now: dict[str, Any], left: dict[str, Any]
) -> None:
    services.waits = [True, False]
    services.configured(before)
    services.made()
    services.changed(before, (before or OURS) | {"cloudWatchConfig": CLOUDWATCH})
    services.configured(now)
    services.put(left)
    services.group_goes()

    with pytest.raises(InvocationLoggingError, match=CANCELLED):
        services.set_up()


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(THEIRS, id="another delivery"),
        pytest.param(OURS | {"cloudWatchConfig": CLOUDWATCH | {"roleArn": "r"}}, id="another role"),
        pytest.param(None, id="nothing"),
    ],
)
@pytest.mark.parametrize("before", [pytest.param(None, id="no configuration"), pytest.param(S3_ONLY, id="S3 only")])
def test_cancelled_creation_leaves_a_delivery_that_is_no_longer_its_own(
    services: Services, before: dict[str, Any] | None, now: dict[str, Any] | None
) -> None:
    services.waits = [True, False]
    services.configured(before)
    services.made()
    services.changed(before, (before or OURS) | {"cloudWatchConfig": CLOUDWATCH})
    services.configured(now)
    services.group()
    services.tagged()
    if now is None or now == THEIRS:
        services.filtered()
        services.removed()

    with pytest.raises(InvocationLoggingError, match=CANCELLED):
        services.set_up()


def test_cancelled_creation_whose_change_had_no_answer_takes_it_back(services: Services) -> None:
    services.waits = [True, False]
    services.configured(None)
    services.made()
    services.configured(None)
    services.put_is_refused("carried out, and not answered", code="InternalServerException")
    services.configured(OURS)
    services.switched_off()
    services.group_goes()

    with pytest.raises(InvocationLoggingError, match=CANCELLED):
        services.set_up()


def test_cancelled_update_puts_back_what_was_before_and_keeps_the_logs(services: Services) -> None:
    services.waits = [True, False]
    services.configured(OURS_AND_S3)
    services.made("/elsewhere")
    services.changed(OURS_AND_S3, moved(OURS_AND_S3, "/elsewhere"))
    services.configured(moved(OURS_AND_S3, "/elsewhere"))
    services.put(OURS_AND_S3)

    with pytest.raises(InvocationLoggingError, match=CANCELLED):
        services.set_up(updated(log_group="/elsewhere"))


def test_cancelled_update_that_its_rollback_has_undone_already_changes_nothing(services: Services) -> None:
    services.waits = [True, False]
    services.configured(OURS)
    services.made("/elsewhere")
    services.configured(OURS)
    services.put(moved(OURS, "/elsewhere"))
    services.configured(OURS)
    services.configured(OURS)

    with pytest.raises(InvocationLoggingError, match=CANCELLED):
        services.set_up(updated(log_group="/elsewhere"))


def test_cancelled_update_that_had_nothing_to_change_changes_nothing(services: Services) -> None:
    services.waits = [False]
    services.configured(OURS)
    services.readable()
    services.configured(OURS)

    with pytest.raises(InvocationLoggingError, match=CANCELLED):
        services.set_up(updated())


# Rolled back, where a set-up is refused


def test_rollback_stays_with_the_group_that_is_subscribed_and_warns(services: Services) -> None:
    # given that Bedrock delivers elsewhere by now
    large = {"bucketName": "their-large-bodies"}
    services.configured(
        {"cloudWatchConfig": CLOUDWATCH | {"logGroupName": "/full", "largeDataDeliveryS3Config": large}}
    )
    services.group(there=False)
    services.readable("/read-before")
    services.filtered(name="/read-before")
    services.group("/theirs")
    services.filtered("another", "monitor-metric-processor", name="/theirs")

    assert services.as_found(updated(), "/read-before", "/theirs") == SetupResult(
        "/theirs",
        "did not change invocation logging, because an update was rolled back; the group is full",
        LargeBodies("their-large-bodies"),
    )


@pytest.mark.parametrize(
    ("present", "group"),
    [
        pytest.param(THEIRS, "/theirs", id="another group"),
        pytest.param(S3_ONLY, GROUP, id="S3 only"),
        pytest.param(None, GROUP, id="no configuration"),
    ],
)
def test_rollback_without_a_subscription_takes_what_bedrock_delivers_to(
    services: Services, present: dict[str, Any] | None, group: str
) -> None:
    services.configured(present)
    services.group(there=False)

    found = services.as_found(updated())

    assert (found.log_group, found.large_bodies) == (group, None)


# Taking out


def test_taking_out_leaves_what_goes_to_s3(services: Services) -> None:
    services.configured(OURS_AND_S3)
    services.put(S3_ONLY)
    services.group(there=False)

    assert services.take_out().startswith("removed CloudWatch from the invocation logging")


def test_taking_out_leaves_what_somebody_added_to_s3_since(services: Services) -> None:
    services.configured(OURS | {"s3Config": {"bucketName": "new-bucket"}, "imageDataDeliveryEnabled": True})
    services.put(
        {
            "s3Config": {"bucketName": "new-bucket"},
            "textDataDeliveryEnabled": True,
            "imageDataDeliveryEnabled": True,
            "embeddingDataDeliveryEnabled": False,
            "videoDataDeliveryEnabled": False,
            "audioDataDeliveryEnabled": False,
        }
    )
    services.group(there=False)

    assert services.take_out().startswith("removed CloudWatch")


CREATED, FOUND = LoggingOrigin(created=True), LoggingOrigin(created=False)


def without_delivery(configuration: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in configuration.items() if name != "cloudWatchConfig"}


@pytest.mark.parametrize(
    ("present", "origin"),
    [
        pytest.param(FLAGS, FOUND, id="flags"),
        pytest.param(FLAGS, None, id="flags, and no note"),
        pytest.param(without_delivery(OURS), FOUND, id="the stack's own flags that the owner had, too"),
        pytest.param({"textDataDeliveryEnabled": True}, FOUND, id="text on"),
        pytest.param({"textDataDeliveryEnabled": True, "streams": [{"bucket": "x"}]}, FOUND, id="unknown list"),
        pytest.param({"textDataDeliveryEnabled": True, "streams": [{"bucket": "x"}]}, None, id="list, and no note"),
        pytest.param({"textDataDeliveryEnabled": True, "mode": "STRICT"}, None, id="unknown text, and no note"),
        pytest.param(without_delivery(OURS) | {"textDataDeliveryEnabled": False}, CREATED, id="text off since"),
        pytest.param(without_delivery(OURS) | {"imageDataDeliveryEnabled": True}, CREATED, id="image on since"),
        pytest.param(without_delivery(OURS) | {"mode": "STRICT"}, CREATED, id="more since"),
    ],
)
def test_taking_out_leaves_a_configuration_of_the_owner_that_delivers_nowhere(
    services: Services, present: dict[str, Any], origin: LoggingOrigin | None
) -> None:
    services.configured(present | {"cloudWatchConfig": CLOUDWATCH})
    services.put(present)
    services.group(there=False)

    assert services.take_out(origin=origin).startswith("removed CloudWatch from the invocation logging")


@pytest.mark.parametrize("before", [{}, FLAGS, S3_ONLY], ids=["alone", "with flags", "with S3"])
def test_taking_out_puts_an_empty_delivery_back(services: Services, before: dict[str, Any]) -> None:
    services.configured(before | {"cloudWatchConfig": CLOUDWATCH})
    services.put(before | {"cloudWatchConfig": {}})
    services.group(there=False)

    done = services.take_out(origin=LoggingOrigin(created=False, delivery="{}"))

    assert done.startswith("removed CloudWatch from the invocation logging")


def test_taking_out_goes_on_if_bedrock_refuses_what_was_there(services: Services) -> None:
    # given an owner who has moved S3 between the two attempts
    services.configured(OURS_AND_S3)
    services.put_is_refused("logGroupName is required")
    now = OURS_AND_S3 | {"s3Config": {"bucketName": "new-place"}}
    services.configured(now)
    services.put(without_delivery(now))
    services.group(there=False)

    done = services.take_out(origin=LoggingOrigin(created=False, delivery="{}"))

    assert done.startswith("removed CloudWatch from the invocation logging")


def test_taking_out_deletes_flags_that_bedrock_refuses_without_a_destination(services: Services) -> None:
    services.configured(FLAGS | {"cloudWatchConfig": CLOUDWATCH})
    services.put_is_refused("a destination is required")
    services.switched_off()
    services.group(there=False)

    assert services.take_out(origin=FOUND).startswith("disabled invocation logging")


@pytest.mark.parametrize(
    ("present", "code"),
    [
        pytest.param(OURS_AND_S3, "ValidationException", id="with the owner's destination"),
        pytest.param(FLAGS | {"cloudWatchConfig": CLOUDWATCH}, "ThrottlingException", id="for another reason"),
    ],
)
def test_taking_out_that_bedrock_refuses_otherwise_is_raised(
    services: Services, present: dict[str, Any], code: str
) -> None:
    services.configured(present)
    services.put_is_refused("no", code)

    with pytest.raises(ClientError, match=code):
        services.take_out(origin=FOUND)


@pytest.mark.parametrize(
    ("present", "origin"),
    [
        pytest.param(OURS, CREATED, id="as set up"),
        pytest.param(OURS, None, id="as set up, and no note"),
        pytest.param({"cloudWatchConfig": CLOUDWATCH, "textDataDeliveryEnabled": True}, None, id="older version"),
        pytest.param(OURS | {"smellDataDeliveryEnabled": True}, CREATED, id="with a flag that Bedrock added"),
    ],
)
def test_taking_out_all_there_is_switches_it_off_and_removes_the_group_that_was_made(
    services: Services, present: dict[str, Any], origin: LoggingOrigin | None
) -> None:
    services.configured(present)
    services.switched_off()
    services.group()
    services.tagged()
    services.filtered()
    services.removed()

    assert services.take_out(origin=origin) == f"disabled invocation logging; deleted {GROUP}"


def test_group_that_was_there_before_stays(services: Services) -> None:
    services.configured(OURS)
    services.switched_off()
    services.group()
    services.tagged(made_by=None)

    assert services.take_out().endswith(f"kept {GROUP}, which no monitor created")


def test_group_that_was_made_stays_while_another_reads_it(services: Services) -> None:
    services.configured(OURS)
    services.switched_off()
    services.group()
    services.tagged()
    services.filtered("another-monitor")

    assert services.take_out().endswith(f"kept {GROUP}, because it still has a subscription: another-monitor")


def test_group_that_was_made_stays_while_bedrock_delivers_to_it_for_another(services: Services) -> None:
    services.configured(THEIRS | {"cloudWatchConfig": {"logGroupName": GROUP, "roleArn": f"{ROLE}-of-another"}})
    services.group()
    services.tagged()

    done = services.take_out()
    assert done.startswith("did not change invocation logging: none of it is this stack's")
    assert done.endswith(f"kept {GROUP}, because Bedrock delivers to it")


def test_the_last_monitor_removes_the_group_that_another_made(services: Services) -> None:
    services.configured(None)
    services.group()
    services.tagged(made_by="the-first-monitor")
    services.filtered()
    services.removed()

    assert services.take_out(GROUP).endswith(f"deleted {GROUP}")


def test_group_of_another_stack_that_this_one_never_read_stays(services: Services) -> None:
    # given the default name, under which another stack has kept its logs since it was renamed
    services.configured(THEIRS)
    services.group()
    services.tagged(made_by="the-first-monitor")

    done = services.take_out()
    assert done.endswith(f"kept {GROUP}, which the stack the-first-monitor created and this one never read")


@pytest.mark.parametrize(("made_by", "made"), [("monitor", True), ("another", False), (None, False)])
def test_who_made_a_group_is_read_from_its_tag(services: Services, made_by: str | None, made: bool) -> None:
    services.group()
    services.tagged(made_by=made_by)

    assert log_groups.is_created_by(services.logs, GROUP, "monitor") is made


def test_all_filters_of_a_group_are_listed(services: Services) -> None:
    for page, token in enumerate([None, "more"]):
        answer = {"subscriptionFilters": [{"filterName": f"f{page}"}], **({} if token else {"nextToken": "more"})}
        asked = {"logGroupName": GROUP, **({"nextToken": token} if token else {})}
        services.to_logs.add_response("describe_subscription_filters", answer, asked)

    assert log_groups.list_filters(services.logs, GROUP) == ("f0", "f1")


def test_group_that_is_gone_was_made_by_nobody(services: Services) -> None:
    services.group(there=False)

    assert log_groups.is_created_by(services.logs, GROUP, "monitor") is False


def test_former_groups_go_too(services: Services) -> None:
    services.configured(S3_ONLY)
    services.group(there=False)
    services.group("/former")
    services.tagged("/former")
    services.filtered(name="/former")
    services.removed("/former")

    assert services.take_out("/former", GROUP).endswith("deleted /former")


def test_group_that_goes_at_the_same_time_is_gone(services: Services) -> None:
    services.configured(None)
    services.group()
    services.tagged()
    services.filtered()
    services.to_logs.add_client_error("delete_log_group", "ResourceNotFoundException")

    assert services.take_out().endswith(f"deleted {GROUP}")


@pytest.mark.parametrize(
    "present",
    [
        pytest.param(None, id="no configuration"),
        pytest.param(THEIRS, id="another group"),
        pytest.param(S3_ONLY, id="S3 only"),
        pytest.param(THEIRS | S3_ONLY, id="another group and S3"),
    ],
)
def test_taking_out_leaves_what_is_not_of_this_stack(services: Services, present: dict[str, Any] | None) -> None:
    services.configured(present)
    services.group(there=False)

    assert services.take_out().startswith("did not change invocation logging: none of it is this stack's")


def test_taking_out_stops_where_somebody_elses_configuration_needs_our_bucket(services: Services) -> None:
    services.configured({"cloudWatchConfig": CLOUDWATCH | {"roleArn": f"{ROLE}-of-another"}})

    with pytest.raises(InvocationLoggingError, match="still delivers large bodies to our-large-bodies"):
        services.take_out()


def test_taking_out_after_a_failed_set_up_leaves_what_was_there(services: Services) -> None:
    services.configured(S3_ONLY)
    services.made()
    services.configured(S3_ONLY)
    services.put_is_refused("The log group does not exist")
    with pytest.raises(ClientError):
        services.set_up()

    services.configured(S3_ONLY)
    services.group()
    services.tagged()
    services.filtered()
    services.removed()
    assert services.take_out().endswith(f"deleted {GROUP}")


def test_taking_out_that_fails_is_raised(services: Services) -> None:
    services.settings.expect("GET", refusal=("AccessDeniedException", "no"))

    with pytest.raises(ClientError, match="AccessDenied"):
        services.take_out()


# Reading a configuration


@pytest.mark.parametrize(
    ("configuration", "ours"),
    [
        pytest.param(None, False, id="no configuration"),
        pytest.param({}, False, id="empty"),
        pytest.param(S3_ONLY, False, id="S3 only"),
        pytest.param(THEIRS, False, id="another group"),
        pytest.param(OURS, True, id="set up by this stack"),
        pytest.param(moved(S3_ONLY, "/any"), True, id="with another group since"),
    ],
)
def test_what_bears_the_stacks_role_is_the_stacks(configuration: dict[str, Any] | None, ours: bool) -> None:
    assert is_ours(raw(configuration), PART, None) is ours


@pytest.mark.parametrize(
    ("configuration", "group"),
    [
        pytest.param(None, None, id="no configuration"),
        pytest.param({}, None, id="empty"),
        pytest.param(S3_ONLY, None, id="S3 only"),
        pytest.param({"cloudWatchConfig": {}}, None, id="CloudWatch without a group"),
        pytest.param({"cloudWatchConfig": {"logGroupName": ""}}, None, id="an empty name"),
        pytest.param(THEIRS, "/theirs", id="another group"),
    ],
)
def test_log_group_of_a_configuration(configuration: dict[str, Any] | None, group: str | None) -> None:
    assert logging_configuration.configured_log_group(raw(configuration)) == group


@pytest.mark.parametrize(
    ("prefix", "folder"),
    [
        pytest.param("", "b/AWSLogs/", id="no prefix"),
        pytest.param("logs", "b/logs/AWSLogs/", id="a prefix"),
        pytest.param("/logs/of/it/", "b/logs/of/it/AWSLogs/", id="a prefix with slashes around it"),
    ],
)
def test_large_bodies_lie_below_the_prefix_if_there_is_one(prefix: str, folder: str) -> None:
    assert LargeBodies("b", prefix).folder == folder
