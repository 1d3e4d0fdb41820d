"""A deployed stack: the options that name it, and what CloudFormation knows of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
import msgspec
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    import boto3


class Stack(msgspec.Struct, frozen=True):
    """A stack: its ARN, parameters and outputs, and physical id and type of each of its resources by logical id."""

    name: str
    arn: str
    status: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]
    resources: Mapping[str, str]
    types: Mapping[str, str] = {}

    def of_type(self, resource_type: str) -> tuple[str, ...]:
        """Logical ids of the resources of one type."""
        return tuple(name for name, found in self.types.items() if found == resource_type)

    @property
    def partition(self) -> str:
        """The partition, such as `aws`."""
        return self.arn.split(":")[1]

    @property
    def region(self) -> str:
        """The Region."""
        return self.arn.split(":")[3]

    @property
    def account(self) -> str:
        """The account's number."""
        return self.arn.split(":")[4]

    @property
    def bedrock(self) -> str:
        """How ARNs of Bedrock's resources in this account and Region begin."""
        return f"arn:{self.partition}:bedrock:{self.region}:{self.account}"

    def arn_of_role(self, name: str) -> str:
        """ARN of a role that this stack made."""
        return f"arn:{self.partition}:iam::{self.account}:role/{name}"

    def arn_of_bucket(self, name: str) -> str:
        """ARN of a bucket, or of what is in it."""
        return f"arn:{self.partition}:s3:::{name}"

    def arn_of_log_group(self, group: str) -> str:
        """ARN of a log group of this account and Region, as CloudWatch Logs gives it as a source."""
        return f"arn:{self.partition}:logs:{self.region}:{self.account}:log-group:{group}:*"


def read(session: boto3.Session, name: str) -> Stack:
    """Read a deployed stack. Raises what botocore raises."""
    client = session.client("cloudformation")
    (found,) = client.describe_stacks(StackName=name)["Stacks"]
    resources = [
        each
        for page in client.get_paginator("list_stack_resources").paginate(StackName=name)
        for each in page["StackResourceSummaries"]
        if "PhysicalResourceId" in each and each["ResourceStatus"] != "DELETE_COMPLETE"
    ]
    return Stack(
        name=found["StackName"],
        arn=found["StackId"],
        status=found["StackStatus"],
        parameters={each["ParameterKey"]: each.get("ParameterValue", "") for each in found.get("Parameters", [])},
        outputs={each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])},
        resources={each["LogicalResourceId"]: each["PhysicalResourceId"] for each in resources},
        types={each["LogicalResourceId"]: each["ResourceType"] for each in resources},
    )


def of_a_stack(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which deployed stack it is about."""
    for option in (
        click.option("--region", help="AWS Region of the stack."),
        click.option("--profile", help="AWS profile."),
        click.option("--stack-name", default="bedrock-quota-monitor", show_default=True, help="Name of the stack."),
    ):
        command = option(command)
    return command


@contextmanager
def explained() -> Iterator[None]:
    """Errors of AWS as a message instead of a traceback."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise click.ClickException(str(error)) from error
