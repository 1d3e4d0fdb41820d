"""The logging configuration is carried as it was read, byte by byte, whatever the SDK knows of it."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from bedrock_settings import BedrockSettings

from bedrock_quota.deployment import logging_configuration as configurations
from bedrock_quota.deployment.logging_configuration import ConfigurationUnreadableError, LargeBodies

pytestmark = pytest.mark.usefixtures("no_aws")

S3 = b'"s3Config":{"bucketName":"theirs","keyPrefix":"logs"}'
CLOUDWATCH = b'"cloudWatchConfig":{"logGroupName":"/g","roleArn":"r","largeDataDeliveryS3Config":{"bucketName":"b"}}'

MEMBERS = [
    pytest.param(S3, id="what the SDK knows"),
    pytest.param(S3 + b',"smellDataDeliveryEnabled":true', id="kind of data that no SDK has"),
    pytest.param(S3 + b',"audioDataDeliveryEnabled":false,"textDataDeliveryEnabled":true', id="in any order"),
    pytest.param(
        S3 + b',"retention":{"days":30,"exact":1.0,"most":12345678901234567890123,"small":1e-400}', id="numbers"
    ),
    pytest.param(S3 + b',"streams":[{"arn":"x"},null,[],{}]', id="list"),
    pytest.param(S3 + b',"note":"\\u00e9\\ud83d\\ude00 \\/ \xc3\xa9"', id="escapes"),
    pytest.param(b'"s3Config" : { "bucketName" : "theirs",\n "ruleSet" : null }', id="spaces"),
    pytest.param(S3 + b',"videoDataDeliveryEnabled":null', id="null"),
    pytest.param(b'"firehoseConfig":{"streamArn":"x"}', id="destination that no SDK has"),
    pytest.param(S3 + b',"textDataDeliveryEnabled":"yes","s4Config":7', id="wrong types"),
    pytest.param(b'"textDataDeliveryEnabled":true,' + S3, id="text first"),
]


@pytest.fixture
def settings() -> Iterator[BedrockSettings]:
    made = BedrockSettings()
    yield made
    made.assert_no_pending_responses()


def read(settings: BedrockSettings, members: bytes) -> Any:
    settings.expect("GET", answer=b'{"loggingConfig":{' + members + b"}}")
    return configurations.read_configuration(settings.client)


@pytest.mark.parametrize("members", MEMBERS)
def test_configuration_is_put_back_byte_by_byte(settings: BedrockSettings, members: bytes) -> None:
    # when CloudWatch is added
    before = read(settings, members)
    after = configurations.deliver_to(before, "/g", "r", LargeBodies("b"))
    settings.expect("PUT")
    configurations.put_configuration(settings.client, after)
    # then the rest is as it was, apart from spaces between members
    sent = settings.bodies[0]
    assert sent == b'{"loggingConfig":{' + compact(members) + b"," + CLOUDWATCH + b"}}"
    # and when it is taken out of what Bedrock returns
    settings.expect("GET", answer=sent)
    present = configurations.read_configuration(settings.client)
    assert present is not None
    rest = configurations.restore_delivery(present, "")
    settings.expect("PUT")
    configurations.put_configuration(settings.client, rest)
    # then all is as before
    assert settings.bodies[1] == b'{"loggingConfig":{' + compact(members) + b"}}"


def compact(members: bytes) -> bytes:
    """Leave out the spaces around the first colon, which separate a name from its value."""
    return members.replace(b'"s3Config" : {', b'"s3Config":{')


def test_unknown_members_of_the_delivery_stay_too(settings: BedrockSettings) -> None:
    there = b'"cloudWatchConfig":{"format":{"v":1.0},"logGroupName":"/old","roleArn":"r","class":"X",'
    large = b'"largeDataDeliveryS3Config":{"bucketName":"b","keyPrefix":"p","tier":"IA"}}'
    before = read(settings, there + large)

    settings.expect("PUT")
    after = configurations.deliver_to(before, "/new", "r", configurations.configured_large_bodies(before))
    configurations.put_configuration(settings.client, after)

    assert settings.bodies == [b'{"loggingConfig":{' + there.replace(b"/old", b"/new") + large + b"}}"]


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        pytest.param(b"{}", None, id="empty"),
        pytest.param(b"", None, id="no body"),
        pytest.param(b'{"loggingConfig":null}', None, id="null"),
        pytest.param(b'{"loggingConfig":{}}', None, id="no member"),
    ],
)
def test_account_without_a_configuration(settings: BedrockSettings, answer: bytes, found: None) -> None:
    settings.expect("GET", answer=answer)

    assert configurations.read_configuration(settings.client) is found


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"\xff\xfe garbage", id="bytes without meaning"),
        pytest.param(b"<html>", id="HTML"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'{"loggingConfig":[]}', id="configuration that is a list"),
        pytest.param(b'{"loggingConfig":{"s3Config":{', id="cut"),
        pytest.param(b'{"loggingConfig":{"cloudWatchConfig":7}}', id="delivery that is a number"),
    ],
)
def test_answer_that_cannot_be_read_is_never_taken_for_no_configuration(
    settings: BedrockSettings, answer: bytes
) -> None:
    settings.expect("GET", answer=answer)

    with pytest.raises(ConfigurationUnreadableError, match="GetModelInvocationLoggingConfiguration cannot be read"):
        configurations.read_configuration(settings.client)


@pytest.mark.parametrize(
    "delivery",
    [
        pytest.param(None, id="null"),
        pytest.param(7, id="number"),
        pytest.param([], id="list"),
        pytest.param(
            {"logGroupName": None, "roleArn": 5, "largeDataDeliveryS3Config": "x"}, id="members of wrong types"
        ),
        pytest.param({"largeDataDeliveryS3Config": {"bucketName": [], "keyPrefix": {}}}, id="bucket of a wrong type"),
    ],
)
def test_delivery_of_a_wrong_type_delivers_nowhere(delivery: object) -> None:
    found = {"cloudWatchConfig": msgspec.Raw(msgspec.json.encode(delivery))}

    assert configurations.configured_log_group(found) is None
    assert configurations.configured_role(found) is None
    assert configurations.configured_large_bodies(found) is None
    after = configurations.deliver_to(found, "/g", "r", None)
    assert configurations.configured_log_group(after) == "/g"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param(b'"a":1,"b":2', b'"b":2,"a":1', True, id="another order"),
        pytest.param(b'"a":{"x":1,"y":2}', b'"a":{ "y":2, "x":1 }', True, id="another order inside"),
        pytest.param(b'"a":true', b'"a":false', False, id="another value"),
        pytest.param(b'"a":true', b'"a":true,"b":null', False, id="one member more"),
    ],
)
def test_configurations_are_compared_by_their_values(
    settings: BedrockSettings, one: bytes, other: bytes, same: bool
) -> None:
    assert configurations.is_same(read(settings, one), read(settings, other)) is same


@pytest.mark.parametrize(
    ("members", "text_only"),
    [
        pytest.param(CLOUDWATCH, True, id="CloudWatch alone"),
        pytest.param(CLOUDWATCH + b',"textDataDeliveryEnabled":true', True, id="text"),
        pytest.param(CLOUDWATCH + b',"textDataDeliveryEnabled":true,"imageDataDeliveryEnabled":false', True, id="own"),
        pytest.param(CLOUDWATCH + b',"smellDataDeliveryEnabled":true', True, id="kind that Bedrock added"),
        pytest.param(CLOUDWATCH + b',"s3Config":null', True, id="null"),
        pytest.param(CLOUDWATCH + b',"textDataDeliveryEnabled":false', False, id="text off"),
        pytest.param(CLOUDWATCH + b',"imageDataDeliveryEnabled":true', False, id="image on"),
        pytest.param(CLOUDWATCH + b',"textDataDeliveryEnabled":1', False, id="number as a switch"),
        pytest.param(CLOUDWATCH + b',"textDataDeliveryEnabled":true,"level":"all"', False, id="unknown text"),
        pytest.param(CLOUDWATCH + b',"destinations":[{"bucket":"theirs"}]', False, id="unknown list"),
        pytest.param(CLOUDWATCH + b',"s3Config":{}', False, id="empty destination"),
        pytest.param(CLOUDWATCH + b"," + S3, False, id="S3"),
    ],
)
def test_only_what_the_stack_sets_is_the_stacks(settings: BedrockSettings, members: bytes, text_only: bool) -> None:
    rest = configurations.restore_delivery(read(settings, members), "")

    assert configurations.is_text_only(rest) is text_only


@pytest.mark.parametrize(
    "delivery",
    [
        pytest.param(b"{}", id="empty"),
        pytest.param(b'{"format":{"v":1.0},"note":"\\u00e9 \xc3\xa9"}', id="unknown members"),
        pytest.param(b"null", id="null"),
    ],
)
def test_former_delivery_is_put_back_byte_by_byte_in_its_place(settings: BedrockSettings, delivery: bytes) -> None:
    there = b'"cloudWatchConfig":' + delivery + b',"textDataDeliveryEnabled":false'
    before = read(settings, there)
    noted = configurations.encode_delivery(before)
    after = configurations.deliver_to(before, "/g", "r", LargeBodies("b"))

    settings.expect("PUT")
    configurations.put_configuration(settings.client, configurations.restore_delivery(after, noted))

    assert settings.bodies == [b'{"loggingConfig":{' + there + b"}}"]


@pytest.mark.parametrize(
    ("members", "elsewhere"),
    [
        pytest.param(CLOUDWATCH, False, id="CloudWatch alone"),
        pytest.param(CLOUDWATCH + b',"textDataDeliveryEnabled":true,"level":"all"', False, id="with flags"),
        pytest.param(CLOUDWATCH + b',"s3Config":null', False, id="null"),
        pytest.param(CLOUDWATCH + b',"s3Config":{}', False, id="empty destination"),
        pytest.param(CLOUDWATCH + b"," + S3, True, id="S3"),
        pytest.param(CLOUDWATCH + b',"firehoseConfig":{"streamArn":"x"}', True, id="destination that no SDK has"),
    ],
)
def test_another_destination_is_an_object(settings: BedrockSettings, members: bytes, elsewhere: bool) -> None:
    assert configurations.delivers_elsewhere(read(settings, members)) is elsewhere


def test_deep_values_are_carried(settings: BedrockSettings) -> None:
    deep = b'"deep":' + b"[" * 200 + b"]" * 200
    found = read(settings, deep + b"," + S3)

    settings.expect("PUT")
    configurations.put_configuration(settings.client, configurations.deliver_to(found, "/g", "r", None))

    assert deep in settings.bodies[0]


def test_handlers_are_removed_after_each_call(settings: BedrockSettings) -> None:
    read(settings, S3)
    settings.expect("PUT")
    configurations.put_configuration(settings.client, {})
    # when the client is used without this module
    settings.expect("PUT", {"loggingConfig": {"textDataDeliveryEnabled": True}})
    settings.client.put_model_invocation_logging_configuration(loggingConfig={"textDataDeliveryEnabled": True})

    assert json.loads(settings.bodies[0]) == {"loggingConfig": {}}
