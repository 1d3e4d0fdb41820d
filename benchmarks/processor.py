"""Run the deployed function's handler in a container whose quotas are known."""

import functools
import importlib.util
import io
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from bedrock_quota.pools import EndpointType, PoolQuota, QuotaPool
from bedrock_quota.processor.container import Container
from bedrock_quota.processor.seen_events import REMEMBERED_EVENTS, SeenEvents
from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.sources import read_sources
from bedrock_quota.settings import Settings
from bedrock_quota.state.snapshot import Snapshot
from benchmarks.mixes import Event

ROOT = Path(__file__).parents[1]
CONTEXT: Any = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000, function_name="processor")
_OTHERS = [f"other {number:050d}" for number in range(REMEMBERED_EVENTS)]


@functools.cache
def known() -> Registry:
    """Return the registry."""
    return read_sources(ROOT / "registry" / "models")


def snapshot() -> Snapshot:
    """Return a snapshot of now with quotas for every possible quota pool."""
    quota = PoolQuota(400_000, 400)
    pools = [QuotaPool(model.id, endpoint) for model in known().models for endpoint in EndpointType]
    return Snapshot(datetime.now(UTC), tuple((pool, quota) for pool in pools))


class Processor:
    """One container of the processor. It is given its snapshot instead of reading it every three minutes."""

    def __init__(self, *, detect_duplicates: bool = False) -> None:
        with redirect_stdout(io.StringIO()):  # the logger keeps the standard output of this moment
            self._app = _loaded()
        latest = snapshot()
        settings = Settings(state_table="state" if detect_duplicates else None, detect_duplicates=detect_duplicates)
        self._kept = Container(settings, known(), lambda: latest)
        self._app.container = lambda: self._kept  # type: ignore[attr-defined]

    def write(self, event: Event) -> str:
        """Handle one event and return its standard output."""
        with redirect_stdout(io.StringIO()) as written:
            self._app.handler(event, CONTEXT)
        return written.getvalue()

    def remember_others(self) -> None:
        """Fill the container's memory of log events with other events, so that ours are new to it.

        This leaves out the time to forget the oldest events, once in 2,500 log events.
        """
        self._kept.seen = SeenEvents()
        self._kept.seen.remember(_OTHERS)


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benched_app", ROOT / "functions" / "metric_processor" / "app.py")
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018 - the file is there
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    return app
