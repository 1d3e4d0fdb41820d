"""The AWS clients: how long each waits for an answer, and how often it asks."""

from collections.abc import Callable
from typing import Any

import pytest

from bedrock_quota import clients

pytestmark = pytest.mark.usefixtures("no_aws")


@pytest.mark.parametrize(
    ("make", "seconds"),
    [
        pytest.param(clients.state, 1, id="state table"),
        pytest.param(clients.bedrock, 1, id="application profiles"),
        pytest.param(clients.large_bodies, 2, id="large bodies"),
    ],
)
def test_metrics_wait_for_two_short_attempts_of_a_service(make: Callable[[], Any], seconds: int) -> None:
    config = make().meta.config

    assert (config.connect_timeout, config.read_timeout) == (seconds, seconds)
    assert config.retries["total_max_attempts"] == 2  # as the table of failures in docs/limits.md says
