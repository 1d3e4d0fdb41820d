"""This working tree, checked out in other ways."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from localaws import sam

ROOT = Path(__file__).parents[1]
AS_ON_WINDOWS = ("-c", "core.symlinks=false", "-c", "core.autocrlf=true")


def run(*command: str, cwd: Path, given: str | None = None, **environment: str) -> str:
    """Run a command as a user of this environment does, and return its output. A failure fails the test.

    `given` is its standard input, if it reads one.
    """
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**sam.environment(os.environ), **environment},
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def check_out_as_on_windows(checkout: Path, scratch: Path) -> None:
    """Write this working tree to `checkout` as Git for Windows would: no symlinks, and line endings of Windows.

    Git's index and objects for it are in `scratch`: the repository stays as it is.
    """
    (scratch / "objects").mkdir()
    objects = run("git", "rev-parse", "--path-format=absolute", "--git-path", "objects", cwd=ROOT)
    git: Mapping[str, str] = {
        "GIT_INDEX_FILE": str(scratch / "index"),
        "GIT_OBJECT_DIRECTORY": str(scratch / "objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": objects.strip(),
    }
    run("git", "read-tree", "HEAD", cwd=ROOT, **git)
    run("git", "add", "--all", cwd=ROOT, **git)
    run("git", *AS_ON_WINDOWS, "checkout-index", "--all", f"--prefix={checkout}/", cwd=ROOT, **git)
