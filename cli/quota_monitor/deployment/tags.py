"""The option `--tag NAME=VALUE`, and the tags of a stack that is deployed again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from quota_monitor.aws_session import explain_aws_error, says_that_there_is_no_stack
from quota_monitor.deployment.parameters import parse_assignments
from quota_monitor.terminal import COULD_NOT_LOOK

if TYPE_CHECKING:
    import boto3

_OF_AWS = "aws:"
"""Prefix of tags that only AWS sets, in any case (CloudFormation User Guide, Resource tag, read 2026-11-28)."""

tags_option = click.option(
    "--tag",
    "tags",
    metavar="NAME=VALUE",
    multiple=True,
    callback=parse_assignments,
    help="Tag the stack, and with it its resources. A tag given here replaces that of samconfig.toml, which "
    "replaces that of the stack. Other tags of the stack stay.",
)
"""The option as a mapping of names to values. It can be given several times. `click.BadParameter` for another form."""


def read_tags(session: boto3.Session, stack_name: str) -> dict[str, str]:
    """Return the tags of a stack that a user has set, or none if there is no such stack.

    Raises `UnreadableTagsError` if the stack cannot be read: `sam deploy` would then remove all its tags.
    """
    from botocore.config import Config  # noqa: PLC0415 - half a second of CPU, which `--help` does not need

    # a Region that does not answer holds the others up for 30 seconds at most
    brief = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
    try:
        (stack,) = session.client("cloudformation", config=brief).describe_stacks(StackName=stack_name)["Stacks"]
    except (BotoCoreError, ClientError) as error:
        if isinstance(error, ClientError) and says_that_there_is_no_stack(error):
            return {}
        if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
            raise UnreadableTagsError(explain_aws_error(error)) from error
        raise UnreadableTagsError(
            f"{explain_aws_error(error)}\nNothing was deployed to {session.region_name} or anywhere else, because a "
            f"deployment would remove the tags of {stack_name}, which could not be read."
        ) from error
    tags = {each["Key"]: each["Value"] for each in stack.get("Tags", [])}
    return {key: value for key, value in tags.items() if not key.lower().startswith(_OF_AWS)}


class UnreadableTagsError(click.ClickException):
    """The tags of a stack could not be read. The message says why, and what to do."""

    exit_code = COULD_NOT_LOOK


def configured_tags(checkout: Path) -> dict[str, str]:
    """Return the tags that the checkout's samconfig file gives to `sam deploy` by default, as SAM CLI reads them.

    `--tags` replaces them, so they have to be passed on with the others. Raises `click.ClickException` for a file, or
    for tags, that SAM CLI cannot read.
    """
    from samcli.cli.types import CfnTags  # type: ignore[import-untyped]  # noqa: PLC0415 - of the extra `local`
    from samcli.lib.config import exceptions, samconfig  # type: ignore[import-untyped]  # noqa: PLC0415

    try:
        config = samconfig.SamConfig(str(checkout), samconfig.SamConfig.get_default_file(str(checkout)))
        given = config.get_all(["deploy"], "parameters").get("tags", []) if config.exists() else []
    except (exceptions.SamConfigFileReadException, exceptions.SamConfigVersionException) as error:
        raise click.ClickException(f"The samconfig file in {checkout} cannot be read: {error}") from error
    found: dict[str, str] = CfnTags().convert(given, None, None)
    return found


def tags_arguments(tags: Mapping[str, str]) -> list[str]:
    """Return the arguments of `sam deploy` that set these tags, and remove all others of the stack.

    `sam deploy` without tags removes them all: it asks CloudFormation for an empty list (SAM CLI 1.167, deployer.py;
    CloudFormation API reference, UpdateStack, Tags, read 2026-11-28). Raises `click.ClickException` for tags that SAM
    CLI would change, such as two with both spaces and equals signs.
    """
    from samcli.cli.types import CfnTags  # noqa: PLC0415 - of the extra `local`

    arguments = tuple(f'"{key}"="{value}"' if "=" in value else f"{key}={value}" for key, value in tags.items())
    if arguments and CfnTags().convert(arguments, None, None) != tags:
        raise click.ClickException(
            "SAM CLI cannot pass these tags of the stack on, because of their spaces and equals signs: "
            f"{', '.join(tags)}. Change them, or deploy with AWS CLI."
        )
    return ["--tags", *arguments] if arguments else []
