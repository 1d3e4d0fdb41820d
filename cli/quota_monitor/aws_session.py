"""A session with AWS: the options that select the account, the Region and the stack, and reading that stack."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click
import msgspec
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as NoConnectionError
from click.core import ParameterSource

from bedrock_quota.access_denied import is_denied
from bedrock_quota.errors import QuotaMonitorError
from quota_monitor.aws_regions import check_region
from quota_monitor.program import own_command
from quota_monitor.terminal import COULD_NOT_LOOK, errors_as_messages

if TYPE_CHECKING:
    import boto3

    from quota_monitor.credentials import SharedCredentials


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


def open_session(
    profile: str | None, region: str | None, credentials: SharedCredentials | None = None
) -> boto3.Session:
    """Return a session with AWS. Without a Region it takes AWS_REGION, as the AWS CLI does and boto3 does not.

    `credentials` are those that the profile's sessions in several Regions share.

    Raises `click.UsageError` for a Region that does not exist. Propagates botocore errors.
    """
    import boto3  # noqa: PLC0415 - half a second of CPU, which `--help` does not need
    from botocore.session import get_session  # noqa: PLC0415 - as above

    core = get_session()
    if credentials is not None:
        credentials.share(core)
    session = boto3.Session(
        botocore_session=core, profile_name=profile, region_name=region or os.environ.get("AWS_REGION") or None
    )
    if session.region_name is not None:
        check_region(session.region_name)
    return session


def read_stack(session: boto3.Session, name: str) -> Stack:
    """Read a deployed stack. Raises `NoStackError`. Propagates botocore errors."""
    with _missing_stacks_named(session, name):
        return _read_stack(session, name)


def read_stack_if_any(session: boto3.Session, name: str) -> Stack | None:
    """Read a deployed stack. Return None, without a search of others, if there is none. Propagates botocore errors."""
    try:
        return _read_stack(session, name)
    except ClientError as error:
        if says_that_there_is_no_stack(error):
            return None
        raise


def _read_stack(session: boto3.Session, name: str) -> Stack:
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
    """Return the physical id of one resource of a stack. Raises `NoStackError`. Propagates botocore errors."""
    client = session.client("cloudformation")
    with _missing_stacks_named(session, stack_name):
        found = client.describe_stack_resource(StackName=stack_name, LogicalResourceId=logical_id)
    return found["StackResourceDetail"]["PhysicalResourceId"]


def says_that_there_is_no_stack(error: ClientError) -> bool:
    """Return True if CloudFormation says that a stack does not exist.

    It answers `ValidationError`, as for other faults of a request. Only the message tells them apart (API reference,
    DescribeStacks; SAM CLI 1.167, deployer.py, read 2026-11-28). The message about a missing resource has "for stack".
    """
    found = error.response["Error"]
    said = str(found.get("Message"))
    return found.get("Code") == "ValidationError" and "does not exist" in said and "for stack" not in said


@contextmanager
def _missing_stacks_named(session: boto3.Session, name: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if says_that_there_is_no_stack(error):
            raise NoStackError(_describe_missing_stack(session, name)) from error
        raise


MAX_STACK_PAGES = 10
"""Pages of stacks, of about 100 each, among which other deployments are searched."""


def _describe_missing_stack(session: boto3.Session, name: str) -> str:
    """Return where the stack is missing, and which stacks to name instead, as far as they can be read."""
    place, similar = f"in {session.region_name}", []
    with suppress(BotoCoreError, ClientError):
        place += f" of account {session.client('sts').get_caller_identity()['Account']}"
    with suppress(BotoCoreError, ClientError):
        pages = session.client("cloudformation").get_paginator("describe_stacks").paginate()
        similar = [
            stack["StackName"]
            for page in islice(pages, MAX_STACK_PAGES)
            for stack in page["Stacks"]
            if {each["OutputKey"] for each in stack.get("Outputs", [])} >= _OUTPUTS
        ]
    hint = f"Check {_name_option('--region')} and {_name_option('--profile')}, or deploy it first."
    if similar:
        hint = f"These look like the monitor: {', '.join(similar)}. Name one with --stack-name."
    return f"There is no stack {name} {place}. {hint}"


_OUTPUTS = {"InvocationLogGroupName", "AlarmTopicArn", "DashboardName"}
"""Outputs by which a stack of this monitor is recognized."""


DEFAULT_STACK_NAME = "bedrock-quota-monitor"


def stack_options(command: Callable[..., None], *, stack_name_help: str = "Name of the stack.") -> Callable[..., None]:
    """Add the options that select a deployed stack."""
    for option in (
        click.option("--region", help="AWS Region of the stack."),
        click.option("--profile", help="AWS profile."),
        click.option("--stack-name", default=DEFAULT_STACK_NAME, show_default=True, help=stack_name_help),
    ):
        command = option(command)
    return command


ANY = "*"
"""End of a name that stands for the only stack whose name begins so. No stack's name has this character."""

MAX_LISTED_PAGES = 50
"""Pages of ListStacks, of up to 100 stacks each. An account may have 2,000 stacks in a Region by default."""

