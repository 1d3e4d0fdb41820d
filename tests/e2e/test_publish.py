"""`analyze --publish`: records from before the stack count once, beside those that its subscription delivers."""

import gzip
import json
import re
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import LOG_STREAM
from held_update import deployed_template
from oracle import facts_of, sum_up
from test_logging_setup import GROUP as CREATED_GROUP
from test_logging_setup import S3_ONLY, THEIRS, Region
from test_stack import converse, record

from localaws.account import ACCOUNT_ID
from localaws.fault_proxy import FaultProxy
from localaws.instance import Instance
from quota_monitor.analyze.command import analyze
from quota_monitor.analyze.publish import command
from quota_monitor.analyze.publish.policy import list_statements
from quota_monitor.deployment.checkout import ROOT

GROUP, STACK = "/theirs", "publishing"
NOVA, SONNET = "us.amazon.nova-pro-v1:0", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
Sums = dict[tuple[str, str, datetime], tuple[float, float, int]]


@pytest.fixture
def region(local: Instance, proxy: FaultProxy, request: pytest.FixtureRequest) -> Iterator[Region]:
    """A Region with a log group that Bedrock has been writing to."""
    stacks = local.session().client("cloudformation")
    whole = deployed_template(stacks, local.stack_name)
    made = Region(local, proxy, f"publish-{zlib.crc32(request.node.name.encode()) % 10_000}-1", whole)
    made.logs.create_log_group(logGroupName=GROUP)
    made.configure(THEIRS)
    yield made
    assert made.delete(STACK) == "DELETE_COMPLETE"


def write(region: Region, *records: dict[str, Any], group: str = GROUP) -> None:
    """Write records with the time of their start, as Bedrock does."""
    if not region.logs.describe_log_streams(logGroupName=group)["logStreams"]:
        region.logs.create_log_stream(logGroupName=group, logStreamName=LOG_STREAM)
    for each in records:
        begun = datetime.fromisoformat(each["timestamp"])
        event = {"timestamp": int(begun.timestamp() * 1000), "message": json.dumps(each)}
        region.logs.put_log_events(logGroupName=group, logStreamName=LOG_STREAM, logEvents=[event])  # type: ignore[list-item]


def lines(region: Region) -> list[dict[str, Any]]:
    group = region.resource(STACK, "MetricProcessorLogGroup")
    pages = region.logs.get_paginator("filter_log_events").paginate(logGroupName=group)
    messages = [event["message"] for page in pages for event in page["events"]]
    return [json.loads(each) for each in messages if each.startswith("{")]


def published_sums(region: Region) -> Sums:
    """The metrics that the lines are, by pool and minute: reserved and consumed tokens, and requests."""
    found: dict[tuple[str, str, datetime], list[float]] = defaultdict(lambda: [0, 0, 0])
    for line in lines(region):
        if "ConsumedTokens" in line:
            minute = datetime.fromtimestamp(line["_aws"]["Timestamp"] / 1000, UTC)
            sums = found[line["ModelId"], line["EndpointType"], minute]
            sums[0] += sum(line["ReservedTokens"])
            sums[1] += sum(line["ConsumedTokens"])
            sums[2] += line["requests"]
    return {key: (reserved, consumed, int(requests)) for key, (reserved, consumed, requests) in found.items()}


def expected_sums(records: Iterable[dict[str, Any]]) -> Sums:
    totals = sum_up(list(records), facts_of(ROOT / "registry" / "models", datetime.now(UTC)), {}, {})
    return {
        (*pool, minute): (sums.reserved, sums.consumed, sums.requests)
        for pool, minutes in totals.pools.items()
        for minute, sums in minutes.items()
    }


def deploy(local: Instance, region: Region) -> None:
    stacks = local.session().client("cloudformation").describe_stacks(StackName=local.stack_name)["Stacks"]
    architecture = {each["ParameterKey"]: each["ParameterValue"] for each in stacks[0]["Parameters"]}["Architecture"]
    assert region.create(STACK, region.whole, Architecture=architecture) == "CREATE_COMPLETE", region.reasons(STACK)


def wait_for(region: Region, requests: int) -> None:
    deadline = time.monotonic() + 60
    while sum(sums[2] for sums in published_sums(region).values()) < requests:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def run(region: Region, monkeypatch: pytest.MonkeyPatch, *options: str, group: str = GROUP) -> Result:
    monkeypatch.setattr(command, "open_session", lambda _profile, _region: region.session)
    monkeypatch.setattr(command, "SETTLED_SECONDS", -1)  # the stack was made in this second
    monkeypatch.setattr(command, "SETTLED_S3_SECONDS", -1)
    called: set[str] = set()
    region.session.events.register("before-call", lambda model, **_given: called.add(model.name))
    result = CliRunner().invoke(analyze, ["--publish", STACK, "--yes", *options])
    allowed = {action.partition(":")[2] for each in list_statements(STACK, group) for action in each["Action"]}
    renamed = {"Invoke": "InvokeFunction", "ListObjectsV2": "ListBucket"}
    assert {renamed.get(each, each) for each in called} <= allowed | ({"ListBucket", "GetObject"} if options else set())
    return result


