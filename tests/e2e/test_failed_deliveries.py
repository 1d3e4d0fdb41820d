"""Failed deliveries on the deployed stack: replayed with the command, as an operator would."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from click.testing import CliRunner
from documented_actions import actions_of
from iam.authorization import read_action
from iam.recorder import calls_recorded
from test_stack import converse, record

from localaws.fault_proxy import Call
from localaws.instance import Instance
from quota_monitor import sample_events as events
from quota_monitor.main import main

BUCKET = ("mistral.mistral-small-2402-v1:0", "regional")


def invocation(event: object) -> str:
    """What Lambda keeps of an asynchronous invocation that failed."""
    return json.dumps(
        {
            "version": "1.0",
            "timestamp": "2026-11-20T09:17:00.000Z",
            "requestContext": {"condition": "RetriesExhausted", "approximateInvokeCount": 3},
            "requestPayload": event,
            "responsePayload": {"errorType": "DeliveryError"},
        }
    )


def test_replay_processes_what_can_be_and_keeps_the_rest(
    local: Instance,
    metric: Callable[..., dict[datetime, float]],
    minute: datetime,
    resource: Callable[[str], str],
    monkeypatch: Any,
) -> None:
    # given three kept deliveries, of which the second can never be read and the third has a record that is rejected
    monkeypatch.setenv("AWS_CONFIG_FILE", str(local.cli_config))
    s3, bucket = local.session().client("s3"), resource("FailedDeliveriesBucket")
    message = json.dumps(record(minute, BUCKET[0], body=converse(40), tokens=(2, 1)))
    other = json.dumps(record(minute, BUCKET[0], body=converse(50), tokens=(3, 1), second=9))
    for number, event in enumerate(
        (events.delivery([message]), {"awslogs": {"data": "AAAA"}}, events.delivery([other, "{broken"]))
    ):
        s3.put_object(Bucket=bucket, Key=f"aws/lambda/async/processor/2026/11/20/{number}", Body=invocation(event))
    arguments = ["--profile", "local", "--stack-name", local.stack_name]
    # when
    listing: list[Call] = []
    with calls_recorded(listing):
        listed = CliRunner().invoke(main, ["failed", "list", *arguments])
    replaying: list[Call] = []
    with calls_recorded(replaying):
        replayed = CliRunner().invoke(main, ["failed", "replay", *arguments])
        again = CliRunner().invoke(main, ["failed", "replay", *arguments])
    local.drain()
    # then the first is gone, the second stays and is named, and the third stays because of its rejected record
    assert listed.output.endswith(f"Failed deliveries in s3://{bucket}: 3\n")
    assert (replayed.exit_code, again.exit_code) == (1, 1)
    assert "Processed: 2 of 3" in replayed.output
    assert "Processed: 0 of 1" in again.output
    second, third = (f"aws/lambda/async/processor/2026/11/20/{number}" for number in (1, 2))
    assert f"Still failing: {second}: " in replayed.output
    assert f"{third}: was processed, but records of it were rejected: 1 " in replayed.output
    assert keys(s3, bucket) == {second, third, f"progress/{second}", f"progress/{third}"}
    # and their records are counted once each: 2 + 40 and 3 + 50
    assert metric("ReservedTokens", *BUCKET) == {minute: 95}
    # when it is discarded
    left = CliRunner().invoke(main, ["failed", "list", *arguments])
    discarded = CliRunner().invoke(main, ["failed", "replay", "--discard", *arguments])
    # then
    assert "processed: 1 of 1 deliveries; records rejected: 1 " in left.output
    assert left.output.endswith(
        f"Failed deliveries in s3://{bucket}: 1\nReplayed deliveries with rejected records: 1\n"
    )
    assert "Processed: 1 of 2" in discarded.output
    assert keys(s3, bucket) == {second, f"progress/{second}"}
    for key in keys(s3, bucket):
        s3.delete_object(Bucket=bucket, Key=key)
    # and the commands have asked for nothing but what docs/permissions.md names
    to_list, to_replay = actions_of("quota-monitor failed list"), actions_of("quota-monitor failed replay")
    assert {read_action(call) for call in listing} <= to_list
    asked = {read_action(call) for call in replaying if call.service != "iam"}  # which the tests' own recorder asks
    assert asked == to_list | to_replay


def keys(s3: Any, bucket: str) -> set[str]:
    return {each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]}
