"""All that is installed is locked by hash: the locks, the files exported from them, the commands that install."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = {"uv.lock": 90, ".ci/uv.lock": 90, "examples/uv.lock": 40}
"""Each lock, and a number that it has more packages than."""
EXPORTED = {
    ".ci/uv.txt": "setup",
    "layers/core/requirements-build.txt": "registry",
    "layers/dependencies/requirements.txt": "functions",
}
"""Files for pip, and the group of pyproject.toml that each has."""
MAKEFILES = ("Makefile", "layers/core/Makefile", "layers/dependencies/Makefile")
INSTALLS = re.compile(r"-m pip install|(?:UV\)|uv) (?:run|sync|pip|tool|export)|\buvx\b|\bpipx?\b install|--with\b")


def read_toml(file: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / file).read_text(encoding="utf-8"))


def packages(lock: str) -> dict[str, dict[str, Any]]:
    return {package["name"]: package for package in read_toml(lock)["package"]}


def hashes(package: dict[str, Any]) -> set[str]:
    return {file["hash"] for file in [*package["wheels"], *([package["sdist"]] if "sdist" in package else [])]}


def commands(makefile: str) -> list[str]:
    """Return the recipes and settings of a Makefile that install, each on one line."""
    text = (ROOT / makefile).read_text(encoding="utf-8").replace("\\\n", " ")
    text = text.replace("$(LOCKED)", "".join(re.findall("^LOCKED := (.+)", text, re.MULTILINE)))
    return [line.strip() for line in text.splitlines() if INSTALLS.search(line) and not line.startswith("#")]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_of_a_lock_has_a_wheel_and_hashes(lock: str) -> None:
    local = {"bedrock-quota-monitor", "checks", "examples"}
    locked = {name: package for name, package in packages(lock).items() if name not in local}

    assert len(locked) > LOCKS[lock]
    for name, package in locked.items():
        assert package["wheels"], name
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", each) for each in hashes(package)), name


@pytest.mark.parametrize("file", EXPORTED)
def test_exported_requirements_are_those_of_the_lock(file: str) -> None:
    locked = packages("uv.lock")
    text = (ROOT / file).read_text(encoding="utf-8").replace("\\\n", " ")
    required = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]

    named = set()
    for line in required:
        found = re.fullmatch(r"([\w-]+)==(\S+)( ; [^-]+)?((?:\s+--hash=sha256:[0-9a-f]{64})+)\s*", line)
        assert found, line
        name, version = found[1], found[2]
        assert version == locked[name]["version"], name
        assert set(re.findall(r"--hash=(\S+)", line)) == hashes(locked[name]), name
        named.add(name)
    group = {each["name"] for each in locked["bedrock-quota-monitor"]["dev-dependencies"][EXPORTED[file]]}
    assert group <= named


def test_the_project_is_built_by_what_the_lock_has() -> None:
    project = read_toml("pyproject.toml")

    assert set(project["build-system"]["requires"]) <= set(project["dependency-groups"]["build"])
    assert {"include-group": "build"} in project["dependency-groups"]["dev"]


@pytest.mark.parametrize("makefile", MAKEFILES)
def test_nothing_is_installed_without_hashes(makefile: str) -> None:
    found = commands(makefile)

    assert found
    for command in found:
        if "pip install" in command:
            assert (
                "--no-deps --require-hashes" in command or "--no-deps --only-binary=:all: --require-hashes" in command
            )
        else:
            assert re.search(r"(UV\)|uv) (run|sync|export)\b", command), command
            assert "--frozen" in command, command
            # which uv run does not compare with hashes, not even those of a file
            assert "--with" not in command, command
            assert "--no-project" not in command, command


@pytest.mark.parametrize("project", [".ci", "examples"])
def test_nothing_beside_the_project_is_built_from_source(project: str) -> None:
    assert read_toml(f"{project}/pyproject.toml")["tool"]["uv"]["no-build"] is True


def test_packages_of_npm_are_locked_by_hash_and_come_from_the_users_registry() -> None:
    folder = ROOT / "tests" / "iam"
    wanted = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    lock = json.loads((folder / "package-lock.json").read_text(encoding="utf-8"))
    root, locked = lock["packages"].pop(""), lock["packages"]

    assert root["dependencies"] == wanted["dependencies"]
    assert {name: locked[f"node_modules/{name}"]["version"] for name in wanted["dependencies"]} == wanted[
        "dependencies"
    ]
    for name, package in locked.items():
        assert re.fullmatch("sha512-[A-Za-z0-9+/]{86}==", package["integrity"]), name
        assert "resolved" not in package, name
        assert "hasInstallScript" not in package, name
    assert 'npm(["ci"]' in (folder / "evaluator.py").read_text(encoding="utf-8")
