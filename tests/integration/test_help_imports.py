"""`--help` and `--version` are quick: they import no subcommand."""

import subprocess
import sys

import pytest

SLOW = {"bedrock_quota", "boto3", "botocore", "localaws", "msgspec", "rich", "samcli", "yaml"}


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_no_subcommand_and_no_library_but_click(option: str) -> None:
    program = (
        "import sys; from quota_monitor.main import main; main(sys.argv[1:], standalone_mode=False); "
        "print(*sys.modules, file=sys.stderr)"
    )

    ran = subprocess.run([sys.executable, "-c", program, option], capture_output=True, text=True, check=True)

    imported = set(ran.stderr.split())
    assert "click" in imported
    assert {name.partition(".")[0] for name in imported} & SLOW == set()
    assert {name for name in imported if name.startswith("quota_monitor.")} == {"quota_monitor.main"}
