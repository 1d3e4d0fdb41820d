"""The message with news of quotas: what each protocol gets, and that nothing is too long."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from bedrock_quota.fetcher.news import REST, make_message

TOPIC = "arn:aws:sns:eu-central-1:111122223333:bedrock-quota-monitor-AlarmTopic-x"
SMALLER = "quota changed from 400,000 to 200,000: tokens per minute of amazon.nova-lite-v1:0 (regional)"
ENDS = "end of life of meta.llama3-2-1b-instruct-v1:0 is 2027-03-30"
SNS_BYTES, SLACK_CHARACTERS = 262_144, 3_000


def texts(notices: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return the plain text and the notification, both as a subscriber gets them."""
    message: Any = make_message(TOPIC, notices)
    by_protocol = json.loads(message["Message"])
    assert by_protocol.keys() == {"default", "https"}
    return by_protocol["default"], json.loads(by_protocol["https"])


def test_botocore_accepts_the_message() -> None:
    client = boto3.client("sns", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x")
    stubber = Stubber(client)
    message = make_message(TOPIC, [SMALLER, ENDS])
    expected = {
        "TopicArn": TOPIC,
        "Subject": "Bedrock quotas: 2 changes",
        "MessageStructure": "json",
        "Message": message["Message"],
    }
    stubber.add_response("publish", {"MessageId": "1"}, expected)

    with stubber:
        assert client.publish(**message)["MessageId"] == "1"


def test_people_get_the_plain_text_and_chat_channels_a_custom_notification() -> None:
    plain, notification = texts([SMALLER, ENDS])

    assert plain == f"{SMALLER}\n{ENDS}"
    # AWS's schema: https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
    assert notification == {
        "version": "1.0",
        "source": "custom",
        "content": {
            "textType": "client-markdown",
            "title": "Bedrock quotas: 2 changes | eu-central-1 | Account: 111122223333",
            "description": f"- {SMALLER}\n- {ENDS}",
            "nextSteps": ["Run `quota-monitor doctor` to see what to do."],
        },
    }


def test_the_page_on_notifications_shows_this_notification_and_its_last_line() -> None:
    page = (Path(__file__).parents[2] / "docs" / "notifications.md").read_text(encoding="utf-8")
    (shown,) = map(json.loads, re.findall(r"```json\n(.*?)```", page, re.DOTALL))
    message: Any = make_message("arn:aws:sns:us-east-1:111122223333:x", ["a", "b"])
    made = json.loads(json.loads(message["Message"])["https"])

    assert shown["content"].pop("description").startswith("- quota changed from 200,000 to 400,000: tokens")
    assert made["content"].pop("description") == "- a\n- b"
    assert shown == made
    assert f"`{REST.format(number=12)}`" in page


def test_a_channel_gets_the_first_changes_and_the_number_of_the_others() -> None:
    # 40 lines of 100 characters: with "- " and the line break each takes 104 bytes as JSON, so 23 of them fit into
    # 2,500 less the 60 of the last line
    notices = [f"{number:02} ".ljust(100, "x") for number in range(40)]

    plain, notification = texts(notices)

    shown = notification["content"]["description"].split("\n")
    assert shown[:23] == [f"- {notice}" for notice in notices[:23]]
    assert shown[23:] == ["and 17 more. The log of the quota fetcher has all of them."]
    # and the plain text has all of them
    assert plain.split("\n") == notices


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("x" * 150, id="usual length"),
        pytest.param("x" * 100_000, id="longer than a line may be"),
        pytest.param('"\\' * 500, id="characters that JSON escapes"),
        pytest.param("\x01" * 1_000, id="control characters, which JSON escapes with 6 bytes"),
        pytest.param("💥" * 1_000, id="characters of 4 bytes"),
    ],
)
@pytest.mark.parametrize("number", [1, 500, 5_000])
def test_no_text_is_longer_than_what_sns_and_slack_accept(line: str, number: int) -> None:
    message = make_message(TOPIC, [line] * number)
    plain, notification = texts([line] * number)

    assert len(message["Message"].encode()) <= SNS_BYTES
    assert len(message["Subject"]) < 100
    assert len(notification["content"]["description"]) <= SLACK_CHARACTERS
    for text in (plain, notification["content"]["description"]):
        *shown, last = text.split("\n")
        if "more. The log" in last:
            assert last == f"and {number - len(shown):,} more. The log of the quota fetcher has all of them."
        else:
            assert len(shown) + 1 == number
