"""A record that waits keeps only what decides about its metrics, and comes to the same usage."""

from typing import Any

import msgspec
import pytest
from processed import price, read_record
from records import NOW, PROFILE_ARN, converse, failed, message, metadata_only

from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import EndpointType
from bedrock_quota.processor.trimming import trim_record
from bedrock_quota.processor.usage import UsageCalculator
from bedrock_quota.registry.models import Registry

LONG = "x" * 100_000
ROLE = "arn:aws:sts::111122223333:assumed-role"


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(converse(), id="plain"),
        pytest.param(converse(PROFILE_ARN, requestMetadata={"team": "search", "note": "no"}), id="profile with tags"),
        pytest.param(converse(requestMetadata={"team": "é" * 5_000}), id="long tag"),
        pytest.param(converse(requestMetadata={"team": "y" * 256}), id="longest whole tag"),
        pytest.param(metadata_only(requestMetadata={"max_tokens": "500"}), id="declared limit"),
        pytest.param(metadata_only(requestMetadata={"max_tokens": "0" * 300 + "5"}), id="long declared limit"),
        pytest.param(converse(operation="Converse" + LONG), id="long operation"),
        pytest.param(converse(operation="c" * 64), id="longest whole operation"),
        pytest.param(failed(code="Throttling" * 7), id="long error code"),
        pytest.param(failed(PROFILE_ARN), id="failed call of a profile"),
        pytest.param(converse(identity={"arn": f"{ROLE}/Reports/{LONG}"}), id="long session"),
        pytest.param(converse(identity={"arn": f"{ROLE}/{LONG}/me"}), id="long role"),
        pytest.param(converse(identity={"arn": f"arn:aws:iam::1:user/{LONG}/a:b"}), id="user below a long path"),
        pytest.param(converse(identity={"arn": LONG}), id="caller that is no ARN"),
        pytest.param(converse(identity={}), id="no caller"),
        pytest.param(converse(performanceConfig={"latency": "optimized"}), id="optimized latency"),
        pytest.param(converse(performanceConfig={"latency": LONG}), id="long latency"),
        pytest.param(converse(requestId=LONG), id="long request id"),
    ],
)
def test_trimmed_record_comes_to_the_same_and_is_short(registry: Registry, entry: dict[str, Any]) -> None:
    # given a container that names tags and sessions
    calculator = UsageCalculator(
        registry,
        lambda _profile: Reference("amazon.nova-pro-v1:0", EndpointType.REGIONAL),
        ("team",),
        with_sessions=True,
    )
    record = read_record(message(entry))
    # when
    trimmed = trim_record(record, calculator.metadata_keys)
    # then
    assert price(calculator, trimmed, NOW) == price(calculator, record, NOW)
    assert len(msgspec.json.encode(trimmed)) < 2_500
