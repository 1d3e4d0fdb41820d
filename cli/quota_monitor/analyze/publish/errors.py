"""The error that ends a run."""

from __future__ import annotations

import click


class PublishError(click.ClickException):
    """Records could not be published. The message says why, and what to do."""

    exit_code = 3
