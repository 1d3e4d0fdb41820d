"""The preview of dashboards knows CloudWatch and nothing of this product."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

IMPORT_ALL = """
import importlib, json, pkgutil, sys
from localaws import preview
for module in pkgutil.walk_packages(preview.__path__, "localaws.preview."):
    importlib.import_module(module.name)
print(json.dumps(sorted(sys.modules)))
"""


def test_preview_imports_nothing_of_the_product() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        text=True,
    )
    loaded = set(json.loads(done.stdout))
    ours = {name for name in loaded if name.partition(".")[0] in {"localaws", "bedrock_quota", "quota_monitor"}}

    assert "localaws.preview.server" in ours
    assert {name for name in ours if not name.startswith("localaws.preview")} == {"localaws"}
