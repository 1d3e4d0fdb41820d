"""`quota-monitor deploy` where `sam build` fails."""

import pytest
from click.testing import CliRunner

from quota_monitor.deployment import checkout, deploy
from quota_monitor.deployment.targets import Target
from quota_monitor.main import main


def test_a_failed_build_deploys_nothing_and_shows_what_sam_said(monkeypatch, tmp_path):
    (tmp_path / "template.yaml").write_text("Resources: {A: {Type: AWS::Serverless::Function}}\n")
    monkeypatch.setattr(checkout, "find_deployable", lambda: tmp_path)
    monkeypatch.setattr(deploy, "read_targets", lambda places, _stack: [Target(place) for place in places])
    monkeypatch.setattr(deploy, "Deployment", lambda *_: pytest.fail("deployed"))
    result = CliRunner().invoke(main, ["deploy", "--regions", "us-east-1"])
    assert result.exit_code == 1
    assert "sam build failed" in result.output
