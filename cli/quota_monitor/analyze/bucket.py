"""Invocation logs in S3, as a source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bedrock_quota.registry.models import Registry
from quota_monitor.analyze.source import Source

if TYPE_CHECKING:
    import boto3


def open_bucket(session: boto3.Session, place: str, registry: Registry) -> Iterator[Source]:
    """Yield a source for each account and Region whose logs lie at or below a place in S3."""
    raise NotImplementedError(session, place, registry)
