"""The first-day check on the deployed stack, with the parts of AWS that the emulator has."""

import json
import re
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
    call = {**converse(SONNET, input_tokens=300, max_tokens=700), "timestamp": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
    deliver([call, call])
    monkeypatch.setattr(collect_logs, "SETTLED", timedelta())
    monkeypatch.setenv("AWS_CONFIG_FILE", str(local.cli_config))
    arguments = ["doctor", "--first-day", "--profile", "local", "--stack-name", local.stack_name]

    report = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)
    checklist = CliRunner().invoke(main, arguments).stdout

    # then what the emulator has is seen, and nothing of it is refused
    verdicts = {each["name"]: each["verdict"] for each in report["answers"]}
    assert {name: verdicts[name] for name in ("lines", "dashboard", "log-delay", "sdk")} == {
        "lines": "seen",
        "dashboard": "seen",
        "log-delay": "seen",
        "sdk": "seen",
    }
    assert "could not look" not in verdicts.values()
    assert (report["region"], report["settings"]["Ingestion"]) == ("us-east-1", "direct")
    assert "- [x] **Do metric lines become metrics?** seen" in checklist
    # and no account, ARN, caller or resource is named
    assert not re.search(r"arn:|\d{12}|ReportWriter|quota-e2e", checklist + json.dumps(report))