def test_older_records_count_once_also_when_published_again(
    local: Instance, region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given records from up to 13 days before the stack, in hours with one, several and none
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    starts = [timedelta(days=13), timedelta(days=3), timedelta(days=3, minutes=-1), timedelta(hours=2)]
    older = [
        record(now - each, model, second=second, body=converse(700 + second), tokens=(300, 20 * second))
        for each in starts
        for model, second in ((NOVA, 3), (NOVA, 4), (SONNET, 59))
    ]
    write(region, *older)
    # when the stack adopts the log group, and receives calls, one of which began long before it
    deploy(local, region)
    newer = [
        record(now - timedelta(minutes=30), SONNET, body=converse(1_000), tokens=(10, 1)),
        record(now, NOVA, body=converse(2_000), tokens=(20, 2)),
    ]
    write(region, *newer)
    wait_for(region, len(newer))
    assert published_sums(region) == expected_sums(newer)
    # and all older records are published
    first = run(region, monkeypatch)
    # then each counts once
    assert first.exit_code == 0, first.output
    assert "Published 12 records" in first.output
    assert "12 calls processed" in first.output
    assert published_sums(region) == expected_sums([*older, *newer])
    # and the second run sends nothing
    again = run(region, monkeypatch)
    assert (again.exit_code, "There is nothing left to publish" in again.output) == (0, True)
    assert published_sums(region) == expected_sums([*older, *newer])
    # and no health metric has the older ones
    health = [line for line in lines(region) if line.get("event") == "delivery"]
    sent = [line for line in health if line.get("published")]
    assert sum(line["published"] for line in sent) == len(older)
    assert [name for line in sent for name in ("_aws", "RecordLagSeconds") if name in line] == []
    assert sum(line["RecordsProcessed"] for line in health if "_aws" in line) == len(newer)


def test_an_interrupted_run_goes_on_without_counting_twice(
    local: Instance, region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given three hours, and a state table that cannot store the second as done
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    older = [
        record(now - timedelta(hours=hours), NOVA, second=hours, body=converse(500), tokens=(100, 10))
        for hours in (30, 20, 10)
    ]
    write(region, *older)
    deploy(local, region)
    mark, broken_hour = command.mark_hour, int((now - timedelta(hours=20)).timestamp())

    def fail_once(client: Any, table: str, hour: int) -> None:
        if hour == broken_hour:
            raise command.PublishError("The connection is lost")
        mark(client, table, hour)

    with monkeypatch.context() as broken:
        broken.setattr(command, "mark_hour", fail_once)
        stopped = run(region, broken)
    # then it stops with the hour at which it goes on
    assert stopped.exit_code == 3
    assert re.search(
        r"The connection is lost\. Sent so far: 1 record, .* Run the command again to go on there\.", stopped.output
    )
    assert published_sums(region) == expected_sums(older[:2])
    # when it is run again
    resumed = run(region, monkeypatch)
    # then the hour that was sent but not stored counts once
    assert resumed.exit_code == 0, resumed.output
    assert published_sums(region) == expected_sums(older)
    assert sum(line.get("DuplicateDeliveries", 0) for line in lines(region)) == 1


def test_records_in_s3_count_once_beside_those_of_the_log_group_that_the_stack_adds(
    local: Instance, region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an account that logs to S3 only
    region.configure(S3_ONLY)
    region.s3.create_bucket(Bucket="theirs", CreateBucketConfiguration={"LocationConstraint": region.name})  # type: ignore[typeddict-item]
    folder = f"logs/AWSLogs/{ACCOUNT_ID}/BedrockModelInvocationLogs/{region.name}"

    def put(*records: dict[str, Any]) -> None:
        written = datetime.fromisoformat(records[-1]["timestamp"]) + timedelta(seconds=60)
        body = gzip.compress("\n".join(json.dumps(each) for each in records).encode())
        region.s3.put_object(
            Bucket="theirs", Key=f"{folder}/{written:%Y/%m/%d/%H/%Y%m%dT%H%M%S000Z}_0.json.gz", Body=body
        )

    now = datetime.now(UTC).replace(second=0, microsecond=0)
    older = [
        record(now - timedelta(days=days), NOVA, second=second, body=converse(400), tokens=(100 + days, 10))
        for second, days in enumerate((12, 12, 1))
    ]
    put(*older[:2])
    put(older[2])
    # when the stack adds CloudWatch Logs, which then has a call that began before it
    deploy(local, region)
    running = record(now - timedelta(minutes=10), SONNET, second=30, body=converse(900), tokens=(10, 1))
    put(running)
    write(region, running, group=CREATED_GROUP)
    wait_for(region, 1)
    # then the records in S3 count once, and that call does, too
    for _ in range(2):
        result = run(region, monkeypatch, "--s3", "s3://theirs/logs", group=CREATED_GROUP)
        assert result.exit_code == 0, result.output
        assert published_sums(region) == expected_sums([*older, running])
    assert "There is nothing left to publish" in result.output
