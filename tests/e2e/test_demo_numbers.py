"""The demo: an hour of traffic through the deployed stack, against an independent sum over the same records."""

import json
from datetime import UTC, datetime

import pytest
from oracle import facts_of, sum_up

from localaws import traffic
from localaws.instance import Instance
from quota_monitor import demo
from quota_monitor.checkout import ROOT


def test_the_demos_numbers_are_those_of_an_independent_sum(local: Instance) -> None:
    # when the demo's traffic has gone through the stack
    shown = demo.run(local, seed=1)
    # then what CloudWatch says is what AWS's rules, written down a second time, make of the records
    records = [json.loads(event.message) for event in shown.sent if event.message != traffic.PERMISSIONS_LINE]
    profiles = {
        summary["inferenceProfileArn"]: (
            profile.copy_from.partition("foundation-model/")[2],
            "regional" if "us-east-1" in profile.copy_from else "global-cross-region",
        )
        for summary in local.session()
        .client("bedrock")
        .list_inference_profiles(typeEquals="APPLICATION", maxResults=100)["inferenceProfileSummaries"]
        for profile in traffic.PROFILES
        if profile.name == summary["inferenceProfileName"]
    }
    expected = sum_up(records, facts_of(ROOT / "registry" / "models", datetime.now(UTC)), profiles)
    called = [use for use in shown.uses if use.requests]
    assert {(use.bucket.model_id, use.bucket.endpoint_type.value) for use in called} == set(expected.buckets)
    assert len(expected.buckets) >= 8
    # and the bucket with a quota of 0, where every call fails, is shown all the same
    (refused,) = [use for use in shown.uses if not use.requests]
    assert (refused.token_quota, refused.throttled_requests > 0) == (0, True)
    for use in called:
        sums = expected.buckets[use.bucket.model_id, use.bucket.endpoint_type.value]
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
