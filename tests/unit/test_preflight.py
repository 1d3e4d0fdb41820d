"""What keeps a log group from being read, and the sentence that says what to do; checked against the service models."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from bedrock_quota.deployment.log_groups import LogGroup
from bedrock_quota.deployment.preflight import InvocationLoggingError, check_log_group

pytestmark = pytest.mark.usefixtures("no_aws")

KEY = "arn:aws:kms:us-east-1:111122223333:key/k"
GROUP = LogGroup("/theirs", "arn:aws:logs:us-east-1:111122223333:log-group:/theirs")


class LogServices:
    def __init__(self) -> None:
        self.kms: Any = boto3.client("kms")
        self.to_kms = Stubber(self.kms)

    def key_is(self, state: str) -> None:
        answer = {"KeyMetadata": {"KeyId": "k", "KeyState": state}}
        self.to_kms.add_response("describe_key", answer, {"KeyId": KEY})

    def examine(self, group: LogGroup) -> list[str]:
        return check_log_group(self.kms, group)


@pytest.fixture
def log_services() -> Iterator[LogServices]:
    made = LogServices()
    with made.to_kms:
        yield made
        made.to_kms.assert_no_pending_responses()


@pytest.mark.parametrize("log_class", ["INFREQUENT_ACCESS", "DELIVERY"])
def test_class_that_cannot_be_subscribed_is_refused(log_services: LogServices, log_class: str) -> None:
    with pytest.raises(InvocationLoggingError, match=f"of the class {log_class}, which cannot be subscribed"):
        log_services.examine(LogGroup(GROUP.name, GROUP.arn, log_class))


def test_class_that_is_not_known_is_left_to_aws(log_services: LogServices) -> None:
    assert log_services.examine(LogGroup(GROUP.name, GROUP.arn, "EXPRESS")) == []


@pytest.mark.parametrize("state", ["Enabled", "Updating"])
def test_group_under_a_key_in_use_is_fine(log_services: LogServices, state: str) -> None:
    log_services.key_is(state)

    assert log_services.examine(LogGroup(GROUP.name, GROUP.arn, key=KEY)) == []


@pytest.mark.parametrize(
    "state", ["Disabled", "PendingDeletion", "PendingImport", "PendingReplicaDeletion", "Unavailable", "Creating"]
)
def test_group_under_a_key_out_of_use_is_refused(log_services: LogServices, state: str) -> None:
    log_services.key_is(state)

    with pytest.raises(InvocationLoggingError, match=f"which is {state}, so nothing can be written or read"):
        log_services.examine(LogGroup(GROUP.name, GROUP.arn, key=KEY))


def test_key_that_may_not_be_looked_at_is_a_warning(log_services: LogServices) -> None:
    log_services.to_kms.add_client_error("describe_key", "AccessDeniedException", "no")

    (warning,) = log_services.examine(LogGroup(GROUP.name, GROUP.arn, key=KEY))
    assert f"encrypted with {KEY}, whose state could not be read" in warning


def test_key_that_cannot_be_asked_about_is_raised(log_services: LogServices) -> None:
    log_services.to_kms.add_client_error("describe_key", "KMSInternalException")

    with pytest.raises(ClientError, match="KMSInternal"):
        log_services.examine(LogGroup(GROUP.name, GROUP.arn, key=KEY))
