"""The demo: an hour of traffic through the deployed stack, against an independent sum over the same records."""

import gzip
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from oracle import Bodies, facts_of, sum_up

from localaws import applications, traffic
from localaws.instance import Instance
from localaws.traffic import LogEvent
from quota_monitor import demo
from quota_monitor.deployment.checkout import ROOT


def stored(events: Iterable[LogEvent]) -> Bodies:
    """The bodies in S3, with the seconds after their record in which they came."""
    return {
        body.path: (event.bodies_late, json.loads(gzip.decompress(body.gzipped)))
        for event in events
        for body in event.large_bodies
    }


def test_the_demos_numbers_are_those_of_an_independent_sum(local: Instance) -> None:
    # when the demo's traffic has gone through the stack
    shown = demo.run_demo(local, seed=1)
    # then what CloudWatch says is what AWS's rules, written down a second time, make of the records
    records: list[dict[str, Any]] = [
        json.loads(event.message) for event in shown.sent if event.message != traffic.OPENING_LINE
    ]
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
    expected = sum_up(records, facts_of(ROOT / "registry" / "models", datetime.now(UTC)), profiles, stored(shown.sent))
    called = [use for use in shown.uses if use.requests]
    assert {(use.pool.model_id, use.pool.endpoint_type.value) for use in called} == set(expected.pools)
    assert len(expected.pools) >= 8
    # with requests too large for the log among them, which came 0, 30 and 90 s later: their max_tokens was read from S3
    agent = expected.pools["anthropic.claude-opus-4-6-v1", "global-cross-region"]
    assert sum(each.unknown for each in agent.values()) == 0
    large = [event for event in shown.sent if event.large_bodies and "claude-opus-4-6" in event.message]
    assert {event.bodies_late for event in large} == {0, 30, 90}
    # and the bucket with a quota of 0, where every call fails, is shown all the same
    (refused,) = [use for use in shown.uses if not use.requests]
    assert (refused.token_quota, refused.throttled_requests > 0) == (0, True)
    for use in called:
        sums = expected.pools[use.pool.model_id, use.pool.endpoint_type.value]
        found = {
            each.minute: (each.reserved_tokens, each.consumed_tokens, each.requests, each.known_requests)
            for each in use.minutes
            if each.requests
        }
        assert found == {
            minute: (
                pytest.approx(each.reserved),
                pytest.approx(each.consumed),
                each.requests,
                each.requests - each.unknown,
            )
            for minute, each in sums.items()
        }
