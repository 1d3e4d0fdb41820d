"""`--help` and `--version` are quick: they import no subcommand, and a subcommand's `--help` imports no boto3."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from subcommands import find_subcommands

from quota_monitor import program

SLOW = {"bedrock_quota", "boto3", "botocore", "localaws", "msgspec", "rich", "samcli", "yaml"}

PROGRAM = (
    "import sys; from quota_monitor.main import main; main(sys.argv[1:], standalone_mode=False); "
    "print(*sys.modules, file=sys.stderr)"
)


def modules_of(*arguments: str) -> set[str]:
    ran = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    return set(ran.stderr.split())


OWN_MODULES = {
    "--help": {"quota_monitor.main", "quota_monitor.command_groups"},
    "--version": {
        *("quota_monitor.main", "quota_monitor.command_groups"),
        *("quota_monitor.program", "quota_monitor.data_files"),
    },
}


@pytest.mark.parametrize("option", OWN_MODULES)
def test_help_and_version_import_no_subcommand_and_no_library_but_click(option: str) -> None:
    imported = modules_of(option)

    assert "click" in imported
    assert {name.partition(".")[0] for name in imported} & SLOW == set()
    assert {name for name in imported if name.startswith("quota_monitor.")} == OWN_MODULES[option]


def test_the_version_of_a_checkout_has_its_commit() -> None:
    root = Path(__file__).parents[2]
    command = [Path(sys.executable).with_name("quota-monitor"), "--version"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    if not (root / ".git").exists():
        assert "commit" not in shown
        return
    ask = [shutil.which("git") or "git", "-C", root, "rev-parse", "HEAD"]
    head = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    assert shown.endswith(f" (commit {head[:9]})\n")


@pytest.mark.parametrize("nested", [pytest.param(False, id="checkout"), pytest.param(True, id="another repository")])
def test_the_commit_is_that_of_the_checkout_and_not_of_a_repository_around_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, nested: bool
) -> None:
    git = shutil.which("git")
    assert git is not None
    author = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    for words in (("init", "-q"), (*author, "commit", "-q", "--allow-empty", "-m", "first")):
        subprocess.run([git, "-C", tmp_path, *words], check=True)
    folder = tmp_path / "unpacked" if nested else tmp_path
    folder.mkdir(exist_ok=True)
    monkeypatch.setattr(program, "CHECKOUT", folder.resolve())

    assert ("commit" in program.describe_version()) is not nested


@pytest.mark.parametrize("command", [names for names, _ in find_subcommands() if names], ids=" ".join)
def test_help_of_a_subcommand_imports_no_boto3(command: tuple[str, ...]) -> None:
    imported = modules_of(*command, "--help")

    assert any(name.startswith("quota_monitor.") and name != "quota_monitor.main" for name in imported)
    assert imported & {"boto3", "botocore.client", "botocore.config", "botocore.session"} == set()


@pytest.mark.parametrize("arguments", [("cost", "--help"), ("registry", "check")], ids=" ".join)
def test_a_command_works_in_a_folder_that_is_deleted(arguments: tuple[str, ...], tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    deleted = f"import os; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r}); {PROGRAM}"

    ran = subprocess.run([sys.executable, "-c", deleted, *arguments], capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout
