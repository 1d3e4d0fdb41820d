"""Invocation logs in S3: finding the folders, listing the hours, and reading objects that may be damaged."""

import gzip
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click
import pytest
from botocore.exceptions import ClientError
from fake_aws import ACCOUNT, EXPIRED, AwsError, FakeAws, denied, s3_bucket
from records import MINUTE, converse

from bedrock_quota.errors import LogSourceError
from bedrock_quota.log_sources import s3
from bedrock_quota.log_sources.s3 import LogFolder, LogObject
from bedrock_quota.registry.models import Registry
from quota_monitor.analyze import bucket
from quota_monitor.analyze.bucket import open_bucket
from quota_monitor.analyze.reader import RecordReader
from quota_monitor.analyze.scope import Scope
from quota_monitor.window import Window

pytestmark = pytest.mark.usefixtures("no_aws")

OWN, OTHER = "111122223333", "444455556666"
HOUR = Window(MINUTE, MINUTE + 3_600)  # 12:00 to 13:00


def folder(account: str = OWN, region: str = "us-east-1", prefix: str = "") -> str:
    return f"{prefix}AWSLogs/{account}/BedrockModelInvocationLogs/{region}/"


def content(*entries: Mapping[str, Any]) -> bytes:
    return gzip.compress("\n".join(map(json.dumps, entries)).encode())


CALL = content(converse())


def find(keys: Sequence[str], prefix: str = "") -> list[tuple[str, str, str]]:
    client = FakeAws(s3_bucket(dict.fromkeys(keys, CALL))).session.client("s3")
    return [(each.account, each.region, each.prefix) for each in s3.find_folders(client, "logs", prefix)]


# ---------------------------------------------------------------- folders


@pytest.mark.parametrize(
    ("key_prefix", "place"),
    [
        pytest.param("", "", id="no key prefix"),
        pytest.param("bedrock/", "bedrock", id="key prefix"),
        pytest.param("bedrock/", "bedrock/", id="key prefix with a slash"),
        pytest.param("team/bedrock/", "", id="key prefix of two folders, not named"),
        pytest.param("", "AWSLogs", id="folder of all accounts"),
        pytest.param("", f"AWSLogs/{OWN}/", id="folder of an account"),
        pytest.param("", f"AWSLogs/{OWN}/BedrockModelInvocationLogs", id="folder of Bedrock"),
        pytest.param("bedrock/", folder(prefix="bedrock/"), id="folder of a Region"),
        pytest.param("bedrock/", folder(prefix="bedrock/").rstrip("/"), id="folder of a Region without a slash"),
        pytest.param("", folder() + "2026/11/23/12/", id="folder of an hour"),
    ],
)
def test_logs_are_found_at_or_below_a_place(key_prefix: str, place: str) -> None:
    key = folder(prefix=key_prefix) + "2026/11/23/12/a.json.gz"

    assert find([key], place) == [(OWN, "us-east-1", folder(prefix=key_prefix))]


def test_accounts_and_regions_stay_apart() -> None:
    folders = [folder(account, region) for account in (OWN, OTHER) for region in ("eu-west-1", "us-east-1")]

    found = find([f"{each}2026/11/23/12/a.json.gz" for each in folders])

    assert [prefix for _, _, prefix in found] == folders


def test_logs_of_other_services_are_not_looked_through() -> None:
    trails = [f"AWSLogs/{OWN}/CloudTrail/us-east-1/2026/11/{day:02}/x.json.gz" for day in range(1, 29)]
    aws = FakeAws(s3_bucket(dict.fromkeys([*trails, f"{folder()}2026/11/23/12/a.json.gz"], CALL)))

    found = s3.find_folders(aws.session.client("s3"), "logs")

    assert [each.region for each in found] == ["us-east-1"]
    assert len(aws.calls) == 4  # the bucket, AWSLogs/, the account and Bedrock's folder


def test_a_bucket_with_too_many_folders_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "MAX_FOLDERS", 5)

    with pytest.raises(LogSourceError, match=r"has too many folders\. Name the one with AWSLogs/ in it"):
        find([f"{number}/a" for number in range(6)])


