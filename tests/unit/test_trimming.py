"""A record that waits keeps only what decides about its metrics, and comes to the same usage."""

from typing import Any

import msgspec
import pytest
from processed import price, read_record
from records import NOVA, NOW, PROFILE_ARN, converse, failed, message, metadata_only

from bedrock_quota.model_ids import Reference
from bedrock_quota.pools import EndpointType
from bedrock_quota.processor.records import Identity
from bedrock_quota.processor.step_budget import StepBudget
from bedrock_quota.processor.trimming import MAX_PATH, trim_record
from bedrock_quota.processor.usage import UsageCalculator
from bedrock_quota.registry.models import Registry

LONG = "x" * 100_000
ROLE = "arn:aws:sts::111122223333:assumed-role"
ROUTER = "arn:aws:bedrock:us-east-1:111122223333:prompt-router/abc"
LLAMA = "meta.llama3-1-70b-instruct-v1:0"
WORDS = "the words of an answer, up to 64 characters of it"


def asked(request: dict[str, Any], model_id: str = NOVA, **changes: Any) -> dict[str, Any]:
    """A call of a request in the log."""
    return converse(model_id, input={"inputTokenCount": 100, "inputBodyJson": request}, **changes)


def answered(
    answer: dict[str, Any], model_id: str = NOVA, *, request: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """A call with an answer in the log."""
    return asked(request or {}, model_id, output={"outputTokenCount": 20, "outputBodyJson": answer}, **changes)


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
        pytest.param(answered({"stopReason": "max_tokens"}), id="cut"),
        pytest.param(answered({"stopReason": WORDS, "choices": [{"finish_reason": "LENGTH"}]}), id="one text cut"),
        pytest.param(answered({"stopReason": WORDS}), id="ended with words"),
        pytest.param(answered({"service_tier": "Flex"}), id="known tier"),
        pytest.param(answered({"serviceTier": {"type": "reserved"}}), id="reserved tier"),
        pytest.param(answered({"service_tier": "gold"}), id="unknown tier"),
        pytest.param(answered({"service_tier": WORDS}), id="words as tier"),
        pytest.param(answered({"service_tier": " "}), id="blank tier"),
        pytest.param(answered({"performanceConfig": {"latency": "Optimized"}}, LLAMA), id="served with low latency"),
        pytest.param(answered({"performanceConfig": {"latency": WORDS}}, f"{LLAMA}+latency-optimized"), id="words"),
        pytest.param(answered({"performanceConfig": {"latency": ""}}, f"{LLAMA}+latency-optimized"), id="no latency"),
        pytest.param(answered({"trace": {"promptRouter": {"invokedModelId": NOVA}}}, ROUTER), id="prompt router"),
        pytest.param(answered({"trace": {"promptRouter": {"invokedModelId": WORDS}}}), id="router that is none"),
        pytest.param(asked({"serviceTier": {"type": "priority"}}), id="tier asked for"),
        pytest.param(asked({"service_tier": WORDS, "serviceTier": {"type": " "}}), id="words asked for as tier"),
        pytest.param(asked({"performanceConfig": {"latency": "optimized"}}, LLAMA), id="low latency asked for"),
        pytest.param(asked({"performanceConfig": {"latency": WORDS}}, LLAMA), id="words asked for as latency"),
        pytest.param(asked({"projectIdentifier": f"arn:aws:bedrock:us-east-1:1:project/{WORDS}é"}), id="project"),
        pytest.param(asked({"projectIdentifier": "p" * 2_000}), id="long project"),
        pytest.param(asked({"inferenceConfig": {"maxTokens": 7}, "serviceTier": "flex"}), id="limit asked for"),
        pytest.param(
            answered({"service_tier": "default"}, request={"service_tier": "priority"}), id="served by another tier"
        ),
        pytest.param(
            answered({"performanceConfig": {"latency": "standard"}}, LLAMA, performanceConfig={"latency": "optimized"}),
            id="served with standard latency",
        ),
        pytest.param(failed(code=WORDS), id="words as error code"),
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
    trimmed = trim_record(record, calculator.metadata_keys, with_session=calculator.with_sessions)
    # then
    assert price(calculator, trimmed, NOW) == price(calculator, record, NOW)
    encoded = msgspec.json.encode(trimmed)
    assert len(encoded) < 2_500
    assert WORDS not in encoded.decode() or WORDS in str(price(calculator, record, NOW))  # as a project


@pytest.mark.parametrize("with_session", [False, True], ids=["role", "session"])
@pytest.mark.parametrize(
    ("arn", "caller", "session"),
    [
        pytest.param(f"{ROLE}/Reports/a@b.c", "Reports", "/a@b.c", id="session"),
        pytest.param(f"{ROLE}/Reports/a/b", "Reports", "/a/b", id="slash in a session"),
        pytest.param(f"{ROLE}/Reports", "Reports", "", id="no session"),
        pytest.param("arn:aws:iam::1:user/path/jo", "jo", "", id="user"),
        pytest.param("arn:aws:iam::1:root", "root", "", id="root"),
        pytest.param("arn:aws:sts::1:federated-user/jo", "jo", "", id="federated user"),
        pytest.param(f"arn:aws:iam::1:user/{'é' * 300}", "?" * 253 + "...", "", id="long user"),
        pytest.param("no ARN", "unknown", "", id="no ARN"),
        pytest.param("", "unknown", "", id="empty"),
    ],
)
def test_a_trimmed_arn_names_the_caller_alone(
    registry: Registry, arn: str, caller: str, session: str, with_session: bool
) -> None:
    calculator = UsageCalculator(registry, lambda _profile: None, with_sessions=with_session)
    record = read_record(message(converse(identity={"arn": arn})), StepBudget())
    trimmed = trim_record(record, (), with_session=with_session)
    assert trimmed.identity == Identity(f"arn:aws:sts:::assumed-role/{caller}{session if with_session else ''}")
    assert price(calculator, trimmed, NOW) == price(calculator, record, NOW)


def test_a_record_without_an_arn_names_none() -> None:
    for identity in (None, Identity()):
        record = msgspec.structs.replace(read_record(message(converse()), StepBudget()), identity=identity)
        assert trim_record(record, (), with_session=True).identity == identity


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        pytest.param("500", {"max_tokens": "500"}, id="a limit"),
        pytest.param("the words of a prompt", {}, id="words"),
        pytest.param("0", {}, id="zero"),
        pytest.param("9" * 300, {}, id="too large"),
    ],
)
def test_only_a_declared_limit_is_kept_of_its_tag(text: str, kept: dict[str, str]) -> None:
    record = read_record(message(converse(requestMetadata={"max_tokens": text})))
    assert trim_record(record, (), with_session=False).request_metadata == kept
    assert trim_record(record, ("max_tokens",), with_session=False).request_metadata == {"max_tokens": text[:257]}


def test_a_path_that_is_not_read_is_not_kept() -> None:
    for length, kept in ((MAX_PATH, True), (MAX_PATH + 1, False)):
        path = "s3://b/".ljust(length, "x")
        record = read_record(message(converse(input={"inputTokenCount": 1, "inputBodyS3Path": path})))
        trimmed = trim_record(record, (), with_session=False)
        assert trimmed.input.body_s3_path == (path if kept else None)
