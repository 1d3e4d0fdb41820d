"""A stack's part of the invocation logging: its log group, role and bucket, and if a configuration has them."""

from __future__ import annotations

import msgspec

from bedrock_quota.deployment import logging_configuration
from bedrock_quota.deployment.logging_configuration import Configuration
from bedrock_quota.state.table import LoggingOrigin


class LoggingTarget(msgspec.Struct, frozen=True):
    """The log group, role and bucket that a stack provides for invocation logs, or provided before an update."""

    log_group: str
    role_arn: str
    retention_days: int
    large_bodies_bucket: str = ""


def is_ours(configuration: Configuration | None, *targets: LoggingTarget | None) -> bool:
    """Return True if a configuration delivers to CloudWatch Logs with the role of one of these targets."""
    role = logging_configuration.configured_role(configuration)
    return role is not None and role in {target.role_arn for target in targets if target is not None}


def may_be_created(origin: LoggingOrigin | None) -> bool:
    """Return True if the stack created the configuration, or if that is not known."""
    return origin is None or origin.created
