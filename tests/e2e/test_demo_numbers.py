"""The demo: an hour of traffic through the deployed stack. Every source of answers has the sums of the oracle.

The oracle adds up the same records, and shares no code with the product.
"""

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from documented_actions import actions_of
from iam.authorization import read_action
from iam.recorder import calls_recorded
from oracle import Bodies, Totals, facts_of, sum_up
from usage_sums import Sums, sums_of, sums_of_oracle

from bedrock_quota.analysis.answers import NOTHING_CHANGED
from bedrock_quota.registry.sources import read_sources
from localaws import applications, traffic
from localaws.account import ACCOUNT_ID
from localaws.fault_proxy import Call
from localaws.instance import Instance
from localaws.traffic import LogEvent
from quota_monitor import demo
from quota_monitor.analyze import sources
from quota_monitor.analyze.command import analyze_source
from quota_monitor.analyze.scope import Scope
from quota_monitor.answers.document import Document
from quota_monitor.aws_session import read_stack
from quota_monitor.deployed.report import make_report
from quota_monitor.deployment.checkout import ROOT
from quota_monitor.window import Window

REGISTRY = ROOT / "registry" / "models"

KEY_PREFIX = "bedrock-logs"

RECORDS_PER_OBJECT = 400


def stored(events: Iterable[LogEvent]) -> Bodies:
    """The bodies in S3, with the seconds after their record in which they came."""
    return {
        body.path: (event.bodies_late, json.loads(gzip.decompress(body.gzipped)))
        for event in events
        for body in event.large_bodies
    }


@pytest.fixture(scope="module")
def shown(local: Instance) -> demo.DemoResult:
    return demo.run_demo(local, seed=1)


@pytest.fixture(scope="module")
def records(shown: demo.DemoResult) -> list[LogEvent]:
    return [event for event in shown.sent if event.message != traffic.OPENING_LINE]


@pytest.fixture(scope="module")
def expected(local: Instance, shown: demo.DemoResult, records: list[LogEvent]) -> Totals:
    """AWS's rules, written down a second time, over the records."""
    profiles = {
        summary["inferenceProfileArn"]: (
            profile.copy_from.partition("foundation-model/")[2],
            "regional" if "us-east-1" in profile.copy_from else "global-cross-region",
        )
        for summary in local.session()
        .client("bedrock")
        .list_inference_profiles(typeEquals="APPLICATION", maxResults=100)["inferenceProfileSummaries"]
        for profile in applications.PROFILES
        if profile.name == summary["inferenceProfileName"]
    }
    entries = [json.loads(event.message) for event in records]
    return sum_up(entries, facts_of(REGISTRY, datetime.now(UTC)), profiles, stored(shown.sent))


@pytest.fixture
def analyze(local: Instance, shown: demo.DemoResult, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Document]:
    """Run what `quota-monitor analyze` runs, with its options, on the demo's hour."""
    monkeypatch.setattr(sources, "open_session", lambda _profile, _region: local.session())

    def run(**options: object) -> Document:
        nothing = dict.fromkeys(("files", "bucket", "log_group", "whole_records"))
        registry = read_sources(REGISTRY)
        (source,) = sources.open_sources({**nothing, "profiles": (), "regions": ()} | options, registry)
        return analyze_source(source, Scope(shown.window), NOTHING_CHANGED, registry)

    return run


def throttled(document: Document) -> int:
    return sum(answer.usage.throttled for answer in document.pools)


def sums(document: Document) -> Sums:
    return sums_of(answer.usage for answer in document.pools)


# ---------------------------------------------------------------- the deployed stack


def test_the_report_has_the_sums_of_the_oracle(shown: demo.DemoResult, expected: Totals) -> None:
    assert sums(shown.document) == sums_of_oracle(expected)
    assert throttled(shown.document) == expected.failed["ThrottlingException"]


def test_the_demo_has_what_makes_sums_hard(shown: demo.DemoResult, expected: Totals) -> None:
    assert len(expected.pools) >= 8
    # requests too large for the log, which came 0, 30 and 90 s later: their max_tokens was read from S3
    agent = expected.pools["anthropic.claude-opus-4-6-v1", "global-cross-region"]
    assert sum(each.unknown for each in agent.values()) == 0
    large = [event for event in shown.sent if event.large_bodies and "claude-opus-4-6" in event.message]
    assert {event.bodies_late for event in large} == {0, 30, 90}
    # a pool with a quota of 0, where every call fails
    (refused,) = [each.usage for each in shown.document.pools if not each.usage.requests]
    assert (refused.token_quota, refused.throttled > 0) == (0, True)


