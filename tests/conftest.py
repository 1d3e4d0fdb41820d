"""What tests share: the real registry, a way to run records through the core."""

import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.loaders import Loader, create_loader
from hypothesis import HealthCheck, settings
from metric_lines import strictly_read
from processed import Processed, process_delivery
from records import NOW, Process, ReadLine, log_event, message
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from bedrock_quota import clients
from bedrock_quota.model_ids import OutOfScope
from bedrock_quota.pools import PoolQuota, QuotaPool
from bedrock_quota.processor.delivery import Delivery
from bedrock_quota.processor.usage import UsageCalculator
from bedrock_quota.registry.models import Registry
from bedrock_quota.registry.sources import read_sources

ROOT = Path(__file__).parents[1]

os.environ.pop(
    "COLUMNS", None
)  # pytest imports readline, which sets it for child processes such as pytest-xdist's workers

settings.register_profile(
    "quick",
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=5_000)
settings.load_profile("quick")

CACHED_CLIENTS = [made for made in vars(clients).values() if hasattr(made, "cache_clear")]


STACKS = {
    "test_demo_numbers.py": "second",
    "test_deploy_anywhere.py": "second",
    "test_deployed_dashboard.py": "second",
    "test_deployed_field_cases.py": "second",
    "test_duplicate_deliveries.py": "second",
    "test_killed.py": "second",
    "test_logging_setup.py": "third",
    "test_preview.py": "second",
    "test_publish.py": "second",
    "test_regions.py": "second",
    "test_sam_local.py": "second",
    "test_soak.py": "second",
}
"""Stacks of end-to-end tests that may run on another one. The others look at what earlier ones of them left behind."""


def find_scope(file: str) -> str:
    """Return the name of what one worker runs: a file, or the end-to-end tests that share a stack and its emulator."""
    if not file.startswith("tests/e2e/"):
        return file
    return f"tests/e2e, {STACKS.get(file.rpartition('/')[2], 'first')} stack"


class ByFile(LoadScopeScheduling):
    """Run a file's tests in one worker, because they share what its fixtures made. End-to-end tests share a stack.

    `--dist loadgroup` groups nothing with pytest 9.2: https://github.com/pytest-dev/pytest-xdist/issues/1386
    (read 2026-11-28).
    """

    def _split_scope(self, nodeid: str) -> str:
        return find_scope(nodeid.partition("::")[0])


@pytest.hookimpl(optionalhook=True)  # it is pytest-xdist's
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Distribute tests to workers by file, whatever `--dist` says, in the order of the collection."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Run two more workers than there are processors, because end-to-end tests wait for most of their time."""
    return (os.cpu_count() or 1) + 2


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Begin with the end-to-end tests, because they take longest and each worker should have some."""
    yield
    items.sort(key=lambda item: not item.nodeid.startswith("tests/e2e/"))  # after pytest-randomly; keeps the order else


@pytest.fixture(scope="session", autouse=True)
def service_models() -> Iterator[None]:
    """Read each of botocore's service models once per worker: most tests begin a new session.

    All clients of a session share its loader, so that all sessions may share one.
    """
    create_once = functools.cache(create_loader)

    def shared_loader(search_path: str | None = None) -> Loader:
        loader = create_once(search_path)
        loader.search_paths[:] = dict.fromkeys(loader.search_paths)  # boto3 adds its own for each session
        return loader

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", shared_loader)
        yield


@pytest.fixture(scope="session")
def registry() -> Registry:
    return read_sources(ROOT / "registry" / "models")


@pytest.fixture
def accounts(registry: Registry) -> UsageCalculator:
    """Accounts that can resolve no application profile and carry no tags."""
    return UsageCalculator(registry, lambda _profile: OutOfScope("unresolved_profile"))


@pytest.fixture
def process(accounts: UsageCalculator) -> Process:
    """Run records, as dictionaries or as raw messages, through the core as one delivery at `NOW`."""

    def run(
        entries: Iterable[Mapping[str, Any] | str],
        *,
        quotas: Mapping[QuotaPool, PoolQuota] | None = None,
        message_type: str = "DATA_MESSAGE",
        by: UsageCalculator = accounts,
        **options: Any,
    ) -> Processed:
        events = tuple(log_event(entry if isinstance(entry, str) else message(entry)) for entry in entries)
        return process_delivery(
            Delivery(message_type, events),
            by,
            **{"quotas": quotas, "namespace": "Bedrock/Quotas", "now": NOW} | options,
        )

    return run


@pytest.fixture(scope="session")
def read_line() -> ReadLine:
    """Parse a line and check it as CloudWatch would, and more strictly where CloudWatch drops without a word."""
    return strictly_read


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Reach no account: made-up credentials, no user's settings, and no client left from another test."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    yield
    for client in CACHED_CLIENTS:
        client.cache_clear()
