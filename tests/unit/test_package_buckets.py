"""Buckets of `quota-monitor package` are looked at before anything is built."""

from typing import Any

import boto3
import click
import pytest
from botocore.stub import Stubber

from quota_monitor.deployment.package import check_bucket

pytestmark = pytest.mark.usefixtures("no_aws")


class Session:
    """A session whose S3 answers once."""

    profile_name = "default"

    def __init__(self, client: Any) -> None:
        self.client = lambda _name: client


def check(add: Any, region: str = "us-east-1") -> None:
    client = boto3.client("s3")
    with Stubber(client) as stubber:
        add(stubber)
        check_bucket(Session(client), f"code-{region}", region)  # type: ignore[arg-type]


def headers(region: str) -> dict[str, Any]:
    return {"ResponseMetadata": {"HTTPHeaders": {"x-amz-bucket-region": region}}}


def test_a_bucket_in_its_region_is_right() -> None:
    check(lambda stubber: stubber.add_response("head_bucket", headers("us-east-1")))


@pytest.mark.parametrize(
    ("region", "command"),
    [
        ("us-east-1", "aws s3api create-bucket --bucket code-us-east-1 --region us-east-1"),
        (
            "eu-west-1",
            "aws s3api create-bucket --bucket code-eu-west-1 --region eu-west-1 --create-bucket-configuration "
            "LocationConstraint=eu-west-1",
        ),
    ],
    ids=["us-east-1", "another Region"],
)
def test_a_bucket_that_does_not_exist_comes_with_the_command_that_creates_it(region: str, command: str) -> None:
    with pytest.raises(click.UsageError) as raised:
        check(lambda stubber: stubber.add_client_error("head_bucket", "404", http_status_code=404), region)

    assert raised.value.message == f"There is no bucket code-{region}. Create it:\n  {command}"


def test_a_bucket_elsewhere_is_refused() -> None:
    with pytest.raises(click.UsageError, match="The bucket code-us-east-1 is in eu-west-1"):
        check(lambda stubber: stubber.add_response("head_bucket", headers("eu-west-1")))


def test_credentials_that_may_only_write_go_on() -> None:
    check(lambda stubber: stubber.add_client_error("head_bucket", "403", http_status_code=403))