MAX_NAMED = 5
"""Stacks that a message names."""


def find_stack_name(session: boto3.Session, name: str) -> str:
    """Return the name of a stack. One that ends with `*` stands for the only stack whose name begins so.

    Each stack of a stack set has a name of its own: `StackSet-NAME-GUID` (seen in public issues, read 2026-11-29).

    Raises `NoStackError`. Propagates botocore errors.
    """
    if not name.endswith(ANY):
        return name
    client, beginning = session.client("cloudformation"), name.removesuffix(ANY)
    shape: Any = client.meta.service_model.operation_model("ListStacks").input_shape
    existing = [each for each in shape.members["StackStatusFilter"].member.enum if each != "DELETE_COMPLETE"]
    pages = client.get_paginator("list_stacks").paginate(StackStatusFilter=existing)
    found = [
        stack["StackName"]
        for page in islice(pages, MAX_LISTED_PAGES)
        for stack in page["StackSummaries"]
        if stack["StackName"].startswith(beginning)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(sorted(found)[:MAX_NAMED])
        if len(found) > MAX_NAMED:
            names += f" and {len(found) - MAX_NAMED:,} more"
        raise NoStackError(
            f"{len(found):,} stacks in {session.region_name} match {name}: {names}. Name one with --stack-name."
        )
    raise NoStackError(
        f"No stack in {session.region_name} matches {name}. Check --stack-name, {_name_option('--region')} and "
        f"{_name_option('--profile')}, or deploy it first."
    )


class NoStackError(QuotaMonitorError):
    """There is no stack of this name. The message names those that look like the monitor."""


AWS_ERRORS = (BotoCoreError, ClientError, NoStackError)
"""Errors of AWS, of botocore, and of a stack that does not exist."""


def aws_errors_as_messages(
    *others: type[Exception], explain: Callable[[Exception], str] | None = None
) -> AbstractContextManager[None]:
    """Print errors of AWS, and others, as one message with the next step. The exit code is 3.

    Every command that talks to AWS uses this. `explain` returns the message, `explain_aws_error` by default.
    """
    return errors_as_messages(*AWS_ERRORS, *others, exit_code=COULD_NOT_LOOK, explain=explain or explain_aws_error)


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
    local = _find_unreachable_endpoint(error)
    if local:
        return (
            f"Nothing answers at {local}, so the local stack is not running. To start it, run "
            f"`{own_command('local', 'up')}`. To ask AWS instead, run `unset AWS_CONFIG_FILE AWS_PROFILE`."
        )
    for kinds, sentence in _SENTENCES:
        if isinstance(error, kinds):
            return sentence.format(error=error, profile=_name_option("--profile"), region=_name_option("--region"))
    return str(error)


_SENTENCES: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    (
        (NoCredentialsError, PartialCredentialsError),
        f"There are no AWS credentials. {_SIGN_IN} Or name a profile that has some with {{profile}}.",
    ),
    (
        (NoRegionError,),
        "There is no AWS Region. Name one with {region}, or set one in your profile with `aws configure`.",
    ),
    ((ProfileNotFound,), "{error}. `aws configure list-profiles` lists the profiles that exist."),
    (_RENEWAL_ERRORS, f"The AWS session cannot be renewed. {_SIGN_IN} {{error}}"),
    ((NoConnectionError, HTTPClientError), "{error}. Check your network, and run the command again."),
)


def find_local_endpoint(session: boto3.Session) -> str:
    """Return the endpoint of an emulator on this machine, or "" if a session is one of AWS."""
    return _keep_local(session.client("cloudformation").meta.endpoint_url)


def _find_unreachable_endpoint(error: Exception) -> str:
    """Return the endpoint on this machine that could not be reached, or "" for any other error."""
    return _keep_local(str(error.kwargs.get("endpoint_url", ""))) if isinstance(error, NoConnectionError) else ""


def _keep_local(endpoint: str) -> str:
    return endpoint if urlsplit(endpoint).hostname in {"localhost", "127.0.0.1"} else ""


def _name_option(name: str) -> str:
    """Return the option as the running command was given it: `--region`, or `--regions`.

    If it was given neither, it is the one that the command has, `--region` of both.
    """
    context, several = click.get_current_context(silent=True), f"{name}s"
    options = () if context is None else [option for each in context.command.params for option in each.opts]
    if context is None or several not in options:
        return name
    is_given = context.get_parameter_source(several.removeprefix("--")) is ParameterSource.COMMANDLINE
    return several if is_given or name not in options else name


def _explain_answer(error: ClientError) -> str:
    code, said = error.response["Error"].get("Code"), error.response["Error"].get("Message", "")
    if code in _EXPIRED:
        return f"The AWS session has expired. {_SIGN_IN}"
    if code in _UNKNOWN:
        return f"AWS does not accept these credentials ({code}). {_SIGN_IN}"
    if is_denied(error):
        returned = f" AWS returned: {said}" if said else ""
        return f"These credentials may not call {error.operation_name}. Ask for that right.{returned}"
    return str(error)
