"""What `quota-monitor demo` prints about its hour, without a stack: the same answers over the same records."""

import functools
import gzip
import io
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from bedrock_quota import model_ids
from bedrock_quota.analysis.answers import NOTHING_CHANGED
from bedrock_quota.model_ids import ApplicationProfile, OutOfScope, Reference
from bedrock_quota.processor.look_up import FetchedBodies
from bedrock_quota.processor.reading import read_request_body
from bedrock_quota.registry.sources import read_sources
from localaws import quotas, traffic
from localaws.applications import PROFILES
from quota_monitor.analyze.account import Account
from quota_monitor.analyze.command import analyze_source
from quota_monitor.analyze.scope import Scope
from quota_monitor.analyze.source import Source
from quota_monitor.answers import terminal
from quota_monitor.answers.document import Document
from quota_monitor.window import make_window

REGISTRY = Path(__file__).parents[1] / "registry" / "models"
END = datetime(2026, 11, 28, 14, tzinfo=UTC)
DEFAULT_SEED = 0

WIDE = 240
"""So many characters that no column is left out and no line is broken."""


def _resolve(profile: ApplicationProfile) -> Reference | OutOfScope:
    (known,) = [each for each in PROFILES if each.placeholder_arn == profile.arn]
    return model_ids.resolve_profile_models((known.copy_from,))


@functools.cache
def demo_document() -> Document:
    """The answers about the demo's hour."""
    events = traffic.hour(END, DEFAULT_SEED)
    stored = {body.path: body.gzipped for event in events for body in event.large_bodies}

    def fetch(paths: Collection[str]) -> FetchedBodies:
        return FetchedBodies({path: read_request_body(gzip.decompress(stored[path])) for path in paths})

    source = Source(
        "demo",
        Account(quotas=quotas.list_quotas()),
        _resolve,
        lambda reader, _scope, _progress: reader.add_all(event.message for event in events) or (),
        fetch,
    )
    scope = Scope(make_window(END - timedelta(hours=1), END))
    return analyze_source(source, scope, NOTHING_CHANGED, read_sources(REGISTRY))


@functools.cache
def demo_lines() -> tuple[str, ...]:
    """The lines of the report, at a width at which nothing is cut."""
    console = Console(file=io.StringIO(), width=WIDE, highlight=False)
    console.print(terminal.render(demo_document(), WIDE))
    assert isinstance(console.file, io.StringIO)
    return tuple(console.file.getvalue().splitlines())
