"""A source: records of one account and Region, wherever they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec
from botocore.exceptions import ClientError

from bedrock_quota.access_denied import is_denied
from bedrock_quota.errors import LogSourceError
from bedrock_quota.processor.look_up import FetchBodies
from quota_monitor.analyze.account import Account
from quota_monitor.analyze.estimate import Estimate
from quota_monitor.analyze.reader import RecordReader, ResolveProfile
from quota_monitor.analyze.scope import Scope
from quota_monitor.aws_session import aws_errors_as_messages, explain_aws_error
from quota_monitor.program import own_command
from quota_monitor.progress import Progress
from quota_monitor.window import Window


class Source(msgspec.Struct, frozen=True):
    """Records of one account and Region. `read` adds them to a reader and returns notes about what it left out.

    `may_repeat` is true if the same record may be in several places, as in exports that overlap. `fetch_bodies` reads
    request bodies in S3, or is None if the source has no access to them. `estimate` says what reading a window costs,
    or is None if it costs nothing but requests.
    """

    name: str
    account: Account
    resolve_profile: ResolveProfile
    read: Callable[[RecordReader, Scope, Progress], Sequence[str]]
    fetch_bodies: FetchBodies | None = None
    estimate: Callable[[Window], Estimate] | None = None
    may_repeat: bool = False


@contextmanager
def source_errors_as_messages() -> Iterator[None]:
    """Print errors of AWS and of logs that cannot be read as one message with the next step. The exit code is 3."""
    with aws_errors_as_messages(LogSourceError, explain=explain):
        yield


def explain(error: Exception) -> str:
    """Return an error in words. For a missing right, it names the command that prints all rights."""
    sentence = explain_aws_error(error)
    if isinstance(error, ClientError) and is_denied(error):
        return f"{sentence} `{own_command('analyze', '--policy')}` prints all rights that reading takes."
    return sentence
