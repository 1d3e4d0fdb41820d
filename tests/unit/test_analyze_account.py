"""An account's own facts, bodies in S3, and the IAM policy: what a missing right costs, and what it says."""

import fnmatch
import gzip
import json
from collections.abc import Mapping
from typing import Any

import click
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from fake_aws import ACCOUNT, EXPIRED, SONNET_QUOTA, Answer, AwsError, FakeAws, denied, s3_bucket, s3_object
from records import PROFILE_ARN, SONNET

from bedrock_quota.model_ids import UNRESOLVED, ApplicationProfile, Reference, parse_model_id
from bedrock_quota.pools import EndpointType, QuotaPool
from bedrock_quota.processor.look_up import MissingBody
from bedrock_quota.processor.records import RequestBody
from bedrock_quota.registry.models import Registry
from quota_monitor.analyze import account, bodies
from quota_monitor.analyze.account import Profiles, read_account
from quota_monitor.analyze.bodies import make_fetch
from quota_monitor.analyze.policy import write_policy

pytestmark = pytest.mark.usefixtures("no_aws")

POOL = QuotaPool(SONNET, EndpointType.REGIONAL)


def read(registry: Registry, **answers: Answer) -> account.Account:
    return read_account(FakeAws({**ACCOUNT, **answers}).session, registry)


def test_quotas_and_profiles_of_an_account(registry: Registry) -> None:
    applied = {**SONNET_QUOTA, "Value": 2_000.0}
    summary = {
        "inferenceProfileName": "p",
        "inferenceProfileArn": PROFILE_ARN,
        "inferenceProfileId": "a1b2c3d4e5f6",
        "models": [{"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET}"}],
        "status": "ACTIVE",
        "type": "APPLICATION",
    }

    found = read(
        registry,
        ListServiceQuotas={"Quotas": [applied]},
        ListInferenceProfiles={"inferenceProfileSummaries": [summary]},
    )

    assert (found.account_id, found.region, found.notes) == ("111122223333", "us-east-1", ())
    assert found.quotas[POOL].tokens_per_minute == 2_000
    assert found.profiles == {PROFILE_ARN: Reference(SONNET, EndpointType.REGIONAL)}


@pytest.mark.parametrize("operation", ["ListServiceQuotas", "ListAWSDefaultServiceQuotas"])
def test_without_the_right_to_list_quotas_there_are_no_percentages(registry: Registry, operation: str) -> None:
    found = read(registry, **{operation: denied(f"servicequotas:{operation}")})

    assert found.quotas == {}
    assert found.notes == (
        "There are no percentages without the quotas, because these credentials may not list them "
        "(servicequotas:ListServiceQuotas and servicequotas:ListAWSDefaultServiceQuotas).",
    )


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"Quotas": []}, id="Region without quotas"),
        pytest.param(EndpointConnectionError(endpoint_url="https://servicequotas"), id="Region without Service Quotas"),
    ],
)
def test_quotas_that_cannot_be_listed_cost_only_percentages(registry: Registry, answer: Answer) -> None:
    found = read(registry, ListServiceQuotas=answer, ListAWSDefaultServiceQuotas=answer)

    assert found.quotas == {}
    assert [note.partition(":")[0] for note in found.notes] == ["There are no percentages without the quotas"]


def test_without_the_right_to_list_profiles_it_says_so(registry: Registry) -> None:
    found = read(registry, ListInferenceProfiles=denied("bedrock:ListInferenceProfiles"))

    assert found.notes == (
        "Calls through application inference profiles may be out of scope, because these credentials may not list them "
        "(bedrock:ListInferenceProfiles).",
    )


@pytest.mark.parametrize("operation", list(ACCOUNT))
def test_an_expired_session_is_an_error_wherever_it_shows(registry: Registry, operation: str) -> None:
    with pytest.raises(ClientError, match="ExpiredToken"):
        read(registry, **{operation: EXPIRED})


# ---------------------------------------------------------------- application profiles


def profile(arn: str = PROFILE_ARN) -> ApplicationProfile:
    found = parse_model_id(arn, frozenset())
    assert isinstance(found, ApplicationProfile)
    return found


def test_a_profile_that_is_not_listed_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "MAX_PROFILES", 2)
    aws = FakeAws({"GetInferenceProfile": AwsError("ResourceNotFoundException")})
    profiles = Profiles({}, aws.session.client("bedrock"))
    arns = [PROFILE_ARN[:-1] + digit for digit in "001234"]

    assert {profiles.resolve(profile(arn)) for arn in arns} == {UNRESOLVED}
    assert len(aws.calls) == 2


def test_profiles_of_another_account_are_not_asked_for() -> None:
    assert Profiles({}, None).resolve(profile()) is UNRESOLVED


# ---------------------------------------------------------------- bodies in S3

BODY = gzip.compress(b'{"max_tokens": 900}')


def fetch(answers: Mapping[str, Any], *paths: str) -> tuple[Mapping[str, RequestBody], Mapping[str, MissingBody], int]:
    aws = FakeAws(answers)
    found = make_fetch(aws.session.client("s3"))(paths)
    return found.found, found.missing, len(aws.calls)


