"""Emptying a bucket, on moto's S3: versions, delete markers, unfinished uploads, page after page."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT_ID
from moto.s3.models import s3_backends

from bedrock_quota.deployment.bucket_emptying import EmptyingError, empty_bucket

pytestmark = pytest.mark.usefixtures("no_aws")


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="kept")
        yield client


def plenty() -> float:
    return 600.0


def fill(objects: int) -> None:
    """Put objects into moto's store itself: a thousand requests through boto3 take seconds."""
    store = s3_backends[ACCOUNT_ID]["aws"]
    for number in range(objects):
        store.put_object("kept", f"key-{number}", b"x")


def left(s3: Any) -> list[Any]:
    found = s3.list_object_versions(Bucket="kept")
    uploads = s3.list_multipart_uploads(Bucket="kept").get("Uploads", [])
    return [*found.get("Versions", []), *found.get("DeleteMarkers", []), *uploads]


def test_more_than_one_page_of_objects_goes(s3: Any) -> None:
    fill(1_001)

    assert empty_bucket(s3, "kept", plenty) == 1_001
    assert left(s3) == []


def test_versions_and_delete_markers_go(s3: Any) -> None:
    s3.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Enabled"})
    for _ in range(3):
        s3.put_object(Bucket="kept", Key="key", Body=b"x")
    s3.delete_object(Bucket="kept", Key="key")

    assert empty_bucket(s3, "kept", plenty) == 4
    assert left(s3) == []
    s3.delete_bucket(Bucket="kept")


def test_uploads_that_were_never_completed_go(s3: Any) -> None:
    for key in ("a", "b"):
        s3.create_multipart_upload(Bucket="kept", Key=key)

    assert empty_bucket(s3, "kept", plenty) == 2
    assert left(s3) == []


def test_empty_bucket_and_one_that_is_gone_are_empty(s3: Any) -> None:
    assert empty_bucket(s3, "kept", plenty) == 0
    assert empty_bucket(s3, "gone", plenty) == 0


def test_it_stops_in_time_and_goes_on_where_it_was(s3: Any) -> None:
    # given two pages, and time for one
    fill(1_001)
    seconds = iter([61.0, 59.0])

    with pytest.raises(
        EmptyingError, match=r"Deleted 1,000 objects from kept, but it has more\. Delete the stack again"
    ):
        empty_bucket(s3, "kept", lambda: next(seconds))

    assert len(left(s3)) == 1
    assert empty_bucket(s3, "kept", plenty) == 1


def test_it_stops_in_time_among_uploads_too(s3: Any) -> None:
    for key in ("a", "b"):
        s3.create_multipart_upload(Bucket="kept", Key=key)
    seconds = iter([61.0, 59.0])

    with pytest.raises(EmptyingError, match="Deleted 1 objects from kept, but it has more"):
        empty_bucket(s3, "kept", lambda: next(seconds))

    assert len(left(s3)) == 1


def test_objects_that_s3_keeps_are_told() -> None:
    client: Any = boto3.client("s3", region_name="us-east-1")
    with Stubber(client) as stub:
        version = {"Key": "locked", "VersionId": "v1"}
        stub.add_response("list_object_versions", {"Versions": [version]})
        stub.add_response("delete_objects", {"Errors": [{"Key": "locked", "Code": "AccessDenied"}]})

        with pytest.raises(EmptyingError, match=r"S3 did not delete 1 objects of kept .first error: AccessDenied."):
            empty_bucket(client, "kept", plenty)