# ---------------------------------------------------------------- objects


def list_keys(*keys: str, start: str = "12:10", end: str = "12:50") -> list[str]:
    objects = {f"{folder()}2026/11/23/{key}": b"" if key.endswith("empty") else CALL for key in keys}
    client = FakeAws(s3_bucket(objects)).session.client("s3")
    first, last = (datetime.fromisoformat(f"2026-11-23T{time}:00+00:00") for time in (start, end))
    found = s3.list_objects(client, LogFolder(OWN, "us-east-1", "logs", folder()), first, last)
    return [item.key.removeprefix(f"{folder()}2026/11/23/") for item in found]


def test_objects_of_the_window_and_of_the_hour_after_it_are_listed() -> None:
    hours = [f"{hour}/a.json.gz" for hour in (11, 12, 13, 14)]

    assert list_keys(*hours) == ["12/a.json.gz", "13/a.json.gz"]
    assert list_keys(*hours, start="11:59", end="12:00") == ["11/a.json.gz", "12/a.json.gz"]


def test_what_has_no_record_is_not_listed() -> None:
    names = (
        "12/b.json.gz",
        "12/data/1_input.json.gz",
        "12/amazon-bedrock-logs-permission-check",
        "12/empty",
        "12/sub/",
    )

    assert list_keys(*names) == ["12/b.json.gz"]


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(gzip.compress(b'{"a": 1}\n{"b": 2}\n'), id="gzip"),
        pytest.param(gzip.compress(b'{"a": 1}\n{"b"') + gzip.compress(b": 2}"), id="gzip of two members"),
        pytest.param(b'{"a": 1}\r\n\n{"b": 2}', id="not compressed"),
    ],
)
def test_lines_are_read_from_chunks_of_any_size(stored: bytes, size: int) -> None:
    chunks = [stored[first : first + size] for first in range(0, len(stored), size)]

    assert [json.loads(each) for each in s3.decode_messages(chunks, LogObject("b", "k", 1))] == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        pytest.param(CALL[:-5], r"s3://b/k is cut short", id="cut"),
        pytest.param(CALL[:20] + b"\xff" * 20, r"s3://b/k is damaged", id="damaged"),
        pytest.param(CALL + b"\x1f\x8b", r"s3://b/k is cut short", id="a second member that is cut"),
        pytest.param(
            gzip.compress(b"x" * 9_000_000), r"s3://b/k: a line has more than 8,388,608 bytes", id="long line"
        ),
    ],
)
def test_a_damaged_object_is_named(stored: bytes, reason: str) -> None:
    with pytest.raises(LogSourceError, match=reason):
        list(s3.decode_messages([stored], LogObject("b", "k", 1)))


# ---------------------------------------------------------------- the source


def read(registry: Registry, objects: Mapping[str, bytes], **options: Any) -> list[tuple[str, int, Sequence[str]]]:
    """Return the name, the answered calls and the notes of each source."""
    aws = FakeAws({**ACCOUNT, **s3_bucket(objects), **options.pop("answers", {})})
    found = []
    for source in open_bucket(aws.session, options.pop("place", "s3://logs"), registry, **options):
        reader, scope = RecordReader(registry, Scope(HOUR), fetch_bodies=source.fetch_bodies), Scope(HOUR)
        notes = source.read(reader, scope, lambda _share: None)
        reader.finish()
        found.append((source.account.account_id, reader.counts.answered, [*notes, *source.account.notes]))
    return found


def test_each_account_is_a_source_and_another_accounts_quotas_are_unknown(registry: Registry) -> None:
    objects = {f"{folder(account)}2026/11/23/12/a.json.gz": CALL for account in (OWN, OTHER)}

    assert read(registry, objects) == [
        (OWN, 1, []),
        (OTHER, 1, [f"There are no percentages, because these credentials do not belong to account {OTHER}."]),
    ]


def test_records_that_are_filed_in_the_next_hour_are_read(registry: Registry) -> None:
    late = {f"{folder()}2026/11/23/13/a.json.gz": content(converse(timestamp="2026-11-23T12:59:59Z"))}

    assert read(registry, late)[0][1] == 1


