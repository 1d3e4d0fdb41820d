"""The first-day check on the deployed stack, with the parts of it that the emulator has."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from records import SONNET, converse

from localaws.instance import Instance
from quota_monitor.doctor.first_day import collect_logs
from quota_monitor.main import main


def test_the_checklist_of_a_deployed_stack(
    local: Instance, deliver: Callable[[Sequence[dict[str, Any]]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given calls of this stack, whose metrics are there at once
    at = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=2)
    deliver([{**converse(SONNET, input_tokens=300, max_tokens=700), "timestamp": f"{at:%Y-%m-%dT%H:%M:%SZ}"}] * 2)
    monkeypatch.setattr(collect_logs, "SETTLED", timedelta())
    monkeypatch.setenv("AWS_CONFIG_FILE", str(local.cli_config))
    arguments = ["doctor", "--first-day", "--profile", "local", "--stack-name", local.stack_name]

    ran = CliRunner().invoke(main, [*arguments, "--json"])
    print(ran.output)
    print(ran.exception)
    read = CliRunner().invoke(main, arguments)
    print(read.output)
    assert False
