"""An unpacked release as far as `quota-monitor deploy` and `package` look at it, with `sam` and AWS replaced."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from fake_aws import FakeAws

from quota_monitor.deployment import checkout, package
from quota_monitor.template import read_template

ROOT = Path(__file__).parents[1]


def unpack(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make `folder` an unpacked release and the current folder. Return the list of `sam` commands that will run."""
    built = folder / ".aws-sam" / "build"
    built.mkdir(parents=True)
    for place in (folder, built):
        shutil.copy(ROOT / "template.yaml", place / "template.yaml")
    ran: list[str] = []

    def run_sam(name: str, *options: str, profile: str | None = None, **_environment: str) -> None:
        assert profile is None
        ran.append(name)
        if name == "package":
            given = dict(zip(options[::2], options[1::2], strict=True))
            packaged = upload(read_template(built / "template.yaml"), given["--s3-bucket"])
            Path(given["--output-template-file"]).write_text(json.dumps(packaged), encoding="utf-8")

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    buckets = FakeAws({"HeadBucket": {"ResponseMetadata": {"HTTPHeaders": {}}}})
    monkeypatch.setattr(package, "open_session", lambda _profile, _region: buckets.session)
    monkeypatch.setattr(checkout, "run_sam", run_sam)
    monkeypatch.setattr(checkout, "ROOT", folder.parent)  # which is no checkout
    monkeypatch.chdir(folder)
    return ran


def upload(template: dict[str, Any], bucket: str) -> dict[str, Any]:
    """Return a built template with its code in a bucket, as `sam package` writes it."""
    for name, resource in template["Resources"].items():
        for key in ("CodeUri", "ContentUri"):
            if key in resource.get("Properties", {}):
                resource["Properties"][key] = f"s3://{bucket}/{name}"
    return template