def test_a_damaged_object_costs_only_itself(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "MAX_NAMED", 1)
    objects = {
        f"{folder()}2026/11/23/12/{name}.json.gz": stored
        for name, stored in {"a": CALL, "b": content(converse(), converse())[:-5], "c": CALL, "d": b"\x1f\x8b"}.items()
    }

    ((_, answered, notes),) = read(registry, objects)

    assert answered == 3  # also the first record of the cut one
    assert notes == [
        f"s3://logs/{folder()}2026/11/23/12/b.json.gz is cut short. The records before that are counted.",
        "1 more object could not be read to the end.",
    ]


def test_a_large_object_is_read_in_pieces(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "MAX_READ_AHEAD_BYTES", 10)

    assert read(registry, {f"{folder()}2026/11/23/12/a.json.gz": CALL})[0][1] == 1


def test_an_object_that_is_deleted_meanwhile_is_named(registry: Registry) -> None:
    key = f"{folder()}2026/11/23/12/a.json.gz"

    ((_, answered, notes),) = read(registry, {key: CALL}, answers={"GetObject": AwsError("NoSuchKey")})

    assert (answered, notes) == (0, [f"s3://logs/{key} was deleted before it was read."])


@pytest.mark.parametrize("error", [denied("s3:GetObject"), EXPIRED], ids=["denied", "expired"])
def test_an_object_that_may_not_be_read_ends_it(registry: Registry, error: AwsError) -> None:
    with pytest.raises(ClientError):
        read(registry, {f"{folder()}2026/11/23/12/a.json.gz": CALL}, answers={"GetObject": error})


def test_regions_select_among_the_logs_of_a_bucket(registry: Registry) -> None:
    objects = {f"{folder(region=region)}2026/11/23/12/a.json.gz": CALL for region in ("eu-west-1", "us-east-1")}

    assert len(read(registry, objects, regions=["eu-west-1"])) == 1
    with pytest.raises(
        LogSourceError, match=r"no logs of us-west-2 at s3://logs\. It has those of eu-west-1, us-east-1"
    ):
        read(registry, objects, regions=["us-west-2"])


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        pytest.param({}, r"There are no invocation logs at s3://logs\. Bedrock writes them below", id="no logs"),
        pytest.param({"ListObjectsV2": AwsError("NoSuchBucket")}, "There is no bucket logs", id="no bucket"),
    ],
)
def test_a_bucket_without_logs_is_explained(registry: Registry, answers: Mapping[str, Any], message: str) -> None:
    with pytest.raises(LogSourceError, match=message):
        read(registry, {}, answers=answers)


@pytest.mark.parametrize("place", ["logs", "s3://", "s3:///prefix", "https://logs.s3.amazonaws.com", ""])
def test_a_place_that_is_none_in_s3_is_wrong_usage(registry: Registry, place: str) -> None:
    with pytest.raises(click.UsageError, match="--s3 takes s3://BUCKET or s3://BUCKET/PREFIX"):
        read(registry, {}, place=place)


def test_bodies_of_requests_are_read_from_their_bucket(registry: Registry) -> None:
    key = f"{folder()}2026/11/23/12/data/1_input.json.gz"
    call = converse(input={"inputTokenCount": 100, "inputBodyS3Path": f"s3://bodies/{key}"})
    objects = {
        key: gzip.compress(b'{"inferenceConfig": {"maxTokens": 900}}'),
        f"{folder()}2026/11/23/12/a.json.gz": content(call),
    }
    aws = FakeAws({**ACCOUNT, **s3_bucket(objects)})
    (source,) = open_bucket(aws.session, "s3://logs", registry)
    reader = RecordReader(registry, Scope(HOUR), fetch_bodies=source.fetch_bodies)

    source.read(reader, Scope(HOUR), lambda _share: None)
    reader.finish()

    (usage,) = reader.tally.measure({})
    assert [each.max_tokens for each in usage.callers[0].limits] == [900]
    assert [each["Bucket"] for each in aws.parameters("s3:GetObject")] == ["logs", "bodies"]
