"""Interruptions of requests. tests/integration/test_trickling_bodies.py tries them with real connections."""

from types import SimpleNamespace
from typing import Any

import pytest

from bedrock_quota import clients
from bedrock_quota.interruption import make_interruptible


def test_a_client_of_another_botocore_works_without_interruptions(caplog: pytest.LogCaptureFixture) -> None:
    client: Any = SimpleNamespace(meta=SimpleNamespace())

    make_interruptible(client)

    (line,) = caplog.records
    assert (line.getMessage(), line.__dict__["error"]) == ("requests cannot be interrupted", "AttributeError")


@pytest.mark.usefixtures("no_aws")
def test_the_botocore_in_use_allows_interruptions(caplog: pytest.LogCaptureFixture) -> None:
    clients.large_bodies.cache_clear()

    clients.large_bodies()

    assert caplog.records == []
