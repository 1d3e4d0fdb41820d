"""A release: `python tests/release.py ZIP VERSION` fails unless its layers hold .pyc files of that Python.

`make dist` calls it. Without them a release works, and starts more slowly, which nobody would notice.
"""

import sys
import zipfile
from pathlib import PurePosixPath

LAYERS = (".aws-sam/build/CoreLayer/python", ".aws-sam/build/DependenciesLayer/python")


def without_pyc(names: list[str], version: str) -> list[str]:
    """Return those modules of a release's layers that have no .pyc file of Python `version`, such as 3.13.

    Raises `ValueError` where a layer has no modules at all.
    """
    there, missing = set(names), []
    for layer in LAYERS:
        modules = [PurePosixPath(name) for name in names if name.startswith(f"{layer}/") and name.endswith(".py")]
        if not modules:
            raise ValueError(f"{layer} has no modules")
        tag = f"cpython-{version.replace('.', '')}"
        missing += [str(each) for each in modules if f"{each.parent}/__pycache__/{each.stem}.{tag}.pyc" not in there]
    return missing


if __name__ == "__main__":
    with zipfile.ZipFile(sys.argv[1]) as release:
        if missing := without_pyc(release.namelist(), sys.argv[2]):
            sys.exit(f"{len(missing)} modules have no .pyc file of Python {sys.argv[2]}, the first is {missing[0]}")
