"""The error that ends a run."""

from __future__ import annotations

import click
from botocore.exceptions import ClientError

from bedrock_quota.access_denied import is_denied
from quota_monitor.aws_session import explain_aws_error
from quota_monitor.terminal import COULD_NOT_LOOK


class PublishError(click.ClickException):
    """Records could not be published. The message says why, and what to do."""

    exit_code = COULD_NOT_LOOK


def explain_failure(error: Exception) -> str:
    """Return an error in words. For a missing right, it names the option that prints all rights."""
    if isinstance(error, PublishError):
        return error.message
    sentence = explain_aws_error(error)
    if isinstance(error, ClientError) and is_denied(error):
        return f"{sentence} With --policy, the same command prints all rights that it needs."
    return sentence