def test_bodies_are_read_or_missing_with_the_reason() -> None:
    objects = {"there": BODY, "plain": b'{"max_tokens": 900}', "list": gzip.compress(b"[]")}

    found, missing, _ = fetch(
        s3_bucket(objects), "s3://b/there", "s3://b/absent", "s3://b/plain", "s3://b/list", "no path"
    )

    assert {path: body.max_tokens for path, body in found.items()} == {"s3://b/there": 900}
    assert {path: each.reason for path, each in missing.items()} == {
        "s3://b/absent": "NoSuchKey",
        "s3://b/plain": "not_gzip",
        "s3://b/list": "not_an_object",
        "no path": "another_bucket",
    }


def test_after_some_refusals_in_a_row_no_more_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "PARALLEL_READS", 1)

    _, missing, calls = fetch({"GetObject": denied("s3:GetObject")}, *(f"s3://b/{number}" for number in range(100)))

    assert calls == bodies.MAX_REFUSALS
    assert {each.reason for each in missing.values()} == {"AccessDeniedException"}
    assert len(missing) == 100


def test_a_body_that_is_there_ends_a_row_of_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "PARALLEL_READS", 1)

    def get(given: Mapping[str, Any]) -> Answer:
        return s3_object(BODY) if given["Key"].endswith("0") else AwsError("NoSuchKey")

    _, _, calls = fetch({"GetObject": get}, *(f"s3://b/{number}" for number in range(100)))

    assert calls == 100


def test_an_expired_session_ends_the_reading_of_bodies() -> None:
    with pytest.raises(ClientError, match="ExpiredToken"):
        fetch({"GetObject": AwsError("ExpiredToken")}, "s3://b/1")


# ---------------------------------------------------------------- the policy

NOTHING = {**dict.fromkeys(("files", "bucket", "log_group", "whole_records")), "profiles": (), "regions": ()}

ACTIONS = {"ListObjectsV2": "s3:ListBucket"}
"""Operations whose right has another name."""


def allowed(policy: str) -> dict[str, list[str]]:
    """Return the resources of each action."""
    found: dict[str, list[str]] = {}
    for statement in json.loads(policy)["Statement"]:
        resource = statement["Resource"]
        for action in statement["Action"]:
            found.setdefault(action, []).extend([resource] if isinstance(resource, str) else resource)
    return found


def test_the_policy_of_a_log_group_covers_that_group_alone() -> None:
    found = allowed(write_policy(NOTHING | {"log_group": "/mine", "regions": ("us-east-1", "eu-west-1")}))

    assert found["logs:StartQuery"] == [
        "arn:aws:logs:us-east-1:*:log-group:/mine",
        "arn:aws:logs:eu-west-1:*:log-group:/mine",
        "arn:aws:logs:us-east-1:*:log-group:/mine:*",
        "arn:aws:logs:eu-west-1:*:log-group:/mine:*",
    ]
    assert found["s3:GetObject"] == ["arn:aws:s3:::*/AWSLogs/*/BedrockModelInvocationLogs/*"]
    assert "bedrock:GetModelInvocationLoggingConfiguration" not in found
    assert not [action for action in found if "*" in action or "Put" in action or "Create" in action]


@pytest.mark.parametrize(
    ("place", "objects", "prefixes"),
    [
        pytest.param("s3://logs", "arn:aws:s3:::logs/*", None, id="whole bucket"),
        pytest.param("s3://logs/a/b/", "arn:aws:s3:::logs/a/b/*", ["a/b", "a/b/*"], id="prefix"),
    ],
)
def test_the_policy_of_a_bucket_covers_a_prefix_alone(place: str, objects: str, prefixes: list[str] | None) -> None:
    policy = write_policy(NOTHING | {"bucket": place})

    (listing,) = [each for each in json.loads(policy)["Statement"] if each["Action"] == ["s3:ListBucket"]]
    assert listing["Resource"] == "arn:aws:s3:::logs"
    assert listing.get("Condition") == (prefixes and {"StringLike": {"s3:prefix": prefixes}})
    assert objects in allowed(policy)["s3:GetObject"]
    assert not [action for action in allowed(policy) if action.startswith("logs:")]


def test_local_files_need_no_right() -> None:
    assert json.loads(write_policy(NOTHING | {"files": ["a"]}))["Statement"] == []


@pytest.mark.parametrize(
    ("region", "partition"),
    [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("us-east-1", "aws"), ("", "aws")],
    ids=["China", "GovCloud", "commercial", "none"],
)
def test_the_policy_is_for_the_partition_of_its_regions(region: str, partition: str) -> None:
    policy = write_policy(NOTHING | {"log_group": "/mine", "regions": (region,) if region else ()})

    assert allowed(policy)["logs:StartQuery"][0].startswith(f"arn:{partition}:logs:{region or '*'}:")


def test_a_place_that_is_none_in_s3_has_no_policy() -> None:
    with pytest.raises(click.UsageError):
        write_policy(NOTHING | {"bucket": "logs"})


def permits(policy: str, action: str, resource: str) -> bool:
    return any(fnmatch.fnmatchcase(resource, each) for each in allowed(policy).get(action, []))


def test_the_policy_reaches_no_other_object() -> None:
    policy = write_policy(NOTHING | {"bucket": "s3://logs/a"})

    assert permits(policy, "s3:GetObject", "arn:aws:s3:::logs/a/AWSLogs/1/x")
    assert not permits(policy, "s3:GetObject", "arn:aws:s3:::logs/b/AWSLogs/1/x")
    assert permits(policy, "s3:GetObject", "arn:aws:s3:::bodies/p/AWSLogs/1/BedrockModelInvocationLogs/r/data/1.gz")
    assert not permits(policy, "s3:GetObject", "arn:aws:s3:::bodies/secret.txt")