def test_the_report_of_a_long_window_has_the_sums_of_the_oracle(
    local: Instance, shown: demo.DemoResult, expected: Totals
) -> None:
    window = Window(shown.window.start - 7 * 3600, shown.window.end)
    calls: list[Call] = []
    with calls_recorded(calls):
        stack = read_stack(local.session(), local.stack_name)
        document = make_report(local.session(), stack, Scope(window), NOTHING_CHANGED, now=datetime.now(UTC))

    # nothing but what docs/permissions.md names. The command also asks for the price, and an interruption stops queries
    others = {"cloudwatch:GetMetricStatistics", "logs:StopQuery"}
    assert {read_action(call) for call in calls} == actions_of("quota-monitor report") - others
    wanted = sums_of_oracle(expected)
    found = sums(document)
    pool_minutes = {key: value for key, value in wanted.items() if len(key) == 3}
    assert {key: found.get(key) for key in pool_minutes} == pool_minutes
    reserved = {
        (answer.usage.pool.model_id, str(answer.usage.pool.endpoint_type), caller.caller): caller.reserved_tokens
        for answer in document.pools
        for caller in answer.usage.callers
    }
    by_caller: dict[tuple[str, ...], float] = {}
    for (model, endpoint, _minute, *caller), values in wanted.items():
        if caller:
            by_caller[model, endpoint, caller[0]] = by_caller.get((model, endpoint, caller[0]), 0) + values[0]
    assert {key: reserved.get(key) for key in by_caller} == by_caller
    assert throttled(document) >= expected.failed["ThrottlingException"]


# ---------------------------------------------------------------- analyze


@pytest.mark.parametrize("whole_records", [False, True], ids=["by Logs Insights", "whole records"])
def test_the_log_group_has_the_sums_of_the_oracle(
    local: Instance,
    analyze: Callable[..., Document],
    expected: Totals,
    whole_records: bool,
) -> None:
    group = local.outputs["InvocationLogGroupName"]

    document = analyze(log_group=group, whole_records=whole_records)

    assert sums(document) == sums_of_oracle(expected)
    assert throttled(document) == expected.failed["ThrottlingException"]
    assert document.counts.get("rejected (not_json)", 0) == 0


def test_the_configured_log_group_is_found(local: Instance, analyze: Callable[..., Document]) -> None:
    assert analyze().source == f"log group {local.outputs['InvocationLogGroupName']}"


def test_files_have_the_sums_of_the_oracle(
    analyze: Callable[..., Document], records: Sequence[LogEvent], expected: Totals, tmp_path: Path
) -> None:
    half = len(records) // 2
    lines = [event.message for event in records]
    (tmp_path / "first.json.gz").write_bytes(gzip.compress("\n".join(lines[:half]).encode()))
    events = [{"timestamp": event.timestamp, "message": event.message} for event in records[half:]]
    (tmp_path / "second.json").write_text(json.dumps({"events": events}, indent=4))

    document = analyze(files=[str(tmp_path)], regions=("us-east-1",))

    assert sums(document) == sums_of_oracle(expected)
    assert document.received == len(records)


@pytest.fixture
def bucket(local: Instance, records: Sequence[LogEvent]) -> Iterator[str]:
    """The records as Bedrock writes them to S3, beside the logs of another account and a permission check."""
    client, name = local.session().client("s3"), "invocation-logs-of-the-demo"
    client.create_bucket(Bucket=name)
    for key, content in lay_out(records).items():
        client.put_object(Bucket=name, Key=key, Body=content)
    yield name
    for each in client.list_objects_v2(Bucket=name)["Contents"]:
        client.delete_object(Bucket=name, Key=each["Key"])
    client.delete_bucket(Bucket=name)


def lay_out(records: Sequence[LogEvent]) -> Mapping[str, bytes]:
    """Return objects by key. Each has records of one hour, and is filed when the last of them had arrived."""
    folder = f"{KEY_PREFIX}/AWSLogs/{ACCOUNT_ID}/BedrockModelInvocationLogs/us-east-1"
    objects = {f"{folder}/amazon-bedrock-logs-permission-check": b""}
    hours: dict[str, list[LogEvent]] = {}
    for event in records:
        written = datetime.fromtimestamp(event.timestamp / 1000, UTC) + timedelta(seconds=59)
        hours.setdefault(f"{written:%Y/%m/%d/%H}", []).append(event)
    for hour, events in hours.items():
        for first in range(0, len(events), RECORDS_PER_OBJECT):
            part = events[first : first + RECORDS_PER_OBJECT]
            text = "\n".join(event.message for event in part).encode()
            objects[f"{folder}/{hour}/{first:06}_0123456789abcdef.json.gz"] = gzip.compress(text)
        objects[f"{folder}/{hour}/data/0123_input.json.gz"] = gzip.compress(b'{"max_tokens": 1}')
    return objects


def test_objects_in_s3_have_the_sums_of_the_oracle(
    analyze: Callable[..., Document], bucket: str, expected: Totals, records: Sequence[LogEvent]
) -> None:
    document = analyze(bucket=f"s3://{bucket}/{KEY_PREFIX}")

    assert sums(document) == sums_of_oracle(expected)
    assert (document.account, document.region) == (ACCOUNT_ID, "us-east-1")
    assert document.received == len(records)
    assert not [note for note in document.notes if "s3:" in note]
