"""A session with AWS: the options that select the account, the Region and the stack, and reading that stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING

import click
import msgspec
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from bedrock_quota.access_denied import is_denied
from quota_monitor.terminal import COULD_NOT_LOOK, errors_as_messages

if TYPE_CHECKING:
    import boto3


class Stack(msgspec.Struct, frozen=True):
    """A deployed stack. `resources` and `types` hold physical ids and resource types by logical id.

    `created` is when its creation began.
    """

    name: str
    arn: str
    status: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]
    resources: Mapping[str, str]
    types: Mapping[str, str] = {}
    created: datetime | None = None

    def logical_ids(self, resource_type: str) -> tuple[str, ...]:
        """Return the logical ids of the resources of one type."""
        return tuple(name for name, found in self.types.items() if found == resource_type)

    @property
    def partition(self) -> str:
        """Return the partition, such as `aws`."""
        return self.arn.split(":")[1]

    @property
    def region(self) -> str:
        """Return the Region."""
        return self.arn.split(":")[3]

    @property
    def account(self) -> str:
        """Return the account id."""
        return self.arn.split(":")[4]

    @property
    def bedrock_arn_prefix(self) -> str:
        """Return the prefix of Bedrock ARNs in this account and Region."""
        return f"arn:{self.partition}:bedrock:{self.region}:{self.account}"

    def role_arn(self, name: str) -> str:
        """Return the ARN of a role that this stack created."""
        return f"arn:{self.partition}:iam::{self.account}:role/{name}"

    def bucket_arn(self, name: str) -> str:
        """Return the ARN of a bucket, or of an object in it."""
        return f"arn:{self.partition}:s3:::{name}"

    def log_group_arn(self, group: str) -> str:
        """Return the ARN of a log group, in the form that CloudWatch Logs uses as a source ARN."""
        return f"arn:{self.partition}:logs:{self.region}:{self.account}:log-group:{group}:*"


def open_session(profile: str | None, region: str | None) -> boto3.Session:
    """Return a session with AWS. Propagates botocore errors."""
    import boto3  # noqa: PLC0415 - half a second of CPU, which `--help` does not need

    return boto3.Session(profile_name=profile, region_name=region)


def read_stack(session: boto3.Session, name: str) -> Stack:
    """Read a deployed stack. Propagates botocore errors."""
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
        created=found.get("CreationTime"),
    )


def physical_id(session: boto3.Session, stack_name: str, logical_id: str) -> str:
    """Return the physical id of one resource of a stack. Propagates botocore errors."""
    found = session.client("cloudformation").describe_stack_resource(StackName=stack_name, LogicalResourceId=logical_id)
    return found["StackResourceDetail"]["PhysicalResourceId"]


def stack_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select a deployed stack."""
    for option in (
        click.option("--region", help="AWS Region of the stack."),
        click.option("--profile", help="AWS profile."),
        click.option("--stack-name", default="bedrock-quota-monitor", show_default=True, help="Name of the stack."),
    ):
        command = option(command)
    return command


def aws_errors_as_messages() -> AbstractContextManager[None]:
    """Print errors of AWS and of botocore as one message with the next step. The exit code is 3."""
    return errors_as_messages(BotoCoreError, ClientError, exit_code=COULD_NOT_LOOK, explain=explain_aws_error)


_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
_UNKNOWN = frozenset({"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "AuthFailure"})
_RENEWAL_ERRORS = (CredentialRetrievalError, SSOError, TokenRetrievalError)
_SIGN_IN = "Sign in, for example with `aws sso login`, and run the command again."


def is_expired(error: Exception) -> bool:
    """Return True if the session has expired, or AWS does not know the credentials. No further call can succeed."""
    if isinstance(error, ClientError):
        return error.response["Error"].get("Code") in _EXPIRED | _UNKNOWN
    return isinstance(error, (NoCredentialsError, *_RENEWAL_ERRORS))


def explain_aws_error(error: Exception) -> str:
    """Return an error of AWS or of botocore in words, with the next step if there is one for sure."""
    if isinstance(error, ClientError):
        return _explain_answer(error)
    for kinds, sentence in _SENTENCES:
        if isinstance(error, kinds):
            return sentence.format(error=error)
    return str(error)


_SENTENCES: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    (
        (NoCredentialsError, PartialCredentialsError),
        f"There are no AWS credentials. {_SIGN_IN} Or set AWS_PROFILE to a profile that has some.",
    ),
    ((NoRegionError,), "There is no AWS Region. Set AWS_REGION, or set one in your profile with `aws configure`."),
    ((ProfileNotFound,), "{error}. `aws configure list-profiles` lists the profiles that exist."),
    ((EndpointConnectionError,), "{error} Check the name of the Region, and your network."),
    (_RENEWAL_ERRORS, f"The AWS session cannot be renewed. {_SIGN_IN} {{error}}"),
)


def _explain_answer(error: ClientError) -> str:
    code, said = error.response["Error"].get("Code"), error.response["Error"].get("Message", "")
    if code in _EXPIRED:
        return f"The AWS session has expired. {_SIGN_IN}"
    if code in _UNKNOWN:
        return f"AWS does not accept these credentials ({code}). {_SIGN_IN}"
    if is_denied(error):
        return f"These credentials may not call {error.operation_name}. Ask for that right. AWS returned: {said}"
    return str(error)
