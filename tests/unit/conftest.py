"""The rule of this folder: a unit test runs in one process. It starts no other one and opens no socket."""

from collections.abc import Iterator
from pathlib import Path

import one_process
import pytest

HERE = Path(__file__).parent
REFUSED = pytest.StashKey[list[str]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Refuse processes and sockets from a test's first fixture to its last, those of the module and session too."""
    if not item.path.is_relative_to(HERE):  # pytest calls this for the tests of every folder
        return (yield)
    with one_process.kept() as refused:
        item.stash[REFUSED] = refused
        return (yield)


@pytest.fixture(autouse=True)
def refusals(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Fail a test that tried to leave the process, even if the code under test caught the refusal."""
    refused = request.node.stash[REFUSED]
    yield refused
    assert not refused, f"move this test to tests/integration: {'; '.join(refused)}"
