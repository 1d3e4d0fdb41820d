"""The option `--tag NAME=VALUE`, and the tags of a stack that is deployed again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click
from botocore.exceptions import BotoCoreError, ClientError

from quota_monitor.deployment.parameters import parse_assignments

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
    help="Tag the stack, and with it its resources. Other tags of the stack stay.",
)
"""The option as a mapping of names to values. It can be given several times. `click.BadParameter` for another form."""


def read_tags(session: boto3.Session, stack_name: str) -> dict[str, str]:
    """Return the tags of a stack that a user has set, or none if it does not exist or cannot be read.

    `sam deploy` reads the stack as well and reports such an error itself.
    """
    from botocore.config import Config  # noqa: PLC0415 - half a second of CPU, which `--help` does not need

    # a Region that does not answer holds the others up for 30 seconds at most
    brief = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
    try:
        (stack,) = session.client("cloudformation", config=brief).describe_stacks(StackName=stack_name)["Stacks"]
    except (BotoCoreError, ClientError):
        return {}
    tags = {each["Key"]: each["Value"] for each in stack.get("Tags", [])}
    return {key: value for key, value in tags.items() if not key.lower().startswith(_OF_AWS)}


def tags_arguments(tags: Mapping[str, str]) -> list[str]:
    """Return the arguments of `sam deploy` that set these tags, and remove all others of the stack.

    `sam deploy` without tags removes them all: it asks CloudFormation for an empty list (SAM CLI 1.167, deployer.py;
    CloudFormation API reference, UpdateStack, Tags, read 2026-11-28). Raises `click.ClickException` for tags that SAM
    CLI would change, such as two with both spaces and equals signs.
    """
    from samcli.cli.types import CfnTags  # type: ignore[import-untyped]  # noqa: PLC0415 - of the extra `local`

    arguments = tuple(f'"{key}"="{value}"' if "=" in value else f"{key}={value}" for key, value in tags.items())
    if arguments and CfnTags().convert(arguments, None, None) != tags:
        raise click.ClickException(
            "SAM CLI cannot pass these tags of the stack on, because of their spaces and equals signs: "
            f"{', '.join(tags)}. Change them, or deploy with AWS CLI."
        )
    return ["--tags", *arguments] if arguments else []
